/* Forks while many threads are inside malloc. Parent and child both go on allocating.
 * usage: fork_threads [FORKS] */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6 };
static atomic_int stop;

static void churn(uint32_t seed, int steps) {
    uint32_t state = seed;
    struct { unsigned char *p; size_t n; } held[50] = {{0}};
    for (int i = 0; i < steps; i++) {
        int s = next_random(&state) % 50;
        if (held[s].p) {
            CHECK(pattern_holds(held[s].p, held[s].n, s));
            free(held[s].p);
            held[s].p = NULL;
        } else {
            held[s].n = random_size(&state) / 8 + 1;
            held[s].p = malloc(held[s].n);
            CHECK(held[s].p != NULL);
            pattern_fill(held[s].p, held[s].n, s);
        }
    }
    for (int s = 0; s < 50; s++)
        free(held[s].p);
}

static void *work(void *argument) {
    for (uint32_t round = 1; !stop; round++)
        churn(round * 64 + (uint32_t)(uintptr_t)argument, 500);
    return NULL;
}

static void *end_at_once(void *argument) {
    free(argument);
    return malloc(10);
}

/* A child has threads of its own too. */
static void child(uint32_t seed) {
    churn(seed, 1000);
    pthread_t thread;
    void *left;
    CHECK(pthread_create(&thread, NULL, end_at_once, malloc(100)) == 0);
    CHECK(pthread_join(thread, &left) == 0);
    free(left);
    void *large = calloc(1, 8 << 20);
    CHECK(large != NULL);
    free(large);
}

int main(int argc, char **argv) {
    uint32_t forks = argc > 1 ? atoi(argv[1]) : 200;
    unsigned char *mine = malloc(100000);
    pattern_fill(mine, 100000, 1);
    pthread_t threads[THREADS];
    for (uintptr_t t = 0; t < THREADS; t++)
        CHECK(pthread_create(&threads[t], NULL, work, (void *)(t + 1)) == 0);
    for (uint32_t i = 1; i <= forks; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            CHECK(pattern_holds(mine, 100000, 1));
            free(mine);
            child(i);
            if (i % 20 == 0) { /* a grandchild, and an end through exit's handlers */
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    child(i + 1);
                    _exit(check_failures != 0);
                }
                int status = 1;
                CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
                exit(check_failures != 0);
            }
            _exit(check_failures != 0);
        }
        churn(i + 7777, 300);
        int status = 1;
        CHECK_FOR(waitpid(pid, &status, 0) == pid, i);
        CHECK_FOR(status == 0, status);
    }
    stop = 1;
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    CHECK(pattern_holds(mine, 100000, 1));
    free(mine);
    return check_result();
}
