/* A small key-value store: values on a pmem kind, keys in a table, blocks moved together now and then.
 * With a number, for that many seconds. */
#include "kinds.h"

enum { KEYS = 120000, LIMIT_MIB = 64 };

struct value {
    unsigned key, version, length;
    char bytes[];
};

static struct value *table[KEYS];
static unsigned versions[KEYS];
static size_t payload;

static unsigned seed = 1;

static unsigned random_below(unsigned end) {
    seed = seed * 1664525 + 1013904223;
    return (unsigned)((unsigned long long)(seed >> 4) * end >> 28);
}

static int is_right(unsigned key) {
    const struct value *value = table[key];
    return value->key == key && value->version == versions[key] &&
           is_marked(value->bytes, value->length, key ^ value->version);
}

static void drop(memkind_t kind, unsigned key) {
    NEED(is_right(key));
    payload -= sizeof(struct value) + table[key]->length;
    memkind_free(kind, table[key]);
    table[key] = NULL;
}

static int put(memkind_t kind, unsigned key, unsigned length) {
    struct value *value = memkind_malloc(kind, sizeof *value + length);
    if (!value)
        return 0;
    if (table[key])
        drop(kind, key);
    /* As the strings of such stores do, a value takes the room that it got. */
    length = (unsigned)(memkind_malloc_usable_size(kind, value) - sizeof *value);
    *value = (struct value){key, ++versions[key], length};
    mark(value->bytes, length, key ^ value->version);
    table[key] = value;
    payload += sizeof *value + length;
    return 1;
}

/* What Redis does between requests. */
static unsigned defragment(memkind_t kind, unsigned from, unsigned count) {
    unsigned moved = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned key = (from + i) % KEYS;
        struct value *place = table[key] ? memkind_defrag_reallocate(kind, table[key]) : NULL;
        if (place) {
            table[key] = place;
            moved++;
        }
    }
    return moved;
}

int main(int count, char **arguments) {
    time_t until = time(NULL) + (count > 1 ? atoi(arguments[1]) : 3);
    memkind_t kind = pmem_kind((size_t)LIMIT_MIB * MIB);
    size_t most = 0, most_space = 0;
    unsigned long long operations = 0, refused = 0;
    unsigned scale = 1, moved = 0, cursor = 0;
    /* However slow the machine is, each of the scales below comes to its end. */
    while (time(NULL) < until || operations < 1500000) {
        /* Sizes change in the long run: that is what fragments a store. */
        scale = operations / 500000 % 3 + 1;
        for (int i = 0; i < 10000; i++, operations++) {
            unsigned key = random_below(KEYS), what = random_below(100);
            if (what < 60) {
                unsigned length = random_below(900 * scale) + (random_below(50) ? 0 : 20000);
                while (!put(kind, key, length)) {
                    refused++;
                    /* Full: the store lets others go. */
                    for (int others = 0; others < 20;) {
                        unsigned other = random_below(KEYS);
                        if (table[other]) {
                            drop(kind, other);
                            others++;
                        }
                    }
                }
                if (payload > most)
                    most = payload;
            } else if (what < 70) {
                if (table[key])
                    drop(kind, key);
            } else if (table[key]) {
                NEED(is_right(key));
            }
        }
        moved += defragment(kind, cursor, 500);
        cursor += 500;
        size_t space = file_space(kind);
        if (space > most_space)
            most_space = space;
    }
    for (unsigned key = 0; key < KEYS; key++)
        NEED(!table[key] || is_right(key));
    if (count > 1)
        fprintf(stderr, "%llu operations, %llu refused, %u moved, payload at most %zu MiB, file %zu MiB\n",
                operations, refused, moved, most / MIB, most_space / MIB);
    say("every value right: yes");
    say("within its limit: %s", yes(most_space <= (size_t)LIMIT_MIB * MIB));
    say("payload, at least 90 %% of the limit: %s", yes(most >= (size_t)LIMIT_MIB * MIB / 10 * 9));
    say("blocks moved: %s", yes(moved > 0));
    return 0;
}
