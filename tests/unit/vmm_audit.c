/* SPDX-License-Identifier: MIT */
/* monitor_audit(): two machines that share pages and code agree with themselves; and each thing that is then made wrong is seen. */
#include "tests/unit/vmm_share.h"

#include "jit/jit_internal.h"
#include "vmm/cpu/run_loop.h"

enum { MAPPED_VA = 0x00400000, MAPPED_PA = 0x30000, SHARED_PA = 0x200000 };

static struct monitor *mon;
static struct vm *vm[2];

/* Runs in KSEG0 and in a mapped page, and reads a shared one. */
static void start(void)
{
	uint8_t page[PAGE_BYTES];

	memset(page, 7, sizeof(page));
	mon = share_monitor(2 * (uint64_t)RAM_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		vm[i] = machine_open_in(mon, &(struct vm_config){0}, TIERS_1);
		PUT(vm[i], CODE_VA, A_LUI(T0, MAPPED_VA >> 16), R_TYPE(T0, 0, RA, 0, 9), A_LUI(T2, 0x8020),
		    A_LW(T1, 0, T2), A_LUI(T2, DATA_VA >> 16), A_SW(T1, 0, T2), A_RESET);
		PUT(vm[i], MAPPED_PA, A_ADDIU(T1, T1, 1), A_JR(RA), A_NOP);
		cr_assert_eq(pmap_write(vm[i]->ram, gpa(SHARED_PA), page, sizeof(page)), 0);
		pmap_share_equal(vm[i]->ram, gpa(SHARED_PA), PAGE_BYTES);
		machine_map(vm[i], 0, MAPPED_VA, LO(MAPPED_PA, LO_V | LO_D | LO_G), LO_G);
		cr_assert_eq(vm_run(vm[i]), VM_RESET);
		cr_assert_eq(machine_word(vm[i], DATA_VA), 0x07070707u);
	}
}

static struct monitor_audit look(void)
{
	struct monitor_audit a, once;

	/* the bytes of a sixteenth of the shared pages each time */
	monitor_audit(mon, &a);
	for (unsigned i = 0; i < 15 && !a.errors; i++) {
		monitor_audit(mon, &once);
		once.compared += a.compared;
		a = once;
	}
	return a;
}

static void agrees(void)
{
	struct monitor_audit a = look();

	cr_assert_eq(a.errors, 0u, "%s", a.first);
}

static void sees(const char *part)
{
	struct monitor_audit a = look();

	cr_assert_gt(a.errors, 0u, "not seen: %s", part);
	cr_assert(strstr(a.first, part), "'%s', not '%s'", a.first, part);
}

static void stop(void)
{
	agrees(); /* all has been put right again */
	vm_free(vm[0]);
	vm_free(vm[1]);
	monitor_free(mon);
}

static struct machine_page *page_of(unsigned i, uint64_t pa) { return pmap_peek(vm[i]->ram, gpa(pa)); }

static struct code_page *record_of(unsigned i, uint64_t pa) { return page_of(i, pa)->code; }

Test(vmm_audit, machines_agree)
{
	struct monitor_audit a;

	start();
	a = look();
	cr_assert_eq(a.errors, 0u, "%s", a.first);
	cr_assert_eq(a.machines, 2u);
	cr_assert_geq(a.records, 2u);
	cr_assert_geq(a.translations, 2u);
	cr_assert_geq(a.entries, 4u);
	cr_assert_geq(a.shared, 1u);
	cr_assert_geq(a.compared, 1u);
	cr_assert_eq(record_of(0, CODE_VA & 0x1fffffff), record_of(1, CODE_VA & 0x1fffffff));
	stop();
}

/* The entry of the table in force that executes from there. */
static struct l2tlb_entry *executes(unsigned i, uint32_t va)
{
	struct l2tlb_entry *e = &vm[i]->vcpu->gs.l2tlb->entry[(va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];

	cr_assert_eq((uint32_t)e->exec, va);
	return e;
}

Test(vmm_audit, exec_words_and_records)
{
	struct l2tlb_entry *e, was;
	uint32_t *id;

	start();
	e = executes(0, MAPPED_VA);
	was = *e;
	e->exec += 1ull << 32;
	sees("is executed by record");
	*e = was;
	e->addend += PAGE_BYTES;
	sees("leads to another page");
	*e = was;
	e->write_tag = MAPPED_VA;
	sees("can be written to without asking");
	*e = was;
	id = &vm[1]->vcpu->abs_code[ABS_CODE_INDEX(CODE_VA)];
	cr_assert_neq(*id, 0u);
	++*id;
	sees("is executed by record");
	--*id;
	stop();
}

Test(vmm_audit, records_and_pages)
{
	struct machine_page *page;
	struct code_page *cp;
	uint64_t granules;

	start();
	page = page_of(0, CODE_VA & 0x1fffffff);
	page->host[0x800]++; /* as a store that nobody saw */
	sees("a page of another content");
	page->host[0x800]--;
	cp = page->code;
	page_clear(page, PAGE_CODE);
	sees("has translations and can be written to");
	page_set(page, PAGE_CODE);
	cp->n++;
	sees("translations, ");
	cp->n--;
	granules = cp->granules;
	cp->granules = 0;
	sees("stores there would not be seen");
	cp->granules = granules;
	page->code = NULL;
	sees("is executed by record 1, and has 0");
	page->code = cp;
	stop();
}

Test(vmm_audit, translations_and_links)
{
	struct translation *t = NULL;
	struct code_page *cp;

	start();
	cp = record_of(0, CODE_VA & 0x1fffffff);
	for (unsigned g = 0; g < CODE_GRANULES && !t; g++)
		t = cp->bucket[g];
	cr_assert_not_null(t);
	translation_insns(t)[0].word ^= 1;
	sees("translated from other words");
	translation_insns(t)[0].word ^= 1;
	t->dead = true;
	sees("or dropped");
	t->dead = false;
	stop();
}

Test(vmm_audit, shared_pages)
{
	struct machine_page *page;

	start();
	page = page_of(0, SHARED_PA);
	cr_assert(page == page_of(1, SHARED_PA) && page_has(page, PAGE_SHARED));
	page->host[9] ^= 1;
	sees("has been written to");
	page->host[9] ^= 1;
	page_clear(page, PAGE_SHARED);
	sees("machine page");
	page_set(page, PAGE_SHARED);
	page->refs--;
	sees("not among the users");
	page->refs++;
	stop();
}

/* What a block of an image holds is remembered. */
Test(vmm_audit, blocks)
{
	struct share_image image = {.dev = 1, .ino = 2, .bytes = 3};
	struct block_name name;
	struct machine_page *page;

	start();
	name = (struct block_name){share_image_number(mon->memory, &image), 5};
	page = share_page_new(vm[0]->ram, 0);
	cr_assert_not_null(page);
	memset(page->host, 3, PAGE_BYTES);
	cr_assert_eq(pmap_give_block(vm[0]->ram, gpa(0x300000), name, page), 0);
	agrees();
	page->host[100] = 4;
	sees("has been written to");
	page->host[100] = 3;
	(void)look(); /* what it holds now is remembered */
	stop();
}
