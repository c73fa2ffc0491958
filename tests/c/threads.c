/* Threads that allocate, verify, resize, and free what others allocated.
 * usage: threads [THREADS [STEPS]] */
#include "check.h"
#include <malloc.h>
#include <pthread.h>

enum { HELD = 64, MAILBOXES = 256 };

/* A block says itself how long it is and what it holds. */
struct block {
    uint32_t size, seed;
    unsigned char bytes[];
};

static _Atomic(struct block *) mailboxes[MAILBOXES];
static int steps = 20000;

static struct block *make(uint32_t *state) {
    uint32_t size = random_size(state), seed = next_random(state);
    size_t whole = sizeof(struct block) + size;
    struct block *b;
    switch (next_random(state) % 8) {
    case 0:
        b = calloc(1, whole);
        CHECK(b && !b->size && !b->bytes[size - 1]);
        break;
    case 1:
        b = memalign((size_t)32 << next_random(state) % 8, whole);
        break;
    default:
        b = malloc(whole);
    }
    CHECK(b != NULL);
    b->size = size;
    b->seed = seed;
    pattern_fill(b->bytes, size, seed);
    return b;
}

static struct block *resize(struct block *b, uint32_t *state) {
    uint32_t size = random_size(state), kept = b->size < size ? b->size : size;
    b = realloc(b, sizeof *b + size);
    CHECK(b && pattern_holds(b->bytes, kept, b->seed));
    b->size = size;
    pattern_fill(b->bytes, size, b->seed);
    return b;
}

static void drop(struct block *b) {
    if (b)
        CHECK(pattern_holds(b->bytes, b->size, b->seed));
    free(b);
}

static void *work(void *argument) {
    uint32_t state = 1000 + (uint32_t)(uintptr_t)argument;
    struct block *held[HELD] = {0};
    for (int i = 0; i < steps; i++) {
        struct block **slot = &held[next_random(&state) % HELD];
        uint32_t choice = next_random(&state) % 10;
        if (!*slot)
            *slot = make(&state);
        else if (choice < 4) {
            drop(*slot);
            *slot = NULL;
        } else if (choice < 6)
            *slot = resize(*slot, &state);
        else
            /* Hand it to another thread, and take what lies there. */
            *slot = atomic_exchange(&mailboxes[next_random(&state) % MAILBOXES], *slot);
    }
    for (int i = 0; i < HELD; i++)
        drop(held[i]);
    return NULL;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 64;
    if (argc > 2)
        steps = atoi(argv[2]);
    size_t before = mallinfo2().uordblks;
    pthread_t *threads = calloc(count, sizeof *threads);
    for (uintptr_t t = 0; t < (uintptr_t)count; t++)
        CHECK(pthread_create(&threads[t], NULL, work, (void *)t) == 0);
    for (int t = 0; t < count; t++)
        CHECK(pthread_join(threads[t], NULL) == 0);
    for (int i = 0; i < MAILBOXES; i++)
        drop(atomic_load(&mailboxes[i]));
    free(threads);
    CHECK(mallinfo2().uordblks < before + (1 << 20)); /* libc keeps some for the threads */
    printf("%d threads, %d steps each\n", count, steps);
    return check_result();
}
