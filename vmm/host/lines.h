/* SPDX-License-Identifier: MIT */
#ifndef VMM_LINES_H
#define VMM_LINES_H

/*
 * The output of several machines on one descriptor: whole lines, each with the name of who wrote it in front ("vm3| ").
 * A bounded buffer with a thread behind it, which alone writes to the descriptor, at most 4096 bytes of whole lines at once:
 * a pipe takes those in one piece.  A line of more than LINES_MAX_BYTES is broken.
 */
#include <sys/types.h>

#include "base/panic.h"
#include "base/types.h"

enum { LINES_MAX_BYTES = 16384 };

struct lines;
struct lines_port;

/* fd stays the caller's. 0 or -errno. */
MUST_CHECK int lines_open(struct lines **out, int fd);
/*
 * All ports are closed.  drain: first waits until all is written, as long as that takes; else what was not is lost.  NULL is
 * fine.  Returns the last lines_error().
 */
int lines_close(struct lines *l, bool drain);
/* All that was put is written, or lost. Any thread. */
bool lines_empty(struct lines *l);
/* errno of the first write that failed, 0 if none did; what comes after that is dropped. Any thread. */
int lines_error(struct lines *l);

/* One writer, of one thread at a time. 0 or -ENOMEM. */
MUST_CHECK int lines_port_open(struct lines_port **out, struct lines *l, const char *name);
/* A last line without an end gets one. */
void lines_port_close(struct lines_port *p);
/* Keeps what is no whole line yet. Waits for room, until somebody says lines_port_stop(). */
void lines_put(struct lines_port *p, const uint8_t *data, size_t n);
/* From here on what there is no room for is dropped instead of waited for. Any thread. */
void lines_port_stop(struct lines_port *p);
/* All whole lines of this port are written, or lost. Any thread. */
bool lines_port_written(struct lines_port *p);

/* write() that waits, and where the thread may be cancelled: for threads that only write, with nothing held. errno. */
ssize_t host_write_waiting(int fd, const void *from, size_t n);

#endif
