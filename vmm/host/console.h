/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

/*
 * The guest's console on the user's: a terminal in raw mode, where Ctrl-A is the monitor's key, or pipes and files,
 * where every byte is the guest's.  The terminal is given back as vmm/host/tty.h says, and by panic(); only one console
 * that is a terminal can be open at a time.
 */
#include "base/panic.h"
#include "base/types.h"

struct console;

/* Besides a count: the user quit (Ctrl-A x). */
#define CONSOLE_QUIT (-1)

/*
 * in_fd, out_fd  stay the caller's; in_fd -1 is a console without input
 *
 * Returns  0, -ENOMEM, -EBUSY (a terminal is open already), -errno of the terminal.
 * Context  opened and closed on one thread (panic()'s hook is that thread's); one thread may write and another read.
 */
MUST_CHECK int console_open(struct console **out, int in_fd, int out_fd);

/* Where the output of a console goes that has no descriptor of its own: one of several machines. */
struct console_sink {
	/* All of it; may wait. errno if it was lost, else 0. One thread at a time. */
	int (*write)(void *opaque, const uint8_t *data, size_t n);
	void (*stop)(void *opaque); /* console_stop(). Any thread. */
	void (*close)(void *opaque);
	void *opaque;
};
/* in_fd: closed with it; without keys of the monitor's. -1: no input. 0 or -errno. */
MUST_CHECK int console_open_sink(struct console **out, int in_fd, const struct console_sink *sink);
/* Flush, restore the terminal, free. NULL is fine. Returns errno of the first output that was lost, or 0. */
int console_close(struct console *c);

/* Ctrl-A c is disco monitor's prompt for this machine, "MONITOR/MACHINE"; before any input is read. Copied. */
void console_offer_prompt(struct console *c, const char *machine);

/*
 * Guest output.  Kept until a line ends, 4096 bytes are there, or the oldest of it is 5 ms old when more comes; so call
 * console_flush() whenever the guest goes idle, and now and then (a prompt has no line end).  Cost: a copy and, for
 * the age, a clock read; a system call per line.  Output that the host refuses (disk full, reader gone) is dropped, see
 * console_close().
 */
void console_write(struct console *c, const uint8_t *data, size_t n);
void console_flush(struct console *c);
/* From here on output that nobody takes is dropped instead of waited for; who waits already, drops after a signal. Any thread. */
void console_stop(struct console *c);

/* Write all of it, waiting if the other side is slow, until *stop (atomic); give up on an error, which it returns. */
int console_write_all(int fd, const bool *stop, const void *data, size_t n);

/* To poll for input; -1 when there will be no more (end of file). */
int console_fd(const struct console *c);
/*
 * Input for the guest, without waiting: 0 when there is none now, or none any more (then console_fd() is -1), or
 * CONSOLE_QUIT (input before it in the same read is dropped: the machine is going away).  n > 0.
 * On a terminal the keys of tty_keys_filter() are the monitor's.
 */
long console_read(struct console *c, uint8_t *buf, size_t n);

#endif
