/* Calls from signal handlers: of a fault in the program, and of signals at any moment. */
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
    vmem_delete(pool);
    return 0;
}
