/* vmem_check finds each sort of damage in pools of each size, and the log says what it is. Where things lie is
 * from docs/format.md and what that refers to; a pool of another format fails here at once. */
#include "vmem.h"

typedef uintptr_t word;

/* Words about slabs, behind the lock. */
enum { MAP = 1, BASE, FIRST_CHUNK = 7, LAST_CHUNK, HEAPS, IDLE, SLABS };
/* A granule map: words before the entries. */
enum { LIMIT, LENGTH, OLDER, ENTRIES };
enum { GRANULE_LOG2 = 13 };
/* Words of a descriptor. */
enum { OWNER, START, INVERSE, COUNTS, SUMMARY, BITS, NEXT = BITS + 8, PREVIOUS, REMOTE_NEXT, REMOTE };
/* Words at the heap's origin. */
enum { END = 1, HEAP_SUMMARY = 5, KEY, USED, ALLOCATIONS = 9, FIRST = 14, BLOCK_BYTES };

static VMEM *pool;
static const char *size_name;
static char *region, *origin;
static word *slabs;
static char logged[4096];
static int wrong;

static void on_print(const char *text) { strncat(logged, text, sizeof logged - strlen(logged) - 1); }

static word *at(word address) { return (word *)address; }
static word heap_word(int number) { return ((word *)(void *)origin)[number]; }
static word *block_at(word offset) { return (word *)(void *)(origin + offset); }

/* Checks with a word changed, and again when that is undone. */
static void plant(const char *sort, word *place, word value) {
    word before = *place;
    NEED(before != value && vmem_check(pool) == 1);
    logged[0] = 0;
    *place = value;
    int found = vmem_check(pool);
    *place = before;
    int repaired = vmem_check(pool);
    char *text = strstr(logged, ": damage at 0x");
    text = text ? strchr(text + 2, ':') : NULL;
    if (text)
        text[strcspn(text, "\n")] = 0;
    say("%s, %s: %d%s", size_name, sort, found, text ? text : ", nothing logged");
    if (found || !text || repaired != 1)
        wrong++;
}

static void *objects[400], *loose;

/* Leaves a local heap that nobody uses, with slabs of several classes, some of their objects in use. */
static void *leaves(void *unused) {
    (void)unused;
    for (int i = 0; i < 400; i++)
        NEED((objects[i] = vmem_malloc(pool, i % 2 ? 48 : 1000)));
    for (int i = 100; i < 400; i++)
        vmem_free(pool, objects[i]);
    return NULL;
}

static word *entry_of(void *address) {
    word *map = at(slabs[MAP]);
    return &map[ENTRIES + (((word)address - slabs[BASE]) >> GRANULE_LOG2)];
}

static word *queue_of(word owner, word descriptor) {
    /* The last word of the local heap that leads to the descriptor; the block begins 64 bytes before. */
    size_t size = vmem_malloc_usable_size(pool, (void *)(owner - 64)) - 64;
    for (word *word_at = at(owner + size / 8 * 8 - 8); (word)word_at > owner; word_at--)
        if (*word_at == descriptor)
            return word_at;
    return NULL;
}

static void all_sorts(size_t size) {
    void *pages = own_pages(size);
    NEED((pool = vmem_create_in_region(pages, size)));
    region = (char *)pool + PAGE;
    NEED(!memcmp(region, "ALLOTPL", 8) && *(uint16_t *)(region + 8) == 2);
    slabs = at((word)region + *(uint16_t *)(region + 10) + 8);
    char *heap = region + *(uint32_t *)(region + 12);
    NEED(!memcmp(heap, "ALLOTHP", 8) && *(uint16_t *)(heap + 8) == 1);
    origin = heap + *(uint32_t *)(heap + 12);

    char *blocks[4];
    for (int i = 0; i < 4; i++)
        NEED((blocks[i] = vmem_malloc(pool, MIB)));
    run_threads(1, leaves, NULL);
    NEED((loose = vmem_malloc(pool, 48)));
    vmem_free(pool, blocks[1]);
    NEED(vmem_check(pool) == 1);

    /* Headers. */
    plant("the pool's magic", at((word)region), 1);
    plant("the pool's format and offsets", at((word)region + 8), *at((word)region + 8) + 1);
    plant("the heap's magic", at((word)heap), 1);
    plant("the heap's format and origin", at((word)heap + 8), *at((word)heap + 8) ^ 1);
    word *control = at((word)origin);
    plant("the key", &control[KEY], control[KEY] ^ 0x5550);
    plant("the bytes in use", &control[USED], control[USED] + 16);
    plant("the bytes in blocks", &control[BLOCK_BYTES], control[BLOCK_BYTES] - 16);
    plant("the count of allocations", &control[ALLOCATIONS], control[ALLOCATIONS] + 1);
    plant("the first block", &control[FIRST], control[FIRST] + 16);
    plant("the summary", &control[HEAP_SUMMARY], 0);

    /* Blocks. */
    word *used = (word *)(void *)blocks[2], *free_block = (word *)(void *)blocks[1];
    word free_size = -free_block[-1];
    plant("a block's header", &used[-1], 0x5555555555555555);
    plant("a block's size", &used[-1], used[-1] ^ 64);
    plant("a block's flag", &used[-1], used[-1] ^ 1);
    plant("a block that is free and used", &free_block[-1], control[KEY] ^ free_size);
    plant("a free block's footer", &used[-2], used[-2] + 16);
    plant("the end mark", block_at(control[END] - 8), *block_at(control[END] - 8) ^ 1);

    /* Free lists. */
    plant("a link to the next free block", &free_block[0], control[FIRST]);
    plant("a link out of the region", &free_block[0], (word)1 << 46);
    plant("a link back", &free_block[1], 0x123450);
    int list = 0;
    word *heads = &control[20], offset = (word)((char *)free_block - origin);
    while (heads[list] != offset && !(heads[list] && *block_at(heads[list]) == offset))
        list++;
    plant("a list's head", &heads[list], 0);
    plant("a list's head out of the region", &heads[list], (word)1 << 46);
    plant("a list's bit", at((word)origin - (word)(list / 64 + 1) * 8),
          *at((word)origin - (word)(list / 64 + 1) * 8) ^ (word)1 << list % 64);

    /* Slabs: that of an ended thread's object, and that of one of this thread's. */
    for (int own = 0; own < 2; own++) {
        void *object = own ? loose : objects[1];
        const char *whose = own ? "own slab" : "ended thread's slab";
        word *entry = entry_of(object), *slab = at(*entry);
        NEED(vmem_malloc_usable_size(pool, object) == 48 && slab[START] <= (word)object);
        char name[80];
#define IN_SLAB(sort, number, value)                                                     \
    (snprintf(name, sizeof name, "%s, %s", whose, sort), plant(name, &slab[number], value))
        IN_SLAB("owner", OWNER, slab[OWNER] + 64);
        IN_SLAB("no owner", OWNER, 0);
        /* In the middle of a block, where no other begins. */
        IN_SLAB("start", START, ((word)used + MIB / 2) & ~(word)8191);
        IN_SLAB("unaligned start", START, slab[START] + 16);
        IN_SLAB("inverse", INVERSE, slab[INVERSE] ^ 0x100);
        IN_SLAB("count", COUNTS, slab[COUNTS] | (word)0xffff << 16);
        IN_SLAB("class", COUNTS, slab[COUNTS] ^ (word)1 << 32);
        IN_SLAB("free bits", BITS + 7, slab[BITS + 7] & ~((word)1 << 63));
        IN_SLAB("remote bits", REMOTE + 7, slab[REMOTE + 7] | (word)1 << 63);
        IN_SLAB("summary of remote bits", SUMMARY, slab[SUMMARY] | (word)1 << 20);
        snprintf(name, sizeof name, "%s, its entry in the map", whose);
        plant(name, entry, *entry_of(blocks[2]));
        snprintf(name, sizeof name, "%s, an entry too many", whose);
        plant(name, entry_of(blocks[2]), (word)slab);
    }
    plant("the number of slabs", &slabs[SLABS], slabs[SLABS] + 1);

    /* Free slabs' lists, and the queue of what others freed, of the ended thread. */
    word *slab = NULL;
    for (int i = 0; i < 400; i++) {
        word *entry = entry_of(objects[i]), *map = at(slabs[MAP]);
        if (entry >= &map[ENTRIES + map[LIMIT]])
            continue;
        word *found = at(*entry);
        /* One that is in a list: some or all of its objects are free. */
        if (found[OWNER] && (found[COUNTS] >> 40 & 0xff) >= 2)
            slab = found;
    }
    NEED(slab);
    plant("the next slab", &slab[NEXT], (word)region);
    plant("the next slab out of the region", &slab[NEXT], 0x10000);
    plant("the slab before", &slab[PREVIOUS], slab[PREVIOUS] ^ 64);
    vmem_free(pool, objects[0]);
    vmem_free(pool, objects[1]);
    word *other = at(*entry_of(objects[1]));
    word *queue = queue_of(other[OWNER], (word)other);
    NEED(queue);
    plant("a queue's head", queue, (word)region);
    plant("a queue's head out of the region", queue, 0x10000);
    plant("a queue that is a circle", &other[REMOTE_NEXT], (word)other);
    plant("a queue with another thread's slab", queue, *entry_of(loose));

    vmem_free(pool, loose);
    NEED(vmem_check(pool) == 1);
    vmem_delete(pool);
    NEED(munmap(pages, size) == 0);
}

int main(int count, char **arguments) {
    (void)arguments;
    if (count == 1) {
        NEED(setenv("VMEM_LOG_FILE", "log", 1) == 0);
        run_again("planted", "VMEM_LOG_LEVEL", "1");
        return 0;
    }
    vmem_set_funcs(NULL, NULL, NULL, NULL, on_print);
    const size_t sizes[] = {VMEM_MIN_POOL, 64 * MIB, GIB};
    const char *names[] = {"14 MiB", "64 MiB", "1 GiB"};
    for (int i = 0; i < 3; i++) {
        size_name = names[i];
        all_sorts(sizes[i]);
    }
    say("not found, or found where nothing is: %d", wrong);
    return 0;
}
