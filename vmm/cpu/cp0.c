/* SPDX-License-Identifier: MIT */
#include "frontend/cp0.h"
#include "vmm/cpu/cp0.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

/* Coprocessor 0 as lifted code calls it.  Source: MIPS32 PRA volume III, chapter 9, by register. */

static uint32_t reg(const struct vcpu *v, unsigned index) { return (uint32_t)v->gs.cp0[index]; }

/* ---- Count, Compare, the timer interrupt ---- */

static uint32_t ns_to_count(const struct vcpu *v, uint64_t ns) { return (uint32_t)(ns / (1000000000u / v->count_hz)); }

static uint32_t count_at(const struct vcpu *v, uint64_t now_ns)
{
	if (vcpu_cause(v) & CA_DC)
		return v->count_base;
	return v->count_base + ns_to_count(v, now_ns);
}

uint32_t cp0_count(struct vcpu *v) { return count_at(v, clock_now_ns(v->vm->clock)); }

static void timer_expired(void *arg)
{
	struct vcpu *v = arg;

	vcpu_change_cause(v, 0, CA_TI);
	vcpu_set_irq(v, 7, true);
	cp0_timer_update(v);
}

void cp0_timer_update(struct vcpu *v)
{
	struct clock_ops clk = clock_as_ops(v->vm->clock);
	uint64_t ns_per_tick = 1000000000u / v->count_hz, now = clk.now_ns(clk.opaque);
	uint64_t ticks = reg(v, CP0_Compare) - count_at(v, now); /* of the same moment: TI is never early */

	if (vcpu_cause(v) & CA_DC) {
		clk.alarm(clk.opaque, UINT64_MAX, timer_expired, v);
		return;
	}
	if ((uint32_t)ticks == 0)
		ticks = (uint64_t)1 << 32;
	else
		ticks = (uint32_t)ticks;
	/* Count advances at multiples of ns_per_tick. */
	clk.alarm(clk.opaque, (now / ns_per_tick + ticks) * ns_per_tick, timer_expired, v);
}

void cp0_timer_reset(struct vcpu *v)
{
	clock_patient(v->vm->clock, timer_expired, v);
	cp0_timer_update(v);
}

/*
 * The timer is an alarm of the machine's clock, and that is used under its lock, for which a vCPU that has siblings does not wait
 * in the middle of an instruction (siblings.h): its dispatch loop does it, before the next one.
 */
static void timer_changed(struct vcpu *v)
{
	if (!vm_has_siblings(v->vm)) {
		cp0_timer_update(v);
		return;
	}
	v->timer_changed = true;
	if (v->caches.flash)
		caches_stop_soon(v); /* not at any poll */
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
}

static void write_count(struct vcpu *v, uint32_t value)
{
	v->count_base = value;
	if (!(vcpu_cause(v) & CA_DC))
		v->count_base -= ns_to_count(v, clock_now_ns(v->vm->clock));
	timer_changed(v);
}

static void write_compare(struct vcpu *v, uint32_t value)
{
	v->gs.cp0[CP0_Compare] = value;
	vcpu_change_cause(v, CA_TI | 0x8000, 0);
	timer_changed(v);
}

static void write_cause(struct vcpu *v, uint32_t value)
{
	uint32_t old = vcpu_cause(v), mask = cp0_reg(13, 0)->write_mask, count = cp0_count(v);

	if (!(v->model->config1 & C1_WR)) /* WP reads as 0 without watch registers */
		mask &= ~CA_WP;

	vcpu_change_cause(v, mask, value & mask);
	if ((old ^ value) & CA_DC)
		write_count(v, count); /* stops or goes on from here */
}

/*
 * ---- Random: a new slot after every TLBWR and every read (there are guests that wait for it to change), the same
 * sequence in every run.  Reset and a write of Wired set it to its upper bound (volume III, "Random register"). ----
 */

static uint32_t take_random(struct vcpu *v)
{
	uint32_t wired = reg(v, CP0_Wired), n = v->tlb.n, x = v->random_state, now = v->random;

	x ^= x << 13; /* xorshift32 */
	x ^= x >> 17;
	x ^= x << 5;
	v->random_state = x;
	v->random = wired < n ? wired + x % (n - wired) : n - 1;
	return now;
}

/* ---- MFC0, MTC0 ---- */

/*
 * What follows was lifted for the old mode, mapping or interrupt mask.  The lifter ends the block behind the instruction,
 * but in a delay slot, where the branch's own end must do it.
 */
static void leave_block(struct guest_state *gs)
{
	if (gs->site & SITE_BD)
		__atomic_store_n(&gs->poll, 1, __ATOMIC_RELAXED);
}

/* TI as of now, not as of the last poll.  With siblings it is as of the last poll. */
static void look_at_timer(struct vcpu *v)
{
	if (vm_has_siblings(v->vm))
		return;
	vm_lock(v->vm);
	clock_run_due(v->vm->clock);
	vm_unlock(v->vm);
}

HELPER_FN(cp0_read)
{
	struct vcpu *v = vcpu_of(gs);

	switch (a) {
	case CP0_Count:
		return cp0_count(v);
	case CP0_Cause:
		look_at_timer(v);
		return vcpu_cause(v);
	case CP0_Random:
		return take_random(v);
	case CP0_LLAddr:
		return (uint32_t)(mem_physical(v, gva(gs->lladdr)) >> 4); /* as mapped now */
	default:
		return gs->cp0[a & 255];
	}
}

static void write_status(struct vcpu *v, uint32_t value)
{
	uint32_t mask = cp0_reg(12, 0)->write_mask, old = reg(v, CP0_Status);

	v->gs.cp0[CP0_Status] = (old & ~mask) | (value & mask);
	if ((old ^ reg(v, CP0_Status)) & ST_ERL) /* kuseg becomes unmapped, or mapped again */
		l2tlb_flush_tables(v->l2tlb);
}

/* A write whose legal bits depend on what the CPU model has. */
static uint32_t model_mask(const struct vcpu *v, unsigned index, uint32_t mask)
{
	uint32_t c3 = v->model->config3;

	switch (index) {
	case CP0_UserLocal:
		return c3 & C3_ULRI ? mask : 0;
	case CP0_HWREna:
		return c3 & C3_ULRI ? mask : mask & ~(1u << 29);
	case CP0_PageGrain:
		return c3 & C3_RXI ? mask : 0;
	case CP0_IntCtl:
		return c3 & C3_VINT ? mask : 0;
	case CP0_EntryLo0:
	case CP0_EntryLo1: /* RI and XI are bits 31 and 30 here as in PageGrain.RIE and XIE */
		return (mask & 0x03ffffffu) | (reg(v, CP0_PageGrain) & (PG_RIE | PG_XIE));
	default:
		return mask;
	}
}

/* EntryHi was written; old: what it was. */
static void trace_asid(struct vcpu *v, uint32_t old)
{
	unsigned from = (uint8_t)old, to = (uint8_t)reg(v, CP0_EntryHi);

	if (from != to)
		TRACE(&v->tracer, ASID, from, to, v->gs.pc);
}

/* Registers of the timer, which is an alarm of the machine's clock. */
static void write_timer(struct vcpu *v, unsigned index, uint32_t value)
{
	bool alone = !vm_has_siblings(v->vm);

	if (alone)
		vm_lock(v->vm);
	if (index == CP0_Count)
		write_count(v, value);
	else if (index == CP0_Compare)
		write_compare(v, value);
	else
		write_cause(v, value);
	if (alone)
		vm_unlock(v->vm);
}

HELPER_FN(cp0_write)
{
	struct vcpu *v = vcpu_of(gs);
	unsigned index = (unsigned)a & 255;
	const struct cp0_reg *row = cp0_reg(index >> 3, index & 7);
	uint32_t value = (uint32_t)b, mask, old;

	if (!row || row->flags & CP0_RO)
		return 0;
	switch (index) {
	case CP0_Count:
	case CP0_Compare:
	case CP0_Cause:
		write_timer(v, index, value);
		break;
	case CP0_Status:
		write_status(v, value);
		break;
	case CP0_Wired:
		v->random = v->tlb.n - 1;
		gs->cp0[index] = value & row->write_mask;
		break;
	default:
		old = (uint32_t)gs->cp0[index];
		mask = model_mask(v, index, row->write_mask);
		/* a bit that the model, or PageGrain now, does not have becomes 0 */
		gs->cp0[index] = (gs->cp0[index] & ~(uint64_t)row->write_mask) | (value & mask);
		if (index == CP0_EntryHi)
			trace_asid(v, old);
		break;
	}
	if (row->flags & CP0_ENDS)
		leave_block(gs);
	return 0;
}

HELPER_FN(cp0_di)
{
	uint32_t old = (uint32_t)gs->cp0[CP0_Status];

	gs->cp0[CP0_Status] = old & ~ST_IE;
	return old;
}

HELPER_FN(cp0_ei)
{
	uint32_t old = (uint32_t)gs->cp0[CP0_Status];

	gs->cp0[CP0_Status] = old | ST_IE;
	leave_block(gs);
	return old;
}

/* RDHWR, volume II: registers 0 CPUNum, 1 SYNCI_Step, 2 CC, 3 CCRes, 29 UserLocal. */
HELPER_FN(cp0_rdhwr)
{
	struct vcpu *v = vcpu_of(gs);
	unsigned n = (unsigned)a & 31;
	bool privileged = !(gs->mode & MODE_KSU) || gs->cp0[CP0_Status] & ST_CU0;
	uint32_t known = 0xfu | (v->model->config3 & C3_ULRI ? 1u << 29 : 0);

	if (!(known >> n & 1) || (!privileged && !(gs->cp0[CP0_HWREna] >> n & 1))) {
		exception_raise(v, EXC_RI);
		return 0;
	}
	switch (n) {
	case 0:
		return reg(v, CP0_EBase) & 0x3ff;
	case 1:
		return 16; /* the line size that Config1.DL tells */
	case 2:
		return cp0_count(v);
	case 3:
		return 2; /* Count advances every second CPU clock */
	default:
		return gs->cp0[CP0_UserLocal];
	}
}

/* ---- the TLB instructions ---- */

static void tlb_write(struct vcpu *v, unsigned i, bool random)
{
	struct guest_tlb_entry old = v->tlb.e[i], *e = &v->tlb.e[i];
	uint64_t *cp0 = v->gs.cp0;

	e->mask = guest_tlb_mask_legal((uint32_t)cp0[CP0_PageMask]);
	e->vpn2 = cp0[CP0_EntryHi] & 0xffffe000u & ~(uint64_t)e->mask;
	e->asid = (uint8_t)cp0[CP0_EntryHi];
	e->lo[0] = cp0[CP0_EntryLo0];
	e->lo[1] = cp0[CP0_EntryLo1];
	e->global = e->lo[0] & e->lo[1] & ENTRYLO_G;
	e->hw_invalid = false;
	TRACE(&v->tracer, TLB_WRITE, i, e->vpn2, e->asid, e->mask, e->lo[0], e->lo[1]);
	l2tlb_on_write(v->l2tlb, i, &old, random);
	leave_block(&v->gs); /* code may have been remapped */
}

HELPER_FN(cp0_tlbwi)
{
	struct vcpu *v = vcpu_of(gs);
	unsigned i = reg(v, CP0_Index) & 0x3f;

	if (i < v->tlb.n) /* beyond: UNDEFINED, nothing here */
		tlb_write(v, i, false);
	return 0;
}

HELPER_FN(cp0_tlbwr)
{
	struct vcpu *v = vcpu_of(gs);

	tlb_write(v, take_random(v), true);
	return 0;
}

HELPER_FN(cp0_tlbr)
{
	struct vcpu *v = vcpu_of(gs);
	unsigned i = reg(v, CP0_Index) & 0x3f;
	const struct guest_tlb_entry *e = &v->tlb.e[i];
	uint32_t g, old = reg(v, CP0_EntryHi);

	if (i >= v->tlb.n)
		return 0;
	g = e->global ? ENTRYLO_G : 0;
	gs->cp0[CP0_PageMask] = e->mask;
	gs->cp0[CP0_EntryHi] = (uint32_t)e->vpn2 | e->asid;
	gs->cp0[CP0_EntryLo0] = (uint32_t)(e->lo[0] & ~(uint64_t)ENTRYLO_G) | g;
	gs->cp0[CP0_EntryLo1] = (uint32_t)(e->lo[1] & ~(uint64_t)ENTRYLO_G) | g;
	trace_asid(v, old);
	l2tlb_on_read(v->l2tlb, i);
	leave_block(gs); /* EntryHi.ASID may have changed */
	return 0;
}

HELPER_FN(cp0_tlbp)
{
	struct vcpu *v = vcpu_of(gs);
	uint32_t hi = reg(v, CP0_EntryHi);
	struct gva va = gva(hi & 0xffffe000u);
	int i = guest_tlb_find(&v->tlb, va, (uint8_t)hi);

	if (i < 0)
		l2tlb_on_probe_miss(v->l2tlb, va, (uint8_t)hi);
	gs->cp0[CP0_Index] = i < 0 ? 0x80000000u : (uint32_t)i;
	return 0;
}

/* ---- ERET, WAIT ---- */

HELPER_FN(cp0_eret)
{
	uint32_t status = (uint32_t)gs->cp0[CP0_Status];

	if (status & ST_ERL) {
		gs->pc = gs->cp0[CP0_ErrorEPC];
		gs->cp0[CP0_Status] = status & ~ST_ERL;
		l2tlb_flush_tables(vcpu_of(gs)->l2tlb);
	} else {
		gs->pc = gs->cp0[CP0_EPC];
		gs->cp0[CP0_Status] = status & ~ST_EXL;
	}
	gs->llbit = 0;
	return 0;
}

HELPER_FN(cp0_wait)
{
	vcpu_of(gs)->idle = true;
	__atomic_store_n(&gs->poll, 1, __ATOMIC_RELAXED);
	return 0;
}
