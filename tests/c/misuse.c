/* One misuse of the heap a run. It writes "faulting LOW HIGH" just before the call that
 * must not return, where the message's address lies in LOW..=HIGH, and "survived" after it.
 * usage: misuse CASE SIZE [libc]
 * With "libc", libc's own malloc was in use before, as with a library that was loaded with
 * RTLD_DEEPBIND: a foreign pointer alone is then no proof of a misuse. */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

static size_t size;

static void say(const char *text) { write(1, text, strlen(text)); }

static void faulting_between(const void *low, const void *high) {
    char line[100];
    snprintf(line, sizeof line, "faulting %zx %zx\n", (size_t)low, (size_t)high);
    say(line);
}

static void *faulting(void *p) {
    faulting_between(p, p);
    return p;
}

/* Four neighbours, as far as the allocator likes to put them side by side. */
static unsigned char *a, *p, *q, *b;
static void neighbours(void) {
    unsigned char *n[4];
    for (int i = 0; i < 4; i++)
        n[i] = malloc(size);
    for (int i = 0; i < 4; i++)
        for (int k = i + 1; k < 4; k++)
            if (n[k] < n[i]) {
                unsigned char *swap = n[i];
                n[i] = n[k];
                n[k] = swap;
            }
    a = n[0], p = n[1], q = n[2], b = n[3];
    memset(p, 0, size);
}

static void double_free(void) {
    neighbours();
    free(p);
    free(faulting(p));
}

static void double_free_alone(void) { /* no neighbour in use */
    p = malloc(size);
    free(p);
    free(faulting(p));
}

static void double_free_other_between(void) {
    neighbours();
    free(p);
    free(b);
    free(faulting(p));
}

static void double_free_merged_before(void) { /* a and p are one free block now */
    neighbours();
    free(a);
    free(p);
    free(faulting(p));
}

static void double_free_merged_around(void) {
    neighbours();
    free(p);
    free(a);
    free(q);
    free(faulting(p));
}

static void double_free_many_between(void) {
    enum { MANY = 1024 };
    static void *others[MANY];
    for (int i = 0; i < MANY; i++) {
        others[i] = malloc(size);
        if (i == MANY / 2)
            p = malloc(size);
    }
    free(p);
    for (int i = 0; i < MANY; i++)
        free(others[i]);
    free(faulting(p));
}

static void *free_it(void *it) {
    free(it);
    return NULL;
}

static void double_free_other_thread(void) {
    pthread_t thread;
    neighbours();
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    free(faulting(p));
}

static sem_t freed;
static void *free_after_main(void *it) {
    sem_wait(&freed);
    free(faulting(it));
    return NULL;
}

static void double_free_in_thread(void) {
    pthread_t thread;
    neighbours();
    sem_init(&freed, 0, 0);
    pthread_create(&thread, NULL, free_after_main, p); /* before: it allocates */
    free(p);
    sem_post(&freed);
    pthread_join(thread, NULL);
}

static void double_free_calloc(void) {
    p = calloc(1, size);
    free(p);
    free(faulting(p));
}

static void double_free_aligned(void) {
    p = memalign(4096, size);
    free(p);
    free(faulting(p));
}

static void double_free_by_realloc(void) {
    neighbours();
    realloc(p, 0);
    free(faulting(p));
}

static void realloc_freed(void) {
    neighbours();
    free(p);
    realloc(faulting(p), size * 2);
}

static void realloc_freed_smaller(void) {
    neighbours();
    free(p);
    realloc(faulting(p), size / 2 + 1);
}

static void stale_in_larger(void) { /* freed, and now in the middle of somebody's block */
    neighbours();
    free(a);
    free(p);
    free(q);
    unsigned char *large = malloc(size * 2 + 16);
    if (p <= large || p >= large + malloc_usable_size(large)) {
        say("elsewhere\n"); /* the allocator chose another place: nothing to show */
        _exit(0);
    }
    free(faulting(p));
}

static void stale_in_larger_filled(void) {
    neighbours();
    free(a);
    free(p);
    free(q);
    unsigned char *large = malloc(size * 2 + 16);
    if (p <= large || p >= large + malloc_usable_size(large)) {
        say("elsewhere\n");
        _exit(0);
    }
    memset(large, 0x41, malloc_usable_size(large));
    free(faulting(p));
}

static unsigned char *mapping(void) { /* a page between two that nobody can read */
    unsigned char *m = mmap(NULL, 3 * 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + 65536, 65536, PROT_READ | PROT_WRITE);
    return m + 65536;
}

static void free_mapping(void) { free(faulting(mapping())); }
static void free_in_mapping(void) { free(faulting(mapping() + 16)); }
static void free_unreadable(void) { free(faulting(mapping() - 4096)); }
static void free_mapping_filled(void) {
    unsigned char *m = mapping();
    memset(m, 0x41, 65536);
    free(faulting(m + 4096));
}
static void realloc_mapping(void) { realloc(faulting(mapping() + 4096), 100); }
static void usable_size_mapping(void) { malloc_usable_size(faulting(mapping() + 4096)); }

static void free_plus_16k(void) {
    p = malloc(size);
    free(faulting(p + 16384));
}
static void free_plus_1g(void) {
    p = malloc(size);
    free(faulting(p + (1 << 30)));
}
static void free_plus_1t(void) {
    p = malloc(size);
    free(faulting(p + (1ull << 40)));
}
static void free_minus_1g(void) {
    p = malloc(size);
    free(faulting(p - (1 << 30)));
}
static void free_plus_1(void) {
    neighbours();
    free(faulting(p + 1));
}
static void free_plus_8(void) {
    neighbours();
    free(faulting(p + 8));
}
static void free_minus_16(void) {
    neighbours();
    free(faulting(p - 16));
}
static void free_plus_half(void) { /* the middle, aligned like a block */
    neighbours();
    memset(p, 0, size);
    free(faulting(p + size / 2 / 16 * 16));
}
static void free_plus_half_filled(void) {
    neighbours();
    memset(p, 0x11, size);
    free(faulting(p + size / 2 / 16 * 16));
}
static void realloc_plus_16(void) {
    neighbours();
    realloc(faulting(p + 16), size * 2);
}
static void realloc_plus_1(void) {
    neighbours();
    realloc(faulting(p + 1), size * 2);
}

static void free_one(void) { free(faulting((void *)1)); }
static void free_sixteen(void) { free(faulting((void *)16)); }
static void free_top(void) { free(faulting((void *)-16)); }
static void free_noncanonical(void) { free(faulting((void *)0x4141414141414140)); }
static void realloc_one(void) { realloc(faulting((void *)1), size); }
static void realloc_sixteen(void) { realloc(faulting((void *)16), size); }
static void usable_size_one(void) { malloc_usable_size(faulting((void *)1)); }

static void free_stack(void) {
    char local[256] __attribute__((aligned(16)));
    memset(local, 0, sizeof local);
    free(faulting(local + 64));
}
static void free_stack_filled(void) {
    char local[256] __attribute__((aligned(16)));
    memset(local, 0x21, sizeof local);
    free(faulting(local + 64));
}
static void free_static(void) {
    static char data[256] __attribute__((aligned(16)));
    free(faulting(data + 64));
}
static void free_constant(void) { free(faulting((void *)"a string that is written in the program")); }
static void free_code(void) { free(faulting((void *)free_one)); }

static void usable_size_freed(void) {
    neighbours();
    free(p);
    malloc_usable_size(faulting(p));
}
static void usable_size_plus_1(void) {
    neighbours();
    malloc_usable_size(faulting(p + 1));
}
static void usable_size_plus_16(void) {
    neighbours();
    malloc_usable_size(faulting(p + 16));
}

static void sized_too_large(void) {
    p = malloc(size);
    free_sized(faulting(p), size * 2 + 4096);
}
static void sized_too_small(void) {
    p = malloc(size);
    free_sized(faulting(p), size / 4);
}
static void sized_far_too_large(void) {
    p = malloc(size);
    free_sized(faulting(p), SIZE_MAX);
}
static void sized_freed(void) {
    neighbours();
    free(p);
    free_sized(faulting(p), size);
}
static void sized_aligned_wrong_size(void) {
    p = aligned_alloc(64, size);
    free_aligned_sized(faulting(p), 64, size * 2 + 4096);
}
static void sized_aligned_wrong_alignment(void) {
    do
        p = malloc(size);
    while ((uintptr_t)p % 65536 == 0);
    free_aligned_sized(faulting(p), 65536, size);
}

/* Writes past the end: what is hit is noticed by one of the next calls that come near. */
static void overflow(int byte, size_t past) {
    neighbours();
    memset(p, byte, malloc_usable_size(p) + past);
    faulting_between(a - 16, b + size);
    free(p);
    free(q);
}
static void overflow_8_ones(void) { overflow(0xff, 8); }
static void overflow_8_letters(void) { overflow('A', 8); }
static void overflow_8_zeros(void) { overflow(0, 8); }
static void overflow_64_letters(void) { overflow('A', 64); }

/* The next block is free when the overflow hits it. */
static void overflow_into_free(int byte) {
    neighbours();
    free(q);
    memset(p, byte, malloc_usable_size(p) + 8 + 24);
    faulting_between(a - 16, b + size);
    free(p);
    free(b);
    malloc(size);
    malloc(size);
}
static void overflow_into_free_ones(void) { overflow_into_free(0xff); }
static void overflow_into_free_letters(void) { overflow_into_free('A'); }
static void overflow_into_free_zeros(void) { overflow_into_free(0); }
static void overflow_into_free_then_malloc(void) {
    neighbours();
    free(q);
    memset(p, 'A', malloc_usable_size(p) + 8 + 24);
    faulting_between(a - 16, b + size);
    malloc(size);
    malloc(size);
    free(p);
}

/* A write after free hits the links of the list of free blocks. */
static void write_after_free(void) {
    neighbours();
    free(p);
    memset(p, 'A', 16);
    faulting_between(a - 16, b + size);
    malloc(size);
    malloc(size);
    free(q);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define CASE(name) {#name, name}
    CASE(double_free),
    CASE(double_free_alone),
    CASE(double_free_other_between),
    CASE(double_free_merged_before),
    CASE(double_free_merged_around),
    CASE(double_free_many_between),
    CASE(double_free_other_thread),
    CASE(double_free_in_thread),
    CASE(double_free_calloc),
    CASE(double_free_aligned),
    CASE(double_free_by_realloc),
    CASE(realloc_freed),
    CASE(realloc_freed_smaller),
    CASE(stale_in_larger),
    CASE(stale_in_larger_filled),
    CASE(free_mapping),
    CASE(free_in_mapping),
    CASE(free_unreadable),
    CASE(free_mapping_filled),
    CASE(realloc_mapping),
    CASE(usable_size_mapping),
    CASE(free_plus_16k),
    CASE(free_plus_1g),
    CASE(free_plus_1t),
    CASE(free_minus_1g),
    CASE(free_plus_1),
    CASE(free_plus_8),
    CASE(free_minus_16),
    CASE(free_plus_half),
    CASE(free_plus_half_filled),
    CASE(realloc_plus_16),
    CASE(realloc_plus_1),
    CASE(free_one),
    CASE(free_sixteen),
    CASE(free_top),
    CASE(free_noncanonical),
    CASE(realloc_one),
    CASE(realloc_sixteen),
    CASE(usable_size_one),
    CASE(free_stack),
    CASE(free_stack_filled),
    CASE(free_static),
    CASE(free_constant),
    CASE(free_code),
    CASE(usable_size_freed),
    CASE(usable_size_plus_1),
    CASE(usable_size_plus_16),
    CASE(sized_too_large),
    CASE(sized_too_small),
    CASE(sized_far_too_large),
    CASE(sized_freed),
    CASE(sized_aligned_wrong_size),
    CASE(sized_aligned_wrong_alignment),
    CASE(overflow_8_ones),
    CASE(overflow_8_letters),
    CASE(overflow_8_zeros),
    CASE(overflow_64_letters),
    CASE(overflow_into_free_ones),
    CASE(overflow_into_free_letters),
    CASE(overflow_into_free_zeros),
    CASE(overflow_into_free_then_malloc),
    CASE(write_after_free),
};

int main(int argc, char **argv) {
    if (argc < 3) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            puts(cases[i].name);
        return 0;
    }
    size = strtoul(argv[2], NULL, 10);
    if (argc > 3)
        for (int i = 0; i < 20; i++) { /* in libc's main heap, and mapped alone */
            *(char *)__libc_malloc(100 * (i + 1)) = 1;
            *(char *)__libc_malloc(1 << 20) = 1;
        }
    free(malloc(100));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            say("survived\n");
            _exit(0);
        }
    say("no such case\n");
    return 2;
}
