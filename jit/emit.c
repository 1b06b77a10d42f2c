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
void emit_jump_cache_slot(struct x86 *x, const struct jit *j)
{
	_Static_assert(sizeof(struct jump_cache_entry) == 16, "scaled by 4 below");
	x86_mov(x, false, RCX, RAX);
	x86_shift_imm(x, false, SH_SHR, RCX, 4);
	x86_alu_imm(x, false, ALU_AND, RCX, 0xf000);
	x86_alu(x, false, ALU_XOR, RCX, RAX);
	x86_alu_imm(x, false, ALU_AND, RCX, (JUMP_CACHE_ENTRIES - 1) << 2);
	x86_lea(x, true, R10, x86_rip(j->jump_cache));
	x86_lea(x, true, RCX, x86_at_index(R10, RCX, 2, 0));
}

void emit_jump_cache_probe(struct x86 *x, const struct jit *j, int64_t mode)
{
	emit_jump_cache_slot(x, j);
	x86_alu_store(x, false, ALU_CMP, x86_at(RCX, 0), RAX);
	uint8_t *miss_pc = x86_jcc_short(x, CC_NE);
	cmp_mode(x, x86_at(RCX, 4), mode);
	uint8_t *miss_mode = x86_jcc_short(x, CC_NE);
	x86_jmp_mem(x, x86_at(RCX, offsetof(struct jump_cache_entry, entry)));
	x86_bind_short(x, miss_pc);
	x86_bind_short(x, miss_mode);
}

void emit_ring_pop(struct x86 *x, const struct jit *j, int64_t mode)
{
	_Static_assert(sizeof(struct ret_ring_entry) == 16, "step of the ring");
	x86_load(x, false, RCX, GS(ret_ring_top));
	x86_lea(x, true, RDX, x86_rip(j->ret_ring));
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

void *emit_indirect_exit(struct x86 *x, const struct jit *j, uint32_t mode, bool ring)
{
	uint8_t *at = x86_here(x);

	x86_load(x, false, RAX, GS(pc));
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	x86_jcc(x, CC_NE, j->stubs.poll_eax);
	if (ring)
		emit_ring_pop(x, j, JUMP_MODE(mode));
	emit_jump_cache_probe(x, j, JUMP_MODE(mode));
	x86_jmp(x, j->stubs.exit_with[EXIT_INDIRECT]);
	return at;
}

void emit_page_check(struct x86 *x, int at, int index, int page, uint8_t *fail[2])
{
	_Static_assert(sizeof(struct l2tlb_entry) == 32, "index is scaled by 32");
	x86_mov(x, false, index, RAX);
	x86_shift_imm(x, false, SH_SHR, index, PAGE_SHIFT - 5);
	x86_alu_imm(x, false, ALU_AND, index, (L2TLB_ENTRIES - 1) << 5);
	x86_mov(x, false, page, RAX);
	x86_alu_imm(x, false, ALU_AND, page, (int32_t) ~(uint32_t)PAGE_MASK);
	x86_alu_load(x, true, ALU_CMP, page, x86_at_index(RBP, index, 0, offsetof(struct l2tlb_entry, exec_tag)));
	fail[0] = x86_jcc_forward(x, CC_NE);
	x86_load(x, true, index, x86_at_index(RBP, index, 0, offsetof(struct l2tlb_entry, addend)));
	x86_alu(x, true, ALU_ADD, index, RAX);
	x86_alu(x, true, ALU_CMP, index, at);
	fail[1] = x86_jcc_forward(x, CC_NE);
}

/* Both kinds set gs->mode: jumps cross between mapped and unmapped segments (JUMP_MODE). */
uint8_t *emit_entry(struct x86 *x, const struct translation *t, uint8_t *fail[2])
{
	uint8_t *entry = x86_here(x);
	fail[0] = fail[1] = NULL;
	if (t->mode & MODE_ABS) {
		x86_alu_imm(x, false, ALU_CMP, RAX, (int32_t)(uint32_t)(t->abs_page + t->off));
		fail[0] = x86_jcc_forward(x, CC_NE);
	} else {
		x86_mov_imm(x, R11, (uint64_t)(uintptr_t)t->cp->page_key + t->off);
		emit_page_check(x, R11, RCX, RDX, fail);
		x86_store(x, true, GS(pc_page), RDX);
	}
	x86_store_imm(x, false, GS(mode), t->mode);
	return entry;
}

void emit_entry_fail(struct x86 *x, const struct jit *j, const void *entry, uint8_t *const fail[2])
{
	x86_bind(x, fail[0]);
	if (fail[1])
		x86_bind(x, fail[1]);
	x86_lea(x, true, RDX, x86_rip(entry));
	x86_jmp(x, j->stubs.entry_failed);
}

uint8_t *emit_link_jump(struct x86 *x)
{
	x86_jmp(x, x86_here(x) + X86_JMP_BYTES);
	return x86_here(x) - 4;
}

uint8_t *emit_link_jcc(struct x86 *x, enum x86_cc cc)
{
	x86_jcc(x, cc, x86_here(x) + X86_JCC_BYTES);
	return x86_here(x) - 4;
}

void emit_link_stub(struct x86 *x, const struct jit *j, struct jit_link *l)
{
	l->stub = x86_here(x);
	if (l->kind != LINK_RETURN) {
		emit_target_pc(x, RAX, l->pc);
		if (l->kind == LINK_FAR)
			l->far_site = emit_link_jump(x);
	}
	l->tail = x86_here(x);
	x86_lea(x, true, RDX, x86_rip(l));
	x86_jmp(x, j->stubs.link_tail);
	l->target = l->tail;
}
