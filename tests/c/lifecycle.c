/* malloc from before main to after it, in threads that end, in libraries that come and go.
 * argv[1] is the library made from plugin.c. */
#include "check.h"
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

static char *from_preinit, *from_constructor, *from_main;

static void preinit(void) { from_preinit = strdup("preinit"); }
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void construct(void) {
    from_constructor = malloc(100000);
    pattern_fill(from_constructor, 100000, 1);
}

/* The last code of ours that runs: it cannot use check_result, main has returned. */
__attribute__((destructor(101))) static void destruct(void) {
    char *mine = malloc(5000);
    int good = mine && pattern_holds(from_constructor, 100000, 1) && pattern_holds(from_main, 777, 2);
    free(mine);
    free(from_constructor);
    free(from_main);
    free(realloc(calloc(10, 10), 100000));
    static const char fine[] = "destructor ok\n", broken[] = "destructor broken\n";
    write(1, good ? fine : broken, good ? sizeof fine - 1 : sizeof broken - 1);
}

static void at_exit(void) {
    char *p = realloc(malloc(10), 20000);
    pattern_fill(p, 20000, 4);
    if (pattern_holds(p, 20000, 4))
        write(1, "atexit ok\n", 10);
    free(p);
}

static pthread_key_t key;

/* Runs while the thread ends: it allocates and sets the key again, up to the limit. */
static void thread_ends(void *value) {
    void *again = malloc(300);
    free(value);
    pthread_setspecific(key, again);
}

static void *short_life(void *argument) {
    uint32_t state = (uint32_t)(uintptr_t)argument + 1;
    void *mine[20];
    for (int i = 0; i < 20; i++)
        mine[i] = malloc(random_size(&state) % 3000);
    pthread_setspecific(key, malloc(100));
    for (int i = 0; i < 19; i++)
        free(mine[i]);
    return mine[19]; /* freed by who joins */
}

static void run_threads(int count) {
    for (int i = 0; i < count; i += 4) {
        pthread_t threads[4];
        for (int t = 0; t < 4; t++)
            CHECK(pthread_create(&threads[t], NULL, short_life, (void *)(uintptr_t)(i + t)) == 0);
        for (int t = 0; t < 4; t++) {
            void *left;
            CHECK(pthread_join(threads[t], &left) == 0);
            free(left);
        }
    }
}

int main(int argc, char **argv) {
    CHECK(from_preinit && strcmp(from_preinit, "preinit") == 0);
    free(from_preinit);
    CHECK(pattern_holds(from_constructor, 100000, 1));
    from_main = malloc(777);
    pattern_fill(from_main, 777, 2);
    atexit(at_exit);

    /* Threads leave the heap as they found it. The last destructor call of each leaks its
     * 300 bytes: POSIX stops calling after PTHREAD_DESTRUCTOR_ITERATIONS. */
    CHECK(pthread_key_create(&key, thread_ends) == 0);
    run_threads(40);
    size_t before = mallinfo2().uordblks;
    run_threads(1000);
    size_t after = mallinfo2().uordblks;
    CHECK_FOR(after < before + 1000 * 400 + 65536, after - before);

    /* A library with a constructor and a destructor that allocate, and thread-local memory. */
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        CHECK(library != NULL);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            break;
        }
        void *(*make)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_make");
        void (*drop)(void *) = (void (*)(void *))dlsym(library, "plugin_drop");
        void *p = make(1000 * (i + 1));
        memset(p, 1, 1000 * (i + 1));
        free(p);
        drop(malloc(50));
        CHECK(dlclose(library) == 0);
        /* dlerror's text is the loader's own allocation. */
        CHECK(dlopen("/nonexistent/library.so", RTLD_NOW) == NULL && dlerror() != NULL);
    }
    setenv("LIFECYCLE", "a value that setenv copies", 1);
    unsetenv("LIFECYCLE");
    return check_result();
}
