/* SPDX-License-Identifier: MIT */
/*
 * `disco dump --diff`.  A block is known by kind, address and mode; it may be there several times, made again.  First those are
 * paired that are equal, then in order those of the same tier, then in order all others.
 */
#define _GNU_SOURCE /* qsort_r */
#include "vmm/look/dump_diff.h"
#include "vmm/look/dump_read.h"
#include "vmm/look/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum depth { BY_CONTENTS, BY_TIER, BY_PLACE, NUM_DEPTHS };

struct pair {
	struct dump_entry *a, *b; /* one may be NULL */
	bool equal;
};

struct differ {
	bool json;
	struct dump_file file[2];
	struct dump_entry **rest[2]; /* without partner as yet */
	size_t n_rest[2];
	struct pair *pair;
	size_t n_pairs;
	size_t equal, changed, only[2];
	bool shown; /* JSON: there is an object before */
};

/* ---- pairs ---- */

#define COMPARE(x, y)                                                                                                  \
	if ((x) != (y))                                                                                                \
	return (x) < (y) ? -1 : 1

static int compare(const struct dump_entry *a, const struct dump_entry *b, enum depth depth)
{
	int mode = strcmp(a->mode, b->mode);

	COMPARE(a->pc, b->pc);
	COMPARE(a->region, b->region);
	if (mode)
		return mode;
	if (depth <= BY_TIER)
		COMPARE(a->tier, b->tier);
	if (depth <= BY_CONTENTS) {
		COMPARE(a->instructions, b->instructions);
		COMPARE(a->blocks, b->blocks);
		COMPARE(a->hash, b->hash);
	}
	return 0;
}

static int in_order(const void *a, const void *b, void *depth)
{
	const struct dump_entry *x = *(struct dump_entry *const *)a, *y = *(struct dump_entry *const *)b;
	int r = compare(x, y, *(enum depth *)depth);

	if (r)
		return r;
	COMPARE(x->at, y->at);
	return 0;
}

static void add_pair(struct differ *d, struct dump_entry *a, struct dump_entry *b, bool equal)
{
	d->pair[d->n_pairs++] = (struct pair){a, b, equal};
	if (equal)
		d->equal++;
	else if (a && b)
		d->changed++;
	else
		d->only[a ? 0 : 1]++;
}

static void find_pairs(struct differ *d, enum depth depth)
{
	struct dump_entry **a = d->rest[0], **b = d->rest[1];
	size_t i = 0, k = 0, left[2] = {0, 0};

	for (int f = 0; f < 2; f++)
		qsort_r(d->rest[f], d->n_rest[f], sizeof(*a), in_order, &depth);
	while (i < d->n_rest[0] || k < d->n_rest[1]) {
		int r = i == d->n_rest[0] ? 1 : k == d->n_rest[1] ? -1 : compare(a[i], b[k], depth);

		if (r < 0)
			a[left[0]++] = a[i++];
		else if (r > 0)
			b[left[1]++] = b[k++];
		else {
			add_pair(d, a[i], b[k], depth == BY_CONTENTS);
			i++, k++;
		}
	}
	memcpy(d->n_rest, left, sizeof(left));
}

static int by_address(const void *a, const void *b)
{
	const struct pair *p = a, *q = b;
	const struct dump_entry *x = p->a ? p->a : p->b, *y = q->a ? q->a : q->b;
	int r = compare(x, y, BY_PLACE);

	if (r)
		return r;
	COMPARE(!p->a, !q->a);
	COMPARE(x->at, y->at);
	return 0;
}

static int pair_all(struct differ *d)
{
	size_t n = 0;

	for (int f = 0; f < 2; f++) {
		n += d->file[f].n;
		d->n_rest[f] = d->file[f].n;
		d->rest[f] = calloc(d->file[f].n, sizeof(*d->rest[f]));
		for (size_t i = 0; d->rest[f] && i < d->file[f].n; i++)
			d->rest[f][i] = &d->file[f].entry[i];
	}
	d->pair = calloc(n, sizeof(*d->pair));
	if (!d->rest[0] || !d->rest[1] || !d->pair)
		return -ENOMEM;
	for (enum depth depth = BY_CONTENTS; depth < NUM_DEPTHS; depth++)
		find_pairs(d, depth);
	for (size_t i = 0; i < d->n_rest[0]; i++)
		add_pair(d, d->rest[0][i], NULL, false);
	for (size_t i = 0; i < d->n_rest[1]; i++)
		add_pair(d, NULL, d->rest[1][i], false);
	qsort(d->pair, d->n_pairs, sizeof(*d->pair), by_address);
	return 0;
}

/* ---- text ---- */

static void print_per_cent(uint64_t a, uint64_t b)
{
	if (a && a != b)
		printf(" (%+.2f %%)", 100.0 * ((double)b - (double)a) / (double)a);
}

static void print_number(const char *what, uint64_t a, uint64_t b)
{
	if (a == b)
		printf(", %" PRIu64 " %s", b, what);
	else
		printf(", %" PRIu64 " -> %" PRIu64 " %s", a, b, what);
}

/* a == b: the heading of one. */
static void print_heading(const struct dump_entry *a, const struct dump_entry *b)
{
	static const char *const tiers[] = {"interpreter", "tier 1", "tier 2"};

	printf("%s %08" PRIx64, b->region ? "region" : "block", b->pc);
	if (b->symbol)
		printf(" <%s>", b->symbol);
	printf(" %s, %s", b->mode, tiers[a->tier]);
	if (a->tier != b->tier)
		printf(" -> %s", tiers[b->tier]);
	if (b->region)
		print_number("blocks", a->blocks, b->blocks);
	print_number("instructions", a->instructions, b->instructions);
	if (a->has_host && b->has_host) {
		print_number("host bytes", a->host_bytes, b->host_bytes);
		print_per_cent(a->host_bytes, b->host_bytes);
	} else if (a->has_host || b->has_host) {
		printf(", host code only in %s", a->has_host ? "A" : "B");
	}
	putchar('\n');
	if (a != b && strcmp(a->symbol ? a->symbol : "", b->symbol ? b->symbol : "") != 0)
		printf(" name: '%s' -> '%s'\n", a->symbol ? a->symbol : "", b->symbol ? b->symbol : "");
	if (a != b && strcmp(a->again ? a->again : "", b->again ? b->again : "") != 0)
		printf(" made again: '%s' -> '%s'\n", a->again ? a->again : "", b->again ? b->again : "");
}

/* ---- lines ---- */

/* Where in a block a line is: the title of its stage, the guest instruction that it comes from. */
struct place {
	const char *title, *insn;
};

static void note_place(struct place *p, const struct diff_line *l)
{
	if (dump_line_is_title(l->text))
		*p = (struct place){l->text + 1, NULL};
	else if (strncmp(l->text, "\t; ", 3) == 0)
		p->insn = l->text + 3;
}

static void show_line(struct differ *d, char op, const struct diff_line *l, const struct place *p, bool *first)
{
	if (!d->json) {
		printf("%c%s\n", op, l->text);
		return;
	}
	printf("%s{\"op\":\"%c\",\"stage\":", *first ? "\n  " : ",\n  ", op);
	json_print_string(stdout, p->title);
	fputs(",\"text\":", stdout);
	json_print_string(stdout, l->text);
	putchar('}');
	*first = false;
}

static void show_lines(struct differ *d, const struct pair *pair)
{
	const struct dump_entry *a = pair->a, *b = pair->b;
	struct place place = {"guest", NULL};
	bool first = true, open = false;

	for (size_t i = 0, k = 0; i < a->n_lines || k < b->n_lines;) {
		bool out = i < a->n_lines && a->line[i].changed, in = k < b->n_lines && b->line[k].changed;

		if ((out || in) && !open && !d->json)
			printf("@@ -%zu +%zu @@ %s%s%s\n", i + 1, k + 1, place.title, place.insn ? ": " : "",
			       place.insn ? place.insn : "");
		open = out || in;
		note_place(&place, out ? &a->line[i] : &b->line[k]);
		if (out) {
			show_line(d, '-', &a->line[i++], &place, &first);
		} else if (in) {
			show_line(d, '+', &b->line[k++], &place, &first);
		} else {
			i++, k++;
		}
	}
}

/* ---- JSON ---- */

static void json_numbers(const char *key, const struct pair *p, bool there[2], uint64_t a, uint64_t b)
{
	printf(",\"%s\":[", key);
	fputs(p->a && there[0] ? "" : "null", stdout);
	if (p->a && there[0])
		printf("%" PRIu64, a);
	fputs(p->b && there[1] ? "," : ",null", stdout);
	if (p->b && there[1])
		printf("%" PRIu64, b);
	putchar(']');
}

static void json_again(const struct dump_entry *e)
{
	if (e && e->again)
		json_print_string(stdout, e->again);
	else
		fputs("null", stdout);
}

static void json_pair(struct differ *d, const struct pair *p)
{
	const struct dump_entry *one = p->b ? p->b : p->a, *a = p->a ? p->a : one, *b = p->b ? p->b : one;
	bool all[2] = {true, true}, host[2] = {a->has_host, b->has_host};

	printf("%s {\"status\":\"%s\",\"kind\":\"%s\",\"pc\":\"0x%08" PRIx64 "\",\"mode\":", d->shown ? ",\n" : "\n",
	       !p->b   ? "only in A"
	       : !p->a ? "only in B"
		       : "changed",
	       one->region ? "region" : "block", one->pc);
	json_print_string(stdout, one->mode);
	if (one->symbol) {
		fputs(",\"symbol\":", stdout);
		json_print_string(stdout, one->symbol);
	}
	json_numbers("tier", p, all, a->tier, b->tier);
	json_numbers("instructions", p, all, a->instructions, b->instructions);
	if (one->region)
		json_numbers("blocks", p, all, a->blocks, b->blocks);
	json_numbers("host_bytes", p, host, a->host_bytes, b->host_bytes);
	fputs(",\"again\":[", stdout);
	json_again(p->a);
	putchar(',');
	json_again(p->b);
	fputs("],\n  \"lines\":[", stdout);
	if (p->a && p->b)
		show_lines(d, p);
	fputs("]}", stdout);
	d->shown = true;
}

/* ---- all of it ---- */

static int show_pair(struct differ *d, const struct pair *p)
{
	const struct dump_entry *one = p->b ? p->b : p->a;

	if (p->equal)
		return 0;
	if (p->a && p->b && line_diff(p->a->line, p->a->n_lines, p->b->line, p->b->n_lines))
		return -ENOMEM;
	if (d->json) {
		json_pair(d, p);
		return 0;
	}
	if (!p->a || !p->b)
		printf("only in %s: ", p->a ? "A" : "B");
	print_heading(p->a ? p->a : one, one);
	if (p->a && p->b)
		show_lines(d, p);
	return 0;
}

static uint64_t host_bytes(const struct dump_file *f, bool *any)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < f->n; i++) {
		bytes += f->entry[i].host_bytes;
		*any |= f->entry[i].has_host;
	}
	return bytes;
}

static void show_summary(const struct differ *d)
{
	bool host[2] = {false, false};
	uint64_t a = host_bytes(&d->file[0], &host[0]), b = host_bytes(&d->file[1], &host[1]);
	struct pair both = {d->file[0].entry, d->file[1].entry, false};

	if (d->json) {
		printf("],\n\"equal\":%zu,\"changed\":%zu,\"only_in_a\":%zu,\"only_in_b\":%zu", d->equal, d->changed,
		       d->only[0], d->only[1]);
		json_numbers("total", &both, (bool[]){true, true}, d->file[0].n, d->file[1].n);
		json_numbers("host_bytes", &both, host, a, b);
		puts("}");
		return;
	}
	printf("%zu -> %zu blocks and regions: %zu equal, %zu changed, %zu only in A, %zu only in B", d->file[0].n,
	       d->file[1].n, d->equal, d->changed, d->only[0], d->only[1]);
	if (host[0] && host[1]) {
		printf("; host bytes %" PRIu64 " -> %" PRIu64, a, b);
		print_per_cent(a, b);
	}
	putchar('\n');
}

static int run(struct differ *d, const char *const path[2], struct loader_error *err)
{
	int r = 0;

	for (int f = 0; !r && f < 2; f++)
		r = dump_file_read(&d->file[f], path[f], err);
	if (r)
		return r;
	if (d->file[0].json != d->file[1].json) {
		snprintf(err->text, sizeof(err->text),
			 "%.200s is JSON, %.200s is text: two of one kind can be compared",
			 path[d->file[0].json ? 0 : 1], path[d->file[0].json ? 1 : 0]);
		return -EINVAL;
	}
	snprintf(err->text, sizeof(err->text), "%s", strerror(ENOMEM));
	r = pair_all(d);
	if (!r && d->json)
		fputs("{\"blocks\":[", stdout);
	for (size_t i = 0; !r && i < d->n_pairs; i++)
		r = show_pair(d, &d->pair[i]);
	if (!r)
		show_summary(d);
	return r;
}

int dump_diff(const char *a, const char *b, bool json)
{
	struct differ d = {.json = json};
	struct loader_error err = {{0}};
	int r = run(&d, (const char *const[]){a, b}, &err);

	if (!r && (fflush(stdout) || ferror(stdout))) {
		r = -EIO;
		snprintf(err.text, sizeof(err.text), "standard output: %s", strerror(errno));
	}
	if (r)
		fprintf(stderr, "disco dump: --diff: %s\n", err.text);
	for (int f = 0; f < 2; f++) {
		dump_file_free(&d.file[f]);
		free(d.rest[f]);
	}
	free(d.pair);
	return r ? DUMP_DIFF_TROUBLE : d.n_pairs > d.equal ? DUMP_DIFF_DIFFERENT : DUMP_DIFF_EQUAL;
}
