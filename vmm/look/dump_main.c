/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/segments.h"
#include "frontend/cp0.h"
#include "frontend/frontend.h"
#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/options.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/region_build.h"
#include "vmm/look/dump.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/symbols.h"

/* `disco dump`: code of an image, or bare words, through the first walk; nothing of it is executed. */

#define WORDS_AT   0x80001000u
#define PAGE_WORDS (PAGE_BYTES / 4)

struct dumper {
	const struct dump_options *opt;
	struct dump_options *words; /* opt with the words of standard input */
	struct dump_sink sink;
	struct ir_dump passes;
	struct symbols *symbols;
	struct frontend *frontend;
	struct code_cache *cache;
	struct jit *jit;
	struct elf_image *image; /* of a file */
	bool big_endian;
	struct guest_state *gs;
	struct arena arena;

	/* The page that is being looked at. */
	uint64_t page_va;
	uint32_t word[PAGE_WORDS];
	uint32_t first, end; /* what there is of it, in words */
	uint32_t slot;       /* the first word of the next page, or a nop */
	bool shown[PAGE_WORDS];
	uint8_t page[PAGE_BYTES]; /* stands for the machine page */
	void *code;
};

static int fail(int status, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("disco dump: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

static int open_image(struct dumper *d)
{
	struct loader_error err = {{0}};

	if (elf_image_open(&d->image, d->opt->file, &err))
		return fail(STATUS_USAGE, "%s", err.text);
	d->big_endian = d->image->big_endian;
	return STATUS_OK;
}

static int open_symbols(struct dumper *d)
{
	struct loader_error err = {{0}};

	if (symbols_open(&d->symbols, d->image, d->opt->file, d->opt->symbols, &err))
		return fail(STATUS_USAGE, "%s", err.text);
	return STATUS_OK;
}

static int open_words(struct dumper *d)
{
	struct options_error err = {{0}};

	if (!d->opt->words_from_stdin)
		return STATUS_OK;
	d->words = malloc(sizeof(*d->words));
	if (!d->words)
		return fail(STATUS_FAILED, "%s", strerror(ENOMEM));
	*d->words = *d->opt;
	d->opt = d->words;
	return options_read_words(stdin, d->words, &err) ? fail(STATUS_USAGE, "%s", err.text) : STATUS_OK;
}

static int open_dumper(struct dumper *d)
{
	struct jit_config jc = {
	    .tier1 = d->opt->tier == 1,
	    .tier2 = d->opt->tier == 2,
	    .sync_tier2 = d->opt->tier == 2,
	    .code_bytes = JIT_MEM_MIN_BYTES * 8,
	    .helpers = vmm_helpers,
	    .keep_ir = true,
	};
	int r;

	d->gs->helpers = vmm_helpers;
	d->frontend = frontend_new(d->opt->cpu->isa);
	if (!d->frontend || code_cache_new(&d->cache, &jc) || jit_new(&d->jit, d->cache, d->gs))
		return fail(STATUS_FAILED, "the host has no memory for the translator");
	d->big_endian = d->opt->big_endian;
	r = d->opt->file ? open_image(d) : open_words(d);
	if (!r)
		r = open_symbols(d);
	d->sink = (struct dump_sink){.out = stdout,
				     .letters = d->opt->stages,
				     .json = d->opt->json,
				     .stable = d->opt->stable,
				     .frontend = d->frontend,
				     .symbols = d->symbols};
	d->passes = (struct ir_dump){dump_block_pass, &d->sink};
	return r;
}

static void close_dumper(struct dumper *d)
{
	if (d->code)
		code_cache_detach(d->cache, &d->code);
	jit_free(d->jit);
	code_cache_free(d->cache);
	frontend_free(d->frontend);
	symbols_free(d->symbols);
	arena_free(&d->arena);
	elf_image_free(d->image);
	free(d->words);
	free(d->gs);
}

/* ---- the page ---- */

static bool read_image(struct dumper *d, uint32_t va, void *to, uint32_t bytes)
{
	uint32_t *word = to;

	if (!elf_image_read(d->image, va, to, bytes))
		return false;
	for (uint32_t i = 0; i < bytes / 4 && d->big_endian; i++)
		word[i] = __builtin_bswap32(word[i]);
	return true;
}

/* What the image has around pc in its page: all of it, or less where a segment begins or ends. */
static bool read_page(struct dumper *d, uint32_t off)
{
	uint32_t page = (uint32_t)d->page_va;

	d->first = d->end = off / 4;
	while (d->first > 0 && read_image(d, page + 4 * (d->first - 1), &d->word[d->first - 1], 4))
		d->first--;
	while (d->end < PAGE_WORDS && read_image(d, page + 4 * d->end, &d->word[d->end], 4))
		d->end++;
	return d->end > off / 4;
}

/* The page around pc: of the image, or with the bare words from pc on. */
static int open_page(struct dumper *d, uint32_t pc)
{
	uint32_t off = pc & PAGE_MASK;

	d->page_va = pc & ~(uint32_t)PAGE_MASK;
	d->slot = 0;
	memset(d->shown, 0, sizeof(d->shown));
	if (d->opt->file) {
		if (!read_page(d, off))
			return fail(STATUS_USAGE, "--at %08x: not in the image", pc);
		if (!read_image(d, (uint32_t)d->page_va + PAGE_BYTES, &d->slot, 4))
			d->slot = 0;
		return STATUS_OK;
	}
	d->first = off / 4;
	d->end = d->first + d->opt->n_words;
	if (d->end > PAGE_WORDS)
		return fail(STATUS_USAGE, "--words: %u words at %08x do not fit in one page", d->opt->n_words, pc);
	memcpy(d->word + d->first, d->opt->words, 4 * d->opt->n_words);
	return STATUS_OK;
}

static uint32_t mode_at(const struct dumper *d)
{
	/* a program's code is for user mode, if nobody says otherwise */
	bool user = d->opt->user < 0 ? d->opt->file && segment_is_user(d->page_va) : d->opt->user;
	bool unmapped = !user && segment_is_unmapped(d->page_va);

	return (user ? MODE_USER : MODE_KERNEL) | MODE_CU1 | (d->big_endian ? MODE_BE : 0) | (unmapped ? MODE_ABS : 0);
}

/* Lift, show and optimise; what translate_page() is in a machine. */
static struct ir_block *lift(struct dumper *d, uint32_t off, struct arena *a)
{
	uint32_t mode = mode_at(d), tier = d->opt->tier;
	struct lift_request rq = {
	    .mode = mode,
	    .abs_page = mode & MODE_ABS ? d->page_va : 0,
	    .off = off,
	    .words = d->word + off / 4,
	    .n_words = d->end - off / 4,
	    .slot = &d->slot, /* of bare words the last may be a branch too */
	};
	struct ir_block *b = NULL;

	if (frontend_lift(d->frontend, a, &rq, &b) != LIFT_OK)
		panic("lifting failed with a delay slot given");
	for (uint32_t i = 0; i < b->n_guest; i++)
		if (b->guest[i].off < (int32_t)PAGE_BYTES)
			d->shown[b->guest[i].off / 4] = true;
	dump_block_begin(&d->sink, b, d->page_va + off, tier == 2 ? TIER_2 : TIER_1);
	ir_run_passes(b, &d->passes);
	dump_block_final(&d->sink, b);
	return b;
}

static int show_block(struct dumper *d, uint32_t off)
{
	struct ir_block *b;

	arena_reset(&d->arena);
	b = lift(d, off, &d->arena);
	dump_block_ends(&d->sink, b, d->page_va + off);
	if (dump_wants(&d->sink, 'h')) {
		struct code_page *cp = jit_code_page(d->jit, &d->code, d->page, 0, true);

		dump_block_host(&d->sink, d->jit, jit_compile_tier1(d->jit, cp, b));
		jit_invalidate_page(d->jit, cp); /* the next page uses the same one */
	}
	dump_block_end(&d->sink);
	return STATUS_OK;
}

/* ---- regions: what the head reaches inside the page, as if all of it had been executed ---- */

static struct ir_block *lift_for_region(void *ctx, uint32_t off, struct arena *a)
{
	struct dumper *d = ctx;
	struct ir_block *b;

	if (off / 4 < d->first || off / 4 >= d->end)
		return NULL;
	b = lift(d, off, a);
	dump_block_end(&d->sink);
	return b;
}

static bool always(void *ctx, uint32_t off) { return true; }

static int show_region(struct dumper *d, uint32_t off)
{
	struct region_source src = {lift_for_region, always, d};
	struct jit_region r = {0};
	struct region_plan plan;
	uint64_t pc = d->page_va + off;
	int err;

	d->shown[off / 4] = true;
	if (off == PAGE_BYTES - 4)
		return fail(STATUS_FAILED, "%08llx: tier 2 takes no block that begins in the last word of a page",
			    (unsigned long long)pc);
	dump_region_begin(&d->sink, pc, mode_at(d));
	region_build(&plan, &r, pc, &src);
	err = dump_region_end(&d->sink, d->jit, &r, &plan, pc);
	arena_free(&r.arena);
	return err ? fail(STATUS_FAILED, "%08llx: not compiled by tier 2", (unsigned long long)pc) : STATUS_OK;
}

static int show(struct dumper *d, uint32_t off) { return d->opt->tier == 1 ? show_block(d, off) : show_region(d, off); }

/* ---- what to show ---- */

/* Bare words: all of them, each in the first block or region that has it. */
static int show_words(struct dumper *d, uint32_t pc)
{
	int r = open_page(d, pc);

	for (uint32_t i = d->first; !r && i < d->end; i++)
		if (!d->shown[i])
			r = show(d, 4 * i);
	return r;
}

static int show_address(struct dumper *d, uint32_t pc, const struct dump_at *at)
{
	int r;

	if (pc % 4)
		return fail(STATUS_USAGE, "--at %.*s: %08x is not a multiple of 4", (int)at->len, at->text, pc);
	if (!d->opt->file)
		return show_words(d, pc);
	r = open_page(d, pc);
	return r ? r : show(d, pc & PAGE_MASK);
}

/* NAME or NAME+HEX: each symbol of that name. */
static int show_symbol(struct dumper *d, const struct dump_at *at, unsigned *n)
{
	const char *plus = memchr(at->text, '+', at->len);
	size_t len = at->len;
	uint32_t add = 0, low, high;
	int r = STATUS_OK;

	if (plus && options_parse_hex(plus + 1, at->len - (size_t)(plus + 1 - at->text), &add))
		len = (size_t)(plus - at->text);
	for (*n = 0; !r && symbols_find(d->symbols, at->text, len, *n, &low, &high); ++*n) {
		if (add > high - low)
			return fail(STATUS_USAGE, "--at %.*s: the symbol has only 0x%x bytes", (int)at->len, at->text,
				    high - low + 1);
		if (*n && !d->opt->file)
			return fail(STATUS_USAGE, "--at %.*s: several symbols have this name", (int)at->len, at->text);
		r = show_address(d, low + add, at);
	}
	return r;
}

static int show_at(struct dumper *d, const struct dump_at *at)
{
	bool digit = at->text[0] >= '0' && at->text[0] <= '9';
	unsigned found = 0;
	int r = digit ? STATUS_OK : show_symbol(d, at, &found);

	if (r || found)
		return r;
	if (!at->is_number)
		return fail(STATUS_USAGE, "--at %.*s: neither a hexadecimal number nor a symbol of %s%s", (int)at->len,
			    at->text, d->opt->file ? d->opt->file : "--symbols",
			    d->opt->file && !d->opt->symbols ? "; --symbols adds a list" : "");
	return show_address(d, at->address, at);
}

static int show_all(struct dumper *d)
{
	int r = STATUS_OK;

	if (d->opt->json)
		puts("[");
	if (!d->opt->n_at)
		r = show_words(d, WORDS_AT);
	for (unsigned i = 0; !r && i < d->opt->n_at; i++)
		r = show_at(d, &d->opt->at[i]);
	if (d->opt->json)
		puts("\n]");
	return r;
}

int dump_main(const struct dump_options *opt)
{
	struct dumper *d = calloc(1, sizeof(*d));
	int r;

	if (d)
		d->gs = aligned_alloc(64, (sizeof(*d->gs) + 63) & ~(size_t)63);
	if (!d || !d->gs) {
		free(d);
		return fail(STATUS_FAILED, "%s", strerror(ENOMEM));
	}
	memset(d->gs, 0, sizeof(*d->gs));
	d->opt = opt;
	r = open_dumper(d);
	if (!r)
		r = show_all(d);
	close_dumper(d);
	free(d);
	return r;
}
