/* Many pools: 1000 made, used and deleted by 16 threads, while others live on. */
#include "vmem.h"

#include <malloc.h>

static _Atomic int made, whole, wrong;
static VMEM *shared;
static int turns;

static void *in_turn(void *unused) {
    (void)unused;
    for (int i = 0; i < turns; i++) {
        VMEM *pool = i % 2 ? vmem_create(".", VMEM_MIN_POOL)
                           : vmem_create_in_region(own_pages(VMEM_MIN_POOL), VMEM_MIN_POOL);
        if (!pool)
            continue;
        made++;
        char *blocks[50];
        for (int k = 0; k < 50; k++) {
            blocks[k] = vmem_malloc(pool, (size_t)k * 50 + 1);
            if (blocks[k] < (char *)pool || blocks[k] >= (char *)pool + VMEM_MIN_POOL)
                wrong++;
            vmem_free(shared, vmem_malloc(shared, (size_t)k * 50 + 1));
        }
        for (int k = 0; k < 50; k += 2)
            vmem_free(pool, blocks[k]);
        whole += vmem_check(pool) == 1;
        vmem_delete(pool);
        if (i % 2 == 0)
            NEED(munmap(pool, VMEM_MIN_POOL) == 0);
    }
    return NULL;
}

int main(void) {
    /* Or the C library maps 64 MiB for each thread that allocates at the same time as another. */
    NEED(mallopt(M_ARENA_MAX, 1) == 1);
    shared = small_pool();
    /* What is mapped once and kept, such as what a thread needs. */
    turns = 4;
    run_threads(16, in_turn, NULL);
    turns = 1000 / 16 + 1;
    size_t mapped = mapped_bytes();
    int descriptors = open_descriptors();
    made = whole = 0;
    run_threads(16, in_turn, NULL);
    say("1000 in turn: made %s, all whole %s, wrong %d", yes(made >= 1000), yes(made == whole), wrong);
    say("descriptors as before: %s", yes(open_descriptors() == descriptors));
    say("address space as before, to within 160 MiB: %s",
        yes(mapped_bytes() < mapped + 160 * MIB));
    say("the pool of all: %d", vmem_check(shared));

    /* A thread that uses many pools at once. */
    static VMEM *many[300];
    int good = 1;
    for (int i = 0; i < 300; i++)
        NEED((many[i] = vmem_create_in_region(own_pages(VMEM_MIN_POOL), VMEM_MIN_POOL)));
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 300; i++)
            good &= vmem_malloc(many[i], 100) != NULL;
    for (int i = 0; i < 300; i++) {
        good &= vmem_check(many[i]) == 1;
        vmem_delete(many[i]);
    }
    say("300 pools at once: %s", yes(good));
    return 0;
}
