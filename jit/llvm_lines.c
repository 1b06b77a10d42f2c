/* SPDX-License-Identifier: MIT */
/*
 * For dumps: from host code back to guest and IR instructions.  LLVM carries debug locations through its passes and
 * writes a DWARF line table; here "line" and "column" stand for instructions:
 *
 *	line	1 + block * LINES_PER_BLOCK + guest instruction
 *	column	1 + IR instruction, 0 for the head and the terminator of a block
 *
 * Code that a pass made from several instructions has the line 0, and shows as part of what precedes it.
 * Source: DWARF 4, section 6.2.
 */
#include <llvm-c/DebugInfo.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "jit/llvm_gen.h"

#define LINES_PER_BLOCK (IR_MAX_GUEST + 1)
#define MAX_LINES       (1u << 20)
_Static_assert(IR_MAX_INS + 1 <= UINT16_MAX, "a column has 16 bits");

static void set_flag(struct gen *g, const char *name, uint32_t v)
{
	LLVMAddModuleFlag(g->m, LLVMModuleFlagBehaviorOverride, name, strlen(name),
			  LLVMValueAsMetadata(LLVMConstInt(g->u->i32, v, false)));
}

void lines_begin(struct gen *g)
{
	static const char name[] = "region";
	LLVMDIBuilderRef d;
	LLVMMetadataRef file, type;

	if (!g->with_lines)
		return;
	set_flag(g, "Dwarf Version", 4);
	set_flag(g, "Debug Info Version", LLVMDebugMetadataVersion());
	d = LLVMCreateDIBuilder(g->m);
	file = LLVMDIBuilderCreateFile(d, name, strlen(name), "", 0);
	LLVMDIBuilderCreateCompileUnit(d, LLVMDWARFSourceLanguageC, file, "disco", 5, true, "", 0, 0, "", 0,
				       LLVMDWARFEmissionLineTablesOnly, 0, false, false, "", 0, "", 0);
	type = LLVMDIBuilderCreateSubroutineType(d, file, NULL, 0, LLVMDIFlagZero);
	g->scope = LLVMDIBuilderCreateFunction(d, file, name, strlen(name), "", 0, file, 1, type, true, true, 1,
					       LLVMDIFlagZero, true);
	LLVMSetSubprogram(g->fn, g->scope);
	LLVMDIBuilderFinalize(d);
	LLVMDisposeDIBuilder(d);
}

void lines_at(struct gen *g, uint32_t ir)
{
	unsigned line = 1 + g->index * LINES_PER_BLOCK + g->insn, column = ir == TIER2_LINE_NO_IR ? 0 : ir + 1;

	/* an INSN marker makes no code; what follows it does */
	if (g->with_lines && (ir == TIER2_LINE_NO_IR || g->blk->ins[ir].op != IR_INSN))
		LLVMSetCurrentDebugLocation2(g->b,
					     LLVMDIBuilderCreateDebugLocation(g->u->ctx, line, column, g->scope, NULL));
}

/* ---- reading ---- */

struct reader {
	const uint8_t *p, *end;
	bool bad;
	uint64_t address;
	uint64_t line, column;
	struct tier2_work *w;
	uint32_t cap;
};

static uint64_t get(struct reader *r, unsigned bytes)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->p) < bytes) {
		r->bad = true;
		r->p = r->end;
		return 0;
	}
	memcpy(&v, r->p, bytes); /* LLVM writes for this host, little-endian */
	r->p += bytes;
	return v;
}

static uint64_t get_leb(struct reader *r, bool is_signed)
{
	uint64_t v = 0, byte;
	unsigned shift = 0;

	do {
		byte = get(r, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && shift < 64 && byte & 0x40)
		v |= ~(uint64_t)0 << shift;
	return v;
}

static void add_row(struct reader *r)
{
	struct tier2_work *w = r->w;
	uint64_t at = r->line - 1, block = at / LINES_PER_BLOCK, insn = at % LINES_PER_BLOCK;

	if (r->line == 0 || block >= w->region.n_blocks || insn >= w->region.blocks[block]->n_guest ||
	    r->column > w->region.blocks[block]->n_ins || w->n_lines == MAX_LINES)
		return;
	if (w->n_lines == r->cap) {
		r->cap = 2 * r->cap + 64;
		w->lines = realloc(w->lines, r->cap * sizeof(*w->lines));
		if (!w->lines)
			panic("out of memory for a line table");
	}
	w->lines[w->n_lines++] = (struct tier2_line){
	    .host = (uint32_t)r->address,
	    .block = (uint16_t)block,
	    .insn = (uint16_t)insn,
	    .ir = r->column ? (uint16_t)(r->column - 1) : TIER2_LINE_NO_IR,
	};
}

enum { LNS_COPY = 1, LNS_ADVANCE_PC, LNS_ADVANCE_LINE, LNS_SET_FILE, LNS_SET_COLUMN };
enum { LNS_CONST_ADD_PC = 8, LNS_FIXED_ADVANCE_PC = 9 };
enum { LNE_END_SEQUENCE = 1, LNE_SET_ADDRESS = 2 };

struct program {
	uint64_t min_bytes, line_range, opcode_base;
	int8_t line_base;
	uint8_t operands[256]; /* of the standard opcodes */
};

static void extended(struct reader *r)
{
	uint64_t bytes = get_leb(r, false);
	const uint8_t *next;

	if (bytes == 0 || bytes > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return;
	}
	next = r->p + bytes;
	switch (*r->p) {
	case LNE_END_SEQUENCE:
		r->line = 1;
		r->column = 0;
		break;
	case LNE_SET_ADDRESS: /* not relocated: there is one function, and it begins its section */
		r->address = 0;
		break;
	}
	r->p = next;
}

static void standard(struct reader *r, const struct program *g, uint64_t op)
{
	switch (op) {
	case LNS_COPY:
		add_row(r);
		return;
	case LNS_ADVANCE_PC:
		r->address += get_leb(r, false) * g->min_bytes;
		return;
	case LNS_ADVANCE_LINE:
		r->line += get_leb(r, true);
		return;
	case LNS_SET_COLUMN:
		r->column = get_leb(r, false);
		return;
	case LNS_CONST_ADD_PC:
		r->address += (255 - g->opcode_base) / g->line_range * g->min_bytes;
		return;
	case LNS_FIXED_ADVANCE_PC:
		r->address += get(r, 2);
		return;
	default:
		for (unsigned i = 0; i < g->operands[op]; i++)
			get_leb(r, false);
	}
}

static void run_program(struct reader *r, const struct program *g)
{
	r->line = 1;
	while (r->p < r->end && !r->bad) {
		uint64_t op = get(r, 1);

		if (op == 0) {
			extended(r);
		} else if (op < g->opcode_base) {
			standard(r, g, op);
		} else {
			op -= g->opcode_base;
			r->address += op / g->line_range * g->min_bytes;
			r->line += (uint64_t)((int64_t)g->line_base + (int64_t)(op % g->line_range));
			add_row(r);
		}
	}
}

static void read_table(struct reader *r)
{
	struct program g = {0};
	uint64_t bytes = get(r, 4), version, header;
	const uint8_t *program;

	if (bytes > (uint64_t)(r->end - r->p))
		return;
	r->end = r->p + bytes;
	version = get(r, 2);
	header = get(r, 4);
	if (r->bad || version != 4 || header > (uint64_t)(r->end - r->p))
		return;
	program = r->p + header;
	g.min_bytes = get(r, 1);
	get(r, 2); /* operations per instruction, default of is_stmt */
	g.line_base = (int8_t)get(r, 1);
	g.line_range = get(r, 1);
	g.opcode_base = get(r, 1);
	for (uint64_t i = 1; i < g.opcode_base; i++)
		g.operands[i] = (uint8_t)get(r, 1);
	if (r->bad || g.line_range == 0 || g.opcode_base == 0)
		return;
	r->p = program;
	run_program(r, &g);
}

void lines_read(const void *object, size_t bytes, struct tier2_work *w)
{
	struct reader r = {.w = w};
	Elf *elf;
	size_t strings;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)(uintptr_t)object, bytes);
	if (elf && elf_getshdrstrndx(elf, &strings) == 0)
		for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn; scn = elf_nextscn(elf, scn)) {
			GElf_Shdr h;
			const char *name = gelf_getshdr(scn, &h) ? elf_strptr(elf, strings, h.sh_name) : NULL;
			Elf_Data *data = name && strcmp(name, ".debug_line") == 0 ? elf_rawdata(scn, NULL) : NULL;

			if (!data || !data->d_buf)
				continue;
			r.p = data->d_buf;
			r.end = r.p + data->d_size;
			read_table(&r);
			break;
		}
	elf_end(elf);
}
