/* ALLOT_PURGE: "never", "at-once" and "1" (second). The argument says which it is. */
#include "resident.h"
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, BLOCK = 3 * MIB, BLOCKS = 40, SMALL = 1000, SMALLS = 60000 };

static char *blocks[BLOCKS], *smalls[SMALLS];

/* 120 MiB of large blocks and 57 MiB of small ones come and go; some of each stay. */
static void come_and_go(void) {
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        pattern_fill(blocks[i], BLOCK, i);
    }
    for (int i = 0; i < SMALLS; i++) {
        smalls[i] = malloc(SMALL);
        pattern_fill(smalls[i], SMALL, i);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (i % 20)
            free(blocks[i]);
    for (int i = 0; i < SMALLS; i++)
        if (i % 30000)
            free(smalls[i]);
}

/* What any program goes on with. */
static void go_on(uint32_t *state) {
    static void *live[500];
    for (int i = 0; i < 2000; i++) {
        void **slot = &live[next_random(state) % 500];
        free(*slot);
        *slot = malloc(1 + next_random(state) % 8192);
    }
}

static void end(void) {
    for (int i = 0; i < BLOCKS; i += 20) {
        CHECK_FOR(pattern_holds(blocks[i], BLOCK, i), i);
        free(blocks[i]);
    }
    for (int i = 0; i < SMALLS; i += 30000) {
        CHECK_FOR(pattern_holds(smalls[i], SMALL, i), i);
        free(smalls[i]);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    uint32_t state = 1;
    go_on(&state);
    size_t before = resident_bytes();
    come_and_go();
    size_t least = resident_bytes();
    if (strcmp(argv[1], "at-once") == 0) {
        /* The large ones went as they were freed. */
        CHECK_FOR(least < before + 80 * MIB, least);
    } else if (strcmp(argv[1], "never") == 0) {
        CHECK_FOR(least > before + 100 * MIB, least);
    }
    /* The small ones, and what decays, go while the program goes on. */
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < (argv[1][0] == 'n' ? 200 : 3000) && least > before + 30 * MIB; i++) {
        nanosleep(&pause, NULL);
        go_on(&state);
        least = resident_bytes();
    }
    if (strcmp(argv[1], "never") == 0)
        CHECK_FOR(least > before + 100 * MIB, least);
    else
        CHECK_FOR(least <= before + 30 * MIB, least);
    errno = UNTOUCHED;
    go_on(&state);
    CHECK(errno == UNTOUCHED);
    end();
    return check_result();
}
