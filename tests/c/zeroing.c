/* calloc's memory reads as zero, whatever lay there before. */
#include "check.h"
#include <malloc.h>

static int all_zero(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return 0;
    return 1;
}

int main(void) {
    /* One size again and again over memory that was just dirtied, to the last usable byte. */
    for (size_t n = 1; n < (4 << 20); n = n * 5 / 4 + 1)
        for (int round = 0; round < 4; round++) {
            char *p = malloc(n);
            memset(p, 0xff, malloc_usable_size(p));
            free(p);
            unsigned char *q = calloc(1, n);
            CHECK_FOR(q && all_zero(q, n), n);
            memset(q, 0xee, malloc_usable_size(q));
            free(q);
            q = calloc(n / 3 + 1, 3);
            CHECK_FOR(q && all_zero(q, n / 3 * 3 + 3), n);
            free(q);
        }

    /* Blocks that lie partly over dirty and partly over fresh memory. */
    enum { SLOTS = 200 };
    struct { unsigned char *p; size_t n; } slots[SLOTS] = {{0}};
    uint32_t state = 42;
    for (int i = 0; i < 60000; i++) {
        int s = next_random(&state) % SLOTS;
        if (slots[s].p) {
            memset(slots[s].p, 0xdd, malloc_usable_size(slots[s].p));
            free(slots[s].p);
            slots[s].p = NULL;
        } else {
            slots[s].n = random_size(&state);
            slots[s].p = calloc(slots[s].n, 1);
            CHECK_FOR(slots[s].p && all_zero(slots[s].p, slots[s].n), slots[s].n);
        }
    }
    for (int s = 0; s < SLOTS; s++)
        free(slots[s].p);

    /* Nothing is a size too. */
    void *a = calloc(0, 10), *b = calloc(10, 0), *c = calloc(0, SIZE_MAX), *d = calloc(SIZE_MAX, 0);
    CHECK(a && b && c && d && a != b && b != c && c != d);
    free(a);
    free(b);
    free(c);
    free(d);

    /* After malloc_trim took pages away, and after a heap that shrank and grew. */
    void *many[300];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++) {
            many[i] = malloc(50000);
            memset(many[i], 0xaa, 50000);
        }
        for (int i = 0; i < 300; i++)
            free(many[i]);
        malloc_trim(0);
        unsigned char *big = calloc(1, 300 * 40000);
        CHECK(big && all_zero(big, 300 * 40000));
        free(big);
    }
    return check_result();
}
