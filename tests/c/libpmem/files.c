/* pmem_map_file: modes, contents, unusual paths and arguments. */
#include "probe.h"

#include <libpmem.h>
#include <sys/socket.h>
#include <sys/un.h>

static void try(const char *name, const char *path, size_t length, int flags, mode_t mode) {
    size_t mapped = UNTOUCHED;
    int is_pmem = UNTOUCHED;
    errno = 0;
    char *address = pmem_map_file(path, length, flags, mode, &mapped, &is_pmem);
    int error = errno;
    if (!address) {
        say("%s: %s%s, message %s", name, error_name(error),
            mapped == UNTOUCHED && is_pmem == UNTOUCHED ? "" : ", pointers touched",
            yes(pmem_errormsg()[0] != 0));
        return;
    }
    say("%s: %zu bytes, is_pmem %d, %s", name, mapped, is_pmem, access_of(address, mapped));
    NEED(pmem_unmap(address, mapped) == 0);
}

static void modes(void) {
    static const struct {
        mode_t mode, umask;
    } cases[] = {{0666, 022}, {0666, 0},   {0777, 027}, {0, 0},    {0600, 077},
                 {0400, 0},   {0200, 022}, {04755, 0},  {01777, 0}, {0666, 0777}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[60];
        umask(cases[i].umask);
        snprintf(name, sizeof name, "mode %o, umask %o", cases[i].mode, cases[i].umask);
        try(name, "made", 4096, PMEM_FILE_CREATE | PMEM_FILE_EXCL, cases[i].mode);
        say("%s, after: %s", name, state_of("made"));
        NEED(unlink("made") == 0);
    }
    umask(022);
    write_file("there", 4096, 0600);
    try("mode of an existing file", "there", 4096, PMEM_FILE_CREATE, 0666);
    say("mode of an existing file, after: %s", state_of("there"));
    NEED(unlink("there") == 0);
}

static void print_contents(const char *name, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    NEED(fd >= 0);
    char bytes[1];
    size_t old = 0, new = 0, zero = 0, other = 0;
    while (read(fd, bytes, 1) == 1)
        switch (bytes[0]) {
        case 'o':
            old++;
            break;
        case 'n':
            new++;
            break;
        case 0:
            zero++;
            break;
        default:
            other++;
        }
    close(fd);
    say("%s: %zu old, %zu new, %zu zero, %zu other bytes", name, old, new, zero, other);
}

static void contents(void) {
    size_t mapped;
    int is_pmem;
    write_file("c", 8192, 0600);
    char *address = pmem_map_file("c", 20000, PMEM_FILE_CREATE, 0600, &mapped, &is_pmem);
    NEED(address && mapped == 20000);
    print_contents("contents, extended", "c");
    memset(address + 8000, 'n', 4000);
    NEED(pmem_msync(address, mapped) == 0);
    print_contents("contents, written", "c");
    NEED(pmem_unmap(address, mapped) == 0);
    address = pmem_map_file("c", 8100, PMEM_FILE_CREATE, 0600, &mapped, &is_pmem);
    NEED(address && mapped == 8100);
    print_contents("contents, truncated", "c");
    memset(address + 8100, 'x', 8192 - 8100); /* the rest of the page is in no file */
    pmem_persist(address, mapped);
    print_contents("contents, past the end", "c");
    NEED(pmem_unmap(address, mapped) == 0);
    address = pmem_map_file("c", 0, 0, 0, &mapped, &is_pmem);
    NEED(address && mapped == 8100);
    say("contents, seen by the next mapping: %c %c", address[0], address[8099]);
    char *twin = pmem_map_file("c", 0, 0, 0, NULL, NULL);
    NEED(twin && twin != address);
    address[1] = 'n';
    say("contents, shared with another mapping: %c", twin[1]);
    NEED(pmem_unmap(twin, 8100) == 0);
    NEED(pmem_unmap(address, mapped) == 0);

    pid_t child = -1;
    address = pmem_map_file("c", 0, 0, 0, &mapped, &is_pmem);
    fflush(stdout);
    NEED(address && (child = fork()) >= 0);
    if (child == 0) {
        address[2] = 'n';
        _exit(pmem_msync(address, mapped));
    }
    int status;
    NEED(waitpid(child, &status, 0) == child);
    say("contents, shared with a child: %c, exit code %d", address[2], WEXITSTATUS(status));
    NEED(pmem_unmap(address, mapped) == 0);
    NEED(unlink("c") == 0);
}

static void pointers(void) {
    size_t mapped = UNTOUCHED;
    int is_pmem = UNTOUCHED;
    write_file("p", 5000, 0600);
    void *address = pmem_map_file("p", 0, 0, 0, NULL, &is_pmem);
    say("no pointer for the length: %s, is_pmem %d", yes(address != NULL), is_pmem);
    NEED(pmem_unmap(address, 5000) == 0);
    address = pmem_map_file("p", 0, 0, 0, &mapped, NULL);
    say("no pointer for is_pmem: %s, %zu bytes", yes(address != NULL), mapped);
    NEED(pmem_unmap(address, 5000) == 0);
    address = pmem_map_file("p", 0, 0, 0, NULL, NULL);
    say("no pointers: %s", yes(address != NULL));
    NEED(pmem_unmap(address, 5000) == 0);
    NEED(unlink("p") == 0);
}

static void arguments(void) {
    static const int unknown[] = {16, 32, 1 << 30, INT_MIN, -1};
    write_file("a", 8192, 0600);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        char name[60];
        snprintf(name, sizeof name, "flags %#x", (unsigned)unknown[i]);
        try(name, "a", 0, unknown[i], 0600);
        snprintf(name, sizeof name, "flags %#x and CREATE", (unsigned)unknown[i]);
        try(name, "b", 4096, unknown[i] | PMEM_FILE_CREATE, 0600);
        snprintf(name, sizeof name, "flags %#x, path through a file", (unsigned)unknown[i]);
        try(name, "a/b", 0, unknown[i], 0600);
    }
    try("flags 0x10 on a fifo's like", "/dev/null", 0, 16, 0600);
    say("unknown flags, after: %s, %s", state_of("a"), state_of("b"));
    try("no path", NULL, 0, 0, 0);
    try("no path, CREATE", NULL, 4096, PMEM_FILE_CREATE, 0600);
    try("no path, unknown flag", NULL, 0, 16, 0600);
    try("length SIZE_MAX", "b", SIZE_MAX, PMEM_FILE_CREATE, 0600);
    try("length INT64_MAX + 1", "b", (size_t)INT64_MAX + 1, PMEM_FILE_CREATE, 0600);
    try("length SIZE_MAX without CREATE", "a", SIZE_MAX, 0, 0600);
    try("length SIZE_MAX, TMPFILE", ".", SIZE_MAX, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600);
    say("lengths, after: %s, %s", state_of("a"), state_of("b"));
    NEED(unlink("a") == 0);
}

static void paths(void) {
    umask(022);
    write_file("f", 8192, 0644);
    NEED(mkdir("d", 0755) == 0);
    try("path empty", "", 0, 0, 0);
    try("path empty, CREATE", "", 4096, PMEM_FILE_CREATE, 0600);
    try("path with a slash", "f/", 0, 0, 0);
    try("path of a file to create with a slash", "n/", 4096, PMEM_FILE_CREATE, 0600);
    try("path of a directory with a slash", "d/", 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600);
    try("path .", ".", 0, 0, 0);
    try("path with dots", "d/../f", 0, 0, 0);
    char absolute[PATH_MAX];
    NEED(realpath("f", absolute));
    try("path absolute", absolute, 0, 0, 0);
    try("path in no directory", "no/f", 4096, PMEM_FILE_CREATE, 0600);
    try("path with spaces and UTF-8", "d/ä b\nc", 4096, PMEM_FILE_CREATE, 0600);
    NEED(unlink("d/ä b\nc") == 0);
    NEED(symlink("d", "l") == 0);
    try("path of a link to a directory", "l", 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600);
    try("path of a link to a directory, no flags", "l", 0, 0, 0);
    NEED(link("f", "h") == 0);
    try("path of a hard link", "h", 0, 0, 0);
    try("path of a character device", "/dev/null", 0, 0, 0);
    try("path of a character device, CREATE", "/dev/null", 4096, PMEM_FILE_CREATE, 0600);
    try("path of a terminal", "/dev/tty", 0, 0, 0);
    try("path of a file of /proc", "/proc/self/status", 0, 0, 0);
    try("path of a writable file of /proc", "/proc/self/comm", 0, 0, 0);
    try("path of /proc, TMPFILE", "/proc", 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "s"};
    NEED(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
    try("path of a socket", "s", 0, 0, 0);
    close(fd);

    char long_path[PATH_MAX + 10];
    memset(long_path, '/', sizeof long_path);
    strcpy(long_path + PATH_MAX - 2, "f");
    try("path as long as can be", long_path, 0, 0, 0);
    strcpy(long_path + PATH_MAX - 1, "f");
    try("path one too long", long_path, 0, 0, 0);

    say("paths, after: %s, %d in ., %d in d", state_of("f"), entries_of("."), entries_of("d"));
    unlink("s"), unlink("h"), unlink("l"), unlink("f"), rmdir("d");
}

static void permissions(void) {
    write_file("r", 8192, 0444);
    try("file without write permission", "r", 0, 0, 0);
    try("file without write permission, CREATE", "r", 4096, PMEM_FILE_CREATE, 0600);
    write_file("w", 8192, 0222);
    try("file without read permission", "w", 0, 0, 0);
    NEED(mkdir("d", 0555) == 0);
    try("directory without write permission", "d/f", 4096, PMEM_FILE_CREATE, 0600);
    try("directory without write permission, TMPFILE", "d", 4096,
        PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600);
    say("permissions, after: %s, %d in d", state_of("r"), entries_of("d"));
    unlink("r"), unlink("w"), rmdir("d");
}

/* A file that shrinks under its mapping. */
static char *shrunk;
static void touch_first(void) { *(volatile char *)shrunk = 'n'; }
static void touch_last(void) { *(volatile char *)(shrunk + 8191) = 'n'; }

static void shrinking(void) {
    write_file("s", 8192, 0600);
    size_t mapped;
    NEED(shrunk = pmem_map_file("s", 0, 0, 0, &mapped, NULL));
    NEED(truncate("s", 100) == 0);
    int first = in_child(touch_first), last = in_child(touch_last);
    say("shrunk file: first page %s, last page %s, unmap %d", first == 0 ? "ok" : "fault",
        last == -SIGBUS ? "SIGBUS" : "no SIGBUS", pmem_unmap(shrunk, mapped));
    NEED(unlink("s") == 0);
}

int main(void) {
    become_nobody();
    int before = open_descriptors();
    modes();
    contents();
    pointers();
    arguments();
    paths();
    shrinking();
    permissions();
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
