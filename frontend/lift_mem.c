/* SPDX-License-Identifier: MIT */
/* Integer loads and stores. */
#include "frontend/lift.h"

/*
 * Where a datum of 1 << log2 bytes is: under Status.RE its place in the word is that of the other byte order (pAddr xor
 * ReverseEndian, MIPS32 volume II, "LB" and "LH").  Words and doublewords keep theirs.
 */
static ir_ref place(struct lift *l, unsigned log2)
{
	ir_ref address = lift_address(l);

	return l->mode & MODE_RE && log2 < 2 ? lift_op_imm(l, IR_XOR, address, 4u - (1u << log2)) : address;
}

static void load(struct lift *l, enum ir_op op, unsigned log2)
{
	ir_ref address = place(l, log2);

	/* A load to $0 is performed, and faults, like any other. */
	lift_set_rt(l, ir_emit(l->b, op, address, IR_NONE, IR_NONE, lift_mem_flags(l)));
}

static void store(struct lift *l, enum ir_op op, unsigned log2)
{
	ir_ref address = place(l, log2);

	ir_emit(l->b, op, address, lift_rt(l), IR_NONE, lift_mem_flags(l));
}

void lift_lb(struct lift *l) { load(l, IR_LOAD8S, 0); }
void lift_lbu(struct lift *l) { load(l, IR_LOAD8U, 0); }
void lift_lh(struct lift *l) { load(l, IR_LOAD16S, 1); }
void lift_lhu(struct lift *l) { load(l, IR_LOAD16U, 1); }
void lift_lw(struct lift *l) { load(l, IR_LOAD32, 2); }
void lift_sb(struct lift *l) { store(l, IR_STORE8, 0); }
void lift_sh(struct lift *l) { store(l, IR_STORE16, 1); }
void lift_sw(struct lift *l) { store(l, IR_STORE32, 2); }

/*
 * LWL, LWR, SWL, SWR: part of a word, up to the edge of the aligned word that holds the address (MIPS32 volume II,
 * figures of "LWL").  Little-endian, with byte = address & 3, m the word in memory and r the register:
 *
 *        byte     0          1          2          3
 *   LWL  r =   m0 r2r1r0  m1m0 r1r0  m2m1m0 r0  m3m2m1m0        m << 8 * (3 - byte), r below
 *   LWR  r =   m3m2m1m0   r3 m3m2m1  r3r2 m3m2  r3r2r1 m3       m >> 8 * byte, r above
 *
 * Big-endian has byte ^ 3 in place of byte, and 3 - byte is byte ^ 3, so endianness swaps the two shift counts.  m is the
 * same word with Status.RE and without: only where its bytes count from is another.
 */
struct unaligned {
	ir_ref word_address; /* rounded down */
	ir_ref shift_left;   /* of LWL and SWL */
	ir_ref shift_right;  /* of LWR and SWR */
};

static struct unaligned unaligned(struct lift *l)
{
	ir_ref address = lift_address(l);
	ir_ref bits = lift_op_imm(l, IR_SHL, address, 3);
	ir_ref byte8 = lift_op_imm(l, IR_AND, bits, 24);
	ir_ref flipped8 = lift_op_imm(l, IR_XOR, byte8, 24);
	bool be = !(l->mode & MODE_BE) != !(l->mode & MODE_RE); /* BigEndianCPU of the manual */

	return (struct unaligned){
	    .word_address = lift_op_imm(l, IR_AND, address, ~3u),
	    .shift_left = be ? byte8 : flipped8,
	    .shift_right = be ? flipped8 : byte8,
	};
}

/* (value shifted) in the bits that all-ones shifted has set, other elsewhere */
static ir_ref merge(struct ir_block *b, enum ir_op shift, ir_ref value, ir_ref count, ir_ref other)
{
	ir_ref put = ir_op2(b, shift, value, count);
	ir_ref mask = ir_op2(b, shift, ir_const(b, UINT32_MAX), count);
	ir_ref keep = ir_op2(b, IR_AND, other, ir_op1(b, IR_NOT, mask));

	return ir_op2(b, IR_OR, keep, put);
}

static ir_ref load_word(struct lift *l, ir_ref address, uint32_t flags)
{
	return ir_emit(l->b, IR_LOAD32, address, IR_NONE, IR_NONE, lift_mem_flags(l) | flags);
}

void lift_lwl(struct lift *l)
{
	struct unaligned u = unaligned(l);
	ir_ref m = load_word(l, u.word_address, 0);

	lift_set_rt(l, merge(l->b, IR_SHL, m, u.shift_left, lift_rt(l)));
}

void lift_lwr(struct lift *l)
{
	struct unaligned u = unaligned(l);
	ir_ref m = load_word(l, u.word_address, 0);

	lift_set_rt(l, merge(l->b, IR_SHR, m, u.shift_right, lift_rt(l)));
}

/* The load half must fault as a store does (TLBS, Modified), hence MEM_INTENT. */
static void store_part(struct lift *l, enum ir_op shift, struct unaligned u, ir_ref count)
{
	ir_ref m = load_word(l, u.word_address, MEM_INTENT);
	ir_ref word = merge(l->b, shift, lift_rt(l), count, m);

	ir_emit(l->b, IR_STORE32, u.word_address, word, IR_NONE, lift_mem_flags(l));
}

void lift_swl(struct lift *l)
{
	struct unaligned u = unaligned(l);

	store_part(l, IR_SHR, u, u.shift_left);
}

void lift_swr(struct lift *l)
{
	struct unaligned u = unaligned(l);

	store_part(l, IR_SHL, u, u.shift_right);
}

#define STATE(field) offsetof(struct guest_state, field)

/*
 * LL and SC where nobody else uses the memory.  LL remembers the address and what it found; SC stores if it is the same address
 * and still holds that, and otherwise puts back what is there: nothing comes between the load and the store of an SC.  Source:
 * volume II, LL and SC: another address between the two, or a device behind it, is UNPREDICTABLE.
 */
static void ll_alone(struct lift *l)
{
	ir_ref address = lift_address(l);
	ir_ref m = load_word(l, address, 0);

	ir_emit(l->b, IR_STS64, ir_op1(l->b, IR_ZEXT64, address), IR_NONE, IR_NONE, STATE(lladdr));
	ir_emit(l->b, IR_STS64, ir_op1(l->b, IR_ZEXT64, m), IR_NONE, IR_NONE, STATE(llval));
	ir_emit(l->b, IR_STS32, ir_const(l->b, 1), IR_NONE, IR_NONE, STATE(llbit));
	lift_set_rt(l, m);
}

/* Field of the state that holds a zero-extended word. */
static ir_ref state_word(struct lift *l, int64_t off)
{
	return ir_op1(l->b, IR_LO32, ir_emit(l->b, IR_LDS64, IR_NONE, IR_NONE, IR_NONE, off));
}

static void sc_alone(struct lift *l)
{
	struct ir_block *b = l->b;
	ir_ref address = lift_address(l), value = lift_rt(l);
	ir_ref m = load_word(l, address, MEM_INTENT);
	ir_ref there = ir_op2(b, IR_EQ, state_word(l, STATE(lladdr)), address);
	ir_ref unchanged = ir_op2(b, IR_EQ, state_word(l, STATE(llval)), m);
	ir_ref bit = ir_emit(b, IR_LDS32, IR_NONE, IR_NONE, IR_NONE, STATE(llbit));
	ir_ref linked = ir_op2(b, IR_AND, bit, ir_op2(b, IR_AND, there, unchanged));

	ir_emit(b, IR_STORE32, address, ir_emit(b, IR_SELECT, linked, value, m, 0), IR_NONE,
		lift_mem_flags(l) | MEM_MORE);
	ir_emit(b, IR_STS32, ir_const(b, 0), IR_NONE, IR_NONE, STATE(llbit));
	lift_set_rt(l, linked);
}

/* MODE_MP: vmm/cpu/atomic.c does it; these are rare enough. */
static ir_ref word_meta(struct lift *l) { return ir_const(l->b, MEM_META(2, lift_mem_flags(l))); }

void lift_ll(struct lift *l)
{
	ir_ref address;

	if (!(l->mode & MODE_MP)) {
		ll_alone(l);
		return;
	}
	address = lift_address(l);
	lift_set_rt(l, ir_call(l->b, HELPER_LL, address, word_meta(l), IR_NONE));
}

void lift_sc(struct lift *l)
{
	ir_ref address, value;

	if (!(l->mode & MODE_MP)) {
		sc_alone(l);
		return;
	}
	address = lift_address(l);
	value = lift_rt(l);
	lift_set_rt(l, ir_call(l->b, HELPER_SC, address, value, word_meta(l)));
}

/* Alone a processor sees its own accesses in order, fence or no fence. */
void lift_sync(struct lift *l)
{
	if (l->mode & MODE_MP)
		ir_call(l->b, HELPER_SYNC, ir_const(l->b, l->word >> 6 & 31), IR_NONE, IR_NONE);
}
