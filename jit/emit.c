/* SPDX-License-Identifier: MIT */
#include "jit/emit.h"

/* regs.def names registers in capitals; PIN_* are negative. */
struct pin {
	int8_t host, guest;
};
static const struct pin pins[] = {
#define PIN(host, what) {host, what},
#include "jit/regs.def"
#undef PIN
};

/* Caller-saved in the System V ABI. */
#define CALLED_PINS (1u << RSI | 1u << RDI | 1u << R8 | 1u << R9)

int emit_pin_of(unsigned guest)
{
	for (size_t i = 0; i < ARRAY_LEN(pins); i++)
		if (pins[i].guest == (int)guest)
			return pins[i].host;
	return NO_REG;
}

void emit_store_pins(struct x86 *x, bool only_called)
{
	for (size_t i = 0; i < ARRAY_LEN(pins); i++)
		if (pins[i].guest >= 0 && (!only_called || CALLED_PINS >> pins[i].host & 1))
			x86_store(x, true, x86_gs(GS_REG((unsigned)pins[i].guest)), pins[i].host);
}

void emit_load_pins(struct x86 *x, bool only_called)
{
	for (size_t i = 0; i < ARRAY_LEN(pins); i++)
		if (pins[i].guest >= 0 && (!only_called || CALLED_PINS >> pins[i].host & 1))
			x86_load(x, true, pins[i].host, x86_gs(GS_REG((unsigned)pins[i].guest)));
}

void emit_target_pc(struct x86 *x, int dst, struct ir_target t)
{
	switch ((enum ir_target_kind)t.kind) {
	case TGT_ABS:
		x86_mov_imm(x, dst, (uint32_t)t.v);
		return;
	case TGT_PAGE:
		x86_load(x, false, dst, GS(pc_page));
		if (t.v)
			x86_alu_imm(x, false, ALU_ADD, dst, (int32_t)t.v);
		return;
	case TGT_REGION:
		x86_load(x, false, dst, GS(pc_page));
		x86_alu_imm(x, false, ALU_AND, dst, (int32_t)0xf0000000);
		x86_alu_imm(x, false, ALU_OR, dst, (int32_t)t.v);
		return;
	}
	panic("link target of kind %u", t.kind);
}

/* cmp [m], mode */
static void cmp_mode(struct x86 *x, struct x86_mem m, int64_t mode)
{
	if (mode < 0)
		x86_alu_store(x, false, ALU_CMP, m, R11);
	else
		x86_alu_mem_imm(x, false, ALU_CMP, m, (int32_t)mode);
}

/* As jump_cache_index(). */
void emit_jump_cache_slot(struct x86 *x)
{
	_Static_assert(sizeof(struct jump_cache_entry) == 16, "scaled by 4 below");
	x86_mov(x, false, RCX, RAX);
	x86_shift_imm(x, false, SH_SHR, RCX, 4);
	x86_alu_imm(x, false, ALU_AND, RCX, 0xf000);
	x86_alu(x, false, ALU_XOR, RCX, RAX);
	x86_alu_imm(x, false, ALU_AND, RCX, (JUMP_CACHE_ENTRIES - 1) << 2);
	x86_load(x, true, R10, GS(jump_cache));
	x86_lea(x, true, RCX, x86_at_index(R10, RCX, 2, 0));
}

void emit_jump_cache_probe(struct x86 *x, int64_t mode)
{
	emit_jump_cache_slot(x);
	x86_alu_store(x, false, ALU_CMP, x86_at(RCX, 0), RAX);
	uint8_t *miss_pc = x86_jcc_short(x, CC_NE);
	cmp_mode(x, x86_at(RCX, 4), mode);
	uint8_t *miss_mode = x86_jcc_short(x, CC_NE);
	x86_jmp_mem(x, x86_at(RCX, offsetof(struct jump_cache_entry, entry)));
	x86_bind_short(x, miss_pc);
	x86_bind_short(x, miss_mode);
}

void emit_ring_pop(struct x86 *x, int64_t mode)
{
	_Static_assert(sizeof(struct ret_ring_entry) == 16, "step of the ring");
	x86_load(x, false, RCX, GS(ret_ring_top));
	x86_load(x, true, RDX, GS(ret_ring));
	x86_alu_imm(x, false, ALU_SUB, RCX, sizeof(struct ret_ring_entry));
	x86_alu_imm(x, false, ALU_AND, RCX, (RET_RING_ENTRIES - 1) * sizeof(struct ret_ring_entry));
	x86_store(x, false, GS(ret_ring_top), RCX);
	x86_alu(x, true, ALU_ADD, RCX, RDX);
	x86_alu_store(x, false, ALU_CMP, x86_at(RCX, 0), RAX);
	uint8_t *miss_pc = x86_jcc_short(x, CC_NE);
	cmp_mode(x, x86_at(RCX, 4), mode);
	uint8_t *miss_mode = x86_jcc_short(x, CC_NE);
	x86_load(x, true, RDX, x86_at(RCX, offsetof(struct ret_ring_entry, link)));
	x86_jmp_mem(x, x86_at(RDX, offsetof(struct jit_link, target)));
	x86_bind_short(x, miss_pc);
	x86_bind_short(x, miss_mode);
}

void *emit_indirect_exit(struct x86 *x, const struct code_cache *cc, uint32_t mode, bool ring)
{
	uint8_t *at = x86_here(x);

	x86_load(x, false, RAX, GS(pc));
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	x86_jcc(x, CC_NE, cc->stubs.poll_eax);
	if (ring)
		emit_ring_pop(x, JUMP_MODE(mode));
	emit_jump_cache_probe(x, JUMP_MODE(mode));
	x86_jmp(x, cc->stubs.exit_with[EXIT_INDIRECT]);
	return at;
}

static struct x86_mem exec_half(int index, unsigned half)
{
	return x86_at_index(RBP, index, 0, (int32_t)(offsetof(struct l2tlb_table, entry[0].exec) + 4 * half));
}

/* index = offset of the L2TLB's entry for eax, page = the page of eax; flags: is the page one to execute from? */
static void cmp_exec_page(struct x86 *x, int index, int page)
{
	_Static_assert(sizeof(struct l2tlb_entry) == 32, "index is scaled by 32");
	x86_mov(x, false, index, RAX);
	x86_shift_imm(x, false, SH_SHR, index, PAGE_SHIFT - 5);
	x86_alu_imm(x, false, ALU_AND, index, (L2TLB_ENTRIES - 1) << 5);
	x86_mov(x, false, page, RAX);
	x86_alu_imm(x, false, ALU_AND, page, (int32_t) ~(uint32_t)PAGE_MASK);
	x86_alu_load(x, false, ALU_CMP, page, exec_half(index, 0));
}

void emit_page_check(struct x86 *x, int id, int index, int page, uint8_t *fail[2])
{
	cmp_exec_page(x, index, page);
	fail[0] = x86_jcc_forward(x, CC_NE);
	x86_alu_load(x, false, ALU_CMP, id, exec_half(index, 1));
	fail[1] = x86_jcc_forward(x, CC_NE);
}

void emit_abs_check(struct x86 *x, uint64_t abs_page, uint32_t id)
{
	x86_load(x, true, RCX, GS(abs_code));
	x86_cmp_mem_id(x, x86_at(RCX, (int32_t)(4 * ABS_CODE_INDEX(abs_page))), id);
}

/* To stubs.entry_failed with eax = pc. */
static void emit_entry_fail(struct x86 *x, const struct code_cache *cc, const void *entry)
{
	x86_lea(x, true, RDX, x86_rip(entry));
	x86_jmp(x, cc->stubs.entry_failed);
}

/* Where code runs from here on, for FETCH; r10: the number of the host's page.  As caches_enter_page() of vmm/cpu/caches.c. */
static void emit_fetch_page(struct x86 *x, unsigned line_log2)
{
	const unsigned tag_log2 = 3;

	x86_store(x, true, GS(fetch_page), R10);
	x86_shift_imm(x, false, SH_SHL, R10, PAGE_SHIFT - line_log2 + tag_log2);
	x86_alu_imm(x, false, ALU_AND, R10, (int32_t)((LINE_VIEW_ENTRIES - 1) << tag_log2));
	x86_lea(x, true, R10, x86_at_index(R13, R10, 0, (int32_t)offsetof(struct guest_state, lines.fetch)));
	x86_store(x, true, GS(fetch_tag), R10);
}

/* Both kinds set gs->mode: jumps cross between mapped and unmapped segments (JUMP_MODE). */
static void emit_entry_mapped(struct x86 *x, const struct code_cache *cc, struct translation *t, const uint8_t *at)
{
	uint8_t *fail[2];

	cmp_exec_page(x, RCX, RDX);
	fail[0] = x86_jcc_short(x, CC_NE);
	x86_cmp_mem_id(x, exec_half(RCX, 1), t->cp->id);
	fail[1] = x86_jcc_short(x, CC_NE);
	x86_store(x, true, GS(pc_page), RDX);
	x86_store_imm(x, false, GS(mode), t->mode);
	if (cc->cfg.line_log2) {
		x86_load(x, true, R10, x86_at_index(RBP, RCX, 0, offsetof(struct l2tlb_table, entry[0].addend)));
		x86_alu(x, true, ALU_ADD, R10, RDX);
		x86_shift_imm(x, true, SH_SHR, R10, PAGE_SHIFT);
		emit_fetch_page(x, cc->cfg.line_log2);
	}
	x86_jmp(x, translation_body(t));
	x86_bind_short(x, fail[0]);
	x86_bind_short(x, fail[1]);
	emit_entry_fail(x, cc, at);
}

static void emit_entry_abs(struct x86 *x, const struct code_cache *cc, struct translation *t, const uint8_t *at)
{
	uint32_t pc = (uint32_t)(t->abs_page + t->off);
	uint8_t *elsewhere;

	x86_alu_imm(x, false, ALU_CMP, RAX, (int32_t)pc);
	elsewhere = x86_jcc_short(x, CC_NE);
	x86_store_imm(x, false, GS(mode), t->mode);
	t->known_at = (uint8_t)(x86_here(x) - at);
	if (cc->cfg.line_log2) {
		x86_load(x, true, R10, GS(abs_fetch));
		x86_load(x, true, R10, x86_at(R10, (int32_t)(8 * ABS_CODE_INDEX(t->abs_page))));
		emit_fetch_page(x, cc->cfg.line_log2);
	}
	emit_abs_check(x, t->abs_page, t->cp->id);
	x86_jcc(x, CC_E, translation_body(t));
	x86_mov_imm(x, RAX, pc);
	x86_bind_short(x, elsewhere);
	emit_entry_fail(x, cc, at);
}

const uint8_t *emit_entry(struct x86 *x, const struct code_cache *cc, struct translation *t)
{
	const uint8_t *at = x86_here(x);

	if (t->mode & MODE_ABS)
		emit_entry_abs(x, cc, t, at);
	else
		emit_entry_mapped(x, cc, t, at);
	return at;
}

/*
 * Fill up so that the displacement of a jump with `opcode` bytes before it can be changed by one aligned store: it lies within eight
 * aligned bytes.  Three of eight need that.
 */
static void align_link(struct x86 *x, unsigned opcode)
{
	unsigned at = (unsigned)((uintptr_t)x86_here(x) + opcode) % sizeof(uint64_t);

	if (at > sizeof(uint64_t) - sizeof(int32_t))
		x86_nop(x, (unsigned)sizeof(uint64_t) - at);
}

uint8_t *emit_link_jump(struct x86 *x)
{
	align_link(x, X86_JMP_BYTES - 4);
	x86_jmp(x, x86_here(x) + X86_JMP_BYTES);
	return x86_here(x) - 4;
}

uint8_t *emit_link_jcc(struct x86 *x, enum x86_cc cc)
{
	align_link(x, X86_JCC_BYTES - 4);
	x86_jcc(x, cc, x86_here(x) + X86_JCC_BYTES);
	return x86_here(x) - 4;
}

void emit_link_stub(struct x86 *x, const struct code_cache *cc, struct jit_link *l)
{
	near_set(&l->stub, x86_here(x));
	if (l->kind == LINK_RETURN)
		l->target = x86_here(x);
	if (l->kind == LINK_FAR) {
		emit_target_pc(x, RAX, link_pc(l));
		near_set(&l->far_site, emit_link_jump(x));
	}
	/* does not come back: what follows says whose stub it is */
	x86_call(x, l->kind == LINK_RETURN ? cc->stubs.return_tail : cc->stubs.link_tail);
	x86_rel32(x, l);
}
