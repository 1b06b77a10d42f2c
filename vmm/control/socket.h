/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_SOCKET_H
#define VMM_CONTROL_SOCKET_H

/*
 * Where control sockets are: $XDG_RUNTIME_DIR/disco/NAME.sock; without that variable /tmp/disco-UID/NAME.sock.  The folder is the
 * user's alone (mode 0700, owner checked), so that nobody else can even ask; who connects is asked for his credentials too.
 */
#include <stddef.h>

#include "base/panic.h"
#include "base/types.h"

/* Names of those that got none: this and the number of their process. */
#define CONTROL_RUN_PREFIX "run-"

struct control_error {
	char text[512]; /* one line without "disco: " */
};

/* A socket's whole path. */
struct control_path {
	char text[108]; /* sun_path */
};

/* 0, or -errno with err filled. make: the folder is made if it is not there; else -ENOENT without a word. */
MUST_CHECK int control_folder(char *out, size_t bytes, bool make, struct control_error *err);
/*
 * Listen at NAME.  Sockets of processes that are gone are removed: CONTROL_RUN_PREFIX.  A socket that nobody listens at any more, which a killed process leaves behind, is taken over.
 * Returns  a descriptor (non-blocking, close-on-exec), or -errno with err filled: -EADDRINUSE: somebody has that name.
 */
MUST_CHECK int control_listen(const char *name, struct control_path *path, struct control_error *err);
/* Of a live monitor's. A descriptor (blocking), or -errno: -ECONNREFUSED, -ENOENT: there is none of that name. */
MUST_CHECK int control_connect(const char *name);
/* The other end is the same user, or root. */
bool control_peer_is_mine(int fd);
/* Calls fn with each name there is a socket of, alive or not, in no order. */
void control_each_name(void (*fn)(void *opaque, const char *name), void *opaque);

#endif
