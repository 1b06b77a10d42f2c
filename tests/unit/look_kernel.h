/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_LOOK_KERNEL_H
#define TESTS_UNIT_LOOK_KERNEL_H

/* A kernel's symbol table, written in each of the layouts that Linux has had (vmm/look/kallsyms.h). */
#include "base/types.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MADE_BYTES   (64u << 10)
#define MADE_BASE    0x80100400u
#define MADE_SYMBOLS 700u /* three markers */
#define MADE_STEP    0x20u

struct layout {
	bool big_endian, relative, behind;
	unsigned seq_bytes; /* each, of the array between markers and tokens; 0: none */
	unsigned pad;       /* what stands before all of it */
};

struct made {
	uint8_t b[MADE_BYTES];
	uint32_t n, names, tokens, addresses, pointer; /* offsets */
	struct layout l;
};

static inline void put(struct made *m, unsigned bytes, uint32_t v)
{
	cr_assert_lt(m->n + bytes, MADE_BYTES);
	for (unsigned i = 0; i < bytes; i++)
		m->b[m->n++] = (uint8_t)(v >> 8 * (m->l.big_endian ? bytes - 1 - i : i));
}

static inline void put_align(struct made *m)
{
	while (m->n % 4)
		m->b[m->n++] = 0;
}

/* Symbol i's type and name, as nm has them: some share their letters' tokens, one is very long. */
static inline void made_name(unsigned i, char text[400])
{
	static const char types[] = "tTwWDbA";

	text[0] = types[i % 7];
	if (i == 300)
		memset(text + 1, 'x', 200), text[201] = 0;
	else
		snprintf(text + 1, 399, i % 2 ? "init_fn%u" : "do_sys_call_%u.part.0", i);
}

/* Tokens 1 to 31 are longer; a character is its own. */
static inline const char *made_token(unsigned t)
{
	static const char *const words[] = {"init_", "do_sys_", "call_", ".part"};
	static char one[2];

	if (t >= 1 && t <= 4)
		return words[t - 1];
	one[0] = t > 0x20 && t < 0x7f ? (char)t : 0;
	return one;
}

static inline void put_names(struct made *m)
{
	uint32_t marker[8], n_markers = 0, at;

	put(m, 4, MADE_SYMBOLS);
	m->names = m->n;
	for (unsigned i = 0; i < MADE_SYMBOLS; i++) {
		char text[400];
		uint8_t out[400];
		unsigned len = 0;

		if (i % 256 == 0)
			marker[n_markers++] = m->n - m->names;
		made_name(i, text);
		for (const char *p = text; *p;) {
			unsigned t = 4;

			/* the type is a token of its own here */
			while (t && (p == text || strncmp(p, made_token(t), strlen(made_token(t)))))
				t--;
			out[len++] = t ? (uint8_t)t : (uint8_t)*p;
			p += t ? strlen(made_token(t)) : 1;
		}
		if (len > 0x7f)
			put(m, 1, (len & 0x7f) | 0x80), put(m, 1, len >> 7);
		else
			put(m, 1, len);
		for (at = 0; at < len; at++)
			put(m, 1, out[at]);
	}
	put_align(m);
	for (at = 0; at < n_markers; at++)
		put(m, 4, marker[at]);
}

static inline void put_tokens(struct made *m)
{
	uint32_t index[256];

	put_align(m);
	m->tokens = m->n;
	for (unsigned t = 0; t < 256; t++) {
		index[t] = m->n - m->tokens;
		for (const char *p = made_token(t); *p; p++)
			put(m, 1, (uint8_t)*p);
		put(m, 1, 0);
	}
	put_align(m);
	for (unsigned t = 0; t < 256; t++)
		put(m, 2, index[t]);
	put_align(m);
}

static inline void put_addresses(struct made *m)
{
	m->addresses = m->n;
	for (unsigned i = 0; i < MADE_SYMBOLS; i++)
		put(m, 4, (m->l.relative ? 0 : MADE_BASE) + i * MADE_STEP);
	m->pointer = m->l.relative ? m->n : m->n - 4;
	if (m->l.relative)
		put(m, 4, MADE_BASE);
}

static inline void make_kernel(struct made *m, struct layout l)
{
	memset(m, 0, sizeof(*m));
	m->l = l;
	for (unsigned i = 0; i < l.pad; i++) /* what looks like an index of tokens and is none */
		put(m, 2, i % 256);
	put_align(m);
	if (!l.behind)
		put_addresses(m);
	put_names(m);
	for (unsigned i = 0; i < MADE_SYMBOLS && l.seq_bytes; i++)
		put(m, l.seq_bytes, i * 77 % MADE_SYMBOLS);
	put_tokens(m);
	if (l.behind)
		put_addresses(m);
}

#endif
