/* Signal handlers are what the program installed, as far as it can tell: every flag, mask and
 * query of sigaction, signal and their relatives. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

typedef void (*handler_t)(int);
handler_t ssignal(int, handler_t), bsd_signal(int, handler_t), __sysv_signal(int, handler_t);

enum { RESTORER = 0x04000000 };
static volatile sig_atomic_t calls, depth, deepest, last;
static char alternate[65536];
static void *volatile place;

static void plain(int signal) {
    char here;
    place = &here;
    last = signal;
    calls++;
    if (++depth > deepest)
        deepest = depth;
    free(malloc(100));
    if (calls == 1)
        raise(signal);
    depth--;
}

static void other(int signal) { last = -signal; }

static siginfo_t info;
static ucontext_t context;
static void with_info(int signal, siginfo_t *i, void *c) {
    info = *i;
    memcpy(&context, c, offsetof(ucontext_t, uc_sigmask) + sizeof context.uc_sigmask);
    last = signal;
    calls++;
}

static int on_alternate(void) {
    return (char *)place >= alternate && (char *)place < alternate + sizeof alternate;
}

static void install(int signal, void *handler, int flags) {
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = handler;
    CHECK(sigaction(signal, &action, NULL) == 0);
    calls = depth = deepest = last = 0;
}

static handler_t installed(int signal, int *flags) {
    struct sigaction action;
    memset(&action, 0xff, sizeof action);
    CHECK(sigaction(signal, NULL, &action) == 0);
    if (flags)
        *flags = action.sa_flags & ~RESTORER;
    return action.sa_handler;
}

static void every_combination_of_flags(void) {
    static const int flags[] = {SA_SIGINFO, SA_RESTART, SA_NODEFER, SA_ONSTACK,
                                SA_RESETHAND, SA_NOCLDSTOP, SA_NOCLDWAIT};
    struct sigaction before = {.sa_handler = SIG_DFL};
    CHECK(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
    for (int set = 0; set < 1 << 7; set++) {
        struct sigaction action = {0}, answer;
        for (int bit = 0; bit < 7; bit++)
            if (set >> bit & 1)
                action.sa_flags |= flags[bit];
        if (set & 1)
            action.sa_sigaction = with_info;
        else
            action.sa_handler = set & 2 ? plain : other;
        for (int signal = 1; signal < 65; signal += 1 + set % 5)
            if (signal != 32 && signal != 33)
                sigaddset(&action.sa_mask, signal);
        struct sigaction given = action;
        CHECK(sigaction(SIGUSR1, &action, &answer) == 0);
        CHECK_FOR(!memcmp(&given, &action, sizeof given), set);
        CHECK_FOR(answer.sa_handler == before.sa_handler, set);
        if (set) {
            CHECK_FOR((answer.sa_flags & ~RESTORER) == before.sa_flags, set);
        }
        CHECK(sigaction(SIGUSR1, NULL, &answer) == 0);
        CHECK_FOR(answer.sa_handler == action.sa_handler, set);
        CHECK_FOR((answer.sa_flags & ~RESTORER) == action.sa_flags, set);
        /* The kernel leaves out what cannot be blocked. */
        for (int signal = 1; signal < 65; signal++)
            if (signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33)
                CHECK_FOR(sigismember(&answer.sa_mask, signal) ==
                              sigismember(&action.sa_mask, signal), set);
        /* One place for both. */
        struct sigaction both = {.sa_handler = other};
        CHECK(sigaction(SIGUSR1, &both, &both) == 0);
        CHECK_FOR(both.sa_handler == action.sa_handler, set);
        CHECK(sigaction(SIGUSR1, &both, NULL) == 0);
        CHECK_FOR(installed(SIGUSR1, NULL) == action.sa_handler, set);
        before = action;
    }
}

static void every_signal(void) {
    for (int signal = -1; signal <= 66; signal++) {
        struct sigaction action = {.sa_handler = other}, was, answer;
        errno = 0;
        if (signal < 1 || signal > 64 || signal == 32 || signal == 33) {
            CHECK_FOR(sigaction(signal, &action, NULL) == -1 && errno == EINVAL, signal);
            errno = 0;
            CHECK_FOR(sigaction(signal, NULL, &answer) == -1 && errno == EINVAL, signal);
            errno = 0;
            CHECK_FOR((signal < 1 || signal > 64) ==
                          (ssignal(signal, other) == SIG_ERR && errno == EINVAL) ||
                      signal == 32 || signal == 33, signal);
        } else if (signal == SIGKILL || signal == SIGSTOP) {
            CHECK_FOR(sigaction(signal, &action, NULL) == -1 && errno == EINVAL, signal);
            CHECK_FOR(installed(signal, NULL) == SIG_DFL, signal);
        } else {
            CHECK_FOR(sigaction(signal, &action, &was) == 0 && errno == 0, signal);
            CHECK_FOR(installed(signal, NULL) == other, signal);
            CHECK_FOR(sigaction(signal, &was, &answer) == 0, signal);
            CHECK_FOR(answer.sa_handler == other, signal);
            CHECK_FOR(installed(signal, NULL) == was.sa_handler, signal);
        }
    }
    errno = 0;
    CHECK(signal(SIGUSR1, SIG_ERR) == SIG_ERR && errno == EINVAL);
}

static void delivery(void) {
    /* A handler that raises its own signal is called again at its end, or at once. */
    install(SIGUSR1, plain, 0);
    raise(SIGUSR1);
    CHECK(calls == 2 && deepest == 1 && last == SIGUSR1);
    install(SIGUSR1, plain, SA_NODEFER);
    raise(SIGUSR1);
    CHECK(calls == 2 && deepest == 2);
    install(SIGUSR1, plain, SA_RESETHAND);
    calls = 1;
    raise(SIGUSR1);
    int flags;
    CHECK(calls == 2 && installed(SIGUSR1, &flags) == SIG_DFL && flags == SA_RESETHAND);

    /* What was sent along, and what was interrupted. */
    install(SIGUSR1, with_info, SA_SIGINFO);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 4711});
    CHECK(calls == 1 && info.si_signo == SIGUSR1 && info.si_code == SI_QUEUE);
    CHECK(info.si_value.sival_int == 4711 && info.si_pid == getpid());
    sigset_t usr2;
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, NULL);
    raise(SIGUSR1);
    CHECK(sigismember(&context.uc_sigmask, SIGUSR2) == 1);
    CHECK(sigismember(&context.uc_sigmask, SIGUSR1) == 0);
    sigprocmask(SIG_UNBLOCK, &usr2, NULL);

    /* The mask. */
    struct sigaction action = {.sa_handler = plain};
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    install(SIGUSR2, other, 0);
    calls = 1;
    raise(SIGUSR1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));

    /* The stack. */
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, NULL) == 0);
    install(SIGUSR1, plain, 0);
    raise(SIGUSR1);
    CHECK(calls == 2 && !on_alternate());
    install(SIGUSR1, plain, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(calls == 2 && on_alternate());
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);

    /* No handler. */
    install(SIGUSR1, SIG_IGN, 0);
    raise(SIGUSR1);
    CHECK(installed(SIGUSR1, NULL) == SIG_IGN);
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
    CHECK(signal(SIGUSR1, plain) == SIG_DFL);
}

static unsigned char *page;
static void open_page(int signal, siginfo_t *i, void *c) {
    CHECK(signal == SIGSEGV && i->si_addr == page + 100);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    calls++;
}

static void faults(void) {
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    install(SIGSEGV, open_page, SA_SIGINFO);
    page[100] = 7;
    CHECK(calls == 1 && page[100] == 7);
    signal(SIGSEGV, SIG_DFL);
    munmap(page, 4096);
}

static int ends[2];
static void *interrupt(void *thread) {
    for (int i = 0; i < 20; i++) {
        usleep(2000);
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
    }
    CHECK(write(ends[1], "x", 1) == 1);
    return NULL;
}

static int read_is_interrupted(void) {
    pthread_t self = pthread_self(), thread;
    char byte;
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    CHECK(pipe(ends) == 0);
    pthread_create(&thread, NULL, interrupt, &self);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    int interrupted = read(ends[0], &byte, 1) == -1 && errno == EINTR;
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
    return interrupted;
}

static void relatives(void) {
    int flags;
    install(SIGUSR1, SIG_DFL, 0);
    CHECK(signal(SIGUSR1, other) == SIG_DFL);
    CHECK(installed(SIGUSR1, &flags) == other && flags == SA_RESTART);
    CHECK(!read_is_interrupted());
    siginterrupt(SIGUSR1, 1);
    CHECK(installed(SIGUSR1, &flags) == other && flags == 0);
    CHECK(read_is_interrupted());
    CHECK(signal(SIGUSR1, plain) == other);
    CHECK(installed(SIGUSR1, &flags) == plain && flags == 0);
    siginterrupt(SIGUSR1, 0);
    CHECK(bsd_signal(SIGUSR1, other) == plain);
    CHECK(installed(SIGUSR1, &flags) == other && flags == SA_RESTART);
    CHECK(ssignal(SIGUSR1, plain) == other);
    CHECK(sysv_signal(SIGUSR1, other) == plain);
    CHECK(installed(SIGUSR1, &flags) == other && (flags & (SA_RESETHAND | SA_NODEFER)));
    CHECK(__sysv_signal(SIGUSR1, plain) == other);
    calls = 1;
    raise(SIGUSR1);
    CHECK(calls == 2 && installed(SIGUSR1, NULL) == SIG_DFL);

    calls = 1;
    CHECK(sigset(SIGUSR1, plain) == SIG_DFL);
    CHECK(sigset(SIGUSR1, SIG_HOLD) == plain);
    raise(SIGUSR1);
    CHECK(calls == 1);
    CHECK(sigset(SIGUSR1, other) == SIG_HOLD);
    CHECK(last == -SIGUSR1 && calls == 1);
    CHECK(sigignore(SIGUSR1) == 0);
    CHECK(sigset(SIGUSR1, plain) == SIG_IGN);
    CHECK(installed(SIGUSR1, NULL) == plain);
}

/* More handlers than a table would hold. */
#define ONE(n) static void handler_##n(int signal) { last = 1##n; }
#define TEN(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) \
               ONE(n##5) ONE(n##6) ONE(n##7) ONE(n##8) ONE(n##9)
#define HUNDRED(n) TEN(n##0) TEN(n##1) TEN(n##2) TEN(n##3) TEN(n##4) \
                   TEN(n##5) TEN(n##6) TEN(n##7) TEN(n##8) TEN(n##9)
HUNDRED(0) HUNDRED(1) HUNDRED(2)
#undef ONE
#define ONE(n) {handler_##n, 1##n},
static const struct { handler_t handler; int answer; } many[] = {HUNDRED(0) HUNDRED(1) HUNDRED(2)};

static void many_handlers(void) {
    int count = sizeof many / sizeof *many;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < count; i++) {
            handler_t before = installed(SIGUSR2, NULL);
            CHECK_FOR(signal(SIGUSR2, many[i].handler) == before, i);
            CHECK_FOR(installed(SIGUSR2, NULL) == many[i].handler, i);
            raise(SIGUSR2);
            CHECK_FOR(last == many[i].answer, i);
        }
}

/* Threads that change the same signal, while it comes. */
static atomic_int stop;
static void one(int signal) { calls++; }
static void another(int signal) { calls++; }
static void *change(void *unused) {
    for (int i = 0; i < 20000; i++) {
        handler_t before = signal(SIGUSR1, i & 1 ? one : another);
        CHECK(before == one || before == another);
    }
    stop++;
    return NULL;
}

static void races(void) {
    pthread_t threads[2];
    install(SIGUSR1, one, 0);
    for (int t = 0; t < 2; t++)
        pthread_create(&threads[t], NULL, change, NULL);
    int sent = 0;
    for (; stop < 2; sent++)
        raise(SIGUSR1);
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    CHECK(calls >= sent);
}

static void children(void) {
    int status;
    install(SIGUSR1, plain, SA_RESTART);
    calls = 1;
    pid_t child = fork();
    if (child == 0) {
        int flags, right = installed(SIGUSR1, &flags) == plain && flags == SA_RESTART;
        raise(SIGUSR1);
        right &= calls == 2;
        right &= signal(SIGUSR1, other) == plain;
        raise(SIGUSR1);
        _exit(!(right && last == -SIGUSR1));
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(installed(SIGUSR1, NULL) == plain && calls == 1);
    /* The child of vfork shares the memory, but not what is done with signals. */
    child = vfork();
    if (child == 0) {
        signal(SIGUSR1, other);
        raise(SIGUSR1);
        signal(SIGUSR1, SIG_DFL);
        _exit(installed(SIGUSR1, NULL) != SIG_DFL);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(last == -SIGUSR1);
    CHECK(installed(SIGUSR1, NULL) == plain);
    raise(SIGUSR1);
    CHECK(calls == 2 && last == SIGUSR1);
    /* A child that ends in a handler. */
    signal(SIGUSR2, _exit);
    child = vfork();
    if (child == 0) {
        raise(SIGUSR2);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == SIGUSR2);
    free(malloc(100));
}

int main(void) {
    every_combination_of_flags();
    every_signal();
    delivery();
    faults();
    relatives();
    many_handlers();
    races();
    children();
    return check_result();
}
