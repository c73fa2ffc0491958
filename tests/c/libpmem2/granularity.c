/* Which granularity a map has, which it may require, and PMEM2_FORCE_GRANULARITY. */
#include "pmem2.h"

static void try_all(const char *setting) {
    static const char *const kinds[] = {"file", "private", "anonymous", "private anonymous"};
    for (int kind = 0; kind < 4; kind++) {
        struct pmem2_source *source;
        if (kind < 2)
            source = file_source(8192);
        else
            NEED(pmem2_source_from_anon(&source, 8192) == 0);
        char results[200] = "";
        for (int required = 0; required < 3; required++) {
            struct pmem2_config *config = config_of(0, 0);
            struct pmem2_map *map;
            NEED(pmem2_config_set_required_store_granularity(
                     config, (enum pmem2_granularity)required) == 0);
            NEED(pmem2_config_set_sharing(config, kind % 2 ? PMEM2_PRIVATE : PMEM2_SHARED) == 0);
            int result = map_with(&map, config, source);
            size_t end = strlen(results);
            snprintf(results + end, sizeof results - end, " %s: %s;", granularities[required],
                     result == 0 ? granularities[pmem2_map_get_store_granularity(map)]
                                 : result_name(result));
            if (result == 0)
                NEED(pmem2_map_delete(&map) == 0);
        }
        say("%s, %s, required%s", setting, kinds[kind], results);
        close_source(&source);
    }
}

int main(void) {
    static const char *const values[] = {"BYTE",  "CACHE_LINE", "CACHELINE", "PAGE",  "byte",
                                         "Byte",  "cache_line", "CacheLine", "page",  "pAgE",
                                         "bytes", "CACHE-LINE", "",          " byte", "byte ",
                                         "0",     "1"};
    try_all("not forced");
    /* Read at each map. */
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char name[60];
        NEED(setenv("PMEM2_FORCE_GRANULARITY", values[i], 1) == 0);
        snprintf(name, sizeof name, "forced '%s'", values[i]);
        try_all(name);
    }
    NEED(unsetenv("PMEM2_FORCE_GRANULARITY") == 0);
    try_all("no longer forced");
    /* libpmem's variables are not libpmem2's. */
    NEED(setenv("PMEM_IS_PMEM_FORCE", "1", 1) == 0);
    NEED(setenv("PMEM_NO_FLUSH", "1", 1) == 0);
    try_all("forced for libpmem");

    /* A map keeps what it was made with. */
    struct pmem2_source *source = file_source(8192);
    struct pmem2_map *map;
    NEED(setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1) == 0);
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    NEED(setenv("PMEM2_FORCE_GRANULARITY", "BYTE", 1) == 0);
    say("made with cache line: %s", granularities[pmem2_map_get_store_granularity(map)]);
    NEED(pmem2_map_delete(&map) == 0);
    close_source(&source);
    return 0;
}
