/* SPDX-License-Identifier: MIT */
#include "vmm/look/kallsyms.h"

#include <ctype.h>
#include <string.h>

#include "base/segments.h"

#define TOKENS       256u
#define INDEX_BYTES  (2 * TOKENS)
#define ALIGN        4u
#define MARKER_EVERY 256u
#define SAMPLE       64u /* names that must make sense before all of them are looked at */
#define MAX_STEPS    (64u << 20)
#define STEPS_TOKENS 4096u /* what a look at 256 tokens counts as */
#define MAX_TOKEN    128u

/* All offsets below were compared with k->bytes before. */
static uint32_t get16(const struct kallsyms *k, uint32_t at)
{
	const uint8_t *p = k->data + at;

	return k->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const struct kallsyms *k, uint32_t at)
{
	return k->big_endian ? get16(k, at) << 16 | get16(k, at + 2) : get16(k, at + 2) << 16 | get16(k, at);
}

static uint32_t aligned(uint32_t at) { return (at + ALIGN - 1) & ~(ALIGN - 1); }

/* [at, at + count * each) is in the image. */
static bool inside(const struct kallsyms *k, uint64_t at, uint64_t count, uint32_t each)
{
	return at <= k->bytes && count * each <= k->bytes - at;
}

/* ---- tokens ---- */

static const uint8_t *token(const struct kallsyms *k, uint8_t number)
{
	return k->data + k->tokens + get16(k, k->token_index + 2u * number);
}

static bool is_own_token(const struct kallsyms *k, char c)
{
	const uint8_t *t = token(k, (uint8_t)c);

	return t[0] == (uint8_t)c && t[1] == 0;
}

/* Could 256 offsets begin here? Rejects nearly everything at once. */
static bool index_at(const struct kallsyms *k, uint32_t at)
{
	if (get16(k, at) != 0)
		return false;
	for (uint32_t i = 1; i < TOKENS; i++) {
		uint32_t step = get16(k, at + 2 * i) - get16(k, at + 2 * i - 2);

		if (step == 0 || step > MAX_TOKEN)
			return false;
	}
	return true;
}

/* Is each token at its offset, NUL-terminated and nothing but characters of names? */
static bool tokens_at(struct kallsyms *k, uint32_t tokens)
{
	for (uint32_t i = 0; i < TOKENS; i++) {
		uint32_t from = tokens + get16(k, k->token_index + 2 * i), to;

		to = i + 1 < TOKENS ? tokens + get16(k, k->token_index + 2 * i + 2) : k->token_index;
		for (; from + 1 < to && k->data[from]; from++)
			if (k->data[from] <= 0x20 || k->data[from] >= 0x7f)
				return false;
		/* the last one may be followed by padding */
		for (; from < to; from++)
			if (k->data[from])
				return false;
	}
	k->tokens = tokens;
	/* every kernel has names with an underscore, and functions */
	return is_own_token(k, '_') && (is_own_token(k, 't') || is_own_token(k, 'T'));
}

/* The tokens end where their index begins, but for padding; how long the last one is, only it says. */
static bool find_tokens(struct kallsyms *k, uint32_t index, uint32_t *steps)
{
	uint32_t last = get16(k, index + 2 * (TOKENS - 1));

	k->token_index = index;
	for (uint32_t n = 1; n <= MAX_TOKEN + ALIGN && last + n <= index && *steps >= STEPS_TOKENS; n++) {
		uint32_t tokens = index - n - last;

		*steps -= STEPS_TOKENS;
		if (tokens % ALIGN == 0 && (tokens + last == 0 || k->data[tokens + last - 1] == 0) &&
		    tokens_at(k, tokens))
			return true;
	}
	return false;
}

/* ---- names ---- */

/* The name at *at: where its tokens are, and how many; *at moves behind it. False: it is none. */
static bool next_name(const struct kallsyms *k, uint32_t end, uint32_t *at, uint32_t *first, uint32_t *n)
{
	uint32_t p = *at;

	if (p + 2 > end)
		return false;
	*n = k->data[p++];
	if (*n & 0x80)
		*n = (*n & 0x7f) | (uint32_t)k->data[p++] << 7;
	if (*n == 0 || *n > end - p)
		return false;
	*first = p;
	*at = p + *n;
	return true;
}

/* The first characters make sense: a type, and some name behind it. */
static bool plausible(const struct kallsyms *k, uint32_t first, uint32_t n)
{
	const uint8_t *t = token(k, k->data[first]);

	if (!isalpha(t[0]) || (n == 1 && !t[1]))
		return false;
	for (uint32_t i = 1; i < n; i++)
		if (!token(k, k->data[first + i])[0])
			return false;
	return true;
}

/*
 * n names from `at` on, and the markers behind them, all before the tokens.  Cost is counted in *steps, which end the
 * search when there are none left.
 */
static bool names_at(const struct kallsyms *k, uint32_t at, uint32_t n, uint32_t *steps)
{
	uint32_t p = at, first, len, markers;

	for (uint32_t i = 0; i < n; i++) {
		if (!*steps || !next_name(k, k->tokens, &p, &first, &len))
			return false;
		--*steps;
		if (i < SAMPLE && !plausible(k, first, len))
			return false;
	}
	markers = aligned(p);
	if (markers > k->tokens || (n + MARKER_EVERY - 1) / MARKER_EVERY > (k->tokens - markers) / 4)
		return false;
	p = at;
	for (uint32_t i = 0; i < n; i++) {
		if (i % MARKER_EVERY == 0 && get32(k, markers + i / MARKER_EVERY * 4) != p - at)
			return false;
		(void)next_name(k, k->tokens, &p, &first, &len);
	}
	return true;
}

/* ---- addresses ---- */

static bool ascending(const struct kallsyms *k, uint32_t at)
{
	for (uint32_t i = 1; i < k->n; i++)
		if (get32(k, at + 4 * i) < get32(k, at + 4 * i - 4))
			return false;
	return true;
}

static bool relative_at(struct kallsyms *k, uint64_t at)
{
	uint32_t base;

	if (!inside(k, at, (uint64_t)k->n + 1, 4))
		return false;
	base = get32(k, (uint32_t)at + 4 * k->n);
	if (!segment_is_unmapped(base) || get32(k, (uint32_t)at) != 0 || !ascending(k, (uint32_t)at) ||
	    get32(k, (uint32_t)at + 4 * (k->n - 1)) > UINT32_MAX - base)
		return false;
	k->relative = true;
	k->addresses = (uint32_t)at;
	k->pointer = (uint32_t)at + 4 * k->n;
	return true;
}

static bool absolute_at(struct kallsyms *k, uint64_t at)
{
	uint32_t last;

	if (!inside(k, at, k->n, 4))
		return false;
	last = (uint32_t)at + 4 * (k->n - 1);
	if (!segment_is_unmapped(get32(k, last)) || !ascending(k, (uint32_t)at))
		return false;
	k->relative = false;
	k->addresses = (uint32_t)at;
	k->pointer = last;
	return true;
}

/* Before the number of names, or behind the token index. */
static bool find_addresses(struct kallsyms *k)
{
	uint64_t number = k->names - 4u, behind = aligned(k->token_index + INDEX_BYTES), bytes = 4ull * k->n;

	return (number >= bytes + 4 && relative_at(k, number - bytes - 4)) ||
	       (number >= bytes && absolute_at(k, number - bytes)) || relative_at(k, behind) || absolute_at(k, behind);
}

static bool find_names(struct kallsyms *k, uint32_t *steps)
{
	for (uint32_t at = k->tokens; at >= 4 && *steps; at -= ALIGN, *steps -= *steps > 0) {
		uint32_t n = get32(k, at - 4);

		if (n == 0 || n > KALLSYMS_MAX || n > (k->tokens - at) / 2 || !names_at(k, at, n, steps))
			continue;
		k->names = at;
		k->n = n;
		if (find_addresses(k))
			return true;
	}
	return false;
}

bool kallsyms_find(struct kallsyms *k, const uint8_t *data, size_t bytes, bool big_endian)
{
	uint32_t steps = MAX_STEPS;

	*k = (struct kallsyms){.data = data, .bytes = (uint32_t)bytes, .big_endian = big_endian};
	if (bytes > KALLSYMS_MAX_BYTES)
		return false;
	for (uint32_t at = 0; at + INDEX_BYTES <= bytes && steps; at += ALIGN)
		if (index_at(k, at) && find_tokens(k, at, &steps) && find_names(k, &steps))
			return true;
	k->n = 0;
	return false;
}

/* ---- reading ---- */

static void expand(const struct kallsyms *k, uint32_t first, uint32_t n, struct kallsyms_symbol *s)
{
	bool have_type = false;

	s->name_bytes = 0;
	for (uint32_t i = 0; i < n && s->name_bytes < KALLSYMS_MAX_NAME; i++)
		for (const uint8_t *t = token(k, k->data[first + i]); *t && s->name_bytes < KALLSYMS_MAX_NAME; t++) {
			if (have_type)
				s->name[s->name_bytes++] = (char)*t;
			else
				s->type = (char)*t;
			have_type = true;
		}
	s->name[s->name_bytes] = 0;
}

static uint32_t address(const struct kallsyms *k, uint32_t i)
{
	return (k->relative ? get32(k, k->pointer) : 0) + get32(k, k->addresses + 4 * i);
}

uint32_t kallsyms_first(const struct kallsyms *k) { return address(k, 0); }

int kallsyms_each(const struct kallsyms *k, int (*fn)(void *ctx, const struct kallsyms_symbol *s), void *ctx)
{
	uint32_t at = k->names, first, len;
	int r = 0;

	for (uint32_t i = 0; !r && i < k->n; i++) {
		struct kallsyms_symbol s;

		if (!next_name(k, k->tokens, &at, &first, &len))
			break;
		s.address = address(k, i);
		s.type = '?';
		expand(k, first, len, &s);
		r = fn(ctx, &s);
	}
	return r;
}
