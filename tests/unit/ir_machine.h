/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_IR_MACHINE_H
#define TESTS_UNIT_IR_MACHINE_H

/*
 * A guest whose helpers are functions of everything they can see: each call folds all of the state that README's
 * precision rules make visible into a trace, and answers from it.  Two runs with equal traces did the same.
 */
#include <string.h>

#include "ir/ir.h"

struct ir_machine {
	struct guest_state gs; /* first: helpers cast */
	uint64_t trace;
	uint32_t calls;
	uint32_t leave_one_in; /* a helper that may leave does, once in this many; 0: never */
};

static inline uint64_t ir_machine_mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* Everything but the pointers and `leave`. */
static inline uint64_t ir_machine_hash(const struct guest_state *gs, uint64_t h)
{
	for (unsigned i = 1; i < NUM_REGS; i++)
		h = ir_machine_mix(h, gs->reg[i]);
	for (unsigned i = 0; i < 32; i++)
		h = ir_machine_mix(h, gs->fpr[i]);
	for (unsigned i = 0; i < ARRAY_LEN(gs->cp0); i++)
		h = ir_machine_mix(h, gs->cp0[i]);
	h = ir_machine_mix(h, gs->fcr31);
	h = ir_machine_mix(h, gs->llbit);
	h = ir_machine_mix(h, gs->lladdr);
	h = ir_machine_mix(h, gs->llval);
	h = ir_machine_mix(h, gs->mode);
	h = ir_machine_mix(h, gs->pc_page);
	return h;
}

static inline uint64_t ir_machine_answer(uint64_t seen, const struct ir_helper_info *info)
{
	seen = ir_machine_mix(seen, 1);
	if (seen & 3) /* small and odd values are worth more than any 64 bits */
		return info->result == IR_TD ? seen : (uint32_t)seen;
	return seen >> 60;
}

/* MEM_LOAD extends as its meta says (helpers.def). */
static inline uint64_t ir_machine_extend(uint64_t v, uint64_t meta)
{
	unsigned unused = 64 - (8u << (meta >> 8 & 3)); /* lifters never make a wider one; the generator does */

	if (meta & MEM_SIGN)
		return (uint32_t)((int64_t)(v << unused) >> unused);
	return v << unused >> unused;
}

/* What a helper may change depends on its row: fields if HF_STATE, else only Count and Cause (memory ops). */
static inline void ir_machine_disturb(struct guest_state *gs, enum ir_helper h, uint64_t r)
{
	gs->cp0[CP0_INDEX(9, 0)] = (uint32_t)r;
	if (h == HELPER_MEM_LOAD || h == HELPER_MEM_STORE || !(ir_helper_info[h].flags & HF_STATE))
		return;
	gs->cp0[CP0_INDEX(12, 0)] = (uint32_t)(r >> 8);
	gs->fcr31 = (uint32_t)(r >> 16);
	gs->fpr[r >> 32 & 3] = r * 0xd6e8feb86659fd93u;
}

static inline uint64_t ir_machine_call(struct guest_state *gs, enum ir_helper h, uint64_t a, uint64_t b, uint64_t c)
{
	struct ir_machine *m = (struct ir_machine *)gs;
	const struct ir_helper_info *info = &ir_helper_info[h];
	const enum exit_reason after = (a ^ b) & 1 ? EXIT_SMC : EXIT_PC_SET;
	uint64_t seen = ir_machine_mix(ir_machine_mix(ir_machine_mix(h, a), b), c);

	if (info->flags == HF_PURE)
		return ir_machine_answer(seen, info);
	seen = ir_machine_hash(gs, ir_machine_mix(seen, m->trace));
	if (info->flags & HF_SITE)
		seen = ir_machine_mix(ir_machine_mix(seen, gs->pc), gs->site);
	m->trace = seen;
	m->calls++;
	if (info->flags & (HF_STATE | HF_RAISES))
		ir_machine_disturb(gs, h, seen);
	if (h == HELPER_RAISE || (info->flags & HF_RAISES && m->leave_one_in && seen % m->leave_one_in == 0)) {
		gs->leave = h == HELPER_RAISE || seen >> 63 ? EXIT_EXCEPTION : after;
		gs->pc = (uint32_t)(seen >> 20);
	}
	if (h == HELPER_MEM_LOAD)
		return ir_machine_extend(ir_machine_mix(seen, 2), b);
	return ir_machine_answer(seen, info);
}

#define HELPER(name, ...)                                                                                              \
	static inline uint64_t ir_machine_##name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)           \
	{                                                                                                              \
		return ir_machine_call(gs, HELPER_##name, a, b, c);                                                    \
	}
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER

static helper_fn *const ir_machine_helpers[NUM_HELPERS] = {
#define HELPER(name, ...) ir_machine_##name,
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
};

/* Random registers and fields, for a block of the mode. */
static inline void ir_machine_init(struct ir_machine *m, struct ir_gen *g, uint32_t mode)
{
	memset(m, 0, sizeof(*m));
	for (unsigned i = 1; i < NUM_REGS; i++)
		m->gs.reg[i] = (uint32_t)ir_gen_word(g);
	for (unsigned i = 0; i < 32; i++)
		m->gs.fpr[i] = ir_gen_word(g);
	m->gs.cp0[CP0_INDEX(12, 0)] = (uint32_t)ir_gen_word(g);
	m->gs.fcr31 = (uint32_t)ir_gen_word(g);
	m->gs.llbit = ir_gen_below(g, 2);
	m->gs.llval = ir_gen_word(g);
	m->gs.mode = mode;
	m->gs.pc_page = ir_gen_next(g) & 0xfffff000u;
	m->gs.helpers = ir_machine_helpers;
	m->trace = ir_gen_next(g);
	m->leave_one_in = ir_gen_below(g, 2) * 16;
}

#endif
