/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "pv-drivers/virtio/devices.h"

/*
 * Entropy device (virtio 1.2, 5.4): fills whatever buffer comes.  A request gets at most RNG_MAX_BYTES, which 5.4.6.1
 * allows ("one or more random bytes"), so that a guest cannot keep the monitor busy with one.
 */
enum { RNG_QUEUE = 0, RNG_QUEUE_SIZE = 64, RNG_MAX_BYTES = 4096 };

struct rng {
	struct virtio_device dev; /* must be first */
	uint64_t state;           /* of the generator that repeatable runs use */
};

/* splitmix64: any state will do, and the sequence is the same on every host. */
static uint64_t next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void generate(struct rng *r, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(next(r) >> 56);
}

/* How many bytes the host gave: all, but for an old host that has no getrandom(2). */
static size_t from_host(uint8_t *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = getrandom(to + done, n - done, 0);

		if (got < 0 && errno != EINTR)
			break;
		done += got > 0 ? (size_t)got : 0;
	}
	return done;
}

static uint64_t fill(struct rng *r, const struct virtq_chain *c)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < c->n_in && done < RNG_MAX_BYTES; i++) {
		size_t want = c->in[i].iov_len < RNG_MAX_BYTES - done ? c->in[i].iov_len : RNG_MAX_BYTES - done;
		size_t got = want;

		if (r->dev.host.synchronous)
			generate(r, c->in[i].iov_base, want);
		else
			got = from_host(c->in[i].iov_base, want);
		done += got;
		if (got < want)
			break;
	}
	return done;
}

static void notify(struct virtio_device *d, unsigned queue)
{
	struct rng *r = (struct rng *)d;
	struct virtq *q = &d->queue[queue];
	struct virtq_chain *c;

	while (virtq_pop(q, &c) == 1)
		virtq_push(c, fill(r, c));
	virtq_signal(q);
}

static void reset(struct virtio_device *d) { (void)d; }

/* The host's entropy does not come a second time. */
static bool savable(const struct virtio_device *d) { return d->host.synchronous; }

static void save(const struct virtio_device *d, void *state)
{
	memcpy(state, &((const struct rng *)d)->state, sizeof(uint64_t));
}

static void restore(struct virtio_device *d, const void *state)
{
	memcpy(&((struct rng *)d)->state, state, sizeof(uint64_t));
}

static const struct virtio_ops rng_ops = {.notify = notify,
					  .reset = reset,
					  .savable = savable,
					  .state_bytes = sizeof(uint64_t),
					  .save = save,
					  .restore = restore,
					  .free = (void (*)(struct virtio_device *))free};

int virtio_rng_new(struct virtio_device **out)
{
	struct rng *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r)
		return -ENOMEM;
	virtio_device_init(&r->dev, "rng", VIRTIO_ID_RNG, 0, &rng_ops);
	r->dev.n_queues = 1;
	r->dev.queue_max[RNG_QUEUE] = RNG_QUEUE_SIZE;
	*out = &r->dev;
	return 0;
}
