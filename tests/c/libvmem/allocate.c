/* The malloc family: sizes, alignments, errors, errno and what is kept. */
#include "vmem.h"

static VMEM *pool;

static void *shrink_in(VMEM *vmp) {
    /* Fills the pool with blocks of two sizes and shrinks each where there is no room at all. */
    size_t count = 0, shrunk = 0, wrong = 0;
    char **blocks = malloc(sizeof *blocks * 200000);
    NEED(blocks);
    for (size_t size = 100000; size >= 100; size /= 10)
        for (char *block; (block = vmem_malloc(vmp, size)); count++) {
            memset(block, (int)count, 40);
            blocks[count] = block;
        }
    for (size_t i = 0; i < count; i++)
        for (size_t size = vmem_malloc_usable_size(vmp, blocks[i]); size > 40; size /= 3) {
            char *moved = vmem_realloc(vmp, blocks[i], size);
            if (!moved)
                wrong++;
            else
                blocks[i] = moved;
            shrunk++;
        }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 40; k++)
            wrong += blocks[i][k] != (char)i;
    say("shrinking in a full pool: tried %s, refused or damaged %zu", yes(shrunk > count), wrong);
    for (size_t i = 0; i < count; i++)
        vmem_free(vmp, blocks[i]);
    free(blocks);
    return NULL;
}

int main(void) {
    pool = small_pool();
    errno = UNTOUCHED;
    void *none = vmem_malloc(pool, 0), *other = vmem_malloc(pool, 0);
    say("0 bytes: not NULL %s, an address of their own %s, room for 8 %s", yes(none && other),
        yes(none != other), yes(vmem_malloc_usable_size(pool, none) >= 8));
    vmem_free(pool, none);
    vmem_free(pool, other);
    say("NULL freed, usable size of NULL: %zu",
        (vmem_free(pool, NULL), vmem_malloc_usable_size(pool, NULL)));
    say("errno untouched: %s", yes(errno == UNTOUCHED));

    int natural = 1, enough = 1, pattern = 1;
    for (size_t size = 1; size <= 4096; size++) {
        unsigned char *block = vmem_malloc(pool, size);
        NEED(block);
        size_t alignment = (size & (size - 1)) == 0 && size >= 8 ? size : size > 8 ? 16 : 8;
        natural &= is_aligned(block, alignment);
        enough &= vmem_malloc_usable_size(pool, block) >= size;
        memset(block, 7, vmem_malloc_usable_size(pool, block));
        pattern &= block[size - 1] == 7;
        vmem_free(pool, block);
    }
    say("1 to 4096 bytes: aligned, powers of two to themselves %s, large enough %s, writable %s",
        yes(natural), yes(enough), yes(pattern));

    OUTCOME("calloc that overflows", vmem_calloc(pool, SIZE_MAX / 2, 3));
    errno = 0;
    none = vmem_calloc(pool, 0, 8);
    say("calloc of nothing: not NULL %s, %s", yes(none != NULL), error_name(errno));
    vmem_free(pool, none);
    int zero = 1;
    for (int round = 0; round < 200; round++) {
        size_t size = (size_t)round * 97 + 1;
        unsigned char *block = vmem_calloc(pool, size, 1);
        NEED(block);
        for (size_t i = 0; i < size; i++)
            zero &= block[i] == 0;
        memset(block, 0xff, size);
        vmem_free(pool, block);
    }
    say("calloc gives zeros: %s", yes(zero));

    errno = 0;
    char *grown = vmem_realloc(pool, NULL, 10);
    NEED(grown);
    strcpy(grown, "123456789");
    int kept = 1;
    for (size_t size = 10; size < 4 * MIB; size += size / 2) {
        grown = vmem_realloc(pool, grown, size);
        NEED(grown);
        kept &= !strcmp(grown, "123456789");
    }
    for (size_t size = 4 * MIB; size >= 10; size /= 2) {
        grown = vmem_realloc(pool, grown, size);
        NEED(grown);
        kept &= !strcmp(grown, "123456789");
    }
    say("realloc keeps what is there: %s", yes(kept));
    char *refused = vmem_realloc(pool, grown, GIB);
    say("realloc beyond the pool: NULL %s, %s, the block is as it was %s", yes(!refused),
        error_name(errno), yes(!strcmp(grown, "123456789")));
    errno = 0;
    none = vmem_realloc(pool, grown, 0);
    say("realloc to 0 bytes: NULL %s, %s", yes(!none), error_name(errno));
    none = vmem_realloc(pool, NULL, 0);
    say("realloc of NULL to 0 bytes: not NULL %s", yes(none != NULL));
    vmem_free(pool, none);

    int aligned = 1;
    for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 2)
        for (size_t size = 0; size < 3 * alignment && size < 100000; size = size * 2 + 1) {
            char *block = vmem_aligned_alloc(pool, alignment, size);
            NEED(block);
            aligned &= is_aligned(block, alignment);
            memset(block, 1, size);
            vmem_free(pool, block);
        }
    say("aligned to 1, 2, ... 2 MiB: %s", yes(aligned));
    OUTCOME("alignment 0", vmem_aligned_alloc(pool, 0, 8));
    OUTCOME("alignment 24", vmem_aligned_alloc(pool, 24, 8));
    errno = 0;
    none = vmem_aligned_alloc(pool, (size_t)1 << 62, 8);
    say("alignment 2^62: %s, %s", none ? "not NULL" : "NULL", error_name(errno));
    errno = 0;
    none = vmem_aligned_alloc(pool, (size_t)1 << 63, 8);
    say("alignment 2^63: %s, %s", none ? "not NULL" : "NULL", error_name(errno));

    char *text = vmem_strdup(pool, "a text");
    wchar_t *wide = vmem_wcsdup(pool, L"a wide t\u00e9xt");
    char *empty = vmem_strdup(pool, "");
    say("copies of strings: %s %s %s", yes(!strcmp(text, "a text")),
        yes(!wcscmp(wide, L"a wide t\u00e9xt")), yes(!*empty));
    vmem_free(pool, text);
    vmem_free(pool, wide);
    vmem_free(pool, empty);

    /* A refusal says what failed. */
    const size_t impossible[] = {GIB, SIZE_MAX / 2, SIZE_MAX - 10, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        errno = 0;
        void *block = vmem_malloc(pool, impossible[i]);
        char number[40];
        snprintf(number, sizeof number, "%zu bytes, aligned to 16", impossible[i]);
        say("%zu bytes: %s, %s, the message says so %s", impossible[i],
            block ? "not NULL" : "NULL", error_name(errno),
            yes(strstr(vmem_errormsg(), number) != NULL));
    }
    vmem_malloc(pool, GIB);
    char handle[40];
    snprintf(handle, sizeof handle, "pool %p", (void *)pool);
    say("the message: names the pool %s, what is free %s, and the largest block %s",
        yes(strstr(vmem_errormsg(), handle) != NULL),
        yes(strstr(vmem_errormsg(), " bytes free") != NULL),
        yes(strstr(vmem_errormsg(), "largest free block") != NULL));

    /* By way of another pool's handle it goes where it belongs. */
    VMEM *second = small_pool();
    char *block = vmem_malloc(pool, 64);
    memset(block, 3, 64);
    block = vmem_realloc(second, block, 5000);
    say("realloc through another pool's handle: kept %s, stays in its pool %s", yes(block[63] == 3),
        yes(block > (char *)pool && block < (char *)pool + VMEM_MIN_POOL));
    vmem_free(second, block);
    say("freed through another pool's handle: %d, %d", vmem_check(pool), vmem_check(second));
    vmem_delete(second);
    shrink_in(pool);
    say("checked at the end: %d", vmem_check(pool));
    vmem_delete(pool);
    return 0;
}
