/* Threads that come and go leave no memory behind. */
#include "check.h"

#include <pthread.h>

static void *run(void *unused) {
    (void)unused;
    void *blocks[200];
    for (int i = 0; i < 200; i++) {
        blocks[i] = malloc((size_t)(i % 40) * 100 + 1);
        CHECK(blocks[i] != NULL);
    }
    for (int i = 0; i < 200; i++)
        free(blocks[i]);
    return NULL;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 200;
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    void *most = malloc((size_t)50 << 20);
    CHECK(most != NULL);
    free(most);
    return check_result();
}
