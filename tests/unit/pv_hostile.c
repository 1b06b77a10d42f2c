/* SPDX-License-Identifier: MIT */
/*
 * The hostile driver of pv_hostile.h on all devices, from a generator: DISCO_COUNT inputs (20000) from DISCO_SEED on.
 * Input i of a seed can be had again by DISCO_SEED=seed+i DISCO_COUNT=1.  tests/fuzz/fuzz_virtq.c feeds the same.
 */
#include <criterion/criterion.h>

#include "tests/unit/pv_hostile.h"

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

Test(hostile, drivers, .timeout = 36000)
{
	uint64_t seed = setting("DISCO_SEED", 1), count = setting("DISCO_COUNT", 20000);
	struct hostile h;
	uint8_t data[1024];

	cr_assert(hostile_open(&h));
	for (uint64_t i = 0; i < count; i++) {
		uint64_t state = (seed + i) * 0xd1342543de82ef95u;
		size_t n = 16 + next(&state) % (sizeof(data) - 16);

		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)next(&state);
		hostile_run(&h, data, n);
	}
	if (count >= 10000) { /* it was no run into a closed door */
		cr_assert_gt(h.requests, count);
		cr_assert_gt(h.broken, count / 10);
		cr_assert_gt(h.good, count / 2000);
		cr_assert_gt(h.frames, count / 100);
		cr_assert_gt(net_count(h.net).rx_frames, count / 100);
		for (unsigned i = 0; i < h.n; i++)
			cr_assert_gt(h.dev[i].d->stats.requests, 100, "%s: %llu requests", h.dev[i].d->name,
				     (unsigned long long)h.dev[i].d->stats.requests);
	}
	cr_log_info("%llu inputs: %llu requests, %llu devices broken, %llu good requests", (unsigned long long)count,
		    (unsigned long long)h.requests, (unsigned long long)h.broken, (unsigned long long)h.good);
	hostile_close(&h);
}
