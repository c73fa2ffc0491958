/* Threads map files into a reservation and delete the maps, while others map memory of their
 * own, wherever the kernel likes, and look whether it stays theirs. The place of a map must
 * never be free for a moment in between: a bystander's memory would be overwritten there.
 * usage: bystanders [SECONDS] */
#include "pmem2.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MAPPERS = 2, BYSTANDERS = 2, LENGTH = 1 << 20 };

static atomic_int stop, damaged, rounds, failed;
static struct pmem2_vm_reservation *reservation;

static void *mapper(void *argument) {
    size_t self = (size_t)(uintptr_t)argument;
    char name[20];
    snprintf(name, sizeof name, "f%zu", self);
    int fd = sparse_file(name, LENGTH);
    struct pmem2_source *source = source_of(fd);
    while (!atomic_load(&stop)) {
        struct pmem2_map *map;
        if (map_into(&map, reservation, self * LENGTH, source, 0, 0) != 0) {
            atomic_fetch_add(&failed, 1);
            continue;
        }
        *(char *)pmem2_map_get_address(map) = 1;
        if (pmem2_map_delete(&map) != 0)
            atomic_fetch_add(&failed, 1);
        atomic_fetch_add(&rounds, 1);
    }
    close_source(&source);
    unlink(name);
    return NULL;
}

static void *bystander(void *argument) {
    char mark = (char)(0x40 + (int)(uintptr_t)argument);
    while (!atomic_load(&stop)) {
        volatile char *mine =
            mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(mine != MAP_FAILED);
        for (size_t i = 0; i < LENGTH; i += PAGE)
            mine[i] = mark;
        for (size_t i = 0; i < LENGTH; i += PAGE)
            if (mine[i] != mark)
                atomic_fetch_add(&damaged, 1);
        NEED(munmap((char *)mine, LENGTH) == 0);
    }
    return NULL;
}

int main(int count, char **arguments) {
    int seconds = count > 1 ? atoi(arguments[1]) : 2;
    NEED(pmem2_vm_reservation_new(&reservation, NULL, MAPPERS * LENGTH) == 0);
    pthread_t threads[MAPPERS + BYSTANDERS];
    for (int i = 0; i < MAPPERS + BYSTANDERS; i++)
        NEED(pthread_create(&threads[i], NULL, i < MAPPERS ? mapper : bystander,
                            (void *)(uintptr_t)(unsigned)i) == 0);
    struct timespec end, now;
    NEED(clock_gettime(CLOCK_MONOTONIC, &end) == 0);
    end.tv_sec += seconds;
    do {
        usleep(10000);
        NEED(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec) ||
             atomic_load(&rounds) < 100);
    atomic_store(&stop, 1);
    for (int i = 0; i < MAPPERS + BYSTANDERS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    say("bystanders damaged: %d; maps failed: %d", atomic_load(&damaged), atomic_load(&failed));
    print_result("delete", pmem2_vm_reservation_delete(&reservation));
    return 0;
}
