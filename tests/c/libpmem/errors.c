/* Messages of each thread's own, and the version. */
#include "probe.h"

#include <libpmem.h>
#include <pthread.h>

static void fail(const char *path) { NEED(!pmem_map_file(path, 0, 0, 0, NULL, NULL)); }

static char of_main[1024];

static void *other_thread(void *unused) {
    (void)unused;
    say("in a new thread: message %s", yes(pmem_errormsg()[0] != 0));
    fail("absent/other");
    say("in a new thread, after a failure: message %s", yes(pmem_errormsg()[0] != 0));
    say("each thread has its own: %s", yes(strcmp(pmem_errormsg(), of_main) != 0));
    return NULL;
}

static void version(unsigned major, unsigned minor) {
    errno = 0;
    const char *message = pmem_check_version(major, minor);
    say("version %u.%u: %s, errno %s", major, minor, message ? message : "ok",
        error_name(errno));
}

int main(void) {
    say("at first: message %s", yes(pmem_errormsg()[0] != 0));
    fail("absent");
    say("after a failure: message %s", yes(pmem_errormsg()[0] != 0));
    NEED(strlen(pmem_errormsg()) < sizeof of_main);
    strcpy(of_main, pmem_errormsg());
    say("the message is one line: %s", yes(!strchr(of_main, '\n')));
    say("asking twice: %s", yes(!strcmp(of_main, pmem_errormsg())));

    pthread_t thread;
    NEED(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    NEED(pthread_join(thread, NULL) == 0);
    say("after another thread's failure: %s", yes(!strcmp(of_main, pmem_errormsg())));

    size_t mapped;
    void *address = pmem_map_file("f", 4096, PMEM_FILE_CREATE, 0600, &mapped, NULL);
    NEED(address && pmem_unmap(address, mapped) == 0 && unlink("f") == 0);
    say("after a success: %s", yes(!strcmp(of_main, pmem_errormsg())));
    char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    fail(long_path);
    say("about a path of 4999 bytes: message %s, one line %s", yes(pmem_errormsg()[0] != 0),
        yes(!strchr(pmem_errormsg(), '\n')));
    fail("with %s%n%d in it");
    say("about a path with per cent signs: message %s", yes(pmem_errormsg()[0] != 0));

    version(PMEM_MAJOR_VERSION, PMEM_MINOR_VERSION);
    version(1, 0);
    version(1, 2);
    version(0, 0);
    version(0, 1);
    version(2, 0);
    version(2, 1);
    version(UINT_MAX, UINT_MAX);
    say("the last message is the version's: %s", yes(strstr(pmem_errormsg(), "mismatch") != NULL));
    return 0;
}
