/* calloc where it is easy to get wrong. */
#include "kinds.h"

static const char *answer(memkind_t kind, size_t number, size_t size) {
    errno = 0;
    void *block = memkind_calloc(kind, number, size);
    return block ? "block" : error_name(errno);
}

int main(void) {
    char *memory = map_memory(32 * MIB);
    memset(memory, 0xa5, 32 * MIB);
    memkind_t fixed, pmem = pmem_kind(32 * MIB);
    NEED(memkind_create_fixed(memory, 32 * MIB, &fixed) == 0);
    const size_t half = ((size_t)1 << 63) + 1;
    say("pmem, 2^63 + 1 times 2: %s", answer(pmem, half, 2));
    say("fixed, 2^63 + 1 times 2: %s", answer(fixed, half, 2));
    size_t dirty = 0;
    for (size_t size = 100; size < 4 * MIB; size *= 3) {
        char *block = memkind_calloc(fixed, 1, size);
        NEED(block);
        for (size_t i = 0; i < size; i++)
            dirty += block[i] != 0;
    }
    say("fixed, zeros over dirty memory: %s", yes(dirty == 0));
    return 0;
}
