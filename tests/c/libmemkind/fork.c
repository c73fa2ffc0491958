/* A kind in the child of a fork: as it was chosen. */
#include "kinds.h"

static memkind_t kind, fixed;
static char *block, *private;

static void in_shared(void) {
    say("share, the block: %s", yes(is_marked(block, 1000, 1)));
    block[0] = 'c';
    errno = 0;
    void *another = memkind_malloc(kind, 100);
    say("share, malloc in the child: %s, %s", another ? "block" : "NULL", error_name(errno));
    memkind_free(kind, block);
    memkind_free(NULL, block);
}

static void in_private(void) {
    say("private memory, the block: %s", yes(is_marked(private, 1000, 2)));
    private[0] = 'c';
    for (int i = 0; i < 1000; i++)
        NEED(memkind_malloc(fixed, 1000));
    memkind_free(fixed, private);
    say("private memory, the child allocates: yes");
}

static void in_snapshot(void) {
    say("snapshot, the block: %s", yes(is_marked(block, 1000, 1)));
    block[0] = 'c';
    for (int i = 0; i < 1000; i++)
        NEED(memkind_malloc(kind, 1000));
    memkind_free(kind, block);
    say("snapshot, the child allocates: yes");
}

static void in_nothing(void) {
    say("unavailable, the block: %s", is_mapped(block, PAGE) ? "mapped" : "gone");
    say("unavailable, malloc in the child: %s", memkind_malloc(kind, 100) ? "block" : "NULL");
}

static void with(const char *choice, void (*part)(void)) {
    NEED(setenv("MEMKIND_FORK", choice, 1) == 0);
    kind = pmem_kind(32 * MIB);
    block = memkind_malloc(kind, 1000);
    mark(block, 1000, 1);
    NEED(in_child(part) == 0);
    say("%s, the parent sees what the child wrote: %s", choice, yes(block[0] == 'c'));
    for (int i = 0; i < 1000; i++) {
        char *other = memkind_malloc(kind, 1000);
        NEED(other && other != block);
        mark(other, 1000, 3);
    }
    say("%s, the parent goes on: %s", choice, yes(is_marked(block + 1, 999, 1)));
    memkind_free(kind, block);
    memkind_destroy_kind(kind);
}

int main(void) {
    NEED(memkind_create_fixed(map_memory(16 * MIB), 16 * MIB, &fixed) == 0);
    private = memkind_malloc(fixed, 1000);
    mark(private, 1000, 2);
    NEED(in_child(in_private) == 0);
    say("private memory, the parent's: %s", yes(is_marked(private, 1000, 2)));
    with("share", in_shared);
    with("snapshot", in_snapshot);
    with("unavailable", in_nothing);
    NEED(setenv("MEMKIND_FORK", "nonsense", 1) == 0);
    say("nonsense: %d", memkind_create_pmem(MEMORY, 32 * MIB, &kind));
    return 0;
}
