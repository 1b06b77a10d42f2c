/* SPDX-License-Identifier: MIT */
/*
 * The balloon by its rings: what goes back to the host, page by page, and what must not: the borders of a reported range that
 * is not made of whole pages, the pages of a guest that poisons, anything outside of poll().
 */
#include <criterion/criterion.h>

#include "pv-drivers/virtio/devices.h"
#include "tests/unit/pv_ring.h"

enum { MiB = 1 << 20, RAM = 16 * MiB, FREE = 4 * MiB /* pages that the driver gives up lie above */ };
enum { INFLATE, DEFLATE };
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_POISON = 12 };

#define F_STATS     (1ull << 1)
#define F_POISON    (1ull << 4)
#define F_REPORTING (1ull << 5)

static struct ring_rig rig;
static bool released[RAM >> PAGE_SHIFT];
static unsigned runs; /* calls of release() */
static bool polling;

static void on_release(void *opaque, struct gpa pa, uint64_t bytes)
{
	cr_assert(polling, "translated code may have the address");
	cr_assert(pa.v % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0 && bytes, "%#llx, %#llx bytes",
		  (unsigned long long)pa.v, (unsigned long long)bytes);
	runs++;
	for (uint64_t at = pa.v; at < pa.v + bytes; at += PAGE_BYTES)
		if (at < RAM)
			released[at >> PAGE_SHIFT] = true;
}

static void start(uint64_t features)
{
	struct virtio_device *d;

	cr_assert_eq(virtio_balloon_new(&d, RAM), 0);
	ring_init(&rig, d, RAM, false);
	d->host.release = on_release;
	ring_start(&rig, features & ~VIRTIO_F_EVENT_IDX);
	cr_assert(virtio_running(d));
	memset(released, 0, sizeof(released));
	runs = 0;
}

static bool poll_it(void)
{
	bool did;

	polling = true;
	did = virtio_poll(rig.d);
	polling = false;
	return did;
}

static void serve(unsigned queue)
{
	uint32_t id, bytes;

	ring_kick(&rig, queue);
	cr_assert_not(ring_used(&rig, queue, &id, &bytes), "not before poll()");
	for (unsigned turns = 0; !ring_used(&rig, queue, &id, &bytes); turns++)
		cr_assert(poll_it() && turns < 1000, "the device does not answer");
}

/* Exactly the pages of [from, to) are released. */
static void expect_released(uint64_t from, uint64_t to)
{
	for (uint64_t at = 0; at < RAM; at += PAGE_BYTES)
		cr_assert_eq(released[at >> PAGE_SHIFT], at >= from && at < to, "the page at %#llx",
			     (unsigned long long)at);
}

static void give_pages(unsigned queue, const uint32_t *pfn, unsigned n)
{
	struct ring_buf out = {ring_alloc(&rig, n * 4), n * 4};

	memcpy(rig.mem + out.pa, pfn, out.bytes);
	ring_add(&rig, queue, &out, 1, NULL, 0);
	serve(queue);
}

Test(pv_balloon, inflated_pages_go_back_in_runs)
{
	uint32_t pfn[64];

	start(0);
	for (unsigned i = 0; i < 64; i++) /* as drivers do: every page once, in no order; one twice */
		pfn[i] = (FREE >> PAGE_SHIFT) + (i * 37 + 5) % 63;
	give_pages(INFLATE, pfn, 64);
	expect_released(FREE, FREE + 63 * PAGE_BYTES);
	cr_assert_eq(runs, 1);
	memset(released, 0, sizeof(released));
	give_pages(DEFLATE, pfn, 64);
	expect_released(0, 0);
	pfn[0] = 0xffffffff; /* outside of memory: the monitor passes over it */
	give_pages(INFLATE, pfn, 1);
	expect_released(0, 0);
	cr_assert(virtio_running(rig.d));
	ring_free(&rig);
}

/* Queues that are not negotiated do not count: reporting is the third or the fourth. */
static unsigned report_queue(uint64_t features) { return features & F_STATS ? 3 : 2; }

static void report(uint64_t features, const struct ring_buf *in, unsigned n)
{
	ring_add(&rig, report_queue(features), NULL, 0, in, n);
	serve(report_queue(features));
}

Test(pv_balloon, reported_pages_go_back)
{
	static const uint64_t features[] = {F_REPORTING, F_REPORTING | F_STATS};

	for (unsigned i = 0; i < 2; i++) {
		struct ring_buf in[3] = {{FREE, 4 * PAGE_BYTES}, {FREE + 4 * PAGE_BYTES, PAGE_BYTES}, {8 * MiB, MiB}};

		start(features[i]);
		report(features[i], in, 2);
		expect_released(FREE, FREE + 5 * PAGE_BYTES);
		cr_assert_eq(runs, 1, "adjacent buffers are one range");
		memset(released, 0, sizeof(released));
		report(features[i], in + 2, 1);
		expect_released(8 * MiB, 9 * MiB);
		ring_free(&rig);
	}
}

static bool is_memory(void *opaque, struct gpa pa, uint64_t bytes)
{
	(void)opaque;
	return pa.v <= RAM && bytes <= RAM - pa.v;
}

static uint8_t *map_no_free_page(void *opaque, struct gpa pa, uint64_t *bytes, bool write, int *err)
{
	cr_assert_lt(pa.v + *bytes, FREE, "a page that is given up would be touched first");
	return ring_map(opaque, pa, bytes, write, err);
}

/* A kernel that has booted reports pages by the ten thousand that it has never written to: none is to be there after it. */
Test(pv_balloon, reported_pages_are_not_touched)
{
	static const struct virtio_share share = {.is_memory = is_memory};
	struct ring_buf in[2] = {{FREE, 4 * PAGE_BYTES}, {8 * MiB, MiB}}, outside = {RAM - PAGE_BYTES, 2 * PAGE_BYTES};
	struct virtio_device *d;

	cr_assert_eq(virtio_balloon_new(&d, RAM), 0);
	ring_init(&rig, d, RAM, false);
	d->host.release = on_release;
	d->host.share = &share;
	d->host.map = map_no_free_page;
	ring_start(&rig, F_REPORTING | F_STATS);
	report(F_REPORTING | F_STATS, in, 1);
	expect_released(FREE, FREE + 4 * PAGE_BYTES);
	memset(released, 0, sizeof(released));
	report(F_REPORTING | F_STATS, in + 1, 1);
	expect_released(8 * MiB, 9 * MiB);
	/* and what is no memory breaks the device, as ever */
	ring_add(&rig, report_queue(F_REPORTING | F_STATS), NULL, 0, &outside, 1);
	ring_kick(&rig, report_queue(F_REPORTING | F_STATS));
	poll_it();
	cr_expect_not(virtio_running(rig.d));
	ring_free(&rig);
}

/* Every start and length around pages: only what is free as a whole may go. */
Test(pv_balloon, a_reported_range_shrinks_to_whole_pages)
{
	static const int64_t edge[] = {-(int64_t)PAGE_BYTES, 1 - (int64_t)PAGE_BYTES, -4, -1, 0, 1, 16, PAGE_BYTES - 1};

	for (unsigned i = 0; i < ARRAY_LEN(edge); i++) {
		for (unsigned k = 0; k < ARRAY_LEN(edge); k++) {
			uint64_t from = (uint64_t)(FREE + edge[i]), to = (uint64_t)(FREE + 3 * PAGE_BYTES + edge[k]);
			uint64_t first = (from + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
			uint64_t last = to / PAGE_BYTES * PAGE_BYTES;
			struct ring_buf in = {from, (uint32_t)(to - from)};

			start(F_REPORTING);
			report(F_REPORTING, &in, 1);
			expect_released(first, last);
			ring_free(&rig);
		}
	}
}

/* Less than a page, whether it crosses a border or not: nothing. */
Test(pv_balloon, a_range_without_a_whole_page_is_nothing)
{
	static const struct ring_buf in[] = {{FREE, PAGE_BYTES - 1},
					     {FREE + 1, PAGE_BYTES - 1},
					     {FREE + 1, 1},
					     {FREE - 100, 200},
					     {FREE + 1, 2 * PAGE_BYTES - 2}};

	for (unsigned i = 0; i < ARRAY_LEN(in); i++) {
		start(F_REPORTING);
		report(F_REPORTING, &in[i], 1);
		expect_released(0, 0);
		cr_assert_eq(runs, 0);
		ring_free(&rig);
	}
}

/* A guest that fills its free pages with a value looks for it when it takes one again: zeroes would not do (5.5.6.7). */
Test(pv_balloon, poisoned_pages_stay)
{
	struct ring_buf in = {FREE, 4 * PAGE_BYTES};

	for (unsigned i = 0; i < 3; i++) {
		uint64_t features = F_REPORTING | (i ? F_POISON : 0);

		start(features);
		if (i != 1)
			rig.d->config[CONFIG_POISON + 1] = 0xaa;
		report(features, &in, 1);
		expect_released(FREE, i == 2 ? FREE : FREE + 4 * PAGE_BYTES);
		virtio_reset(rig.d);
		cr_assert_eq(rig.d->config[CONFIG_POISON + 1], 0, "the next driver may not poison");
		ring_free(&rig);
	}
}

/* A hostile driver's long lists do not keep the vCPU: the rest comes in the next turn, and comes. */
Test(pv_balloon, long_lists_take_several_turns)
{
	enum { LISTS = 4, PAGES = 30000 };
	struct ring_buf out = {0, PAGES * 4};
	uint32_t id, bytes, pfn;
	unsigned done = 0, turns = 0;

	start(0);
	out.pa = ring_alloc(&rig, out.bytes);
	for (unsigned i = 0; i < PAGES; i++) {
		pfn = (FREE >> PAGE_SHIFT) + i % 16;
		memcpy(rig.mem + out.pa + 4 * i, &pfn, 4);
	}
	for (unsigned i = 0; i < LISTS; i++)
		ring_add(&rig, INFLATE, &out, 1, NULL, 0);
	ring_kick(&rig, INFLATE);
	while (poll_it()) {
		turns++;
		while (ring_used(&rig, INFLATE, &id, &bytes))
			done++;
		cr_assert_leq(done, 3 * turns, "a turn has an end");
	}
	cr_assert_eq(done, LISTS);
	cr_assert_gt(turns, 1);
	expect_released(FREE, FREE + 16 * PAGE_BYTES);
	ring_free(&rig);
}

Test(pv_balloon, target_and_actual)
{
	uint32_t v;

	start(0);
	rig.d->isr = 0;
	virtio_balloon_set_target(rig.d, 1000);
	memcpy(&v, rig.d->config + CONFIG_NUM_PAGES, 4);
	cr_assert_eq(v, 1000);
	cr_assert_eq(rig.d->isr, VIRTIO_ISR_CONFIG);
	virtio_balloon_set_target(rig.d, UINT32_MAX);
	memcpy(&v, rig.d->config + CONFIG_NUM_PAGES, 4);
	cr_assert_eq(v, RAM >> PAGE_SHIFT, "not more than there is");
	v = 77; /* the driver writes it */
	memcpy(rig.d->config + CONFIG_ACTUAL, &v, 4);
	cr_assert_eq(virtio_balloon_actual(rig.d), 77);
	cr_assert(rig.d->config_writable[CONFIG_ACTUAL] == 0xff && !rig.d->config_writable[CONFIG_NUM_PAGES]);
	virtio_reset(rig.d);
	cr_assert_eq(virtio_balloon_actual(rig.d), 0);
	ring_free(&rig);
}

Test(pv_balloon, statistics)
{
	/* le16 tag, le64 value; one that nobody knows; half a row */
	static const uint8_t rows[] = {5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 99, 0, 1, 1, 1, 1, 1,
				       1, 1, 1, 4, 0, 9, 0, 0, 0, 0, 0,  0, 0, 0, 0, 1};
	struct ring_buf out;
	uint64_t v;
	uint32_t id, bytes;

	start(F_STATS);
	out = (struct ring_buf){ring_alloc(&rig, sizeof(rows)), sizeof(rows)};
	memcpy(rig.mem + out.pa, rows, sizeof(rows));
	cr_assert_not(virtio_balloon_stat(rig.d, VIRTIO_BALLOON_TOTAL, &v));
	ring_add(&rig, 2, &out, 1, NULL, 0);
	ring_kick(&rig, 2);
	cr_assert(poll_it());
	cr_assert(virtio_balloon_stat(rig.d, VIRTIO_BALLOON_TOTAL, &v));
	cr_assert_eq(v, 0x0807060504030201);
	cr_assert(virtio_balloon_stat(rig.d, VIRTIO_BALLOON_FREE, &v));
	cr_assert_eq(v, 9);
	cr_assert_not(virtio_balloon_stat(rig.d, VIRTIO_BALLOON_SWAP_IN, &v));
	cr_assert_not(ring_used(&rig, 2, &id, &bytes), "kept until fresh ones are wanted");
	virtio_balloon_refresh_stats(rig.d);
	cr_assert(ring_used(&rig, 2, &id, &bytes));
	virtio_balloon_refresh_stats(rig.d); /* nothing is there to be given back */
	cr_assert_not(ring_used(&rig, 2, &id, &bytes));
	ring_free(&rig);
}
