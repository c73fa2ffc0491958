/* Sizes that no machine has: every entry point fails cleanly, with errno set. */
#include "check.h"
#include <malloc.h>

static void try_size(size_t n) {
    void *p;

#define FAILS(call)                                                                      \
    do {                                                                                 \
        errno = 0;                                                                       \
        p = (call);                                                                      \
        CHECK_FOR(p == NULL, n);                                                         \
        CHECK_FOR(errno == ENOMEM, n);                                                   \
    } while (0)

    FAILS(malloc(n));
    FAILS(calloc(1, n));
    FAILS(calloc(n, 1));
    FAILS(calloc(n, n));
    FAILS(calloc(n / 8 + 1, 16));
    FAILS(realloc(NULL, n));
    FAILS(reallocarray(NULL, 1, n));
    FAILS(reallocarray(NULL, n, 1));
    FAILS(reallocarray(NULL, n, n));
    FAILS(valloc(n));
    FAILS(pvalloc(n));
    for (size_t alignment = 8; alignment <= (size_t)1 << 21; alignment *= 2) {
        FAILS(memalign(alignment, n));
        FAILS(aligned_alloc(alignment, n));
        FAILS(aligned_alloc(alignment, n & -alignment));
        p = (void *)0x77;
        errno = UNTOUCHED;
        CHECK_FOR(posix_memalign(&p, alignment, n) == ENOMEM, n);
        CHECK_FOR(p == (void *)0x77, n);
        CHECK_FOR(errno == UNTOUCHED, n);
    }

    /* A block that cannot grow is left as it was. */
    static const size_t sizes[] = {1, 100, 5000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *q = malloc(sizes[i]);
        pattern_fill(q, sizes[i], 9);
        FAILS(realloc(q, n));
        FAILS(reallocarray(q, n, 1));
        FAILS(reallocarray(q, n, n));
        CHECK_FOR(pattern_holds(q, sizes[i], 9), n);
        free(q);
    }
}

int main(void) {
    /* Everything that rounding up could make small, on both sides of each edge. */
    for (size_t below = 0; below < 70; below++) {
        try_size(SIZE_MAX - below);
        try_size(PTRDIFF_MAX - below);
        try_size((size_t)PTRDIFF_MAX + 1 + below);
    }
    for (int bit = 3; bit < 40; bit++) {
        size_t power = (size_t)1 << bit;
        for (int around = -1; around <= 1; around++) {
            try_size(-power + around);
            try_size((size_t)PTRDIFF_MAX - power + around);
        }
    }
    for (int bit = 48; bit < 64; bit++)
        for (int around = -1; around <= 1; around++)
            try_size(((size_t)1 << bit) + around);

    /* Products that overflow to something small. */
    void *p;
    size_t n = 0;
    FAILS(calloc((SIZE_MAX >> 4) + 2, 16));
    FAILS(calloc((size_t)1 << 32, (size_t)1 << 32));
    FAILS(calloc(((size_t)1 << 32) + 1, (size_t)1 << 32));
    FAILS(reallocarray(NULL, (size_t)1 << 33, (size_t)1 << 31));
    char *q = malloc(64);
    pattern_fill(q, 64, 3);
    FAILS(reallocarray(q, (size_t)1 << 33, ((size_t)1 << 31) + 1));
    CHECK(pattern_holds(q, 64, 3));
    free(q);

    /* Alignments that no machine has. */
    for (int bit = 48; bit < 64; bit++) {
        size_t alignment = (size_t)1 << bit;
        errno = 0;
        CHECK_FOR(memalign(alignment, 64) == NULL && (errno == ENOMEM || errno == EINVAL), alignment);
        errno = 0;
        CHECK_FOR(aligned_alloc(alignment, alignment) == NULL && errno != 0, alignment);
        p = (void *)0x77;
        CHECK_FOR(posix_memalign(&p, alignment, 64) == ENOMEM && p == (void *)0x77, alignment);
    }
    errno = 0;
    CHECK(memalign(SIZE_MAX, 8) == NULL && errno != 0);
    errno = 0;
    CHECK(memalign(((size_t)1 << 63) + 1, 8) == NULL && errno != 0);

    /* And after all that, the heap still works. */
    q = malloc(1000);
    CHECK(q != NULL);
    free(q);
    return check_result();
}
