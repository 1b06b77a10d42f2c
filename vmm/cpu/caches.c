/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/caches.h"

#include "vmm/cpu/helpers.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"

/* What was executed is what this has fallen by: a block's head takes all of it off, and gs->site says what of it is still to come. */
static int64_t ahead(const struct vcpu *v) { return v->gs.icount_left + (int64_t)SITE_LEFT(v->gs.site); }

uint64_t caches_cycles(const struct vcpu *v)
{
	return flash_clock(v->caches.flash, v->caches.cpu) + (uint64_t)(v->caches.mark - ahead(v));
}

void caches_sync(struct vcpu *v)
{
	uint64_t executed = (uint64_t)(v->caches.mark - ahead(v));

	flash_run(v->caches.flash, v->caches.cpu, executed);
	v->caches.insns += executed;
	v->caches.mark = ahead(v);
}

/* icount_left becomes `left`, and nothing was executed by that. */
static void set_left(struct vcpu *v, int64_t left)
{
	v->caches.mark += left - v->gs.icount_left;
	v->gs.icount_left = left;
}

void caches_begin(struct vcpu *v, uint64_t cycles)
{
	caches_sync(v);
	set_left(v, v->caches.stop ? 0 : cycles < INT64_MAX ? (int64_t)cycles : INT64_MAX);
}

void caches_shorten(struct vcpu *v, uint64_t cycles)
{
	int64_t left = (cycles < INT64_MAX / 2 ? (int64_t)cycles : INT64_MAX / 2) - (int64_t)SITE_LEFT(v->gs.site);

	if (left < v->gs.icount_left)
		set_left(v, left);
}

void caches_stop_soon(struct vcpu *v)
{
	v->caches.stop = true;
	caches_shorten(v, 0);
}

static void note_hot(struct vcpu *v, uint64_t addr)
{
	struct caches *l = &v->caches;

	if (l->n_hot < CACHES_HOT)
		l->hot[l->n_hot++] = (uint32_t)(addr >> PAGE_SHIFT);
}

/* The processor's clock was `before`: what it has stalled since is taken off. */
static bool stalled(struct vcpu *v, uint64_t before)
{
	int64_t stall = (int64_t)(flash_clock(v->caches.flash, v->caches.cpu) - before);

	if (stall)
		set_left(v, v->gs.icount_left - stall);
	return stall;
}

/* The bytes of the instruction in progress; NULL: it is a delay slot in another page than its branch. */
static const uint8_t *code_here(const struct vcpu *v)
{
	uint64_t off = v->gs.pc & PAGE_MASK;

	if (v->gs.site & SITE_BD && !off)
		return NULL;
	return (const uint8_t *)(uintptr_t)(v->gs.fetch_page << PAGE_SHIFT | off);
}

/* What a miss has thrown out may be the line of the code that missed. */
static void fetch_again(struct vcpu *v)
{
	const uint8_t *code = code_here(v);
	uint64_t addr = (uint64_t)(code - v->caches.base), before;

	if (!code || addr >= v->caches.bytes || flash_has_code(v->caches.flash, v->caches.cpu, addr))
		return;
	before = flash_clock(v->caches.flash, v->caches.cpu);
	if (flash_access(v->caches.flash, v->caches.cpu, FLASH_FETCH, addr)) {
		note_hot(v, addr);
		v->caches.later = true;
		caches_stop_soon(v);
	}
	(void)stalled(v, before);
}

bool caches_access(struct vcpu *v, enum flash_access kind, const uint8_t *host)
{
	struct caches *c = &v->caches;
	uint64_t addr = (uint64_t)(host - c->base), before;

	if (addr >= c->bytes) /* the page of zeroes, which everybody has near */
		return false;
	if (flash_hit(c->flash, c->cpu, kind, addr)) /* two in three that come here */
		return false;
	caches_sync(v);
	before = flash_clock(c->flash, c->cpu);
	if (v->step) {
		if (flash_access(c->flash, c->cpu, kind, addr))
			note_hot(v, addr);
	} else if (!flash_access_unless_hot(c->flash, c->cpu, kind, addr)) {
		mem_step_alone(v);
		return true;
	}
	if (stalled(v, before) && kind != FLASH_FETCH)
		fetch_again(v);
	return false;
}

/* ---- where code runs ---- */

static uint64_t host_page(const struct machine_page *page) { return (uintptr_t)page->host >> PAGE_SHIFT; }

void caches_enter_page(struct vcpu *v, const struct machine_page *page)
{
	unsigned lines = PAGE_BYTES / flash_config(v->caches.flash)->line;

	v->gs.fetch_page = host_page(page);
	v->gs.fetch_tag = &v->gs.lines.fetch[v->gs.fetch_page * lines % LINE_VIEW_ENTRIES];
}

void caches_abs_page(struct vcpu *v, uint64_t pc, const struct machine_page *page)
{
	v->abs_fetch[ABS_CODE_INDEX(pc)] = host_page(page);
}

/* The line of the instruction in progress. */
HELPER_FN(caches_fetch)
{
	struct vcpu *v = vcpu_of(gs);

	(void)caches_access(v, FLASH_FETCH, code_here(v));
	return 0;
}
