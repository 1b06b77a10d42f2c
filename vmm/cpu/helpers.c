/* SPDX-License-Identifier: MIT */
#include "frontend/fpu.h"
#include "vmm/cpu/helpers.h"
#include "vmm/monitor/vm.h"

/* Row of helpers.def -> function; tests/unit/vmm_helpers.c checks that none is missing. */
helper_fn *const vmm_helpers[NUM_HELPERS] = {
    [HELPER_CP0_READ] = cp0_read, [HELPER_CP0_WRITE] = cp0_write,    [HELPER_DI] = cp0_di,
    [HELPER_EI] = cp0_ei,         [HELPER_RDHWR] = cp0_rdhwr,        [HELPER_TLBR] = cp0_tlbr,
    [HELPER_TLBWI] = cp0_tlbwi,   [HELPER_TLBWR] = cp0_tlbwr,        [HELPER_TLBP] = cp0_tlbp,
    [HELPER_ERET] = cp0_eret,     [HELPER_WAIT] = cp0_wait,          [HELPER_HYPCALL] = monitor_call,
    [HELPER_CACHE] = mem_cache,   [HELPER_RAISE] = exception_helper, [HELPER_SLOT_CHECK] = slot_check,
    [HELPER_MEM_LOAD] = mem_load, [HELPER_MEM_STORE] = mem_store,    [HELPER_LL] = atomic_ll,
    [HELPER_SC] = atomic_sc,      [HELPER_SYNC] = atomic_sync,       [HELPER_FETCH] = caches_fetch,
#define HELPER(name, ...) [HELPER_##name] = fpu_helper_##name,
#include "ir/fpu_helpers.def"
#undef HELPER
};
