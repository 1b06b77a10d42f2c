/* SPDX-License-Identifier: MIT */
#include "vmm/look/trace_file.h"

#include <inttypes.h>

/* An event as a line of text. */

static void put_time(FILE *out, uint64_t ns)
{
	fprintf(out, "%6" PRIu64 ".%09" PRIu64, ns / 1000000000u, ns % 1000000000u);
}

static void put_where(FILE *out, const struct trace_record *r)
{
	if (!r->machine)
		fputs("monitor", out);
	else if (r->vcpu < 0)
		fprintf(out, "%s/dev", r->machine);
	else
		fprintf(out, "%s/%d", r->machine, r->vcpu);
}

void trace_print(void *file, const struct trace_record *r)
{
	const struct trace_row *row = &trace_rows[r->event];
	FILE *out = file;

	put_time(out, r->at_ns);
	fputc(' ', out);
	put_where(out, r);
	fprintf(out, " %s", row->name);
	for (unsigned i = 0; row->field[i].name; i++) {
		uint64_t x = r->field[i];

		fprintf(out, " %s=", row->field[i].name);
		switch (row->field[i].format) {
		case TRACE_HEX:
			fprintf(out, "0x%" PRIx64, x);
			break;
		case TRACE_TEXT:
			fputs((const char *)(uintptr_t)x, out);
			break;
		case TRACE_NS:
			fprintf(out, "%" PRIu64 "ns", x);
			break;
		default:
			fprintf(out, "%" PRIu64, x);
		}
	}
	fputc('\n', out);
}

void trace_last_words(void *trace)
{
	enum { WORDS = 32 };

	if (!trace || !trace_switched_on(trace))
		return;
	fprintf(stderr, "the last events of --trace:\n");
	(void)trace_last(trace, NULL, WORDS, trace_print, stderr);
}
