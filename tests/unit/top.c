/* SPDX-License-Identifier: MIT */
/* `disco top` on terminals of all sizes: nothing is wider or higher than they are, what matters stays, order and scrolling. */
#define _GNU_SOURCE
#include "vmm/cli/top.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 70 };

struct world {
	struct found_machine was[MOST], is[MOST];
	struct found_monitor monitor[3], before[3];
	struct found_nodes nodes[2];
	struct top_looks looks;
};

/* The first monitor has nodes, of which the second one's processors missed, and it was given pages. */
static void put_nodes(struct world *w)
{
	for (unsigned i = 0; i < 2; i++)
		w->nodes[i] = (struct found_nodes){
		    .mode = "flash", .counted = true, .n = 2, .node = {{.pages = 16384, .used = 512}, {.pages = 8192}}};
	w->nodes[1].node[1] =
	    (struct numa_node){.pages = 8192, .used = 256, .local = 300, .remote = 100, .migrated = 5, .replicated = 7};
	w->nodes[1].n_hot = 2;
	w->nodes[1].hot[0] = (struct found_page){.machine = "m00",
						 .symbol = "memcpy+0x10",
						 .class = "private",
						 .address = 0x123000,
						 .heat = 99,
						 .moves = 3,
						 .node = 1,
						 .copies = 1};
	w->nodes[1].hot[1] = (struct found_page){.machine = "m01", .class = "disk-block", .address = 0x4000, .heat = 9};
	w->before[0] = w->monitor[0];
	w->before[0].nodes = &w->nodes[0];
	w->monitor[0].nodes = &w->nodes[1];
	w->looks.was.monitor = w->before;
	w->looks.was.n_monitors = 1;
}

static struct world *make(unsigned n, unsigned n_monitors)
{
	struct world *w = calloc(1, sizeof(*w));

	for (unsigned i = 0; i < n; i++) {
		struct found_machine *f = &w->was[i];

		snprintf(f->monitor, sizeof(f->monitor), "monitor-%u", i % n_monitors);
		snprintf(f->name, sizeof(f->name), "m%02u", i);
		snprintf(f->status, sizeof(f->status), i % 7 ? "running" : "guest-panicked");
		f->memory = 64 << 20;
		f->private_bytes = (uint64_t)(i % 5) << 20;
		f->vcpus = 1;
		w->is[i] = *f;
		w->is[i].processor_ms = 10 * (i * 37 % 101);
		w->is[i].insns[1] = i % 2 ? 10000000 : 0;
		w->is[i].insns[2] = i % 2 ? 30000000 : 0;
		w->is[i].up_ms = 3723000;
	}
	for (unsigned i = 0; i < n_monitors; i++) {
		snprintf(w->monitor[i].name, sizeof(w->monitor[i].name), "monitor-%u", i);
		w->monitor[i].processors = 2;
		w->monitor[i].process = (struct footprint){{80 << 20, 60 << 20}, 300 << 20};
	}
	w->looks = (struct top_looks){
	    .was = {.n = n, .machine = w->was},
	    .is = {.n = n, .machine = w->is, .n_monitors = n ? n_monitors : 0, .monitor = w->monitor},
	    .ms = 1000};
	return w;
}

/* Lines without what only moves, clears or makes bold. */
struct drawn {
	char *text; /* each line ends in '\n' */
	unsigned lines, widest;
};

static struct drawn draw(struct top_view *v, const struct world *w)
{
	struct drawn d = {0};
	char *raw = NULL, *to;
	unsigned width = 0;
	size_t n;
	FILE *f = open_memstream(&raw, &n);

	top_draw(v, &w->looks, f);
	fclose(f);
	cr_assert_eq(strncmp(raw, "\033[H", 3), 0);
	cr_assert(n >= 6 && strcmp(raw + n - 3, "\033[J") == 0);
	d.text = to = malloc(n + 2);
	for (const char *p = raw; *p; p++) {
		if (*p == '\033') {
			p += strcspn(p, "HKJm");
			continue;
		}
		*to++ = *p;
		width = *p == '\n' ? 0 : width + 1;
		d.lines += *p == '\n';
		d.widest = width > d.widest ? width : d.widest;
		cr_assert(*p == '\n' || (*p >= ' ' && *p <= '~'), "a byte %d", *p);
	}
	d.lines++;
	*to++ = '\n';
	*to = '\0';
	free(raw);
	return d;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

Test(top, every_size)
{
	static const unsigned machines[] = {0, 1, 3, MOST};

	for (unsigned k = 0; k < ARRAY_LEN(machines); k++) {
		struct world *w = make(machines[k], k % 3 + 1);

		if (k % 2)
			put_nodes(w);
		if (k == 2) { /* the longest names there are */
			memset(w->is[0].name, 'x', 37);
			memset(w->is[1].monitor, 'y', 37);
		}
		for (unsigned columns = 1; columns < 160; columns++)
			for (unsigned rows = 1; rows < 90; rows += rows < 30 ? 1 : 13) {
				struct top_view v = {.columns = columns, .rows = rows, .nodes = rows % 2};
				struct drawn d = draw(&v, w);

				cr_assert_leq(d.widest, columns, "%u x %u: a line of %u", columns, rows, d.widest);
				cr_assert_leq(d.lines, rows, "%u x %u: %u lines", columns, rows, d.lines);
				free(d.text);
			}
		free(w);
	}
}

/* What is left out, and what never is. */
Test(top, narrow)
{
	struct world *w = make(3, 1);
	static const struct {
		unsigned columns;
		const char *there, *not_there;
	} t[] = {{150, "UP", "?"},       {100, "SHARED", "?"},   {80, "SHARED", "UP"},   {80, "TIER2", "VCPU"},
		 {60, "MIPS", "TIER1"},  {60, "STATUS", "?"},    {40, "CPU%", "SHARED"}, {30, "MEMORY", "TIER2"},
		 {24, "CPU%", "STATUS"}, {10, "MACHINE", "CPU%"}};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		struct top_view v = {.columns = t[i].columns, .rows = 24};
		struct drawn d = draw(&v, w);

		cr_expect(strstr(d.text, t[i].there), "%u: no %s in\n%s", t[i].columns, t[i].there, d.text);
		cr_expect_null(strstr(d.text, t[i].not_there), "%u: %s in\n%s", t[i].columns, t[i].not_there, d.text);
		cr_expect_eq(count(d.text, "m0"), 3);
		free(d.text);
	}
	free(w);
}

Test(top, order_and_scrolling)
{
	struct world *w = make(MOST, 1);
	struct top_view v = {.columns = 100, .rows = 24};
	struct drawn d = draw(&v, w);
	unsigned page = v.page;

	cr_expect(page > 10 && page < 24);
	cr_expect_eq(count(d.text, "\nmonitor-0"), page);
	/* 37 i mod 101 is most for 30 */
	cr_expect(strstr(d.text, "UP\nmonitor-0 m30 "), "%s", d.text);
	free(d.text);
	v.order = TOP_BY_NAME;
	d = draw(&v, w);
	cr_expect(strstr(d.text, "m00") && strstr(d.text, "m01") && strstr(d.text, "m00") < strstr(d.text, "m01"));
	cr_expect(strstr(d.text, "by name;") && strstr(d.text, "arrows: more"));
	free(d.text);
	top_scroll(&v, 3);
	d = draw(&v, w);
	cr_expect(!strstr(d.text, "m02") && strstr(d.text, "m03"));
	free(d.text);
	top_scroll(&v, 1000);
	d = draw(&v, w);
	cr_expect(strstr(d.text, "m69") && v.first == MOST - page, "%u", v.first);
	free(d.text);
	top_scroll(&v, -1000);
	v.order = TOP_BY_MEMORY;
	d = draw(&v, w);
	cr_expect(v.first == 0 && strstr(d.text, "m04") && strstr(d.text, "m04") < strstr(d.text, "m09") &&
		      !strstr(d.text, "m00"),
		  "%s", d.text);
	free(d.text);
	/* fewer than before: those that there are */
	v.first = 60;
	w->looks.is.n = 2;
	d = draw(&v, w);
	cr_expect(strstr(d.text, "m00") && strstr(d.text, "m01"));
	free(d.text);
	w->looks.is.n = w->looks.is.n_monitors = 0;
	d = draw(&v, w);
	cr_expect(strstr(d.text, "no machine runs"));
	free(d.text);
	free(w);
}

Test(top, table_and_json)
{
	struct world *w = make(2, 1);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	top_print(&w->looks, f);
	top_print_json(&w->looks, f);
	fclose(f);
	cr_expect(
	    strstr(text, "monitor-0: 2 machines, 2 processors, vCPUs: 0 run, 0 wait; memory: 1M in 0M, 0M shared\n"),
	    "%s", text);
	cr_expect(
	    strstr(text,
		   "\nmonitor-0        m01              running           1   37.0    40.0   25%   75%    64M      1M"
		   "     0M  1:02:03\n"),
	    "%s", text);
	cr_expect(strstr(text, "m00              guest-panicked    1    0.0       -     -     -    64M"), "%s", text);
	cr_expect(strstr(text, "\"vcpus\":1,\"cpu-percent\":37.0,"), "%s", text);
	cr_expect(strstr(text, "\"mips\":40.0,\"interpreted-percent\":0,\"tier1-percent\":25,\"tier2-percent\":75"),
		  "%s", text);
	cr_expect_eq(count(text, "mips"), 1);
	free(text);
	free(w);
}

Test(top, nodes)
{
	static const char node[] =
	    "monitor-0           1    32M     1M       300       100  75.0%      5.0      7.0       0.0      0.0\n";
	static const char page[] =
	    "monitor-0        m00              0x00123000 private       1      1      3       99 memcpy+0x10\n";
	struct world *w = make(2, 2);
	struct top_view v = {.columns = 120, .rows = 30};
	struct drawn d = draw(&v, w);
	char *text = NULL;
	size_t n;
	FILE *f;

	cr_expect_null(strstr(d.text, "O: nodes"));
	free(d.text);
	put_nodes(w);
	d = draw(&v, w);
	cr_expect(strstr(d.text, "O: nodes") && !strstr(d.text, "REMOTE/s"));
	free(d.text);
	v.nodes = true;
	d = draw(&v, w);
	cr_expect(strstr(d.text, node) && strstr(d.text, page) && strstr(d.text, "O: machines"), "%s", d.text);
	cr_expect_null(strstr(d.text, "TIER2"));
	free(d.text);
	f = open_memstream(&text, &n);
	top_print(&w->looks, f);
	top_print_json(&w->looks, f);
	fclose(f);
	cr_expect(strstr(text, node) && strstr(text, page) && strstr(text, "TIER2"), "%s", text);
	cr_expect_eq(count(text, "\"numa\":{\"mode\":\"flash\",\"counted\":true,"), 1, "%s", text);
	cr_expect(strstr(text, "\"local-misses-per-second\":300.0,\"remote-misses-per-second\":100.0"), "%s", text);
	cr_expect(strstr(text, "\"heat\":99,\"symbol\":\"memcpy+0x10\"}"), "%s", text);
	free(text);
	w->nodes[1].counted = false;
	d = draw(&v, w);
	cr_expect(strstr(d.text, "1M         -         -      -      5.0"), "%s", d.text);
	free(d.text);
	free(w);
}
