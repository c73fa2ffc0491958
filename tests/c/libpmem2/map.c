/* pmem2_map_new: what it refuses, in which order, and what a map is like. */
#include "pmem2.h"

static struct pmem2_map *const POISON = (struct pmem2_map *)(uintptr_t)UNTOUCHED;

/* One map in words, and its end. */
static void describe(const char *name, int result, struct pmem2_map **made) {
    struct pmem2_map *map = *made;
    if (result != 0) {
        say("%s: %s, pointer %s", name, result_name(result),
            map == NULL ? "null" : map == POISON ? "untouched" : "other");
        return;
    }
    char *address = pmem2_map_get_address(map);
    size_t size = pmem2_map_get_size(map);
    int granularity = (int)pmem2_map_get_store_granularity(map);
    char access[8];
    snprintf(access, sizeof access, "%s", access_of(address, size));
    int deleted = pmem2_map_delete(&map);
    say("%s: %zu bytes, %s, %s, at 2M %s; delete %s, pointer %s, then %s", name, size,
        granularities[granularity], access, yes(is_aligned(address, 2 * MIB)),
        result_name(deleted), map ? "kept" : "null", access_of(address, size));
}

static void try(const char *name, const struct pmem2_source *source, size_t offset,
                size_t length) {
    struct pmem2_map *map = POISON;
    describe(name, map_with(&map, config_of(offset, length), source), &map);
}

static void ranges(const char *kind, struct pmem2_source *source, size_t size) {
    const struct {
        const char *name;
        size_t offset, length;
    } cases[] = {
        {"whole", 0, 0},
        {"whole by length", 0, size},
        {"first page", 0, PAGE},
        {"last page", size - PAGE, PAGE},
        {"from the second page on", PAGE, 0},
        {"length 1", 0, 1},
        {"length 100", 0, 100},
        {"length of a page and a byte", 0, PAGE + 1},
        {"offset 1", 1, 0},
        {"offset 1 and length 1", 1, 1},
        {"offset and length not aligned, beyond", size + 1, 1},
        {"a page too long", 0, size + PAGE},
        {"a page too long at an offset", PAGE, size},
        {"at the end", size, 0},
        {"at the end, a page", size, PAGE},
        {"beyond the end", size + PAGE, 0},
        {"beyond the end, a page", size + PAGE, PAGE},
        {"largest offset", INT64_MAX / PAGE * PAGE, 0},
        {"largest offset, a page", INT64_MAX / PAGE * PAGE, PAGE},
        {"largest length", 0, SIZE_MAX / PAGE * PAGE},
        {"sum that wraps", 2 * PAGE, SIZE_MAX / PAGE * PAGE},
        {"sum that wraps to nothing", PAGE, SIZE_MAX - PAGE + 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s, %s", kind, cases[i].name);
        try(name, source, cases[i].offset, cases[i].length);
    }
}

static void odd_sizes(void) {
    struct pmem2_source *source = file_source(5000);
    try("5000 bytes, whole", source, 0, 0);
    try("5000 bytes, whole by length", source, 0, 5000);
    try("5000 bytes, first page", source, 0, PAGE);
    try("5000 bytes, two pages", source, 0, 2 * PAGE);
    try("5000 bytes, second page on", source, PAGE, 0);
    try("5000 bytes, second page by length", source, PAGE, PAGE);
    try("5000 bytes, third page on", source, 2 * PAGE, 0);
    close_source(&source);
    source = file_source(1);
    try("1 byte, whole", source, 0, 0);
    try("1 byte, a page", source, 0, PAGE);
    close_source(&source);
    source = file_source(0);
    try("empty, whole", source, 0, 0);
    try("empty, a page", source, 0, PAGE);
    try("empty, odd length", source, 0, 1);
    try("empty, odd offset", source, 1, 0);
    try("empty, offset", source, PAGE, 0);
    close_source(&source);
    static const size_t sizes[] = {2 * MIB - 1, 2 * MIB, GIB, 2 * GIB - PAGE, 2 * GIB, 3 * GIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pmem2_map *map;
        source = file_source(sizes[i]);
        int result = map_with(&map, config_of(0, 0), source);
        NEED(result == 0);
        say("%zu bytes: aligned to %d MiB %s", sizes[i], sizes[i] >= 2 * GIB ? 1024 : 2,
            yes(is_aligned(pmem2_map_get_address(map), sizes[i] >= 2 * GIB ? GIB : 2 * MIB)));
        NEED(pmem2_map_delete(&map) == 0);
        close_source(&source);
    }
}

static void anonymous(void) {
    static const size_t sizes[] = {0, 1, 4096, 5000, 1 << 21, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pmem2_source *source;
        char name[60];
        NEED(pmem2_source_from_anon(&source, sizes[i]) == 0);
        snprintf(name, sizeof name, "anonymous %zu", sizes[i]);
        try(name, source, 0, 0);
        snprintf(name, sizeof name, "anonymous %zu, second page on", sizes[i]);
        try(name, source, PAGE, 0);
        snprintf(name, sizeof name, "anonymous %zu, first page", sizes[i]);
        try(name, source, 0, PAGE);
        snprintf(name, sizeof name, "anonymous %zu, odd offset", sizes[i]);
        try(name, source, 1, 0);
        NEED(pmem2_source_delete(&source) == 0);
    }
    struct pmem2_source *source;
    struct pmem2_map *map;
    NEED(pmem2_source_from_anon(&source, 8192) == 0);
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    char *address = pmem2_map_get_address(map);
    int zero = 1;
    for (size_t i = 0; i < 8192; i++)
        zero &= address[i] == 0;
    memset(address, 'n', 8192);
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        address[0] = 'c';
        _exit(0);
    }
    NEED(waitpid(child, NULL, 0) == child);
    say("anonymous memory: zero %s, shared with children %s", yes(zero), yes(address[0] == 'c'));
    NEED(pmem2_map_delete(&map) == 0);
    NEED(pmem2_source_delete(&source) == 0);
}

/* Protection and sharing over a descriptor that allows reading and writing, or only reading. */
static void access_modes(void) {
    static const struct {
        const char *name;
        unsigned bits;
    } protections[] = {{"none", PMEM2_PROT_NONE},
                       {"read", PMEM2_PROT_READ},
                       {"write", PMEM2_PROT_WRITE},
                       {"exec", PMEM2_PROT_EXEC},
                       {"read and write", PMEM2_PROT_READ | PMEM2_PROT_WRITE},
                       {"read and exec", PMEM2_PROT_READ | PMEM2_PROT_EXEC},
                       {"all", PMEM2_PROT_READ | PMEM2_PROT_WRITE | PMEM2_PROT_EXEC}};
    write_file("f", 8192, 0600);
    for (int way = 0; way < 3; way++) {
        static const char *const ways[] = {"read and write", "read only", "path only"};
        int fd = open("f", (way == 0 ? O_RDWR : way == 1 ? O_RDONLY : O_PATH) | O_CLOEXEC);
        struct pmem2_source *source = source_of(fd);
        for (int private = 0; private < 2; private++)
            for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
                struct pmem2_map *map = POISON;
                struct pmem2_config *config = config_of(0, 0);
                NEED(pmem2_config_set_sharing(config, private ? PMEM2_PRIVATE : PMEM2_SHARED) ==
                     0);
                NEED(pmem2_config_set_protection(config, protections[i].bits) == 0);
                char name[100];
                snprintf(name, sizeof name, "opened %s, %s, %s", ways[way],
                         private ? "private" : "shared", protections[i].name);
                describe(name, map_with(&map, config, source), &map);
            }
        close_source(&source);
    }
    NEED(unlink("f") == 0);
}

static void private_maps(void) {
    write_file("f", 8192, 0600);
    int fd = open("f", O_RDWR | O_CLOEXEC);
    struct pmem2_source *source = source_of(fd);
    struct pmem2_map *private, *shared;
    struct pmem2_config *config = config_of(0, 0);
    NEED(pmem2_config_set_sharing(config, PMEM2_PRIVATE) == 0);
    NEED(map_with(&private, config, source) == 0);
    NEED(map_with(&shared, config_of(0, 0), source) == 0);
    char *mine = pmem2_map_get_address(private), *ours = pmem2_map_get_address(shared);
    mine[0] = 'n';
    pmem2_get_persist_fn(private)(mine, 1);
    ours[4096] = 'n';
    char read_back[2];
    NEED(pread(fd, &read_back[0], 1, 0) == 1 && pread(fd, &read_back[1], 1, 4096) == 1);
    say("private write: in the file %c, through the shared map %c", read_back[0], ours[0]);
    say("shared write: in the file %c, through the private map %c", read_back[1], mine[4096]);
    NEED(pmem2_map_delete(&private) == 0 && pmem2_map_delete(&shared) == 0);
    close_source(&source);
    NEED(unlink("f") == 0);
}

/* Where several things are wrong, which is told. */
static void order(void) {
    struct pmem2_source *empty = file_source(0), *file = file_source(8192);
    struct pmem2_config *config;
    struct pmem2_map *map = POISON;
    NEED(pmem2_config_new(&config) == 0);
    describe("no granularity", pmem2_map_new(&map, config, file), &map);
    NEED(pmem2_config_set_offset(config, 1) == 0 && pmem2_config_set_length(config, 1) == 0);
    map = POISON;
    describe("no granularity, empty, offset and length odd", pmem2_map_new(&map, config, empty),
             &map);
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE) == 0);
    map = POISON;
    describe("empty, offset and length odd", pmem2_map_new(&map, config, empty), &map);
    NEED(pmem2_config_set_offset(config, PAGE) == 0);
    map = POISON;
    describe("empty, length odd", pmem2_map_new(&map, config, empty), &map);
    NEED(pmem2_config_set_offset(config, 100 * PAGE) == 0);
    map = POISON;
    describe("length odd, offset out of range", pmem2_map_new(&map, config, file), &map);
    NEED(pmem2_config_set_length(config, PAGE) == 0);
    map = POISON;
    describe("offset out of range", pmem2_map_new(&map, config, file), &map);

    NEED(pmem2_config_set_offset(config, 0) == 0);
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_BYTE) == 0);
    map = POISON;
    describe("granularity not to be had", pmem2_map_new(&map, config, file), &map);
    int fd;
    NEED(pmem2_source_get_fd(file, &fd) == 0);
    char path[60];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int read_only = open(path, O_RDONLY | O_CLOEXEC);
    struct pmem2_source *source = source_of(read_only);
    map = POISON;
    describe("granularity not to be had, no access", pmem2_map_new(&map, config, source), &map);
    NEED(pmem2_config_delete(&config) == 0);
    close_source(&source);
    close_source(&empty);
    close_source(&file);
}

/* What a map is not, and what happens behind the library's back. */
static void deletion(void) {
    struct pmem2_source *source = file_source(8192);
    struct pmem2_map *map;
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    char *address = pmem2_map_get_address(map);
    NEED(munmap(address, 8192) == 0);
    int result = pmem2_map_delete(&map);
    say("delete, unmapped before: %s, pointer %s", result_name(result), map ? "kept" : "null");

    NEED(map_with(&map, config_of(0, 0), source) == 0);
    address = pmem2_map_get_address(map);
    NEED(munmap(address + PAGE, PAGE) == 0);
    result = pmem2_map_delete(&map);
    say("delete, unmapped in part before: %s, pointer %s, then %s", result_name(result),
        map ? "kept" : "null", access_of(address, 8192));
    close_source(&source);
}

int main(void) {
    int before = open_descriptors();
    struct pmem2_source *source = file_source(16384);
    ranges("file", source, 16384);
    close_source(&source);
    NEED(pmem2_source_from_anon(&source, 16384) == 0);
    ranges("anonymous", source, 16384);
    close_source(&source);
    odd_sizes();
    anonymous();
    access_modes();
    private_maps();
    order();
    deletion();
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
