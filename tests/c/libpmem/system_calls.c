/* Which calls of libc make a file: programs put their own ftruncate and posix_fallocate
 * before libc's, to see or to refuse them. */
#include "probe.h"

#include <libpmem.h>
#include <sys/syscall.h>

static char calls[2000];
static int failures_left, failure; /* of posix_fallocate */
static int truncate_failure;
static size_t fallocate_calls;
static int is_large; /* too much to be really allocated */

static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t used = strlen(calls);
    vsnprintf(calls + used, sizeof calls - used, format, arguments);
    va_end(arguments);
}

int ftruncate(int fd, off_t length) {
    note(" ftruncate(%jd)", (intmax_t)length);
    if (truncate_failure) {
        errno = truncate_failure;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    fallocate_calls++;
    if (fallocate_calls <= 20)
        note(" posix_fallocate(%jd, %jd)", (intmax_t)offset, (intmax_t)length);
    if (failures_left > 0) {
        failures_left--;
        return failure;
    }
    if (is_large)
        return 0;
    return syscall(SYS_fallocate, fd, 0, offset, length) == 0 ? 0 : errno;
}

static void try(const char *name, const char *path, size_t length, int flags) {
    calls[0] = 0;
    fallocate_calls = 0;
    size_t mapped = 0;
    errno = 0;
    void *address = pmem_map_file(path, length, flags, 0600, &mapped, NULL);
    int error = errno;
    if (address)
        NEED(pmem_unmap(address, mapped) == 0);
    say("%s: %s;%s; %s, %d in .", name, address ? "mapped" : error_name(error),
        calls[0] ? calls : " no calls", state_of("f"), entries_of("."));
    unlink("f");
}

int main(void) {
    try("create", "f", 8192, PMEM_FILE_CREATE);
    try("create 5000", "f", 5000, PMEM_FILE_CREATE);
    try("create sparse", "f", 8192, PMEM_FILE_CREATE | PMEM_FILE_SPARSE);
    try("create exclusively", "f", 8192, PMEM_FILE_CREATE | PMEM_FILE_EXCL);
    try("temporary", ".", 8192, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
    try("temporary sparse", ".", 8192, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE | PMEM_FILE_SPARSE);
    write_file("f", 8192, 0600);
    try("existing", "f", 0, 0);
    write_file("f", 8192, 0600);
    try("existing of that size", "f", 8192, PMEM_FILE_CREATE);
    write_file("f", 8192, 0600);
    try("existing, longer", "f", 12288, PMEM_FILE_CREATE);

    static const int errors[] = {EIO, ENOSPC, EINVAL, EDQUOT};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char name[80];
        truncate_failure = errors[i];
        snprintf(name, sizeof name, "ftruncate %s", error_name(errors[i]));
        try(name, "f", 8192, PMEM_FILE_CREATE);
        snprintf(name, sizeof name, "ftruncate %s, exclusively", error_name(errors[i]));
        try(name, "f", 8192, PMEM_FILE_CREATE | PMEM_FILE_EXCL);
        snprintf(name, sizeof name, "ftruncate %s, temporary", error_name(errors[i]));
        try(name, ".", 8192, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
        truncate_failure = 0;

        failure = errors[i];
        failures_left = 1000;
        snprintf(name, sizeof name, "posix_fallocate %s", error_name(errors[i]));
        try(name, "f", 8192, PMEM_FILE_CREATE);
        failures_left = 1000;
        snprintf(name, sizeof name, "posix_fallocate %s, exclusively", error_name(errors[i]));
        try(name, "f", 8192, PMEM_FILE_CREATE | PMEM_FILE_EXCL);
        failures_left = 1000;
        snprintf(name, sizeof name, "posix_fallocate %s, temporary", error_name(errors[i]));
        try(name, ".", 8192, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
        failures_left = 0;
    }
    failure = EOPNOTSUPP, failures_left = 1;
    try("posix_fallocate EOPNOTSUPP", "f", 8192, PMEM_FILE_CREATE);
    failure = EINTR, failures_left = 1;
    try("posix_fallocate EINTR once", "f", 8192, PMEM_FILE_CREATE);
    failure = ENOMEM, failures_left = 1;
    try("posix_fallocate ENOMEM once", "f", 4 * MIB, PMEM_FILE_CREATE);
    failure = EINTR, failures_left = 3;
    try("posix_fallocate EINTR three times", "f", 4 * MIB, PMEM_FILE_CREATE);
    failures_left = 0;

    failure = ENOMEM, failures_left = 1000000;
    try("posix_fallocate ENOMEM always", "f", 8 * MIB, PMEM_FILE_CREATE);
    failure = EINTR, failures_left = 1;
    try("posix_fallocate EINTR once, 5000", "f", 5000, PMEM_FILE_CREATE);
    failures_left = 0;

    is_large = 1;
    try("3 GiB", "f", 3 * GIB, PMEM_FILE_CREATE);
    failure = ENOMEM, failures_left = 1;
    try("3 GiB, ENOMEM once", "f", 3 * GIB, PMEM_FILE_CREATE);
    failure = EINTR, failures_left = 3;
    try("3 GiB and a byte, EINTR three times", "f", 3 * GIB + 1, PMEM_FILE_CREATE);
    failure = ENOMEM, failures_left = 1000000;
    try("3 GiB, ENOMEM always", "f", 3 * GIB, PMEM_FILE_CREATE);
    return 0;
}
