/* SPDX-License-Identifier: MIT */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

/*
 * --terminal: a further terminal of the guest's (hvc0, hvc1, ...), on a pseudo-terminal of the host or behind a Unix socket
 * that takes one connection at a time.  What the guest writes while nobody is connected is lost, as on a serial line.
 */
#include "base/panic.h"
#include "base/types.h"

struct terminal;
struct wakeup;

/*
 * path: of the socket, or NULL for a pseudo-terminal, whose name is said on standard error, behind `speaker`.  A socket that nobody listens
 * on any more is replaced.
 * 0, or -errno (-EADDRINUSE: somebody listens there, -EEXIST: there is a file of that name that is no socket).
 */
MUST_CHECK int terminal_open(struct terminal **out, const char *path, struct wakeup *w, const char *speaker);
/* Removes the socket. NULL is fine. */
void terminal_close(struct terminal *t);

/* All below: vCPU thread. Output that there is no room for waits if somebody is connected, else all of it is taken. */
size_t terminal_put(struct terminal *t, const uint8_t *data, size_t n);
/* True once after terminal_put() took less than it was given, and could take more now. */
bool terminal_has_room(struct terminal *t);
/* Input. */
size_t terminal_get(struct terminal *t, uint8_t *data, size_t n);

#endif
