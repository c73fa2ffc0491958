/* Kinds over memory of the program's. */
#include "kinds.h"

static void try(const char *label, void *address, size_t size) {
    memkind_t kind = NULL;
    int code = memkind_create_fixed(address, size, &kind);
    say("%s: %d", label, code);
    if (code == 0) {
        say("%s, capacity: %zd", label, memkind_get_capacity(kind));
        say("%s, available: %d", label, memkind_check_available(kind));
        NEED(memkind_destroy_kind(kind) == 0);
    }
}

int main(void) {
    char *memory = map_memory(64 * MIB);
    try("no memory", NULL, 0);
    try("nowhere", MAP_FAILED, 0);
    try("100 bytes", memory, 100);
    try("unaligned", memory + 123, 1000003);
    try("32 MiB", memory, 32 * MIB);
    try("the same again", memory, 32 * MIB);

    memkind_t kind, other;
    NEED(memkind_create_fixed(memory, 32 * MIB, &kind) == 0);
    say("name: %.5s", fields_of(kind)->name);
    say("a live kind's memory: %d", memkind_create_fixed(memory, 16 * MIB, &other));
    say("the memory behind: %d", memkind_create_fixed(memory + 32 * MIB, 32 * MIB, &other));
    char *block = memkind_malloc(kind, 1000);
    char *there = memkind_malloc(other, 1000);
    say("blocks lie in the memory: %s, %s", yes(block >= memory && block < memory + 32 * MIB),
        yes(there >= memory + 32 * MIB && there < memory + 64 * MIB));
    say("detected: %s, %s", yes(memkind_detect_kind(block) == kind),
        yes(memkind_detect_kind(there) == other));
    mark(block, 1000, 1);
    mark(there, 1000, 2);
    memkind_destroy_kind(other);
    say("after the end, content: %s", yes(is_marked(there, 1000, 2)));
    say("after the end, the neighbour: %s", yes(is_marked(block, 1000, 1)));
    struct chain *chain;
    size_t first = fill(kind, 1000, &chain);
    say("1000-byte blocks, nine tenths of the memory: %s", yes(first * 1000 > 32 * MIB / 10 * 9));
    free_chain(kind, chain);
    say("one of half the memory: %s", yes(memkind_malloc(kind, 16 * MIB) != NULL));
    memkind_destroy_kind(kind);
    memset(memory, 1, 64 * MIB);
    say("after all: mapped %s", yes(is_mapped(memory, 64 * MIB)));
    return 0;
}
