/* A handler of SIGSEGV, which interrupts no call of malloc's, allocates and frees, and goes on elsewhere: in the
 * thread that forks, too, where the library itself takes the signal for a while. */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf place;
static char *forbidden;
static void *volatile kept;

static void handler(int signal) {
    char *block = malloc(5000);
    CHECK(block != NULL);
    memset(block, 1, 5000);
    block = realloc(block, 50000);
    CHECK(block && block[4999] == 1);
    free(kept);
    kept = block;
    siglongjmp(place, signal);
}

static void faults(void) {
    for (int i = 0; i < 1000; i++) {
        char *before = malloc((size_t)i * 7 + 1);
        before[0] = (char)i;
        if (!sigsetjmp(place, 1)) {
            *(volatile char *)forbidden = 1;
            CHECK(!"no fault");
        }
        CHECK(before[0] == (char)i);
        free(before);
    }
}

int main(void) {
    forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = handler};
    CHECK(forbidden != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0);
    faults();
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            faults();
            _exit(check_failures != 0);
        }
        faults();
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    free(kept);
    return check_result();
}
