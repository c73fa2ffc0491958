/* A signal handler that interrupts malloc allocates, resizes and frees, also what the
 * interrupted thread allocated. C does not ask for this; a hang is no answer all the same. */
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

enum { SIGNALS = 5000 };
static volatile sig_atomic_t signals;
static atomic_int stop;
static pthread_t main_thread;
static void *volatile from_main, *volatile from_handler;

static void handler(int signal) {
    static uint32_t state = 17;
    int saved = errno;
    size_t n = random_size(&state) / 16 + 1;
    unsigned char *p = malloc(n);
    CHECK(p != NULL);
    pattern_fill(p, n, 5);
    p = realloc(p, n * 2);
    CHECK(p && pattern_holds(p, n, 5) && malloc_usable_size(p) >= n * 2);
    if (from_main) {
        free(from_main);
        from_main = NULL;
    }
    if (!from_handler)
        from_handler = p;
    else
        free(p);
    p = calloc(1, 200);
    CHECK(p && !p[0] && !p[199]);
    free(p);
    signals++;
    errno = saved;
}

static void *send_signals(void *unused) {
    uint32_t state = 3;
    while (!stop) {
        pthread_kill(main_thread, SIGUSR1);
        for (volatile uint32_t spin = next_random(&state) % 5000; spin; spin--)
            ;
    }
    return NULL;
}

static void *churn(void *argument) {
    uint32_t state = (uint32_t)(uintptr_t)argument;
    while (!stop)
        free(malloc(random_size(&state) / 16));
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    main_thread = pthread_self();
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_t threads[2];
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    pthread_create(&threads[0], NULL, send_signals, NULL);
    pthread_create(&threads[1], NULL, churn, (void *)1);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);

    struct { unsigned char *p; size_t n; } held[64] = {{0}};
    uint32_t state = 23;
    while (signals < SIGNALS) {
        int s = next_random(&state) % 64;
        CHECK(pattern_holds(held[s].p, held[s].n, s));
        free(held[s].p);
        held[s].n = random_size(&state) / 16 + 1;
        held[s].p = malloc(held[s].n);
        CHECK(held[s].p != NULL);
        pattern_fill(held[s].p, held[s].n, s);
        if (!from_main)
            from_main = malloc(100);
        if (from_handler) {
            void *p = from_handler;
            free(p);
            from_handler = NULL;
        }
    }
    stop = 1;
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    for (int s = 0; s < 64; s++) {
        CHECK(pattern_holds(held[s].p, held[s].n, s));
        free(held[s].p);
    }
    return check_result();
}
