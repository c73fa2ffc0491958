/* Maps of memory that somebody else mapped. */
#include "pmem2.h"

static struct pmem2_map *const POISON = (struct pmem2_map *)(uintptr_t)UNTOUCHED;
static struct pmem2_source *source;
static char *memory;

static void try(const char *name, size_t at, size_t length, int granularity) {
    struct pmem2_map *map = POISON;
    int result = pmem2_map_from_existing(&map, source, memory + at, length,
                                         (enum pmem2_granularity)granularity);
    if (result != 0) {
        say("%s: %s, pointer %s", name, result_name(result),
            map == NULL ? "null" : map == POISON ? "untouched" : "other");
        return;
    }
    int right = pmem2_map_get_address(map) == memory + at;
    size_t size = pmem2_map_get_size(map);
    int is = (int)pmem2_map_get_store_granularity(map);
    int deleted = pmem2_map_delete(&map);
    say("%s: 0, address %s, %zu bytes, granularity %d; delete %s, pointer %s", name, yes(right),
        size, is, result_name(deleted), map ? "kept" : "null");
}

int main(void) {
    source = file_source(64 * KIB);
    int fd;
    NEED(pmem2_source_get_fd(source, &fd) == 0);
    memory = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(memory != MAP_FAILED);

    try("whole", 0, 64 * KIB, PMEM2_GRANULARITY_PAGE);
    try("whole again", 0, 64 * KIB, PMEM2_GRANULARITY_CACHE_LINE);
    say("still mapped: %s", access_of(memory, 64 * KIB));
    try("byte granularity", 0, PAGE, PMEM2_GRANULARITY_BYTE);
    try("odd address and length", 5, 7, PMEM2_GRANULARITY_PAGE);

    struct pmem2_map *map, *second;
    NEED(pmem2_map_from_existing(&map, source, memory + 4 * PAGE, 4 * PAGE,
                                 PMEM2_GRANULARITY_PAGE) == 0);
    try("the same", 4 * PAGE, 4 * PAGE, PMEM2_GRANULARITY_PAGE);
    try("inside", 5 * PAGE, PAGE, PMEM2_GRANULARITY_PAGE);
    try("around", 3 * PAGE, 6 * PAGE, PMEM2_GRANULARITY_PAGE);
    try("over the beginning", 3 * PAGE, PAGE + 1, PMEM2_GRANULARITY_PAGE);
    try("over the end", 8 * PAGE - 1, PAGE, PMEM2_GRANULARITY_PAGE);
    try("right before", 3 * PAGE, PAGE, PMEM2_GRANULARITY_PAGE);
    try("right behind", 8 * PAGE, PAGE, PMEM2_GRANULARITY_PAGE);
    try("two neighbours at the beginning", 0, 4 * PAGE, PMEM2_GRANULARITY_PAGE);

    char *address = pmem2_map_get_address(map);
    print_result("deep flush", pmem2_deep_flush(map, address, 100));
    print_result("deep flush, nothing", pmem2_deep_flush(map, address, 0));
    print_result("deep flush, beyond", pmem2_deep_flush(map, address + PAGE, 4 * PAGE));

    /* Beside maps of the library's own. */
    NEED(map_with(&second, config_of(0, 0), source) == 0);
    memory = pmem2_map_get_address(second);
    try("over a map of the library", 0, PAGE, PMEM2_GRANULARITY_PAGE);
    NEED(pmem2_map_delete(&second) == 0);
    NEED(pmem2_map_delete(&map) == 0);
    say("after all, still mapped: %s", access_of(address, 4 * PAGE));
    NEED(munmap(address - 4 * PAGE, 64 * KIB) == 0);

    /* Nothing looks whether anything is mapped there. */
    memory = free_range(64 * KIB, PAGE);
    try("not mapped", 0, PAGE, PMEM2_GRANULARITY_PAGE);
    close_source(&source);
    NEED(pmem2_source_from_anon(&source, PAGE) == 0);
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(memory != MAP_FAILED);
    try("anonymous", 0, PAGE, PMEM2_GRANULARITY_BYTE);
    try("anonymous, longer than the source", 0, 100 * PAGE, PMEM2_GRANULARITY_BYTE);
    try("nothing", PAGE, 0, PMEM2_GRANULARITY_PAGE);
    try("around the place of nothing", 0, 2 * PAGE, PMEM2_GRANULARITY_PAGE);
    munmap(memory, PAGE);
    NEED(pmem2_source_delete(&source) == 0);
    return 0;
}
