/* Fills the pool to the end, by several sizes: NULL with ENOMEM, never a signal; then all
 * is given back and the largest block is there again. The caller bounds the pool.
 * usage: exhaust LEAST_MIB: how much must have been had in blocks of 64 KiB */
#include "check.h"
#include <malloc.h>

struct link {
    struct link *next;
};

/* Takes blocks until there are none; returns how many bytes it got. */
static size_t take_all(struct link **chain, size_t size) {
    size_t taken = 0;
    errno = 0;
    for (struct link *p; (p = malloc(size)); taken += size) {
        memset(p, 0x5c, size);
        p->next = *chain;
        *chain = p;
    }
    CHECK_FOR(errno == ENOMEM, size);
    return taken;
}

static void drop_all(struct link *chain) {
    while (chain) {
        struct link *next = chain->next;
        free(chain);
        chain = next;
    }
}

int main(int argc, char **argv) {
    size_t least = strtoul(argv[1], NULL, 10) << 20;
    static const size_t sizes[] = {65536, 1 << 20, 4000, 64};
    size_t first = 0;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct link *chain = NULL;
            size_t taken = take_all(&chain, sizes[i]);
            if (i == 0 && round == 0) {
                CHECK_FOR(taken >= least, taken);
                first = taken;
            }
            /* Nothing is lost from one round to the next, but for gaps where empty slabs were kept. */
            if (i == 0)
                CHECK_FOR(taken * 50 >= first * 49, taken);
            /* Full: every entry point says so, and what is there stays. */
            void *p = (void *)0x77;
            errno = 0;
            CHECK(calloc(1, 8 << 20) == NULL && errno == ENOMEM);
            errno = 0;
            CHECK(realloc(chain, 8 << 20) == NULL && errno == ENOMEM);
            errno = 0;
            CHECK(memalign(4096, 8 << 20) == NULL && errno == ENOMEM);
            CHECK(posix_memalign(&p, 64, 8 << 20) == ENOMEM && p == (void *)0x77);
            drop_all(chain);
        }
    void *large = malloc(first / 10 * 9);
    CHECK(large != NULL);
    free(large);
    return check_result();
}
