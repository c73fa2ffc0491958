/* A thousand of everything leaves nothing: no descriptor, no address space, no file. */
#include "pmem2.h"

static struct pmem2_source *file;

static void maps_of_round(int i) {
    struct pmem2_source *anonymous;
    struct pmem2_map *map;
    NEED(pmem2_source_from_anon(&anonymous, PAGE + (size_t)i) == 0);
    NEED(map_with(&map, config_of(0, 0), i % 2 ? anonymous : file) == 0);
    NEED(pmem2_map_delete(&map) == 0);
    NEED(map_with(&map, config_of(1, 0), file) != 0 && !map);
    NEED(map_with(&map, config_of(100 * PAGE, PAGE), file) != 0);
    struct pmem2_config *config = config_of(0, 0);
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_BYTE) == 0);
    NEED(map_with(&map, config, file) != 0);
    NEED(pmem2_source_delete(&anonymous) == 0);
    NEED(pmem2_source_from_fd(&anonymous, -1) != 0);
}

static void reservation_of_round(int i) {
    struct pmem2_vm_reservation *reservation;
    struct pmem2_map *first, *second, *refused;
    NEED(pmem2_vm_reservation_new(&reservation, NULL, (size_t)(8 + i % 8) * PAGE) == 0);
    NEED(map_into(&first, reservation, 0, file, 0, 2 * PAGE) == 0);
    NEED(map_into(&second, reservation, 3 * PAGE, file, PAGE, PAGE) == 0);
    NEED(map_into(&refused, reservation, PAGE, file, 0, PAGE) != 0);
    NEED(map_into(&refused, reservation, 100 * PAGE, file, 0, PAGE) != 0);
    NEED(pmem2_vm_reservation_delete(&reservation) != 0);
    NEED(pmem2_map_delete(&first) == 0);
    NEED(pmem2_vm_reservation_shrink(reservation, 0, PAGE) == 0);
    NEED(pmem2_vm_reservation_shrink(
             reservation, pmem2_vm_reservation_get_size(reservation) - PAGE, PAGE) == 0);
    NEED(pmem2_map_delete(&second) == 0);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
}

int main(void) {
    file = file_source(2 * PAGE);
    for (int i = 0; i < 10; i++) {
        maps_of_round(i);
        reservation_of_round(i);
    }
    int descriptors = open_descriptors();
    size_t mapped = mapped_bytes();
    for (int i = 0; i < 1000; i++)
        maps_of_round(i);
    say("a thousand rounds of maps left: %d descriptors, %zd MiB of address space, %d files",
        open_descriptors() - descriptors, (ssize_t)(mapped_bytes() - mapped) / (ssize_t)MIB,
        entries_of("."));
    mapped = mapped_bytes();
    for (int i = 0; i < 1000; i++)
        reservation_of_round(i);
    say("a thousand rounds of reservations left: %d descriptors, %zd MiB of address space",
        open_descriptors() - descriptors, (ssize_t)(mapped_bytes() - mapped) / (ssize_t)MIB);
    close_source(&file);
    return 0;
}
