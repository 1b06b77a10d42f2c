/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "vmm/commands.h"
#include "vmm/dump.h"
#include "vmm/loader.h"
#include "vmm/options.h"

/* `disco dump`: blocks of an image, or bare words, through the first walk; nothing of them is executed. */

#define IMAGE_RAM_BYTES MEM_MAX_BYTES

struct dumper {
	const struct dump_options *opt;
	struct frontend *frontend;
	struct jit *jit;
	struct machine *machine;
	struct pmap *ram; /* with --kernel */
	bool big_endian;
	struct guest_state *gs;
	struct arena arena;
	uint32_t mode;
	uint64_t pc;
	uint32_t words[PAGE_BYTES / 4];
	uint32_t n_words;
	uint8_t page[PAGE_BYTES]; /* stands for the machine page */
	void *code;
};

static bool wants(const struct dumper *d, char letter)
{
	return strchr(d->opt->stages, letter);
}

static int open_image(struct dumper *d)
{
	struct machine_config mc = {.bytes = IMAGE_RAM_BYTES, .nodes = 1};
	struct loaded_image image;
	struct loader_error err;
	int r = machine_new(&d->machine, &mc);

	if (!r)
		r = pmap_new(&d->ram, d->machine, IMAGE_RAM_BYTES);
	if (r) {
		fprintf(stderr, "disco dump: %s\n", strerror(-r));
		return STATUS_FAILED;
	}
	if (loader_load_elf(d->ram, d->opt->kernel, &image, &err)) {
		fprintf(stderr, "disco dump: %s\n", err.text);
		return STATUS_USAGE;
	}
	d->big_endian = image.big_endian;
	return STATUS_OK;
}

static int open_dumper(struct dumper *d)
{
	struct jit_config jc = {
	    .tier1 = d->opt->tier == 1,
	    .tier2 = d->opt->tier == 2,
	    .sync_tier2 = d->opt->tier == 2,
	    .code_bytes = JIT_MEM_MIN_BYTES * 8,
	    .helpers = vmm_helpers,
	    .gs = d->gs,
	    .keep_ir = true,
	};

	d->gs->helpers = vmm_helpers;
	d->frontend = frontend_new(d->opt->cpu->isa);
	if (!d->frontend || jit_new(&d->jit, &jc)) {
		fprintf(stderr, "disco dump: the host has no memory for the translator\n");
		return STATUS_FAILED;
	}
	d->big_endian = d->opt->big_endian;
	return d->opt->kernel ? open_image(d) : STATUS_OK;
}

static void close_dumper(struct dumper *d)
{
	jit_free(d->jit);
	frontend_free(d->frontend);
	arena_free(&d->arena);
	if (d->ram)
		pmap_free(d->ram);
	if (d->machine)
		machine_free(d->machine);
	free(d->gs);
}

/* The words from pc to the end of its page. */
static int read_words(struct dumper *d, uint64_t pc)
{
	uint32_t n = (uint32_t)(PAGE_BYTES - (pc & PAGE_MASK)) / 4;

	if (!d->opt->kernel) {
		d->n_words = d->opt->n_words < n ? d->opt->n_words : n;
		memcpy(d->words, d->opt->words, 4 * d->n_words);
		return STATUS_OK;
	}
	if (pc < 0x80000000u || pc >= 0xc0000000u || pmap_read(d->ram, gpa(pc & 0x1fffffffu), d->words, 4 * n)) {
		fprintf(stderr, "disco dump: --at %08llx: not in the image's memory (KSEG0 or KSEG1, first 256 MiB)\n",
			(unsigned long long)pc);
		return STATUS_USAGE;
	}
	for (uint32_t i = 0; i < n && d->big_endian; i++)
		d->words[i] = __builtin_bswap32(d->words[i]);
	d->n_words = n;
	return STATUS_OK;
}

static struct ir_block *lift(struct dumper *d)
{
	static const uint32_t nop;
	struct lift_request rq = {
	    .mode = d->mode,
	    .abs_page = d->mode & MODE_ABS ? d->pc & ~PAGE_MASK : 0,
	    .off = (uint32_t)(d->pc & PAGE_MASK),
	    .words = d->words,
	    .n_words = d->n_words,
	    .slot = &nop,
	};
	struct ir_block *b = NULL;

	/* with bare words the last may be a branch: its slot is then a nop */
	if (frontend_lift(d->frontend, &d->arena, &rq, &b) != LIFT_OK)
		panic("lifting failed with a delay slot given");
	return b;
}

static void show_tier1(struct dumper *d, struct ir_block *b)
{
	struct code_page *cp = jit_code_page(d->jit, &d->code, d->page);
	struct translation *t = jit_compile_tier1(d->jit, cp, b);

	if (!wants(d, 'h'))
		return;
	printf(" host code, tier 1\n");
	jit_dump_host(d->jit, t, stdout);
}

static int show_block(struct dumper *d, uint64_t pc)
{
	bool user = d->opt->user;
	struct ir_block *b;
	int r = read_words(d, pc);

	if (r)
		return r;
	arena_reset(&d->arena);
	d->pc = pc;
	d->mode = (user ? MODE_USER : MODE_KERNEL) | MODE_CU1 | (d->big_endian ? MODE_BE : 0) |
		  (!user && pc >= 0x80000000u && pc < 0xc0000000u ? MODE_ABS : 0);
	b = lift(d);
	printf("block %08llx %s, %u instructions\n", (unsigned long long)pc, user ? "user" : "kernel", b->n_guest);
	if (wants(d, 'g'))
		dump_guest(d->frontend, b, pc & ~PAGE_MASK, stdout);
	if (wants(d, 'i')) {
		printf(" IR as lifted\n");
		ir_print(stdout, b);
	}
	ir_run_passes(b, NULL);
	if (wants(d, 'o')) {
		printf(" IR after passes\n");
		ir_print(stdout, b);
	}
	if (wants(d, 'x'))
		dump_ends(b, pc & ~PAGE_MASK, stdout);
	if (d->opt->tier == 1)
		show_tier1(d, b);
	else if (jit_dump_tier2(d->jit, &b, 1, wants(d, 'l'), wants(d, 'L'), wants(d, 'h'), stdout))
		printf(" not compiled by tier 2\n");
	return STATUS_OK;
}

int dump_main(const struct dump_options *opt)
{
	struct dumper *d = calloc(1, sizeof(*d));
	int r;

	if (d)
		d->gs = aligned_alloc(64, (sizeof(*d->gs) + 63) & ~(size_t)63);
	if (!d || !d->gs)
		panic("out of host memory");
	memset(d->gs, 0, sizeof(*d->gs));
	d->opt = opt;
	r = open_dumper(d);
	if (!r && !opt->n_addrs)
		r = show_block(d, 0x80001000u);
	for (unsigned i = 0; !r && i < opt->n_addrs; i++)
		r = opt->addrs[i] & 3 ? STATUS_USAGE : show_block(d, opt->addrs[i]);
	close_dumper(d);
	free(d);
	return r;
}
