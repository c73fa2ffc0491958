/* Maps in reservations: what goes in where, what is refused, what deleting leaves. */
#include "pmem2.h"

enum { PAGES = 8 };

static struct pmem2_map *const POISON = (struct pmem2_map *)(uintptr_t)UNTOUCHED;
static struct pmem2_vm_reservation *reservation;
static char *base;
static struct pmem2_source *file; /* of eight pages, each full of its letter */

/* A letter a page: what it reads as, r for reserved, _ for a hole. */
static const char *picture(void) {
    static char text[PAGES + 1];
    for (int i = 0; i < PAGES; i++) {
        const char *access = access_of(base + i * PAGE, PAGE);
        text[i] = !strcmp(access, "---p")  ? 'r'
                  : !strcmp(access, "none") ? '_'
                  : access[0] == 'r'        ? base[i * PAGE] ? base[i * PAGE] : '0'
                                            : '?';
    }
    return text;
}

static void print_map(const char *name, int result, struct pmem2_map **made) {
    struct pmem2_map *map = *made;
    if (result != 0)
        say("%s: %s, pointer %s; %s", name, result_name(result),
            map == NULL ? "null" : map == POISON ? "untouched" : "other", picture());
    else
        say("%s: %zu bytes at +%td, %s; %s", name, pmem2_map_get_size(map),
            (char *)pmem2_map_get_address(map) - base,
            granularities[pmem2_map_get_store_granularity(map)], picture());
}

/* Maps, prints, and unmaps what went in. */
static void try(const char *name, size_t at, const struct pmem2_source *source, size_t offset,
                size_t length) {
    struct pmem2_map *map = POISON;
    int result = map_into(&map, reservation, at, source, offset, length);
    print_map(name, result, &map);
    if (result == 0)
        NEED(pmem2_map_delete(&map) == 0 && !map);
}

static struct pmem2_map *put(size_t page, size_t from, size_t pages) {
    struct pmem2_map *map;
    NEED(map_into(&map, reservation, page * PAGE, file, from * PAGE, pages * PAGE) == 0);
    return map;
}

static void places(void) {
    try("whole", 0, file, 0, 0);
    try("whole, a page on", PAGE, file, 0, 0);
    try("first page", 0, file, 0, PAGE);
    try("last page at the end", 7 * PAGE, file, 7 * PAGE, PAGE);
    try("third page at the fifth place", 4 * PAGE, file, 2 * PAGE, PAGE);
    try("tail of the file", 2 * PAGE, file, 6 * PAGE, 0);
    try("too much at the end", 7 * PAGE, file, 0, 2 * PAGE);
    try("at the end", 8 * PAGE, file, 0, PAGE);
    try("beyond the end", 9 * PAGE, file, 0, PAGE);
    try("odd place", 1, file, 0, PAGE);
    try("odd place beyond the end", 9 * PAGE + 1, file, 0, PAGE);
    try("largest place", SIZE_MAX - PAGE + 1, file, 0, PAGE);
    try("place that wraps", SIZE_MAX - PAGE + 1, file, 0, 2 * PAGE);
    try("largest place, odd", SIZE_MAX, file, 0, PAGE);
    try("odd length", 0, file, 0, 100);
    try("odd offset", 0, file, 1, PAGE);
    try("beyond the file", 0, file, 8 * PAGE, PAGE);
    try("longer than the file", 0, file, 4 * PAGE, 5 * PAGE);
    try("odd place, odd length", 1, file, 0, 100);
    try("nothing of the file", 0, file, 8 * PAGE, 0);
    try("nothing of the file, odd place", 1, file, 8 * PAGE, 0);
    try("nothing of the file, beyond the end", 9 * PAGE, file, 8 * PAGE, 0);

    struct pmem2_source *odd = file_source(5000), *empty = file_source(0), *anonymous;
    try("5000 bytes", 0, odd, 0, 0);
    try("5000 bytes at the end", 6 * PAGE, odd, 0, 0);
    try("5000 bytes at the last page", 7 * PAGE, odd, 0, 0);
    try("empty", 0, empty, 0, 0);
    NEED(pmem2_source_from_anon(&anonymous, 2 * PAGE) == 0);
    try("anonymous", 3 * PAGE, anonymous, 0, 0);
    try("anonymous, first page", 3 * PAGE, anonymous, 0, PAGE);
    try("anonymous at the last page", 7 * PAGE, anonymous, 0, 0);
    close_source(&odd);
    close_source(&empty);
    close_source(&anonymous);
}

static void neighbours(void) {
    struct pmem2_map *first = put(2, 2, 2), *second, *third;
    say("one map: %s", picture());
    try("over it", 2 * PAGE, file, 0, 2 * PAGE);
    try("over its beginning", PAGE, file, 0, 2 * PAGE);
    try("over its end", 3 * PAGE, file, 0, 2 * PAGE);
    try("inside it", 3 * PAGE, file, 0, PAGE);
    try("nothing inside it", 3 * PAGE, file, 8 * PAGE, 0);
    try("around it", 0, file, 0, 8 * PAGE);
    try("right before it", PAGE, file, 0, PAGE);
    try("right behind it", 4 * PAGE, file, 0, PAGE);
    second = put(4, 4, 2);
    third = put(1, 0, 1);
    say("three maps: %s", picture());
    NEED(pmem2_map_delete(&first) == 0);
    say("without the middle one: %s", picture());
    first = put(2, 6, 2);
    say("with another in its place: %s", picture());
    say("delete with three maps: %s",
        result_name(pmem2_vm_reservation_delete(&reservation)));
    NEED(reservation != NULL);
    NEED(pmem2_map_delete(&first) == 0 && pmem2_map_delete(&third) == 0);
    say("delete with one map: %s", result_name(pmem2_vm_reservation_delete(&reservation)));
    NEED(pmem2_map_delete(&second) == 0);
    say("all gone: %s", picture());

    /* A map that ends within a page has that page for itself. */
    struct pmem2_source *odd = file_source(5000);
    NEED(map_into(&first, reservation, 0, odd, 0, 0) == 0);
    try("over the second page of 5000 bytes", PAGE, file, 0, PAGE);
    try("behind the second page of 5000 bytes", 2 * PAGE, file, 2 * PAGE, PAGE);
    NEED(pmem2_map_delete(&first) == 0);
    close_source(&odd);
}

/* What fails late must leave the place reserved. */
static void failures(void) {
    int fd;
    char path[60];
    NEED(pmem2_source_get_fd(file, &fd) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int only_read = open(path, O_RDONLY | O_CLOEXEC), only_path = open(path, O_PATH | O_CLOEXEC);
    struct pmem2_source *source = source_of(only_read);
    try("no access", 2 * PAGE, source, 0, 2 * PAGE);
    NEED(pmem2_source_delete(&source) == 0);
    source = source_of(only_path);
    try("path only", 2 * PAGE, source, 0, 2 * PAGE);
    NEED(pmem2_source_delete(&source) == 0);
    close(only_read), close(only_path);

    struct pmem2_config *config = config_of(0, 2 * PAGE);
    struct pmem2_map *map = POISON;
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_BYTE) == 0);
    NEED(pmem2_config_set_vm_reservation(config, reservation, 2 * PAGE) == 0);
    int result = map_with(&map, config, file);
    print_map("granularity not to be had", result, &map);
    struct pmem2_map *taken = put(3, 3, 1);
    map = POISON;
    config = config_of(0, 2 * PAGE);
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_BYTE) == 0);
    NEED(pmem2_config_set_vm_reservation(config, reservation, 2 * PAGE) == 0);
    result = map_with(&map, config, file);
    print_map("granularity not to be had, and taken", result, &map);
    NEED(pmem2_map_delete(&taken) == 0);
    struct pmem2_map *after = put(2, 2, 2);
    say("after failures: %s", picture());
    NEED(pmem2_map_delete(&after) == 0);
}

static void properties(void) {
    struct pmem2_config *config = config_of(0, PAGE);
    struct pmem2_map *private, *shared, *read_only;
    NEED(pmem2_config_set_vm_reservation(config, reservation, 0) == 0);
    NEED(pmem2_config_set_sharing(config, PMEM2_PRIVATE) == 0);
    NEED(map_with(&private, config, file) == 0);
    shared = put(1, 0, 1);
    config = config_of(0, PAGE);
    NEED(pmem2_config_set_vm_reservation(config, reservation, 2 * PAGE) == 0);
    NEED(pmem2_config_set_protection(config, PMEM2_PROT_READ) == 0);
    NEED(map_with(&read_only, config, file) == 0);
    say("properties: private %s %s, shared %s %s, for reading %s %s", access_of(base, PAGE),
        granularities[pmem2_map_get_store_granularity(private)], access_of(base + PAGE, PAGE),
        granularities[pmem2_map_get_store_granularity(shared)],
        access_of(base + 2 * PAGE, PAGE),
        granularities[pmem2_map_get_store_granularity(read_only)]);
    base[0] = 'P';
    base[PAGE] = 'S';
    say("one page three times: %c%c%c", base[0], base[PAGE], base[2 * PAGE]);
    base[PAGE] = 'a';
    NEED(pmem2_map_delete(&private) == 0 && pmem2_map_delete(&shared) == 0 &&
         pmem2_map_delete(&read_only) == 0);

    /* One config, several maps; it may go before them. */
    config = config_of(0, PAGE);
    NEED(pmem2_config_set_vm_reservation(config, reservation, 0) == 0);
    NEED(pmem2_map_new(&private, config, file) == 0);
    NEED(pmem2_config_set_vm_reservation(config, reservation, PAGE) == 0);
    NEED(pmem2_map_new(&shared, config, file) == 0);
    NEED(pmem2_config_set_vm_reservation(config, NULL, PAGE) == 0);
    NEED(pmem2_map_new(&read_only, config, file) == 0);
    NEED(pmem2_config_delete(&config) == 0);
    char *outside = pmem2_map_get_address(read_only);
    say("one config: %s, without a reservation elsewhere %s", picture(),
        yes(outside < base || outside >= base + PAGES * PAGE));
    NEED(pmem2_map_delete(&private) == 0 && pmem2_map_delete(&shared) == 0 &&
         pmem2_map_delete(&read_only) == 0);
}

/* Reservations that change while they hold maps. */
static void changes(void) {
    struct pmem2_map *map = put(2, 2, 2);
    char *address = pmem2_map_get_address(map);
    print_result("shrink over a map at the start",
                 pmem2_vm_reservation_shrink(reservation, 0, 3 * PAGE));
    print_result("shrink over a map at the end",
                 pmem2_vm_reservation_shrink(reservation, 3 * PAGE, 5 * PAGE));
    print_result("shrink up to a map at the start",
                 pmem2_vm_reservation_shrink(reservation, 0, 2 * PAGE));
    say("shrunk at the start: starts at +%td, %zu pages, map %s",
        (char *)pmem2_vm_reservation_get_address(reservation) - base,
        pmem2_vm_reservation_get_size(reservation) / PAGE,
        pmem2_map_get_address(map) == address ? "kept" : "moved");
    struct pmem2_map *found;
    print_result("find by the new offset",
                 pmem2_vm_reservation_map_find(reservation, 0, PAGE, &found));
    say("found by the new offset: %s", yes(found == map));
    print_result("shrink up to a map at the end",
                 pmem2_vm_reservation_shrink(reservation, 2 * PAGE, 4 * PAGE));
    say("shrunk at the end: %zu pages", pmem2_vm_reservation_get_size(reservation) / PAGE);
    print_result("shrink, all is a map", pmem2_vm_reservation_shrink(reservation, 0, PAGE));
    print_result("extend, all is a map", pmem2_vm_reservation_extend(reservation, PAGE));
    base = pmem2_vm_reservation_get_address(reservation);
    struct pmem2_map *second;
    int result = map_into(&second, reservation, 2 * PAGE, file, 0, PAGE);
    say("map what was extended: %s, at +%td", result_name(result),
        (char *)pmem2_map_get_address(second) - base);
    NEED(pmem2_map_delete(&second) == 0 && pmem2_map_delete(&map) == 0);
    say("after all: %zu pages, %s", pmem2_vm_reservation_get_size(reservation) / PAGE,
        access_of(base, 3 * PAGE));
}

/* Two reservations and none do not mix. */
static void several(void) {
    struct pmem2_vm_reservation *other;
    NEED(pmem2_vm_reservation_new(&other, NULL, PAGES * PAGE) == 0);
    struct pmem2_map *mine = put(0, 0, 1), *others;
    NEED(map_into(&others, other, 0, file, PAGE, PAGE) == 0);
    char *address = pmem2_vm_reservation_get_address(other);
    say("two reservations: %c %c", base[0], address[0]);
    NEED(pmem2_map_delete(&mine) == 0);
    say("two reservations, one map deleted: %s, %c", picture(), address[0]);
    NEED(pmem2_map_delete(&others) == 0);
    NEED(pmem2_vm_reservation_delete(&other) == 0);
    say("two reservations, one deleted: %s, %s", picture(), access_of(address, PAGES * PAGE));
}

/* With nothing near it: a map that went astray would hit nobody. */
static void reserve(void) {
    char *place = free_range(16 * MIB, 2 * MIB) + 8 * MIB;
    NEED(pmem2_vm_reservation_new(&reservation, place, PAGES * PAGE) == 0);
    base = pmem2_vm_reservation_get_address(reservation);
}

int main(void) {
    int before = open_descriptors();
    file = file_source(PAGES * PAGE);
    int fd;
    NEED(pmem2_source_get_fd(file, &fd) == 0);
    for (int i = 0; i < PAGES; i++) {
        char letter = (char)('a' + i);
        NEED(pwrite(fd, &letter, 1, (off_t)(i * PAGE)) == 1);
    }
    reserve();
    places();
    neighbours();
    failures();
    properties();
    several();
    changes();
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    close_source(&file);
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
