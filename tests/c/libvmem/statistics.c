/* The statistics, and the letters that leave parts out. */
#include "vmem.h"

static char printed[1 << 16];
static void my_print(const char *text) { strncat(printed, text, sizeof printed - strlen(printed) - 1); }

static void with(const char *name, VMEM *pool, const char *options) {
    printed[0] = 0;
    errno = UNTOUCHED;
    vmem_stats_print(pool, options);
    say("%s: general %s, sums %s, blocks %s, classes %s, large %s, errno untouched %s",
        name, yes(strstr(printed, "Pool 0x") != NULL),
        yes(strstr(printed, "Sums:") != NULL), yes(strstr(printed, "Blocks,") != NULL),
        yes(strstr(printed, "Size classes:") != NULL), yes(strstr(printed, "Large alloc") != NULL),
        yes(errno == UNTOUCHED));
    say("%s, begins and ends: %s", name,
        yes(!strncmp(printed, "___ Begin libvmem statistics ___\n", 33) &&
            strstr(printed, "--- End libvmem statistics ---\n")));
}

static long figure(const char *section, const char *name) {
    const char *at = strstr(printed, section);
    at = at ? strstr(at, name) : NULL;
    return at ? atol(at + strlen(name)) : -1;
}

int main(void) {
    vmem_set_funcs(NULL, NULL, NULL, NULL, my_print);
    VMEM *pool = small_pool();
    with("NULL", pool, NULL);
    with("no letter", pool, "");
    with("g", pool, "g");
    with("m", pool, "m");
    with("a", pool, "a");
    with("b", pool, "b");
    with("l", pool, "l");
    with("gmabl", pool, "gmabl");
    with("zX9", pool, "zX9");
    void *small[100], *large[3];
    for (int i = 0; i < 100; i++)
        small[i] = vmem_malloc(pool, 200);
    for (int i = 0; i < 3; i++)
        large[i] = vmem_malloc(pool, 2 * MIB);
    NEED(!vmem_malloc(pool, GIB));
    with("in use", pool, NULL);
    say("in use, figures: live allocations %ld, large ones %ld, failures %ld",
        figure("Sums:", "live allocations"), figure("Large", "allocations  "),
        figure("Sums:", "failures"));
    say("allocated bytes are what was asked for, and not much more: %s",
        yes(figure("Sums:", "allocated bytes") >= (long)(100 * 200 + 6 * MIB) &&
            figure("Sums:", "allocated bytes") < (long)(100 * 260 + 6 * MIB + 100)));
    for (int i = 0; i < 100; i++)
        vmem_free(pool, small[i]);
    for (int i = 0; i < 3; i++)
        vmem_free(pool, large[i]);
    with("gabl, freed", pool, "gabl");
    say("freed: live allocations %ld", figure("Sums:", "live allocations"));
    vmem_delete(pool);
    errno = 0;
    vmem_stats_print(pool, NULL);
    say("of a pool that is deleted: %s", error_name(errno));
    return 0;
}
