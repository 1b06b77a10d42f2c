/* SPDX-License-Identifier: MIT */
/* --dump: what passes the filter, as it is translated. */
#include "numa/numa.h"
#include "vmm/boot/loader_internal.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/region_build.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/dump.h"
#include "vmm/look/dump_again.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"
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

	struct dump_again *again;
	char why_again[DUMP_AGAIN_BYTES]; /* of the heading in progress */
	uint64_t head;                    /* pc of the region whose blocks are being lifted; NO_HEAD: none yet */

	/* JSON: one object a line. The one in progress goes to memory first. */
	FILE *out;
	char *line;
	size_t line_bytes;
};

#define NO_HEAD UINT64_MAX

void vm_dump_free(struct vm_dump *d)
{
	if (!d)
		return;
	symbols_free(d->symbols);
	dump_again_free(d->again);
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
	d->again = dump_again_new();
	r = d->again ? open_symbols(d, opt, err) : -ENOMEM;
	if (!r && d->filter->symbol)
		r = find_ranges(d, err);
	if (r) {
		vm_dump_free(d);
		return r;
	}
	d->head = NO_HEAD;
	d->out = out;
	d->sink = (struct dump_sink){.out = out,
				     .letters = opt->dump,
				     .json = opt->json,
				     .stable = opt->stable,
				     .frontend = vm->vcpu->frontend,
				     .symbols = d->symbols};
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

/* ---- one object a line (JSON); text goes where it belongs at once ---- */

static void open_line(struct vm_dump *d)
{
	if (!d->sink.json)
		return;
	d->sink.inner = false;
	d->sink.out = open_memstream(&d->line, &d->line_bytes);
	if (!d->sink.out)
		panic("out of host memory");
}

static void close_line(struct vm_dump *d)
{
	if (!d->sink.json)
		return;
	fclose(d->sink.out);
	d->sink.out = d->out;
	/* newlines inside of strings are escaped, so those that are left are blanks */
	for (size_t i = 0; i < d->line_bytes; i++)
		fputc(d->line[i] == '\n' ? ' ' : d->line[i], d->out);
	fputc('\n', d->out);
	free(d->line);
}

/* ---- headings ---- */

static uint64_t hash_words(uint64_t h, const struct ir_block *b)
{
	for (uint32_t i = 0; i < b->n_guest; i++)
		h = (h ^ b->guest[i].word) * 0x100000001b3ull; /* FNV-1a, by words */
	return h;
}

/* What the heading says besides. */
static void note_again(struct vm_dump *d, struct vm *vm, struct dump_shown now)
{
	struct jit_stats s = {0}; /* --tiers interp has no JIT */
	const struct machine_page *page = mem_fetch_try(vm->vcpu, gva(now.pc));

	if (vm->vcpu->jit)
		s = jit_stats(vm->vcpu->jit);
	now.page = page ? page->mpn : UINT32_MAX;
	now.flushes = s.flushes;
	now.invalidated = s.invalidated;
	dump_again_note(d->again, &now, d->why_again);
	d->sink.again = d->why_again[0] ? d->why_again : NULL;
}

/* ---- the walk ---- */

void vm_dump_lifted(struct vm *vm, const struct ir_block *b, uint64_t pc, enum tier tier)
{
	struct vm_dump *d = vm->dump;

	if (!d)
		return;
	if (tier != TIER_2)
		d->head = NO_HEAD;
	else if (d->head == NO_HEAD)
		d->head = pc;
	follow_kernel(d, vm, pc);
	d->on = matches(d, pc, b->mode, tier);
	if (!d->on)
		return;
	note_again(d, vm,
		   (struct dump_shown){.pc = pc,
				       .tier = (uint8_t)tier,
				       .mode = b->mode,
				       .code = hash_words(0, b),
				       .n_guest = b->n_guest,
				       .head = tier == TIER_2 ? d->head : 0});
	open_line(d);
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
	if (tier == TIER_1) /* its host code is to come */
		return;
	dump_block_end(&d->sink);
	close_line(d);
}

void vm_dump_tier1(struct vm *vm, const struct translation *t)
{
	struct vm_dump *d = vm->dump;

	if (!d || !d->on)
		return;
	dump_block_host(&d->sink, vm->vcpu->jit, t);
	dump_block_end(&d->sink);
	close_line(d);
}

static void show_region(struct vm_dump *d, struct vm *vm, const struct jit_region *r, const struct region_plan *plan,
			uint64_t pc)
{
	struct dump_shown now = {.pc = pc,
				 .tier = TIER_2,
				 .region = true,
				 .mode = r->blocks[0]->mode,
				 .code = hash_words(0, r->blocks[0]),
				 .n_blocks = r->n_blocks};

	note_again(d, vm, now);
	open_line(d);
	dump_region_begin(&d->sink, pc, now.mode);
	for (uint32_t i = 0; i < r->n_blocks && d->sink.json; i++)
		dump_json_block_ref(&d->sink, r->blocks[i], plan->page_va);
	(void)dump_region_end(&d->sink, vm->vcpu->jit, r, plan, pc);
	close_line(d);
}

void vm_dump_region_begin(struct vm *vm, uint64_t pc)
{
	if (vm->dump)
		vm->dump->head = pc;
}

/* Shown if the filter takes any of its blocks. What does not compile says so in the dump. */
void vm_dump_region(struct vm *vm, const struct jit_region *r, const struct region_plan *plan, uint64_t pc)
{
	struct vm_dump *d = vm->dump;

	if (!d)
		return;
	d->head = NO_HEAD;
	for (uint32_t i = 0; i < r->n_blocks && strpbrk(d->sink.letters, "lLhx"); i++) {
		if (!matches(d, ir_insn_pc(r->blocks[i], 0, plan->page_va), r->blocks[i]->mode, TIER_2))
			continue;
		show_region(d, vm, r, plan, pc);
		return;
	}
}
