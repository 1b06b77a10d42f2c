/* SPDX-License-Identifier: MIT */
#include "numa/flash/flash.h"

#include <errno.h>
#include <stdlib.h>

#include "numa/flash/machine.h"
#include "numa/mesh.h"

/* In whole slots: what follows on a request begins when its last one is over. */
static uint64_t occupancy(const struct numa_config *cfg, uint64_t ns)
{
	uint64_t slots = (numa_cycles(cfg, ns) + CONTROLLER_SLOT_CYCLES - 1) / CONTROLLER_SLOT_CYCLES;

	return slots * CONTROLLER_SLOT_CYCLES;
}

static struct latencies in_cycles(const struct numa_config *cfg)
{
	return (struct latencies){
	    .l2 = numa_cycles(cfg, cfg->l2_ns),
	    .local = numa_cycles(cfg, cfg->local_ns),
	    .remote = numa_cycles(cfg, cfg->remote_ns),
	    .near_dirty = numa_cycles(cfg, cfg->near_dirty_ns),
	    .local_dirty = numa_cycles(cfg, cfg->local_dirty_ns),
	    .home_dirty = numa_cycles(cfg, cfg->home_dirty_ns),
	    .third_dirty = numa_cycles(cfg, cfg->third_dirty_ns),
	    .hop = numa_cycles(cfg, cfg->hop_ns),
	    .invalidate = numa_cycles(cfg, cfg->invalidate_ns),
	    .occupy_local = occupancy(cfg, cfg->occupy_local_ns),
	    .occupy_remote = occupancy(cfg, cfg->occupy_remote_ns),
	    .occupy_owner = occupancy(cfg, cfg->occupy_owner_ns),
	    .occupy_writeback = occupancy(cfg, cfg->occupy_writeback_ns),
	};
}

/* At least one, so that time goes on. */
static uint64_t at_least_one(uint64_t cycles) { return cycles ? cycles : 1; }

/* What every miss asks. */
static void measure(struct flash *f)
{
	uint32_t each = f->pages / f->cfg.nodes;

	f->node_shift = f->pages % f->cfg.nodes || each & (each - 1) ? -1 : __builtin_ctz(each);
	for (unsigned a = 0; a < f->cfg.nodes; a++)
		for (unsigned b = 0; b < f->cfg.nodes; b++)
			f->hops[a][b] = (uint8_t)numa_node_hops(f->cfg.nodes, a, b);
}

int flash_new(struct flash **out, const struct numa_config *cfg)
{
	struct flash *f = calloc(1, sizeof(*f));
	int err;

	*out = NULL;
	if (!f)
		return -ENOMEM;
	f->cfg = *cfg;
	f->cpus = numa_cpus(cfg);
	f->line_shift = (unsigned)__builtin_ctz(cfg->line);
	f->pages = (uint32_t)(cfg->memory / PAGE_BYTES);
	f->cycles = in_cycles(cfg);
	measure(f);
	f->turn = f->turn_end = at_least_one(numa_cycles(cfg, cfg->turn_ns));
	f->interval = f->interval_end = at_least_one(numa_cycles(cfg, (uint64_t)cfg->interval_us * 1000));
	f->controller = calloc(cfg->nodes, sizeof(*f->controller));
	err = f->controller ? 0 : -ENOMEM;
	err = err ? err : directory_init(&f->directory, cfg->memory >> f->line_shift);
	err = err ? err : counters_init(&f->counters, f->pages, f->cpus, cfg->trigger, cfg->sample);
	for (unsigned i = 0; !err && i < f->cpus; i++)
		err = processor_init(&f->processor[i], cfg, i / cfg->cpus_per_node);
	if (err)
		flash_free(f);
	else
		*out = f;
	return err;
}

void flash_free(struct flash *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->cpus; i++)
		processor_fini(&f->processor[i]);
	counters_fini(&f->counters);
	directory_fini(&f->directory);
	free(f->controller);
	free(f);
}

const struct numa_config *flash_config(const struct flash *f) { return &f->cfg; }

/* ---- time ---- */

void flash_run(struct flash *f, unsigned cpu, uint64_t cycles)
{
	f->processor[cpu].clock += cycles;
	f->processor[cpu].stats.executed += cycles;
}

void flash_work(struct flash *f, unsigned cpu, uint64_t cycles)
{
	f->processor[cpu].clock += cycles;
	f->processor[cpu].stats.monitor += cycles;
}

void flash_skip(struct flash *f, unsigned cpu, uint64_t cycles)
{
	struct processor *p = &f->processor[cpu];

	if (p->clock >= cycles)
		return;
	p->stats.idle += cycles - p->clock;
	p->clock = cycles;
}

void flash_idle_until(struct flash *f, unsigned cpu, uint64_t cycles)
{
	flash_skip(f, cpu, cycles < f->turn_end ? cycles : f->turn_end);
}

void flash_idle(struct flash *f, unsigned cpu) { flash_idle_until(f, cpu, f->turn_end); }

uint64_t flash_clock(const struct flash *f, unsigned cpu) { return f->processor[cpu].clock; }
uint64_t flash_turn_end(const struct flash *f) { return f->turn_end; }
uint64_t flash_last_turn_end(const struct flash *f)
{
	uint64_t left = f->interval_end > f->turn_end ? f->interval_end - f->turn_end : 0;

	return f->turn_end + (left + f->turn - 1) / f->turn * f->turn;
}

unsigned flash_turn_first(const struct flash *f) { return (unsigned)((f->turn_end / f->turn - 1) % f->cpus); }
uint32_t flash_interval(const struct flash *f) { return f->counters.interval - 1; }

bool flash_next_turn(struct flash *f)
{
	uint64_t now = f->turn_end;

	f->turn_end += f->turn;
	if (now < f->interval_end)
		return false;
	f->interval_end = (now / f->interval + 1) * f->interval;
	f->counters.interval++;
	return true;
}

/* ---- looking in ---- */

const struct flash_stats *flash_stats(const struct flash *f, unsigned cpu) { return &f->processor[cpu].stats; }

struct flash_controller_stats flash_controller_stats(const struct flash *f, unsigned node)
{
	const struct controller *c = &f->controller[node];

	return (struct flash_controller_stats){c->requests, c->busy, c->waited, c->unqueued};
}

const uint32_t *flash_page_misses(const struct flash *f, uint32_t mpn)
{
	const struct counter_row *row = counters_page(&f->counters, mpn);

	return row ? row->misses : NULL;
}

uint32_t flash_page_writes(const struct flash *f, uint32_t mpn)
{
	const struct counter_row *row = counters_page(&f->counters, mpn);

	return row ? row->writes : 0;
}

void flash_page_forget(struct flash *f, uint32_t mpn) { counters_forget(&f->counters, mpn); }

unsigned flash_page_node(const struct flash *f, uint32_t mpn)
{
	return f->node_shift >= 0 ? mpn >> f->node_shift : numa_node_of_page(f->pages, f->cfg.nodes, mpn);
}
