/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_QMP_H
#define VMM_CONTROL_QMP_H

/* QMP without its transport: requests to answers, and events. QEMU's docs/interop/qmp-spec.rst. */
#include <jansson.h>

#include "vmm/control/control.h"

/* One conversation. */
struct qmp {
	const struct control_ops *ops;
	bool open;        /* qmp_capabilities was there */
	bool leaves;      /* x-console was, and behind its answer this is no conversation any more, but */
	unsigned console; /* the console of this machine */
};

/* All are the caller's to free (json_decref()); NULL: the host has no memory left. */
json_t *qmp_greeting(void);
/* A whole object as text, of n bytes. */
json_t *qmp_answer(struct qmp *q, const char *text, size_t n);
/* What is no object at all. */
json_t *qmp_bad_json(void);
json_t *qmp_event(enum control_event what, const char *machine, const char *reason);

#endif
