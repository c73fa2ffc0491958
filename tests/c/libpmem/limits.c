/* pmem_map_file at the limits of the system: the documented error, and nothing left. */
#include "probe.h"

#include <libpmem.h>

static int descriptors;
static size_t mapped_before;

static void try(const char *name, const char *path, size_t length, int flags) {
    size_t mapped = UNTOUCHED;
    int is_pmem = UNTOUCHED;
    errno = 0;
    void *address = pmem_map_file(path, length, flags, 0600, &mapped, &is_pmem);
    int error = errno;
    if (address)
        NEED(pmem_unmap(address, mapped) == 0);
    say("%s: %s%s", name, address ? "mapped" : error_name(error),
        address || (mapped == UNTOUCHED && is_pmem == UNTOUCHED) ? "" : ", pointers touched");
}

static void file_size(void) {
    signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_FSIZE, 64 * KIB);
    static const struct {
        const char *name;
        int flags;
    } ways[] = {{"create", PMEM_FILE_CREATE},
                {"create sparse", PMEM_FILE_CREATE | PMEM_FILE_SPARSE},
                {"create exclusively", PMEM_FILE_CREATE | PMEM_FILE_EXCL},
                {"create exclusively, sparse",
                 PMEM_FILE_CREATE | PMEM_FILE_EXCL | PMEM_FILE_SPARSE}};
    char name[100];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(name, sizeof name, "file size, %s, too long", ways[i].name);
        try(name, "f", 64 * KIB + 1, ways[i].flags);
        say("%s, after: %s", name, state_of("f"));
        unlink("f");
        snprintf(name, sizeof name, "file size, %s, just right", ways[i].name);
        try(name, "f", 64 * KIB, ways[i].flags);
        say("%s, after: %s", name, state_of("f"));
        unlink("f");
    }
    write_file("f", 8192, 0600);
    try("file size, existing file, too long", "f", 64 * KIB + 1, PMEM_FILE_CREATE);
    say("file size, existing file, after: %s", state_of("f"));
    try("file size, existing file, as it is", "f", 0, 0);
    try("file size, temporary, too long", ".", 64 * KIB + 1,
        PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
    NEED(unlink("f") == 0);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
}

static void address_space(void) {
    limit(RLIMIT_AS, 512 * MIB);
    try("address space, create", "f", GIB, PMEM_FILE_CREATE | PMEM_FILE_SPARSE);
    say("address space, create, after: %jd bytes", (intmax_t)size_of("f"));
    try("address space, existing file", "f", 0, 0);
    unlink("f");
    try("address space, create exclusively", "f", GIB,
        PMEM_FILE_CREATE | PMEM_FILE_EXCL | PMEM_FILE_SPARSE);
    say("address space, create exclusively, after: %jd bytes", (intmax_t)size_of("f"));
    unlink("f");
    try("address space, temporary", ".", GIB,
        PMEM_FILE_CREATE | PMEM_FILE_TMPFILE | PMEM_FILE_SPARSE);
    try("address space, enough", "f", MIB, PMEM_FILE_CREATE);
    limit(RLIMIT_AS, RLIM_INFINITY);
    NEED(unlink("f") == 0);
}

static void out_of_descriptors(void) {
    write_file("f", 8192, 0600);
    /* The lowest that is free is where the next would go. */
    int next = dup(0);
    NEED(next >= 0 && close(next) == 0);
    limit(RLIMIT_NOFILE, (rlim_t)next);
    try("descriptors, existing file", "f", 0, 0);
    try("descriptors, create", "g", 8192, PMEM_FILE_CREATE);
    try("descriptors, temporary", ".", 8192, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
    limit(RLIMIT_NOFILE, (rlim_t)next + 1);
    try("descriptors, one left", "f", 0, 0);
    limit(RLIMIT_NOFILE, 1024);
    say("descriptors, after: %s, %s", state_of("f"), state_of("g"));
    NEED(unlink("f") == 0);
}

/* The kernel's limit on the number of mappings. */
static void mappings(void) {
    enum { MOST = 200000 };
    write_file("f", 8192, 0600);
    /* Pages with different access next to each other are a mapping each. The last few that
     * fit are shared ones, which stay apart. */
    char *area = mmap(NULL, MOST * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(area != MAP_FAILED);
    int count = 0, extra = 0;
    while (count < MOST && mprotect(area + (size_t)count * PAGE, PAGE, PROT_READ) == 0)
        count += 2;
    static char *shared[10];
    while (count < MOST && extra < 10) {
        shared[extra] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared[extra] == MAP_FAILED)
            break;
        extra++;
    }
    if (count < MOST && extra < 10)
        try("mappings", "f", 0, 0);
    else
        say("mappings: ENOMEM"); /* a system with a higher limit */
    while (extra > 0)
        munmap(shared[--extra], PAGE);
    munmap(area, MOST * PAGE);
    try("mappings, enough", "f", 0, 0);
    NEED(unlink("f") == 0);
}

int main(void) {
    try("warm up", "absent", 0, 0);
    descriptors = open_descriptors();
    mapped_before = mapped_bytes();
    file_size();
    address_space();
    out_of_descriptors();
    mappings();
    say("left: %d descriptors, %zd bytes of address space, %d files",
        open_descriptors() - descriptors, (ssize_t)(mapped_bytes() - mapped_before),
        entries_of("."));
    return 0;
}
