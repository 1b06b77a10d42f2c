/* SPDX-License-Identifier: MIT */
/* Headings of what was shown before: each reason, modes, and the limits of what is remembered. */
#include "ir/mode.h"
#include "jit/jit.h"
#include "vmm/look/dump_again.h"

#include <criterion/criterion.h>

static struct dump_again *a;
static char text[DUMP_AGAIN_BYTES];

static const char *note(struct dump_shown now)
{
	dump_again_note(a, &now, text);
	return text;
}

static const struct dump_shown block = {.pc = 0x80001000, .tier = TIER_1, .page = 7, .code = 5, .n_guest = 3};

Test(dump_again, reasons)
{
	struct dump_shown b = block, r = {.pc = 0x80001000, .tier = TIER_2, .region = true, .code = 5, .n_blocks = 3};

	a = dump_again_new();
	cr_assert_str_eq(note(b), "");
	b.invalidated++;
	cr_assert_str_eq(note(b), "again: a write to its page dropped it");
	cr_assert_str_eq(note(b), "again: what was asked for before is not there yet, or was refused");
	b.code++;
	cr_assert_str_eq(note(b), "again: its code was written");
	b.page++;
	cr_assert_str_eq(note(b), "again: another page is there, with the same code");
	b.page++, b.code++;
	cr_assert_str_eq(note(b), "again: another page is there, with other code");
	b.flushes++, b.page++, b.code++;
	cr_assert_str_eq(note(b), "again: code memory was full and everything was dropped");
	b.tier = TIER_INTERP;
	cr_assert_str_eq(note(b), "", "another tier");
	cr_assert_str_eq(note(b), "again: interpreted once more");
	b.n_guest--, b.code++;
	cr_assert_str_eq(note(b), "again: another part of it is executed alone");

	cr_assert_str_eq(note(r), "", "a region is no block");
	r.n_blocks = 4;
	cr_assert_str_eq(note(r), "again: more of it has been executed, 3 blocks before");
	r.n_blocks = 1;
	cr_assert_str_eq(note(r), "again: less of it has been executed, 4 blocks before");
	b = block;
	b.tier = TIER_2;
	b.head = 0x80001000;
	cr_assert_str_eq(note(b), "");
	cr_assert_str_eq(note(b), "again: with its region");
	b.head = 0x80001800;
	cr_assert_str_eq(note(b), "again: for another entry, 80001800; before for 80001000");
	dump_again_free(a);
}

Test(dump_again, modes)
{
	struct dump_shown b = block;

	a = dump_again_new();
	b.mode = MODE_USER;
	cr_assert_str_eq(note(b), "");
	b.mode = MODE_USER | MODE_CU1;
	cr_assert_str_eq(note(b), "also in mode user, here user,cu1");
	b.mode = MODE_KERNEL | MODE_ABS;
	cr_assert_str_eq(note(b), "also in mode user and user,cu1, here kernel,abs");
	b.mode = MODE_USER;
	b.invalidated++;
	cr_assert_str_eq(note(b),
			 "again: a write to its page dropped it; also in mode user,cu1 and kernel,abs, here user");
	b.mode = MODE_USER | MODE_FR;
	b.code++;
	cr_assert_str_eq(note(b), "", "other code is not the same block");
	/* more modes than are remembered, each as long as a mode can be */
	for (unsigned i = 0; i < 1000; i++) {
		b.mode = i & ((1u << MODE_BITS) - 1);
		cr_assert_lt(strlen(note(b)), DUMP_AGAIN_BYTES);
	}
	dump_again_free(a);
}

/* What shares a row is forgotten, never mixed up. */
Test(dump_again, many_places)
{
	a = dump_again_new();
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 300000; i++) {
			struct dump_shown b = block;

			b.pc = 0x80000000 + 4 * i;
			b.code = i;
			b.invalidated = round;
			note(b);
			cr_assert(!text[0] || (round && strcmp(text, "again: a write to its page dropped it") == 0),
				  "%s", text);
		}
	dump_again_free(a);
}
