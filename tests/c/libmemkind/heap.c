/* The heap's calls at their edges, in four kinds. */
#include "kinds.h"

static const char *found(void *block) { return block ? "block" : "NULL"; }

static void edges(const char *name, memkind_t kind) {
    void *block, *other;
#define TRY(label, call)                                                                           \
    (errno = 0, block = (call), say("%s, %s: %s, %s", name, label, found(block), error_name(errno)))
    TRY("malloc(0)", memkind_malloc(kind, 0));
    TRY("calloc(0, 5)", memkind_calloc(kind, 0, 5));
    TRY("calloc(5, 0)", memkind_calloc(kind, 5, 0));
    TRY("realloc(NULL, 0)", memkind_realloc(kind, NULL, 0));
    other = memkind_malloc(kind, 10);
    TRY("realloc(block, 0)", memkind_realloc(kind, other, 0));
    TRY("malloc(SIZE_MAX)", memkind_malloc(kind, SIZE_MAX));
    TRY("malloc(PTRDIFF_MAX)", memkind_malloc(kind, PTRDIFF_MAX));
    TRY("malloc(PTRDIFF_MAX + 1)", memkind_malloc(kind, (size_t)PTRDIFF_MAX + 1));
    TRY("calloc(SIZE_MAX, 10)", memkind_calloc(kind, SIZE_MAX, 10));
    other = memkind_malloc(kind, 1000);
    mark(other, 1000, 3);
    TRY("realloc(block, SIZE_MAX)", memkind_realloc(kind, other, SIZE_MAX));
    say("%s, the block afterwards: %s", name, yes(is_marked(other, 1000, 3)));
    TRY("realloc(block, 100000)", memkind_realloc(kind, other, 100000));
    say("%s, grown: %s", name, yes(is_marked(block, 1000, 3)));
    other = block;
    TRY("realloc(block, 10)", memkind_realloc(kind, other, 10));
    say("%s, shrunk: %s", name, yes(is_marked(block, 10, 3)));
    memkind_free(kind, block);
    memkind_free(kind, NULL);
    memkind_free(NULL, NULL);
    say("%s, usable size of NULL: %zu", name, memkind_malloc_usable_size(kind, NULL));
    say("%s, defragmentation of NULL: %s", name, found(memkind_defrag_reallocate(kind, NULL)));
    static const size_t alignments[] = {0, 1, 2, 3, 4, 8, 9, 16, 24, 64, 4096, 65536};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        void *place = (void *)1;
        errno = 0;
        int code = memkind_posix_memalign(kind, &place, alignments[i], 100);
        say("%s, alignment %zu: %s, %s, %s", name, alignments[i], error_name(code),
            place == (void *)1 ? "untouched" : found(place), error_name(errno));
        if (code == 0) {
            NEED(is_aligned(place, alignments[i]));
            memkind_free(kind, place);
        }
    }
    void *place = (void *)1;
    say("%s, 0 aligned bytes: %d, %s", name, memkind_posix_memalign(kind, &place, 64, 0), found(place));
    place = (void *)1;
    int code = memkind_posix_memalign(kind, &place, 64, SIZE_MAX);
    say("%s, too many aligned bytes: %s, %s", name, error_name(code),
        place == (void *)1 ? "untouched" : found(place));
    size_t sizes = 0, wrong = 0;
    for (size_t size = 1; size < 100000; size += size / 7 + 1, sizes++) {
        block = memkind_malloc(kind, size);
        NEED(block);
        mark(block, size, 1);
        wrong += memkind_malloc_usable_size(kind, block) < size || !is_aligned(block, size < 16 ? 8 : 16) ||
                 memkind_malloc_usable_size(NULL, block) < size || memkind_detect_kind(block) != kind;
        memkind_free(size % 2 ? kind : NULL, block);
        block = memkind_calloc(kind, size, 1);
        NEED(block);
        for (size_t i = 0; i < size; i++)
            wrong += ((char *)block)[i] != 0;
        memkind_free(kind, block);
    }
    say("%s, sizes: %zu, wrong: %zu", name, sizes, wrong);
}

int main(void) {
    memkind_t fixed;
    NEED(memkind_create_fixed(map_memory(32 * MIB), 32 * MIB, &fixed) == 0);
    edges("default", MEMKIND_DEFAULT);
    edges("regular", MEMKIND_REGULAR);
    edges("pmem", pmem_kind(32 * MIB));
    edges("fixed", fixed);
    errno = 0;
    say("realloc(no kind, NULL, 5): %s, %s", found(memkind_realloc(NULL, NULL, 5)), error_name(errno));
    return 0;
}
