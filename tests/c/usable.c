/* All of the usable size can be used, and blocks never overlap. */
#include "check.h"
#include <malloc.h>

int main(void) {
    enum { SLOTS = 1000 };
    struct { void *p; size_t n; } slots[SLOTS] = {{0}};
    uint32_t state = 7;
    for (int i = 0; i < 100000; i++) {
        int s = next_random(&state) % SLOTS;
        if (slots[s].p) {
            CHECK_FOR(malloc_usable_size(slots[s].p) == slots[s].n, slots[s].n);
            CHECK_FOR(pattern_holds(slots[s].p, slots[s].n, s), slots[s].n);
            free(slots[s].p);
            slots[s].p = NULL;
            continue;
        }
        size_t n = random_size(&state) / (1 + next_random(&state) % 8);
        void *p = next_random(&state) % 4 ? malloc(n) : memalign(16 << next_random(&state) % 9, n);
        slots[s].p = p;
        slots[s].n = malloc_usable_size(p);
        CHECK_FOR(slots[s].n >= n, n);
        pattern_fill(p, slots[s].n, s);
    }
    for (int s = 0; s < SLOTS; s++) {
        CHECK_FOR(!slots[s].p || pattern_holds(slots[s].p, slots[s].n, s), s);
        free(slots[s].p);
    }
    return check_result();
}
