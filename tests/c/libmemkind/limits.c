/* As many kinds as there may be, no descriptors, no space, no directory. */
#include "kinds.h"

#include <sched.h>
#include <sys/mount.h>

static memkind_t kinds[600];

static void many(void) {
    unsigned made = 0;
    int code = 0;
    while (made < 600 && (code = memkind_create_pmem(MEMORY, 16 * MIB, &kinds[made])) == 0)
        made++;
    say("kinds: %u, then %d, %s", made, code, kinds[made] ? "set" : "NULL");
    for (unsigned i = 0; i < made; i++)
        NEED(memkind_destroy_kind(kinds[i]) == 0);
    NEED(memkind_create_pmem(MEMORY, 16 * MIB, &kinds[0]) == 0);
    say("after their end: another one");
    memkind_destroy_kind(kinds[0]);
}

/* What fails leaves nothing behind: neither descriptors nor numbers of kinds. */
static void failures(void) {
    int descriptors = open_descriptors(), failed = 0;
    char *memory = map_memory(4 * MIB);
    NEED(memkind_create_fixed(memory, 4 * MIB, &kinds[0]) == 0);
    for (int i = 0; i < 1000; i++) {
        memkind_t kind = NULL;
        failed += memkind_create_pmem("absent", 16 * MIB, &kind) == MEMKIND_ERROR_INVALID;
        failed += memkind_create_pmem("/proc", 16 * MIB, &kind) == MEMKIND_ERROR_INVALID;
        failed += memkind_create_fixed(memory, MIB, &kind) == MEMKIND_ERROR_INVALID;
        setenv("MEMKIND_ARENA_NUM_PER_KIND", "0", 1);
        failed += memkind_create_pmem(MEMORY, 16 * MIB, &kind) == MEMKIND_ERROR_ENVIRON;
        unsetenv("MEMKIND_ARENA_NUM_PER_KIND");
    }
    say("failures: %d, descriptors left %d", failed, open_descriptors() - descriptors);
    NEED(memkind_destroy_kind(kinds[0]) == 0);
    many();
}

static void no_descriptors(void) {
    memkind_t kind = pmem_kind(32 * MIB), other = (memkind_t)1;
    limit(RLIMIT_NOFILE, 3);
    errno = 0;
    int code = memkind_create_pmem(MEMORY, 16 * MIB, &other);
    say("no descriptors: %d, %s, %s", code, error_name(errno), other ? "set" : "NULL");
    say("no descriptors, a kind that is there: %s", yes(memkind_malloc(kind, 8 * MIB) != NULL));
}

static void no_space(void) {
    NEED(mkdir("small", 0755) == 0);
    NEED(unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) == 0);
    NEED(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    NEED(mount("tmpfs", "small", "tmpfs", 0, "size=24m") == 0);
    memkind_t kind;
    NEED(memkind_create_pmem("small", (size_t)1 << 30, &kind) == 0);
    struct chain *chain;
    errno = 0;
    size_t first = fill(kind, 64 * KIB, &chain);
    say("a full file system: %s, %s", yes(first * 64 * KIB > 22 * MIB), error_name(errno));
    say("a full file system, a byte: %s", memkind_malloc(kind, 64 * KIB) ? "block" : "NULL");
    struct chain *last = chain;
    chain = chain->next;
    memkind_free(kind, last);
    say("a full file system, after a free: %s", memkind_malloc(kind, 64 * KIB) ? "block" : "NULL");
    free_chain(kind, chain);
    /* What was given back to the file system may be gone when it is needed again. */
    for (int i = 0; i < 1000 && file_space(kind) > 8 * MIB; i++)
        pause_ms(20);
    write_file("small/other", 12 * MIB, 0600);
    size_t second = fill(kind, 64 * KIB, &chain);
    say("half of it taken by others: %s", yes(second * 64 * KIB > 10 * MIB && second < first));
    free_chain(kind, chain);
    NEED(unlink("small/other") == 0);
    size_t third = fill(kind, 64 * KIB, &chain);
    say("given back by others: %s", yes(third * 100 >= first * 95));
}

static void no_directory(void) {
    NEED(mkdir("gone", 0755) == 0);
    memkind_t kind;
    NEED(memkind_create_pmem("gone", 32 * MIB, &kind) == 0);
    NEED(memkind_malloc(kind, 100));
    NEED(rmdir("gone") == 0);
    say("directory removed, the kind: %s", yes(memkind_malloc(kind, 24 * MIB) != NULL));
    memkind_t other = (memkind_t)1;
    errno = 0;
    int code = memkind_create_pmem("gone", 32 * MIB, &other);
    say("directory removed, another: %d, %s, %s", code, error_name(errno), other ? "set" : "NULL");
}

/* One mapping serves a kind however much it grows. */
static void mappings(void) {
    memkind_t kind = pmem_kind(0);
    int before = entries_of("/proc/self/map_files");
    for (int i = 0; i < 3000; i++)
        NEED(memkind_malloc(kind, 300000));
    int more = entries_of("/proc/self/map_files") - before;
    say("mappings for 3000 large blocks: %s", more <= 2 ? "at most 2 more" : "many");
    memkind_destroy_kind(kind);
}

int main(void) {
    NEED(in_child(failures) == 0);
    NEED(in_child(no_descriptors) == 0);
    NEED(in_child(no_space) == 0);
    no_directory();
    mappings();
    return 0;
}
