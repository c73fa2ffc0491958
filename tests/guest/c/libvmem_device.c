/* Pools on a Device DAX: made, filled, checked, forked, deleted, and made again. Arguments: the device, its
 * alignment. The original maps all of it, but uses only so much as the size says. */
#include "../../c/libvmem/vmem.h"
#include "device_size.h"

static const char *device;
static VMEM *pool;

/* Fills the pool with blocks, each full of its number, and answers how many bytes they have. */
static size_t fill(size_t size, void **last) {
    size_t count = 0;
    *last = NULL;
    for (unsigned char *block; (block = vmem_malloc(pool, size)); count++) {
        memset(block, (int)count, size);
        *(void **)block = *last;
        *last = block;
    }
    return count * size;
}

static int empty(size_t size, void *last, size_t bytes) {
    int good = 1;
    for (size_t count = bytes / size; last; ) {
        unsigned char *block = last;
        count--;
        for (size_t i = sizeof last; i < size; i += 509)
            good &= block[i] == (unsigned char)count;
        last = *(void **)block;
        vmem_free(pool, block);
    }
    return good;
}

static void full(const char *name, size_t size) {
    void *last;
    size_t bytes = fill(size, &last);
    int whole = vmem_check(pool);
    int intact = empty(size, last, bytes);
    say("%s: the whole device %s, checked %d, intact %s, checked when empty %d", name,
        yes((double)bytes > 0.9 * (double)device_size(device)), whole, yes(intact), vmem_check(pool));
}

static void *churn(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed;
    unsigned char *blocks[50] = {0};
    size_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525 + 1013904223;
        int k = (random >> 20) % 50;
        wrong += blocks[k] && blocks[k][0] != k;
        vmem_free(pool, blocks[k]);
        NEED((blocks[k] = vmem_calloc(pool, 1, (random >> 8) % 3000 + 2)));
        wrong += blocks[k][1] != 0;
        blocks[k][0] = (unsigned char)k;
    }
    for (int k = 0; k < 50; k++)
        vmem_free(pool, blocks[k]);
    NEED(wrong == 0);
    return NULL;
}

static char *block;

static void child(void) {
    say("in a child, the block: %s, checked %d", yes(!strcmp(block, "parent's")), vmem_check(pool));
    strcpy(block, "child's");
    for (int i = 0; i < 100; i++)
        NEED(vmem_malloc(pool, (size_t)i * 1000));
    say("in a child, after a hundred allocations: checked %d", vmem_check(pool));
    vmem_delete(pool);
}

int main(int count, char **arguments) {
    NEED(count == 3);
    device = arguments[1];
    size_t alignment = strtoull(arguments[2], NULL, 10);
    OUTCOME("too small", vmem_create(device, VMEM_MIN_POOL - 1));
    int descriptors = open_descriptors();
    for (int round = 1; round <= 2; round++) {
        errno = UNTOUCHED;
        pool = vmem_create(device, VMEM_MIN_POOL);
        NEED(pool);
        say("pool %d: errno untouched %s, aligned %s, no descriptor left %s", round, yes(errno == UNTOUCHED),
            yes(is_aligned(pool, 4 * MIB) && is_aligned(pool, alignment)),
            yes(open_descriptors() == descriptors));
        say("all of the device is mapped: %s", yes(is_mapped((char *)pool + PAGE, device_size(device) - PAGE)));
        /* Where the kernel splits the mapping so finely. */
        say("its first page is out of bounds: %s", yes(alignment > PAGE || !strcmp(access_of(pool, PAGE), "---s")));
        /* The second one lies over what the first one left. */
        unsigned char *zeros = vmem_calloc(pool, 1, 4 * MIB);
        size_t nonzero = 0;
        for (size_t i = 0; i < 4 * MIB; i++)
            nonzero += zeros[i] != 0;
        say("bytes of calloc's that are not zero: %zu", nonzero);
        vmem_free(pool, zeros);
        full("1 MiB", MIB);
        full("3000 bytes", 3000);
        run_threads(8, churn, (void *)1);
        say("after threads: checked %d", vmem_check(pool));
        NEED((block = vmem_malloc(pool, 100)));
        strcpy(block, "parent's");
        NEED(in_child(child) == 0);
        say("after a child, the block: %s, checked %d", yes(!strcmp(block, "parent's")), vmem_check(pool));
        errno = UNTOUCHED;
        vmem_delete(pool);
        say("deleted: errno untouched %s, unmapped %s", yes(errno == UNTOUCHED),
            yes(!strcmp(access_of(pool, device_size(device)), "none")));
    }
    return 0;
}
