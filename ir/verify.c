/* SPDX-License-Identifier: MIT */
/*
 * Is a block well-formed?  The rules are in ir/README.md, "Well-formed".  Damaged blocks of any kind must be survived
 * here: the parser hands in whatever a text file says.
 */
#include <stdarg.h>

#include "ir/internal.h"

#define MESSAGE_BYTES 160
#define HEADER        UINT32_MAX

struct verifier {
	const struct ir_block *b;
	uint32_t at;
	int64_t insn; /* guest instruction that the marker in force names; -1: none yet */
	const char *message;
};

static bool bad(struct verifier *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool bad(struct verifier *v, const char *fmt, ...)
{
	char *out = arena_alloc(v->b->arena, MESSAGE_BYTES);
	int n = 0;
	va_list ap;

	if (v->at != HEADER)
		n = v->at < v->b->n_ins ? snprintf(out, MESSAGE_BYTES, "%%%u: ", v->at)
					: snprintf(out, MESSAGE_BYTES, "terminator: ");
	va_start(ap, fmt);
	vsnprintf(out + n, MESSAGE_BYTES - (size_t)n, fmt, ap);
	va_end(ap);
	v->message = out;
	return false;
}

static const char *type_name(unsigned t) { return t == IR_TW ? "W" : t == IR_TD ? "D" : "V"; }

static bool target_ok(struct verifier *v, struct ir_target t)
{
	bool abs = v->b->mode & MODE_ABS;

	if (t.kind > TGT_REGION)
		return bad(v, "target of unknown kind %u", t.kind);
	if (abs != (t.kind == TGT_ABS))
		return bad(v, abs ? "position-independent target in a MODE_ABS block"
				  : "absolute target in a position-independent block");
	if (t.kind == TGT_ABS && (t.v < 0 || t.v > UINT32_MAX))
		return bad(v, "target 0x%llx is not a zero-extended address", (unsigned long long)t.v);
	if (t.kind == TGT_PAGE && (t.v < INT32_MIN || t.v > INT32_MAX))
		return bad(v, "page offset %lld of a target is out of range", (long long)t.v);
	if (t.kind == TGT_REGION && (t.v < 0 || t.v > 0x0fffffff))
		return bad(v, "region offset 0x%llx of a target is out of range", (unsigned long long)t.v);
	return true;
}

static bool guest_ok(struct verifier *v)
{
	const struct ir_block *b = v->b;

	if (b->n_guest < 1 || b->n_guest > IR_MAX_GUEST + 1)
		return bad(v, "%u guest instructions, want 1..%d", b->n_guest, IR_MAX_GUEST + 1);
	for (uint32_t i = 0; i < b->n_guest; i++) {
		int32_t off = b->guest[i].off;

		if (off & 3 || off < 0 || off > (int32_t)PAGE_BYTES)
			return bad(v, "guest instruction %u: offset %d is not in the page", i, off);
		if (i && off != b->guest[i - 1].off + 4)
			return bad(v, "guest instruction %u: offset %d does not follow %d", i, off,
				   b->guest[i - 1].off);
		if (off == (int32_t)PAGE_BYTES && !(i && b->guest[i].bd))
			return bad(v, "guest instruction %u: only a delay slot may be in the next page", i);
	}
	return true;
}

static bool header_ok(struct verifier *v)
{
	const struct ir_block *b = v->b;

	if (b->mode >> MODE_BITS)
		return bad(v, "mode 0x%x has unknown bits", b->mode);
	if (b->mode & MODE_ABS ? b->abs_page & PAGE_MASK || b->abs_page > UINT32_MAX : b->abs_page != 0)
		return bad(v, "abs_page 0x%llx does not go with the mode", (unsigned long long)b->abs_page);
	if (b->n_ins > IR_MAX_INS || b->n_ins > b->cap_ins)
		return bad(v, "%u instructions, limit %d, allocated %u", b->n_ins, IR_MAX_INS, b->cap_ins);
	if (b->n_exits > IR_MAX_EXITS)
		return bad(v, "%u exits, limit %d", b->n_exits, IR_MAX_EXITS);
	for (uint32_t i = 0; i < b->n_exits; i++)
		if (!target_ok(v, b->exits[i]))
			return false;
	return guest_ok(v);
}

/* Value r, used at v->at, must be an earlier live one of the type. Earlier ones have been verified. */
static bool use_ok(struct verifier *v, unsigned slot, ir_ref r, unsigned type)
{
	const struct ir_block *b = v->b;
	unsigned got;

	if (r == IR_NONE)
		return bad(v, "operand %u is missing", slot);
	if (r >= v->at || r >= b->n_ins)
		return bad(v, "operand %u: %%%u is not defined before", slot, r);
	if (b->ins[r].dead)
		return bad(v, "operand %u: %%%u was removed", slot, r);
	got = ir_type_of(b, r);
	if (got != type)
		return bad(v, "operand %u: %%%u is a %s, want %s", slot, r, type_name(got), type_name(type));
	return true;
}

static bool exc_ok(struct verifier *v, int64_t code)
{
	const struct ir_name *n = ir_exc_names;

	/* Cause.ExcCode in bits 7:0, Cause.CE in 9:8 (guest_state.h). */
	while (n->name && n->value != (code & 0xff))
		n++;
	if (!n->name || code < 0 || code > 0x3ff || (code > 0xff && (code & 0xff) != EXC_CPU))
		return bad(v, "exception code 0x%llx", (unsigned long long)code);
	return true;
}

static bool off_ok(struct verifier *v, const struct ir_ins *ins)
{
	uint64_t off = (uint64_t)ins->imm;
	uint32_t bytes = ins->op == IR_LDS32 || ins->op == IR_STS32 ? 4 : 8;
	const struct ir_field *f;

	if (off & (bytes - 1) || off >= sizeof(struct guest_state) || off + bytes > sizeof(struct guest_state))
		return bad(v, "offset 0x%llx is misaligned or outside guest_state", (unsigned long long)off);
	if (off < offsetof(struct guest_state, reg) + sizeof(((struct guest_state *)0)->reg))
		return bad(v, "offset 0x%llx is a guest register", (unsigned long long)off);
	f = ir_field_at(off);
	if (!f || off + bytes > f->off + f->bytes)
		return bad(v, "offset 0x%llx is not a field that lifted code may use", (unsigned long long)off);
	if (f->read_only && ir_op_info[ins->op].effect == EFF_W)
		return bad(v, "guest_state.%s is read-only to lifted code", f->name);
	return true;
}

static bool int_ok(struct verifier *v, const struct ir_ins *ins)
{
	long long imm = ins->imm;

	if (ins->op == IR_CONST && (imm < 0 || imm > UINT32_MAX))
		return bad(v, "constant 0x%llx is not zero-extended", imm);
	if (ins->op != IR_PCREL && ins->op != IR_PCREGION)
		return true;
	if (v->b->mode & MODE_ABS)
		return bad(v, "pc-relative value in a MODE_ABS block");
	if (ins->op == IR_PCREL && (imm < INT32_MIN || imm > INT32_MAX))
		return bad(v, "page offset %lld is out of range", imm);
	if (ins->op == IR_PCREGION && (imm < 0 || imm > 0x0fffffff))
		return bad(v, "region offset 0x%llx is out of range", imm);
	return true;
}

static bool marker_ok(struct verifier *v, int64_t insn)
{
	if (insn < 0 || insn >= v->b->n_guest)
		return bad(v, "marker of guest instruction %lld of %u", (long long)insn, v->b->n_guest);
	if (insn <= v->insn)
		return bad(v, "marker of guest instruction %lld follows %lld", (long long)insn, (long long)v->insn);
	v->insn = insn;
	return true;
}

static bool mem_ok(struct verifier *v, const struct ir_ins *ins)
{
	if (ins->imm & ~(int64_t)(MEM_BE | MEM_INTENT | MEM_MORE))
		return bad(v, "memory flags 0x%llx", (unsigned long long)ins->imm);
	if (ins->imm & MEM_INTENT && ir_op_info[ins->op].result == IR_TV)
		return bad(v, "a store has the flag of a load (MEM_INTENT)");
	if (ins->imm & MEM_MORE && ir_op_info[ins->op].result != IR_TV)
		return bad(v, "a load has the flag of a store (MEM_MORE)");
	return true;
}

static bool helper_ok(struct verifier *v, const struct ir_ins *ins)
{
	if (ins->imm < 0 || ins->imm >= NUM_HELPERS)
		return bad(v, "helper %lld", (long long)ins->imm);
	if (ins->op != IR_FPU)
		return true;
	if (!(ir_helper_info[ins->imm].flags & HF_FPU))
		return bad(v, "%s is not floating point", ir_helper_info[ins->imm].name);
	return !(v->b->mode & MODE_FPX) || bad(v, "FPU in a MODE_FPX block");
}

static bool imm_ok(struct verifier *v, const struct ir_ins *ins)
{
	switch ((enum ir_imm)ir_op_info[ins->op].imm) {
	case IMM_NONE:
		return ins->imm == 0 || bad(v, "immediate 0x%llx on an op that has none", (long long)ins->imm);
	case IMM_INT:
		return int_ok(v, ins);
	case IMM_REG:
		return (ins->imm > 0 && ins->imm < NUM_REGS) || bad(v, "guest register %lld", (long long)ins->imm);
	case IMM_OFF:
		return off_ok(v, ins);
	case IMM_MEM:
		return mem_ok(v, ins);
	case IMM_EXC:
		return exc_ok(v, ins->imm);
	case IMM_HELPER:
		return helper_ok(v, ins);
	case IMM_INSN:
		return marker_ok(v, ins->imm);
	case IMM_EXIT:
		return (ins->imm >= 0 && ins->imm < v->b->n_exits) ||
		       bad(v, "exit %lld of %u", (long long)ins->imm, v->b->n_exits);
	}
	return bad(v, "immediate kind %u", ir_op_info[ins->op].imm);
}

static bool ins_ok(struct verifier *v, const struct ir_ins *ins)
{
	const uint8_t *types;
	unsigned n;

	if (ins->op >= NUM_IR_OPS)
		return bad(v, "unknown op %u", ins->op);
	if (!imm_ok(v, ins))
		return false;
	if (ir_is_observer(ins) && v->insn < 0)
		return bad(v, "%s before the first marker", ir_op_info[ins->op].name);
	n = ir_args(ins, &types);
	for (unsigned i = 0; i < 3; i++) {
		if (i >= n && ins->arg[i] != IR_NONE)
			return bad(v, "operand %u on an op with %u", i, n);
		if (i < n && !use_ok(v, i, ins->arg[i], types[i]))
			return false;
	}
	return true;
}

static bool term_ok(struct verifier *v)
{
	const struct ir_block *b = v->b;
	const struct ir_term *t = &b->term;
	unsigned n_targets = 0;

	if (t->insn >= b->n_guest)
		return bad(v, "belongs to guest instruction %u of %u", t->insn, b->n_guest);
	if (t->hint > HINT_RETURN)
		return bad(v, "hint %u", t->hint);
	switch ((enum ir_term_kind)t->kind) {
	case TERM_BRANCH:
		n_targets = 2;
		break;
	case TERM_JUMP:
	case TERM_LEAVE:
		n_targets = 1;
		break;
	case TERM_INDIRECT:
	case TERM_PC_SET:
		break;
	case TERM_RAISE:
		if (!exc_ok(v, t->exc))
			return false;
		break;
	default:
		return bad(v, "unknown kind %u", t->kind);
	}
	if ((t->kind == TERM_BRANCH || t->kind == TERM_INDIRECT) && !use_ok(v, 0, t->cond, IR_TW))
		return false;
	for (unsigned i = 0; i < n_targets; i++)
		if (!target_ok(v, t->target[i]))
			return false;
	return t->hint != HINT_CALL || target_ok(v, t->link);
}

const char *ir_verify_at(const struct ir_block *b, uint32_t *at)
{
	struct verifier v = {.b = b, .at = HEADER, .insn = -1};

	if (header_ok(&v)) {
		for (v.at = 0; v.at < b->n_ins; v.at++)
			if (!b->ins[v.at].dead && !ins_ok(&v, &b->ins[v.at]))
				break;
		if (v.at == b->n_ins)
			term_ok(&v);
	}
	*at = v.at;
	return v.message;
}

const char *ir_verify(const struct ir_block *b)
{
	uint32_t at;

	return ir_verify_at(b, &at);
}
