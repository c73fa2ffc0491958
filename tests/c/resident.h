/* What the process has in memory. */
#ifndef RESIDENT_H
#define RESIDENT_H

#include "check.h"

static inline size_t resident_bytes(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm && fscanf(statm, "%*d %ld", &pages) == 1);
    fclose(statm);
    return (size_t)pages * 4096;
}

#endif
