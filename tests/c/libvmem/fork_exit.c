/* Pools that are the parent's, and memory that a child does not get: the child's thread ends as any thread, and the
 * parent's pool stays in order. */
#include "vmem.h"

#include "../handed_out.h"

enum { BLOCKS = 60000 };

static VMEM *pool;
static void *mine[2][BLOCKS], *all[2 * BLOCKS];
static pthread_barrier_t both;

static void take_half(int half) {
    pthread_barrier_wait(&both);
    for (int i = 0; i < BLOCKS; i++)
        mine[half][i] = vmem_malloc(pool, 48);
}

static void *newcomer(void *unused) {
    NEED(vmem_malloc(pool, 48));
    take_half(1);
    return unused;
}

/* Has a local heap in the pool when it forks. In the child it is the only thread, and ends. */
static void *forker(void *unused) {
    pthread_t thread;
    NEED(vmem_malloc(pool, 48));
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0)
        return vmem_malloc(pool, 48);
    int status;
    NEED(waitpid(child, &status, 0) == child);
    say("left, the child: status %d", status);
    NEED(pthread_create(&thread, NULL, newcomer, NULL) == 0);
    take_half(0);
    NEED(pthread_join(thread, NULL) == 0);
    return unused;
}

static void ends_in_a_child(void) {
    pthread_t thread;
    pool = vmem_create(".", 32 * MIB);
    NEED(pool && pthread_barrier_init(&both, NULL, 2) == 0);
    NEED(pthread_create(&thread, NULL, forker, NULL) == 0 && pthread_join(thread, NULL) == 0);
    memcpy(all, mine, sizeof all);
    struct handed_out out = sort_and_count(all, 2 * BLOCKS);
    say("left, the parent: %d refused, %d handed out twice, checked %d", out.refused, out.twice, vmem_check(pool));
    vmem_delete(pool);
}

static void *uses_nothing(void *block) {
    errno = 0;
    void *another = vmem_malloc(pool, 100);
    say("not for children, an allocation: %s, %s", another ? "not NULL" : "NULL", error_name(errno));
    vmem_free(pool, block);
    say("not for children, checked: %d", vmem_check(pool));
    return NULL;
}

/* The region is private, and the program keeps it from its children. */
static void not_for_children(void) {
    void *pages = own_pages(16 * MIB);
    NEED((pool = vmem_create_in_region(pages, 16 * MIB)));
    char *block = vmem_malloc(pool, 100);
    NEED(block && madvise(pages, 16 * MIB, MADV_DONTFORK) == 0);
    strcpy(block, "text");
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0)
        pthread_exit(uses_nothing(block));
    int status;
    NEED(waitpid(child, &status, 0) == child);
    say("not for children, the child: status %d", status);
    say("not for children, the parent's: %s, checked %d", block, vmem_check(pool));
    vmem_delete(pool);
}

int main(int count, char **arguments) {
    (void)arguments;
    if (count > 1) {
        ends_in_a_child();
        return 0;
    }
    run_again("left", "VMEM_FORK", "0");
    not_for_children();
    return 0;
}
