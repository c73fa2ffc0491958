/*
 * Several kinds as one: each allocation goes to one of them, by a ratio of bytes.
 *
 * The interface is that of memkind 1.14.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef MEMKIND_MEMTIER_H
#define MEMKIND_MEMTIER_H 1

#include <memkind.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

struct memtier_builder;
struct memtier_memory;

typedef enum memtier_policy_t {
	/* Keeps the bytes of the tiers in the ratio. */
	MEMTIER_POLICY_STATIC_RATIO = 0,
	/* Small blocks to the first tiers, large ones to the others; the limits move until the ratio holds. */
	MEMTIER_POLICY_DYNAMIC_THRESHOLD = 1,
	MEMTIER_POLICY_MAX_VALUE
} memtier_policy_t;

/* A list of tiers. NULL on an error. */
struct memtier_builder *memtier_builder_new(memtier_policy_t policy);
void memtier_builder_delete(struct memtier_builder *builder);
/* Returns 0, or -1 if there is no kind or it is there already. */
int memtier_builder_add_tier(struct memtier_builder *builder, memkind_t kind, unsigned kind_ratio);
/* Sets a choice of a policy, such as policy.dynamic_threshold.check_cnt. Returns 0 or -1. */
int memtier_ctl_set(struct memtier_builder *builder, const char *name, const void *val);
/* What tiers were added, as one. NULL on an error. */
struct memtier_memory *memtier_builder_construct_memtier_memory(struct memtier_builder *builder);
void memtier_delete_memtier_memory(struct memtier_memory *memory);

/* As the functions of the heap in memkind.h; a resized block stays in its kind. */
void *memtier_malloc(struct memtier_memory *memory, size_t size);
void *memtier_calloc(struct memtier_memory *memory, size_t num, size_t size);
void *memtier_realloc(struct memtier_memory *memory, void *ptr, size_t size);
int memtier_posix_memalign(struct memtier_memory *memory, void **memptr, size_t alignment,
	size_t size);

/* The same in one kind, counted. */
void *memtier_kind_malloc(memkind_t kind, size_t size);
void *memtier_kind_calloc(memkind_t kind, size_t num, size_t size);
void *memtier_kind_realloc(memkind_t kind, void *ptr, size_t size);
int memtier_kind_posix_memalign(memkind_t kind, void **memptr, size_t alignment, size_t size);
void memtier_kind_free(memkind_t kind, void *ptr);

size_t memtier_usable_size(void *ptr);

static inline void memtier_free(void *ptr)
{
	memtier_kind_free(NULL, ptr);
}

/* The bytes that these functions allocated in a kind and did not free. */
size_t memtier_kind_allocated_size(memkind_t kind);

#ifdef __cplusplus
}
#endif

#endif
