/* Signal handlers that interrupt malloc, free and one another, on two stacks, in two threads. All
 * of them allocate, and free what others allocated. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { SIGNALS = 3000, PLACES = 16, STACK = 256 * 1024 };
static const int signals[] = {SIGUSR1, SIGUSR2, 35, 36};
static atomic_int handled, finished, nested;
static _Thread_local volatile sig_atomic_t depth;

/* Blocks that are handed from anyone to anyone. The first bytes say how long they are. */
static _Atomic(unsigned char *) places[PLACES];

static void exchange(uint32_t *state) {
    size_t n = sizeof n + random_size(state) / 32;
    unsigned char *p = malloc(n);
    CHECK(p != NULL);
    memcpy(p, &n, sizeof n);
    pattern_fill(p + sizeof n, n - sizeof n, 9);
    p = atomic_exchange(&places[next_random(state) % PLACES], p);
    if (!p)
        return;
    memcpy(&n, p, sizeof n);
    CHECK(pattern_holds(p + sizeof n, n - sizeof n, 9));
    if (next_random(state) % 4 == 0) {
        p = realloc(p, 2 * n);
        CHECK(p && pattern_holds(p + sizeof n, n - sizeof n, 9));
    }
    free(p);
}

static void handler(int signal, siginfo_t *info, void *context) {
    static _Thread_local uint32_t state = 77;
    int saved = errno;
    if (depth++)
        nested++;
    CHECK(info->si_signo == signal);
    exchange(&state);
    /* One that does not wait for the end of this one. */
    if (depth < 3)
        raise(signals[next_random(&state) % 4]);
    exchange(&state);
    depth--;
    handled++;
    errno = saved;
}

static pthread_t workers[2];
static void *work(void *seed) {
    uint32_t state = (uint32_t)(uintptr_t)seed;
    stack_t stack = {.ss_sp = malloc(STACK), .ss_size = STACK};
    CHECK(sigaltstack(&stack, NULL) == 0);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    while (handled < SIGNALS)
        exchange(&state);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);
    free(stack.ss_sp);
    finished++;
    return NULL;
}

int main(void) {
    for (int s = 0; s < 4; s++) {
        struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
        if (s & 1)
            action.sa_flags |= SA_ONSTACK;
        if (s & 2)
            sigfillset(&action.sa_mask);
        CHECK(sigaction(signals[s], &action, NULL) == 0);
    }
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (uintptr_t t = 0; t < 2; t++)
        pthread_create(&workers[t], NULL, work, (void *)(t + 1));
    uint32_t state = 3;
    while (finished < 2) {
        pthread_kill(workers[next_random(&state) % 2], signals[next_random(&state) % 4]);
        usleep(20);
    }
    for (int t = 0; t < 2; t++)
        pthread_join(workers[t], NULL);
    CHECK(nested > 0);
    for (int p = 0; p < PLACES; p++)
        free(places[p]);
    return check_result();
}
