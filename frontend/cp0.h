/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_CP0_H
#define FRONTEND_CP0_H

#include "base/types.h"
#include "ir/guest_state.h"

enum cp0_flags { CP0_RH = 1, CP0_WH = 2, CP0_ENDS = 4, CP0_RO = 8 };

struct cp0_reg {
	const char *name;
	uint8_t reg, sel, flags;
	uint32_t reset, write_mask;
};

/* Names for CP0_INDEX of every row: CP0_Status, CP0_EntryHi ... */
enum cp0_index {
#define CP0(name, reg, sel, ...) CP0_##name = CP0_INDEX(reg, sel),
#include "frontend/cp0.def"
#undef CP0
};

extern const struct cp0_reg cp0_regs[];
extern const unsigned cp0_num_regs;
/* The row, or NULL if no model has the register. Cost O(1). */
const struct cp0_reg *cp0_reg(unsigned reg, unsigned sel);

/* Status */
#define ST_IE        (1u << 0)
#define ST_EXL       (1u << 1)
#define ST_ERL       (1u << 2)
#define ST_KSU       (3u << 3)
#define ST_KSU_SHIFT 3
#define ST_IM        (0xffu << 8)
#define ST_NMI       (1u << 19)
#define ST_SR        (1u << 20)
#define ST_BEV       (1u << 22)
#define ST_RE        (1u << 25)
#define ST_FR        (1u << 26)
#define ST_CU0       (1u << 28)
#define ST_CU1       (1u << 29)
/* Cause */
#define CA_EXC_SHIFT 2
#define CA_EXC       (0x1fu << 2)
#define CA_IP        (0xffu << 8)
#define CA_IP1       (1u << 9)
#define CA_WP        (1u << 22)
#define CA_IV        (1u << 23)
#define CA_DC        (1u << 27)
#define CA_CE_SHIFT  28
#define CA_CE        (3u << 28)
#define CA_TI        (1u << 30)
#define CA_BD        (1u << 31)
/* EBase */
#define EBASE_CPUNUM 0x3ffu
/* Config1 */
#define C1_WR (1u << 3)
/* Config3 */
#define C3_VINT (1u << 5)
#define C3_RXI  (1u << 12)
#define C3_ULRI (1u << 13)
/* PageGrain */
#define PG_IEC (1u << 27)
#define PG_XIE (1u << 30)
#define PG_RIE (1u << 31)
/* Config */
#define C0_BE (1u << 15)

struct cpu_model {
	const char *name, *what;
	unsigned isa, tlb_entries;
	uint32_t prid, config, config1, config2, config3, fir;
};
extern const struct cpu_model cpu_models[];
extern const unsigned cpu_num_models;
#define CPU_DEFAULT "max"
/* NULL if there is no such model. */
const struct cpu_model *cpu_model_find(const char *name);

#endif
