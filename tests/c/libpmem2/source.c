/* Sources: of every sort of descriptor, of anonymous memory; size, alignment, descriptor. */
#include "pmem2.h"

#include <sys/socket.h>

static struct pmem2_source *const POISON = (struct pmem2_source *)(uintptr_t)UNTOUCHED;

static void try(const char *name, int fd) {
    struct pmem2_source *source = POISON;
    int result = pmem2_source_from_fd(&source, fd);
    if (result != 0) {
        say("%s: %s, pointer %s", name, result_name(result),
            source == NULL ? "null" : source == POISON ? "untouched" : "other");
        return;
    }
    size_t size = UNTOUCHED, alignment = UNTOUCHED;
    int of_source = -1, sized = pmem2_source_size(source, &size);
    int aligned = pmem2_source_alignment(source, &alignment);
    int got = pmem2_source_get_fd(source, &of_source);
    say("%s: 0; size %s %zu; alignment %s %zu; descriptor %s, same %s", name,
        result_name(sized), size, result_name(aligned), alignment, result_name(got),
        yes(of_source == fd));
    int deleted = pmem2_source_delete(&source);
    say("%s, delete: %s, pointer %s, descriptor open %s", name, result_name(deleted),
        source ? "kept" : "null", yes(fcntl(fd, F_GETFD) >= 0));
}

static void try_open(const char *name, const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    NEED(fd >= 0);
    try(name, fd);
    close(fd);
}

static void descriptors(void) {
    write_file("f", 8192, 0600);
    write_file("odd", 5000, 0600);
    write_file("empty", 0, 0600);
    try_open("read and write", "f", O_RDWR);
    try_open("read only", "f", O_RDONLY);
    try_open("write only", "f", O_WRONLY);
    try_open("append", "f", O_RDWR | O_APPEND);
    try_open("write only, append", "f", O_WRONLY | O_APPEND);
    try_open("path only", "f", O_PATH);
    try_open("odd size", "odd", O_RDWR);
    try_open("empty", "empty", O_RDWR);
    try_open("temporary", ".", O_TMPFILE | O_RDWR);
    try_open("directory", ".", O_RDONLY);
    try_open("directory, path only", ".", O_PATH);
    try_open("/dev/zero", "/dev/zero", O_RDWR);
    try_open("/dev/null", "/dev/null", O_RDWR);
    try_open("file of /proc", "/proc/self/status", O_RDONLY);
    NEED(mkfifo("fifo", 0600) == 0);
    try_open("fifo", "fifo", O_RDWR);
    NEED(symlink("f", "link") == 0);
    try_open("symbolic link itself", "link", O_PATH | O_NOFOLLOW);
    int fd = sparse_file("large", (size_t)1 << 40);
    try("1 TiB", fd);
    close(fd);
    fd = memfd_create("memory", MFD_CLOEXEC);
    NEED(fd >= 0 && ftruncate(fd, 12345) == 0);
    try("memfd", fd);
    close(fd);
    int pair[2];
    NEED(pipe(pair) == 0);
    try("pipe, read end", pair[0]);
    try("pipe, write end", pair[1]);
    close(pair[0]), close(pair[1]);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    try("socket", pair[0]);
    close(pair[0]), close(pair[1]);
    try("-1", -1);
    try("INT_MIN", INT_MIN);
    try("INT_MAX", INT_MAX);
    int closed = dup(0);
    close(closed);
    try("closed", closed);
    unlink("f"), unlink("odd"), unlink("empty"), unlink("fifo"), unlink("link"), unlink("large");
}

static void anonymous(void) {
    static const size_t sizes[] = {0, 1, 4096, 5000, 1 << 21, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pmem2_source *source = POISON;
        int result = pmem2_source_from_anon(&source, sizes[i]);
        size_t size = UNTOUCHED, alignment = UNTOUCHED;
        int fd = UNTOUCHED, sized = pmem2_source_size(source, &size);
        int aligned = pmem2_source_alignment(source, &alignment);
        int got = pmem2_source_get_fd(source, &fd);
        say("anonymous %zu: %s; size %s %zu; alignment %s %zu; descriptor %s %s", sizes[i],
            result_name(result), result_name(sized), size, result_name(aligned), alignment,
            result_name(got), fd == UNTOUCHED ? "untouched" : "set");
        say("anonymous %zu, delete: %s", sizes[i], result_name(pmem2_source_delete(&source)));
    }
}

/* What becomes of a source when its file or descriptor changes. */
static void changes(void) {
    int fd = sparse_file("f", 8192);
    struct pmem2_source *source = source_of(fd);
    size_t size = UNTOUCHED;
    NEED(ftruncate(fd, 20000) == 0);
    int result = pmem2_source_size(source, &size);
    say("size after growing: %s %zu", result_name(result), size);
    NEED(ftruncate(fd, 0) == 0);
    result = pmem2_source_size(source, &size);
    say("size after emptying: %s %zu", result_name(result), size);
    close(fd);
    size = UNTOUCHED;
    result = pmem2_source_size(source, &size);
    say("size of a closed descriptor: %s %zu", result_name(result), size);
    result = pmem2_source_alignment(source, &size);
    say("alignment of a closed descriptor: %s %zu", result_name(result), size);
    struct pmem2_map *map = (struct pmem2_map *)(uintptr_t)UNTOUCHED;
    result = map_with(&map, config_of(0, 0), source);
    say("map of a closed descriptor: %s, pointer %s", result_name(result),
        map ? "not null" : "null");
    print_result("delete, descriptor closed before", pmem2_source_delete(&source));
    struct pmem2_source *none = NULL;
    print_result("delete nothing", pmem2_source_delete(&none));
    unlink("f");
}

/* A map needs neither its source nor its descriptor. */
static void independence(void) {
    int fd = sparse_file("f", 8192);
    struct pmem2_source *source = source_of(fd);
    struct pmem2_map *map;
    NEED(map_with(&map, config_of(0, 0), source) == 0);
    NEED(pmem2_source_delete(&source) == 0);
    close(fd);
    NEED(unlink("f") == 0);
    char *address = pmem2_map_get_address(map);
    address[8191] = 'n';
    say("map without source, descriptor and name: %zu bytes, %c", pmem2_map_get_size(map),
        address[8191]);
    print_result("map without source, delete", pmem2_map_delete(&map));
}

/* pread and pwrite through a source. */
static void reading(void) {
    int fd = sparse_file("f", 8192);
    struct pmem2_source *source = source_of(fd), *nothing = NULL;
    char buffer[8192];
    memset(buffer, 'n', sizeof buffer);
    print_result("write", pmem2_source_pwrite_mcsafe(source, buffer, 100, 50));
    memset(buffer, 0, sizeof buffer);
    print_result("read", pmem2_source_pread_mcsafe(source, buffer, 200, 0));
    say("read back: %d %c %c %d", buffer[49], buffer[50], buffer[149], buffer[150]);
    print_result("read nothing", pmem2_source_pread_mcsafe(source, buffer, 0, 0));
    print_result("read all", pmem2_source_pread_mcsafe(source, buffer, 8192, 0));
    print_result("read the last byte", pmem2_source_pread_mcsafe(source, buffer, 1, 8191));
    print_result("read beyond the end", pmem2_source_pread_mcsafe(source, buffer, 100, 8100));
    print_result("read at the end", pmem2_source_pread_mcsafe(source, buffer, 1, 8192));
    print_result("read far beyond", pmem2_source_pread_mcsafe(source, buffer, 1, 1 << 20));
    print_result("read, offset SIZE_MAX", pmem2_source_pread_mcsafe(source, buffer, 1, SIZE_MAX));
    print_result("write beyond the end", pmem2_source_pwrite_mcsafe(source, buffer, 100, 8100));
    print_result("write, offset SIZE_MAX",
                 pmem2_source_pwrite_mcsafe(source, buffer, 1, SIZE_MAX));
    say("size after writing: %jd", (intmax_t)size_of("f"));
    NEED(pmem2_source_delete(&source) == 0);
    close(fd);

    fd = open("f", O_RDONLY | O_CLOEXEC);
    source = source_of(fd);
    print_result("write, opened for reading", pmem2_source_pwrite_mcsafe(source, buffer, 1, 0));
    print_result("read, opened for reading", pmem2_source_pread_mcsafe(source, buffer, 1, 0));
    NEED(pmem2_source_delete(&source) == 0);
    close(fd);

    NEED(pmem2_source_from_anon(&nothing, 4096) == 0);
    print_result("read anonymous", pmem2_source_pread_mcsafe(nothing, buffer, 1, 0));
    print_result("write anonymous", pmem2_source_pwrite_mcsafe(nothing, buffer, 1, 0));
    NEED(pmem2_source_delete(&nothing) == 0);
    NEED(unlink("f") == 0);
}

int main(void) {
    int before = open_descriptors();
    descriptors();
    anonymous();
    changes();
    independence();
    reading();
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
