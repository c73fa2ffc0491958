/* A pmem kind over a Device DAX. Arguments: the device, its alignment.
 * The original takes directories only. */
#include "../../c/libmemkind/kinds.h"
#include "device_size.h"

static const char *device;

static void refused(const char *label, const char *path, size_t size) {
    memkind_t kind = (memkind_t)1;
    errno = 0;
    int code = memkind_create_pmem(path, size, &kind);
    say("%s: %d, %s, %s", label, code, error_name(errno), kind ? "set" : "NULL");
}

/* Blocks are linked, each full of a byte that tells it from its neighbours. */
struct block {
    struct block *next;
    unsigned number;
};

static void use(const char *label, size_t limit, size_t size) {
    memkind_t kind = NULL;
    size_t capacity = limit ? (limit + 2 * MIB - 1) / (2 * MIB) * (2 * MIB) : device_size(device);
    NEED(memkind_create_pmem(device, limit, &kind) == 0);
    say("%s, capacity as expected: %s", label, yes((size_t)memkind_get_capacity(kind) == capacity));
    say("%s, available: %d", label, memkind_check_available(kind));
    struct stat status;
    NEED(fstat(fields_of(kind)->pmem->fd, &status) == 0);
    say("%s, the descriptor is the device's: %s", label, yes(S_ISCHR(status.st_mode)));
    struct block *last = NULL, *block;
    unsigned count = 0, wrong = 0, undetected = 0;
    errno = 0;
    while ((block = memkind_malloc(kind, size))) {
        mark(block + 1, size - sizeof *block, count);
        *block = (struct block){last, count++};
        last = block;
    }
    say("%s, in the end: %s", label, error_name(errno));
    say("%s, nine tenths are payload: %s", label, yes(count * size >= capacity / 10 * 9));
    /* The last one becomes shorter, and as long as it was. */
    NEED(block = memkind_realloc(kind, last, size / 2));
    NEED(last = memkind_realloc(NULL, block, size / 2 + 1));
    mark(last + 1, size / 2 - sizeof *last, last->number);
    for (block = last->next; block; block = block->next) {
        wrong += !is_marked(block + 1, size - sizeof *block, block->number);
        undetected += memkind_detect_kind(block) != kind;
    }
    say("%s, damaged: %u, not known: %u", label, wrong, undetected);
    errno = 0;
    void *larger = memkind_realloc(kind, last, 2 * capacity);
    say("%s, too large: %s, %s", label, larger ? "block" : "NULL", error_name(errno));
    say("%s, the block as before: %s", label, yes(is_marked(last + 1, size / 2 - sizeof *last, last->number)));
    while (last) {
        block = last->next;
        memkind_free(last->number % 2 ? kind : NULL, last);
        last = block;
    }
    size_t left = 1;
    NEED(memkind_update_cached_stats() == 0);
    NEED(memkind_get_stat(kind, MEMKIND_STAT_TYPE_ALLOCATED, &left) == 0);
    say("%s, after the frees: %zu", label, left);
    char *zeros = memkind_calloc(kind, 1000, 1000);
    NEED(zeros);
    say("%s, calloc over what was there: %s", label, yes(!zeros[0] && !memcmp(zeros, zeros + 1, 999999)));
    say("%s, destroyed: %d", label, memkind_destroy_kind(kind));
    say("%s, block afterwards: %s", label, is_mapped(zeros, PAGE) ? "mapped" : "gone");
}

static void in_share(void) { refused("in a child, another kind", device, 0); }

int main(int count, char **arguments) {
    NEED(count == 3);
    device = arguments[1];
    size_t unit = strtoull(arguments[2], NULL, 10);
    int descriptors = open_descriptors();
    for (int time = 0; time < 2; time++)
        use(time ? "all again" : "all", 0, MIB);
    use("32 units or 64 MiB", unit < MIB ? 64 * MIB : 32 * unit, 100000);
    use("a byte more than 16 MiB", 16 * MIB + 1, 1000);
    memkind_t kind = NULL;
    NEED(memkind_create_pmem(device, device_size(device) * 4, &kind) == 0);
    say("more than there is, the capacity is the device's: %s",
        yes((size_t)memkind_get_capacity(kind) == device_size(device)));
    void *block = NULL;
    for (size_t alignment = PAGE; alignment <= 32 * MIB; alignment *= 2) {
        NEED(memkind_posix_memalign(kind, &block, alignment, 1000) == 0);
        NEED(is_aligned(block, alignment));
    }
    say("alignments up to 32 MiB: yes");
    refused("another kind", device, 0);
    NEED(in_child(in_share) == 0);
    memset(block, 1, 1000);
    NEED(memkind_destroy_kind(kind) == 0);
    refused("less than 16 MiB", device, 16 * MIB - 1);
    refused("no Device DAX", "/dev/null", 0);
    setenv("MEMKIND_FORK", "snapshot", 1);
    refused("a copy for children", device, 0);
    unsetenv("MEMKIND_FORK");
    say("dax path: %d, %s", memkind_check_dax_path(device), error_name(errno));
    say("descriptors left: %d", open_descriptors() - descriptors);
    return 0;
}
