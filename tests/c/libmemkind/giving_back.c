/* A free costs no system call; space goes back later, by policy, and all of it at the end. */
#include "kinds.h"

static memkind_t make(int policy) {
    memkind_t kind = NULL;
    struct memkind_config *config = memkind_config_new();
    memkind_config_set_path(config, MEMORY);
    memkind_config_set_size(config, 64 * MIB);
    memkind_config_set_memory_usage_policy(config, policy);
    NEED(memkind_create_pmem_with_config(config, &kind) == 0);
    memkind_config_delete(config);
    return kind;
}

/* Whether the kind takes less than 4 MiB within that time. */
static int shrinks(memkind_t kind, int seconds) {
    for (int i = 0; i < seconds * 50; i++) {
        if (file_space(kind) < 4 * MIB)
            return 1;
        pause_ms(20);
    }
    return 0;
}

static void use(memkind_t kind) {
    for (int i = 0; i < 100; i++) {
        void *block = memkind_malloc(kind, 16 * MIB);
        NEED(block);
        mark(block, 16 * MIB, (unsigned)i);
        memkind_free(kind, block);
    }
}

int main(void) {
    NEED(memkind_set_bg_threads(false) == 0);
    memkind_t decaying = make(MEMKIND_MEM_USAGE_POLICY_DEFAULT);
    memkind_t conservative = make(MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE);
    use(decaying);
    use(conservative);
    say("at once, the space stays: %s, %s", yes(file_space(decaying) >= 16 * MIB),
        yes(file_space(conservative) >= 16 * MIB));
    NEED(memkind_set_bg_threads(true) == 0);
    say("conservative, gives back: %s", yes(shrinks(conservative, 30)));
    say("default, keeps it longer: %s", yes(file_space(decaying) >= 16 * MIB));
    say("default, gives back: %s", yes(shrinks(decaying, 60)));
    use(decaying);
    use(conservative);
    say("both serve again: yes");
    return 0;
}
