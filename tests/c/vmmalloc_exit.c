/* The process ends while other threads allocate, free and make threads. */
#include "check.h"

#include <pthread.h>
#include <unistd.h>

static void *_Atomic places[64];

static void *never_ending(void *seed) {
    for (uint32_t state = (uint32_t)(uintptr_t)seed;;) {
        void *block = malloc(random_size(&state) % 20000);
        free(__atomic_exchange_n((void **)&places[next_random(&state) % 64], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void *short_lived(void *unused) { return malloc(100); }

static void *coming_and_going(void *unused) {
    for (;;) {
        pthread_t thread;
        void *block;
        if (pthread_create(&thread, NULL, short_lived, NULL) == 0 && pthread_join(thread, &block) == 0)
            free(block);
    }
    return NULL;
}

static void last(void) {
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i * 10));
    puts("ok");
}

int main(void) {
    atexit(last);
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, i ? never_ending : coming_and_going, (void *)(i + 1)) == 0);
    }
    usleep(2000);
    return check_failures;
}
