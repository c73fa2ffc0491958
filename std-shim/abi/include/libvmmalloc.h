/*
 * libvmmalloc: replaces the malloc family of a program by a pool in a file, without changing the
 * program:
 *
 *     VMMALLOC_POOL_DIR=/mnt/pmem VMMALLOC_POOL_SIZE=1G LD_PRELOAD=libvmmalloc.so.1 program
 *
 * Or link with `pkg-config --libs libvmmalloc`. A program that is linked with it needs the two
 * variables, too.
 *
 *     VMMALLOC_POOL_DIR    the directory for the pool's temporary file, which has no name there
 *     VMMALLOC_POOL_SIZE   its size in bytes, or with K, M, G or T behind it
 *     VMMALLOC_FORK        what a child of fork(2) gets: 0 the parent's pool itself, which works for
 *                          children that exec; 1 (default) a copy in memory; 2 a copy in a file;
 *                          3 a copy in a file, or in memory where there is no room for that
 *     VMMALLOC_SIGNALS     1: signal handlers that interrupt malloc may call it, and every call takes a
 *                          lock; 0 (default): they must not
 *     VMMALLOC_LOG_STATS   1: statistics when the process ends
 *     VMMALLOC_LOG_LEVEL, VMMALLOC_LOG_FILE   how much is logged, and where
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef LIBVMMALLOC_H
#define LIBVMMALLOC_H 1

#include <malloc.h>
#include <stdlib.h>

/* The interface that this header describes. */
#define VMMALLOC_MAJOR_VERSION 1
#define VMMALLOC_MINOR_VERSION 1

/* The least size of a pool: 14 MiB. */
#define VMMALLOC_MIN_POOL ((size_t)(1024 * 1024 * 14))

#endif
