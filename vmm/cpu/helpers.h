/* SPDX-License-Identifier: MIT */
#ifndef VMM_HELPERS_H
#define VMM_HELPERS_H

/* What lifted code calls (ir/helpers.def): the table, and the functions that go into it. */
#include "ir/ir.h"

extern helper_fn *const vmm_helpers[NUM_HELPERS];
#define HELPER_FN(name) uint64_t name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
HELPER_FN(mem_load);
HELPER_FN(mem_store);
HELPER_FN(mem_cache);
HELPER_FN(atomic_ll);
HELPER_FN(atomic_sc);
HELPER_FN(atomic_sync);
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
HELPER_FN(monitor_call);
HELPER_FN(exception_helper);
HELPER_FN(slot_check);
HELPER_FN(caches_fetch);

#endif
