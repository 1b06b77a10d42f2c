/* SPDX-License-Identifier: MIT */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

/*
 * Events of trace.def, as they happen: a binary ring for each vCPU, for the devices of each machine, and one for all other threads.
 *
 *   TRACE(tracer, NAME, fields...) ─► the tracer's ring ─► trace_drain(): a file, nothing is left out
 *                                                     └──► trace_last(): the last ones of all, at a panic or for who asks
 *
 * Off: a load and a branch that is not taken, in slow paths only; translated code has none.  On: 50 ns an event.
 * Without somebody who drains them, rings keep their last TRACE_RING events.
 */
#include <pthread.h>

#include "base/panic.h"
#include "base/types.h"

enum trace_event {
#define EVENT(id, ...) TRACE_##id,
#include "base/trace.def"
	NUM_TRACE_EVENTS
};

enum {
#define F(name, format)                     +1
#define EVENT(id, name, kind, fields, help) TRACE_FIELDS_##id = 0 fields,
#include "base/trace.def"
};

enum { TRACE_FIELDS = 6, TRACE_RING = 16384, TRACE_NAME_BYTES = 64 };

enum trace_kind { TRACE_POINT, TRACE_BEGIN, TRACE_END, TRACE_SPAN };
enum trace_format { TRACE_HEX, TRACE_NUMBER, TRACE_NS, TRACE_TEXT };

struct trace_row {
	const char *name;
	enum trace_kind kind;
	struct trace_field {
		const char *name; /* NULL behind the last */
		enum trace_format format;
	} field[TRACE_FIELDS + 1];
	const char *help;
};
extern const struct trace_row trace_rows[NUM_TRACE_EVENTS];
/* How many fields it has. */
unsigned trace_row_fields(const struct trace_row *row);

struct trace;
struct trace_ring;

/* Where events come from.  One thread at a time, unless it is shared.  All zeroes: none are wanted. */
struct tracer {
	const uint64_t *wants; /* atomic bits by enum trace_event */
	struct trace *trace;
	struct trace_ring *ring; /* from the first event on */
	const char *machine;     /* NULL: of none */
	int vcpu;                /* -1: its devices, or other threads */
	bool shared;
	pthread_mutex_t lock; /* if it is shared */
	/* Time of the events, since power-on; NULL: the host's, since trace_new(). */
	uint64_t (*now_ns)(void *opaque);
	void *opaque;
};

/* ---- for those who have something to tell ---- */
static inline bool trace_wants(const struct tracer *t, enum trace_event e)
{
	return __builtin_expect(t && t->wants && __atomic_load_n(t->wants, __ATOMIC_RELAXED) >> e & 1, 0);
}
void trace_put(struct tracer *t, enum trace_event e, const uint64_t *field, unsigned n);

/* Fields in the order of the row, as numbers; TEXT by TRACE_STRING(). They are evaluated only if the event is wanted. */
#define TRACE(t, id, ...)                                                                                              \
	do {                                                                                                           \
		if (trace_wants(t, TRACE_##id)) {                                                                      \
			const uint64_t trace_fields_[] = {__VA_ARGS__};                                                \
			_Static_assert(sizeof(trace_fields_) == TRACE_FIELDS_##id * sizeof(uint64_t),                  \
				       "as many fields as the row has");                                               \
			trace_put(t, TRACE_##id, trace_fields_, TRACE_FIELDS_##id);                                    \
		}                                                                                                      \
	} while (0)
#define TRACE_STRING(s) ((uint64_t)(uintptr_t)(s))

/* ---- of a process ---- */
/* NULL: the host has no memory left. */
struct trace *trace_new(void);
/* Nobody has a tracer of it any more. NULL is fine. */
void trace_free(struct trace *t);
/* trace NULL: nothing is ever wanted.  machine: copied; NULL, vcpu -1: no machine's. Any thread. */
void tracer_init(struct tracer *t, struct trace *trace, const char *machine, int vcpu);
/* More than one thread at a time has it. */
void tracer_share(struct tracer *t);
/* Its events go, once they are drained. Any thread. */
void tracer_fini(struct tracer *t);
/* A copy that lives as long as trace; the same text, the same pointer. "" without a trace, or if the host has no memory left. */
const char *trace_text(struct trace *trace, const char *text);

/* Events whose names fit the glob pattern, as bits; 0: none. */
uint64_t trace_match(const char *pattern);
/* Any thread; others see it soon. */
void trace_switch(struct trace *t, uint64_t events, bool on);
uint64_t trace_switched_on(const struct trace *t);

/* ---- for those who show it ---- */
struct trace_record {
	uint64_t at_ns;
	enum trace_event event;
	int vcpu;
	const char *machine;
	uint64_t field[TRACE_FIELDS];
};
typedef void trace_show(void *opaque, const struct trace_record *r);

/*
 * From here on events wait in their rings until they are drained; full(opaque), which does that, is called by whoever finds his ring
 * full.  Before the first event. fn NULL: the last ones are kept from here on, and none waits.
 */
void trace_keep_all(struct trace *t, void (*full)(void *opaque), void *opaque);
/* What has come since the last call, by time.  One at a time; show() may not call in here.  Any thread. */
void trace_drain(struct trace *t, trace_show *show, void *opaque);
/*
 * The last ones, at most `most`, drained or not; machine: only its own, and no machine's; NULL: all.  Any thread; events go on.  False:
 * somebody has been draining for a second, and perhaps waits for who reads that.
 */
bool trace_last(struct trace *t, const char *machine, unsigned most, trace_show *show, void *opaque);

#endif
