/* SPDX-License-Identifier: MIT */
#ifndef VMM_PANIC_WATCH_H
#define VMM_PANIC_WATCH_H

/*
 * Finds out from the console that a Linux guest panicked: a stock kernel tells nobody else.  The machine ends when the
 * kernel has said all (the line with "end Kernel panic"); with panic=SECONDS it resets instead of writing that line, or says
 * that it cannot.
 * Anybody in the guest who writes both to its console looks the same.
 */
#include "base/types.h"

struct panic_watch {
	unsigned at_start, at_end, at_halt; /* characters of the phrases matched so far */
	bool seen;                          /* "Kernel panic - not syncing" was printed */
	bool ended;                         /* "end Kernel panic", or "Reboot failed -- System halted" */
	bool done;                          /* and the end of that line */
};

/* True once: when the line that ends the report is complete. */
bool panic_watch_feed(struct panic_watch *w, const uint8_t *data, size_t n);

#endif
