/*
 * Kinds of memory, each with a heap of its own: a file in a directory (pmem), memory that the
 * program mapped (fixed), and some that the machine has (static kinds).
 *
 * The interface is that of memkind 1.14; programs built for either run with the other. Link with
 * `pkg-config --libs memkind`.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef MEMKIND_H
#define MEMKIND_H 1

#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Set to const by those whose malloc_usable_size(3) has it. */
#ifndef MEMKIND_MALLOC_USABLE_SIZE_CONST
#define MEMKIND_MALLOC_USABLE_SIZE_CONST
#endif

/* ---- Types and numbers ---- */

/* A kind of memory. What it points to is the library's. */
typedef struct memkind *memkind_t;

/* Memory that memkind_create_kind() may choose from. */
typedef enum memkind_memtype_t {
	MEMKIND_MEMTYPE_DEFAULT = 1ull << 0,
	MEMKIND_MEMTYPE_HIGH_BANDWIDTH = 1ull << 1
} memkind_memtype_t;

/* How it chooses. */
typedef enum memkind_policy_t {
	MEMKIND_POLICY_BIND_LOCAL = 0, /* the nearest node only */
	MEMKIND_POLICY_BIND_ALL, /* any node of the type */
	MEMKIND_POLICY_PREFERRED_LOCAL, /* the nearest node, then any */
	MEMKIND_POLICY_INTERLEAVE_LOCAL, /* the nearest nodes in turn */
	MEMKIND_POLICY_INTERLEAVE_ALL, /* all nodes in turn */
	MEMKIND_POLICY_MAX_VALUE
} memkind_policy_t;

/* In what pages. */
typedef enum memkind_bits_t {
	MEMKIND_MASK_PAGE_SIZE_2MB = 21ull
} memkind_bits_t;

enum memkind_const {
	MEMKIND_MAX_KIND = 512, /* kinds that there may be, static ones included */
	MEMKIND_ERROR_MESSAGE_SIZE = 128, /* a buffer for memkind_error_message() */
	MEMKIND_PMEM_MIN_SIZE = (1024 * 1024 * 16) /* the least limit of a pmem kind, in bytes */
};

/* What functions that return int answer. */
enum {
	MEMKIND_SUCCESS = 0,
	MEMKIND_ERROR_UNAVAILABLE = -1, /* the machine has no such memory */
	MEMKIND_ERROR_MBIND = -2,
	MEMKIND_ERROR_MMAP = -3,
	MEMKIND_ERROR_MALLOC = -6,
	MEMKIND_ERROR_ENVIRON = -12, /* a variable MEMKIND_... makes no sense */
	MEMKIND_ERROR_INVALID = -13,
	MEMKIND_ERROR_TOOMANY = -15, /* there are MEMKIND_MAX_KIND */
	MEMKIND_ERROR_BADOPS = -17,
	MEMKIND_ERROR_HUGETLB = -18, /* no huge pages */
	MEMKIND_ERROR_MEMTYPE_NOT_AVAILABLE = -20,
	MEMKIND_ERROR_OPERATION_FAILED = -21,
	MEMKIND_ERROR_ARENAS_CREATE = -22,
	MEMKIND_ERROR_RUNTIME = -255
};

/* When the space of freed blocks goes back to the file. */
typedef enum memkind_mem_usage_policy {
	MEMKIND_MEM_USAGE_POLICY_DEFAULT = 0, /* after ten seconds */
	MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE = 1, /* within half a second */
	MEMKIND_MEM_USAGE_POLICY_MAX_VALUE
} memkind_mem_usage_policy;

typedef enum memkind_stat_type {
	MEMKIND_STAT_TYPE_RESIDENT = 0, /* bytes that are taken from the system */
	MEMKIND_STAT_TYPE_ACTIVE = 1, /* of these, pages with blocks in them */
	MEMKIND_STAT_TYPE_ALLOCATED = 2, /* bytes of blocks */
	MEMKIND_STAT_TYPE_MAX_VALUE
} memkind_stat_type;

/* What memkind_stats_print() leaves out. Those below JSON_FORMAT are taken, but there is nothing to leave out. */
typedef enum memkind_stat_print_opt {
	MEMKIND_STAT_PRINT_ALL = 0,
	MEMKIND_STAT_PRINT_JSON_FORMAT = 1U << 0, /* JSON instead of text */
	MEMKIND_STAT_PRINT_OMIT_GENERAL = 1U << 1,
	MEMKIND_STAT_PRINT_OMIT_MERGED_ARENA = 1U << 2,
	MEMKIND_STAT_PRINT_OMIT_DESTROYED_MERGED_ARENA = 1U << 3,
	MEMKIND_STAT_PRINT_OMIT_PER_ARENA = 1U << 4,
	MEMKIND_STAT_PRINT_OMIT_PER_SIZE_CLASS_BINS = 1U << 5,
	MEMKIND_STAT_PRINT_OMIT_PER_SIZE_CLASS_LARGE = 1U << 6,
	MEMKIND_STAT_PRINT_OMIT_MUTEX = 1U << 7,
	MEMKIND_STAT_PRINT_OMIT_EXTENT = 1U << 8
} memkind_stat_print_opt;

/* ---- Making kinds ---- */

/* Choices for a pmem kind. A new one has no path, no limit and the default policy; NULL if there is no
 * memory. The path is not copied. */
struct memkind_config;
struct memkind_config *memkind_config_new(void);
void memkind_config_delete(struct memkind_config *cfg);
void memkind_config_set_path(struct memkind_config *cfg, const char *pmem_dir);
void memkind_config_set_size(struct memkind_config *cfg, size_t pmem_size);
void memkind_config_set_memory_usage_policy(struct memkind_config *cfg,
	memkind_mem_usage_policy policy);

/*
 * A kind over a file without a name in a directory, or over a Device DAX. It grows up to max_size bytes,
 * rounded up to 2 MiB; 0: as far as the file system has room. Returns 0; else
 * MEMKIND_ERROR_INVALID, with errno set if it was the system that refused, or
 * MEMKIND_ERROR_ENVIRON, MEMKIND_ERROR_TOOMANY or MEMKIND_ERROR_MALLOC, and *kind is NULL.
 */
int memkind_create_pmem(const char *dir, size_t max_size, memkind_t *kind);
int memkind_create_pmem_with_config(struct memkind_config *cfg, memkind_t *kind);

/* A kind over the program's memory, which must not overlap that of a live kind. Errors as above. */
int memkind_create_fixed(void *addr, size_t size, memkind_t *kind);

/* One of the static kinds, chosen by type, policy and page size. */
int memkind_create_kind(memkind_memtype_t memtype_flags, memkind_policy_t policy,
	memkind_bits_t flags, memkind_t *kind);

/* Ends a kind with all its blocks. Static kinds stay. Returns 0. */
int memkind_destroy_kind(memkind_t kind);

/* Returns 0 if the kind has memory on this machine. */
int memkind_check_available(memkind_t kind);

/* The bytes that a kind can have at most; -1 if it is not available. */
ssize_t memkind_get_capacity(memkind_t kind);

/* Returns 0 if files in the directory can be mapped with MAP_SYNC: it is in persistent memory. */
int memkind_check_dax_path(const char *pmem_dir);

/* ---- Static kinds ---- */

extern memkind_t MEMKIND_DEFAULT; /* the program's own malloc */
extern memkind_t MEMKIND_REGULAR; /* nodes with processors, in a heap of its own */
extern memkind_t MEMKIND_HUGETLB;
extern memkind_t MEMKIND_INTERLEAVE; /* all nodes in turn */

/* High bandwidth memory: the nodes that MEMKIND_HBW_NODES lists. */
extern memkind_t MEMKIND_HBW;
extern memkind_t MEMKIND_HBW_ALL;
extern memkind_t MEMKIND_HBW_PREFERRED;
extern memkind_t MEMKIND_HBW_HUGETLB;
extern memkind_t MEMKIND_HBW_ALL_HUGETLB;
extern memkind_t MEMKIND_HBW_PREFERRED_HUGETLB;
extern memkind_t MEMKIND_HBW_INTERLEAVE;

/* Persistent memory as system memory: the nodes that MEMKIND_DAX_KMEM_NODES lists. */
extern memkind_t MEMKIND_DAX_KMEM;
extern memkind_t MEMKIND_DAX_KMEM_ALL;
extern memkind_t MEMKIND_DAX_KMEM_PREFERRED;
extern memkind_t MEMKIND_DAX_KMEM_INTERLEAVE;

/* The nodes that have the most memory. */
extern memkind_t MEMKIND_HIGHEST_CAPACITY;
extern memkind_t MEMKIND_HIGHEST_CAPACITY_PREFERRED;
extern memkind_t MEMKIND_HIGHEST_CAPACITY_LOCAL;
extern memkind_t MEMKIND_HIGHEST_CAPACITY_LOCAL_PREFERRED;

/* The fastest nodes: not available. */
extern memkind_t MEMKIND_LOWEST_LATENCY_LOCAL;
extern memkind_t MEMKIND_LOWEST_LATENCY_LOCAL_PREFERRED;
extern memkind_t MEMKIND_HIGHEST_BANDWIDTH_LOCAL;
extern memkind_t MEMKIND_HIGHEST_BANDWIDTH_LOCAL_PREFERRED;

/* ---- The heap ----
 *
 * As malloc(3) and its relatives, in a kind. A size of 0 gives NULL and leaves errno; no memory gives NULL and
 * ENOMEM. Where `kind` may be NULL, it is that of the block.
 */
void *memkind_malloc(memkind_t kind, size_t size);
void *memkind_calloc(memkind_t kind, size_t num, size_t size);
void *memkind_realloc(memkind_t kind, void *ptr, size_t size); /* kind may be NULL */
void memkind_free(memkind_t kind, void *ptr); /* kind may be NULL */
int memkind_posix_memalign(memkind_t kind, void **memptr, size_t alignment, size_t size);
size_t memkind_malloc_usable_size(memkind_t kind,
	MEMKIND_MALLOC_USABLE_SIZE_CONST void *ptr); /* kind may be NULL */

/* The kind of a block; MEMKIND_DEFAULT for other pointers, NULL for NULL. */
memkind_t memkind_detect_kind(void *ptr);

/* Moves a block to where blocks gather, so that whole pages become free. Returns the new block, and the old
 * one is gone, or NULL, and it stays. `kind` may be NULL. */
void *memkind_defrag_reallocate(memkind_t kind, void *ptr);

/* ---- Statistics ---- */

/* Takes the figures that memkind_get_stat() answers. Returns 0. */
int memkind_update_cached_stats(void);
/* Of a kind, or of all of them together if it is NULL. Returns 0 or MEMKIND_ERROR_INVALID. */
int memkind_get_stat(memkind_t kind, memkind_stat_type stat, size_t *value);
/* A report, in pieces; to standard error if there is no function. Returns 0 or MEMKIND_ERROR_INVALID. */
int memkind_stats_print(void (*write_cb)(void *, const char *), void *cbopaque,
	memkind_stat_print_opt opts);

/* ---- The library ---- */

/* Whether a thread gives memory back. It does at first, for pmem kinds. Returns 0. */
int memkind_set_bg_threads(bool state);
/* 1014000 for 1.14.0. */
int memkind_get_version();
/* A text for a code, cut off to fit. */
void memkind_error_message(int err, char *msg, size_t size);

#include "memkind_deprecated.h"

#ifdef __cplusplus
}
#endif

#endif
