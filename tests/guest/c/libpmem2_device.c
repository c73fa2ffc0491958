/* libpmem2 on a Device DAX: its source, the order of map_new's checks, reservations in units of
 * the device's alignment, granularity and flushing.
 * usage: libpmem2_device DEVICE ALIGNMENT */
#include "../../c/libpmem/probe.h"

#include <libpmem2.h>

static struct pmem2_source *source;
static size_t unit;
static size_t size;

static const char *code(int value) {
    static char texts[4][32];
    static unsigned next;
    char *text = texts[next++ % 4];
    if (value > -100000)
        snprintf(text, sizeof texts[0], "%s", error_name(-value));
    else
        snprintf(text, sizeof texts[0], "%d", value);
    return text;
}

/* What a mapping is to be. */
struct wish {
    size_t offset, length;
    enum pmem2_granularity granularity;
    enum pmem2_sharing_type sharing;
    unsigned protection;
    struct pmem2_vm_reservation *reservation;
    size_t place;
};

static const struct wish whole = {.granularity = PMEM2_GRANULARITY_PAGE,
                                  .protection = PMEM2_PROT_READ | PMEM2_PROT_WRITE};

static int try(struct wish wish, struct pmem2_map **map) {
    struct pmem2_config *config;
    NEED(pmem2_config_new(&config) == 0);
    NEED(pmem2_config_set_offset(config, wish.offset) == 0);
    NEED(pmem2_config_set_length(config, wish.length) == 0);
    NEED(pmem2_config_set_required_store_granularity(config, wish.granularity) == 0);
    NEED(pmem2_config_set_sharing(config, wish.sharing) == 0);
    NEED(pmem2_config_set_protection(config, wish.protection) == 0);
    NEED(pmem2_config_set_vm_reservation(config, wish.reservation, wish.place) == 0);
    *map = NULL;
    int result = pmem2_map_new(map, config, source);
    NEED(pmem2_config_delete(&config) == 0);
    return result;
}

static struct pmem2_map *map(struct wish wish) {
    struct pmem2_map *map;
    NEED(try(wish, &map) == 0);
    return map;
}

static void show(const char *name, struct wish wish) {
    struct pmem2_map *map;
    int result = try(wish, &map);
    if (result) {
        say("%s: %s, message %s", name, code(result), yes(*pmem2_errormsg() != 0));
        return;
    }
    char *address = pmem2_map_get_address(map);
    size_t length = pmem2_map_get_size(map);
    say("%s: mapped, %s, granularity %d, length %s, aligned %s", name, access_of(address, length),
        pmem2_map_get_store_granularity(map),
        length == size - wish.offset  ? "to the end"
        : length == wish.length ? "as asked"
                                : "another",
        yes(is_aligned(address, unit)));
    NEED(pmem2_map_delete(&map) == 0);
    say("%s, deleted: %s", name, access_of(address, length));
}

static void sources(const char *path) {
    size_t value;
    int result = pmem2_source_size(source, &value);
    size = value;
    say("source size: %s, some %s", code(result), yes(size > 0));
    result = pmem2_source_alignment(source, &value);
    say("source alignment: %s, %zu", code(result), value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    struct pmem2_source *other = source;
    result = pmem2_source_from_fd(&other, fd);
    say("source for writing only: %s, null %s", code(result), yes(other == NULL));
    close(fd);
    size_t length = 0;
    result = pmem2_source_device_id(source, NULL, &length);
    say("length of device id: %s, %zu", code(result), length);
    /* Empty, for the original appends to what is there. */
    char id[100] = "";
    length = sizeof id;
    result = pmem2_source_device_id(source, id, &length);
    say("device id: %s, of vendor 8680 %s, %zu characters", code(result),
        yes(strncmp(id, "8680-", 5) == 0), strlen(id));
    length = 5;
    result = pmem2_source_device_id(source, id, &length);
    say("device id, too little room: %s", code(result));
    uint64_t count = 0;
    result = pmem2_source_device_usc(source, &count);
    say("unsafe shutdown count: %s", code(result));
    struct pmem2_badblock_context *context = NULL;
    result = pmem2_badblock_context_new(&context, source);
    say("bad blocks: %s", code(result));
    if (result == 0) {
        struct pmem2_badblock block;
        say("first bad block: %s", code(pmem2_badblock_next(context, &block)));
        pmem2_badblock_context_delete(&context);
    }
    int node;
    result = pmem2_source_numa_node(source, &node);
    say("NUMA node: %s", code(result));
}

static void checks(void) {
    struct wish wish = whole;
    show("whole", wish);
    wish.granularity = PMEM2_GRANULARITY_CACHE_LINE;
    show("by cache lines", wish);
    wish.granularity = PMEM2_GRANULARITY_BYTE;
    show("by bytes", wish);
    wish = whole;
    wish.sharing = PMEM2_PRIVATE;
    show("private", wish);
    wish.offset = unit / 2;
    show("private from half a unit on", wish);
    wish = whole;
    wish.offset = unit;
    show("from a unit on", wish);
    wish.length = 3 * unit;
    show("three units from a unit on", wish);
    wish.length = 3 * unit - unit / 2;
    show("half a unit too little", wish);
    wish = whole;
    wish.offset = size;
    wish.length = unit;
    show("behind the end", wish);
    wish.offset = size - unit;
    wish.length = 2 * unit;
    show("over the end", wish);
    wish = whole;
    wish.protection = PMEM2_PROT_READ;
    show("to read", wish);
    wish.protection = PMEM2_PROT_NONE;
    show("without access", wish);
}

/* The first eight units of a reservation: m mapped, - reserved, _ neither. */
static const char *units(char *address) {
    static char texts[4][9];
    static unsigned next;
    char *text = texts[next++ % 4];
    for (int i = 0; i < 8; i++) {
        const char *access = access_of(address + i * unit, unit);
        text[i] = strcmp(access, "rw-s") == 0 ? 'm' : strcmp(access, "---p") == 0 ? '-' : '_';
    }
    text[8] = 0;
    return text;
}

static void reservations(void) {
    struct pmem2_vm_reservation *reservation;
    NEED(pmem2_vm_reservation_new(&reservation, NULL, 8 * unit) == 0);
    char *address = pmem2_vm_reservation_get_address(reservation);
    say("reservation: aligned %s, %s", yes(is_aligned(address, unit)), units(address));
    struct wish wish = whole;
    wish.reservation = reservation;
    struct pmem2_map *map_of[3], *found;
    wish.length = 2 * unit;
    map_of[0] = map(wish);
    wish.place = 2 * unit;
    wish.offset = 4 * unit;
    map_of[1] = map(wish);
    wish.place = 7 * unit;
    wish.length = unit;
    map_of[2] = map(wish);
    say("three maps: %s", units(address));
    say("where asked for: %s", yes(pmem2_map_get_address(map_of[1]) == address + 2 * unit));

    wish.place = 4 * unit + unit / 2;
    say("half a unit off: %s", code(try(wish, &found)));
    wish.place = 4 * unit + 1;
    say("a byte off: %s", code(try(wish, &found)));
    wish.place = 3 * unit;
    say("over another: %s", code(try(wish, &found)));
    wish.place = 8 * unit;
    say("behind the end: %s", code(try(wish, &found)));
    wish.place = 6 * unit;
    wish.length = 3 * unit;
    say("over the end: %s", code(try(wish, &found)));
    wish.place = 5 * unit;
    wish.length = unit;
    wish.granularity = PMEM2_GRANULARITY_BYTE;
    int result = try(wish, &found);
    say("by bytes: %s", code(result));
    if (result == 0)
        NEED(pmem2_map_delete(&found) == 0);
    wish.granularity = PMEM2_GRANULARITY_PAGE;
    wish.sharing = PMEM2_PRIVATE;
    say("private: %s", code(try(wish, &found)));
    wish.sharing = PMEM2_SHARED;
    say("after those: %s", units(address));

    memset(address, 1, 2 * unit);
    memset(address + 7 * unit, 2, unit);
    result = pmem2_map_delete(&map_of[1]);
    say("the middle deleted: %s, %s", code(result), units(address));
    int kept = 1;
    for (size_t i = 0; i < unit; i += PAGE)
        kept &= address[i] == 1 && address[unit + i] == 1 && address[7 * unit + i] == 2;
    say("neighbours keep their content: %s", yes(kept));
    wish.place = 3 * unit;
    map_of[1] = map(wish);
    say("mapped again: %s", units(address));

    say("first: %s", yes(pmem2_vm_reservation_map_find_first(reservation, &found) == 0 &&
                         found == map_of[0]));
    say("next: %s", yes(pmem2_vm_reservation_map_find_next(reservation, map_of[0], &found) == 0 &&
                        found == map_of[1]));
    say("last: %s", yes(pmem2_vm_reservation_map_find_last(reservation, &found) == 0 &&
                        found == map_of[2]));
    say("by range: %s", yes(pmem2_vm_reservation_map_find(reservation, 2 * unit, 2 * unit,
                                                          &found) == 0 &&
                            found == map_of[1]));
    say("none there: %s",
        code(pmem2_vm_reservation_map_find(reservation, 4 * unit, 3 * unit, &found)));

    say("delete while it is used: %s", code(pmem2_vm_reservation_delete(&reservation)));
    NEED(pmem2_map_delete(&map_of[2]) == 0);
    say("shrink at the end: %s",
        code(pmem2_vm_reservation_shrink(reservation, 6 * unit, 2 * unit)));
    for (int i = 0; i < 2; i++)
        NEED(pmem2_map_delete(&map_of[i]) == 0);
    say("all deleted: %.6s", units(address));
    result = pmem2_vm_reservation_delete(&reservation);
    say("reservation deleted: %s, %.6s", code(result), units(address));
}

static void flushing(void) {
    struct pmem2_map *first = map(whole), *second = map(whole);
    char *address = pmem2_map_get_address(first), *other = pmem2_map_get_address(second);
    char text[3000];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 11);
    pmem2_get_memcpy_fn(first)(address + 1, text, sizeof text, 0);
    pmem2_get_memset_fn(first)(address + 5000, 9, sizeof text, PMEM2_F_MEM_NONTEMPORAL);
    pmem2_get_memmove_fn(first)(address + 2 * unit, address + 1, sizeof text, PMEM2_F_MEM_TEMPORAL);
    say("copied and set, seen through another map: %s",
        yes(memcmp(other + 1, text, sizeof text) == 0 && other[5000] == 9 &&
            other[5000 + sizeof text - 1] == 9 &&
            memcmp(other + 2 * unit, text, sizeof text) == 0));
    address[0] = 5;
    pmem2_get_persist_fn(first)(address, 1);
    pmem2_get_flush_fn(first)(address + size - unit, unit);
    pmem2_get_drain_fn(first)();
    say("deep flush of a unit: %s", code(pmem2_deep_flush(first, address + unit, unit)));
    say("deep flush of a byte: %s", code(pmem2_deep_flush(first, address + 7, 1)));
    say("deep flush over the end: %s", code(pmem2_deep_flush(first, address + 1, size)));
    NEED(pmem2_map_delete(&second) == 0);
    NEED(pmem2_map_delete(&first) == 0);
}

static void existing(void) {
    int fd;
    NEED(pmem2_source_get_fd(source, &fd) == 0);
    char *address = mmap(NULL, 4 * unit, PROT_READ, MAP_SHARED, fd, 0);
    NEED(address != MAP_FAILED);
    struct pmem2_map *map = NULL, *second = NULL;
    int result = pmem2_map_from_existing(&map, source, address, 4 * unit, PMEM2_GRANULARITY_PAGE);
    say("from existing: %s", code(result));
    result = pmem2_map_from_existing(&second, source, address + unit, unit, PMEM2_GRANULARITY_PAGE);
    say("from existing, a part again: %s", code(result));
    result = pmem2_map_delete(&map);
    say("from existing, deleted: %s, %s", code(result), access_of(address, 4 * unit));
    NEED(munmap(address, 4 * unit) == 0);
}

static void leaks(void) {
    size_t mapped = mapped_bytes();
    int open = open_descriptors();
    for (int i = 0; i < 100; i++) {
        struct pmem2_vm_reservation *reservation;
        NEED(pmem2_vm_reservation_new(&reservation, NULL, 8 * MIB) == 0);
        struct wish wish = whole;
        wish.reservation = reservation;
        wish.length = unit;
        wish.place = unit;
        struct pmem2_map *one = map(wish);
        NEED(pmem2_map_delete(&one) == 0);
        NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    }
    say("after 100 reservations: descriptors %+d, mapped %+jd MiB", open_descriptors() - open,
        (intmax_t)(mapped_bytes() - mapped) / (intmax_t)MIB);
}

int main(int count, char **arguments) {
    NEED(count == 3);
    unit = strtoul(arguments[2], NULL, 10);
    int fd = open(arguments[1], O_RDWR | O_CLOEXEC);
    NEED(fd >= 0);
    int result = pmem2_source_from_fd(&source, fd);
    say("source: %s", code(result));
    NEED(result == 0);
    sources(arguments[1]);
    checks();
    reservations();
    flushing();
    existing();
    leaks();
    NEED(pmem2_source_delete(&source) == 0);
    close(fd);
    return 0;
}
