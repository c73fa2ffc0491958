/* What the programs for libmemkind share: see probe.h for the lines that they print. */
#ifndef KINDS_H
#define KINDS_H

#include "../libpmem/probe.h"

#include <pthread.h>
#include <time.h>

#include <memkind.h>

/* A directory in memory, unless the compiler says otherwise. */
#ifndef MEMORY
#define MEMORY "/dev/shm"
#endif

static inline memkind_t pmem_kind(size_t max_size) {
    memkind_t kind = NULL;
    NEED(memkind_create_pmem(MEMORY, max_size, &kind) == 0);
    return kind;
}

/* Memory of a file's or of nothing, for a fixed kind. */
static inline void *map_memory(size_t length) {
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(address != MAP_FAILED);
    return address;
}

/* The first fields of what a kind points to, which programs have come to use. */
struct kind_fields {
    const void *ops;
    unsigned partition;
    char name[64];
    int once[2];
    void *arena_map;
    unsigned key;
    struct pmem_fields {
        int fd;
        off_t offset;
        size_t max_size;
        char lock[40];
        size_t current_size;
        char *dir;
    } *pmem;
};

static inline const struct kind_fields *fields_of(memkind_t kind) {
    return (const struct kind_fields *)kind;
}

/* Bytes that a pmem kind's file takes in its file system. */
static inline size_t file_space(memkind_t kind) {
    struct stat status;
    NEED(fstat(fields_of(kind)->pmem->fd, &status) == 0);
    return (size_t)status.st_blocks * 512;
}

static inline void pause_ms(long ms) {
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* A block's content that tells it from others. */
static inline void mark(void *block, size_t size, unsigned number) {
    memset(block, (int)(number * 31 + 7) & 0xff, size);
}

static inline int is_marked(const void *block, size_t size, unsigned number) {
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != ((number * 31 + 7) & 0xff))
            return 0;
    return 1;
}

/* Allocates blocks until there is no memory, and links them, the latest first. Counts them. */
struct chain {
    struct chain *next;
};

static inline size_t fill(memkind_t kind, size_t size, struct chain **first) {
    size_t count = 0;
    struct chain *block;
    *first = NULL;
    while ((block = memkind_malloc(kind, size))) {
        memset(block, 0x5a, size);
        block->next = *first;
        *first = block;
        count++;
    }
    return count;
}

static inline void free_chain(memkind_t kind, struct chain *block) {
    while (block) {
        struct chain *next = block->next;
        memkind_free(kind, block);
        block = next;
    }
}

#endif
