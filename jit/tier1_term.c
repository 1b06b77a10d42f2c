/* SPDX-License-Identifier: MIT */
/* Ways out of a block, and the code that stands behind it. */
#include "jit/tier1.h"

unsigned t1_n_targets(const struct ir_block *b)
{
	return b->term.kind == TERM_JUMP ? 1 : b->term.kind == TERM_BRANCH ? 2 : 0;
}

static bool calls(const struct ir_block *b)
{
	bool jumps = b->term.kind == TERM_JUMP || b->term.kind == TERM_BRANCH || b->term.kind == TERM_INDIRECT;
	return jumps && b->term.hint == HINT_CALL;
}

unsigned t1_n_links(const struct ir_block *b) { return t1_n_targets(b) + b->n_exits + (calls(b) ? 1 : 0); }

struct t1_late *t1_late_new(struct tier1 *s, enum t1_late_kind kind, uint8_t *from)
{
	ASSERT(s->n_late < T1_LATES);
	struct t1_late *l = &s->late[s->n_late++];
	*l = (struct t1_late){.kind = (uint8_t)kind, .from = from, .insn = (uint16_t)s->insn, .value = NO_REG};
	l->mem_left = (uint16_t)(s->n_mem - s->n_mem_done);
	l->live = t1_xmm_live(s);
	return l;
}

void t1_emit_insn_pc(struct tier1 *s, int dst, uint32_t insn)
{
	if (s->b->mode & MODE_ABS)
		x86_mov_imm(&s->x, dst, ir_insn_pc(s->b, insn, 0));
	else
		emit_target_pc(&s->x, dst, (struct ir_target){TGT_PAGE, s->b->guest[insn].off});
}

/*
 * A target that is not strictly forward of the jump in its own page may close a loop, so it polls.  Forward across a page
 * polls too: then code in which the pc wraps around cannot run for ever.
 */
static bool polls(const struct tier1 *s, struct ir_target t)
{
	int64_t from = s->b->guest[s->b->term.insn].off, page = s->b->mode & MODE_ABS ? (int64_t)s->b->abs_page : 0;
	if (t.kind == TGT_REGION)
		return true;
	return t.v <= page + from || t.v >= page + (int64_t)PAGE_BYTES;
}

/*
 * Is this a jump back in its page?  Each is counted, and the loop's head asked for tier 2.  Counting each block instead
 * costs a read and a write for each, in all code that never gets to tier 2.
 */
static bool closes_loop(const struct tier1 *s, struct ir_target t)
{
	int64_t page = s->b->mode & MODE_ABS ? (int64_t)s->b->abs_page : 0;
	const struct jit_config *cfg = &s->cc->cfg;

	return cfg->tier2 && !cfg->hot_blocks && polls(s, t) && t.kind != TGT_REGION && t.v >= page &&
	       t.v < page + (int64_t)PAGE_BYTES;
}

struct x86_mem t1_hot_count(const struct tier1 *s)
{
	const struct ir_guest_insn *first = &s->b->guest[0], *last = &s->b->guest[s->b->n_guest - 1];
	uint32_t key[] = {(uint32_t)first->off, first->word, last->word, s->b->n_guest};

	if (s->cc->cfg.hot_blocks)
		return x86_rip(translation_hot(s->t));
	/* the same in each run, for dumps that are compared */
	return x86_at(R13, (int32_t)(offsetof(struct guest_state, hot) +
				     XXH3_64bits(key, sizeof(key)) % HOT_COUNTS * sizeof(int32_t)));
}

/* Is the deadline looked at where the block goes on?  branched: it is behind a branch. */
static bool has_deadline(const struct tier1 *s, bool branched) { return s->cc->cfg.line_log2 && branched; }

static void emit_deadline(struct tier1 *s, struct ir_target t)
{
	x86_alu_mem_imm(&s->x, true, ALU_CMP, GS(icount_left), 0);
	t1_late_new(s, LATE_DEADLINE, x86_jcc_forward(&s->x, CC_LE))->target = t;
}

/* Jump to links[link]. */
static void emit_edge(struct tier1 *s, struct ir_target t, unsigned link, bool branched)
{
	if (has_deadline(s, branched))
		emit_deadline(s, t);
	if (closes_loop(s, t)) {
		x86_alu_mem_imm(&s->x, false, ALU_SUB, t1_hot_count(s), 1);
		t1_late_new(s, LATE_HOT, x86_jcc_forward(&s->x, CC_E))->target = t;
	}
	if (polls(s, t)) {
		x86_alu_mem_imm(&s->x, false, ALU_CMP, GS(poll), 0);
		t1_late_new(s, LATE_POLL, x86_jcc_forward(&s->x, CC_NE))->target = t;
	}
	struct jit_link *l = &s->t->links[link];
	uint8_t *site = near_get(&l->site);

	if (site)
		x86_jmp(&s->x, site - 1); /* several EXITIFs share an exit: jump to the jump */
	else
		near_set(&l->site, emit_link_jump(&s->x));
}

/* Push the return address. Clobbers rcx, rdx, r10. */
static void emit_ring_push(struct tier1 *s)
{
	struct x86 *x = &s->x;
	if (!calls(s->b))
		return;
	x86_load(x, false, RCX, GS(ret_ring_top));
	x86_load(x, true, RDX, GS(ret_ring));
	x86_alu(x, true, ALU_ADD, RDX, RCX);
	emit_target_pc(x, R10, s->b->term.link);
	x86_store(x, false, x86_at(RDX, 0), R10);
	x86_store_imm(x, false, x86_at(RDX, 4), JUMP_MODE(s->b->mode));
	x86_lea(x, true, R10, x86_rip(&s->t->links[s->t->n_links - 1]));
	x86_store(x, true, x86_at(RDX, offsetof(struct ret_ring_entry, link)), R10);
	x86_alu_imm(x, false, ALU_ADD, RCX, sizeof(struct ret_ring_entry));
	x86_alu_imm(x, false, ALU_AND, RCX, (RET_RING_ENTRIES - 1) * sizeof(struct ret_ring_entry));
	x86_store(x, false, GS(ret_ring_top), RCX);
}

static void emit_branch(struct tier1 *s)
{
	const struct ir_term *t = &s->b->term;
	enum x86_cc cc = t1_emit_cond(s, t->cond);
	bool deadline = has_deadline(s, true);
	/* the conditional jump is the link's own, where nothing is to be done on the way */
	if (!polls(s, t->target[0]) && !calls(s->b) && !deadline) {
		near_set(&s->t->links[0].site, emit_link_jcc(&s->x, cc));
		emit_edge(s, t->target[1], 1, true);
		return;
	}
	uint8_t *other = NULL;
	if (!polls(s, t->target[1]) && !deadline)
		near_set(&s->t->links[1].site, emit_link_jcc(&s->x, x86_cc_not(cc)));
	else
		other = x86_jcc_forward(&s->x, x86_cc_not(cc));
	emit_ring_push(s);
	emit_edge(s, t->target[0], 0, true);
	if (other) {
		x86_bind(&s->x, other);
		emit_edge(s, t->target[1], 1, true);
	}
}

static void emit_indirect(struct tier1 *s)
{
	struct x86 *x = &s->x;
	t1_load_into(s, RAX, s->b->term.cond);
	emit_ring_push(s);
	if (has_deadline(s, true)) {
		x86_alu_mem_imm(x, true, ALU_CMP, GS(icount_left), 0);
		x86_jcc(x, CC_LE, s->cc->stubs.budget_eax);
	}
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	x86_jcc(x, CC_NE, s->cc->stubs.poll_eax);
	if (s->b->term.hint == HINT_RETURN)
		emit_ring_pop(x, JUMP_MODE(s->b->mode));
	emit_jump_cache_probe(x, JUMP_MODE(s->b->mode));
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->cc->stubs.exit_with[EXIT_INDIRECT]);
}

/* Deliver exception exc at guest instruction insn. */
static void emit_raise(struct tier1 *s, uint32_t insn, uint32_t exc)
{
	const struct ir_guest_insn *g = &s->b->guest[insn];
	t1_emit_insn_pc(s, RAX, insn);
	x86_store(&s->x, true, GS(pc), RAX);
	x86_store_imm(&s->x, false, GS(site), SITE(g->bd, s->b->n_guest - insn));
	x86_mov_imm(&s->x, RAX, exc);
	x86_jmp(&s->x, s->cc->stubs.raise_eax);
}

void t1_emit_term(struct tier1 *s)
{
	const struct ir_term *t = &s->b->term;
	switch ((enum ir_term_kind)t->kind) {
	case TERM_JUMP:
		emit_ring_push(s);
		emit_edge(s, t->target[0], 0, ir_block_branches(s->b));
		return;
	case TERM_BRANCH:
		emit_branch(s);
		return;
	case TERM_INDIRECT:
		emit_indirect(s);
		return;
	case TERM_PC_SET:
		x86_jmp(&s->x, s->cc->stubs.exit_with[EXIT_PC_SET]);
		return;
	case TERM_LEAVE:
		emit_target_pc(&s->x, RAX, t->target[0]);
		x86_store(&s->x, true, GS(pc), RAX);
		x86_jmp(&s->x, s->cc->stubs.exit_with[EXIT_PC_SET]);
		return;
	case TERM_RAISE:
		emit_raise(s, t->insn, t->exc);
		return;
	}
	panic("terminator of kind %u", t->kind);
}

void t1_emit_EXITIF(struct tier1 *s, const struct ir_ins *ins)
{
	enum x86_cc cc = t1_emit_cond(s, ins->arg[0]);
	struct t1_late *l = t1_late_new(s, LATE_EXIT, x86_jcc_forward(&s->x, cc));
	l->imm = (uint32_t)ins->imm;
}

/* The block's head counted all of it; what comes after the branch of guest instruction l->insn is not executed. */
static void late_exit(struct tier1 *s, const struct t1_late *l)
{
	int32_t left = (int32_t)(s->b->n_guest - (l->insn + 1u));
	if (s->cc->cfg.icount && left)
		x86_alu_mem_imm(&s->x, true, ALU_ADD, GS(icount_left), left);
	if (s->cc->cfg.count_insns && left)
		x86_alu_mem_imm(&s->x, true, ALU_SUB, GS(insns[TIER_1]), left);
	if (s->cc->cfg.count_insns && l->mem_left)
		x86_alu_mem_imm(&s->x, true, ALU_SUB, GS(probes), l->mem_left);
	emit_edge(s, s->b->exits[l->imm], t1_n_targets(s->b) + l->imm, true);
}

static void late_piece(struct tier1 *s, const struct t1_late *l)
{
	struct x86 *x = &s->x;
	switch ((enum t1_late_kind)l->kind) {
	case LATE_LOAD:
		t1_late_load(s, l);
		return;
	case LATE_STORE:
		t1_late_store(s, l);
		return;
	case LATE_FETCH:
		t1_late_fetch(s, l);
		return;
	case LATE_FPU:
		t1_late_fpu(s, l);
		return;
	case LATE_RAISE:
		emit_raise(s, l->insn, l->imm);
		return;
	case LATE_EXIT:
		late_exit(s, l);
		return;
	case LATE_POLL:
		emit_target_pc(x, RAX, l->target);
		x86_jmp(x, s->cc->stubs.poll_eax);
		return;
	case LATE_HOT:
		x86_store_imm(x, false, t1_hot_count(s), INT32_MAX);
		x86_lea(x, true, RAX, t1_hot_count(s));
		x86_store(x, true, GS(scratch[1]), RAX);
		emit_target_pc(x, RAX, l->target);
		x86_jmp(x, s->cc->stubs.hot_eax);
		return;
	case LATE_DEADLINE:
		emit_target_pc(x, RAX, l->target);
		x86_jmp(x, s->cc->stubs.budget_eax);
		return;
	case LATE_BUDGET:
		x86_alu_mem_imm(x, true, ALU_ADD, GS(icount_left), (int32_t)s->b->n_guest);
		t1_emit_insn_pc(s, RAX, 0);
		x86_jmp(x, s->cc->stubs.budget_eax);
		return;
	}
	panic("late piece of kind %u", l->kind);
}

void t1_emit_late(struct tier1 *s)
{
	/* a piece may add others behind itself (an exit that polls) */
	for (uint32_t i = 0; i < s->n_late; i++) {
		x86_bind(&s->x, s->late[i].from);
		for (unsigned k = 0; k < ARRAY_LEN(s->late[i].from_too) && s->late[i].from_too[k]; k++)
			x86_bind(&s->x, s->late[i].from_too[k]);
		late_piece(s, &s->late[i]);
	}
}
