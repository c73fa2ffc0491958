/* Making pmem kinds: directories, limits, choices, the environment. */
#include "kinds.h"

#define NOWHERE ((memkind_t)1)

static void try(const char *label, const char *directory, size_t size) {
    memkind_t kind = NOWHERE;
    errno = 0;
    int code = memkind_create_pmem(directory, size, &kind);
    say("%s: %d, %s", label, code, error_name(errno));
    if (code == 0) {
        say("%s, capacity: %zd", label, memkind_get_capacity(kind));
        say("%s, available: %d", label, memkind_check_available(kind));
        say("%s, allocates: %s", label, yes(memkind_malloc(kind, 100) != NULL));
        NEED(memkind_destroy_kind(kind) == 0);
    } else {
        say("%s, kind: %s", label, kind == NOWHERE ? "as it was" : kind ? "set" : "NULL");
    }
}

static void directories(void) {
    static char name[300], path[5000];
    memset(name, 'n', sizeof name - 1);
    memset(path, '/', sizeof path - 1);
    NEED(mkdir("d", 0755) == 0);
    write_file("f", 10, 0600);
    try("relative directory", "d", 16 * MIB);
    say("relative directory, entries: %d", entries_of("d"));
    try("no directory", "absent", 16 * MIB);
    try("a file", "f", 16 * MIB);
    try("a name too long", name, 16 * MIB);
    try("a path too long", path, 16 * MIB);
    try("a file system without files", "/proc", 16 * MIB);
}

static void limits(void) {
    try("1 byte", MEMORY, 1);
    try("just too little", MEMORY, 16 * MIB - 1);
    try("the least", MEMORY, 16 * MIB);
    try("a little more", MEMORY, 16 * MIB + 1);
    try("an absurd limit", MEMORY, (size_t)1 << 60);
    memkind_t kind;
    say("no limit: %d", memkind_create_pmem(MEMORY, 0, &kind));
    ssize_t all = memkind_get_capacity(kind);
    say("no limit, allocates: %s", yes(memkind_malloc(kind, 1000) != NULL));
    memkind_destroy_kind(kind);
    say("the largest limit: %d", memkind_create_pmem(MEMORY, SIZE_MAX, &kind));
    say("the largest limit, capacity as without: %s", yes(memkind_get_capacity(kind) == all));
    memkind_destroy_kind(kind);
}

static void choices(void) {
    for (int policy = -1; policy <= 3; policy++) {
        struct memkind_config *config = memkind_config_new();
        NEED(config);
        memkind_config_set_path(config, MEMORY);
        memkind_config_set_size(config, 32 * MIB);
        memkind_config_set_memory_usage_policy(config, (memkind_mem_usage_policy)policy);
        memkind_t kind = NOWHERE;
        int code = memkind_create_pmem_with_config(config, &kind);
        memkind_config_delete(config);
        say("policy %d: %d, kind %s", policy, code, kind == NOWHERE ? "as it was" : kind ? "set" : "NULL");
        if (kind && kind != NOWHERE)
            memkind_destroy_kind(kind);
    }
    memkind_config_delete(NULL);
}

static void environment(void) {
    static const char *const values[] = {"0", "-1", "x", "1", "3", "", "1x", " 2"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        NEED(setenv("MEMKIND_ARENA_NUM_PER_KIND", values[i], 1) == 0);
        memkind_t kind = NULL;
        int code = memkind_create_pmem(MEMORY, 16 * MIB, &kind);
        say("arenas '%s': %d", values[i], code);
        if (code == 0)
            memkind_destroy_kind(kind);
    }
    unsetenv("MEMKIND_ARENA_NUM_PER_KIND");
}

static void fields(void) {
    memkind_t kind = pmem_kind(32 * MIB);
    const struct kind_fields *found = fields_of(kind);
    say("fields, name: %.4s", found->name);
    say("fields, limit: %zu", found->pmem->max_size);
    say("fields, directory: %s", found->pmem->dir);
    struct stat status;
    say("fields, a file without a name: %s",
        yes(fstat(found->pmem->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0));
    say("fields, space before the first block: %zu", file_space(kind));
    void *block = memkind_malloc(kind, 5 * MIB);
    NEED(block);
    say("fields, space for a block: %s", yes(file_space(kind) >= 5 * MIB));
    NEED(memkind_update_cached_stats() == 0);
    say("fields, size for a block: %s", yes(found->pmem->current_size >= 5 * MIB));
    int descriptor = found->pmem->fd;
    memkind_destroy_kind(kind);
    say("fields, descriptor afterwards: %s", fcntl(descriptor, F_GETFD) < 0 ? "closed" : "open");
    say("fields, block afterwards: %s", is_mapped(block, PAGE) ? "mapped" : "gone");
}

int main(void) {
    directories();
    limits();
    choices();
    environment();
    fields();
    return 0;
}
