/*
 * The name under which PMDK has the interface of libpmem2, for programs that include it by that.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <libpmem2.h>
