/* SPDX-License-Identifier: MIT */
/* Events (base/trace.h): what is switched on is kept and drained, all of it, while others put more; the files that are made of it. */
#define _GNU_SOURCE
#include "vmm/look/trace_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/disco-trace-XXXXXX";

static void make_file(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
}

static void remove_file(void) { unlink(path); }

TestSuite(trace, .init = make_file, .fini = remove_file);

#define BIT(e) (1ull << TRACE_##e)

struct seen {
	unsigned n;
	struct trace_record r[64];
};

static void note(void *opaque, const struct trace_record *r)
{
	struct seen *s = opaque;

	if (s->n < 64)
		s->r[s->n] = *r;
	s->n++;
}

Test(trace, patterns)
{
	cr_assert_eq(trace_match("tlb_write"), BIT(TLB_WRITE));
	cr_assert_eq(trace_match("tlb_*"), BIT(TLB_WRITE) | BIT(TLB_MISS));
	cr_assert_eq(trace_match("*"), (1ull << NUM_TRACE_EVENTS) - 1);
	cr_assert_eq(trace_match("?lb"), 0);
	cr_assert_eq(trace_match(""), 0);
}

Test(trace, rows_are_whole)
{
	for (unsigned e = 0; e < NUM_TRACE_EVENTS; e++) {
		const struct trace_row *row = &trace_rows[e];
		unsigned n = trace_row_fields(row);

		cr_assert(n >= 1 && n <= TRACE_FIELDS, "%s", row->name);
		cr_assert(*row->help);
		cr_assert_eq(trace_match(row->name), 1ull << e, "%s", row->name);
		if (row->kind == TRACE_SPAN)
			cr_assert_eq(row->field[n - 1].format, TRACE_NS, "%s: how long it took comes last", row->name);
	}
}

static unsigned evaluated;

static uint64_t once(uint64_t x)
{
	evaluated++;
	return x;
}

Test(trace, only_what_is_wanted)
{
	struct trace *t = trace_new();
	struct tracer nobody = {0}, v;
	struct seen s = {0};

	TRACE(&nobody, LINK, once(1));
	tracer_init(&nobody, NULL, "vm", 0);
	TRACE(&nobody, LINK, once(1));
	tracer_init(&v, t, "vm", 2);
	TRACE(&v, LINK, once(1));
	trace_switch(t, BIT(LINK), true);
	TRACE(&v, LINK, once(5));
	TRACE(&v, IRQ, once(1), 1);
	trace_switch(t, BIT(LINK), false);
	TRACE(&v, LINK, once(7));
	cr_assert_eq(evaluated, 1);
	trace_drain(t, note, &s);
	trace_drain(t, note, &s);
	cr_assert_eq(s.n, 1);
	cr_assert(s.r[0].event == TRACE_LINK && s.r[0].field[0] == 5 && s.r[0].vcpu == 2);
	cr_assert_str_eq(s.r[0].machine, "vm");
	tracer_fini(&v);
	trace_free(t);
}

static uint64_t fixed_ns(void *opaque) { return *(uint64_t *)opaque; }

/* By time, not by who was first; the last ones of a machine, drained or not; a ring that has gone round. */
Test(trace, last_ones)
{
	struct trace *t = trace_new();
	struct tracer a, b;
	struct seen s = {0};
	uint64_t at = 0;

	tracer_init(&a, t, "a", 0);
	tracer_init(&b, t, "b", 0);
	a.now_ns = b.now_ns = fixed_ns;
	a.opaque = b.opaque = &at;
	trace_switch(t, BIT(LINK), true);
	for (at = 1; at <= TRACE_RING + 10; at++)
		TRACE(&a, LINK, at);
	at = TRACE_RING + 5;
	TRACE(&b, LINK, 1000000);
	cr_assert(trace_last(t, NULL, 8, note, &s));
	cr_assert_eq(s.n, 8);
	for (unsigned i = 1; i < 8; i++)
		cr_assert_leq(s.r[i - 1].at_ns, s.r[i].at_ns);
	cr_assert_eq(s.r[7].field[0], TRACE_RING + 10);
	s.n = 0;
	cr_assert(trace_last(t, "b", 8, note, &s));
	cr_assert(s.n == 1 && s.r[0].field[0] == 1000000);
	s.n = 0;
	trace_drain(t, note, &s);
	cr_assert_eq(s.n, TRACE_RING + 1, "%u", s.n);
	cr_assert_eq(s.r[0].field[0], 11, "the oldest are gone");
	tracer_fini(&a);
	tracer_fini(&b);
	trace_free(t);
}

/* ---- threads: each puts numbers, and all of them come out ---- */

enum { PUTTERS = 3, PUTS = 3 * TRACE_RING };

static void *putter(void *tracer)
{
	for (uint64_t i = 1; i <= PUTS; i++)
		TRACE((struct tracer *)tracer, LINK, i);
	return NULL;
}

static void put_from_threads(struct trace *t, struct tracer v[PUTTERS])
{
	pthread_t thread[PUTTERS];

	for (int i = 0; i < PUTTERS; i++) {
		tracer_init(&v[i], t, "vm", i);
		cr_assert_eq(pthread_create(&thread[i], NULL, putter, &v[i]), 0);
	}
	for (unsigned i = 0; i < PUTTERS; i++)
		pthread_join(thread[i], NULL);
}

Test(trace, nothing_is_left_out)
{
	struct trace *t = trace_new();
	struct tracer v[PUTTERS];
	uint64_t next[PUTTERS] = {0};
	struct trace_file *f;
	unsigned vcpu;
	char *line = NULL;
	size_t room = 0;
	uint64_t pc;
	FILE *in;

	cr_assert_eq(trace_file_open(&f, t, path, TRACE_FILE_TEXT), 0);
	trace_switch(t, BIT(LINK), true);
	put_from_threads(t, v);
	for (unsigned i = 0; i < PUTTERS; i++)
		tracer_fini(&v[i]);
	cr_assert_eq(trace_file_close(f), 0);
	trace_free(t);
	in = fopen(path, "r");
	while (getline(&line, &room, in) > 0) {
		cr_assert_eq(sscanf(line, "%*f vm/%u link pc=0x%lx", &vcpu, &pc), 2, "%s", line);
		cr_assert(vcpu < PUTTERS && pc == ++next[vcpu], "%s", line);
	}
	for (unsigned i = 0; i < PUTTERS; i++)
		cr_assert_eq(next[i], PUTS);
	free(line);
	fclose(in);
}

/* ---- nobody drains, and entries are written over while they are looked at ---- */

struct order {
	uint64_t last;
	unsigned halves; /* events that have fields of two */
	bool stop;       /* atomic */
	struct tracer v;
};

static void *put_until_stopped(void *order)
{
	struct order *o = order;

	for (uint64_t i = 1; !__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE); i++)
		TRACE(&o->v, DEVICE_READ, i, i, i, i);
	return NULL;
}

static void check_whole(void *opaque, const struct trace_record *r)
{
	struct order *o = opaque;

	cr_assert_gt(r->field[0], o->last, "in order, and none twice");
	o->last = r->field[0];
	for (unsigned i = 1; i < TRACE_FIELDS_DEVICE_READ; i++)
		o->halves += r->field[i] != r->field[0];
}

Test(trace, looked_at_meanwhile)
{
	enum { LOOKS = 100 };
	struct trace *t = trace_new();
	struct order o = {0};
	pthread_t thread;

	trace_switch(t, BIT(DEVICE_READ), true);
	tracer_init(&o.v, t, "vm", 0);
	cr_assert_eq(pthread_create(&thread, NULL, put_until_stopped, &o), 0);
	for (unsigned i = 0; i < LOOKS; i++) {
		o.last = 0;
		cr_assert(trace_last(t, NULL, TRACE_RING, check_whole, &o));
	}
	__atomic_store_n(&o.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	cr_assert_eq(o.halves, 0);
	tracer_fini(&o.v);
	trace_free(t);
}

/* ---- formats ---- */

static void put_some(enum trace_file_format format)
{
	struct trace *t = trace_new();
	struct tracer v, dev, none;
	struct trace_file *f;
	uint64_t at = 5000;

	cr_assert_eq(trace_file_open(&f, t, path, format), 0);
	trace_switch(t, trace_match("*"), true);
	tracer_init(&v, t, "a\"b", 1);
	tracer_init(&dev, t, "a\"b", -1);
	tracer_init(&none, t, NULL, -1);
	v.now_ns = dev.now_ns = none.now_ns = fixed_ns;
	v.opaque = dev.opaque = none.opaque = &at;
	TRACE(&v, SCHED_RUN, 3, 0);
	at = 6500;
	TRACE(&v, TRANSLATE, 0x80001000, 0x118, 4, 1500);
	TRACE(&dev, VIRTQUEUE_DONE, TRACE_STRING(trace_text(t, "disk \"x\"")), 0, 7, 512);
	TRACE(&none, TIER2_DONE, 0x20, 0x118, 4, 100, 70000);
	at = 9000;
	TRACE(&v, SCHED_STOP, TRACE_STRING("idle"));
	tracer_fini(&v);
	tracer_fini(&dev);
	tracer_fini(&none);
	cr_assert_eq(trace_file_close(f), 0);
	trace_free(t);
}

Test(trace, json)
{
	char *line = NULL;
	size_t room = 0;
	unsigned n = 0;
	FILE *in;

	put_some(TRACE_FILE_JSON);
	in = fopen(path, "r");
	while (getline(&line, &room, in) > 0) {
		json_t *o = json_loads(line, 0, NULL);

		cr_assert(json_is_integer(json_object_get(o, "t")), "%s", line);
		if (strcmp(json_string_value(json_object_get(o, "event")), "virtqueue_done") == 0) {
			cr_assert_str_eq(json_string_value(json_object_get(o, "machine")), "a\"b");
			cr_assert_str_eq(json_string_value(json_object_get(o, "device")), "disk \"x\"");
			cr_assert_eq(json_integer_value(json_object_get(o, "written")), 512);
			cr_assert_null(json_object_get(o, "vcpu"));
		}
		json_decref(o);
		n++;
	}
	cr_assert_eq(n, 5);
	free(line);
	fclose(in);
}

static double number(const json_t *o, const char *name)
{
	const json_t *x = json_object_get(o, name);

	cr_assert(json_is_number(x), "%s", name);
	return json_number_value(x);
}

/* What Chrome's trace event format demands of each phase ("Trace Event Format", 2016). */
static void check_event(const json_t *o, unsigned named[2])
{
	const char *ph = json_string_value(json_object_get(o, "ph"));
	const json_t *args = json_object_get(o, "args");

	cr_assert(ph && strlen(ph) == 1 && strchr("MiBEX", *ph));
	cr_assert(json_is_string(json_object_get(o, "name")) && json_is_object(args));
	cr_assert(json_is_integer(json_object_get(o, "pid")) && json_is_integer(json_object_get(o, "tid")));
	if (*ph == 'M') {
		const char *what = json_string_value(json_object_get(o, "name"));

		named[0] += strcmp(what, "process_name") == 0;
		named[1] += strcmp(what, "thread_name") == 0;
		cr_assert(json_is_string(json_object_get(args, "name")));
		return;
	}
	cr_assert_geq(number(o, "ts"), 0);
	if (*ph == 'i')
		cr_assert_str_eq(json_string_value(json_object_get(o, "s")), "t");
	if (*ph == 'X' && strcmp(json_string_value(json_object_get(o, "name")), "translate") == 0)
		cr_assert(number(o, "ts") == 5.0 && number(o, "dur") == 1.5);
}

Test(trace, perfetto)
{
	unsigned named[2] = {0}, begins = 0, ends = 0;
	json_t *all, *o;
	size_t i;

	put_some(TRACE_FILE_PERFETTO);
	all = json_load_file(path, 0, NULL);
	cr_assert(json_is_array(all));
	json_array_foreach(all, i, o)
	{
		const char *ph = json_string_value(json_object_get(o, "ph"));

		check_event(o, named);
		begins += *ph == 'B';
		ends += *ph == 'E';
	}
	cr_assert(named[0] == 2 && named[1] == 3 && begins == 1 && ends == 1);
	cr_assert_eq(json_array_size(all), 5 + 2 + 3);
	json_decref(all);
}

Test(trace, a_place_that_cannot_be_written)
{
	struct trace *t = trace_new();
	struct trace_file *f = NULL;
	struct tracer v;

	cr_assert_eq(trace_file_open(&f, t, "/no/where", TRACE_FILE_TEXT), -ENOENT);
	cr_assert_eq(trace_file_open(&f, t, "/dev/full", TRACE_FILE_TEXT), 0);
	trace_switch(t, BIT(LINK), true);
	tracer_init(&v, t, "vm", 0);
	TRACE(&v, LINK, 1);
	tracer_fini(&v);
	cr_assert_lt(trace_file_close(f), 0);
	trace_free(t);
}

/* What a bug of Disco's leaves behind. */
Test(trace, last_words)
{
	struct trace *t = trace_new();
	struct tracer v;
	char text[256] = {0};
	int ends[2];

	trace_switch(t, BIT(LINK), true);
	tracer_init(&v, t, "vm", 0);
	TRACE(&v, LINK, 0x80001234);
	cr_assert_eq(pipe(ends), 0);
	if (fork() == 0) {
		dup2(ends[1], STDERR_FILENO);
		panic_set_last_words(trace_last_words, t);
		panic("a bug");
	}
	close(ends[1]);
	for (size_t n = 0; n < sizeof(text) - 1;) {
		ssize_t got = read(ends[0], text + n, sizeof(text) - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	cr_assert(strstr(text, "a bug\n") && strstr(text, "vm/0 link pc=0x80001234\n"), "%s", text);
	tracer_fini(&v);
	trace_free(t);
}
