/* Calls from signal handlers: of a fault in the program, of signals at any moment, and of many signals from another
 * thread, whose handlers interrupt one another. */
#include "vmem.h"

#include <setjmp.h>
#include <sys/time.h>

static VMEM *pool;
static sigjmp_buf place;
static void *from_handler;
static volatile int ticks;
static void *_Atomic kept[16];

static void on_fault(int signal) {
    (void)signal;
    from_handler = vmem_malloc(pool, 1000);
    vmem_free(pool, vmem_calloc(pool, 10, 10));
    siglongjmp(place, 1);
}

static void on_tick(int signal) {
    (void)signal;
    void *block = vmem_malloc(pool, (size_t)ticks % 300 + 1);
    vmem_free(pool, __atomic_exchange_n((void **)&kept[ticks % 16], block, __ATOMIC_ACQ_REL));
    ticks++;
}

enum { SIGNALS = 5000, PLACES = 16 };
static const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGWINCH};
static _Atomic int handled, nested, served, refused, mixed_up, finished;
static _Thread_local volatile int depth;

/* Blocks that are handed from anyone to anyone. They begin with their length, and end with its low byte. */
static void *_Atomic places[PLACES];

static void exchange(unsigned *random) {
    *random = *random * 1664525 + 1013904223;
    size_t size = sizeof size + 1 + (*random >> 31 ? (*random >> 8) % 500 : (*random >> 8) % 20000);
    unsigned char *block = vmem_malloc(pool, size);
    if (!block) {
        /* A handler that interrupted the holder of the pool's lock gets none. */
        refused += depth == 0;
        return;
    }
    served += depth > 0;
    memcpy(block, &size, sizeof size);
    block[size - 1] = (unsigned char)size;
    block = __atomic_exchange_n((void **)&places[*random >> 9 & (PLACES - 1)], block, __ATOMIC_ACQ_REL);
    if (!block)
        return;
    memcpy(&size, block, sizeof size);
    mixed_up += block[size - 1] != (unsigned char)size;
    vmem_free(pool, block);
}

static void on_any(int signal) {
    static _Thread_local unsigned random = 7;
    if (depth++)
        nested++;
    exchange(&random);
    if (depth < 3)
        raise(numbers[random >> 20 & 3]);
    exchange(&random);
    depth--;
    handled++;
}

static void *work(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed;
    sigset_t all;
    sigfillset(&all);
    NEED(pthread_sigmask(SIG_UNBLOCK, &all, NULL) == 0);
    while (handled < SIGNALS)
        exchange(&random);
    NEED(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    finished++;
    return NULL;
}

static void many_signals(void) {
    for (int i = 0; i < 4; i++) {
        struct sigaction action = {.sa_handler = on_any, .sa_flags = SA_RESTART};
        NEED(sigaction(numbers[i], &action, NULL) == 0);
    }
    sigset_t all;
    sigfillset(&all);
    NEED(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    pthread_t workers[2];
    for (uintptr_t i = 0; i < 2; i++)
        NEED(pthread_create(&workers[i], NULL, work, (void *)(i + 1)) == 0);
    for (unsigned random = 3; finished < 2;) {
        random = random * 1664525 + 1013904223;
        if (handled < SIGNALS)
            pthread_kill(workers[random >> 30 & 1], numbers[random >> 20 & 3]);
        for (volatile unsigned spin = random >> 8 & 1023; spin; spin--)
            ;
    }
    for (int i = 0; i < 2; i++)
        NEED(pthread_join(workers[i], NULL) == 0);
    say("many signals: nested %s, %d mixed up, served in handlers %s, refused outside %d, checked %d", yes(nested > 0),
        mixed_up, yes(served > 0), refused, vmem_check(pool));
    for (int i = 0; i < PLACES; i++)
        vmem_free(pool, places[i]);
}

int main(void) {
    pool = small_pool();
    struct sigaction action = {.sa_handler = on_fault};
    NEED(sigaction(SIGSEGV, &action, NULL) == 0);
    if (!sigsetjmp(place, 1))
        *(volatile char *)pool = 1;
    say("in a handler of SIGSEGV: %s", yes(from_handler != NULL));
    vmem_free(pool, from_handler);

    action.sa_handler = on_tick;
    action.sa_flags = SA_RESTART;
    NEED(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval often = {{0, 50}, {0, 50}};
    NEED(setitimer(ITIMER_PROF, &often, NULL) == 0);
    void *blocks[200] = {0};
    unsigned random = 1;
    int wrong = 0;
    for (long i = 0; i < 3000000 || ticks < 20; i++) {
        random = random * 1664525 + 1013904223;
        unsigned at = (random >> 20) % 200;
        if (blocks[at] && *(unsigned *)blocks[at] != at)
            wrong++;
        vmem_free(pool, blocks[at]);
        blocks[at] = vmem_malloc(pool, (random >> 8) % 500 + 4);
        if (blocks[at])
            *(unsigned *)blocks[at] = at;
    }
    struct itimerval never = {{0, 0}, {0, 0}};
    NEED(setitimer(ITIMER_PROF, &never, NULL) == 0);
    say("in handlers that interrupt allocations: %d wrong, checked %d", wrong, vmem_check(pool));
    NEED(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
    many_signals();
    vmem_delete(pool);
    return 0;
}
