/* Reliability: device id, unsafe shutdowns, NUMA node and bad blocks of what is no
 * persistent memory, and of what is no device at all. */
#include "pmem2.h"

static void try(const char *kind, struct pmem2_source *source) {
    char id[100];
    memset(id, 'x', sizeof id);
    size_t length = sizeof id;
    int result = pmem2_source_device_id(source, id, &length);
    say("%s, device id: %s, length %s, buffer %s", kind, result_name(result),
        length == sizeof id ? "untouched" : "changed", id[0] == 'x' ? "untouched" : "changed");
    length = UNTOUCHED;
    result = pmem2_source_device_id(source, NULL, &length);
    say("%s, length of the device id: %s, %s", kind, result_name(result),
        length == UNTOUCHED ? "untouched" : length == 0 ? "0" : "changed");
    uint64_t count = UNTOUCHED;
    result = pmem2_source_device_usc(source, &count);
    say("%s, unsafe shutdowns: %s, %s", kind, result_name(result),
        count == UNTOUCHED ? "untouched" : "changed");
    int node = UNTOUCHED;
    result = pmem2_source_numa_node(source, &node);
    say("%s, NUMA node: %s, %s", kind, result_name(result),
        node == UNTOUCHED ? "untouched" : "changed");
    struct pmem2_badblock_context *context =
        (struct pmem2_badblock_context *)(uintptr_t)UNTOUCHED;
    result = pmem2_badblock_context_new(&context, source);
    say("%s, bad blocks: %s, pointer %s", kind, result_name(result),
        context == NULL                                                   ? "null"
        : context == (struct pmem2_badblock_context *)(uintptr_t)UNTOUCHED ? "untouched"
                                                                           : "set");
    if (result != 0)
        return;
    struct pmem2_badblock block = {UNTOUCHED, UNTOUCHED};
    result = pmem2_badblock_next(context, &block);
    say("%s, next bad block: %s, %zu %zu", kind, result_name(result), block.offset,
        block.length);
    result = pmem2_badblock_next(context, &block);
    say("%s, next bad block again: %s", kind, result_name(result));
    block.offset = 0, block.length = 4096;
    result = pmem2_badblock_clear(context, &block);
    say("%s, clear a block: %s", kind, result_name(result));
    pmem2_badblock_context_delete(&context);
    say("%s, context deleted: pointer %s", kind, context ? "kept" : "null");
}

int main(void) {
    int before = open_descriptors();
    struct pmem2_source *source = file_source(8192);
    try("file", source);
    close_source(&source);
    source = file_source(0);
    try("empty file", source);
    close_source(&source);
    int fd = memfd_create("memory", MFD_CLOEXEC);
    NEED(fd >= 0 && ftruncate(fd, 8192) == 0);
    source = source_of(fd);
    try("memfd", source);
    close_source(&source);
    NEED(pmem2_source_from_anon(&source, 8192) == 0);
    try("anonymous", source);
    close_source(&source);
    say("descriptors left: %d", open_descriptors() - before);
    return 0;
}
