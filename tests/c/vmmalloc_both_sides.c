/* At a fork with threads running, child and parent each go on with their own pool: neither ever sees
 * what the other writes later. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 300, ROUNDS = 12 };

static atomic_int stop;

/* Allocates, frees and never touches the blocks that are looked at. */
static void *busy(void *seed) {
    uint32_t state = (uint32_t)(uintptr_t)seed;
    void *mine[50] = {0};
    while (!stop) {
        unsigned at = next_random(&state) % 50;
        free(mine[at]);
        mine[at] = malloc(random_size(&state) % 5000);
    }
    for (int i = 0; i < 50; i++)
        free(mine[i]);
    return NULL;
}

static unsigned char *blocks[BLOCKS];

static int all_are(int byte) {
    for (int i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < 64 + (size_t)i * 50; k += 61)
            if (blocks[i][k] != byte)
                return 0;
    return 1;
}

static void set_all(int byte) {
    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i], byte, 64 + (size_t)i * 50);
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(64 + (size_t)i * 50);
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, busy, (void *)(i + 1));
    for (int round = 1; round <= ROUNDS; round++) {
        set_all(round);
        int to_child[2], to_parent[2];
        CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
        char byte = 0;
        pid_t child = fork();
        if (child == 0) {
            CHECK(all_are(round));
            set_all(100);
            for (int i = 0; i < 1000; i++)
                free(malloc((size_t)i * 3));
            CHECK(write(to_parent[1], "x", 1) == 1 && read(to_child[0], &byte, 1) == 1);
            CHECK(all_are(100));
            _exit(check_failures != 0);
        }
        CHECK(child > 0);
        CHECK(read(to_parent[0], &byte, 1) == 1);
        CHECK(all_are(round));
        set_all(50);
        CHECK(write(to_child[1], "x", 1) == 1);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(all_are(50));
        close(to_child[0]), close(to_child[1]), close(to_parent[0]), close(to_parent[1]);
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return check_result();
}
