/* Signal handlers that end by an exception, or with their thread. */
#pragma GCC optimize("non-call-exceptions")
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <signal.h>
#include <stdexcept>
#include <string>

static int failures;
#define CHECK(condition)                                                                 \
    ((condition) ? (void)0                                                               \
                 : (void)(failures++, fprintf(stderr, "%s:%d: failed: %s\n", __FILE__,  \
                                              __LINE__, #condition)))

static void *volatile held;

static void throws(int signal) {
    free(malloc(100));
    throw std::runtime_error("a text that takes memory: " + std::to_string(signal));
}

static void throws_below(int, siginfo_t *info, void *) {
    struct Cleanup {
        ~Cleanup() { free(held); held = nullptr; }
    } cleanup;
    held = malloc(50);
    throws(info->si_signo);
}

static void install(int signal, int flags) {
    struct sigaction action = {};
    if (flags & SA_SIGINFO)
        action.sa_sigaction = throws_below;
    else
        action.sa_handler = throws;
    action.sa_flags = flags | SA_NODEFER;
    CHECK(sigaction(signal, &action, nullptr) == 0);
}

static int raise_and_catch() {
    int (*volatile send)(int) = raise;
    try {
        send(SIGUSR1);
    } catch (const std::runtime_error &error) {
        return std::string(error.what()).find(std::to_string(SIGUSR1)) != std::string::npos;
    }
    return 0;
}

static int fault_and_catch() {
    try {
        *(volatile int *)nullptr = 1;
    } catch (const std::runtime_error &error) {
        return 1;
    }
    return 0;
}

static int destroyed;
struct Counts {
    ~Counts() { destroyed++; }
};

static void ends_thread(int) {
    Counts counts;
    held = malloc(50);
    pthread_exit(held);
}

static void *thread(void *) {
    Counts counts;
    int (*volatile send)(int) = raise;
    free(malloc(60));
    send(SIGUSR2);
    CHECK(!"reached");
    return nullptr;
}

int main() {
    for (int flags : {0, SA_SIGINFO}) {
        install(SIGUSR1, flags);
        install(SIGSEGV, flags);
        for (int i = 0; i < 100; i++) {
            CHECK(raise_and_catch());
            CHECK(fault_and_catch());
            free(malloc(i));
        }
    }
    CHECK(held == nullptr);
    signal(SIGUSR2, ends_thread);
    for (int i = 0; i < 100; i++) {
        pthread_t id;
        void *result;
        CHECK(pthread_create(&id, nullptr, thread, nullptr) == 0);
        CHECK(pthread_join(id, &result) == 0 && result == held);
        free(result);
    }
    CHECK(destroyed == 200);
    if (failures == 0)
        puts("ok");
    return failures != 0;
}
