/* SPDX-License-Identifier: MIT */
/* --json: the stages as objects (RFC 8259).  Addresses are strings, "0x80001000". */
#include "frontend/frontend.h"
#include "vmm/cpu/region_build.h"
#include "vmm/look/dump.h"
#include "vmm/look/json.h"
#include "vmm/look/symbols.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The next member of an object that has some. */
static void member(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\n\"%s\":", key);
	json_print_string(out, text);
}

/* "pc":..., and "symbol":... if it is in one. */
static void address(const struct dump_sink *s, const char *key, uint64_t pc)
{
	char name[SYMBOLS_TEXT_BYTES];

	fprintf(s->out, "\"%s\":\"0x%08" PRIx64 "\"", key, pc);
	symbols_describe(s->symbols, pc, name, sizeof(name));
	if (*name) {
		fputs(",\"symbol\":", s->out);
		json_print_string(s->out, name);
	}
}

static void open_object(struct dump_sink *s, const char *kind, uint64_t pc)
{
	fprintf(s->out, "%s{\"kind\":\"%s\",", s->inner ? ",\n" : "", kind);
	s->inner = true;
	address(s, "pc", pc);
	if (s->again)
		member(s->out, "again", s->again);
	s->again = NULL;
}

static void guest(const struct dump_sink *s, const struct ir_block *b, uint64_t page_va)
{
	char text[128];

	fputs(",\n\"guest\":[", s->out);
	for (uint32_t i = 0; i < b->n_guest; i++) {
		uint64_t pc = ir_insn_pc(b, i, page_va);

		frontend_disasm(s->frontend, pc, b->guest[i].word, text, sizeof(text));
		fputs(i ? ",\n {" : "\n {", s->out);
		address(s, "pc", pc);
		fprintf(s->out, ",\"word\":\"%08x\",\"delay_slot\":%s,\"text\":", b->guest[i].word,
			b->guest[i].bd ? "true" : "false");
		json_print_string(s->out, text);
		fputc('}', s->out);
	}
	fputc(']', s->out);
}

void dump_json_block_begin(struct dump_sink *s, const struct ir_block *b, uint64_t pc, enum tier tier)
{
	open_object(s, "block", pc);
	fprintf(s->out, ",\"mode\":\"%s\",\"tier\":%d,\"instructions\":%u", dump_mode_name(b->mode), (int)tier,
		b->n_guest);
	if (dump_wants(s, 'g'))
		guest(s, b, pc & ~PAGE_MASK);
}

void dump_json_block_ref(struct dump_sink *s, const struct ir_block *b, uint64_t page_va)
{
	open_object(s, "block", ir_insn_pc(b, 0, page_va));
	fprintf(s->out, ",\"instructions\":%u}", b->n_guest);
}

static FILE *memory(char **text, size_t *bytes)
{
	FILE *f = open_memstream(text, bytes);

	if (!f)
		panic("out of host memory");
	return f;
}

/* "ir_lifted", "ir_regs", ..., "ir_final" */
void dump_json_ir(struct dump_sink *s, const char *stage, const struct ir_block *b)
{
	char *text, key[32];
	size_t bytes;
	FILE *f = memory(&text, &bytes);

	ir_print(f, b);
	fclose(f);
	snprintf(key, sizeof(key), "ir_%s", stage);
	member(s->out, key, text);
	free(text);
}

static void edges(const struct dump_sink *s, const struct ir_block *b, uint64_t page_va, const struct region_plan *plan,
		  bool *more)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	unsigned n = dump_edges(b, page_va, plan, e);

	for (unsigned i = 0; i < n; i++) {
		fprintf(s->out, "%s{\"from\":\"0x%08" PRIx64 "\",\"what\":\"%s\",", *more ? ",\n " : "\n ",
			ir_insn_pc(b, 0, page_va), e[i].what);
		address(s, "to", e[i].pc);
		if (plan)
			fprintf(s->out, ",\"inside\":%s", e[i].inside ? "true" : "false");
		fprintf(s->out, ",\"how\":\"%s\"}", e[i].how);
		*more = true;
	}
}

void dump_json_ends(struct dump_sink *s, const struct ir_block *b, uint64_t pc)
{
	bool more = false;

	member(s->out, "ends", dump_why_ends(b));
	fputs(",\n\"links\":[", s->out);
	edges(s, b, pc & ~PAGE_MASK, NULL, &more);
	fputc(']', s->out);
}

struct parts {
	struct jit_dump to;
	char *text[4];
	size_t bytes[4];
};

static void open_parts(struct parts *p, const struct dump_sink *s, bool host)
{
	*p = (struct parts){.to = dump_jit(s)};
	if (!host && dump_wants(s, 'l'))
		p->to.before = memory(&p->text[0], &p->bytes[0]);
	if (!host && dump_wants(s, 'L'))
		p->to.after = memory(&p->text[1], &p->bytes[1]);
	if (dump_wants(s, 'h')) {
		p->to.host = memory(&p->text[2], &p->bytes[2]);
		if (!s->stable) /* they have addresses in them */
			p->to.bytes = memory(&p->text[3], &p->bytes[3]);
	}
}

static void close_parts(struct parts *p, const struct dump_sink *s)
{
	static const char *const keys[] = {"llvm_before", "llvm_after", "host_text", "host_bytes"};
	FILE *const f[] = {p->to.before, p->to.after, p->to.host, p->to.bytes};

	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		if (!f[i])
			continue;
		fclose(f[i]);
		member(s->out, keys[i], p->text[i]);
		free(p->text[i]);
	}
}

void dump_json_host(struct dump_sink *s, const struct jit *j, const struct translation *t)
{
	struct parts p;

	open_parts(&p, s, true);
	jit_dump_code(j, t, &p.to);
	close_parts(&p, s);
}

void dump_json_region_begin(struct dump_sink *s, uint64_t pc, uint32_t mode)
{
	open_object(s, "region", pc);
	fprintf(s->out, ",\"mode\":\"%s\",\"tier\":2,\n\"blocks\":[\n", dump_mode_name(mode));
	s->inner = false;
}

static void ends_of_region(const struct dump_sink *s, const struct jit_region *r, const struct region_plan *plan)
{
	uint32_t reached = dump_reached(r, plan);
	bool more = false;

	member(s->out, "stopped", dump_why_stopped(plan));
	fputs(",\n\"ends\":{", s->out);
	for (uint32_t i = 0; i < r->n_blocks; i++)
		fprintf(s->out, "%s\"0x%08" PRIx64 "\":\"%s\"", i ? "," : "",
			ir_insn_pc(r->blocks[i], 0, plan->page_va), dump_why_ends(r->blocks[i]));
	fputs("},\n\"edges\":[", s->out);
	for (uint32_t i = 0; i < r->n_blocks; i++)
		edges(s, r->blocks[i], plan->page_va, plan, &more);
	fputs("],\n\"left_out\":[", s->out);
	more = false;
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		if (reached >> i & 1)
			continue;
		fprintf(s->out, "%s\"0x%08" PRIx64 "\"", more ? "," : "", ir_insn_pc(r->blocks[i], 0, plan->page_va));
		more = true;
	}
	fputc(']', s->out);
}

int dump_json_region_end(struct dump_sink *s, struct jit *j, const struct jit_region *r, const struct region_plan *plan)
{
	struct parts p;
	int err = 0;

	s->inner = true;
	fprintf(s->out, "],\n\"instructions\":%u", plan->n_insns);
	if (dump_wants(s, 'x'))
		ends_of_region(s, r, plan);
	if (strpbrk(s->letters, "lLh")) {
		open_parts(&p, s, false);
		err = jit_dump_tier2(j, r->blocks, r->n_blocks, &p.to);
		close_parts(&p, s);
	}
	if (err)
		member(s->out, "error", strerror(-err));
	fputs("}", s->out);
	return err;
}
