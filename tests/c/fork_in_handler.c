/* A program whose handlers for forks are there before the library in argv[1], and fork, as argv[3] says before the
 * fork or after it: all processes go on with the pool, which is in the directory argv[2]. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *(*create)(const char *, size_t), *(*allocate)(void *, size_t);
static int (*check)(void *);
static void *pool;
static char *block;
static int failed;

static int goes_on(void) {
    if (strcmp(block, "text"))
        return 0;
    for (int i = 0; i < 1000; i++)
        if (!allocate(pool, i * 7))
            return 0;
    return check(pool) == 1;
}

static void fork_once(void) {
    static int inside;
    if (inside++ == 0) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(!goes_on());
        failed += child < 0 || waitpid(child, &status, 0) != child || status;
    }
    inside--;
}

int main(int count, char **arguments) {
    if (count != 4)
        return 2;
    alarm(60);
    const char *when = arguments[3];
    pthread_atfork(strcmp(when, "before") ? NULL : fork_once, strcmp(when, "parent") ? NULL : fork_once,
                   strcmp(when, "child") ? NULL : fork_once);
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library)
        return 3;
    create = dlsym(library, "vmem_create");
    allocate = dlsym(library, "vmem_malloc");
    check = dlsym(library, "vmem_check");
    if (!(pool = create(arguments[2], 14 << 20)) || !(block = allocate(pool, 100)))
        return 4;
    strcpy(block, "text");
    for (int i = 0; i < 3; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(!goes_on() || failed);
        failed += child < 0 || waitpid(child, &status, 0) != child || status;
    }
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    printf("%d failed, %s, signals %s\n", failed, goes_on() ? "goes on" : "WRONG",
           sigismember(&blocked, SIGUSR1) ? "blocked" : "as before");
    return 0;
}
