/* SPDX-License-Identifier: MIT */
/* The passes in the order of passes.def, with the verifier between them in debug builds. */
#include <stdlib.h>

#include "ir/internal.h"

#ifdef DISCO_ASSERT
static void check(const struct ir_block *b, const char *after)
{
	const char *wrong = ir_verify(b);
	char *text = NULL;
	size_t bytes;
	FILE *f;

	if (!wrong)
		return;
	f = open_memstream(&text, &bytes);
	if (f) {
		ir_print(f, b);
		fclose(f);
	}
	panic("IR after %s: %s\n%s", after, wrong, text ? text : "");
}
#else
static void check(const struct ir_block *b, const char *after) {}
#endif

void ir_run_passes(struct ir_block *b, const struct ir_dump *dump)
{
	check(b, "lifting");
#define PASS(name, letter)                                                                                             \
	ir_pass_##name(b);                                                                                             \
	check(b, #name);                                                                                               \
	if (dump)                                                                                                      \
		dump->after(dump->ctx, #name, #letter[0], b);
#include "ir/passes.def"
#undef PASS
}
