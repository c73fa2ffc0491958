/* What a directory's file system means for pmem kinds: GUEST_DAX says whether it has DAX and MAP_SYNC. */
#include "../../c/libmemkind/kinds.h"

int main(void) {
    const char *dax = getenv("GUEST_DAX");
    NEED(dax);
    errno = 0;
    int code = memkind_check_dax_path(".");
    say("dax path: %d, %s", code, error_name(code ? errno : 0));
    NEED((code == 0) == (strcmp(dax, "sync") == 0));
    say("entries: %d", entries_of("."));
    memkind_t kind = NULL;
    NEED(memkind_create_pmem(".", 32 * MIB, &kind) == 0);
    for (int time = 0; time < 2; time++) {
        struct chain *chain;
        size_t blocks = fill(kind, 100000, &chain);
        say("time %d, three quarters are payload: %s", time, yes(blocks * 100000 >= 24 * MIB));
        say("time %d, file space: %s", time, yes(file_space(kind) >= 24 * MIB));
        for (struct chain *block = chain; block; block = block->next)
            NEED(memkind_detect_kind(block) == kind && ((char *)block)[99999] == 0x5a);
        free_chain(NULL, chain);
        NEED(memkind_destroy_kind(kind) == 0);
        NEED(memkind_create_pmem(".", 32 * MIB, &kind) == 0);
    }
    say("destroyed: %d, entries: %d", memkind_destroy_kind(kind), entries_of("."));
    return 0;
}
