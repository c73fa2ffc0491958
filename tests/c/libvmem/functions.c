/* Functions of the program's for the library's own memory, and for its messages. */
#include "vmem.h"

static int mallocs, frees, others;
static void *given[8];
static int refuse;

static void *my_malloc(size_t size) {
    if (refuse)
        return NULL;
    return given[mallocs++ % 8] = malloc(size);
}

static void my_free(void *block) {
    int known = 0;
    for (int i = 0; i < 8; i++)
        known |= block && block == given[i];
    say("free_func gets what malloc_func gave: %s", yes(known));
    frees++;
    free(block);
}

static void *my_realloc(void *block, size_t size) {
    others++;
    return realloc(block, size);
}

static char *my_strdup(const char *text) {
    others++;
    return strdup(text);
}

static char printed[1 << 16];
static void my_print(const char *text) { strncat(printed, text, sizeof printed - strlen(printed) - 1); }

static void with_half_a_pair(void) {
    vmem_set_funcs(my_malloc, NULL, NULL, NULL, NULL);
    VMEM *pool = small_pool();
    vmem_free(pool, vmem_malloc(pool, 10));
    vmem_delete(pool);
    say("malloc_func alone: called %d times", mallocs);
}

static void too_late(void) {
    vmem_delete(small_pool());
    vmem_set_funcs(my_malloc, my_free, NULL, NULL, NULL);
    VMEM *pool = small_pool();
    vmem_free(pool, vmem_malloc(pool, 10));
    vmem_delete(pool);
    say("after the first pool: called %d times", mallocs);
}

int main(void) {
    in_child(with_half_a_pair);
    in_child(too_late);
    vmem_set_funcs(my_malloc, my_free, my_realloc, my_strdup, my_print);
    VMEM *pool = small_pool();
    say("made: malloc_func %d, free_func %d", mallocs, frees);
    refuse = 1;
    errno = 0;
    void *block = vmem_malloc(pool, 10);
    say("malloc_func gives nothing: %s, %s, message %s", block ? "not NULL" : "NULL",
        error_name(errno), yes(strstr(vmem_errormsg(), "malloc_func") != NULL));
    refuse = 0;
    block = vmem_malloc(pool, 10);
    say("the next allocation: not NULL %s, malloc_func %d", yes(block != NULL), mallocs);
    for (int i = 0; i < 1000; i++)
        vmem_free(pool, vmem_malloc(pool, (size_t)i * 10));
    char *copy = vmem_strdup(pool, "text");
    copy = vmem_realloc(pool, copy, 3000);
    say("a thousand more: malloc_func %d, free_func %d, the others %d", mallocs, frees, others);
    vmem_stats_print(pool, NULL);
    say("print_func gets the statistics: %s", yes(strstr(printed, "libvmem statistics") != NULL));
    vmem_delete(pool);
    say("deleted: malloc_func %d, free_func %d", mallocs, frees);
    pool = small_pool();
    vmem_delete(pool);
    say("a pool without an allocation: malloc_func %d, free_func %d", mallocs, frees);
    return 0;
}
