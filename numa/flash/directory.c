/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/mman.h>

#include "numa/flash/machine.h"

static void *demand_zero(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int directory_init(struct directory *d, uint64_t lines)
{
	*d = (struct directory){.lines = lines};
	d->holders = demand_zero(lines * sizeof(*d->holders));
	d->owned = demand_zero(lines / 8 + 1);
	return d->holders && d->owned ? 0 : -ENOMEM;
}

void directory_fini(struct directory *d)
{
	if (d->holders)
		munmap(d->holders, d->lines * sizeof(*d->holders));
	if (d->owned)
		munmap(d->owned, d->lines / 8 + 1);
}

static bool is_owned(const struct directory *d, uint64_t line) { return d->owned[line / 8] >> line % 8 & 1; }

static void set_owned(struct directory *d, uint64_t line, bool owned)
{
	uint8_t bit = (uint8_t)(1u << line % 8);

	d->owned[line / 8] = (uint8_t)(owned ? d->owned[line / 8] | bit : d->owned[line / 8] & ~bit);
}

static unsigned home_of(const struct flash *f, uint64_t line)
{
	return flash_page_node(f, (uint32_t)(line << f->line_shift >> PAGE_SHIFT));
}

/* The base latency of a line that the processors of node `owner` have changed. */
static uint64_t dirty_cycles(const struct latencies *c, unsigned node, unsigned home, unsigned owner)
{
	if (home == node)
		return owner == node ? c->near_dirty : c->local_dirty;
	return owner == home ? c->home_dirty : c->third_dirty;
}

/* The line is as memory has it, or the processor's own copy; a write takes it away from `others`. */
static void serve_clean(struct flash *f, struct directory_reply *r, unsigned home, uint64_t now, uint64_t others)
{
	const struct latencies *c = &f->cycles;
	uint64_t sends = (unsigned)__builtin_popcountll(others) * c->invalidate;

	r->cycles = (r->remote ? c->remote : c->local) + sends;
	r->waited =
	    controller_request(&f->controller[home], now, (r->remote ? c->occupy_remote : c->occupy_local) + sends);
}

/* `owner` has the only copy: the home passes the request on to the owner's node. */
static void serve_dirty(struct flash *f, struct directory_reply *r, unsigned node, unsigned home, unsigned owner,
			uint64_t now)
{
	const struct latencies *c = &f->cycles;
	uint64_t occupied = r->remote ? c->occupy_remote : c->occupy_local;

	r->dirty = true;
	r->cycles = dirty_cycles(c, node, home, owner);
	r->waited = controller_request(&f->controller[home], now, occupied);
	r->waited += controller_request(&f->controller[owner], now + r->waited + occupied, c->occupy_owner);
}

struct directory_reply directory_miss(struct flash *f, unsigned cpu, uint64_t line, bool write)
{
	struct directory *d = &f->directory;
	const struct processor *p = &f->processor[cpu];
	unsigned home = home_of(f, line), hops = f->hops[p->node][home];
	uint64_t self = (uint64_t)1 << cpu, others = d->holders[line] & ~self;
	struct directory_reply r = {.remote = home != p->node};

	if (is_owned(d, line)) {
		struct processor *owner = &f->processor[__builtin_ctzll(others)];

		serve_dirty(f, &r, p->node, home, owner->node, p->clock);
		if (!write)
			processor_disown(owner, line);
	} else {
		serve_clean(f, &r, home, p->clock, write ? others : 0);
	}
	r.cycles += hops > 1 ? (hops - 1) * f->cycles.hop : 0;
	for (uint64_t left = write ? others : 0; left; left &= left - 1)
		processor_invalidate(&f->processor[__builtin_ctzll(left)], line);
	d->holders[line] = write ? self : d->holders[line] | self;
	set_owned(d, line, write);
	return r;
}

void directory_evict(struct flash *f, unsigned cpu, uint64_t line, bool owned)
{
	f->directory.holders[line] &= ~((uint64_t)1 << cpu);
	if (!owned)
		return;
	set_owned(&f->directory, line, false);
	(void)controller_request(&f->controller[home_of(f, line)], f->processor[cpu].clock, f->cycles.occupy_writeback);
}
