/* Pointers that no kind of ours handed out, which the original crashes on. */
#include "kinds.h"

int main(void) {
    memkind_t kind = pmem_kind(32 * MIB);
    NEED(memkind_malloc(kind, 100));
    static char in_data[100];
    char on_stack[100];
    char *in_heap = malloc(100);
    char *mapped = map_memory(MIB);
    say("detected, the program's heap: %s", yes(memkind_detect_kind(in_heap) == MEMKIND_DEFAULT));
    say("detected, its data: %s", yes(memkind_detect_kind(in_data) == MEMKIND_DEFAULT));
    say("detected, its stack: %s", yes(memkind_detect_kind(on_stack) == MEMKIND_DEFAULT));
    say("detected, mapped memory: %s", yes(memkind_detect_kind(mapped) == MEMKIND_DEFAULT));
    say("detected, no memory: %s", yes(memkind_detect_kind((void *)8) == MEMKIND_DEFAULT));
    say("detected, the last address: %s", yes(memkind_detect_kind((void *)-1) == MEMKIND_DEFAULT));
    say("usable size: %s", yes(memkind_malloc_usable_size(NULL, in_heap) >= 100));
    mark(in_heap, 100, 5);
    in_heap = memkind_realloc(NULL, in_heap, 100000);
    say("resized: %s", yes(in_heap && is_marked(in_heap, 100, 5)));
    char *moved = memkind_realloc(kind, in_heap, 2000);
    say("moved to a kind: %s, %s", yes(is_marked(moved, 100, 5)), yes(memkind_detect_kind(moved) == kind));
    memkind_free(NULL, moved);
    memkind_free(NULL, malloc(10));
    say("freed without a kind: survived");
    memkind_free(kind, malloc(10));
    say("freed with a kind: survived");
    return 0;
}
