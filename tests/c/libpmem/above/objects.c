/* Debian's libpmemobj, which lies on libpmem: transactions, one that is cut off by the end of
 * its process, large copies, and what its own check says. */
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 500, LARGE = 8 << 20 };

POBJ_LAYOUT_BEGIN(list);
POBJ_LAYOUT_ROOT(list, struct root);
POBJ_LAYOUT_TOID(list, struct node);
POBJ_LAYOUT_END(list);

struct node {
    TOID(struct node) next;
    int value;
    char bytes[SMALL];
};

struct root {
    TOID(struct node) head;
    int count;
};

/* Adds nodes, a transaction each; ends the process within the transaction of `last`. */
static void add(PMEMobjpool *pool, int count, int last) {
    TOID(struct root) root = POBJ_ROOT(pool, struct root);
    for (int i = 0; i < count; i++) {
        TX_BEGIN(pool) {
            TX_ADD(root);
            TOID(struct node) node = TX_ZNEW(struct node);
            D_RW(node)->value = i;
            memset(D_RW(node)->bytes, i, SMALL);
            D_RW(node)->next = D_RO(root)->head;
            D_RW(root)->head = node;
            D_RW(root)->count++;
            if (i == last)
                _exit(3);
        }
        TX_ONABORT { abort(); }
        TX_END
    }
}

static void print_list(const char *name, PMEMobjpool *pool) {
    TOID(struct root) root = POBJ_ROOT(pool, struct root);
    TOID(struct node) node;
    int count = 0, damaged = 0;
    long sum = 0;
    for (node = D_RO(root)->head; !TOID_IS_NULL(node); node = D_RO(node)->next) {
        count++;
        sum += D_RO(node)->value;
        for (int i = 0; i < SMALL; i++)
            damaged += D_RO(node)->bytes[i] != (char)D_RO(node)->value;
    }
    printf("%s: %d of %d nodes, sum %ld, %d damaged bytes\n", name, count, D_RO(root)->count, sum,
           damaged);
}

static void copy(PMEMobjpool *pool) {
    PMEMoid object;
    char *plain = malloc(LARGE);
    if (!plain || pmemobj_alloc(pool, &object, LARGE, 1, NULL, NULL) != 0)
        exit(1);
    char *persistent = pmemobj_direct(object);
    for (int i = 0; i < LARGE; i++)
        plain[i] = (char)(i * 7 + (i >> 8));
    pmemobj_memcpy_persist(pool, persistent, plain, LARGE);
    printf("copy: %s\n", memcmp(persistent, plain, LARGE) ? "differs" : "same");
    pmemobj_memset(pool, persistent + 13, 5, 1 << 20, PMEMOBJ_F_MEM_NONTEMPORAL);
    memset(plain + 13, 5, 1 << 20);
    pmemobj_memmove(pool, persistent + 1000, persistent, 5 << 20, 0);
    memmove(plain + 1000, plain, 5 << 20);
    printf("set and overlapping move: %s\n",
           memcmp(persistent, plain, LARGE) ? "differs" : "same");
    pmemobj_free(&object);
    free(plain);
}

int main(void) {
    PMEMobjpool *pool = pmemobj_create("pool", "list", 32 << 20, 0600);
    if (!pool) {
        fprintf(stderr, "create: %s\n", pmemobj_errormsg());
        return 1;
    }
    add(pool, 1000, -1);
    print_list("filled", pool);
    copy(pool);
    pmemobj_close(pool);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pool = pmemobj_open("pool", "list");
        add(pool, 1000, 500);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child: exit code %d\n", WEXITSTATUS(status));
    pool = pmemobj_open("pool", "list");
    if (!pool) {
        fprintf(stderr, "open: %s\n", pmemobj_errormsg());
        return 1;
    }
    print_list("recovered", pool);
    pmemobj_close(pool);
    printf("check: %d\n", pmemobj_check("pool", "list"));
    return 0;
}
