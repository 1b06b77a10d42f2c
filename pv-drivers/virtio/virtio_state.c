/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "pv-drivers/virtio/virtio.h"

/* A device's state, to be gone back to: what struct virtio_device has of it, config[], and what the device adds. */

struct common_state {
	uint8_t status, isr, config_generation;
	bool said_broken;
	int woken;
	unsigned pops_left;
	uint32_t again;
	uint64_t features;
	struct virtq queue[VIRTIO_MAX_QUEUES];
};

bool virtio_savable(const struct virtio_device *d) { return d->ops->savable && d->ops->savable(d); }

size_t virtio_state_bytes(const struct virtio_device *d)
{
	return (sizeof(struct common_state) + d->config_bytes + d->ops->state_bytes + 7) & ~(size_t)7;
}

bool virtio_save(const struct virtio_device *d, void *state)
{
	struct common_state *s = state;
	uint8_t *rest = (uint8_t *)(s + 1);

	for (unsigned i = 0; i < d->n_queues; i++)
		if (d->queue[i].first_in_flight || d->queue[i].in_flight)
			return false;
	if (d->paused)
		return false;
	*s = (struct common_state){.status = d->status,
				   .isr = d->isr,
				   .config_generation = d->config_generation,
				   .said_broken = d->said_broken,
				   .woken = __atomic_load_n(&d->woken, __ATOMIC_ACQUIRE),
				   .pops_left = d->pops_left,
				   .again = d->again,
				   .features = d->features};
	memcpy(s->queue, d->queue, sizeof(s->queue));
	if (d->config_bytes)
		memcpy(rest, d->config, d->config_bytes);
	if (d->ops->save)
		d->ops->save(d, rest + d->config_bytes);
	return true;
}

void virtio_restore(struct virtio_device *d, const void *state)
{
	const struct common_state *s = state;
	const uint8_t *rest = (const uint8_t *)(s + 1);

	d->status = s->status;
	d->isr = s->isr;
	d->config_generation = s->config_generation;
	d->said_broken = s->said_broken;
	__atomic_store_n(&d->woken, s->woken, __ATOMIC_RELEASE);
	d->pops_left = s->pops_left;
	d->again = s->again;
	d->features = s->features;
	memcpy(d->queue, s->queue, sizeof(d->queue));
	if (d->config_bytes)
		memcpy(d->config, rest, d->config_bytes);
	if (d->ops->restore)
		d->ops->restore(d, rest + d->config_bytes);
}
