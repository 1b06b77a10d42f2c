/* SPDX-License-Identifier: MIT */
/* Where blocks and regions go, and why: as data, for text and JSON. */
#include "vmm/cpu/region_build.h"
#include "vmm/look/dump.h"

_Static_assert(REGION_MAX_BLOCKS <= 32, "dump_reached() returns a set in 32 bits");

const char *dump_mode_name(uint32_t mode)
{
	static const char *const names[] = {"kernel", "supervisor", "user", "?"};

	return names[mode & MODE_KSU];
}

void dump_mode_text(uint32_t mode, char text[DUMP_MODE_BYTES])
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {{MODE_CU0, "cu0"}, {MODE_CU1, "cu1"}, {MODE_FR, "fr"}, {MODE_FPX, "fpx"}, {MODE_ERL, "erl"},
		    {MODE_BE, "be"},   {MODE_ABS, "abs"}, {MODE_RE, "re"}, {MODE_MP, "mp"}};
	int n = snprintf(text, DUMP_MODE_BYTES, "%s", dump_mode_name(mode));

	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		if (mode & bits[i].bit)
			n += snprintf(text + n, DUMP_MODE_BYTES - (size_t)n, ",%s", bits[i].name);
}

const char *dump_why_ends(const struct ir_block *b)
{
	static const char *const why[][3] = {
	    [TERM_JUMP] = {"jump or fall-through", "call", "return"},
	    [TERM_BRANCH] = {"conditional branch", "conditional call", "conditional return"},
	    [TERM_INDIRECT] = {"indirect jump", "indirect call", "return (ring)"},
	    [TERM_PC_SET] = {"the instruction sets the pc (ERET)", "", ""},
	    [TERM_LEAVE] = {"the instruction may change the mode, the address space or interrupts", "", ""},
	    [TERM_RAISE] = {"always raises an exception", "", ""},
	};

	return why[b->term.kind][b->term.hint];
}

const char *dump_why_stopped(const struct region_plan *plan)
{
	static const char *const why[NUM_REGION_STOPS] = {
	    [REGION_STOP_DONE] = "nothing more to reach",
	    [REGION_STOP_BLOCKS] = "limit of blocks",
	    [REGION_STOP_INSNS] = "limit of instructions",
	    [REGION_STOP_SINGLE] = "one block at a time (--tiers 2)",
	};

	return why[plan->stop];
}

static void describe(struct dump_edge *e, struct ir_target t, uint64_t page_va, const struct region_plan *plan)
{
	static const char *const fates[NUM_REGION_FATES] = {
	    [REGION_UNSEEN] = "leaves: not in the region",
	    [REGION_IN] = "in the region",
	    [REGION_NOT_RUN] = "leaves: never executed",
	    [REGION_LAST_WORD] = "leaves: last word of the page, a delay slot may be in the next",
	    [REGION_NO_CODE] = "leaves: no code can be fetched there",
	    [REGION_OVER_BLOCKS] = "leaves: the region has its limit of blocks",
	    [REGION_OVER_INSNS] = "leaves: the region has its limit of instructions",
	    [REGION_OVER_TARGETS] = "leaves: more targets than the region keeps",
	};
	bool other_page = (e->pc ^ page_va) & ~PAGE_MASK;

	if (plan && t.kind == TGT_REGION) {
		e->how = "leaves: where it goes depends on the mapping";
	} else if (plan && other_page) {
		e->how = "leaves: another page";
	} else if (plan) {
		e->how = fates[plan->fate[(e->pc & PAGE_MASK) / 4]];
		e->inside = plan->fate[(e->pc & PAGE_MASK) / 4] == REGION_IN;
	} else {
		e->how = t.kind == TGT_ABS ? "unmapped: direct link"
			 : other_page      ? "another page: link through the checked entry"
					   : "same page: direct link";
	}
}

static void add_edge(struct dump_edge *e, const char *what, const struct ir_block *b, struct ir_target t,
		     uint64_t page_va, const struct region_plan *plan)
{
	*e = (struct dump_edge){.what = what, .pc = ir_target_pc(b, t, page_va)};
	describe(e, t, page_va, plan);
}

unsigned dump_edges(const struct ir_block *b, uint64_t page_va, const struct region_plan *plan,
		    struct dump_edge edges[DUMP_MAX_EDGES])
{
	static const char *const side[IR_MAX_EXITS] = {"side exit 0", "side exit 1", "side exit 2", "side exit 3"};
	const struct ir_term *t = &b->term;
	unsigned n = 0;

	for (uint32_t i = 0; i < b->n_exits; i++)
		add_edge(&edges[n++], side[i], b, b->exits[i], page_va, plan);
	if (t->kind == TERM_JUMP) {
		add_edge(&edges[n++], "goes to", b, t->target[0], page_va, plan);
	} else if (t->kind == TERM_BRANCH) {
		add_edge(&edges[n++], "taken", b, t->target[0], page_va, plan);
		add_edge(&edges[n++], "not taken", b, t->target[1], page_va, plan);
	} else if (t->kind == TERM_LEAVE) {
		edges[n++] = (struct dump_edge){.what = "goes on at",
						.how = "through the dispatch loop",
						.pc = ir_target_pc(b, t->target[0], page_va)};
	}
	if (t->hint == HINT_CALL) {
		add_edge(&edges[n], "returns to", b, t->link, page_va, plan);
		edges[n].is_return = true;
		if (!plan)
			edges[n].how = "pushed on the return ring";
		n++;
	}
	return n;
}

static uint32_t successors(const struct jit_region *r, const struct region_plan *plan, uint32_t i)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	unsigned n = dump_edges(r->blocks[i], plan->page_va, plan, e);
	uint32_t set = 0;

	for (unsigned k = 0; k < n; k++)
		for (uint32_t to = 0; to < r->n_blocks && e[k].inside && !e[k].is_return; to++)
			if (ir_block_off(r->blocks[to]) == (e[k].pc & PAGE_MASK))
				set |= 1u << to;
	return set;
}

uint32_t dump_reached(const struct jit_region *r, const struct region_plan *plan)
{
	uint32_t reached = 1, before = 0;

	while (reached != before) {
		before = reached;
		for (uint32_t i = 0; i < r->n_blocks; i++)
			if (before >> i & 1)
				reached |= successors(r, plan, i);
	}
	return reached;
}
