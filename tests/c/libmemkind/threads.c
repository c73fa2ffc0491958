/* Kinds that come and go in many threads; one small kind for many. With a number, for that many seconds. */
#include "kinds.h"

static time_t until;

static void *come_and_go(void *number) {
    static const size_t sizes[] = {16, 100, 4000, 70000};
    unsigned round = (unsigned)(uintptr_t)number;
    char *memory = map_memory(4 * MIB);
    int left = 30;
    while (left-- > 0 || time(NULL) < until) {
        memkind_t pmem = pmem_kind(16 * MIB), fixed;
        NEED(memkind_create_fixed(memory, 4 * MIB, &fixed) == 0);
        void *blocks[64];
        for (unsigned i = 0; i < 64; i++) {
            memkind_t kind = i % 2 ? pmem : fixed;
            size_t size = sizes[(i + round) % 4] / (i % 2 ? 1 : 2) + 1;
            blocks[i] = memkind_malloc(kind, size);
            NEED(blocks[i]);
            memset(blocks[i], 1, size);
            NEED(memkind_detect_kind(blocks[i]) == kind);
        }
        for (unsigned i = 0; i < 64; i += 3)
            memkind_free(NULL, blocks[i]);
        NEED(memkind_destroy_kind(pmem) == 0);
        NEED(memkind_destroy_kind(fixed) == 0);
        round++;
    }
    munmap(memory, 4 * MIB);
    return NULL;
}

static memkind_t shared;
static int served;
static pthread_barrier_t all;

static void *ask(void *unused) {
    (void)unused;
    pthread_barrier_wait(&all);
    int good = 1;
    for (size_t size = 16; size < 4096; size *= 2)
        good &= memkind_malloc(shared, size) != NULL;
    __atomic_fetch_add(&served, good, __ATOMIC_RELAXED);
    pthread_barrier_wait(&all);
    return NULL;
}

/* Memory that threads free for each other. */
static void *exchange(void *slots) {
    void **places = slots;
    unsigned seed = (unsigned)(uintptr_t)pthread_self();
    for (int i = 0; i < 100000; i++) {
        seed = seed * 1103515245 + 12345;
        size_t size = seed >> 16 & 1023;
        void *mine = memkind_malloc(shared, size + 1);
        NEED(mine);
        void *other = __atomic_exchange_n(&places[seed >> 8 & 255], mine, __ATOMIC_ACQ_REL);
        memkind_free(i % 2 ? shared : NULL, other);
    }
    return NULL;
}

static void run(unsigned count, void *(*what)(void *), void *argument) {
    pthread_t threads[64];
    for (unsigned i = 0; i < count; i++)
        NEED(pthread_create(&threads[i], NULL, what, argument ? argument : (void *)(uintptr_t)i) == 0);
    for (unsigned i = 0; i < count; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}

int main(int count, char **arguments) {
    int descriptors = open_descriptors();
    until = time(NULL) + (count > 1 ? atoi(arguments[1]) : 0);
    run(10, come_and_go, NULL);
    say("kinds that came and went: all, descriptors left %d", open_descriptors() - descriptors);
    shared = pmem_kind(16 * MIB);
    NEED(pthread_barrier_init(&all, NULL, 64) == 0);
    run(64, ask, NULL);
    say("threads served by a kind of 16 MiB: %d of 64", served);
    memkind_destroy_kind(shared);
    shared = pmem_kind(32 * MIB);
    static void *places[256];
    run(8, exchange, places);
    for (int i = 0; i < 256; i++)
        memkind_free(shared, places[i]);
    size_t left = 1;
    memkind_update_cached_stats();
    NEED(memkind_get_stat(shared, MEMKIND_STAT_TYPE_ALLOCATED, &left) == 0);
    say("blocks freed by other threads, bytes left: %zu", left);
    return 0;
}
