/* What libvmmalloc's functions answer where the standards leave a choice, and what is its own. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    errno = UNTOUCHED;
    void *none = malloc(0), *other = malloc(0);
    CHECK(none && other && none != other);
    free(none);
    free(other);
    none = calloc(0, 0);
    CHECK(none);
    /* Linkers do not know it any more. */
    void (*cfree)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    CHECK(cfree != NULL);
    cfree(none);
    none = realloc(NULL, 0);
    CHECK(none);
    CHECK(realloc(none, 0) == NULL);
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
    CHECK(errno == UNTOUCHED);

    errno = 0;
    CHECK(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    char *kept = strdup("kept");
    errno = 0;
    CHECK(realloc(kept, (size_t)1 << 40) == NULL && errno == ENOMEM && !strcmp(kept, "kept"));
    free(kept);

    /* Beyond POSIX: every power of two; NULL is stored for the others. */
    errno = UNTOUCHED;
    for (size_t alignment = 1; alignment <= 1 << 16; alignment *= 2) {
        void *place = &place;
        CHECK_FOR(posix_memalign(&place, alignment, 100) == 0, alignment);
        CHECK_FOR((uintptr_t)place % alignment == 0, alignment);
        free(place);
    }
    const size_t wrong[] = {0, 3, 24};
    for (int i = 0; i < 3; i++) {
        void *place = &place;
        CHECK_FOR(posix_memalign(&place, wrong[i], 100) == EINVAL, wrong[i]);
        CHECK_FOR(place == NULL, wrong[i]);
    }
    CHECK(errno == UNTOUCHED);
    errno = 0;
    CHECK(aligned_alloc(24, 8) == NULL && errno == EINVAL);
    CHECK((uintptr_t)(none = memalign(256, 1)) % 256 == 0);
    free(none);
    CHECK((uintptr_t)(none = valloc(10)) % 4096 == 0);
    free(none);
    const size_t sizes[] = {0, 1, 4096, 4097, 10000, 100000};
    for (int i = 0; i < 6; i++) {
        size_t rounded = ((sizes[i] ? sizes[i] : 1) + 4095) / 4096 * 4096;
        none = pvalloc(sizes[i]);
        CHECK_FOR((uintptr_t)none % 4096 == 0, sizes[i]);
        CHECK_FOR(malloc_usable_size(none) >= rounded, sizes[i]);
        free(none);
    }

    /* The variables that the C library once had. */
    const char *hooks[] = {"__malloc_hook", "__realloc_hook", "__free_hook", "__memalign_hook"};
    void *const functions[] = {(void *)malloc, (void *)realloc, (void *)free, (void *)memalign};
    for (int i = 0; i < 4; i++) {
        void **hook = dlsym(RTLD_DEFAULT, hooks[i]);
        CHECK_FOR(hook && *hook == functions[i], i);
    }

    /* All is in one pool: of the size asked for, less a little. */
    char *first = malloc(1 << 20), *large = malloc((size_t)40 << 20);
    CHECK(first && large && labs(first - large) < 64l << 20);
    CHECK(malloc((size_t)40 << 20) == NULL);
    free(first);
    free(large);

    /* A program that is started does not get the pool's file. */
    DIR *descriptors = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(descriptors));) {
        char path[300], target[300] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, " (deleted)"))
            CHECK(fcntl(atoi(entry->d_name), F_GETFD) & FD_CLOEXEC);
    }
    closedir(descriptors);
    return check_result();
}
