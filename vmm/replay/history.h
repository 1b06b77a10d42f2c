/* SPDX-License-Identifier: MIT */
#ifndef VMM_REPLAY_HISTORY_H
#define VMM_REPLAY_HISTORY_H

/*
 * The outside of a repeatable machine (--icount, one vCPU): what it hears is noted with the moment, and can be told to it again at that moment.
 * All else follows from the machine itself.
 *
 *     host ──► console_input() ──► board            live: noted in the journal, and written to --record's file
 *                    ▲
 *     journal ───────┘                              again: an alarm ends the slice at the moment of the next event
 *
 * Outlives the boots of its machine.  By whoever runs the vCPU, under the machine's lock, unless it says something else.
 */
#include "vmm/replay/journal.h"

struct history;
struct vcpu;
struct vm;

MUST_CHECK int history_new(struct history **out);
/* errno of a recording that could not be written, or 0.  NULL is fine. */
int history_free(struct history *h);
/* What is heard goes to a new file. */
MUST_CHECK int history_record(struct history *h, const char *path, const char *header, struct journal_error *err);
/* All that is heard comes from the file. */
MUST_CHECK int history_replay(struct history *h, const char *path, const char *header, struct journal_error *err);

/* Where frames come from, or go to when they are heard again: net_tape_take(), net_tape_put(). */
enum { HISTORY_MAX_PORTS = 4 };
struct history_port {
	size_t (*take)(void *opaque, uint8_t *frame);
	bool (*put)(void *opaque, const uint8_t *frame, size_t bytes);
	void *opaque;
	size_t most_bytes;
};
/* Before the first boot; the n-th is that of the n-th card. 0 or -ENOMEM. */
MUST_CHECK int history_add_port(struct history *h, const struct history_port *port);

/* The machine is about to run, for the first time or again; it is not yet.  0 or -ENOMEM, or -EINVAL: of a replay, that has ended here. */
MUST_CHECK int history_boot(struct history *h, struct vm *vm);
/* Nothing is heard from outside: it was recorded what is. */
bool history_is_closed(const struct history *h);
/* The vCPU looks after its devices: what it heard at this moment it hears now. */
void history_service(struct history *h, struct vcpu *v);
/* The console's UART has taken these bytes. */
void history_heard_console(struct history *h, struct vcpu *v, const uint8_t *data, size_t n);
/* An exception was delivered, and the next event comes before anything else is executed. */
bool history_waits_here(const struct history *h, const struct vcpu *v);

/* ---- for who goes back (reverse.h) ---- */
/* Where the vCPU is; between two instructions. */
struct journal_place history_place(const struct vcpu *v);
/* How much of it was heard. */
size_t history_heard(const struct history *h);
/* Only so much of it was heard, and the machine is as it was then. */
void history_go_back(struct history *h, struct vm *vm, size_t heard);
/* What was not heard yet is not going to be: somebody has changed the machine, and a replay is none any more. */
void history_cut(struct history *h, struct vm *vm);

/* The machine has ended, and does not run any more.  Of a replay, false: this is not how it ended, *why says what is. */
bool history_end(struct history *h, struct vm *vm, struct journal_end end, const char **why);

#endif
