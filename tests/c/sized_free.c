/* C23's free with a size. */
#include "check.h"
#include <malloc.h>

/* Weak, so that the program links where libc lacks them. */
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

int main(void) {
    CHECK(free_sized && free_aligned_sized);
    if (check_failures)
        return check_result();
    for (size_t n = 0; n < 3000; n++) {
        free_sized(malloc(n), n);
        free_sized(calloc(n, 1), n);
        free_sized(realloc(malloc(5000), n + 1), n + 1);
        free_sized(realloc(malloc(5), n + 1), n + 1);
    }
    for (size_t n = 1; n < ((size_t)64 << 20); n = n * 3 + 1) {
        free_sized(malloc(n), n);
        free_sized(calloc(1, n), n);
    }
    for (size_t alignment = 1; alignment <= ((size_t)1 << 21); alignment *= 2)
        for (size_t n = 0; n < 20000; n = n * 2 + alignment) {
            free_aligned_sized(aligned_alloc(alignment, n), alignment, n);
            free(aligned_alloc(alignment, n));
        }
    free_sized(NULL, 0);
    free_sized(NULL, 100);
    free_aligned_sized(NULL, 64, 100);
    return check_result();
}
