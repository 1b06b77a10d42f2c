/* SPDX-License-Identifier: MIT */
#include "vmm/debug/stub_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/debug/registers.h"
#include "vmm/monitor/vm.h"

/* ---- what is said ---- */

static void send_bytes(struct stub *s, const char *data, size_t n)
{
	size_t room = s->out_room ? s->out_room : 4096;
	char *more = s->out;

	if (s->out_bytes + n > STUB_MAX_UNSENT)
		s->over = true;
	if (s->over)
		return;
	while (room < s->out_bytes + n)
		room *= 2;
	if (room != s->out_room)
		more = realloc(s->out, room);
	s->over = !more;
	if (!more)
		return;
	s->out = more;
	s->out_room = room;
	memcpy(s->out + s->out_bytes, data, n);
	s->out_bytes += n;
}

void stub_put_bytes(struct stub *s, const void *data, size_t n)
{
	if (n > sizeof(s->answer) - s->answer_bytes)
		n = sizeof(s->answer) - s->answer_bytes;
	memcpy(s->answer + s->answer_bytes, data, n);
	s->answer_bytes += n;
}

void stub_put(struct stub *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	stub_put_bytes(s, text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void stub_put_hex(struct stub *s, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		stub_put(s, "%02x", p[i]);
}

void stub_say(struct stub *s)
{
	s->last_bytes = packet_frame(s->answer, s->answer_bytes, s->last);
	s->answer_bytes = 0;
	send_bytes(s, s->last, s->last_bytes);
}

/* ---- threads ---- */

static bool read_id(const char **at, unsigned *id)
{
	uint64_t n;

	if (strncmp(*at, "-1", 2) == 0) {
		*at += 2;
		*id = (unsigned)STUB_ALL;
		return true;
	}
	if (!packet_hex(at, &n) || n >= STUB_ALL)
		return false;
	*id = (unsigned)n;
	return true;
}

bool stub_read_thread(const struct stub *s, const char **at, struct stub_thread *t)
{
	*t = s->now;
	if (**at != 'p') {
		if (!read_id(at, &t->vcpu))
			return false;
		if (t->vcpu == (unsigned)STUB_ALL)
			t->machine = (unsigned)STUB_ALL;
		return true;
	}
	(*at)++;
	t->vcpu = (unsigned)STUB_ALL;
	if (!read_id(at, &t->machine))
		return false;
	if (**at != '.')
		return true;
	(*at)++;
	return read_id(at, &t->vcpu);
}

void stub_put_thread(struct stub *s, struct stub_thread t)
{
	if (s->multiprocess)
		stub_put(s, "p%x.%x", t.machine, t.vcpu);
	else
		stub_put(s, "%x", t.vcpu);
}

bool stub_enter(struct stub *s, struct debug_machine *m, struct vcpu **v)
{
	if (!stub_has(s, s->now.machine) || !s->machines.enter(s->machines.opaque, s->now.machine, m)) {
		stub_put(s, "E01");
		return false;
	}
	if (m->vm && s->now.vcpu && s->now.vcpu <= m->vm->n_vcpus) {
		*v = &m->vm->vcpu[s->now.vcpu - 1];
		return true;
	}
	s->machines.leave(s->machines.opaque, s->now.machine);
	stub_put(s, "E02");
	return false;
}

void stub_leave(struct stub *s, const struct debug_machine *m) { s->machines.leave(s->machines.opaque, m->number); }

/* ---- packets ---- */

/* H: the thread that what follows is about.  Of Hc only what c and s say counts, and they are old: the current one. */
static void set_thread(struct stub *s, const char *text)
{
	struct stub_thread t, was = s->now;
	struct debug_machine m;
	struct vcpu *v;

	if (*text)
		text++; /* g or c */
	if (!stub_read_thread(s, &text, &t)) {
		stub_put(s, "E03");
		return;
	}
	if (t.machine == 0 || t.machine == (unsigned)STUB_ALL)
		t.machine = s->now.machine;
	if (t.vcpu == 0 || t.vcpu == (unsigned)STUB_ALL)
		t.vcpu = t.machine == s->now.machine && s->now.vcpu ? s->now.vcpu : 1;
	s->now = t;
	if (stub_enter(s, &m, &v)) {
		stub_leave(s, &m);
		stub_put(s, "OK");
	} else {
		s->now = was;
	}
}

static void is_alive(struct stub *s, const char *text)
{
	struct stub_thread was = s->now;
	struct debug_machine m;
	struct vcpu *v;

	if (!stub_read_thread(s, &text, &s->now)) {
		stub_put(s, "E03");
	} else if (stub_enter(s, &m, &v)) {
		stub_leave(s, &m);
		stub_put(s, "OK");
	}
	s->now = was;
}

/* "D", "D;PID", "k", "vKill;PID", "vAttach;PID" behind their names: 0 means the current one, false: that is no number. */
static bool read_pid(const struct stub *s, const char *text, unsigned *pid)
{
	uint64_t n = s->now.machine;

	if (*text == ';') {
		text++;
		if (!packet_hex(&text, &n) || n > UINT32_MAX)
			return false;
	}
	*pid = (unsigned)n;
	return *text == '\0';
}

static void detach(struct stub *s, const char *text)
{
	unsigned pid;

	if (!read_pid(s, text, &pid) || !stub_has(s, pid)) {
		stub_put(s, "E01");
		return;
	}
	stub_detach(s, pid);
	stub_put(s, "OK");
}

static void kill_machine(struct stub *s, const char *text, bool answers)
{
	unsigned pid;

	if (!read_pid(s, text, &pid) || !stub_has(s, pid)) {
		stub_put(s, "E01");
		return;
	}
	stub_detach(s, pid);
	s->machines.kill(s->machines.opaque, pid);
	if (answers)
		stub_put(s, "OK");
	else
		s->over = true;
}

/* The answer comes when it is at rest. */
static bool attach(struct stub *s, const char *text)
{
	unsigned pid;

	if (!read_pid(s, text, &pid) || !stub_attach(s, pid)) {
		stub_put(s, "E01");
		return true;
	}
	s->now = (struct stub_thread){pid, 1};
	s->state = STUB_STOPPING;
	s->reply_due = true;
	s->interrupted = false;
	return false;
}

/* v packets. False: the answer comes later. */
static bool verbose(struct stub *s, const char *text)
{
	if (strcmp(text, "vCont?") == 0) {
		stub_put(s, "vCont;c;C;s;S;r");
	} else if (strncmp(text, "vCont", 5) == 0) {
		if (stub_vcont(s, text + 5))
			return false;
		stub_put(s, "E01");
	} else if (strncmp(text, "vKill", 5) == 0) {
		kill_machine(s, text + 5, true);
	} else if (strncmp(text, "vAttach", 7) == 0) {
		return attach(s, text + 7);
	}
	return true; /* vMustReplyEmpty, and what we do not know: nothing */
}

/* "c", "s" with an address behind them, "C05", "S05;ADDRESS". False: the answer comes later. */
static bool go_old(struct stub *s, const char *text)
{
	const char *at = strpbrk(text, "cs") == text ? text + 1 : strchr(text, ';');
	char actions[64];

	if (at && *at && *at != ';') {
		stub_put(s, "E01"); /* gdb writes pc instead */
		return true;
	}
	snprintf(actions, sizeof(actions), ";%c:p%x.%x;c", text[0] == 'c' || text[0] == 'C' ? 'c' : 's', s->now.machine,
		 s->now.vcpu);
	if (stub_vcont(s, actions))
		return false;
	stub_put(s, "E01");
	return true;
}

/* False: the answer comes later. */
static bool answer(struct stub *s, const char *text, size_t n)
{
	switch (text[0]) {
	case '?':
		stub_put_stop(s);
		return true;
	case '!':
		s->extended = true;
		stub_put(s, "OK");
		return true;
	case 'H':
		set_thread(s, text + 1);
		return true;
	case 'T':
		is_alive(s, text + 1);
		return true;
	case 'D':
		detach(s, text + 1);
		return true;
	case 'k':
		kill_machine(s, text + 1, false);
		return true;
	case 'v':
		return verbose(s, text);
	case 'c':
	case 's':
	case 'C':
	case 'S':
		return go_old(s, text);
	case 'b':
		if (strcmp(text, "bs") == 0 || strcmp(text, "bc") == 0)
			return !stub_go_back(s, text[1] == 's');
		return true; /* another one's: no answer */
	default:
		if (!stub_query(s, text))
			(void)stub_access(s, text, n);
		return true;
	}
}

static void take(struct stub *s)
{
	s->waits = false;
	if (answer(s, s->in.data, s->in.n) && !s->over)
		stub_say(s);
}

/* What came while machines run is no packet of a sane debugger's, and gets no answer. */
static void whole(struct stub *s)
{
	if (!s->no_ack)
		send_bytes(s, "+", 1);
	if (s->state == STUB_STOPPING)
		s->waits = true;
	else if (s->state == STUB_STOPPED)
		take(s);
}

size_t stub_hear(struct stub *s, const uint8_t *data, size_t n)
{
	size_t i = 0;

	while (i < n && !s->waits && !s->over) {
		switch (packet_byte(&s->in, data[i++])) {
		case PACKET_WHOLE:
			whole(s);
			break;
		case PACKET_BAD:
			if (!s->no_ack)
				send_bytes(s, "-", 1);
			break;
		case PACKET_RESEND:
			if (!s->no_ack && s->state == STUB_STOPPED)
				send_bytes(s, s->last, s->last_bytes);
			break;
		case PACKET_INTERRUPT:
			if (s->state == STUB_RUNNING) {
				s->interrupted = true;
				stub_stop(s);
			}
			break;
		case PACKET_NOTHING:
			break;
		}
	}
	return i;
}

const char *stub_says(const struct stub *s, size_t *n)
{
	*n = s->out_bytes;
	return s->out;
}

void stub_sent(struct stub *s, size_t n)
{
	s->out_bytes -= n;
	memmove(s->out, s->out + n, s->out_bytes);
}

bool stub_is_over(const struct stub *s) { return s->over; }

/* ---- beginning and end ---- */

void stub_look(struct stub *s)
{
	enum stub_state was;

	do {
		was = s->state;
		stub_look_at_machines(s);
		if (s->state == STUB_STOPPED && s->waits)
			take(s);
	} while (s->state != was);
}

struct stub *stub_new(const struct debug_machines *machines, unsigned first)
{
	struct stub *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->machines = *machines;
	s->xml = debug_target_xml();
	if (!first)
		first = machines->next(machines->opaque, 0);
	s->now = (struct stub_thread){first, 1};
	if (!s->xml || !first || !stub_attach(s, first)) {
		stub_free(s);
		return NULL;
	}
	return s;
}

void stub_free(struct stub *s)
{
	if (!s)
		return;
	while (s->n)
		stub_detach(s, s->machine[s->n - 1]);
	s->machines.go_waiting(s->machines.opaque);
	free(s->xml);
	free(s->out);
	free(s);
}
