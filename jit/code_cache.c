/* SPDX-License-Identifier: MIT */
/* The code cache of a monitor and the vCPUs that use it: life, the lock, and having everybody outside. */
#include <errno.h>
#include <stdlib.h>

#include "base/host_clock.h"
#include "jit/jit_internal.h"
#include "jit/store/store.h"
#include "jit/tier1_api.h"
#include "jit/tier2.h"

/* Jumps back.  A region costs LLVM some 10 ms of another thread, and one turn of a loop a few ns: see README. */
#define HOT_THRESHOLD 65536

static void kick_all(struct code_cache *cc)
{
	pthread_mutex_lock(&cc->list_lock);
	for (struct jit *j = cc->jits; j; j = j->next)
		__atomic_store_n(&j->gs->poll, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&cc->list_lock);
}

/* Worker thread: whoever comes to a poll point first takes what is finished. */
static void on_finished(void *ctx)
{
	struct code_cache *cc = ctx;

	if (!cc->cfg.line_log2) /* a run that is to be repeated: the dispatch loop looks by itself */
		kick_all(cc);
}

/* What of the configuration the code of a block depends on; where it is a pointer, on whether there is one, at most. */
#define CODE_DEPENDS_ON(FIELD)                                                                                         \
	FIELD(tier1) FIELD(tier2) FIELD(icount) FIELD(line_log2) FIELD(count_insns) FIELD(hot_blocks) FIELD(guest_isa)

/* Dumps show what is made, with the IR that is kept then: there, nothing is taken from a store. */
static void begin_store(struct code_cache *cc)
{
	const struct jit_config *cfg = &cc->cfg;
#define FIELD(name) (uint32_t) cfg->name,
	const uint32_t flavour[] = {CODE_DEPENDS_ON(FIELD)};
#undef FIELD

	if (cfg->store && (cfg->keep_ir || !cfg->tier1 || !store_begin(cfg->store, flavour, sizeof(flavour))))
		cc->cfg.store = NULL;
}

static int open_cache(struct code_cache *cc)
{
	struct tier2_config t2 = {.icount = cc->cfg.icount,
				  .line_log2 = cc->cfg.line_log2,
				  .count_insns = cc->cfg.count_insns,
				  .background = !cc->cfg.sync_tier2,
				  .helpers = cc->cfg.helpers,
				  .stubs = &cc->stubs,
				  .on_finished = on_finished,
				  .ctx = cc};
	int err;

	cc->tier1 = tier1_new();
	if (!cc->tier1)
		return -ENOMEM;
	err = code_mem_init(&cc->mem, cc->cfg.code_bytes);
	if (err)
		return err;
	if (!jit_stubs_emit(cc))
		panic("code memory has no room for the stubs");
	code_mem_keep(&cc->mem);
	begin_store(cc);
	return cc->cfg.tier2 ? tier2_new(&cc->tier2, &t2) : 0;
}

int code_cache_new(struct code_cache **out, const struct jit_config *cfg)
{
	struct code_cache *cc = calloc(1, sizeof(*cc));
	pthread_condattr_t attr;
	int err;

	*out = NULL;
	if (!cc)
		return -ENOMEM;
	cc->cfg = *cfg;
	if (cc->cfg.hot_threshold == 0)
		cc->cfg.hot_threshold = HOT_THRESHOLD;
	if (cc->cfg.hot_threshold > INT32_MAX)
		cc->cfg.hot_threshold = INT32_MAX;
	pthread_mutex_init(&cc->lock, NULL);
	pthread_mutex_init(&cc->list_lock, NULL);
	cc->flush_wait_ns = FLUSH_WAIT_NS;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cc->outside, &attr);
	pthread_condattr_destroy(&attr);
	err = open_cache(cc);
	if (err) {
		code_cache_free(cc);
		return err;
	}
	*out = cc;
	return 0;
}

bool code_cache_fits(const struct code_cache *cc, const struct jit_config *cfg)
{
	const struct jit_config *is = &cc->cfg;

#define FIELD(name) is->name == cfg->name &&
	return CODE_DEPENDS_ON(FIELD)(!cfg->hot_threshold || is->hot_threshold == cfg->hot_threshold) &&
	       is->sync_tier2 == cfg->sync_tier2 && is->keep_ir == cfg->keep_ir && is->helpers == cfg->helpers &&
	       is->resume == cfg->resume && is->waits == cfg->waits && is->installed == cfg->installed &&
	       is->installed_ctx == cfg->installed_ctx;
#undef FIELD
}

bool code_cache_abandon(struct code_cache *cc) { return cc && cc->tier2 && tier2_abandon(cc->tier2); }

static void free_requests(struct code_cache *cc)
{
	struct jit_request *q;

	while ((q = cc->requests) != NULL) {
		cc->requests = q->next;
		q->cp->n_pending--;
		free(q);
	}
}

void code_cache_free(struct code_cache *cc)
{
	if (!cc)
		return;
	ASSERT(!cc->jits);
	if (cc->tier2)
		tier2_free(cc->tier2);
	free_requests(cc);
	if (cc->mem.rx && !code_cache_flush(cc, NULL)) /* frees what translations keep on the heap, and their records */
		panic("a vCPU is in translated code that is to be freed");
	ASSERT(!cc->pages);
	code_mem_fini(&cc->mem);
	tier1_free(cc->tier1);
	pthread_cond_destroy(&cc->outside);
	pthread_mutex_destroy(&cc->list_lock);
	pthread_mutex_destroy(&cc->lock);
	free(cc);
}

/* ---- vCPUs ---- */

int jit_new(struct jit **out, struct code_cache *cc, struct guest_state *gs)
{
	struct jit *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->cc = cc;
	j->gs = gs;
	j->jump_cache = aligned_alloc(64, sizeof(*j->jump_cache));
	j->side_cache = aligned_alloc(64, SIDE_CACHE_ENTRIES * sizeof(*j->side_cache));
	j->ret_ring = aligned_alloc(64, RET_RING_ENTRIES * sizeof(*j->ret_ring));
	if (!j->jump_cache || !j->side_cache || !j->ret_ring) {
		free(j->jump_cache);
		free(j->side_cache);
		free(j->ret_ring);
		free(j);
		return -ENOMEM;
	}
	gs->exit_stub = cc->stubs.exit;
	gs->jump_cache = j->jump_cache;
	gs->ret_ring = j->ret_ring;
	gs->side_cache = j->side_cache;
	gs->helpers = cc->cfg.helpers;
	jit_forget_jumps(j);
	pthread_mutex_lock(&cc->list_lock);
	j->next = cc->jits;
	cc->jits = j;
	pthread_mutex_unlock(&cc->list_lock);
	*out = j;
	return 0;
}

void jit_free(struct jit *j)
{
	struct jit **at;

	if (!j)
		return;
	jit_outside(j);
	/* with both, so that nobody is looking at its caches */
	pthread_mutex_lock(&j->cc->lock);
	pthread_mutex_lock(&j->cc->list_lock);
	for (at = &j->cc->jits; *at != j; at = &(*at)->next)
		;
	*at = j->next;
	pthread_mutex_unlock(&j->cc->list_lock);
	pthread_mutex_unlock(&j->cc->lock);
	free(j->jump_cache);
	free(j->side_cache);
	free(j->ret_ring);
	free(j);
}

void jit_forget_jumps(struct jit *j)
{
	for (unsigned i = 0; i < JUMP_CACHE_ENTRIES; i++)
		j->jump_cache->e[i] = (struct jump_cache_entry){JUMP_KEY_NONE, NULL};
	for (unsigned i = 0; i < SIDE_CACHE_ENTRIES; i++)
		j->side_cache[i] = (struct side_cache_entry){.key = JUMP_KEY_NONE};
	for (unsigned i = 0; i < RET_RING_ENTRIES; i++)
		j->ret_ring[i] = (struct ret_ring_entry){JUMP_KEY_NONE, NULL};
	for (unsigned i = 0; i < HOT_COUNTS; i++)
		j->gs->hot[i] = (int32_t)j->cc->cfg.hot_threshold;
	j->gs->ret_ring_top = 0;
	j->gs->link = NULL;
	j->asked = NULL;
}

/* ---- the lock ---- */

/* What it waits for may itself wait until this vCPU is stopped: jit_unlock() says when it is over. */
static void tell_of_wait(struct jit *j)
{
	if (!j || j->waited || !j->cc->cfg.waits)
		return;
	j->waited = true;
	j->cc->cfg.waits(j->gs, true);
}

void jit_lock(struct jit *j, bool inside)
{
	struct code_cache *cc = j->cc;

	/* a flush waits for whoever is inside, so nobody may wait for it there */
	jit_outside(j);
	pthread_mutex_lock(&cc->lock);
	while (cc->stopping) {
		tell_of_wait(j);
		pthread_cond_wait(&cc->outside, &cc->lock);
	}
	__atomic_store_n(&j->inside, inside, __ATOMIC_SEQ_CST);
}

void jit_lock_running(struct jit *j) { pthread_mutex_lock(&j->cc->lock); }

void jit_unlock(struct jit *j)
{
	pthread_mutex_unlock(&j->cc->lock);
	if (j->waited) {
		j->waited = false;
		j->cc->cfg.waits(j->gs, false);
	}
}

void jit_outside(struct jit *j)
{
	struct code_cache *cc = j->cc;

	/* one of the two sees what the other one has stored */
	__atomic_store_n(&j->inside, false, __ATOMIC_SEQ_CST);
	if (__builtin_expect(!__atomic_load_n(&cc->stopping, __ATOMIC_SEQ_CST), 1))
		return;
	pthread_mutex_lock(&cc->lock);
	pthread_cond_broadcast(&cc->outside);
	pthread_mutex_unlock(&cc->lock);
}

static bool anybody_inside(struct code_cache *cc, const struct jit *but)
{
	bool any = false;

	pthread_mutex_lock(&cc->list_lock);
	for (struct jit *j = cc->jits; j && !any; j = j->next)
		any = j != but && __atomic_load_n(&j->inside, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&cc->list_lock);
	return any;
}

static void go_on(struct code_cache *cc)
{
	__atomic_store_n(&cc->stopping, false, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&cc->outside);
}

/*
 * Holding the lock, which is let go of meanwhile.  False: one is held inside, by a device whose other side takes its time, and others
 * have waited for it long enough; the next ones do not wait for a while.
 */
static bool stop_others(struct code_cache *cc, struct jit *j)
{
	const uint64_t pause_ns = 500000000, ns_per_s = 1000000000;
	uint64_t until = host_now_ns();
	struct timespec at;

	if (j && until < cc->no_flush_until_ns)
		return false;
	until += cc->flush_wait_ns;
	at = (struct timespec){(time_t)(until / ns_per_s), (long)(until % ns_per_s)};
	__atomic_store_n(&cc->stopping, true, __ATOMIC_SEQ_CST);
	kick_all(cc);
	while (anybody_inside(cc, j)) {
		tell_of_wait(j);
		if (pthread_cond_timedwait(&cc->outside, &cc->lock, &at) == ETIMEDOUT && anybody_inside(cc, j)) {
			cc->no_flush_until_ns = host_now_ns() + pause_ns;
			cc->stats.flushes_given_up++;
			go_on(cc);
			return false;
		}
	}
	return true;
}

bool code_cache_flush(struct code_cache *cc, struct jit *j)
{
	if (!stop_others(cc, j))
		return false;
	for (struct code_page *cp = cc->pages; cp; cp = cp->next)
		forget_translations(cc, cp);
	records_settle(cc);
	pthread_mutex_lock(&cc->list_lock);
	for (struct jit *i = cc->jits; i; i = i->next)
		jit_forget_jumps(i);
	pthread_mutex_unlock(&cc->list_lock);
	code_mem_reset(&cc->mem);
	cc->n_hot_counts = 0;
	cc->stats.flushes++;
	__atomic_fetch_add(&cc->patches, 1, __ATOMIC_RELEASE);
	go_on(cc);
	return true;
}

bool jit_flush(struct jit *j)
{
	bool done;

	jit_lock(j, false);
	done = code_cache_flush(j->cc, j);
	jit_unlock(j);
	return done;
}

void jit_break(struct jit *j)
{
	/* keys only: who has compared one already may still load what stands beside it */
	for (unsigned i = 0; i < JUMP_CACHE_ENTRIES; i++)
		__atomic_store_n(&j->jump_cache->e[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < SIDE_CACHE_ENTRIES; i++)
		__atomic_store_n(&j->side_cache[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < RET_RING_ENTRIES; i++)
		__atomic_store_n(&j->ret_ring[i].key, JUMP_KEY_NONE, __ATOMIC_RELAXED);
}

struct jit_stats jit_stats(const struct jit *j)
{
	struct jit_stats s;

	pthread_mutex_lock(&j->cc->lock);
	s = j->cc->stats;
	pthread_mutex_unlock(&j->cc->lock);
	if (j->cc->cfg.store) {
		struct store_stats st = store_stats(j->cc->cfg.store);

		s.stored_added = st.added;
		s.stored_damaged = st.damaged;
	}
	return s;
}

void code_cache_takes(struct code_cache *cc, uint64_t *code, uint64_t *data)
{
	pthread_mutex_lock(&cc->lock);
	code_mem_takes(&cc->mem, code, data);
	pthread_mutex_unlock(&cc->lock);
}

struct jit_made jit_made(const struct jit *j) { return j->made; }
