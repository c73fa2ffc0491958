/*
 * libpmem2: sources mapped by themselves or into reserved address space, and stores to them made durable.
 *
 * The interface is that of PMDK's libpmem2; programs built for either run with the other. Link with
 * `pkg-config --libs libpmem2`.
 *
 * A call that returns int answers 0, one of PMEM2_E_*, or an errno, negated. After any failure pmem2_errormsg()
 * says why. What a call makes goes to its first argument, which is NULL after a failure.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef LIBPMEM2_H
#define LIBPMEM2_H 1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PMEM2_E_UNKNOWN (-100000)
#define PMEM2_E_NOSUPP (-100001)
#define PMEM2_E_FILE_HANDLE_NOT_SET (-100003)
#define PMEM2_E_INVALID_FILE_HANDLE (-100004)
#define PMEM2_E_INVALID_FILE_TYPE (-100005)
#define PMEM2_E_MAP_RANGE (-100006)
#define PMEM2_E_MAPPING_EXISTS (-100007)
#define PMEM2_E_GRANULARITY_NOT_SET (-100008)
#define PMEM2_E_GRANULARITY_NOT_SUPPORTED (-100009)
#define PMEM2_E_OFFSET_OUT_OF_RANGE (-100010)
#define PMEM2_E_OFFSET_UNALIGNED (-100011)
#define PMEM2_E_INVALID_ALIGNMENT_FORMAT (-100012)
#define PMEM2_E_INVALID_ALIGNMENT_VALUE (-100013)
#define PMEM2_E_INVALID_SIZE_FORMAT (-100014)
#define PMEM2_E_LENGTH_UNALIGNED (-100015)
#define PMEM2_E_MAPPING_NOT_FOUND (-100016)
#define PMEM2_E_BUFFER_TOO_SMALL (-100017)
#define PMEM2_E_SOURCE_EMPTY (-100018)
#define PMEM2_E_INVALID_SHARING_VALUE (-100019)
#define PMEM2_E_SRC_DEVDAX_PRIVATE (-100020)
#define PMEM2_E_INVALID_ADDRESS_REQUEST_TYPE (-100021)
#define PMEM2_E_ADDRESS_UNALIGNED (-100022)
#define PMEM2_E_ADDRESS_NULL (-100023)
#define PMEM2_E_DEEP_FLUSH_RANGE (-100024)
#define PMEM2_E_INVALID_REGION_FORMAT (-100025)
#define PMEM2_E_DAX_REGION_NOT_FOUND (-100026)
#define PMEM2_E_INVALID_DEV_FORMAT (-100027)
#define PMEM2_E_CANNOT_READ_BOUNDS (-100028)
#define PMEM2_E_NO_BAD_BLOCK_FOUND (-100029)
#define PMEM2_E_LENGTH_OUT_OF_RANGE (-100030)
#define PMEM2_E_INVALID_PROT_FLAG (-100031)
#define PMEM2_E_NO_ACCESS (-100032)
#define PMEM2_E_VM_RESERVATION_NOT_EMPTY (-100033)
#define PMEM2_E_MAP_EXISTS (-100034)
#define PMEM2_E_FILE_DESCRIPTOR_NOT_SET (-100035)
#define PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED (-100036)
#define PMEM2_E_IO_FAIL (-100037)

struct pmem2_source;
struct pmem2_config;
struct pmem2_vm_reservation;
struct pmem2_map;
struct pmem2_badblock_context;

/* ---- Sources: what maps are made of ---- */

/* A regular file or a Device DAX that is open for reading. The descriptor stays the caller's; maps do not need
 * it, nor the source, once they are made. */
int pmem2_source_from_fd(struct pmem2_source **src, int fd);
/* Anonymous memory. */
int pmem2_source_from_anon(struct pmem2_source **src, size_t size);
int pmem2_source_get_fd(const struct pmem2_source *src, int *fd);
/* As it is now, in bytes. */
int pmem2_source_size(const struct pmem2_source *src, size_t *size);
/* What offsets, lengths and addresses of maps are multiples of. */
int pmem2_source_alignment(const struct pmem2_source *src, size_t *alignment);
/* Makes *src NULL. */
int pmem2_source_delete(struct pmem2_source **src);

/* Bytes of a source; a bad block is PMEM2_E_IO_FAIL and not a SIGBUS. */
int pmem2_source_pread_mcsafe(struct pmem2_source *src, void *buf, size_t size, size_t offset);
int pmem2_source_pwrite_mcsafe(struct pmem2_source *src, void *buf, size_t size, size_t offset);

/* ---- Reservations: address space without memory ---- */

/* At addr, or where the system likes if that is NULL: at a multiple of 2 MiB, of 1 GiB from 2 GiB on. */
int pmem2_vm_reservation_new(struct pmem2_vm_reservation **rsv_ptr, void *addr, size_t size);
/* Only without maps in it. Makes *rsv_ptr NULL. */
int pmem2_vm_reservation_delete(struct pmem2_vm_reservation **rsv_ptr);
void *pmem2_vm_reservation_get_address(struct pmem2_vm_reservation *rsv);
size_t pmem2_vm_reservation_get_size(struct pmem2_vm_reservation *rsv);
/* At the end. */
int pmem2_vm_reservation_extend(struct pmem2_vm_reservation *rsv, size_t size);
/* At the start, and then the address moves up, or at the end. */
int pmem2_vm_reservation_shrink(struct pmem2_vm_reservation *rsv, size_t offset, size_t size);

/* The first map with a byte in the range; with len 0, the one that the offset is in. */
int pmem2_vm_reservation_map_find(struct pmem2_vm_reservation *rsv, size_t reserv_offset, size_t len,
	struct pmem2_map **map);
int pmem2_vm_reservation_map_find_prev(struct pmem2_vm_reservation *rsv, struct pmem2_map *map,
	struct pmem2_map **prev_map);
int pmem2_vm_reservation_map_find_next(struct pmem2_vm_reservation *rsv, struct pmem2_map *map,
	struct pmem2_map **next_map);
int pmem2_vm_reservation_map_find_first(struct pmem2_vm_reservation *rsv, struct pmem2_map **map);
int pmem2_vm_reservation_map_find_last(struct pmem2_vm_reservation *rsv, struct pmem2_map **map);

/* ---- Configurations: how a map is to be made ---- */

int pmem2_config_new(struct pmem2_config **cfg);
/* Makes *cfg NULL. */
int pmem2_config_delete(struct pmem2_config **cfg);

/* In what pieces stores become persistent. */
enum pmem2_granularity {
	/* When they are visible. */
	PMEM2_GRANULARITY_BYTE,
	/* When the CPU's caches are flushed. */
	PMEM2_GRANULARITY_CACHE_LINE,
	/* When msync() has written the pages back. */
	PMEM2_GRANULARITY_PAGE
};

/* The coarsest that will do. It has to be set. */
int pmem2_config_set_required_store_granularity(struct pmem2_config *cfg, enum pmem2_granularity g);
/* Where in the source. */
int pmem2_config_set_offset(struct pmem2_config *cfg, size_t offset);
/* How many bytes; 0: to the end of the source. */
int pmem2_config_set_length(struct pmem2_config *cfg, size_t length);

/* Who sees what is written. */
enum pmem2_sharing_type {
	PMEM2_SHARED,
	PMEM2_PRIVATE
};

int pmem2_config_set_sharing(struct pmem2_config *cfg, enum pmem2_sharing_type type);

#define PMEM2_PROT_EXEC (1U << 29)
#define PMEM2_PROT_READ (1U << 30)
#define PMEM2_PROT_WRITE (1U << 31)
#define PMEM2_PROT_NONE 0

int pmem2_config_set_protection(struct pmem2_config *cfg, unsigned prot);
/* NULL: in none. */
int pmem2_config_set_vm_reservation(struct pmem2_config *cfg, struct pmem2_vm_reservation *rsv,
	size_t offset);

/* ---- Maps ---- */

int pmem2_map_new(struct pmem2_map **map_ptr, const struct pmem2_config *cfg,
	const struct pmem2_source *src);
/* What the program mapped itself. After a failure *map is as it was. */
int pmem2_map_from_existing(struct pmem2_map **map, const struct pmem2_source *src, void *addr,
	size_t len, enum pmem2_granularity gran);
/* Unmaps, unless the program mapped it itself; in a reservation the pages are reserved again. Makes *map_ptr NULL. */
int pmem2_map_delete(struct pmem2_map **map_ptr);
void *pmem2_map_get_address(struct pmem2_map *map);
size_t pmem2_map_get_size(struct pmem2_map *map);
enum pmem2_granularity pmem2_map_get_store_granularity(struct pmem2_map *map);

/* ---- Durability: the functions that fit a map ---- */

typedef void (*pmem2_persist_fn)(const void *ptr, size_t size);
typedef void (*pmem2_flush_fn)(const void *ptr, size_t size);
typedef void (*pmem2_drain_fn)(void);

/* Flush and drain. */
pmem2_persist_fn pmem2_get_persist_fn(struct pmem2_map *map);
pmem2_flush_fn pmem2_get_flush_fn(struct pmem2_map *map);
pmem2_drain_fn pmem2_get_drain_fn(struct pmem2_map *map);

/* Does not drain. */
#define PMEM2_F_MEM_NODRAIN (1U << 0)
/* Past the caches, or through them. */
#define PMEM2_F_MEM_NONTEMPORAL (1U << 1)
#define PMEM2_F_MEM_TEMPORAL (1U << 2)
#define PMEM2_F_MEM_WC (1U << 3)
#define PMEM2_F_MEM_WB (1U << 4)
/* Neither flushes nor drains. */
#define PMEM2_F_MEM_NOFLUSH (1U << 5)

#define PMEM2_F_MEM_VALID_FLAGS \
	(PMEM2_F_MEM_NODRAIN | PMEM2_F_MEM_NONTEMPORAL | PMEM2_F_MEM_TEMPORAL | PMEM2_F_MEM_WC | \
		PMEM2_F_MEM_WB | PMEM2_F_MEM_NOFLUSH)

typedef void *(*pmem2_memmove_fn)(void *pmemdest, const void *src, size_t len, unsigned flags);
typedef void *(*pmem2_memcpy_fn)(void *pmemdest, const void *src, size_t len, unsigned flags);
typedef void *(*pmem2_memset_fn)(void *pmemdest, int c, size_t len, unsigned flags);

pmem2_memmove_fn pmem2_get_memmove_fn(struct pmem2_map *map);
pmem2_memcpy_fn pmem2_get_memcpy_fn(struct pmem2_map *map);
pmem2_memset_fn pmem2_get_memset_fn(struct pmem2_map *map);

/* ---- The hardware ---- */

/* As safely as the platform can, past its own write buffers. */
int pmem2_deep_flush(struct pmem2_map *map, void *ptr, size_t size);
/* A string; with id NULL only the room that it needs. */
int pmem2_source_device_id(const struct pmem2_source *src, char *id, size_t *len);
/* The count of unsafe shutdowns. */
int pmem2_source_device_usc(const struct pmem2_source *src, uint64_t *usc);
int pmem2_source_numa_node(const struct pmem2_source *src, int *numa_node);

/* In bytes from the source's start. */
struct pmem2_badblock {
	size_t offset;
	size_t length;
};

int pmem2_badblock_context_new(struct pmem2_badblock_context **bbctx, const struct pmem2_source *src);
int pmem2_badblock_next(struct pmem2_badblock_context *bbctx, struct pmem2_badblock *bb);
/* Makes *bbctx NULL. */
void pmem2_badblock_context_delete(struct pmem2_badblock_context **bbctx);
/* Its content becomes zeros. */
int pmem2_badblock_clear(struct pmem2_badblock_context *bbctx, const struct pmem2_badblock *bb);

/* ---- Errors ---- */

/* What went wrong last in this thread. */
const char *pmem2_errormsg(void);
/* Writes the formatted text, a colon and pmem2_errormsg() to standard error. */
void pmem2_perror(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

#ifdef __cplusplus
}
#endif

#endif /* LIBPMEM2_H */
