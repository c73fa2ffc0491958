/* A kind that was full and is emptied is as good as new, at once; its largest block is nearly all of it. */
#include "kinds.h"

int main(void) {
    static const size_t sizes[] = {100, 2196, 5000, 64 * KIB};
    for (int policy = 0; policy < 3; policy++) {
        memkind_t kind = NULL;
        struct memkind_config *config = memkind_config_new();
        memkind_config_set_path(config, MEMORY);
        memkind_config_set_size(config, 64 * MIB);
        memkind_config_set_memory_usage_policy(config, policy == 1);
        if (policy == 2)
            setenv("MEMKIND_HOG_MEMORY", "1", 1);
        NEED(memkind_create_pmem_with_config(config, &kind) == 0);
        memkind_config_delete(config);
        static const char *const names[] = {"default", "conservative", "never"};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct chain *chain;
            size_t first = fill(kind, sizes[i], &chain);
            size_t usable = 0;
            for (struct chain *block = chain; block; block = block->next)
                usable += memkind_malloc_usable_size(kind, block);
            free_chain(kind, chain);
            size_t second = fill(kind, sizes[i], &chain);
            free_chain(kind, chain);
            say("%s, %zu bytes, 92 %% of the capacity: %s", names[policy], sizes[i],
                yes(usable >= 64 * MIB / 100 * 92));
            say("%s, %zu bytes, 98 %% of it again: %s", names[policy], sizes[i],
                yes(second * 100 >= first * 98));
        }
        memkind_destroy_kind(kind);
        kind = pmem_kind(64 * MIB);
        say("%s, one block of 63 MiB: %s", names[policy], yes(memkind_malloc(kind, 63 * MIB) != NULL));
        memkind_destroy_kind(kind);
    }
    return 0;
}
