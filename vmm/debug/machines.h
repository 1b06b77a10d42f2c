/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_MACHINES_H
#define VMM_DEBUG_MACHINES_H

/* The machines as a debugger finds them; vmm/cli/run_debug.c has them. */
#include <stdio.h>

#include "base/types.h"
#include "vmm/cpu/debug.h"

/* One of them, between enter() and leave(). */
struct debug_machine {
	unsigned number; /* from 1 */
	const char *name;
	struct vm *vm; /* NULL: between two boots, or it has ended */
	struct debug *debug;
	bool *attached; /* a debugger has it: each vm that it boots joins debug */
	bool ended;
	int status; /* ended: with what */
};

/* All on the debugger's thread, but for what struct debug says. They may wait for a machine that comes or goes, not for a guest. */
struct debug_machines {
	/* False: there is none of that number. The machine stays what it is until leave(). */
	bool (*enter)(void *opaque, unsigned number, struct debug_machine *out);
	void (*leave)(void *opaque, unsigned number);
	/* The number of the next one behind `number` that has not ended; 0: there is none. */
	unsigned (*next)(void *opaque, unsigned number);
	/* Those that wait for a debugger (--gdb-wait), and that none has taken, go on. */
	void (*go_waiting)(void *opaque);
	/* Switch it off. */
	void (*kill)(void *opaque, unsigned number);
	/* By how much its Linux has moved itself; 0: not at all, or that is not known. Between enter() and leave(). */
	uint32_t (*slide)(void *opaque, unsigned number);
	void *opaque;
};

#endif
