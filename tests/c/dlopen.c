/* Opens a library while the program runs, and calls a function of it: argv[1] and argv[2]. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(int count, char **arguments) {
    if (count != 3)
        return 2;
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    uintptr_t (*function)(uintptr_t) = library ? (uintptr_t (*)(uintptr_t))dlsym(library, arguments[2]) : NULL;
    if (!function) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    puts(function(100) ? "an answer" : "none");
    return 0;
}
