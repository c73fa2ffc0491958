/* Mistakes with blocks of a libvmem pool, for valgrind to find: the argument says which. */
#include <libvmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static VMEM *pool;
static volatile char sink;

/* What is left of their addresses in registers and on the stack is of the last ones. */
static __attribute__((noinline)) void leak(void) {
    for (int i = 0; i < 50; i++) {
        volatile char *lost = vmem_malloc(pool, 123);
        lost[0] = 1;
    }
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    size_t size = 64 << 20;
    void *region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pool = vmem_create_in_region(region, size);
    if (!pool)
        return 1;
    /* Nothing is wrong with these. */
    char *kept[100];
    for (int i = 0; i < 100; i++) {
        kept[i] = vmem_malloc(pool, (size_t)i * 77 + 1);
        memset(kept[i], i, (size_t)i * 77 + 1);
        memset(kept[i], i, vmem_malloc_usable_size(pool, kept[i]));
    }
    char *zeros = vmem_calloc(pool, 1000, 3);
    for (int i = 0; i < 3000; i++)
        sink += zeros[i] ? 1 : 0;
    for (size_t large = 1; large < 8 << 20; large *= 3) {
        zeros = vmem_realloc(pool, zeros, large);
        zeros[large - 1] = 1;
    }
    for (int i = 0; i < 100; i++)
        vmem_free(pool, kept[i]);
    vmem_free(pool, zeros);
    char *text = vmem_strdup(pool, "some text");
    if (vmem_check(pool) != 1)
        return 2;

    if (!strcmp(what, "overrun"))
        text[10] = 1;
    if (!strcmp(what, "use after free")) {
        vmem_free(pool, text);
        sink = text[3];
        text = NULL;
    }
    if (!strcmp(what, "uninitialised")) {
        char *block = vmem_malloc(pool, 20);
        if (block[7])
            sink = 1;
        vmem_free(pool, block);
    }
    if (!strcmp(what, "leak"))
        leak();
    vmem_free(pool, text);
    if (strcmp(what, "leak"))
        vmem_delete(pool);
    puts("end");
    return 0;
}
