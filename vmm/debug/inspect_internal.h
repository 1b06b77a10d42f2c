/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_INSPECT_INTERNAL_H
#define VMM_DEBUG_INSPECT_INTERNAL_H

/* Private to inspect(): a command in progress, and those of its functions that have files of their own. All from debug_act(). */
#include <stdio.h>

#include "vmm/cpu/debug.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/debug/memory.h"
#include "vmm/monitor/vm.h"

enum { INSPECT_LINE_BYTES = 256 };

struct command;

struct inspection {
	struct vcpu *v;
	FILE *out;
	char *rest;   /* of the line, behind the command */
	char *format; /* behind a '/' of its name, or NULL */
	const struct command *command;
	bool good;
};

/* ---- inspect_info.c ---- */
#define INSPECT_INFO(name, fn, help) void fn(struct inspection *i);
#include "vmm/debug/inspect.def"

#endif
