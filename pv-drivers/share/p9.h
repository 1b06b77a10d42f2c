/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_P9_H
#define PV_DRIVERS_P9_H

/*
 * A 9P2000.L server for one directory of the host, without its transport.
 * Source: the 9P2000.L description of the diod project (protocol.md); intro(5) of Plan 9 for what .L keeps of 9P2000.
 *
 * The guest is hostile and must never leave the directory, see p9_host.c.  Messages are read from and written to guest
 * memory that the guest may change meanwhile: everything but the data of Twrite and Rread is copied once, and then parsed.
 *
 * All functions of one server: one thread at a time, any thread.
 */
#include <sys/uio.h>

#include "base/panic.h"
#include "base/types.h"

enum {
	P9_MIN_MSIZE = 4096,
	P9_MAX_MSIZE = 1 << 20,
	P9_MAX_FIDS = 65536,
	P9_MAX_NODES = 131072, /* files and directories that fids name, and the directories above them */
	P9_MIN_FDS = 32,       /* one message uses up to 18 */
	P9_MAX_FDS = 8192,     /* and no more than a sixteenth of the open files that the process may have, */
	P9_FEW_FDS = 512,      /* or where that is less than these, a quarter: eight shares leave room for the rest */
	P9_MAX_VALUE_BYTES = 16 << 20, /* attributes' values that are held in memory */
};

struct p9_server;

/*
 * Raises the process's soft limit of open files to the hard one: it holds descriptors for the guest.
 * Returns 0; -ENOENT, -ENOTDIR, -EACCES ... of the directory; -ENOMEM.
 */
MUST_CHECK int p9_server_new(struct p9_server **out, const char *dir, bool read_only);
/* NULL is fine. */
void p9_server_free(struct p9_server *s);
/* The session is over: all fids are gone. */
void p9_server_reset(struct p9_server *s);
/*
 * Answer the message in from, into to; blocks as long as the host's file system does.
 * Returns the bytes of the reply, from the start of to on; 0 if the message has no tag or there is no room for an error.
 */
uint32_t p9_serve(struct p9_server *s, const struct iovec *from, unsigned n_from, const struct iovec *to,
		  unsigned n_to);
/*
 * The same where nothing has to be waited for: metadata and data that the host has in memory, of a local file system.
 * Returns false if there may be, and nothing has been done; then p9_serve() is the one to call.  It is worth it: the way
 * to another thread and back takes several times as long as most messages do.
 */
bool p9_serve_now(struct p9_server *s, const struct iovec *from, unsigned n_from, const struct iovec *to, unsigned n_to,
		  uint32_t *reply_bytes);

/* A message's tag and type, and of a Tflush the tag that it means. */
struct p9_header {
	uint8_t type;
	uint16_t tag;
	bool is_flush;
	uint16_t old_tag;
};
/* False if there is not even a header. */
bool p9_peek(const struct iovec *from, unsigned n_from, struct p9_header *h);

#endif
