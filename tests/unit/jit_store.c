/* SPDX-License-Identifier: MIT */
/* Blocks of the translation store do what they did when they were made, for whatever run takes them. */
#define _GNU_SOURCE
#include "tests/unit/jit_random.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "jit/store/store.h"

enum { BLOCKS = 1200, STATES = 2 };

static char folder[64];

static void make_folder(void)
{
	strcpy(folder, "/tmp/jit_store_XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) { return remove(path); }
static void remove_folder(void) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static struct store *open_store(void)
{
	struct store_config cfg = {.folder = folder, .bytes = STORE_DEFAULT_BYTES};
	struct store_error err;
	struct store *s;

	cr_assert_eq(store_open(&s, &cfg, &err), 0, "%s", err.text);
	return s;
}

/* The block's words are what is in page i. */
static void put_words(struct room *r, unsigned i, const struct ir_block *b)
{
	for (uint32_t k = 0; k < b->n_guest; k++) {
		uint32_t w = b->mode & MODE_BE ? __builtin_bswap32(b->guest[k].word) : b->guest[k].word;

		memcpy(r->got->ram + i * PAGE_BYTES + b->guest[k].off, &w, sizeof(w));
	}
}

static struct translation *take(struct room *r, unsigned i, const struct ir_block *b)
{
	put_words(r, i, b);
	return jit_take_stored(r->jit, room_page(r, i), ir_block_off(b), b->mode, b->abs_page);
}

/* As many records as it takes for this one to have a number that is not the first run's. */
static void use_numbers(struct room *r, unsigned n)
{
	void *slot = NULL;

	for (unsigned k = 0; k < n; k++) {
		jit_code_page(r->jit, &slot, r->got->ram + PAGE_BYTES, 0, true);
		code_cache_detach(r->cache, &slot);
	}
}

static void check_blocks(struct jit_config cfg, uint64_t seed)
{
	struct ir_gen g = {ir_gen_seed(seed)};
	struct ir_block *block[BLOCKS];
	struct arena a = {NULL};
	unsigned taken = 0;
	struct room r;

	make_folder();
	cfg.store = open_store();
	room_open(&r, cfg);
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = random_block(&g, &a, ir_gen_below(&g, 8) ? 6 : 40);
		cr_assert_null(take(&r, 0, block[i]));
		jit_compile_tier1(r.jit, room_page(&r, 0), block[i]);
		jit_invalidate_page(r.jit, room_page(&r, 0));
	}
	cr_assert_eq(jit_stats(r.jit).stored_added, BLOCKS);
	room_close(&r);
	store_close(cfg.store);

	cfg.store = open_store();
	room_open(&r, cfg);
	use_numbers(&r, 200);
	for (int i = 0; i < BLOCKS; i++) {
		struct translation *t = take(&r, 0, block[i]);

		cr_assert_not_null(t, "block %d of %d", i, BLOCKS);
		cr_assert_eq(jit_compile_tier1(r.jit, room_page(&r, 0), block[i]), t);
		for (int k = 0; k < STATES; k++)
			check_state(&r, &g, &block[i], 1, t);
		jit_invalidate_page(r.jit, room_page(&r, 0));
		taken++;
	}
	cr_assert_eq(jit_stats(r.jit).blocks[TIER_1], 0u);
	cr_assert_eq(jit_stats(r.jit).stored_taken, taken);
	cr_assert_eq(jit_stats(r.jit).stored_damaged, 0u);
	room_close(&r);
	store_close(cfg.store);
	remove_folder();
	arena_free(&a);
}

Test(jit_store, blocks) { check_blocks((struct jit_config){0}, 21); }
Test(jit_store, blocks_counted)
{
	check_blocks((struct jit_config){.icount = true, .count_insns = true, .tier2 = true, .hot_blocks = true}, 22);
}

/* ---- one block for several questions ---- */

struct fixture {
	struct room r;
	struct arena a;
	struct jit_config cfg;
};

static void begin(struct fixture *f, struct jit_config cfg)
{
	f->cfg = cfg;
	f->cfg.store = open_store();
	room_open(&f->r, f->cfg);
	f->r.got->gs.pc_page = ROOM_PC_PAGE;
}

static void end(struct fixture *f)
{
	room_close(&f->r);
	store_close(f->cfg.store);
	arena_free(&f->a);
	f->a = (struct arena){NULL};
}

static struct ir_block *a_block(struct fixture *f, uint32_t mode, uint64_t abs_page, uint32_t off, struct ir_term term)
{
	struct ir_block *b = room_block(&f->a, mode, abs_page, off, 2, term);

	b->guest[0].word = 0x24020001 + off;
	b->guest[1].word = 0x03e00008;
	ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, 1);
	return b;
}

static struct ir_block *plain(struct fixture *f) { return a_block(f, MODE_USER, 0, 0x100, room_jump(room_off(0x200))); }

static void store_one(struct jit_config cfg)
{
	struct fixture f = {0};
	struct ir_block *b;

	begin(&f, cfg);
	b = plain(&f);
	put_words(&f.r, 0, b);
	jit_compile_tier1(f.r.jit, room_page(&f.r, 0), b);
	end(&f);
}

Test(jit_store, other_words_other_code)
{
	struct fixture f = {0};
	struct ir_block *b;

	make_folder();
	store_one((struct jit_config){0});
	begin(&f, (struct jit_config){0});
	b = plain(&f);
	put_words(&f.r, 0, b);
	f.r.got->ram[0x104] ^= 1;
	cr_assert_null(jit_take_stored(f.r.jit, room_page(&f.r, 0), 0x100, MODE_USER, 0), "the second word");
	f.r.got->ram[0x104] ^= 1;
	cr_assert_null(jit_take_stored(f.r.jit, room_page(&f.r, 0), 0x104, MODE_USER, 0), "offset");
	cr_assert_null(jit_take_stored(f.r.jit, room_page(&f.r, 0), 0x100, MODE_USER | MODE_FR, 0), "mode");
	cr_assert_null(jit_take_stored(f.r.jit, room_page(&f.r, 0), 0x100, MODE_USER | MODE_ABS, 0x80100000), "page");
	cr_assert_null(jit_take_stored(f.r.jit, room_page(&f.r, 0), PAGE_BYTES, MODE_USER, 0), "none");
	cr_assert_not_null(take(&f.r, 1, b), "the same in another page");
	end(&f);
	remove_folder();
}

/* Code that counts, or that another CPU's words mean, is another file's. */
Test(jit_store, other_configuration)
{
	static const struct jit_config other[] = {{.icount = true},
						  {.line_log2 = 7},
						  {.count_insns = true},
						  {.tier2 = true},
						  {.tier2 = true, .hot_blocks = true},
						  {.guest_isa = 3}};
	struct fixture f = {0};

	make_folder();
	store_one((struct jit_config){0});
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		begin(&f, other[i]);
		cr_assert_null(take(&f.r, 0, plain(&f)), "%zu", i);
		end(&f);
	}
	begin(&f, (struct jit_config){0});
	cr_assert_not_null(take(&f.r, 0, plain(&f)));
	end(&f);
	remove_folder();
}

/* Dumps show IR, and that is not stored. */
Test(jit_store, not_with_dumps)
{
	struct fixture f = {0};

	make_folder();
	store_one((struct jit_config){0});
	begin(&f, (struct jit_config){.keep_ir = true});
	cr_assert_null(take(&f.r, 0, plain(&f)));
	end(&f);
	remove_folder();
}

/* Its delay slot is another page's, and is compared whenever it is executed. */
Test(jit_store, not_across_pages)
{
	struct fixture f = {0};
	struct ir_block *b;

	make_folder();
	begin(&f, (struct jit_config){0});
	b = a_block(&f, MODE_USER, 0, PAGE_BYTES - 4, room_jump(room_off(0x200)));
	jit_compile_tier1(f.r.jit, room_page(&f.r, 0), b);
	cr_assert_eq(jit_stats(f.r.jit).stored_added, 0u);
	end(&f);
	remove_folder();
}

/* A record of equal words takes only what is so in all of its pages. */
Test(jit_store, all_pages_of_a_record)
{
	struct fixture f = {0};
	struct ir_block *b;

	make_folder();
	store_one((struct jit_config){0});
	begin(&f, (struct jit_config){.content_writes = 4});
	b = plain(&f);
	put_words(&f.r, 0, b);
	jit_code_page(f.r.jit, &f.r.slot[0], f.r.got->ram, 0x80001000, false);
	memcpy(f.r.got->ram + PAGE_BYTES, f.r.got->ram, PAGE_BYTES);
	jit_code_page(f.r.jit, &f.r.slot[1], f.r.got->ram + PAGE_BYTES, 0x80001000, false);
	cr_assert_eq(f.r.slot[0], f.r.slot[1]);
	record_make_exact(f.r.slot[0]);
	f.r.got->ram[PAGE_BYTES + 0x104] ^= 1; /* nothing was made from that yet */
	cr_assert_null(jit_take_stored(f.r.jit, f.r.slot[0], 0x100, MODE_USER, 0));
	f.r.got->ram[PAGE_BYTES + 0x104] ^= 1;
	cr_assert_not_null(jit_take_stored(f.r.jit, f.r.slot[0], 0x100, MODE_USER, 0));
	end(&f);
	remove_folder();
}

/* ---- links: each kind, as jit_links.c has them ---- */

static void expect(struct fixture *f, struct translation *t, enum exit_reason why, uint64_t pc, uint64_t n)
{
	struct guest_state *gs = &f->r.got->gs;
	uint64_t before = gs->reg[8];
	enum exit_reason got;

	gs->pc_page = ROOM_PC_PAGE;
	got = jit_run(f->r.jit, t);
	cr_assert_eq(got, why, "left for %d, want %d", got, why);
	cr_assert_eq(gs->pc, pc, "at %#lx, want %#lx", (long)gs->pc, (long)pc);
	cr_assert_eq(gs->reg[8] - before, n, "%ld blocks ran, want %ld", (long)(gs->reg[8] - before), (long)n);
}

static void check_links(struct fixture *f, struct translation *(*get)(struct fixture *, unsigned, struct ir_block *))
{
	const uint64_t abs = 0x80100000, next = ROOM_PC_PAGE + PAGE_BYTES;
	const uint32_t k = MODE_KERNEL | MODE_ABS;
	struct translation *a, *b;

	/* near */
	a = get(f, 0, a_block(f, MODE_USER, 0, 0x100, room_jump(room_off(0x200))));
	expect(f, a, EXIT_LINK, ROOM_PC_PAGE + 0x200, 1);
	b = get(f, 0, a_block(f, MODE_USER, 0, 0x200, room_jump(room_off(PAGE_BYTES + 0x40))));
	jit_link(f->r.jit, b);
	expect(f, a, EXIT_LINK, next + 0x40, 2);
	/* far */
	b = get(f, 1, a_block(f, MODE_USER, 0, 0x40, room_jump(room_off(0x80))));
	jit_link(f->r.jit, b);
	expect(f, a, EXIT_INDIRECT, next + 0x40, 2); /* linked, but nothing is mapped there */
	room_map_exec(&f->r, next, 1);
	expect(f, a, EXIT_LINK, next + 0x80, 3);
	/* unmapped */
	room_map_abs(&f->r, abs, 0);
	room_map_abs(&f->r, abs + PAGE_BYTES, 1);
	a = get(f, 0, a_block(f, k, abs, 0x300, room_jump(room_abs(abs + 0x1400))));
	expect(f, a, EXIT_LINK, abs + 0x1400, 1);
	b = get(f, 1, a_block(f, k, abs + PAGE_BYTES, 0x400, room_jump(room_abs(abs + 0x2000))));
	jit_link(f->r.jit, b);
	expect(f, a, EXIT_LINK, abs + 0x2000, 2);
	f->r.abs_code[ABS_CODE_INDEX(abs + PAGE_BYTES)] = jit_code_id(room_page(&f->r, 2));
	expect(f, a, EXIT_INDIRECT, abs + 0x1400, 1);
	/* a call, and the return to it */
	room_map_abs(&f->r, abs + PAGE_BYTES, 1);
	a = get(f, 0,
		a_block(f, k, abs, 0x500,
			(struct ir_term){.kind = TERM_JUMP,
					 .hint = HINT_CALL,
					 .target = {room_abs(abs + 0x1600)},
					 .link = room_abs(abs + 0x700)}));
	b = get(f, 1, a_block(f, k, abs + PAGE_BYTES, 0x600, room_indirect(HINT_RETURN)));
	f->r.got->gs.reg[25] = abs + 0x700;
	f->r.got->gs.mode = k;
	expect(f, a, EXIT_LINK, abs + 0x1600, 1);
	jit_link(f->r.jit, b);
	expect(f, a, EXIT_LINK, abs + 0x700, 2);
	jit_link(f->r.jit, get(f, 0, a_block(f, k, abs, 0x700, room_jump(room_abs(abs + 0x2000)))));
	expect(f, a, EXIT_LINK, abs + 0x2000, 3);
}

static struct translation *get_compiled(struct fixture *f, unsigned i, struct ir_block *b)
{
	cr_assert_null(take(&f->r, i, b));
	return jit_compile_tier1(f->r.jit, room_page(&f->r, i), b);
}

static struct translation *get_stored(struct fixture *f, unsigned i, struct ir_block *b)
{
	struct translation *t = take(&f->r, i, b);

	cr_assert_not_null(t);
	return t;
}

Test(jit_store, links)
{
	struct fixture f = {0};

	make_folder();
	begin(&f, (struct jit_config){0});
	check_links(&f, get_compiled);
	end(&f);
	begin(&f, (struct jit_config){0});
	use_numbers(&f.r, 300);
	check_links(&f, get_stored);
	cr_assert_eq(jit_stats(f.r.jit).blocks[TIER_1], 0u);
	end(&f);
	remove_folder();
}
