/* SPDX-License-Identifier: MIT */
/* Code records: pages of one content have one, stores take pages off it, and a hash alone is not believed. */
#include "tests/unit/jit_machine.h"

#define PC_OFF         0x100u
#define CONTENT_WRITES 4

/* A block of n words at off, made from what is in page i, whose record is found by content. */
static struct code_page *record(struct room *r, unsigned i, bool exact)
{
	return jit_code_page(r->jit, &r->slot[i], r->got->ram + i * PAGE_BYTES, 0, exact);
}

static void fill(struct room *r, unsigned i, uint32_t seed)
{
	for (uint32_t at = 0; at < PAGE_BYTES; at += 4) {
		uint32_t w = seed + at * 0x9e3779b1u;

		memcpy(r->got->ram + i * PAGE_BYTES + at, &w, 4);
	}
}

static struct translation *translate_at(struct room *r, struct arena *a, unsigned i, uint32_t off, uint32_t n)
{
	struct ir_block *b = room_block(a, MODE_USER, 0, off, n, room_jump(room_off(0xffc)));

	for (uint32_t k = 0; k < n; k++)
		memcpy(&b->guest[k].word, r->got->ram + i * PAGE_BYTES + off + 4 * k, 4);
	return jit_compile_tier1(r->jit, record(r, i, false), b);
}

static bool knows(struct room *r, struct code_page *cp, uint32_t off)
{
	return jit_has(r->jit, cp, off, MODE_USER, 0) != TIER_INTERP;
}

static bool store(struct room *r, unsigned i, uint8_t *writes, uint32_t off)
{
	r->got->ram[i * PAGE_BYTES + off] ^= 0x55;
	return jit_written(r->jit, &r->slot[i], writes, off, 1);
}

Test(jit_record, equal_pages_have_one)
{
	struct arena a = {NULL};
	struct room r;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	fill(&r, 0, 1);
	fill(&r, 1, 1);
	fill(&r, 2, 2);
	translate_at(&r, &a, 0, PC_OFF, 4);
	cr_assert_eq(record(&r, 1, false), record(&r, 0, false));
	cr_assert_neq(record(&r, 2, false), record(&r, 0, false));
	cr_assert(knows(&r, record(&r, 1, false), PC_OFF), "translated once for both");
	cr_assert_not(knows(&r, record(&r, 2, false), PC_OFF));
	cr_assert_eq(jit_stats(r.jit).records_shared, 1u);
	cr_assert_neq(jit_code_id(record(&r, 0, false)), jit_code_id(record(&r, 2, false)));
	arena_free(&a);
	room_close(&r);
}

Test(jit_record, a_store_takes_one_page_off)
{
	struct arena a = {NULL};
	struct code_page *was;
	uint8_t writes[2] = {0};
	struct room r;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	fill(&r, 0, 1);
	fill(&r, 1, 1);
	translate_at(&r, &a, 0, PC_OFF, 4);
	was = record(&r, 1, false);
	cr_assert(store(&r, 0, &writes[0], PC_OFF + 0x200),
		  "where nothing was translated: others may add what is not so here");
	cr_assert_null(r.slot[0]);
	cr_assert_eq(r.slot[1], was);
	cr_assert(knows(&r, was, PC_OFF));
	cr_assert_neq(record(&r, 0, false), was);
	/* what it was before: found again */
	cr_assert(store(&r, 0, &writes[0], PC_OFF + 0x200));
	cr_assert_eq(record(&r, 0, false), was);
	arena_free(&a);
	room_close(&r);
}

/* No page has the record: what it was made from decides. */
Test(jit_record, without_pages)
{
	struct arena a = {NULL};
	struct code_page *was;
	uint8_t writes = 0;
	struct room r;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	fill(&r, 0, 1);
	translate_at(&r, &a, 0, PC_OFF, 4);
	was = record(&r, 0, false);
	cr_assert(store(&r, 0, &writes, PC_OFF));
	cr_assert_eq(was->n_users, 0u);
	cr_assert_neq(record(&r, 0, false), was);
	cr_assert(store(&r, 0, &writes, PC_OFF));
	cr_assert_eq(record(&r, 0, false), was, "the same bytes again");
	cr_assert(knows(&r, was, PC_OFF));
	arena_free(&a);
	room_close(&r);
}

/* As if somebody had made a page of the same hash. */
Test(jit_record, a_hash_is_no_proof)
{
	struct arena a = {NULL};
	struct code_page *real;
	struct room r;
	XXH128_hash_t forged;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	fill(&r, 0, 1);
	fill(&r, 1, 2);
	translate_at(&r, &a, 0, PC_OFF, 4);
	real = record(&r, 0, false);
	forged = XXH3_128bits(r.got->ram + PAGE_BYTES, PAGE_BYTES);
	r.cache->record[real->hash.low64 % RECORD_BUCKETS] = NULL;
	real->hash = forged;
	r.cache->record[forged.low64 % RECORD_BUCKETS] = real;
	cr_assert_neq(record(&r, 1, false), real, "compared with a page that has it");
	code_cache_detach(r.cache, &r.slot[1]);
	code_cache_detach(r.cache, &r.slot[0]);
	cr_assert_eq(real->n_users, 0u);
	cr_assert_neq(record(&r, 1, false), real, "compared with the words that it was made from");
	arena_free(&a);
	room_close(&r);
}

/* Written again and again: its own record, in which only what was hit goes. */
Test(jit_record, often_written)
{
	struct arena a = {NULL};
	struct code_page *own;
	uint8_t writes = 0;
	struct room r;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	fill(&r, 0, 1);
	fill(&r, 1, 7);
	for (unsigned i = 0; i < CONTENT_WRITES; i++) {
		translate_at(&r, &a, 0, PC_OFF, 4);
		cr_assert(store(&r, 0, &writes, 0x800));
		cr_assert_null(r.slot[0]);
	}
	own = record(&r, 0, writes >= CONTENT_WRITES);
	cr_assert(own->exact);
	translate_at(&r, &a, 0, PC_OFF, 4);
	translate_at(&r, &a, 0, 0x200, 4);
	cr_assert_not(store(&r, 0, &writes, 0x800), "data beside the code");
	cr_assert_not(jit_is_code(r.jit, &r.slot[0], 0x800, 4));
	cr_assert(jit_is_code(r.jit, &r.slot[0], PC_OFF, 4));
	cr_assert(store(&r, 0, &writes, PC_OFF + 8));
	cr_assert_eq(r.slot[0], own);
	cr_assert_not(knows(&r, own, PC_OFF));
	cr_assert(knows(&r, own, 0x200));
	/* nobody else gets it, whatever is there */
	memcpy(r.got->ram + PAGE_BYTES, r.got->ram, PAGE_BYTES);
	cr_assert_neq(record(&r, 1, false), own);
	/* the last of its code goes: the page may be found by its content again */
	cr_assert(store(&r, 0, &writes, 0x200));
	cr_assert_null(r.slot[0]);
	cr_assert_lt(writes, CONTENT_WRITES);
	arena_free(&a);
	room_close(&r);
}

#define PLACE 0xc0021000u
#define DATA  0x800u

static struct code_page *record_at(struct room *r, unsigned i, uint64_t place)
{
	return jit_code_page(r->jit, &r->slot[i], r->got->ram + i * PAGE_BYTES, place, false);
}

static struct ir_block *block_of(struct room *r, struct arena *a, unsigned i, uint32_t off, uint32_t n)
{
	struct ir_block *b = room_block(a, MODE_USER, 0, off, n, room_jump(room_off(0xffc)));

	for (uint32_t k = 0; k < n; k++)
		memcpy(&b->guest[k].word, r->got->ram + i * PAGE_BYTES + off + 4 * k, 4);
	return b;
}

/* Pages 0, 1 and 2 with one code and different data, of which 0 is translated, as modules of machines that boot the same. */
static void open_alike(struct room *r, struct arena *a)
{
	room_open(r, (struct jit_config){.content_writes = CONTENT_WRITES});
	for (unsigned i = 0; i < 3; i++) {
		fill(r, i, 1);
		r->got->ram[i * PAGE_BYTES + DATA] = (uint8_t)(10 + i);
	}
	(void)record_at(r, 0, PLACE);
	cr_assert_not_null(translate_at(r, a, 0, PC_OFF, 4));
}

/* The same code at the same place has one record, whatever stands beside it; stores to that do not matter, those to code do. */
Test(jit_record, other_data_beside_it)
{
	struct arena a = {NULL};
	uint8_t writes = 0;
	struct code_page *cp;
	struct room r;

	open_alike(&r, &a);
	cp = record_at(&r, 0, PLACE);
	cr_assert_neq(record_at(&r, 2, PLACE + PAGE_BYTES), cp, "elsewhere");
	code_cache_detach(r.cache, &r.slot[2]);
	cr_assert_neq(record_at(&r, 2, 0), cp, "a page that cannot leave it");
	code_cache_detach(r.cache, &r.slot[2]);
	cr_assert_eq(record_at(&r, 1, PLACE), cp);
	cr_assert_eq(jit_stats(r.jit).records_alike, 1u);
	cr_assert(knows(&r, cp, PC_OFF));
	cr_assert_not(jit_is_code(r.jit, &r.slot[1], DATA, 4));
	cr_assert(jit_others_add(r.jit, &r.slot[1]));
	cr_assert_not(store(&r, 1, &writes, DATA));
	cr_assert_eq(r.slot[1], cp);
	cr_assert(store(&r, 1, &writes, PC_OFF), "of the code");
	cr_assert_null(r.slot[1]);
	cr_assert_eq(writes, 1);
	cr_assert(knows(&r, cp, PC_OFF), "page 0 has not changed");
	cr_assert_neq(record_at(&r, 1, PLACE), cp);
	(void)store(&r, 1, &writes, PC_OFF);
	cr_assert_eq(record_at(&r, 1, PLACE), cp, "as it was");
	arena_free(&a);
	room_close(&r);
}

/* What is not so in all pages of a record is not added to it: the page that wants it gets another one. */
Test(jit_record, what_others_do_not_have)
{
	struct arena a = {NULL};
	struct ir_block *b;
	struct code_page *cp, *own;
	struct room r;

	open_alike(&r, &a);
	cp = record_at(&r, 1, PLACE);
	cr_assert_eq(cp, r.slot[0]);
	b = block_of(&r, &a, 1, DATA, 2);
	cr_assert_null(jit_compile_tier1(r.jit, cp, b), "page 0 has other bytes there");
	cr_assert_not(knows(&r, cp, DATA));
	jit_move_page(r.jit, &r.slot[1], r.got->ram + PAGE_BYTES, PLACE, b);
	own = r.slot[1];
	cr_assert_neq(own, cp);
	cr_assert_not_null(jit_compile_tier1(r.jit, own, b));
	cr_assert_eq(r.slot[0], cp);
	/* what is so in both goes to the larger one: page 1 has nothing that page 0 would have to have */
	cr_assert_not_null(translate_at(&r, &a, 0, 0x300, 3));
	cr_assert_null(jit_compile_tier1(r.jit, own, block_of(&r, &a, 1, 0x300, 3)), "it is there already");
	jit_move_page(r.jit, &r.slot[1], r.got->ram + PAGE_BYTES, PLACE, block_of(&r, &a, 1, 0x300, 3));
	cr_assert_eq(r.slot[1], cp);
	cr_assert(knows(&r, cp, 0x300));
	arena_free(&a);
	room_close(&r);
}

/* A page that becomes several machines' can leave no record: it leaves one of words before, and none is made of its own. */
Test(jit_record, page_of_several_machines)
{
	struct arena a = {NULL};
	struct code_page *cp;
	struct room r;

	open_alike(&r, &a);
	cp = record_at(&r, 1, PLACE);
	cr_assert(jit_page_stays(r.jit, &r.slot[1]));
	cr_assert_null(r.slot[1]);
	cr_assert_not(jit_page_stays(r.jit, &r.slot[1]), "nothing to leave");
	cr_assert_not(jit_page_stays(r.jit, &r.slot[0]), "alone in its record");
	cr_assert_eq(r.slot[0], cp);
	cr_assert_neq(record_at(&r, 1, PLACE), cp, "page 0 stays");
	code_cache_detach(r.cache, &r.slot[0]);
	cr_assert_eq(record_at(&r, 2, PLACE), cp, "it has gone");
	arena_free(&a);
	room_close(&r);
}

/* A second vCPU finds what the first one has had translated; a flush empties what both remember. */
Test(jit_record, two_vcpus)
{
	struct arena a = {NULL};
	struct guest_state *gs = aligned_alloc(64, (sizeof(*gs) + 63) & ~63ul);
	struct translation *t, *u;
	struct jit *other;
	struct room r;

	room_open(&r, (struct jit_config){.content_writes = CONTENT_WRITES});
	memset(gs, 0, sizeof(*gs));
	cr_assert_eq(jit_new(&other, r.cache, gs), 0);
	fill(&r, 0, 1);
	t = translate_at(&r, &a, 0, PC_OFF, 4);
	u = jit_find(other, record(&r, 0, false), PC_OFF, MODE_USER, 0);
	cr_assert_eq(u, t);
	cr_assert_eq(jit_made(r.jit).blocks, 1u);
	cr_assert_eq(jit_made(other).blocks, 0u);
	jit_cache_jump(other, ROOM_PC_PAGE + PC_OFF, u);
	gs->link = &t->links[0];
	jit_free(NULL);
	jit_has(other, record(&r, 0, false), PC_OFF, MODE_USER, 0); /* not about to run it any more */
	jit_flush(r.jit);
	cr_assert_null(gs->link);
	cr_assert_null(other->jump_cache->e[jump_cache_index(ROOM_PC_PAGE + PC_OFF)].entry);
	cr_assert_not(knows(&r, record(&r, 0, false), PC_OFF));
	jit_free(other);
	arena_free(&a);
	free(gs);
	room_close(&r);
}
