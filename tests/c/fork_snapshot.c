/* After a fork, what the child writes stays with the child, and what the parent writes
 * stays with the parent: also when the heap is a file that is mapped shared. */
#include "check.h"
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 400, ROUNDS = 10 };
static unsigned char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void fill_all(uint32_t seed) {
    for (int i = 0; i < BLOCKS; i++)
        pattern_fill(blocks[i], sizes[i], seed + i);
}

static int all_hold(uint32_t seed) {
    for (int i = 0; i < BLOCKS; i++)
        if (!pattern_holds(blocks[i], sizes[i], seed + i))
            return 0;
    return 1;
}

/* Every block gets a new size, some are freed and allocated anew. */
static void rebuild(uint32_t *state, uint32_t seed) {
    for (int i = 0; i < BLOCKS; i++) {
        size_t n = random_size(state);
        if (next_random(state) % 2) {
            free(blocks[i]);
            blocks[i] = malloc(n);
        } else
            blocks[i] = realloc(blocks[i], n);
        CHECK(blocks[i] != NULL);
        sizes[i] = n;
    }
    fill_all(seed);
}

static void tell(int fd) { CHECK(write(fd, "x", 1) == 1); }
static void await(int fd) {
    char byte;
    CHECK(read(fd, &byte, 1) == 1);
}

int main(void) {
    uint32_t state = 31;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(sizes[i] = random_size(&state));
    fill_all(1);
    for (int round = 0; round < ROUNDS; round++) {
        int to_child[2], to_parent[2];
        CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
        uint32_t seed = 1000 * round + 1;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            await(to_child[0]); /* the parent has changed everything */
            CHECK(all_hold(seed));
            fill_all(seed + 500);
            tell(to_parent[1]);
            await(to_child[0]); /* the parent has rebuilt everything */
            CHECK(all_hold(seed + 500));
            rebuild(&state, seed + 600);
            tell(to_parent[1]);
            await(to_child[0]);
            CHECK(all_hold(seed + 600));
            if (round % 3 == 0) { /* and once more, one generation on */
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    CHECK(all_hold(seed + 600));
                    rebuild(&state, seed + 700);
                    _exit(check_failures != 0 || !all_hold(seed + 700));
                }
                fill_all(seed + 800);
                int status = 1;
                CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
                CHECK(all_hold(seed + 800));
            }
            for (int i = 0; i < BLOCKS; i++)
                free(blocks[i]);
            _exit(check_failures != 0);
        }
        fill_all(seed + 100);
        tell(to_child[1]);
        await(to_parent[0]); /* the child has changed everything */
        CHECK(all_hold(seed + 100));
        rebuild(&state, seed + 200);
        tell(to_child[1]);
        await(to_parent[0]); /* the child has rebuilt everything */
        CHECK(all_hold(seed + 200));
        tell(to_child[1]);
        int status = 1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_FOR(status == 0, status);
        CHECK(all_hold(seed + 200));
        fill_all(seed + 1000);
        for (int end = 0; end < 2; end++) {
            close(to_child[end]);
            close(to_parent[end]);
        }
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return check_result();
}
