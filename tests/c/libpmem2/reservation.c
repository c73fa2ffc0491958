/* Reservations: made anywhere and at an address, grown, shrunk, deleted. */
#include "pmem2.h"

static struct pmem2_vm_reservation *const POISON =
    (struct pmem2_vm_reservation *)(uintptr_t)UNTOUCHED;

static void describe(const char *name, int result, struct pmem2_vm_reservation **made,
                     void *wanted) {
    struct pmem2_vm_reservation *reservation = *made;
    if (result != 0) {
        say("%s: %s, pointer %s", name, result_name(result),
            reservation == NULL     ? "null"
            : reservation == POISON ? "untouched"
                                    : "other");
        return;
    }
    char *address = pmem2_vm_reservation_get_address(reservation);
    size_t size = pmem2_vm_reservation_get_size(reservation);
    char access[8];
    snprintf(access, sizeof access, "%s", access_of(address, size));
    size_t alignment = size >= 2 * GIB ? GIB : 2 * MIB;
    const char *place = wanted ? (address == wanted ? "where asked for" : "elsewhere")
                        : is_aligned(address, alignment) ? "aligned"
                                                         : "not aligned";
    int deleted = pmem2_vm_reservation_delete(&reservation);
    say("%s: %zu bytes, %s, %s; delete %s, pointer %s, then %s", name, size, access, place,
        result_name(deleted), reservation ? "kept" : "null", access_of(address, size));
}

static void try(const char *name, void *address, size_t size) {
    struct pmem2_vm_reservation *reservation = POISON;
    int result = pmem2_vm_reservation_new(&reservation, address, size);
    describe(name, result, &reservation, address);
}

static void anywhere(void) {
    static const size_t sizes[] = {0,
                                   1,
                                   100,
                                   PAGE - 1,
                                   PAGE,
                                   PAGE + 1,
                                   64 * KIB,
                                   2 * MIB - PAGE,
                                   2 * MIB,
                                   2 * MIB + PAGE,
                                   GIB,
                                   2 * GIB - PAGE,
                                   2 * GIB,
                                   3 * GIB,
                                   (size_t)1 << 40,
                                   (size_t)1 << 47,
                                   (size_t)1 << 60,
                                   (size_t)1 << 63,
                                   SIZE_MAX,
                                   SIZE_MAX - PAGE + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[60];
        snprintf(name, sizeof name, "anywhere, %#zx", sizes[i]);
        try(name, NULL, sizes[i]);
    }
}

static void at_an_address(void) {
    try("at an address, a page", free_range(16 * MIB, 2 * MIB), PAGE);
    try("at an address, 2 MiB", free_range(16 * MIB, 2 * MIB), 2 * MIB);
    try("at an address not of 2 MiB", free_range(16 * MIB, 2 * MIB) + PAGE, 4 * PAGE);
    char *place = free_range(16 * MIB, 2 * MIB);
    try("at an address, nothing", place, 0);
    try("at an odd address", place + 1, PAGE);
    try("at an odd address, odd size", place + 1, PAGE + 1);
    try("at an address, odd size", place, PAGE + 1);

    char *taken = mmap(place, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    NEED(taken == place);
    try("at a taken address", place, PAGE);
    try("at an address, reaching the taken page", place - PAGE, 2 * PAGE);
    say("the taken page: %s", access_of(place, PAGE));
    NEED(munmap(taken, PAGE) == 0);
    try("where the kernel is", (void *)(uintptr_t)0xffff800000000000, PAGE);
    try("at the highest page", (void *)(UINTPTR_MAX - PAGE + 1), PAGE);
    try("at a high address, beyond the end", (void *)(UINTPTR_MAX - PAGE + 1), 2 * PAGE);

    struct pmem2_vm_reservation *first;
    NEED(pmem2_vm_reservation_new(&first, NULL, 4 * MIB) == 0);
    char *address = pmem2_vm_reservation_get_address(first);
    try("at the address of another", address, PAGE);
    try("inside another", address + MIB, PAGE);
    NEED(pmem2_vm_reservation_delete(&first) == 0);
    try("at the address of one that is gone", address, PAGE);

    /* A hole of exactly the size: both neighbours are taken. */
    place = free_range(16 * MIB, 2 * MIB);
    char *low = mmap(place, 16 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    NEED(low == place && munmap(place + 4 * PAGE, 4 * PAGE) == 0);
    try("in a hole of that size", place + 4 * PAGE, 4 * PAGE);
    munmap(place, 16 * MIB);

    /* A neighbour right behind. */
    place = free_range(16 * MIB, 2 * MIB);
    struct pmem2_vm_reservation *one, *two = POISON;
    NEED(pmem2_vm_reservation_new(&one, place, 4 * PAGE) == 0);
    int result = pmem2_vm_reservation_new(&two, place + 4 * PAGE, 4 * PAGE);
    describe("right behind another", result, &two, place + 4 * PAGE);
    NEED(pmem2_vm_reservation_delete(&one) == 0);
}

/* One of eight pages, to be changed; nothing is near it. */
static struct pmem2_vm_reservation *eight(void) {
    struct pmem2_vm_reservation *reservation;
    char *place = free_range(16 * MIB, 2 * MIB) + 8 * MIB;
    NEED(pmem2_vm_reservation_new(&reservation, place, 8 * PAGE) == 0);
    return reservation;
}

static void extend(const char *name, struct pmem2_vm_reservation *reservation, size_t size) {
    char *before = pmem2_vm_reservation_get_address(reservation);
    int result = pmem2_vm_reservation_extend(reservation, size);
    char *address = pmem2_vm_reservation_get_address(reservation);
    size_t now = pmem2_vm_reservation_get_size(reservation);
    say("%s: %s, %zu pages, address %s, %s", name, result_name(result), now / PAGE,
        address == before ? "kept" : "changed", access_of(address, now));
}

static void extending(void) {
    struct pmem2_vm_reservation *reservation = eight();
    extend("extend by nothing", reservation, 0);
    extend("extend by a page", reservation, PAGE);
    extend("extend by eight pages", reservation, 8 * PAGE);
    extend("extend by a byte", reservation, 1);
    extend("extend by a page and a byte", reservation, PAGE + 1);
    extend("extend by SIZE_MAX", reservation, SIZE_MAX);
    extend("extend by all pages there are", reservation, SIZE_MAX - PAGE + 1);
    extend("extend by half of the address space", reservation, (size_t)1 << 63);
    char *address = pmem2_vm_reservation_get_address(reservation);
    size_t size = pmem2_vm_reservation_get_size(reservation);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    say("extended, after delete: %s", access_of(address, size));

    /* Somebody sits behind it. */
    char *place = free_range(32 * MIB, 2 * MIB);
    NEED(pmem2_vm_reservation_new(&reservation, place, 2 * MIB) == 0);
    char *behind = mmap(place + 6 * MIB, PAGE, PROT_READ,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    NEED(behind == place + 6 * MIB);
    extend("extend up to a neighbour", reservation, 4 * MIB);
    extend("extend over a neighbour", reservation, PAGE);
    extend("extend far over a neighbour", reservation, 16 * MIB);
    say("the neighbour: %s", access_of(behind, PAGE));
    NEED(munmap(behind, PAGE) == 0);
    extend("extend when the neighbour is gone", reservation, PAGE);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
}

static void shrink(const char *name, size_t offset, size_t size) {
    struct pmem2_vm_reservation *reservation = eight();
    char *before = pmem2_vm_reservation_get_address(reservation);
    int result = pmem2_vm_reservation_shrink(reservation, offset, size);
    char *address = pmem2_vm_reservation_get_address(reservation);
    size_t now = pmem2_vm_reservation_get_size(reservation);
    char pages[9] = "";
    for (int i = 0; i < 8; i++)
        strcat(pages, is_mapped(before + i * PAGE, PAGE) ? "r" : "_");
    say("%s: %s, %zu pages, address +%td, %s", name, result_name(result), now / PAGE,
        (address - before) / (ptrdiff_t)PAGE, pages);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
}

static void shrinking(void) {
    shrink("shrink the first page", 0, PAGE);
    shrink("shrink the first seven pages", 0, 7 * PAGE);
    shrink("shrink the last page", 7 * PAGE, PAGE);
    shrink("shrink the last seven pages", PAGE, 7 * PAGE);
    shrink("shrink a page in the middle", 3 * PAGE, PAGE);
    shrink("shrink the whole", 0, 8 * PAGE);
    shrink("shrink nothing", 0, 0);
    shrink("shrink nothing at the last page", 7 * PAGE, 0);
    shrink("shrink, odd offset", 1, PAGE);
    shrink("shrink, odd size", 0, 1);
    shrink("shrink, odd offset and size", 1, 1);
    shrink("shrink, offset at the end", 8 * PAGE, PAGE);
    shrink("shrink, offset beyond the end", 9 * PAGE, PAGE);
    shrink("shrink, offset at the end, nothing", 8 * PAGE, 0);
    shrink("shrink, offset at the end, odd size", 8 * PAGE, 1);
    shrink("shrink, too much at the end", 7 * PAGE, 2 * PAGE);
    shrink("shrink, too much at the start", 0, 9 * PAGE);
    shrink("shrink, sum that wraps", 4 * PAGE, SIZE_MAX - PAGE + 1);
    shrink("shrink, largest offset", SIZE_MAX - PAGE + 1, PAGE);

    /* More than an alignment of 2 MiB. */
    struct pmem2_vm_reservation *reservation;
    char *place = free_range(64 * MIB, 2 * MIB) + 16 * MIB;
    NEED(pmem2_vm_reservation_new(&reservation, place, 16 * MIB) == 0);
    char *address = pmem2_vm_reservation_get_address(reservation);
    NEED(pmem2_vm_reservation_shrink(reservation, 0, 4 * MIB) == 0);
    NEED(pmem2_vm_reservation_shrink(reservation, 8 * MIB, 4 * MIB) == 0);
    say("shrink 4 MiB at both ends: at +%td MiB, %zu MiB; first %s, middle %s, last %s",
        ((char *)pmem2_vm_reservation_get_address(reservation) - address) / (ptrdiff_t)MIB,
        pmem2_vm_reservation_get_size(reservation) / MIB, access_of(address, 4 * MIB),
        access_of(address + 4 * MIB, 8 * MIB), access_of(address + 12 * MIB, 4 * MIB));
    extend("extend what was shrunk", reservation, 4 * MIB);
    NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    say("shrunk and extended, after delete: %s", access_of(address, 16 * MIB));
}

/* What a thousand of them leave. */
static void leak(const char *name, size_t size, int shrinks) {
    size_t before = mapped_bytes();
    for (int i = 0; i < 1000; i++) {
        struct pmem2_vm_reservation *reservation;
        NEED(pmem2_vm_reservation_new(&reservation, NULL, size) == 0);
        if (shrinks)
            NEED(pmem2_vm_reservation_shrink(reservation, 0, size / 2) == 0);
        NEED(pmem2_vm_reservation_delete(&reservation) == 0);
    }
    say("a thousand of %s: %zu MiB left", name, (mapped_bytes() - before) / MIB);
}

int main(void) {
    /* The first call may make things that stay. */
    leak("nothing yet", 2 * MIB, 0);
    anywhere();
    at_an_address();
    extending();
    shrinking();
    leak("a page", PAGE, 0);
    leak("2 MiB", 2 * MIB, 0);
    leak("16 MiB, shrunk by half", 16 * MIB, 1);
    leak("2 GiB", 2 * GIB, 0);
    return 0;
}
