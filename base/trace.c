/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_clock.h"

const struct trace_row trace_rows[NUM_TRACE_EVENTS] = {
#define F(name, format)                     {#name, TRACE_##format},
#define EVENT(id, name, kind, fields, help) {name, TRACE_##kind, {fields{0}}, help},
#include "base/trace.def"
};
_Static_assert(NUM_TRACE_EVENTS <= 64, "a bit each");

unsigned trace_row_fields(const struct trace_row *row)
{
	unsigned n = 0;

	while (row->field[n].name)
		n++;
	return n;
}

/*
 * Whoever puts never waits for who looks, and the other way round.  `begun` is ahead of `head` while an entry is written: who has
 * copied one looks afterwards whether it may have been.  All words are atomic, since both are at it at once.
 */
struct entry {
	uint64_t at_ns, event, field[TRACE_FIELDS];
};

struct trace_ring {
	struct trace_ring *next; /* guarded by trace.lock */
	const char *machine;
	int vcpu;
	uint64_t begun, head; /* atomic; entries since ever */
	uint64_t drained;     /* atomic: up to here. Written with trace.lock */
	struct entry entry[TRACE_RING];
};

struct text {
	struct text *next;
	char text[];
};

struct trace {
	uint64_t wants; /* atomic */
	uint64_t began_ns;
	void (*full)(void *opaque); /* atomic; NULL: nobody drains */
	void *opaque;

	pthread_mutex_t lock; /* guards what follows */
	struct trace_ring *rings;
	struct text *texts;
	struct trace_record *record; /* to be sorted */
	size_t room;
};

struct trace *trace_new(void)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->began_ns = host_now_ns();
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	ASSERT(!t->rings);
	while (t->texts) {
		struct text *x = t->texts;

		t->texts = x->next;
		free(x);
	}
	pthread_mutex_destroy(&t->lock);
	free(t->record);
	free(t);
}

const char *trace_text(struct trace *t, const char *text)
{
	struct text *x;

	if (!t)
		return "";
	pthread_mutex_lock(&t->lock);
	for (x = t->texts; x && strcmp(x->text, text) != 0; x = x->next)
		;
	if (!x && (x = malloc(sizeof(*x) + strlen(text) + 1)) != NULL) {
		strcpy(x->text, text);
		x->next = t->texts;
		t->texts = x;
	}
	pthread_mutex_unlock(&t->lock);
	return x ? x->text : "";
}

/* ---- what is wanted ---- */

uint64_t trace_match(const char *pattern)
{
	uint64_t events = 0;

	for (unsigned e = 0; e < NUM_TRACE_EVENTS; e++)
		if (fnmatch(pattern, trace_rows[e].name, 0) == 0)
			events |= 1ull << e;
	return events;
}

void trace_switch(struct trace *t, uint64_t events, bool on)
{
	if (on)
		__atomic_fetch_or(&t->wants, events, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&t->wants, ~events, __ATOMIC_RELAXED);
}

uint64_t trace_switched_on(const struct trace *t) { return __atomic_load_n(&t->wants, __ATOMIC_RELAXED); }

/* ---- events ---- */

void tracer_init(struct tracer *t, struct trace *trace, const char *machine, int vcpu)
{
	*t = (struct tracer){.trace = trace, .vcpu = vcpu, .wants = trace ? &trace->wants : NULL};
	t->machine = machine && trace ? trace_text(trace, machine) : NULL;
}

void tracer_share(struct tracer *t)
{
	t->shared = true;
	pthread_mutex_init(&t->lock, NULL);
}

void tracer_fini(struct tracer *t)
{
	struct trace *trace = t->trace;
	void (*full)(void *) = trace ? __atomic_load_n(&trace->full, __ATOMIC_ACQUIRE) : NULL;
	struct trace_ring **at;

	if (t->shared)
		pthread_mutex_destroy(&t->lock);
	if (t->ring) {
		if (full)
			full(trace->opaque);
		pthread_mutex_lock(&trace->lock);
		for (at = &trace->rings; *at != t->ring; at = &(*at)->next)
			;
		*at = t->ring->next;
		pthread_mutex_unlock(&trace->lock);
		free(t->ring);
	}
	*t = (struct tracer){0};
}

static struct trace_ring *ring_of(struct tracer *t)
{
	struct trace_ring *r;

	if (t->ring)
		return t->ring;
	r = calloc(1, sizeof(*r)); /* the host gives pages as they are used */
	if (!r)
		return NULL; /* nothing is seen of it, but it runs */
	r->machine = t->machine;
	r->vcpu = t->vcpu;
	pthread_mutex_lock(&t->trace->lock);
	r->next = t->trace->rings;
	t->trace->rings = r;
	pthread_mutex_unlock(&t->trace->lock);
	t->ring = r;
	return r;
}

static void write_entry(struct trace_ring *r, uint64_t n, uint64_t at_ns, enum trace_event e, const uint64_t *field,
			unsigned fields)
{
	struct entry *entry = &r->entry[n % TRACE_RING];

	__atomic_store_n(&r->begun, n + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->at_ns, at_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->event, (uint64_t)e, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < fields; i++)
		__atomic_store_n(&entry->field[i], field[i], __ATOMIC_RELEASE);
	__atomic_store_n(&r->head, n + 1, __ATOMIC_RELEASE);
}

static void put(struct tracer *t, enum trace_event e, const uint64_t *field, unsigned n)
{
	struct trace *trace = t->trace;
	struct trace_ring *r = ring_of(t);
	void (*full)(void *) = __atomic_load_n(&trace->full, __ATOMIC_ACQUIRE);

	if (!r)
		return;
	if (full && r->head - __atomic_load_n(&r->drained, __ATOMIC_ACQUIRE) >= TRACE_RING)
		full(trace->opaque);
	write_entry(r, r->head, t->now_ns ? t->now_ns(t->opaque) : host_now_ns() - trace->began_ns, e, field, n);
}

void trace_put(struct tracer *t, enum trace_event e, const uint64_t *field, unsigned n)
{
	if (t->shared)
		pthread_mutex_lock(&t->lock);
	put(t, e, field, n);
	if (t->shared)
		pthread_mutex_unlock(&t->lock);
}

/* ---- looking ---- */

static void read_entry(const struct trace_ring *r, uint64_t n, struct trace_record *out)
{
	const struct entry *entry = &r->entry[n % TRACE_RING];

	*out = (struct trace_record){.machine = r->machine, .vcpu = r->vcpu};
	out->at_ns = __atomic_load_n(&entry->at_ns, __ATOMIC_ACQUIRE);
	out->event = (enum trace_event)__atomic_load_n(&entry->event, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < TRACE_FIELDS; i++)
		out->field[i] = __atomic_load_n(&entry->field[i], __ATOMIC_ACQUIRE);
}

/* Room for n more behind `have`. */
static bool grow(struct trace *t, size_t have, size_t n)
{
	struct trace_record *more;

	if (have + n <= t->room)
		return true;
	more = realloc(t->record, (have + n) * sizeof(*more));
	if (!more)
		return false;
	t->record = more;
	t->room = have + n;
	return true;
}

/* Entries [from, to) of the ring behind `have` others, without those that are written meanwhile. Returns how many there are now. */
static size_t take(struct trace *t, const struct trace_ring *r, uint64_t from, uint64_t to, size_t have)
{
	size_t n = have;
	uint64_t begun, gone;

	if (!grow(t, have, to - from))
		return have;
	for (uint64_t i = from; i < to; i++)
		read_entry(r, i, &t->record[n++]);
	begun = __atomic_load_n(&r->begun, __ATOMIC_ACQUIRE);
	if (begun <= from + TRACE_RING)
		return n;
	gone = begun - TRACE_RING - from; /* the oldest may be others by now */
	if (gone > to - from)
		gone = to - from;
	memmove(&t->record[have], &t->record[have + gone], (n - have - gone) * sizeof(*t->record));
	return n - gone;
}

static int by_time(const void *a, const void *b)
{
	const struct trace_record *x = a, *y = b;

	return x->at_ns != y->at_ns ? (x->at_ns > y->at_ns ? 1 : -1) : 0;
}

void trace_keep_all(struct trace *t, void (*full)(void *opaque), void *opaque)
{
	t->opaque = opaque;
	__atomic_store_n(&t->full, full, __ATOMIC_RELEASE);
}

void trace_drain(struct trace *t, trace_show *show, void *opaque)
{
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	for (struct trace_ring *r = t->rings; r; r = r->next) {
		uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

		n = take(t, r, head > r->drained + TRACE_RING ? head - TRACE_RING : r->drained, head, n);
		__atomic_store_n(&r->drained, head, __ATOMIC_RELEASE);
	}
	if (n)
		qsort(t->record, n, sizeof(*t->record), by_time);
	for (size_t i = 0; i < n; i++)
		show(opaque, &t->record[i]);
	pthread_mutex_unlock(&t->lock);
}

static bool lock_for_a_second(struct trace *t)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	for (unsigned i = 0; i < 1000; i++) {
		if (pthread_mutex_trylock(&t->lock) == 0)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

bool trace_last(struct trace *t, const char *machine, unsigned most, trace_show *show, void *opaque)
{
	size_t n = 0;

	if (!lock_for_a_second(t))
		return false;
	for (struct trace_ring *r = t->rings; r; r = r->next) {
		uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE),
			 few = most < TRACE_RING ? most : TRACE_RING;

		if (machine && r->machine && strcmp(r->machine, machine) != 0)
			continue;
		n = take(t, r, head > few ? head - few : 0, head, n);
	}
	if (n)
		qsort(t->record, n, sizeof(*t->record), by_time);
	for (size_t i = n > most ? n - most : 0; i < n; i++)
		show(opaque, &t->record[i]);
	pthread_mutex_unlock(&t->lock);
	return true;
}
