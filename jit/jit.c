/* SPDX-License-Identifier: MIT */
/* The JIT as vmm/ sees it: life, running, and the two tiers' results coming in. */
#include <errno.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_clock.h"
#include "jit/emit.h"
#include "jit/tier1_api.h"
#include "jit/tier2.h"

/* Jumps back.  A region costs LLVM some 10 ms of another thread, and one turn of a loop a few ns: see README. */
#define HOT_THRESHOLD 65536

/* A head that asked and was told "not now" must run before it asks again (README, "Progress"). */
#define REARM_MIN 1024

#define MXCSR_CLEAR 0x1f80 /* its default: all masked, round to nearest, no flags */

/* Worker thread: the vCPU leaves at its next poll point and takes what is finished. */
static void on_finished(void *ctx)
{
	struct jit *j = ctx;
	__atomic_store_n(&j->cfg.gs->poll, 1, __ATOMIC_RELEASE);
}

static int init_code(struct jit *j)
{
	int err = code_mem_init(&j->mem, j->cfg.code_bytes);
	if (err)
		return err;
	j->jump_cache = code_mem_alloc_data(&j->mem, sizeof(*j->jump_cache));
	j->ret_ring = code_mem_alloc_data(&j->mem, RET_RING_ENTRIES * sizeof(*j->ret_ring));
	j->side_cache = code_mem_alloc_data(&j->mem, SIDE_CACHE_ENTRIES * sizeof(*j->side_cache));
	if (!j->jump_cache || !j->ret_ring || !j->side_cache || !jit_stubs_emit(j))
		panic("code memory has no room for the stubs");
	code_mem_keep(&j->mem);
	jit_forget_jumps(j);
	struct guest_state *gs = j->cfg.gs;
	gs->exit_stub = j->stubs.exit;
	gs->jump_cache = j->jump_cache;
	gs->ret_ring = j->ret_ring;
	gs->helpers = j->cfg.helpers;
	return 0;
}

int jit_new(struct jit **out, const struct jit_config *cfg)
{
	struct jit *j = calloc(1, sizeof(*j));
	int err = -ENOMEM;
	if (!j)
		return err;
	j->cfg = *cfg;
	if (j->cfg.hot_threshold == 0)
		j->cfg.hot_threshold = HOT_THRESHOLD;
	if (j->cfg.hot_threshold > INT32_MAX)
		j->cfg.hot_threshold = INT32_MAX;
	j->tier1 = tier1_new();
	if (j->tier1)
		err = init_code(j);
	if (!err && cfg->tier2) {
		struct tier2_config t2 = {.icount = cfg->icount,
					  .count_insns = cfg->count_insns,
					  .background = !cfg->sync_tier2,
					  .helpers = cfg->helpers,
					  .stubs = &j->stubs,
					  .on_finished = on_finished,
					  .ctx = j};
		err = tier2_new(&j->tier2, &t2);
	}
	if (err) {
		jit_free(j);
		return err;
	}
	*out = j;
	return 0;
}

static void remove_request(struct jit *j, struct jit_request *q)
{
	struct jit_request **at = &j->requests;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	if (--q->cp->n_pending == 0)
		q->cp->pending = 0;
	jit_code_page_unref(q->cp);
	free(q);
}

bool jit_abandon(struct jit *j)
{
	if (!j || !j->tier2 || !tier2_abandon(j->tier2))
		return false;
	jit_pages_free(j); /* the machine pages are given back */
	return true;
}

void jit_free(struct jit *j)
{
	if (!j)
		return;
	if (j->tier2)
		tier2_free(j->tier2);
	while (j->requests)
		remove_request(j, j->requests);
	if (j->mem.rx)
		jit_flush(j); /* frees what translations keep on the heap */
	jit_pages_free(j);
	code_mem_fini(&j->mem);
	tier1_free(j->tier1);
	free(j);
}

void jit_break(struct jit *j)
{
	/* keys only: who has compared one already may still load what stands beside it */
	for (unsigned i = 0; i < JUMP_CACHE_ENTRIES; i++)
		__atomic_store_n(&j->jump_cache->e[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < SIDE_CACHE_ENTRIES; i++)
		__atomic_store_n(&j->side_cache[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < RET_RING_ENTRIES; i++)
		__atomic_store_n(&j->ret_ring[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
}

/*
 * The longest way with nothing executed: a link or an indirect jump to an entry that fails, the jump cache's entry, a
 * region that leaves at once, the side stub.
 */
#define MAX_HOPS 3

void jit_count_hop(struct jit *j)
{
	const uint64_t *n = j->cfg.gs->insns;
	uint64_t insns = n[TIER_INTERP] + n[TIER_1] + n[TIER_2];

	j->hops = insns == j->hop_insns ? j->hops + 1 : 0;
	j->hop_insns = insns;
	if (j->hops > MAX_HOPS)
		panic("generated code goes round without executing anything: pc %#llx, mode %#x",
		      (unsigned long long)j->cfg.gs->pc, j->cfg.gs->mode);
}

enum tier jit_tier_of(const struct translation *t) { return (enum tier)t->tier; }

const struct jit_stats *jit_stats(const struct jit *j) { return &j->stats; }

#ifdef __clang__
__attribute__((no_sanitize("function"))) /* generated code carries no type */
#endif
enum exit_reason
jit_run(struct jit *j, struct translation *t)
{
	ASSERT(!t->dead);
	struct guest_state *gs = j->cfg.gs;
	ASSERT(!gs->fpu_last);
	j->hops = 0;
	jit_link_settle(j);
	/* What the monitor's own code left in MXCSR is not the guest's. */
	_mm_setcsr(MXCSR_CLEAR);
	enum exit_reason r = j->stubs.enter(gs, t->body);
	if (r == EXIT_HOT)
		j->asked = (int32_t *)(uintptr_t)gs->scratch[1];
	if (gs->fpu_last)
		gs->helpers[HELPER_FPU_SETTLE](gs, 0, 0, 0);
	if (r == EXIT_NONE || r >= NUM_EXITS)
		panic("generated code left for no reason (%d)", (int)r);
	return r;
}

struct translation *jit_compile_tier1(struct jit *j, struct code_page *cp, const struct ir_block *b)
{
	uint64_t from = host_now_ns();
	struct translation *t = tier1_compile(j, cp, b);
	if (!t) {
		jit_flush(j);
		t = tier1_compile(j, cp, b);
	}
	if (!t)
		panic("a block of %u IR instructions does not fit into empty code memory", b->n_ins);
	jit_install(j, t);
	j->stats.blocks[TIER_1]++;
	j->stats.ns_tier1 += host_now_ns() - from;
	return t;
}

/*
 * Where a region jumps to in order to leave it.  It polls, so that the guest is seen there too: what comes behind may never
 * be the target of a jump back, and would stay in tier 1 for good (vmm/cpu/region.c, region_sample()).
 */
static void emit_way_out(struct x86 *x, const struct jit *j, struct jit_link *l)
{
	l->enter = x86_here(x);
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	uint8_t *go = x86_jcc_short(x, CC_E);
	emit_target_pc(x, RAX, l->pc);
	x86_jmp(x, j->stubs.poll_eax);
	x86_bind_short(x, go);
	l->site = emit_link_jump(x); /* its stub follows */
}

bool jit_emit_around(struct jit *j, struct translation *t, struct jit_stubs *stubs)
{
	size_t room;
	struct code_span span = code_mem_open(&j->mem, true, &room);
	struct x86 x = x86_in(&span, room);
	uint8_t *fail[2];
	if (room < PAGE_BYTES)
		return false;
	t->entry = emit_entry(&x, t, fail);
	x86_jmp(&x, t->body);
	emit_entry_fail(&x, j, t->entry, fail);
	for (unsigned i = 0; i < t->n_links; i++) {
		if (t->links[i].kind != LINK_RETURN)
			emit_way_out(&x, j, &t->links[i]);
		emit_link_stub(&x, j, &t->links[i]);
	}
	*stubs = j->stubs;
	stubs->indirect = emit_indirect_exit(&x, j, t->mode, false);
	stubs->ret = emit_indirect_exit(&x, j, t->mode, true);
	if (x.overflow)
		return false;
	t->cold = span.rx;
	t->cold_bytes = (uint32_t)(x.p - x.start);
	code_mem_commit(&j->mem, &span, t->cold_bytes);
	return true;
}

/* Code memory and links for a compiled region. False if there is no room. */
static bool place_region(struct jit *j, const struct tier2_work *w)
{
	struct ir_block *const *blocks = w->region.blocks;
	uint32_t n = w->region.n_blocks;
	struct code_span span = code_mem_alloc(&j->mem, w->code_bytes, 64);
	struct translation *t = span.rx ? jit_translation_new(j, w->region.cp, w->n_links, n, 0) : NULL;
	if (!t)
		return false;
	t->mode = blocks[0]->mode;
	t->abs_page = blocks[0]->abs_page;
	t->off = (uint16_t)ir_block_off(blocks[0]);
	t->tier = TIER_2;
	t->code = t->body = span.rx;
	t->code_bytes = w->code_bytes;
	t->n_guest = (uint16_t)w->n_guest;
	for (uint32_t i = 0; i < n; i++) {
		const struct ir_guest_insn *last = &blocks[i]->guest[blocks[i]->n_guest - 1];
		uint32_t off = ir_block_off(blocks[i]);
		t->ranges[i] = (struct jit_range){(uint16_t)off, (uint16_t)((uint32_t)last->off + 4 - off)};
	}
	for (uint32_t i = 0; i < w->n_links; i++)
		jit_link_init(&t->links[i], t, w->links[i].target, w->links[i].is_return);
	struct jit_stubs stubs;
	if (!jit_emit_around(j, t, &stubs) || tier2_work_place(&stubs, w, span.rw, span.rx, t->links) != 0)
		return false;
	jit_install(j, t);
	j->stats.blocks[TIER_2] += n;
	j->stats.regions++;
	return true;
}

static struct jit_request **find_request(struct jit *j, const struct jit_region *r)
{
	const struct ir_block *head = r->blocks[0];
	struct jit_request **at = &j->requests;
	while (*at && ((*at)->cp != r->cp || (*at)->off != ir_block_off(head) || (*at)->mode != head->mode ||
		       (*at)->abs_page != head->abs_page))
		at = &(*at)->next;
	return at;
}

static struct jit_request *add_request(struct jit *j, const struct jit_region *r)
{
	struct jit_request *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct jit_request){.cp = r->cp,
				  .off = ir_block_off(r->blocks[0]),
				  .mode = r->blocks[0]->mode,
				  .serial = r->cp->serial,
				  .abs_page = r->blocks[0]->abs_page,
				  .next = j->requests};
	j->requests = q;
	r->cp->n_pending++;
	for (uint32_t i = 0; i < r->n_blocks; i++)
		r->cp->pending |= jit_granules(ir_block_off(r->blocks[i]), 4 * r->blocks[i]->n_guest);
	return q;
}

/* Takes w. False if code memory is full. */
static bool finish(struct jit *j, struct tier2_work *w)
{
	struct jit_request *q = w->cookie;
	bool stale = q->serial != q->cp->serial || !q->cp->slot, placed = true;
	j->stats.ns_tier2 += w->ns;
	if (!stale && w->refused == TIER2_REFUSED_NONE)
		placed = place_region(j, w);
	remove_request(j, q);
	return placed;
}

void jit_install_finished(struct jit *j)
{
	struct tier2_work *w;
	while (j->tier2 && tier2_has_finished(j->tier2) && (w = tier2_take_finished(j->tier2))) {
		(void)finish(j, w); /* no room: tier 1 will flush soon, and what is hot will be asked for again */
		tier2_work_free(w);
	}
}

/* Not now: the jump that left with EXIT_HOT asks again after as many executions. */
static void rearm(struct jit *j)
{
	if (j->asked)
		*j->asked = (int32_t)(j->cfg.hot_threshold > REARM_MIN ? j->cfg.hot_threshold : REARM_MIN);
	j->asked = NULL;
}

bool jit_tier2_ready(struct jit *j)
{
	bool ready = j->tier2 && tier2_has_room(j->tier2);

	if (!ready)
		rearm(j);
	return ready;
}

static bool request_sync(struct jit *j, struct tier2_work *w, struct jit_request *q)
{
	tier2_compile_sync(j->tier2, w);
	bool ok = w->refused == TIER2_REFUSED_NONE;
	j->stats.ns_tier2 += w->ns;
	if (ok && !place_region(j, w)) {
		jit_flush(j);
		ok = place_region(j, w);
	}
	remove_request(j, q);
	tier2_work_free(w);
	return ok;
}

bool jit_request_tier2(struct jit *j, struct jit_region *r)
{
	bool wanted = j->tier2 && r->n_blocks > 0 && !*find_request(j, r);
	struct jit_request *q = wanted ? add_request(j, r) : NULL;
	if (!q) {
		arena_free(&r->arena);
		return false;
	}
	struct tier2_work *w = tier2_work_new(r, q);
	if (j->cfg.sync_tier2)
		return request_sync(j, w, q);
	if (tier2_request(j->tier2, w))
		return true;
	remove_request(j, q);
	rearm(j);
	return false;
}
