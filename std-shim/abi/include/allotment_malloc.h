/*
 * The functions of liballotment_malloc that older C libraries do not declare.
 *
 * A program needs no header to run with the library preloaded. Include this one to call C23's sized
 * free, and link with `pkg-config --libs allotment-malloc`: the library then also replaces malloc
 * and its family, which <stdlib.h> and <malloc.h> declare.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef ALLOTMENT_MALLOC_H
#define ALLOTMENT_MALLOC_H

#include <stddef.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#if __cplusplus >= 201103L
#define ALLOTMENT_NOTHROW noexcept
#else
#define ALLOTMENT_NOTHROW throw()
#endif
#else
#define ALLOTMENT_NOTHROW
#endif

/*
 * Frees memory from malloc, calloc or realloc. `size` is the size that was asked for: a size that
 * the memory cannot have had ends the program. NULL is ignored.
 */
void free_sized(void *pointer, size_t size) ALLOTMENT_NOTHROW;

/*
 * Frees memory from aligned_alloc, to which `alignment` and `size` were given: a size or an
 * alignment that the memory cannot have had ends the program. NULL is ignored.
 */
void free_aligned_sized(void *pointer, size_t alignment, size_t size) ALLOTMENT_NOTHROW;

#undef ALLOTMENT_NOTHROW

#ifdef __cplusplus
}
#endif

#endif
