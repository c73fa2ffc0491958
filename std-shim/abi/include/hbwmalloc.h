/*
 * High bandwidth memory: the nodes that MEMKIND_HBW_NODES lists.
 *
 * The interface is that of memkind 1.14. Link with `pkg-config --libs memkind`.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef HBWMALLOC_H
#define HBWMALLOC_H 1

#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is done where there is no such memory, or no more of it. */
typedef enum {
	HBW_POLICY_BIND = 1, /* allocations fail */
	HBW_POLICY_PREFERRED = 2, /* ordinary memory serves; the policy at first */
	HBW_POLICY_INTERLEAVE = 3, /* all nodes in turn; allocations fail */
	HBW_POLICY_BIND_ALL = 4 /* any node; allocations fail */
} hbw_policy_t;

typedef enum {
	HBW_PAGESIZE_4KB = 1,
	HBW_PAGESIZE_2MB = 2, /* none */
	HBW_PAGESIZE_1GB_STRICT = 3, /* none */
	HBW_PAGESIZE_1GB = 4, /* none */
	HBW_PAGESIZE_MAX_VALUE
} hbw_pagesize_t;

/* For hbw_verify_memory_region(). */
enum { HBW_TOUCH_PAGES = (1 << 0) };

hbw_policy_t hbw_get_policy(void);
/* Once, before the first allocation. Returns 0, EINVAL or EPERM. */
int hbw_set_policy(hbw_policy_t mode);
/* 0, or ENODEV if there is no such memory. */
int hbw_check_available(void);
/* Cannot be told: -1, or EINVAL. */
int hbw_verify_memory_region(void *addr, size_t size, int flags);

void *hbw_malloc(size_t size);
void *hbw_calloc(size_t num, size_t size);
int hbw_posix_memalign(void **memptr, size_t alignment, size_t size);
int hbw_posix_memalign_psize(void **memptr, size_t alignment, size_t size,
	hbw_pagesize_t pagesize);
void *hbw_realloc(void *ptr, size_t size);
void hbw_free(void *ptr);
size_t hbw_malloc_usable_size(void *ptr);

#ifdef __cplusplus
}
#endif

#endif
