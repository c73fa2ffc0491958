/* A library to be loaded at run time: it allocates whenever it can. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *mine;
static __thread char local[4096];

__attribute__((constructor)) static void construct(void) {
    mine = malloc(12); /* not strdup: libc's functions call the program's malloc */
    strcpy(mine, "constructed");
    memset(local, 1, sizeof local);
}
__attribute__((destructor)) static void destruct(void) { free(mine); }

void *plugin_make(size_t size) { return malloc(size); }
char *plugin_print(const char *text) {
    char *result = NULL;
    asprintf(&result, "plugin: %s", text);
    return result;
}
void plugin_drop(void *p) { free(p); }
void *plugin_malloc_address(void) { return (void *)malloc; }
