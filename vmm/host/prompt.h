/* SPDX-License-Identifier: MIT */
#ifndef VMM_PROMPT_H
#define VMM_PROMPT_H

/*
 * The monitor's prompt on a console (Ctrl-A c): `disco monitor`, as a process of its own on a pseudo-terminal, so that its line editor has a
 * terminal while the guest has this one.  It is started at the first time and stays, with its history, until the user quits it; a thread
 * puts what it prints onto the console.
 *
 *   typed ──► console ──► the guest, or the prompt (prompt_type()) ──► pseudo-terminal ──► disco monitor ──► control socket
 *                 ▲                                                                            │
 *                 └──────────────────── prompt_config.write() ◄────────────────────────────────┘
 */
#include "base/panic.h"
#include "base/types.h"

struct prompt;

struct prompt_config {
	/* Onto the console; a thread of the prompt's, until prompt_close(). */
	void (*write)(void *opaque, const void *data, size_t n);
	void *opaque;
	int tty_fd; /* whose size it has */
};

/* machine: "MONITOR/MACHINE", for disco monitor. 0 or -errno. */
MUST_CHECK int prompt_open(struct prompt **out, const char *machine, const struct prompt_config *cfg);
/* NULL is fine. */
void prompt_close(struct prompt *p);
/* It has not been quit. */
bool prompt_is_open(const struct prompt *p);
/* Does not wait: what it does not read is lost. */
void prompt_type(struct prompt *p, const uint8_t *data, size_t n);

#endif
