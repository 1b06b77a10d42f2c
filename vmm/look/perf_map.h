/* SPDX-License-Identifier: MIT */
#ifndef VMM_PERF_MAP_H
#define VMM_PERF_MAP_H

/*
 * --perf map: names of translated code for the host's perf.  A line of /tmp/perf-PID.map is a piece of code memory:
 *
 *	START BYTES NAME	both hexadecimal; NAME as perf is to show it, up to the end of the line
 *
 * Source: tools/perf/Documentation/jit-interface.txt of Linux.
 */
#include "jit/jit.h"

struct loader_error;
struct perf_map;

/*
 * path     of the map; NULL: where perf looks for this process's.  A file that is there is replaced, never written to.
 * kernel, listing, folder   guest_names_open()
 *
 * Returns  0, or -errno with err filled.
 * Cost     reads the files, and hashes their pages (1 GB/s).
 */
MUST_CHECK int perf_map_open(struct perf_map **out, const char *path, const char *kernel, const char *listing,
			     const char *folder, struct loader_error *err);
/* jit_config.installed, for map. One caller at a time. */
void perf_map_add(void *map, const struct jit_installed *what);
/* The file stays.  0, or -errno: it has not got all.  NULL is fine. */
MUST_CHECK int perf_map_close(struct perf_map *m);

#endif
