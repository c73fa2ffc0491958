/* The log: how much, where to, and in which form. */
#include "vmem.h"

static char text[1 << 20];

static char *contents_of(const char *path) {
    FILE *file = fopen(path, "re");
    text[0] = 0;
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
    }
    return text;
}

static void part(void) {
    VMEM *pool = vmem_create(".", VMEM_MIN_POOL);
    vmem_free(pool, vmem_malloc(pool, 100));
    vmem_create("absent", VMEM_MIN_POOL);
    vmem_delete(pool);
}

static void report(const char *name, const char *file) {
    contents_of(file);
    say("%s: anything %s, errors %s, calls %s", name, yes(text[0] != 0),
        yes(strstr(text, "open: No such file or directory\n") != NULL),
        yes(strstr(text, "vmem_malloc] vmp") != NULL));
    if (text[0])
        say("%s, the form: %s", name, yes(!strncmp(text, "<libvmem>: <1> [", 16)));
}

int main(int count, char **arguments) {
    if (count > 1 && !strncmp(arguments[1], "level", 5)) {
        part();
        return 0;
    }
    if (count > 1) {
        /* Whatever the library says on its way out. */
        return 0;
    }
    NEED(setenv("VMEM_LOG_FILE", "log", 1) == 0);
    for (int level = 0; level <= 4; level++) {
        char name[20] = "level 0", value[2] = "0";
        name[6] = value[0] = (char)('0' + level);
        run_again(name, "VMEM_LOG_LEVEL", value);
        report(name, "log");
    }
    run_again("level that is no number", "VMEM_LOG_LEVEL", "abc");
    report("level that is no number", "log");
    NEED(setenv("VMEM_LOG_LEVEL", "1", 1) == 0);
    NEED(unlink("log") == 0);
    run_again("level in a file of the process's own", "VMEM_LOG_FILE", "own-");
    DIR *directory = opendir(".");
    int own = 0, number = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        own += sscanf(entry->d_name, "own-%d", &number) == 1 && number > 1;
    closedir(directory);
    say("files with the process's number: %d", own);
    NEED(setenv("PMDK_LOG_ALIGN", "60", 1) == 0);
    run_again("level with a margin", "VMEM_LOG_FILE", "log");
    contents_of("log");
    char *line = strchr(text, '\n') ? strchr(text, '\n') + 1 : text;
    say("with a margin: %s", yes(strlen(line) > 60 && line[59] == ' ' && line[60] != ' '));
    NEED(unsetenv("PMDK_LOG_ALIGN") == 0);

    /* A file that cannot be opened ends the program. */
    int error = dup(2);
    int file = open("stderr", O_CREAT | O_WRONLY | O_CLOEXEC | O_APPEND, 0600);
    NEED(error >= 0 && file >= 0 && dup2(file, 2) == 2);
    run_again("a file that cannot be opened", "VMEM_LOG_FILE", "absent/log");
    contents_of("stderr")[strcspn(text, "\n")] = 0;
    say("what it says: %s", text);
    /* Without a file, standard error is the place. */
    NEED(ftruncate(file, 0) == 0 && unsetenv("VMEM_LOG_FILE") == 0);
    run_again("level without a file", "VMEM_LOG_LEVEL", "1");
    report("level without a file", "stderr");
    NEED(dup2(error, 2) == 2);
    return 0;
}
