/* SPDX-License-Identifier: MIT */
#ifndef JIT_TIER2_COMPILE_H
#define JIT_TIER2_COMPILE_H

/* From works to images: one LLVM module for a batch.  Included by jit/tier2_*.c only. */
#include "jit/llvm_gen.h"

#define TIER2_BATCH 8

/* What one thread compiles with. Zeroed is valid: LLVM is set up at first use. */
struct compiler {
	struct llvm_unit unit;
	bool ready, impossible;
	uint32_t n_modules; /* since the LLVM context was made */
	struct gen *gen;
	struct region *regions; /* [TIER2_BATCH] */
};

/* Where to write the module's text; either may be NULL. */
struct compile_dump {
	FILE *before, *after;
	bool lines; /* fill in tier2_work.lines: one work at a time */
};

/*
 * Compile n <= TIER2_BATCH works; every w[i]->refused, and what goes with it, is set.  If a batch fails as a whole, its
 * members are tried one by one, so that one region cannot spoil another.
 */
void compiler_run(struct compiler *c, const struct tier2_config *cfg, struct tier2_work **w, uint32_t n,
		  const struct compile_dump *dump);
void compiler_fini(struct compiler *c);

#endif
