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

/* True: the page is hot with it. */
static bool pass(struct vcpu *v, enum flash_access kind, uint64_t addr)
{
	struct caches *l = &v->caches;
	uint64_t before = flash_clock(l->flash, l->cpu);
	bool hot = flash_access(l->flash, l->cpu, kind, addr);

	set_left(v, v->gs.icount_left - (int64_t)(flash_clock(l->flash, l->cpu) - before));
	if (hot)
		note_hot(v, addr);
	return hot;
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
	uint64_t addr = (uint64_t)(code - v->caches.base);

	if (!code || addr >= v->caches.bytes || flash_has_code(v->caches.flash, v->caches.cpu, addr))
		return;
	if (pass(v, FLASH_FETCH, addr)) {
		v->caches.later = true;
		caches_stop_soon(v);
	}
}

bool caches_access(struct vcpu *v, enum flash_access kind, const uint8_t *host)
{
	struct caches *l = &v->caches;
	uint64_t addr = (uint64_t)(host - l->base), before;

	if (addr >= l->bytes) /* the page of zeroes, which everybody has near */
		return false;
	if (!v->step && flash_access_heats(l->flash, l->cpu, kind, addr)) {
		mem_step_alone(v);
		return true;
	}
	caches_sync(v);
	before = flash_clock(l->flash, l->cpu);
	(void)pass(v, kind, addr);
	if (kind != FLASH_FETCH && flash_clock(l->flash, l->cpu) != before)
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
