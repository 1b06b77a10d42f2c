/* SPDX-License-Identifier: MIT */
/* What is told of pages (numa/watch.h) is counted, written down, read again and summed up; damaged logs are told from whole ones. */
#define _GNU_SOURCE
#include "vmm/look/numa_log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/disco-numa-log-XXXXXX";

static void make_file(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
}

static void remove_file(void) { unlink(path); }

TestSuite(numa_log, .init = make_file, .fini = remove_file);

static struct numa_config config(void)
{
	struct numa_config cfg;

	numa_config_default(&cfg);
	cfg.nodes = 4;
	return cfg;
}

static struct numa_watch *watch(bool simulated, bool log)
{
	struct numa_config numa = config();
	struct numa_watch_config cfg = {.numa = &numa,
					.rows = simulated ? numa_config_rows : numa_sample_rows,
					.mode = simulated ? "flash" : "sample",
					.simulated = simulated,
					.log = log ? fopen(path, "w") : NULL};
	struct numa_watch *w;

	cr_assert_eq(numa_watch_new(&w, &cfg), 0);
	return w;
}

static void tell(struct numa_watch *w, enum numa_event event, uint64_t at_ms, unsigned machine, uint64_t gpn,
		 unsigned from, unsigned node, uint32_t misses)
{
	static const enum policy_reason why[NUM_NUMA_EVENTS] = {
	    [NUMA_MIGRATE] = POLICY_ONE_USER, [NUMA_REPLICATE] = POLICY_READERS, [NUMA_COLLAPSE] = POLICY_WRITTEN,
	    [NUMA_FREEZE] = POLICY_FROZEN,    [NUMA_LEAVE] = POLICY_WRITTEN,     [NUMA_REFUSED] = POLICY_ONE_USER};
	uint32_t of[4] = {0};
	struct numa_decided d = {.event = event,
				 .reason = why[event],
				 .at_ns = at_ms * 1000000,
				 .interval = (uint32_t)(at_ms / 100),
				 .machine = machine,
				 .cpu = node,
				 .node = node,
				 .gpn = gpn,
				 .from = from,
				 .class = MEMORY_PRIVATE,
				 .misses = of,
				 .copies = 1,
				 .cost_ns = 60000,
				 .weight = misses};

	of[node] = misses;
	numa_watch_event(w, &d);
}

/* A little of everything. */
static void tell_story(struct numa_watch *w)
{
	struct numa_node node[4] = {{.used = 10, .local = 5, .remote = 95}, {.used = 20}, {.used = 1}, {.used = 2}};

	numa_watch_machine(w, 1, "web<1>", 64 << 20);
	numa_watch_machine(w, 2, "vm2", 16 << 20);
	tell(w, NUMA_MIGRATE, 10, 1, 100, 0, 3, 128);
	tell(w, NUMA_MIGRATE, 20, 1, 101, 0, 3, 130);
	tell(w, NUMA_REPLICATE, 30, 2, 100, 1, 2, 200);
	numa_watch_nodes(w, 100 * 1000000ull, node);
	tell(w, NUMA_COLLAPSE, 110, 2, 100, 2, 1, 1);
	tell(w, NUMA_FREEZE, 120, 1, 100, 3, 3, 0);
	tell(w, NUMA_LEAVE, 130, 1, 100, 3, 0, 500);
	tell(w, NUMA_REFUSED, 140, 1, 7, 0, 1, 128);
	numa_watch_guest(w, 150 * 1000000ull, 2, 1, 30, 10);
	node[0] = (struct numa_node){.used = 4, .local = 105, .remote = 195};
	numa_watch_nodes(w, 200 * 1000000ull, node);
}

static void read_log(struct numa_log *l, struct numa_sum *s)
{
	struct options_error err = {""};

	cr_assert_eq(numa_log_read(l, path, &err), 0, "%s", err.text);
	cr_assert_eq(numa_log_sum(s, l), 0);
}

Test(numa_log, what_is_told_is_read)
{
	struct numa_watch *w = watch(true, true);
	struct numa_log l;
	struct numa_sum s;

	tell_story(w);
	cr_assert_eq(numa_watch_free(w), 0);
	read_log(&l, &s);
	cr_expect(l.ended && l.simulated && l.nodes == 4 && l.cpus_per_node == 1);
	cr_expect_eq(l.last_ns, 200 * 1000000ull);
	cr_expect(strstr(l.parameters, "nodes=4 ") && strstr(l.parameters, "trigger=128"), "%s", l.parameters);
	cr_expect(s.event[NUMA_MIGRATE] == 2 && s.event[NUMA_REPLICATE] == 1 && s.event[NUMA_COLLAPSE] == 1 &&
		  s.event[NUMA_FREEZE] == 1 && s.event[NUMA_LEAVE] == 1 && s.event[NUMA_REFUSED] == 1);
	cr_expect_eq(s.reason[NUMA_LEAVE][POLICY_WRITTEN], 1);
	cr_expect_eq(s.n_pages, 4);
	/* 100 of the first machine: 128 + 500; then that of the second */
	cr_expect(s.page[0].machine == 1 && s.page[0].page == 100 && s.page[0].misses == 628 && s.page[0].events == 3);
	cr_expect(s.page[0].node == 3 && s.page[0].event[NUMA_MIGRATE] == 1);
	cr_expect(s.page[1].machine == 2 && s.page[1].page == 100 && s.page[1].misses == 201 && s.page[1].node == 2);
	cr_assert_eq(s.n_machines, 2);
	cr_expect(s.machine[0].number == 1 && s.machine[0].pages == 3 && s.machine[1].pages == 1);
	cr_expect_str_eq(s.machine[0].machine->name, "web<1>");
	cr_expect(s.machine[1].near == 30 && s.machine[1].far == 10 && s.machine[1].machine->pages == 4096);
	cr_expect(s.node[0].used == 4 && s.node[0].pages == 10 && s.node[0].local == 105 && s.node[0].remote == 195);
	cr_expect(s.node[3].migrated == 2 && s.node[2].replicated == 1 && s.node[1].collapsed == 1 &&
		  s.node[0].left == 1);
	numa_sum_free(&s);
	numa_log_free(&l);
}

/* How often `what` is in text. */
static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

Test(numa_log, shown)
{
	for (int simulated = 0; simulated < 2; simulated++) {
		struct numa_watch *w = watch(simulated, true);
		char *text = NULL, *svg = NULL;
		struct numa_log l;
		struct numa_sum s;
		size_t n;
		FILE *f;

		tell_story(w);
		cr_assert_eq(numa_watch_free(w), 0);
		read_log(&l, &s);
		f = open_memstream(&text, &n);
		numa_sum_print(&s, "the-log", f);
		numa_sum_print_json(&s, f);
		fclose(f);
		cr_expect(
		    strstr(text, simulated
				     ? "the-log: --numa flash, 4 nodes of 1 processor, 0.200 s of simulated time\n"
				     : "--numa sample, 4 nodes of 1 processor, 0.200 s of the host's time\n"),
		    "%s", text);
		cr_expect(strstr(text, simulated ? "migrate             2       10.0     60.0  used by one node: 2\n"
						 : "migrate             2       10.0        -  used by one node: 2\n"),
			  "%s", text);
		cr_expect(strstr(text, "web<1>           0x00064000 private"), "%s", text);
		cr_expect(strstr(text, "75.0%\n"), "%s", text);
		cr_expect_eq(count(text, "trigger=128"), simulated ? 2 : 0, "%s", text);
		cr_expect_eq(count(text, "local-misses"), simulated ? 4 : 0);
		f = open_memstream(&svg, &n);
		numa_sum_draw(&s, "a&b<c", f);
		fclose(f);
		cr_expect(strncmp(svg, "<svg ", 5) == 0 && strcmp(svg + n - 7, "</svg>\n") == 0);
		cr_expect(strstr(svg, "a&amp;b&lt;c:") && strstr(svg, "Pages of web&lt;1>"), "%s", svg);
		cr_expect_eq(count(svg, "width=\"3\" height=\"2\""), simulated ? 4 + 2 : 5 + 2,
			     "a cell for each page and time; a frozen page has had no miss");
		cr_expect_eq(count(svg, "<polyline"), 1 + 4, "what is near, and the memory of each node");
		free(text);
		free(svg);
		numa_sum_free(&s);
		numa_log_free(&l);
	}
}

Test(numa_log, counted)
{
	struct numa_watch *w = watch(false, false);
	struct numa_look look;

	tell_story(w);
	numa_watch_misses(w, 2, 30, 40);
	numa_watch_look(w, &look);
	cr_expect(look.n_nodes == 4 && !look.counted && strcmp(look.mode, "sample") == 0);
	cr_expect(look.node[3].migrated == 2 && look.node[2].replicated == 1 && look.node[2].remote == 40);
	cr_expect_eq(look.events[NUMA_LEAVE], 1);
	cr_assert_eq(look.n_hot, 4);
	cr_expect(look.hot[0].machine == 1 && look.hot[0].gpn == 100 && look.hot[0].heat == 628 &&
		  look.hot[0].moves == 1);
	cr_expect(look.hot[1].machine == 2 && look.hot[1].copies == 1 && look.hot[1].node == 2);
	cr_assert_eq(numa_watch_free(w), 0);
	numa_watch_event(NULL, NULL);
	numa_watch_look(NULL, &look);
	cr_expect_eq(look.n_nodes, 0);
}

/* Of thousands of pages those that are hot are found, and what was hot before gives way. */
Test(numa_log, hottest)
{
	struct numa_watch *w = watch(false, false);
	struct numa_look look;

	for (unsigned i = 0; i < 20000; i++) {
		tell(w, NUMA_LEAVE, 0, 1, 1000 + i % 5000, 0, 1, 1);
		if (i % 10 == 0)
			tell(w, NUMA_LEAVE, 0, 1, 7, 0, 1, 1);
		if (i % 20 == 0)
			tell(w, NUMA_LEAVE, 0, 2, 7, 0, 1, 1);
	}
	numa_watch_look(w, &look);
	cr_expect_eq(look.n_hot, NUMA_HOT_PAGES);
	cr_expect(look.hot[0].gpn == 7 && look.hot[0].machine == 1 && look.hot[0].heat >= 2000);
	cr_expect(look.hot[1].gpn == 7 && look.hot[1].machine == 2);
	for (unsigned s = 1; s < 20; s++)
		tell(w, NUMA_LEAVE, 1000 * s, 3, 9, 0, 1, 100);
	numa_watch_look(w, &look);
	cr_expect(look.hot[0].gpn == 9 && look.hot[0].machine == 3 && look.hot[0].heat < 400, "%lu",
		  (unsigned long)look.hot[0].heat);
	cr_assert_eq(numa_watch_free(w), 0);
}

Test(numa_log, frozen)
{
	struct policy_history before = {0}, after = {0};
	struct numa_config cfg = config();
	struct numa_decided d = {.event = NUMA_MIGRATE, .node = 1, .reason = POLICY_ONE_USER};
	struct numa_watch *w = watch(false, false);
	struct numa_look look;

	for (unsigned i = 0; i < cfg.freeze; i++) {
		before = after;
		policy_moved(&cfg, &after, i, false);
		numa_watch_event(w, &d);
		numa_watch_froze(w, &d, &before, &after);
		numa_watch_look(w, &look);
		cr_expect_eq(look.events[NUMA_FREEZE], i + 1 == cfg.freeze, "%u", i);
	}
	cr_assert_eq(numa_watch_free(w), 0);
}

Test(numa_log, due)
{
	struct numa_watch *w = watch(false, true);

	cr_expect_not(numa_watch_due(w, 99 * 1000000));
	cr_expect(numa_watch_due(w, 100 * 1000000));
	cr_expect_not(numa_watch_due(w, 150 * 1000000));
	cr_expect(numa_watch_due(w, 210 * 1000000));
	cr_assert_eq(numa_watch_free(w), 0);
	w = watch(false, false);
	cr_expect_not(numa_watch_due(w, UINT64_MAX / 2), "there is no log");
	cr_assert_eq(numa_watch_free(w), 0);
}

Test(numa_log, full_disk)
{
	struct numa_config numa = config();
	struct numa_watch_config cfg = {
	    .numa = &numa, .rows = numa_sample_rows, .mode = "sample", .log = fopen("/dev/full", "w")};
	struct numa_watch *w;

	cr_assert_eq(numa_watch_new(&w, &cfg), 0);
	tell_story(w);
	cr_expect_lt(numa_watch_free(w), 0);
}

#define HEAD                                                                                                           \
	"{\"disco-numa-log\":1,\"mode\":\"sample\",\"simulated\":false,\"nodes\":2,\"cpus-per-node\":1,"               \
	"\"parameters\":[]}\n"
#define EVENT "\"at\":1,\"interval\":0,\"machine\":1,\"page\":5,\"class\":\"private\",\"processor\":0,"

static void refused(const char *text, size_t n, const char *says)
{
	struct options_error err = {""};
	FILE *f = fopen(path, "w");
	struct numa_log l;

	fwrite(text, 1, n, f);
	fclose(f);
	cr_expect_eq(numa_log_read(&l, path, &err), -EINVAL, "%s", text);
	cr_expect(strstr(err.text, says), "'%s', not '%s', of %s", err.text, says, text);
	cr_expect(strstr(err.text, path) && !strchr(err.text, '\n'));
	numa_log_free(&l);
}

Test(numa_log, damaged)
{
	static const char *const t[][2] = {
	    {"", "line 1: not a log of --numa-log: it is empty"},
	    {"\n", "line 1: not JSON"},
	    {"[]\n", "line 1: no object"},
	    {"{}\n", "line 1: not a log of --numa-log"},
	    {"{\"disco-numa-log\":2}\n", "line 1: written by another version"},
	    {"{\"disco-numa-log\":1}\n", "line 1: no 'mode'"},
	    {"{\"disco-numa-log\":1,\"mode\":\"x\",\"nodes\":0,\"cpus-per-node\":1}\n", "no nodes"},
	    {"{\"disco-numa-log\":1,\"mode\":\"x\",\"nodes\":65,\"cpus-per-node\":1}\n", "'nodes' is 65, at most 64"},
	    {HEAD "{}\n", "line 2: no 'event'"},
	    {HEAD "{\"event\":\"migrate\",\"at\":-1}\n", "line 2: 'at' is no number from 0 on"},
	    {HEAD "{\"event\":\"migrate\",\"at\":1.5}\n", "line 2: 'at' is no number from 0 on"},
	    {HEAD "{\"event\":\"fly\",\"at\":1}\n", "line 2: 'event' is 'fly', which nothing is called"},
	    {HEAD "{\"event\":\"migrate\"," EVENT "\"node\":1,\"from\":0,\"copies\":1}\n", "no 'reason'"},
	    {HEAD "{\"event\":\"migrate\"," EVENT "\"reason\":\"used by one node\",\"node\":2}\n",
	     "'node' is 2, at most 1"},
	    {HEAD
	     "{\"event\":\"migrate\"," EVENT
	     "\"reason\":\"used by one node\",\"node\":1,\"from\":0,\"copies\":1,\"writes\":0,\"misses\":[1,2,3]}\n",
	     "'misses' is no list"},
	    {HEAD "{\"event\":\"nodes\",\"at\":1,\"used\":[1]}\n", "'used' is no list of 2 numbers"},
	    {HEAD "{\"event\":\"guest\",\"at\":1,\"machine\":2000}\n", "'machine' is 2000"},
	    {HEAD "{\"event\":\"end\",\"at\":1,\"lines\":3}\n",
	     "says that there were 3 lines before it, but there are 0"},
	    {HEAD "{\"event\":\"end\",\"at\":1,\"lines\":0}\n{}\n", "line 3: something stands behind the last line"},
	    {HEAD "{\"event\":\"gue", "line 2: cut off in the middle"},
	    {HEAD "{\"event\":\"gue\n", "line 2: not JSON"},
	};
	char *huge = malloc(200000), nul[] = HEAD "{\"event\"\0:1}\n";

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		refused(t[i][0], strlen(t[i][0]), t[i][1]);
	memset(huge, 'x', 200000);
	refused(huge, 200000, "line 1: no text of JSON, or longer");
	refused(nul, sizeof(nul) - 1, "line 2: no text of JSON");
	free(huge);
}

/* Whatever bytes of a log change, or where it ends: it is read, or one line says what is wrong. */
Test(numa_log, any_damage)
{
	struct numa_watch *w = watch(true, true);
	static char text[1 << 16];
	unsigned whole = 0, cut = 0;
	uint64_t rng = 1;
	size_t n;
	FILE *f;

	tell_story(w);
	cr_assert_eq(numa_watch_free(w), 0);
	f = fopen(path, "r");
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	for (unsigned i = 0; i < 600; i++) {
		struct options_error err = {""};
		struct numa_log l;
		char copy[sizeof(text)];
		size_t at, end = n;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		at = (size_t)(rng >> 33) % n;
		memcpy(copy, text, n);
		if (i % 2)
			copy[at] = (char)(rng >> 20);
		else
			end = at;
		f = fopen(path, "w");
		fwrite(copy, 1, end, f);
		fclose(f);
		if (numa_log_read(&l, path, &err) == 0) {
			struct numa_sum s;

			whole++;
			cut += !l.ended;
			cr_assert_eq(numa_log_sum(&s, &l), 0);
			numa_sum_free(&s);
		} else {
			cr_assert(err.text[0] && !strchr(err.text, '\n'));
		}
		numa_log_free(&l);
	}
	cr_expect(whole > 10 && whole < 400 && cut < whole, "%u of 600 were read, %u without an end", whole, cut);
}
