/* SPDX-License-Identifier: MIT */
#include "tests/numa/trace.h"

/* splitmix64 */
uint64_t random_next(uint64_t *rng)
{
	uint64_t x = *rng += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t random_below(uint64_t *rng, uint64_t n) { return random_next(rng) % n; }

void trace_init(struct trace *t, uint64_t seed, uint64_t bytes, unsigned cpus)
{
	*t = (struct trace){.rng = seed, .bytes = bytes, .cpus = cpus};
}

static struct trace_access any(struct trace *t, struct trace_cpu *c)
{
	return (struct trace_access){(enum flash_access)random_below(&t->rng, 3), random_below(&t->rng, t->bytes), 0};
}

static struct trace_access stream(struct trace *t, struct trace_cpu *c)
{
	c->at += 8 * random_below(&t->rng, 8);
	return (struct trace_access){random_below(&t->rng, 4) ? FLASH_READ : FLASH_WRITE, c->at % t->bytes, 0};
}

static struct trace_access loop(struct trace *t, struct trace_cpu *c)
{
	uint64_t where = c->at / PAGE_BYTES * PAGE_BYTES;

	c->at = where + (c->at + 4) % 1024;
	switch (random_below(&t->rng, 8)) {
	case 0:
		return (struct trace_access){FLASH_WRITE, (where + 16384 + random_below(&t->rng, 16384)) % t->bytes, 0};
	case 1:
	case 2:
		return (struct trace_access){FLASH_READ, (where + 16384 + random_below(&t->rng, 65536)) % t->bytes, 0};
	default:
		return (struct trace_access){FLASH_FETCH, c->at % t->bytes, 0};
	}
}

static struct trace_access migratory(struct trace *t, struct trace_cpu *c)
{
	uint64_t addr = random_below(&t->rng, 64) * 256 % t->bytes;

	return (struct trace_access){random_below(&t->rng, 2) ? FLASH_READ : FLASH_WRITE, addr, 0};
}

static struct trace_access pipe_access(struct trace *t, struct trace_cpu *c)
{
	uint64_t base = t->bytes / 4, addr = base + random_below(&t->rng, 8 * PAGE_BYTES) % (t->bytes - base);
	bool writer = c == &t->cpu[0];

	return (struct trace_access){writer ? FLASH_WRITE : FLASH_READ, addr, 0};
}

static struct trace_access readers(struct trace *t, struct trace_cpu *c)
{
	uint64_t base = t->bytes / 2, addr = base + random_below(&t->rng, 32 * PAGE_BYTES) % (t->bytes - base);

	return (struct trace_access){random_below(&t->rng, 4) ? FLASH_READ : FLASH_FETCH, addr, 0};
}

static struct trace_access false_sharing(struct trace *t, struct trace_cpu *c)
{
	uint64_t base = t->bytes / 8 * 5, addr = base + random_below(&t->rng, 16) * 128 + 8 * (uint64_t)(c - t->cpu);

	return (struct trace_access){FLASH_WRITE, addr % t->bytes, 0};
}

static struct trace_access (*const patterns[NUM_TRACE_PATTERNS])(struct trace *t, struct trace_cpu *c) = {
    [TRACE_RANDOM] = any,       [TRACE_STREAM] = stream,   [TRACE_LOOP] = loop,           [TRACE_MIGRATORY] = migratory,
    [TRACE_PIPE] = pipe_access, [TRACE_READERS] = readers, [TRACE_FALSE] = false_sharing,
};

struct trace_access trace_next(struct trace *t, unsigned cpu)
{
	struct trace_cpu *c = &t->cpu[cpu];
	struct trace_access a;

	if (!c->left) {
		c->pattern = (enum trace_pattern)random_below(&t->rng, NUM_TRACE_PATTERNS);
		c->left = 1 + (uint32_t)random_below(&t->rng, 64u << random_below(&t->rng, 7));
		c->at = random_below(&t->rng, t->bytes);
	}
	c->left--;
	a = patterns[c->pattern](t, c);
	a.cycles = 1 + (uint32_t)random_below(&t->rng, 4);
	t->accesses[c->pattern]++;
	t->kinds[a.kind]++;
	return a;
}
