/* SPDX-License-Identifier: MIT */
#include "numa/flash/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int counters_init(struct counters *c, uint32_t pages, unsigned cpus, uint32_t trigger, uint32_t sample)
{
	void *p;

	*c = (struct counters){.cpus = cpus, .interval = 1, .trigger = trigger, .sample = sample};
	c->row_bytes = sizeof(struct counter_row) + cpus * sizeof(uint32_t);
	c->bytes = c->row_bytes * pages;
	c->until_sample = malloc(cpus * sizeof(*c->until_sample));
	if (!c->until_sample)
		return -ENOMEM;
	for (unsigned i = 0; i < cpus; i++)
		c->until_sample[i] = sample;
	p = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	c->row = p;
	return 0;
}

void counters_fini(struct counters *c)
{
	if (c->row)
		munmap(c->row, c->bytes);
	free(c->until_sample);
}

static struct counter_row *row_of(const struct counters *c, uint32_t page)
{
	return (struct counter_row *)(void *)(c->row + c->row_bytes * page);
}

static void begin(const struct counters *c, struct counter_row *row)
{
	row->interval = c->interval;
	row->writes = 0;
	memset(row->misses, 0, c->cpus * sizeof(row->misses[0]));
}

bool counters_miss(struct counters *c, uint32_t page, unsigned cpu, bool write)
{
	struct counter_row *row;
	uint32_t before;

	if (--c->until_sample[cpu])
		return false;
	c->until_sample[cpu] = c->sample;
	row = row_of(c, page);
	if (row->interval != c->interval)
		begin(c, row);
	row->writes += write ? c->sample : 0;
	before = row->misses[cpu];
	row->misses[cpu] += c->sample;
	return before < c->trigger && row->misses[cpu] >= c->trigger;
}

bool counters_would_reach(const struct counters *c, uint32_t page, unsigned cpu)
{
	const struct counter_row *row = counters_page(c, page);
	uint32_t before = row ? row->misses[cpu] : 0;

	return c->until_sample[cpu] == 1 && before < c->trigger && before + c->sample >= c->trigger;
}

const struct counter_row *counters_page(const struct counters *c, uint32_t page)
{
	const struct counter_row *row = row_of(c, page);

	return row->interval == c->interval ? row : NULL;
}

void counters_forget(struct counters *c, uint32_t page)
{
	struct counter_row *row = row_of(c, page);

	if (row->interval == c->interval)
		begin(c, row);
}
