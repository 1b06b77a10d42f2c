/* SPDX-License-Identifier: MIT */
/* The dump of a region shows the code that would run, and its pc map is sound. */
#include "jit/elf_load.h"
#include "jit/jit_internal.h"
#include "frontend/frontend.h"
#include "vmm/cpu/helpers.h"
#include "vmm/monitor/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* memset's byte loop with a call around it: loads, stores, a loop, a call, a return. */
static const uint32_t words[] = {
    0x8c850000, /* 00 lw a1, 0(a0) */
    0xa0850001, /* 04 sb a1, 1(a0) */
    0x24840004, /* 08 addiu a0, a0, 4 */
    0x14c4fffc, /* 0c bne a2, a0, 00 */
    0x00a63021, /* 10 addu a2, a1, a2 */
    0x0c000c00, /* 14 jal 80003000 */
    0x00000000, /* 18 nop */
    0x03e00008, /* 1c jr ra */
    0x00000000, /* 20 nop */
};

static struct ir_block *lift(struct frontend *f, struct arena *a, uint32_t off)
{
	struct lift_request rq = {.mode = MODE_KERNEL | MODE_ABS,
				  .abs_page = 0x80001000,
				  .off = off,
				  .words = words + off / 4,
				  .n_words = ARRAY_LEN(words) - off / 4};
	struct ir_block *b = NULL;

	cr_assert_eq(frontend_lift(f, a, &rq, &b), LIFT_OK);
	ir_run_passes(b, NULL);
	return b;
}

static struct tier2_work *new_work(struct frontend *f)
{
	struct jit_region r = {.n_blocks = 2};

	r.blocks = arena_new(&r.arena, struct ir_block *, 2);
	r.blocks[0] = lift(f, &r.arena, 0);
	r.blocks[1] = lift(f, &r.arena, 0x14);
	return tier2_work_new(&r, NULL);
}

/* Stubs are named, not called. */
static struct tier2 *new_tier2(const struct jit_stubs *stubs)
{
	struct tier2_config cfg = {.helpers = vmm_helpers, .stubs = stubs};
	struct tier2 *t;

	cr_assert_eq(tier2_new(&t, &cfg), 0);
	return t;
}

Test(dump_tier2, same_code)
{
	static const struct jit_stubs stubs;
	struct frontend *f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2);
	struct tier2 *t = new_tier2(&stubs);
	struct tier2_work *run = new_work(f), *dump = new_work(f);

	tier2_compile_sync(t, run);
	cr_assert_eq(tier2_dump(t, dump, NULL, NULL), 0);
	cr_assert(run->refused == TIER2_REFUSED_NONE && dump->refused == TIER2_REFUSED_NONE);
	cr_assert_eq(run->n_lines, 0, "a pc map that nobody asked for");
	cr_assert_eq(run->code_bytes, dump->code_bytes);
	cr_assert_eq(memcmp(run->image->bytes, dump->image->bytes, run->image->n_bytes), 0);
	tier2_work_free(run);
	tier2_work_free(dump);
	tier2_free(t);
	frontend_free(f);
}

Test(dump_tier2, pc_map)
{
	static const struct jit_stubs stubs;
	struct frontend *f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2);
	struct tier2 *t = new_tier2(&stubs);
	struct tier2_work *w = new_work(f);
	bool seen[2][IR_MAX_GUEST] = {{false}}, stores = false;

	cr_assert_eq(tier2_dump(t, w, NULL, NULL), 0);
	cr_assert_gt(w->n_lines, 5);
	for (uint32_t i = 0; i < w->n_lines; i++) {
		const struct tier2_line *l = &w->lines[i];
		const struct ir_block *b;

		cr_assert_lt(l->block, 2);
		b = w->region.blocks[l->block];
		cr_assert_lt(l->insn, b->n_guest);
		cr_assert(l->ir == TIER2_LINE_NO_IR || l->ir < b->n_ins);
		cr_assert_lt(l->host, w->code_bytes);
		cr_assert(i == 0 || l->host >= l[-1].host, "not ascending");
		seen[l->block][l->insn] = true;
		stores |= l->ir != TIER2_LINE_NO_IR && b->ins[l->ir].op == IR_STORE8;
	}
	for (uint32_t i = 0; i < 4; i++)
		cr_assert(seen[0][i], "no code of instruction %u", i);
	cr_assert(stores, "the store has no code");
	tier2_work_free(w);
	tier2_free(t);
	frontend_free(f);
}

/* The texts of the module are those of a compiler without the marks. */
Test(dump_tier2, text_has_no_marks)
{
	static const struct jit_stubs stubs;
	struct frontend *f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2);
	struct tier2 *t = new_tier2(&stubs);
	struct tier2_work *w = new_work(f);
	char *before, *after;
	size_t n_before, n_after;
	FILE *fb = open_memstream(&before, &n_before), *fa = open_memstream(&after, &n_after);

	cr_assert_eq(tier2_dump(t, w, fb, fa), 0);
	fclose(fb);
	fclose(fa);
	cr_assert(strstr(before, "alloca") && !strstr(before, "!dbg") && !strstr(before, "DILocation"));
	cr_assert(strstr(after, "define") && !strstr(after, "alloca") && !strstr(after, "!dbg"));
	free(before);
	free(after);
	tier2_work_free(w);
	tier2_free(t);
	frontend_free(f);
}
