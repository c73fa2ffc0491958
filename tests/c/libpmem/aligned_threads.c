/* Mappings stay aligned for huge pages however many threads map at once. */
#include "probe.h"

#include <libpmem.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 400 };

static atomic_int not_aligned;

static void *work(void *argument) {
    char own[20];
    snprintf(own, sizeof own, "f%d", (int)(intptr_t)argument);
    for (int round = 0; round < ROUNDS; round++) {
        size_t mapped;
        char *address = pmem_map_file(own, 100000, PMEM_FILE_CREATE | PMEM_FILE_SPARSE, 0600,
                                      &mapped, NULL);
        NEED(address);
        if (!is_aligned(address, 2 * MIB))
            atomic_fetch_add(&not_aligned, 1);
        NEED(pmem_unmap(address, mapped) == 0);
    }
    unlink(own);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    say("mappings not aligned to 2 MiB: %d", atomic_load(&not_aligned));
    return 0;
}
