/* Calls that succeed leave errno alone. */
#include "check.h"
#include <malloc.h>

extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

#define UNTOUCHED_BY(statement, n)                                                       \
    do {                                                                                 \
        errno = UNTOUCHED;                                                               \
        statement;                                                                       \
        CHECK_FOR(errno == UNTOUCHED, n);                                                \
    } while (0)

int main(void) {
    static const size_t sizes[] = {0, 1, 16, 100, 1000, 4096, 100000, 1 << 20, 40 << 20};
    void *p;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t n = sizes[i];
            UNTOUCHED_BY(p = malloc(n), n);
            UNTOUCHED_BY(malloc_usable_size(p), n);
            UNTOUCHED_BY(p = realloc(p, n * 2 + 1), n);
            UNTOUCHED_BY(p = realloc(p, n / 2 + 1), n);
            UNTOUCHED_BY(p = reallocarray(p, 3, n + 1), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(p = calloc(n, 2), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(p = realloc(NULL, n), n);
            UNTOUCHED_BY(CHECK(realloc(p, 0) == NULL || n == 0), n);
            UNTOUCHED_BY(p = memalign(64, n), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(p = aligned_alloc(4096, n), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(CHECK(posix_memalign(&p, 256, n) == 0), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(p = valloc(n), n);
            UNTOUCHED_BY(free(p), n);
            UNTOUCHED_BY(p = pvalloc(n), n);
            UNTOUCHED_BY(free(p), n);
            if (free_sized && free_aligned_sized) {
                p = malloc(n);
                UNTOUCHED_BY(free_sized(p, n), n);
                p = aligned_alloc(64, n);
                UNTOUCHED_BY(free_aligned_sized(p, 64, n), n);
            }
        }
    UNTOUCHED_BY(free(NULL), 0);
    UNTOUCHED_BY(mallinfo2(), 0);
    UNTOUCHED_BY(malloc_trim(0), 0);
    UNTOUCHED_BY(CHECK(posix_memalign(&p, 3, 8) == EINVAL), 0);
    return check_result();
}
