/* SPDX-License-Identifier: MIT */
#include "tests/oracle/program.h"

#include "frontend/cp0.h"
#include "tests/oracle/guest.h"

uint32_t setup_status(const struct oracle_setup *s)
{
	return (s->mapped ? 2u << ST_KSU_SHIFT : 0) | (s->fr ? ST_FR : 0) | (s->cu1 ? ST_CU1 : 0);
}

uint32_t program_va(const struct oracle_program *p, const struct oracle_setup *s, uint32_t insn)
{
	return setup_base(s) + PA_BLOCK + p->off + 4 * insn;
}

void program_encode(const struct oracle_program *p, const struct oracle_setup *s, uint32_t *words)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const struct program_insn *in = &p->insn[i];
		unsigned op = insn_opcode(in->word);
		uint32_t to = in->target == TARGET_TAIL ? guest_tail_va(s) : program_va(p, s, (uint32_t)in->target);

		words[i] = in->word;
		if (in->target == TARGET_NONE)
			continue;
		if (op == 2 || op == 3)
			words[i] = (in->word & 0xfc000000u) | (to >> 2 & 0x3ffffffu);
		else
			words[i] = (in->word & 0xffff0000u) | ((uint32_t)(in->target - (int)i - 1) & 0xffffu);
	}
}

void program_link(struct oracle_program *p, const struct oracle_setup *s)
{
	for (uint32_t c = 0; c < p->n_cases; c++) {
		uint32_t *t = &p->in[c].gpr[p->role.target];

		*t = program_va(p, s, (uint32_t)p->target) | (*t & 3);
		p->in[c].gpr[p->role.code] = program_va(p, s, 0);
	}
}

bool program_target_ok(const struct oracle_program *p, uint32_t insn)
{
	return !(p->insn[insn].flags & (PI_SLOT | PI_GLUED));
}

static int16_t moved(int16_t target, uint32_t insn) { return target > (int)insn ? target - 1 : target; }

void program_remove(struct oracle_program *p, uint32_t insn)
{
	p->n--;
	for (uint32_t i = insn; i < p->n; i++)
		p->insn[i] = p->insn[i + 1];
	for (uint32_t i = 0; i < p->n; i++)
		p->insn[i].target = moved(p->insn[i].target, insn);
	p->target = moved(p->target, insn);
}

void program_print(FILE *out, const struct oracle_program *p, const struct oracle_setup *s)
{
	struct frontend *f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU);
	uint32_t words[MAX_INSNS];
	char text[80];

	program_encode(p, s, words);
	for (uint32_t i = 0; f && i < p->n; i++) {
		uint32_t pc = program_va(p, s, i);

		frontend_disasm(f, pc, words[i], text, sizeof(text));
		fprintf(out, "  %08x  %08x  %s%s\n", pc, words[i], p->insn[i].flags & PI_SLOT ? "    " : "", text);
	}
	if (f)
		frontend_free(f);
}
