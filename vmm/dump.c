/* SPDX-License-Identifier: MIT */
#include "vmm/dump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct vm_dump {
	const char *letters;
	struct dump_filter filter;
	FILE *out;
	bool on; /* the block in progress passed the filter */
};

static bool wants(const struct vm_dump *d, char letter)
{
	return strchr(d->letters, letter);
}

struct vm_dump *vm_dump_new(const char *letters, const struct dump_filter *filter, FILE *out)
{
	struct vm_dump *d = calloc(1, sizeof(*d));

	if (d)
		*d = (struct vm_dump){.letters = letters, .filter = *filter, .out = out};
	return d;
}

void vm_dump_free(struct vm_dump *d)
{
	free(d);
}

static const char *mode_name(uint32_t mode)
{
	static const char *const names[] = {"kernel", "supervisor", "user", "?"};

	return names[mode & MODE_KSU];
}

static bool matches(const struct vm_dump *d, uint64_t pc, uint32_t mode)
{
	const struct dump_filter *f = &d->filter;

	return pc >= f->pc_low && pc <= f->pc_high && (f->mode < 0 || (int)(mode & MODE_KSU) == f->mode);
}

void dump_guest(struct frontend *f, const struct ir_block *b, uint64_t page_va, FILE *out)
{
	char text[128];

	for (uint32_t i = 0; i < b->n_guest; i++) {
		uint64_t pc = ir_insn_pc(b, i, page_va);

		frontend_disasm(f, pc, b->guest[i].word, text, sizeof(text));
		fprintf(out, "  %08" PRIx64 "  %08x %s %s\n", pc, b->guest[i].word, b->guest[i].bd ? "|" : " ", text);
	}
}

static void dump_target(const struct ir_block *b, struct ir_target t, uint64_t page_va, FILE *out)
{
	uint64_t pc = ir_target_pc(b, t, page_va);

	fprintf(out, "%08" PRIx64 "%s", pc,
		t.kind == TGT_ABS             ? " (unmapped: direct link)"
		: (pc ^ page_va) & ~PAGE_MASK ? " (another page: link through the checked entry)"
					      : " (same page: direct link)");
}

/* Where a block goes, and why it ended there. */
void dump_ends(const struct ir_block *b, uint64_t page_va, FILE *out)
{
	static const char *const why[] = {
	    [TERM_JUMP] = "jump or fall-through",
	    [TERM_BRANCH] = "conditional branch",
	    [TERM_INDIRECT] = "indirect jump",
	    [TERM_PC_SET] = "the instruction sets the pc (ERET)",
	    [TERM_LEAVE] = "the instruction may change the mode, the address space or interrupts",
	    [TERM_RAISE] = "always raises an exception",
	};
	const struct ir_term *t = &b->term;

	for (uint32_t i = 0; i < b->n_exits; i++) {
		fprintf(out, "  side exit %u -> ", i);
		dump_target(b, b->exits[i], page_va, out);
		fputc('\n', out);
	}
	fprintf(out, "  ends: %s%s\n", why[t->kind],
		t->hint == HINT_CALL     ? ", call"
		: t->hint == HINT_RETURN ? ", return (ring)"
					 : "");
	for (unsigned i = 0; i < (t->kind == TERM_BRANCH ? 2u : 1u); i++) {
		if (t->kind != TERM_JUMP && t->kind != TERM_BRANCH && t->kind != TERM_LEAVE)
			break;
		fprintf(out, "  %s ", t->kind != TERM_BRANCH ? "->" : i ? "not taken ->" : "taken ->");
		dump_target(b, t->target[i], page_va, out);
		fputc('\n', out);
	}
}

void vm_dump_lifted(struct vm *vm, const struct ir_block *b, uint64_t pc)
{
	struct vm_dump *d = vm->dump;

	if (!d)
		return;
	d->on = matches(d, pc, b->mode);
	if (!d->on)
		return;
	fprintf(d->out, "block %08" PRIx64 " %s, %u instructions\n", pc, mode_name(b->mode), b->n_guest);
	if (wants(d, 'g'))
		dump_guest(vm->vcpu->frontend, b, pc & ~PAGE_MASK, d->out);
	if (wants(d, 'i')) {
		fprintf(d->out, " IR as lifted\n");
		ir_print(d->out, b);
	}
}

void vm_dump_translation(struct vm *vm, const struct translation *t, const struct ir_block *b, uint64_t pc)
{
	struct vm_dump *d = vm->dump;

	if (!d || !d->on)
		return;
	if (wants(d, 'o')) {
		fprintf(d->out, " IR after passes\n");
		ir_print(d->out, b);
	}
	if (wants(d, 'x'))
		dump_ends(b, pc & ~PAGE_MASK, d->out);
	if (wants(d, 'h') && t) {
		fprintf(d->out, " host code, tier 1\n");
		jit_dump_host(vm->vcpu->jit, t, d->out);
	}
}

void vm_dump_region(struct vm *vm, struct ir_block *const *blocks, uint32_t n, uint64_t pc)
{
	struct vm_dump *d = vm->dump;
	int err;

	if (!d || !matches(d, pc, blocks[0]->mode) || !strpbrk(d->letters, "lLhx"))
		return;
	fprintf(d->out, "region %08" PRIx64 " %s, tier 2, %u blocks\n", pc, mode_name(blocks[0]->mode), n);
	for (uint32_t i = 0; i < n && wants(d, 'x'); i++) {
		fprintf(d->out, " block %08" PRIx64 "\n", ir_insn_pc(blocks[i], 0, pc & ~PAGE_MASK));
		dump_ends(blocks[i], pc & ~PAGE_MASK, d->out);
	}
	err = jit_dump_tier2(vm->vcpu->jit, blocks, n, wants(d, 'l'), wants(d, 'L'), wants(d, 'h'), d->out);
	if (err)
		fprintf(d->out, " not compiled: error %d\n", -err);
}
