/* SPDX-License-Identifier: MIT */
#ifndef VMM_STREAM_H
#define VMM_STREAM_H

/*
 * Bytes between descriptors of the host, which may be slow, and the vCPU thread, which must not wait for them: bounded
 * buffers with a thread behind each.  The descriptors stay the caller's and are not made non-blocking (they may be shared
 * with the user's shell).
 */
#include "base/panic.h"
#include "base/types.h"

#define STREAM_BYTES (256u << 10)

struct clock;
struct lines;

/* Who is to look at the streams again: the vCPU of the machine that runs now, if one does. */
struct wakeup;
MUST_CHECK int wakeup_new(struct wakeup **out);
void wakeup_free(struct wakeup *w);
/* The machine's clock, or NULL before it is freed. */
void wakeup_set(struct wakeup *w, struct clock *clock);
/* Any thread. */
void wakeup_kick(struct wakeup *w);

/* What comes from a descriptor. */
struct stream_in;
/*
 * held: nothing is read before stream_in_release().
 * 0 or -errno.
 */
MUST_CHECK int stream_in_open(struct stream_in **out, int fd, bool held, struct wakeup *w);
void stream_in_release(struct stream_in *s);
/* Stops the thread; what was read and not taken is lost. NULL is fine. */
void stream_in_close(struct stream_in *s);
/* The bytes that are there, as far as they are contiguous, until stream_in_take(). vCPU thread. */
size_t stream_in_peek(struct stream_in *s, const uint8_t **data);
void stream_in_take(struct stream_in *s, size_t n);
/* At its end (or unreadable), and all of it was taken. */
bool stream_in_ended(struct stream_in *s);

/* What goes to a descriptor. */
struct stream_out;
MUST_CHECK int stream_out_open(struct stream_out **out, int fd, struct wakeup *w);
/* The same for one that several machines write to, as lines with the name of this one. */
MUST_CHECK int stream_out_open_lines(struct stream_out **out, struct lines *lines, const char *name, struct wakeup *w);
/*
 * Stops the thread.  drain: first waits until all is written, as long as that takes; else what was not is lost.
 * NULL is fine.  Returns the last stream_out_error().
 */
int stream_out_close(struct stream_out *s, bool drain);
/* Take up to n bytes; returns how many. The vCPU is woken when there is room after it took less. vCPU thread. */
size_t stream_out_put(struct stream_out *s, const uint8_t *data, size_t n);
/* True once after stream_out_put() took less than it was given: there is room now. vCPU thread. */
bool stream_out_has_room(struct stream_out *s);
bool stream_out_empty(struct stream_out *s);
/* errno of the first write that failed, 0 if none did; what comes after that is dropped. */
int stream_out_error(struct stream_out *s);

#endif
