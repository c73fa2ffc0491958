/* What the programs for a Device DAX ask sysfs. */
#ifndef DEVICE_SIZE_H
#define DEVICE_SIZE_H

#include "../../c/libpmem/probe.h"

#include <sys/sysmacros.h>

/* The bytes of a device. */
static inline size_t device_size(const char *device) {
    struct stat status;
    char path[100];
    size_t size;
    NEED(stat(device, &status) == 0);
    snprintf(path, sizeof path, "/sys/dev/char/%u:%u/size", major(status.st_rdev), minor(status.st_rdev));
    FILE *file = fopen(path, "re");
    NEED(file && fscanf(file, "%zu", &size) == 1);
    fclose(file);
    return size;
}

#endif
