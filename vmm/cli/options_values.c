/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include "base/trace.h"
#include "frontend/cp0.h"
#include "ir/mode.h"
#include "jit/jit.h"
#include "jit/store/store.h"
#include "numa/host_nodes.h"
#include "numa/numa.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Value parsers of the rows of options.def. */

bool options_parse_hex(const char *text, size_t len, uint32_t *out)
{
	uint32_t v = 0;

	if (len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		text += 2;
		len -= 2;
	}
	if (len == 0 || len > 8)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = (char)tolower((unsigned char)text[i]);

		if (!isxdigit((unsigned char)c))
			return false;
		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*out = v;
	return true;
}

int option_file(void *field, const struct option_value *v) { return option_name(field, v); }

int option_mem(void *field, const struct option_value *v)
{
	uint64_t bytes;
	int r = option_size(v->text, &bytes);

	if (r == -ERANGE)
		return option_bad(v, "more than 64 bits can count");
	if (r)
		return option_bad(v, "not a size; write 256M, 262144K");
	if (bytes == 0)
		return option_bad(v, "a machine needs some memory");
	if (bytes % MEM_UNIT_BYTES)
		return option_bad(v, "not a multiple of %lluK", MEM_UNIT_BYTES >> 10);
	if (bytes > MEM_MAX_BYTES)
		return option_bad(v, "at most %lluM; the board has no memory above its I/O window at 0x10000000",
				  MEM_MAX_BYTES >> 20);
	if (bytes > machine_memory_host_bytes())
		return option_bad(v, "this host has only %lluM",
				  (unsigned long long)(machine_memory_host_bytes() >> 20));
	*(uint64_t *)field = bytes;
	return 0;
}

int option_jit_mem(void *field, const struct option_value *v)
{
	uint64_t bytes;
	int r = option_size(v->text, &bytes);

	if (r == -EINVAL)
		return option_bad(v, "not a size; write 64M");
	if (r || bytes < JIT_MEM_MIN_BYTES || bytes > JIT_MEM_MAX_BYTES)
		return option_bad(v, "must be from %lluM to %lluM", JIT_MEM_MIN_BYTES >> 20, JIT_MEM_MAX_BYTES >> 20);
	*(uint64_t *)field = bytes;
	return 0;
}

int option_store(void *field, const struct option_value *v)
{
	struct run_store *s = field;

	*s = (struct run_store){.on = strcmp(v->text, "off") != 0};
	return !s->on || strcmp(v->text, "on") == 0 ? 0 : option_name(&s->folder, v);
}

int option_store_size(void *field, const struct option_value *v)
{
	uint64_t bytes;
	int r = option_size(v->text, &bytes);

	if (r == -EINVAL)
		return option_bad(v, "not a size; write 512M");
	if (r || bytes < STORE_MIN_BYTES || bytes > STORE_MAX_BYTES)
		return option_bad(v, "must be from %lluM to %lluM", STORE_MIN_BYTES >> 20, STORE_MAX_BYTES >> 20);
	*(uint64_t *)field = bytes;
	return 0;
}

int option_hot(void *field, const struct option_value *v)
{
	char *end;
	unsigned long n;
	bool sync;

	errno = 0;
	n = strtoul(v->text, &end, 10);
	sync = strcmp(end, ",sync") == 0;
	if (!isdigit((unsigned char)v->text[0]) || (*end && !sync))
		return option_bad(v, "must be N or N,sync");
	if (errno || n < 1 || n > HOT_MAX)
		return option_bad(v, "must be from 1 to %d executions", HOT_MAX);
	*(struct run_hot *)field = (struct run_hot){(uint32_t)n, sync};
	return 0;
}

/* The nodes that the host has, if nothing else is said; one is no reason to move anything. */
static int host_nodes_begin(struct run_numa *numa, const struct option_value *v)
{
	unsigned nodes[NUMA_MAX_NODES];

	numa->cfg.nodes = numa_this_host.nodes(&numa_this_host, nodes, NUMA_MAX_NODES);
	return numa->cfg.nodes ? 0 : option_bad(v, "this host's kernel has no NUMA");
}

static int host_nodes_end(const struct run_numa *numa, const struct option_value *v)
{
	return numa->cfg.nodes > 1 ? 0 : option_bad(v, "this host has one node; nodes=2 and more lie on it together");
}

static bool is_word(const char *text, size_t n, const char *word)
{
	return n == strlen(word) && strncmp(text, word, n) == 0;
}

/* "off", or "sample", "host" or "flash" and keys behind it. */
int option_numa(void *field, const struct option_value *v)
{
	struct run_numa *numa = field;
	size_t word = strcspn(v->text, ",");
	int r = 0;

	*numa = (struct run_numa){0};
	numa_config_default(&numa->cfg);
	if (strcmp(v->text, "off") == 0)
		return 0;
	numa->host = is_word(v->text, word, "host");
	numa->sample = numa->host || is_word(v->text, word, "sample");
	numa->flash = is_word(v->text, word, "flash");
	if (!numa->sample && !numa->flash)
		return option_bad(v, "must be off, sample, host or flash, and keys behind the latter three");
	if (numa->host)
		r = host_nodes_begin(numa, v);
	if (!r && v->text[word])
		r = numa_config_parse(&numa->cfg, numa->flash ? numa_config_rows : numa_sample_rows, v->row->name,
				      v->text + word + 1, v->err);
	else if (!r)
		r = numa_config_check(&numa->cfg, v->row->name, v->err);
	return !r && numa->host ? host_nodes_end(numa, v) : r;
}

int option_cpu(void *field, const struct option_value *v)
{
	const struct cpu_model *m = cpu_model_find(v->text);

	if (strcmp(v->text, "help") == 0)
		return OPTIONS_CPU_LIST;
	*(const struct cpu_model **)field = m;
	return m ? 0 : option_bad(v, "no such model; --cpu help lists them");
}

/* ---- --dump, --stage ---- */

const char options_dump_letters[] =
#define LETTER(letter, help) letter
#include "vmm/cli/options.def"
    ;

const struct option_row options_letter_rows[] = {
#define LETTER(letter, help_) {.name = letter, .help = help_},
#include "vmm/cli/options.def"
    OPTION_END};

int option_letters(void *field, const struct option_value *v)
{
	if (!*v->text)
		return option_bad(v, "needs at least one letter of %s", options_dump_letters);
	for (const char *p = v->text; *p; p++)
		if (!strchr(options_dump_letters, *p))
			return option_bad(v, "nothing has the letter '%c'; they are %s", *p, options_dump_letters);
	*(const char **)field = v->text;
	return 0;
}

/* ---- --dump-filter ---- */

OPTION_TYPE(filter_pc, uint64_t);
static int option_filter_pc(void *field, const struct option_value *v)
{
	const char *dash = strchr(v->text, '-');
	size_t len = strlen(v->text), low_len = dash ? (size_t)(dash - v->text) : len;
	struct dump_filter *f = v->all;
	uint32_t low, high;
	bool good = options_parse_hex(v->text, low_len, &low);

	high = low;
	if (good && dash)
		good = options_parse_hex(dash + 1, len - low_len - 1, &high);
	if (!good)
		return option_bad(v, "not pc=HEX or pc=HEX-HEX");
	if (high < low)
		return option_bad(v, "the range ends before it begins");
	f->pc_low = low;
	f->pc_high = high;
	return 0;
}

OPTION_TYPE(filter_symbol, const char *);
static int option_filter_symbol(void *field, const struct option_value *v)
{
	char **symbol = field;

	if (!*v->text)
		return option_bad(v, "the name is empty");
	free(*symbol);
	*symbol = strdup(v->text);
	return *symbol ? 0 : option_bad(v, "the host has no memory left");
}

OPTION_TYPE(filter_mode, int);
static int option_filter_mode(void *field, const struct option_value *v)
{
	static const int modes[] = {MODE_KERNEL, MODE_USER}; /* in the order of the row's words */
	int i, r = option_choice(&i, v);

	if (!r)
		*(int *)field = modes[i];
	return r;
}

const struct option_row options_filter_keys[] = {
#define FILTER_KEY(...) OPTION_ROW(struct dump_filter, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

int option_filter(void *field, const struct option_value *v)
{
	struct dump_filter *f = field;
	char *text = strdup(v->text);
	int r;

	if (!text)
		return option_bad(v, "the host has no memory left");
	f->given = true;
	r = option_parse_keys(options_filter_keys, v->row->name, text, f, true, v->err);
	free(text);
	return r;
}

/* ---- --trace ---- */

OPTION_TYPE(trace_file, const char *);
static int option_trace_file(void *field, const struct option_value *v)
{
	char **file = field;

	if (!*v->text)
		return option_bad(v, "the name is empty");
	free(*file);
	*file = strdup(v->text);
	return *file ? 0 : option_bad(v, "the host has no memory left");
}

const struct option_row options_trace_keys[] = {
#define TRACE_KEY(...) OPTION_ROW(struct run_trace, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

static int trace_part(struct run_trace *t, const char *part, uint64_t *seen, const struct option_value *v)
{
	uint64_t events;

	if (strchr(part, '='))
		return option_parse_key(options_trace_keys, v->row->name, part, t, seen, v->err);
	events = trace_match(part);
	t->events |= events;
	return events
		   ? 0
		   : options_bad(v->err, "%s %s: no event is called that; --trace help lists them", v->row->name, part);
}

int option_trace(void *field, const struct option_value *v)
{
	struct run_trace *t = field;
	char *text, *rest, *part;
	uint64_t seen = 0;
	int r = 0;

	if (strcmp(v->text, "help") == 0)
		return OPTIONS_TRACE_LIST;
	text = rest = strdup(v->text);
	if (!text)
		return option_bad(v, "the host has no memory left");
	while (!r && (part = option_next_part(&rest)) != NULL)
		r = trace_part(t, part, &seen, v);
	free(text);
	return !r && !t->events ? option_bad(v, "which events? --trace help lists them") : r;
}
