/* SPDX-License-Identifier: MIT */
#ifndef VMM_DUMP_H
#define VMM_DUMP_H

/* --dump: what the translator does, stage by stage, as it happens (design.md section 8). */
#include "vmm/vm.h"

struct dump_filter {
	uint64_t pc_low, pc_high; /* guest virtual, both inclusive */
	int mode;                 /* -1 any, else MODE_KERNEL, MODE_SUPERVISOR or MODE_USER */
};

/* letters: those of vmm/options.h; must outlive the dump. filter is copied. NULL: out of memory. */
struct vm_dump *vm_dump_new(const char *letters, const struct dump_filter *filter, FILE *out);
void vm_dump_free(struct vm_dump *d);

/* Hooks of the first walk, in its order; cheap when vm->dump is NULL. pc: where the block starts. */
void vm_dump_lifted(struct vm *vm, const struct ir_block *b, uint64_t pc);
/* t: NULL if the compiler refused it. */
void vm_dump_translation(struct vm *vm, const struct translation *t, const struct ir_block *b, uint64_t pc);
void vm_dump_region(struct vm *vm, struct ir_block *const *blocks, uint32_t n, uint64_t pc);

/* The stages on their own, for `disco dump` too. page_va: gva of the page that the block is in. */
void dump_guest(struct frontend *f, const struct ir_block *b, uint64_t page_va, FILE *out);
void dump_ends(const struct ir_block *b, uint64_t page_va, FILE *out);

#endif
