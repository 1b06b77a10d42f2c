/* SPDX-License-Identifier: MIT */
#include "vmm/replay/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/board/board.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/vm.h"

struct history {
	struct journal j;
	size_t next; /* events before it have been heard in this boot, or an earlier one */
	unsigned n_ports;
	struct history_port port[HISTORY_MAX_PORTS];
	uint8_t *frame;     /* the port's number, and a frame */
	bool closed;        /* history_is_closed() */
	bool diverged;      /* this is another run */
	bool out_of_memory; /* something was heard that could not be noted */
};

int history_new(struct history **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

int history_free(struct history *h)
{
	int lost = h ? journal_close(&h->j) : 0;

	if (h && h->out_of_memory)
		lost = lost ? lost : ENOMEM;
	if (h)
		free(h->frame);
	free(h);
	return lost;
}

int history_record(struct history *h, const char *path, const char *header, struct journal_error *err)
{
	return journal_create(&h->j, path, header, err);
}

int history_replay(struct history *h, const char *path, const char *header, struct journal_error *err)
{
	h->closed = true;
	return journal_load(&h->j, path, header, err);
}

bool history_is_closed(const struct history *h) { return h->closed; }

int history_add_port(struct history *h, const struct history_port *port)
{
	uint8_t *frame = realloc(h->frame, sizeof(uint32_t) + port->most_bytes);

	ASSERT(h->n_ports < HISTORY_MAX_PORTS && sizeof(uint32_t) + port->most_bytes <= JOURNAL_MAX_BYTES);
	if (!frame)
		return -ENOMEM;
	h->frame = frame;
	h->port[h->n_ports++] = *port;
	return 0;
}

/* ---- moments ---- */

struct journal_place history_place(const struct vcpu *v)
{
	struct journal_place p = {.ns = clock_now_ns(v->vm->clock)};

	for (unsigned i = 0; i < ARRAY_LEN(v->stats.exceptions); i++)
		p.exceptions += v->stats.exceptions[i];
	return p;
}

static bool same(struct journal_place a, struct journal_place b)
{
	return a.ns == b.ns && a.exceptions == b.exceptions;
}

static bool is_before(struct journal_place a, struct journal_place b)
{
	return a.ns != b.ns ? a.ns < b.ns : a.exceptions < b.exceptions;
}

static void on_event(void *arg) { (void)arg; } /* that the slice has ended there is all */

/* The slice is to end where the next event is. */
static void await_next(struct history *h, struct vm *vm)
{
	const struct clock_ops clock = clock_as_ops(vm->clock);
	bool more = h->next < h->j.n && h->j.event[h->next].kind != JOURNAL_BOOT;

	device_alarm(&clock, more ? h->j.event[h->next].at.ns : DEVICE_NO_ALARM, on_event, h);
}

/* ---- what is heard ---- */

static void note(struct history *h, const struct vcpu *v, enum journal_kind kind, const void *data, uint32_t bytes)
{
	struct journal_event e = {.kind = kind, .at = history_place(v), .pc = (uint32_t)v->gs.pc, .bytes = bytes};

	if (journal_add(&h->j, &e, data))
		h->out_of_memory = true;
	h->next = h->j.n;
}

int history_boot(struct history *h, struct vm *vm)
{
	vm->replay = h;
	if (h->closed && (h->next == h->j.n || h->j.event[h->next].kind != JOURNAL_BOOT))
		return -EINVAL;
	if (h->closed)
		h->next++;
	else
		note(h, vm->vcpu, JOURNAL_BOOT, NULL, 0);
	await_next(h, vm);
	return h->out_of_memory ? -ENOMEM : 0;
}

void history_heard_console(struct history *h, struct vcpu *v, const uint8_t *data, size_t n)
{
	note(h, v, JOURNAL_CONSOLE, data, (uint32_t)n);
}

/* Frames that have come meanwhile, some at a time.  Their cards look after them at once: later would be at another instruction each time. */
static void hear_frames(struct history *h, struct vcpu *v)
{
	enum { MOST = 64 };
	bool any = false;
	size_t bytes;

	for (uint32_t p = 0; p < h->n_ports; p++) {
		const struct history_port *port = &h->port[p];

		memcpy(h->frame, &p, sizeof(p));
		for (unsigned i = 0; i < MOST && (bytes = port->take(port->opaque, h->frame + sizeof(p))); i++) {
			note(h, v, JOURNAL_FRAME, h->frame, (uint32_t)(sizeof(p) + bytes));
			any = true;
		}
	}
	if (any)
		virtio_bus_poll(v->vm);
}

static bool hear_frame(struct history *h, const uint8_t *data, size_t bytes)
{
	uint32_t p = h->n_ports;

	if (bytes >= sizeof(p))
		memcpy(&p, data, sizeof(p));
	return p < h->n_ports && h->port[p].put(h->port[p].opaque, data + sizeof(p), bytes - sizeof(p));
}

static void diverge(struct history *h, struct vcpu *v)
{
	h->diverged = true;
	vm_end(v->vm, VM_QUIT);
}

/* False: it cannot be heard like this. */
static bool hear(struct history *h, struct vcpu *v, const struct journal_event *e)
{
	const uint8_t *data = journal_data(&h->j, e);
	struct journal_end end;

	if (e->pc != (uint32_t)v->gs.pc)
		return false;
	switch (e->kind) {
	case JOURNAL_CONSOLE:
		return board_console_rx(v->vm->board, data, e->bytes) == e->bytes;
	case JOURNAL_FRAME:
		return hear_frame(h, data, e->bytes);
	case JOURNAL_END:
		memcpy(&end, data, sizeof(end));
		if (end.outside)
			vm_end(v->vm, (enum vm_end)end.why);
		return end.outside;
	default:
		return false;
	}
}

/* How its run ended by itself: that comes by itself. */
static bool ends_by_itself(const struct history *h, const struct journal_event *e)
{
	struct journal_end end;

	if (e->kind != JOURNAL_END)
		return false;
	memcpy(&end, journal_data(&h->j, e), sizeof(end));
	return !end.outside;
}

/* What was heard at this moment. True: frames were among it. */
static bool hear_again(struct history *h, struct vcpu *v)
{
	struct journal_place now = history_place(v);
	bool frames = false;

	while (h->next < h->j.n && !h->diverged) {
		const struct journal_event *e = &h->j.event[h->next];

		if (same(e->at, now) && ends_by_itself(h, e))
			break;
		if (is_before(e->at, now) || (same(e->at, now) && !hear(h, v, e))) {
			diverge(h, v);
			break;
		}
		if (!same(e->at, now)) {
			if (e->at.ns == now.ns) /* behind an exception, that is about to be taken */
				__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
			break;
		}
		if (e->kind == JOURNAL_END) /* history_end() looks at it */
			break;
		frames |= e->kind == JOURNAL_FRAME;
		h->next++;
	}
	return frames;
}

void history_service(struct history *h, struct vcpu *v)
{
	size_t was = h->next;

	if (hear_again(h, v))
		virtio_bus_poll(v->vm);
	if (h->next != was)
		await_next(h, v->vm);
	if (h->next == h->j.n && !h->closed)
		hear_frames(h, v);
}

bool history_waits_here(const struct history *h, const struct vcpu *v)
{
	return h->next < h->j.n && h->j.event[h->next].at.ns == clock_now_ns(v->vm->clock);
}

/* ---- going back ---- */

size_t history_heard(const struct history *h) { return h->next; }

void history_go_back(struct history *h, struct vm *vm, size_t heard)
{
	h->next = heard;
	h->diverged = false;
	await_next(h, vm);
}

void history_cut(struct history *h, struct vm *vm)
{
	h->j.n = h->next;
	h->closed = false;
	await_next(h, vm);
}

/* ---- the end ---- */

static bool is_as_recorded(struct history *h, const struct vm *vm, const struct journal_end *end, const char **why)
{
	const struct journal_event *e = &h->j.event[h->next];
	struct journal_end was;

	*why = "this run is not the recorded one: it came to where something was heard in another state";
	if (h->diverged)
		return false;
	*why = "left before the end of the recording";
	if (end->why == VM_QUIT &&
	    (h->next == h->j.n || e->kind != JOURNAL_END || !same(e->at, history_place(vm->vcpu))))
		return false;
	*why = "this run is not the recorded one: it ended at another moment, or in another way";
	if (h->next == h->j.n || e->kind != JOURNAL_END)
		return false;
	memcpy(&was, journal_data(&h->j, e), sizeof(was));
	if (!same(e->at, history_place(vm->vcpu)) || was.why != end->why || was.insns != end->insns)
		return false;
	*why = "this run is not the recorded one: registers or memory are others at its end";
	return was.state == end->state;
}

bool history_end(struct history *h, struct vm *vm, struct journal_end end, const char **why)
{
	bool good = true;

	if (h->closed)
		good = is_as_recorded(h, vm, &end, why);
	else
		note(h, vm->vcpu, JOURNAL_END, &end, sizeof(end));
	if (h->closed)
		h->next += good;
	return good;
}
