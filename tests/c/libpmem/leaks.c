/* A thousand mappings, and a thousand that fail, leave nothing. */
#include "probe.h"

#include <libpmem.h>

static void round_of(int i) {
    static const int flags[] = {PMEM_FILE_CREATE, PMEM_FILE_CREATE | PMEM_FILE_SPARSE,
                                PMEM_FILE_CREATE | PMEM_FILE_EXCL,
                                PMEM_FILE_CREATE | PMEM_FILE_TMPFILE};
    size_t mapped, size = 1 + (size_t)i * 37;
    int is_pmem;
    const char *path = flags[i % 4] & PMEM_FILE_TMPFILE ? "." : "f";
    char *address = pmem_map_file(path, size, flags[i % 4], 0600, &mapped, &is_pmem);
    NEED(address && mapped == size);
    address[size - 1] = 1;
    if (is_pmem)
        pmem_persist(address, size);
    else
        NEED(pmem_msync(address, size) == 0);
    NEED(pmem_unmap(address, mapped) == 0);
    unlink("f");
    NEED(!pmem_map_file("f", 0, 0, 0, NULL, NULL));                          /* absent */
    NEED(!pmem_map_file("f", (size_t)-1, PMEM_FILE_CREATE, 0600, NULL, NULL)); /* too long */
    NEED(!pmem_map_file(".", 0, 0, 0, NULL, NULL));                          /* directory */
    write_file("f", 0, 0600);
    NEED(!pmem_map_file("f", 0, 0, 0, NULL, NULL)); /* empty: fails in mmap */
    NEED(unlink("f") == 0);
    NEED(pmem_unmap((char *)NULL + 1, 1) == -1);
}

int main(void) {
    for (int i = 0; i < 10; i++)
        round_of(i);
    int descriptors = open_descriptors();
    size_t mapped = mapped_bytes();
    for (int i = 0; i < 1000; i++)
        round_of(i);
    say("a thousand rounds left: %d descriptors, %zd bytes of address space, %d files",
        open_descriptors() - descriptors, (ssize_t)(mapped_bytes() - mapped), entries_of("."));
    return 0;
}
