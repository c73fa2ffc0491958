/* What the programs for libpmem and libpmem2 share: one line a case, facts about memory,
 * files and descriptors that are the same in every run, and children whose limits or
 * environment differ. A line is "case: what came out"; no two cases have the same name. */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define PAGE ((size_t)4096)

/* What out pointers hold before a call, to see whether it touches them. */
enum { UNTOUCHED = 0x5a5a };

/* Ends the program when the test itself cannot go on. */
#define NEED(condition)                                                                  \
    ((condition) ? (void)0                                                               \
                 : (fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,   \
                            strerror(errno)),                                            \
                    exit(99)))

/* Prints one line and forgets nothing of it when the next call crashes. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...) {
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    errno = saved;
}

static inline const char *yes(int condition) { return condition ? "yes" : "no"; }

static inline const char *error_name(int error) {
    const char *name = error == 0 ? "0" : strerrorname_np(error);
    return name ? name : "?";
}

/* ---- memory ---- */

static inline int is_aligned(const void *address, size_t alignment) {
    return (uintptr_t)address % alignment == 0;
}

/* What /proc/self/maps says of a range: its permissions, as in "rw-s"; "none" where nothing
 * is mapped; "mixed" when its parts differ. */
static inline const char *access_of(const void *address, size_t length) {
    static char results[8][8]; /* as many as one line may name */
    static unsigned next;
    char *found = results[next++ % 8];
    uintptr_t at = (uintptr_t)address, end = at + length;
    int hole = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    NEED(maps);
    found[0] = 0;
    char text[PATH_MAX + 200];
    while (at < end && fgets(text, sizeof text, maps)) {
        uintptr_t from, to;
        char permissions[8];
        NEED(sscanf(text, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, permissions) == 3);
        if (to <= at)
            continue;
        if (from >= end)
            break;
        if (from > at)
            hole = 1;
        if (found[0] && strcmp(found, permissions))
            strcpy(found, "mixed");
        if (!found[0])
            strcpy(found, permissions);
        at = to;
    }
    fclose(maps);
    hole |= at < end;
    if (!found[0])
        return "none";
    return hole ? "mixed" : found;
}

static inline int is_mapped(const void *address, size_t length) {
    const char *access = access_of(address, length);
    return strcmp(access, "none") && strcmp(access, "mixed");
}

/* The address space that is mapped, in bytes: what a leak would make grow. */
static inline size_t mapped_bytes(void) {
    size_t total = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    NEED(maps);
    char text[PATH_MAX + 200];
    while (fgets(text, sizeof text, maps)) {
        uintptr_t from, to;
        if (sscanf(text, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
            total += to - from;
    }
    fclose(maps);
    return total;
}

/* A range of addresses that nobody uses, found by mapping and unmapping it. The address is a
 * multiple of the alignment. */
static inline char *free_range(size_t length, size_t alignment) {
    char *place = mmap(NULL, length + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(place != MAP_FAILED);
    NEED(munmap(place, length + alignment) == 0);
    return (char *)(((uintptr_t)place + alignment - 1) / alignment * alignment);
}

/* ---- files ---- */

static inline void write_file(const char *path, size_t length, mode_t mode) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    NEED(fd >= 0);
    char bytes[4096];
    memset(bytes, 'o', sizeof bytes);
    for (size_t done = 0; done < length;) {
        size_t part = length - done < sizeof bytes ? length - done : sizeof bytes;
        NEED(write(fd, bytes, part) == (ssize_t)part);
        done += part;
    }
    NEED(fchmod(fd, mode) == 0);
    close(fd);
}

/* A file of that size without a block, open for reading and writing. */
static inline int sparse_file(const char *path, size_t length) {
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    NEED(fd >= 0);
    NEED(ftruncate(fd, (off_t)length) == 0);
    return fd;
}

static inline off_t size_of(const char *path) {
    struct stat state;
    return stat(path, &state) == 0 ? state.st_size : -1;
}

/* Type, size and mode of what is at the path. */
static inline const char *state_of(const char *path) {
    static char text[100];
    struct stat state;
    if (lstat(path, &state) != 0)
        return "absent";
    if (S_ISREG(state.st_mode)) {
        int full = state.st_blocks * 512 >= state.st_size;
        snprintf(text, sizeof text, "file of %jd %04o %s", (intmax_t)state.st_size,
                 (unsigned)state.st_mode & 07777, full ? "full" : "sparse");
        return text;
    }
    return S_ISDIR(state.st_mode)    ? "directory"
           : S_ISLNK(state.st_mode)  ? "link"
           : S_ISFIFO(state.st_mode) ? "fifo"
                                     : "other";
}

static inline int entries_of(const char *path) {
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    int count = -2; /* . and .. */
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static inline int open_descriptors(void) {
    return entries_of("/proc/self/fd") - 1; /* without the one that looks */
}

/* ---- processes ---- */

/* Access checks are for others than root: gives the working directory to nobody and becomes
 * nobody. /proc/self stays readable. */
static inline void become_nobody(void) {
    if (geteuid() != 0)
        return;
    NEED(chown(".", 65534, 65534) == 0);
    NEED(setgroups(0, NULL) == 0);
    NEED(setresgid(65534, 65534, 65534) == 0);
    NEED(setresuid(65534, 65534, 65534) == 0);
    NEED(prctl(PR_SET_DUMPABLE, 1) == 0);
}

static inline void limit(int resource, rlim_t bytes) {
    struct rlimit both;
    NEED(getrlimit(resource, &both) == 0);
    both.rlim_cur = bytes;
    NEED(setrlimit(resource, &both) == 0);
}

/* Runs a part of the program in a child. Returns 0, its exit code, or minus the signal of a
 * fault, which no core dump slows down. */
static inline void exit_by_fault(int signal) { _exit(128 + signal); }

static inline int in_child(void (*part)(void)) {
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, exit_by_fault);
        signal(SIGBUS, exit_by_fault);
        part();
        fflush(stdout);
        _exit(0);
    }
    int status;
    NEED(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        return -WTERMSIG(status);
    int code = WEXITSTATUS(status);
    return code > 128 ? 128 - code : code;
}

/* Runs this program again with one more argument and one more environment variable (or
 * NULL), for what the libraries read only once. */
static inline void run_again(const char *argument, const char *name, const char *value) {
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        if (name)
            NEED(setenv(name, value, 1) == 0);
        char self[PATH_MAX];
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        NEED(length > 0);
        self[length] = 0;
        execl(self, self, argument, (char *)NULL);
        NEED(!"exec");
    }
    int status;
    NEED(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        say("%s, ended: SIG%s", argument, sigabbrev_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        say("%s, ended: exit code %d", argument, WEXITSTATUS(status));
}

#endif
