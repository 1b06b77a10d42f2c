/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VMM_MACHINE_H
#define TESTS_UNIT_VMM_MACHINE_H

/* A whole machine for the tests of vmm/: what it runs are words in KSEG0, ended by the board's reset register. */
#include <criterion/criterion.h>

#include "frontend/cp0.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/vcpu.h"
#include "tests/alone.h"

#define RAM_BYTES (4u << 20)
#define CODE_VA   0x80001000u
#define DATA_VA   0x80100000u

/* Registers */
enum { ZERO = 0, AT = 1, V0 = 2, V1 = 3, A0 = 4, A1 = 5, T0 = 8, T1 = 9, T2 = 10, T3 = 11, S0 = 16, K0 = 26, RA = 31 };
enum { A_WAIT = 0x42000020, A_TLBWR = 0x42000006, A_TLBR = 0x42000001, A_TLBP = 0x42000008 };
#define A_LBU(rt, off, base)    I_TYPE(0x24, base, rt, off)
#define A_SB(rt, off, base)     I_TYPE(0x28, base, rt, off)
#define A_ADDU(rd, rs, rt)      R_TYPE(rs, rt, rd, 0, 0x21)
#define A_RDHWR(rt, rd)         (0x7c00003bu | (uint32_t)(rt) << 16 | (uint32_t)(rd) << 11)
#define A_MTC0SEL(rt, reg, sel) (0x40800000u | (uint32_t)(rt) << 16 | (uint32_t)(reg) << 11 | (uint32_t)(sel))
#define A_MFC0SEL(rt, reg, sel) (0x40000000u | (uint32_t)(rt) << 16 | (uint32_t)(reg) << 11 | (uint32_t)(sel))

/* lui, ori, sw, then a branch to itself: 0x42 to SOFTRES (Malta User's Manual) */
#define A_RESET                                                                                                        \
	A_LUI(AT, 0xbf00), A_ORI(AT, AT, 0x500), A_ORI(K0, ZERO, 0x42), A_SW(K0, 0, AT), A_BEQ(ZERO, ZERO, -1), A_NOP

enum tiers { TIERS_INTERP, TIERS_1, TIERS_2, TIERS_12, NUM_TIERS };

/* mon NULL: one of its own. */
static inline struct vm *machine_open_in(struct monitor *mon, const struct vm_config *want, enum tiers tiers)
{
	struct vm_config cfg = *want;
	struct vm *vm = NULL;
	size_t n;
	const struct loader_poke *p = loader_yamon_pokes(&n);
	bool claimed;

	cfg.ram_bytes = RAM_BYTES;
	cfg.code_bytes = 16u << 20;
	cfg.tier1 = tiers == TIERS_1 || tiers == TIERS_12;
	cfg.tier2 = tiers == TIERS_2 || tiers == TIERS_12;
	cfg.hot_threshold = 8;
	if (!cfg.cpu)
		cfg.cpu = cpu_model_find(CPU_DEFAULT);
	if (!cfg.console_rx)
		cfg.input_fd = -1;
	cr_assert_eq(mon ? vm_new(&vm, mon, &cfg) : vm_new_alone(&vm, &cfg), 0);
	for (size_t i = 0; i < n; i++)
		board_write(vm->board, gpa(p[i].pa), cfg.big_endian ? __builtin_bswap32(p[i].value) : p[i].value, 4,
			    &claimed);
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_CU1; /* the vectors are in RAM */
	vm->vcpu->gs.pc = CODE_VA;
	vcpu_update_mode(vm->vcpu);
	return vm;
}

static inline struct vm *machine_open(const struct vm_config *want, enum tiers tiers)
{
	return machine_open_in(NULL, want, tiers);
}

static inline void machine_put(struct vm *vm, uint32_t va, const uint32_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t w = vm->cfg.big_endian ? __builtin_bswap32(words[i]) : words[i];

		cr_assert_eq(pmap_write(vm->ram, gpa((va & 0x1fffffff) + 4 * i), &w, 4), 0);
	}
}
#define PUT(vm, va, ...)                                                                                               \
	machine_put(vm, va, (const uint32_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint32_t[]){__VA_ARGS__})))

static inline uint32_t machine_word(struct vm *vm, uint32_t va)
{
	uint32_t w;

	cr_assert_eq(pmap_read(vm->ram, gpa(va & 0x1fffffff), &w, 4), 0);
	return vm->cfg.big_endian ? __builtin_bswap32(w) : w;
}

/* One instruction (or a branch and its slot) at pc, through the lifter and the reference interpreter. */
static inline enum exit_reason machine_step(struct vcpu *v)
{
	struct ir_block *b;
	enum exit_reason why = EXIT_EXCEPTION;

	v->gs.site = 0;
	v->gs.leave = EXIT_NONE;
	vcpu_update_mode(v);
	b = translate_lift(v, 1);
	if (b) {
		/* it takes no time: the dispatch loop counts, and what raises gives back */
		v->gs.icount_left -= b->n_guest;
		why = ir_interp(b, &v->gs, NULL);
		if (why != EXIT_EXCEPTION)
			v->gs.icount_left += b->n_guest;
	}
	v->gs.leave = EXIT_NONE;
	v->gs.site = 0;
	vcpu_update_mode(v);
	return why;
}

/* The instruction at CODE_VA. */
static inline enum exit_reason machine_do(struct vm *vm, uint32_t word)
{
	struct vcpu *v = vm->vcpu;

	PUT(vm, CODE_VA, word);
	v->gs.pc = CODE_VA;
	return machine_step(v);
}

static inline uint32_t machine_mfc0(struct vm *vm, unsigned index)
{
	machine_do(vm, A_MFC0(T3, index));
	return (uint32_t)vm->vcpu->gs.reg[T3];
}

static inline void machine_mtc0(struct vm *vm, unsigned index, uint32_t value)
{
	vm->vcpu->gs.reg[T3] = value;
	machine_do(vm, A_MTC0(T3, index));
}

/* Modes of the CPU as Status says them. */
static inline void machine_mode(struct vm *vm, uint32_t status)
{
	vm->vcpu->gs.cp0[CP0_Status] = status;
	l2tlb_flush_tables(vm->vcpu->l2tlb);
	vcpu_update_mode(vm->vcpu);
}

/* A TLB entry, as a guest writes it. */
static inline void machine_map(struct vm *vm, unsigned i, uint32_t hi, uint32_t lo0, uint32_t lo1)
{
	uint64_t *cp0 = vm->vcpu->gs.cp0, asid = cp0[CP0_EntryHi];

	cp0[CP0_Index] = i;
	cp0[CP0_PageMask] = 0;
	cp0[CP0_EntryHi] = hi;
	cp0[CP0_EntryLo0] = lo0;
	cp0[CP0_EntryLo1] = lo1;
	cp0_tlbwi(&vm->vcpu->gs, 0, 0, 0);
	cp0[CP0_EntryHi] = asid;
}
#define LO(pa, flags) ((uint32_t)(pa) >> 6 | (flags))
#define LO_G          1u
#define LO_V          2u
#define LO_D          4u

#endif
