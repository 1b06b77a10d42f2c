/* SPDX-License-Identifier: MIT */
#ifndef VMM_TTY_H
#define VMM_TTY_H

/*
 * The user's terminal: raw while a guest has it, its size, and the keys that are the monitor's there.
 *
 * It is given back as it was by tty_leave(), at exit(), by fatal signals, and while SIGTSTP stops the process.  For that a
 * signal handler must find it: the one piece of global state is in tty.c, and only one terminal can be raw at a time.
 * A process in the background leaves it alone: it is the shell's then, which has modes of its own there.
 */
#include "base/panic.h"
#include "base/types.h"

/* In characters. */
struct tty_size {
	uint16_t columns, rows;
};

/* Who makes a carriage return and a line feed of "\n". */
enum tty_output {
	TTY_OUTPUT_COOKED, /* the terminal as before: for output that messages of the monitor are among */
	TTY_OUTPUT_RAW,    /* the guest: as on a local terminal, where full-screen programs switch it off */
};

/*
 * fd  a terminal; stays the caller's
 *
 * Returns  0, -EBUSY (one is raw already), -errno of the terminal.
 * Context  one thread at a time; tty_restore() also in signal handlers and in panic()'s hook.
 */
MUST_CHECK int tty_enter(int fd, enum tty_output output);
void tty_leave(void);
/* Its modes as they were, for a process that is about to end. */
void tty_restore(void);

/* False: no terminal, or one that does not know (a serial line). */
bool tty_size(int fd, struct tty_size *size);

/*
 * Ctrl-A x quits, Ctrl-A h shows the keys, Ctrl-A Ctrl-A (or Ctrl-A a) sends Ctrl-A; Ctrl-A and anything else is eaten.
 * With several machines Ctrl-A n and Ctrl-A b change between them; on a machine's console Ctrl-A c changes to the monitor's prompt, and back.  All zeroes at first.
 */
struct tty_keys {
	bool escape; /* Ctrl-A was the last byte */
};
enum tty_key {
	TTY_KEY_TYPED, /* none of them: the byte is for the guest */
	TTY_KEY_EATEN,
	TTY_KEY_QUIT,
	TTY_KEY_HELP,
	TTY_KEY_NEXT,
	TTY_KEY_BACK,
	TTY_KEY_MONITOR,
};
/* The next byte, in place. */
enum tty_key tty_keys_next(struct tty_keys *k, uint8_t *byte);
/*
 * Take the monitor's keys out of buf[0..n).
 *
 * Returns  how many bytes are left for the guest, at the beginning of buf, and in *help whether the keys are to be shown; or
 *          -1: the user quits.
 */
long tty_keys_filter(struct tty_keys *k, uint8_t *buf, size_t n, bool *help);
extern const char tty_keys_help[];
extern const char tty_keys_help_monitor[]; /* behind it, where TTY_KEY_MONITOR is something */
extern const char tty_keys_help_several[]; /* behind it, where TTY_KEY_NEXT and TTY_KEY_BACK are something */

#endif
