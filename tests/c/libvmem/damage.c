/* vmem_check finds what a program wrote over, and raises no alarm where nothing is wrong: beside busy threads
 * for some thousand times, or for as many seconds as the argument says. */
#include "vmem.h"

#include <time.h>

static void found(const char *name, size_t size, size_t where_from_end, int keep) {
    VMEM *pool = vmem_create_in_region(own_pages(size), size);
    NEED(pool);
    char *blocks[3];
    for (int i = 0; i < 3; i++)
        NEED((blocks[i] = vmem_malloc(pool, 2 * MIB)));
    if (!keep)
        vmem_free(pool, blocks[1]);
    int before = vmem_check(pool);
    char *end = blocks[1] + vmem_malloc_usable_size(pool, blocks[0]);
    unsigned long *word = (unsigned long *)(void *)(keep ? end : blocks[1] + where_from_end);
    unsigned long saved = *word;
    *word ^= 0x5555555555555555;
    int damaged = vmem_check(pool);
    *word = saved;
    say("%s: before %d, damaged %d, repaired %d", name, before, damaged, vmem_check(pool));
    vmem_delete(pool);
    NEED(munmap(pool, size) == 0);
}

static VMEM *pool;
static _Atomic int stop;
static void *_Atomic slots[64];

static void *busy(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed * 2654435761u + 1;
    while (!stop) {
        random = random * 1664525 + 1013904223;
        size_t size = random >> 31 ? (random >> 8) % 600 : (random >> 8) % 60000;
        void *old = __atomic_exchange_n((void **)&slots[(random >> 20) % 64],
                                        vmem_malloc(pool, size), __ATOMIC_ACQ_REL);
        vmem_free(pool, old);
    }
    return NULL;
}

static void *coming_and_going(void *unused) {
    (void)unused;
    while (!stop)
        run_threads(2, busy, &stop);
    return NULL;
}

static time_t until;
static long checks;

static void *checker(void *alarms) {
    for (; until ? time(NULL) < until : checks < 3000; checks++)
        *(int *)alarms += vmem_check(pool) != 1;
    stop = 1;
    return NULL;
}

static void beside_busy_threads(size_t size) {
    NEED((pool = vmem_create(".", size)));
    int alarms = 0;
    pthread_t threads[4], check;
    for (uintptr_t i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, busy, (void *)(i + 1)) == 0);
    NEED(pthread_create(&threads[3], NULL, coming_and_going, NULL) == 0);
    NEED(pthread_create(&check, NULL, checker, &alarms) == 0);
    NEED(pthread_join(check, NULL) == 0);
    for (int i = 0; i < 4; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    if (until)
        fprintf(stderr, "%ld checks\n", checks);
    say("beside busy threads: %d alarms", alarms);
    vmem_delete(pool);
}

int main(int count, char **arguments) {
    if (count > 1) {
        until = time(NULL) + atoi(arguments[1]);
        beside_busy_threads(64 * MIB);
        return 0;
    }
    const size_t sizes[] = {VMEM_MIN_POOL, 64 * MIB, GIB, 16 * GIB};
    const char *names[] = {"14 MiB", "64 MiB", "1 GiB", "16 GiB"};
    for (int i = 0; i < 4; i++) {
        char name[60];
        snprintf(name, sizeof name, "%s, the header behind a block", names[i]);
        found(name, sizes[i], 0, 1);
        snprintf(name, sizeof name, "%s, the first link of a free block", names[i]);
        found(name, sizes[i], 0, 0);
        snprintf(name, sizeof name, "%s, the second link of a free block", names[i]);
        found(name, sizes[i], 8, 0);
    }
    beside_busy_threads(VMEM_MIN_POOL);
    return 0;
}
