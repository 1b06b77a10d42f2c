/* SPDX-License-Identifier: MIT */
/*
 * The reference interpreter: what a block means.  Both tiers are tested against it, and it finishes a block after a
 * side exit.  An op of ops.def that is not pure and has no exec_ function here does not compile.
 */
#include <string.h>

#include "ir/internal.h"

struct interp {
	const struct ir_block *b;
	struct guest_state *gs;
	uint32_t insn; /* guest instruction that the ops belong to */
	uint32_t done; /* guest instructions completed; valid once the block was left */
	uint64_t v[IR_MAX_INS];
};

/* Returns why the block is left, or EXIT_NONE: go on. */
typedef enum exit_reason exec_fn(struct interp *in, const struct ir_ins *ins, uint64_t *out);

static uint64_t arg(const struct interp *in, const struct ir_ins *ins, unsigned i)
{
	return ins->arg[i] == IR_NONE ? 0 : in->v[ins->arg[i]];
}

/* Tell a helper where it was called from.  In a delay slot pc is the slot's own; vmm/ makes EPC of it. */
static void set_site(struct interp *in, uint32_t insn)
{
	in->gs->pc = ir_insn_pc(in->b, insn, in->gs->pc_page);
	in->gs->site = SITE(in->b->guest[insn].bd, in->b->n_guest - insn);
}

static enum exit_reason leave(struct interp *in, enum exit_reason why, uint32_t done)
{
	in->done = done;
	return why;
}

/* A helper may have asked to leave.  An exception or a side exit happens before its instruction, all else after. */
static enum exit_reason take_leave(struct interp *in, uint32_t insn)
{
	enum exit_reason why = in->gs->leave;

	in->gs->leave = EXIT_NONE;
	return leave(in, why, insn + (why != EXIT_EXCEPTION && why != EXIT_SIDE));
}

static enum exit_reason raise_at(struct interp *in, uint32_t insn, uint64_t exc)
{
	set_site(in, insn);
	in->gs->helpers[HELPER_RAISE](in->gs, exc, 0, 0);
	ASSERT(in->gs->leave != EXIT_NONE);
	return take_leave(in, insn);
}

static enum exit_reason exec_INSN(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	in->insn = (uint32_t)ins->imm;
	return EXIT_NONE;
}

static enum exit_reason exec_PCREL(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	*out = (uint32_t)(in->gs->pc_page + (uint64_t)ins->imm);
	return EXIT_NONE;
}

static enum exit_reason exec_PCREGION(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	*out = (in->gs->pc_page & 0xf0000000u) | (uint32_t)ins->imm;
	return EXIT_NONE;
}

static enum exit_reason exec_GETREG(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	*out = (uint32_t)in->gs->reg[ins->imm];
	return EXIT_NONE;
}

static enum exit_reason exec_SETREG(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	in->gs->reg[ins->imm] = arg(in, ins, 0);
	return EXIT_NONE;
}

static enum exit_reason exec_LDS32(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	uint32_t w;

	memcpy(&w, (char *)in->gs + ins->imm, sizeof(w));
	*out = w;
	return EXIT_NONE;
}

static enum exit_reason exec_LDS64(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	memcpy(out, (char *)in->gs + ins->imm, sizeof(*out));
	return EXIT_NONE;
}

static enum exit_reason exec_STS32(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	uint32_t w = (uint32_t)arg(in, ins, 0);

	memcpy((char *)in->gs + ins->imm, &w, sizeof(w));
	return EXIT_NONE;
}

static enum exit_reason exec_STS64(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	uint64_t d = arg(in, ins, 0);

	memcpy((char *)in->gs + ins->imm, &d, sizeof(d));
	return EXIT_NONE;
}

static enum exit_reason load(struct interp *in, const struct ir_ins *ins, uint64_t *out, unsigned log2, unsigned sign)
{
	uint64_t value;

	set_site(in, in->insn);
	value = in->gs->helpers[HELPER_MEM_LOAD](in->gs, arg(in, ins, 0), MEM_META(log2, (uint32_t)ins->imm | sign), 0);
	if (in->gs->leave != EXIT_NONE)
		return take_leave(in, in->insn);
	*out = ir_op_info[ins->op].result == IR_TD ? value : (uint32_t)value;
	return EXIT_NONE;
}

static enum exit_reason store(struct interp *in, const struct ir_ins *ins, unsigned log2)
{
	set_site(in, in->insn);
	in->gs->helpers[HELPER_MEM_STORE](in->gs, arg(in, ins, 0), arg(in, ins, 1), MEM_META(log2, ins->imm));
	return in->gs->leave != EXIT_NONE ? take_leave(in, in->insn) : EXIT_NONE;
}

/* clang-format off */
#define LOAD(name, log2, sign) static enum exit_reason exec_##name(struct interp *in, const struct ir_ins *ins, uint64_t *out) { return load(in, ins, out, log2, sign); }
#define STORE(name, log2) static enum exit_reason exec_##name(struct interp *in, const struct ir_ins *ins, uint64_t *out) { return store(in, ins, log2); }

LOAD(LOAD8S,  0, MEM_SIGN)
LOAD(LOAD8U,  0, 0)
LOAD(LOAD16S, 1, MEM_SIGN)
LOAD(LOAD16U, 1, 0)
LOAD(LOAD32,  2, 0)
LOAD(LOAD64,  3, 0)
STORE(STORE8,  0)
STORE(STORE16, 1)
STORE(STORE32, 2)
STORE(STORE64, 3)
/* clang-format on */

static enum exit_reason exec_CALL(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	const struct ir_helper_info *h = &ir_helper_info[ins->imm];
	uint64_t value;

	if (h->flags & HF_SITE)
		set_site(in, in->insn);
	value = in->gs->helpers[ins->imm](in->gs, arg(in, ins, 0), arg(in, ins, 1), arg(in, ins, 2));
	if (h->flags & HF_RAISES && in->gs->leave != EXIT_NONE)
		return take_leave(in, in->insn);
	*out = h->result == IR_TD ? value : (uint32_t)value;
	return EXIT_NONE;
}

/* Without MODE_FPX no exception is enabled: the helper raises nothing and needs no site. */
static enum exit_reason exec_FPU(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	uint64_t value = in->gs->helpers[ins->imm](in->gs, arg(in, ins, 0), arg(in, ins, 1), arg(in, ins, 2));

	*out = ir_helper_info[ins->imm].result == IR_TD ? value : (uint32_t)value;
	return EXIT_NONE;
}

static enum exit_reason exec_RAISEIF(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	return arg(in, ins, 0) ? raise_at(in, in->insn, (uint64_t)ins->imm) : EXIT_NONE;
}

static enum exit_reason exec_FETCH(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	set_site(in, in->insn);
	in->gs->helpers[HELPER_FETCH](in->gs, 0, 0, 0);
	return in->gs->leave != EXIT_NONE ? take_leave(in, in->insn) : EXIT_NONE;
}

static enum exit_reason exec_EXITIF(struct interp *in, const struct ir_ins *ins, uint64_t *out)
{
	if (!arg(in, ins, 0))
		return EXIT_NONE;
	in->gs->pc = ir_target_pc(in->b, in->b->exits[ins->imm], in->gs->pc_page);
	return leave(in, EXIT_LINK, in->insn + 1); /* the branch has completed; its slot is nullified */
}

/* clang-format off */
static exec_fn *const exec_of[NUM_IR_OPS] = {
#define EXEC_P(name)
#define EXEC_R(name) [IR_##name] = exec_##name,
#define EXEC_W(name) [IR_##name] = exec_##name,
#define EXEC_M(name) [IR_##name] = exec_##name,
#define EXEC_X(name) [IR_##name] = exec_##name,
#define EXEC_C(name) [IR_##name] = exec_##name,
#define EXEC_N(name) [IR_##name] = exec_##name,
#define EXEC_F(name) [IR_##name] = exec_##name,
#define OP(name, r, a, b, c, i, effect) EXEC_##effect(name)
#include "ir/ops.def"
#undef OP
};
/* clang-format on */

static enum exit_reason exec_term(struct interp *in)
{
	const struct ir_block *b = in->b;
	const struct ir_term *t = &b->term;
	struct guest_state *gs = in->gs;

	switch ((enum ir_term_kind)t->kind) {
	case TERM_JUMP:
		gs->pc = ir_target_pc(b, t->target[0], gs->pc_page);
		return leave(in, EXIT_LINK, b->n_guest);
	case TERM_BRANCH:
		gs->pc = ir_target_pc(b, t->target[in->v[t->cond] ? 0 : 1], gs->pc_page);
		return leave(in, EXIT_LINK, b->n_guest);
	case TERM_INDIRECT:
		gs->pc = in->v[t->cond];
		return leave(in, EXIT_LINK, b->n_guest);
	case TERM_PC_SET:
		return leave(in, EXIT_PC_SET, b->n_guest);
	case TERM_LEAVE:
		gs->pc = ir_target_pc(b, t->target[0], gs->pc_page);
		return leave(in, EXIT_PC_SET, b->n_guest);
	case TERM_RAISE:
		return raise_at(in, t->insn, t->exc);
	}
	panic("terminator of kind %u", t->kind);
}

enum exit_reason ir_interp(const struct ir_block *b, struct guest_state *gs, uint32_t *executed)
{
	struct interp in; /* v[] is not cleared: a verified block reads nothing that it did not compute */
	enum exit_reason why = EXIT_NONE;

	in.b = b;
	in.gs = gs;
	in.insn = 0;
	in.done = 0;
	for (uint32_t i = 0; i < b->n_ins && why == EXIT_NONE; i++) {
		const struct ir_ins *ins = &b->ins[i];

		if (ins->dead)
			continue;
		if (exec_of[ins->op])
			why = exec_of[ins->op](&in, ins, &in.v[i]);
		else
			in.v[i] = ir_eval(ins->op, arg(&in, ins, 0), arg(&in, ins, 1), arg(&in, ins, 2), ins->imm);
	}
	if (why == EXIT_NONE)
		why = exec_term(&in);
	if (executed)
		*executed = in.done;
	return why;
}
