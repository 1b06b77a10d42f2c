/* SPDX-License-Identifier: MIT */
/*
 * Isolation: a machine that does everything wrong, beside one that computes, in one monitor.
 * usage: isolation [--inputs N] [--seed N] [--tiers interp|1|12] [--every N] [--processors N] [--json FILE]
 *
 * Every so many inputs (--every) all are stopped and everything is looked at: what machine B has in memory, the pages around it, the
 * monitor's own, and an audit.  Status 0: nothing has changed, and B's result is right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "tests/isolation/isolation.h"
#include "vmm/monitor/sched.h"

struct options {
	uint64_t inputs, seed, every, processors;
	bool tier1, tier2;
	const char *json;
};

struct outcome {
	uint64_t checks, changed;
	char first[300];
	uint64_t first_at; /* the input after which it was seen */
	uint64_t rounds;
	bool right, image, outside;
	double seconds;
};

static int usage(const char *what)
{
	fprintf(stderr,
		"isolation: '%s': usage: isolation [--inputs N] [--seed N] [--tiers interp|1|12] [--every N] "
		"[--processors N] [--json FILE]\n",
		what);
	return 2;
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse_one(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "--inputs") == 0)
		return number(value, &o->inputs);
	if (strcmp(name, "--seed") == 0)
		return number(value, &o->seed);
	if (strcmp(name, "--every") == 0)
		return number(value, &o->every) && o->every;
	if (strcmp(name, "--processors") == 0)
		return number(value, &o->processors) && o->processors <= SCHED_MAX_PROCESSORS;
	if (strcmp(name, "--json") == 0) {
		o->json = value;
		return true;
	}
	o->tier1 = strcmp(value, "interp") != 0;
	o->tier2 = strcmp(value, "12") == 0;
	return strcmp(name, "--tiers") == 0 && (o->tier2 || !o->tier1 || strcmp(value, "1") == 0);
}

/* ---- files ---- */

static bool write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fputs(text, f) >= 0;

	return f && !fclose(f) && ok;
}

static bool open_scratch(struct scratch *s, uint64_t seed)
{
	const char *tmp = getenv("TMPDIR");
	char path[400];

	snprintf(s->dir, sizeof(s->dir), "%.60s/disco-isolation.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(s->dir))
		return false;
	snprintf(s->disk, sizeof(s->disk), "%s/disk", s->dir);
	snprintf(s->image, sizeof(s->image), "%s/image", s->dir);
	snprintf(s->share, sizeof(s->share), "%s/share", s->dir);
	snprintf(s->outside, sizeof(s->outside), "%s/outside", s->dir);
	snprintf(path, sizeof(path), "mkdir -p %s/a/b && truncate -s 1M %s", s->share, s->disk);
	if (system(path))
		return false;
	snprintf(path, sizeof(path), "%s/a/file", s->share);
	return write_file(path, "contents") && write_file(s->outside, "untouched") && victim_make_image(s->image, seed);
}

/* Nothing that A may not reach is changed, or new. */
static bool is_outside_untouched(const struct scratch *s)
{
	char command[400];

	snprintf(command, sizeof(command),
		 "[ \"$(cat %s)\" = untouched ] && [ \"$(ls -A %s | tr '\\n' ' ')\" = 'disk image outside share ' ]",
		 s->outside, s->dir);
	return system(command) == 0;
}

static void close_scratch(const struct scratch *s)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s", s->dir);
	if (system(command))
		fprintf(stderr, "isolation: %s stays\n", s->dir);
}

/* ---- the run ---- */

static void check(struct victim *v, const struct attack *a, struct outcome *out)
{
	char text[300];
	unsigned n = victim_check(v, text, sizeof(text));

	out->checks++;
	if (n && !out->changed) {
		memcpy(out->first, text, sizeof(out->first));
		out->first_at = attack_counts(a)->inputs;
	}
	out->changed += n;
}

/* Inputs until they are done, or something has changed. */
static void attack_all(const struct options *o, struct attack *a, struct victim *v, struct outcome *out)
{
	uint64_t shown = host_now_ns();

	for (uint64_t i = 0; i < o->inputs && !out->changed; i++) {
		struct random r = {o->seed ^ i << 20};

		attack_input(a, random_next(&r));
		if ((i + 1) % o->every == 0)
			check(v, a, out);
		if (isatty(STDERR_FILENO) && host_now_ns() - shown > 1000000000u) {
			shown = host_now_ns();
			fprintf(stderr, "\r%lu inputs", (unsigned long)i);
		}
	}
	attack_forget_machine(a);
	if (!out->changed)
		check(v, a, out);
}

static void print(FILE *f, const struct options *o, const struct attack_counts *c, const struct outcome *out)
{
	fprintf(
	    f,
	    "{\"inputs\": %lu, \"seed\": %lu, \"machines\": %lu, \"changed\": %lu, \"checks\": %lu, \"result_right\": "
	    "%s, "
	    "\"image_unchanged\": %s, \"files_outside_unchanged\": %s, \"victim_rounds\": %lu, \"seconds\": %.1f,\n",
	    (unsigned long)c->inputs, (unsigned long)o->seed, (unsigned long)c->machines, (unsigned long)out->changed,
	    (unsigned long)out->checks, out->right ? "true" : "false", out->image ? "true" : "false",
	    out->outside ? "true" : "false", (unsigned long)out->rounds, out->seconds);
	fprintf(
	    f,
	    " \"instructions\": %lu, \"exceptions\": %lu, \"ended_by_reset\": %lu, \"ended_by_time\": %lu, "
	    "\"powered_off\": %lu, "
	    "\"out_of_memory\": %lu, \"chains\": %lu, \"kicks\": %lu, \"requests_done\": %lu, \"devices_broken\": %lu, "
	    "\"frames\": %lu}\n",
	    (unsigned long)c->insns, (unsigned long)c->exceptions, (unsigned long)c->ends[VM_RESET],
	    (unsigned long)c->ends[VM_QUIT], (unsigned long)c->ends[VM_POWER_OFF], (unsigned long)c->ends[VM_NO_MEMORY],
	    (unsigned long)c->rings, (unsigned long)c->kicks, (unsigned long)c->requests, (unsigned long)c->broken,
	    (unsigned long)c->frames);
}

/* Did the inputs get anywhere? Nothing would be changed by ones that do not. */
static bool is_worth(const struct attack_counts *c)
{
	return c->insns > c->inputs * 4 && c->requests > c->inputs / 16 && c->broken && c->exceptions;
}

static int report(const struct options *o, const struct attack_counts *c, const struct outcome *out)
{
	FILE *f = o->json ? fopen(o->json, "w") : NULL;

	print(stdout, o, c, out);
	if (f)
		print(f, o, c, out);
	if (o->json && (!f || fclose(f))) {
		fprintf(stderr, "isolation: %s: %s\n", o->json, strerror(errno));
		return 1;
	}
	if (out->changed)
		fprintf(stderr, "isolation: after input %lu of seed %lu: changed: %s\n", (unsigned long)out->first_at,
			(unsigned long)o->seed, out->first);
	if (!out->image || !out->outside)
		fprintf(stderr, "isolation: files that are not the machine's have been changed\n");
	if (o->inputs >= 1000 && !is_worth(c))
		fprintf(stderr, "isolation: the inputs got nowhere\n");
	return out->changed || !out->right || !out->image || !out->outside || (o->inputs >= 1000 && !is_worth(c));
}

static int run(const struct options *o)
{
	struct outcome out = {0};
	struct attack_counts counts;
	uint64_t from = host_now_ns();
	struct monitor *mon;
	struct scratch s;
	struct attack *a;
	struct victim *v;

	if (!open_scratch(&s, o->seed) ||
	    monitor_new(&mon, &(struct monitor_config){.memory_bytes = 6u * ISOLATION_RAM_BYTES,
						       .nodes = 1,
						       .share = true,
						       .processors = (unsigned)o->processors})) {
		fprintf(stderr, "isolation: no room for the files, or no memory\n");
		return 2;
	}
	v = victim_new(mon, &s, o->seed, o->tier1, o->tier2);
	a = attack_new(mon, &s, o->tier1, o->tier2);
	attack_all(o, a, v, &out);
	out.rounds = victim_rounds(v);
	out.right = victim_end(v);
	counts = *attack_counts(a);
	attack_free(a);
	victim_free(v);
	out.image = victim_image_is(s.image, o->seed);
	out.outside = is_outside_untouched(&s);
	out.seconds = (double)(host_now_ns() - from) / 1e9;
	monitor_free(mon);
	close_scratch(&s);
	return report(o, &counts, &out);
}

int main(int argc, char **argv)
{
	struct options o = {.inputs = 20000, .seed = 1, .every = 4096, .tier1 = true, .tier2 = true};

	for (int i = 1; i < argc; i += 2)
		if (i + 1 == argc || !parse_one(&o, argv[i], argv[i + 1]))
			return usage(argv[i]);
	return run(&o);
}
