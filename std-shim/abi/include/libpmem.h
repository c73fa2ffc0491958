/*
 * libpmem: files and Device DAX mapped as persistent memory, and stores to them made durable.
 *
 * The interface is that of PMDK's libpmem, API version 1.1; programs built for either run with the
 * other. Link with `pkg-config --libs libpmem`.
 *
 * Functions that fail set errno and leave a text that pmem_errormsg() returns.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef LIBPMEM_H
#define LIBPMEM_H 1

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The interface that this header describes, for pmem_check_version(). */
#define PMEM_MAJOR_VERSION 1
#define PMEM_MINOR_VERSION 1

/* The least size of a part of a pool in higher libraries: 2 MiB. */
#define PMEM_MIN_PART ((size_t)(1024 * 1024 * 2))

/* ---- Mapping ---- */

/* Creates the file if it is missing, and gives it the length, longer or shorter. */
#define PMEM_FILE_CREATE (1 << 0)
/* With CREATE: the file must not exist. */
#define PMEM_FILE_EXCL (1 << 1)
/* With CREATE: allocates no space; a full disk is a SIGBUS later. */
#define PMEM_FILE_SPARSE (1 << 2)
/* With CREATE: a file without a name in the directory `path`. */
#define PMEM_FILE_TMPFILE (1 << 3)

/*
 * Maps a file or a Device DAX, shared, for reading and writing. `len` is the length of a file that
 * is created, else 0 (for a Device DAX also its size). Returns its address, a multiple of 2 MiB (1 GiB from
 * 2 GiB on), or NULL. On success stores the length and whether it is persistent memory, where
 * the pointers are not NULL.
 */
void *pmem_map_file(const char *path, size_t len, int flags, mode_t mode, size_t *mapped_lenp,
	int *is_pmemp);

/* Unmaps any range of pages. Returns 0, or -1 and nothing has changed. */
int pmem_unmap(void *addr, size_t len);

/* Whether pmem_persist() makes all of the range durable: it was mapped by pmem_map_file() from
 * persistent memory. Returns 1 or 0. */
int pmem_is_pmem(const void *addr, size_t len);

/* ---- Durability ---- */

/* Persistent memory: flush and drain. */
void pmem_persist(const void *addr, size_t len);
/* Starts flushing CPU caches, unless the platform does it on power loss. */
void pmem_flush(const void *addr, size_t len);
/* Waits for flushes and for stores past the caches. */
void pmem_drain(void);
/* Any file: writes pages back and waits. Returns 0 or -1. */
int pmem_msync(const void *addr, size_t len);
/* Whether the platform flushes CPU caches on power loss: 1, 0, or -1 on an error. */
int pmem_has_auto_flush(void);
/* Always 0. */
int pmem_has_hw_drain(void);

/* As above, past the memory controllers' write buffers. */
void pmem_deep_flush(const void *addr, size_t len);
int pmem_deep_drain(const void *addr, size_t len);
int pmem_deep_persist(const void *addr, size_t len);

/* ---- Copies that are durable when they return ---- */

/* Leaves pmem_drain() to the caller. */
#define PMEM_F_MEM_NODRAIN (1U << 0)
/* Stores past the caches, or through them; hints. */
#define PMEM_F_MEM_NONTEMPORAL (1U << 1)
#define PMEM_F_MEM_TEMPORAL (1U << 2)
#define PMEM_F_MEM_WC (1U << 3)
#define PMEM_F_MEM_WB (1U << 4)
/* Leaves flushing and draining to the caller. */
#define PMEM_F_MEM_NOFLUSH (1U << 5)

#define PMEM_F_MEM_VALID_FLAGS \
	(PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_TEMPORAL | PMEM_F_MEM_WC | \
	 PMEM_F_MEM_WB | PMEM_F_MEM_NOFLUSH)

void *pmem_memmove(void *pmemdest, const void *src, size_t len, unsigned flags);
void *pmem_memcpy(void *pmemdest, const void *src, size_t len, unsigned flags);
void *pmem_memset(void *pmemdest, int c, size_t len, unsigned flags);

void *pmem_memmove_persist(void *pmemdest, const void *src, size_t len);
void *pmem_memcpy_persist(void *pmemdest, const void *src, size_t len);
void *pmem_memset_persist(void *pmemdest, int c, size_t len);

void *pmem_memmove_nodrain(void *pmemdest, const void *src, size_t len);
void *pmem_memcpy_nodrain(void *pmemdest, const void *src, size_t len);
void *pmem_memset_nodrain(void *pmemdest, int c, size_t len);

/* ---- Errors and messages ---- */

/* NULL if the library offers this interface, else a text that says why not. */
const char *pmem_check_version(unsigned major_required, unsigned minor_required);

/* The calling thread's last error; empty if there was none. */
const char *pmem_errormsg(void);

/* Levels of messages, from the gravest on. */
enum pmem_log_level {
	PMEM_LOG_LEVEL_HARK, /* what the library is */
	PMEM_LOG_LEVEL_FATAL, /* the program cannot go on */
	PMEM_LOG_LEVEL_ERROR, /* the operation failed */
	PMEM_LOG_LEVEL_WARNING, /* unexpected, but the operation went on */
	PMEM_LOG_LEVEL_NOTICE, /* how operations ended, why memory is not persistent */
	PMEM_LOG_LEVEL_INFO,
	PMEM_LOG_LEVEL_DEBUG,
};

enum pmem_log_threshold {
	PMEM_LOG_THRESHOLD, /* what is less grave is dropped; at first WARNING */
	PMEM_LOG_THRESHOLD_AUX, /* what the library's own function writes to stderr; at first nothing */
};

/* Both return 0, or 1 and EINVAL. */
int pmem_log_set_threshold(enum pmem_log_threshold threshold, enum pmem_log_level value);
int pmem_log_get_threshold(enum pmem_log_threshold threshold, enum pmem_log_level *value);

typedef void pmem_log_function(enum pmem_log_level level, const char *file_name, unsigned line_no,
	const char *function_name, const char *message);

#define PMEM_LOG_USE_DEFAULT_FUNCTION (NULL)

/* The function that takes messages, from every thread. Returns 0. */
int pmem_log_set_function(pmem_log_function *log_function);

#ifdef __cplusplus
}
#endif

#endif
