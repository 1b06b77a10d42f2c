/* SPDX-License-Identifier: MIT */
/* Remove values that nobody uses. One walk from the end: every use has been seen before its definition. */
#include "ir/internal.h"

void ir_pass_dce(struct ir_block *b)
{
	/* One more, so that the IR_NONE operands have somewhere to go without a branch. */
	uint8_t *used = arena_alloc(b->arena, b->n_ins + 1);
	const uint32_t none = b->n_ins;

	if (b->term.kind == TERM_BRANCH || b->term.kind == TERM_INDIRECT)
		used[b->term.cond] = 1;
	for (uint32_t i = b->n_ins; i-- > 0;) {
		struct ir_ins *ins = &b->ins[i];

		if (ins->dead)
			continue;
		if (!used[i] && ir_is_removable(ins)) {
			ins->dead = 1;
			continue;
		}
		for (unsigned k = 0; k < 3; k++)
			used[ins->arg[k] == IR_NONE ? none : ins->arg[k]] = 1;
	}
}
