/* Threads that map, write, sync, ask, fail and unmap at once. */
#include "probe.h"

#include <libpmem.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 150 };

static atomic_int wrong;
#define EXPECT(condition)                                                                \
    ((condition) ? (void)0                                                               \
                 : (void)(atomic_fetch_add(&wrong, 1) < 10 &&                            \
                          fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition)))

static void *work(void *argument) {
    int self = (int)(intptr_t)argument;
    char own[20], absent[40];
    snprintf(own, sizeof own, "f%d", self);
    snprintf(absent, sizeof absent, "absent-%d", self);
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = 4096 + (size_t)(round * 733 + self * 4099) % 100000, mapped = 0;
        int is_pmem = -1, flags = PMEM_FILE_CREATE | (round % 2 ? PMEM_FILE_SPARSE : 0);
        unsigned char *address = pmem_map_file(own, size, flags, 0600, &mapped, &is_pmem);
        EXPECT(address && mapped == size && is_pmem == pmem_is_pmem(address, mapped));
        if (!address)
            continue;
        pmem_memset(address, self + round, size, round % 3 ? 0 : PMEM_F_MEM_NONTEMPORAL);
        EXPECT(pmem_msync(address, size) == 0);
        EXPECT(!pmem_map_file(absent, 0, 0, 0, NULL, NULL) && errno == ENOENT);
        char message[1000];
        snprintf(message, sizeof message, "%s", pmem_errormsg());
        for (size_t i = 0; i < size; i += 97)
            EXPECT(address[i] == (unsigned char)(self + round));
        unsigned char *shared = pmem_map_file("shared", 0, 0, 0, NULL, NULL);
        EXPECT(shared && shared[self] == 'o');
        if (shared)
            EXPECT(pmem_unmap(shared, 8192) == 0);
        EXPECT(pmem_unmap(address, PAGE) == 0);
        EXPECT(size == PAGE || pmem_unmap(address + PAGE, size - PAGE) == 0);
        EXPECT(!strcmp(message, pmem_errormsg()));
    }
    unlink(own);
    return NULL;
}

int main(void) {
    int before = open_descriptors();
    write_file("shared", 8192, 0600);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    NEED(unlink("shared") == 0);
    say("threads: %d wrong, descriptors left %d, files left %d", atomic_load(&wrong),
        open_descriptors() - before, entries_of("."));
    return 0;
}
