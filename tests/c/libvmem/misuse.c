/* Double frees and foreign pointers end the process with one line. */
#include "vmem.h"

static VMEM *pool;

static void double_free(void) {
    void *block = vmem_malloc(pool, 100);
    vmem_free(pool, block);
    vmem_free(pool, block);
}

static void double_free_of_large(void) {
    void *block = vmem_malloc(pool, 3 * MIB);
    vmem_free(pool, block);
    vmem_free(pool, block);
}

static void foreign_pointer(void) { vmem_free(pool, malloc(10)); }
static void of_the_stack(void) {
    char here[64];
    vmem_free(pool, here);
}
static void inside_a_block(void) { vmem_free(pool, (char *)vmem_malloc(pool, 100) + 16); }
static void unaligned(void) { vmem_free(pool, (char *)vmem_malloc(pool, 100) + 1); }
static void foreign_realloc(void) { vmem_realloc(pool, &pool, 100); }
static void size_of_foreign(void) { vmem_malloc_usable_size(pool, &pool); }
static void of_a_deleted_pool(void) {
    VMEM *gone = small_pool();
    void *block = vmem_malloc(gone, 100);
    vmem_delete(gone);
    vmem_free(gone, block);
}

static void ends(const char *name, void (*part)(void)) {
    int error = dup(2), file = open("stderr", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    NEED(error >= 0 && file >= 0 && dup2(file, 2) == 2);
    int code = in_child(part);
    NEED(dup2(error, 2) == 2);
    char line[300] = "";
    NEED(pread(file, line, sizeof line - 1, 0) >= 0);
    close(error);
    close(file);
    /* Addresses differ from run to run. */
    char *newline = strchr(line, '\n');
    char *address = strstr(line, "0x");
    int one_line = newline && !newline[1] && !strncmp(line, "libvmem: ", 9);
    if (newline)
        *newline = 0;
    char *rest = address ? address + strcspn(address, ": ") : line;
    if (address)
        *address = 0;
    say("%s: signal %d, one line %s, %s...%s", name, -code, yes(one_line), line, address ? rest : "");
}

int main(void) {
    pool = small_pool();
    ends("double free", double_free);
    ends("double free of a large block", double_free_of_large);
    ends("a pointer of malloc's", foreign_pointer);
    ends("a pointer to the stack", of_the_stack);
    ends("a pointer into a block", inside_a_block);
    ends("an unaligned pointer", unaligned);
    ends("realloc of a foreign pointer", foreign_realloc);
    ends("usable size of a foreign pointer", size_of_foreign);
    ends("a block of a deleted pool", of_a_deleted_pool);
    say("the pool is whole: %d", vmem_check(pool));
    return 0;
}
