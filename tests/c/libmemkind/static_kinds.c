/* The static kinds of a machine with one node and no huge pages. */
#include "kinds.h"

#define KIND(name) {#name, &MEMKIND_##name}
static const struct {
    const char *name;
    memkind_t *kind;
} kinds[] = {
    KIND(DEFAULT), KIND(REGULAR), KIND(INTERLEAVE), KIND(HBW), KIND(HBW_ALL), KIND(HBW_PREFERRED),
    KIND(HBW_HUGETLB), KIND(HBW_ALL_HUGETLB), KIND(HBW_PREFERRED_HUGETLB), KIND(HBW_INTERLEAVE),
    KIND(DAX_KMEM), KIND(DAX_KMEM_ALL), KIND(DAX_KMEM_PREFERRED), KIND(DAX_KMEM_INTERLEAVE),
    KIND(LOWEST_LATENCY_LOCAL), KIND(LOWEST_LATENCY_LOCAL_PREFERRED),
    KIND(HIGHEST_BANDWIDTH_LOCAL), KIND(HIGHEST_BANDWIDTH_LOCAL_PREFERRED), KIND(GBTLB),
    KIND(HBW_GBTLB), KIND(HBW_PREFERRED_GBTLB),
};

static void look(const char *name, memkind_t kind) {
    say("%s: %s, number %u", name, fields_of(kind)->name, fields_of(kind)->partition);
    say("%s, available: %d", name, memkind_check_available(kind));
    errno = 0;
    char *block = memkind_malloc(kind, 100);
    say("%s, malloc: %s, %s", name, block ? "block" : "NULL", error_name(errno));
    if (block) {
        mark(block, 100, 1);
        say("%s, detected: %s", name, yes(memkind_detect_kind(block) == kind));
        memkind_free(NULL, block);
    }
    void *place = (void *)1;
    say("%s, posix_memalign: %s", name, error_name(memkind_posix_memalign(kind, &place, 64, 100)));
    say("%s, calloc: %s", name, memkind_calloc(kind, 3, 5) ? "block" : "NULL");
    say("%s, realloc: %s", name, memkind_realloc(kind, NULL, 7) ? "block" : "NULL");
    ssize_t capacity = memkind_get_capacity(kind);
    say("%s, capacity: %s", name, capacity > 0 ? "some" : capacity == 0 ? "none" : "unknown");
    say("%s, destroyed: %d", name, memkind_destroy_kind(kind));
}

int main(void) {
    /* First use and availability may set errno or not: only what follows a clear one is shown. */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        look(kinds[i].name, *kinds[i].kind);
    say("two heaps: %s", yes(MEMKIND_DEFAULT != MEMKIND_REGULAR));
    for (unsigned type = 0; type < 4; type++)
        for (int policy = 0; policy <= MEMKIND_POLICY_MAX_VALUE; policy++)
            for (unsigned pages = 0; pages <= 21; pages += 21) {
                memkind_t kind = NULL;
                int code = memkind_create_kind((memkind_memtype_t)type, (memkind_policy_t)policy,
                                               (memkind_bits_t)pages, &kind);
                say("type %u, policy %d, pages %u: %d, %s", type, policy, pages, code,
                    kind ? fields_of(kind)->name : "none");
            }
    return 0;
}
