/* The log of PMDK 2.1: thresholds, and a function that takes the messages. */
#include "probe.h"

#include <libpmem.h>

static int count[PMEM_LOG_LEVEL_DEBUG + 1], names_path, has_place;

static void take(enum pmem_log_level level, const char *file, unsigned line,
                 const char *function, const char *message) {
    if ((unsigned)level <= PMEM_LOG_LEVEL_DEBUG)
        count[level]++;
    names_path |= strstr(message, "absent/file") != NULL;
    has_place |= file && function && line > 0;
}

static int errors_of_a_failure(void) {
    memset(count, 0, sizeof count);
    names_path = has_place = 0;
    NEED(!pmem_map_file("absent/file", 0, 0, 0, NULL, NULL));
    NEED(errno == ENOENT);
    return count[PMEM_LOG_LEVEL_ERROR];
}

static void get(const char *name, enum pmem_log_threshold threshold) {
    enum pmem_log_level level = (enum pmem_log_level)UNTOUCHED;
    errno = 0;
    int result = pmem_log_get_threshold(threshold, &level);
    say("%s: %s, %s %d", name, yes(result == 0), error_name(result ? errno : 0), (int)level);
}

static void set(const char *name, enum pmem_log_threshold threshold, int level) {
    errno = 0;
    int result = pmem_log_set_threshold(threshold, (enum pmem_log_level)level);
    say("%s %d: %s, %s", name, level, yes(result == 0), error_name(result ? errno : 0));
}

int main(void) {
    get("at first, threshold", PMEM_LOG_THRESHOLD);
    get("at first, auxiliary", PMEM_LOG_THRESHOLD_AUX);
    for (int level = -1; level <= PMEM_LOG_LEVEL_DEBUG + 1; level++) {
        set("set threshold", PMEM_LOG_THRESHOLD, level);
        set("set auxiliary", PMEM_LOG_THRESHOLD_AUX, PMEM_LOG_LEVEL_DEBUG - level);
    }
    set("set no threshold", (enum pmem_log_threshold)2, PMEM_LOG_LEVEL_ERROR);
    get("get no threshold", (enum pmem_log_threshold)2);
    get("after setting, threshold", PMEM_LOG_THRESHOLD);
    get("after setting, auxiliary", PMEM_LOG_THRESHOLD_AUX);

    NEED(pmem_log_set_threshold(PMEM_LOG_THRESHOLD_AUX, PMEM_LOG_LEVEL_HARK) == 0);
    NEED(pmem_log_set_threshold(PMEM_LOG_THRESHOLD, PMEM_LOG_LEVEL_ERROR) == 0);
    say("set a function: %d", pmem_log_set_function(take));
    int errors = errors_of_a_failure();
    say("a failure at the threshold of errors: told %s, with the path %s, with a place %s",
        yes(errors > 0), yes(names_path), yes(has_place));
    NEED(pmem_log_set_threshold(PMEM_LOG_THRESHOLD, PMEM_LOG_LEVEL_FATAL) == 0);
    say("a failure at the threshold of fatal: told %s", yes(errors_of_a_failure() > 0));
    NEED(pmem_log_set_threshold(PMEM_LOG_THRESHOLD, PMEM_LOG_LEVEL_DEBUG) == 0);
    say("a failure at the threshold of debug: told %s", yes(errors_of_a_failure() > 0));
    say("set the default function: %d", pmem_log_set_function(PMEM_LOG_USE_DEFAULT_FUNCTION));
    say("a failure with the default function: told %s", yes(errors_of_a_failure() > 0));
    return 0;
}
