/* The families of memmove, memcpy and memset with every set of flags, and in every way that
 * the environment may choose. */
#include "oracle.h"

#include <libpmem.h>

static void *move_nodrain(void *to, const void *from, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memmove_nodrain(to, from, length);
}
static void *copy_nodrain(void *to, const void *from, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memcpy_nodrain(to, from, length);
}
static void *set_nodrain(void *to, int value, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memset_nodrain(to, value, length);
}
static void *move_persist(void *to, const void *from, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memmove_persist(to, from, length);
}
static void *copy_persist(void *to, const void *from, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memcpy_persist(to, from, length);
}
static void *set_persist(void *to, int value, size_t length, unsigned flags) {
    (void)flags;
    return pmem_memset_persist(to, value, length);
}

static void nothing(void) {
    char byte = 'o';
    say("nothing: move %s, copy %s, set %s, from null %s, to null %s, set null %s",
        yes(pmem_memmove(&byte, &byte, 0, 0) == &byte),
        yes(pmem_memcpy(&byte, &byte, 0, 0) == &byte),
        yes(pmem_memset(&byte, 0, 0, 0) == &byte),
        yes(pmem_memcpy_persist(&byte, NULL, 0) == &byte),
        yes(pmem_memmove_persist(NULL, &byte, 0) == NULL),
        yes(pmem_memset_persist(NULL, 0, 0) == NULL));
    NEED(byte == 'o');
}

int main(int count, char **arguments) {
    static const struct {
        const char *name, *value;
    } settings[] = {
        {"PMEM_NO_MOVNT", "1"},       {"PMEM_MOVNT_THRESHOLD", "0"},
        {"PMEM_MOVNT_THRESHOLD", "64"}, {"PMEM_MOVNT_THRESHOLD", "1000000"},
        {"PMEM_MOVNT_THRESHOLD", "x"}, {"PMEM_MOVNT_THRESHOLD", "-1"},
        {"PMEM_AVX", "0"},            {"PMEM_AVX", "1"},
        {"PMEM_AVX512F", "0"},        {"PMEM_AVX512F", "1"},
        {"PMEM_MOVDIR64B", "1"},      {"PMEM_NO_GENERIC_MEMCPY", "1"},
        {"PMEM_WC_WORKAROUND", "0"},  {"PMEM_WC_WORKAROUND", "1"},
        {"PMEM_NO_FLUSH", "1"},       {"PMEM_NO_CLWB", "1"},
        {"PMEM_NO_CLFLUSHOPT", "1"},
    };
    if (count > 1) {
        static const unsigned some[] = {0, PMEM_F_MEM_NONTEMPORAL, PMEM_F_MEM_TEMPORAL,
                                        PMEM_F_MEM_WC | PMEM_F_MEM_NODRAIN, PMEM_F_MEM_NOFLUSH};
        struct family family = {arguments[1], pmem_memmove, pmem_memcpy, pmem_memset};
        for (size_t i = 0; i < sizeof some / sizeof *some; i++)
            check_family(&family, some[i], 0);
        return 0;
    }
    struct family plain = {"plain", pmem_memmove, pmem_memcpy, pmem_memset};
    check_family(&plain, 0, 1);
    check_family(&plain, PMEM_F_MEM_NONTEMPORAL, 1);
    check_family(&plain, PMEM_F_MEM_TEMPORAL, 1);
    for (unsigned flags = 1; flags <= PMEM_F_MEM_VALID_FLAGS; flags++)
        if (flags != PMEM_F_MEM_NONTEMPORAL && flags != PMEM_F_MEM_TEMPORAL)
            check_family(&plain, flags, 0);
    check_family(&plain, 64, 0);
    check_family(&plain, UINT_MAX, 0);
    struct family nodrain = {"nodrain", move_nodrain, copy_nodrain, set_nodrain};
    check_family(&nodrain, 0, 1);
    struct family persist = {"persist", move_persist, copy_persist, set_persist};
    check_family(&persist, 0, 1);
    nothing();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char name[60];
        snprintf(name, sizeof name, "%s=%s", settings[i].name, settings[i].value);
        run_again(name, settings[i].name, settings[i].value);
    }
    return 0;
}
