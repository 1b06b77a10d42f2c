/* SPDX-License-Identifier: MIT */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <stdio.h>

#include "vmm/monitor/vm.h"

/* The counters of counters.def, exits by reason and exceptions by code: for people, or as one JSON object. */
void stats_print(struct vm *vm, FILE *out);
void stats_print_json(struct vm *vm, FILE *out);

/* A word for enum exit_reason. */
const char *stats_exit_name(int exit);

#endif
