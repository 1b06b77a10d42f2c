/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "vmm/cpu/helpers.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"

/*
 * LL, SC and SYNC where others use the memory at the same time (MODE_MP): vCPUs of this machine, or other machines that share a
 * region with it.
 *
 * SC must fail if anybody stored to the word since LL.  A compare-and-swap of the value alone, as QEMU's, does not see that the
 * word was changed and changed back (ABA), which lock-free lists rely on.  So words have stamps too, in a table by address that all
 * machines of the monitor use: LL remembers the stamp before it loads; SC locks it, if it still is what LL found, swaps the value
 * if that is too, and leaves a new one.
 *
 *	stamp: even, and counts the SCs that stored to its words; odd while one is at it
 *
 * So all SCs are seen, whatever they store, and plain stores by the value: what is not seen is that plain stores, and no SC, changed
 * the word and changed it back.  To see that too every store would have to look at the table, or each page with a linked word
 * lose its write tags: locks stand among data, and all of that would be slow.  A failing SC stores nothing.  An SC may fail because
 * another word has the same stamp, or its page was copied (copy-on-write) meanwhile; the architecture allows that, and some SC that
 * stored has come in between each time.
 *
 * --icount: addresses of the host differ from run to run, so nothing may depend on which words share a stamp.  There everybody runs
 * in turn on one thread, and an SC that stores just takes away the links of the machine's others.
 */

static uint64_t *stamp_of(const struct vcpu *v, const uint8_t *host)
{
	uint64_t word = (uintptr_t)host >> 2;

	return &v->vm->monitor->stamp[(word ^ word >> 10) % MONITOR_STAMPS].count;
}

/* 0 under --icount: see above. */
static uint64_t stamp_now(const struct vcpu *v, const uint8_t *host)
{
	return v->vm->cfg.icount ? 0 : __atomic_load_n(stamp_of(v, host), __ATOMIC_SEQ_CST);
}

HELPER_FN(atomic_ll)
{
	struct vcpu *v = vcpu_of(gs);
	uint32_t meta = (uint32_t)b;
	const uint8_t *host = mem_linked_word(v, gva((uint32_t)a), meta);
	uint32_t m;

	if (!host && gs->leave != EXIT_NONE)
		return 0;
	gs->llbit = host != NULL;
	if (!host) /* a device: SC to it fails, which is UNPREDICTABLE (volume II, LL) */
		return mem_load(gs, a, b, 0);
	v->ll_stamp = stamp_now(v, host);
	v->ll_host = host;
	v->ll_physical = v->vm->cfg.icount ? mem_physical(v, gva((uint32_t)a)) : 0;
	m = __atomic_load_n((const uint32_t *)(const void *)host, __ATOMIC_ACQUIRE);
	gs->lladdr = (uint32_t)a;
	gs->llval = m; /* as it is in memory */
	return meta & MEM_BE ? __builtin_bswap32(m) : m;
}

static bool swap(uint8_t *host, uint32_t old, uint32_t new)
{
	return __atomic_compare_exchange_n((uint32_t *)(void *)host, &old, new, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static void unlink_others(struct vcpu *v)
{
	for (unsigned i = 0; i < v->vm->n_vcpus; i++)
		if (v->vm->vcpu[i].ll_physical == v->ll_physical)
			v->vm->vcpu[i].gs.llbit = 0;
}

/* Nor on whether the page had to be copied. */
static bool try_repeatable(struct vcpu *v, uint8_t *host)
{
	bool done = v->gs.llbit && swap(host, (uint32_t)v->gs.llval, v->sc_value);

	if (done)
		unlink_others(v);
	return done;
}

static bool try(struct vcpu *v, uint8_t *host)
{
	struct guest_state *gs = &v->gs;
	uint32_t old = (uint32_t)gs->llval, new = v->sc_value;
	uint64_t *stamp = stamp_of(v, host), was = v->ll_stamp;
	bool done;

	if (!gs->llbit || host != v->ll_host)
		return false;
	if (was & 1 || !__atomic_compare_exchange_n(stamp, &was, was + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	done = swap(host, old, new);
	__atomic_store_n(stamp, done ? was + 2 : was, __ATOMIC_SEQ_CST);
	return done;
}

HELPER_FN(atomic_sc)
{
	struct vcpu *v = vcpu_of(gs);
	uint32_t meta = (uint32_t)c, value = (uint32_t)b;
	bool done;

	if (gs->lladdr != (uint32_t)a)
		gs->llbit = 0;
	v->sc_value = meta & MEM_BE ? __builtin_bswap32(value) : value;
	done = mem_conditional_word(v, gva((uint32_t)a), meta, v->vm->cfg.icount ? try_repeatable : try);
	if (gs->leave == EXIT_NONE)
		gs->llbit = 0;
	return done;
}

/*
 * x86 keeps loads in order, and stores in order, and stores behind loads: only a load behind a store of another word wants a fence.
 * The kinds of SYNC that do not order these (volume II, SYNC: 4 WMB, 16 MB, 17 ACQUIRE, 18 RELEASE, 19 RMB) need none but the
 * compiler's, which this call is.
 */
HELPER_FN(atomic_sync)
{
	enum { SYNC_WMB = 4, SYNC_ACQUIRE = 17, SYNC_RELEASE = 18, SYNC_RMB = 19 };

	if (a != SYNC_WMB && a != SYNC_ACQUIRE && a != SYNC_RELEASE && a != SYNC_RMB)
		_mm_mfence();
	return 0;
}
