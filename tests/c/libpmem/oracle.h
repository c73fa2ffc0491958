/* Holds a family of memmove, memcpy and memset beside libc's: every length around the sizes
 * of registers, lines and pages, many places in a line, overlaps both ways. */
#ifndef ORACLE_H
#define ORACLE_H

#include "probe.h"

enum { ARENA = 24 * 1024, SEEDS = 1009 };

static unsigned char *arena;            /* what the library works on */
static unsigned char expected[ARENA];   /* what libc makes of the same */
static unsigned char noise[ARENA + SEEDS];
static size_t used; /* what one comparison looks at */

struct family {
    const char *name;
    void *(*move)(void *, const void *, size_t, unsigned);
    void *(*copy)(void *, const void *, size_t, unsigned);
    void *(*set)(void *, int, size_t, unsigned);
};

static inline void fill(size_t seed) {
    memcpy(expected, noise + seed % SEEDS, used);
    memcpy(arena, noise + seed % SEEDS, used);
}

static inline int same(const struct family *family, unsigned flags, const char *what, size_t to,
                       size_t from, size_t length, const void *returned) {
    if (returned != arena + to) {
        say("%s, flags %#x: %s does not return its destination", family->name, flags, what);
        return 0;
    }
    if (memcmp(arena, expected, used) == 0)
        return 1;
    size_t i = 0;
    while (arena[i] == expected[i])
        i++;
    say("%s, flags %#x: %s of %zu from %zu to %zu: byte %zu is %02x, not %02x", family->name,
        flags, what, length, from, to, i, arena[i], expected[i]);
    return 0;
}

static inline int moves(const struct family *family, unsigned flags, size_t to, size_t from,
                        size_t length) {
    fill(to * 31 + from * 7 + length);
    memmove(expected + to, expected + from, length);
    void *returned = family->move(arena + to, arena + from, length, flags);
    return same(family, flags, "memmove", to, from, length, returned);
}

static inline int copies(const struct family *family, unsigned flags, size_t to, size_t from,
                         size_t length) {
    fill(to * 31 + from * 7 + length);
    memcpy(expected + to, expected + from, length);
    void *returned = family->copy(arena + to, arena + from, length, flags);
    return same(family, flags, "memcpy", to, from, length, returned);
}

static inline int sets(const struct family *family, unsigned flags, size_t to, int value,
                       size_t length) {
    fill(to * 31 + length);
    memset(expected + to, value, length);
    void *returned = family->set(arena + to, value, length, flags);
    return same(family, flags, "memset", to, 0, length, returned);
}

/* Some places for one length. The first failure has been reported, and one is enough. */
static inline int length_holds(const struct family *family, unsigned flags, size_t length,
                               size_t step) {
    static const ptrdiff_t distances[] = {-300, -129, -64, -33, -16, -8,  -1,  0,
                                          1,    8,    17,  64,  100, 256, 1000};
    static const int values[] = {0, 0x5a, 0xff, -1, 256 + 7};
    used = 512 + 64 + 1000 + 2 * length + 256;
    for (size_t place = 0; place < 64; place += step) {
        size_t to = 512 + place;
        for (size_t d = 0; d < sizeof distances / sizeof *distances; d++)
            if (!moves(family, flags, to, (size_t)((ptrdiff_t)to + distances[d]), length))
                return 0;
        size_t from = 512 + 64 + length + (place * 5 + length) % 64;
        if (!copies(family, flags, to, from, length) ||
            !sets(family, flags, to, values[(place + length) % 5], length))
            return 0;
    }
    return 1;
}

/* Prints one line: ok, or the first thing that is wrong. */
static inline void check_family(const struct family *family, unsigned flags, int thorough) {
    static const size_t some[] = {511,  512,  513,  767,  1023, 1024, 1025, 2047, 2048,
                                  2049, 4095, 4096, 4097, 6000, 8191, 8192, 8200};
    if (!arena) {
        arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(arena != MAP_FAILED);
        uint32_t random = 1;
        for (size_t i = 0; i < sizeof noise; i++) {
            random = random * 1664525 + 1013904223;
            noise[i] = (unsigned char)(random >> 24);
        }
    }
    for (size_t length = 0; length <= 400; length += thorough || length < 70 ? 1 : 13)
        if (!length_holds(family, flags, length, thorough ? 3 : 21))
            return;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (!length_holds(family, flags, some[i], thorough ? 13 : 43))
            return;
    say("%s, flags %#x: ok", family->name, flags);
}

#endif
