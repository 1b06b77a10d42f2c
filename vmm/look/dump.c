/* SPDX-License-Identifier: MIT */
/* --dump: what passes the filter, as it is translated. */
#include "vmm/boot/loader_internal.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"
#include "vmm/cpu/region_build.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/dump.h"
#include "vmm/look/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pc_range {
	uint32_t low, high;
};

struct vm_dump {
	struct dump_sink sink;
	struct ir_dump passes;
	struct symbols *symbols;
	struct slide slide; /* how far the kernel has moved itself: looked for until it is found */
	bool found_slide;
	const struct dump_filter *filter;
	struct pc_range *ranges; /* of the filter's symbol: static functions may share a name */
	unsigned n_ranges;
	bool on; /* the block in progress passed the filter */
};

void vm_dump_free(struct vm_dump *d)
{
	if (!d)
		return;
	symbols_free(d->symbols);
	free(d->ranges);
	free(d);
}

static int find_ranges(struct vm_dump *d, struct loader_error *err)
{
	const struct dump_filter *f = d->filter;
	struct pc_range r;

	while (symbols_find(d->symbols, f->symbol, strlen(f->symbol), d->n_ranges, &r.low, &r.high)) {
		struct pc_range *more = realloc(d->ranges, (d->n_ranges + 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		d->ranges = more;
		d->ranges[d->n_ranges++] = r;
	}
	if (d->n_ranges)
		return 0;
	return loader_fail(err, -EINVAL, "--dump-filter sym=%.300s: no such symbol in %s", f->symbol,
			   symbols_count(d->symbols) ? "the kernel or --symbols" : "the kernel; --symbols adds a list");
}

static int open_symbols(struct vm_dump *d, const struct run_options *opt, struct loader_error *err)
{
	struct elf_image *image;
	int r = elf_image_open(&image, opt->kernel, err);

	if (r)
		return r;
	r = symbols_open(&d->symbols, image, opt->kernel, opt->symbols, err);
	slide_init(&d->slide, image);
	elf_image_free(image);
	return r;
}

int vm_dump_open(struct vm *vm, const struct run_options *opt, FILE *out, struct loader_error *err)
{
	struct vm_dump *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->filter = &opt->dump_filter;
	r = open_symbols(d, opt, err);
	if (!r && d->filter->symbol)
		r = find_ranges(d, err);
	if (r) {
		vm_dump_free(d);
		return r;
	}
	d->sink =
	    (struct dump_sink){.out = out, .letters = opt->dump, .frontend = vm->vcpu->frontend, .symbols = d->symbols};
	d->passes = (struct ir_dump){dump_block_pass, &d->sink};
	vm->dump = d;
	return 0;
}

/* Names follow a kernel that has moved itself.  It has, when code runs where nothing of it was linked to. */
static void follow_kernel(struct vm_dump *d, struct vm *vm, uint64_t pc)
{
	uint32_t slide;

	if (d->found_slide || !slide_suspected(&d->slide, pc))
		return;
	slide = slide_find(&d->slide, vm->ram);
	d->found_slide = slide != 0;
	if (slide)
		symbols_set_slide(d->symbols, d->slide.low, d->slide.high, slide);
}

static bool matches(const struct vm_dump *d, uint64_t pc, uint32_t mode, enum tier tier)
{
	const struct dump_filter *f = d->filter;

	if (pc < f->pc_low || pc > f->pc_high || (f->mode >= 0 && (int)(mode & MODE_KSU) != f->mode) ||
	    (f->tier >= 0 && (int)tier != f->tier))
		return false;
	pc = symbols_linked(d->symbols, pc);
	for (unsigned i = 0; i < d->n_ranges; i++)
		if (pc >= d->ranges[i].low && pc <= d->ranges[i].high)
			return true;
	return !d->filter->symbol;
}

void vm_dump_lifted(struct vm *vm, const struct ir_block *b, uint64_t pc, enum tier tier)
{
	struct vm_dump *d = vm->dump;

	if (!d)
		return;
	follow_kernel(d, vm, pc);
	d->on = matches(d, pc, b->mode, tier);
	if (d->on)
		dump_block_begin(&d->sink, b, pc, tier);
}

const struct ir_dump *vm_dump_passes(struct vm *vm) { return vm->dump && vm->dump->on ? &vm->dump->passes : NULL; }

void vm_dump_optimised(struct vm *vm, const struct ir_block *b, uint64_t pc, enum tier tier)
{
	struct vm_dump *d = vm->dump;

	if (!d || !d->on)
		return;
	dump_block_final(&d->sink, b);
	if (tier != TIER_2) /* the region says it */
		dump_block_ends(&d->sink, b, pc);
}

void vm_dump_tier1(struct vm *vm, const struct translation *t)
{
	struct vm_dump *d = vm->dump;

	if (d && d->on)
		dump_block_host(&d->sink, vm->vcpu->jit, t);
}

/* Shown if the filter takes any of its blocks. What does not compile says so in the dump. */
void vm_dump_region(struct vm *vm, const struct jit_region *r, const struct region_plan *plan, uint64_t pc)
{
	struct vm_dump *d = vm->dump;

	if (!d || !strpbrk(d->sink.letters, "lLhx"))
		return;
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		if (!matches(d, ir_insn_pc(r->blocks[i], 0, plan->page_va), r->blocks[i]->mode, TIER_2))
			continue;
		(void)dump_region_end(&d->sink, vm->vcpu->jit, r, plan, pc);
		return;
	}
}
