/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/look/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "vmm/look/json.h"

enum { DRAIN_MS = 50 };

/* Where events of Perfetto's have come from: what it has been told the names of. */
struct source {
	struct source *next;
	const char *machine; /* of trace_text(), or NULL */
	int vcpu;
	unsigned process;
};

struct trace_file {
	struct trace *trace;
	FILE *out;
	bool is_stderr;
	enum trace_file_format format;
	pthread_t thread;

	pthread_mutex_t lock; /* guards stop; `out` and what follows are of who drains */
	pthread_cond_t wake;
	bool stop;

	struct source *sources;
	unsigned processes;
	bool comma;
};

/* ---- one event ---- */

/* ,"name":value for each field; hexadecimal ones are text, since JSON has no such numbers. */
static void put_fields(FILE *out, const struct trace_record *r, bool comma)
{
	const struct trace_row *row = &trace_rows[r->event];

	for (unsigned i = 0; row->field[i].name; i++) {
		uint64_t x = r->field[i];

		fprintf(out, "%s\"%s\":", comma || i ? "," : "", row->field[i].name);
		if (row->field[i].format == TRACE_HEX)
			fprintf(out, "\"0x%" PRIx64 "\"", x);
		else if (row->field[i].format == TRACE_TEXT)
			json_print_string(out, (const char *)(uintptr_t)x);
		else
			fprintf(out, "%" PRIu64, x);
	}
}

static void put_json(FILE *out, const struct trace_record *r)
{
	fprintf(out, "{\"t\":%" PRIu64 ",\"event\":\"%s\"", r->at_ns, trace_rows[r->event].name);
	if (r->machine) {
		fputs(",\"machine\":", out);
		json_print_string(out, r->machine);
	}
	if (r->vcpu >= 0)
		fprintf(out, ",\"vcpu\":%d", r->vcpu);
	put_fields(out, r, true);
	fputs("}\n", out);
}

/* ---- Perfetto: Chrome's trace event format, an array of objects ---- */

static void begin_object(struct trace_file *f)
{
	fputs(f->comma ? ",\n{" : "{", f->out);
	f->comma = true;
}

static void put_name(struct trace_file *f, const char *what, const struct source *s, const char *name)
{
	begin_object(f);
	fprintf(f->out, "\"ph\":\"M\",\"name\":\"%s\",\"pid\":%u,\"tid\":%d,\"args\":{\"name\":", what, s->process,
		s->vcpu + 1);
	json_print_string(f->out, name);
	fputs("}}", f->out);
}

static void introduce(struct trace_file *f, const struct source *s, bool new_process)
{
	char text[32] = "devices";

	if (!s->machine)
		strcpy(text, "monitor");
	else if (s->vcpu >= 0)
		snprintf(text, sizeof(text), "vCPU %d", s->vcpu);
	if (new_process)
		put_name(f, "process_name", s, s->machine ? s->machine : "disco");
	put_name(f, "thread_name", s, text);
}

/* NULL: the host has no memory left. */
static const struct source *source_of(struct trace_file *f, const struct trace_record *r)
{
	struct source *s, *same = NULL;

	for (s = f->sources; s; s = s->next) {
		same = s->machine == r->machine ? s : same;
		if (s->machine == r->machine && s->vcpu == r->vcpu)
			return s;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct source){f->sources, r->machine, r->vcpu, same ? same->process : ++f->processes};
	f->sources = s;
	introduce(f, s, !same);
	return s;
}

static void put_perfetto(struct trace_file *f, const struct trace_record *r)
{
	static const char *const phases[] = {
	    [TRACE_POINT] = "i", [TRACE_BEGIN] = "B", [TRACE_END] = "E", [TRACE_SPAN] = "X"};
	const struct trace_row *row = &trace_rows[r->event];
	const struct source *s = source_of(f, r);
	uint64_t took = 0, at = r->at_ns;

	if (!s)
		return;
	if (row->kind == TRACE_SPAN) {
		took = r->field[trace_row_fields(row) - 1];
		at -= took < at ? took : at;
	}
	begin_object(f);
	fprintf(f->out, "\"ph\":\"%s\",\"name\":\"%s\",\"pid\":%u,\"tid\":%d,\"ts\":%" PRIu64 ".%03" PRIu64,
		phases[row->kind], row->name, s->process, s->vcpu + 1, at / 1000, at % 1000);
	if (row->kind == TRACE_SPAN)
		fprintf(f->out, ",\"dur\":%" PRIu64 ".%03" PRIu64, took / 1000, took % 1000);
	if (row->kind == TRACE_POINT)
		fputs(",\"s\":\"t\"", f->out);
	fputs(",\"args\":{", f->out);
	put_fields(f->out, r, false);
	fputs("}}", f->out);
}

/* ---- the file ---- */

static void show(void *file, const struct trace_record *r)
{
	struct trace_file *f = file;

	if (f->format == TRACE_FILE_TEXT)
		trace_print(f->out, r);
	else if (f->format == TRACE_FILE_JSON)
		put_json(f->out, r);
	else
		put_perfetto(f, r);
}

/* Behind the events of this drain, so that somebody who reads along sees whole lines. */
static void drain(void *file)
{
	struct trace_file *f = file;

	trace_drain(f->trace, show, f);
	fflush(f->out);
}

void trace_file_flush(struct trace_file *f) { drain(f); }

static void *file_main(void *file)
{
	struct trace_file *f = file;

	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		uint64_t until = host_now_ns() + DRAIN_MS * 1000000ull;
		struct timespec at = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};

		pthread_cond_timedwait(&f->wake, &f->lock, &at);
		pthread_mutex_unlock(&f->lock);
		drain(f);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static FILE *open_out(const char *path)
{
	int fd;
	FILE *out;

	if (path)
		return fopen(path, "we");
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out && fd >= 0)
		close(fd);
	return out;
}

static void forget(struct trace_file *f)
{
	while (f->sources) {
		struct source *s = f->sources;

		f->sources = s->next;
		free(s);
	}
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int trace_file_open(struct trace_file **out, struct trace *t, const char *path, enum trace_file_format format)
{
	struct trace_file *f = calloc(1, sizeof(*f));
	pthread_condattr_t clock;
	int err = 0;

	if (!f)
		return -ENOMEM;
	f->trace = t;
	f->format = format;
	f->is_stderr = !path;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_init(&f->lock, NULL);
	f->out = open_out(path);
	if (!f->out)
		err = -errno;
	if (!err && format == TRACE_FILE_PERFETTO)
		fputs("[\n", f->out);
	if (!err)
		err = -pthread_create(&f->thread, NULL, file_main, f);
	if (err) {
		if (f->out)
			fclose(f->out);
		forget(f);
		return err;
	}
	trace_keep_all(t, drain, f);
	*out = f;
	return 0;
}

int trace_file_close(struct trace_file *f)
{
	int err = 0;

	if (!f)
		return 0;
	trace_keep_all(f->trace, NULL, NULL);
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	drain(f);
	if (f->format == TRACE_FILE_PERFETTO)
		fputs("\n]\n", f->out);
	errno = EIO; /* of a write that has failed before, nobody says why */
	if (ferror(f->out))
		err = -errno;
	if (fclose(f->out) && !err)
		err = -errno;
	forget(f);
	return err;
}

bool trace_file_is_stderr(const struct trace_file *f) { return f && f->is_stderr; }

void trace_print_help(FILE *out)
{
	for (unsigned e = 0; e < NUM_TRACE_EVENTS; e++) {
		const struct trace_row *row = &trace_rows[e];

		fprintf(out, "%-17s %s\n%18s", row->name, row->help, "");
		for (unsigned i = 0; row->field[i].name; i++)
			fprintf(out, "%s%s", i ? ", " : "", row->field[i].name);
		fputc('\n', out);
	}
}
