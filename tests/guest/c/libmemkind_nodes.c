/* Static kinds on a machine with several nodes and huge pages: node 0 has processors and most of the memory, the last
 * one the rest. */
#include "../../c/libmemkind/kinds.h"

#include <sys/syscall.h>

/* The last node with memory. */
static int far_node(void) {
    FILE *list = fopen("/sys/devices/system/node/has_memory", "re");
    int node = 0, next;
    char between;
    NEED(list);
    while (fscanf(list, "%d%c", &next, &between) == 2)
        node = next;
    fclose(list);
    NEED(node > 0);
    return node;
}

/* The node that a page is on, -1 if that is not known. */
static int node_of(void *address) {
    int node = -1;
    enum { OF_NODE = 1, OF_ADDRESS = 2 };
    if (syscall(SYS_get_mempolicy, &node, NULL, 0, address, OF_NODE | OF_ADDRESS) != 0)
        return -1;
    return node;
}

/* Bytes of a page at an address. */
static size_t page_size(void *address) {
    FILE *smaps = fopen("/proc/self/smaps", "re");
    NEED(smaps);
    char line[PATH_MAX + 200];
    int here = 0;
    size_t kib = 0;
    while (!kib && fgets(line, sizeof line, smaps)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            here = from <= (uintptr_t)address && (uintptr_t)address < to;
        else if (here)
            sscanf(line, "KernelPageSize: %zu kB", &kib);
    }
    fclose(smaps);
    return kib * KIB;
}

static void where(const char *label, memkind_t kind) {
    enum { COUNT = 64 };
    say("%s, available: %d", label, memkind_check_available(kind));
    ssize_t capacity = memkind_get_capacity(kind);
    say("%s, capacity: %s", label, capacity > (ssize_t)GIB ? "large" : capacity > 0 ? "small" : capacity ? "unknown" : "none");
    char *blocks[COUNT] = {NULL};
    int on[2] = {0, 0}, far = far_node();
    for (int i = 0; i < COUNT; i++) {
        errno = 0;
        if (!(blocks[i] = memkind_malloc(kind, 64 * KIB))) {
            say("%s, malloc: %s", label, error_name(errno));
            return;
        }
        NEED(memkind_detect_kind(blocks[i]) == kind);
        memset(blocks[i], 1, 64 * KIB);
        for (size_t at = 0; at < 64 * KIB; at += PAGE) {
            int node = node_of(blocks[i] + at);
            NEED(node == 0 || node == far);
            on[node == far]++;
        }
    }
    say("%s, nodes: %s", label, on[0] && on[1] ? "both" : on[0] ? "near" : "far");
    say("%s, page: %zu KiB", label, page_size(blocks[0]) / KIB);
    for (int i = 0; i < COUNT; i++)
        memkind_free(i % 2 ? kind : NULL, blocks[i]);
}

static void listed(void) {
    where("DAX_KMEM", MEMKIND_DAX_KMEM);
    where("DAX_KMEM_ALL", MEMKIND_DAX_KMEM_ALL);
    where("DAX_KMEM_INTERLEAVE", MEMKIND_DAX_KMEM_INTERLEAVE);
    where("HBW_ALL", MEMKIND_HBW_ALL);
    where("HBW_INTERLEAVE", MEMKIND_HBW_INTERLEAVE);
}

static void listed_wrongly(void) {
    say("DAX_KMEM of a node that is not there: %d", memkind_check_available(MEMKIND_DAX_KMEM));
    say("HBW of a node that is not there: %d", memkind_check_available(MEMKIND_HBW));
}

static char *huge;

/* Every huge page is the parent's: a child that wrote to one would be lost. */
static void in_child_of_huge(void) {
    say("HUGETLB in a child, the block: %s", yes(huge[0] == 1 && huge[999] == 1));
    say("HUGETLB in a child, malloc: %s", memkind_malloc(MEMKIND_HUGETLB, 100) ? "block" : "NULL");
}

int main(void) {
    where("REGULAR", MEMKIND_REGULAR);
    where("INTERLEAVE", MEMKIND_INTERLEAVE);
    where("HIGHEST_CAPACITY", MEMKIND_HIGHEST_CAPACITY);
    where("HIGHEST_CAPACITY_PREFERRED", MEMKIND_HIGHEST_CAPACITY_PREFERRED);
    char list[20];
    snprintf(list, sizeof list, "0-%d", far_node() + 1);
    NEED(setenv("MEMKIND_DAX_KMEM_NODES", list, 1) == 0);
    NEED(setenv("MEMKIND_HBW_NODES", list, 1) == 0);
    NEED(in_child(listed_wrongly) == 0);
    snprintf(list, sizeof list, "%d", far_node());
    NEED(setenv("MEMKIND_DAX_KMEM_NODES", list, 1) == 0);
    NEED(setenv("MEMKIND_HBW_NODES", list, 1) == 0);
    NEED(in_child(listed) == 0);
    where("HUGETLB", MEMKIND_HUGETLB);
    huge = memkind_malloc(MEMKIND_HUGETLB, 1000);
    NEED(huge);
    memset(huge, 1, 1000);
    NEED(in_child(in_child_of_huge) == 0);
    memset(huge, 2, 1000);
    NEED(memkind_malloc(MEMKIND_HUGETLB, 3 * MIB));
    say("HUGETLB, the parent goes on: yes");
    return 0;
}
