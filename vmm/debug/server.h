/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_SERVER_H
#define VMM_DEBUG_SERVER_H

/*
 * Where debuggers come: a socket of TCP or of Unix (--gdb), or a connection that somebody else has made (disco gdb).  One thread, one
 * debugger at a time; another one is sent away.  Of the loopback only this user's processes (and root's) are let in.
 */
#include "vmm/debug/machines.h"

struct debug_server;

/* --gdb, as it was written and taken apart. */
struct debug_address {
	const char *text; /* NULL: none */
	const char *path; /* of a Unix socket, in text; or */
	char host[64];    /* a name or an address, "": the loopback; and */
	uint16_t port;    /* 0: the system picks one */
};

struct debug_error {
	char text[256]; /* one line */
};

/* at: where to listen, or NULL. said: where that is, "127.0.0.1:1234".  0, or -errno with err filled. */
MUST_CHECK int debug_server_open(struct debug_server **out, const struct debug_machines *machines,
				 const struct debug_address *at, struct debug_error *err);
/* The debugger's machines go on.  NULL is fine. */
void debug_server_close(struct debug_server *s);
/* Where it listens, as gdb's `target remote` wants it. */
const char *debug_server_name(const struct debug_server *s);
/* fd is a debugger's, and the server's to close; machine: to begin with. False: there is another one, and fd stays the caller's. */
bool debug_server_visit(struct debug_server *s, int fd, unsigned machine);
/* There may be something new: debug.notify. Any thread. */
void debug_server_notify(void *server);

#endif
