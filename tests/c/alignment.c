/* Every result is aligned: to 16 without being asked, to any power of two when asked. */
#include "check.h"
#include <malloc.h>

#define ALIGNED(p, alignment) (((uintptr_t)(p) & ((alignment) - 1)) == 0)

static void defaults(void) {
    enum { KEPT = 64 };
    void *kept[KEPT] = {0};
    uint32_t state = 1;
    for (size_t n = 0; n < 6000; n++) {
        size_t slot = n % KEPT, size = n < 5000 ? n : random_size(&state);
        free(kept[slot]);
        void *c = calloc(1, size), *r = realloc(malloc(7), size + 1);
        kept[slot] = malloc(size);
        CHECK_FOR(kept[slot] && ALIGNED(kept[slot], 16), size);
        CHECK_FOR(c && ALIGNED(c, 16), size);
        CHECK_FOR(r && ALIGNED(r, 16), size);
        free(c);
        free(r);
    }
    for (int i = 0; i < KEPT; i++)
        free(kept[i]);
}

/* One aligned block: all of it can be written, resized and freed. */
static void use_block(char *p, size_t alignment, size_t n) {
    CHECK_FOR(p != NULL, alignment);
    if (!p)
        return;
    CHECK_FOR(ALIGNED(p, alignment), alignment);
    CHECK_FOR(malloc_usable_size(p) >= n, n);
    pattern_fill(p, n, alignment);
    char *q = realloc(p, n + 100);
    CHECK_FOR(q && ALIGNED(q, 16) && pattern_holds(q, n, alignment), n);
    q = realloc(q, n / 2 + 1);
    CHECK_FOR(q && pattern_holds(q, n ? n / 2 : 0, alignment), n);
    free(q);
}

static void asked(size_t alignment) {
    static const size_t sizes[] = {0, 1, 15, 16, 17, 64, 100, 4095, 4096, 4097, 70000, 1 << 20};
    void *between = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        void *p = NULL;
        use_block(memalign(alignment, n), alignment, n);
        use_block(aligned_alloc(alignment, n), alignment, n);
        if (alignment >= sizeof(void *)) {
            CHECK_FOR(posix_memalign(&p, alignment, n) == 0, alignment);
            use_block(p, alignment, n);
        }
        free(between);
        between = malloc(24 + 16 * i); /* so that the next one starts somewhere else */
    }
    free(between);
}

int main(void) {
    defaults();
    for (size_t alignment = 1; alignment <= (size_t)4 << 20; alignment *= 2)
        asked(alignment);
    for (size_t n = 0; n < 20000; n += 777) {
        use_block(valloc(n), 4096, n);
        char *p = pvalloc(n);
        CHECK_FOR(malloc_usable_size(p) >= (n + 4095) / 4096 * 4096, n);
        use_block(p, 4096, n);
    }

    /* Arguments that are wrong. */
    static const size_t wrong[] = {0, 1, 2, 3, 4, 7, 12, 24, 48, 100, 4095, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *p = (void *)0x77;
        errno = UNTOUCHED;
        CHECK_FOR(posix_memalign(&p, wrong[i], 100) == EINVAL, wrong[i]);
        CHECK_FOR(p == (void *)0x77, wrong[i]);
        CHECK_FOR(errno == UNTOUCHED, wrong[i]);
        if (wrong[i] & (wrong[i] - 1) || wrong[i] == 0) {
            errno = 0;
            CHECK_FOR(aligned_alloc(wrong[i], 100) == NULL, wrong[i]);
            CHECK_FOR(errno == EINVAL, wrong[i]);
        }
    }
    /* memalign rounds up an alignment that is no power of two, as glibc's does. */
    for (size_t alignment = 17; alignment < 5000; alignment += 97) {
        size_t power = 32;
        while (power < alignment)
            power *= 2;
        use_block(memalign(alignment, 100), power, 100);
    }
    return check_result();
}
