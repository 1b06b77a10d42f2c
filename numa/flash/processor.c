/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "numa/flash/machine.h"

/*
 * An in-order processor: an access that misses stalls it, and nothing else happens to it meanwhile.  The first level is part of
 * the second; what is OWNED in the first level for data is so in the second, and what the second has OWNED comes so into it.
 */

enum { DATA, CODE };

int processor_init(struct processor *p, const struct numa_config *cfg, unsigned node)
{
	uint64_t l1_sets = cfg->l1 / cfg->line / cfg->l1_ways;
	int err;

	p->node = node;
	err = cache_init(&p->l1[DATA], l1_sets, cfg->l1_ways);
	err = err ? err : cache_init(&p->l1[CODE], l1_sets, cfg->l1_ways);
	return err ? err : cache_init(&p->l2, cfg->l2 / cfg->line / cfg->l2_ways, cfg->l2_ways);
}

void processor_fini(struct processor *p)
{
	cache_fini(&p->l1[DATA]);
	cache_fini(&p->l1[CODE]);
	cache_fini(&p->l2);
}

/* ---- what translated code is shown ---- */

/* A line that is not the last one of its set to be used any more, or gone. */
static void hide(const struct processor *p, unsigned kind, uint64_t line)
{
	uint64_t tag = line + p->bias, i = tag % LINE_VIEW_ENTRIES;
	struct line_view *v = p->view;

	if (!v)
		return;
	if (kind == CODE) {
		if (v->fetch[i] == tag >> p->page_shift)
			v->fetch[i] = LINE_VIEW_NONE;
		return;
	}
	if (v->read[i] == tag)
		v->read[i] = LINE_VIEW_NONE;
	if (v->write[i] == tag)
		v->write[i] = LINE_VIEW_NONE;
}

/* The word that its set used last. */
static void show(const struct processor *p, unsigned kind, uint64_t word)
{
	uint64_t tag = (word & ~CACHE_OWNED) + p->bias, i = tag % LINE_VIEW_ENTRIES;
	struct line_view *v = p->view;

	if (!v)
		return;
	if (kind == CODE) {
		v->fetch[i] = tag >> p->page_shift;
		return;
	}
	v->read[i] = tag;
	v->write[i] = word & CACHE_OWNED ? tag : LINE_VIEW_NONE;
}

void flash_attach(struct flash *f, unsigned cpu, struct line_view *view, uint64_t bias)
{
	struct processor *p = &f->processor[cpu];

	p->view = view;
	p->bias = bias;
	p->page_shift = PAGE_SHIFT - f->line_shift;
	if (view)
		memset(view, 0xff, sizeof(*view));
}

static void lose(struct processor *p, uint64_t line)
{
	for (unsigned kind = DATA; kind <= CODE; kind++) {
		hide(p, kind, line);
		(void)cache_remove(&p->l1[kind], line);
	}
}

void processor_invalidate(struct processor *p, uint64_t line)
{
	bool had = cache_remove(&p->l2, line);

	ASSERT(had);
	(void)had;
	lose(p, line);
	p->stats.invalidations++;
}

void processor_disown(struct processor *p, uint64_t line)
{
	uint64_t tag = line + p->bias;

	if (p->view && p->view->write[tag % LINE_VIEW_ENTRIES] == tag)
		p->view->write[tag % LINE_VIEW_ENTRIES] = LINE_VIEW_NONE;
	cache_disown(&p->l2, line);
	cache_disown(&p->l1[DATA], line);
}

/* ---- accesses ---- */

/* The first level gets what the second has now.  What has to go for it is in the second anyway. */
static void fill_l1(struct cache *l1, uint64_t word)
{
	uint64_t *there = cache_find(l1, word & ~CACHE_OWNED);

	if (there)
		cache_use(l1, there, word);
	else
		(void)cache_insert(l1, word);
}

/* The second level gets a line, and gives up another for it. */
static void fill_l2(struct flash *f, unsigned cpu, uint64_t word)
{
	struct processor *p = &f->processor[cpu];
	uint64_t gone = cache_insert(&p->l2, word), line = gone & ~CACHE_OWNED;

	if (gone == CACHE_NONE)
		return;
	lose(p, line);
	p->stats.writebacks += gone != line;
	directory_evict(f, cpu, line, gone != line);
}

static void count_miss(struct flash_stats *s, const struct directory_reply *r, bool upgrade)
{
	uint64_t stall = r->cycles + r->waited;

	if (r->remote) {
		s->remote++;
		s->remote_stall += stall;
		s->remote_waited += r->waited;
	} else {
		s->local++;
		s->local_stall += stall;
		s->local_waited += r->waited;
	}
	s->dirty += r->dirty;
	s->upgrades += upgrade;
}

/* The line, or the right to write to it, is not in the caches. */
static bool miss(struct flash *f, unsigned cpu, struct cache *l1, uint64_t line, bool write, uint64_t *upgrade)
{
	struct processor *p = &f->processor[cpu];
	uint64_t word = line | (write ? CACHE_OWNED : 0);
	uint32_t page = (uint32_t)(line << f->line_shift >> PAGE_SHIFT);
	struct directory_reply r = directory_miss(f, cpu, line, write);
	bool hot;

	if (upgrade)
		cache_use(&p->l2, upgrade, word);
	else
		fill_l2(f, cpu, word);
	fill_l1(l1, word);
	count_miss(&p->stats, &r, upgrade);
	p->clock += r.cycles + r.waited;
	hot = counters_miss(&f->counters, page, cpu, write);
	return hot && r.remote;
}

/* Would a miss on the page make it hot for the processor? */
static bool heats(const struct flash *f, unsigned cpu, uint32_t page)
{
	return counters_would_reach(&f->counters, page, cpu) && flash_page_node(f, page) != f->processor[cpu].node;
}

/* In the second level, or not at all.  *hot: in, whether a miss that makes the page hot is one; out, whether it was. False: it was none. */
static bool beyond_l1(struct flash *f, unsigned cpu, enum flash_access kind, struct cache *l1, uint64_t line, bool *hot)
{
	struct processor *p = &f->processor[cpu];
	uint64_t *word = cache_find(&p->l2, line), found;
	bool write = kind == FLASH_WRITE;

	if (!word || (write && !(*word & CACHE_OWNED))) {
		if (!*hot && heats(f, cpu, (uint32_t)(line << f->line_shift >> PAGE_SHIFT)))
			return false;
		*hot = miss(f, cpu, l1, line, write, word);
		return true;
	}
	*hot = false;
	found = *word;
	cache_use(&p->l2, word, found);
	fill_l1(l1, kind == FLASH_FETCH ? line : found);
	p->stats.l2_hits++;
	p->stats.l2_stall += f->cycles.l2;
	p->clock += f->cycles.l2;
	return true;
}

/* The set of line has used another one last, and what translated code is shown follows. */
static void show_instead(const struct processor *p, unsigned which, uint64_t last, uint64_t word)
{
	if (last != CACHE_NONE && (last ^ word) & ~CACHE_OWNED)
		hide(p, which, last & ~CACHE_OWNED);
	show(p, which, word);
}

bool flash_hit(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr)
{
	struct processor *p = &f->processor[cpu];
	unsigned which = kind == FLASH_FETCH ? CODE : DATA;
	struct cache *l1 = &p->l1[which];
	uint64_t line = addr >> f->line_shift, *set = cache_set(l1, line), *word = cache_find(l1, line), last = *set;

	ASSERT(cpu < f->cpus && addr < f->cfg.memory);
	if (!word || (kind == FLASH_WRITE && !(*word & CACHE_OWNED)))
		return false;
	if (word != set)
		cache_use(l1, word, *word);
	show_instead(p, which, last, *set);
	return true;
}

/* hot: as for beyond_l1(). */
static bool pass(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr, bool *hot)
{
	struct processor *p = &f->processor[cpu];
	unsigned which = kind == FLASH_FETCH ? CODE : DATA;
	struct cache *l1 = &p->l1[which];
	uint64_t line = addr >> f->line_shift, *set = cache_set(l1, line), last = *set;

	if (flash_hit(f, cpu, kind, addr)) {
		*hot = false;
		return true;
	}
	if (!beyond_l1(f, cpu, kind, l1, line, hot))
		return false;
	show_instead(p, which, last, *set);
	return true;
}

bool flash_access(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr)
{
	bool hot = true;

	(void)pass(f, cpu, kind, addr, &hot);
	return hot;
}

bool flash_access_unless_hot(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr)
{
	bool hot = false;

	return pass(f, cpu, kind, addr, &hot);
}

bool flash_has_code(const struct flash *f, unsigned cpu, uint64_t addr)
{
	return cache_find(&f->processor[cpu].l1[CODE], addr >> f->line_shift) != NULL;
}
