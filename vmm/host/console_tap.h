/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONSOLE_TAP_H
#define VMM_CONSOLE_TAP_H

/*
 * A console as others see it who come and go (disco console): the last TAP_BYTES of what the guest prints, from which each is
 * told in his own time, and what they type.  Who does not read misses what is older than that; the guest never waits.  A thread
 * moves the bytes, from the first visitor on.
 */
#include "base/panic.h"
#include "base/types.h"

enum { TAP_BYTES = 64 << 10, TAP_VISITORS = 4 };

struct console_tap;
struct wakeup;

MUST_CHECK int console_tap_new(struct console_tap **out, struct wakeup *w);
/* Tells visitors what they can be told at once, and shows them out. NULL is fine. */
void console_tap_free(struct console_tap *t);
/* fd: a socket, which is the tap's from here on. 0, or -errno (-EBUSY: TAP_VISITORS are there), and fd is the caller's. Any thread. */
MUST_CHECK int console_tap_visit(struct console_tap *t, int fd);
/* What the guest prints. vCPU thread. Cost: a lock, a copy. */
void console_tap_put(struct console_tap *t, const uint8_t *data, size_t n);
/* What visitors have typed. vCPU thread. Cost: a load if nothing was. */
size_t console_tap_get(struct console_tap *t, uint8_t *data, size_t n);

#endif
