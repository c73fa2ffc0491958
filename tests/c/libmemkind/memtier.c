/* Several kinds as one. */
#include "kinds.h"

#include <memkind_memtier.h>

static const char *found(void *it) { return it ? "yes" : "NULL"; }

static void with_policy(int policy) {
    struct memtier_builder *builder = memtier_builder_new((memtier_policy_t)policy);
    say("policy %d, builder: %s", policy, found(builder));
    if (!builder)
        return;
    memkind_t kind = pmem_kind(64 * MIB);
    say("policy %d, add: %d", policy, memtier_builder_add_tier(builder, MEMKIND_DEFAULT, 1));
    say("policy %d, add again: %d", policy, memtier_builder_add_tier(builder, MEMKIND_DEFAULT, 1));
    say("policy %d, add nothing: %d", policy, memtier_builder_add_tier(builder, NULL, 1));
    say("policy %d, add another: %d", policy, memtier_builder_add_tier(builder, kind, 4));
    static const char *const names[] = {
        "policy.dynamic_threshold.check_cnt",         "policy.dynamic_threshold.trigger",
        "policy.dynamic_threshold.degree",            "policy.dynamic_threshold.thresholds[0].val",
        "policy.dynamic_threshold.thresholds[0].min", "policy.dynamic_threshold.thresholds[0].max",
        "policy.dynamic_threshold.thresholds[5].val", "policy.dynamic_threshold.nonsense",
        "nonsense",
    };
    size_t numbers[] = {20, 0, 0, 1000, 500, 1500, 1000, 1, 1};
    float parts[] = {0, 0.02f, 0.15f};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const void *value = i == 1 || i == 2 ? (const void *)&parts[i] : (const void *)&numbers[i];
        say("policy %d, %s: %d", policy, names[i], memtier_ctl_set(builder, names[i], value));
    }
    struct memtier_memory *memory = memtier_builder_construct_memtier_memory(builder);
    say("policy %d, memory: %s", policy, found(memory));
    memtier_builder_delete(builder);
    size_t dram = memtier_kind_allocated_size(MEMKIND_DEFAULT);
    void *blocks[2000];
    for (int i = 0; i < 2000; i++)
        NEED(blocks[i] = memtier_malloc(memory, 100 + (size_t)(i * 37 % 1800)));
    double ratio = (double)memtier_kind_allocated_size(kind) /
                   (double)(memtier_kind_allocated_size(MEMKIND_DEFAULT) - dram);
    if (policy == MEMTIER_POLICY_STATIC_RATIO)
        say("policy %d, near the ratio: %s", policy, yes(ratio > 3.5 && ratio < 4.5));
    for (int i = 0; i < 2000; i++)
        memtier_free(blocks[i]);
    say("policy %d, left in the kind: %zu", policy, memtier_kind_allocated_size(kind));
    say("policy %d, malloc(0): %s", policy, found(memtier_malloc(memory, 0)));
    char *block = memtier_calloc(memory, 10, 100);
    say("policy %d, calloc: %s", policy, yes(block && block[999] == 0));
    mark(block, 1000, 6);
    block = memtier_realloc(memory, block, 100000);
    say("policy %d, realloc: %s", policy, yes(block && is_marked(block, 1000, 6)));
    say("policy %d, realloc to 0: %s", policy, found(memtier_realloc(memory, block, 0)));
    void *place;
    say("policy %d, alignment 64: %s", policy, error_name(memtier_posix_memalign(memory, &place, 64, 100)));
    memtier_free(place);
    say("policy %d, alignment 3: %s", policy, error_name(memtier_posix_memalign(memory, &place, 3, 100)));
    memtier_delete_memtier_memory(memory);
    memkind_destroy_kind(kind);
}

int main(void) {
    for (int policy = -1; policy <= MEMTIER_POLICY_MAX_VALUE; policy++)
        with_policy(policy);
    struct memtier_builder *builder = memtier_builder_new(MEMTIER_POLICY_STATIC_RATIO);
    say("no tiers: %s", found(memtier_builder_construct_memtier_memory(builder)));
    builder = memtier_builder_new(MEMTIER_POLICY_DYNAMIC_THRESHOLD);
    memtier_builder_add_tier(builder, MEMKIND_DEFAULT, 1);
    say("one tier of thresholds: %s", found(memtier_builder_construct_memtier_memory(builder)));
    void *block = memtier_kind_malloc(MEMKIND_REGULAR, 100);
    say("one block: %s",
        yes(memtier_kind_allocated_size(MEMKIND_REGULAR) == memtier_usable_size(block)));
    block = memtier_kind_realloc(MEMKIND_REGULAR, block, 5000);
    say("a larger one: %s",
        yes(memtier_kind_allocated_size(MEMKIND_REGULAR) == memtier_usable_size(block)));
    memtier_kind_free(MEMKIND_REGULAR, block);
    say("none: %zu", memtier_kind_allocated_size(MEMKIND_REGULAR));
    memtier_free(NULL);
    say("size of NULL: %zu", memtier_usable_size(NULL));
    return 0;
}
