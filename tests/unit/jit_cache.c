/* SPDX-License-Identifier: MIT */
/* The translation cache: look-up, invalidation by range, flush; code memory. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "jit/code_mem.h"
#include "tests/unit/jit_machine.h"

static struct translation *add(struct room *r, struct arena *a, unsigned page, uint32_t off, uint32_t n)
{
	struct ir_block *b = room_block(a, MODE_USER, 0, off, n, room_jump(room_off(0xffc)));

	return jit_compile_tier1(r->jit, room_page(r, page), b);
}

static bool has(struct room *r, unsigned page, uint32_t off)
{
	return jit_find(r->jit, room_page(r, page), off, MODE_USER, 0);
}

Test(jit_cache, invalidates_exactly)
{
	struct arena a = {NULL};
	struct room r;

	room_open(&r, (struct jit_config){0});
	add(&r, &a, 0, 0x100, 4);  /* 100..110 */
	add(&r, &a, 0, 0x110, 4);  /* 110..120 */
	add(&r, &a, 0, 0x200, 16); /* 200..240 */
	add(&r, &a, 1, 0x100, 4);
	cr_assert(jit_page_has_code(r.jit, room_page(&r, 0), 0x13f, 1), "granules are 64 bytes");
	cr_assert_not(jit_page_has_code(r.jit, room_page(&r, 0), 0x140, 0xc0));
	cr_assert_not(jit_invalidate(r.jit, room_page(&r, 0), 0x120, 0x20),
		      "the granule has code, these bytes have not");
	cr_assert_not(jit_invalidate(r.jit, room_page(&r, 0), 0x0fc, 4));
	cr_assert(has(&r, 0, 0x100) && has(&r, 0, 0x110) && has(&r, 0, 0x200));
	cr_assert(jit_invalidate(r.jit, room_page(&r, 0), 0x10f, 1));
	cr_assert(!has(&r, 0, 0x100) && has(&r, 0, 0x110) && has(&r, 0, 0x200));
	cr_assert(jit_page_has_code(r.jit, room_page(&r, 0), 0x100, 4));
	cr_assert(jit_invalidate(r.jit, room_page(&r, 0), 0x11c, 0x100));
	cr_assert(!has(&r, 0, 0x110) && !has(&r, 0, 0x200) && has(&r, 1, 0x100));
	cr_assert_not(jit_page_has_code(r.jit, room_page(&r, 0), 0, PAGE_BYTES), "the bitmap follows what is left");
	cr_assert_not(jit_invalidate(r.jit, room_page(&r, 1), PAGE_BYTES, 4));
	jit_invalidate_page(r.jit, room_page(&r, 1));
	cr_assert(!has(&r, 1, 0x100));
	cr_assert_eq(jit_stats(r.jit).invalidated, 4u);
	arena_free(&a);
	room_close(&r);
}

/* A helper of running code drops the translation that it was called from: it goes on and leaves as it should. */
static struct room *dropping;
static uint64_t drop_page(struct guest_state *gs, uint64_t addr, uint64_t v, uint64_t meta)
{
	jit_invalidate_page(dropping->jit, room_page(dropping, 0));
	return 0;
}

Test(jit_cache, invalidated_while_it_runs)
{
	struct arena a = {NULL};
	struct translation *t;
	struct ir_block *b;
	struct room r;

	room_open(&r, (struct jit_config){0});
	dropping = &r;
	r.helpers[HELPER_MEM_STORE] = drop_page;
	b = room_block(&a, MODE_USER, 0, 0x100, 1, room_jump(room_off(0x100)));
	ir_emit(b, IR_STORE32, ir_const(b, 0x1000), ir_const(b, 1), IR_NONE, 0);
	t = jit_compile_tier1(r.jit, room_page(&r, 0), b);
	cr_assert_eq(link_to(&t->links[0]), t, "a loop is linked to itself");
	r.got->gs.pc_page = ROOM_PC_PAGE;
	cr_assert_eq(jit_run(r.jit, t), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, ROOM_PC_PAGE + 0x100u);
	cr_assert_eq(r.got->gs.reg[8], 1u);
	/* the site is dead: nothing is linked to it any more */
	jit_link(r.jit, jit_compile_tier1(r.jit, room_page(&r, 0), b));
	cr_assert_null(link_to(&t->links[0]));
	arena_free(&a);
	room_close(&r);
}

Test(jit_cache, flush)
{
	struct arena a = {NULL};
	struct translation *t;
	struct room r;

	room_open(&r, (struct jit_config){.keep_ir = true});
	t = add(&r, &a, 0, 0x100, 4);
	jit_cache_jump(r.jit, 0x400100, t);
	r.got->gs.link = &t->links[0];
	jit_flush(r.jit);
	cr_assert(!has(&r, 0, 0x100));
	cr_assert_not(jit_page_has_code(r.jit, room_page(&r, 0), 0, PAGE_BYTES));
	cr_assert_null(r.got->gs.link);
	cr_assert_null(r.jit->jump_cache->e[jump_cache_index(0x400100)].entry);
	cr_assert_eq(jit_stats(r.jit).evicted, 1u);
	cr_assert(add(&r, &a, 0, 0x100, 4) == t, "the memory is used again");
	arena_free(&a);
	room_close(&r);
}

/* Another vCPU is held by a device where it cannot be waited for. */
Test(jit_cache, full_and_one_is_held_inside)
{
	struct arena a = {NULL};
	struct guest_state *held;
	struct jit *other;
	struct room r;
	int i = 0;

	room_open(&r, (struct jit_config){.code_bytes = 1, .keep_ir = true});
	held = aligned_alloc(64, (sizeof(*held) + 63) & ~63ull);
	memset(held, 0, sizeof(*held));
	cr_assert_eq(jit_new(&other, r.cache, held), 0);
	jit_lock(other, true);
	jit_unlock(other);
	r.cache->flush_wait_ns = 1000000;
	while (add(&r, &a, 0, 4u * (unsigned)(i % 512), 1 + (unsigned)i / 512)) {
		if (!(++i % 512))
			jit_invalidate_page(r.jit, room_page(&r, 0));
		cr_assert_lt(i, 100000, "never full");
		arena_reset(&a);
	}
	cr_assert(jit_is_full(r.jit));
	cr_assert_not(r.jit->inside);
	cr_assert(held->poll);
	cr_assert_not(jit_flush(r.jit), "not waited for again so soon");
	cr_assert_eq(jit_stats(r.jit).flushes, 0u);
	cr_assert_eq(jit_stats(r.jit).flushes_given_up, 1u);
	cr_assert_not(r.cache->stopping);
	jit_outside(other);
	r.cache->no_flush_until_ns = 0;
	cr_assert_not_null(add(&r, &a, 0, 4u * (unsigned)(i % 512), 1 + (unsigned)i / 512), "the same");
	cr_assert_not(jit_is_full(r.jit));
	cr_assert_eq(jit_stats(r.jit).flushes, 1u);
	jit_free(other);
	free(held);
	arena_free(&a);
	room_close(&r);
}

/* A block whose delay slot is in the next page is found and linked to as any other: it checks the slot itself. */
Test(jit_cache, straddling_block)
{
	struct arena a = {NULL};
	struct translation *t, *from;
	struct ir_block *b;
	struct room r;

	room_open(&r, (struct jit_config){.keep_ir = true});
	b = room_block(&a, MODE_USER, 0, 0xffc, 2, room_jump(room_off(0x10)));
	t = jit_compile_tier1(r.jit, room_page(&r, 0), b);
	cr_assert(has(&r, 0, 0xffc));
	r.got->gs.pc_page = ROOM_PC_PAGE;
	cr_assert_eq(jit_run(r.jit, t), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, ROOM_PC_PAGE + 0x10u);
	cr_assert(jit_invalidate(r.jit, room_page(&r, 0), 0xffc, 4));
	cr_assert_not(has(&r, 0, 0xffc));
	from = add(&r, &a, 0, 0x100, 1);
	cr_assert_eq(jit_run(r.jit, from), EXIT_LINK);
	arena_free(&a);
	room_close(&r);
}

/* A machine page is given away: its record goes, at once or when the compiler has done with it; the next one starts empty. */
Test(jit_cache, page_given_away)
{
	struct arena a = {NULL};
	struct room r;
	struct code_page *was;
	struct jit_region region = {.n_blocks = 1};
	uint32_t id;

	room_open(&r, (struct jit_config){.tier2 = true});
	add(&r, &a, 1, 0x100, 1);
	add(&r, &a, 0, 0x100, 1);
	add(&r, &a, 2, 0x100, 1);
	jit_cache_jump(r.jit, ROOM_PC_PAGE + 0x100, jit_find(r.jit, room_page(&r, 0), 0x100, MODE_USER, 0));
	id = jit_code_id(room_page(&r, 0));
	code_cache_detach(r.cache, &r.slot[0]);
	cr_assert_null(r.slot[0]);
	cr_assert_neq(jit_code_id(room_page(&r, 0)), id,
		      "what the jump cache leads to is not checked for this page any more");
	cr_assert(has(&r, 1, 0x100) && has(&r, 2, 0x100), "its neighbours in the list stay");
	cr_assert_not(has(&r, 0, 0x100));
	/* while tier 2 compiles: what it makes goes nowhere */
	add(&r, &a, 0, 0x200, 1);
	was = region.cp = room_page(&r, 0);
	region.blocks = arena_new(&region.arena, struct ir_block *, 1);
	region.blocks[0] = room_block(&region.arena, MODE_USER, 0, 0x200, 1, room_jump(room_off(0x200)));
	cr_assert(jit_request_tier2(r.jit, &region));
	code_cache_detach(r.cache, &r.slot[0]);
	cr_assert_null(r.slot[0]);
	cr_assert_neq(room_page(&r, 0), was, "the request still names it");
	while (r.jit->cc->requests)
		jit_install_finished(r.jit);
	cr_assert_not(has(&r, 0, 0x200));
	cr_assert_eq(jit_stats(r.jit).regions, 0u);
	/* and one that nobody waits for any more */
	region = (struct jit_region){.n_blocks = 1, .cp = room_page(&r, 1)};
	region.blocks = arena_new(&region.arena, struct ir_block *, 1);
	region.blocks[0] = room_block(&region.arena, MODE_USER, 0, 0x100, 1, room_jump(room_off(0x100)));
	cr_assert(jit_request_tier2(r.jit, &region));
	code_cache_detach(r.cache, &r.slot[1]);
	arena_free(&a);
	room_close(&r);
}

/* No mapping of this process is writable and executable. */
Test(code_mem, never_writable_and_executable)
{
	char line[512], perms[5];
	struct code_mem m;
	uint64_t from;
	bool seen = false;
	FILE *maps;

	cr_assert_eq(code_mem_init(&m, 0), 0);
	cr_assert_eq(m.code_bytes, CODE_MEM_DEFAULT_BYTES);
	maps = fopen("/proc/self/maps", "r");
	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		cr_assert_eq(sscanf(line, "%" SCNx64 "-%*x %4s", &from, perms), 2);
		cr_assert_not(perms[1] == 'w' && perms[2] == 'x', "%s", line);
		if (from == (uint64_t)(uintptr_t)m.rx) {
			seen = true;
			cr_assert_str_eq(perms, "r-xs");
		}
	}
	fclose(maps);
	cr_assert(seen);
	code_mem_fini(&m);
}

/* What the command line may ask for is what there is, and data stays in reach of code. */
Test(code_mem, limit)
{
	struct code_mem m;

	cr_assert_eq(code_mem_init(&m, JIT_MEM_MAX_BYTES), 0);
	cr_assert_eq(m.code_bytes, JIT_MEM_MAX_BYTES);
	cr_assert_leq(m.data + m.data_bytes - m.rx, INT32_MAX);
	code_mem_fini(&m);
}

Test(code_mem, bump)
{
	struct code_mem m;
	struct code_span a, b;
	size_t room;
	char *d;

	cr_assert_eq(code_mem_init(&m, 1), 0);
	cr_assert_eq(m.code_bytes, CODE_MEM_MIN_BYTES);
	a = code_mem_alloc(&m, 3, 1);
	code_mem_keep(&m);
	b = code_mem_alloc(&m, 100, 64);
	cr_assert_eq(b.rx - a.rx, 64);
	b.rw[0] = 0xc3;
	cr_assert_eq(b.rx[0], 0xc3, "two views of one memory");
	cr_assert_eq(code_mem_rw(&m, b.rx), b.rw);
	cr_assert_null(code_mem_alloc(&m, CODE_MEM_MIN_BYTES, 16).rx);
	a = code_mem_open(&m, false, &room);
	cr_assert_eq((size_t)(a.rx - m.rx) + room, m.cold_start);
	code_mem_commit(&m, &a, room);
	a = code_mem_open(&m, false, &room);
	cr_assert_eq(room, 0u);
	code_mem_commit(&m, &a, 0);
	a = code_mem_open(&m, true, &room);
	cr_assert_eq(room, m.code_bytes - m.cold_start, "the parts do not share room");
	code_mem_commit(&m, &a, 17);
	a = code_mem_open(&m, true, &room);
	cr_assert_eq((size_t)(a.rx - m.rx), m.cold_start + 24, "17 bytes to a multiple of 8");
	code_mem_commit(&m, &a, room);
	(void)code_mem_open(&m, true, &room);
	cr_assert_eq(room, 0u);
	cr_assert_null(code_mem_alloc(&m, 1, 1).rx);
	d = code_mem_alloc_data(&m, 10);
	cr_assert_eq((uintptr_t)d % 16, 0u);
	d[0] = 1;
	cr_assert_null(code_mem_alloc_data(&m, CODE_MEM_MIN_BYTES));
	code_mem_reset(&m);
	cr_assert_eq(code_mem_alloc(&m, 1, 64).rx, b.rx);
	a = code_mem_open(&m, true, &room);
	cr_assert_eq(a.rx, m.rx + m.cold_start);
	cr_assert_eq(((char *)code_mem_alloc_data(&m, 10))[0], 0, "zeroed again");
	code_mem_fini(&m);
}
