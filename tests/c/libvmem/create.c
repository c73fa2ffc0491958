/* Pools in directories: what is made, what is refused and how, and what is left. */
#include "vmem.h"

#include <sys/vfs.h>

static void touch_first_page(void) {
    VMEM *pool = small_pool();
    *(volatile char *)pool = 1;
}

static void hinted(void) {
    VMEM *pool = small_pool();
    say("PMEM_MMAP_HINT=10000000001: %p", (void *)pool);
    VMEM *next = small_pool();
    say("the next pool: %s", yes((char *)next >= (char *)pool + VMEM_MIN_POOL));
    vmem_delete(next);
    vmem_delete(pool);
}

static void limited(void) {
    limit(RLIMIT_FSIZE, VMEM_MIN_POOL - 1);
    OUTCOME("beyond RLIMIT_FSIZE", vmem_create(".", VMEM_MIN_POOL));
}

static void without_addresses(void) {
    limit(RLIMIT_AS, mapped_bytes() + MIB);
    OUTCOME("beyond RLIMIT_AS", vmem_create(".", VMEM_MIN_POOL));
}

static void without_descriptors(void) {
    limit(RLIMIT_NOFILE, 3);
    OUTCOME("without descriptors", vmem_create(".", VMEM_MIN_POOL));
}

static void without_rights(void) {
    NEED(mkdir("closed", 0500) == 0);
    if (geteuid() == 0)
        NEED(chown("closed", 65534, 65534) == 0);
    become_nobody();
    OUTCOME("a directory that may not be written", vmem_create("closed", VMEM_MIN_POOL));
    NEED(chmod("closed", 0) == 0);
    OUTCOME("below one that may not be entered", vmem_create("closed/x", VMEM_MIN_POOL));
}

int main(int count, char **arguments) {
    (void)arguments;
    if (count > 1) {
        hinted();
        return 0;
    }
    errno = UNTOUCHED;
    VMEM *pool = vmem_create(".", VMEM_MIN_POOL);
    NEED(pool);
    say("a pool: errno untouched %s, message empty %s, at a multiple of 4 MiB %s",
        yes(errno == UNTOUCHED), yes(!vmem_errormsg()[0]), yes(is_aligned(pool, 4 * MIB)));
    say("no name in the directory: %s", yes(entries_of(".") == 0));
    say("its first page: %s, the rest: %s", access_of(pool, PAGE),
        access_of((char *)pool + PAGE, VMEM_MIN_POOL - PAGE));
    int descriptors = open_descriptors();
    errno = UNTOUCHED;
    vmem_delete(pool);
    int untouched = errno == UNTOUCHED;
    say("deleted: errno untouched %s, unmapped %s, descriptors as before %s", yes(untouched),
        yes(!strcmp(access_of(pool, VMEM_MIN_POOL), "none")),
        yes(open_descriptors() == descriptors));
    say("a write to its first page: signal %d", in_child(touch_first_page));

    pool = vmem_create(".", VMEM_MIN_POOL + 1);
    NEED(pool);
    say("a byte more than the least: rounded up to a page %s",
        yes(is_mapped((char *)pool + VMEM_MIN_POOL, PAGE)));
    vmem_delete(pool);

    struct statfs before, with, after;
    NEED(statfs("/dev/shm", &before) == 0);
    pool = vmem_create("/dev/shm", 32 * MIB);
    NEED(pool && statfs("/dev/shm", &with) == 0);
    vmem_delete(pool);
    NEED(statfs("/dev/shm", &after) == 0);
    long long taken = (long long)(before.f_bfree - with.f_bfree) * (long long)before.f_bsize;
    say("its space is allocated at once: %s", yes(taken > (long long)(24 * MIB)));

    OUTCOME("too small", vmem_create(".", VMEM_MIN_POOL - 1));
    OUTCOME("0 bytes", vmem_create(".", 0));
    OUTCOME("no path", vmem_create(NULL, VMEM_MIN_POOL));
    OUTCOME("no path and too small", vmem_create(NULL, 2));
    OUTCOME("a directory that is not there", vmem_create("absent", VMEM_MIN_POOL));
    OUTCOME("an empty path", vmem_create("", VMEM_MIN_POOL));
    write_file("file", 3, 0600);
    OUTCOME("a file", vmem_create("file", VMEM_MIN_POOL));
    OUTCOME("below a file", vmem_create("file/x", VMEM_MIN_POOL));
    NEED(unlink("file") == 0);
    static char path[5000];
    memset(path, 'x', 300);
    OUTCOME("a component of 300 bytes", vmem_create(path, VMEM_MIN_POOL));
    memset(path, '/', sizeof path - 1);
    OUTCOME("a path of 4999 bytes", vmem_create(path, VMEM_MIN_POOL));
    OUTCOME("a device that is no Device DAX", vmem_create("/dev/null", VMEM_MIN_POOL));
    OUTCOME("a file system without files", vmem_create("/proc", VMEM_MIN_POOL));
    OUTCOME("2^63 bytes", vmem_create(".", (size_t)1 << 63));
    errno = 0;
    VMEM *wrapped = vmem_create(".", SIZE_MAX);
    say("SIZE_MAX bytes: %s, %s", wrapped ? "not NULL" : "NULL", error_name(errno));
    OUTCOME("more than there is", vmem_create("/dev/shm", (size_t)1 << 42));
    in_child(limited);
    in_child(without_addresses);
    in_child(without_descriptors);

    /* Paths are bytes. */
    const char *strange[] = {"\xff\xfe\x80", "with space\nand line", "%s%n", "\xc3\xa9"};
    for (size_t i = 0; i < 4; i++) {
        NEED(mkdir(strange[i], 0700) == 0);
        pool = vmem_create(strange[i], VMEM_MIN_POOL);
        NEED(pool);
        /* The pool does not need its directory. */
        NEED(rmdir(strange[i]) == 0);
        char *block = vmem_malloc(pool, 1000);
        NEED(block);
        memset(block, 1, 1000);
        vmem_free(pool, block);
        vmem_delete(pool);
    }
    say("directories with any name, which vanish: ok");
    NEED(symlink(".", "link") == 0);
    pool = vmem_create("link", VMEM_MIN_POOL);
    say("a link to a directory: %s", yes(pool != NULL));
    vmem_delete(pool);
    NEED(unlink("link") == 0);
    run_again("hint", "PMEM_MMAP_HINT", "10000000001");
    in_child(without_rights);
    return 0;
}
