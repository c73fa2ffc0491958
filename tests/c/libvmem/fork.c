/* Forks beside busy threads: the child has each pool as it was, goes on with it, and neither process sees what
 * the other does from then on. */
#include "vmem.h"

#include <sys/time.h>

enum { BLOCKS = 200, FORKS = 12, PLACES = 64 };

static VMEM *pool;
static _Atomic int stop;
static void *_Atomic places[PLACES];
static unsigned char *blocks[BLOCKS];

static size_t size_of_block(int i) { return 32 + (size_t)i * 40; }

static void set_all(int byte) {
    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i], byte, size_of_block(i));
}

static int all_are(int byte) {
    for (int i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < size_of_block(i); k += 31)
            if (blocks[i][k] != byte)
                return 0;
    return 1;
}

/* Allocates, and frees what other threads allocated: small blocks, and such that need the pool's lock. */
static void *busy(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed * 2654435761u + 1;
    while (!stop) {
        random = random * 1664525 + 1013904223;
        size_t size = random >> 31 ? (random >> 8) % 500 : (random >> 8) % 40000;
        void *block = vmem_malloc(pool, size);
        vmem_free(pool, __atomic_exchange_n((void **)&places[(random >> 20) % PLACES], block,
                                            __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void *coming_and_going(void *unused) {
    (void)unused;
    while (!stop) {
        VMEM *own = vmem_create_in_region(own_pages(VMEM_MIN_POOL), VMEM_MIN_POOL);
        NEED(own);
        NEED(vmem_malloc(own, 100));
        vmem_delete(own);
        NEED(munmap(own, VMEM_MIN_POOL) == 0);
        pthread_t thread;
        void *block = vmem_malloc(pool, 100);
        NEED(pthread_create(&thread, NULL, free, NULL) == 0 && pthread_join(thread, NULL) == 0);
        vmem_free(pool, block);
    }
    return NULL;
}

/* Allocates much, frees some of it, and some of what was there before. */
static int goes_on(void) {
    int good = 1;
    char *mine[500];
    for (int i = 0; i < 500; i++) {
        mine[i] = vmem_malloc(pool, (size_t)i * 23 % 9000 + 1);
        good &= mine[i] != NULL;
    }
    for (int i = 0; i < 500; i += 2)
        vmem_free(pool, mine[i]);
    mine[1] = vmem_realloc(pool, mine[1], 20000);
    good &= mine[1] != NULL;
    for (int i = 3; i < 500; i += 2)
        vmem_free(pool, mine[i]);
    vmem_free(pool, mine[1]);
    return good;
}

static void others_can_be_made(void) {
    VMEM *other = small_pool();
    NEED(vmem_malloc(other, 1000) && vmem_check(other) == 1);
    vmem_delete(other);
}

static int in_grandchild(void) {
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        int good = all_are(100);
        set_all(120);
        good &= goes_on() && vmem_check(pool) == 1;
        vmem_delete(pool);
        _exit(!good);
    }
    int status;
    NEED(waitpid(child, &status, 0) == child);
    return status == 0 && all_are(100);
}

static void both_go_on(const char *name) {
    pthread_t threads[5];
    stop = 0;
    for (int i = 0; i < BLOCKS; i++)
        NEED((blocks[i] = vmem_malloc(pool, size_of_block(i))));
    for (uintptr_t i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, busy, (void *)(i + 1)) == 0);
    NEED(pthread_create(&threads[4], NULL, coming_and_going, NULL) == 0);
    int good = 1;
    for (int round = 1; round <= FORKS; round++) {
        set_all(round);
        int to_child[2], to_parent[2];
        NEED(pipe(to_child) == 0 && pipe(to_parent) == 0);
        char byte = 0;
        pid_t child = fork();
        NEED(child >= 0);
        if (child == 0) {
            int whole = vmem_check(pool) == 1 && all_are(round);
            set_all(100);
            whole &= goes_on();
            NEED(write(to_parent[1], "x", 1) == 1 && read(to_child[0], &byte, 1) == 1);
            whole &= all_are(100) && in_grandchild();
            for (int i = 0; i < BLOCKS; i++)
                vmem_free(pool, blocks[i]);
            whole &= goes_on() && vmem_check(pool) == 1;
            others_can_be_made();
            vmem_delete(pool);
            _exit(!whole);
        }
        NEED(read(to_parent[0], &byte, 1) == 1);
        good &= all_are(round);
        set_all(50);
        good &= goes_on();
        NEED(write(to_child[1], "x", 1) == 1);
        int status;
        NEED(waitpid(child, &status, 0) == child);
        good &= status == 0 && all_are(50);
        close(to_child[0]), close(to_child[1]), close(to_parent[0]), close(to_parent[1]);
    }
    stop = 1;
    for (int i = 0; i < 5; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    say("%s: %s, checked %d", name, good ? "both went on" : "WRONG", vmem_check(pool));
    for (int i = 0; i < PLACES; i++) {
        vmem_free(pool, places[i]);
        places[i] = NULL;
    }
    vmem_delete(pool);
}

/* Forks in a handler that interrupts operations: those go on in both. */
static volatile int forks, in_the_child, failed;

static void on_tick(int signal) {
    (void)signal;
    if (in_the_child || forks == 40)
        return;
    pid_t child = fork();
    if (child == 0) {
        in_the_child = 1;
        return;
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        failed++;
    forks++;
}

static void from_a_handler(void) {
    pool = small_pool();
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    NEED(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
    void *mine[100] = {0};
    unsigned random = 1;
    while (forks < 40) {
        random = random * 1664525 + 1013904223;
        int at = (random >> 20) % 100;
        vmem_free(pool, mine[at]);
        mine[at] = vmem_malloc(pool, random >> 31 ? (random >> 8) % 500 : (random >> 8) % 40000);
        if (in_the_child && ++in_the_child == 300)
            _exit(!(goes_on() && vmem_check(pool) == 1));
    }
    NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
    say("from a signal handler: %d failed, checked %d", failed, vmem_check(pool));
    vmem_delete(pool);
}

static void refused(const char *name) {
    errno = 0;
    void *block = vmem_malloc(pool, 100);
    say("%s, an allocation: %s, %s, message %s", name, block ? "not NULL" : "NULL", error_name(errno),
        yes(strstr(vmem_errormsg(), "is the parent's: there is no copy of it in this child") != NULL));
}

static void in_sharing_child(void) {
    say("shared, the block: %s", yes(all_are(7)));
    set_all(8);
    refused("shared");
    errno = 0;
    void *resized = vmem_realloc(pool, blocks[0], 10000);
    say("shared, a realloc: %s, %s", resized ? "not NULL" : "NULL", error_name(errno));
    errno = UNTOUCHED;
    vmem_free(pool, blocks[0]);
    say("shared, a free leaves errno: %s", yes(errno == UNTOUCHED));
    say("shared, usable size: %zu, checked: %d", vmem_malloc_usable_size(pool, blocks[0]), vmem_check(pool));
    others_can_be_made();
    vmem_delete(pool);
    errno = 0;
    say("shared, deleted: %s", access_of(pool, VMEM_MIN_POOL));
    vmem_delete(pool);
    say("shared, deleted again: %s", error_name(errno));
}

static void shared(void) {
    pool = small_pool();
    for (int i = 0; i < BLOCKS; i++)
        NEED((blocks[i] = vmem_malloc(pool, size_of_block(i))));
    set_all(7);
    NEED(in_child(in_sharing_child) == 0);
    say("shared, the parent sees what the child wrote: %s", yes(all_are(8)));
    say("shared, the parent goes on: %s, checked %d", yes(goes_on()), vmem_check(pool));
    vmem_delete(pool);
}

/* There is no room for a copy: the child does without. */
static void without_room(void) {
    pool = small_pool();
    for (int i = 0; i < BLOCKS; i++)
        NEED((blocks[i] = vmem_malloc(pool, size_of_block(i))));
    set_all(7);
    rlim_t before = RLIM_INFINITY;
    limit(RLIMIT_AS, mapped_bytes() + 4 * MIB);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        refused("without room for a copy");
        fflush(stdout);
        _exit(0);
    }
    int status;
    NEED(waitpid(child, &status, 0) == child && status == 0);
    limit(RLIMIT_AS, before);
    say("without room for a copy, the parent: %s, checked %d", yes(goes_on()), vmem_check(pool));
    vmem_delete(pool);
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "share")) {
        shared();
        return 0;
    }
    if (count > 1)
        return 0;
    pool = vmem_create(".", 32 * MIB);
    NEED(pool);
    both_go_on("in a file");
    void *pages = own_pages(32 * MIB);
    NEED((pool = vmem_create_in_region(pages, 32 * MIB)));
    both_go_on("in private memory");
    NEED(munmap(pages, 32 * MIB) == 0);
    pages = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(pages != MAP_FAILED && (pool = vmem_create_in_region(pages, 32 * MIB)));
    size_t mapped = mapped_bytes();
    both_go_on("in shared memory");
    say("nothing of the copies is left: %s", yes(mapped_bytes() < mapped + 32 * MIB));
    from_a_handler();
    without_room();
    run_again("share", "VMEM_FORK", "0");
    int error = dup(2), file = open("stderr", O_CREAT | O_RDWR | O_CLOEXEC | O_APPEND, 0600);
    NEED(error >= 0 && file >= 0 && dup2(file, 2) == 2);
    run_again("nonsense", "VMEM_FORK", "2");
    NEED(dup2(error, 2) == 2);
    char text[200] = "";
    NEED(pread(file, text, sizeof text - 1, 0) > 0);
    text[strcspn(text, "\n")] = 0;
    say("what it says: %s", text);
    return 0;
}
