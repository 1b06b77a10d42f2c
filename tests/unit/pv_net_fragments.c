/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/net/net_fragments.h"
#include "tests/unit/pv_net_frames.h"

enum { MORE = 0x2000 };

/* A fragment of the datagram `id`: payload bytes [off, off + n) of the stream. */
static unsigned fragment(uint8_t *f, unsigned id, unsigned off, unsigned n, bool more)
{
	memset(f, 0, 34);
	f[12] = 8;
	f[14] = 0x45;
	frame_put16(f + 16, 20 + n);
	frame_put16(f + 18, id);
	frame_put16(f + 20, (more ? MORE : 0) | off / 8);
	f[22] = 64;
	f[23] = 17;
	memcpy(f + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
	frame_put16(f + 24, 0xffff & ~frame_sum(0, f + 14, 20));
	for (unsigned i = 0; i < n; i++)
		f[34 + i] = frame_byte(off + i);
	return 34 + n;
}

static const uint8_t *add(struct net_fragments *s, unsigned id, unsigned off, unsigned n, bool more, int64_t ms,
			  uint32_t *bytes)
{
	static uint8_t f[70000];

	*bytes = fragment(f, id, off, n, more);
	return net_fragments_add(s, f, bytes, ms);
}

static void expect_whole(const uint8_t *f, const uint32_t *bytes, unsigned payload)
{
	cr_assert_not_null(f);
	cr_assert_eq(*bytes, 34 + payload);
	cr_assert_eq(frame_get16(f + 12), 0x0800);
	cr_assert_eq(frame_get16(f + 16), 20 + payload);
	cr_assert_eq(frame_get16(f + 20), 0, "no fragment any more");
	cr_assert_eq(frame_sum(0, f + 14, 20), 0xffff);
	for (unsigned i = 0; i < payload; i++)
		cr_assert_eq(f[34 + i], frame_byte(i), "byte %u", i);
}

Test(net_fragments, passes_what_is_none)
{
	struct net_fragments *s = calloc(1, sizeof(*s));
	uint8_t f[200];
	uint32_t bytes = fragment(f, 1, 0, 100, false);

	cr_assert_eq(net_fragments_add(s, f, &bytes, 0), f);
	cr_assert_eq(bytes, 134);
	bytes = 14;
	cr_assert_eq(net_fragments_add(s, f, &bytes, 0), f);
	frame_put16(f + 12, 0x86dd);
	memset(f + 14, 0xff, 100);
	bytes = 114;
	cr_assert_eq(net_fragments_add(s, f, &bytes, 0), f);
	free(s);
}

/* Each order of four fragments, two datagrams at a time. */
Test(net_fragments, any_order)
{
	static const unsigned off[] = {0, 1480, 2960, 4440}, n[] = {1480, 1480, 1480, 7};
	struct net_fragments *s = calloc(1, sizeof(*s));
	unsigned done = 0;

	for (unsigned order = 0; order < 256; order++) {
		unsigned at[] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
		uint32_t bytes;

		if ((1u << at[0] | 1u << at[1] | 1u << at[2] | 1u << at[3]) != 15)
			continue;
		for (unsigned i = 0; i < 4; i++) {
			const uint8_t *a = add(s, order * 2, off[at[i]], n[at[i]], at[i] < 3, 0, &bytes);

			if (i == 3)
				expect_whole(a, &bytes, 4447);
			else
				cr_assert_null(a);
			a = add(s, order * 2 + 1, off[i], n[i], i < 3, 0, &bytes);
			if (i == 3)
				expect_whole(a, &bytes, 4447);
			else
				cr_assert_null(a);
		}
		done++;
	}
	cr_assert_eq(done, 24);
	free(s);
}

Test(net_fragments, the_largest)
{
	struct net_fragments *s = calloc(1, sizeof(*s));
	uint32_t bytes;

	for (unsigned off = 0; off < 65512; off += 8)
		cr_assert_null(add(s, 1, off, 8, true, 0, &bytes));
	expect_whole(add(s, 1, 65512, 3, false, 0, &bytes), &bytes, 65515);
	/* One byte more than an IP packet, and far beyond. */
	cr_assert_null(add(s, 2, 65512, 4, false, 0, &bytes));
	cr_assert_null(add(s, 2, 0, 65512, true, 0, &bytes));
	cr_assert_null(add(s, 3, 65528, 1400, false, 0, &bytes));
	cr_assert_null(add(s, 3, 65528, 8, true, 0, &bytes));
	free(s);
}

/* After each of these, the fragments that would have completed a datagram do not. */
Test(net_fragments, refuses_lies)
{
	struct net_fragments *s = calloc(1, sizeof(*s));
	uint8_t f[3000];
	uint32_t bytes;

	cr_assert_null(add(s, 1, 0, 16, true, 0, &bytes));
	cr_assert_null(add(s, 1, 8, 16, true, 0, &bytes), "an overlap");
	cr_assert_null(add(s, 1, 16, 8, false, 0, &bytes));
	cr_assert_null(add(s, 2, 32, 8, true, 0, &bytes));
	cr_assert_null(add(s, 2, 16, 8, false, 0, &bytes), "an end before what is there");
	cr_assert_null(add(s, 2, 0, 16, true, 0, &bytes));
	cr_assert_null(add(s, 3, 16, 8, false, 0, &bytes));
	cr_assert_null(add(s, 3, 24, 8, false, 0, &bytes), "two ends");
	cr_assert_null(add(s, 3, 0, 16, true, 0, &bytes));
	cr_assert_null(add(s, 4, 0, 12, true, 0, &bytes), "not whole units");
	cr_assert_null(add(s, 4, 8, 8, false, 0, &bytes));
	cr_assert_null(add(s, 5, 0, 0, true, 0, &bytes), "empty");
	bytes = fragment(f, 6, 0, 800, true) - 1;
	cr_assert_null(net_fragments_add(s, f, &bytes, 0), "longer than the frame");
	bytes = fragment(f, 6, 0, 800, true);
	f[25] ^= 1;
	cr_assert_null(net_fragments_add(s, f, &bytes, 0), "wrong checksum");
	cr_assert_null(add(s, 6, 800, 8, false, 0, &bytes));
	expect_whole(add(s, 6, 0, 800, true, 0, &bytes), &bytes, 808);
	free(s);
}

Test(net_fragments, forgets)
{
	struct net_fragments *s = calloc(1, sizeof(*s));
	uint32_t bytes;

	cr_assert_null(add(s, 1, 0, 8, true, 0, &bytes));
	cr_assert_null(add(s, 1, 8, 8, false, NET_FRAGMENT_TIMEOUT_MS, &bytes), "too late");
	/* More at a time than there are places: the oldest goes. */
	for (unsigned i = 0; i <= NET_FRAGMENTED; i++)
		cr_assert_null(add(s, 10 + i, 0, 8, true, 20000 + i, &bytes));
	for (unsigned i = NET_FRAGMENTED; i > 0; i--)
		expect_whole(add(s, 10 + i, 8, 8, false, 20100, &bytes), &bytes, 16);
	cr_assert_null(add(s, 10, 8, 8, false, 20100, &bytes));
	free(s);
}
