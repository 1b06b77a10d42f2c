/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "frontend/cp0.h"
#include "jit/jit_internal.h"
#include "numa/share.h"
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/net/net.h"
#include "pv-drivers/virtio/devices.h"
#include "tests/isolation/isolation.h"
#include "tests/oracle/asm.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/rendezvous.h"

/*
 * Machine B.  Its memory: a page of code, one in which it says what it has done, WORK_PAGES that it works in, by mapped addresses, of which
 * the second halves are canaries; blocks of the image that A has too; all other pages are canaries.  Each of its pages has one of a
 * machine that never runs before and behind it in the host's memory.
 */
enum {
	PAGES = ISOLATION_RAM_BYTES / PAGE_BYTES,
	CODE_PA = 0x1000,
	SAYS_PA = 0x2000, /* words: V0, rounds; and what others say: end */
	WORK_PA = 0x100000,
	WORK_PAGES = 64,
	WORK_VA = 0x00400000,
	BLOCKS_PA = 0x200000,
	TURNS = 4096, /* of a round */
	WORDS = PAGE_BYTES / 4,
	ZONES = 64,
};
enum { ZERO = 0, AT = 1, V0 = 2, T0 = 8, T1 = 9, T2 = 10, S0 = 16, S1 = 17, S2 = 18, S3 = 19, K0 = 26 };
#define A_ADDU(rd, rs, rt) R_TYPE(rs, rt, rd, 0, 0x21)

struct zone {
	uint32_t *data;
	size_t words;
};

struct victim {
	struct monitor *mon;
	struct vm *vm, *guard;
	pthread_t thread;
	enum vm_end end;
	uint64_t seed;
	struct disk *image;
	struct net *cable;
	struct zone zone[ZONES];
	uint64_t constants; /* hash of the monitor's own, once everything has been used */
	uint32_t work[WORK_PAGES][WORDS];
};

static uint32_t pattern(uint64_t seed, uint32_t salt, uint32_t word)
{
	struct random r = {seed ^ ((uint64_t)salt << 32 | word)};

	return (uint32_t)random_next(&r);
}

static uint32_t canary(const struct victim *v, uint32_t salt, uint32_t word) { return pattern(v->seed, salt, word); }

bool victim_make_image(const char *path, uint64_t seed)
{
	FILE *f = fopen(path, "wb");
	bool ok = f;

	for (uint32_t i = 0; ok && i < ISOLATION_BLOCKS * WORDS; i++) {
		uint32_t word = pattern(seed, 0, BLOCKS_PA / 4 + i);

		ok = fwrite(&word, 4, 1, f) == 1;
	}
	return f && !fclose(f) && ok;
}

bool victim_image_is(const char *path, uint64_t seed)
{
	FILE *f = fopen(path, "rb");
	bool ok = f;
	uint32_t word;

	for (uint32_t i = 0; ok && i < ISOLATION_BLOCKS * WORDS; i++)
		ok = fread(&word, 4, 1, f) == 1 && word == pattern(seed, 0, BLOCKS_PA / 4 + i);
	ok = ok && fread(&word, 1, 1, f) == 0;
	if (f)
		fclose(f);
	return ok;
}

static bool is_work(unsigned page) { return page >= WORK_PA / PAGE_BYTES && page < WORK_PA / PAGE_BYTES + WORK_PAGES; }

static bool is_block(unsigned page)
{
	return page >= BLOCKS_PA / PAGE_BYTES && page < BLOCKS_PA / PAGE_BYTES + ISOLATION_BLOCKS;
}

/* ---- making it ---- */

static bool fill(struct victim *v, struct vm *vm, unsigned page, uint32_t salt)
{
	int err;
	struct guest_page *g = pmap_get(vm->ram, gpa((uint64_t)page << PAGE_SHIFT), 0, PMAP_WRITE, &err);

	for (uint32_t i = 0; g && i < WORDS; i++)
		((uint32_t *)(void *)g->page->host)[i] = canary(v, salt, page * WORDS + i);
	return g;
}

/* The image's blocks, as if its guest had read them; A's reads find the same machine pages. */
static bool share_blocks(struct victim *v, const struct scratch *s)
{
	struct disk_config cfg = {.path = s->image, .mode = DISK_COW, .format = DISK_FORMAT_RAW};
	struct share_image image;
	struct disk_error err;
	uint32_t number;
	FILE *f;

	if (disk_open(&v->image, &cfg, &err) || !disk_image(v->image, &image))
		return false;
	number = share_image_number(v->mon->memory, &image);
	f = fopen(s->image, "rb");
	for (unsigned i = 0; f && number && i < ISOLATION_BLOCKS; i++) {
		struct machine_page *page = share_page_new(v->vm->ram, 0);

		if (!page || fread(page->host, PAGE_BYTES, 1, f) != 1 ||
		    pmap_give_block(v->vm->ram, gpa(BLOCKS_PA + (uint64_t)i * PAGE_BYTES),
				    (struct block_name){number, i}, page))
			number = 0;
	}
	if (f)
		fclose(f);
	return f && number;
}

static void put_program(struct victim *v)
{
	static const uint32_t code[] = {
	    A_LUI(S1, WORK_VA >> 16), A_LUI(S2, 0x8000),
	    A_ORI(S2, S2, SAYS_PA),   A_LUI(S3, 3), /* of a turn's number: page 17:12, word 10:2 */
	    A_ORI(S3, S3, 0xf7fc),    A_ORI(T0, ZERO, TURNS),
	    A_ADDU(V0, V0, T0),       A_AND(T1, V0, S3),
	    A_ADDU(T1, T1, S1),       A_LW(T2, 0, T1),
	    A_ADDU(T2, T2, V0),       A_SW(T2, 0, T1),
	    A_XOR(V0, V0, T2),        A_ADDIU(T0, T0, -1),
	    A_BNE(T0, ZERO, -9),      A_NOP,
	    A_ADDIU(S0, S0, 1),       A_SW(V0, 0, S2),
	    A_SW(S0, 4, S2),          A_LW(T2, 8, S2),
	    A_BEQ(T2, ZERO, -16),     A_NOP,
	    A_LUI(AT, 0xbf00),        A_ORI(AT, AT, 0x500),
	    A_ORI(K0, ZERO, 0x42),    A_SW(K0, 0, AT),
	    A_BEQ(ZERO, ZERO, -1),    A_NOP,
	};
	static const uint32_t nothing[3];

	if (pmap_write(v->vm->ram, gpa(CODE_PA), code, sizeof(code)) ||
	    pmap_write(v->vm->ram, gpa(SAYS_PA), nothing, sizeof(nothing)))
		abort();
}

/* The same addresses and ASID as A's. */
static void map_work(struct victim *v)
{
	struct guest_state *gs = &v->vm->vcpu->gs;

	for (unsigned i = 0; i < WORK_PAGES / 2; i++) {
		uint32_t pa = WORK_PA + i * 2 * PAGE_BYTES;

		gs->cp0[CP0_Index] = i;
		gs->cp0[CP0_PageMask] = 0;
		gs->cp0[CP0_EntryHi] = WORK_VA + i * 2 * PAGE_BYTES;
		gs->cp0[CP0_EntryLo0] = pa >> 6 | 6;
		gs->cp0[CP0_EntryLo1] = (pa + PAGE_BYTES) >> 6 | 6;
		cp0_tlbwi(gs, 0, 0, 0);
	}
	gs->cp0[CP0_EntryHi] = 0;
}

static bool make_zones(struct victim *v)
{
	struct random r = {v->seed};

	for (unsigned i = 0; i < ZONES; i++) {
		struct zone *z = &v->zone[i];

		z->words = 16 + random_below(&r, i % 8 ? 100 : 4000);
		z->data = malloc(z->words * 4);
		for (uint32_t k = 0; z->data && k < z->words; k++)
			z->data[k] = canary(v, 3 + i, k);
		if (!z->data)
			return false;
	}
	return true;
}

static void *run(void *arg)
{
	struct victim *v = arg;

	v->end = vm_run(v->vm);
	return NULL;
}

/* ---- what never changes ---- */

#define HASH(x, what) XXH3_64bits_update(x, &(what), sizeof(what))

/* Rows of pmap and memmap: where each page of the machine is, and that it is nobody else's who has not been before. */
static void hash_rows(XXH3_state_t *x, struct vm *vm)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		const struct machine_page *page = pmap_row(vm->ram, gpa(i << PAGE_SHIFT))->page;

		HASH(x, page);
		HASH(x, page->host);
		HASH(x, page->mpn);
		HASH(x, page->node);
		if (is_block((unsigned)i)) /* A is a user now and then */
			continue;
		HASH(x, page->flags);
		HASH(x, page->refs);
		HASH(x, page->user.pmap);
		HASH(x, page->user.gpn);
	}
}

static void hash_machine(XXH3_state_t *x, const struct vm *vm)
{
	const struct vcpu *v = vm->vcpu;

	XXH3_64bits_update(x, &vm->cfg, sizeof(vm->cfg));
	HASH(x, vm->monitor);
	HASH(x, vm->ram);
	HASH(x, vm->board);
	HASH(x, vm->clock);
	HASH(x, vm->vcpu);
	HASH(x, vm->virtio);
	HASH(x, vm->n_vcpus);
	HASH(x, v->vm);
	HASH(x, v->model);
	HASH(x, v->frontend);
	HASH(x, v->jit);
	HASH(x, v->abs_code);
	HASH(x, v->l2tlb);
	HASH(x, v->count_hz);
	HASH(x, v->count_base);
	HASH(x, v->gs.helpers);
	HASH(x, v->gs.jump_cache);
	HASH(x, v->gs.side_cache);
	HASH(x, v->gs.ret_ring);
	for (unsigned i = 0; i < v->tlb.n; i++)
		HASH(x, v->tlb.e[i]);
}

/* Code that everybody runs. */
static void hash_code(XXH3_state_t *x, const struct code_cache *cc)
{
	HASH(x, cc->cfg);
	HASH(x, cc->stubs);
	XXH3_64bits_update(x, cc->mem.rx, cc->mem.code_keep);
	XXH3_64bits_update(x, cc->mem.rx + cc->mem.cold_start, cc->mem.cold_keep - cc->mem.cold_start);
}

static uint64_t constants(struct victim *v)
{
	XXH3_state_t *x = XXH3_createState();
	uint64_t hash;

	if (!x)
		abort();
	XXH3_64bits_reset(x);
	hash_rows(x, v->vm);
	hash_rows(x, v->guard);
	hash_machine(x, v->vm);
	hash_machine(x, v->guard);
	if (v->mon->code)
		hash_code(x, v->mon->code);
	HASH(x, v->mon->memory);
	HASH(x, v->mon->net_switch);
	HASH(x, v->mon->watcher);
	HASH(x, v->mon->sched);
	HASH(x, v->mon->rendezvous);
	hash = XXH3_64bits_digest(x);
	XXH3_freeState(x);
	return hash;
}

/* ---- looking ---- */

struct look {
	struct victim *v;
	unsigned changed;
	char *text;
	size_t bytes;
	uint64_t rounds;
	struct monitor_audit audit;
};

static void found(struct look *l, const char *what, unsigned n, uint32_t word)
{
	if (!l->changed++)
		snprintf(l->text, l->bytes, "%s %u, word %u", what, n, word);
}

static void look_at_page(struct look *l, const struct vm *vm, unsigned page, uint32_t from, uint32_t salt)
{
	const uint32_t *word = (const void *)pmap_peek(vm->ram, gpa((uint64_t)page << PAGE_SHIFT))->host;

	for (uint32_t i = from; i < WORDS; i++)
		if (word[i] != canary(l->v, salt, page * WORDS + i))
			found(l, salt == 2 ? "the page beside machine B's" : "machine B's page", page, i);
}

static void look_at_all(void *arg)
{
	struct look *l = arg;
	struct victim *v = l->v;

	for (unsigned page = 0; page < PAGES; page++) {
		if (page != CODE_PA / PAGE_BYTES && page != SAYS_PA / PAGE_BYTES)
			look_at_page(l, v->vm, page, is_work(page) ? WORDS / 2 : 0, is_block(page) ? 0 : 1);
		look_at_page(l, v->guard, page, 0, 2);
	}
	for (unsigned i = 0; i < ZONES; i++)
		for (uint32_t k = 0; k < v->zone[i].words; k++)
			if (v->zone[i].data[k] != canary(v, 3 + i, k))
				found(l, "canary on the heap", i, k);
	if (v->constants && v->constants != constants(v))
		found(l, "the monitor's own structures", 0, 0);
	monitor_audit(v->mon, &l->audit);
	if (l->audit.errors && !l->changed)
		snprintf(l->text, l->bytes, "an audit: %s", l->audit.first);
	l->changed += l->audit.errors;
}

unsigned victim_check(struct victim *v, char *text, size_t bytes)
{
	struct look l = {.v = v, .text = text, .bytes = bytes};

	(void)rendezvous(v->mon->rendezvous, NULL, (struct rendezvous_set){0}, look_at_all, &l);
	return l.changed;
}

static void look_at_rounds(void *arg)
{
	struct look *l = arg;
	uint32_t says[3];

	if (pmap_read(l->v->vm->ram, gpa(SAYS_PA), says, sizeof(says)))
		abort();
	l->rounds = says[1];
}

uint64_t victim_rounds(struct victim *v)
{
	struct look l = {.v = v};

	(void)rendezvous(v->mon->rendezvous, NULL, (struct rendezvous_set){0}, look_at_rounds, &l);
	return l.rounds;
}

static void set_constants(void *arg)
{
	struct victim *v = arg;

	v->constants = constants(v);
}

static bool start(struct victim *v)
{
	struct vcpu *cpu = v->vm->vcpu;

	put_program(v);
	cpu->gs.cp0[CP0_Status] = ST_CU0;
	vcpu_update_mode(cpu);
	map_work(v);
	cpu->gs.pc = 0x80000000u + CODE_PA;
	if (pthread_create(&v->thread, NULL, run, v))
		return false;
	while (victim_rounds(v) < 2)
		sched_yield();
	(void)rendezvous(v->mon->rendezvous, NULL, (struct rendezvous_set){0}, set_constants, v);
	return true;
}

/* Its card is on A's lan; no driver has given it any memory. */
static bool plug_card(struct victim *v)
{
	struct net_config cfg = {.kind = NET_LAN, .mtu = NET_MOST_MTU, .net_switch = v->mon->net_switch, .machine = 2};
	struct virtio_device *d;
	struct net_error err;

	return net_open(&v->cable, &cfg, &err) == 0 && virtio_net_new(&d, v->cable, "net") == 0 &&
	       vm_add_virtio(v->vm, d) == 0;
}

struct victim *victim_new(struct monitor *mon, const struct scratch *s, uint64_t seed, bool tier1, bool tier2)
{
	struct victim *v = calloc(1, sizeof(*v));
	bool ok = v;

	if (!ok)
		return NULL;
	v->mon = mon;
	v->seed = seed;
	v->vm = isolation_machine(mon, tier1, tier2);
	v->guard = isolation_machine(mon, tier1, tier2);
	ok = v->vm && v->guard && make_zones(v) && plug_card(v);
	for (unsigned page = 0; ok && page < PAGES; page++)
		ok = fill(v, v->guard, page, 2) && (is_block(page) || fill(v, v->vm, page, 1));
	ok = ok && share_blocks(v, s) && start(v);
	if (!ok) {
		fprintf(stderr, "isolation: machine B cannot be made\n");
		exit(2);
	}
	return v;
}

/* ---- its result ---- */

/* What the program leaves after so many rounds. */
static uint32_t replay(struct victim *v, uint32_t rounds)
{
	uint32_t x = 0;

	for (uint32_t page = 0; page < WORK_PAGES; page++)
		for (uint32_t i = 0; i < WORDS; i++)
			v->work[page][i] = canary(v, 1, (WORK_PA / PAGE_BYTES + page) * WORDS + i);
	for (uint32_t n = 0; n < rounds; n++)
		for (uint32_t t = TURNS; t; t--) {
			uint32_t *w;

			x += t;
			w = &v->work[x >> 12 & 63][x >> 2 & 511];
			*w += x;
			x ^= *w;
		}
	return x;
}

static void ask_to_end(void *arg)
{
	struct victim *v = arg;
	uint32_t *says = (void *)pmap_peek(v->vm->ram, gpa(SAYS_PA))->host;

	says[2] = 1;
}

bool victim_end(struct victim *v)
{
	uint32_t says[2], page[WORDS], want;
	unsigned wrong = 0;

	(void)rendezvous(v->mon->rendezvous, NULL, (struct rendezvous_set){0}, ask_to_end, v);
	pthread_join(v->thread, NULL);
	if (pmap_read(v->vm->ram, gpa(SAYS_PA), says, sizeof(says)))
		abort();
	want = replay(v, says[1]);
	for (unsigned i = 0; i < WORK_PAGES; i++)
		wrong += pmap_read(v->vm->ram, gpa(WORK_PA + (uint64_t)i * PAGE_BYTES), page, sizeof(page)) ||
			 memcmp(page, v->work[i], sizeof(page)) != 0;
	if (v->end == VM_RESET && says[0] == want && !wrong)
		return true;
	fprintf(stderr, "isolation: machine B: end %d, result %08x after %u rounds, not %08x; %u pages wrong\n",
		(int)v->end, says[0], says[1], want, wrong);
	return false;
}

void victim_free(struct victim *v)
{
	vm_free(v->vm);
	vm_free(v->guard);
	net_close(v->cable);
	if (disk_close(v->image))
		fprintf(stderr, "isolation: the image cannot be closed\n");
	for (unsigned i = 0; i < ZONES; i++)
		free(v->zone[i].data);
	free(v);
}
