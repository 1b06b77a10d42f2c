/* SPDX-License-Identifier: MIT */
/* Split virtqueues, device side: well-formed chains of every shape, every way to break one, notifications both ways. */
#include <criterion/criterion.h>

#include "pv-drivers/virtio/virtq_chain.h"
#include "tests/unit/pv_guest.h"

enum { SIZE = 8, DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, DATA = 0x8000, TABLE = 0x4ff8 };

struct rig {
	struct virtio_device dev; /* must be first */
	struct pv_guest g;
	struct pv_driver q;
	unsigned notified, resets;
};

static void on_notify(struct virtio_device *d, unsigned queue)
{
	(void)queue;
	((struct rig *)d)->notified++;
}

static void on_reset(struct virtio_device *d) { ((struct rig *)d)->resets++; }
static void on_free(struct virtio_device *d) { (void)d; }
static const struct virtio_ops ops = {.notify = on_notify, .reset = on_reset, .free = on_free};

static void start(struct rig *r, uint64_t features)
{
	struct virtq *q = &r->dev.queue[0];

	virtio_reset(&r->dev);
	for (unsigned i = 0; i < r->g.pages; i++)
		memset(r->g.page[i], 0, PAGE_BYTES);
	virtio_set_status(&r->dev, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK,
			  features | VIRTIO_F_VERSION_1);
	q->size = SIZE;
	q->desc = gpa(DESC);
	q->avail = gpa(AVAIL);
	q->used = gpa(USED);
	virtio_enable_queue(&r->dev, 0);
	virtio_set_status(&r->dev, VIRTIO_DRIVER_OK, 0);
	r->q = (struct pv_driver){.g = &r->g, .desc = DESC, .avail = AVAIL, .used = USED, .size = SIZE};
	cr_assert(virtio_running(&r->dev));
}

/* Pages 0x10..0x13 are adjacent in the host. */
static struct rig *rig_new(uint64_t features)
{
	struct rig *r = calloc(1, sizeof(*r));

	pv_guest_init(&r->g, 64, 7ull << 17);
	virtio_device_init(&r->dev, "test", 42, 0, &ops);
	r->dev.n_queues = 2;
	r->dev.queue_max[0] = r->dev.queue_max[1] = 16;
	r->dev.host = pv_guest_host(&r->g, false);
	r->dev.said_broken = true; /* keep quiet */
	start(r, features);
	return r;
}

static void rig_free(struct rig *r)
{
	virtio_device_free(&r->dev);
	cr_assert_eq(r->g.outside, 0);
	pv_guest_free(&r->g);
	free(r);
}

static void desc(struct rig *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	pv_put_desc(&r->g, DESC, i, (struct pv_desc){addr, len, flags, next});
}

static struct virtq_chain *pop(struct rig *r)
{
	struct virtq_chain *c;

	r->dev.pops_left = VIRTIO_TURN_POPS;
	cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), 1);
	return c;
}

static void nothing(struct rig *r);
/* The used ring is aligned to 4 bytes, and its elements have 8. */
Test(virtq, a_used_element_lies_across_pages)
{
	struct rig *r = rig_new(0);
	uint32_t id, len;

	r->q.used = DATA + 0x2ff8;
	r->dev.queue[0].used = gpa(r->q.used);
	desc(r, 3, DATA, 8, PV_WRITE, 0);
	pv_offer(&r->q, 3);
	virtq_push(pop(r), 5);
	cr_assert_not(r->dev.queue[0].broken);
	cr_assert(pv_take(&r->q, &id, &len));
	cr_assert(id == 3 && len == 5);
	nothing(r);
	rig_free(r);
}

static void nothing(struct rig *r)
{
	struct virtq_chain *c;

	cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), 0);
	cr_assert_null(c);
}

Test(virtq, a_chain_is_what_the_driver_wrote_and_gets_what_the_device_writes)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *c;
	uint32_t id, len;
	char text[16] = {0};

	pv_guest_put(&r->g, DATA + 4090, "hello world", 11); /* across a page */
	desc(r, 3, DATA + 4090, 8, PV_NEXT, 5);
	desc(r, 5, DATA + 4098, 3, PV_NEXT, 0);
	desc(r, 0, DATA + 0x2ffe, 4, PV_NEXT | PV_WRITE, 7);
	desc(r, 7, DATA, 100, PV_WRITE, 1);
	nothing(r);
	pv_offer(&r->q, 3);
	c = pop(r);
	cr_assert_eq(c->head, 3);
	cr_assert_eq(c->out_bytes, 11);
	cr_assert_eq(c->in_bytes, 104);
	cr_assert_eq(r->dev.queue[0].in_flight, 1);
	cr_assert_eq(virtq_read(c, 0, text, sizeof(text)), 11);
	cr_assert_str_eq(text, "hello world");
	cr_assert_eq(virtq_read(c, 6, text, 3), 3);
	cr_assert_arr_eq(text, "wor", 3);
	cr_assert_eq(virtq_read(c, 11, text, 1), 0);
	cr_assert_eq(virtq_write(c, 2, "xyz", 3), 3);
	cr_assert_eq(virtq_write(c, 103, "12", 2), 1);
	r->g.written = 0;
	virtq_push(c, 5);
	cr_assert_eq(r->g.written, 5 + 8 + 2, "the data, an element, the index");
	pv_guest_get(&r->g, DATA + 0x3000, text, 2);
	cr_assert_arr_eq(text, "xy", 2);
	pv_guest_get(&r->g, DATA, text, 1);
	cr_assert_eq(text[0], 'z');
	cr_assert(pv_take(&r->q, &id, &len));
	cr_assert_eq(id, 3);
	cr_assert_eq(len, 5);
	cr_assert_not(pv_take(&r->q, &id, &len));
	cr_assert_eq(r->dev.queue[0].in_flight, 0);
	cr_assert_eq(r->dev.stats.requests, 1);
	cr_assert_eq(r->dev.stats.bytes_out, 11);
	cr_assert_eq(r->dev.stats.bytes_in, 5);
	rig_free(r);
}

Test(virtq, segments_split_at_pages_and_merge_where_the_host_is_contiguous)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *c;
	struct iovec v[4];

	/* four adjacent pages, then two that are not; then the same memory in two descriptors */
	desc(r, 0, 0x10000, 6 * PAGE_BYTES, PV_WRITE | PV_NEXT, 1);
	desc(r, 1, 0x10000, 8, PV_WRITE | PV_NEXT, 2);
	desc(r, 2, 0x10008, 0, PV_WRITE | PV_NEXT, 3); /* nothing */
	desc(r, 3, 0x10008, 8, PV_WRITE, 0);
	pv_offer(&r->q, 0);
	c = pop(r);
	cr_assert_eq(c->n_in, 4);
	cr_assert_eq(c->in[0].iov_len, 4 * PAGE_BYTES);
	cr_assert_eq(c->in[1].iov_len, PAGE_BYTES);
	cr_assert_eq(c->in[2].iov_len, PAGE_BYTES);
	cr_assert_eq(c->in[3].iov_len, 16);
	cr_assert_eq(c->n_ranges, 2, "guest memory is contiguous for longer");
	cr_assert_eq(c->ranges[0].bytes, 6 * PAGE_BYTES);
	cr_assert(virtq_uses(&r->dev.queue[0], r->g.page[0x14], 1, false));
	cr_assert_not(virtq_uses(&r->dev.queue[0], r->g.page[0x16], PAGE_BYTES, false));
	cr_assert_eq(iov_slice(c->in, c->n_in, 4 * PAGE_BYTES - 1, PAGE_BYTES + 2, v, 4), 3);
	cr_assert_eq(v[0].iov_len, 1);
	cr_assert_eq(v[1].iov_len, PAGE_BYTES);
	cr_assert_eq(v[2].iov_len, 1);
	cr_assert_eq(v[2].iov_base, r->g.page[0x15]);
	cr_assert_eq(iov_slice(c->in, c->n_in, 4 * PAGE_BYTES - 1, PAGE_BYTES + 2, v, 2), -E2BIG);
	cr_assert_eq(iov_slice(c->in, c->n_in, c->in_bytes, 1, v, 4), 0);
	virtq_drop(c);
	cr_assert_not(virtq_uses(&r->dev.queue[0], r->g.page[0x14], 1, false));
	rig_free(r);
}

/* More segments than the first room of a chain's vectors. */
Test(virtq, long_chains)
{
	struct rig *r = rig_new(VIRTIO_F_INDIRECT_DESC);
	struct virtq_chain *c;
	uint8_t buf[200];

	for (unsigned i = 0; i < 200; i++) {
		uint8_t b = (uint8_t)i;

		/* every second byte: nothing merges */
		pv_guest_put(&r->g, DATA + 2 * i, &b, 1);
		pv_put_desc(&r->g, TABLE, i, (struct pv_desc){DATA + 2 * i, 1, PV_NEXT, (uint16_t)(i + 1)});
		pv_put_desc(&r->g, TABLE, 200 + i,
			    (struct pv_desc){DATA + 0x1000 + 2 * i, 1, PV_WRITE | (i < 199 ? PV_NEXT : 0),
					     (uint16_t)(201 + i)});
	}
	desc(r, 0, TABLE, 400 * 16, PV_INDIRECT | PV_WRITE, 0); /* WRITE means nothing here */
	pv_offer(&r->q, 0);
	c = pop(r);
	cr_assert_eq(c->n_out, 200);
	cr_assert_eq(c->n_in, 200);
	cr_assert_eq(c->n_ranges, 200);
	cr_assert_eq(virtq_read(c, 0, buf, 200), 200);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(buf[i], i);
	cr_assert_eq(virtq_write(c, 0, buf, 200), 200);
	virtq_push(c, 200);
	for (unsigned i = 0; i < 200; i++) {
		pv_guest_get(&r->g, DATA + 0x1000 + 2 * i, buf, 1);
		cr_assert_eq(buf[0], i);
	}
	rig_free(r);
}

/* A chain may have all of the queue's descriptors (2.7.5.1), or of the longest indirect table; one more is a loop. */
Test(virtq, a_chain_of_exactly_the_queues_size)
{
	for (unsigned looped = 0; looped < 2; looped++) {
		struct rig *r = rig_new(0);
		struct virtq_chain *c;
		uint8_t buf[SIZE];

		for (unsigned i = 0; i < SIZE; i++) { /* in the order 7, 6 .. 0 */
			uint8_t b = (uint8_t)(10 + i);

			pv_guest_put(&r->g, DATA + 2 * i, &b, 1);
			desc(r, i, DATA + 2 * i, 1, i || looped ? PV_NEXT : 0, (uint16_t)(i ? i - 1 : SIZE - 1));
		}
		pv_offer(&r->q, SIZE - 1);
		if (looped) {
			cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), -EPROTO);
			rig_free(r);
			continue;
		}
		c = pop(r);
		cr_assert_eq(c->out_bytes, SIZE);
		cr_assert_eq(virtq_read(c, 0, buf, SIZE), SIZE);
		for (unsigned i = 0; i < SIZE; i++)
			cr_assert_eq(buf[i], 10 + SIZE - 1 - i);
		virtq_push(c, 0);
		cr_assert(virtio_running(&r->dev));
		rig_free(r);
	}
}

/* The table lies at 0x10000, the data at 0x20000. */
Test(virtq, an_indirect_table_of_the_most_entries)
{
	struct rig *r = rig_new(VIRTIO_F_INDIRECT_DESC);
	struct virtq_chain *c;

	for (unsigned i = 0; i < VIRTQ_MAX_TABLE; i++)
		pv_put_desc(&r->g, 0x10000, i,
			    (struct pv_desc){0x20000 + 2 * i, 1, PV_WRITE | (i + 1 < VIRTQ_MAX_TABLE ? PV_NEXT : 0),
					     (uint16_t)(i + 1)});
	desc(r, 0, 0x10000, VIRTQ_MAX_TABLE * 16, PV_INDIRECT, 0);
	pv_offer(&r->q, 0);
	c = pop(r);
	cr_assert_eq(c->in_bytes, VIRTQ_MAX_TABLE);
	cr_assert_eq(c->n_in, VIRTQ_MAX_TABLE);
	virtq_push(c, 0);
	rig_free(r);
}

Test(virtq, ordinary_descriptors_may_come_before_an_indirect_one)
{
	struct rig *r = rig_new(VIRTIO_F_INDIRECT_DESC);
	struct virtq_chain *c;

	pv_put_desc(&r->g, TABLE, 0, (struct pv_desc){DATA, 7, PV_NEXT, 1});
	pv_put_desc(&r->g, TABLE, 1, (struct pv_desc){DATA, 9, PV_WRITE, 0});
	desc(r, 0, DATA + 0x1000, 5, PV_NEXT, 1);
	desc(r, 1, TABLE, 32, PV_INDIRECT, 0);
	pv_offer(&r->q, 0);
	c = pop(r);
	cr_assert_eq(c->out_bytes, 12);
	cr_assert_eq(c->in_bytes, 9);
	virtq_push(c, 99); /* more than there is: what there is */
	cr_assert_eq(r->dev.stats.bytes_in, 9);
	rig_free(r);
}

/* What a hostile driver may write; each must break the queue, and nothing else. */
struct bad {
	const char *what;
	uint64_t features;
	struct pv_desc d[3];
	unsigned n_table; /* of d[1..] in TABLE instead */
	uint16_t head;
};

static const struct bad bad[] = {
    {"a head beyond the table", 0, {{DATA, 1, 0, 0}}, 0, SIZE},
    {"a next beyond the table", 0, {{DATA, 1, PV_NEXT, SIZE}}, 0, 0},
    {"a loop", 0, {{DATA, 1, PV_NEXT, 1}, {DATA, 1, PV_NEXT, 0}}, 0, 0},
    {"itself as next", 0, {{DATA, 1, PV_NEXT, 0}}, 0, 0},
    {"a buffer outside", 0, {{64 * PAGE_BYTES, 1, 0, 0}}, 0, 0},
    {"a buffer that leaves memory", 0, {{64 * PAGE_BYTES - 1, 2, 0, 0}}, 0, 0},
    {"a buffer that wraps around", 0, {{UINT64_MAX - 3, 8, PV_WRITE, 0}}, 0, 0},
    {"a buffer at the end of everything", 0, {{UINT64_MAX, 1, PV_WRITE, 0}}, 0, 0},
    {"read after write", 0, {{DATA, 1, PV_WRITE | PV_NEXT, 1}, {DATA, 1, 0, 0}}, 0, 0},
    {"too much", 0, {{0x10000, VIRTQ_MAX_BYTES + 1, 0, 0}}, 0, 0},
    {"4 GiB", 0, {{0x10000, UINT32_MAX, PV_WRITE, 0}}, 0, 0},
    {"indirect, not negotiated", 0, {{TABLE, 16, PV_INDIRECT, 0}, {DATA, 1, 0, 0}}, 1, 0},
    {"indirect with next", VIRTIO_F_INDIRECT_DESC, {{TABLE, 16, PV_INDIRECT | PV_NEXT, 0}, {DATA, 1, 0, 0}}, 1, 0},
    {"an empty table", VIRTIO_F_INDIRECT_DESC, {{TABLE, 0, PV_INDIRECT, 0}, {DATA, 1, 0, 0}}, 1, 0},
    {"half a table", VIRTIO_F_INDIRECT_DESC, {{TABLE, 24, PV_INDIRECT, 0}, {DATA, 1, 0, 0}}, 1, 0},
    {"a table too long", VIRTIO_F_INDIRECT_DESC, {{TABLE, 16 * 1025, PV_INDIRECT, 0}, {DATA, 1, 0, 0}}, 1, 0},
    {"a table outside", VIRTIO_F_INDIRECT_DESC, {{64 * PAGE_BYTES - 8, 16, PV_INDIRECT, 0}}, 0, 0},
    {"a table at the end", VIRTIO_F_INDIRECT_DESC, {{UINT64_MAX - 7, 16, PV_INDIRECT, 0}}, 0, 0},
    {"a table in a table", VIRTIO_F_INDIRECT_DESC, {{TABLE, 16, PV_INDIRECT, 0}, {TABLE, 16, PV_INDIRECT, 0}}, 1, 0},
    {"next beyond an indirect table",
     VIRTIO_F_INDIRECT_DESC,
     {{TABLE, 16, PV_INDIRECT, 0}, {DATA, 1, PV_NEXT, 1}},
     1,
     0},
    {"a loop in a table", VIRTIO_F_INDIRECT_DESC, {{TABLE, 16, PV_INDIRECT, 0}, {DATA, 1, PV_NEXT, 0}}, 1, 0},
};

Test(virtq, what_is_wrong_breaks_the_device_until_its_reset)
{
	struct rig *r = rig_new(0);
	struct virtq *q = &r->dev.queue[0];
	struct virtq_chain *c;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		const struct bad *b = &bad[i];

		start(r, b->features);
		for (unsigned k = 0; k < 3; k++)
			pv_put_desc(&r->g, k && b->n_table ? TABLE : DESC, k && b->n_table ? k - 1 : k, b->d[k]);
		pv_offer(&r->q, b->head);
		cr_assert_eq(virtq_pop(q, &c), -EPROTO, "%s", b->what);
		cr_assert_null(c);
		cr_assert(r->dev.status & VIRTIO_NEEDS_RESET, "%s", b->what);
		cr_assert_eq(r->dev.isr, VIRTIO_ISR_CONFIG, "%s", b->what);
		cr_assert(r->g.irq);
		cr_assert_eq(virtq_pop(q, &c), -EPROTO, "%s: for good", b->what);
		cr_assert_eq(q->in_flight, 0, "%s", b->what);
		virtio_notify(&r->dev, 0);
		cr_assert_eq(r->notified, 0, "a broken device is not notified");
	}
	rig_free(r);
}

Test(virtq, an_available_index_too_far_ahead)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *c;

	pv_guest_put16(&r->g, AVAIL + 2, SIZE + 1);
	cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), -EPROTO);
	start(r, 0);
	pv_guest_put16(&r->g, AVAIL + 2, 0xffff); /* backwards */
	cr_assert_not(virtq_has_work(&r->dev.queue[0]));
	cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), -EPROTO);
	rig_free(r);
}

Test(virtq, a_queue_is_checked_when_it_is_enabled)
{
	static const struct {
		uint16_t size;
		uint64_t desc, avail, used;
		bool good;
	} row[] = {
	    {8, DESC, AVAIL, USED, true},
	    {1, DESC, AVAIL, USED, true},
	    {16, DESC, AVAIL, USED, true},
	    {0, DESC, AVAIL, USED, false},
	    {32, DESC, AVAIL, USED, false},
	    {7, DESC, AVAIL, USED, false},
	    {8, DESC + 8, AVAIL, USED, false},
	    {8, DESC, AVAIL + 1, USED, false},
	    {8, DESC, AVAIL, USED + 2, false},
	    {8, DESC, AVAIL + 2, USED + 4, true},
	    {8, 64 * PAGE_BYTES, AVAIL, USED, false},
	    {8, 64 * PAGE_BYTES - 128, AVAIL, USED, true},
	    {8, 64 * PAGE_BYTES - 112, AVAIL, USED, false},
	    {8, DESC, UINT64_MAX - 1, USED, false},
	    {8, DESC, AVAIL, UINT64_MAX - 3, false},
	    {8, DESC, AVAIL, 64 * PAGE_BYTES - 72, true},
	    {8, DESC, AVAIL, 64 * PAGE_BYTES - 68, false},
	};
	struct rig *r = rig_new(0);

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		struct virtq *q = &r->dev.queue[1];

		start(r, 0);
		q->size = row[i].size;
		q->desc = gpa(row[i].desc);
		q->avail = gpa(row[i].avail);
		q->used = gpa(row[i].used);
		virtio_enable_queue(&r->dev, 1);
		cr_assert_eq(q->enabled, row[i].good, "row %u", i);
		cr_assert_eq(!(r->dev.status & VIRTIO_NEEDS_RESET), row[i].good, "row %u", i);
	}
	rig_free(r);
}

Test(virtq, machine_memory_exhausted_consumes_nothing)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *c;

	desc(r, 0, DATA, 10, 0, 0);
	pv_offer(&r->q, 0);
	r->g.no_memory = true;
	cr_assert_eq(virtq_pop(&r->dev.queue[0], &c), -ENOMEM);
	r->g.no_memory = false;
	c = pop(r);
	virtq_push(c, 0);
	cr_assert_not(r->dev.status & VIRTIO_NEEDS_RESET);
	rig_free(r);
}

Test(virtq, rewound_chains_come_again)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *a, *b;

	desc(r, 0, DATA, 10, 0, 0);
	desc(r, 1, DATA, 20, 0, 0);
	pv_offer(&r->q, 0);
	pv_offer(&r->q, 1);
	a = pop(r);
	b = pop(r);
	nothing(r);
	virtq_drop(b);
	virtq_rewind(&r->dev.queue[0], 1);
	b = pop(r);
	cr_assert_eq(b->out_bytes, 20);
	virtq_drop(b);
	virtq_drop(a);
	virtq_rewind(&r->dev.queue[0], 2);
	a = pop(r);
	cr_assert_eq(a->head, 0);
	virtq_push(a, 0);
	rig_free(r);
}

Test(virtq, several_filled_become_visible_at_once)
{
	struct rig *r = rig_new(0);
	struct virtq_chain *a, *b;
	uint32_t id, len;

	desc(r, 0, DATA, 10, PV_WRITE, 0);
	desc(r, 1, DATA, 20, PV_WRITE, 0);
	pv_offer(&r->q, 0);
	pv_offer(&r->q, 1);
	a = pop(r);
	b = pop(r);
	virtq_fill(b, 1, 0);
	virtq_fill(a, 2, 1);
	cr_assert_not(pv_take(&r->q, &id, &len));
	virtq_flush(&r->dev.queue[0], 2);
	cr_assert(pv_take(&r->q, &id, &len) && id == 1 && len == 1);
	cr_assert(pv_take(&r->q, &id, &len) && id == 0 && len == 2);
	rig_free(r);
}

/* One request there and back, n times around the ring. */
static void round_trips(struct rig *r, unsigned n)
{
	uint32_t id, len;

	for (unsigned i = 0; i < n; i++) {
		pv_offer(&r->q, (uint16_t)(i % SIZE));
		virtq_push(pop(r), 0);
		cr_assert(pv_take(&r->q, &id, &len) && id == i % SIZE);
	}
}

static bool signalled(struct rig *r)
{
	bool was;

	virtq_signal(&r->dev.queue[0]);
	was = r->dev.isr & VIRTIO_ISR_QUEUE;
	cr_assert_eq(was, r->g.irq);
	r->dev.isr = 0;
	r->g.irq = false;
	return was;
}

Test(virtq, indexes_wrap_around)
{
	struct rig *r = rig_new(VIRTIO_F_EVENT_IDX);

	round_trips(r, 70000);
	cr_assert_eq(r->dev.queue[0].used_next, (uint16_t)70000);
	rig_free(r);
}

Test(virtq, interrupts_by_flag)
{
	struct rig *r = rig_new(0);

	round_trips(r, 1);
	cr_assert(signalled(r));
	pv_guest_put16(&r->g, AVAIL, 1);
	round_trips(r, 1);
	cr_assert_not(signalled(r));
	pv_guest_put16(&r->g, AVAIL, 0xfffe); /* other bits mean nothing */
	round_trips(r, 1);
	cr_assert(signalled(r));
	rig_free(r);
}

Test(virtq, interrupts_by_event_index)
{
	struct rig *r = rig_new(VIRTIO_F_EVENT_IDX);

	pv_guest_put16(&r->g, AVAIL, 1); /* the flag means nothing */
	round_trips(r, 1);
	cr_assert(signalled(r), "the first is always told");
	pv_guest_put16(&r->g, pv_used_event_at(&r->q), 3);
	round_trips(r, 2);
	cr_assert_not(signalled(r), "not yet");
	round_trips(r, 1);
	cr_assert(signalled(r), "index 3 was used");
	round_trips(r, 5);
	cr_assert_not(signalled(r), "the driver has not asked again");
	pv_guest_put16(&r->g, pv_used_event_at(&r->q), 10);
	round_trips(r, 3);
	cr_assert(signalled(r), "passed in a batch");
	/* as far as the index goes without a signal: it cannot be told whether the event was passed */
	pv_guest_put16(&r->g, pv_used_event_at(&r->q), 11);
	round_trips(r, 65536 + 1);
	cr_assert(signalled(r));
	rig_free(r);
}

Test(virtq, notifications_by_flag)
{
	struct rig *r = rig_new(0);

	cr_assert_eq(pv_guest_get16(&r->g, USED), 0);
	virtq_set_notification(&r->dev.queue[0], false);
	cr_assert_eq(pv_guest_get16(&r->g, USED), 1);
	virtq_set_notification(&r->dev.queue[0], true);
	cr_assert_eq(pv_guest_get16(&r->g, USED), 0);
	rig_free(r);
}

Test(virtq, notifications_by_event_index)
{
	struct rig *r = rig_new(VIRTIO_F_EVENT_IDX);
	uint64_t event = pv_avail_event_at(&r->q);
	struct virtq_chain *a;

	cr_assert_eq(pv_guest_get16(&r->g, event), 0, "tell me of the first");
	pv_offer(&r->q, 0);
	pv_offer(&r->q, 1);
	a = pop(r);
	virtq_push(a, 0);
	cr_assert_eq(pv_guest_get16(&r->g, event), 0, "while there is work the driver is left alone");
	virtq_push(pop(r), 0);
	nothing(r);
	cr_assert_eq(pv_guest_get16(&r->g, event), 2, "and asked when there is none");
	virtq_set_notification(&r->dev.queue[0], false);
	pv_offer(&r->q, 2);
	virtq_push(pop(r), 0);
	nothing(r);
	cr_assert_eq(pv_guest_get16(&r->g, event), 2, "not wanted");
	virtq_set_notification(&r->dev.queue[0], true);
	cr_assert_eq(pv_guest_get16(&r->g, event), 3);
	rig_free(r);
}

Test(virtq, nothing_moves_before_driver_ok_or_after_a_reset)
{
	struct rig *r = rig_new(0);
	struct virtq *q = &r->dev.queue[0];
	struct virtq_chain *c;
	uint64_t written;

	desc(r, 0, DATA, 10, PV_WRITE, 0);
	pv_offer(&r->q, 0);
	c = pop(r);
	/* the driver says it has failed: the chain in flight ends without a trace in its memory but for the data */
	virtio_set_status(&r->dev, VIRTIO_FAILED, 0);
	cr_assert_not(virtio_running(&r->dev));
	written = r->g.written;
	virtq_push(c, 0);
	virtq_signal(q);
	cr_assert_eq(r->g.written, written);
	cr_assert_eq(pv_guest_get16(&r->g, USED + 2), 0);
	cr_assert_eq(r->dev.isr, 0);
	pv_offer(&r->q, 0);
	nothing(r);
	virtio_reset(&r->dev);
	cr_assert_not(q->enabled);
	nothing(r);
	cr_assert_not(virtq_has_work(q));
	rig_free(r);
}

/* A driver whose requests make more requests: the device's turn ends, and the next one comes by itself. */
Test(virtq, a_turn_has_an_end)
{
	struct rig *r = rig_new(0);
	struct virtq *q = &r->dev.queue[0];
	struct virtq_chain *c;
	unsigned n = 0;

	desc(r, 0, DATA, 1, 0, 0);
	pv_offer(&r->q, 0);
	virtio_notify(&r->dev, 0);
	for (; n < 100000 && virtq_pop(q, &c) == 1; n++) {
		virtq_push(c, 0);
		pv_offer(&r->q, 0);
	}
	cr_assert_eq(n, VIRTIO_TURN_POPS);
	cr_assert_eq(r->g.wakes, 1);
	cr_assert_eq(virtq_pop(q, &c), 0);
	cr_assert_eq(r->g.wakes, 1, "asked for once");
	cr_assert_eq(r->notified, 1);
	cr_assert(virtio_poll(&r->dev));
	cr_assert_eq(r->notified, 2, "as if the driver had notified again");
	cr_assert_eq(r->dev.stats.notifies, 1);
	virtq_push(pop(r), 0);
	nothing(r);
	cr_assert_not(virtio_poll(&r->dev));
	rig_free(r);
}
