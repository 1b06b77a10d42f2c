/* SPDX-License-Identifier: MIT */
/* The stages as text, and the choice between text and JSON. */
#include "frontend/frontend.h"
#include "vmm/cpu/region_build.h"
#include "vmm/look/dump.h"
#include "vmm/look/symbols.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool dump_wants(const struct dump_sink *s, char letter) { return strchr(s->letters, letter); }

void dump_name(void *symbols, uint64_t pc, char *out, size_t out_bytes)
{
	symbols_describe(symbols, pc, out, out_bytes);
}

struct jit_dump dump_jit(const struct dump_sink *s)
{
	return (struct jit_dump){.name = dump_name, .ctx = (void *)(uintptr_t)s->symbols, .stable = s->stable};
}

/* " <name+0x10>", or nothing. */
static void print_name(const struct dump_sink *s, uint64_t pc)
{
	char name[SYMBOLS_TEXT_BYTES];

	symbols_describe(s->symbols, pc, name, sizeof(name));
	if (*name)
		fprintf(s->out, " <%s>", name);
}

static void print_guest(const struct dump_sink *s, const struct ir_block *b, uint64_t page_va)
{
	char text[128], name[SYMBOLS_TEXT_BYTES];
	int width = 0;

	for (uint32_t i = 0; i < b->n_guest; i++) {
		symbols_describe(s->symbols, ir_insn_pc(b, i, page_va), name, sizeof(name));
		if ((int)strlen(name) > width)
			width = (int)strlen(name);
	}
	for (uint32_t i = 0; i < b->n_guest; i++) {
		uint64_t pc = ir_insn_pc(b, i, page_va);

		frontend_disasm(s->frontend, pc, b->guest[i].word, text, sizeof(text));
		fprintf(s->out, "  %08" PRIx64 "  ", pc);
		symbols_describe(s->symbols, pc, name, sizeof(name));
		if (*name)
			fprintf(s->out, "<%s>%*s  ", name, width - (int)strlen(name), "");
		else if (width)
			fprintf(s->out, "%*s  ", width + 2, "");
		fprintf(s->out, "%08x %s %s\n", b->guest[i].word, b->guest[i].bd ? "|" : " ", text);
	}
}

static void end_heading(struct dump_sink *s)
{
	if (s->again)
		fprintf(s->out, "; %s", s->again);
	fputc('\n', s->out);
	s->again = NULL;
}

static const char *const tier_names[] = {[TIER_INTERP] = "interpreter", [TIER_1] = "tier 1", [TIER_2] = "tier 2"};

void dump_block_begin(struct dump_sink *s, const struct ir_block *b, uint64_t pc, enum tier tier)
{
	if (s->json) {
		dump_json_block_begin(s, b, pc, tier);
	} else {
		fprintf(s->out, "block %08" PRIx64, pc);
		print_name(s, pc);
		fprintf(s->out, " %s, %s, %u instructions", dump_mode_name(b->mode), tier_names[tier], b->n_guest);
		end_heading(s);
		if (dump_wants(s, 'g'))
			print_guest(s, b, pc & ~PAGE_MASK);
	}
	if (dump_wants(s, 'i') && s->json) {
		dump_json_ir(s, "lifted", b);
	} else if (dump_wants(s, 'i')) {
		fputs(" IR as lifted\n", s->out);
		ir_print(s->out, b);
	}
}

void dump_block_pass(void *sink, const char *pass, char letter, const struct ir_block *b)
{
	struct dump_sink *s = sink;

	if (!dump_wants(s, letter))
		return;
	if (s->json) {
		dump_json_ir(s, pass, b);
		return;
	}
	fprintf(s->out, " IR after pass %s\n", pass);
	ir_print(s->out, b);
}

void dump_block_final(struct dump_sink *s, const struct ir_block *b)
{
	if (!dump_wants(s, 'o'))
		return;
	if (s->json) {
		dump_json_ir(s, "final", b);
		return;
	}
	fputs(" IR after passes\n", s->out);
	ir_print(s->out, b);
}

static void print_ends(const struct dump_sink *s, const struct ir_block *b, uint64_t page_va,
		       const struct region_plan *plan)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	unsigned n = dump_edges(b, page_va, plan, e);

	fprintf(s->out, "  ends: %s\n", dump_why_ends(b));
	for (unsigned i = 0; i < n; i++) {
		fprintf(s->out, "  %s -> %08" PRIx64, e[i].what, e[i].pc);
		print_name(s, e[i].pc);
		fprintf(s->out, " (%s)\n", e[i].how);
	}
}

void dump_block_ends(struct dump_sink *s, const struct ir_block *b, uint64_t pc)
{
	if (!dump_wants(s, 'x'))
		return;
	if (s->json) {
		dump_json_ends(s, b, pc);
		return;
	}
	fputs(" links\n", s->out);
	print_ends(s, b, pc & ~PAGE_MASK, NULL);
}

void dump_block_host(struct dump_sink *s, const struct jit *j, const struct translation *t)
{
	struct jit_dump to = dump_jit(s);

	to.host = s->out;
	if (!dump_wants(s, 'h'))
		return;
	if (s->json) {
		dump_json_host(s, j, t);
		return;
	}
	fputs(" host code, tier 1\n", s->out);
	jit_dump_code(j, t, &to);
}

void dump_block_end(struct dump_sink *s)
{
	if (s->json)
		fputs("}", s->out);
}

void dump_region_begin(struct dump_sink *s, uint64_t pc, uint32_t mode)
{
	if (s->json)
		dump_json_region_begin(s, pc, mode);
}

static void print_blocks(const struct dump_sink *s, const struct jit_region *r, const struct region_plan *plan)
{
	uint32_t reached = dump_reached(r, plan);

	fprintf(s->out, " stopped: %s\n", dump_why_stopped(plan));
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		const struct ir_block *b = r->blocks[i];
		uint64_t pc = ir_insn_pc(b, 0, plan->page_va);

		fprintf(s->out, " block %08" PRIx64, pc);
		print_name(s, pc);
		fprintf(s->out, ", %u instructions%s\n", b->n_guest,
			reached >> i & 1 ? "" : "; left out: the head reaches it by a return only");
		print_ends(s, b, plan->page_va, plan);
	}
}

struct part {
	const char *title;
	FILE *f;
	char *text;
	size_t bytes;
};

/* LLVM's texts and the host code, each below its title. */
static int print_parts(const struct dump_sink *s, struct jit *j, const struct jit_region *r)
{
	struct part part[] = {{.title = "LLVM IR before optimisation"},
			      {.title = "LLVM IR after optimisation"},
			      {.title = "host code, tier 2"}};
	static const char letters[] = {'l', 'L', 'h'};
	struct jit_dump to = dump_jit(s);
	int err;

	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		part[i].f = dump_wants(s, letters[i]) ? open_memstream(&part[i].text, &part[i].bytes) : NULL;
		if (dump_wants(s, letters[i]) && !part[i].f)
			panic("out of host memory");
	}
	to.before = part[0].f;
	to.after = part[1].f;
	to.host = part[2].f;
	err = jit_dump_tier2(j, r->blocks, r->n_blocks, &to);
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		if (!part[i].f)
			continue;
		fclose(part[i].f);
		fprintf(s->out, " %s\n%s", part[i].title, part[i].text);
		free(part[i].text);
	}
	if (err)
		fprintf(s->out, " not compiled by tier 2: %s\n", strerror(-err));
	return err;
}

int dump_region_end(struct dump_sink *s, struct jit *j, const struct jit_region *r, const struct region_plan *plan,
		    uint64_t pc)
{
	if (s->json)
		return dump_json_region_end(s, j, r, plan);
	fprintf(s->out, "region %08" PRIx64, pc);
	print_name(s, pc);
	fprintf(s->out, " %s, tier 2, %u blocks, %u instructions", dump_mode_name(r->blocks[0]->mode), r->n_blocks,
		plan->n_insns);
	end_heading(s);
	if (dump_wants(s, 'x'))
		print_blocks(s, r, plan);
	return strpbrk(s->letters, "lLh") ? print_parts(s, j, r) : 0;
}
