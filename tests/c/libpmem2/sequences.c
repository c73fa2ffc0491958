/* Sequences of operations on reservations, chosen by chance from a seed: what each returns and
 * what memory looks like after it. One line a seed; of one seed, every step.
 * usage: sequences [SEED] */
#include "pmem2.h"

enum { SEEDS = 40, STEPS = 150, RESERVATIONS = 3, MAPS = 12, ROOM = 32 };

/* Each reservation has room for itself to grow, and for what the other library keeps behind. */
static char *rooms[RESERVATIONS];
static struct pmem2_vm_reservation *reservations[RESERVATIONS];
static struct pmem2_map *maps[MAPS];
static struct pmem2_source *file, *odd;
static int shows_steps;
static uint32_t state, digest;

static unsigned chance(unsigned below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

__attribute__((format(printf, 2, 3))) static void step(int number, const char *format, ...) {
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (const char *c = text; *c; c++)
        digest = (digest ^ (unsigned char)*c) * 16777619;
    if (shows_steps)
        say("step %d: %s", number, text);
}

static const char *name_of(const struct pmem2_map *map) {
    static const char *const names[MAPS] = {"A", "B", "C", "D", "E", "F",
                                            "G", "H", "I", "J", "K", "L"};
    for (int i = 0; i < MAPS; i++)
        if (map && maps[i] == map)
            return names[i];
    return map ? "?" : "-";
}

/* A letter a page of what can be read, r where only addresses are held. */
static void append_picture(char *text, struct pmem2_vm_reservation *reservation) {
    char *base = pmem2_vm_reservation_get_address(reservation);
    size_t pages = pmem2_vm_reservation_get_size(reservation) / PAGE;
    char *end = text + strlen(text);
    for (size_t i = 0; i < pages; i++) {
        const char *access = access_of(base + i * PAGE, PAGE);
        *end++ = !strcmp(access, "---p")    ? 'r'
                 : !strcmp(access, "none")  ? '_'
                 : !strncmp(access, "rw", 2) ? base[i * PAGE] ? base[i * PAGE] : '0'
                                             : '?';
    }
    *end = 0;
}

/* Gives back what the other library leaves of a deleted reservation. */
static void forget(unsigned r) { NEED(munmap(rooms[r], ROOM * MIB) == 0); }

static void make(int number, unsigned r) {
    size_t pages = 1 + chance(16);
    char *place = rooms[r] + chance(8) * PAGE;
    int result = pmem2_vm_reservation_new(&reservations[r], place, pages * PAGE);
    step(number, "new %zu pages: %s, at +%td", pages, result_name(result),
         result ? -1 : (char *)pmem2_vm_reservation_get_address(reservations[r]) - rooms[r]);
}

static void put(int number, unsigned r, unsigned m) {
    unsigned at = chance(20), from = chance(9), pages = chance(5), kind = chance(8);
    struct pmem2_source *source = kind == 0 ? odd : file;
    size_t length = kind == 1 ? pages * PAGE + 1 : pages * PAGE;
    if (kind == 0)
        from = length = 0;
    if (from == 8 && length == 0) /* nothing: refused, but not by all in the same order */
        from = 7;
    struct pmem2_config *config = config_of(from * PAGE, length);
    NEED(pmem2_config_set_vm_reservation(config, reservations[r], at * PAGE + (kind == 2)) == 0);
    if (kind == 3)
        NEED(pmem2_config_set_sharing(config, PMEM2_PRIVATE) == 0);
    if (kind == 4)
        NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_BYTE) == 0);
    int result = map_with(&maps[m], config, source);
    NEED(result == 0 || !maps[m]);
    step(number, "map %u from %u, %zu bytes, kind %u: %s", at, from, length, kind,
         result_name(result));
}

static void find(int number, unsigned r) {
    size_t offset = chance(18) * PAGE + chance(3), length = chance(6) * PAGE;
    struct pmem2_map *by_range, *first, *last;
    int result = pmem2_vm_reservation_map_find(reservations[r], offset, length, &by_range);
    pmem2_vm_reservation_map_find_first(reservations[r], &first);
    pmem2_vm_reservation_map_find_last(reservations[r], &last);
    char order[MAPS * 2 + 2] = "";
    int count = 0;
    for (struct pmem2_map *map = first, *next; map && count < MAPS; map = next, count++) {
        strcat(order, name_of(map));
        pmem2_vm_reservation_map_find_next(reservations[r], map, &next);
        struct pmem2_map *back;
        if (next)
            NEED(pmem2_vm_reservation_map_find_prev(reservations[r], next, &back) == 0 &&
                 back == map);
    }
    step(number, "find %zu, %zu: %s %s; last %s, order %s", offset, length, result_name(result),
         name_of(by_range), name_of(last), order);
}

static void one_step(int number) {
    unsigned r = chance(RESERVATIONS), m = chance(MAPS), what = chance(10);
    if (!reservations[r]) {
        make(number, r);
    } else if (what < 4) {
        if (!maps[m]) {
            put(number, r, m);
        } else {
            int result = pmem2_map_delete(&maps[m]);
            step(number, "delete map %u: %s", m, result_name(result));
        }
    } else if (what == 4) {
        size_t bytes = chance(5) * PAGE + (chance(6) == 0);
        int result = pmem2_vm_reservation_extend(reservations[r], bytes);
        step(number, "extend by %zu: %s", bytes, result_name(result));
    } else if (what == 5) {
        size_t size = pmem2_vm_reservation_get_size(reservations[r]);
        size_t bytes = chance(5) * PAGE + (chance(6) == 0);
        size_t offset = chance(3) == 0 ? chance(20) * PAGE : chance(2) && bytes <= size ? size - bytes : 0;
        int result = pmem2_vm_reservation_shrink(reservations[r], offset, bytes);
        step(number, "shrink %zu at %zu: %s", bytes, offset, result_name(result));
    } else if (what == 6) {
        int result = pmem2_vm_reservation_delete(&reservations[r]);
        step(number, "delete reservation %u: %s", r, result_name(result));
        if (result == 0)
            forget(r);
    } else {
        find(number, r);
    }
    for (unsigned i = 0; i < RESERVATIONS; i++)
        if (reservations[i]) {
            char picture[400] = "";
            append_picture(picture, reservations[i]);
            step(number, "reservation %u at +%td: %s", i,
                 (char *)pmem2_vm_reservation_get_address(reservations[i]) - rooms[i], picture);
        }
}

static void run(uint32_t seed) {
    state = seed * 2654435761u + 1;
    digest = 2166136261u;
    for (int i = 0; i < RESERVATIONS; i++) {
        rooms[i] = free_range(3 * ROOM * MIB, ROOM * MIB) + ROOM * MIB;
        /* Held until the others have theirs, so that they do not overlap. */
        NEED(mmap(rooms[i], ROOM * MIB, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == rooms[i]);
    }
    for (int i = 0; i < RESERVATIONS; i++)
        NEED(munmap(rooms[i], ROOM * MIB) == 0);
    for (int number = 0; number < STEPS; number++)
        one_step(number);
    for (int m = 0; m < MAPS; m++)
        if (maps[m])
            NEED(pmem2_map_delete(&maps[m]) == 0);
    for (unsigned r = 0; r < RESERVATIONS; r++)
        if (reservations[r]) {
            NEED(pmem2_vm_reservation_delete(&reservations[r]) == 0);
            forget(r);
        }
    say("seed %u: %08x", seed, digest);
}

int main(int count, char **arguments) {
    file = file_source(8 * PAGE);
    odd = file_source(5000);
    int fd;
    NEED(pmem2_source_get_fd(file, &fd) == 0);
    for (int i = 0; i < 8; i++) {
        char letter = (char)('a' + i);
        NEED(pwrite(fd, &letter, 1, (off_t)(i * PAGE)) == 1);
    }
    if (count > 1) {
        shows_steps = 1;
        run((uint32_t)strtoul(arguments[1], NULL, 0));
        return 0;
    }
    for (uint32_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
    return 0;
}
