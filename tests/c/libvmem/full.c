/* How much of a pool a program gets: pools of the least size and of 1 GiB, full of objects of one
 * size. Then all are freed, and nearly as many fit again. */
#include "vmem.h"

static size_t fill(VMEM *pool, size_t size, void **last) {
    size_t count = 0;
    *last = NULL;
    /* A list through the objects themselves. */
    for (void **object; (object = vmem_malloc(pool, size)); count++) {
        *object = *last;
        *last = object;
    }
    return count;
}

static void empty(VMEM *pool, void *last) {
    while (last) {
        void *next = *(void **)last;
        vmem_free(pool, last);
        last = next;
    }
}

static void try(const char *name, size_t pool_size, size_t size, double least) {
    VMEM *pool = vmem_create_in_region(own_pages(pool_size), pool_size);
    NEED(pool);
    void *last;
    size_t count = fill(pool, size, &last);
    double share = (double)(count * size) / (double)pool_size;
    int whole = vmem_check(pool);
    empty(pool, last);
    size_t again = fill(pool, size, &last);
    say("%s: %s, checked %d, the second time nearly as many %s", name, share >= least ? "enough" : "too few",
        whole, yes(again >= count - count / 500));
    if (share < least || again < count - count / 500)
        say("%s: %zu objects, %.1f %%, then %zu", name, count, share * 100, again);
    vmem_delete(pool);
    NEED(munmap(pool, pool_size) == 0);
}

int main(void) {
    try("14 MiB, 64 bytes", VMEM_MIN_POOL, 64, 0.95);
    try("14 MiB, 1000 bytes", VMEM_MIN_POOL, 1000, 0.90);
    try("14 MiB, 1 MiB", VMEM_MIN_POOL, MIB, 0.92);
    try("1 GiB, 64 bytes", GIB, 64, 0.98);
    try("1 GiB, 1 MiB", GIB, MIB, 0.98);
    return 0;
}
