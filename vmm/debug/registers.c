/* SPDX-License-Identifier: MIT */
#include "vmm/debug/registers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "vmm/cpu/cp0.h"
#include "vmm/cpu/debug.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"

enum what { GPR, FPR, FCSR, FIR, PC, COP0 };
enum feature { CPU, CP0, FPU, MORE, FEATURES };

static const char *const feature_names[FEATURES] = {"org.gnu.gdb.mips.cpu", "org.gnu.gdb.mips.cp0",
						    "org.gnu.gdb.mips.fpu", "disco.mips.cp0"};

struct reg {
	enum what what;
	enum feature feature;
	unsigned index;
	char name[16];
};

enum { FIRST_FPR = 38, FCSR_NUMBER = 70, FIR_NUMBER, FIRST_MORE };

/* Those of gdb's features that have neighbours of another kind. */
static const struct fixed {
	unsigned number;
	struct reg reg;
} fixed[] = {
    {32, {COP0, CP0, CP0_Status, "status"}}, {33, {GPR, CPU, REG_LO, "lo"}},
    {34, {GPR, CPU, REG_HI, "hi"}},          {35, {COP0, CP0, CP0_BadVAddr, "badvaddr"}},
    {36, {COP0, CP0, CP0_Cause, "cause"}},   {DEBUG_REG_PC, {PC, CPU, 0, "pc"}},
    {FCSR_NUMBER, {FCSR, FPU, 0, "fcsr"}},   {FIR_NUMBER, {FIR, FPU, 0, "fir"}},
};

static bool is_fixed(unsigned index) { return index == CP0_Status || index == CP0_BadVAddr || index == CP0_Cause; }

/* The k-th of the others. */
static struct reg more_reg(unsigned k)
{
	struct reg r = {.what = COP0, .feature = MORE};

	for (unsigned i = 0; i < cp0_num_regs; i++) {
		r.index = CP0_INDEX(cp0_regs[i].reg, cp0_regs[i].sel);
		if (is_fixed(r.index) || k--)
			continue;
		for (unsigned c = 0; c + 1 < sizeof(r.name) && cp0_regs[i].name[c]; c++)
			r.name[c] = (char)tolower((unsigned char)cp0_regs[i].name[c]);
		return r;
	}
	return r;
}

unsigned debug_reg_count(void) { return FIRST_MORE + cp0_num_regs - 3; }

static struct reg reg_of(unsigned n)
{
	struct reg r = {.what = GPR, .feature = CPU, .index = n};

	if (n >= FIRST_MORE)
		return more_reg(n - FIRST_MORE);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (fixed[i].number == n)
			return fixed[i].reg;
	if (n >= FIRST_FPR)
		r = (struct reg){.what = FPR, .feature = FPU, .index = n - FIRST_FPR};
	snprintf(r.name, sizeof(r.name), "%c%u", r.what == FPR ? 'f' : 'r', r.index % 100);
	return r;
}

unsigned debug_reg_bytes(unsigned n) { return reg_of(n).what == FPR ? 8 : 4; }

void debug_reg_name(unsigned n, char out[16])
{
	struct reg r = reg_of(n);

	memcpy(out, r.name, sizeof(r.name));
}

static void put_feature(FILE *out, enum feature f)
{
	fprintf(out, "<feature name=\"%s\">", feature_names[f]);
	for (unsigned n = 0; n < debug_reg_count(); n++) {
		struct reg r = reg_of(n);

		if (r.feature != f)
			continue;
		fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" regnum=\"%u\"", r.name, 8 * debug_reg_bytes(n), n);
		if (r.what == FPR)
			fprintf(out, " type=\"ieee_double\"");
		fprintf(out, " group=\"%s\"/>", f == CPU ? "general" : f == FPU ? "float" : "system");
	}
	fprintf(out, "</feature>");
}

char *debug_target_xml(void)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	fprintf(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
		     "<architecture>mips:isa32r2</architecture>");
	for (int f = 0; f < FEATURES; f++)
		put_feature(out, (enum feature)f);
	fprintf(out, "</target>");
	return fclose(out) ? NULL : text;
}

/* ---- values ---- */

static bool has_pairs(const struct vcpu *v) { return !(v->gs.cp0[CP0_Status] & ST_FR); }

static uint64_t read_fpr(const struct vcpu *v, unsigned i)
{
	return has_pairs(v) && i % 2 ? v->gs.fpr[i - 1] >> 32 : v->gs.fpr[i];
}

static void write_fpr(struct vcpu *v, unsigned i, uint64_t value)
{
	if (has_pairs(v) && i % 2)
		v->gs.fpr[i - 1] = (v->gs.fpr[i - 1] & UINT32_MAX) | value << 32;
	else
		v->gs.fpr[i] = value;
}

static uint32_t read_cp0(struct vcpu *v, unsigned index)
{
	switch (index) {
	case CP0_Count:
		return cp0_count(v);
	case CP0_Random:
		return v->random;
	case CP0_LLAddr:
		return (uint32_t)(mem_physical(v, gva(v->gs.lladdr)) >> 4);
	default:
		return (uint32_t)v->gs.cp0[index];
	}
}

uint64_t debug_reg_read(struct vcpu *v, unsigned n)
{
	struct reg r = reg_of(n);

	switch (r.what) {
	case GPR:
		return r.index ? (uint32_t)v->gs.reg[r.index] : 0;
	case FPR:
		return read_fpr(v, r.index);
	case FCSR:
		return v->gs.fcr31;
	case FIR:
		return v->gs.fcr0;
	case PC:
		return v->gs.pc;
	case COP0:
		break;
	}
	return read_cp0(v, r.index);
}

struct write {
	struct vcpu *v;
	struct reg r;
	uint64_t value;
};

static void write_parked(void *arg)
{
	enum { FCSR_BITS = 0xff83ffff }; /* 22:18 are 0 */
	struct write *w = arg;
	struct guest_state *gs = &w->v->gs;

	switch (w->r.what) {
	case GPR:
		gs->reg[w->r.index] = (uint32_t)w->value;
		break;
	case FPR:
		write_fpr(w->v, w->r.index, w->value);
		break;
	case FCSR:
		gs->fcr31 = (uint32_t)w->value & (uint32_t)FCSR_BITS;
		break;
	case PC:
		gs->pc = (uint32_t)w->value;
		if (__atomic_load_n(&w->v->power, __ATOMIC_ACQUIRE) == VCPU_ON)
			w->v->idle = false; /* it does not stand behind its WAIT any more */
		break;
	case COP0:
		cp0_write(gs, w->r.index, w->value, 0);
		break;
	case FIR:
		break;
	}
}

bool debug_reg_write(struct vcpu *v, unsigned n, uint64_t value)
{
	struct write w = {v, reg_of(n), value};
	const struct cp0_reg *row = w.r.what == COP0 ? cp0_reg(w.r.index >> 3, w.r.index & 7) : NULL;

	if (w.r.what == FIR || (row && row->flags & CP0_RO))
		return false;
	if (w.r.what == GPR && !w.r.index)
		return true;
	/* Timer: an alarm of the machine's clock, under its lock */
	if (row && (w.r.index == CP0_Count || w.r.index == CP0_Compare || w.r.index == CP0_Cause))
		write_parked(&w);
	else
		debug_act(v->vm, write_parked, &w);
	return true;
}
