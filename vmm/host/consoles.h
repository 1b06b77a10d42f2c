/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONSOLES_H
#define VMM_CONSOLES_H

/*
 * The consoles of several machines on the user's terminal: one is shown and gets what is typed, Ctrl-A n and Ctrl-A b change, and a
 * line says to which.  What the others print meanwhile is kept, the last CONSOLES_KEPT_BYTES of each, and shown at the change.
 * A thread reads the terminal and makes the changes; a machine that is not shown never waits for the terminal.
 */
#include "base/panic.h"
#include "base/types.h"

enum { CONSOLES_KEPT_BYTES = 64 << 10 };

struct console;
struct consoles;

struct consoles_config {
	int in_fd, out_fd;          /* a terminal, both; they stay the caller's */
	void (*quit)(void *opaque); /* Ctrl-A x. The thread's */
	const char *monitor; /* whose machines they are, for Ctrl-A c: the control socket's name; NULL: there is none */
	void *opaque;
};

/* The terminal is raw from here on. 0 or -errno, as console_open(). */
MUST_CHECK int consoles_open(struct consoles **out, const struct consoles_config *cfg);
/* One machine's, in the order of Ctrl-A n. Used and closed as vmm/host/console.h says. Any thread. 0 or -errno. */
MUST_CHECK int consoles_add(struct consoles *cs, const char *name, struct console **out);
/* A machine that has ended, and closed it, is known no more. Any thread. */
void consoles_forget(struct consoles *cs, const char *name);
/* Show the first. 0 or -errno. */
MUST_CHECK int consoles_start(struct consoles *cs);
/* All are closed. Of the thread that opened it. NULL is fine. */
void consoles_close(struct consoles *cs);

#endif
