/* With VMMALLOC_FORK=0 a child has the parent's pool itself; one that executes a program does no
 * harm. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    volatile char *block = malloc(100);
    block[0] = 1;
    pid_t child = fork();
    if (child == 0) {
        block[0] = 2;
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(block[0] == 2);
    for (int i = 0; i < 5; i++) {
        child = fork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        free(malloc(1000));
    }
    return check_result();
}
