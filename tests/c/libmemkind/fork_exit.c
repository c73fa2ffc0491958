/* Kinds that are the parent's, and memory that a child does not get: the child's thread ends as any thread, and the
 * parent's kind stays in order. */
#include "kinds.h"

#include "../handed_out.h"

enum { BLOCKS = 60000 };

static memkind_t kind;
static void *mine[2][BLOCKS], *all[2 * BLOCKS];
static pthread_barrier_t both;
static const char *name;

static void take_half(int half) {
    pthread_barrier_wait(&both);
    for (int i = 0; i < BLOCKS; i++) {
        mine[half][i] = memkind_malloc(kind, 48);
        if (mine[half][i])
            mark(mine[half][i], 48, half);
    }
}

static void *newcomer(void *unused) {
    NEED(memkind_malloc(kind, 48));
    take_half(1);
    return unused;
}

/* Has a local heap in the kind when it forks. In the child it is the only thread, and ends. */
static void *forker(void *unused) {
    pthread_t thread;
    NEED(memkind_malloc(kind, 48));
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0)
        return memkind_malloc(kind, 48);
    int status;
    NEED(waitpid(child, &status, 0) == child);
    say("%s, the child: status %d", name, status);
    NEED(pthread_create(&thread, NULL, newcomer, NULL) == 0);
    take_half(0);
    NEED(pthread_join(thread, NULL) == 0);
    return unused;
}

static void ends_in_a_child(const char *what) {
    pthread_t thread;
    name = what;
    NEED(pthread_barrier_init(&both, NULL, 2) == 0);
    NEED(pthread_create(&thread, NULL, forker, NULL) == 0 && pthread_join(thread, NULL) == 0);
    memcpy(all, mine, sizeof all);
    struct handed_out out = sort_and_count(all, 2 * BLOCKS);
    int good = 1;
    for (int i = 0; i < 2 * BLOCKS; i++)
        good &= is_marked(mine[i / BLOCKS][i % BLOCKS], 48, i / BLOCKS);
    say("%s, the parent: %d refused, %d handed out twice, intact %s", name, out.refused, out.twice, yes(good));
    for (int i = 0; i < 2 * BLOCKS; i++)
        memkind_free(kind, all[i]);
    NEED(memkind_destroy_kind(kind) == 0);
}

static void pmem(const char *choice) {
    NEED(setenv("MEMKIND_FORK", choice, 1) == 0);
    kind = pmem_kind(32 * MIB);
    ends_in_a_child(choice);
}

static void fixed(const char *what, int sharing, int advice) {
    void *pages = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    NEED(pages != MAP_FAILED && memkind_create_fixed(pages, 32 * MIB, &kind) == 0);
    NEED(madvise(pages, 32 * MIB, advice) == 0);
    ends_in_a_child(what);
    NEED(munmap(pages, 32 * MIB) == 0);
}

int main(void) {
    pmem("share");
    pmem("unavailable");
    pmem("snapshot");
    fixed("fixed in shared memory", MAP_SHARED, MADV_NORMAL);
    fixed("fixed, not for children", MAP_PRIVATE, MADV_DONTFORK);
    return 0;
}
