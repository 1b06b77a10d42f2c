/* SPDX-License-Identifier: MIT */
/*
 * LOADs and STOREs.  The probe of tlb/l2tlb_jit.h is inlined:
 *
 *	test addr, bytes - 1; jne slow
 *	mov  idx, addr; shr idx, 12
 *	mov  idx, [l2tlb + 8 * idx + read or write]; test idx, idx; je slow
 *	mov  dst, [idx + addr]
 *
 * The slow path is out of line: it pushes what the stub (tier1_emit_mem_stub) needs and calls it.  The stub keeps all
 * registers, and does not come back if the helper says leave.
 */
#include <string.h>

#include "jit/tier1.h"
#include "jit/x86_sse.h"

/* All of a site but its address and pc in one immediate. Bits: size 1:0, flags 5:2, SITE 13:6, offset in page 26:14. */
#define DESC_FLAGS 2
#define DESC_SITE  6
#define DESC_OFF   14
_Static_assert(MEM_MORE < 16, "flags have 4 bits");
_Static_assert(SITE(1, IR_MAX_GUEST + 1) < 256, "SITE has 8 bits");

/* Stack of the stub, in words above its return address: [pc of MODE_ABS,] desc, [value,] address. */
#define SAVED_WORDS 5
static const int8_t saved[SAVED_WORDS] = {RAX, RCX, RDX, R10, R11};

/* gs->pc, gs->site, and the helper's meta in eax. */
static void emit_unpack(struct x86 *x, int32_t desc_at, bool abs)
{
	x86_load(x, false, RAX, x86_at(RSP, desc_at));
	if (abs) {
		x86_load(x, false, RCX, x86_at(RSP, desc_at - 8));
	} else {
		x86_mov(x, false, RCX, RAX);
		x86_shift_imm(x, false, SH_SHR, RCX, DESC_OFF);
		x86_alu_load(x, false, ALU_ADD, RCX, GS(pc_page));
	}
	x86_store(x, true, GS(pc), RCX);
	x86_mov(x, false, RCX, RAX);
	x86_shift_imm(x, false, SH_SHR, RCX, DESC_SITE);
	x86_alu_imm(x, false, ALU_AND, RCX, 255);
	x86_store(x, false, GS(site), RCX);
	x86_mov(x, false, RCX, RAX);
	x86_alu_imm(x, false, ALU_AND, RCX, 3);
	x86_shift_imm(x, false, SH_SHL, RCX, 8);
	x86_shift_imm(x, false, SH_SHR, RAX, DESC_FLAGS);
	x86_alu_imm(x, false, ALU_AND, RAX, 15);
	x86_alu(x, false, ALU_OR, RAX, RCX);
}

void *tier1_emit_mem_stub(struct x86 *x, const struct jit_stubs *stubs, enum ir_helper helper, bool abs)
{
	void *at = x86_here(x);
	bool store = helper == HELPER_MEM_STORE;
	int words = 2 + store + abs; /* pushed by the site */
	/* 8 (block) + site's words + return address + saved, to a multiple of 16 */
	int pad = (8 + 8 * (words + 1 + SAVED_WORDS)) % 16;
	for (int i = 0; i < SAVED_WORDS; i++)
		x86_push(x, saved[i]);
	/* all: BadVAddr of LWL and its like is computed from its base register (vmm/cpu/mem.c) */
	emit_store_pins(x, false);
	int32_t desc_at = 8 * (SAVED_WORDS + 1 + abs);
	x86_load(x, false, RSI, x86_at(RSP, desc_at + 8 + 8 * store));
	emit_unpack(x, desc_at, abs);
	if (store) {
		x86_load(x, true, RDX, x86_at(RSP, desc_at + 8));
		x86_mov(x, false, RCX, RAX);
	} else {
		x86_mov(x, false, RDX, RAX);
	}
	x86_mov(x, true, RDI, R13);
	x86_load(x, true, RAX, GS(helpers));
	if (pad)
		x86_alu_imm(x, true, ALU_SUB, RSP, pad);
	x86_call_mem(x, x86_at(RAX, (int32_t)(8 * helper)));
	x86_alu_mem_imm(x, false, ALU_CMP, GS(leave), EXIT_NONE);
	x86_jcc(x, CC_NE, stubs->leave_called);
	if (pad)
		x86_alu_imm(x, true, ALU_ADD, RSP, pad);
	if (helper == HELPER_MEM_LOAD)
		x86_store(x, true, GS(scratch[0]), RAX);
	emit_load_pins(x, true);
	x86_load(x, true, RBP, GS(l2tlb));
	for (int i = SAVED_WORDS; i-- > 0;)
		x86_pop(x, saved[i]);
	x86_ret(x, 8u * (unsigned)words);
	return at;
}

/* Push what a late piece's stub needs after the address and the value, and call it. */
static void emit_slow_call(struct tier1 *s, const struct t1_late *l, void *const stub[2])
{
	const struct ir_guest_insn *g = &s->b->guest[l->insn];
	bool abs = s->b->mode & MODE_ABS;
	x86_push_imm(&s->x, l->meta | SITE(g->bd, s->b->n_guest - l->insn) << DESC_SITE | (uint32_t)g->off << DESC_OFF);
	if (abs)
		x86_push_imm(&s->x, (uint32_t)ir_insn_pc(s->b, l->insn, 0));
	x86_call(&s->x, stub[abs]);
}

static struct x86_mem xmm_place(unsigned reg) { return x86_at(RSP, (int32_t)(FRAME_XMM + 8 * reg)); }

static void save_xmm(struct tier1 *s, const struct t1_late *l)
{
	for (unsigned r = 0; r < 16; r++)
		if (l->live >> r & 1)
			x86_sse_store(&s->x, true, xmm_place(r), (int)r);
}

static void restore_xmm(struct tier1 *s, const struct t1_late *l)
{
	for (unsigned r = 0; r < 16; r++)
		if (l->live >> r & 1)
			x86_sse_load(&s->x, true, (int)r, xmm_place(r));
}

void t1_late_load(struct tier1 *s, const struct t1_late *l)
{
	save_xmm(s, l);
	x86_push(&s->x, l->addr);
	emit_slow_call(s, l, s->cc->stubs.load);
	x86_load(&s->x, l->wide, l->dst, GS(scratch[0]));
	restore_xmm(s, l);
	t1_forget_windows(s, l);
	x86_jmp(&s->x, l->back);
}

void t1_late_store(struct tier1 *s, const struct t1_late *l)
{
	save_xmm(s, l);
	x86_push(&s->x, l->addr);
	if (l->value != NO_REG) {
		x86_push(&s->x, l->value);
	} else {
		x86_push_imm(&s->x, l->imm);
		if ((int32_t)l->imm < 0)
			x86_store_imm(&s->x, false, x86_at(RSP, 4), 0); /* it was sign-extended */
	}
	emit_slow_call(s, l, s->cc->stubs.store);
	restore_xmm(s, l);
	t1_forget_windows(s, l);
	x86_jmp(&s->x, l->back);
}

void t1_late_fetch(struct tier1 *s, const struct t1_late *l)
{
	save_xmm(s, l);
	x86_push(&s->x, RAX); /* the stub wants an address */
	emit_slow_call(s, l, s->cc->stubs.fetch);
	restore_xmm(s, l);
	x86_jmp(&s->x, l->back);
}

/* Is the line of the page that code runs in one that is fetched without anybody being asked?  base/line_view.h */
void t1_emit_FETCH(struct tier1 *s, const struct ir_ins *ins)
{
	int tag = t1_scratch(s), page = t1_scratch(s);
	unsigned line = (unsigned)s->b->guest[s->insn].off >> s->cc->cfg.line_log2;
	struct t1_late *l;
	x86_load(&s->x, true, tag, GS(fetch_tag));
	x86_load(&s->x, true, page, GS(fetch_page));
	x86_alu_load(&s->x, true, ALU_CMP, page, x86_at(tag, (int32_t)(8 * line)));
	l = t1_late_new(s, LATE_FETCH, x86_jcc_forward(&s->x, CC_NE));
	l->back = x86_here(&s->x);
}

/* The same for an access of idx + addr.  Clobbers key and at. */
static void emit_line_check(struct tier1 *s, int addr, int idx, int key, int at, bool write)
{
	size_t tags = write ? offsetof(struct guest_state, lines.write) : offsetof(struct guest_state, lines.read);
	_Static_assert(LINE_VIEW_ENTRIES == 256, "its index is a byte");
	x86_lea(&s->x, true, key, x86_at_index(idx, addr, 0, 0));
	x86_shift_imm(&s->x, true, SH_SHR, key, s->cc->cfg.line_log2);
	x86_ext(&s->x, false, 1, at, key);
	x86_alu_load(&s->x, true, ALU_CMP, key, x86_at_index(R13, at, 3, (int32_t)tags));
	s->line_miss = x86_jcc_forward(&s->x, CC_NE);
}

/* As l, which is filled in, but no page has moved: windows go on. */
static void emit_line_late(struct tier1 *s, const struct t1_late *l)
{
	struct t1_late *line;
	if (!s->line_miss)
		return;
	line = t1_late_new(s, (enum t1_late_kind)l->kind, s->line_miss);
	uint8_t *from = line->from;
	*line = *l;
	line->from = from;
	memset(line->from_too, 0, sizeof(line->from_too));
	line->n_windows = 0;
	s->line_miss = NULL;
}

static struct x86_mem addend_of(int page, bool write)
{
	size_t at = write ? offsetof(struct l2tlb_table, write) : offsetof(struct l2tlb_table, read);

	return x86_at_index(RBP, page, 3, (int32_t)at);
}

/* A jump of the access whose late piece is *l, which the first one makes. */
static void to_late(struct tier1 *s, enum t1_late_kind kind, struct t1_late **l, enum x86_cc cc)
{
	uint8_t *from = x86_jcc_forward(&s->x, cc);
	unsigned k = 0;

	if (!*l) {
		*l = t1_late_new(s, kind, from);
		return;
	}
	while ((*l)->from_too[k])
		k++;
	(*l)->from_too[k] = from;
}

/*
 * The probe, of an address that is to be aligned to 1 << log2; on a hit idx is host address minus gva.  Gives the slow path's late
 * piece.  w: of a window, so the other kind of access must be allowed too if it is wanted.
 */
static struct t1_late *emit_probe(struct tier1 *s, enum t1_late_kind kind, unsigned log2, int addr, int idx, bool write,
				  const struct window *w)
{
	struct x86 *x = &s->x;
	struct t1_late *l = NULL;
	if (log2) {
		x86_test_imm8(x, addr, (1u << log2) - 1);
		to_late(s, kind, &l, CC_NE);
	}
	x86_mov(x, false, idx, addr);
	x86_shift_imm(x, false, SH_SHR, idx, PAGE_SHIFT);
	if (w && (write ? w->reads : w->writes)) {
		x86_alu_mem_imm(x, true, ALU_CMP, addend_of(idx, !write), 0);
		to_late(s, kind, &l, CC_E);
	}
	x86_load(x, true, idx, addend_of(idx, write));
	x86_test(x, true, idx, idx);
	to_late(s, kind, &l, CC_E);
	return l;
}

/* Are all bytes of the window in the page of its first access? */
static void emit_span_check(struct tier1 *s, struct t1_late *l, const struct window *w, int addr, int key)
{
	struct x86 *x = &s->x;
	if (w->base == IR_NONE) /* known when it was found */
		return;
	x86_lea(x, false, key, x86_at(addr, (int32_t)(w->lo - w->first_off)));
	x86_alu_imm(x, false, ALU_AND, key, PAGE_MASK);
	x86_alu_imm(x, false, ALU_CMP, key, (int32_t)(PAGE_MASK + 1 - (w->hi - w->lo)));
	to_late(s, (enum t1_late_kind)l->kind, &l, CC_A);
}

/*
 * Behind it, *idx + addr is the host address of the access.  *key, if not NO_REG, is a scratch register that is free then.  A window
 * that was not found, or that a slow path has made doubtful since, is 0: its members take the slow path.
 */
static struct t1_late *emit_address(struct tier1 *s, enum t1_late_kind kind, unsigned log2, int addr, bool write,
				    int *idx, int *key)
{
	const struct window *w = window_of(&s->windows, s->i);
	bool lines = s->cc->cfg.line_log2, probes = window_probes(&s->windows, s->i);
	struct t1_late *l;
	/* before anything jumps: what has to make room is stored on all ways then */
	if (*key == NO_REG && (lines || (w && probes)))
		*key = t1_scratch(s);
	int at = lines ? t1_scratch(s) : NO_REG;
	if (!probes) {
		*idx = t1_use(s, T1_WINDOW(s->windows.of[s->i] - 1));
		x86_test(&s->x, true, *idx, *idx);
		l = t1_late_new(s, kind, x86_jcc_forward(&s->x, CC_E));
	} else {
		*idx = t1_scratch(s);
		l = emit_probe(s, kind, w ? w->align_log2 : log2, addr, *idx, write, w);
		if (w) {
			emit_span_check(s, l, w, addr, *key);
			t1_bind_value(s, T1_WINDOW(s->windows.of[s->i] - 1), *idx);
		}
	}
	l->addr = (int8_t)addr;
	t1_note_windows(s, l);
	if (lines)
		emit_line_check(s, addr, *idx, *key, at, write && kind == LATE_STORE);
	return l;
}

static void emit_load_hit(struct x86 *x, unsigned log2, bool sign, bool be, int d, struct x86_mem m)
{
	if (log2 >= 2) {
		x86_load(x, log2 == 3, d, m);
		if (be)
			x86_bswap(x, log2 == 3, d);
	} else if (log2 == 1 && be) {
		x86_ext_load(x, false, 2, d, m);
		x86_rol16_8(x, d);
		if (sign)
			x86_ext(x, true, 2, d, d);
	} else {
		x86_ext_load(x, sign, 1u << log2, d, m);
	}
}

static void emit_load(struct tier1 *s, const struct ir_ins *ins, unsigned log2, bool sign)
{
	bool shared = window_of(&s->windows, s->i); /* what the probe finds is wanted on */
	int addr = t1_use(s, ins->arg[0]), idx, key = shared && s->hint == NO_REG ? t1_scratch(s) : NO_REG;
	struct t1_late *l = emit_address(s, LATE_LOAD, log2, addr, ins->imm & MEM_INTENT, &idx, &key);
	int d = s->hint != NO_REG ? s->hint : shared ? key : idx;
	emit_load_hit(&s->x, log2, sign, ins->imm & MEM_BE, d, x86_at_index(idx, addr, 0, 0));
	l->dst = (int8_t)d;
	l->wide = log2 == 3;
	l->meta = log2 | ((uint32_t)ins->imm | (sign ? MEM_SIGN : 0u)) << DESC_FLAGS;
	l->back = x86_here(&s->x);
	emit_line_late(s, l);
	t1_bind(s, d);
}
void t1_emit_LOAD8S(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 0, true); }
void t1_emit_LOAD8U(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 0, false); }
void t1_emit_LOAD16S(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 1, true); }
void t1_emit_LOAD16U(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 1, false); }
void t1_emit_LOAD32(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 2, false); }
void t1_emit_LOAD64(struct tier1 *s, const struct ir_ins *ins) { emit_load(s, ins, 3, false); }

static void emit_store_hit(struct x86 *x, unsigned log2, struct x86_mem m, int v)
{
	if (log2 == 0)
		x86_store8(x, m, v);
	else if (log2 == 1)
		x86_store16(x, m, v);
	else
		x86_store(x, log2 == 3, m, v);
}

static void emit_store_const(struct x86 *x, unsigned log2, bool be, struct x86_mem m, uint32_t v)
{
	if (log2 == 0)
		x86_store_imm8(x, m, v);
	else if (log2 == 1)
		x86_store_imm16(x, m, be ? __builtin_bswap16((uint16_t)v) : v);
	else
		x86_store_imm(x, false, m, be ? __builtin_bswap32(v) : v);
}

static void emit_store(struct tier1 *s, const struct ir_ins *ins, unsigned log2)
{
	ir_ref v = ins->arg[1];
	bool imm = log2 < 3 && t1_is_const(s, v), be = log2 > 0 && ins->imm & MEM_BE;
	int addr = t1_use(s, ins->arg[0]), value = imm ? NO_REG : t1_use(s, v);
	int idx, key = be && !imm ? t1_scratch(s) : NO_REG;
	struct t1_late *l = emit_address(s, LATE_STORE, log2, addr, true, &idx, &key);
	struct x86_mem m = x86_at_index(idx, addr, 0, 0);
	l->value = (int8_t)value;
	if (imm) {
		l->imm = (uint32_t)t1_const(s, v);
		emit_store_const(&s->x, log2, be, m, l->imm);
	} else if (be) {
		x86_mov(&s->x, true, key, value);
		if (log2 == 1)
			x86_rol16_8(&s->x, key);
		else
			x86_bswap(&s->x, log2 == 3, key);
		emit_store_hit(&s->x, log2, m, key);
	} else {
		emit_store_hit(&s->x, log2, m, value);
	}
	l->meta = log2 | (uint32_t)ins->imm << DESC_FLAGS;
	l->back = x86_here(&s->x);
	emit_line_late(s, l);
}
void t1_emit_STORE8(struct tier1 *s, const struct ir_ins *ins) { emit_store(s, ins, 0); }
void t1_emit_STORE16(struct tier1 *s, const struct ir_ins *ins) { emit_store(s, ins, 1); }
void t1_emit_STORE32(struct tier1 *s, const struct ir_ins *ins) { emit_store(s, ins, 2); }
void t1_emit_STORE64(struct tier1 *s, const struct ir_ins *ins) { emit_store(s, ins, 3); }
