/* SPDX-License-Identifier: MIT */
#include "jit/window.h"

#include <string.h>

/* Which accesses of a block may share a probe. */

struct finder {
	struct windows *ws;
	const struct ir_block *b;
	unsigned n_open;
	uint8_t open[WINDOW_LIVE]; /* the longest unused first */
};

unsigned window_size_log2(uint8_t op)
{
	switch (op) {
	case IR_LOAD8S:
	case IR_LOAD8U:
	case IR_STORE8:
		return 0;
	case IR_LOAD16S:
	case IR_LOAD16U:
	case IR_STORE16:
		return 1;
	case IR_LOAD64:
	case IR_STORE64:
		return 3;
	default:
		return 2;
	}
}

bool window_is_store(uint8_t op) { return op == IR_STORE8 || op == IR_STORE16 || op == IR_STORE32 || op == IR_STORE64; }

/* An address as a value and an offset. */
static void take_apart(const struct ir_block *b, ir_ref addr, ir_ref *base, int64_t *off)
{
	const struct ir_ins *a = &b->ins[addr];

	*base = addr;
	*off = 0;
	if (a->op == IR_CONST) {
		*base = IR_NONE;
		*off = (uint32_t)a->imm;
		return;
	}
	if (a->op != IR_ADD)
		return;
	for (unsigned k = 0; k < 2; k++) {
		const struct ir_ins *c = &b->ins[a->arg[k]];

		if (c->op != IR_CONST)
			continue;
		*base = a->arg[1 - k];
		*off = (int32_t)c->imm;
		return;
	}
}

static void close_at(struct finder *f, unsigned at)
{
	f->n_open--;
	memmove(&f->open[at], &f->open[at + 1], (f->n_open - at) * sizeof(f->open[0]));
}

static bool joins(const struct window *w, ir_ref base, int64_t off, unsigned log2)
{
	int64_t lo = off < w->lo ? off : w->lo, end = off + (1 << log2), hi = end > w->hi ? end : w->hi;

	if (base == IR_NONE && (lo & ~(int64_t)PAGE_MASK) != ((hi - 1) & ~(int64_t)PAGE_MASK))
		return false;
	return w->base == base && hi - lo <= WINDOW_SPAN && ((off - w->first_off) & ((1 << log2) - 1)) == 0;
}

static void join(struct window *w, uint32_t i, int64_t off, unsigned log2, bool store)
{
	w->lo = off < w->lo ? off : w->lo;
	w->hi = off + (1 << log2) > w->hi ? off + (1 << log2) : w->hi;
	w->align_log2 = log2 > w->align_log2 ? (uint8_t)log2 : w->align_log2;
	w->reads |= !store;
	w->writes |= store;
	w->last = (uint16_t)i;
	w->n++;
}

static void visit_access(struct finder *f, uint32_t i)
{
	const struct ir_ins *ins = &f->b->ins[i];
	unsigned log2 = window_size_log2(ins->op), at;
	bool store = window_is_store(ins->op);
	struct window *w;
	int64_t off;
	ir_ref base;

	/* checked as something else than what it is, or gone on after: alone */
	if (ins->imm & ~(int64_t)MEM_BE)
		return;
	take_apart(f->b, ins->arg[0], &base, &off);
	for (at = 0; at < f->n_open && !joins(&f->ws->w[f->open[at]], base, off, log2); at++)
		;
	if (at == f->n_open) {
		if (f->ws->n == WINDOW_MAX)
			return;
		if (f->n_open == WINDOW_LIVE)
			close_at(f, 0);
		f->open[f->n_open++] = (uint8_t)f->ws->n;
		w = &f->ws->w[f->ws->n++];
		*w = (struct window){.base = base, .lo = off, .hi = off, .first_off = off, .first = (uint16_t)i};
	} else {
		uint8_t k = f->open[at];

		close_at(f, at);
		f->open[f->n_open++] = k;
		w = &f->ws->w[k];
	}
	join(w, i, off, log2, store);
	f->ws->of[i] = (uint8_t)(w - f->ws->w + 1);
}

/* Whatever this calls may map or unmap a page. */
static bool is_barrier(const struct ir_ins *ins)
{
	return ir_op_info[ins->op].effect == EFF_C && !(ir_helper_info[ins->imm].flags & HF_FPU) &&
	       ir_helper_info[ins->imm].flags != HF_PURE;
}

void windows_find(struct windows *ws, const struct ir_block *b)
{
	struct finder f = {.ws = ws, .b = b};

	ws->n = 0;
	memset(ws->of, 0, b->n_ins);
	for (uint32_t i = 0; i < b->n_ins; i++) {
		if (b->ins[i].dead)
			continue;
		if (ir_op_info[b->ins[i].op].effect == EFF_M)
			visit_access(&f, i);
		else if (is_barrier(&b->ins[i]))
			f.n_open = 0;
	}
	for (uint32_t i = 0; i < b->n_ins; i++)
		if (ws->of[i] && ws->w[ws->of[i] - 1].n < 2)
			ws->of[i] = 0;
}
