/* The maps of a reservation, by range and in order. */
#include "pmem2.h"

static struct pmem2_map *const POISON = (struct pmem2_map *)(uintptr_t)UNTOUCHED;
static struct pmem2_vm_reservation *reservation;
static struct pmem2_map *maps[3]; /* pages 1 and 2, 3, and 6 */
static struct pmem2_map *stranger;

static const char *name_of(int result, struct pmem2_map *map) {
    static char text[8][60];
    static unsigned next;
    char *name = text[next++ % 8];
    const char *which = map == NULL       ? "null"
                        : map == POISON   ? "untouched"
                        : map == maps[0]  ? "first"
                        : map == maps[1]  ? "second"
                        : map == maps[2]  ? "third"
                        : map == stranger ? "stranger"
                                          : "unknown";
    snprintf(name, 60, "%s %s", result_name(result), which);
    return name;
}

static void find_named(const char *name, size_t offset, size_t length) {
    struct pmem2_map *map = POISON;
    int result = pmem2_vm_reservation_map_find(reservation, offset, length, &map);
    say("%s: %s", name, name_of(result, map));
}

static void find(size_t offset, size_t length) {
    char name[60];
    snprintf(name, sizeof name, "find %#zx, %#zx", offset, length);
    find_named(name, offset, length);
}

static void ends(const char *name) {
    struct pmem2_map *first = POISON, *last = POISON;
    int result_first = pmem2_vm_reservation_map_find_first(reservation, &first);
    int result_last = pmem2_vm_reservation_map_find_last(reservation, &last);
    say("%s: first %s, last %s", name, name_of(result_first, first),
        name_of(result_last, last));
}

static void steps(const char *name, struct pmem2_map *map) {
    struct pmem2_map *previous = POISON, *next = POISON;
    int result_previous = pmem2_vm_reservation_map_find_prev(reservation, map, &previous);
    int result_next = pmem2_vm_reservation_map_find_next(reservation, map, &next);
    say("%s: previous %s, next %s", name, name_of(result_previous, previous),
        name_of(result_next, next));
}

int main(void) {
    struct pmem2_source *file = file_source(8 * PAGE), *odd = file_source(5000);
    NEED(pmem2_vm_reservation_new(&reservation, NULL, 8 * PAGE) == 0);
    find_named("no maps, find in the whole", 0, 8 * PAGE);
    find_named("no maps, find at the start", 0, 0);
    ends("no maps");

    NEED(map_into(&maps[1], reservation, 3 * PAGE, file, 0, PAGE) == 0);
    ends("one map");
    steps("of the only one", maps[1]);
    NEED(map_into(&maps[2], reservation, 6 * PAGE, file, 0, PAGE) == 0);
    NEED(map_into(&maps[0], reservation, 1 * PAGE, file, 0, 2 * PAGE) == 0);
    ends("three maps");
    steps("of the first", maps[0]);
    steps("of the second", maps[1]);
    steps("of the third", maps[2]);

    NEED(map_with(&stranger, config_of(0, 0), file) == 0);
    static const size_t offsets[] = {0,
                                     1,
                                     PAGE - 1,
                                     PAGE,
                                     PAGE + 1,
                                     3 * PAGE - 1,
                                     3 * PAGE,
                                     4 * PAGE - 1,
                                     4 * PAGE,
                                     5 * PAGE,
                                     6 * PAGE,
                                     7 * PAGE - 1,
                                     7 * PAGE,
                                     8 * PAGE - 1,
                                     8 * PAGE,
                                     100 * PAGE};
    static const size_t lengths[] = {0, 1, PAGE, 3 * PAGE, 8 * PAGE, 100 * PAGE};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
            find(offsets[i], lengths[k]);

    find(0, SIZE_MAX);
    find(PAGE, SIZE_MAX);
    find(SIZE_MAX, 0);
    find(SIZE_MAX, 1);
    find(SIZE_MAX, SIZE_MAX);
    find(SIZE_MAX - PAGE + 1, 4 * PAGE);

    NEED(pmem2_map_delete(&maps[1]) == 0);
    steps("of the first, without the second", maps[0]);
    steps("of the third, without the second", maps[2]);
    NEED(map_into(&maps[1], reservation, 3 * PAGE, odd, 0, 0) == 0);
    find(4 * PAGE + 903, 1);
    find(4 * PAGE + 904, 1);
    find(5 * PAGE - 1, 1);

    /* What was found can be deleted, and its pointer is the map's own. */
    struct pmem2_map *found;
    int count = 0;
    while (pmem2_vm_reservation_map_find_first(reservation, &found) == 0) {
        NEED(pmem2_map_delete(&found) == 0);
        count++;
    }
    say("deleted one after the other: %d", count);
    ends("all gone");
    NEED(pmem2_map_delete(&stranger) == 0);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    close_source(&file);
    close_source(&odd);
    return 0;
}
