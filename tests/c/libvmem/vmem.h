/* What the programs for libvmem share, beside what those for all libraries do. */
#ifndef VMEM_TEST_H
#define VMEM_TEST_H

#include "../libpmem/probe.h"

#include <libvmem.h>
#include <pthread.h>
#include <wchar.h>

/* A pool of the least size in the working directory. */
static inline VMEM *small_pool(void) {
    VMEM *pool = vmem_create(".", VMEM_MIN_POOL);
    NEED(pool);
    return pool;
}

/* Pages of the program's own. */
static inline void *own_pages(size_t size) {
    void *pages =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    NEED(pages != MAP_FAILED);
    return pages;
}

/* What a call did: NULL or not, errno, and the message if it is not that of a failure before. */
#define OUTCOME(name, call)                                                              \
    do {                                                                                 \
        NEED(!vmem_create("", 1));                                                       \
        errno = 0;                                                                       \
        void *answer_ = (call);                                                          \
        int error_ = errno;                                                              \
        const char *after_ = vmem_errormsg();                                            \
        say("%s: %s, %s, %s", name, answer_ ? "not NULL" : "NULL", error_name(error_),   \
            strcmp(after_, "size 1 smaller than 14680064") ? after_ : "no new message");                        \
    } while (0)

static inline void run_threads(int count, void *(*run)(void *), void *argument) {
    pthread_t threads[64];
    NEED(count <= 64);
    for (int i = 0; i < count; i++)
        NEED(pthread_create(&threads[i], NULL, run, argument) == 0);
    for (int i = 0; i < count; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}

#endif
