/* SPDX-License-Identifier: MIT */
/* The fixed code of a code cache: in from C, out to C, and what blocks share.  jit_internal.h says what each takes. */
#include "jit/emit.h"
#include "jit/tier1.h"

/* Callee-saved in the System V ABI: six, so rsp is 8 modulo 16 after them too. */
static const int8_t saved[] = {RBX, RBP, R12, R13, R14, R15};

static void emit_enter(struct x86 *x, struct jit_stubs *s)
{
	s->enter = (enum exit_reason(*)(struct guest_state *, void *))(uintptr_t)x86_here(x);
	for (size_t i = 0; i < ARRAY_LEN(saved); i++)
		x86_push(x, saved[i]);
	x86_alu_imm(x, true, ALU_SUB, RSP, FRAME_BYTES);
	x86_mov(x, true, R13, RDI);
	x86_mov(x, true, RAX, RSI);
	x86_store(x, true, GS(host_sp), RSP);
	x86_load(x, true, RBP, GS(l2tlb));
	emit_load_pins(x, false);
	x86_jmp_reg(x, RAX);
}

static void emit_exit(struct x86 *x, struct jit_stubs *s)
{
	s->exit = x86_here(x);
	emit_store_pins(x, false);
	x86_alu_imm(x, true, ALU_ADD, RSP, FRAME_BYTES);
	for (size_t i = ARRAY_LEN(saved); i-- > 0;)
		x86_pop(x, saved[i]);
	x86_ret(x, 0);
	for (int r = 0; r < NUM_EXITS; r++) {
		s->exit_with[r] = x86_here(x);
		x86_mov_imm(x, RAX, (uint64_t)r);
		x86_jmp(x, s->exit);
	}
}

static void *emit_exit_eax(struct x86 *x, const struct jit_stubs *s, enum exit_reason r)
{
	void *at = x86_here(x);
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->exit_with[r]);
	return at;
}

/* A new pc, mode and address space: go on there without leaving, as after an indirect jump. */
static void *emit_resume(struct x86 *x, const struct code_cache *cc, struct jit_stubs *s)
{
	void *at = x86_here(x);
	emit_store_pins(x, false);
	x86_store_imm(x, false, GS(hops), 0); /* an exception is progress too */
	x86_alu_imm(x, true, ALU_SUB, RSP, 8);
	x86_mov(x, true, RDI, R13);
	x86_mov_imm(x, RAX, (uint64_t)(uintptr_t)cc->cfg.resume);
	x86_call_reg(x, RAX);
	x86_alu_imm(x, true, ALU_ADD, RSP, 8);
	x86_load(x, true, RBP, GS(l2tlb));
	emit_load_pins(x, false);
	x86_jmp(x, s->indirect);
	s->exit_with[EXIT_PC_SET] = at;
	return at;
}

static void emit_leave(struct x86 *x, struct jit_stubs *s, const void *resume)
{
	s->leave_called = x86_here(x);
	x86_load(x, true, RSP, GS(host_sp));
	emit_load_pins(x, true);
	s->leave = x86_here(x);
	x86_load(x, false, RAX, GS(leave));
	x86_store_imm(x, false, GS(leave), EXIT_NONE);
	if (resume) {
		x86_alu_imm(x, false, ALU_CMP, RAX, EXIT_EXCEPTION);
		uint8_t *other = x86_jcc_forward(x, CC_NE);
		x86_jmp(x, resume);
		x86_bind(x, other);
	}
	x86_jmp(x, s->exit);
}

static void emit_raise(struct x86 *x, struct jit_stubs *s)
{
	s->raise = x86_here(x);
	x86_load(x, false, RAX, GS(scratch[0]));
	s->raise_eax = x86_here(x);
	emit_store_pins(x, true);
	x86_alu_imm(x, true, ALU_SUB, RSP, 8);
	x86_mov(x, false, RSI, RAX);
	x86_mov(x, true, RDI, R13);
	x86_load(x, true, RAX, GS(helpers));
	x86_call_mem(x, x86_at(RAX, 8 * HELPER_RAISE));
	x86_jmp(x, s->leave_called);
}

/* r11d = JUMP_MODE(gs->mode) */
static void emit_jump_mode(struct x86 *x)
{
	x86_load(x, false, R11, GS(mode));
	x86_alu_imm(x, false, ALU_AND, R11, ~MODE_ABS);
}

static void emit_indirect(struct x86 *x, struct jit_stubs *s, bool ring)
{
	void **at = ring ? &s->ret : &s->indirect;
	*at = x86_here(x);
	x86_load(x, false, RAX, GS(pc));
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	x86_jcc(x, CC_NE, s->poll_eax);
	if (ring) {
		emit_jump_mode(x);
		emit_ring_pop(x, -1);
	} else {
		s->indirect_eax = x86_here(x);
		emit_jump_mode(x);
	}
	emit_jump_cache_probe(x, -1);
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->exit_with[EXIT_INDIRECT]);
}

/*
 * Debug builds: ways of generated code that execute nothing must not go round (README, "Progress").  Keeps eax and rdx.
 * Only where executed instructions are counted.
 */
static void emit_count_hop(struct x86 *x, const struct code_cache *cc)
{
#ifdef DISCO_ASSERT
	if (!cc->cfg.count_insns)
		return;
	emit_store_pins(x, true);
	x86_push(x, RAX);
	x86_push(x, RDX);
	x86_alu_imm(x, true, ALU_SUB, RSP, 8);
	x86_mov(x, true, RDI, R13);
	x86_mov_imm(x, RAX, (uint64_t)(uintptr_t)jit_count_hop);
	x86_call_reg(x, RAX);
	x86_alu_imm(x, true, ALU_ADD, RSP, 8);
	x86_pop(x, RDX);
	x86_pop(x, RAX);
	emit_load_pins(x, true);
#else
	(void)x;
	(void)cc;
#endif
}

/* Flags: has the page of unmapped code of eax = pc the code record r10d (E)?  As ABS_CODE_INDEX().  Clobbers rdx, r11. */
static void emit_side_abs_check(struct x86 *x)
{
	x86_mov(x, false, RDX, RAX);
	x86_alu_imm(x, false, ALU_AND, RDX, 0x7fffffff);
	x86_test(x, false, RAX, RAX);
	uint8_t *user = x86_jcc_short(x, CC_NS);
	x86_alu_imm(x, false, ALU_AND, RDX, 0x1fffffff);
	x86_bind_short(x, user);
	x86_shift_imm(x, false, SH_SHR, RDX, PAGE_SHIFT);
	x86_load(x, true, R11, GS(abs_code));
	x86_alu_load(x, false, ALU_CMP, R10, x86_at_index(R11, RDX, 2, 0));
}

/*
 * To the tier 1 body of the instruction that tier 2 left before, which executes it: not to an entry, whose check might
 * fail, and lead by way of the jump cache to the region again.  Polls, as each stub does that executes nothing.
 */
static void emit_side(struct x86 *x, const struct code_cache *cc, struct jit_stubs *s)
{
	_Static_assert(SIDE_CACHE_ENTRIES == PAGE_BYTES / 4 && sizeof(struct side_cache_entry) == 32, "scaled below");
	uint8_t *fail[3];
	s->side = x86_here(x);
	emit_count_hop(x, cc);
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	x86_jcc(x, CC_NE, s->exit_with[EXIT_SIDE]);
	x86_load(x, false, RAX, GS(pc));
	emit_jump_mode(x);
	x86_mov(x, false, RCX, RAX);
	x86_alu_imm(x, false, ALU_AND, RCX, (int32_t)PAGE_MASK);
	x86_shift_imm(x, false, SH_SHL, RCX, 3);
	x86_load(x, true, R10, GS(side_cache));
	x86_alu(x, true, ALU_ADD, RCX, R10);
	x86_alu_store(x, false, ALU_CMP, x86_at(RCX, 0), RAX);
	x86_jcc(x, CC_NE, s->exit_with[EXIT_SIDE]);
	x86_alu_store(x, false, ALU_CMP, x86_at(RCX, 4), R11);
	x86_jcc(x, CC_NE, s->exit_with[EXIT_SIDE]);
	x86_load(x, false, R10, x86_at(RCX, offsetof(struct side_cache_entry, id)));
	x86_load(x, false, RDX, x86_at(RCX, offsetof(struct side_cache_entry, mode)));
	x86_store(x, false, GS(mode), RDX); /* as gs->pc says anyway, where the checks fail */
	x86_alu_imm(x, false, ALU_AND, RDX, MODE_ABS);
	uint8_t *mapped = x86_jcc_forward(x, CC_E);
	emit_side_abs_check(x);
	fail[2] = x86_jcc_forward(x, CC_NE);
	x86_jmp_mem(x, x86_at(RCX, offsetof(struct side_cache_entry, body)));
	x86_bind(x, mapped);
	emit_page_check(x, R10, RDX, R11, fail);
	x86_store(x, true, GS(pc_page), R11);
	x86_jmp_mem(x, x86_at(RCX, offsetof(struct side_cache_entry, body)));
	for (int i = 0; i < 3; i++)
		x86_bind(x, fail[i]);
	x86_jmp(x, s->exit_with[EXIT_SIDE]);
}

/*
 * The page is mapped elsewhere now: another translation may be known for this pc, but not the one that just failed.  So
 * of two that fail one after the other the second one leaves.
 */
static void emit_entry_failed(struct x86 *x, const struct code_cache *cc, struct jit_stubs *s)
{
	s->entry_failed = x86_here(x);
	emit_count_hop(x, cc);
	x86_alu_mem_imm(x, false, ALU_CMP, GS(poll), 0);
	uint8_t *poll = x86_jcc_forward(x, CC_NE);
	emit_jump_cache_slot(x);
	x86_alu_store(x, true, ALU_CMP, x86_at(RCX, offsetof(struct jump_cache_entry, entry)), RDX);
	uint8_t *same = x86_jcc_forward(x, CC_E);
	x86_jmp(x, s->indirect_eax);
	x86_bind(x, poll);
	x86_bind(x, same);
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->exit_with[EXIT_INDIRECT]);
}

/* gs->link: the link that stands behind the call, which does not come back.  There are as many stubs as links, so they have nothing else. */
static void emit_find_link(struct x86 *x)
{
	x86_pop(x, RDX);
	x86_load(x, false, RCX, x86_at(RDX, 0));
	x86_movsxd(x, RCX, RCX);
	x86_lea(x, true, RDX, x86_at_index(RDX, RCX, 0, sizeof(int32_t)));
	x86_store(x, true, GS(link), RDX);
}

/* gs->pc as link_pc() says: code of the link's page was running. */
static void emit_link_tail(struct x86 *x, struct jit_stubs *s)
{
	uint8_t *absolute, *in_page;

	s->link_tail = x86_here(x);
	emit_find_link(x);
	x86_load(x, false, RAX, x86_at(RDX, offsetof(struct jit_link, pc)));
	x86_ext_load(x, false, 1, RCX, x86_at(RDX, offsetof(struct jit_link, pc_kind)));
	x86_alu_imm(x, false, ALU_CMP, RCX, TGT_ABS);
	absolute = x86_jcc_short(x, CC_E);
	x86_load(x, false, R10, GS(pc_page));
	x86_alu_imm(x, false, ALU_CMP, RCX, TGT_PAGE);
	in_page = x86_jcc_short(x, CC_E);
	x86_alu_imm(x, false, ALU_AND, R10, (int32_t)0xf0000000);
	x86_bind_short(x, in_page);
	x86_alu(x, false, ALU_ADD, RAX, R10); /* what is in a region has its bits below: the same as OR */
	x86_bind_short(x, absolute);
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->exit_with[EXIT_LINK]);
	s->return_tail = x86_here(x); /* code of any page was */
	emit_find_link(x);
	x86_store(x, true, GS(pc), RAX);
	x86_jmp(x, s->exit_with[EXIT_LINK]);
}

/*
 * IRET is the serializing instruction (Intel SDM volume 3, 8.3; AMD64 volume 2, 7.6.4) that a hypervisor need not
 * intercept.  It takes five words: rip, cs, rflags, rsp, ss.
 */
static void emit_serialize(struct x86 *x, struct jit_stubs *s)
{
	s->serialize = (void (*)(void))(uintptr_t)x86_here(x);
	x86_mov(x, true, RAX, RSP);
	x86_mov_from_ss(x, RCX);
	x86_push(x, RCX);
	x86_push(x, RAX);
	x86_pushf(x);
	x86_mov_from_cs(x, RCX);
	x86_push(x, RCX);
	x86_lea(x, true, RAX, x86_rip(x86_here(x) + X86_LEA_RIP_BYTES + 1 + 2));
	x86_push(x, RAX);
	x86_iretq(x);
	x86_ret(x, 0);
}

bool jit_stubs_emit(struct code_cache *cc)
{
	size_t room;
	struct code_span span = code_mem_open(&cc->mem, false, &room);
	struct x86 x = {.p = span.rw, .start = span.rw, .end = span.rw + room, .to_rx = span.rx - span.rw};
	struct jit_stubs *s = &cc->stubs;
	/* clang's -fsanitize=function reads 8 bytes before a function that it calls */
	for (int i = 0; i < 16; i++)
		x86_u8(&x, 0xcc);
	emit_enter(&x, s);
	emit_serialize(&x, s);
	emit_exit(&x, s);
	s->poll_eax = emit_exit_eax(&x, s, EXIT_POLL);
	s->hot_eax = emit_exit_eax(&x, s, EXIT_HOT);
	s->budget_eax = emit_exit_eax(&x, s, EXIT_BUDGET);
	emit_indirect(&x, s, false);
	emit_indirect(&x, s, true);
	emit_leave(&x, s, cc->cfg.resume ? emit_resume(&x, cc, s) : NULL);
	emit_raise(&x, s);
	emit_side(&x, cc, s);
	emit_entry_failed(&x, cc, s);
	emit_link_tail(&x, s);
	for (int abs = 0; abs < 2; abs++) {
		s->load[abs] = tier1_emit_mem_stub(&x, s, HELPER_MEM_LOAD, abs);
		s->store[abs] = tier1_emit_mem_stub(&x, s, HELPER_MEM_STORE, abs);
		s->fetch[abs] = tier1_emit_mem_stub(&x, s, HELPER_FETCH, abs);
	}
	s->fpu = tier1_emit_fpu_stub(&x);
	s->fpu_tier2 = tier1_emit_fpu_stub_of_tier2(&x, s->fpu);
	if (x.overflow)
		return false;
	code_mem_commit(&cc->mem, &span, (size_t)(x.p - x.start));
	return true;
}
