/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_STUB_INTERNAL_H
#define VMM_DEBUG_STUB_INTERNAL_H

/*
 * Private to the stub:
 *
 *   stub.c         packets in and out; which is which
 *   stub_run.c     attaching, stopping, going on, and what is said of a stop
 *   stub_query.c   q packets
 *   stub_state.c   registers, memory, points
 */
#include "vmm/debug/packet.h"
#include "vmm/debug/stub.h"

enum { STUB_MAX_MACHINES = 64, STUB_MAX_UNSENT = 4 << 20 };

enum stub_state { STUB_STOPPING, STUB_STOPPED, STUB_RUNNING };

/* A vCPU. 0: none, as a process; or any, as gdb's 0. */
struct stub_thread {
	unsigned machine, vcpu;
};

enum { STUB_ALL = UINT32_MAX }; /* of a stub_thread: gdb's -1 */

struct stub {
	struct debug_machines machines;
	enum stub_state state;
	bool over, no_ack, multiprocess, reports_breaks;
	bool extended;
	bool reply_due;   /* when all are at rest, gdb waits to hear why */
	bool interrupted; /* it was its own wish */
	bool waits;       /* a packet, for that */
	unsigned n;       /* machines that are attached: */
	unsigned machine[STUB_MAX_MACHINES];
	struct stub_thread now; /* that registers, memory and what stops are about */
	unsigned listed;        /* qsThreadInfo: how many vCPUs have been */
	char *xml;

	char *out; /* that has not been sent */
	size_t out_bytes, out_room;
	char answer[2 * PACKET_BYTES + 8]; /* to the packet */
	size_t answer_bytes;
	char last[4 * PACKET_BYTES + 32]; /* as it was framed, for who wants it again */
	size_t last_bytes;
	struct packet in;
};

/* ---- stub.c ---- */
/* Append to the answer. */
void stub_put(struct stub *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void stub_put_hex(struct stub *s, const void *data, size_t n);
/* Bytes as they are. */
void stub_put_bytes(struct stub *s, const void *data, size_t n);
/* Send the answer, which is empty then. */
void stub_say(struct stub *s);
/* "p1.2", "p1", "1", "-1", "0" from *at on. False: none. */
bool stub_read_thread(const struct stub *s, const char **at, struct stub_thread *t);
/* As gdb has it in this conversation. */
void stub_put_thread(struct stub *s, struct stub_thread t);

/* The machine of s->now, and its vCPU. False, with an answer: there is none. leave() behind it. */
bool stub_enter(struct stub *s, struct debug_machine *m, struct vcpu **v);
void stub_leave(struct stub *s, const struct debug_machine *m);

/* ---- stub_run.c ---- */
/* Attach it, and have it come to rest. */
bool stub_attach(struct stub *s, unsigned number);
void stub_detach(struct stub *s, unsigned number);
bool stub_has(const struct stub *s, unsigned number);
/* All come to rest. */
void stub_stop(struct stub *s);
/* Have they, or has one stopped? */
void stub_look_at_machines(struct stub *s);
/* vCont behind its name, with ';' in front. False: it is none that is understood; nothing has changed. */
bool stub_vcont(struct stub *s, const char *actions);
/* "bs", "bc": back by a step, or to what stops it. False, with an answer: it cannot. */
bool stub_go_back(struct stub *s, bool step);
/* Put what is to be said of why s->now stopped. */
void stub_put_stop(struct stub *s);

/* ---- stub_query.c, stub_state.c: False: not theirs ---- */
bool stub_query(struct stub *s, const char *text);
bool stub_access(struct stub *s, const char *text, size_t n);
/* Its value. From debug_act(), or where the vCPU is at rest. */
void stub_put_register(struct stub *s, struct vcpu *v, unsigned n);

#endif
