/* What a report says of a kind: also what is left, and the largest block of it. */
#include "kinds.h"

static char text[1 << 20];

static void append(void *unused, const char *piece) {
    (void)unused;
    strncat(text, piece, sizeof text - strlen(text) - 1);
}

/* A number of the kind's in the report. */
static size_t number(const char *kind, const char *name) {
    char wanted[100];
    snprintf(wanted, sizeof wanted, "\"name\":\"%s\"", kind);
    const char *at = strstr(text, wanted);
    NEED(at);
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    at = strstr(at, wanted);
    NEED(at);
    return strtoull(at + strlen(wanted), NULL, 10);
}

int main(void) {
    memkind_t kind = pmem_kind(64 * MIB);
    const char *name = fields_of(kind)->name;
    void *block = memkind_malloc(kind, 40 * MIB);
    NEED(block);
    NEED(memkind_stats_print(append, NULL, MEMKIND_STAT_PRINT_JSON_FORMAT) == 0);
    say("capacity: %zu", number(name, "capacity"));
    size_t free_bytes = number(name, "free"), largest = number(name, "largest");
    say("left, between 23 and 24 MiB: %s", yes(free_bytes > 23 * MIB && free_bytes <= 24 * MIB));
    say("largest, nearly as much: %s", yes(largest > 22 * MIB && largest <= free_bytes));
    say("the largest can be had: %s", yes(memkind_malloc(kind, largest) != NULL));
    return 0;
}
