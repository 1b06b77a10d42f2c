/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_QMP_H
#define VMM_CONTROL_QMP_H

/* QMP without its transport: requests to answers, and events. QEMU's docs/interop/qmp-spec.rst. */
#include <jansson.h>

#include "vmm/control/control.h"

/* One conversation. */
struct qmp {
	const struct control_ops *ops;
	bool open;   /* qmp_capabilities was there */
	bool leaves; /* x-console was, or x-gdb, and behind its answer this is no conversation any more, but */
	bool debugs; /* a debugger's, or the */
	char console[CONTROL_NAME_BYTES]; /* console of this machine */
	json_t *job;                      /* the request that is to be given to qmp_job(), and taken away from here */
};

/* All are the caller's to free (json_decref()); NULL: the host has no memory left. */
json_t *qmp_greeting(void);
/* A whole object as text, of n bytes. NULL and q->job: what that answers, later. */
json_t *qmp_answer(struct qmp *q, const char *text, size_t n);
/* May wait, and be on any thread. Frees the request. */
json_t *qmp_job(const struct control_ops *ops, json_t *request);
/* What is no object at all. */
json_t *qmp_bad_json(void);
json_t *qmp_event(enum control_event what, const char *machine, const char *reason);

/* What x-query-nodes answers. */
json_t *qmp_nodes(const struct control_nodes *c);

#endif
