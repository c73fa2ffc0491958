/* pmem_map_file: every set of flags on every state of a path with every sort of length. */
#include "probe.h"

#include <libpmem.h>

static char too_long[300];

static const struct place {
    const char *name, *path;
} places[] = {
    {"missing", "t/f"},    {"regular", "t/f"},       {"empty", "t/f"},  {"directory", "t"},
    {"fifo", "t/f"},       {"zero", "/dev/zero"},    {"link", "t/l"},   {"dangling", "t/l"},
    {"unreadable", "t/f"}, {"too long", too_long},   {"through", "t/f/x"},
    {"locked", "t/d/f"},   {"cycle", "t/l"},
};

static const struct length {
    const char *name;
    size_t bytes;
} lengths[] = {
    {"0", 0},       {"1", 1},
    {"4096", 4096}, {"5000", 5000},
    {"huge", (size_t)1 << 40}, /* beyond RLIMIT_FSIZE */
    {"negative", (size_t)-4096},
};

static void make(const char *name) {
    NEED(mkdir("t", 0755) == 0);
    if (!strcmp(name, "regular") || !strcmp(name, "through") || !strcmp(name, "link"))
        write_file("t/f", 8192, 0640);
    if (!strcmp(name, "empty"))
        write_file("t/f", 0, 0640);
    if (!strcmp(name, "unreadable"))
        write_file("t/f", 8192, 0);
    if (!strcmp(name, "fifo"))
        NEED(mkfifo("t/f", 0640) == 0);
    if (!strcmp(name, "link") || !strcmp(name, "dangling"))
        NEED(symlink("f", "t/l") == 0);
    if (!strcmp(name, "cycle"))
        NEED(symlink("l", "t/l") == 0);
    if (!strcmp(name, "locked"))
        NEED(mkdir("t/d", 0) == 0);
}

static void clear(void) {
    unlink("t/f");
    unlink("t/l");
    rmdir("t/d");
    NEED(rmdir("t") == 0);
}

static void try(const struct place *place, int flags, const struct length *length) {
    char name[100];
    snprintf(name, sizeof name, "%s%s%s%s%s %s %s", flags ? "" : "-",
             flags & PMEM_FILE_CREATE ? "C" : "", flags & PMEM_FILE_EXCL ? "E" : "",
             flags & PMEM_FILE_SPARSE ? "S" : "", flags & PMEM_FILE_TMPFILE ? "T" : "",
             place->name, length->name);
    make(place->name);
    size_t mapped = UNTOUCHED;
    int is_pmem = UNTOUCHED, before = open_descriptors();
    errno = 0;
    char *address =
        pmem_map_file(place->path, length->bytes, flags, 0666, &mapped, &is_pmem);
    int error = errno;
    char state[100], result[100];
    snprintf(state, sizeof state, "%s", state_of("t/f")); /* before reading fills holes */
    if (address)
        snprintf(result, sizeof result, "%zu bytes, is_pmem %d, %s, begins with %02x, at 2M %s",
                 mapped, is_pmem, access_of(address, mapped), address[0],
                 yes(is_aligned(address, 2 * MIB)));
    else
        snprintf(result, sizeof result, "%s%s", error_name(error),
                 mapped == UNTOUCHED && is_pmem == UNTOUCHED ? "" : ", pointers touched");
    say("%s: %s; %s, %d in t%s", name, result, state, entries_of("t"),
        open_descriptors() == before ? "" : ", descriptor left");
    if (address)
        NEED(pmem_unmap(address, mapped) == 0);
    clear();
}

int main(void) {
    memset(too_long, 'n', sizeof too_long - 1);
    become_nobody();
    umask(027);
    signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_FSIZE, 64 * MIB);
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (int flags = 0; flags < 16; flags++)
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
                try(&places[p], flags, &lengths[l]);
    return 0;
}
