/* What Debian's library crashes or hangs on. */
#include "pmem2.h"

#include <pthread.h>
#include <stdatomic.h>

/* Memory that somebody else mapped is as good as any other. */
static void existing(void) {
    struct pmem2_source *source = file_source(64 * KIB);
    int fd;
    NEED(pmem2_source_get_fd(source, &fd) == 0);
    char *memory = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(memory != MAP_FAILED);
    for (int granularity = 0; granularity < 3; granularity++) {
        struct pmem2_map *map;
        char *part = memory + (granularity * 5 + 1) * PAGE;
        NEED(pmem2_map_from_existing(&map, source, part, 4 * PAGE,
                                     (enum pmem2_granularity)granularity) == 0);
        pmem2_get_memset_fn(map)(part, 'n', 100, 0);
        pmem2_get_memcpy_fn(map)(part + 100, "copy", 4, 0);
        pmem2_get_memmove_fn(map)(part + 101, part + 100, 4, PMEM2_F_MEM_NONTEMPORAL);
        pmem2_get_persist_fn(map)(part, 4 * PAGE);
        pmem2_get_flush_fn(map)(part + 5, 100);
        pmem2_get_drain_fn(map)();
        char read_back[5] = "";
        NEED(pread(fd, read_back, 4, part - memory + 101) == 4);
        say("granularity %s: deep flush %s, in the file '%s'", granularities[granularity],
            result_name(pmem2_deep_flush(map, part, 4 * PAGE)), read_back);
        NEED(pmem2_map_delete(&map) == 0);
    }
    struct pmem2_map *map = NULL;
    for (int granularity = -1; granularity < 5; granularity += 4)
        say("granularity %d: %s", granularity,
            result_name(pmem2_map_from_existing(&map, source, memory, PAGE,
                                                (enum pmem2_granularity)granularity)));
    munmap(memory, 64 * KIB);
    close_source(&source);
}

/* No handle where one must be. */
static void nulls(void) {
    size_t size = UNTOUCHED;
    int number = UNTOUCHED;
    uint64_t count;
    char byte;
    struct pmem2_map *map = NULL;
    struct pmem2_source *source = file_source(8192);
    struct pmem2_config *config = config_of(0, 0);
    struct pmem2_badblock_context *context = NULL;
    struct pmem2_badblock block = {0, 0};
    print_result("null, source_size", pmem2_source_size(NULL, &size));
    print_result("null, source_alignment", pmem2_source_alignment(NULL, &size));
    print_result("null, source_get_fd", pmem2_source_get_fd(NULL, &number));
    print_result("null, source_device_id", pmem2_source_device_id(NULL, &byte, &size));
    print_result("null, source_device_usc", pmem2_source_device_usc(NULL, &count));
    print_result("null, source_numa_node", pmem2_source_numa_node(NULL, &number));
    print_result("null, source_pread_mcsafe", pmem2_source_pread_mcsafe(NULL, &byte, 1, 0));
    print_result("null, source_pwrite_mcsafe", pmem2_source_pwrite_mcsafe(NULL, &byte, 1, 0));
    print_result("null, config_set_offset", pmem2_config_set_offset(NULL, 0));
    print_result("null, config_set_length", pmem2_config_set_length(NULL, 0));
    print_result("null, config_set_granularity", pmem2_config_set_required_store_granularity(
                                                     NULL, PMEM2_GRANULARITY_PAGE));
    print_result("null, config_set_sharing", pmem2_config_set_sharing(NULL, PMEM2_SHARED));
    print_result("null, config_set_protection", pmem2_config_set_protection(NULL, 0));
    print_result("null, config_set_vm_reservation",
                 pmem2_config_set_vm_reservation(NULL, NULL, 0));
    print_result("null, map_new without a config", pmem2_map_new(&map, NULL, source));
    print_result("null, map_new without a source", pmem2_map_new(&map, config, NULL));
    print_result("null, map_from_existing without memory",
                 pmem2_map_from_existing(&map, source, NULL, PAGE, PMEM2_GRANULARITY_PAGE));
    if (map)
        NEED(pmem2_map_delete(&map) == 0);
    print_result("null, map_delete", pmem2_map_delete(&map));
    say("null, map_get_address and size: %p %zu", pmem2_map_get_address(NULL),
        pmem2_map_get_size(NULL));
    print_result("null, deep_flush", pmem2_deep_flush(NULL, &byte, 1));
    struct pmem2_vm_reservation *reservation = NULL;
    print_result("null, vm_reservation_delete", pmem2_vm_reservation_delete(&reservation));
    print_result("null, vm_reservation_extend", pmem2_vm_reservation_extend(NULL, PAGE));
    print_result("null, vm_reservation_shrink", pmem2_vm_reservation_shrink(NULL, 0, PAGE));
    print_result("null, map_find", pmem2_vm_reservation_map_find(NULL, 0, 0, &map));
    print_result("null, map_find_first", pmem2_vm_reservation_map_find_first(NULL, &map));
    print_result("null, badblock_context_new", pmem2_badblock_context_new(&context, NULL));
    print_result("null, badblock_next", pmem2_badblock_next(NULL, &block));
    print_result("null, badblock_clear", pmem2_badblock_clear(NULL, &block));
    NEED(pmem2_config_delete(&config) == 0);
    close_source(&source);
}

/* One thing for another. */
static void mistaken(void) {
    struct pmem2_source *source = file_source(8192);
    struct pmem2_config *config = config_of(0, 0);
    struct pmem2_map *map;
    size_t size;
    print_result("a config as a source", pmem2_source_size((struct pmem2_source *)config, &size));
    print_result("a source as a config",
                 pmem2_config_set_length((struct pmem2_config *)source, 0));
    print_result("config and source exchanged", pmem2_map_new(&map, (struct pmem2_config *)source,
                                                              (struct pmem2_source *)config));
    print_result("a source as a reservation",
                 pmem2_vm_reservation_extend((struct pmem2_vm_reservation *)source, PAGE));
    map = (struct pmem2_map *)source;
    print_result("a source as a map, delete", pmem2_map_delete(&map));
    NEED(pmem2_config_delete(&config) == 0);
    close_source(&source);
}

static struct pmem2_vm_reservation *shared;
static struct pmem2_source *anonymous;
static atomic_int stop, wrong;

static void *look(void *unused) {
    uint32_t state = 7;
    (void)unused;
    while (!atomic_load(&stop)) {
        struct pmem2_map *map;
        state = state * 1664525 + 1013904223;
        int result = pmem2_vm_reservation_map_find(shared, (state >> 16) % 32 * PAGE,
                                                   (state >> 8) % 8 * PAGE, &map);
        if (result != 0 && (result != PMEM2_E_MAPPING_NOT_FOUND || map))
            atomic_fetch_add(&wrong, 1);
        result = pmem2_vm_reservation_map_find_last(shared, &map);
        if (result != 0 && result != PMEM2_E_MAPPING_NOT_FOUND)
            atomic_fetch_add(&wrong, 1);
        if (pmem2_vm_reservation_get_size(shared) % PAGE != 0 ||
            !pmem2_vm_reservation_get_address(shared))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void *put(void *argument) {
    size_t self = (size_t)(uintptr_t)argument;
    for (int round = 0; round < 2000; round++) {
        struct pmem2_map *map;
        if (map_into(&map, shared, self * 4 * PAGE, anonymous, 0, 0) != 0) {
            atomic_fetch_add(&wrong, 1);
            continue;
        }
        *(volatile char *)pmem2_map_get_address(map) = 1;
        if (pmem2_map_delete(&map) != 0)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

/* The end comes and goes, behind all maps. */
static void *breathe(void *unused) {
    (void)unused;
    while (!atomic_load(&stop)) {
        if (pmem2_vm_reservation_extend(shared, 8 * PAGE) != 0)
            continue; /* somebody else's memory is there */
        size_t size = pmem2_vm_reservation_get_size(shared);
        if (pmem2_vm_reservation_shrink(shared, size - 8 * PAGE, 8 * PAGE) != 0)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

/* Threads that map, look, extend and shrink in one reservation at once. */
static void threads(void) {
    pthread_t all[6];
    NEED(pmem2_source_from_anon(&anonymous, 3 * PAGE) == 0);
    NEED(pmem2_vm_reservation_new(&shared, NULL, 16 * PAGE) == 0);
    for (size_t i = 0; i < 6; i++)
        NEED(pthread_create(&all[i], NULL, i < 3 ? put : i < 5 ? look : breathe,
                            (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < 3; i++)
        NEED(pthread_join(all[i], NULL) == 0);
    atomic_store(&stop, 1);
    for (size_t i = 3; i < 6; i++)
        NEED(pthread_join(all[i], NULL) == 0);
    say("threads in one reservation: %d wrong, %zu pages, %s", atomic_load(&wrong),
        pmem2_vm_reservation_get_size(shared) / PAGE,
        access_of(pmem2_vm_reservation_get_address(shared), 16 * PAGE));
    print_result("threads in one reservation, delete", pmem2_vm_reservation_delete(&shared));
    NEED(pmem2_source_delete(&anonymous) == 0);
}

int main(void) {
    existing();
    nulls();
    mistaken();
    threads();
    return 0;
}
