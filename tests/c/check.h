/* What the C programs share: a check that names its line, and a pattern for memory. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int check_failures;

/* Reports a condition that does not hold, and goes on. */
#define CHECK(condition)                                                                 \
    ((condition) ? (void)0                                                               \
                 : (void)(atomic_fetch_add(&check_failures, 1) < 50 &&                   \
                          fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__,     \
                                  #condition)))

/* The same, with a number that tells which round it was. */
#define CHECK_FOR(condition, number)                                                     \
    ((condition) ? (void)0                                                               \
                 : (void)(atomic_fetch_add(&check_failures, 1) < 50 &&                   \
                          fprintf(stderr, "%s:%d: failed for %#zx: %s\n", __FILE__,      \
                                  __LINE__, (size_t)(number), #condition)))

static int check_result(void) {
    if (check_failures == 0)
        puts("ok");
    return check_failures != 0;
}

/* A value that no call may leave in errno by itself. */
enum { UNTOUCHED = 0x5a5a };

/* Fills and verifies a block with bytes that depend on the seed and the place. */
static void pattern_fill(void *block, size_t size, uint32_t seed) {
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + i * 31 + (i >> 8));
}

static int pattern_holds(const void *block, size_t size, uint32_t seed) {
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(seed + i * 31 + (i >> 8)))
            return 0;
    return 1;
}

/* Small, fast, the same everywhere (xorshift). The state must not be 0. */
static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Mostly small sizes, some large: from 1 byte to 256 KiB. */
static size_t random_size(uint32_t *state) {
    uint32_t kind = next_random(state) % 100;
    if (kind < 80)
        return 1 + next_random(state) % 512;
    if (kind < 97)
        return 1 + next_random(state) % 8192;
    return 1 + next_random(state) % (256 * 1024);
}

#endif
