/* SPDX-License-Identifier: MIT */
/* The text form (grammar: ir/README.md).  Any block prints, damaged ones too: panic() shows them. */
#include "ir/internal.h"

static const char *name_of(const struct ir_name *names, uint32_t value)
{
	while (names->name && names->value != value)
		names++;
	return names->name;
}

static void print_lower(FILE *out, const char *s)
{
	for (; *s; s++)
		fputc(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s, out);
}

static void print_value(FILE *out, ir_ref r)
{
	if (r == IR_NONE)
		fputs("%none", out);
	else
		fprintf(out, "%%%u", r);
}

static void print_target(FILE *out, struct ir_target t)
{
	switch (t.kind) {
	case TGT_ABS:
		fprintf(out, "abs:0x%08llx", (unsigned long long)t.v);
		return;
	case TGT_PAGE:
		fprintf(out, "page:%+lld", (long long)t.v);
		return;
	case TGT_REGION:
		fprintf(out, "region:0x%07llx", (unsigned long long)t.v);
		return;
	default:
		fprintf(out, "kind%u:%lld", t.kind, (long long)t.v);
	}
}

static void print_exc(FILE *out, int64_t code)
{
	const char *name = code >= 0 && code <= 0x3ff ? name_of(ir_exc_names, code & 0xff) : NULL;

	if (!name)
		fprintf(out, "0x%llx", (unsigned long long)code);
	else if (code > 0xff)
		fprintf(out, "%s.%u", name, (unsigned)code >> 8);
	else
		fputs(name, out);
}

/* fpr[3]+4, cp0[12.0], fcr31 */
static void print_field(FILE *out, int64_t imm)
{
	const struct ir_field *f = ir_field_at((uint64_t)imm);
	uint32_t rest;

	if (!f) {
		fprintf(out, "gs+0x%llx", (unsigned long long)imm);
		return;
	}
	rest = (uint32_t)imm - f->off;
	fputs(f->name, out);
	if (f->off == offsetof(struct guest_state, cp0))
		fprintf(out, "[%u.%u]", rest / f->stride / 8, rest / f->stride % 8);
	else if (f->stride)
		fprintf(out, "[%u]", rest / f->stride);
	if (f->stride)
		rest %= f->stride;
	if (rest)
		fprintf(out, "+%u", rest);
}

static void print_mem_flags(FILE *out, int64_t flags)
{
	if (flags & MEM_BE)
		fputs(".be", out);
	if (flags & MEM_INTENT)
		fputs(".intent", out);
	if (flags & MEM_MORE)
		fputs(".more", out);
	if (flags & ~(int64_t)(MEM_BE | MEM_INTENT | MEM_MORE))
		fprintf(out, ".0x%llx", (unsigned long long)flags);
}

static void print_int(FILE *out, const struct ir_ins *ins)
{
	if (ins->op == IR_PCREL)
		fprintf(out, " %+lld", (long long)ins->imm);
	else
		fprintf(out, " 0x%llx", (unsigned long long)ins->imm);
}

/* Returns what separates the first operand from what has been printed. */
static const char *print_imm(FILE *out, const struct ir_ins *ins)
{
	switch (ir_op_info[ins->op].imm) {
	case IMM_INT:
		print_int(out, ins);
		return ", ";
	case IMM_REG:
		if (ins->imm >= 0 && ins->imm < NUM_REGS)
			fprintf(out, " $%s", ir_reg_names[ins->imm]);
		else
			fprintf(out, " $%lld", (long long)ins->imm);
		return ", ";
	case IMM_OFF:
		fputc(' ', out);
		print_field(out, ins->imm);
		return ", ";
	case IMM_MEM:
		print_mem_flags(out, ins->imm);
		return " ";
	case IMM_EXC:
		fputc(' ', out);
		print_exc(out, ins->imm);
		return ", ";
	case IMM_HELPER:
		fputc(' ', out);
		if (ins->imm >= 0 && ins->imm < NUM_HELPERS)
			print_lower(out, ir_helper_info[ins->imm].name);
		else
			fprintf(out, "helper%lld", (long long)ins->imm);
		return " ";
	case IMM_INSN:
	case IMM_EXIT:
		fprintf(out, " %lld", (long long)ins->imm);
		return ", ";
	default:
		return " ";
	}
}

static void print_ins(FILE *out, uint32_t at, const struct ir_ins *ins)
{
	const char *separator;
	unsigned n = 3;
	bool has_value;

	if (ins->op >= NUM_IR_OPS) {
		fprintf(out, "  op%u\n", ins->op);
		return;
	}
	has_value = ir_op_is_call(ins->op)
			? (uint64_t)ins->imm < NUM_HELPERS && ir_helper_info[ins->imm].result != IR_TV
			: ir_op_info[ins->op].result != IR_TV;
	fputs(ins->op == IR_INSN ? "  " : "    ", out);
	if (has_value)
		fprintf(out, "%%%u = ", at);
	print_lower(out, ir_op_info[ins->op].name);
	separator = print_imm(out, ins);
	while (n > 0 && ins->arg[n - 1] == IR_NONE)
		n--;
	for (unsigned i = 0; i < n; i++) {
		fputs(separator, out);
		print_value(out, ins->arg[i]);
		separator = ", ";
	}
	fputc('\n', out);
}

static void print_term(FILE *out, const struct ir_term *t)
{
	static const char *const kinds[] = {"jump", "branch", "indirect", "pc_set", "leave", "raise"};

	if (t->kind >= ARRAY_LEN(kinds)) {
		fprintf(out, "  term%u @%u\n", t->kind, t->insn);
		return;
	}
	fprintf(out, "  %s @%u", kinds[t->kind], t->insn);
	if (t->kind == TERM_BRANCH || t->kind == TERM_INDIRECT) {
		fputs(", ", out);
		print_value(out, t->cond);
	}
	if (t->kind == TERM_JUMP || t->kind == TERM_BRANCH || t->kind == TERM_LEAVE) {
		fputs(", ", out);
		print_target(out, t->target[0]);
	}
	if (t->kind == TERM_BRANCH) {
		fputs(", ", out);
		print_target(out, t->target[1]);
	}
	if (t->kind == TERM_RAISE) {
		fputs(", ", out);
		print_exc(out, t->exc);
	}
	if (t->hint == HINT_CALL) {
		fputs(", call ", out);
		print_target(out, t->link);
	} else if (t->hint == HINT_RETURN) {
		fputs(", return", out);
	} else if (t->hint != HINT_NONE) {
		fprintf(out, ", hint%u", t->hint);
	}
	fputc('\n', out);
}

static void print_header(FILE *out, const struct ir_block *b)
{
	uint32_t rest = b->mode & ~(uint32_t)MODE_KSU;

	fprintf(out, "block %s", ir_ksu_names[b->mode & MODE_KSU]);
	for (const struct ir_name *n = ir_mode_names; n->name; n++) {
		if (rest & n->value)
			fprintf(out, ",%s", n->name);
		rest &= ~n->value;
	}
	if (rest)
		fprintf(out, ",0x%x", rest);
	if (b->mode & MODE_ABS)
		fprintf(out, " page 0x%08llx", (unsigned long long)b->abs_page);
	fputc('\n', out);
	for (uint32_t i = 0; i < b->n_guest && i <= IR_MAX_GUEST; i++)
		fprintf(out, "guest 0x%03x %08x%s\n", (unsigned)b->guest[i].off, b->guest[i].word,
			b->guest[i].bd ? " bd" : "");
	for (uint32_t i = 0; i < b->n_exits && i < IR_MAX_EXITS; i++) {
		fputs("exit ", out);
		print_target(out, b->exits[i]);
		fputc('\n', out);
	}
}

void ir_print(FILE *out, const struct ir_block *b)
{
	print_header(out, b);
	for (uint32_t i = 0; i < b->n_ins && i < b->cap_ins; i++)
		if (!b->ins[i].dead)
			print_ins(out, i, &b->ins[i]);
	print_term(out, &b->term);
}
