/* SPDX-License-Identifier: MIT */
#include "jit/dump_stable.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What Linux maps and where it puts programs on x86-64; smaller constants are the guest's, and larger ones are doubles. */
#define LOWEST_ADDRESS  ((uint64_t)1 << 40)
#define HIGHEST_ADDRESS ((uint64_t)1 << 47)

/* "name+0x..", if address is in these bytes. */
static bool within(const char *name, const void *from, size_t bytes, uint64_t address, char *out, size_t room)
{
	uint64_t off = address - (uint64_t)(uintptr_t)from;

	if (!from || off >= bytes)
		return false;
	snprintf(out, room, off || !*name ? "%s+0x%" PRIx64 : "%s", name, off);
	return true;
}

static bool in_links(const struct translation *t, uint64_t address, char *out, size_t room)
{
	char name[24];

	for (unsigned i = 0; i < t->n_links; i++) {
		snprintf(name, sizeof(name), "link %u", i);
		if (within(name, &t->links[i], sizeof(t->links[i]), address, out, room))
			return true;
	}
	return false;
}

static bool known(const struct stable_names *s, uint64_t address, char *out, size_t room)
{
	const struct translation *t = s->t;
	const struct jit *j = s->j;

	return within("", translation_body(t), t->code_bytes, address, out, room) ||
	       within("cold", translation_cold(t), t->cold_bytes, address, out, room) ||
	       in_links(t, address, out, room) ||
	       (j->cc->cfg.hot_blocks &&
		within("executions", translation_hot(t), sizeof(int32_t), address, out, room)) ||
	       within("vcpu", j->gs, sizeof(*j->gs), address, out, room) ||
	       /* fixed code is at the start of code memory, and is made in one order */
	       within("fixed code", j->cc->mem.rx, j->cc->mem.code_keep, address, out, room);
}

static void name(struct stable_names *s, uint64_t address, char *out, size_t room)
{
	unsigned i = 0;

	if (known(s, address, out, room))
		return;
	while (i < s->n && s->other[i] != address)
		i++;
	if (i == s->n && s->n < ARRAY_LEN(s->other))
		s->other[s->n++] = address;
	snprintf(out, room, "@%u", i);
}

/* The number at *p, "0x..."; *p moves behind it. */
static uint64_t number(const char **p)
{
	char *end;
	uint64_t v = strtoull(*p, &end, 16);

	*p = end;
	return v;
}

/* Replaces one address at *p by its label in out[*n], or does nothing. */
static bool replace(struct stable_names *s, const char **p, uint64_t next, bool jumps, char *out, size_t *n)
{
	char label[64];
	const char *q = *p;
	uint64_t v;

	if (strncmp(q, "rip + 0x", 8) == 0 || strncmp(q, "rip - 0x", 8) == 0) {
		bool minus = q[4] == '-';

		q += 6;
		v = number(&q);
		v = minus ? next - v : next + v;
	} else if (strncmp(q, "0x", 2) == 0) {
		v = number(&q);
		if (!jumps && (v < LOWEST_ADDRESS || v >= HIGHEST_ADDRESS)) {
			*n += (size_t)snprintf(out + *n, STABLE_TEXT_BYTES - *n, "%.*s", (int)(q - *p), *p);
			*p = q;
			return true;
		}
	} else {
		return false;
	}
	name(s, v, label, sizeof(label));
	*n += (size_t)snprintf(out + *n, STABLE_TEXT_BYTES - *n, "%s", label);
	*p = q;
	return true;
}

void stable_operands(struct stable_names *s, const char *operands, uint64_t address, unsigned bytes, bool jumps,
		     char out[STABLE_TEXT_BYTES])
{
	size_t n = 0;

	for (const char *p = operands; *p && n + 80 < STABLE_TEXT_BYTES;)
		if (!replace(s, &p, address + bytes, jumps, out, &n))
			out[n++] = *p++;
	out[n] = 0;
}
