/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include "frontend/cp0.h"
#include "jit/jit.h"
#include "vmm/monitor/sched.h"
#include "vmm/monitor/vm.h"

#include <ctype.h>
#include <getopt.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* With or without a fraction; what is below a millisecond counts as one. */
OPTION_TYPE(seconds, struct run_seconds);
static int option_seconds(void *field, const struct option_value *v)
{
	const char *p = v->text;
	uint64_t seconds = 0, ms = 0, unit = 100;
	bool rest = false;

	for (; isdigit((unsigned char)*p) && seconds <= SECONDS_MAX; p++)
		seconds = seconds * 10 + (uint64_t)(*p - '0');
	if (seconds > SECONDS_MAX)
		return option_bad(v, "at most %llu seconds", SECONDS_MAX);
	if (p > v->text && *p == '.' && isdigit((unsigned char)p[1]))
		for (p++; isdigit((unsigned char)*p); p++, unit /= 10) {
			ms += unit * (uint64_t)(*p - '0');
			rest |= !unit && *p != '0';
		}
	if (p == v->text || *p)
		return option_bad(v, "not a number of seconds; write 90, 2.5");
	if (!seconds && !ms && !rest)
		return option_bad(v, "a run needs some time");
	*(struct run_seconds *)field = (struct run_seconds){.text = v->text, .ms = seconds * 1000 + ms + rest};
	return 0;
}

OPTION_TYPE(machine_name, const char *);
static int option_machine_name(void *field, const struct option_value *v)
{
	size_t n = strlen(v->text);

	for (const char *c = v->text; *c; c++)
		if (!isalnum((unsigned char)*c) && (c == v->text || !strchr("._-", *c)))
			n = 0;
	if (!n || n > RUN_MAX_NAME_BYTES)
		return option_bad(v, "1 to %d letters, digits, '.', '_' and '-', the first a letter or digit",
				  RUN_MAX_NAME_BYTES);
	*(const char **)field = v->text;
	return 0;
}

OPTION_TYPE(vms, unsigned);
static int option_vms(void *field, const struct option_value *v)
{
	return option_number(v, 1, RUN_MAX_MACHINES, field);
}

/* "unix:PATH", or "[HOST:]PORT"; a HOST with colons of its own is in brackets. */
OPTION_TYPE(gdb, struct debug_address);
static int option_gdb(void *field, const struct option_value *v)
{
	static const char scheme[] = "unix:";
	struct debug_address *at = field;
	const char *colon = strrchr(v->text, ':'), *port = colon ? colon + 1 : v->text;
	const char *host = v->text;
	size_t n = colon ? (size_t)(colon - host) : 0;
	char *end;
	unsigned long number;

	*at = (struct debug_address){.text = v->text};
	if (strncmp(v->text, scheme, sizeof(scheme) - 1) == 0) {
		at->path = v->text + sizeof(scheme) - 1;
		return *at->path ? 0 : option_bad(v, "a socket's path has at least one byte");
	}
	errno = 0;
	number = strtoul(port, &end, 10);
	if (!isdigit((unsigned char)*port) || *end || errno || number > UINT16_MAX)
		return option_bad(v, "must be [HOST:]PORT, with a PORT from 0 to %u, or unix:PATH", UINT16_MAX);
	at->port = (uint16_t)number;
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n >= sizeof(at->host))
		return option_bad(v, "HOST is too long");
	memcpy(at->host, host, n);
	return 0;
}

OPTION_TYPE(merge, struct run_merge);
static int option_merge(void *field, const struct option_value *v)
{
	struct run_merge merge = {.given = true};
	char *end;
	unsigned long n;

	if (strcmp(v->text, "off") != 0) {
		errno = 0;
		n = strtoul(v->text, &end, 10);
		if (!isdigit((unsigned char)v->text[0]) || *end)
			return option_bad(v, "must be off, or a number of pages a second");
		if (errno || n < 1 || n > MERGE_MAX)
			return option_bad(v, "must be off, or from 1 to %d pages a second", MERGE_MAX);
		merge.pages = (unsigned)n;
	}
	*(struct run_merge *)field = merge;
	return 0;
}

OPTION_TYPE(processors, unsigned);
static int option_processors(void *field, const struct option_value *v)
{
	return option_number(v, 1, SCHED_MAX_PROCESSORS, field);
}

OPTION_TYPE(shares, unsigned);
static int option_shares(void *field, const struct option_value *v)
{
	return option_number(v, 1, SCHED_MAX_SHARES, field);
}

OPTION_TYPE(vcpus, unsigned);
static int option_vcpus(void *field, const struct option_value *v) { return option_number(v, 1, VM_MAX_VCPUS, field); }

OPTION_TYPE(cap, unsigned);
static int option_cap(void *field, const struct option_value *v) { return option_number(v, 1, 100, field); }

OPTION_TYPE(stats, const char *);
static int option_stats(void *field, const struct option_value *v)
{
	((struct run_options *)v->all)->stats = true;
	if (v->text && !*v->text)
		return option_bad(v, "the file's name is empty");
	*(const char **)field = v->text;
	return 0;
}

OPTION_TYPE(tty_on, enum run_tty);
static int option_tty_on(void *field, const struct option_value *v)
{
	*(enum run_tty *)field = RUN_TTY_ON;
	return 0;
}

OPTION_TYPE(tty_off, enum run_tty);
static int option_tty_off(void *field, const struct option_value *v)
{
	*(enum run_tty *)field = RUN_TTY_OFF;
	return 0;
}

const struct option_row options_run_rows[] = {
#define RUN_GROUP(head) OPTION_GROUP(head),
#define RUN_OPTION(...) OPTION_ROW(struct run_options, __VA_ARGS__),
#define RUN_LETTER(c, field, name, argument, parser, help_)                                                            \
	OPTION_ROW(struct run_options, field, name, argument, parser, help_, .letter = c),
#define RUN_LIST(field, name, argument, parser, rows, ...) RUN_ROWS(field, name, argument, parser, rows, __VA_ARGS__, )
#define RUN_ROWS(field, name, argument, parser, rows, help_, ...)                                                      \
	OPTION_ROW(struct run_options, field, name, argument, parser, help_, .sub = rows, __VA_ARGS__),
#define RUN_NOTE(name_, argument_, help_) {.name = name_, .argument = argument_, .help = help_},
#include "vmm/cli/options.def"
    OPTION_END};

/* What only the whole command line shows. */
static int run_check(const struct run_options *out, struct options_error *err)
{
	if (out->dump_filter.given && !out->dump)
		return options_bad(err, "--dump-filter: needs --dump");
	if (out->dump && !out->tier1 && !out->tier2 && strchr(out->dump, 'h'))
		return options_bad(err, "--dump %s: h is host code, and --tiers interp makes none", out->dump);
	if (out->dump && !out->tier2 && strpbrk(out->dump, "lL"))
		return options_bad(err, "--dump %s: l and L need tier 2, which --tiers left out", out->dump);
	if (out->store_bytes && !out->store.on)
		return options_bad(err, "--store-size: needs --store");
	if (out->store.on && !out->tier1)
		return options_bad(err, "--store: is of tier 1, which --tiers left out");
	if (out->store.on && out->dump)
		return options_bad(err, "--store: --dump shows what is translated, and so takes nothing from a store");
	if (out->hot.executions && !(out->tier1 && out->tier2))
		return options_bad(err, "--hot: needs both tiers, and --tiers left one out");
	if (out->gdb_wait && !out->gdb.text && out->control && strcmp(out->control, "none") == 0)
		return options_bad(err, "--gdb-wait: without --gdb and without a control socket no debugger can come");
	if (out->vcpus > 1 && out->dump)
		return options_bad(err,
				   "--vcpus: with --dump there is one, or what they have translated would be mixed up");
	if (out->vcpus > 1 && out->command)
		return options_bad(err, "--vcpus: a command runs in a Linux guest, which starts no further vCPUs");
	if (out->symbols && !out->dump && out->perf == RUN_PERF_OFF)
		return options_bad(err, "--symbols: needs --dump or --perf");
	if (out->perf_files && out->perf == RUN_PERF_OFF)
		return options_bad(err, "--perf-files: needs --perf");
	if (out->perf != RUN_PERF_OFF && !out->tier1 && !out->tier2)
		return options_bad(err, "--perf: is of translated code, and --tiers interp makes none");
	if (out->json && !out->dump)
		return options_bad(err, "--json: needs --dump");
	if (out->stable && !out->dump)
		return options_bad(err, "--stable: needs --dump");
	if ((out->dump_filter.tier == TIER_1 && !out->tier1) || (out->dump_filter.tier == TIER_2 && !out->tier2))
		return options_bad(err, "--dump-filter tier=%d: --tiers left it out", out->dump_filter.tier);
	if (out->numa_log && !out->numa.sample && !out->numa.flash)
		return options_bad(err, "--numa-log: needs --numa");
	return options_check_files(options_run_rows, out, err);
}

/*
 * What is behind the options.  last: where optind was after the last of them, so that a "--" which is an option's value
 * is not taken for the one that ends them.
 */
static int run_command_line(int argc, char **argv, int last, struct run_options *out, struct options_error *err)
{
	bool ended = optind == last + 1 && strcmp(argv[last], "--") == 0;

	if (optind < argc && !ended)
		return options_bad(
		    err,
		    "'%s': not an option; a command for the guest goes behind '--', the kernel's arguments "
		    "into --append",
		    argv[optind]);
	out->argc = (unsigned)(argc - optind);
	out->argv = argv + optind;
	if (ended && !out->argc && !out->script)
		return options_bad(err, "--: which command?");
	if (out->argc && !out->script && !*out->argv[0])
		return options_bad(err, "-- '': the command's name is empty");
	return 0;
}

void options_begin_run(struct run_options *out)
{
	*out = (struct run_options){
	    .speaker = "disco run",
	    .mem_bytes = MEM_DEFAULT_BYTES,
	    .cpu = cpu_model_find(CPU_DEFAULT),
	    .tiers = "12",
	    .jit_bytes = JIT_MEM_DEFAULT_BYTES,
	    .dump_filter = {.pc_high = UINT32_MAX, .mode = -1, .tier = -1},
	};
}

/* What no parser has placed: those of options_check_files(), and those that are written. */
static int place_files(struct run_options *out, struct options_error *err)
{
	int r = options_place(out, &out->stats_file, err);

	r = r ? r : options_place(out, &out->numa_log, err);
	if (out->trace.file && strcmp(out->trace.file, "none") != 0)
		r = r ? r : options_place(out, &out->trace.file, err);
	r = r ? r : options_place(out, &out->perf_files, err);
	r = r ? r : options_place(out, &out->gdb.path, err);
	r = r ? r : options_place(out, &out->store.folder, err);
	for (const struct option_row *row = options_run_rows; !r && (row->name || row->help); row++)
		if (row->parse == option_file)
			r = options_place(out, (const char **)(void *)((char *)out + row->offset), err);
	return r;
}

void options_say(const struct run_options *o, const char *fmt, ...)
{
	struct run_said *said = o->said;
	char text[1024];
	bool taken;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (said) {
		pthread_mutex_lock(&said->lock);
		taken = said->open;
		if (taken && !said->first.text[0])
			snprintf(said->first.text, sizeof(said->first.text), "%.500s", text);
		pthread_mutex_unlock(&said->lock);
		if (taken)
			return;
	}
	fprintf(stderr, "%s: %s\n", o->speaker, text);
}

int options_end_run(struct run_options *out, struct options_error *err)
{
	int r = place_files(out, err);

	if (r)
		return r;
	out->tier1 = strchr(out->tiers, '1') != NULL;
	out->tier2 = strchr(out->tiers, '2') != NULL;
	out->command |= out->argc != 0;
	r = options_complete_run(out, err);
	return r ? r : run_check(out, err);
}

int options_parse_run(int argc, char **argv, struct run_options *out, struct options_error *err)
{
	int r, last;

	options_begin_run(out);
	r = options_parse(options_run_rows, false, argc, argv, out, &last, err);
	if (!r)
		r = run_command_line(argc, argv, last, out, err);
	return r ? r : options_end_run(out, err);
}
