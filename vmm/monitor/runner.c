/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* gettid */
#include "vmm/monitor/sched_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "numa/host_nodes.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

/* The host as the scheduler sees it: the threads of the processors, their time, and the watcher that calls the tick. */

/* A thread that was spare may come to a processor of another node.  A host that refuses runs it all the same, only slower. */
static void bind_to(struct sched *s, struct runner *r)
{
	unsigned node = r->processor->node;

	if (!s->cfg.binding || r->bound == node + 1)
		return;
	r->bound = node + 1;
	(void)numa_bind_thread(s->cfg.binding, node);
}

static void run(struct sched *s, struct runner *r, struct vcpu *v)
{
	enum run_slice why;

	bind_to(s, r);
	sched_begin(s, r, v);
	v->sched.endless = s->n_known == 1 && !s->cfg.order;
	pthread_mutex_unlock(&s->lock);
	clock_turn(v->vm->clock, s->cfg.repeatable && !v->sched.endless ? TURN_NS : 0);
	panic_set_hook(v->sched.hook, v->sched.hook_arg);
	panic_set_last_words(v->vm->monitor->last_words, v->vm->monitor->trace);
	why = run_loop_slice(v);
	panic_get_hook(&v->sched.hook, &v->sched.hook_arg);
	panic_set_hook(NULL, NULL);
	panic_set_last_words(NULL, NULL);
	pthread_mutex_lock(&s->lock);
	sched_end(s, r, v, why);
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct sched *s = r->sched;

	pthread_mutex_lock(&s->lock);
	pthread_getcpuclockid(pthread_self(), &r->cpu);
	r->tid = gettid();
	while (!s->quit) {
		struct vcpu *v = r->processor ? sched_pick(s, r->processor) : NULL;

		if (v) {
			run(s, r, v);
			continue;
		}
		if (r->processor) {
			r->processor->idle = true;
		} else {
			r->next_spare = s->spare;
			s->spare = r;
		}
		pthread_cond_wait(&r->wake, &s->lock);
		while (!r->processor && !s->quit) /* still a spare */
			pthread_cond_wait(&r->wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start(const struct sched_host *h, struct runner *r)
{
	sigset_t mask;
	int err;

	pthread_sigmask(SIG_SETMASK, &r->sched->signals, &mask);
	err = -pthread_create(&r->thread, NULL, runner_main, r);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return err;
}

static void wake(const struct sched_host *h, struct runner *r) { pthread_cond_signal(&r->wake); }
static void join(const struct sched_host *h, struct runner *r) { pthread_join(r->thread, NULL); }
static uint64_t now_ns(const struct sched_host *h) { return host_now_ns(); }
static uint64_t cpu_ns(const struct sched_host *h, const struct runner *r) { return host_clock_ns(r->cpu); }

static bool is_runnable(const struct sched_host *h, const struct runner *r)
{
	char path[64], text[128];
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)r->tid);
	f = fopen(path, "re");
	text[0] = 0;
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = 0;
		fclose(f);
	}
	state = strrchr(text, ')'); /* behind the name of the thread */
	return state && state[1] && state[2] == 'R';
}

static void tick_at(const struct sched_host *h, struct sched *s, uint64_t at_ns)
{
	watcher_at(s->watcher, &s->tick, at_ns);
}

const struct sched_host sched_this_host = {
    .now_ns = now_ns,
    .cpu_ns = cpu_ns,
    .start = start,
    .wake = wake,
    .join = join,
    .is_runnable = is_runnable,
    .tick_at = tick_at,
};
