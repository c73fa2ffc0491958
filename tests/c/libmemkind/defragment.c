/* After a defragmentation the file shrinks. */
#include "kinds.h"

enum { SIZE = 100, MOST = 1 << 20 };

static char *blocks[MOST];

int main(void) {
    memkind_t kind = NULL;
    struct memkind_config *config = memkind_config_new();
    memkind_config_set_path(config, MEMORY);
    memkind_config_set_size(config, 64 * MIB);
    memkind_config_set_memory_usage_policy(config, MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE);
    NEED(memkind_create_pmem_with_config(config, &kind) == 0);
    unsigned count = 0, kept = 0;
    while (count < MOST && (blocks[count] = memkind_malloc(kind, SIZE))) {
        mark(blocks[count], SIZE, count);
        count++;
    }
    for (unsigned i = 0; i < count; i++)
        if (i % 4) {
            memkind_free(kind, blocks[i]);
            blocks[i] = NULL;
        } else {
            kept++;
        }
    unsigned moved = 0, wrong = 0;
    for (int pass = 0; pass < 3; pass++)
        for (unsigned i = 0; i < count; i += 4) {
            char *place = memkind_defrag_reallocate(kind, blocks[i]);
            if (place) {
                blocks[i] = place;
                moved++;
            }
        }
    for (unsigned i = 0; i < count; i += 4)
        wrong += !is_marked(blocks[i], SIZE, i);
    for (int i = 0; i < 1000 && file_space(kind) > 32 * MIB; i++)
        pause_ms(20);
    say("blocks moved: %s", yes(moved > 0));
    say("blocks damaged: %u", wrong);
    say("the file, at most half of what it was: %s", yes(file_space(kind) <= 32 * MIB));
    say("large blocks stay: %s", memkind_defrag_reallocate(kind, memkind_malloc(kind, MIB)) ? "no" : "yes");
    return kept == 0;
}
