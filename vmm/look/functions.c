/* SPDX-License-Identifier: MIT */
#include "vmm/look/functions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/look/guest_names.h"

/* ---- places to functions ---- */

/* Of what has no name, its page. */
static void name_page(const struct profile_place *at, struct guest_named *n)
{
	bool has_address = at->unmapped || strncmp(n->text, "page-", 5) != 0; /* of its file */
	uint64_t address = has_address ? strtoull(n->text, NULL, 16) : (uint32_t)at->pc;

	if (!at->unmapped && !at->content[0] && !at->content[1])
		snprintf(n->text, sizeof(n->text), "[not in the TLB]");
	else
		snprintf(n->text, sizeof(n->text), "[page %08" PRIx64 "]", address & ~(uint64_t)PAGE_MASK);
}

static void name_place(const struct guest_names *names, const struct profile_place *at, struct guest_named *n)
{
	const struct guest_place place = {
	    .unmapped = at->unmapped, .user = at->user, .pc = at->pc, .content = {at->content[0], at->content[1]}};
	char *plus;

	guest_names_find(names, &place, n);
	plus = strrchr(n->text, '+');
	if (!n->known)
		name_page(at, n);
	else if (plus && strncmp(plus, "+0x", 3) == 0)
		*plus = '\0';
}

static int by_name(const void *a, const void *b)
{
	const struct function_row *x = a, *y = b;
	int d = strcmp(x->where, y->where);

	return d ? d : strcmp(x->name, y->name);
}

static int by_samples(const void *a, const void *b)
{
	const struct function_row *x = a, *y = b;

	return x->samples != y->samples ? (x->samples < y->samples ? 1 : -1) : by_name(a, b);
}

/* Sorted by name: those of one function become one. */
static void put_together(struct functions *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++) {
		struct function_row *last = n ? &f->row[n - 1] : NULL;

		if (last && by_name(last, &f->row[i]) == 0) {
			last->samples += f->row[i].samples;
			free(f->row[i].name);
			free(f->row[i].where);
		} else {
			f->row[n++] = f->row[i];
		}
	}
	f->n = n;
}

int functions_sum(struct functions *f, const struct guest_names *names, const struct profile_sum *sum)
{
	f->n = 0;
	f->samples = sum->samples;
	f->lost = sum->lost;
	f->row = calloc(sum->n + 1, sizeof(*f->row));
	if (!f->row)
		return -ENOMEM;
	for (unsigned i = 0; i < sum->n; i++) {
		struct function_row *r = &f->row[f->n++];
		struct guest_named named;

		name_place(names, &sum->place[i], &named);
		*r = (struct function_row){strdup(named.text), strdup(named.where), sum->place[i].n};
		if (!r->name || !r->where) {
			functions_free(f);
			return -ENOMEM;
		}
	}
	qsort(f->row, f->n, sizeof(*f->row), by_name);
	put_together(f);
	qsort(f->row, f->n, sizeof(*f->row), by_samples);
	return 0;
}

void functions_free(struct functions *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		free(f->row[i].name);
		free(f->row[i].where);
	}
	free(f->row);
	f->row = NULL;
	f->n = 0;
}

static double percent(const struct functions *f, uint64_t samples)
{
	return f->samples ? 100.0 * (double)samples / (double)f->samples : 0;
}

/* ---- text ---- */

void functions_print(const struct functions *f, unsigned rows, FILE *out)
{
	uint64_t others = 0;
	int width = 8;

	for (unsigned i = 0; i < f->n && i < rows; i++)
		if ((int)strlen(f->row[i].name) > width)
			width = (int)strlen(f->row[i].name);
	fprintf(out, "%s: %" PRIu64 " samples in %g s\n", f->machine, f->samples, f->ms / 1000.0);
	fprintf(out, "%7s  %7s  %-*s  %s\n", "%", "SAMPLES", width, "FUNCTION", "WHERE");
	for (unsigned i = 0; i < f->n; i++) {
		const struct function_row *r = &f->row[i];

		if (i < rows)
			fprintf(out, "%7.2f  %7" PRIu64 "  %-*s  %s\n", percent(f, r->samples), r->samples, width,
				r->name, r->where);
		else
			others += r->samples;
	}
	if (f->n > rows)
		fprintf(out, "%7.2f  %7" PRIu64 "  (%u others)\n", percent(f, others), others, f->n - rows);
	if (f->lost)
		fprintf(out, "%7.2f  %7" PRIu64 "  (of more than %d places)\n", percent(f, f->lost), f->lost,
			PROFILE_PLACES);
}

void functions_print_json(const struct functions *f, FILE *out)
{
	json_t *list = json_array();
	json_t *all = json_pack("{s:s, s:f, s:I, s:I, s:o}", "machine", f->machine, "seconds", f->ms / 1000.0,
				"samples", (json_int_t)f->samples, "lost", (json_int_t)f->lost, "functions", list);

	for (unsigned i = 0; i < f->n; i++) {
		const struct function_row *r = &f->row[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:I, s:f}", "function", r->name, "where", r->where,
						"samples", (json_int_t)r->samples, "percent", percent(f, r->samples)));
	}
	json_dumpf(all, out, JSON_COMPACT | JSON_REAL_PRECISION(6));
	fputc('\n', out);
	json_decref(all);
}

/* What ends a frame, or the stack, is not part of one. */
static void put_frame(const char *text, FILE *out)
{
	for (; *text; text++)
		fputc(*text == ';' || *text == ' ' ? '_' : *text, out);
}

void functions_print_folded(const struct functions *f, FILE *out)
{
	for (unsigned i = 0; i < f->n; i++) {
		put_frame(f->row[i].where, out);
		fputc(';', out);
		put_frame(f->row[i].name, out);
		fprintf(out, " %" PRIu64 "\n", f->row[i].samples);
	}
}

/* ---- flame graph ---- */

enum { WIDTH = 1200, MARGIN = 10, FRAME = 22, HEAD = 40, LETTER = 7, HEIGHT = HEAD + 3 * FRAME + MARGIN };

static void put_escaped(const char *text, size_t most, FILE *out)
{
	for (size_t i = 0; text[i] && i < most; i++)
		if (text[i] == '&')
			fputs("&amp;", out);
		else if (text[i] == '<')
			fputs("&lt;", out);
		else
			fputc(text[i], out);
}

/* level: from below; at: samples to its left. */
static void put_box(const struct functions *f, unsigned level, uint64_t at, uint64_t samples, const char *text,
		    const char *colour, FILE *out)
{
	double scale = (WIDTH - 2.0 * MARGIN) / (double)(f->samples ? f->samples : 1);
	double x = MARGIN + (double)at * scale, w = (double)samples * scale;
	unsigned y = HEAD + (2 - level) * FRAME;

	fprintf(out, "<g><title>");
	put_escaped(text, SIZE_MAX, out);
	fprintf(out, ": %" PRIu64 " samples, %.2f %%</title>", samples, percent(f, samples));
	fprintf(out, "<rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" fill=\"%s\" stroke=\"#ffffff\"/>", x, y, w,
		FRAME - 1, colour);
	if (w > 3 * LETTER) {
		fprintf(out, "<text x=\"%.2f\" y=\"%u\">", x + 4, y + 15);
		put_escaped(text, (size_t)(w - 8) / LETTER, out);
		fputs("</text>", out);
	}
	fputs("</g>\n", out);
}

/* All of one file's functions, which are beside each other on it. Returns the samples. */
static uint64_t draw_where(const struct functions *f, const char *where, uint64_t at, FILE *out)
{
	static const char *const colours[] = {"#f4b183", "#f6c58f", "#ee9a6c"};
	uint64_t samples = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++) {
		const struct function_row *r = &f->row[i];

		if (strcmp(r->where, where) != 0)
			continue;
		put_box(f, 2, at + samples, r->samples, r->name, colours[n++ % ARRAY_LEN(colours)], out);
		samples += r->samples;
	}
	put_box(f, 1, at, samples, where, "#9dc3e6", out);
	return samples;
}

static bool came_before(const struct functions *f, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(f->row[k].where, f->row[i].where) == 0)
			return true;
	return false;
}

void functions_draw(const struct functions *f, FILE *out)
{
	uint64_t at = 0;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"monospace\" "
		"font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"22\" "
		"font-size=\"14\">",
		WIDTH, HEIGHT, MARGIN);
	put_escaped(f->machine, SIZE_MAX, out);
	fprintf(out, ": %" PRIu64 " samples in %g s</text>\n", f->samples, f->ms / 1000.0);
	for (unsigned i = 0; i < f->n; i++)
		if (!came_before(f, i))
			at += draw_where(f, f->row[i].where, at, out);
	put_box(f, 0, 0, f->samples, "all", "#c9c9c9", out);
	fputs("</svg>\n", out);
}
