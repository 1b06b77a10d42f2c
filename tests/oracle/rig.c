/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "tests/oracle/harness.h"

struct rig {
	const struct oracle_test *t;
	struct unicorn *unicorn;
	struct machine_vm *vm[NUM_EXECUTORS];
	struct oracle_outcome want, got;
};

void rig_free(struct rig *r)
{
	if (!r)
		return;
	for (unsigned e = 0; e < NUM_EXECUTORS; e++)
		machine_vm_free(r->vm[e]);
	unicorn_free(r->unicorn);
	free(r);
}

struct rig *rig_new(const struct oracle_test *t, unsigned executors)
{
	struct rig *r = calloc(1, sizeof(*r));
	bool ok = r != NULL;

	if (!ok)
		return NULL;
	r->t = t;
	if (t->unicorn)
		ok = (r->unicorn = unicorn_new(&t->setup)) != NULL;
	for (unsigned e = 0; ok && e < NUM_EXECUTORS; e++)
		if (executors >> e & 1)
			ok = (r->vm[e] = machine_vm_new(&t->setup, e)) != NULL;
	if (ok)
		return r;
	rig_free(r);
	return NULL;
}

/* ---- comparing ---- */

struct comparison {
	FILE *report;
	const char *want, *got; /* who */
	uint32_t n_case;
	bool differs;
};

static void compare(struct comparison *c, const char *what, unsigned number, uint64_t want, uint64_t got)
{
	char name[64];

	if (want == got)
		return;
	c->differs = true;
	if (!c->report)
		return;
	snprintf(name, sizeof(name), what, number);
	fprintf(c->report, "  case %u, %s: %s %0*" PRIx64 ", %s %0*" PRIx64 "\n", c->n_case, name, c->want,
		want >> 32 || got >> 32 ? 16 : 8, want, c->got, want >> 32 || got >> 32 ? 16 : 8, got);
}

static void compare_result(struct comparison *c, const struct oracle_result *want, const struct oracle_result *got)
{
	for (unsigned i = 1; i < 32; i++)
		compare(c, "$%u", i, want->s.gpr[i], got->s.gpr[i]);
	compare(c, "HI", 0, want->s.hi, got->s.hi);
	compare(c, "LO", 0, want->s.lo, got->s.lo);
	for (unsigned i = 0; i < 32; i++)
		compare(c, "f%u", i, want->s.fpr[i], got->s.fpr[i]);
	compare(c, "FCSR", 0, want->s.fcsr, got->s.fcsr);
	compare(c, "Cause (ExcCode, BD, CE; ffffffff: no exception)", 0, want->cause, got->cause);
	compare(c, "EPC", 0, want->epc, got->epc);
	compare(c, "BadVAddr", 0, want->badvaddr, got->badvaddr);
	compare(c, "Status", 0, want->status, got->status);
	compare(c, "refill vector", 0, want->refill, got->refill);
	compare(c, "EntryHi", 0, want->entryhi, got->entryhi);
	compare(c, "Context", 0, want->context, got->context);
}

static void compare_memory(struct comparison *c, uint32_t pa, const uint8_t *want, const uint8_t *got, uint32_t bytes)
{
	uint32_t shown = 0;

	if (!memcmp(want, got, bytes))
		return;
	c->differs = true;
	for (uint32_t i = 0; c->report && i < bytes && shown < 16; i++) {
		if (want[i] == got[i])
			continue;
		fprintf(c->report, "  memory %08x: %s %02x, %s %02x\n", pa + i, c->want, want[i], c->got, got[i]);
		shown++;
	}
}

static bool differs(struct rig *r, const struct oracle_program *p, const char *want, const char *got, FILE *report)
{
	struct comparison c = {.report = report, .want = want, .got = got};

	if (r->got.trouble) {
		if (report)
			fprintf(report, "  %s: %s\n", got, r->got.trouble);
		return true;
	}
	for (c.n_case = 0; c.n_case < p->n_cases; c.n_case++)
		compare_result(&c, &r->want.result[c.n_case], &r->got.result[c.n_case]);
	compare_memory(&c, PA_DATA, r->want.data, r->got.data, DATA_BYTES);
	compare_memory(&c, PA_BLOCK, r->want.block, r->got.block, BLOCK_BYTES);
	c.n_case = p->n_cases;
	if (r->want.insns)
		compare(&c, "instructions executed", 0, r->want.insns, r->got.insns);
	if (r->want.hash)
		compare(&c, "hash of the machine", 0, r->want.hash, r->got.hash);
	return c.differs;
}

/* ---- running ---- */

const struct insn *oracle_row(uint32_t word)
{
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++)
		if ((word & row->mask) == row->match)
			return row;
	return NULL;
}

static void count(struct oracle_stats *stats, const struct oracle_program *p, const struct oracle_outcome *o)
{
	const struct insn *row;

	stats->programs++;
	stats->blocks += p->n_cases;
	for (uint32_t i = 0; i < p->n; i++)
		if ((row = oracle_row(p->insn[i].word)))
			stats->rows[insn_id(row)]++;
	for (uint32_t i = 0; i < p->n_cases; i++)
		if (o->result[i].cause != NO_EXCEPTION)
			stats->exceptions[(o->result[i].cause & CA_EXC) >> CA_EXC_SHIFT]++;
}

int rig_check(struct rig *r, const struct oracle_program *p, FILE *report, struct oracle_stats *stats)
{
	const char *want = "Unicorn";
	uint64_t before = r->unicorn ? unicorn_insns(r->unicorn) : 0;
	unsigned e = 0;

	if (r->unicorn) {
		unicorn_run(r->unicorn, p, &r->want);
	} else {
		while (!r->vm[e])
			e++;
		want = executor_name[e];
		machine_vm_run(r->vm[e++], p, &r->want);
	}
	if (r->want.trouble) {
		if (report)
			fprintf(report, "  %s: %s\n", want, r->want.trouble);
		return NUM_EXECUTORS;
	}
	if (stats) {
		count(stats, p, &r->want);
		stats->insns += r->unicorn ? unicorn_insns(r->unicorn) - before : 0;
	}
	for (bool first = r->unicorn; e < NUM_EXECUTORS; e++) {
		if (!r->vm[e])
			continue;
		machine_vm_run(r->vm[e], p, &r->got);
		if (differs(r, p, want, executor_name[e], report))
			return (int)e;
		if (stats)
			stats->regions += r->got.regions;
		/* what only our machines can tell is compared with the first of them */
		if (first) {
			if (!r->want.insns)
				r->want.insns = r->got.insns;
			r->want.hash = r->got.hash;
			first = false;
		}
	}
	return -1;
}
