/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/segments.h"
#include "frontend/cp0.h"
#include "frontend/insn.h"
#include "vmm/cpu/debug.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/mem_trace.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/simulation.h"
#include "vmm/monitor/vm.h"

/*
 * The second walk below the inlined probe: guest virtual -> physical (segments, TLB) -> machine page -> refill; or a
 * device.  Source: MIPS32 PRA volume III, chapter 4 "Virtual memory".
 */

/* Physical addresses from here on are not the GT-64120's: where there is no memory either, the access ends in a bus error. */
#define BUS_ERROR_BASE 0x20000000u

/* MIPS32 volume I, table "MIPS32 encoding of the opcode field". */
enum {
	OP_LB = 0x20,
	OP_LH = 0x21,
	OP_LWL = 0x22,
	OP_LBU = 0x24,
	OP_LHU = 0x25,
	OP_LWR = 0x26,
	OP_SB = 0x28,
	OP_SH = 0x29,
	OP_SWL = 0x2a,
	OP_SWR = 0x2e
};

bool mem_unmapped(const struct vcpu *v, struct gva va)
{
	uint32_t a = (uint32_t)va.v;

	return segment_is_unmapped(a) || (segment_is_user(a) && v->gs.cp0[CP0_Status] & ST_ERL);
}

static bool segment_allowed(const struct vcpu *v, uint32_t va)
{
	switch (v->gs.mode & MODE_KSU) {
	case MODE_KERNEL:
		return true;
	case MODE_SUPERVISOR:
		return segment_is_user(va) || (va >= KSEG2 && va < KSEG3);
	default:
		return segment_is_user(va);
	}
}

/* A debugger wants to see the access before it is made. */
static bool is_watched(struct vcpu *v, struct gva va, uint32_t meta, bool write)
{
	return __builtin_expect(v->vm->debug != NULL, 0) && debug_watches(v, va, META_SIZE(meta), write);
}

/* Segments first, then the TLB. dirty: the page may be written. */
static enum tlb_result translate_va(struct vcpu *v, struct gva va, enum tlb_access acc, struct gpa *pa, bool *dirty)
{
	if (!segment_allowed(v, (uint32_t)va.v))
		return GUEST_ADDRESS_ERROR;
	if (mem_unmapped(v, va)) {
		*dirty = true;
		pa->v = segment_is_user(va.v) ? va.v : va.v & UNMAPPED_MASK;
		return GUEST_OK;
	}
	return l2tlb_translate(v->l2tlb, va, (uint8_t)v->gs.cp0[CP0_EntryHi], acc, pa, dirty);
}

uint64_t mem_physical(struct vcpu *v, struct gva va)
{
	struct gpa pa;
	bool dirty;

	return translate_va(v, va, TLB_READ, &pa, &dirty) == GUEST_OK ? pa.v : 0;
}

/* The guest page of an address in RAM.  NULL: not RAM, or machine memory is exhausted (the VM then ends). */
static struct guest_page *ram_page(struct vcpu *v, struct gpa pa, enum pmap_access access)
{
	struct guest_page *g;
	struct gpa ram;
	int err = 0;

	if (!vm_ram(v->vm, pa, &ram))
		return NULL;
	if (v->caches.flash && access == PMAP_WRITE)
		simulation_collapse(v, ram);
	vm_memory_lock(v->vm);
	g = pmap_get(v->vm->ram, ram, v->caches.flash ? simulation_place(v, ram) : v->node, access, &err);
	vm_memory_unlock(v->vm);
	if (!g && err)
		vm_end(v->vm, VM_NO_MEMORY);
	return g;
}

static void fill(struct vcpu *v, struct gva va, struct guest_page *g, bool read, bool write, uint32_t code_id)
{
	if (__builtin_expect(v->vm->debug != NULL, 0))
		debug_limit(v, va, &read, &write, &code_id);
	mem_trace_fill(v, va, g, write);
	vm_memory_lock(v->vm);
	l2tlb_fill(v->l2tlb, va, g, read, write, code_id);
	vm_memory_unlock(v->vm);
}

/*
 * Siblings (siblings.h).  True: before this access another machine page takes the place of what they have too, or there are
 * translations to be dropped.
 */
static bool takes_away(struct vcpu *v, struct gpa pa, enum pmap_access access)
{
	const struct machine_page *page;
	struct gpa ram;

	if (!vm_has_siblings(v->vm) || !vm_ram(v->vm, pa, &ram))
		return false;
	vm_memory_lock(v->vm);
	page = pmap_row_on(v->vm->ram, ram, v->node)->page;
	vm_memory_unlock(v->vm);
	if (access == PMAP_EXEC) /* it gets a record, and loses its write tags */
		return !page || page_has(page, PAGE_ZERO) || !page_has(page, PAGE_CODE);
	return page && access == PMAP_WRITE && page_has(page, PAGE_SHARED | PAGE_CODE | PAGE_REPLICA);
}

/* Whole, since others may access it at the same time; aligned. */
static uint64_t load_host(const uint8_t *p, uint32_t meta)
{
	switch (META_SIZE(meta)) {
	case 1:
		return __atomic_load_n(p, __ATOMIC_RELAXED);
	case 2: {
		uint16_t x = __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED);

		return meta & MEM_BE ? __builtin_bswap16(x) : x;
	}
	case 4: {
		uint32_t x = __atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED);

		return meta & MEM_BE ? __builtin_bswap32(x) : x;
	}
	default: {
		uint64_t x = __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED);

		return meta & MEM_BE ? __builtin_bswap64(x) : x;
	}
	}
}

/* The instruction accesses another place of the word than its address: lift_mem.c. */
static bool accesses_elsewhere(const struct vcpu *v, uint32_t opcode)
{
	switch (opcode) {
	case OP_LWL:
	case OP_LWR:
	case OP_SWL:
	case OP_SWR:
		return true;
	case OP_LB:
	case OP_LBU:
	case OP_LH:
	case OP_LHU:
	case OP_SB:
	case OP_SH:
		return v->gs.mode & MODE_RE;
	default:
		return false;
	}
}

/*
 * LWL, LWR, SWL and SWR are lifted as accesses of the whole word, and under Status.RE bytes and halfwords are elsewhere in
 * theirs, but BadVAddr is the address that they name (volume II, "LWL"; tests/guest/exceptions.c).  Their operands are as
 * before the instruction, which has not completed.
 */
static struct gva fault_address(struct vcpu *v, enum tlb_access acc, struct gva va)
{
	struct guest_page *g;
	struct gpa pa;
	uint32_t word, own;
	bool dirty;

	if (acc == TLB_EXEC || (va.v & 3 && !(v->gs.mode & MODE_RE)))
		return va;
	if (translate_va(v, gva(v->gs.pc), TLB_EXEC, &pa, &dirty) != GUEST_OK)
		return va;
	g = ram_page(v, pa, PMAP_READ);
	if (!g)
		return va;
	word = (uint32_t)load_host(g->page->host + (pa.v & PAGE_MASK & ~3ull),
				   MEM_META(2, v->gs.mode & MODE_BE ? MEM_BE : 0));
	if (!accesses_elsewhere(v, insn_opcode(word)))
		return va;
	own = (uint32_t)v->gs.reg[insn_rs(word)] + (uint32_t)insn_simm(word);
	return (own & ~3u) == ((uint32_t)va.v & ~3u) ? gva(own) : va;
}

static void raise_fault(struct vcpu *v, enum tlb_result why, enum tlb_access acc, struct gva at)
{
	uint32_t tlb = acc == TLB_WRITE ? EXC_TLBS : EXC_TLBL;
	bool iec = v->gs.cp0[CP0_PageGrain] & PG_IEC;
	struct gva va = fault_address(v, acc, at);

	mem_trace_miss(v, why, acc, va);
	switch (why) {
	case GUEST_ADDRESS_ERROR:
		exception_raise_address(v, acc == TLB_WRITE ? EXC_ADES : EXC_ADEL, va, false);
		return;
	case GUEST_TLB_REFILL:
		l2tlb_stats_mut(v->l2tlb)->refills_guest++;
		/* the guest now knows that nothing answers here (tlb/README.md, rule 4) */
		l2tlb_on_probe_miss(v->l2tlb, va, (uint8_t)v->gs.cp0[CP0_EntryHi]);
		exception_raise_address(v, tlb, va, true);
		return;
	case GUEST_TLB_MODIFIED:
		exception_raise_address(v, EXC_MOD, va, false);
		return;
	case GUEST_TLB_RI:
		exception_raise_address(v, iec ? EXC_TLBRI : EXC_TLBL, va, false);
		return;
	case GUEST_TLB_XI:
		exception_raise_address(v, iec ? EXC_TLBXI : EXC_TLBL, va, false);
		return;
	default:
		exception_raise_address(v, tlb, va, false);
		return;
	}
}

static void store_host(uint8_t *p, uint64_t x, uint32_t meta)
{
	bool be = meta & MEM_BE;

	switch (META_SIZE(meta)) {
	case 1:
		__atomic_store_n(p, (uint8_t)x, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((uint16_t *)(void *)p, be ? __builtin_bswap16((uint16_t)x) : (uint16_t)x,
				 __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((uint32_t *)(void *)p, be ? __builtin_bswap32((uint32_t)x) : (uint32_t)x,
				 __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((uint64_t *)(void *)p, be ? __builtin_bswap64(x) : x, __ATOMIC_RELAXED);
		break;
	}
}

static uint64_t extend(uint64_t x, uint32_t meta)
{
	if (!(meta & MEM_SIGN))
		return x;
	return META_SIZE(meta) == 1 ? (uint32_t)(int8_t)x : META_SIZE(meta) == 2 ? (uint32_t)(int16_t)x : (uint32_t)x;
}

static uint8_t *look(struct guest_state *gs, uint64_t va, uint32_t size, bool write)
{
	struct l2tlb_entry *e = &gs->l2tlb->entry[(va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];
	uint64_t tag = write ? e->write_tag : e->read_tag;

	return (va & (~PAGE_MASK | (size - 1))) == tag ? (uint8_t *)(intptr_t)((int64_t)va + e->addend) : NULL;
}

/* The probe that translated code does inline, for callers that did not (interpreter), and a look at its entry's other place. NULL: miss. */
static uint8_t *probe(struct guest_state *gs, uint64_t va, uint32_t size, bool write)
{
	uint8_t *host = look(gs, va, size, write);

	if (!host && l2tlb_bring_back(vcpu_of(gs)->l2tlb, gva(va)))
		host = look(gs, va, size, write);
	return host;
}

/* True: the access to these bytes is not to be made now (--numa flash). */
static bool leaves(struct vcpu *v, enum flash_access kind, const uint8_t *host)
{
	return v->caches.flash && caches_access(v, kind, host);
}

void mem_step_alone(struct vcpu *v)
{
	struct guest_state *gs = &v->gs;

	if (gs->site & SITE_BD) {
		gs->pc = (uint32_t)(gs->pc - 4);
		gs->site = SITE(false, SITE_LEFT(gs->site) + 1);
	}
	exception_refund(v);
	gs->leave = EXIT_SIDE;
	v->step = true;
}

/*
 * --icount: a device may move time, its next deadline or an interrupt line, and all tiers must meet them at the same
 * instruction, wherever their blocks begin and end.  Siblings: the device may want them parked.  True: the access is not to be
 * made now.
 */
static bool device_wants_step(struct vcpu *v)
{
	if ((!v->vm->cfg.icount && !vm_has_siblings(v->vm)) || v->step)
		return false;
	mem_step_alone(v);
	return true;
}

/* An 8-byte device access is two of 4, in the order of the guest's addresses. */
static uint64_t board_load(struct board *b, struct gpa pa, uint32_t meta, bool *claimed)
{
	uint64_t first, second;
	bool c2;

	if (META_SIZE(meta) < 8)
		return board_read(b, pa, META_SIZE(meta), claimed);
	first = board_read(b, pa, 4, claimed);
	second = board_read(b, gpa(pa.v + 4), 4, &c2);
	*claimed |= c2;
	return meta & MEM_BE ? first << 32 | second : second << 32 | first;
}

static void board_store(struct board *b, struct gpa pa, uint64_t x, uint32_t meta, bool *claimed)
{
	bool c2;

	if (META_SIZE(meta) < 8) {
		board_write(b, pa, x, META_SIZE(meta), claimed);
		return;
	}
	board_write(b, pa, meta & MEM_BE ? x >> 32 : x & 0xffffffffu, 4, claimed);
	board_write(b, gpa(pa.v + 4), meta & MEM_BE ? x & 0xffffffffu : x >> 32, 4, &c2);
	*claimed |= c2;
}

/* The board may wait for a slow descriptor of the host's: that is not translated code which goes round. */
static uint64_t device_read(struct vcpu *v, struct gpa pa, uint32_t meta, bool *claimed)
{
	enum watchdog_where was = watchdog_enter(&v->watchdog, WATCHDOG_DEVICE);
	uint64_t x;

	siblings_leave(v);
	vm_lock(v->vm);
	x = board_load(v->vm->board, pa, meta, claimed);
	vm_unlock(v->vm);
	siblings_enter(v);
	v->stats.mmio_reads++;
	TRACE(&v->tracer, DEVICE_READ, pa.v, META_SIZE(meta), x, v->gs.pc);
	watchdog_enter(&v->watchdog, was);
	return x;
}

static void device_write(struct vcpu *v, struct gpa pa, uint64_t x, uint32_t meta, bool *claimed)
{
	enum watchdog_where was = watchdog_enter(&v->watchdog, WATCHDOG_DEVICE);

	siblings_leave(v);
	vm_lock(v->vm);
	board_store(v->vm->board, pa, x, meta, claimed);
	vm_unlock(v->vm);
	siblings_enter(v);
	v->stats.mmio_writes++;
	TRACE(&v->tracer, DEVICE_WRITE, pa.v, META_SIZE(meta), x, v->gs.pc);
	watchdog_enter(&v->watchdog, was);
}

HELPER_FN(mem_load)
{
	struct vcpu *v = vcpu_of(gs);
	uint32_t meta = (uint32_t)b;
	enum tlb_access acc = meta & MEM_INTENT ? TLB_WRITE : TLB_READ;
	struct gva va = gva((uint32_t)a);
	uint8_t *host = probe(gs, va.v, META_SIZE(meta), acc == TLB_WRITE);
	struct guest_page *g;
	enum tlb_result r;
	struct gpa pa;
	uint64_t x;
	bool dirty, claimed = true;

	if (host)
		return leaves(v, FLASH_READ, host) ? 0 : extend(load_host(host, meta), meta);
	v->stats.slow_loads++;
	r = va.v & (META_SIZE(meta) - 1) ? GUEST_ADDRESS_ERROR : translate_va(v, va, acc, &pa, &dirty);
	if (r != GUEST_OK) {
		raise_fault(v, r, acc, va);
		return 0;
	}
	if (is_watched(v, va, meta, acc == TLB_WRITE))
		return 0;
	g = ram_page(v, pa, PMAP_READ); /* also of an LL that means to write: the SC may be a store to code */
	if (g) {
		fill(v, va, g, acc == TLB_READ, dirty && guest_page_writable(g), 0);
		host = g->page->host + (pa.v & PAGE_MASK);
		return leaves(v, FLASH_READ, host) ? 0 : extend(load_host(host, meta), meta);
	}
	if (device_wants_step(v))
		return 0;
	x = device_read(v, pa, meta, &claimed);
	if (!claimed && pa.v >= BUS_ERROR_BASE) {
		exception_raise(v, EXC_DBE);
		return 0;
	}
	return extend(x, meta);
}

/* A store reached a page that code runs from. True if that must be left. */
static bool store_hits_code(struct vcpu *v, struct machine_page *page, struct gpa pa, uint32_t size)
{
	return vcpu_written(v, page, pa, (uint32_t)(pa.v & PAGE_MASK), size);
}

static struct machine_page *code_page_at(struct vcpu *v, struct gpa pa)
{
	struct machine_page *page;
	struct gpa ram;

	if (!vm_ram(v->vm, pa, &ram))
		return NULL;
	vm_memory_lock(v->vm);
	page = pmap_row_on(v->vm->ram, ram, v->node)->page;
	vm_memory_unlock(v->vm);
	return page && page_has(page, PAGE_CODE) ? page : NULL;
}

/* May another machine make code of it before the store is done? */
static bool ram_may_get_code(struct vcpu *v, struct gpa pa)
{
	struct machine_page *page = code_page_at(v, pa);

	return page && vcpu_others_add_code(v, page);
}

/*
 * Must code that is running be left after a store to this address of RAM?  A store to a shared page takes the guest's page off
 * the record of it, to which others may add what is not so here.  Nothing changes.
 */
static bool ram_has_code(struct vcpu *v, struct gpa pa, uint32_t size)
{
	struct machine_page *page = code_page_at(v, pa);

	return page && (page_has(page, PAGE_SHARED) || vcpu_code_at(v, page, (uint32_t)(pa.v & PAGE_MASK), size));
}

/* Leave after this instruction: what the rest of the block was made from may be gone. A slot ends its block anyway. */
static void leave_after(struct guest_state *gs)
{
	if (gs->site & SITE_BD)
		return;
	gs->pc = (uint32_t)(gs->pc + 4);
	if (vcpu_of(gs)->vm->cfg.icount)
		gs->icount_left += SITE_LEFT(gs->site) - 1;
	vcpu_of(gs)->insns_refunded += SITE_LEFT(gs->site) - 1;
	gs->site = 0;
	gs->leave = EXIT_SMC;
}

/*
 * A store to RAM that the inlined probe did not do.  True if it was to translated code.  Of a page that is shared the
 * translations stay with the others, but those that this vCPU is in are no longer of its page: had_code.
 */
static bool store_ram(struct vcpu *v, struct gva va, struct guest_page *g, struct gpa pa, uint64_t x, uint32_t meta,
		      bool had_code)
{
	struct gpa unused;
	bool readable, dirty, hit = had_code;

	store_host(g->page->host + (pa.v & PAGE_MASK), x, meta);
	if (page_has(g->page, PAGE_CODE))
		hit |= store_hits_code(v, g->page, pa, META_SIZE(meta));
	v->stats.smc_stores += hit;
	if (guest_page_writable(g)) {
		readable = translate_va(v, va, TLB_READ, &unused, &dirty) == GUEST_OK;
		fill(v, va, g, readable, true, 0);
	}
	return hit;
}

/*
 * SC still has to write its register: it cannot leave behind the store, so nothing may come behind it.  From a delay slot the
 * block goes on to where it jumps, which in its page is not checked, and the page may have left its record by then.
 */
static bool must_be_alone(const struct vcpu *v, uint32_t meta)
{
	return (meta & MEM_MORE || (v->gs.site & SITE_BD && v->jit)) && !v->step;
}

/* pa is RAM, or a device. */
static void store(struct vcpu *v, struct gva va, struct gpa pa, uint64_t x, uint32_t meta)
{
	bool code = ram_has_code(v, pa, META_SIZE(meta)), claimed = true;
	struct guest_page *g;

	if (must_be_alone(v, meta) && (code || ram_may_get_code(v, pa))) {
		mem_step_alone(v);
		return;
	}
	g = ram_page(v, pa, PMAP_WRITE);
	if (g) {
		if (leaves(v, FLASH_WRITE, g->page->host + (pa.v & PAGE_MASK)))
			return;
		if (store_ram(v, va, g, pa, x, meta, code) && !(meta & MEM_MORE))
			leave_after(&v->gs);
		return;
	}
	if (device_wants_step(v))
		return;
	device_write(v, pa, x, meta, &claimed);
	if (!claimed && pa.v >= BUS_ERROR_BASE)
		exception_raise(v, EXC_DBE);
}

/* Siblings are parked for it, and nobody is while translated code is on the stack. */
static void store_parked(struct vcpu *v, struct gva va, struct gpa pa, uint64_t x, uint32_t meta)
{
	if (!v->step) {
		mem_step_alone(v);
		return;
	}
	siblings_stop_from(v);
	store(v, va, pa, x, meta);
	siblings_go_from(v);
}

HELPER_FN(mem_store)
{
	struct vcpu *v = vcpu_of(gs);
	uint32_t meta = (uint32_t)c;
	struct gva va = gva((uint32_t)a);
	uint8_t *host = probe(gs, va.v, META_SIZE(meta), true);
	enum tlb_result r;
	struct gpa pa;
	bool dirty;

	if (host) {
		if (!leaves(v, FLASH_WRITE, host))
			store_host(host, b, meta);
		return 0;
	}
	v->stats.slow_stores++;
	r = va.v & (META_SIZE(meta) - 1) ? GUEST_ADDRESS_ERROR : translate_va(v, va, TLB_WRITE, &pa, &dirty);
	if (r != GUEST_OK)
		raise_fault(v, r, TLB_WRITE, va);
	else if (is_watched(v, va, meta, true))
		return 0;
	else if (takes_away(v, pa, PMAP_WRITE))
		store_parked(v, va, pa, b, meta);
	else
		store(v, va, pa, b, meta);
	return 0;
}

/* ---- words of LL and SC ---- */

const uint8_t *mem_linked_word(struct vcpu *v, struct gva va, uint32_t meta)
{
	uint8_t *host = probe(&v->gs, va.v, META_SIZE(meta), false);
	struct guest_page *g;
	enum tlb_result r;
	struct gpa pa;
	bool dirty;

	if (host)
		return leaves(v, FLASH_READ, host) ? NULL : host;
	v->stats.slow_loads++;
	r = va.v & (META_SIZE(meta) - 1) ? GUEST_ADDRESS_ERROR : translate_va(v, va, TLB_READ, &pa, &dirty);
	if (r != GUEST_OK) {
		raise_fault(v, r, TLB_READ, va);
		return NULL;
	}
	if (is_watched(v, va, meta, false))
		return NULL;
	g = ram_page(v, pa, PMAP_READ);
	if (!g)
		return NULL;
	fill(v, va, g, true, dirty && guest_page_writable(g), 0);
	host = g->page->host + (pa.v & PAGE_MASK);
	return leaves(v, FLASH_READ, host) ? NULL : host;
}

/* As a store of what is there, whether it will be one or not. */
static uint8_t *word_for(struct vcpu *v, struct gva va, struct gpa pa, uint32_t meta)
{
	struct guest_page *g = ram_page(v, pa, PMAP_WRITE);

	if (!g)
		return NULL;
	if (guest_page_writable(g)) {
		struct gpa unused;
		bool dirty, readable = translate_va(v, va, TLB_READ, &unused, &dirty) == GUEST_OK;

		fill(v, va, g, readable, true, 0);
	} else {
		v->stats.smc_stores += store_hits_code(v, g->page, pa, META_SIZE(meta));
	}
	return g->page->host + (pa.v & PAGE_MASK);
}

bool mem_conditional_word(struct vcpu *v, struct gva va, uint32_t meta, bool (*try)(struct vcpu *v, uint8_t *host))
{
	uint8_t *host = probe(&v->gs, va.v, META_SIZE(meta), true);
	enum tlb_result r;
	struct gpa pa;
	bool dirty, parked, done;

	if (host)
		return !leaves(v, FLASH_WRITE, host) && try(v, host);
	v->stats.slow_stores++;
	r = va.v & (META_SIZE(meta) - 1) ? GUEST_ADDRESS_ERROR : translate_va(v, va, TLB_WRITE, &pa, &dirty);
	if (r != GUEST_OK) {
		raise_fault(v, r, TLB_WRITE, va);
		return false;
	}
	if (is_watched(v, va, meta, true))
		return false;
	parked = takes_away(v, pa, PMAP_WRITE);
	/* SC still has to write its register, so nothing may come behind it if there was code: must_be_alone() */
	if (!v->step && (parked || ram_has_code(v, pa, META_SIZE(meta)) || ram_may_get_code(v, pa))) {
		mem_step_alone(v);
		return false;
	}
	if (parked)
		siblings_stop_from(v);
	host = word_for(v, va, pa, meta);
	done = host && !leaves(v, FLASH_WRITE, host) && try(v, host);
	if (parked)
		siblings_go_from(v);
	return done;
}

/* Caches are coherent here; what remains of CACHE is its address translation (hit operations, PRA volume II, CACHE). */
HELPER_FN(mem_cache)
{
	struct vcpu *v = vcpu_of(gs);
	struct gva va = gva((uint32_t)a);
	enum tlb_result r;
	struct gpa pa;
	bool dirty;

	if ((b >> 2 & 7) < 4) /* index operations use the address as an index only */
		return 0;
	r = translate_va(v, va, TLB_READ, &pa, &dirty);
	if (r == GUEST_TLB_REFILL || r == GUEST_TLB_INVALID || r == GUEST_ADDRESS_ERROR)
		raise_fault(v, r, TLB_READ, va);
	return 0;
}

/* Recently executed pages by host address: what the exec tag of an L2TLB entry leads to. */
#define PAGE_CACHE_ENTRIES 1024
struct page_cache_entry {
	const uint8_t *host;
	struct machine_page *page;
};

int mem_new(struct vcpu *v)
{
	v->page_cache = calloc(PAGE_CACHE_ENTRIES, sizeof(*v->page_cache));
	return v->page_cache ? 0 : -ENOMEM;
}

void mem_free(struct vcpu *v) { free(v->page_cache); }

static struct page_cache_entry *page_cache_slot(struct vcpu *v, const uint8_t *host)
{
	return &v->page_cache[((uintptr_t)host >> PAGE_SHIFT) % PAGE_CACHE_ENTRIES];
}

/* The page that the L2TLB says pc is in, or NULL: ask the slow way. */
static struct machine_page *fetch_fast(struct vcpu *v, struct gva pc)
{
	const struct l2tlb_entry *e = &v->gs.l2tlb->entry[(pc.v >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];
	uint32_t tag = (uint32_t)(pc.v & (~PAGE_MASK | 3));
	const struct page_cache_entry *slot;
	const uint8_t *host;

	if (tag != (uint32_t)e->exec && (!l2tlb_bring_back(v->l2tlb, pc) || tag != (uint32_t)e->exec))
		return NULL;
	host = (const uint8_t *)(intptr_t)((int64_t)(pc.v & ~PAGE_MASK) + e->addend);
	slot = page_cache_slot(v, host);
	if (slot->host != host)
		return NULL;
	/* siblings: whoever takes the flag away leaves the interpreter's exec tags */
	return vm_has_siblings(v->vm) && !page_has(slot->page, PAGE_CODE) ? NULL : slot->page;
}

bool mem_fetch_needs_parking(struct vcpu *v, struct gva pc)
{
	return vm_has_siblings(v->vm) && !v->step && !fetch_fast(v, pc);
}

/* What translated code compares. The interpreter's blocks are known by their machine page, and nothing compares. */
static uint32_t code_id(struct vcpu *v, struct machine_page *page, struct gva pc)
{
	return v->jit ? jit_code_id(vcpu_code_page(v, page, pc)) : 1;
}

/* A page that has no record yet gets PAGE_CODE here, where all that may write to it are parked. */
static void protect_parked(struct vcpu *v, struct gpa pa)
{
	struct guest_page *g;

	siblings_stop_from(v);
	g = ram_page(v, pa, PMAP_EXEC);
	if (g)
		mem_protect_code(v, g->page);
	siblings_go_from(v);
}

/* *why: the exception that a NULL stands for; GUEST_OK is a bus error. */
static struct machine_page *fetch_slow(struct vcpu *v, struct gva pc, enum tlb_result *why)
{
	struct guest_page *g;
	struct gpa pa;
	bool dirty;

	*why = pc.v & 3 ? GUEST_ADDRESS_ERROR : translate_va(v, pc, TLB_EXEC, &pa, &dirty);
	while (*why == GUEST_OK && takes_away(v, pa, PMAP_EXEC) &&
	       __atomic_load_n(&v->vm->end, __ATOMIC_ACQUIRE) == VM_RUNS)
		protect_parked(v, pa);
	if (*why == GUEST_OK && takes_away(v, pa, PMAP_EXEC))
		return NULL; /* the machine has ended, and nobody is parked */
	g = *why == GUEST_OK ? ram_page(v, pa, PMAP_EXEC) : NULL;
	if (g && mem_unmapped(v, pc)) {
		v->abs_code[ABS_CODE_INDEX(pc.v)] = v->vm->debug && debug_denies(v, pc) ? 0 : code_id(v, g->page, pc);
		if (v->caches.flash)
			caches_abs_page(v, pc.v, g->page);
	} else if (g) {
		fill(v, gva(pc.v & ~PAGE_MASK), g, false, false, code_id(v, g->page, pc));
		*page_cache_slot(v, g->page->host) = (struct page_cache_entry){g->page->host, g->page};
	}
	return g ? g->page : NULL;
}

struct machine_page *mem_fetch(struct vcpu *v, struct gva pc)
{
	struct machine_page *page = fetch_fast(v, pc);
	enum tlb_result why;

	if (!page)
		page = fetch_slow(v, pc, &why);
	if (page)
		return page;
	if (why == GUEST_OK)
		exception_raise(v, EXC_IBE); /* devices and the empty boot flash hold no code */
	else
		raise_fault(v, why, TLB_EXEC, pc);
	return NULL;
}

struct machine_page *mem_fetch_try(struct vcpu *v, struct gva pc)
{
	struct machine_page *page = fetch_fast(v, pc);
	enum tlb_result why;

	return page ? page : fetch_slow(v, pc, &why);
}

void mem_protect_code(struct vcpu *v, struct machine_page *page)
{
	if (page_has(page, PAGE_CODE))
		return;
	ASSERT(siblings_are_stopped(v->vm));
	page_set(page, PAGE_CODE);
	if (page_has(page, PAGE_SHARED)) /* which has no write tags */
		return;
	for (unsigned i = 0; i < v->vm->n_vcpus; i++)
		l2tlb_drop_writes(v->vm->vcpu[i].l2tlb, machine_page_row(page));
}
