/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONSOLE_TAIL_H
#define VMM_CONSOLE_TAIL_H

/* The last of what a guest said on a console that nobody saw: shown if it ends badly. */
#include <stdio.h>

#include "base/types.h"

enum { CONSOLE_TAIL_BYTES = 8192, CONSOLE_TAIL_LINES = 30 };

struct console_tail {
	uint64_t n; /* all that was added; data holds the last of it, byte i at i modulo its size */
	char data[CONSOLE_TAIL_BYTES];
};

void console_tail_add(struct console_tail *t, const uint8_t *data, size_t n);
/*
 * The last lines, at most CONSOLE_TAIL_LINES of those that are there whole, each ended.  Control characters are left out or
 * shown as '?': it was not meant for this terminal.
 */
void console_tail_print(const struct console_tail *t, FILE *out);

#endif
