/* Flushing, draining and msync. A flush reads the line that it flushes, so that memory
 * without access tells which lines were really flushed: the program is hit by SIGSEGV. */
#include "probe.h"

#include <libpmem.h>

static char *guarded; /* two pages, then two without access */
static size_t offset, length;
static void (*operation)(const void *, size_t);

static void operate(void) { operation(guarded + offset, length); }

static const char *outcome(size_t at, size_t bytes) {
    offset = at, length = bytes;
    int result = in_child(operate);
    return result == 0 ? "ok" : result == -SIGSEGV ? "fault" : "other";
}

static void deep_persist(const void *address, size_t bytes) {
    (void)pmem_deep_persist(address, bytes);
}

static const struct {
    const char *name;
    void (*call)(const void *, size_t);
} operations[] = {{"flush", pmem_flush},
                  {"persist", pmem_persist},
                  {"deep_flush", pmem_deep_flush},
                  {"deep_persist", deep_persist}};

static void lines(const char *setting) {
    guarded = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(guarded != MAP_FAILED);
    memset(guarded, 'o', 2 * PAGE);
    NEED(mprotect(guarded + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        operation = operations[i].call;
        say("%s, %s: all %s, nothing %s, up to the end %s, one beyond %s, nothing beyond %s, "
            "one byte beyond %s, only beyond %s, last line %s",
            setting, operations[i].name, outcome(0, 2 * PAGE), outcome(5, 0),
            outcome(100, 2 * PAGE - 100), outcome(0, 2 * PAGE + 1), outcome(2 * PAGE, 0),
            outcome(2 * PAGE, 1), outcome(3 * PAGE, PAGE), outcome(2 * PAGE - 64, 64));
    }
    for (size_t i = 0; i < 2 * PAGE; i++)
        NEED(guarded[i] == 'o');
    say("%s: hardware drain %d, automatic flush %d", setting, pmem_has_hw_drain(),
        pmem_has_auto_flush());
    pmem_drain();
    munmap(guarded, 4 * PAGE);
}

/* Every length and place within some lines changes nothing but what the caches hold. */
static void lengths(const char *setting) {
    size_t mapped;
    char *address = pmem_map_file("f", 8192, PMEM_FILE_CREATE, 0600, &mapped, NULL);
    NEED(address);
    for (size_t at = 0; at < 130; at++)
        for (size_t bytes = 0; bytes < 200; bytes++) {
            memset(address + at, (int)(at + bytes), bytes);
            operations[(at + bytes) % 3].call(address + at, bytes); /* deep_persist waits */
            for (size_t i = 0; i < bytes; i++)
                NEED(address[at + i] == (char)(at + bytes));
        }
    say("%s, lengths: ok", setting);
    NEED(pmem_unmap(address, mapped) == 0);
    NEED(unlink("f") == 0);
}

static void result(const char *name, int value) {
    say("%s: %d %s", name, value, value ? error_name(errno) : "0");
}

static void synchronize(void) {
    size_t mapped;
    char *address = pmem_map_file("f", 5000, PMEM_FILE_CREATE, 0600, &mapped, NULL);
    char *anonymous = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(address && anonymous != MAP_FAILED);
    NEED(munmap(anonymous + 2 * PAGE, 2 * PAGE) == 0);
    static const struct {
        const char *name;
        int (*call)(const void *, size_t);
    } calls[] = {{"msync", pmem_msync},
                 {"deep_drain", pmem_deep_drain},
                 {"deep_persist", pmem_deep_persist}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int (*call)(const void *, size_t) = calls[i].call;
        char name[80];
#define CASE(text, place, bytes)                                                         \
    (snprintf(name, sizeof name, "%s, %s", calls[i].name, text),                         \
     result(name, (errno = 0, call(place, bytes))))
        CASE("file", address, mapped);
        CASE("part of a file", address + 100, 10);
        CASE("two pages by two bytes", address + 4095, 2);
        CASE("nothing", address, 0);
        CASE("nothing, not aligned", address + 5, 0);
        CASE("anonymous", anonymous, 2 * PAGE);
        /* deep_persist flushes first, and would fault there */
        if (call != pmem_deep_persist) {
            CASE("mapped in part", anonymous, 4 * PAGE);
            CASE("not mapped", anonymous + 2 * PAGE, 1);
            CASE("not mapped, nothing", anonymous + 2 * PAGE, 0);
            CASE("null", NULL, 1);
            CASE("null, nothing", NULL, 0);
            CASE("SIZE_MAX", address, SIZE_MAX);
            CASE("SIZE_MAX, not aligned", address + 1, SIZE_MAX);
        }
    }
    say("deep_drain leaves a message: %s", yes(pmem_errormsg()[0] != 0));
    munmap(anonymous, 2 * PAGE);
    NEED(pmem_unmap(address, mapped) == 0);
    NEED(unlink("f") == 0);
}

int main(int count, char **arguments) {
    static const struct {
        const char *name, *value;
    } settings[] = {{"PMEM_NO_FLUSH", "1"},      {"PMEM_NO_FLUSH", "0"},
                    {"PMEM_NO_FLUSH", "2"},      {"PMEM_NO_FLUSH", "yes"},
                    {"PMEM_NO_CLWB", "1"},       {"PMEM_NO_CLWB", "0"},
                    {"PMEM_NO_CLFLUSHOPT", "1"}, {"PMEM_NO_GENERIC_MEMCPY", "1"}};
    if (count > 1) {
        lines(arguments[1]);
        lengths(arguments[1]);
        return 0;
    }
    run_again("plain", NULL, NULL);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char name[60];
        snprintf(name, sizeof name, "%s=%s", settings[i].name, settings[i].value);
        run_again(name, settings[i].name, settings[i].value);
    }
    /* Neither CLWB nor CLFLUSHOPT: CLFLUSH is left. */
    NEED(setenv("PMEM_NO_CLFLUSHOPT", "1", 1) == 0);
    run_again("CLFLUSH only", "PMEM_NO_CLWB", "1");
    NEED(unsetenv("PMEM_NO_CLFLUSHOPT") == 0);
    synchronize();
    return 0;
}
