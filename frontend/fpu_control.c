/* SPDX-License-Identifier: MIT */
/*
 * FCSR and its views, and the table of helpers.  MIPS32 PRA volume I-A, "Floating point control registers (FCRs)".
 */
#include "frontend/fpu_host.h"

/*
 * Bits of FCSR that show through each view in place.  FCCR's eight condition codes and FENR's FS (bit 2) have places
 * of their own.
 */
#define FEXR_MASK (FCSR_CAUSE | FCSR_FLAGS)
#define FENR_MASK (FCSR_ENABLES | FCSR_RM)
#define FENR_FS   4u
#define FCSR_FCCS (0xfe000000u | FCSR_FCC0)

static uint32_t fccr_of_fcsr(uint32_t fcr31) { return (fcr31 >> 24 & 0xfe) | (fcr31 >> 23 & 1); }

/*
 * Flags are what MXCSR gathered; but for its IE, which a host whose NaNs differ raises at other times: Invalid always
 * went through a helper, as did everything else that ends in a NaN.  Cause is that of the last operation, done once more.
 */
void fpu_settle_now(struct guest_state *gs)
{
	uint32_t last = gs->fpu_last, csr;
	struct fpu_op gathered = {.exc = 0};
	__asm__ volatile("stmxcsr %0" : "=m"(csr));
	fpu_note(&gathered, csr & ~(uint32_t)MXCSR_IE);
	gs->fpu_last = 0;
	gs->fcr31 = (gs->fcr31 & ~FCSR_CAUSE) | gathered.exc << FCSR_FLAGS_SHIFT;
	if (last != FPU_LAST_CLEAN) {
		ASSERT(last < NUM_HELPERS && ir_helper_info[last].flags & HF_FPU);
		gs->helpers[last](gs, gs->fpu_operand[0], gs->fpu_operand[1], gs->fpu_operand[2]);
	}
	fpu_mxcsr_clear();
}

uint64_t fpu_helper_FPU_SETTLE(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	(void)a, (void)b, (void)c;
	fpu_settle(gs);
	return 0;
}

uint64_t fpu_helper_FPU_CFC1(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	(void)b, (void)c;
	fpu_settle(gs);
	switch (a) {
	case FPU_FIR:
		return gs->fcr0;
	case FPU_FCCR:
		return fccr_of_fcsr(gs->fcr31);
	case FPU_FEXR:
		return gs->fcr31 & FEXR_MASK;
	case FPU_FENR:
		return (gs->fcr31 & FENR_MASK) | (gs->fcr31 & FCSR_FS ? FENR_FS : 0);
	default:
		return gs->fcr31; /* 31; the other numbers are UNPREDICTABLE */
	}
}

static uint32_t fcsr_after_write(uint32_t fcr31, uint64_t reg, uint32_t v)
{
	switch (reg) {
	case FPU_FCCR:
		return (fcr31 & ~FCSR_FCCS) | (v & 0xfe) << 24 | (v & 1) << 23;
	case FPU_FEXR:
		return (fcr31 & ~FEXR_MASK) | (v & FEXR_MASK);
	case FPU_FENR:
		return (fcr31 & ~(FENR_MASK | FCSR_FS)) | (v & FENR_MASK) | (v & FENR_FS ? FCSR_FS : 0);
	case FPU_FCSR:
		return v & FCSR_WRITABLE;
	default:
		return fcr31; /* FIR is read-only; the other numbers are UNPREDICTABLE */
	}
}

uint32_t fpu_fcsr_mode(uint32_t fcr31) { return fcr31 & (FCSR_ENABLES | FCSR_FS | FCSR_RM) ? MODE_FPX : 0; }

uint64_t fpu_helper_FPU_CTC1(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	(void)c;
	fpu_settle(gs);
	fpu_mxcsr_clear(); /* Flags may become 0: nothing gathered so far may come back */
	gs->fcr31 = fcsr_after_write(gs->fcr31, a, (uint32_t)b);
	uint32_t fpx = fpu_fcsr_mode(gs->fcr31);
	if ((gs->mode & MODE_FPX) != fpx) {
		/* Direct links belong to the old mode: leave at the next poll point if the block cannot end here. */
		gs->mode = (gs->mode & ~(uint32_t)MODE_FPX) | fpx;
		__atomic_store_n(&gs->poll, 1, __ATOMIC_RELAXED);
	}
	/* II CTC1: a Cause bit written with its Enable set traps at once, after the write; E is always enabled. */
	uint32_t enables = gs->fcr31 >> FCSR_ENABLES_SHIFT & 31;
	if (gs->fcr31 >> FCSR_CAUSE_SHIFT & (enables | FPU_E))
		gs->helpers[HELPER_RAISE](gs, EXC_FPE, 0, 0);
	return 0;
}

void fpu_helpers_fill(helper_fn **table)
{
#define HELPER(name, ...) table[HELPER_##name] = fpu_helper_##name;
#include "ir/fpu_helpers.def"
#undef HELPER
}
