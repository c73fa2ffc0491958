/* Where pmem_map_file puts a mapping: aligned for huge pages, or after PMEM_MMAP_HINT. */
#include "probe.h"

#include <libpmem.h>

static const size_t sizes[] = {1,
                               4096,
                               2 * MIB - 1,
                               2 * MIB,
                               2 * MIB + 1,
                               5 * MIB,
                               1 * GIB,
                               2 * GIB - 4096,
                               2 * GIB - 1,
                               2 * GIB,
                               2 * GIB + 1,
                               3 * GIB};

static char *map(size_t size) {
    size_t mapped = 0;
    char *address = pmem_map_file("f", size, PMEM_FILE_CREATE | PMEM_FILE_SPARSE, 0600, &mapped,
                                  NULL);
    NEED(!address || mapped == size);
    return address;
}

static void alignment(void) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *first = map(sizes[i]), *second = map(sizes[i]);
        size_t alignment = sizes[i] >= 2 * GIB ? GIB : 2 * MIB;
        say("%zu bytes, aligned to %zu MiB: %s %s", sizes[i], alignment / MIB,
            yes(first && is_aligned(first, alignment)),
            yes(second && is_aligned(second, alignment)));
        NEED(first && second && first != second);
        NEED(pmem_unmap(first, sizes[i]) == 0 && pmem_unmap(second, sizes[i]) == 0);
    }
    /* Nothing around the mapping stays reserved. */
    size_t before = mapped_bytes();
    char *address = map(8192);
    NEED(address);
    say("mapped for a file of two pages: %zu bytes", mapped_bytes() - before);
    NEED(pmem_unmap(address, 8192) == 0);
    say("mapped after unmapping: %zu bytes", mapped_bytes() - before);
    NEED(unlink("f") == 0);
}

/* The first mapping, the next, and one that must be aligned to 1 GiB. The places that the
 * kernel picks differ from run to run. */
static void print_place(const char *hint, const char *what, char *address) {
    if (!address)
        say("hint %s, %s: %s", hint, what, error_name(errno));
    else if ((uintptr_t)address < ((uintptr_t)1 << 45))
        say("hint %s, %s: %p", hint, what, (void *)address);
    else
        say("hint %s, %s: elsewhere", hint, what);
}

static void hinted(void) {
    const char *hint = getenv("PMEM_MMAP_HINT");
    errno = 0;
    char *first = map(8192);
    print_place(hint, "first", first);
    char *second = map(8192);
    print_place(hint, "second", second);
    char *large = map(2 * GIB);
    print_place(hint, "large", large);
    if (second)
        pmem_unmap(second, 8192);
    second = map(8192);
    print_place(hint, "second again", second);
    setenv("PMEM_MMAP_HINT", "30000000000", 1); /* too late */
    print_place(hint, "with another hint", map(8192));
    NEED(unlink("f") == 0);
}

int main(int count, char **arguments) {
    (void)arguments;
    static const char *const hints[] = {"10000000000",   "0x10000000000", "0X10000000000",
                                        "10000001000",   "10000000001",   "10000200000",
                                        "  10000000000", "+10000000000",  "10000000000x",
                                        "zz",            "",              "0",
                                        "0x",            "-1",            "7fffffffffff",
                                        "ffffffffffffffff", "fffffffffffffffff"};
    if (count > 1) {
        hinted();
        return 0;
    }
    alignment();
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        run_again("hinted", "PMEM_MMAP_HINT", hints[i]);
    return 0;
}
