/* SPDX-License-Identifier: MIT */
#include "frontend/cp0.h"

#include <string.h>

#include "frontend/frontend.h"

const struct cp0_reg cp0_regs[] = {
#define CP0(name, reg, sel, reset, mask, flags) {#name, reg, sel, flags, reset, mask},
#include "frontend/cp0.def"
#undef CP0
};
const unsigned cp0_num_regs = ARRAY_LEN(cp0_regs);

enum cp0_row {
#define CP0(name, ...) ROW_##name,
#include "frontend/cp0.def"
#undef CP0
};

/* Row number + 1 by CP0_INDEX, 0 where there is none. */
static const uint8_t row_of[32 * 8] = {
#define CP0(name, reg, sel, ...) [CP0_INDEX(reg, sel)] = ROW_##name + 1,
#include "frontend/cp0.def"
#undef CP0
};

const struct cp0_reg *cp0_reg(unsigned reg, unsigned sel)
{
	unsigned row = row_of[CP0_INDEX(reg & 31, sel & 7)];

	return row ? &cp0_regs[row - 1] : NULL;
}

const struct cpu_model cpu_models[] = {
#define CPU(id, name, what, isa, tlb, prid, c0, c1, c2, c3, fir) {name, what, isa, tlb, prid, c0, c1, c2, c3, fir},
#include "frontend/cpu.def"
#undef CPU
};
const unsigned cpu_num_models = ARRAY_LEN(cpu_models);

const struct cpu_model *cpu_model_find(const char *name)
{
	for (unsigned i = 0; i < cpu_num_models; i++)
		if (!strcmp(cpu_models[i].name, name))
			return &cpu_models[i];
	return NULL;
}
