/* Many threads in a pool of the least size: all are served, and what they leave is not lost. */
#include "vmem.h"

static VMEM *pool;
static pthread_barrier_t barrier;
static _Atomic int served, wrong;

static void *one_each(void *unused) {
    (void)unused;
    unsigned char *blocks[12];
    int mine = 0;
    for (int i = 0; i < 12; i++) {
        blocks[i] = vmem_malloc(pool, (size_t)16 << (i % 8));
        mine += blocks[i] != NULL;
        if (blocks[i])
            memset(blocks[i], i + 1, (size_t)16 << (i % 8));
    }
    served += mine == 12;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 12; i++) {
        if (blocks[i] && blocks[i][0] != i + 1)
            wrong++;
        vmem_free(pool, blocks[i]);
    }
    return NULL;
}

static void *short_lived(void *unused) {
    (void)unused;
    void *blocks[100];
    for (int i = 0; i < 100; i++)
        blocks[i] = vmem_malloc(pool, (size_t)(i % 20) * 37 + 8);
    for (int i = 0; i < 100; i++) {
        served += blocks[i] != NULL;
        vmem_free(pool, blocks[i]);
    }
    return NULL;
}

#define SLOTS 512
static void *_Atomic slots[SLOTS];

static void *exchange(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed * 2654435761u + 1;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525 + 1013904223;
        size_t size = (random >> 8) % 900 + 8;
        unsigned char *block = random & 1 << 30 ? vmem_malloc(pool, size) : vmem_calloc(pool, 1, size);
        if (block)
            *(size_t *)block = size;
        size_t *old = slots[(random >> 20) % SLOTS];
        old = __atomic_exchange_n((void **)&slots[(random >> 20) % SLOTS], block, __ATOMIC_ACQ_REL);
        if (old && (*old < 8 || *old > 908 || vmem_malloc_usable_size(pool, old) < *old))
            wrong++;
        if (old)
            vmem_free(pool, old);
    }
    return NULL;
}

static size_t count_of(size_t size) {
    size_t count = 0;
    void **last = NULL;
    for (void **block; (block = vmem_malloc(pool, size)); count++) {
        *block = last;
        last = block;
    }
    while (last) {
        void **next = *last;
        vmem_free(pool, last);
        last = next;
    }
    return count;
}

static void *never_ending(void *unused) {
    (void)unused;
    for (;;)
        vmem_free(pool, vmem_malloc(pool, 100));
    return NULL;
}

int main(void) {
    pool = small_pool();
    NEED(pthread_barrier_init(&barrier, NULL, 64) == 0);
    run_threads(64, one_each, NULL);
    say("64 threads at once, several sizes each: %d served, %d wrong", served, wrong);
    say("checked with 64 threads: %d", vmem_check(pool));

    size_t fresh = count_of(MIB / 2);
    served = 0;
    for (int i = 0; i < 1000; i++)
        run_threads(1, short_lived, NULL);
    say("1000 threads one after the other: %d allocations served", served);
    for (int i = 0; i < 20; i++)
        run_threads(64, short_lived, NULL);
    say("after many threads, the pool holds as much as before: %s", yes(count_of(MIB / 2) >= fresh));
    say("checked after many threads: %d", vmem_check(pool));

    wrong = 0;
    for (uintptr_t i = 0; i < 4; i++)
        run_threads(8, exchange, (void *)(i + 1));
    for (int i = 0; i < SLOTS; i++)
        vmem_free(pool, slots[i]);
    say("blocks freed by other threads: %d wrong, checked %d", wrong, vmem_check(pool));
    say("after those, the pool holds as much as before: %s", yes(count_of(MIB / 2) >= fresh));

    /* The process ends while they go on. */
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, never_ending, NULL) == 0);
        NEED(pthread_detach(thread) == 0);
    }
    usleep(1000);
    return 0;
}
