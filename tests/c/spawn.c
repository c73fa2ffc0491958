/* posix_spawn, system, popen and vfork from threads that allocate: no handlers run, and
 * the child that shares our memory until it executes must not harm it. */
#include "check.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static atomic_int stop;

static void *churn(void *argument) {
    uint32_t state = (uint32_t)(uintptr_t)argument;
    while (!stop) {
        size_t n = random_size(&state);
        char *p = malloc(n);
        pattern_fill(p, n, 1);
        CHECK(pattern_holds(p, n, 1));
        free(p);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    for (uintptr_t t = 0; t < 3; t++)
        CHECK(pthread_create(&threads[t], NULL, churn, (void *)(t + 1)) == 0);
    for (int i = 0; i < 40; i++) {
        char *arguments[] = {"true", NULL};
        pid_t pid;
        int status = 1;
        CHECK(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        if ((pid = vfork()) == 0) {
            execlp("true", "true", (char *)NULL);
            _exit(9);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(system("exit 3") == 3 << 8);
        FILE *pipe = popen("echo spoken", "r");
        char line[20] = "";
        CHECK(pipe && fgets(line, sizeof line, pipe) && strcmp(line, "spoken\n") == 0);
        CHECK(pclose(pipe) == 0);
    }
    stop = 1;
    for (int t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    return check_result();
}
