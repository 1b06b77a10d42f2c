/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_GUEST_H
#define TESTS_ORACLE_GUEST_H

/*
 * The guest side: a driver that, for each case, loads every register from the case, jumps to the block, stores every
 * register, and goes on to the next.  Unicorn and our VMs run the same words; only exceptions are entered differently:
 * our VMs have handlers at the vectors, whose work the Unicorn side does in its hook (Unicorn has no vectors).
 */
#include "tests/oracle/program.h"

/* A case in guest memory, words and doublewords in the guest's byte order. */
struct guest_case {
	uint32_t in_gpr[32], in_hi, in_lo, in_fcsr, in_more;
	uint64_t in_fpr[32];
	uint32_t out_gpr[32], out_hi, out_lo, out_fcsr, scratch;
	uint64_t out_fpr[32];
	uint32_t cause, epc, badvaddr, status, refill, entryhi, context, pad;
};
_Static_assert(sizeof(struct guest_case) == 832, "known to the driver");

/* Entry points; addresses of the setup's segment. */
uint32_t guest_loop_va(const struct oracle_setup *s);
uint32_t guest_tail_va(const struct oracle_setup *s); /* where blocks end */
uint32_t guest_end_va(const struct oracle_setup *s);  /* all cases are done: the power is about to be turned off */
uint32_t
guest_resume_va(const struct oracle_setup *s); /* Unicorn, after an exception: stores BadVAddr, joins the tail */
uint32_t guest_boot_va(void);                  /* our VMs, once: fills the TLB */

/* Everything of the guest but the block and the cases, in host order: at PA_VECTORS and PA_DRIVER. */
struct guest_image {
	uint32_t vectors[0x300 / 4], driver[0x700 / 4];
	/* instructions executed: per case before and after the block, by handlers, before the end */
	uint32_t n_loop, n_tail, n_handler, n_end;
};
void guest_build(struct guest_image *g, const struct oracle_setup *s);
/* Instructions that our VMs execute outside the block for these results. */
uint64_t guest_driver_insns(const struct guest_image *g, const struct oracle_result *r, uint32_t n_cases);
/* The driver's jump to the block, and where it stands. */
uint32_t guest_jump_to_block(const struct oracle_program *p, const struct oracle_setup *s, uint32_t *at_pa);

void guest_write_cases(const struct oracle_program *p, const struct oracle_setup *s, struct guest_case *out);
void guest_read_cases(const struct guest_case *in, const struct oracle_program *p, const struct oracle_setup *s,
		      struct oracle_result *out);

static inline uint32_t guest_swap32(bool be, uint32_t x) { return be ? __builtin_bswap32(x) : x; }
static inline uint64_t guest_swap64(bool be, uint64_t x) { return be ? __builtin_bswap64(x) : x; }

#endif
