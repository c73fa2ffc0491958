/* realloc and reallocarray keep what the block held. */
#include "check.h"
#include <malloc.h>

int main(void) {
    /* One block through many sizes, alone and with neighbours on both sides. */
    for (int neighbours = 0; neighbours < 2; neighbours++) {
        uint32_t state = 5 + neighbours;
        size_t n = 1;
        unsigned char *p = malloc(n);
        void *around[64] = {0};
        pattern_fill(p, n, 77);
        for (int i = 0; i < 4000; i++) {
            size_t m = random_size(&state);
            p = i % 2 ? realloc(p, m) : reallocarray(p, m, 1);
            CHECK_FOR(p && malloc_usable_size(p) >= m, m);
            CHECK_FOR(pattern_holds(p, n < m ? n : m, 77), m);
            pattern_fill(p, m, 77);
            n = m;
            if (neighbours) {
                free(around[i % 64]);
                around[i % 64] = malloc(random_size(&state));
            }
        }
        free(p);
        for (int i = 0; i < 64; i++)
            free(around[i]);
    }

    /* Growing by one byte, and by doubling; shrinking the same way. */
    unsigned char *p = NULL;
    for (size_t n = 1; n < 20000; n++) {
        p = realloc(p, n);
        p[n - 1] = (unsigned char)n;
    }
    for (size_t n = 1; n < 20000; n++)
        CHECK_FOR(p[n - 1] == (unsigned char)n, n);
    for (size_t n = 19999; n > 0; n--) {
        p = realloc(p, n);
        CHECK_FOR(p[n - 1] == (unsigned char)n, n);
    }
    for (size_t n = 1; n <= (64 << 20); n *= 2) {
        p = realloc(p, n);
        CHECK_FOR(p && (n < 2 || p[0] == 1), n);
        p[0] = 1;
        p[n - 1] = 1;
    }
    for (size_t n = 64 << 20; n >= 1; n /= 3) {
        p = realloc(p, n);
        CHECK_FOR(p && p[0] == 1, n);
    }
    free(p);

    /* Many blocks that take turns. */
    enum { SLOTS = 500 };
    struct { unsigned char *p; size_t n; } slots[SLOTS] = {{0}};
    uint32_t state = 99;
    for (int i = 0; i < 50000; i++) {
        int s = next_random(&state) % SLOTS;
        size_t m = random_size(&state) / 4 + 1, kept = slots[s].n < m ? slots[s].n : m;
        slots[s].p = realloc(slots[s].p, m);
        CHECK_FOR(slots[s].p && pattern_holds(slots[s].p, kept, s), m);
        pattern_fill(slots[s].p, m, s);
        slots[s].n = m;
    }
    for (int s = 0; s < SLOTS; s++) {
        CHECK_FOR(pattern_holds(slots[s].p, slots[s].n, s), s);
        free(slots[s].p);
    }

    /* NULL, and nothing. */
    p = realloc(NULL, 100);
    CHECK(p != NULL);
    CHECK(realloc(p, 0) == NULL); /* freed: the same size can be had again and again */
    void *zero = realloc(NULL, 0), *other = malloc(0);
    CHECK(zero && other && zero != other);
    CHECK(malloc_usable_size(NULL) == 0);
    free(zero);
    free(other);
    free(NULL);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 100000; i++)
        CHECK(realloc(malloc(1000), 0) == NULL);
    CHECK(mallinfo2().uordblks < before + 100000);
    return check_result();
}
