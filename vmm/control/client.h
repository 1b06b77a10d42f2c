/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_CLIENT_H
#define VMM_CONTROL_CLIENT_H

/* The other end of a control socket. One thread at a time; every call may wait for the monitor, CLIENT_WAIT_S at most. */
#include <jansson.h>

#include "vmm/control/socket.h"

enum { CLIENT_WAIT_S = 10, CLIENT_GREETING_S = 4 };

struct control_client;

/*
 * name: of the socket. 0, or -errno: -ENOENT, -ECONNREFUSED: there is no such monitor; -ETIMEDOUT: it says nothing for
 * CLIENT_GREETING_S (it is stopped, or stuck).
 */
MUST_CHECK int control_client_find(struct control_client **out, const char *name);
/* The same, for one that is known to be there: it may take CLIENT_WAIT_S. */
MUST_CHECK int control_client_open(struct control_client **out, const char *name);
/* Its descriptor, which is a console's after x-console. */
int control_client_fd(const struct control_client *c);
/* NULL is fine. */
void control_client_close(struct control_client *c);
/*
 * machine  or NULL: all
 *
 * Returns  what the monitor returned, which is the caller's to free; or NULL with err filled: what it said, or that it is gone.
 */
json_t *control_client_call(struct control_client *c, const char *command, const char *machine,
			    struct control_error *err);
/* The same with arguments of any kind, which are taken; and of what takes time, wait_s seconds. */
json_t *control_client_ask(struct control_client *c, const char *command, json_t *arguments, unsigned wait_s,
			   struct control_error *err);

#endif
