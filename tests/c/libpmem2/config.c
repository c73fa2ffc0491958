/* Configs: which values each setter takes, and that a refused one changes nothing. */
#include "pmem2.h"

int main(void) {
    struct pmem2_config *config = (struct pmem2_config *)(uintptr_t)UNTOUCHED;
    print_result("new", pmem2_config_new(&config));

    static const size_t offsets[] = {0, 1, 4096, INT64_MAX, (size_t)INT64_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        say("offset %#zx: %s", offsets[i],
            result_name(pmem2_config_set_offset(config, offsets[i])));
    static const size_t lengths[] = {0, 1, 4096, INT64_MAX, SIZE_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        say("length %#zx: %s", lengths[i],
            result_name(pmem2_config_set_length(config, lengths[i])));
    for (int g = -1; g < 5; g++)
        say("granularity %d: %s", g,
            result_name(pmem2_config_set_required_store_granularity(
                config, (enum pmem2_granularity)g)));
    for (int s = -1; s < 4; s++)
        say("sharing %d: %s", s,
            result_name(pmem2_config_set_sharing(config, (enum pmem2_sharing_type)s)));
    for (unsigned bit = 0; bit < 32; bit++)
        say("protection %#x: %s", 1U << bit,
            result_name(pmem2_config_set_protection(config, 1U << bit)));
    static const unsigned protections[] = {
        PMEM2_PROT_NONE, PMEM2_PROT_READ | PMEM2_PROT_WRITE,
        PMEM2_PROT_READ | PMEM2_PROT_WRITE | PMEM2_PROT_EXEC, PMEM2_PROT_READ | 1, UINT_MAX};
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++)
        say("protection %#x, several: %s", protections[i],
            result_name(pmem2_config_set_protection(config, protections[i])));
    say("no reservation: %s", result_name(pmem2_config_set_vm_reservation(config, NULL, 0)));
    say("no reservation at an odd offset: %s",
        result_name(pmem2_config_set_vm_reservation(config, NULL, 12345)));
    int deleted = pmem2_config_delete(&config);
    say("delete: %s, pointer %s", result_name(deleted), config ? "kept" : "null");
    say("delete nothing: %s", result_name(pmem2_config_delete(&config)));

    /* A refused value leaves the one before. */
    struct pmem2_source *source = file_source(16384);
    struct pmem2_map *map;
    config = config_of(4096, 8192);
    NEED(pmem2_config_set_offset(config, SIZE_MAX) != 0);
    NEED(pmem2_config_set_sharing(config, (enum pmem2_sharing_type)7) != 0);
    NEED(pmem2_config_set_protection(config, 5) != 0);
    NEED(pmem2_config_set_required_store_granularity(config, (enum pmem2_granularity)9) != 0);
    int result = pmem2_map_new(&map, config, source);
    say("map after refused values: %s, %zu bytes, %s", result_name(result),
        pmem2_map_get_size(map), access_of(pmem2_map_get_address(map), 8192));
    NEED(pmem2_map_delete(&map) == 0);

    /* A config serves many maps, changed or not, and may go first. */
    struct pmem2_map *again, *other;
    NEED(pmem2_map_new(&map, config, source) == 0);
    NEED(pmem2_map_new(&again, config, source) == 0);
    NEED(pmem2_config_set_length(config, 4096) == 0);
    NEED(pmem2_map_new(&other, config, source) == 0);
    NEED(pmem2_config_delete(&config) == 0);
    say("maps of one config: %zu %zu %zu bytes", pmem2_map_get_size(map),
        pmem2_map_get_size(again), pmem2_map_get_size(other));
    NEED(pmem2_map_delete(&map) == 0 && pmem2_map_delete(&again) == 0);
    NEED(pmem2_map_delete(&other) == 0);
    close_source(&source);
    return 0;
}
