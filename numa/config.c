/* SPDX-License-Identifier: MIT */
#include "numa/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/flash/controller.h"

/* What config.def says of a parameter beyond what every option row has; numbers and sizes alike. */
struct parameter {
	size_t offset;
	const char *unit, *source;
	uint64_t initial, least, most;
	bool size;
};

#define AT(field) offsetof(struct numa_config, field)
static const struct parameter parameters[] = {
#define NUMA_NUMBER(field, key, unit, initial, least, most, help, source, depth)                                       \
	{AT(field), unit, source, initial, least, most, false},
#define NUMA_SIZE(field, key, unit, initial, least, most, help, source, depth)                                         \
	{AT(field), unit, source, initial, least, most, true},
#define NUMA_CHOICE(field, key, words, initial, help, source, depth) {AT(field), "", source, initial, 0, 0, false},
#include "numa/config.def"
};

static const struct parameter *parameter_of(const struct option_row *row)
{
	const struct parameter *p = parameters;

	while (p->offset != row->offset)
		p++;
	return p;
}

static void size_text(uint64_t bytes, char *text, size_t room)
{
	if (bytes % (1 << 20) == 0)
		snprintf(text, room, "%" PRIu64 "M", bytes >> 20);
	else
		snprintf(text, room, "%" PRIu64 "K", bytes >> 10);
}

/* ---- one value ---- */

OPTION_TYPE(numa_number, uint32_t);
OPTION_TYPE(numa_size, uint64_t);

static int out_of_range(const struct option_value *v, const char *what)
{
	const struct parameter *p = parameter_of(v->row);
	char least[32], most[32];

	if (p->size) {
		size_text(p->least, least, sizeof(least));
		size_text(p->most, most, sizeof(most));
		return option_bad(v, "%s; from %s to %s", what, least, most);
	}
	return option_bad(v, "%s; from %" PRIu64 " to %" PRIu64 "%s%s", what, p->least, p->most, *p->unit ? " " : "",
			  p->unit);
}

static int option_numa_number(void *field, const struct option_value *v)
{
	const struct parameter *p = parameter_of(v->row);
	bool negative = v->text[0] == '-' && v->text[1] >= '0' && v->text[1] <= '9';
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(v->text, &end, 10);
	if ((v->text[0] < '0' || v->text[0] > '9') && !negative)
		return out_of_range(v, "not a number");
	if (*end)
		return out_of_range(v, "not a number");
	if (negative)
		return out_of_range(v, "negative");
	if (errno || n > p->most)
		return out_of_range(v, "too many");
	if (n < p->least)
		return out_of_range(v, "too few");
	*(uint32_t *)field = (uint32_t)n;
	return 0;
}

static int option_numa_size(void *field, const struct option_value *v)
{
	const struct parameter *p = parameter_of(v->row);
	uint64_t bytes;
	int err = option_size(v->text, &bytes);

	if (err == -EINVAL)
		return out_of_range(v, v->text[0] == '-' ? "negative" : "not a size");
	if (err || bytes > p->most)
		return out_of_range(v, "too much");
	if (bytes < p->least)
		return out_of_range(v, "too little");
	*(uint64_t *)field = bytes;
	return 0;
}

#define NUMBER_ROW(field, key, help)        OPTION_ROW(struct numa_config, field, key, "N", numa_number, help),
#define SIZE_ROW(field, key, help)          OPTION_ROW(struct numa_config, field, key, "SIZE", numa_size, help),
#define CHOICE_ROW(field, key, words, help) OPTION_ROW(struct numa_config, field, key, words, choice, help),

/* clang-format off */
const struct option_row numa_config_rows[] = {
#define NUMA_NUMBER(field, key, unit, initial, least, most, help, source, depth) NUMBER_ROW(field, key, help)
#define NUMA_SIZE(field, key, unit, initial, least, most, help, source, depth) SIZE_ROW(field, key, help)
#define NUMA_CHOICE(field, key, words, initial, help, source, depth) CHOICE_ROW(field, key, words, help)
#include "numa/config.def"
	OPTION_END
};

#define IF_ANY(...) __VA_ARGS__
#define IF_FLASH(...)
const struct option_row numa_sample_rows[] = {
#define NUMA_NUMBER(field, key, unit, initial, least, most, help, source, depth) IF_##depth(NUMBER_ROW(field, key, help))
#define NUMA_CHOICE(field, key, words, initial, help, source, depth) IF_##depth(CHOICE_ROW(field, key, words, help))
#include "numa/config.def"
	OPTION_END
};
/* clang-format on */

/* ---- all of them ---- */

void numa_config_default(struct numa_config *cfg)
{
	*cfg = (struct numa_config){
#define NUMA_NUMBER(field, key, unit, initial, ...)  .field = initial,
#define NUMA_SIZE(field, key, unit, initial, ...)    .field = initial,
#define NUMA_CHOICE(field, key, words, initial, ...) .field = initial,
#include "numa/config.def"
	};
}

static bool power_of_two(uint64_t n) { return n && !(n & (n - 1)); }

static int check_cache(const struct numa_config *cfg, const char *where, const char *key, uint64_t bytes, uint32_t ways,
		       struct options_error *err)
{
	uint64_t way = (uint64_t)cfg->line * ways;

	if (bytes % way == 0 && power_of_two(bytes / way))
		return 0;
	return options_bad(err, "%.100s: %s: %" PRIu64 " bytes are no power of two of sets of %u lines of %u bytes",
			   where, key, bytes, ways, cfg->line);
}

int numa_config_check(const struct numa_config *cfg, const char *where, struct options_error *err)
{
	uint64_t window_ns = CONTROLLER_WINDOW_CYCLES * 1000 / cfg->clock_mhz;
	int r;

	if (numa_cpus(cfg) > NUMA_MAX_CPUS)
		return options_bad(err, "%.100s: %u nodes of %u processors: at most %u processors in all", where,
				   cfg->nodes, cfg->cpus_per_node, NUMA_MAX_CPUS);
	if (cfg->memory % PAGE_BYTES || cfg->memory / PAGE_BYTES < cfg->nodes || cfg->memory / PAGE_BYTES > UINT32_MAX)
		return options_bad(err, "%.100s: memory: must be whole pages of %u bytes, and one for each of %u nodes",
				   where, PAGE_BYTES, cfg->nodes);
	if (!power_of_two(cfg->line))
		return options_bad(err, "%.100s: line=%u: must be a power of two", where, cfg->line);
	r = check_cache(cfg, where, "l1", cfg->l1, cfg->l1_ways, err);
	r = r ? r : check_cache(cfg, where, "l2", cfg->l2, cfg->l2_ways, err);
	if (r)
		return r;
	if (cfg->l2 < cfg->l1)
		return options_bad(err, "%.100s: l2 must hold what l1 does: it is smaller", where);
	if (cfg->place == NUMA_ONE_NODE && cfg->place_node >= cfg->nodes)
		return options_bad(err, "%.100s: place-node=%u: there are %u nodes, from 0", where, cfg->place_node,
				   cfg->nodes);
	if (cfg->turn_ns > window_ns / 4)
		return options_bad(err, "%.100s: turn-ns=%u: at most %" PRIu64 " at %u MHz", where, cfg->turn_ns,
				   window_ns / 4, cfg->clock_mhz);
	if (cfg->sharing > cfg->trigger)
		return options_bad(err, "%.100s: sharing=%u: more than trigger=%u", where, cfg->sharing, cfg->trigger);
	return 0;
}

int numa_config_parse(struct numa_config *cfg, const struct option_row *rows, const char *where, const char *text,
		      struct options_error *err)
{
	char *copy = strdup(text);
	int r;

	if (!copy)
		return options_bad(err, "%.100s: out of memory", where);
	r = option_parse_keys(rows, where, copy, cfg, true, err);
	free(copy);
	return r ? r : numa_config_check(cfg, where, err);
}

int numa_config_check_guests(const struct numa_config *cfg, const char *where, uint64_t guest_bytes,
			     struct options_error *err)
{
	char have[32], want[32];

	if (guest_bytes <= cfg->memory)
		return 0;
	size_text(cfg->memory, have, sizeof(have));
	size_text(guest_bytes, want, sizeof(want));
	return options_bad(err, "%.100s: memory=%s is less than the guests' %s", where, have, want);
}

void numa_config_text(const struct numa_config *cfg, unsigned n, char *text, size_t bytes)
{
	const struct option_row *row = &numa_config_rows[n];
	const char *field = (const char *)cfg + row->offset, *word;
	char size[32];

	*text = '\0';
	if (n >= ARRAY_LEN(parameters))
		return;
	if (parameters[n].size) {
		size_text(*(const uint64_t *)(const void *)field, size, sizeof(size));
		snprintf(text, bytes, "%s=%s", row->name, size);
	} else if (!parameters[n].most) {
		word = row->argument;
		for (int i = *(const int *)(const void *)field; i > 0; i--)
			word = strchr(word, '|') + 1;
		snprintf(text, bytes, "%s=%.*s", row->name, (int)strcspn(word, "|"), word);
	} else {
		snprintf(text, bytes, "%s=%u", row->name, *(const uint32_t *)(const void *)field);
	}
}

const char *numa_config_source(unsigned n) { return parameters[n].source; }
