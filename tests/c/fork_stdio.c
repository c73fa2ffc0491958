/* Forks while other threads hold a stream and wait for malloc: fork takes the lock of all
 * streams after its prepare handlers ran, so a handler that holds the heap's lock hangs.
 * usage: fork_stdio [FORKS of each of two threads] */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READERS = 3, OPENERS = 3, FORKERS = 2 };
static int forks = 150;
static atomic_int stop;
static FILE *shared;

/* getline holds the stream's lock while it allocates. */
static void *read_lines(void *unused) {
    while (!stop) {
        char *line = NULL;
        size_t size = 0;
        if (getline(&line, &size, shared) < 0)
            rewind(shared);
        free(line);
    }
    return NULL;
}

/* fopen and fclose take the lock of the list of streams and allocate. */
static void *open_files(void *unused) {
    while (!stop) {
        FILE *file = fopen("/dev/null", "w");
        CHECK(file != NULL);
        fprintf(file, "%s", "text");
        fclose(file);
    }
    return NULL;
}

static void *fork_children(void *unused) {
    for (int i = 0; i < forks; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            char *line = NULL;
            size_t size = 0;
            rewind(shared);
            /* Parent and child share the file offset: a reader there may have moved it to the end. */
            int good = getline(&line, &size, shared) > 0 || feof(shared);
            free(line);
            FILE *file = fopen("/dev/null", "w");
            good = good && file && fclose(file) == 0;
            for (int k = 0; k < 100; k++)
                free(malloc(k * 50));
            _exit(good ? 0 : 1);
        }
        int status = 1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_FOR(status == 0, status);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1)
        forks = atoi(argv[1]);
    pthread_t others[READERS + OPENERS], forkers[FORKERS];
    shared = tmpfile();
    for (int i = 0; i < 500; i++)
        fprintf(shared, "%0*d\n", 1 + i % 300, i);
    rewind(shared);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&others[i], NULL, read_lines, NULL) == 0);
    for (int i = 0; i < OPENERS; i++)
        CHECK(pthread_create(&others[READERS + i], NULL, open_files, NULL) == 0);
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_create(&forkers[i], NULL, fork_children, NULL) == 0);
    for (int i = 0; i < FORKERS; i++)
        pthread_join(forkers[i], NULL);
    stop = 1;
    for (int i = 0; i < READERS + OPENERS; i++)
        pthread_join(others[i], NULL);
    return check_result();
}
