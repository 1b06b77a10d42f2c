/* SPDX-License-Identifier: MIT */
#ifndef VMM_VM_H
#define VMM_VM_H

/* One virtual machine: memory, board, clock, and (for now) one vCPU. */
#include "vmm/board/board.h"
#include "vmm/monitor/clock.h"
#include "vmm/cpu/vcpu.h"

struct vm_dump;
struct virtio_bus;

#define VM_RX_BYTES 4096

enum vm_end {
	VM_RUNS = 0,
	VM_POWER_OFF, /* the guest powered off */
	VM_RESET,     /* the guest asked for a reset */
	VM_QUIT,      /* the user quit */
	VM_PANIC,     /* the guest's kernel said that it panicked */
	VM_NO_MEMORY, /* machine memory is exhausted */
};

struct vm_config {
	uint64_t ram_bytes;
	const struct cpu_model *cpu;
	bool big_endian;
	bool icount;
	bool count_insns; /* --stats */
	bool keep_ir;     /* --dump h: show it beside the host code */
	bool tier1, tier2;
	uint64_t code_bytes;    /* limit of translated code */
	uint32_t hot_threshold; /* 0: default */
	int input_fd;           /* console input to wait for, -1: none */
	void (*console_tx)(void *opaque, const uint8_t *data, size_t n);
	size_t (*console_rx)(void *opaque, uint8_t *data, size_t n, int *end); /* *end: 1 end of input, 2 quit */
	void (*idle)(void *opaque); /* the guest waits, or devices were looked after: flush output */
	void *opaque;
	int64_t rtc_base_s;
};

struct vm {
	struct vm_config cfg;
	struct machine *machine;
	struct pmap *ram;
	struct board *board;
	struct clock *clock;
	struct vcpu *vcpu;
	struct virtio_bus *virtio; /* virtio_bus.c; NULL: no device */
	struct vm_dump *dump;      /* --dump, or NULL */
	int end;                   /* enum vm_end; any thread may set it, then clock_kick() */

	/* Console input that the guest's UART had no room for yet.  Read ahead, so that the monitor's keys are seen. */
	uint8_t rx[VM_RX_BYTES];
	size_t rx_bytes;
};

/* 0 or -errno. Nothing of the guest runs. */
MUST_CHECK int vm_new(struct vm **out, const struct vm_config *cfg);
void vm_free(struct vm *vm);
/* Run until the machine ends. The calling thread is the vCPU's. */
enum vm_end vm_run(struct vm *vm);
void vm_end(struct vm *vm, enum vm_end why);
/* XXH3 over guest registers, CP0, TLB and memory: equal states, equal hash (tier-independent). */
uint64_t vm_state_hash(struct vm *vm);

/*
 * RAM of the Malta: the first 256 MiB at 0, the rest from 512 MiB on (the hole is the I/O window).
 * True if pa is RAM; *out is then the address to give to the pmap.
 */
bool vm_ram(const struct vm *vm, struct gpa pa, struct gpa *out);

/* ---- run_loop.c: struct jit_config.resume ---- */
void run_loop_resume(struct guest_state *gs);

/* ---- vcpu.c ---- */
MUST_CHECK int vcpu_new(struct vcpu **out, struct vm *vm);
void vcpu_free(struct vcpu *v);
void vcpu_reset(struct vcpu *v);
/* Recompute gs->mode and gs->l2tlb from Status, FCSR, EntryHi and the segment of gs->pc. Every dispatch. */
void vcpu_update_mode(struct vcpu *v);
/* Translations (and lifted blocks of the interpreter) that cover bytes of a page. */
bool vcpu_invalidate_code(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes);
bool vcpu_page_has_code(struct vcpu *v, struct machine_page *page);
bool vcpu_code_at(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes);
/* A device drives CPU pin n (2..7). */
void vcpu_set_irq(void *vcpu, unsigned pin, bool level);

/* ---- exception.c ---- */
/*
 * Deliver a guest exception raised at gs->pc (gs->site says whether in a delay slot, and how many counted
 * instructions to give back): sets EPC, Cause, Status.EXL, gs->pc, and gs->leave = EXIT_EXCEPTION.
 * code: EXC_* | coprocessor << 8.  vCPU thread.  Source: MIPS32 PRA volume III, 6.2 "Exceptions".
 */
void exception_raise(struct vcpu *v, uint32_t code);
/* Same for an address or TLB exception: BadVAddr, Context and EntryHi too. refill: use the refill vector. */
void exception_raise_address(struct vcpu *v, uint32_t code, struct gva va, bool refill);
/* Give back the instructions that the block's head counted from the one at gs->site on. */
void exception_refund(struct vcpu *v);
/* Deliver an interrupt if one is pending and enabled. Outside translated code. True if delivered. */
bool exception_check_interrupts(struct vcpu *v);
bool exception_interrupt_pending(const struct vcpu *v);

/* ---- mem.c ---- */
MUST_CHECK int mem_new(struct vcpu *v);
void mem_free(struct vcpu *v);
/*
 * The machine page that pc executes from, or NULL after raising ADEL, TLBL, TLBXI or IBE at gs->pc / gs->site.
 * Cost: a probe of the L2TLB's exec tag when that hits.
 */
struct machine_page *mem_fetch(struct vcpu *v, struct gva pc);
/* The same without raising anything. */
struct machine_page *mem_fetch_try(struct vcpu *v, struct gva pc);
/* The physical address of va as a load of the current mode reaches it; 0 if it does not. */
uint64_t mem_physical(struct vcpu *v, struct gva va);
/* True if va is in an unmapped segment in the current mode (MODE_ABS code). */
bool mem_unmapped(const struct vcpu *v, struct gva va);
/* The page is about to hold translations: take write tags away. */
void mem_protect_code(struct vcpu *v, struct machine_page *page);

/* ---- helpers.c: the table that lifted code calls ---- */
extern helper_fn *const vmm_helpers[NUM_HELPERS];
#define HELPER_FN(name) uint64_t name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
HELPER_FN(mem_load);
HELPER_FN(mem_store);
HELPER_FN(mem_cache);
HELPER_FN(cp0_read);
HELPER_FN(cp0_write);
HELPER_FN(cp0_di);
HELPER_FN(cp0_ei);
HELPER_FN(cp0_rdhwr);
HELPER_FN(cp0_tlbr);
HELPER_FN(cp0_tlbwi);
HELPER_FN(cp0_tlbwr);
HELPER_FN(cp0_tlbp);
HELPER_FN(cp0_eret);
HELPER_FN(cp0_wait);
HELPER_FN(exception_helper);
HELPER_FN(slot_check);
/* Called at reset and when Count, Compare or Cause.DC change. */
void cp0_timer_update(struct vcpu *v);
uint32_t cp0_count(struct vcpu *v);

/* ---- translate.c: the first walk ---- */
/*
 * The translation for gs->pc, made if need be.  NULL: an exception was raised instead, or the block is to be interpreted
 * this once (*lifted is then the block, else NULL).
 * after_side_exit: tier 2 stopped before gs->pc, whose instruction needs a slow path: tier 1 only.
 */
struct translation *translate(struct vcpu *v, struct ir_block **lifted, bool after_side_exit);
/* Lift the block at gs->pc, at most max_guest instructions (0: no limit); NULL: exception. Lives until the next call. */
struct ir_block *translate_lift(struct vcpu *v, uint32_t max_guest);
/*
 * Lift and optimise the block at pc of a page, in arena a. NULL: the fetch of its delay slot raised an exception.
 * tier: who gets it, for dumps.
 */
struct ir_block *translate_page(struct vcpu *v, struct machine_page *page, uint64_t pc, uint32_t max_guest,
				enum tier tier, struct arena *a);

/* ---- region.c ---- */
/* Ask for tier 2 of the block at gs->pc and what it reaches. False: an exception was raised instead. */
bool region_request(struct vcpu *v);
/*
 * The guest was found at gs->pc when the dispatch loop was wanted for something else, a timer mostly: what is found there
 * REGION_HOT_SAMPLES times is asked for, loop or not.  Finds hot code that no counter sees, at no cost to code that runs.
 */
void region_sample(struct vcpu *v);
/* --tiers=2: compile one block with LLVM now. Takes v->arena, and b with it. NULL: refused, interpret it. */
struct translation *region_compile_now(struct vcpu *v, struct code_page *cp, struct ir_block *b);

/* ---- interp_cache.c: lifted blocks of --tiers=interp ---- */
struct interp_cache;
MUST_CHECK int interp_cache_new(struct interp_cache **out);
void interp_cache_free(struct interp_cache *c);
/* The block at gs->pc, lifted if need be; NULL: exception. */
const struct ir_block *interp_cache_get(struct interp_cache *c, struct vcpu *v);
bool interp_cache_invalidate(struct interp_cache *c, struct machine_page *page, uint32_t off, uint32_t bytes);
/* Is there a block that covers some of these bytes? */
bool interp_cache_has(const struct interp_cache *c, const struct machine_page *page, uint32_t off, uint32_t bytes);

#endif
