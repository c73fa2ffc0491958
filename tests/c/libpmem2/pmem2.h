/* What the programs for libpmem2 share: names of results, and the usual source, config and
 * map in one call each. */
#ifndef PMEM2_H
#define PMEM2_H

#include "../libpmem/probe.h"

#include <libpmem2.h>

static inline const char *result_name(int result) {
#define NAME(code)                                                                       \
    case PMEM2_E_##code:                                                                 \
        return #code
    switch (result) {
        NAME(UNKNOWN);
        NAME(NOSUPP);
        NAME(FILE_HANDLE_NOT_SET);
        NAME(INVALID_FILE_HANDLE);
        NAME(INVALID_FILE_TYPE);
        NAME(MAP_RANGE);
        NAME(MAPPING_EXISTS);
        NAME(GRANULARITY_NOT_SET);
        NAME(GRANULARITY_NOT_SUPPORTED);
        NAME(OFFSET_OUT_OF_RANGE);
        NAME(OFFSET_UNALIGNED);
        NAME(INVALID_ALIGNMENT_FORMAT);
        NAME(INVALID_ALIGNMENT_VALUE);
        NAME(INVALID_SIZE_FORMAT);
        NAME(LENGTH_UNALIGNED);
        NAME(MAPPING_NOT_FOUND);
        NAME(BUFFER_TOO_SMALL);
        NAME(SOURCE_EMPTY);
        NAME(INVALID_SHARING_VALUE);
        NAME(SRC_DEVDAX_PRIVATE);
        NAME(INVALID_ADDRESS_REQUEST_TYPE);
        NAME(ADDRESS_UNALIGNED);
        NAME(ADDRESS_NULL);
        NAME(DEEP_FLUSH_RANGE);
        NAME(INVALID_REGION_FORMAT);
        NAME(DAX_REGION_NOT_FOUND);
        NAME(INVALID_DEV_FORMAT);
        NAME(CANNOT_READ_BOUNDS);
        NAME(NO_BAD_BLOCK_FOUND);
        NAME(LENGTH_OUT_OF_RANGE);
        NAME(INVALID_PROT_FLAG);
        NAME(NO_ACCESS);
        NAME(VM_RESERVATION_NOT_EMPTY);
        NAME(MAP_EXISTS);
        NAME(FILE_DESCRIPTOR_NOT_SET);
        NAME(SOURCE_TYPE_NOT_SUPPORTED);
        NAME(IO_FAIL);
    }
#undef NAME
    if (result > 0)
        return "positive";
    return error_name(-result);
}

static const char *const granularities[] = {"byte", "cache line", "page"};

static inline struct pmem2_source *source_of(int fd) {
    struct pmem2_source *source = NULL;
    NEED(pmem2_source_from_fd(&source, fd) == 0);
    return source;
}

/* A source of that many bytes of its own, in a file that has no name any more. */
static inline struct pmem2_source *file_source(size_t size) {
    int fd = sparse_file("source", size);
    NEED(unlink("source") == 0);
    return source_of(fd);
}

static inline void close_source(struct pmem2_source **source) {
    int fd;
    if (pmem2_source_get_fd(*source, &fd) == 0)
        close(fd);
    NEED(pmem2_source_delete(source) == 0);
}

static inline struct pmem2_config *config_of(size_t offset, size_t length) {
    struct pmem2_config *config = NULL;
    NEED(pmem2_config_new(&config) == 0);
    NEED(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE) == 0);
    NEED(pmem2_config_set_offset(config, offset) == 0);
    NEED(pmem2_config_set_length(config, length) == 0);
    return config;
}

/* Maps with the config and forgets it. */
static inline int map_with(struct pmem2_map **map, struct pmem2_config *config,
                           const struct pmem2_source *source) {
    int result = pmem2_map_new(map, config, source);
    NEED(pmem2_config_delete(&config) == 0);
    return result;
}

/* Maps into a reservation: from the source's offset on, at the reservation's offset. */
static inline int map_into(struct pmem2_map **map, struct pmem2_vm_reservation *reservation,
                           size_t at, const struct pmem2_source *source, size_t offset,
                           size_t length) {
    struct pmem2_config *config = config_of(offset, length);
    NEED(pmem2_config_set_vm_reservation(config, reservation, at) == 0);
    return map_with(map, config, source);
}

static inline void print_result(const char *name, int result) {
    say("%s: %s", name, result_name(result));
}

#endif
