/* A fork whose child cannot have a copy of the pool in the pool's directory, which is gone, or full. Arguments: the
 * directory, MiB in use, and whether it is removed first. Says how the child ended. */
#include "check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments) {
    CHECK(count == 4);
    size_t size = (size_t)atoi(arguments[2]) << 20;
    char *block = malloc(size);
    CHECK(block != NULL);
    memset(block, 3, size);
    if (!strcmp(arguments[3], "remove"))
        CHECK(rmdir(arguments[1]) == 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 1000; i++)
            free(malloc((size_t)i * 10));
        _exit(block[0] != 3 || block[size - 1] != 3);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    /* The parent goes on. */
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i * 10));
    for (size_t i = 0; i < size; i += 999)
        CHECK(block[i] == 3);
    free(block);
    printf("child: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : status ? "wrong" : "goes on");
    return check_result();
}
