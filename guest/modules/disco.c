/* SPDX-License-Identifier: MIT */
/*
 * For Linux on Disco: monitor calls (docs/monitor-calls.md) where the kernel clears pages and has free ones (SOSP'97, 4.3.3).
 *
 *     clear_page()       begins with a call that has the monitor clear the page, and returns
 *     free pages         in blocks of 64 KiB are given up, some seconds after they became free
 *
 * Loaded on anything else it does nothing but say so.  Written for the kernels of Debian 12 (6.1).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/highmem.h>
#include <linux/irqflags.h>
#include <linux/kdebug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_reporting.h>
#include <linux/scatterlist.h>
#include <asm/cacheflush.h>

#include "guest/modules/disco.h"

enum { FREE_ORDER = 4 };

static bool zero = true;
module_param(zero, bool, 0444);
MODULE_PARM_DESC(zero, "have the monitor clear pages");
static bool give_up = true;
module_param_named(free, give_up, bool, 0444);
MODULE_PARM_DESC(free, "give free pages up, unless the balloon does");

/* HYPCALL with code 1, as a word: the assembler's own needs .set virt.  The label is where a CPU without it raises RI. */
noinline __noclone long disco_call(unsigned long number, unsigned long a, unsigned long b)
{
	register unsigned long v0 asm("$2") = number;
	register unsigned long a0 asm("$4") = a;
	register unsigned long a1 asm("$5") = b;

	asm volatile(".globl disco_hypcall\n"
		     "disco_hypcall: .word 0x42000828"
		     : "+r"(v0)
		     : "r"(a0), "r"(a1)
		     : "memory");
	return (long)v0;
}
EXPORT_SYMBOL_GPL(disco_call);
extern const u32 disco_hypcall[];

/* ---- is this Disco? ---- */

static int on_reserved(struct notifier_block *n, unsigned long what, void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;

	if (what != DIE_RI || regs->cp0_epc != (unsigned long)disco_hypcall)
		return NOTIFY_DONE;
	regs->regs[2] = -ENOSYS;
	regs->cp0_epc += 4;
	return NOTIFY_STOP;
}

static struct notifier_block notifier = {.notifier_call = on_reserved};

static long version(void)
{
	long v;

	if (register_die_notifier(&notifier))
		return -ENOSYS;
	v = disco_call(CALL_VERSION, 0, 0);
	unregister_die_notifier(&notifier);
	return v;
}

/* ---- pages that the kernel clears ---- */

static const u32 clear_by_call[] = {
    0x34020000 | CALL_ZERO, /* ori   $2, $0, CALL_ZERO */
    0x7c84e000,             /* ext   $4, $4, 0, 29: of KSEG0, the physical address */
    0x34050001,             /* ori   $5, $0, 1 */
    0x42000828,             /* hypcall */
    0x03e00008,             /* jr    $31 */
    0x00000000,
};
static u32 cleared_before[ARRAY_SIZE(clear_by_call)];
static bool patched;

/* The kernel builds clear_page() at its boot, in room that is more than this; there is one CPU. */
static void patch_clear_page(u32 *keep, const u32 *words)
{
	u32 *at = (u32 *)clear_page;
	unsigned long flags;

	local_irq_save(flags);
	if (keep)
		memcpy(keep, at, sizeof(clear_by_call));
	memcpy(at, words, sizeof(clear_by_call));
	flush_icache_range((unsigned long)at, (unsigned long)at + sizeof(clear_by_call));
	local_irq_restore(flags);
}

/* What is mapped by kmap() has no address in KSEG0. */
static bool can_patch(void) { return num_possible_cpus() == 1 && !totalhigh_pages() && PAGE_SIZE == 4096; }

/* ---- pages that are free ---- */

static int report(struct page_reporting_dev_info *info, struct scatterlist *sgl, unsigned int n)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(sgl, sg, n, i)
	{
		long r = disco_call(CALL_FREE, page_to_phys(sg_page(sg)), sg->length >> PAGE_SHIFT);

		if (r)
			return r;
	}
	return 0;
}

static struct page_reporting_dev_info reporting = {.report = report, .order = FREE_ORDER};
static bool reports;

/* ---- */

static int __init disco_init(void)
{
	long v = version();

	if (v < 1) {
		pr_info("no monitor calls here\n");
		return -ENODEV;
	}
	if (zero && can_patch()) {
		patch_clear_page(cleared_before, clear_by_call);
		patched = true;
	}
	reports = give_up && page_reporting_register(&reporting) == 0;
	pr_info("monitor calls, version %ld:%s%s\n", v, patched ? " clears pages" : "",
		reports ? " reports free pages" : "");
	return 0;
}

static void __exit disco_exit(void)
{
	if (reports)
		page_reporting_unregister(&reporting);
	if (patched)
		patch_clear_page(NULL, cleared_before);
}

module_init(disco_init);
module_exit(disco_exit);
MODULE_DESCRIPTION("Disco's monitor calls");
MODULE_LICENSE("Dual MIT/GPL");
