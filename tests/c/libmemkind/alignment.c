/* Alignments as large as a kind's parts, and larger. */
#include "kinds.h"

int main(void) {
    memkind_t kind = pmem_kind(256 * MIB);
    size_t wrong = 0;
    for (size_t alignment = 4 * MIB; alignment <= 64 * MIB; alignment *= 2)
        for (int i = 0; i < 3; i++) {
            void *block = NULL;
            int code = memkind_posix_memalign(kind, &block, alignment, 64 * KIB);
            wrong += code == 0 && !is_aligned(block, alignment);
        }
    say("from 4 to 64 MiB, all aligned or refused: %s", yes(wrong == 0));
    void *block = NULL;
    int code = memkind_posix_memalign(kind, &block, (size_t)1 << 62, 100);
    say("2^62: %s", error_name(code));
    size_t many = 0;
    wrong = 0;
    kind = pmem_kind(256 * MIB);
    while (many < 50 && memkind_posix_memalign(kind, &block, 2 * MIB, 64 * KIB) == 0) {
        wrong += !is_aligned(block, 2 * MIB);
        many++;
    }
    say("fifty of 2 MiB: %zu, all aligned: %s", many, yes(wrong == 0));
    return 0;
}
