/* SPDX-License-Identifier: MIT */
/*
 * The text form back into a block.  Any bytes are survived: every number is bounded before it is used, every list has
 * a limit, and the verifier has the last word.
 */
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "ir/internal.h"

#define WORD_BYTES    32
#define MESSAGE_BYTES 224

struct parser {
	const char *p;
	uint32_t line;
	struct arena *arena;
	struct ir_block *b;
	uint32_t *line_of; /* [IR_MAX_INS], for the verifier's complaints */
	const char *message;
	uint32_t term_line;
	bool done; /* the terminator was read */
};

static void complain(struct parser *ps, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(struct parser *ps, const char *fmt, ...)
{
	char *out;
	int n;
	va_list ap;

	if (ps->message)
		return; /* the first one is the cause */
	out = arena_alloc(ps->arena, MESSAGE_BYTES);
	n = snprintf(out, MESSAGE_BYTES, "line %u: ", ps->line);
	va_start(ap, fmt);
	vsnprintf(out + n, MESSAGE_BYTES - (size_t)n, fmt, ap);
	va_end(ap);
	ps->message = out;
}

/* False, so that callers can return it; a macro, so that the compiler sees that it is. */
#define bad(ps, ...) (complain((ps), __VA_ARGS__), false)

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_space(struct parser *ps)
{
	while (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\r')
		ps->p++;
}

static bool at_end_of_line(struct parser *ps)
{
	skip_space(ps);
	return *ps->p == '\0' || *ps->p == '\n' || *ps->p == ';';
}

static bool eat(struct parser *ps, char c)
{
	skip_space(ps);
	if (*ps->p != c)
		return false;
	ps->p++;
	return true;
}

static bool expect(struct parser *ps, char c) { return eat(ps, c) || bad(ps, "'%c' expected", c); }

/* A name of letters, digits and underscores; "" where there is none. */
static void read_word(struct parser *ps, char word[WORD_BYTES])
{
	unsigned n = 0;

	skip_space(ps);
	if (is_letter(*ps->p))
		while ((is_letter(*ps->p) || is_digit(*ps->p)) && n < WORD_BYTES - 1)
			word[n++] = *ps->p++;
	word[n] = '\0';
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

static bool read_digits(struct parser *ps, unsigned base, uint64_t *out)
{
	const char *start = ps->p;
	uint64_t v = 0;

	for (; digit_value(*ps->p) < (int)base; ps->p++)
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, (uint64_t)digit_value(*ps->p), &v))
			return bad(ps, "number too large");
	*out = v;
	return ps->p != start || bad(ps, "number expected");
}

/* [+-]decimal or [+-]0xhex; hexadecimal reaches 64 bits. */
static bool read_int(struct parser *ps, int64_t *out)
{
	bool minus, hex;
	uint64_t v;

	skip_space(ps);
	minus = *ps->p == '-';
	if (minus || *ps->p == '+')
		ps->p++;
	hex = ps->p[0] == '0' && (ps->p[1] == 'x' || ps->p[1] == 'X');
	if (hex)
		ps->p += 2;
	if (!read_digits(ps, hex ? 16 : 10, &v))
		return false;
	if (v > (uint64_t)INT64_MAX && (minus || !hex))
		return bad(ps, "number too large");
	*out = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

/* An integer in 0..limit-1. */
static bool read_index(struct parser *ps, const char *what, uint32_t limit, uint32_t *out)
{
	int64_t v;

	if (!read_int(ps, &v))
		return false;
	if (v < 0 || v >= limit)
		return bad(ps, "%s %lld, want 0..%u", what, (long long)v, limit - 1);
	*out = (uint32_t)v;
	return true;
}

static bool read_value(struct parser *ps, ir_ref *out)
{
	uint32_t v;

	if (!expect(ps, '%') || !read_index(ps, "value", IR_MAX_INS, &v))
		return false;
	*out = (ir_ref)v;
	return true;
}

static bool read_target(struct parser *ps, struct ir_target *out)
{
	static const char *const kinds[] = {[TGT_ABS] = "abs", [TGT_PAGE] = "page", [TGT_REGION] = "region"};
	char word[WORD_BYTES];

	read_word(ps, word);
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++)
		if (!strcmp(word, kinds[k])) {
			out->kind = (uint8_t)k;
			return expect(ps, ':') && read_int(ps, &out->v);
		}
	return bad(ps, "target expected: abs:, page: or region:");
}

static bool read_exc(struct parser *ps, int64_t *out)
{
	const struct ir_name *n = ir_exc_names;
	char word[WORD_BYTES];
	uint32_t unit;

	read_word(ps, word);
	while (n->name && strcmp(n->name, word))
		n++;
	if (!n->name)
		return bad(ps, "unknown exception '%s'", word);
	*out = n->value;
	if (!eat(ps, '.'))
		return true;
	if (!read_index(ps, "coprocessor", 4, &unit))
		return false;
	*out |= (int64_t)unit << 8;
	return true;
}

static bool read_reg(struct parser *ps, int64_t *out)
{
	char word[WORD_BYTES];

	if (!expect(ps, '$'))
		return false;
	read_word(ps, word);
	for (unsigned r = 0; r < NUM_REGS; r++)
		if (!strcmp(word, ir_reg_names[r])) {
			*out = r;
			return true;
		}
	return bad(ps, "unknown guest register '$%s'", word);
}

static const struct ir_field *field_named(const char *word)
{
	for (uint32_t i = 0; i < ir_n_fields; i++)
		if (!strcmp(word, ir_fields[i].name))
			return &ir_fields[i];
	return NULL;
}

/* fpr[3]+4, cp0[12.0], fcr31 */
static bool read_field(struct parser *ps, int64_t *out)
{
	char word[WORD_BYTES];
	const struct ir_field *f;
	uint32_t i = 0, sel = 0, plus = 0;

	read_word(ps, word);
	f = field_named(word);
	if (!f)
		return bad(ps, "unknown field '%s' of guest_state", word);
	if (f->stride && f->off == offsetof(struct guest_state, cp0)) {
		if (!expect(ps, '[') || !read_index(ps, "CP0 register", 32, &i) || !expect(ps, '.') ||
		    !read_index(ps, "select", 8, &sel) || !expect(ps, ']'))
			return false;
		i = CP0_INDEX(i, sel);
	} else if (f->stride &&
		   (!expect(ps, '[') || !read_index(ps, "index", f->bytes / f->stride, &i) || !expect(ps, ']'))) {
		return false;
	}
	if (eat(ps, '+') && !read_index(ps, "offset", f->stride ? f->stride : f->bytes, &plus))
		return false;
	*out = f->off + i * f->stride + plus;
	return true;
}

static bool read_mem_flags(struct parser *ps, int64_t *out)
{
	char word[WORD_BYTES];

	*out = 0;
	while (eat(ps, '.')) {
		read_word(ps, word);
		if (!strcmp(word, "be"))
			*out |= MEM_BE;
		else if (!strcmp(word, "intent"))
			*out |= MEM_INTENT;
		else if (!strcmp(word, "more"))
			*out |= MEM_MORE;
		else
			return bad(ps, "unknown memory flag '.%s'", word);
	}
	return true;
}

static bool read_helper(struct parser *ps, int64_t *out)
{
	char word[WORD_BYTES];

	read_word(ps, word);
	for (unsigned h = 0; h < NUM_HELPERS; h++)
		if (!strcasecmp(word, ir_helper_info[h].name)) {
			*out = h;
			return true;
		}
	return bad(ps, "unknown helper '%s'", word);
}

static bool read_imm(struct parser *ps, const struct ir_op_info *op, int64_t *out)
{
	switch (op->imm) {
	case IMM_REG:
		return read_reg(ps, out);
	case IMM_OFF:
		return read_field(ps, out);
	case IMM_EXC:
		return read_exc(ps, out);
	case IMM_HELPER:
		return read_helper(ps, out);
	case IMM_INT:
	case IMM_INSN:
	case IMM_EXIT:
		return read_int(ps, out);
	case IMM_MEM:
		return read_mem_flags(ps, out);
	default:
		*out = 0;
		return true;
	}
}

static bool append(struct parser *ps, const struct ir_ins *ins)
{
	struct ir_block *b = ps->b;
	ir_ref at;

	if (b->n_ins >= IR_MAX_INS)
		return bad(ps, "more than %d instructions", IR_MAX_INS);
	at = ir_emit(b, ins->op, ins->arg[0], ins->arg[1], ins->arg[2], ins->imm);
	b->ins[at].imm = ins->imm; /* the verifier, not the builder, judges what was written */
	b->ins[at].dead = ins->dead;
	ps->line_of[at] = ps->line;
	return true;
}

/* A value's name is its index.  What lies between was removed by a pass when the text was printed. */
static bool pad_to(struct parser *ps, ir_ref name)
{
	const struct ir_ins gone = {.op = IR_INSN, .dead = 1, .arg = {IR_NONE, IR_NONE, IR_NONE}};

	if (name < ps->b->n_ins)
		return bad(ps, "%%%u is instruction %u: names must increase, and count all instructions", name,
			   ps->b->n_ins);
	while (ps->b->n_ins < name)
		if (!append(ps, &gone))
			return false;
	return true;
}

static bool has_value(const struct ir_ins *ins)
{
	return (ir_op_is_call(ins->op) ? ir_helper_info[ins->imm].result : ir_op_info[ins->op].result) != IR_TV;
}

/* [%N =] op[.flags] [imm] [, %a [, %b [, %c]]]; `op` and the name have been read. */
static bool read_ins(struct parser *ps, const char *op, ir_ref name)
{
	struct ir_ins ins = {.arg = {IR_NONE, IR_NONE, IR_NONE}};
	const struct ir_op_info *info;
	unsigned n = 0;

	while (ins.op < NUM_IR_OPS && strcasecmp(op, ir_op_info[ins.op].name))
		ins.op++;
	if (ins.op == NUM_IR_OPS)
		return bad(ps, "unknown op '%s'", op);
	info = &ir_op_info[ins.op];
	if (!read_imm(ps, info, &ins.imm))
		return false;
	if (info->imm != IMM_NONE && info->imm != IMM_MEM && info->imm != IMM_HELPER && !at_end_of_line(ps) &&
	    !expect(ps, ','))
		return false;
	while (!at_end_of_line(ps)) {
		if (n == 3)
			return bad(ps, "more than 3 operands");
		if (n && !expect(ps, ','))
			return false;
		if (!read_value(ps, &ins.arg[n++]))
			return false;
	}
	if (has_value(&ins) != (name != IR_NONE))
		return bad(ps, name == IR_NONE ? "%s gives a value: '%%N =' expected" : "%s gives no value", op);
	if (name != IR_NONE && !pad_to(ps, name))
		return false;
	return append(ps, &ins);
}

static bool read_hint(struct parser *ps, struct ir_term *t)
{
	char word[WORD_BYTES];

	if (!eat(ps, ','))
		return true;
	read_word(ps, word);
	if (!strcmp(word, "return")) {
		t->hint = HINT_RETURN;
		return true;
	}
	if (strcmp(word, "call"))
		return bad(ps, "hint expected: call or return");
	t->hint = HINT_CALL;
	return read_target(ps, &t->link);
}

static bool read_term(struct parser *ps, enum ir_term_kind kind)
{
	struct ir_term *t = &ps->b->term;
	uint32_t insn;
	int64_t exc = 0;

	t->kind = (uint8_t)kind;
	if (!expect(ps, '@') || !read_index(ps, "guest instruction", IR_MAX_GUEST + 1, &insn))
		return false;
	t->insn = (uint16_t)insn;
	if (kind == TERM_BRANCH || kind == TERM_INDIRECT)
		if (!expect(ps, ',') || !read_value(ps, &t->cond))
			return false;
	if (kind == TERM_JUMP || kind == TERM_BRANCH || kind == TERM_LEAVE)
		if (!expect(ps, ',') || !read_target(ps, &t->target[0]))
			return false;
	if (kind == TERM_BRANCH)
		if (!expect(ps, ',') || !read_target(ps, &t->target[1]))
			return false;
	if (kind == TERM_RAISE) {
		if (!expect(ps, ',') || !read_exc(ps, &exc))
			return false;
		t->exc = (uint32_t)exc;
	}
	ps->done = true;
	ps->term_line = ps->line;
	return read_hint(ps, t);
}

static bool read_mode(struct parser *ps, uint32_t *mode)
{
	char word[WORD_BYTES];
	const struct ir_name *n;
	uint32_t ksu = 0;

	read_word(ps, word);
	while (ksu < 4 && strcmp(word, ir_ksu_names[ksu]))
		ksu++;
	if (ksu == 4)
		return bad(ps, "mode expected: kernel, supervisor or user");
	*mode = ksu;
	while (eat(ps, ',')) {
		read_word(ps, word);
		for (n = ir_mode_names; n->name && strcmp(word, n->name); n++)
			;
		if (!n->name)
			return bad(ps, "unknown mode bit '%s'", word);
		*mode |= n->value;
	}
	return true;
}

static bool read_block(struct parser *ps)
{
	char word[WORD_BYTES];
	uint32_t mode;
	int64_t page = 0;

	if (!read_mode(ps, &mode))
		return false;
	if (mode & MODE_ABS) {
		read_word(ps, word);
		if (strcmp(word, "page") || !read_int(ps, &page))
			return bad(ps, "'page' and its address expected");
	}
	ps->b = ir_block_new(ps->arena, mode, (uint64_t)page);
	return true;
}

/* guest <offset> <8 hex digits> [bd] */
static bool read_guest(struct parser *ps)
{
	struct ir_block *b = ps->b;
	char word[WORD_BYTES];
	uint64_t insn;
	uint32_t off;

	if (b->n_guest > IR_MAX_GUEST)
		return bad(ps, "more than %d guest instructions", IR_MAX_GUEST + 1);
	if (!read_index(ps, "offset", PAGE_BYTES + 1, &off))
		return false;
	skip_space(ps);
	if (!read_digits(ps, 16, &insn))
		return false;
	if (insn > UINT32_MAX)
		return bad(ps, "guest word 0x%llx has more than 32 bits", (unsigned long long)insn);
	read_word(ps, word);
	if (*word && strcmp(word, "bd"))
		return bad(ps, "'bd' expected, not '%s'", word);
	b->guest[b->n_guest++] = (struct ir_guest_insn){.word = (uint32_t)insn, .off = (int32_t)off, .bd = *word};
	return true;
}

static bool read_exit(struct parser *ps)
{
	struct ir_block *b = ps->b;

	if (b->n_exits >= IR_MAX_EXITS)
		return bad(ps, "more than %d exits", IR_MAX_EXITS);
	return read_target(ps, &b->exits[b->n_exits++]);
}

/* A line that is not blank. */
static bool read_line(struct parser *ps)
{
	static const char *const terms[] = {"jump", "branch", "indirect", "pc_set", "leave", "raise"};
	char word[WORD_BYTES];
	ir_ref name = IR_NONE;

	if (ps->done)
		return bad(ps, "text after the terminator");
	if (ps->b && eat(ps, '%')) {
		uint32_t v;

		if (!read_index(ps, "value", IR_MAX_INS, &v) || !expect(ps, '='))
			return false;
		name = (ir_ref)v;
	}
	read_word(ps, word);
	if (!ps->b)
		return strcmp(word, "block") ? bad(ps, "'block' expected") : read_block(ps);
	if (name == IR_NONE && !ps->b->n_ins && !strcmp(word, "guest"))
		return read_guest(ps);
	if (name == IR_NONE && !ps->b->n_ins && !strcmp(word, "exit"))
		return read_exit(ps);
	for (unsigned k = 0; name == IR_NONE && k < ARRAY_LEN(terms); k++)
		if (!strcmp(word, terms[k]))
			return read_term(ps, k);
	return read_ins(ps, word, name);
}

static bool next_line(struct parser *ps)
{
	while (*ps->p && *ps->p != '\n')
		ps->p++;
	if (!*ps->p)
		return false;
	ps->p++;
	ps->line++;
	return true;
}

static void verify(struct parser *ps)
{
	uint32_t at;
	const char *wrong = ir_verify_at(ps->b, &at);

	if (!wrong)
		return;
	if (at < ps->b->n_ins)
		ps->line = ps->line_of[at];
	else
		ps->line = at == ps->b->n_ins ? ps->term_line : 1;
	complain(ps, "%s", wrong);
}

struct ir_block *ir_parse(struct arena *a, const char *text, const char **err)
{
	struct parser ps = {.p = text, .line = 1, .arena = a};

	ps.line_of = arena_new(a, uint32_t, IR_MAX_INS);
	do {
		if (at_end_of_line(&ps))
			continue;
		if (!read_line(&ps))
			break;
		if (!at_end_of_line(&ps)) {
			complain(&ps, "unexpected '%.16s'", ps.p);
			break;
		}
	} while (next_line(&ps));
	if (!ps.message && !ps.done)
		complain(&ps, ps.b ? "no terminator" : "no block");
	if (!ps.message)
		verify(&ps);
	*err = ps.message;
	return ps.message ? NULL : ps.b;
}
