/* Children of a fork that comes while other threads make, use and end kinds: nothing in the child waits for them. With a
 * number, for that many seconds. */
#include "kinds.h"

static volatile int stop;
static memkind_t fixed, pmem;

static void *busy(void *number) {
    unsigned seed = (unsigned)(uintptr_t)number;
    char *memory = map_memory(4 * MIB);
    while (!stop) {
        memkind_t kind = NULL;
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1)
            NEED(memkind_create_fixed(memory, 4 * MIB, &kind) == 0);
        else
            NEED(memkind_create_pmem(MEMORY, 16 * MIB, &kind) == 0);
        for (int i = 0; i < 50; i++) {
            size_t size = (seed >> 8 & 4095) + 1;
            void *block = memkind_malloc(i % 3 ? kind : i % 2 ? fixed : pmem, size);
            NEED(block);
            memkind_free(NULL, block);
        }
        memkind_update_cached_stats();
        size_t all = 0;
        NEED(memkind_get_stat(NULL, MEMKIND_STAT_TYPE_ALLOCATED, &all) == 0);
        NEED(memkind_destroy_kind(kind) == 0);
    }
    munmap(memory, 4 * MIB);
    return NULL;
}

static void ignore(void *opaque, const char *text) {
    (void)opaque;
    (void)text;
}

static void in_child_of_threads(void) {
    alarm(20);
    memkind_t kind = NULL;
    NEED(memkind_create_pmem(MEMORY, 16 * MIB, &kind) == 0);
    void *block = memkind_malloc(kind, 1000);
    NEED(block && memkind_detect_kind(block) == kind);
    memkind_free(NULL, block);
    NEED(memkind_destroy_kind(kind) == 0);
    /* Private memory is the child's own; a file is the parent's. */
    for (int i = 0; i < 100; i++)
        NEED(memkind_malloc(fixed, 100));
    NEED(memkind_malloc(pmem, 100) == NULL);
    NEED(memkind_malloc(MEMKIND_REGULAR, 100));
    NEED(memkind_stats_print(ignore, NULL, 0) == 0);
}

int main(int count, char **arguments) {
    time_t until = time(NULL) + (count > 1 ? atoi(arguments[1]) : 0);
    pthread_t threads[4];
    NEED(memkind_create_fixed(map_memory(32 * MIB), 32 * MIB, &fixed) == 0);
    pmem = pmem_kind(32 * MIB);
    for (uintptr_t i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, busy, (void *)i) == 0);
    int forks = 0, good = 0;
    while (forks < 200 || time(NULL) < until) {
        int status = in_child(in_child_of_threads);
        if (status)
            fprintf(stderr, "fork %d: %d\n", forks, status);
        good += status == 0;
        forks++;
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    if (count > 1)
        fprintf(stderr, "%d forks\n", forks);
    say("children that were served: %s", good == forks ? "all" : "some");
    return 0;
}
