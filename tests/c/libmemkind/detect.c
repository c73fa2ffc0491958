/* From blocks to kinds, and heap calls without a kind or with another one. */
#include "kinds.h"

int main(void) {
    memkind_t one = pmem_kind(32 * MIB), two = pmem_kind(32 * MIB), three;
    NEED(memkind_create_fixed(map_memory(32 * MIB), 32 * MIB, &three) == 0);
    memkind_t kinds[] = {MEMKIND_DEFAULT, MEMKIND_REGULAR, one, two, three};
    static const char *const names[] = {"default", "regular", "one", "two", "three"};
    for (int i = 0; i < 5; i++) {
        size_t wrong = 0;
        for (size_t size = 1; size < 4 * MIB; size = size * 3 + 5) {
            char *block = memkind_malloc(kinds[i], size);
            NEED(block);
            wrong += memkind_detect_kind(block) != kinds[i];
            memkind_free(NULL, block);
        }
        say("%s, detected otherwise: %zu", names[i], wrong);
    }
    say("NULL: %s", memkind_detect_kind(NULL) ? "a kind" : "NULL");
    char *block = memkind_malloc(one, 1000);
    mark(block, 1000, 4);
    block = memkind_realloc(NULL, block, 500 * KIB);
    say("resized without a kind: %s, %s", yes(is_marked(block, 1000, 4)),
        yes(memkind_detect_kind(block) == one));
    block = memkind_realloc(two, block, MIB);
    say("resized with another kind: %s, %s", yes(is_marked(block, 1000, 4)),
        yes(memkind_detect_kind(block) == two));
    memkind_free(one, block);
    say("freed with another kind: survived");
    for (int i = 0; i < 1000; i++) {
        void *blocks[] = {memkind_malloc(one, 100), memkind_malloc(two, 100), memkind_malloc(three, 100)};
        memkind_free(two, blocks[0]);
        memkind_free(NULL, blocks[1]);
        memkind_free(MEMKIND_DEFAULT, blocks[2]);
    }
    say("freed with other kinds, often: survived");
    return 0;
}
