/* Messages: each failing call leaves one for its thread; pmem2_perror prints it. */
#include "pmem2.h"

#include <pthread.h>

static struct pmem2_source *file, *anonymous;
static struct pmem2_config *config;
static struct pmem2_vm_reservation *reservation;

static int fd_closed(void) {
    struct pmem2_source *source;
    return pmem2_source_from_fd(&source, -1);
}
static int fd_directory(void) {
    struct pmem2_source *source;
    int fd = open(".", O_RDONLY | O_CLOEXEC), result = pmem2_source_from_fd(&source, fd);
    close(fd);
    return result;
}
static int no_descriptor(void) {
    int fd;
    return pmem2_source_get_fd(anonymous, &fd);
}
static int bad_offset(void) { return pmem2_config_set_offset(config, SIZE_MAX); }
static int bad_sharing(void) {
    return pmem2_config_set_sharing(config, (enum pmem2_sharing_type)9);
}
static int bad_protection(void) { return pmem2_config_set_protection(config, 1); }
static int bad_granularity(void) {
    return pmem2_config_set_required_store_granularity(config, (enum pmem2_granularity)9);
}
static int no_granularity(void) {
    struct pmem2_map *map;
    return pmem2_map_new(&map, config, file);
}
static int map_range(void) {
    struct pmem2_map *map;
    return map_with(&map, config_of(100 * PAGE, PAGE), file);
}
static int map_offset(void) {
    struct pmem2_map *map;
    return map_with(&map, config_of(1, PAGE), file);
}
static int map_length(void) {
    struct pmem2_map *map;
    return map_with(&map, config_of(0, 1), file);
}
static int map_at_end(void) {
    struct pmem2_map *map;
    return map_with(&map, config_of(2 * PAGE, 0), file);
}
static int map_granularity(void) {
    struct pmem2_map *map;
    struct pmem2_config *strict = config_of(0, 0);
    NEED(pmem2_config_set_required_store_granularity(strict, PMEM2_GRANULARITY_BYTE) == 0);
    return map_with(&map, strict, file);
}
static int existing_twice(void) {
    struct pmem2_map *first, *second;
    NEED(pmem2_map_from_existing(&first, file, &first, 1, PMEM2_GRANULARITY_PAGE) == 0);
    int result = pmem2_map_from_existing(&second, file, &first, 1, PMEM2_GRANULARITY_PAGE);
    NEED(pmem2_map_delete(&first) == 0);
    return result;
}
static int deep_flush_range(void) {
    struct pmem2_map *map;
    NEED(map_with(&map, config_of(0, 0), file) == 0);
    int result = pmem2_deep_flush(map, pmem2_map_get_address(map), 100 * PAGE);
    NEED(pmem2_map_delete(&map) == 0);
    return result;
}
static int reservation_size(void) {
    struct pmem2_vm_reservation *made;
    return pmem2_vm_reservation_new(&made, NULL, 1);
}
static int reservation_address(void) {
    struct pmem2_vm_reservation *made;
    return pmem2_vm_reservation_new(&made, (void *)1, PAGE);
}
static int reservation_taken(void) {
    struct pmem2_vm_reservation *made;
    return pmem2_vm_reservation_new(&made, pmem2_vm_reservation_get_address(reservation), PAGE);
}
static int reservation_large(void) {
    struct pmem2_vm_reservation *made;
    return pmem2_vm_reservation_new(&made, NULL, (size_t)1 << 60);
}
static int extend_odd(void) { return pmem2_vm_reservation_extend(reservation, 1); }
static int extend_large(void) {
    return pmem2_vm_reservation_extend(reservation, (size_t)1 << 60);
}
static int shrink_middle(void) {
    return pmem2_vm_reservation_shrink(reservation, PAGE, PAGE);
}
static int shrink_beyond(void) {
    return pmem2_vm_reservation_shrink(reservation, 100 * PAGE, PAGE);
}
static int shrink_nothing(void) { return pmem2_vm_reservation_shrink(reservation, 0, 0); }
static int find_nothing(void) {
    struct pmem2_map *map;
    return pmem2_vm_reservation_map_find(reservation, 0, PAGE, &map);
}
static int find_first(void) {
    struct pmem2_map *map;
    return pmem2_vm_reservation_map_find_first(reservation, &map);
}
static int delete_full(void) {
    struct pmem2_map *map;
    struct pmem2_vm_reservation *made;
    NEED(pmem2_vm_reservation_new(&made, NULL, 2 * PAGE) == 0);
    NEED(map_into(&map, made, 0, file, 0, PAGE) == 0);
    int result = pmem2_vm_reservation_delete(&made);
    NEED(pmem2_map_delete(&map) == 0 && pmem2_vm_reservation_delete(&made) == 0);
    return result;
}
static int into_too_small(void) {
    struct pmem2_map *map;
    return map_into(&map, reservation, 3 * PAGE, file, 0, 2 * PAGE);
}
static int into_odd(void) {
    struct pmem2_map *map;
    return map_into(&map, reservation, 3, file, 0, PAGE);
}
static int device_id(void) {
    size_t length = 0;
    return pmem2_source_device_id(file, NULL, &length);
}
static int shutdowns(void) {
    uint64_t count;
    return pmem2_source_device_usc(anonymous, &count);
}
static int read_anonymous(void) {
    char byte;
    return pmem2_source_pread_mcsafe(anonymous, &byte, 1, 0);
}
static int bad_blocks(void) {
    struct pmem2_badblock_context *context;
    return pmem2_badblock_context_new(&context, anonymous);
}
static int node_of_anonymous(void) {
    int node;
    return pmem2_source_numa_node(anonymous, &node);
}

static const struct failing {
    const char *name;
    int (*call)(void);
} failing[] = {{"source of -1", fd_closed},
               {"source of a directory", fd_directory},
               {"descriptor of anonymous", no_descriptor},
               {"offset", bad_offset},
               {"sharing", bad_sharing},
               {"protection", bad_protection},
               {"granularity", bad_granularity},
               {"map without granularity", no_granularity},
               {"map beyond the end", map_range},
               {"map at an odd offset", map_offset},
               {"map of an odd length", map_length},
               {"map at the end", map_at_end},
               {"map of a granularity not to be had", map_granularity},
               {"map from existing, twice", existing_twice},
               {"deep flush beyond", deep_flush_range},
               {"reservation of a byte", reservation_size},
               {"reservation at an odd address", reservation_address},
               {"reservation at a taken address", reservation_taken},
               {"reservation too large", reservation_large},
               {"extend by a byte", extend_odd},
               {"extend too far", extend_large},
               {"shrink in the middle", shrink_middle},
               {"shrink beyond the end", shrink_beyond},
               {"shrink by nothing", shrink_nothing},
               {"find nothing", find_nothing},
               {"find the first of none", find_first},
               {"delete a full reservation", delete_full},
               {"map into too little", into_too_small},
               {"map into an odd place", into_odd},
               {"device id of a file", device_id},
               {"unsafe shutdowns of anonymous", shutdowns},
               {"read of anonymous", read_anonymous},
               {"bad blocks of anonymous", bad_blocks},
               {"node of anonymous", node_of_anonymous}};

/* A thread that has failed at nothing yet. */
static void *fail(void *argument) {
    const struct failing *case_ = argument;
    int before = pmem2_errormsg()[0] != 0;
    int result = case_->call();
    const char *message = pmem2_errormsg();
    say("%s: %s, message %s%s%s", case_->name, result_name(result), yes(message[0] != 0),
        before ? ", but there was one before" : "",
        strchr(message, '\n') ? ", of several lines" : "");
    return NULL;
}

static void print_errors(void) {
    int saved = dup(2), pipe_ends[2];
    NEED(pipe(pipe_ends) == 0 && dup2(pipe_ends[1], 2) == 2);
    NEED(bad_offset() != 0);
    pmem2_perror("plain");
    pmem2_perror("number %d, text %s", 42, "abc");
    pmem2_perror("%s", "");
    fflush(stderr);
    NEED(dup2(saved, 2) == 2);
    close(saved), close(pipe_ends[1]);
    char text[2000] = "";
    ssize_t length = read(pipe_ends[0], text, sizeof text - 1);
    NEED(length > 0);
    close(pipe_ends[0]);
    char one[1000];
    int line = 0;
    for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
        char *message = strstr(at, pmem2_errormsg());
        snprintf(one, sizeof one, "%.*s", (int)(message ? message - at : 0), at);
        say("perror, line %d: '%s' and the message %s", ++line, one,
            yes(message && !strcmp(message, pmem2_errormsg())));
    }
}

int main(void) {
    say("at first: message %s", yes(pmem2_errormsg()[0] != 0));
    file = file_source(2 * PAGE);
    NEED(pmem2_source_from_anon(&anonymous, PAGE) == 0);
    NEED(pmem2_config_new(&config) == 0);
    NEED(pmem2_vm_reservation_new(&reservation, NULL, 4 * PAGE) == 0);
    say("after successes: message %s", yes(pmem2_errormsg()[0] != 0));
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, fail, (void *)(uintptr_t)&failing[i]) == 0);
        NEED(pthread_join(thread, NULL) == 0);
    }
    say("after other threads' failures: message %s", yes(pmem2_errormsg()[0] != 0));
    print_errors();
    return 0;
}
