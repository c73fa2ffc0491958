/* A signal handler that interrupts malloc forks. The child finishes the call that was
 * interrupted and goes on; so does the parent. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 200 };
static volatile sig_atomic_t in_child, forks, failed_forks;
static atomic_int stop;
static pthread_t main_thread;

static void handler(int signal) {
    int saved = errno;
    if (in_child || forks >= FORKS)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        in_child = 1;
        errno = saved;
        return; /* into the middle of malloc or free */
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        failed_forks++;
    forks++;
    errno = saved;
}

static void *send_signals(void *unused) {
    uint32_t state = 3;
    while (!stop) {
        pthread_kill(main_thread, SIGUSR1);
        /* Not in step with anything. */
        for (volatile uint32_t spin = next_random(&state) % 20000; spin; spin--)
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

static void step(void **held, uint32_t *state) {
    int s = next_random(state) % 32;
    size_t n = random_size(state) / 16 + 1;
    switch (next_random(state) % 4) {
    case 0:
        held[s] = realloc(held[s], n);
        break;
    case 1:
        free(held[s]);
        held[s] = calloc(1, n);
        break;
    default:
        free(held[s]);
        held[s] = malloc(n);
    }
    CHECK(held[s] != NULL);
    memset(held[s], s, n);
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    main_thread = pthread_self();
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_t threads[3];
    pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* the others do not take it */
    pthread_create(&threads[0], NULL, send_signals, NULL);
    pthread_create(&threads[1], NULL, churn, (void *)1);
    pthread_create(&threads[2], NULL, churn, (void *)2);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);

    void *held[32] = {0};
    uint32_t state = 11;
    while (forks < FORKS) {
        step(held, &state);
        if (in_child) {
            for (int i = 0; i < 500; i++)
                step(held, &state);
            for (int i = 0; i < 32; i++)
                free(held[i]);
            _exit(check_failures != 0);
        }
    }
    stop = 1;
    for (int t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    CHECK_FOR(failed_forks == 0, failed_forks);
    for (int i = 0; i < 32; i++)
        free(held[i]);
    return check_result();
}
