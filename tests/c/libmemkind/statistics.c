/* Figures, reports, background threads, capacities. */
#include "kinds.h"

static size_t figure(memkind_t kind, memkind_stat_type which) {
    size_t value = 0;
    NEED(memkind_update_cached_stats() == 0);
    NEED(memkind_get_stat(kind, which, &value) == 0);
    return value;
}

static void count(void *total, const char *text) { *(size_t *)total += strlen(text); }

int main(void) {
    memkind_t kind = pmem_kind(64 * MIB);
    size_t value;
    memkind_free(kind, memkind_malloc(kind, 1));
    NEED(memkind_update_cached_stats() == 0); /* figures are there from the first time on */
    for (int which = -1; which <= MEMKIND_STAT_TYPE_MAX_VALUE; which++)
        say("figure %d: %d", which, memkind_get_stat(kind, (memkind_stat_type)which, &value));
    say("of all: %d", memkind_get_stat(NULL, MEMKIND_STAT_TYPE_ALLOCATED, &value));
    say("of one that is not available: %d", memkind_get_stat(MEMKIND_HBW, MEMKIND_STAT_TYPE_ACTIVE, &value));
    void *block = memkind_malloc(kind, 1000000);
    memset(block, 1, 1000000);
    size_t allocated = figure(kind, MEMKIND_STAT_TYPE_ALLOCATED);
    size_t active = figure(kind, MEMKIND_STAT_TYPE_ACTIVE);
    size_t resident = figure(kind, MEMKIND_STAT_TYPE_RESIDENT);
    say("a block, allocated: %s", yes(allocated >= 1000000 && allocated < 1300000));
    say("a block, in order: %s", yes(allocated <= active && active <= resident));
    say("a block, of all: %s", yes(figure(NULL, MEMKIND_STAT_TYPE_ALLOCATED) >= allocated));
    memkind_free(kind, block);
    say("after its free, allocated: %zu", figure(kind, MEMKIND_STAT_TYPE_ALLOCATED));
    for (unsigned options = 0; options < 4096; options = options ? options * 2 : 1) {
        size_t length = 0;
        int code = memkind_stats_print(count, &length, (memkind_stat_print_opt)options);
        say("report %u: %d, %s", options, code, length ? "text" : "nothing");
    }
    say("background threads on: %d", memkind_set_bg_threads(true));
    say("background threads off: %d", memkind_set_bg_threads(false));
    static const char *const paths[] = {MEMORY, "/nonexistent", "/proc/self/status", "/proc", ""};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        errno = 0;
        int code = memkind_check_dax_path(paths[i]);
        say("persistent memory in '%s': %d, %s", paths[i], code, error_name(errno));
    }
    return 0;
}
