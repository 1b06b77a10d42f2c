/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/oracle/asm.h"
#include "tests/oracle/harness.h"

#define ATTEMPT_SECONDS 60
#define REDUCE_SECONDS  120 /* then what has been reached must do */

bool oracle_fails(const struct oracle_test *t, unsigned executors, const struct oracle_program *p, FILE *report)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		struct rig *r = rig_new(t, executors);

		alarm(ATTEMPT_SECONDS);
		if (!r)
			_exit(2);
		status = rig_check(r, p, report, NULL);
		if (report)
			fflush(report);
		_exit(status >= 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (report && WIFSIGNALED(status))
		fprintf(report, "  ends by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
}

struct reducer {
	const struct oracle_test *t;
	unsigned executors;
	struct oracle_program *p, tried;
	time_t until;
};

/* Keep what was tried if it still fails. */
static bool keep(struct reducer *r)
{
	program_link(&r->tried, &r->t->setup);
	if (time(NULL) > r->until || !oracle_fails(r->t, r->executors, &r->tried, NULL))
		return false;
	*r->p = r->tried;
	return true;
}

static bool try_cases(struct reducer *r, uint32_t from, uint32_t n)
{
	r->tried = *r->p;
	memmove(r->tried.in, r->p->in + from, n * sizeof(r->tried.in[0]));
	r->tried.n_cases = n;
	return keep(r);
}

/* One case if one is enough, else a stretch of them: earlier ones may have written memory that later ones read. */
static void reduce_cases(struct reducer *r)
{
	for (uint32_t c = 0; c < r->p->n_cases; c++)
		if (try_cases(r, c, 1))
			return;
	while (r->p->n_cases > 1 && (try_cases(r, 0, r->p->n_cases - 1) || try_cases(r, 1, r->p->n_cases - 1)))
		;
}

/* Instructions that stand together become NOPs together; the slot of a branch becomes an ordinary instruction. */
static bool try_without_group(struct reducer *r, uint32_t group)
{
	struct oracle_program *p = &r->tried;
	bool any = false;

	*p = *r->p;
	for (uint32_t i = 0; i < p->n; i++) {
		struct program_insn *in = &p->insn[i];

		if (in->group != group || in->flags & PI_KEEP || (in->word == A_NOP && in->target == TARGET_NONE))
			continue;
		any = true;
		if (i + 1 < p->n && p->insn[i + 1].flags & PI_SLOT)
			p->insn[i + 1].flags &= (uint8_t)~PI_SLOT;
		in->word = A_NOP;
		in->target = TARGET_NONE;
		in->flags &= (uint8_t) ~(PI_GLUED | PI_LINK_T);
	}
	return any && keep(r);
}

static bool reduce_groups(struct reducer *r)
{
	bool progress = false;

	for (uint32_t i = 0; i < r->p->n; i++)
		progress |= try_without_group(r, r->p->insn[i].group);
	return progress;
}

static void reduce_nops(struct reducer *r)
{
	for (uint32_t i = 0; i < r->p->n;) {
		r->tried = *r->p;
		if (r->p->insn[i].word == A_NOP && !(r->p->insn[i].flags & (PI_SLOT | PI_KEEP))) {
			program_remove(&r->tried, i);
			if (keep(r))
				continue;
		}
		i++;
	}
}

static bool has_role(const struct oracle_program *p, unsigned reg)
{
	return reg == p->role.pointer[0] || reg == p->role.pointer[1] || reg == p->role.target ||
	       reg == p->role.count || reg == p->role.code;
}

static void reduce_state(struct reducer *r, uint32_t c)
{
	struct oracle_state *s = &r->tried.in[c];

	for (unsigned reg = 0; reg < 32; reg++) {
		r->tried = *r->p;
		s->gpr[reg] = 0;
		if (r->p->in[c].gpr[reg] && !has_role(r->p, reg))
			keep(r);
		r->tried = *r->p;
		s->fpr[reg] = 0;
		if (r->p->in[c].fpr[reg])
			keep(r);
	}
	r->tried = *r->p;
	s->hi = s->lo = 0;
	keep(r);
	r->tried = *r->p;
	s->fcsr = 0;
	keep(r);
}

void oracle_reduce(const struct oracle_test *t, unsigned executors, struct oracle_program *p)
{
	struct reducer *r = calloc(1, sizeof(*r));

	if (!r)
		return;
	r->t = t;
	r->executors = executors;
	r->p = p;
	r->until = time(NULL) + REDUCE_SECONDS;
	reduce_cases(r);
	while (reduce_groups(r))
		;
	reduce_nops(r);
	r->tried = *p;
	r->tried.off = 0x100;
	keep(r);
	r->tried = *p;
	memset(r->tried.data, 0, sizeof(r->tried.data));
	keep(r);
	for (uint32_t c = 0; c < p->n_cases; c++)
		reduce_state(r, c);
	free(r);
}
