/* SPDX-License-Identifier: MIT */
/* Host code of a translation for people, guest pc and IR between the lines. */
#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jit/dump_stable.h"
#include "jit/jit_internal.h"
#include "jit/tier2.h"

static void print_ir(FILE *out, uint32_t at, const struct ir_ins *ins)
{
	const struct ir_op_info *op = &ir_op_info[ins->op];
	bool value = ir_op_is_call(ins->op) ? ir_helper_info[ins->imm].result != IR_TV : op->result != IR_TV;
	fputs("\t\t\t; ", out);
	if (value)
		fprintf(out, "%%%" PRIu32 " = ", at);
	for (const char *c = op->name; *c; c++)
		fputc(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c, out);
	if (ir_op_is_call(ins->op))
		fprintf(out, " %s", ir_helper_info[ins->imm].name);
	else if (op->imm == IMM_REG)
		fprintf(out, " $%" PRId64, ins->imm);
	else if (op->imm != IMM_NONE)
		fprintf(out, " 0x%" PRIx64, (uint64_t)ins->imm);
	for (unsigned k = 0; k < 3 && ins->arg[k] != IR_NONE; k++)
		fprintf(out, "%s%%%u", k || op->imm != IMM_NONE ? ", " : " ", ins->arg[k]);
	fputc('\n', out);
}

struct dumper {
	const struct jit *j;
	const struct translation *t;
	const struct jit_dump *to;
	FILE *out;
	unsigned insn, ir;                  /* next of the pc map, t->ir */
	uint32_t insn_host;                 /* where the one before began */
	const struct tier2_work *w;         /* tier 2: what has the pc map; or NULL */
	uint32_t line;                      /* next of w->lines */
	const struct tier2_line *last_line; /* last one shown */
	bool cold;                          /* in the part that has no map */
	struct stable_names names;          /* with to->stable */
	char link[24];                      /* of link_behind() */
};

static void print_name(const struct dumper *d, uint64_t pc)
{
	char name[300] = "";

	if (d->to->name)
		d->to->name(d->to->ctx, pc, name, sizeof(name));
	if (*name)
		fprintf(d->out, " <%s>", name);
}

static void print_guest(const struct dumper *d, uint32_t off, uint32_t word, bool bd)
{
	uint64_t page = d->t->mode & MODE_ABS ? d->t->abs_page : 0;

	fprintf(d->out, "\t; %s%08" PRIx64, page ? "" : "page+", page + off);
	if (page)
		print_name(d, page + off);
	fprintf(d->out, ": %08" PRIx32 "%s\n", word, bd ? " (delay slot)" : "");
}

/* The same from the line table of tier 2, which moves code about: an instruction may come up more than once. */
static void print_line(struct dumper *d, const struct tier2_line *l)
{
	const struct tier2_line *last = d->last_line;
	const struct ir_block *b = d->w->region.blocks[l->block];
	const struct ir_guest_insn *g = &b->guest[l->insn];
	bool moved = !last || last->block != l->block || last->insn != l->insn;

	if (moved)
		print_guest(d, (uint32_t)g->off, g->word, g->bd);
	if (l->ir != TIER2_LINE_NO_IR && (moved || last->ir != l->ir))
		print_ir(d->out, l->ir, &b->ins[l->ir]);
	d->last_line = l;
}

/* Guest instructions and IR that start at or before this host offset. */
static void print_sources(struct dumper *d, uint32_t host)
{
	const struct translation *t = d->t;
	const struct jit_insn *map = translation_insns(t);
	const struct jit_kept_ir *ir = translation_ir(t);
	const struct tier2_line *l = NULL;

	/* of several rows for one host instruction the last counts */
	for (; d->w && d->line < d->w->n_lines && d->w->lines[d->line].host <= host; d->line++)
		l = &d->w->lines[d->line];
	if (l)
		print_line(d, l);
	for (; d->insn < t->n_insns && d->insn_host + map[d->insn].bytes <= host; d->insn++) {
		d->insn_host += map[d->insn].bytes;
		print_guest(d, 4u * map[d->insn].off4, map[d->insn].word, map[d->insn].bd);
	}
	for (; ir && d->ir < ir->n_ins && ir->host[d->ir] <= host; d->ir++)
		if (!ir->ins[d->ir].dead && ir->ins[d->ir].op != IR_INSN)
			print_ir(d->out, d->ir, &ir->ins[d->ir]);
}

/* What an address means, for jumps and calls out of the translation. */
static const char *stub_name(const struct jit_stubs *s, uint64_t address)
{
	static const char *const exits[NUM_EXITS] = {
	    [EXIT_NONE] = "exit(none)",     [EXIT_LINK] = "exit(link)",     [EXIT_INDIRECT] = "exit(indirect)",
	    [EXIT_POLL] = "exit(poll)",     [EXIT_BUDGET] = "exit(budget)", [EXIT_EXCEPTION] = "exit(exception)",
	    [EXIT_PC_SET] = "exit(pc_set)", [EXIT_HOT] = "exit(hot)",       [EXIT_SIDE] = "exit(side)",
	    [EXIT_SMC] = "exit(smc)",
	};
	const struct {
		const void *at;
		const char *name;
	} names[] = {
	    {s->exit, "exit"},
	    {s->indirect, "indirect"},
	    {s->ret, "return"},
	    {s->raise, "raise"},
	    {s->side, "exit(side)"},
	    {s->raise_eax, "raise"},
	    {s->leave, "leave"},
	    {s->leave_called, "leave"},
	    {s->entry_failed, "entry failed"},
	    {s->link_tail, "exit(link)"},
	    {s->return_tail, "exit(link)"},
	    {s->poll_eax, "exit(poll)"},
	    {s->hot_eax, "exit(hot)"},
	    {s->budget_eax, "exit(budget)"},
	    {s->load[0], "load slow path"},
	    {s->load[1], "load slow path"},
	    {s->store[0], "store slow path"},
	    {s->store[1], "store slow path"},
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if ((uint64_t)(uintptr_t)names[i].at == address)
			return names[i].name;
	for (unsigned r = 0; r < NUM_EXITS; r++)
		if ((uint64_t)(uintptr_t)s->exit_with[r] == address)
			return exits[r];
	return NULL;
}

static bool jumps(const cs_insn *in) { return in->mnemonic[0] == 'j' || strcmp(in->mnemonic, "call") == 0; }

static const char *describe_target(const struct dumper *d, const cs_insn *in)
{
	const struct translation *t = d->t;
	if (!jumps(in) || strncmp(in->op_str, "0x", 2) != 0)
		return NULL;
	uint64_t address = strtoull(in->op_str, NULL, 16);
	const uint8_t *at = (const uint8_t *)(uintptr_t)address;
	if (at == translation_body(t))
		return "body";
	for (unsigned i = 0; i < t->n_links; i++)
		if (at == near_get(&t->links[i].stub))
			return "link stub";
	return stub_name(&d->j->cc->stubs, address);
}

/* Behind the call of a link's stub stands whose it is. */
static const char *link_behind(struct dumper *d, const cs_insn *in, const uint8_t *p)
{
	const struct jit_stubs *s = &d->j->cc->stubs;
	const void *to;
	int32_t by;

	if (strcmp(in->mnemonic, "call") != 0 || strncmp(in->op_str, "0x", 2) != 0)
		return NULL;
	to = (void *)(uintptr_t)strtoull(in->op_str, NULL, 16);
	if (to != s->link_tail && to != s->return_tail)
		return NULL;
	memcpy(&by, p, sizeof(by));
	for (unsigned i = 0; i < d->t->n_links; i++)
		if ((const uint8_t *)&d->t->links[i] == p + sizeof(by) + by)
			snprintf(d->link, sizeof(d->link), "link %u", i);
	return d->link;
}

static void print_host(struct dumper *d, const cs_insn *in, const uint8_t *code)
{
	const char *what = describe_target(d, in), *operands = in->op_str;
	char stable[STABLE_TEXT_BYTES];
	if (d->to->stable) {
		stable_operands(&d->names, in->op_str, in->address, in->size, jumps(in), stable);
		operands = stable;
	}
	fprintf(d->out, "  %5" PRIx64 "  %-8s %s", in->address - (uint64_t)(uintptr_t)code, in->mnemonic, operands);
	fprintf(d->out, what ? "\t; %s\n" : "\n", what);
}

static void print_links(const struct dumper *d)
{
	const struct translation *t = d->t;
	FILE *out = d->out;
	static const char *const kinds[] = {[LINK_NEAR] = "near", [LINK_FAR] = "far", [LINK_RETURN] = "return"};
	static const char *const bases[] = {[TGT_ABS] = "", [TGT_PAGE] = "page+", [TGT_REGION] = "region|"};
	for (unsigned i = 0; i < t->n_links; i++) {
		const struct jit_link *l = &t->links[i];
		fprintf(out, "  link %u (%s) to %s0x%" PRIx64, i, kinds[l->kind], bases[l->pc_kind], (uint64_t)l->pc);
		if (l->pc_kind == TGT_ABS)
			print_name(d, l->pc);
		fprintf(out, ": %s\n", link_to(l) ? "linked" : "not linked");
	}
}

/* What is in one part of code memory. */
static void print_part(struct dumper *d, csh cs, cs_insn *in, const uint8_t *code, size_t bytes)
{
	const uint8_t *p = code;
	uint64_t address = (uint64_t)(uintptr_t)code;
	while (bytes > 0) {
		const char *what;

		if (!d->cold)
			print_sources(d, (uint32_t)(p - code));
		if (!cs_disasm_iter(cs, &p, &bytes, &address, in)) { /* constants behind LLVM's code */
			fprintf(d->out, "  %5zx  .byte    0x%02x\n", (size_t)(p - code), *p);
			p++, bytes--, address++;
			continue;
		}
		print_host(d, in, code);
		what = bytes >= sizeof(int32_t) ? link_behind(d, in, p) : NULL;
		if (what) {
			fprintf(d->out, "  %5zx  .long    %s\n", (size_t)(p - code), what);
			p += sizeof(int32_t), bytes -= sizeof(int32_t), address += sizeof(int32_t);
		}
	}
}

static void print_place(const struct dumper *d, const void *at)
{
	if (!d->to->stable)
		fprintf(d->out, " at %p", at);
}

static void print_code(const struct jit *j, const struct translation *t, const struct tier2_work *w,
		       const struct jit_dump *to)
{
	FILE *out = to->host;
	struct dumper d = {.j = j, .t = t, .to = to, .out = out, .w = w, .names = {.j = j, .t = t}};
	csh cs;
	fprintf(out, "  tier %u, page+0x%03x, mode 0x%x, %u guest instructions, %u host bytes", t->tier, t->off,
		t->mode, t->n_guest, t->code_bytes);
	print_place(&d, translation_body(t));
	fputs("\n", out);
	print_links(&d);
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs) != CS_ERR_OK) {
		fputs("  (Capstone has no x86-64)\n", out);
		return;
	}
	cs_insn *in = cs_malloc(cs);
	print_part(&d, cs, in, translation_body(t), t->code_bytes);
	if (translation_cold(t)) {
		fprintf(out, "  %u host bytes", t->cold_bytes);
		print_place(&d, translation_cold(t));
		fputs(": entry, slow paths, link stubs\n", out);
		d.cold = true;
		print_part(&d, cs, in, translation_cold(t), t->cold_bytes);
	}
	cs_free(in, 1);
	cs_close(&cs);
}

static void print_bytes(const struct translation *t, FILE *out)
{
	for (uint32_t i = 0; i < t->code_bytes; i++)
		fprintf(out, "%02x", translation_body(t)[i]);
	for (uint32_t i = 0; i < t->cold_bytes; i++)
		fprintf(out, "%02x", translation_cold(t)[i]);
}

static void dump_code(const struct jit *j, const struct translation *t, const struct tier2_work *w,
		      const struct jit_dump *to)
{
	if (to->bytes)
		print_bytes(t, to->bytes);
	if (to->host)
		print_code(j, t, w, to);
}

void jit_dump_code(const struct jit *j, const struct translation *t, const struct jit_dump *d)
{
	dump_code(j, t, NULL, d);
}

void jit_dump_host(const struct jit *j, const struct translation *t, FILE *out)
{
	dump_code(j, t, NULL, &(struct jit_dump){.host = out});
}

/* Place w's code in code memory without installing it, show it, and give the room back. */
static int dump_placed(struct jit *j, const struct tier2_work *w, const struct jit_dump *to)
{
	struct code_cache *cc = j->cc;
	struct code_mem before;
	struct code_page cp = {.cc = cc};
	const struct ir_block *head = w->region.blocks[0];
	struct code_span span;
	struct translation *t;
	const void **ways;
	int err;

	jit_lock(j, false);
	before = cc->mem;
	span = code_mem_alloc(&cc->mem, w->code_bytes, 64);
	t = span.rx ? jit_translation_new(cc, &cp, w->n_links, 0, 0, 0) : NULL;
	ways = calloc(w->n_links + 1u, sizeof(*ways));
	err = t && ways ? 0 : -ENOSPC;
	if (!err) {
		t->mode = head->mode;
		t->abs_page = head->abs_page;
		t->off = (uint16_t)ir_block_off(head);
		t->tier = TIER_2;
		t->n_guest = (uint16_t)w->n_guest;
		near_set(&t->code, span.rx);
		t->code_bytes = w->code_bytes;
		for (uint32_t i = 0; i < w->n_links; i++) {
			jit_link_init(t, i, w->links[i].target, w->links[i].is_return);
			ways[i] = &t->links[i];
		}
		err = tier2_work_place(&cc->stubs, w, span.rw, span.rx, ways);
	}
	if (!err)
		dump_code(j, t, w, to);
	cc->mem = before;
	free(ways);
	jit_unlock(j);
	return err;
}

int jit_dump_tier2(struct jit *j, struct ir_block *const *blocks, uint32_t n, const struct jit_dump *d)
{
	const struct code_cache *cc = j->cc;
	FILE *why = d->host ? d->host : d->before ? d->before : d->after;
	struct tier2_config cfg = {.icount = cc->cfg.icount,
				   .line_log2 = cc->cfg.line_log2,
				   .count_insns = cc->cfg.count_insns,
				   .helpers = cc->cfg.helpers,
				   .stubs = &cc->stubs};
	struct jit_region r = {.n_blocks = n};
	struct tier2 *t2;
	int err = tier2_new(&t2, &cfg);
	if (err)
		return err;
	r.blocks = arena_new(&r.arena, struct ir_block *, n); /* the work frees its arena: the blocks are not in it */
	for (uint32_t i = 0; i < n; i++)
		r.blocks[i] = blocks[i];
	struct tier2_work *w = tier2_work_new(&r, NULL);
	err = tier2_dump(t2, w, d->before, d->after);
	if (!err && w->refused != TIER2_REFUSED_NONE) {
		if (why)
			fprintf(why, "  tier 2: %s\n", tier2_refusal_text[w->refused]);
		err = -EINVAL;
	}
	if (!err && (d->host || d->bytes))
		err = dump_placed(j, w, d);
	tier2_work_free(w);
	tier2_free(t2);
	return err;
}
