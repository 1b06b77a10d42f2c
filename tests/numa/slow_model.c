/* SPDX-License-Identifier: MIT */
#include "tests/numa/slow_model.h"

#include <stdlib.h>
#include <string.h>

/* A line in a cache. */
struct copy {
	uint64_t line, used; /* used 0: empty */
	bool owned;
};

struct shelf {
	struct copy *copy; /* [sets * ways], a set's beside each other */
	uint64_t sets;
	unsigned ways;
};

/* Slots that something takes, from and up to; sorted, and apart. */
struct busy {
	uint64_t from, to;
};

struct queue {
	struct busy *busy;
	size_t n, room;
	uint64_t words; /* beyond the highest that has a slot taken */
};

struct tally {
	uint64_t key; /* page * 64 + cpu + 1; 0: empty */
	uint32_t misses, writes;
};

struct cpu {
	uint64_t clock, misses;
	unsigned node;
	struct shelf code, data, l2;
	struct flash_stats stats;
};

struct slow_model {
	struct numa_config cfg;
	unsigned cpus;
	uint64_t stamp, now, intervals;
	struct cpu cpu[NUMA_MAX_CPUS];
	struct queue queue[64];
	struct tally *tally;
	size_t tally_room, tally_used;
};

/* ---- caches ---- */

static void shelf_init(struct shelf *s, uint64_t bytes, unsigned ways, unsigned line)
{
	s->sets = bytes / ways / line;
	s->ways = ways;
	s->copy = calloc(s->sets * ways, sizeof(*s->copy));
}

static struct copy *look(const struct shelf *s, uint64_t line)
{
	struct copy *set = &s->copy[line % s->sets * s->ways];

	for (unsigned i = 0; i < s->ways; i++)
		if (set[i].used && set[i].line == line)
			return &set[i];
	return NULL;
}

/* Where a line goes: an empty way, or the one used longest ago. */
static struct copy *place_for(const struct shelf *s, uint64_t line)
{
	struct copy *set = &s->copy[line % s->sets * s->ways], *oldest = set;

	for (unsigned i = 0; i < s->ways; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	return oldest;
}

static void drop(const struct shelf *s, uint64_t line)
{
	struct copy *c = look(s, line);

	if (c)
		c->used = 0;
}

static void put(struct slow_model *m, const struct shelf *s, uint64_t line, bool owned)
{
	struct copy *c = look(s, line);

	if (!c)
		c = place_for(s, line);
	*c = (struct copy){line, ++m->stamp, owned};
}

/* ---- queues ---- */

static void take(struct queue *q, size_t at, uint64_t from, uint64_t to)
{
	if (q->n == q->room) {
		q->room = q->room ? 2 * q->room : 64;
		q->busy = realloc(q->busy, q->room * sizeof(*q->busy));
	}
	memmove(&q->busy[at + 1], &q->busy[at], (q->n - at) * sizeof(*q->busy));
	q->busy[at] = (struct busy){from, to};
	q->n++;
}

/* Put together what touches, and forget what nobody can ask for any more. */
static void tidy(struct queue *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++) {
		if ((q->busy[i].to + 32768) / 64 + 1 < q->words)
			continue;
		if (n && q->busy[n - 1].to == q->busy[i].from)
			q->busy[n - 1].to = q->busy[i].to;
		else
			q->busy[n++] = q->busy[i];
	}
	q->n = n;
}

/* The index of the first busy time that ends after the slot. */
static size_t first_after(const struct queue *q, uint64_t slot)
{
	size_t low = 0, high = q->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (q->busy[middle].to > slot)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static uint64_t enqueue(struct queue *q, uint64_t t, uint64_t cycles)
{
	uint64_t slots = (cycles + 3) / 4, first = t / 4, at = first, taken_by_others = 0;
	size_t i;

	if (!slots || first + 32768 < q->words * 64)
		return 0;
	i = first_after(q, at);
	for (uint64_t left = slots; left; i++) {
		uint64_t free_to = i < q->n ? q->busy[i].from : UINT64_MAX, n;

		if (free_to > at) {
			n = free_to - at < left ? free_to - at : left;
			take(q, i, at, at + n);
			at += n;
			left -= n;
		} else {
			taken_by_others += q->busy[i].to - at;
			at = q->busy[i].to;
		}
	}
	if ((at - 1) / 64 + 1 > q->words)
		q->words = (at - 1) / 64 + 1;
	tidy(q);
	return 4 * taken_by_others;
}

/* ---- counters ---- */

static struct tally *tally_find(const struct slow_model *m, uint64_t key)
{
	size_t i = key * 0x9e3779b97f4a7c15u >> 20 & (m->tally_room - 1);

	while (m->tally[i].key && m->tally[i].key != key)
		i = (i + 1) & (m->tally_room - 1);
	return &m->tally[i];
}

static void tally_empty(struct slow_model *m)
{
	memset(m->tally, 0, m->tally_room * sizeof(*m->tally));
	m->tally_used = 0;
}

static struct tally *tally_get(struct slow_model *m, uint32_t page, unsigned cpu)
{
	struct tally *t = tally_find(m, (uint64_t)page * 64 + cpu + 1);

	if (t->key)
		return t;
	if (2 * ++m->tally_used > m->tally_room)
		abort();
	t->key = (uint64_t)page * 64 + cpu + 1;
	return t;
}

/* The count comes to the trigger. */
static bool count(struct slow_model *m, uint32_t page, unsigned cpu, bool write)
{
	struct tally *t;
	uint32_t before;

	if (++m->cpu[cpu].misses % m->cfg.sample)
		return false;
	t = tally_get(m, page, cpu);
	before = t->misses;
	t->misses += m->cfg.sample;
	t->writes += write ? m->cfg.sample : 0;
	return before < m->cfg.trigger && t->misses >= m->cfg.trigger;
}

/* ---- a miss ---- */

static uint64_t in_cycles(const struct slow_model *m, uint64_t ns) { return (ns * m->cfg.clock_mhz + 500) / 1000; }

/* Of a controller: whole slots. */
static uint64_t occupied_for(const struct slow_model *m, uint64_t ns) { return (in_cycles(m, ns) + 3) / 4 * 4; }

static unsigned node_of_page(const struct slow_model *m, uint64_t page)
{
	uint64_t pages = m->cfg.memory / 4096, end = 0;

	for (unsigned node = 0;; node++) {
		end += pages / m->cfg.nodes + (node < pages % m->cfg.nodes ? 1 : 0);
		if (page < end)
			return node;
	}
}

static unsigned home_of(const struct slow_model *m, uint64_t line)
{
	return node_of_page(m, line * m->cfg.line / 4096);
}

static unsigned hops(const struct slow_model *m, unsigned a, unsigned b)
{
	int width = 1, dx, dy;

	while (width * width < (int)m->cfg.nodes)
		width++;
	dx = (int)a % width - (int)b % width;
	dy = (int)a / width - (int)b / width;
	return (unsigned)((dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy));
}

/* The only other one that owns the line, or NULL. */
static struct cpu *owner_of(struct slow_model *m, unsigned self, uint64_t line)
{
	for (unsigned i = 0; i < m->cpus; i++) {
		struct copy *c = i == self ? NULL : look(&m->cpu[i].l2, line);

		if (c && c->owned)
			return &m->cpu[i];
	}
	return NULL;
}

/* From everyone else: how many had it. */
static unsigned take_away(struct slow_model *m, unsigned self, uint64_t line)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->cpus; i++) {
		struct cpu *c = &m->cpu[i];

		if (i == self || !look(&c->l2, line))
			continue;
		drop(&c->l2, line);
		drop(&c->data, line);
		drop(&c->code, line);
		c->stats.invalidations++;
		n++;
	}
	return n;
}

static void disown(const struct shelf *s, uint64_t line)
{
	struct copy *c = look(s, line);

	if (c)
		c->owned = false;
}

static uint64_t from_owner(struct slow_model *m, unsigned self, uint64_t line, bool write, uint64_t *waited)
{
	const struct numa_config *g = &m->cfg;
	struct cpu *c = &m->cpu[self], *owner = owner_of(m, self, line);
	unsigned home = home_of(m, line);
	uint64_t occupied = occupied_for(m, home == c->node ? g->occupy_local_ns : g->occupy_remote_ns), ns;

	*waited = enqueue(&m->queue[home], c->clock, occupied);
	*waited += enqueue(&m->queue[owner->node], c->clock + *waited + occupied, occupied_for(m, g->occupy_owner_ns));
	if (c->node == home)
		ns = owner->node == home ? g->near_dirty_ns : g->local_dirty_ns;
	else
		ns = owner->node == home ? g->home_dirty_ns : g->third_dirty_ns;
	if (write) {
		take_away(m, self, line);
	} else {
		disown(&owner->l2, line);
		disown(&owner->data, line);
	}
	c->stats.dirty++;
	return in_cycles(m, ns);
}

static uint64_t from_home(struct slow_model *m, unsigned self, uint64_t line, bool write, uint64_t *waited)
{
	const struct numa_config *g = &m->cfg;
	struct cpu *c = &m->cpu[self];
	unsigned home = home_of(m, line), n = write ? take_away(m, self, line) : 0;
	uint64_t sends = n * in_cycles(m, g->invalidate_ns);

	*waited = enqueue(&m->queue[home], c->clock,
			  occupied_for(m, home == c->node ? g->occupy_local_ns : g->occupy_remote_ns) + sends);
	return in_cycles(m, home == c->node ? g->local_ns : g->remote_ns) + sends;
}

/* Room in the L2. */
static void give_up(struct slow_model *m, unsigned self, uint64_t line)
{
	struct cpu *c = &m->cpu[self];
	struct copy *old = place_for(&c->l2, line);

	if (!old->used)
		return;
	drop(&c->data, old->line);
	drop(&c->code, old->line);
	if (old->owned) {
		c->stats.writebacks++;
		(void)enqueue(&m->queue[home_of(m, old->line)], c->clock, occupied_for(m, m->cfg.occupy_writeback_ns));
	}
	old->used = 0;
}

static bool miss(struct slow_model *m, unsigned self, struct shelf *l1, uint64_t line, bool write)
{
	struct cpu *c = &m->cpu[self];
	uint64_t stall, waited;
	unsigned home = home_of(m, line), far = hops(m, c->node, home);
	bool remote = home != c->node;

	stall = owner_of(m, self, line) ? from_owner(m, self, line, write, &waited)
					: from_home(m, self, line, write, &waited);
	stall += waited + (far > 1 ? (far - 1) * in_cycles(m, m->cfg.hop_ns) : 0);
	if (look(&c->l2, line))
		c->stats.upgrades++;
	else
		give_up(m, self, line);
	put(m, &c->l2, line, write);
	put(m, l1, line, write);
	c->clock += stall;
	*(remote ? &c->stats.remote : &c->stats.local) += 1;
	*(remote ? &c->stats.remote_stall : &c->stats.local_stall) += stall;
	*(remote ? &c->stats.remote_waited : &c->stats.local_waited) += waited;
	return count(m, (uint32_t)(line * m->cfg.line / 4096), self, write) && remote;
}

/* ---- the machine ---- */

struct slow_model *slow_new(const struct numa_config *cfg)
{
	struct slow_model *m = calloc(1, sizeof(*m));

	m->cfg = *cfg;
	m->cpus = cfg->nodes * cfg->cpus_per_node;
	for (unsigned i = 0; i < m->cpus; i++) {
		m->cpu[i].node = i / cfg->cpus_per_node;
		shelf_init(&m->cpu[i].code, cfg->l1, cfg->l1_ways, cfg->line);
		shelf_init(&m->cpu[i].data, cfg->l1, cfg->l1_ways, cfg->line);
		shelf_init(&m->cpu[i].l2, cfg->l2, cfg->l2_ways, cfg->line);
	}
	m->tally_room = 1 << 17; /* traces of up to 8192 pages */
	m->tally = calloc(m->tally_room, sizeof(*m->tally));
	return m;
}

void slow_free(struct slow_model *m)
{
	for (unsigned i = 0; i < m->cpus; i++) {
		free(m->cpu[i].code.copy);
		free(m->cpu[i].data.copy);
		free(m->cpu[i].l2.copy);
	}
	for (unsigned i = 0; i < m->cfg.nodes; i++)
		free(m->queue[i].busy);
	free(m->tally);
	free(m);
}

bool slow_access(struct slow_model *m, unsigned cpu, enum flash_access kind, uint64_t addr)
{
	struct cpu *c = &m->cpu[cpu];
	struct shelf *l1 = kind == FLASH_FETCH ? &c->code : &c->data;
	uint64_t line = addr / m->cfg.line;
	bool write = kind == FLASH_WRITE;
	struct copy *first = look(l1, line), *second = look(&c->l2, line);

	if (first && (!write || first->owned)) {
		first->used = ++m->stamp;
		return false;
	}
	if (!second || (write && !second->owned))
		return miss(m, cpu, l1, line, write);
	second->used = ++m->stamp;
	put(m, l1, line, second->owned && kind != FLASH_FETCH);
	c->clock += in_cycles(m, m->cfg.l2_ns);
	c->stats.l2_hits++;
	c->stats.l2_stall += in_cycles(m, m->cfg.l2_ns);
	return false;
}

void slow_run(struct slow_model *m, unsigned cpu, uint64_t cycles) { m->cpu[cpu].clock += cycles; }

static uint64_t turn(const struct slow_model *m)
{
	uint64_t cycles = in_cycles(m, m->cfg.turn_ns);

	return cycles ? cycles : 1;
}

void slow_idle(struct slow_model *m, unsigned cpu)
{
	uint64_t end = m->now + turn(m);

	if (m->cpu[cpu].clock < end)
		m->cpu[cpu].clock = end;
}

bool slow_next_turn(struct slow_model *m)
{
	uint64_t interval = in_cycles(m, (uint64_t)m->cfg.interval_us * 1000), before = m->intervals;

	m->now += turn(m);
	m->intervals = m->now / (interval ? interval : 1);
	if (m->intervals == before)
		return false;
	tally_empty(m);
	return true;
}

void slow_page_forget(struct slow_model *m, uint32_t page)
{
	for (unsigned i = 0; i < m->cpus; i++) {
		struct tally *t = tally_find(m, (uint64_t)page * 64 + i + 1);

		t->misses = t->writes = 0;
	}
}

uint64_t slow_clock(const struct slow_model *m, unsigned cpu) { return m->cpu[cpu].clock; }

uint32_t slow_misses(const struct slow_model *m, uint32_t page, unsigned cpu)
{
	return tally_find(m, (uint64_t)page * 64 + cpu + 1)->misses;
}

uint32_t slow_writes(const struct slow_model *m, uint32_t page)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < m->cpus; i++)
		n += tally_find(m, (uint64_t)page * 64 + i + 1)->writes;
	return n;
}

struct flash_stats slow_stats(const struct slow_model *m, unsigned cpu) { return m->cpu[cpu].stats; }
