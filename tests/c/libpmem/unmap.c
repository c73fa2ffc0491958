/* pmem_unmap: which ranges it takes, and what stays mapped. */
#include "probe.h"

#include <libpmem.h>

enum { PAGES = 8 };

static char *map(void) {
    size_t mapped;
    char *address = pmem_map_file("f", PAGES * PAGE, PMEM_FILE_CREATE, 0600, &mapped, NULL);
    NEED(address && mapped == PAGES * PAGE);
    return address;
}

/* Unmaps a part and draws which pages are left, as in "mm__mmmm". */
static void part(const char *name, size_t offset, size_t length) {
    char *address = map();
    errno = 0;
    int result = pmem_unmap(address + offset, length), error = errno;
    char pages[PAGES + 1] = "";
    for (int i = 0; i < PAGES; i++)
        strcat(pages, is_mapped(address + i * PAGE, PAGE) ? "m" : "_");
    say("%s: %d %s, pages %s", name, result, result ? error_name(error) : "0", pages);
    int again = pmem_unmap(address, PAGES * PAGE);
    say("%s, then the whole: %d, %s", name, again, access_of(address, PAGES * PAGE));
}

static void try(const char *name, void *address, size_t length) {
    errno = 0;
    int result = pmem_unmap(address, length), error = errno;
    say("%s: %d %s", name, result, result ? error_name(error) : "0");
}

int main(void) {
    int before = open_descriptors();
    part("whole", 0, PAGES * PAGE);
    part("one byte", 0, 1);
    part("a page and a byte", 0, PAGE + 1);
    part("first page", 0, PAGE);
    part("middle", 2 * PAGE, 3 * PAGE);
    part("last page", (PAGES - 1) * PAGE, PAGE);
    part("one byte of a middle page", 4 * PAGE, 1);
    part("not aligned", 1, PAGE);
    part("not aligned at the end", PAGES * PAGE - 1, 1);
    part("no length", 0, 0);
    part("no length, not aligned", 5, 0);
    part("length SIZE_MAX", 0, SIZE_MAX);
    part("length SIZE_MAX of a page", PAGE, SIZE_MAX - PAGE);
    part("length that wraps", PAGE, SIZE_MAX - 2 * PAGE);

    try("null, a page", NULL, PAGE);
    try("null, no length", NULL, 0);
    char *unused = free_range(MIB, PAGE);
    try("never mapped", unused, MIB);
    try("kernel addresses", (void *)(UINTPTR_MAX - PAGE + 1), PAGE);

    /* Two mappings and the hole between them in one call. */
    char *first = map(), *second = map();
    char *low = first < second ? first : second, *high = first < second ? second : first;
    char *gap = low + PAGES * PAGE;
    if (!strcmp(access_of(gap, (size_t)(high - gap)), "none")) {
        try("two mappings", low, (size_t)(high - low) + PAGES * PAGE);
    } else { /* what lies between them is somebody else's */
        try("two mappings", low, PAGES * PAGE);
        NEED(pmem_unmap(high, PAGES * PAGE) == 0);
    }
    say("two mappings, after: %s %s", access_of(low, PAGES * PAGE), access_of(high, PAGES * PAGE));

    /* What the library did not map. */
    char *own = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(own != MAP_FAILED);
    try("not mapped by the library", own, PAGE);
    say("not mapped by the library, after: %s %s", access_of(own, PAGE),
        access_of(own + PAGE, PAGE));

    /* Behind the library's back. */
    char *address = map();
    NEED(munmap(address, PAGES * PAGE) == 0);
    try("unmapped before", address, PAGES * PAGE);
    address = map();
    NEED(munmap(address, PAGES * PAGE) == 0);
    char *again = map();
    say("mapped again: %s, is_pmem %d", access_of(again, PAGES * PAGE), pmem_is_pmem(again, PAGE));
    try("mapped again, unmap", again, PAGES * PAGE);
    NEED(unlink("f") == 0);
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
