/*
 * libvmem: malloc in pools of memory that you choose: a file system, a Device DAX, or any region.
 *
 * The interface is that of PMDK's libvmem, API version 1.1; programs built for either run with the
 * other. Link with `pkg-config --libs libvmem`.
 *
 * Functions that fail set errno and leave a text that vmem_errormsg() returns.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef LIBVMEM_H
#define LIBVMEM_H 1

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The interface that this header describes, for vmem_check_version(). */
#define VMEM_MAJOR_VERSION 1
#define VMEM_MINOR_VERSION 1

/* The least size of a pool: 14 MiB. */
#define VMEM_MIN_POOL ((size_t)(1024 * 1024 * 14))

/* A pool. Only its address is of use. */
typedef struct vmem VMEM;

/* ---- Pools ---- */

/*
 * Makes a pool of `size` bytes, rounded up to whole pages, in a temporary file without a name in
 * the directory `dir`, or in the Device DAX `dir`, of which all is taken. The space is allocated at
 * once. Returns the pool; NULL on an error.
 *
 * EINVAL: `size` is below VMEM_MIN_POOL, `dir` is NULL or a device that is no Device DAX.
 * EFBIG: `size` is more than a file can have. ENOSPC: there is not so much space. Else as open(2).
 */
VMEM *vmem_create(const char *dir, size_t size);

/*
 * Makes a pool of `size` bytes at `addr`, a multiple of the page size. The memory has to be mapped,
 * for reading and writing, until the pool is deleted; its first page cannot be accessed meanwhile.
 * Returns the pool; NULL and EINVAL on an error.
 */
VMEM *vmem_create_in_region(void *addr, size_t size);

/*
 * Ends a pool with all that was allocated from it. A region stays mapped; what it holds then is
 * not defined. For what is no pool, errno is EINVAL and nothing happens.
 */
void vmem_delete(VMEM *vmp);

/*
 * Checks that the pool is whole. Returns 1 if it is, 0 if it is damaged or overlaps another pool
 * (the log says what was found), -1 if it could not be checked.
 */
int vmem_check(VMEM *vmp);

/*
 * Prints statistics. Each letter of `opts`, which may be NULL, leaves a part out: g what the pool is, m its
 * sums, a its blocks, b its size classes, l large allocations.
 */
void vmem_stats_print(VMEM *vmp, const char *opts);

/* ---- Allocation: as malloc(3) and its relatives, from a pool ---- */

/* NULL and ENOMEM where there is no room. A size of 0 gives an address of its own. */
void *vmem_malloc(VMEM *vmp, size_t size);

/* NULL is allowed. What is no allocation, or is free already, ends the process. */
void vmem_free(VMEM *vmp, void *ptr);

/* All bytes are zero. */
void *vmem_calloc(VMEM *vmp, size_t nmemb, size_t size);

/* A size of 0 frees `ptr`, unless that is NULL, and returns NULL. */
void *vmem_realloc(VMEM *vmp, void *ptr, size_t size);

/* `alignment` is a power of two, else NULL and EINVAL. `size` need not be a multiple of it. */
void *vmem_aligned_alloc(VMEM *vmp, size_t alignment, size_t size);

char *vmem_strdup(VMEM *vmp, const char *s);
wchar_t *vmem_wcsdup(VMEM *vmp, const wchar_t *s);

/* The bytes that `ptr` can hold; 0 for NULL. */
size_t vmem_malloc_usable_size(VMEM *vmp, void *ptr);

/* ---- The library ---- */

/*
 * Whether a program built for this version of the interface runs on the library: NULL if it
 * does, else a text that says why not.
 */
const char *vmem_check_version(unsigned major_required, unsigned minor_required);

/*
 * Functions for the library's own memory, and one that takes its messages. NULL stands for the
 * library's own. The first two are taken together, and only before the first pool: malloc_func is
 * called once for each pool, at its first allocation, and free_func when it is deleted.
 * realloc_func and strdup_func are never called.
 */
void vmem_set_funcs(void *(*malloc_func)(size_t size), void (*free_func)(void *ptr),
                    void *(*realloc_func)(void *ptr, size_t size),
                    char *(*strdup_func)(const char *s), void (*print_func)(const char *s));

/* The calling thread's last error; empty if there was none. It lasts until the thread's next error. */
const char *vmem_errormsg(void);

#ifdef __cplusplus
}
#endif

#endif
