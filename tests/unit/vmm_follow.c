/* SPDX-License-Identifier: MIT */
/* Pages come to the node of the processor that uses them (--numa sample), step by step, at times that are made up. */
#include "numa/move.h"
#include "numa/share.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/mem.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/follow.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

#define MS 1000000ull

struct world {
	struct monitor *mon;
	struct vm *vm[2];
	uint64_t now;
};

static struct world make(const char *settings, unsigned machines)
{
	struct world w = {.now = 1000 * MS};
	struct monitor_config cfg = {.memory_bytes = 16 << 20, .share = true, .processors = 1};
	struct numa_config numa;
	struct options_error err;

	numa_config_default(&numa);
	if (settings)
		cr_assert_eq(numa_config_parse(&numa, numa_sample_rows, "--numa", settings, &err), 0, "%s", err.text);
	cfg.nodes = settings ? numa.nodes : 1;
	cfg.numa = settings ? &numa : NULL;
	cr_assert_eq(monitor_new(&w.mon, &cfg), 0);
	for (unsigned i = 0; i < machines; i++)
		w.vm[i] = machine_open_in(w.mon, &(struct vm_config){0}, TIERS_1);
	return w;
}

static void close_all(struct world *w)
{
	for (unsigned i = 0; i < 2; i++)
		vm_free(w->vm[i]);
	monitor_free(w->mon);
}

static void done(struct world *w)
{
	struct monitor_audit a;

	monitor_audit(w->mon, &a);
	cr_expect_eq(a.errors, 0, "%s", a.first);
	close_all(w);
}

static uint32_t page_va(unsigned n) { return DATA_VA + n * PAGE_BYTES; }

static void put_pages(struct vm *vm, unsigned pages)
{
	for (unsigned n = 0; n < pages; n++)
		PUT(vm, page_va(n), 0x1000 + n);
}

static unsigned node_of(struct vm *vm, unsigned n) { return pmap_peek(vm->ram, gpa(page_va(n) & 0x1fffffff))->node; }

static void use(struct vm *vm, unsigned n)
{
	cr_assert_eq(mem_load(&vm->vcpu->gs, page_va(n), MEM_META(2, 0), 0), 0x1000 + n);
}

static void step(struct world *w, unsigned vm)
{
	w->now += 10 * MS;
	follow(w->vm[vm]->vcpu, w->now);
}

Test(follow, off)
{
	struct world w = make(NULL, 1), one = make("nodes=1", 1);

	cr_expect_null(w.vm[0]->follow);
	cr_expect_null(one.vm[0]->follow, "with one node there is nowhere to go");
	step(&w, 0);
	cr_expect_eq(follow_stats(w.vm[0]).sampled, 0);
	done(&w);
	done(&one);
}

Test(follow, what_is_used_comes)
{
	struct world w = make("nodes=4", 1);
	struct vm *vm = w.vm[0];
	struct follow_stats s;

	put_pages(vm, 20);
	PUT(vm, CODE_VA, A_NOP);
	step(&w, 0);
	cr_expect_eq(follow_stats(vm).sampled, 0, "all is near");
	vm->vcpu->node = 2;
	step(&w, 0);
	cr_expect_eq(follow_stats(vm).sampled, 21);
	for (unsigned n = 0; n < 10; n++)
		use(vm, n);
	cr_assert_not_null(mem_fetch(vm->vcpu, gva(CODE_VA)));
	follow(vm->vcpu, w.now + 9 * MS);
	cr_expect_eq(node_of(vm, 0), 0, "it is not time yet");
	step(&w, 0);
	s = follow_stats(vm);
	cr_expect_eq(s.used, 11);
	cr_expect_eq(s.migrated, 11);
	for (unsigned n = 0; n < 20; n++)
		cr_expect_eq(node_of(vm, n), n < 10 ? 2 : 0, "page %u", n);
	cr_expect_eq(pmap_peek(vm->ram, gpa(CODE_VA & 0x1fffffff))->node, 2, "code of unmapped segments too");
	for (unsigned n = 0; n < 20; n++)
		use(vm, n);
	step(&w, 0);
	cr_expect_eq(node_of(vm, 19), 2, "the next ones");
	cr_expect_eq(pmap_node_pages(vm->ram, 2), 21);
	step(&w, 0);
	cr_expect_eq(follow_stats(vm).sampled, 21 + 10, "none is far any more");
	done(&w);
}

/* Once an interval; and not for ever. */
Test(follow, to_and_fro)
{
	struct world w = make("nodes=4,interval-us=100000,freeze=3,thaw=5", 1);
	struct vm *vm = w.vm[0];
	struct follow_stats s;

	put_pages(vm, 1);
	for (unsigned i = 0; i < 400; i++) {
		vm->vcpu->node = 1 + i / 2 % 2; /* two steps here, two there */
		use(vm, 0);
		step(&w, 0);
	}
	s = follow_stats(vm);
	cr_expect_gt(s.migrated, 5);
	cr_expect_leq(s.migrated, 3 * (40 / 8 + 1), "three in eight of forty intervals");
	cr_expect_gt(s.left[POLICY_MOVED], 10);
	cr_expect_gt(s.left[POLICY_FROZEN], 10);
	done(&w);
}

Test(follow, a_processor_elsewhere_meanwhile)
{
	struct world w = make("nodes=4", 1);
	struct vm *vm = w.vm[0];

	put_pages(vm, 4);
	vm->vcpu->node = 1;
	step(&w, 0);
	use(vm, 0);
	vm->vcpu->node = 3;
	step(&w, 0);
	cr_expect_eq(node_of(vm, 0), 0, "by whom it was used is not known");
	use(vm, 0);
	step(&w, 0);
	cr_expect_eq(node_of(vm, 0), 3);
	done(&w);
}

/*
 * LL, the page goes to another node and back to the same place, SC: what others might have stored to it meanwhile was
 * stored elsewhere, and its stamp is as it was.  Where nobody is at the same time, nothing is missed.
 */
Test(follow, an_sc_fails_after_a_move_there_and_back)
{
	for (unsigned moved = 0; moved < 2; moved++) {
		struct world w = make("nodes=4", 0);
		struct vm *vm = w.vm[0] = machine_open_in(w.mon, &(struct vm_config){.vcpus = 2}, TIERS_1);
		struct gpa pa = gpa(DATA_VA & 0x1fffffff);
		uint8_t *host;

		put_pages(vm, 1);
		PUT(vm, CODE_VA, A_NOP);
		vm->vcpu->gs.reg[T0] = 0xffffffff00000000u | DATA_VA;
		machine_do(vm, A_LL(T1, 0, T0));
		cr_assert_eq((uint32_t)vm->vcpu->gs.reg[T1], 0x1000);
		host = pmap_peek(vm->ram, pa)->host;
		if (moved) {
			cr_assert_eq(pmap_bring(vm->ram, pa, 2), 0);
			cr_assert_neq(pmap_peek(vm->ram, pa)->host, host);
			cr_assert_eq(pmap_bring(vm->ram, pa, 0), 0);
		}
		cr_assert_eq(pmap_peek(vm->ram, pa)->host, host, "the same place");
		vm->vcpu->gs.reg[T1] = 5;
		machine_do(vm, A_SC(T1, 0, T0));
		cr_expect_eq(vm->vcpu->gs.reg[T1], !moved);
		cr_expect_eq(machine_word(vm, DATA_VA), moved ? 0x1000 : 5);
		close_all(&w); /* no audit: PUT has written over code that has a record */
	}
}

/* Two machines have the same page; the one on another node gets a copy, and a write is its own. */
Test(follow, shared_pages_are_copied)
{
	struct world w = make("nodes=4", 2);
	struct machine_page *page;

	for (unsigned i = 0; i < 2; i++) {
		put_pages(w.vm[i], 3);
		pmap_share_equal(w.vm[i]->ram, gpa(page_va(0) & 0x1fffffff), PAGE_BYTES);
	}
	page = pmap_peek(w.vm[0]->ram, gpa(page_va(0) & 0x1fffffff));
	cr_assert_eq(page->refs, 2);
	w.vm[1]->vcpu->node = 3;
	step(&w, 1);
	use(w.vm[1], 0);
	step(&w, 1);
	cr_expect_eq(node_of(w.vm[1], 0), 3);
	cr_expect_eq(node_of(w.vm[0], 0), 0);
	cr_expect_eq(follow_stats(w.vm[1]).replicated, 1);
	cr_expect_eq(follow_stats(w.vm[1]).migrated, 0);
	mem_store(&w.vm[1]->vcpu->gs, page_va(0), 7, MEM_META(2, 0));
	cr_expect_eq(mem_load(&w.vm[1]->vcpu->gs, page_va(0), MEM_META(2, 0), 0), 7);
	use(w.vm[0], 0);
	done(&w);
}

Test(follow, switched_off_by_a_key)
{
	struct world w = make("nodes=4,migrate=off", 1);

	put_pages(w.vm[0], 1);
	w.vm[0]->vcpu->node = 3;
	for (unsigned i = 0; i < 4; i++) {
		step(&w, 0);
		use(w.vm[0], 0);
	}
	cr_expect_eq(node_of(w.vm[0], 0), 0);
	cr_expect_gt(follow_stats(w.vm[0]).left[POLICY_NO_MOVES], 1);
	done(&w);
}
