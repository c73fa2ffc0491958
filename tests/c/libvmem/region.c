/* Pools in the program's own memory; handles that are none; pools that overlap. */
#include "vmem.h"

int main(void) {
    size_t size = 16 * MIB;
    char *region = own_pages(size + 4 * MIB);
    errno = UNTOUCHED;
    VMEM *pool = vmem_create_in_region(region, size);
    say("a pool: the handle is the address %s, errno untouched %s, message empty %s",
        yes((char *)pool == region), yes(errno == UNTOUCHED), yes(!vmem_errormsg()[0]));
    say("its first page: %s", access_of(region, PAGE));
    char *block = vmem_malloc(pool, 100);
    say("what it allocates lies in it: %s", yes(block > region && block + 100 <= region + size));
    say("checked: %d", vmem_check(pool));
    vmem_delete(pool);
    say("deleted: its first page %s, all of it %s", access_of(region, PAGE),
        access_of(region, size));
    int answer = vmem_check(pool);
    say("checked when it is deleted: %d, %s, %s", answer, error_name(errno),
        yes(strstr(vmem_errormsg(), "invalid pool handle: 0x") != NULL));

    /* Whatever was in it. */
    memset(region, 0xff, size);
    pool = vmem_create_in_region(region, size);
    char *zeros = vmem_calloc(pool, 1, MIB);
    NEED(zeros);
    size_t nonzero = 0;
    for (size_t i = 0; i < MIB; i++)
        nonzero += zeros[i] != 0;
    say("over old bytes: %zu of calloc's are not zero, checked %d", nonzero, vmem_check(pool));
    vmem_delete(pool);

    errno = 0;
    int refused = !vmem_create_in_region(region + 1, size);
    say("unaligned: NULL %s, %s, says which page size %s", yes(refused), error_name(errno),
        yes(strstr(vmem_errormsg(), "not aligned to pagesize 4096") != NULL));
    OUTCOME("too small", vmem_create_in_region(region, VMEM_MIN_POOL - 1));
    OUTCOME("no address", vmem_create_in_region(NULL, size));
    errno = 0;
    refused = !vmem_create_in_region(region, SIZE_MAX - 4095);
    say("a size that wraps: NULL %s, %s, message %s", yes(refused), error_name(errno),
        yes(strstr(vmem_errormsg(), "more than there are addresses") != NULL));
    errno = 0;
    refused = !vmem_create_in_region(region, SIZE_MAX / 2 - MIB);
    say("more than is mapped: NULL %s, %s, message %s", yes(refused), error_name(errno),
        yes(strstr(vmem_errormsg(), "is mapped") != NULL));
    say("the region is as before: %s", access_of(region, size));

    /* Handles that are none. */
    errno = 0;
    vmem_delete(pool);
    say("deleted twice: %s, %s", error_name(errno),
        yes(strstr(vmem_errormsg(), "invalid pool handle: 0x") != NULL));
    errno = 0;
    vmem_delete(NULL);
    say("NULL deleted: %s, %s", error_name(errno), vmem_errormsg());
    errno = 0;
    vmem_delete((VMEM *)&size);
    say("something else deleted: %s", error_name(errno));
    errno = 0;
    answer = vmem_check(NULL);
    say("NULL checked: %d, %s", answer, error_name(errno));
    errno = 0;
    answer = vmem_check((VMEM *)&size);
    say("something else checked: %d, %s", answer, error_name(errno));
    errno = 0;
    refused = !vmem_malloc((VMEM *)&size, 1);
    say("allocated from something else: NULL %s, %s", yes(refused), error_name(errno));
    VMEM *file = small_pool();
    errno = 0;
    vmem_delete((VMEM *)((char *)file + PAGE));
    say("an address inside a pool deleted: %s, the pool is whole %d", error_name(errno),
        vmem_check(file));
    vmem_delete(file);
    errno = 0;
    vmem_delete(file);
    say("a file's pool deleted twice: %s", error_name(errno));

    /* Two pools that have memory in common. */
    VMEM *first = vmem_create_in_region(region, size);
    say("alone: %d", vmem_check(first));
    VMEM *second = vmem_create_in_region(region + 4 * MIB, size);
    say("overlapping: made %s, %d and %d", yes(second != NULL), vmem_check(first),
        vmem_check(second));
    vmem_delete(second);
    vmem_delete(first);
    first = vmem_create_in_region(region, size);
    say("afterwards: %d", vmem_check(first));
    vmem_delete(first);
    return 0;
}
