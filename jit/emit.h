/* SPDX-License-Identifier: MIT */
#ifndef JIT_EMIT_H
#define JIT_EMIT_H

/* Pieces of code that the stubs, the links and tier 1 all emit. */
#include "jit/jit_internal.h"
#include "jit/window.h"
#include "jit/x86.h"

/* Scratch registers of tier 1; everything else is pinned, but rsp. */
#define T1_SCRATCH (1u << RAX | 1u << RCX | 1u << RDX | 1u << R10 | 1u << R11)

/*
 * The trampoline's frame: rsp + 0 stays free, so that rsp + 8 + 8n is spill slot n.  One slot for every value that a
 * block can have, so spilling cannot fail; untouched stack costs nothing.  Above them is a place for each xmm register.
 */
#define FRAME_SPILL 8
#define FRAME_XMM   (FRAME_SPILL + 8 * (IR_MAX_INS + WINDOW_MAX))
#define FRAME_BYTES (FRAME_XMM + 8 * 16 + 8)
_Static_assert(FRAME_BYTES % 16 == 0, "rsp must be 8 modulo 16 at block entry");

static inline struct x86 x86_in(const struct code_span *s, size_t room)
{
	return (struct x86){.p = s->rw, .start = s->rw, .end = s->rw + room, .to_rx = s->rx - s->rw};
}

/* Field of guest_state. All 64-bit guest values are zero-extended words, so their low half is all there is to store. */
#define GS(field) x86_at(R13, (int32_t)offsetof(struct guest_state, field))
static inline struct x86_mem x86_gs(size_t off) { return x86_at(R13, (int32_t)off); }

/* Host register that a guest register (GETREG number) is pinned to, or NO_REG. */
int emit_pin_of(unsigned guest);
/* Store or reload the pinned registers that a C call clobbers (only_called) or all of them. */
void emit_store_pins(struct x86 *x, bool only_called);
void emit_load_pins(struct x86 *x, bool only_called);
/* dst = address of t; in mapped code from gs->pc_page. */
void emit_target_pc(struct x86 *x, int dst, struct ir_target t);

/*
 * The way out of an indirect jump of tier 2: gs->pc = target.  As stubs.indirect and stubs.ret, but a region has its own:
 * the host predicts an indirect jump by its address, and one for all of tier 2 is predicted badly.
 */
void *emit_indirect_exit(struct x86 *x, const struct code_cache *cc, uint32_t mode, bool ring);
/* rcx = address of the jump cache's entry for eax = pc. Clobbers r10. */
void emit_jump_cache_slot(struct x86 *x);
/*
 * Jump to the jump cache's entry for eax = pc; falls through on a miss.  Clobbers rcx, r10.
 * mode: that of the code (JUMP_MODE), or < 0: in r11d.
 */
void emit_jump_cache_probe(struct x86 *x, int64_t mode);
/* Jump through the return ring if its top is (eax, mode); falls through on a miss. Clobbers rcx, rdx. */
void emit_ring_pop(struct x86 *x, int64_t mode);

/*
 * Is the page of eax = pc executable in the table in force, and of the code record whose id is in register `id`?
 * Goes on with page = eax & ~PAGE_MASK if so; fail gets the two jumps that are taken if not.  Clobbers index.
 */
void emit_page_check(struct x86 *x, int id, int index, int page, uint8_t *fail[2]);
/* Flags: is the page of unmapped code at abs_page of that record (E)? Clobbers rcx. */
void emit_abs_check(struct x86 *x, uint64_t abs_page, uint32_t id);
/* An entry of t, and for unmapped code its `known`; they jump to the body, or to stubs.entry_failed. */
const uint8_t *emit_entry(struct x86 *x, const struct code_cache *cc, struct translation *t);
/* A jump to what follows it, and the executable address of its displacement, for struct jit_link: aligned, others may run it. */
uint8_t *emit_link_jump(struct x86 *x);
uint8_t *emit_link_jcc(struct x86 *x, enum x86_cc cc);
/* The out-of-line stub of a link, unlinked; where its site leads is for the caller to set, who knows where that is. */
void emit_link_stub(struct x86 *x, const struct code_cache *cc, struct jit_link *l);

#endif
