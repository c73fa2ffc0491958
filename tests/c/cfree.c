/* cfree is gone from the headers, but old programs still call it. */
#include "check.h"
#include <dlfcn.h>
#include <malloc.h>

int main(void) {
    void (*cfree)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    CHECK(cfree != NULL);
    if (cfree) {
        size_t before = mallinfo2().uordblks;
        for (int i = 0; i < 10000; i++)
            cfree(malloc(1000));
        cfree(NULL);
        CHECK(mallinfo2().uordblks < before + 100000);
    }
    return check_result();
}
