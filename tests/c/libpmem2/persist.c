/* The functions of a map: persist, flush, drain, copies, deep flush, in each granularity. */
#include "../libpmem/oracle.h"
#include "pmem2.h"

static struct pmem2_map *map;
static struct pmem2_source *source;

static const char *const granularity_values[] = {"BYTE", "CACHE_LINE", "PAGE"};

static void make(int granularity, size_t size) {
    source = file_source(size);
    NEED(setenv("PMEM2_FORCE_GRANULARITY", granularity_values[granularity], 1) == 0);
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    NEED((int)pmem2_map_get_store_granularity(map) == granularity);
}

static void end(void) {
    NEED(pmem2_map_delete(&map) == 0);
    close_source(&source);
}

/* Which of the functions are the same: as many kinds as granularities need. */
static void functions(void) {
    void *found[3][6];
    for (int g = 0; g < 3; g++) {
        make(g, 8192);
        found[g][0] = (void *)pmem2_get_persist_fn(map);
        found[g][1] = (void *)pmem2_get_flush_fn(map);
        found[g][2] = (void *)pmem2_get_drain_fn(map);
        found[g][3] = (void *)pmem2_get_memmove_fn(map);
        found[g][4] = (void *)pmem2_get_memcpy_fn(map);
        found[g][5] = (void *)pmem2_get_memset_fn(map);
        int all = 1;
        for (int i = 0; i < 6; i++)
            all &= found[g][i] != NULL;
        say("functions of granularity %s: all there %s, asked again the same %s",
            granularities[g], yes(all), yes(found[g][0] == (void *)pmem2_get_persist_fn(map)));
        end();
    }
}

static void lengths(int granularity) {
    make(granularity, 16384);
    char *address = pmem2_map_get_address(map);
    pmem2_persist_fn persist = pmem2_get_persist_fn(map);
    pmem2_flush_fn flush = pmem2_get_flush_fn(map);
    pmem2_drain_fn drain = pmem2_get_drain_fn(map);
    /* Each may be a msync: few of them. */
    for (size_t at = 0; at < 130; at += 43)
        for (size_t bytes = 0; bytes < 200; bytes += 67) {
            memset(address + at, (int)(at + bytes), bytes);
            persist(address + at, bytes);
            flush(address + at, bytes);
            drain();
            for (size_t i = 0; i < bytes; i++)
                NEED(address[at + i] == (char)(at + bytes));
        }
    persist(address, 16384);
    flush(address + 16384, 0);
    say("lengths, granularity %s: ok", granularities[granularity]);
    end();
}

static char *guarded;
static size_t offset, length;
static void flush_guarded(void) { pmem2_get_flush_fn(map)(guarded + offset, length); }
static void persist_guarded(void) { pmem2_get_persist_fn(map)(guarded + offset, length); }

/* A flush of lines reads them; byte granularity flushes nothing. */
static void lines(int granularity) {
    make(granularity, 4 * PAGE);
    guarded = pmem2_map_get_address(map);
    NEED(mprotect(guarded + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0);
    static const struct {
        const char *name;
        size_t offset, length;
    } cases[] = {{"up to the end", 0, 2 * PAGE},
                 {"one beyond", 0, 2 * PAGE + 1},
                 {"only beyond", 2 * PAGE, PAGE},
                 {"nothing beyond", 2 * PAGE, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        offset = cases[i].offset, length = cases[i].length;
        int flushed = in_child(flush_guarded), persisted = in_child(persist_guarded);
        say("lines, granularity %s, %s: flush %s, persist %s", granularities[granularity],
            cases[i].name, flushed ? "fault" : "ok", persisted ? "fault" : "ok");
    }
    NEED(mprotect(guarded, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    end();
}

static void deep_flushes(int granularity) {
    make(granularity, 4 * PAGE);
    char *address = pmem2_map_get_address(map);
    const struct {
        const char *name;
        char *place;
        size_t length;
    } cases[] = {{"whole", address, 4 * PAGE},
                 {"part", address + 100, 10},
                 {"nothing", address, 0},
                 {"nothing at the end", address + 4 * PAGE, 0},
                 {"one beyond", address, 4 * PAGE + 1},
                 {"at the end", address + 4 * PAGE, 1},
                 {"before", address - 1, 2},
                 {"far away", address + 64 * PAGE, PAGE},
                 {"SIZE_MAX", address, SIZE_MAX},
                 {"SIZE_MAX in the middle", address + PAGE, SIZE_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        say("deep flush, granularity %s, %s: %s", granularities[granularity], cases[i].name,
            result_name(pmem2_deep_flush(map, cases[i].place, cases[i].length)));
    end();
}

static void copies_of(int granularity) {
    char name[60];
    make(granularity, ARENA);
    /* In the map itself where that is quick; where each copy is a msync, only that it is right. */
    if (granularity != PMEM2_GRANULARITY_PAGE) {
        NEED(munmap(arena, ARENA) == 0);
        arena = pmem2_map_get_address(map);
    }
    snprintf(name, sizeof name, "copies, granularity %s", granularities[granularity]);
    struct family family = {name, pmem2_get_memmove_fn(map), pmem2_get_memcpy_fn(map),
                            pmem2_get_memset_fn(map)};
    if (granularity != PMEM2_GRANULARITY_PAGE)
        for (unsigned flags = 0; flags <= PMEM2_F_MEM_VALID_FLAGS; flags++)
            check_family(&family, flags, flags == 0);
    else
        for (unsigned flags = 0; flags <= PMEM2_F_MEM_VALID_FLAGS; flags++) {
            char *to = pmem2_map_get_address(map);
            const char text[] = "some text that is longer than a register and than a line: 64";
            unsigned no_sync = flags | PMEM2_F_MEM_NOFLUSH;
            int right = family.copy(to + 5, text, sizeof text, no_sync) == to + 5 &&
                        !memcmp(to + 5, text, sizeof text) &&
                        family.move(to + 8, to + 5, sizeof text, no_sync) == to + 8 &&
                        !memcmp(to + 8, text, sizeof text) &&
                        family.set(to + 9, 'x', 3, flags) == to + 9 && to[8] == text[0] &&
                        to[9] == 'x' && to[11] == 'x' && to[12] == text[4];
            say("%s, flags %#x: %s", name, flags, right ? "ok" : "wrong");
        }
    NEED(pmem2_map_delete(&map) == 0);
    arena = NULL;
    close_source(&source);
}

int main(void) {
    functions();
    for (int g = 0; g < 3; g++) {
        lengths(g);
        if (g < 2)
            lines(g);
        deep_flushes(g);
    }
    for (int g = 0; g < 3; g++) {
        arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(arena != MAP_FAILED);
        copies_of(g);
    }
    return 0;
}
