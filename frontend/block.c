/* SPDX-License-Identifier: MIT */
/* One block: which words belong to it, what is checked before each lifter runs, and how it ends. */
#include "frontend/lift.h"

_Static_assert(IR_MAX_INS >= LIFT_MAX_INS * (IR_MAX_GUEST + 1), "a full block must fit");

/* Opcodes (word 31:26) of coprocessor instructions: MIPS32 volume I, table "MIPS32 encoding of the opcode field". */
enum {
	OP_COP0 = 0x10,
	OP_COP1 = 0x11,
	OP_COP1X = 0x13,
	OP_LWC1 = 0x31,
	OP_LDC1 = 0x35,
	OP_SWC1 = 0x39,
	OP_SDC1 = 0x3d
};

/* Volume III, "CP0 usability": kernel mode, or Status.CU0. */
static bool cp0_usable(uint32_t mode) { return (mode & MODE_KSU) == MODE_KERNEL || mode & MODE_CU0; }

/* No row has the word. An unusable coprocessor comes before a reserved instruction. */
static void lift_no_row(struct lift *l)
{
	switch (insn_opcode(l->word)) {
	case OP_COP0:
		if (!cp0_usable(l->mode)) {
			lift_cp_unusable(l, 0);
			return;
		}
		break;
	case OP_COP1:
	case OP_COP1X:
	case OP_LWC1:
	case OP_LDC1:
	case OP_SWC1:
	case OP_SDC1:
		if (!(l->mode & MODE_CU1)) {
			lift_cp_unusable(l, 1);
			return;
		}
		break;
	default:
		break;
	}
	lift_raise(l, EXC_RI);
}

/* Volume III, "Status.CU1". */
static bool cp1_usable(const struct insn *row, uint32_t mode) { return !(row->flags & INSN_CP1) || mode & MODE_CU1; }

static void lift_word(struct lift *l)
{
	unsigned flags = l->row ? l->row->flags : 0;

	if (!l->row)
		lift_no_row(l);
	else if (flags & INSN_PRIV && !cp0_usable(l->mode))
		lift_cp_unusable(l, 0);
	else if (!cp1_usable(l->row, l->mode))
		lift_cp_unusable(l, 1);
	else if (flags & INSN_BRANCH && l->bd)
		lift_raise(l, EXC_RI);
	else
		l->row->lift(l);
}

/* Is it the first of its line that the block executes?  A slot in the next page is SLOT_CHECK's. */
static bool comes_to_line(const struct lift *l)
{
	return l->line && l->off < (int32_t)PAGE_BYTES && (!l->index || l->off % (int32_t)l->line == 0);
}

/*
 * Append the next guest instruction: its entry, its marker, its IR.  slot: the word of its delay slot if that is in the
 * next page, which may be mapped elsewhere, or written, without this page's knowing: it is checked at every execution.
 */
static void append(struct lift *l, struct frontend *f, uint32_t word, const uint32_t *slot, bool bd)
{
	struct ir_block *b = l->b;

	l->index = b->n_guest;
	l->off = l->index ? b->guest[l->index - 1].off + 4 : l->off;
	l->word = word;
	l->bd = bd;
	l->row = frontend_decode(f, word);
	b->guest[b->n_guest++] = (struct ir_guest_insn){.word = word, .off = l->off, .bd = bd};
	ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, l->index);
	if (comes_to_line(l))
		ir_emit(b, IR_FETCH, IR_NONE, IR_NONE, IR_NONE, 0);
	if (slot && l->row && l->row->flags & INSN_BRANCH)
		ir_call(b, HELPER_SLOT_CHECK, ir_const(b, *slot), IR_NONE, IR_NONE);
	lift_word(l);
}

/* The value of a branch's target that is no TGT_REGION. */
static ir_ref target_value(struct lift *l, struct ir_target t)
{
	return t.kind == TGT_ABS ? ir_const(l->b, (uint32_t)t.v) : lift_pc(l, (int32_t)t.v);
}

/*
 * The delay slot asked for lift_leave().  A direct jump becomes TERM_LEAVE.  Where the branch goes is otherwise known
 * at run time only: an indirect jump, which polls; the helper has set gs->poll when there is something to be seen.
 */
static void leave_by_branch(struct lift *l)
{
	struct ir_term *t = &l->b->term;

	t->hint = HINT_NONE;
	if (t->kind == TERM_JUMP) {
		t->kind = TERM_LEAVE;
	} else if (t->kind == TERM_BRANCH) {
		ir_ref taken = target_value(l, t->target[0]);
		ir_ref other = target_value(l, t->target[1]);

		t->cond = ir_emit(l->b, IR_SELECT, t->cond, taken, other, 0);
		t->kind = TERM_INDIRECT;
	}
}

static void fall_through(struct lift *l, int32_t off)
{
	l->b->term = (struct ir_term){
	    .kind = TERM_JUMP,
	    .insn = (uint16_t)(l->b->n_guest - 1),
	    .cond = IR_NONE,
	    .target = {lift_target(l, off)},
	};
}

enum lift_status frontend_lift(struct frontend *f, struct arena *a, const struct lift_request *rq,
			       struct ir_block **out)
{
	uint32_t max = rq->max_guest && rq->max_guest < IR_MAX_GUEST ? rq->max_guest : IR_MAX_GUEST;
	struct lift l = {.mode = rq->mode, .off = (int32_t)rq->off, .line = rq->line};
	struct ir_block *b;

	ASSERT(rq->n_words && rq->off % 4 == 0 && rq->off + 4 * (uint64_t)rq->n_words <= PAGE_BYTES);
	b = l.b = ir_block_new(a, rq->mode, rq->mode & MODE_ABS ? rq->abs_page : 0);
	for (uint32_t i = 0; i < rq->n_words && i < max && !l.ended; i++) {
		const struct insn *row = frontend_decode(f, rq->words[i]);
		bool last = i + 1 == rq->n_words;

		/* BC1 without CU1 faults before its slot matters */
		if (row && row->flags & INSN_BRANCH && last && cp1_usable(row, l.mode)) {
			if (i > 0)
				break;
			if (!rq->slot)
				return LIFT_NEEDS_SLOT;
		}
		append(&l, f, rq->words[i], last && rq->slot ? rq->slot : NULL, false);
		if (l.branch) {
			append(&l, f, last ? *rq->slot : rq->words[i + 1], NULL, true);
			if (l.leave)
				leave_by_branch(&l);
			l.ended = true;
		}
	}
	if (!l.ended)
		fall_through(&l, (int32_t)(rq->off + 4 * b->n_guest));
	*out = b;
	return LIFT_OK;
}
