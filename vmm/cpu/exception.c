/* SPDX-License-Identifier: MIT */
#include "base/segments.h"
#include "frontend/cp0.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

static uint32_t cp0(const struct vcpu *v, unsigned index) { return (uint32_t)v->gs.cp0[index]; }

/* Vector base + offset, MIPS32 PRA volume III, tables 6-4 to 6-7. */
static uint32_t vector_base(const struct vcpu *v)
{
	return cp0(v, CP0_Status) & ST_BEV ? 0xbfc00200u : KSEG0 | (cp0(v, CP0_EBase) & 0x3ffff000u);
}

static uint32_t interrupt_offset(const struct vcpu *v)
{
	uint32_t cause = vcpu_cause(v), spacing = cp0(v, CP0_IntCtl) & 0x3e0u, pending;

	if (!(cause & CA_IV))
		return 0x180;
	if (!spacing || cp0(v, CP0_Status) & ST_BEV || !(cp0(v, CP0_Config3) & C3_VINT))
		return 0x200;
	/* Vectored interrupts, PRA 6.1.2: the highest pending and enabled IP bit picks the vector. */
	pending = (cause & cp0(v, CP0_Status) & CA_IP) >> 8;
	return 0x200 + (31 - (uint32_t)__builtin_clz(pending)) * spacing;
}

/* Put back what a block's head counted but an instruction that did not complete keeps from being executed. */
void exception_refund(struct vcpu *v)
{
	uint32_t left = SITE_LEFT(v->gs.site);

	if (v->vm->cfg.icount)
		v->gs.icount_left += left;
	v->insns_refunded += left;
	v->gs.site &= SITE_BD;
}

const char *const exception_names[32] = {
    [EXC_INT] = "Int",     [EXC_MOD] = "Mod",     [EXC_TLBL] = "TLBL",   [EXC_TLBS] = "TLBS",     [EXC_ADEL] = "AdEL",
    [EXC_ADES] = "AdES",   [EXC_IBE] = "IBE",     [EXC_DBE] = "DBE",     [EXC_SYS] = "Sys",       [EXC_BP] = "Bp",
    [EXC_RI] = "RI",       [EXC_CPU] = "CpU",     [EXC_OV] = "Ov",       [EXC_TR] = "Tr",         [EXC_FPE] = "FPE",
    [EXC_TLBRI] = "TLBRI", [EXC_TLBXI] = "TLBXI", [EXC_WATCH] = "WATCH", [EXC_MCHECK] = "MCheck",
};

/* pc: of the instruction, also in a slot. */
static void put_trace(struct vcpu *v, uint32_t exc, uint32_t pc)
{
	const char *name = exception_names[exc] ? exception_names[exc] : "reserved";

	if (exc == EXC_INT)
		TRACE(&v->tracer, INTERRUPT, pc, v->gs.pc, vcpu_cause(v) >> 8 & 0xff, cp0(v, CP0_Status) >> 8 & 0xff);
	else
		TRACE(&v->tracer, EXCEPTION, TRACE_STRING(name), pc, v->gs.pc, cp0(v, CP0_BadVAddr));
}

static void enter(struct vcpu *v, uint32_t code, uint32_t offset)
{
	struct guest_state *gs = &v->gs;
	uint32_t status = cp0(v, CP0_Status), clear = CA_EXC | CA_CE, set;
	uint32_t pc = (uint32_t)gs->pc, at = pc;

	set = (code & 0x1f) << CA_EXC_SHIFT | (code >> 8 & 3) << CA_CE_SHIFT;
	if (!(status & ST_EXL)) {
		clear |= CA_BD;
		if (gs->site & SITE_BD) {
			set |= CA_BD;
			pc -= 4;
		}
		gs->cp0[CP0_EPC] = pc;
	}
	vcpu_change_cause(v, clear, set);
	gs->pc = vector_base(v) + offset;
	watchdog_exception(v, at, (uint32_t)gs->pc, code);
	gs->cp0[CP0_Status] = status | ST_EXL;
	gs->leave = EXIT_EXCEPTION;
	v->stats.exceptions[code & 0x1f]++;
	if (trace_wants(&v->tracer, TRACE_EXCEPTION) || trace_wants(&v->tracer, TRACE_INTERRUPT))
		put_trace(v, code & 0x1f, at);
}

void exception_raise(struct vcpu *v, uint32_t code)
{
	exception_refund(v);
	enter(v, code, 0x180);
}

void exception_raise_address(struct vcpu *v, uint32_t code, struct gva va, bool refill)
{
	struct guest_state *gs = &v->gs;
	uint32_t exc = code & 0x1f, offset = 0x180;

	exception_refund(v);
	gs->cp0[CP0_BadVAddr] = (uint32_t)va.v;
	if (exc != EXC_ADEL && exc != EXC_ADES) {
		gs->cp0[CP0_Context] = (gs->cp0[CP0_Context] & 0xff800000u) | ((uint32_t)va.v >> 13) << 4;
		gs->cp0[CP0_EntryHi] = (gs->cp0[CP0_EntryHi] & 0xffu) | ((uint32_t)va.v & 0xffffe000u);
	}
	if (refill && !(cp0(v, CP0_Status) & ST_EXL))
		offset = 0;
	enter(v, code, offset);
}

bool exception_interrupt_pending(const struct vcpu *v)
{
	uint32_t status = cp0(v, CP0_Status);

	return (status & (ST_IE | ST_EXL | ST_ERL)) == ST_IE && (vcpu_cause(v) & status & CA_IP);
}

bool exception_check_interrupts(struct vcpu *v)
{
	if (!exception_interrupt_pending(v))
		return false;
	v->gs.site = 0;
	v->stats.interrupts++;
	enter(v, EXC_INT, interrupt_offset(v));
	v->gs.leave = EXIT_NONE;
	return true;
}

HELPER_FN(exception_helper)
{
	exception_raise(vcpu_of(gs), (uint32_t)a);
	return 0;
}
