/* SPDX-License-Identifier: MIT */
/* The verifier refuses every kind of damage, and says what it is. */
#include <criterion/criterion.h>
#include <string.h>

#include "ir/ir.h"

/* Two good blocks; each row of the table damages a fresh copy of one. */
static const char mapped_text[] = "block user,cu1\n"
				  "guest 0xffc 10400003\n"
				  "guest 0x1000 00000000 bd\n"
				  "exit page:+16\n"
				  "insn 0\n"
				  "%1 = getreg $v0\n"
				  "%2 = const 5\n"
				  "%3 = add %1, %2\n"
				  "%4 = sext64 %3\n"
				  "%5 = pcrel +8\n"
				  "%6 = pcregion 0x100\n"
				  "%7 = lds64 fpr[2]\n"
				  "sts32 fcr31, %2\n"
				  "%9 = load32 %1\n"
				  "store64 %1, %4\n"
				  "%11 = call cp0_read %2\n"
				  "raiseif ov, %3\n"
				  "exitif 0, %3\n"
				  "insn 1\n"
				  "setreg $v0, %11\n"
				  "branch @0, %3, page:+4, region:0x1000, call page:+8\n";
static const char abs_text[] = "block kernel,abs page 0x80001000\n"
			       "guest 0x10 00000000\n"
			       "guest 0x14 00000000\n"
			       "insn 0\n"
			       "%1 = const 5\n"
			       "insn 1\n"
			       "raise @1, sys\n";

typedef void damage_fn(struct ir_block *b);

static struct ir_block *parse(struct arena *a, const char *text)
{
	const char *err;
	struct ir_block *b = ir_parse(a, text, &err);

	cr_assert_not_null(b, "%s", err);
	return b;
}

/* name, text, damage, complaint */
#define DAMAGES(X)                                                                                                     \
	X(no_guest, mapped_text, b->n_guest = 0, "0 guest instructions")                                               \
	X(many_guest, mapped_text, b->n_guest = IR_MAX_GUEST + 2, "66 guest instructions")                             \
	X(huge_guest, mapped_text, b->n_guest = UINT32_MAX, "guest instructions")                                      \
	X(guest_odd, mapped_text, b->guest[0].off = 2, "offset 2 is not in the page")                                  \
	X(guest_negative, mapped_text, b->guest[0].off = -4, "offset -4")                                              \
	X(guest_gap, abs_text, b->guest[1].off = 0x18, "does not follow")                                              \
	X(guest_next_page, mapped_text, b->guest[1].bd = false, "only a delay slot")                                   \
	X(mode_bits, mapped_text, b->mode |= 1u << MODE_BITS, "unknown bits")                                          \
	X(page_in_mapped, mapped_text, b->abs_page = 0x1000, "does not go with the mode")                              \
	X(page_unaligned, abs_text, b->abs_page |= 4, "does not go with the mode")                                     \
	X(page_sign_extended, abs_text, b->abs_page |= ~UINT64_C(0) << 32, "does not go with the mode")                \
	X(too_many_ins, mapped_text, b->n_ins = IR_MAX_INS + 1, "4097 instructions")                                   \
	X(past_allocation, mapped_text, b->n_ins = b->cap_ins + 1, "allocated")                                        \
	X(too_many_exits, mapped_text, b->n_exits = IR_MAX_EXITS + 1, "5 exits")                                       \
	X(exit_kind, mapped_text, b->exits[0].kind = 3, "unknown kind 3")                                              \
	X(exit_abs_in_mapped, mapped_text, b->exits[0].kind = TGT_ABS, "absolute target")                              \
	X(op, mapped_text, b->ins[3].op = NUM_IR_OPS, "%3: unknown op")                                                \
	X(op_255, mapped_text, b->ins[3].op = 255, "%3: unknown op 255")                                               \
	X(arg_missing, mapped_text, b->ins[3].arg[1] = IR_NONE, "%3: operand 1 is missing")                            \
	X(arg_extra, mapped_text, b->ins[3].arg[2] = 1, "%3: operand 2 on an op with 2")                               \
	X(arg_self, mapped_text, b->ins[3].arg[0] = 3, "%3 is not defined before")                                     \
	X(arg_later, mapped_text, b->ins[3].arg[0] = 9, "%9 is not defined before")                                    \
	X(arg_outside, mapped_text, b->ins[3].arg[0] = 0xfffe, "%65534 is not defined before")                         \
	X(arg_dead, mapped_text, b->ins[1].dead = 1, "%3: operand 0: %1 was removed")                                  \
	X(arg_void, mapped_text, b->ins[9].arg[0] = 8, "%8 is a V, want W")                                            \
	X(arg_wide, mapped_text, b->ins[9].arg[0] = 4, "%4 is a D, want W")                                            \
	X(arg_narrow, mapped_text, b->ins[10].arg[1] = 3, "%3 is a W, want D")                                         \
	X(imm_unwanted, mapped_text, b->ins[3].imm = 1, "on an op that has none")                                      \
	X(const_wide, mapped_text, b->ins[2].imm = -1, "not zero-extended")                                            \
	X(reg_zero, mapped_text, b->ins[1].imm = 0, "guest register 0")                                                \
	X(reg_large, mapped_text, b->ins[1].imm = NUM_REGS, "guest register 34")                                       \
	X(reg_negative, mapped_text, b->ins[1].imm = -1, "guest register -1")                                          \
	X(off_misaligned, mapped_text, b->ins[7].imm += 4, "misaligned")                                               \
	X(off_negative, mapped_text, b->ins[7].imm = -8, "outside guest_state")                                        \
	X(off_end, mapped_text, b->ins[7].imm = sizeof(struct guest_state), "outside guest_state")                     \
	X(off_register, mapped_text, b->ins[7].imm = GS_REG(2), "is a guest register")                                 \
	X(off_pointer, mapped_text, b->ins[7].imm = offsetof(struct guest_state, helpers), "not a field")              \
	X(off_straddles, mapped_text, b->ins[7].imm = offsetof(struct guest_state, fcr31), "not a field")              \
	X(off_read_only, mapped_text, b->ins[8].imm = offsetof(struct guest_state, pc_page), "pc_page is read-only")   \
	X(mem_flags, mapped_text, b->ins[9].imm = MEM_SIGN, "memory flags 0x4")                                        \
	X(store_intent, mapped_text, b->ins[10].imm = MEM_INTENT, "flag of a load")                                    \
	X(helper_large, mapped_text, b->ins[11].imm = NUM_HELPERS, "%11: helper")                                      \
	X(helper_negative, mapped_text, b->ins[11].imm = -1, "%11: helper -1")                                         \
	X(helper_arg_missing, mapped_text, b->ins[11].arg[0] = IR_NONE, "%11: operand 0 is missing")                   \
	X(helper_arg_extra, mapped_text, b->ins[11].arg[1] = 2, "%11: operand 1 on an op with 1")                      \
	X(helper_arg_type, mapped_text, b->ins[11].arg[0] = 4, "%4 is a D, want W")                                    \
	X(exc_unknown, mapped_text, b->ins[12].imm = 31, "exception code 0x1f")                                        \
	X(exc_unit, mapped_text, b->ins[12].imm = EXC_OV | 1 << 8, "exception code 0x10c")                             \
	X(exc_wide, mapped_text, b->ins[12].imm = EXC_CPU | 4 << 8, "exception code 0x40b")                            \
	X(exit_index, mapped_text, b->ins[13].imm = 1, "exit 1 of 1")                                                  \
	X(exit_negative, mapped_text, b->ins[13].imm = -1, "exit -1")                                                  \
	X(marker_large, mapped_text, b->ins[14].imm = 2, "marker of guest instruction 2 of 2")                         \
	X(marker_again, mapped_text, b->ins[14].imm = 0, "marker of guest instruction 0 follows 0")                    \
	X(marker_missing, mapped_text, b->ins[0].dead = 1, "%9: LOAD32 before the first marker")                       \
	X(pcrel_in_abs, abs_text, b->ins[1].op = IR_PCREL, "pc-relative value in a MODE_ABS block")                    \
	X(pcregion_in_abs, abs_text, b->ins[1].op = IR_PCREGION, "pc-relative value in a MODE_ABS block")              \
	X(pcrel_range, mapped_text, b->ins[5].imm = INT64_C(1) << 31, "page offset 2147483648")                        \
	X(pcregion_range, mapped_text, b->ins[6].imm = 0x10000000, "region offset 0x10000000")                         \
	X(term_kind, mapped_text, b->term.kind = TERM_RAISE + 1, "terminator: unknown kind 6")                         \
	X(term_hint, mapped_text, b->term.hint = 3, "terminator: hint 3")                                              \
	X(term_insn, mapped_text, b->term.insn = 2, "belongs to guest instruction 2 of 2")                             \
	X(term_cond_missing, mapped_text, b->term.cond = IR_NONE, "terminator: operand 0 is missing")                  \
	X(term_cond_outside, mapped_text, b->term.cond = 100, "%100 is not defined before")                            \
	X(term_cond_wide, mapped_text, b->term.cond = 4, "%4 is a D, want W")                                          \
	X(term_cond_dead, mapped_text, (b->ins[15].dead = 1, b->ins[11].dead = 1, b->term.cond = 11), "was removed")   \
	X(term_target, mapped_text, b->term.target[1].kind = TGT_ABS, "absolute target")                               \
	X(term_page_range, mapped_text, b->term.target[0].v = INT64_C(1) << 40, "of a target is out of range")         \
	X(term_region_range, mapped_text, b->term.target[1].v = 0x10000000, "region offset 0x10000000 of a target")    \
	X(term_link, mapped_text, b->term.link.kind = TGT_ABS, "absolute target")                                      \
	X(term_exc, abs_text, b->term.exc = 255, "exception code 0xff")                                                \
	X(term_mapped_in_abs, abs_text, (b->term.kind = TERM_JUMP, b->term.target[0].kind = TGT_PAGE),                 \
	  "position-independent target")                                                                               \
	X(term_abs_wide, abs_text, (b->term.kind = TERM_JUMP, b->term.target[0].v = INT64_C(1) << 32),                 \
	  "not a zero-extended address")

#define X(name, text, damage, want)                                                                                    \
	static void damage_##name(struct ir_block *b) { (void)(damage); }
DAMAGES(X)
#undef X

static const struct {
	const char *name, *text, *want;
	damage_fn *fn;
} damages[] = {
#define X(name, text, damage, want) {#name, text, want, damage_##name},
    DAMAGES(X)
#undef X
};

Test(ir_verify, accepts)
{
	struct arena a = {NULL};

	cr_assert_null(ir_verify(parse(&a, mapped_text)));
	cr_assert_null(ir_verify(parse(&a, abs_text)));
	arena_free(&a);
}

Test(ir_verify, rejects)
{
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		struct arena a = {NULL};
		struct ir_block *b = parse(&a, damages[i].text);
		const char *got;
		char *text = NULL;
		size_t bytes;
		FILE *f;

		damages[i].fn(b);
		got = ir_verify(b);
		cr_expect(got && strstr(got, damages[i].want), "%s: want \"%s\", got \"%s\"", damages[i].name,
			  damages[i].want, got);
		/* panic() prints damaged blocks. */
		f = open_memstream(&text, &bytes);
		ir_print(f, b);
		fclose(f);
		cr_expect_gt(bytes, 0);
		free(text);
		arena_free(&a);
	}
}
