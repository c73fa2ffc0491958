/* libpmem on a Device DAX: which calls it takes, what is_pmem says, which ranges can be unmapped.
 * usage: libpmem_device DEVICE ALIGNMENT [CASE] */
#include "../../c/libpmem/probe.h"
#include "device_size.h"

#include <libpmem.h>

static const char *path;
static size_t unit;
static size_t size;

static char *map(void) {
    char *address = pmem_map_file(path, 0, 0, 0, NULL, NULL);
    NEED(address);
    return address;
}

/* A mapping that the library knows nothing of. */
static char *map_raw(int protection) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    NEED(fd >= 0);
    char *address = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    NEED(address != MAP_FAILED);
    close(fd);
    return address;
}

static void map_with(const char *name, int flags, size_t length) {
    size_t mapped = UNTOUCHED;
    int is_pmem = UNTOUCHED;
    errno = 0;
    char *address = pmem_map_file(path, length, flags, 0600, &mapped, &is_pmem);
    int error = errno;
    if (!address) {
        say("flags %d, %s: %s, message %s, out pointers untouched %s", flags, name,
            error_name(error), yes(*pmem_errormsg() != 0),
            yes(mapped == UNTOUCHED && is_pmem == UNTOUCHED));
        return;
    }
    say("flags %d, %s: mapped, whole %s, is_pmem %d, %s, aligned %s", flags, name,
        yes(mapped == size), is_pmem, access_of(address, size), yes(is_aligned(address, 2 * MIB)));
    NEED(pmem_unmap(address, mapped) == 0);
}

static void flags_and_lengths(void) {
    for (int flags = 0; flags < 16; flags++) {
        map_with("no length", flags, 0);
        map_with("the size", flags, size);
    }
    map_with("the size less a unit", PMEM_FILE_CREATE, size - unit);
    map_with("the size and a unit", PMEM_FILE_CREATE, size + unit);
    map_with("a page", 0, PAGE);
    map_with("negative", PMEM_FILE_CREATE, SIZE_MAX);
    map_with("unknown flag", 1 << 4, 0);
}

static void paths(void) {
    char link[] = "device-link";
    unlink(link);
    NEED(symlink(path, link) == 0);
    char *address = pmem_map_file(link, 0, 0, 0, NULL, NULL);
    say("a link to it: %s", address ? "mapped" : error_name(errno));
    NEED(pmem_unmap(address, size) == 0);
    unlink(link);

    char *others[] = {"/dev/zero", "/dev/null"};
    for (int i = 0; i < 2; i++) {
        errno = 0;
        void *other = pmem_map_file(others[i], 0, 0, 0, NULL, NULL);
        say("%s: %s", others[i], other ? "mapped" : error_name(errno));
    }
}

static void what_is_pmem(void) {
    char *first = map(), *second = map();
    say("is_pmem, whole: %d", pmem_is_pmem(first, size));
    say("is_pmem, one byte: %d", pmem_is_pmem(first, 1));
    say("is_pmem, an odd part: %d", pmem_is_pmem(first + 5, 12345));
    say("is_pmem, the last byte: %d", pmem_is_pmem(first + size - 1, 1));
    say("is_pmem, no length: %d", pmem_is_pmem(first, 0));
    say("is_pmem, the second mapping: %d", pmem_is_pmem(second, size));
    char *low = first < second ? first : second, *high = first < second ? second : first;
    say("is_pmem, one before: %d", pmem_is_pmem(low - 1, 2));
    say("is_pmem, one beyond: %d", pmem_is_pmem(high + size - 1, 2));
    NEED(pmem_unmap(first, size) == 0);
    say("is_pmem, after unmap: %d", pmem_is_pmem(first, 1));
    say("is_pmem, the other after unmap: %d", pmem_is_pmem(second, size));
    NEED(pmem_unmap(second, size) == 0);
    char *raw = map_raw(PROT_READ);
    say("is_pmem, mapped by mmap: %d", pmem_is_pmem(raw, size));
    NEED(munmap(raw, size) == 0);
    int local;
    say("is_pmem, the stack: %d", pmem_is_pmem(&local, sizeof local));
}

static void result(const char *name, int value, int error) {
    say("%s: %d %s", name, value, value ? error_name(error) : "0");
}

/* Which units of the first eight are mapped and which of them are pmem, as in "pp__pppp"; m is
 * mapped, but not pmem. */
static const char *units(char *address) {
    static char text[9];
    for (int i = 0; i < 8; i++) {
        char *at = address + i * unit;
        text[i] = pmem_is_pmem(at, unit) ? 'p' : is_mapped(at, unit) ? 'm' : '_';
    }
    text[8] = 0;
    return text;
}

static void unmap_part(const char *name, size_t offset, size_t length) {
    char *address = map();
    errno = 0;
    int done = pmem_unmap(address + offset, length), error = errno;
    say("unmap %s: %d %s, units %s, whole is_pmem %d, the rest %d", name, done,
        done ? error_name(error) : "0", units(address), pmem_is_pmem(address, size),
        pmem_is_pmem(address + 8 * unit, size - 8 * unit));
    NEED(munmap(address, size) == 0);
    /* So that the library forgets what is left of it. */
    pmem_unmap(address, size);
}

static void unmap(void) {
    unmap_part("the first unit", 0, unit);
    unmap_part("two units in the middle", 2 * unit, 2 * unit);
    unmap_part("half a unit", 4 * unit, unit / 2);
    unmap_part("from half a unit on", 4 * unit + unit / 2, unit / 2);
    unmap_part("one byte", unit, 1);
    unmap_part("not page aligned", 1, unit);
    unmap_part("no length", 0, 0);
}

static void flush(void) {
    char *address = map();
    memset(address, 7, 3 * PAGE);
    pmem_persist(address, 3 * PAGE);
    pmem_flush(address + 1, 1000);
    pmem_drain();
    pmem_deep_flush(address, PAGE);
    errno = 0;
    int done = pmem_msync(address, PAGE);
    result("msync", done, errno);
    done = pmem_msync(address, 0);
    result("msync of no length", done, errno);
    done = pmem_deep_drain(address, PAGE);
    result("deep drain", done, errno);
    done = pmem_deep_persist(address + size - unit, unit);
    result("deep persist", done, errno);
    done = pmem_deep_drain(address, 0);
    result("deep drain of no length", done, errno);
    say("hardware drain: %d", pmem_has_hw_drain());
    say("auto flush: %d", pmem_has_auto_flush());

    /* What one mapping writes, another reads. */
    char *other = map_raw(PROT_READ);
    char text[1000];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    int same = 1;
    for (size_t at = unit - 500; at < unit - 436; at++) {
        pmem_memcpy_persist(address + at, text, sizeof text);
        same &= memcmp(other + at, text, sizeof text) == 0;
    }
    say("memcpy, seen through another mapping: %s", yes(same));
    pmem_memset(address + unit, 3, 5000, PMEM_F_MEM_NONTEMPORAL);
    say("memset, seen through another mapping: %s",
        yes(other[unit] == 3 && other[unit + 4999] == 3));
    size_t last = size - sizeof text;
    pmem_memmove(address + last, text, sizeof text, PMEM_F_MEM_TEMPORAL);
    say("the last bytes: %s", yes(memcmp(other + last, text, sizeof text) == 0));
    NEED(munmap(other, size) == 0);
    NEED(pmem_unmap(address, size) == 0);

    address = map();
    say("content after unmap and map: %s", yes(memcmp(address + last, text, sizeof text) == 0));
    NEED(pmem_unmap(address, size) == 0);
}

static void as_nobody(void) {
    become_nobody();
    void *address = pmem_map_file(path, 0, 0, 0, NULL, NULL);
    say("without permission: %s", address ? "mapped" : error_name(errno));
}

static void forced(void) {
    char *address = map();
    int local;
    say("force %s: device %d, stack %d, no length %d", getenv("PMEM_IS_PMEM_FORCE"),
        pmem_is_pmem(address, size), pmem_is_pmem(&local, sizeof local), pmem_is_pmem(address, 0));
    NEED(pmem_unmap(address, size) == 0);
}

static void leaks(void) {
    size_t mapped = mapped_bytes();
    int open = open_descriptors();
    for (int i = 0; i < 100; i++) {
        char *address = map();
        NEED(pmem_unmap(address + unit, unit) == 0);
        NEED(pmem_unmap(address, size) == 0);
    }
    say("after 100 times map and unmap: descriptors %+d, mapped %+jd MiB",
        open_descriptors() - open, (intmax_t)(mapped_bytes() - mapped) / (intmax_t)MIB);
}

int main(int count, char **arguments) {
    NEED(count >= 3);
    path = arguments[1];
    unit = strtoul(arguments[2], NULL, 10);
    size = device_size(path);

    if (getenv("PMEM_IS_PMEM_FORCE")) {
        forced();
        return 0;
    }
    flags_and_lengths();
    paths();
    what_is_pmem();
    unmap();
    flush();
    leaks();
    in_child(as_nobody);
    return 0;
}
