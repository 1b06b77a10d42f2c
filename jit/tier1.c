/* SPDX-License-Identifier: MIT */
/* Tier 1, a block: what its values are used for, its head, the loop over its ops; then it is installed. */
#include <stdlib.h>
#include <string.h>

#include "jit/store/block.h"
#include "jit/tier1.h"
#include "jit/tier1_api.h"

typedef void emit_fn(struct tier1 *s, const struct ir_ins *ins);
static emit_fn *const emit_of[NUM_IR_OPS] = {
#define OP(name, ...) [IR_##name] = t1_emit_##name,
#include "ir/ops.def"
#undef OP
};

struct tier1 *tier1_new(void) { return calloc(1, sizeof(struct tier1)); }
void tier1_free(struct tier1 *s) { free(s); }

static void note_use(struct tier1 *s, ir_ref v, uint32_t user)
{
	if (v == IR_NONE)
		return;
	s->v[v].uses++;
	if (s->v[v].last < user)
		s->v[v].last = (uint16_t)user;
}

static bool term_uses_cond(const struct ir_block *b)
{
	return b->term.kind == TERM_BRANCH || b->term.kind == TERM_INDIRECT;
}

/* Can the only user of compare `op` do it itself? An overflow check needs a register more than SELECT can spare. */
static bool may_fuse(const struct ir_block *b, ir_ref v, enum ir_op op, uint32_t user)
{
	bool overflow = op == IR_ADDOV || op == IR_SUBOV;
	if (!overflow && op != IR_EQ && op != IR_NE && op != IR_LTS && op != IR_LTU)
		return false;
	if (user == b->n_ins)
		return b->term.kind == TERM_BRANCH;
	const struct ir_ins *u = &b->ins[user];
	if (u->op == IR_RAISEIF || u->op == IR_EXITIF)
		return true;
	return !overflow && (u->op == IR_SELECT || u->op == IR_SELECT64) && u->arg[0] == v;
}

static bool probes(const struct tier1 *s, uint32_t i)
{
	return ir_op_info[s->b->ins[i].op].effect == EFF_M && window_probes(&s->windows, i);
}

static void find_uses(struct tier1 *s)
{
	const struct ir_block *b = s->b;
	memset(s->v, 0, b->n_ins * sizeof(*s->v));
	s->n_mem = s->n_mem_done = 0;
	windows_find(&s->windows, b);
	for (unsigned k = 0; k < s->windows.n; k++)
		s->v[T1_WINDOW(k)] = (struct t1_value){.last = s->windows.w[k].last};
	for (uint32_t i = 0; i < b->n_ins; i++) {
		s->v[i].last = (uint16_t)i;
		s->n_mem += !b->ins[i].dead && probes(s, i);
		for (unsigned k = 0; k < 3 && !b->ins[i].dead; k++)
			note_use(s, b->ins[i].arg[k], i);
	}
	if (term_uses_cond(b))
		note_use(s, b->term.cond, b->n_ins);
	for (uint32_t i = 0; i < b->n_ins; i++) {
		struct t1_value *v = &s->v[i];
		if (b->ins[i].dead || v->uses != 1 || !may_fuse(b, (ir_ref)i, b->ins[i].op, v->last))
			continue;
		v->loc = T1_FUSED;
		for (unsigned k = 0; k < 2; k++)
			if (s->v[b->ins[i].arg[k]].last < v->last)
				s->v[b->ins[i].arg[k]].last = v->last;
	}
}

/* The pinned register that value i goes into, if its SETREG comes before anything that could look. */
static int find_hint(const struct tier1 *s, uint32_t i)
{
	const struct ir_block *b = s->b;
	for (uint32_t k = i + 1; k < b->n_ins; k++) {
		const struct ir_ins *ins = &b->ins[k];
		if (ins->dead || ins->op == IR_INSN || ins->op == IR_CONST || ins->op == IR_CONST64)
			continue;
		return ins->op == IR_SETREG && ins->arg[0] == i ? s->pin[ins->imm] : NO_REG;
	}
	return NO_REG;
}

static int guest_of_pin(const struct tier1 *s, int host)
{
	for (int g = 1; g < NUM_REGS; g++)
		if (s->pin[g] == host)
			return g;
	panic("host register %d holds no guest register", host);
}

static void emit_ins(struct tier1 *s, const struct ir_ins *ins)
{
	const struct ir_op_info *op = &ir_op_info[ins->op];
	bool pure = op->effect == EFF_P || op->effect == EFF_R;
	if (ins->dead || s->v[s->i].loc == T1_FUSED)
		return;
	if (!pure || s->v[s->i].uses) {
		s->hint = s->v[s->i].uses ? find_hint(s, s->i) : NO_REG;
		if (s->hint != NO_REG)
			t1_break_aliases(s, (unsigned)guest_of_pin(s, s->hint));
		emit_of[ins->op](s, ins);
		s->n_mem_done += probes(s, s->i);
	}
	t1_end_ins(s);
}

/* The block itself, as a target. */
static struct ir_target here(const struct ir_block *b)
{
	if (b->mode & MODE_ABS)
		return (struct ir_target){TGT_ABS, (int64_t)ir_insn_pc(b, 0, 0)};
	return (struct ir_target){TGT_PAGE, (int64_t)ir_block_off(b)};
}

static void emit_head(struct tier1 *s)
{
	const struct jit_config *cfg = &s->cc->cfg;
	struct x86 *x = &s->x;
	int32_t n = (int32_t)s->b->n_guest;
	if (cfg->tier2 && cfg->hot_blocks) {
		x86_alu_mem_imm(x, false, ALU_SUB, t1_hot_count(s), 1);
		t1_late_new(s, LATE_HOT, x86_jcc_forward(x, CC_E))->target = here(s->b);
	}
	if (cfg->icount) {
		x86_alu_mem_imm(x, true, ALU_SUB, GS(icount_left), n);
		if (!cfg->line_log2)
			t1_late_new(s, LATE_BUDGET, x86_jcc_forward(x, CC_L));
	}
	if (!cfg->count_insns)
		return;
	x86_alu_mem_imm(x, true, ALU_ADD, GS(insns[TIER_1]), n);
	if (s->n_mem)
		x86_alu_mem_imm(x, true, ALU_ADD, GS(probes), (int32_t)s->n_mem);
}

static void init_links(struct tier1 *s)
{
	const struct ir_block *b = s->b;
	struct translation *t = s->t;
	unsigned n = 0, n_targets = t1_n_targets(b);
	for (unsigned i = 0; i < n_targets; i++)
		jit_link_init(t, n++, b->term.target[i], false);
	for (unsigned i = 0; i < b->n_exits; i++)
		jit_link_init(t, n++, b->exits[i], false);
	if (n < t->n_links)
		jit_link_init(t, n++, b->term.link, true);
}

static void emit_link_stubs(struct tier1 *s)
{
	struct translation *t = s->t;
	for (unsigned i = 0; i < t->n_links; i++) {
		struct jit_link *l = &t->links[i];

		emit_link_stub(&s->x, s->cc, l);
		if (l->kind != LINK_RETURN && near_get(&l->site))
			x86_bind_rx(&s->x, near_get(&l->site), near_get(&l->stub));
	}
}

/* The straight way into the hot part of code memory, all else into the cold one. */
static void emit_block(struct tier1 *s, struct x86 *cold)
{
	struct x86 hot;
	t1_alloc_init(s);
	find_uses(s);
	s->insn = 0;
	s->n_late = 0;
	s->line_miss = NULL;
	s->n_map = 0;
	s->map_host = 0;
	init_links(s);
	emit_head(s);
	for (s->i = 0; s->i < s->b->n_ins; s->i++) {
		s->host[s->i] = (uint32_t)(s->x.p - s->x.start);
		emit_ins(s, &s->b->ins[s->i]);
	}
	s->hint = NO_REG;
	t1_emit_term(s);
	hot = s->x;
	s->x = *cold;
	if (s->cc->cfg.keep_ir) /* dumps show it; else half of all blocks never need one */
		near_set(&s->t->entry, emit_entry(&s->x, s->cc, s->t));
	t1_emit_late(s);
	emit_link_stubs(s);
	*cold = s->x;
	s->x = hot;
}

/* Everything known about the translation before its code. NULL if data memory is full. */
static struct translation *describe(struct code_cache *cc, struct code_page *cp, const struct ir_block *b)
{
	unsigned n_map = 0;
	for (uint32_t i = 0; i < b->n_ins; i++)
		n_map += !b->ins[i].dead && b->ins[i].op == IR_INSN;
	struct translation *t = jit_translation_new(cc, cp, t1_n_links(b), 1, n_map, 0);
	if (!t)
		return NULL;
	const struct ir_guest_insn *last = &b->guest[b->n_guest - 1];
	t->mode = b->mode;
	t->abs_page = b->abs_page;
	t->off = (uint16_t)ir_block_off(b);
	t->tier = TIER_1;
	if (!jit_count_executions(cc, t))
		return NULL;
	t->n_guest = (uint16_t)b->n_guest;
	*translation_ranges(t) = (struct jit_range){t->off, (uint16_t)(last->off + 4 - t->off)};
	return t;
}

static void keep_ir(struct tier1 *s)
{
	uint32_t n = s->b->n_ins;
	struct jit_kept_ir *k = code_mem_alloc_data(&s->cc->mem, sizeof(*k));
	if (!k)
		return; /* a dump without IR */
	k->n_ins = n;
	k->ins = malloc((n + 1) * sizeof(*k->ins));
	k->host = malloc((n + 1) * sizeof(*k->host));
	if (!k->ins || !k->host) {
		free(k->ins);
		free(k->host);
		return;
	}
	memcpy(k->ins, s->b->ins, n * sizeof(*k->ins));
	memcpy(k->host, s->host, n * sizeof(*k->host));
	near_set(&s->t->ir, k);
}

struct translation *tier1_compile(struct code_cache *cc, struct code_page *cp, const struct ir_block *b)
{
	struct tier1 *s = cc->tier1;
	size_t room, cold_room;
	struct code_span span = code_mem_open(&cc->mem, false, &room);
	struct code_span cold_span = code_mem_open(&cc->mem, true, &cold_room);
	if (room < PAGE_BYTES || cold_room < PAGE_BYTES)
		return NULL;
	s->cc = cc;
	s->b = b;
	s->t = describe(cc, cp, b);
	if (!s->t)
		return NULL;
	near_set(&s->t->code, span.rx);
	near_set(&s->t->cold, cold_span.rx);
	struct x86 cold = x86_in(&cold_span, cold_room);
	s->x = x86_in(&span, room);
	s->fixups.n = 0;
	s->x.fixups = cold.fixups = cc->cfg.store ? &s->fixups : NULL;
	emit_block(s, &cold);
	if (s->x.overflow || cold.overflow)
		return NULL;
	s->t->code_bytes = (uint32_t)(s->x.p - s->x.start);
	s->t->cold_bytes = (uint32_t)(cold.p - cold.start);
	code_mem_commit(&cc->mem, &span, s->t->code_bytes);
	code_mem_commit(&cc->mem, &cold_span, s->t->cold_bytes);
	if (cc->cfg.keep_ir)
		keep_ir(s);
	if (cc->cfg.store)
		stored_block_keep(cc, s->t, b, &s->fixups);
	return s->t;
}
