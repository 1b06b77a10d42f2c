/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/profile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

enum { SLOTS = 16384 };

struct profile {
	pthread_mutex_t lock; /* guards what follows; taken last of all */
	struct profile_sum sum;
	uint16_t slot[SLOTS]; /* 1 + place, or 0 */
};

_Static_assert(PROFILE_PLACES < SLOTS / 2, "searches end soon");

struct profile *profile_new(void)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (p)
		pthread_mutex_init(&p->lock, NULL);
	return p;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void profile_begin(struct profile *p, struct vm *vm, unsigned ms)
{
	pthread_mutex_lock(&p->lock);
	p->sum.samples = p->sum.lost = p->sum.n = 0;
	memset(p->slot, 0, sizeof(p->slot));
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		sched_profile(&vm->vcpu[i], ms);
}

static bool is_same(const struct profile_place *a, const struct profile_place *b)
{
	return a->pc == b->pc && a->user == b->user && a->unmapped == b->unmapped && a->content[0] == b->content[0] &&
	       a->content[1] == b->content[1];
}

static void count(struct profile *p, const struct profile_place *at)
{
	uint64_t key[] = {at->pc, at->content[0], (uint64_t)at->user << 1 | at->unmapped};
	uint32_t i = (uint32_t)(XXH3_64bits(key, sizeof(key)) % SLOTS);
	struct profile_sum *s = &p->sum;

	while (p->slot[i] && !is_same(&s->place[p->slot[i] - 1], at))
		i = (i + 1) % SLOTS;
	s->samples++;
	if (!p->slot[i] && s->n == PROFILE_PLACES) {
		s->lost++;
		return;
	}
	if (!p->slot[i]) {
		s->place[s->n] = *at;
		p->slot[i] = (uint16_t)++s->n;
	}
	s->place[p->slot[i] - 1].n++;
}

void profile_take(struct profile *p, struct vcpu *v)
{
	struct profile_place at = {.pc = v->gs.pc};
	struct machine_page *page;

	siblings_enter(v);
	vcpu_update_mode(v); /* pc may have come to another page, or segment */
	at.user = (v->gs.mode & MODE_KSU) == MODE_USER;
	at.unmapped = v->gs.mode & MODE_ABS;
	page = at.unmapped ? NULL : mem_fetch_try(v, gva(at.pc));
	if (page) {
		XXH128_hash_t h = XXH3_128bits(page->host, PAGE_BYTES);

		at.content[0] = h.low64;
		at.content[1] = h.high64;
	}
	siblings_leave(v);
	pthread_mutex_lock(&p->lock);
	count(p, &at);
	pthread_mutex_unlock(&p->lock);
}

void profile_copy(struct profile *p, struct profile_sum *out)
{
	pthread_mutex_lock(&p->lock);
	out->samples = p->sum.samples;
	out->lost = p->sum.lost;
	out->n = p->sum.n;
	memcpy(out->place, p->sum.place, p->sum.n * sizeof(*out->place));
	pthread_mutex_unlock(&p->lock);
}
