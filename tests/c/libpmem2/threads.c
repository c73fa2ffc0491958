/* Threads that map and delete, each in a part of one reservation, and outside of it, while
 * others look for maps. */
#include "pmem2.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6, ROUNDS = 300, PART = 4 };

static atomic_int wrong;
#define EXPECT(condition)                                                                \
    ((condition) ? (void)0                                                               \
                 : (void)(atomic_fetch_add(&wrong, 1) < 10 &&                            \
                          fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition)))

static struct pmem2_vm_reservation *reservation;
static char *base;

static void *work(void *argument) {
    size_t self = (size_t)(uintptr_t)argument;
    struct pmem2_source *anonymous;
    EXPECT(pmem2_source_from_anon(&anonymous, PART * PAGE) == 0);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct pmem2_map *map = NULL, *again, *other;
        size_t pages = 1 + (round + self) % PART;
        EXPECT(map_into(&map, reservation, self * PART * PAGE, anonymous, 0, pages * PAGE) == 0);
        if (!map)
            continue;
        char *address = pmem2_map_get_address(map);
        EXPECT(address == base + self * PART * PAGE);
        EXPECT(address[0] == 0 && address[pages * PAGE - 1] == 0);
        memset(address, (int)self + 1, pages * PAGE);
        EXPECT(map_into(&again, reservation, self * PART * PAGE, anonymous, 0, PAGE) ==
               PMEM2_E_MAPPING_EXISTS);
        EXPECT(map_with(&other, config_of(0, 0), anonymous) == 0);
        memset(pmem2_map_get_address(other), 0x55, PART * PAGE);
        for (size_t i = 0; i < pages * PAGE; i += 64)
            EXPECT(address[i] == (char)(self + 1));
        EXPECT(pmem2_map_delete(&other) == 0);
        EXPECT(pmem2_map_delete(&map) == 0);
    }
    EXPECT(pmem2_source_delete(&anonymous) == 0);
    return NULL;
}

int main(void) {
    int before = open_descriptors();
    NEED(pmem2_vm_reservation_new(&reservation, NULL, (THREADS + 1) * PART * PAGE) == 0);
    base = pmem2_vm_reservation_get_address(reservation);
    /* One map that stays, at the end, is not touched by any of it. */
    struct pmem2_source *source;
    struct pmem2_map *stays, *found;
    NEED(pmem2_source_from_anon(&source, PAGE) == 0);
    NEED(map_into(&stays, reservation, THREADS * PART * PAGE, source, 0, 0) == 0);
    memset(pmem2_map_get_address(stays), 's', PAGE);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    say("threads: %d wrong, descriptors left %d", atomic_load(&wrong),
        open_descriptors() - before);
    say("the map that stays: %c, first %s", *(char *)pmem2_map_get_address(stays),
        yes(pmem2_vm_reservation_map_find_first(reservation, &found) == 0 && found == stays));
    NEED(pmem2_map_delete(&stays) == 0 && pmem2_source_delete(&source) == 0);
    say("at the end: %s", access_of(base, (THREADS + 1) * PART * PAGE));
    print_result("delete", pmem2_vm_reservation_delete(&reservation));
    return 0;
}
