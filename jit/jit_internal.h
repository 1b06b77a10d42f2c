/* SPDX-License-Identifier: MIT */
#ifndef JIT_JIT_INTERNAL_H
#define JIT_JIT_INTERNAL_H

/*
 * What the files of jit/ share: translations, links, stubs.  Nobody outside jit/ includes this, except tests/unit/.
 * Everything is the vCPU thread's, unless said otherwise.
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
 *	site: jmp --unlinked, or linked to another page--> stub: eax = pc of the successor; far_site: jmp
 *	       |                                                                                     |
 *	       +--linked, same page or ABS to ABS--> to->body               unlinked: tail of the stub:
 *	                                                                    gs->pc, gs->link, EXIT_LINK
 *	                                                                    linked: to->entry, which checks
 *
 * A tier 2 region has one site for each link, outside of its body: its ways out are jumps to that.
 *
 * A LINK_RETURN link is not jumped to by its owner: HINT_CALL pushes its address on the return ring, and HINT_RETURN
 * jumps through `target` with eax = pc after comparing pc and mode.  Linked: to->entry.  It has no sites.
 *
 * Code is changed through the writable alias, by the thread that runs it: jit_link_settle() says what that takes.
 */
#include "jit/code_mem.h"
#include "jit/jit.h"
#include "tlb/l2tlb_jit.h"

struct tier2; /* jit/tier2.h */
struct jit;

/* Pins of regs.def that are not guest registers. */
enum { PIN_VCPU = -1, PIN_L2TLB = -2 };

enum jit_link_kind {
	LINK_NEAR,   /* ABS mode, or a target in the same page: may jump to the body */
	LINK_FAR,    /* mapped code, another page: through the entry */
	LINK_RETURN, /* return address of a call, for the ring: through the entry */
};

struct jit_link {
	void *target;              /* LINK_RETURN: generated code jumps through this */
	uint8_t *site;             /* others: displacement of the jump; executable address, as all here */
	uint8_t *far_site;         /* LINK_FAR: displacement of the stub's jump */
	void *stub;                /* where site leads while unlinked */
	void *enter;               /* tier 2: where the region jumps to */
	void *tail;                /* where far_site leads while unlinked */
	struct translation *owner; /* where the jump is */
	struct translation *to;    /* NULL: not linked */
	struct jit_link *next_in;  /* the other links into `to` */
	struct jit_link **prev_in; /* what points at this one */
	struct ir_target pc;       /* where it wants to go, relative to owner's page */
	uint8_t kind;              /* enum jit_link_kind */
};

/* A piece of guest code that a translation was made from. off + bytes may pass 4096: a delay slot in the next page. */
struct jit_range {
	uint16_t off, bytes;
};

/* pc map: the guest instruction that starts at host offset `host`. Ascending in `host`. */
struct jit_insn {
	uint32_t host; /* from translation.code */
	uint16_t off;  /* in the guest page */
	uint16_t bd;   /* in a delay slot */
	uint32_t word;
};

/* IR kept for dumps (cfg.keep_ir); heap. */
struct jit_kept_ir {
	uint32_t n_ins;
	struct ir_ins *ins;
	uint32_t *host; /* host offset per IR instruction */
};

/* Lives in code_mem's data half together with its arrays, until the next flush, also after it was dropped. */
struct translation {
	struct code_page *cp;
	uint32_t mode;
	uint64_t abs_page; /* MODE_ABS: gva of the page */
	uint16_t off;      /* of the head in the page */
	uint8_t tier;      /* enum tier */
	bool dead;         /* dropped: not in cp any more, no links in or out */
	int32_t *hot;      /* tier 1: jumps back left until EXIT_HOT; counted down by the code */

	uint8_t *code;       /* rx address of what is in the hot part of code memory: the body */
	uint32_t code_bytes; /* host bytes */
	uint8_t *cold;       /* and in the cold part: entry, slow paths, stubs */
	uint32_t cold_bytes;
	void *body;  /* for links that need no check: gs->pc_page is right */
	void *entry; /* for everything else: eax = guest pc; checks it, sets gs->pc_page and gs->mode */

	uint16_t n_guest, n_links, n_ranges, n_insns;
	struct jit_link *links;   /* [n_links] */
	struct jit_range *ranges; /* [n_ranges] */
	struct jit_insn *insns;   /* [n_insns], the pc map */
	struct jit_kept_ir *ir;   /* or NULL */

	struct jit_link *incoming;        /* list through next_in */
	struct translation *next_in_page; /* bucket list of cp, newest tier first */
};

#define CODE_GRANULE_SHIFT 6
#define CODE_GRANULES      (PAGE_BYTES >> CODE_GRANULE_SHIFT)

struct code_page {
	struct jit *jit;
	void **slot; /* machine_page.code; NULL: the page was given away, and a request still names this record */
	const void *page_key;   /* host address of the machine page */
	struct code_page *next; /* all of this jit */
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
 * Where side exits of tier 2 go: (pc, mode, machine page) -> tier 1 body, direct-mapped by pc bits 11:2.  Everything that an
 * entry would check is compared here, so that a hit executes the instruction and a miss leaves: see README, "Progress".
 */
#define SIDE_CACHE_ENTRIES (PAGE_BYTES / 4)
struct side_cache_entry {
	uint64_t key;   /* JUMP_KEY */
	const void *at; /* host address of the instruction; NULL: unmapped code, where the pc says all */
	void *body;     /* of a tier 1 translation */
	uint64_t mode;  /* with MODE_ABS */
};

/* Return ring; gs->ret_ring_top is the byte offset of the next free entry. */
#define RET_RING_ENTRIES 32u
struct ret_ring_entry {
	uint64_t key;
	struct jit_link *link;
};

/* Fixed code, made by jit_new; addresses never change, so a tier 2 thread may use them. */
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
	void *link_tail;    /* eax = pc, rdx = link: EXIT_LINK */
	void *poll_eax, *hot_eax, *budget_eax; /* eax = pc: leave with that reason */
	void (*serialize)(void);               /* from C: wait until all that was written before can be executed */
	void *load[2], *store[2];              /* tier 1's memory slow paths; [1] for MODE_ABS (tier1_mem.c) */
	void *fpu, *fpu_tier2;                 /* floating point that is not done inline (tier1_fpu.c) */
};

/* A tier 2 request under way: the cookie of its struct tier2_work. */
struct jit_request {
	struct code_page *cp;
	uint32_t off, mode, serial;
	uint64_t abs_page;
	struct jit_request *next;
};

struct jit {
	struct jit_config cfg;
	struct code_mem mem;
	struct jit_stubs stubs;
	struct jit_jump_cache *jump_cache; /* in mem's data half, as is the ring */
	struct ret_ring_entry *ret_ring;
	struct side_cache_entry *side_cache; /* likewise */
	struct code_page *pages;
	struct tier1 *tier1; /* emitter's scratch memory */
	struct tier2 *tier2; /* NULL without cfg.tier2 */
	struct jit_request *requests;
	int32_t *hot_counts; /* of the translations to come: next of a cache line full */
	uint32_t n_hot_counts;
	int32_t *asked; /* counter of the jump that left with EXIT_HOT last, or NULL */
	bool patched;   /* a jump was changed since jit_link_settle() */

	/* jit_count_hop() */
	uint64_t hop_insns; /* executed at the last one */
	uint32_t hops;      /* one after the other with nothing executed between */
	struct jit_stats stats;
};

/* ---- jit/cache.c ---- */
/*
 * A translation with its arrays, zeroed but for cp, owner and counts; not visible yet.  NULL if data memory is full.
 */
struct translation *jit_translation_new(struct jit *j, struct code_page *cp, unsigned n_links, unsigned n_ranges,
					unsigned n_insns);
/* A counter of executions, beside those of other translations: what runs touches few lines. NULL: data memory is full. */
int32_t *jit_hot_count(struct jit *j);
/*
 * Make t visible to jit_find.  Filled in by the caller: tier, mode, abs_page, off, code, code_bytes, body, entry,
 * n_guest, links (through jit_emit_links or tier 1), ranges, insns.  Links and jump cache entries that lead to an
 * older translation of the same key are moved to t.  The older one is kept.
 */
void jit_install(struct jit *j, struct translation *t);

/*
 * For tier 2: the code that stands around a finished body.  Filled in already: mode, abs_page, off, body, and the links
 * (jit_link_init).  Emits the links' stubs and t->entry into code memory, sets links and entry.
 * *stubs gets what the body is to be linked against: the JIT's stubs, but its own ways out of indirect jumps.
 * False if code memory is full.
 */
MUST_CHECK bool jit_emit_around(struct jit *j, struct translation *t, struct jit_stubs *stubs);
/* Bits of the granules that [off, off + bytes) touches inside the page. */
uint64_t jit_granules(uint32_t off, uint32_t bytes);
/* Empty the jump cache, the side cache and the return ring; forget gs->link. */
void jit_forget_jumps(struct jit *j);
/* Free a record that has no machine page and no request any more. */
void jit_code_page_unref(struct code_page *cp);
/* Free all code pages and take them off their slots. */
void jit_pages_free(struct jit *j);

/* ---- jit/link.c ---- */
/* Sets pc and kind (near or far by itself; is_return for the ring). */
void jit_link_init(struct jit_link *l, struct translation *owner, struct ir_target pc, bool is_return);
void jit_link_connect(struct jit *j, struct jit_link *l, struct translation *to);
void jit_link_disconnect(struct jit *j, struct jit_link *l);
/*
 * After sites were changed, before code runs again.  The host looks at written code by its physical address, but for what
 * it has fetched already under another linear one: a serializing instruction forgets that (Intel SDM volume 3, 8.1.3).
 */
void jit_link_settle(struct jit *j);
/* All links into `from` (and its jump cache entries) go to `to`, which has the same key. */
void jit_link_move_incoming(struct jit *j, struct translation *from, struct translation *to);
/* Nothing reaches t and t reaches nothing afterwards. */
void jit_link_isolate(struct jit *j, struct translation *t);

/* ---- jit/jit.c ---- */
/* Called by the stubs of debug builds that execute nothing: panics where they go round.  Source: README, "Progress". */
void jit_count_hop(struct jit *j);

/* ---- jit/stubs.c ---- */
/* False if code memory is too small. */
MUST_CHECK bool jit_stubs_emit(struct jit *j);

#endif
