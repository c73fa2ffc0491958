/* What threads got while they allocated at the same time. */
#ifndef HANDED_OUT_H
#define HANDED_OUT_H

#include <stdlib.h>

static inline int by_address(const void *one, const void *other) {
    char *a = *(char **)one, *b = *(char **)other;
    return (a > b) - (a < b);
}

struct handed_out {
    int refused;
    int twice;
};

/* Counts null pointers, and blocks that are there again. Sorts the blocks by address. */
static inline struct handed_out sort_and_count(void **blocks, size_t count) {
    struct handed_out found = {0, 0};
    qsort(blocks, count, sizeof *blocks, by_address);
    for (size_t i = 0; i < count; i++) {
        found.refused += !blocks[i];
        found.twice += i && blocks[i] && blocks[i] == blocks[i - 1];
    }
    return found;
}

#endif
