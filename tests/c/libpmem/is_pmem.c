/* pmem_is_pmem on memory that is none, and PMEM_IS_PMEM_FORCE. */
#include "probe.h"

#include <libpmem.h>

static char *map(int *is_pmem) {
    size_t mapped;
    char *address = pmem_map_file("f", 8192, PMEM_FILE_CREATE, 0600, &mapped, is_pmem);
    NEED(address && mapped == 8192);
    return address;
}

static void ask(const char *name) {
    int of_file = UNTOUCHED, local = 0;
    char *file = map(&of_file);
    char *anonymous = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(anonymous != MAP_FAILED);
    say("%s: map %d; file %d, part %d, beyond %d, nothing %d; null %d, null and nothing %d; "
        "stack %d; anonymous %d; SIZE_MAX %d",
        name, of_file, pmem_is_pmem(file, 8192), pmem_is_pmem(file + 100, 5),
        pmem_is_pmem(file, 8193), pmem_is_pmem(file, 0), pmem_is_pmem(NULL, 1),
        pmem_is_pmem(NULL, 0), pmem_is_pmem(&local, sizeof local), pmem_is_pmem(anonymous, PAGE),
        pmem_is_pmem(file, SIZE_MAX));
    munmap(anonymous, PAGE);
    NEED(pmem_unmap(file, 8192) == 0);
    say("%s, unmapped: %d", name, pmem_is_pmem(file, 8192));
}

/* When the variable is read: at the first question, not before and not again. */
static void moment(void) {
    char *file = map(NULL);
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    say("set before the first question: %d", pmem_is_pmem(file, 8192));
    setenv("PMEM_IS_PMEM_FORCE", "0", 1);
    say("changed after the first question: %d", pmem_is_pmem(file, 8192));
    NEED(pmem_unmap(file, 8192) == 0);
}

static void moment_of_map(void) {
    int is_pmem;
    char *file = map(&is_pmem);
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    say("set after a mapping that asked: %d", pmem_is_pmem(file, 8192));
    NEED(pmem_unmap(file, 8192) == 0);
}

static void moment_of_failure(void) {
    int is_pmem = 0, local = 0;
    NEED(!pmem_map_file("no/f", 0, 0, 0, NULL, &is_pmem));
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    say("set after a mapping that failed: %d", pmem_is_pmem(&local, 1));
}

static void moment_of_nothing(void) {
    int local = 0;
    NEED(!pmem_is_pmem(&local, 0));
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    say("set after a question about nothing: %d", pmem_is_pmem(&local, 1));
}

int main(int count, char **arguments) {
    static const char *const values[] = {"0",  "1",  "2", "-1", "yes", "",
                                         " 1", "01", "1x", "0x1", "00"};
    if (count > 1) {
        if (!strcmp(arguments[1], "moment"))
            moment();
        else if (!strcmp(arguments[1], "moment of map"))
            moment_of_map();
        else if (!strcmp(arguments[1], "moment of failure"))
            moment_of_failure();
        else if (!strcmp(arguments[1], "moment of nothing"))
            moment_of_nothing();
        else
            ask(arguments[1]);
        unlink("f");
        return 0;
    }
    run_again("no variable", NULL, NULL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char name[40];
        snprintf(name, sizeof name, "force '%s'", values[i]);
        run_again(name, "PMEM_IS_PMEM_FORCE", values[i]);
    }
    run_again("moment", NULL, NULL);
    run_again("moment of map", NULL, NULL);
    run_again("moment of failure", NULL, NULL);
    run_again("moment of nothing", NULL, NULL);
    return 0;
}
