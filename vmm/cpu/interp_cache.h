/* SPDX-License-Identifier: MIT */
#ifndef VMM_INTERP_CACHE_H
#define VMM_INTERP_CACHE_H

/* Lifted blocks of --tiers=interp, by machine page.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

struct interp_cache;
MUST_CHECK int interp_cache_new(struct interp_cache **out);
void interp_cache_free(struct interp_cache *c);
/* The block at gs->pc, lifted if need be; NULL: exception. */
const struct ir_block *interp_cache_get(struct interp_cache *c, struct vcpu *v);
bool interp_cache_invalidate(struct interp_cache *c, struct machine_page *page, uint32_t off, uint32_t bytes);
/* Is there a block that covers some of these bytes? */
bool interp_cache_has(const struct interp_cache *c, const struct machine_page *page, uint32_t off, uint32_t bytes);

#endif
