/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/vcpu.h"

#include <errno.h>
#include <stdlib.h>

#include "base/resident.h"
#include "base/segments.h"
#include "frontend/cp0.h"
#include "frontend/fpu.h"
#include "vmm/cpu/cp0.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/interp_cache.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/look/perf_map.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/simulation.h"
#include "vmm/monitor/vm.h"

/*
 * Debian's kernels patch most of the pages that they patch at boot less often than that while they run; each time a page is
 * translated anew, for all machines.
 */
#define CONTENT_WRITES 12

/* Machines beside others: a boot makes a hundred address spaces, but works in a few at a time. */
#define SHARED_USER_TABLES 4

#define COUNT_HZ 100000000u /* half of a 200 MHz clock, as the Malta's usual core board */

/* Debug builds check that each turn of the dispatch loop gets on. */
#ifdef DISCO_ASSERT
#define COUNT_ALWAYS true
#else
#define COUNT_ALWAYS false
#endif

/* For a flush of the code cache, and for who is in a device, inside of translated code: stopped all the same. */
static void code_cache_waits(struct guest_state *gs, bool begin)
{
	struct rendezvous_member *m = &vcpu_of(gs)->stop;

	if (begin)
		rendezvous_leave_holding(m);
	else
		rendezvous_enter(m);
}

static int vcpu_open(struct vcpu *v)
{
	const struct vm_config *cfg = &v->vm->cfg;
	struct jit_config jc = {
	    .tier1 = cfg->tier1,
	    .content_writes = v->vm->monitor->share ? CONTENT_WRITES : 0,
	    .guest_isa = v->model->isa,
	    .tier2 = cfg->tier2,
	    .icount = cfg->icount,
	    .line_log2 = v->caches.flash ? (uint8_t)__builtin_ctz(flash_config(v->caches.flash)->line) : 0,
	    .resume = cfg->icount ? NULL : run_loop_resume, /* a deadline is looked at by the dispatch loop */
	    .waits = code_cache_waits,
	    .count_insns = cfg->count_insns || COUNT_ALWAYS,
	    .keep_ir = cfg->keep_ir,
	    .code_bytes = cfg->code_bytes,
	    .hot_threshold = cfg->hot_threshold,
	    .hot_blocks = cfg->hot_blocks,
	    .sync_tier2 = cfg->tier2 && (!cfg->tier1 || cfg->sync_tier2),
	    .store = v->vm->monitor->store,
	    .helpers = vmm_helpers,
	    .installed = v->vm->monitor->perf_map ? perf_map_add : NULL,
	    .installed_ctx = v->vm->monitor->perf_map,
	    .tracer = &v->vm->monitor->tracer,
	};
	struct code_cache *cc;
	int err;

	v->gs.abs_code = v->abs_code = calloc(ABS_CODE_ENTRIES, sizeof(*v->abs_code));
	if (!v->abs_code)
		return -ENOMEM;
	if (v->caches.flash) {
		v->gs.abs_fetch = v->abs_fetch = calloc(ABS_CODE_ENTRIES, sizeof(*v->abs_fetch));
		if (!v->abs_fetch)
			return -ENOMEM;
	}
	vm_wants(cfg->want, "tables of addresses", l2tlb_bytes());
	err = l2tlb_new(&v->l2tlb, &v->tlb);
	if (!err && v->vm->monitor->share)
		l2tlb_limit_tables(v->l2tlb, SHARED_USER_TABLES);

	if (!err)
		err = mem_new(v);
	if (!err && (cfg->tier1 || cfg->tier2)) {
		vm_wants(cfg->want, "translated code (--jit-mem)", jit_address_bytes(cfg->code_bytes));
		err = monitor_code_cache(v->vm->monitor, &jc, &cc);
		if (!err)
			err = jit_new(&v->jit, cc, &v->gs);
	}
	if (!err)
		err = interp_cache_new(&v->interp);
	if (err)
		return err;
	v->frontend = frontend_new(v->model->isa);
	return v->frontend ? 0 : -ENOMEM;
}

int vcpus_new(struct vcpu **out, struct vm *vm, unsigned n)
{
	struct vcpu *v = aligned_alloc(_Alignof(struct vcpu), n * sizeof(*v));
	int err = 0;

	if (!v)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		v[i] = (struct vcpu){.vm = vm, .number = i, .model = vm->cfg.cpu, .count_hz = COUNT_HZ};
		v[i].power = i ? VCPU_OFF : VCPU_ON;
		v[i].gs.helpers = vmm_helpers;
		vm_trace(vm, &v[i].tracer, (int)i);
		v[i].sched = (struct sched_vcpu){
		    .shares = vm->cfg.shares ? vm->cfg.shares : SCHED_DEFAULT_SHARES,
		    .cap = vm->cfg.cap,
		    .number = vm->cfg.number * VM_MAX_VCPUS + i,
		    .sample = vm->cfg.tier1 && vm->cfg.tier2 && !vm->cfg.icount, /* there it would but take time */
		};
		sched_vcpu_init(&v[i], vm->monitor->sched);
		if (vm->monitor->simulation)
			simulation_add(vm->monitor->simulation, &v[i]);
	}
	for (unsigned i = 0; i < n && !err; i++)
		err = vcpu_open(&v[i]);
	if (err) {
		vcpus_free(v, n);
		return err;
	}
	*out = v;
	return 0;
}

void vcpus_free(struct vcpu *v, unsigned n)
{
	for (unsigned i = 0; v && i < n; i++) {
		sched_vcpu_destroy(&v[i]);
		tracer_fini(&v[i].tracer);
		simulation_remove(&v[i]);
		jit_free(v[i].jit);
		interp_cache_free(v[i].interp);
		frontend_free(v[i].frontend);
		l2tlb_free(v[i].l2tlb);
		mem_free(&v[i]);
		arena_free(&v[i].arena);
		free(v[i].abs_code);
		free(v[i].abs_fetch);
	}
	free(v);
}

uint64_t vcpu_tables_bytes(const struct vcpu *v)
{
	return l2tlb_takes(v->l2tlb) + resident_bytes(v->abs_code, ABS_CODE_ENTRIES * sizeof(*v->abs_code));
}

/* MIPS32 PRA volume III, "Reset exception"; what the manual leaves undefined is 0 here. */
void vcpu_reset(struct vcpu *v)
{
	struct guest_state *gs = &v->gs;

	for (unsigned i = 0; i < NUM_REGS; i++)
		gs->reg[i] = 0;
	for (unsigned i = 0; i < cp0_num_regs; i++)
		gs->cp0[CP0_INDEX(cp0_regs[i].reg, cp0_regs[i].sel)] = cp0_regs[i].reset;
	gs->cp0[CP0_PRId] = v->model->prid;
	gs->cp0[CP0_Config] = v->model->config | (v->vm->cfg.big_endian ? C0_BE : 0);
	gs->cp0[CP0_Config1] = v->model->config1;
	gs->cp0[CP0_Config2] = v->model->config2;
	gs->cp0[CP0_Config3] = v->model->config3;
	gs->cp0[CP0_EBase] |= v->number;
	guest_tlb_reset(&v->tlb, v->model->tlb_entries);
	l2tlb_reset(v->l2tlb);
	v->random = v->tlb.n - 1;
	v->random_state = 0x2545f491u;
	v->count_base = 0;
	v->idle = v->power == VCPU_OFF;
	v->step = false;
	gs->fcr31 = 0;
	gs->fcr0 = v->model->fir;
	gs->llbit = 0;
	gs->pc = 0xbfc00000u;
	cp0_timer_reset(v);
	vcpu_update_mode(v);
}

void vcpu_update_mode(struct vcpu *v)
{
	struct guest_state *gs = &v->gs;
	uint32_t st = (uint32_t)gs->cp0[CP0_Status], mode, ksu = (st & ST_KSU) >> ST_KSU_SHIFT;
	bool be = gs->cp0[CP0_Config] & C0_BE;

	if (st & (ST_EXL | ST_ERL))
		ksu = MODE_KERNEL;
	mode = ksu > MODE_USER ? MODE_USER : ksu; /* 3 is reserved */
	mode |= ksu == MODE_USER && st & ST_RE ? MODE_RE : 0;
	mode |= (st & ST_FR ? MODE_FR : 0) | (st & ST_CU1 ? MODE_CU1 : 0) | (st & ST_CU0 ? MODE_CU0 : 0);
	mode |= (be ? MODE_BE : 0) | (st & ST_ERL ? MODE_ERL : 0);
	mode |= fpu_fcsr_mode(gs->fcr31);
	mode |= mem_unmapped(v, gva(gs->pc)) ? MODE_ABS : 0;
	mode |= v->vm->mp ? MODE_MP : 0;
	gs->mode = mode;
	gs->pc_page = gs->pc & ~PAGE_MASK;
	gs->l2tlb = l2tlb_select(v->l2tlb, (uint8_t)gs->cp0[CP0_EntryHi], ksu != MODE_KERNEL);
}

void vcpu_change_cause(struct vcpu *v, uint32_t clear, uint32_t set)
{
	uint64_t *cause = &v->gs.cp0[CP0_Cause], old = *cause;

	if (!vm_has_siblings(v->vm)) {
		*cause = (old & ~(uint64_t)clear) | set;
		return;
	}
	old = __atomic_load_n(cause, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(cause, &old, (old & ~(uint64_t)clear) | set, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

void vcpu_set_irq(void *vcpu, unsigned pin, bool level)
{
	struct vcpu *v = vcpu;
	uint32_t bit = 1u << (8 + pin);

	ASSERT(vm_owned(v->vm));
	if (!(vcpu_cause(v) & bit) == level) /* it changes */
		TRACE(&v->vm->tracer, IRQ, pin, level);
	vcpu_change_cause(v, bit, level ? bit : 0);
	if (!level)
		return;
	if (vm_has_siblings(v->vm)) /* this may be another one's thread, and its own asleep */
		sched_kick(v);
	else if (v->gs.cp0[CP0_Status] & bit)
		__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
}

/*
 * Where other machines are likely to have the same code beside other data: pages of the kernel, and of its modules.  A page of several
 * machines cannot change its record.
 */
static uint64_t code_place(const struct vcpu *v, const struct machine_page *page, struct gva pc)
{
	bool none = segment_is_user(pc.v) || v->vm->n_vcpus > 1 || !v->vm->cfg.tier1 || page_has(page, PAGE_SHARED);

	return none ? 0 : pc.v & ~PAGE_MASK;
}

struct code_page *vcpu_code_page(struct vcpu *v, struct machine_page *page, struct gva pc)
{
	struct code_page *cp = __atomic_load_n(&page->code, __ATOMIC_ACQUIRE);

	if (cp)
		return cp;
	mem_protect_code(v, page); /* before it is looked at */
	return jit_code_page(v->jit, &page->code, page->host, code_place(v, page, pc),
			     page->code_writes && jit_wants_exact(v->jit, page->code_writes));
}

/* What leads to the record that a page had. */
static void forget_record(struct vcpu *v, struct guest_page *g, struct gpa pa)
{
	l2tlb_drop_code(v->l2tlb, g);
	v->abs_code[ABS_CODE_INDEX(pa.v)] = 0;
}

void vcpu_move_code(struct vcpu *v, struct machine_page *page, struct gva pc, const struct ir_block *b)
{
	jit_move_page(v->jit, &page->code, page->host, code_place(v, page, pc), b);
	forget_record(v, machine_page_row(page), vm_ram_physical(gpa(page->user.gpn << PAGE_SHIFT)));
}

void vcpu_code_stays(struct vcpu *v, struct guest_page *g, struct gpa pa)
{
	if (!v->jit || !g->page->code || !jit_page_stays(v->jit, &g->page->code))
		return;
	for (unsigned i = 0; i < v->vm->n_vcpus; i++)
		forget_record(&v->vm->vcpu[i], g, pa);
}

static bool lifted_dropped(struct vm *vm, struct machine_page *page, uint32_t off, uint32_t bytes)
{
	bool hit = false;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		hit |= interp_cache_invalidate(vm->vcpu[i].interp, page, off, bytes);
	return hit;
}

static bool has_lifted(const struct vm *vm, const struct machine_page *page)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (interp_cache_has(vm->vcpu[i].interp, page, 0, PAGE_BYTES))
			return true;
	return false;
}

/* A store took the page off its record, or translations off that: what leads a vCPU there goes. */
static void forget_written(struct vcpu *v, const struct vcpu *writer, struct machine_page *page, struct gpa pa,
			   bool hit)
{
	if (!page->code) {
		forget_record(v, machine_page_row(page), pa);
	} else if (hit && v != writer) {
		jit_break(v->jit); /* jit_written() has looked after the writer's caches only */
	}
}

bool vcpu_written(struct vcpu *v, struct machine_page *page, struct gpa pa, uint32_t off, uint32_t bytes)
{
	bool hit = lifted_dropped(v->vm, page, off, bytes), dropped;

	ASSERT(siblings_are_stopped(v->vm));
	if (v->jit && page->code) {
		dropped = jit_written(v->jit, &page->code, &page->code_writes, off, bytes);
		hit |= dropped;
		for (unsigned i = 0; i < v->vm->n_vcpus; i++)
			forget_written(&v->vm->vcpu[i], v, page, pa, dropped);
	}
	TRACE(&v->tracer, SMC, pa.v, bytes, hit, v->gs.pc);
	if (!page->code && !has_lifted(v->vm, page))
		page_clear(page, PAGE_CODE);
	return hit;
}

void vcpu_forget_page(struct vcpu *v, struct machine_page *page, struct gpa pa)
{
	interp_cache_invalidate(v->interp, page, 0, PAGE_BYTES);
	if (v->abs_code[ABS_CODE_INDEX(pa.v)]) /* else the host would need a page for the zeroes */
		v->abs_code[ABS_CODE_INDEX(pa.v)] = 0;
	/* The page may come back to this address, and an SC would not hear of what was stored to it elsewhere (atomic.c). */
	if (!v->vm->cfg.icount && (uintptr_t)v->ll_host - (uintptr_t)page->host < PAGE_BYTES)
		v->gs.llbit = 0;
}

bool vcpu_runs_page(const struct vcpu *v, struct gpa pa) { return v->abs_code[ABS_CODE_INDEX(pa.v)] != 0; }

bool vcpu_invalidate_code(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes)
{
	bool hit = interp_cache_invalidate(v->interp, page, off, bytes);

	if (page->code)
		hit |= jit_invalidate(v->jit, page->code, off, bytes);
	return hit;
}

bool vcpu_code_at(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes)
{
	for (unsigned i = 0; i < v->vm->n_vcpus; i++)
		if (interp_cache_has(v->vm->vcpu[i].interp, page, off, bytes))
			return true;
	return v->jit && jit_is_code(v->jit, &page->code, off, bytes);
}

bool vcpu_others_add_code(struct vcpu *v, struct machine_page *page)
{
	return v->jit && jit_others_add(v->jit, &page->code);
}
