/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_INSPECT_H
#define VMM_DEBUG_INSPECT_H

/*
 * A command of people who look into a machine: `monitor` of gdb, `disco monitor`, the console's Ctrl-A c.  They are in inspect.def.
 * The machine may run: it is stopped for each look (debug_act()), and changes nothing by it.
 */
#include <stdio.h>

#include "base/types.h"

struct vcpu;

/* What there is to say, in lines; also what is wrong with the command. False: that. Not from debug_act(). */
bool inspect(struct vcpu *v, const char *line, FILE *out);

#endif
