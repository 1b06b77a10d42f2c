/* SPDX-License-Identifier: MIT */
/* The JIT as vmm/ sees it: life, running, and the two tiers' results coming in. */
#include <immintrin.h>
#include <stdlib.h>

#include "base/host_clock.h"
#include "base/trace.h"
#include "jit/emit.h"
#include "jit/store/block.h"
#include "jit/tier1_api.h"
#include "jit/tier2.h"

/* A head that asked and was told "not now" must run before it asks again (README, "Progress"). */
#define REARM_MIN 1024

#define MXCSR_CLEAR 0x1f80 /* its default: all masked, round to nearest, no flags */

static void remove_request(struct code_cache *cc, struct jit_request *q)
{
	struct jit_request **at = &cc->requests;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	if (--q->cp->n_pending == 0)
		q->cp->pending = 0;
	record_settle(q->cp);
	free(q);
}

/*
 * The longest way with nothing executed: a link or an indirect jump to an entry that fails, the jump cache's entry, a
 * region that leaves at once, the side stub.
 */
#define MAX_HOPS 3

void jit_count_hop(struct guest_state *gs)
{
	const uint64_t *n = gs->insns;
	uint64_t insns = n[TIER_INTERP] + n[TIER_1] + n[TIER_2];

	gs->hops = insns == gs->hop_insns ? gs->hops + 1 : 0;
	gs->hop_insns = insns;
	if (gs->hops > MAX_HOPS)
		panic("generated code goes round without executing anything: pc %#llx, mode %#x",
		      (unsigned long long)gs->pc, gs->mode);
}

enum tier jit_tier_of(const struct translation *t) { return (enum tier)t->tier; }

#ifdef __clang__
__attribute__((no_sanitize("function"))) /* generated code carries no type */
#endif
enum exit_reason
jit_run(struct jit *j, struct translation *t)
{
	struct guest_state *gs = j->gs;
	ASSERT(!gs->fpu_last);
	gs->hops = 0;
	jit_link_settle(j);
	/* What the monitor's own code left in MXCSR is not the guest's. */
	_mm_setcsr(MXCSR_CLEAR);
	enum exit_reason r = j->cc->stubs.enter(gs, translation_body(t));
	j->asked = r == EXIT_HOT ? (int32_t *)(uintptr_t)gs->scratch[1] : NULL;
	jit_outside(j);
	if (gs->fpu_last)
		gs->helpers[HELPER_FPU_SETTLE](gs, 0, 0, 0);
	if (r == EXIT_NONE || r >= NUM_EXITS)
		panic("generated code left for no reason (%d)", (int)r);
	return r;
}

bool jit_is_full(const struct jit *j) { return j->full; }

/* The page that b is of cannot have it there: it is not so in others' pages, or another record has it already. */
static bool must_move(const struct jit *j, const struct code_page *cp, const struct ir_block *b)
{
	/* the second once for a block only: records might send a page round in a circle */
	return cp->place && ((cp->exact && !record_users_agree(cp, b)) ||
			     (!j->moved && record_better_elsewhere(cp, ir_block_off(b), b->mode, b->abs_page)));
}

static struct translation *compile(struct jit *j, struct code_page *cp, const struct ir_block *b)
{
	return must_move(j, cp, b) ? NULL : tier1_compile(j->cc, cp, b);
}

/* Done with nothing to be run. */
static struct translation *none(struct jit *j)
{
	jit_unlock(j);
	jit_outside(j);
	return NULL;
}

struct translation *jit_compile_tier1(struct jit *j, struct code_page *cp, const struct ir_block *b)
{
	struct code_cache *cc = j->cc;
	struct translation *t;
	uint64_t from;

	j->full = false;
	jit_lock(j, true);
	from = host_now_ns();
	t = find_tier1(cp, ir_block_off(b), b->mode, b->abs_page);
	if (t) {
		j->moved = false;
		jit_unlock(j);
		return t;
	}
	t = compile(j, cp, b);
	if (!t && !must_move(j, cp, b)) {
		j->full = !code_cache_flush(cc, j); /* others may come to the record meanwhile */
		t = j->full ? NULL : compile(j, cp, b);
	}
	if (!t && (j->full || must_move(j, cp, b)))
		return none(j);
	if (!t)
		panic("a block of %u IR instructions does not fit into empty code memory", b->n_ins);
	j->moved = false;
	jit_install(cc, t);
	cc->stats.blocks[TIER_1]++;
	cc->stats.ns_tier1 += host_now_ns() - from;
	j->made.blocks++;
	j->made.guest_insns += t->n_guest;
	jit_unlock(j);
	return t;
}

static struct translation *take_stored(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode,
				       uint64_t abs_page)
{
	uint64_t from = host_now_ns();
	struct translation *t = find_tier1(cp, off, mode, abs_page);

	if (t || (cp->place && !j->moved && record_better_elsewhere(cp, off, mode, abs_page)))
		return t;
	t = stored_block_take(j->cc, cp, off, mode, abs_page);
	if (!t)
		return NULL;
	j->moved = false;
	jit_install(j->cc, t);
	j->cc->stats.stored_taken++;
	j->cc->stats.ns_stored += host_now_ns() - from;
	return t;
}

struct translation *jit_take_stored(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	struct translation *t;

	if (!j->cc->cfg.store)
		return NULL;
	jit_lock(j, true);
	t = take_stored(j, cp, off, mode, abs_page);
	jit_unlock(j);
	if (!t)
		jit_outside(j);
	return t;
}

/*
 * Where a region jumps to in order to leave it.  It polls, so that the guest is seen there too: what comes behind may never
 * be the target of a jump back, and would stay in tier 1 for good (vmm/cpu/region.c, region_sample()).
 */
static const void *emit_way_out(struct x86 *x, const struct code_cache *cc, struct jit_link *l)
{
	const void *enter = x86_here(x);

	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	uint8_t *go = x86_jcc_short(x, CC_E);
	emit_target_pc(x, RAX, link_pc(l));
	x86_jmp(x, cc->stubs.poll_eax);
	x86_bind_short(x, go);
	near_set(&l->site, emit_link_jump(x)); /* its stub follows */
	return enter;
}

const uint8_t *jit_entry(struct code_cache *cc, struct translation *t)
{
	enum { ROOM = 256 };
	const uint8_t *at = translation_entry(t);
	struct code_span span;
	struct x86 x;
	size_t room;

	if (at)
		return at;
	span = code_mem_open(&cc->mem, true, &room);
	if (room < ROOM)
		return NULL;
	x = x86_in(&span, room);
	at = emit_entry(&x, cc, t);
	code_mem_commit(&cc->mem, &span, (size_t)(x.p - x.start));
	cc->stats.host_bytes[t->tier] += (uint64_t)(x.p - x.start);
	jit_tell_installed(cc, t, NULL, 0, at, (uint32_t)(x.p - x.start));
	__atomic_store_n(&t->entry.by, (int32_t)(at - (const uint8_t *)&t->entry), __ATOMIC_RELEASE);
	return at;
}

bool jit_emit_around(struct code_cache *cc, struct translation *t, struct jit_stubs *stubs, const void **ways)
{
	size_t room;
	struct code_span span = code_mem_open(&cc->mem, true, &room);
	struct x86 x = x86_in(&span, room);
	if (room < PAGE_BYTES)
		return false;
	near_set(&t->cold, span.rx);
	near_set(&t->entry, emit_entry(&x, cc, t));
	for (unsigned i = 0; i < t->n_links; i++) {
		struct jit_link *l = &t->links[i];

		ways[i] = l->kind == LINK_RETURN ? l : emit_way_out(&x, cc, l);
		emit_link_stub(&x, cc, l);
	}
	*stubs = cc->stubs;
	stubs->indirect = emit_indirect_exit(&x, cc, t->mode, false);
	stubs->ret = emit_indirect_exit(&x, cc, t->mode, true);
	if (x.overflow)
		return false;
	t->cold_bytes = (uint32_t)(x.p - x.start);
	code_mem_commit(&cc->mem, &span, t->cold_bytes);
	return true;
}

/* The words that it was made from, for a page to be compared with. */
static void keep_words(struct translation *t, struct ir_block *const *blocks, uint32_t n)
{
	struct jit_word *at = translation_words(t);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t g = 0; g < blocks[i]->n_guest; g++)
			*at++ = (struct jit_word){(uint32_t)blocks[i]->guest[g].off, blocks[i]->guest[g].word};
}

static unsigned count_words(struct ir_block *const *blocks, uint32_t n)
{
	unsigned k = 0;

	for (uint32_t i = 0; i < n; i++)
		k += blocks[i]->n_guest;
	return k;
}

/* The code itself, and what stands around it. False if there is no room. */
static bool place_code(struct code_cache *cc, struct translation *t, const struct tier2_work *w,
		       const struct code_span *span)
{
	const void **ways = calloc(w->n_links + 1u, sizeof(*ways));
	struct jit_stubs stubs;
	bool ok;

	ok = ways && jit_emit_around(cc, t, &stubs, ways) && tier2_work_place(&stubs, w, span->rw, span->rx, ways) == 0;
	free(ways);
	return ok;
}

/* Code memory and links for a compiled region. False if there is no room. */
static bool place_region(struct code_cache *cc, const struct tier2_work *w)
{
	struct ir_block *const *blocks = w->region.blocks;
	uint32_t n = w->region.n_blocks;
	struct code_span span = code_mem_alloc(&cc->mem, w->code_bytes, 64);
	struct translation *t =
	    span.rx ? jit_translation_new(cc, w->region.cp, w->n_links, n, 0, count_words(blocks, n)) : NULL;
	if (!t)
		return false;
	t->mode = blocks[0]->mode;
	t->abs_page = blocks[0]->abs_page;
	t->off = (uint16_t)ir_block_off(blocks[0]);
	t->tier = TIER_2;
	near_set(&t->code, span.rx);
	t->code_bytes = w->code_bytes;
	t->n_guest = (uint16_t)w->n_guest;
	for (uint32_t i = 0; i < n; i++) {
		const struct ir_guest_insn *last = &blocks[i]->guest[blocks[i]->n_guest - 1];
		uint32_t off = ir_block_off(blocks[i]);
		translation_ranges(t)[i] = (struct jit_range){(uint16_t)off, (uint16_t)((uint32_t)last->off + 4 - off)};
	}
	for (uint32_t i = 0; i < w->n_links; i++)
		jit_link_init(t, i, w->links[i].target, w->links[i].is_return);
	keep_words(t, blocks, n);
	if (!place_code(cc, t, w, &span))
		return false;
	jit_install(cc, t);
	cc->stats.blocks[TIER_2] += n;
	cc->stats.regions++;
	return true;
}

static struct jit_request **find_request(struct code_cache *cc, const struct jit_region *r)
{
	const struct ir_block *head = r->blocks[0];
	struct jit_request **at = &cc->requests;
	while (*at && ((*at)->cp != r->cp || (*at)->off != ir_block_off(head) || (*at)->mode != head->mode ||
		       (*at)->abs_page != head->abs_page))
		at = &(*at)->next;
	return at;
}

static struct jit_request *add_request(struct code_cache *cc, const struct jit_region *r)
{
	struct jit_request *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct jit_request){.cp = r->cp,
				  .off = ir_block_off(r->blocks[0]),
				  .mode = r->blocks[0]->mode,
				  .serial = r->cp->serial,
				  .abs_page = r->blocks[0]->abs_page,
				  .next = cc->requests};
	cc->requests = q;
	r->cp->n_pending++;
	for (uint32_t i = 0; i < r->n_blocks; i++)
		r->cp->pending |= jit_granules(ir_block_off(r->blocks[i]), 4 * r->blocks[i]->n_guest);
	return q;
}

/* Not so in the page of somebody who has the record. */
static bool disagrees(const struct tier2_work *w)
{
	const struct code_page *cp = w->region.cp;
	bool is = false;

	for (uint32_t i = 0; cp->exact && cp->place && !is && i < w->region.n_blocks; i++)
		is = !record_users_agree(cp, w->region.blocks[i]);
	return is;
}

static void trace_done(struct code_cache *cc, const struct tier2_work *w, bool placed)
{
	const struct ir_block *head = w->region.blocks[0];

	TRACE(cc->cfg.tracer, TIER2_DONE, ir_block_off(head), head->mode, w->n_guest, placed ? w->code_bytes : 0,
	      w->ns);
}

/* Takes w. False if code memory is full. */
static bool finish(struct code_cache *cc, struct tier2_work *w)
{
	struct jit_request *q = w->cookie;
	bool stale = q->serial != q->cp->serial || (q->cp->exact && !q->cp->n_users) || disagrees(w), placed = true;
	cc->stats.ns_tier2 += w->ns;
	if (!stale && w->refused == TIER2_REFUSED_NONE)
		placed = place_region(cc, w);
	trace_done(cc, w, placed && !stale && w->refused == TIER2_REFUSED_NONE);
	remove_request(cc, q);
	return placed;
}

void jit_install_finished(struct jit *j)
{
	struct code_cache *cc = j->cc;
	struct tier2_work *w;

	if (!cc->tier2 || !tier2_has_finished(cc->tier2))
		return;
	jit_lock(j, false);
	while ((w = tier2_take_finished(cc->tier2)) != NULL) {
		(void)finish(cc, w); /* no room: tier 1 will flush soon, and what is hot will be asked for again */
		tier2_work_free(w);
	}
	jit_unlock(j);
}

/* Not now: the jump that left with EXIT_HOT asks again after as many executions. */
static void rearm(struct jit *j)
{
	if (j->asked)
		*j->asked = (int32_t)(j->cc->cfg.hot_threshold > REARM_MIN ? j->cc->cfg.hot_threshold : REARM_MIN);
	j->asked = NULL;
}

bool jit_tier2_ready(struct jit *j)
{
	bool ready = j->cc->tier2 && tier2_has_room(j->cc->tier2);

	if (!ready) {
		jit_lock(j, false);
		rearm(j);
		jit_unlock(j);
	}
	return ready;
}

static bool request_sync(struct jit *j, struct tier2_work *w, struct jit_request *q)
{
	struct code_cache *cc = j->cc;
	bool ok;

	tier2_compile_sync(cc->tier2, w);
	ok = w->refused == TIER2_REFUSED_NONE && !disagrees(w);
	cc->stats.ns_tier2 += w->ns;
	if (ok && !place_region(cc, w)) {
		ok = code_cache_flush(cc, j) && !disagrees(w) && place_region(cc, w);
	}
	trace_done(cc, w, ok);
	remove_request(cc, q);
	tier2_work_free(w);
	return ok;
}

static bool request(struct jit *j, struct jit_region *r)
{
	struct code_cache *cc = j->cc;
	bool wanted = cc->tier2 && r->n_blocks > 0 && !*find_request(cc, r);
	struct jit_request *q = wanted ? add_request(cc, r) : NULL;
	if (!q) {
		arena_free(&r->arena);
		return false;
	}
	struct tier2_work *w = tier2_work_new(r, q);
	if (cc->cfg.sync_tier2)
		return request_sync(j, w, q);
	if (tier2_request(cc->tier2, w))
		return true;
	remove_request(cc, q);
	rearm(j);
	return false;
}

bool jit_request_tier2(struct jit *j, struct jit_region *r)
{
	bool ok;

	jit_lock(j, false);
	ok = request(j, r);
	jit_unlock(j);
	return ok;
}
