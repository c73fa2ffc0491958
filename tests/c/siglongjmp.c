/* Signal handlers that are left by siglongjmp: on the usual and on an alternate stack, out of
 * several of them at once, after a stack overflow, at any moment outside of malloc. The heap goes
 * on before, in and after them. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROUNDS = 500, HELD = 64, STACK = 65536 };

static _Thread_local sigjmp_buf outside, in_handler;
static _Thread_local void *volatile from_handler;
static _Thread_local volatile sig_atomic_t handled;

/* Blocks that live through all of it. */
struct held { unsigned char *p; size_t n; };
static _Thread_local struct held held[HELD];
static _Thread_local uint32_t state;

static void turn_over(int slots) {
    while (slots--) {
        int s = next_random(&state) % HELD;
        CHECK(pattern_holds(held[s].p, held[s].n, s));
        free(held[s].p);
        held[s].n = random_size(&state) / 64 + 1;
        held[s].p = malloc(held[s].n);
        CHECK(held[s].p != NULL);
        pattern_fill(held[s].p, held[s].n, s);
    }
}

static void leave(int signal) {
    handled++;
    turn_over(3);
    from_handler = malloc(50);
    siglongjmp(outside, signal);
}

static void leave_for_handler(int signal) {
    turn_over(2);
    siglongjmp(in_handler, signal);
}

/* Is interrupted by SIGUSR2, whose handler comes back here, before it leaves as well, or returns. */
static void detour(int signal) {
    turn_over(1);
    if (sigsetjmp(in_handler, 1) == 0) {
        raise(SIGUSR2);
        CHECK(!"reached");
    }
    turn_over(1);
    if (handled++ & 1)
        siglongjmp(outside, signal);
}

static void pass_on(int signal) {
    turn_over(1);
    raise(SIGUSR2);
    CHECK(!"reached");
}

static void install(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

/* Deeper than the place to which the handler jumps. */
static __attribute__((noinline)) int raise_below(int depth, int signal) {
    volatile char frame[400];
    frame[0] = depth;
    turn_over(1);
    int result = depth ? raise_below(depth - 1, signal) : raise(signal);
    return result + frame[0] - depth;
}

static void rounds(void) {
    for (volatile int i = 0; i < ROUNDS; i++) {
        int jumped = sigsetjmp(outside, 1);
        if (!jumped)
            raise_below(i % 20, SIGUSR1);
        free(from_handler);
        from_handler = NULL;
        turn_over(4);
    }
}

static _Thread_local char *alternate;

static void set_alternate(int on) {
    stack_t stack = {.ss_sp = alternate, .ss_size = STACK, .ss_flags = on ? 0 : SS_DISABLE};
    CHECK(sigaltstack(&stack, NULL) == 0);
}

static void *all_kinds(void *seed) {
    state = (uint32_t)(uintptr_t)seed;
    alternate = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set_alternate(1);
    rounds();
    set_alternate(0);
    rounds();
    for (int s = 0; s < HELD; s++) {
        CHECK(pattern_holds(held[s].p, held[s].n, s));
        free(held[s].p);
        held[s].p = NULL;
        held[s].n = 0;
    }
    munmap(alternate, STACK);
    return NULL;
}

static void in_two_threads(void (*first)(int), void (*second)(int), int flags, int flags2) {
    install(SIGUSR1, first, flags);
    install(SIGUSR2, second, flags2);
    pthread_t thread;
    pthread_create(&thread, NULL, all_kinds, (void *)5);
    all_kinds((void *)7);
    pthread_join(thread, NULL);
}

/* A stack that has come to its end. */
static __attribute__((noinline)) int overflow(int n) {
    volatile char frame[4096];
    frame[n % 4096] = n;
    if (n % 100 == 0)
        turn_over(1);
    return overflow(n + 1) + frame[n % 4096];
}

static void *overflows(void *unused) {
    state = 11;
    alternate = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set_alternate(1);
    for (volatile int i = 0; i < 20; i++) {
        if (!sigsetjmp(outside, 1))
            overflow(0);
        free(from_handler);
        turn_over(4);
    }
    CHECK(handled == 20);
    set_alternate(0);
    return NULL;
}

/* At any moment: the handler leaves when it does not interrupt malloc or free, else it returns. */
static _Thread_local volatile sig_atomic_t may_leave;
static void tick(int signal) {
    free(malloc(300));
    handled++;
    if (may_leave) {
        may_leave = 0;
        siglongjmp(outside, signal);
    }
}

static atomic_int stop;
static pthread_t main_thread;
static void *send_signals(void *unused) {
    uint32_t state = 3;
    while (!stop) {
        pthread_kill(main_thread, SIGUSR1);
        for (volatile uint32_t spin = next_random(&state) % 5000; spin; spin--)
            ;
    }
    return NULL;
}

static void at_any_moment(int flags) {
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    stop = handled = 0;
    install(SIGUSR1, tick, flags);
    main_thread = pthread_self();
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    pthread_create(&thread, NULL, send_signals, NULL);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    volatile int left = 0;
    while (left < 200) {
        if (sigsetjmp(outside, 1)) {
            left++;
        } else {
            may_leave = 1;
            for (volatile int spin = 0; spin < 20000; spin++)
                ;
            may_leave = 0;
        }
        turn_over(20);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

int main(void) {
    for (int flags = 0, round = 0; round < 2; flags = SA_NODEFER, round++) {
        in_two_threads(leave, leave, flags, 0);
        in_two_threads(leave, leave, flags | SA_ONSTACK, 0);
        in_two_threads(detour, leave_for_handler, flags, 0);
        in_two_threads(detour, leave_for_handler, flags | SA_ONSTACK, SA_ONSTACK);
        in_two_threads(detour, leave_for_handler, flags, SA_ONSTACK);
        in_two_threads(pass_on, leave, flags, 0);
        in_two_threads(pass_on, leave, flags, SA_ONSTACK);
        in_two_threads(pass_on, leave, flags | SA_ONSTACK, 0);
    }
    install(SIGSEGV, leave, SA_ONSTACK);
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 20);
    pthread_create(&thread, &small, overflows, NULL);
    pthread_join(thread, NULL);
    signal(SIGSEGV, SIG_DFL);
    state = 13;
    alternate = malloc(STACK);
    at_any_moment(0);
    set_alternate(1);
    at_any_moment(SA_ONSTACK);
    set_alternate(0);
    return check_result();
}
