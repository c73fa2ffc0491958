/* Messages of each thread's own, and the version. */
#include "vmem.h"

static char of_main[8192];

static void *other_thread(void *unused) {
    (void)unused;
    say("in a new thread: message %s", yes(vmem_errormsg()[0] != 0));
    vmem_create("other", VMEM_MIN_POOL - 7);
    say("each thread has its own: %s", yes(strcmp(vmem_errormsg(), of_main) != 0));
    return NULL;
}

static void *fails(void *unused) {
    vmem_create(".", 1);
    return unused;
}

static void threads_leave_nothing(void) {
    enum { THREADS = 200 };
    run_threads(1, fails, NULL);
    size_t before = mapped_bytes();
    for (int i = 0; i < THREADS; i++)
        run_threads(1, fails, NULL);
    say("threads that ended leave nothing: %s", yes(mapped_bytes() < before + THREADS * PAGE));
}

static void version(unsigned major, unsigned minor) {
    errno = 0;
    const char *message = vmem_check_version(major, minor);
    say("version %u.%u: %s, %s", major, minor, message ? message : "ok", error_name(errno));
    if (message)
        say("version %u.%u, the same text: %s", major, minor, yes(message == vmem_errormsg()));
}

int main(void) {
    say("at first: message %s", yes(vmem_errormsg()[0] != 0));
    vmem_create(".", 1);
    strcpy(of_main, vmem_errormsg());
    say("after a failure: %s", of_main);
    run_threads(1, other_thread, NULL);
    say("after another thread's failure: %s", yes(!strcmp(of_main, vmem_errormsg())));
    vmem_delete(small_pool());
    say("after a success: %s", yes(!strcmp(of_main, vmem_errormsg())));
    say("the functions' numbers: %d.%d, least pool %zu", VMEM_MAJOR_VERSION, VMEM_MINOR_VERSION,
        VMEM_MIN_POOL);
    version(VMEM_MAJOR_VERSION, VMEM_MINOR_VERSION);
    version(1, 0);
    version(1, 2);
    version(0, 0);
    version(2, 0);
    version(2, 1);
    threads_leave_nothing();
    return 0;
}
