/* A library loaded with RTLD_DEEPBIND calls libc's malloc, not ours. What it returns is
 * freed, resized and asked for its size by us. argv[1] is the library made from plugin.c. */
#include "check.h"
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

static void *(*make)(size_t);
static char *(*print)(const char *);

static void use(uint32_t seed) {
    uint32_t state = seed;
    for (int i = 0; i < 300; i++) {
        size_t n = i % 50 == 0 ? ((size_t)1 << 20) + i : random_size(&state);
        char *p = make(n);
        pattern_fill(p, n, seed);
        CHECK_FOR(malloc_usable_size(p) >= n, n);
        if (i % 3 == 0) {
            size_t m = random_size(&state);
            p = realloc(p, m);
            CHECK_FOR(p && pattern_holds(p, n < m ? n : m, seed), n);
        } else if (i % 3 == 1) {
            p = reallocarray(p, n, 2);
            CHECK_FOR(p && pattern_holds(p, n, seed), n);
        }
        errno = UNTOUCHED;
        free(p);
        CHECK(errno == UNTOUCHED);
        p = print("hello");
        CHECK(strcmp(p, "plugin: hello") == 0);
        free(p);
        CHECK(realloc(make(n), 0) == NULL);
    }
}

static void *thread(void *argument) {
    use((uint32_t)(uintptr_t)argument);
    return NULL;
}

int main(int argc, char **argv) {
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    make = (void *(*)(size_t))dlsym(library, "plugin_make");
    print = (char *(*)(const char *))dlsym(library, "plugin_print");
    void *(*address)(void) = (void *(*)(void))dlsym(library, "plugin_malloc_address");
    if (getenv("LD_PRELOAD"))
        CHECK(address() != (void *)malloc); /* or this program shows nothing */
    use(1);
    /* Other threads get other arenas from libc, mapped far from its first. */
    pthread_t threads[8];
    for (uintptr_t t = 0; t < 8; t++)
        pthread_create(&threads[t], NULL, thread, (void *)(t + 2));
    for (int t = 0; t < 8; t++)
        pthread_join(threads[t], NULL);
    use(20);
    dlclose(library);
    return check_result();
}
