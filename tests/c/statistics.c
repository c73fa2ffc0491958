/* mallinfo2, mallinfo, malloc_info, malloc_stats, malloc_trim, mallopt: our numbers. */
#include "resident.h"
#include <malloc.h>
#include <unistd.h>

enum { BLOCK = 60000, BLOCKS = 1000 };

int main(void) {
    static char *blocks[BLOCKS];
    void *first = malloc(1); /* so that there is a heap */
    struct mallinfo2 empty = mallinfo2();
    CHECK(empty.arena + empty.hblkhd > 0);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        pattern_fill(blocks[i], BLOCK, i);
    }
    struct mallinfo2 full = mallinfo2();
    CHECK(full.uordblks + full.hblkhd >= empty.uordblks + empty.hblkhd + (size_t)BLOCK * BLOCKS);
    CHECK(full.uordblks <= empty.uordblks + (size_t)BLOCK * BLOCKS * 11 / 10);
    CHECK(full.uordblks + full.fordblks <= full.arena);
    struct mallinfo narrow = mallinfo();
    CHECK((size_t)(unsigned)narrow.uordblks == (full.uordblks & 0xffffffff) || narrow.uordblks == 0x7fffffff);

    /* Trim gives pages back, and what is in use stays. */
    for (int i = 0; i < BLOCKS; i++)
        if (i % 10)
            free(blocks[i]);
    struct mallinfo2 sparse = mallinfo2();
    CHECK(sparse.uordblks < full.uordblks - (size_t)BLOCK * BLOCKS / 10 * 8);
    size_t before = resident_bytes();
    int trimmed = malloc_trim(0);
    size_t after = resident_bytes();
    /* A file on tmpfs may keep its pages: without them it has no claim on the space. */
    const char *directory = getenv("ALLOT_DIR");
    if (trimmed || !directory || strncmp(directory, "/dev/shm", 8) != 0) {
        CHECK(trimmed == 1);
        CHECK_FOR(before > after + (size_t)BLOCK * BLOCKS / 2, before - after);
    }
    for (int i = 0; i < BLOCKS; i += 10) {
        CHECK_FOR(pattern_holds(blocks[i], BLOCK, i), i);
        free(blocks[i]);
    }
    struct mallinfo2 end = mallinfo2();
    CHECK(end.uordblks <= empty.uordblks + 65536);
    free(first);

    /* The report on a stream is XML. */
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(length > 0 && strncmp(text, "<malloc", 7) == 0 && strstr(text, "</malloc>"));
    free(text);
    CHECK(malloc_info(1, stdout) != 0);

    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    fflush(stdout);

    /* malloc_stats writes on standard error, which must be empty at the end: aside with it. */
    FILE *aside = tmpfile();
    int kept = dup(2);
    dup2(fileno(aside), 2);
    malloc_stats();
    dup2(kept, 2);
    CHECK(lseek(fileno(aside), 0, SEEK_END) > 0);
    fclose(aside);
    return check_result();
}
