/* SPDX-License-Identifier: MIT */
#ifndef JIT_JIT_INTERNAL_H
#define JIT_JIT_INTERNAL_H

/*
 * What the files of jit/ share: translations, links, stubs.  Nobody outside jit/ includes this, except tests/unit/.
 *
 * ---- Who may do what ----
 *
 * Records, translations, links and code memory are guarded by code_cache.lock; functions below want it held unless they say
 * otherwise.  Translated code runs without it, in several vCPUs at once, while others add code and change links: what may run
 * is changed by one aligned store, and is never reused but by a flush, which has all other vCPUs outside first (jit.inside).
 * Jump cache, ring and side cache are their vCPU's; others change nothing there but an entry for an equal one.
 *
 * ---- Register and stack convention at every block boundary (both tiers) ----
 *
 * The registers of regs.def hold what it says, guest registers zero-extended.  rax rcx rdx r10 r11 are dead, unless
 * noted: an `entry` takes the guest pc in eax.  rsp % 16 == 8, as after a call; the trampoline's frame is above it and
 * holds tier 1's spill slots from rsp + 8 on, so a tier 2 function may push below rsp and must restore it before it
 * jumps out.  gs->reg[] of pinned guest registers is stale inside generated code; the exit stub writes it back.
 *
 * ---- Leaving ----
 *
 * Store gs->pc, then jump to stubs.exit_with[reason] (nothing in registers), or to stubs.exit with eax = reason
 * (gs->exit_stub is the same address).  With cfg.resume, exit_with[EXIT_PC_SET] and a `leave` for an exception go on at
 * gs->pc instead, through the jump cache.
 *
 * ---- Links ----
 *
 * A direct successor is a struct jit_link.  The code has a jump at its `site`, and its stub another one, and linking
 * changes where they go.  Direct jumps, and no word of data to be loaded: code that runs once or twice, which is most of
 * what an operating system runs, waits for nothing there.
 *
 *	site: jmp --unlinked, or linked to another page--> stub: mapped code, another page: eax = pc of the successor; far_site: jmp
 *	       |                                                 |                                                             |
 *	       +--linked, same page--> to->body                  all others, and unlinked far ones:               linked: to->entry,
 *	       +--linked, ABS to ABS--> to->known, which checks  call link_tail; gs->pc, gs->link, EXIT_LINK      which checks
 *
 * A tier 2 region has one site for each link, outside of its body: its ways out are jumps to that.
 *
 * A LINK_RETURN link is not jumped to by its owner: HINT_CALL pushes its address on the return ring, and HINT_RETURN
 * jumps through `target` with eax = pc after comparing pc and mode.  Linked: to->entry.  It has no sites.
 *
 * Code is changed through the writable alias: jit_link_settle() says what that takes.
 */
#include <pthread.h>

#include <xxhash.h>

#include "jit/code_mem.h"
#include "jit/jit.h"
#include "tlb/l2tlb_jit.h"

struct tier2; /* jit/tier2.h */

/* Pins of regs.def that are not guest registers. */
enum { PIN_VCPU = -1, PIN_L2TLB = -2 };

enum jit_link_kind {
	LINK_NEAR,   /* a target in the same page: may jump to the body */
	LINK_ABS,    /* unmapped code, another page: its address is known, what is there is not: to `known` */
	LINK_FAR,    /* mapped code, another page: through the entry */
	LINK_RETURN, /* return address of a call, for the ring: through the entry */
};

/*
 * Where something in code memory or its data is, as seen from here: all of that is in one reservation of less than 2 GiB, and there are
 * a million of these.  Not to be copied; 0: NULL.
 */
struct near_ref {
	int32_t by;
};

static inline void *near_get(const struct near_ref *r) { return r->by ? (uint8_t *)(uintptr_t)r + r->by : NULL; }

static inline void near_set(struct near_ref *r, const void *to)
{
	r->by = to ? (int32_t)((intptr_t)to - (intptr_t)r) : 0;
}

struct jit_link {
	union {
		void *target; /* LINK_RETURN: generated code jumps through this */
		struct {
			struct near_ref site; /* others: displacement of the jump; executable address, as all here */
			struct near_ref far_site; /* LINK_FAR: displacement of the stub's jump */
		};
	};
	struct near_ref stub;    /* where site leads while unlinked */
	struct near_ref to;      /* the translation; NULL: not linked */
	struct near_ref next_in; /* the other links into `to` */
	struct near_ref prev_in; /* what points at this one: a near_ref */
	uint32_t pc;             /* link_pc() */
	uint16_t index;          /* in links[] of the translation where the jump is */
	uint8_t pc_kind;         /* enum ir_target_kind */
	uint8_t kind;            /* enum jit_link_kind */
};
_Static_assert(sizeof(struct jit_link) == 32, "two or three for each block");

/* A word that a region was made from; the pc map has those of tier 1. */
struct jit_word {
	uint32_t off, word;
};

/* A piece of guest code that a translation was made from. off + bytes may pass 4096: a delay slot in the next page. */
struct jit_range {
	uint16_t off, bytes;
};

/* pc map, ascending in the host's addresses. */
struct jit_insn {
	uint32_t word;
	uint16_t bytes;     /* of host code, from the one before it, or the translation's start */
	uint16_t off4 : 15; /* in the guest page, in words */
	uint16_t bd : 1;    /* in a delay slot */
};
_Static_assert(sizeof(struct jit_insn) == 8, "one for each guest instruction");

/* IR kept for dumps (cfg.keep_ir); its arrays are on the heap. */
struct jit_kept_ir {
	uint32_t n_ins;
	struct ir_ins *ins;
	uint32_t *host; /* host offset per IR instruction */
};

/*
 * Lives in code_mem's data half together with its arrays, until the next flush, also after it was dropped.  Half of what a
 * translation costs was this, when it held pointers: what can be found from something else is not kept.
 */
struct translation {
	struct code_page *cp;
	uint64_t abs_page;  /* MODE_ABS: gva of the page */
	struct near_ref ir; /* struct jit_kept_ir, or NULL */
	uint32_t mode;
	struct near_ref
	    hot; /* tier 1 with cfg.hot_blocks: int32_t, executions left until EXIT_HOT; counted down by the code */
	struct near_ref code;  /* executable address of what is in the hot part of code memory: the body */
	struct near_ref cold;  /* and in the cold part: slow paths, stubs */
	struct near_ref entry; /* in the cold part too, made when something is to lead there: jit_entry(); or NULL */
	uint32_t code_bytes, cold_bytes;
	struct near_ref incoming;     /* list of links through next_in */
	struct near_ref next_in_page; /* bucket list of cp, newest tier first */
	uint16_t off;                 /* of the head in the page */
	uint16_t n_guest, n_links, n_ranges, n_insns, n_words;
	uint8_t tier;     /* enum tier */
	bool dead;        /* dropped: not in cp any more, no links in or out */
	uint8_t known_at; /* translation_known() */
	struct jit_link links[];
	/* behind them: struct jit_insn [n_insns], the pc map; struct jit_word [n_words]; struct jit_range [n_ranges] */
};
_Static_assert(sizeof(struct translation) == 72, "a hundred thousand of them");

/* For links that need no check: gs->pc_page is right. */
static inline uint8_t *translation_body(const struct translation *t) { return near_get(&t->code); }
static inline uint8_t *translation_cold(const struct translation *t) { return near_get(&t->cold); }
/* For everything else: eax = guest pc; checks it, sets gs->pc_page and gs->mode. NULL: not made yet, so nothing leads there. */
static inline uint8_t *translation_entry(const struct translation *t)
{
	int32_t by = __atomic_load_n(&t->entry.by, __ATOMIC_ACQUIRE); /* looked at without the lock too */

	return by ? (uint8_t *)(uintptr_t)&t->entry + by : NULL;
}
/* MODE_ABS: for links that know pc and mode; checks that the page is what it was. */
static inline uint8_t *translation_known(const struct translation *t) { return translation_entry(t) + t->known_at; }
static inline int32_t *translation_hot(const struct translation *t) { return near_get(&t->hot); }
static inline struct jit_kept_ir *translation_ir(const struct translation *t) { return near_get(&t->ir); }
static inline struct translation *translation_next(const struct translation *t) { return near_get(&t->next_in_page); }

static inline struct jit_insn *translation_insns(const struct translation *t)
{
	return (struct jit_insn *)(uintptr_t)&t->links[t->n_links];
}
static inline struct jit_word *translation_words(const struct translation *t)
{
	return (struct jit_word *)(translation_insns(t) + t->n_insns);
}
static inline struct jit_range *translation_ranges(const struct translation *t)
{
	return (struct jit_range *)(translation_words(t) + t->n_words);
}

static inline struct translation *link_owner(const struct jit_link *l)
{
	return (struct translation *)((uintptr_t)(l - l->index) - offsetof(struct translation, links));
}
static inline struct translation *link_to(const struct jit_link *l) { return near_get(&l->to); }
/* Where it wants to go, relative to its owner's page. */
static inline struct ir_target link_pc(const struct jit_link *l)
{
	return (struct ir_target){l->pc_kind, l->pc_kind == TGT_PAGE ? (int64_t)(int32_t)l->pc : (int64_t)l->pc};
}

#define CODE_GRANULE_SHIFT 6
#define CODE_GRANULES      (PAGE_BYTES >> CODE_GRANULE_SHIFT)

/* A page that has the record. */
struct code_user {
	void **slot; /* machine_page.code */
	const void *host;
	bool
	    stays; /* it cannot be moved to another record: it may be several machines', or is not known by its place */
};

/*
 * A record is of a content: its users' bytes are all equal, and stay so, because a store takes its page off the record.  What
 * is translated stays for the next page with these bytes.
 *
 * Or it is exact, and nobody finds it by its content: of one page, which is written often, and whose stores drop exactly the
 * translations that they hit; or, if it has a place, of pages there that agree in all words that its translations were made from.
 * What is added must be so in all of them; a page of which it is not, or that stores to such words, leaves.
 */
struct code_page {
	struct code_cache *cc;
	uint32_t id;
	bool exact;
	XXH128_hash_t hash;      /* of the content */
	struct code_page *alike; /* next of the same hash bucket */
	struct code_user *user;  /* [room] */
	uint32_t n_users, room;
	uint32_t n_stay;             /* users that stay */
	uint64_t place;              /* struct code_place.va, or 0 */
	struct code_page *next_here; /* of the same bucket of places */
	struct code_page *next;      /* all of the cache */
	struct code_page **prev;
	uint64_t granules;  /* bit n: code in [64n, 64n + 64) */
	uint64_t pending;   /* likewise, of regions that tier 2 is compiling */
	uint32_t n_pending; /* requests under way */
	uint32_t serial;    /* of the last write to what is pending: requests made before it are stale */
	uint32_t n;         /* translations */
	struct translation *bucket[CODE_GRANULES]; /* by granule of `off` */
};

/* Direct-mapped (pc, mode) -> entry. Key: pc in the low half, JUMP_MODE(mode) in the high half. */
#define JUMP_CACHE_ENTRIES 16384u
struct jump_cache_entry {
	uint64_t key;
	void *entry;
};
struct jit_jump_cache {
	struct jump_cache_entry e[JUMP_CACHE_ENTRIES]; /* by jump_cache_index() */
};
/*
 * pc bits 15:12 ^ 19:16, then 11:2.  Functions of one program lie within megabytes of each other: with bits 13:2 alone two
 * hot ones of busybox's sort shared an entry, which cost 10 % of its time.
 */
static inline uint32_t jump_cache_index(uint64_t pc)
{
	return ((uint32_t)pc ^ ((uint32_t)pc >> 4 & 0xf000u)) >> 2 & (JUMP_CACHE_ENTRIES - 1);
}
/* MODE_ABS follows from the pc and the other bits, so code may jump between mapped and unmapped segments. */
#define JUMP_MODE(mode)    ((uint32_t)(mode) & ~(uint32_t)MODE_ABS)
#define JUMP_KEY(pc, mode) ((uint64_t)(uint32_t)(pc) | (uint64_t)JUMP_MODE(mode) << 32)
#define JUMP_KEY_NONE      UINT64_MAX

/*
 * Where side exits of tier 2 go: (pc, mode, code record) -> tier 1 body, direct-mapped by pc bits 11:2.  Everything that an
 * entry would check is compared here, so that a hit executes the instruction and a miss leaves: see README, "Progress".
 */
#define SIDE_CACHE_ENTRIES (PAGE_BYTES / 4)
struct side_cache_entry {
	uint64_t key;  /* JUMP_KEY */
	void *body;    /* of a tier 1 translation */
	uint32_t mode; /* with MODE_ABS */
	uint32_t id;   /* of its code record */
	uint64_t unused;
};

/* Return ring; gs->ret_ring_top is the byte offset of the next free entry. */
#define RET_RING_ENTRIES 32u
struct ret_ring_entry {
	uint64_t key;
	struct jit_link *link;
};

/* Fixed code, made with the cache; addresses never change, so a tier 2 thread may use them. */
struct jit_stubs {
	enum exit_reason (*enter)(struct guest_state *gs, void *code); /* from C */
	void *exit;                                                    /* eax = reason */
	void *exit_with[NUM_EXITS];                                    /* reason in none */
	void *indirect;     /* gs->pc = target: jump cache, else EXIT_INDIRECT. Polls */
	void *ret;          /* gs->pc = target: return ring, jump cache, else EXIT_INDIRECT. Polls */
	void *indirect_eax; /* jump cache for eax = pc, else EXIT_INDIRECT. No poll */
	void *side;         /* gs->pc set, an instruction that tier 2 cannot do: side cache, else EXIT_SIDE */
	void *raise;        /* gs->pc, gs->site set, gs->scratch[0] = EXC immediate: delivers it and leaves */
	void *raise_eax;    /* the same with the EXC immediate in eax */
	void *leave;        /* leave with gs->leave, and reset it; pins are in their registers */
	void *leave_called; /* tier 1, after a call: caller-saved pins are in gs->reg[], rsp is anything */
	void *entry_failed; /* eax = pc, rdx = the entry that failed */
	void *link_tail;    /* called; a displacement to the link behind the call: EXIT_LINK with its pc */
	void *return_tail;  /* likewise, but eax = pc */
	void *poll_eax, *hot_eax, *budget_eax; /* eax = pc: leave with that reason */
	void (*serialize)(void);               /* from C: wait until all that was written before can be executed */
	void *load[2], *store[2], *fetch[2];   /* tier 1's memory slow paths; [1] for MODE_ABS (tier1_mem.c) */
	void *fpu, *fpu_tier2;                 /* floating point that is not done inline (tier1_fpu.c) */
};

/* A tier 2 request under way: the cookie of its struct tier2_work. */
struct jit_request {
	struct code_page *cp;
	uint32_t off, mode, serial;
	uint64_t abs_page;
	struct jit_request *next;
};

#define RECORD_BUCKETS 4096u
#define FLUSH_WAIT_NS  50000000ull /* for those that are inside to come outside */

struct code_cache {
	struct jit_config cfg; /* constant, as the stubs are */
	struct jit_stubs stubs;
	struct tier2 *tier2; /* NULL without cfg.tier2 */
	uint32_t patches;    /* atomic: changes of code that may have run */
	bool stopping;       /* atomic; set with lock: a flush waits for everybody to come outside */

	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t outside; /* somebody left translated code, or stopping ended */
	struct code_mem mem;
	struct code_page *record[RECORD_BUCKETS]; /* by content; not the exact ones */
	struct code_page *place[RECORD_BUCKETS];  /* by place; not those without */
	struct code_page *pages;                  /* all records */
	uint32_t last_id;
	struct tier1 *tier1; /* emitter's scratch memory */
	struct jit_request *requests;
	int32_t *hot_counts; /* cfg.hot_blocks: of the translations to come: next of a cache line full */
	uint32_t n_hot_counts;
	uint64_t flush_wait_ns;     /* FLUSH_WAIT_NS, but in tests */
	uint64_t no_flush_until_ns; /* somebody was held inside (host_now_ns()) */
	struct jit_stats stats;

	pthread_mutex_t list_lock; /* taken after `lock` and tier 2's, or alone: guards */
	struct jit *jits;
};

struct jit {
	struct code_cache *cc;
	struct jit *next; /* cc->jits */
	struct guest_state *gs;
	struct jit_jump_cache *jump_cache; /* entries: stored by this vCPU; others replace an entry by an equal one */
	struct ret_ring_entry *ret_ring;
	struct side_cache_entry *side_cache;
	bool
	    inside; /* atomic; set with cc->lock: runs translated code, or holds a translation that it is about to run */
	uint32_t patches; /* of cc->patches, seen */
	int32_t
	    *asked; /* counter of the jump that left with EXIT_HOT last, or NULL; others clear it while it is outside */
	struct jit_made made;
	bool waited; /* cfg.waits() was told of a wait, and not of its end */
	bool full;   /* jit_is_full() */
	bool moved;  /* jit_move_page() was called for the block that is about to be compiled */
};

/* ---- jit/code_cache.c ---- */
/* To look at what the lock guards; inside: and to run what is found. Waits while a flush is going on. */
void jit_lock(struct jit *j, bool inside);
void jit_unlock(struct jit *j);
/* Done with what was found. No lock held. */
void jit_outside(struct jit *j);
/* From a helper of running code: does not wait for a flush, which waits for this vCPU. */
void jit_lock_running(struct jit *j);
/* j: who asks, and is not waited for; NULL: there are none.  False: one that is held inside was waited for in vain, and nothing was dropped. */
MUST_CHECK bool code_cache_flush(struct code_cache *cc, struct jit *j);
/* Empty the jump cache, the side cache and the return ring; forget gs->link. */
void jit_forget_jumps(struct jit *j);

/* ---- jit/record.c ---- */
/* Free a record that has no page, no translation and no request any more. */
void record_settle(struct code_page *cp);
/* Nobody finds it by its content any more. */
void record_make_exact(struct code_page *cp);
/* Do the words that t was made from stand in this page? */
bool record_is_made_from(const struct translation *t, const void *page);
/* Is the block, at its offsets, what all users' pages say? */
bool record_users_agree(const struct code_page *cp, const struct ir_block *b);
/* Should the only page of the record have another one of its place: that has the block, and more than this one? */
bool record_better_elsewhere(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);
/* After a flush. */
void records_settle(struct code_cache *cc);

/* ---- jit/cache.c ---- */
struct translation *find_translation(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);
struct translation *find_tier1(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);
/*
 * A translation with its arrays, zeroed but for cp, owner and counts; not visible yet.  NULL if data memory is full.
 */
struct translation *jit_translation_new(struct code_cache *cc, struct code_page *cp, unsigned n_links,
					unsigned n_ranges, unsigned n_insns, unsigned n_words);
/*
 * If executions of tier 1 blocks are counted, the counter of t, beside those of other translations: what runs touches few lines.
 * False: data memory is full.
 */
MUST_CHECK bool jit_count_executions(struct code_cache *cc, struct translation *t);
/*
 * Make t visible to jit_find.  Filled in by the caller: tier, mode, abs_page, off, code, code_bytes, body, entry,
 * n_guest, links (through jit_emit_links or tier 1), ranges, insns.  Links and jump cache entries that lead to an
 * older translation of the same key are moved to t.  The older one is kept.
 */
void jit_install(struct code_cache *cc, struct translation *t);

/*
 * For tier 2: the code that stands around a finished body.  Filled in already: mode, abs_page, off, body, and the links
 * (jit_link_init).  Emits the links' stubs and t->entry into code memory, sets links and entry.
 * *stubs gets what the body is to be linked against: the JIT's stubs, but its own ways out of indirect jumps; ways[n_links] as
 * tier2_work_place() wants them.  False if code memory is full.
 */
MUST_CHECK bool jit_emit_around(struct code_cache *cc, struct translation *t, struct jit_stubs *stubs,
				const void **ways);
/* cfg.installed, if there is one: of these pieces of t's code. */
void jit_tell_installed(const struct code_cache *cc, const struct translation *t, const void *code, uint32_t code_bytes,
			const void *cold, uint32_t cold_bytes);
/* Bits of the granules that [off, off + bytes) touches inside the page. */
uint64_t jit_granules(uint32_t off, uint32_t bytes);
/* Drop what covers [off, off + bytes). j: whose caches may lead there, or NULL: nobody's may any more. */
bool drop_covering(struct code_cache *cc, struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes);
/* [off, off + bytes) was written: what tier 2 makes of it is not to be installed. */
void forget_pending(struct code_page *cp, uint32_t off, uint32_t bytes);
/* Does anything, translated or being compiled, cover it? To 64 bytes. */
bool is_covered(const struct code_page *cp, uint32_t off, uint32_t bytes);
/* Does a translation cover it? To the byte. */
bool is_translated(const struct code_page *cp, uint32_t off, uint32_t bytes);
/* All translations of the record go, as memory does. */
void forget_translations(struct code_cache *cc, struct code_page *cp);

/* ---- jit/link.c ---- */
/* Sets pc and kind (near or far by itself; is_return for the ring) of t->links[index]. */
void jit_link_init(struct translation *t, unsigned index, struct ir_target pc, bool is_return);
void jit_link_connect(struct code_cache *cc, struct jit_link *l, struct translation *to);
void jit_link_disconnect(struct code_cache *cc, struct jit_link *l);
/*
 * After sites were changed, by whoever, before this vCPU's code runs again.  The host looks at written code by its physical
 * address, but for what it has fetched already under another linear one: a serializing instruction forgets that (Intel SDM volume
 * 3, 8.1.3).  A vCPU that runs meanwhile goes where the jump led before or where it leads now, and both are right.  No lock.
 */
void jit_link_settle(struct jit *j);
/* All links into `from` (and everybody's jump cache entries) go to `to`, which has the same key. */
void jit_link_move_incoming(struct code_cache *cc, struct translation *from, struct translation *to);
/* Nothing reaches t and t reaches nothing afterwards. j: whose caches may lead to it, or NULL. */
void jit_link_isolate(struct code_cache *cc, struct jit *j, struct translation *t);

/* ---- jit/jit.c ---- */
/* translation_entry(t), which is made if it is not there. NULL: code memory is full. */
const uint8_t *jit_entry(struct code_cache *cc, struct translation *t);
/* Called by the stubs of debug builds that execute nothing: panics where they go round.  Source: README, "Progress". */
void jit_count_hop(struct guest_state *gs);

/* ---- jit/stubs.c ---- */
/* False if code memory is too small. */
MUST_CHECK bool jit_stubs_emit(struct code_cache *cc);

#endif
