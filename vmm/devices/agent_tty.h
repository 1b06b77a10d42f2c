/* SPDX-License-Identifier: MIT */
#ifndef VMM_AGENT_TTY_H
#define VMM_AGENT_TTY_H

/*
 * The terminal of a command in the guest, as far as it is one of the host's: which of the command's descriptors are one, its
 * size and keys for the guest, and raw mode here while the guest's line discipline does the work.
 */
#include "vmm/cli/options.h"
#include "vmm/host/tty.h"

enum {
	AGENT_TTY_ON = 1,     /* standard input and output are a terminal */
	AGENT_TTY_STDERR = 2, /* standard error too */
	AGENT_TTY_UTF8 = 4,   /* erasing takes a character of UTF-8 back */
	AGENT_TTY_BYTES = 16,
};

struct agent_tty {
	unsigned flags;
	int raw_fd;  /* standard input if it is a terminal, else -1: bytes without keys for the monitor */
	int size_fd; /* one that has a size, or -1 */
	bool entered;
	bool look; /* atomic: the size may be another */
	struct tty_keys keys;
	struct tty_size told;
};

/* Looks at the standard descriptors. With RUN_TTY_AUTO standard error is the terminal's only if it is one here. */
void agent_tty_init(struct agent_tty *t, enum run_tty how);
/*
 * What the guest is told: u32 flags; u16 columns, u16 rows; the characters INTR QUIT ERASE KILL EOF START STOP SUSP, a byte
 * each, 0 for none.  All zeroes without a terminal.
 */
void agent_tty_describe(struct agent_tty *t, uint8_t out[AGENT_TTY_BYTES]);
/* True if the size is another than what was told last: u16 columns, u16 rows. */
bool agent_tty_resized(struct agent_tty *t, uint8_t out[4]);
/* Raw mode, if standard input is the terminal. 0 or -errno. */
MUST_CHECK int agent_tty_enter(struct agent_tty *t);
void agent_tty_leave(struct agent_tty *t);

#endif
