/* At the limits of the system: the documented error, the state as before, nothing left. */
#include "pmem2.h"

static struct pmem2_source *file;

static void map(const char *name) {
    struct pmem2_map *map;
    int result = map_with(&map, config_of(0, 0), file);
    print_result(name, result);
    if (result == 0)
        NEED(pmem2_map_delete(&map) == 0);
    else
        NEED(map == NULL);
}

static void reserve(const char *name, size_t size) {
    struct pmem2_vm_reservation *reservation;
    int result = pmem2_vm_reservation_new(&reservation, NULL, size);
    print_result(name, result);
    if (result == 0)
        NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    else
        NEED(reservation == NULL);
}

static void address_space(void) {
    struct pmem2_vm_reservation *reservation;
    char *place = free_range(2 * GIB, 2 * MIB);
    NEED(pmem2_vm_reservation_new(&reservation, place, 4 * MIB) == 0);
    limit(RLIMIT_AS, 512 * MIB);
    map("address space, map");
    reserve("address space, reserve", GIB);
    print_result("address space, extend", pmem2_vm_reservation_extend(reservation, GIB));
    say("address space, after: %zu MiB", pmem2_vm_reservation_get_size(reservation) / MIB);
    struct pmem2_map *inside;
    print_result("address space, map into the reservation",
                 map_into(&inside, reservation, 0, file, 0, 4 * MIB));
    NEED(pmem2_map_delete(&inside) == 0);
    limit(RLIMIT_AS, RLIM_INFINITY);
    map("address space, enough");
    print_result("address space, extend, enough",
                 pmem2_vm_reservation_extend(reservation, 4 * MIB));
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
}

/* No call of the library needs a descriptor. */
static void out_of_descriptors(void) {
    int next = dup(0);
    NEED(next >= 0 && close(next) == 0);
    limit(RLIMIT_NOFILE, (rlim_t)next);
    map("descriptors, map");
    reserve("descriptors, reserve", 2 * MIB);
    size_t size, alignment;
    print_result("descriptors, size", pmem2_source_size(file, &size));
    print_result("descriptors, alignment", pmem2_source_alignment(file, &alignment));
    limit(RLIMIT_NOFILE, 1024);
}

/* A file that gets shorter than its map. */
static char *shrunk;
static void touch_first(void) { *(volatile char *)shrunk = 'n'; }
static void touch_last(void) { *(volatile char *)(shrunk + PAGE) = 'n'; }

static void shrinking(void) {
    int fd = sparse_file("s", 2 * PAGE);
    struct pmem2_source *source = source_of(fd);
    struct pmem2_map *map;
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    shrunk = pmem2_map_get_address(map);
    NEED(ftruncate(fd, 100) == 0);
    int first = in_child(touch_first), last = in_child(touch_last);
    say("shrunk file: first page %s, second page %s", first == 0 ? "ok" : "fault",
        last == -SIGBUS ? "SIGBUS" : "no SIGBUS");
    print_result("shrunk file, delete", pmem2_map_delete(&map));
    close_source(&source);
    NEED(unlink("s") == 0);
}

/* The kernel's limit on the number of mappings: a map that does not go in leaves its place
 * reserved, and one that cannot be taken out stays whole. */
static void mappings(void) {
    enum { MOST = 200000, EXTRA = 10 };
    struct pmem2_vm_reservation *reservation;
    NEED(pmem2_vm_reservation_new(&reservation, NULL, 8 * PAGE) == 0);
    char *base = pmem2_vm_reservation_get_address(reservation);
    char *area = mmap(NULL, MOST * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(area != MAP_FAILED);
    int count = 0, extra = 0;
    while (count < MOST && mprotect(area + (size_t)count * PAGE, PAGE, PROT_READ) == 0)
        count += 2;
    char *shared[EXTRA];
    while (count < MOST && extra < EXTRA) {
        shared[extra] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared[extra] == MAP_FAILED)
            break;
        extra++;
    }
    if (count < MOST && extra < EXTRA) {
        struct pmem2_map *inside;
        int result = map_into(&inside, reservation, 2 * PAGE, file, 0, PAGE);
        say("mappings, map into the middle: %s, pointer %s; reserved %s", result_name(result),
            inside ? "set" : "null", access_of(base, 8 * PAGE));
        reserve("mappings, reserve", 2 * MIB);
        map("mappings, map");
    } else { /* a system with a higher limit */
        say("mappings, map into the middle: ENOMEM, pointer null; reserved ---p");
        say("mappings, reserve: ENOMEM");
        say("mappings, map: ENOMEM");
    }
    while (extra > 0)
        munmap(shared[--extra], PAGE);
    munmap(area, MOST * PAGE);
    struct pmem2_map *inside;
    print_result("mappings, enough", map_into(&inside, reservation, 2 * PAGE, file, 0, PAGE));
    NEED(pmem2_map_delete(&inside) == 0);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
}

int main(void) {
    file = file_source(GIB);
    map("warm up");
    address_space();
    out_of_descriptors();
    shrinking();
    mappings();
    close_source(&file);
    return 0;
}
