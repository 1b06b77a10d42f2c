/* SPDX-License-Identifier: MIT */
/* The dumps of host code: what a reader looks for is there, and dumping changes nothing. */
#include <stdio.h>

#include "tests/unit/jit_machine.h"

static void expect_text(const char *text, const char *const *wanted)
{
	for (; *wanted; wanted++)
		cr_assert_not_null(strstr(text, *wanted), "no \"%s\" in:\n%s", *wanted, text);
}

static struct ir_block *block(struct arena *a)
{
	struct ir_block *b = room_block(a, MODE_USER, 0, 0x100, 2, room_jump(room_off(0x100)));

	b->guest[0].word = 0x25080001;
	b->guest[1].word = 0x1000fffe;
	ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, 1);
	ir_setreg(b, 2, ir_emit(b, IR_LOAD32, ir_getreg(b, 29), IR_NONE, IR_NONE, 0));
	return b;
}

Test(jit_dump, tier1)
{
	static const char *const wanted[] = {
	    "tier 1, page+0x100, mode 0x2, 2 guest instructions",
	    "link 0 (near) to page+0x100: linked",
	    "page+00000100: 25080001",
	    "= getreg $29", /* with its IR */
	    "= load32 0x0, %",
	    "cmp ",
	    "; load slow path",
	    "; entry failed",
	    "; exit(budget)",
	    "; exit(poll)",
	    NULL,
	};
	struct arena a = {NULL};
	struct room r;
	size_t n;
	char *text;
	FILE *out = open_memstream(&text, &n);

	room_open(&r, (struct jit_config){.icount = true, .keep_ir = true});
	jit_dump_host(r.jit, jit_compile_tier1(r.jit, room_page(&r, 0), block(&a)), out);
	fclose(out);
	expect_text(text, wanted);
	free(text);
	arena_free(&a);
	room_close(&r);
}

Test(jit_dump, tier2)
{
	static const char *const wanted[] = {
	    "define", "ghccc", "tier 2, page+0x100", "page+00000100: 25080001", "= load32 0x0, %", "cmp ", NULL};
	struct arena a = {NULL};
	struct ir_block *b = block(&a);
	struct room r;
	size_t n, used, data;
	char *text;
	FILE *out = open_memstream(&text, &n);

	room_open(&r, (struct jit_config){0});
	used = r.jit->cc->mem.code_used;
	data = r.jit->cc->mem.data_used;
	cr_assert_eq(jit_dump_tier2(r.jit, &b, 1, &(struct jit_dump){.before = out, .after = out, .host = out}), 0);
	fclose(out);
	expect_text(text, wanted);
	cr_assert(r.jit->cc->mem.code_used == used && r.jit->cc->mem.data_used == data, "the room was not given back");
	free(text);
	arena_free(&a);
	room_close(&r);
}
