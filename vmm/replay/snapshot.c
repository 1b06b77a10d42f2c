/* SPDX-License-Identifier: MIT */
#include "vmm/replay/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ir/guest_state.h"
#include "numa/share.h"
#include "vmm/board/board.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/vm.h"

/* ---- the vCPU: what of it the guest, or its own next step, can see ---- */

struct vcpu_state {
	uint64_t reg[NUM_REGS], fpr[32];
	uint32_t fcr31, llbit;
	uint64_t pc, lladdr, llval;
	uint32_t fpu_last;
	uint64_t fpu_operand[3];
	uint64_t cp0[32 * 8];
	struct guest_tlb tlb;
	bool idle, timer_changed;
	uint64_t ll_physical;
	uint32_t count_base, random, random_state;
	uint64_t exceptions[32], interrupts;
};
_Static_assert(sizeof(((struct vcpu_stats *)0)->exceptions) == sizeof(((struct vcpu_state *)0)->exceptions),
	       "all codes");

static size_t vcpu_bytes(struct vm *vm) { return sizeof(struct vcpu_state); }

static bool vcpu_save(struct vm *vm, void *state)
{
	const struct vcpu *v = vm->vcpu;
	const struct guest_state *gs = &v->gs;
	struct vcpu_state *s = state;

	/* an instruction is in pieces, or a monitor call is */
	if (v->step || v->freed_bytes)
		return false;
	*s = (struct vcpu_state){.fcr31 = gs->fcr31,
				 .llbit = gs->llbit,
				 .pc = gs->pc,
				 .lladdr = gs->lladdr,
				 .llval = gs->llval,
				 .fpu_last = gs->fpu_last,
				 .tlb = v->tlb,
				 .idle = v->idle,
				 .timer_changed = v->timer_changed,
				 .ll_physical = v->ll_physical,
				 .count_base = v->count_base,
				 .random = v->random,
				 .random_state = v->random_state,
				 .interrupts = v->stats.interrupts};
	memcpy(s->reg, gs->reg, sizeof(s->reg));
	memcpy(s->fpr, gs->fpr, sizeof(s->fpr));
	memcpy(s->fpu_operand, gs->fpu_operand, sizeof(s->fpu_operand));
	memcpy(s->cp0, gs->cp0, sizeof(s->cp0));
	memcpy(s->exceptions, v->stats.exceptions, sizeof(s->exceptions));
	return true;
}

static void vcpu_restore(struct vm *vm, const void *state)
{
	struct vcpu *v = vm->vcpu;
	struct guest_state *gs = &v->gs;
	const struct vcpu_state *s = state;

	memcpy(gs->reg, s->reg, sizeof(s->reg));
	memcpy(gs->fpr, s->fpr, sizeof(s->fpr));
	memcpy(gs->fpu_operand, s->fpu_operand, sizeof(s->fpu_operand));
	memcpy(gs->cp0, s->cp0, sizeof(s->cp0));
	memcpy(v->stats.exceptions, s->exceptions, sizeof(s->exceptions));
	gs->fcr31 = s->fcr31;
	gs->llbit = s->llbit;
	gs->pc = s->pc;
	gs->lladdr = s->lladdr;
	gs->llval = s->llval;
	gs->fpu_last = s->fpu_last;
	gs->leave = EXIT_NONE;
	v->tlb = s->tlb;
	v->idle = s->idle;
	v->timer_changed = s->timer_changed;
	v->ll_physical = s->ll_physical;
	v->count_base = s->count_base;
	v->random = s->random;
	v->random_state = s->random_state;
	v->stats.interrupts = s->interrupts;
	v->step = v->stepped = false;
	v->last = EXIT_PC_SET; /* nothing is linked to what it came from */
}

/* ---- its L2TLB: the kept translations. Tables, and all that leads to translated code, are filled anew ---- */

struct l2tlb_state {
	unsigned n;
	struct l2tlb_kept kept[];
};

static size_t l2tlb_state_bytes(struct vm *vm)
{
	return sizeof(struct l2tlb_state) + l2tlb_kept(vm->vcpu->l2tlb, NULL) * sizeof(struct l2tlb_kept);
}

static bool l2tlb_save(struct vm *vm, void *state)
{
	struct l2tlb_state *s = state;

	s->n = l2tlb_kept(vm->vcpu->l2tlb, s->kept);
	return true;
}

static void l2tlb_restore(struct vm *vm, const void *state)
{
	const struct l2tlb_state *s = state;
	struct vcpu *v = vm->vcpu;

	l2tlb_keep(v->l2tlb, s->kept, s->n);
	memset(v->abs_code, 0, ABS_CODE_ENTRIES * sizeof(*v->abs_code));
	if (v->jit)
		jit_break(v->jit);
	vcpu_update_mode(v);
}

/* ---- the clock, the board, the virtio devices ---- */

static size_t clock_bytes(struct vm *vm) { return clock_state_bytes(); }

static bool save_clock(struct vm *vm, void *state)
{
	clock_save(vm->clock, state);
	return true;
}

static void restore_clock(struct vm *vm, const void *state) { clock_restore(vm->clock, state); }

static size_t board_bytes(struct vm *vm) { return board_state_bytes(vm->board); }

static bool save_board(struct vm *vm, void *state)
{
	board_save(vm->board, state);
	return true;
}

static void restore_board(struct vm *vm, const void *state) { board_restore(vm->board, state); }

static size_t virtio_bytes(struct vm *vm)
{
	const char *name;

	return virtio_bus_state_bytes(vm, &name);
}

static bool save_virtio(struct vm *vm, void *state) { return virtio_bus_save(vm, state); }
static void restore_virtio(struct vm *vm, const void *state) { virtio_bus_restore(vm, state); }

/*
 * All that takes part, in the order in which it is restored: the vCPU before what looks at its mode, memory (which is none of them) before all.  No part: what
 * has been read from the host's console, and was not heard yet.
 */
static const struct part {
	size_t (*bytes)(struct vm *vm);
	bool (*save)(struct vm *vm, void *state); /* false: not now */
	void (*restore)(struct vm *vm, const void *state);
} parts[] = {
    {vcpu_bytes, vcpu_save, vcpu_restore},       {l2tlb_state_bytes, l2tlb_save, l2tlb_restore},
    {clock_bytes, save_clock, restore_clock},    {board_bytes, save_board, restore_board},
    {virtio_bytes, save_virtio, restore_virtio},
};

struct snapshot {
	void *part[ARRAY_LEN(parts)];
	struct pmap_kept *memory;
};

const char *snapshot_hindrance(struct vm *vm)
{
	const char *name;

	(void)virtio_bus_state_bytes(vm, &name);
	return name;
}

void snapshot_free(struct snapshot *s, struct vm *vm)
{
	if (!s)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		free(s->part[i]);
	pmap_kept_free(vm->ram, s->memory);
	free(s);
}

int snapshot_take(struct snapshot **out, struct vm *vm)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int err = s ? 0 : -ENOMEM;

	for (unsigned i = 0; i < ARRAY_LEN(parts) && !err; i++) {
		s->part[i] = malloc(parts[i].bytes(vm) + 1);
		if (!s->part[i])
			err = -ENOMEM;
		else if (!parts[i].save(vm, s->part[i]))
			err = -EBUSY;
	}
	if (!err)
		err = pmap_keep(vm->ram, &s->memory);
	if (err) {
		snapshot_free(s, vm);
		return err;
	}
	*out = s;
	return 0;
}

int snapshot_restore(const struct snapshot *s, struct vm *vm)
{
	int err = pmap_go_back(vm->ram, s->memory);

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		parts[i].restore(vm, s->part[i]);
	__atomic_store_n(&vm->vcpu->gs.poll, 1, __ATOMIC_RELAXED);
	return err;
}
