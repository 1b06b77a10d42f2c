/* SPDX-License-Identifier: MIT */
#include "pv-drivers/virtio/virtio.h"

#include <errno.h>
#include <stdio.h>

#include "pv-drivers/virtio/virtq_chain.h"

#define GENERIC_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)
#define DRIVER_BITS      (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | VIRTIO_FAILED)

void virtio_device_init(struct virtio_device *d, const char *name, uint16_t id, uint64_t features,
			const struct virtio_ops *ops)
{
	*d = (struct virtio_device){
	    .name = name,
	    .id = id,
	    .features_offered = features | GENERIC_FEATURES,
	    .request_max_bytes = VIRTQ_MAX_BYTES,
	    .ops = ops,
	};
}

void virtio_device_free(struct virtio_device *d)
{
	if (!d)
		return;
	d->ops->reset(d);
	d->ops->free(d);
}

/* ---- interrupts ---- */

void virtio_interrupt(struct virtio_device *d, uint8_t reason)
{
	if (!d->isr)
		d->stats.interrupts++;
	d->isr |= reason;
	d->host.set_irq(d->host.opaque, true);
}

void virtio_config_changed(struct virtio_device *d)
{
	d->config_generation++;
	if (virtio_running(d))
		virtio_interrupt(d, VIRTIO_ISR_CONFIG);
}

void virtio_break(struct virtio_device *d, const char *why)
{
	bool was_running = virtio_running(d);
	char line[512];

	/* A hostile driver could have the line again and again: once is enough. */
	if (!d->said_broken && d->host.report) {
		snprintf(line, sizeof(line), "%.300s: %s; stopped until its driver resets it", d->name, why);
		d->host.report(d->host.opaque, line);
	}
	d->said_broken = true;
	d->status |= VIRTIO_NEEDS_RESET;
	if (was_running) /* 2.1.2: no notification before DRIVER_OK */
		virtio_interrupt(d, VIRTIO_ISR_CONFIG);
}

/* ---- life ---- */

void virtio_reset(struct virtio_device *d)
{
	d->ops->reset(d);
	d->status = 0;
	d->features = 0;
	d->isr = 0;
	d->again = 0;
	d->pops_left = VIRTIO_TURN_POPS;
	__atomic_store_n(&d->woken, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < d->n_queues; i++)
		virtq_reset(&d->queue[i], d, i);
	d->host.set_irq(d->host.opaque, false);
}

/* 3.1.1, step 5 and 6; 2.2.2: a device must not accept a subset that it cannot work with. */
static void accept_features(struct virtio_device *d, uint64_t wanted)
{
	if (wanted & ~d->features_offered || !(wanted & VIRTIO_F_VERSION_1))
		return;
	d->features = wanted;
	d->status |= VIRTIO_FEATURES_OK;
}

static void start(struct virtio_device *d)
{
	if (!(d->status & VIRTIO_FEATURES_OK)) {
		virtio_break(d, "its driver set DRIVER_OK without FEATURES_OK");
		return;
	}
	d->status |= VIRTIO_DRIVER_OK;
	for (unsigned i = 0; i < d->n_queues; i++)
		virtq_activate(&d->queue[i]);
	if (virtio_running(d) && d->ops->activate)
		d->ops->activate(d);
}

void virtio_set_status(struct virtio_device *d, uint8_t status, uint64_t wanted)
{
	uint8_t new = status &DRIVER_BITS &(uint8_t)~d->status;

	if (!status) {
		virtio_reset(d);
		return;
	}
	/* Bits stay until the reset (2.1.1). */
	d->status |= new &(uint8_t) ~(VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
	if (new &VIRTIO_FEATURES_OK)
		accept_features(d, wanted);
	if (new &VIRTIO_DRIVER_OK)
		start(d);
}

void virtio_enable_queue(struct virtio_device *d, unsigned n)
{
	struct virtq *q = &d->queue[n];

	if (q->enabled)
		return;
	switch (virtq_check(q)) {
	case 0:
		q->enabled = true;
		if (virtio_running(
			d)) /* late, which the protocol does not forbid for what the device can ignore till then */
			virtq_activate(q);
		return;
	case -EINVAL:
		virtio_break(d, "a queue of a wrong size or alignment");
		return;
	case -ENOMEM:
		return; /* the machine ends */
	default:
		virtio_break(d, "a queue outside of memory");
	}
}

static void begin_turn(struct virtio_device *d) { d->pops_left = VIRTIO_TURN_POPS; }

bool virtio_may_pop(struct virtq *q)
{
	struct virtio_device *d = q->dev;

	if (d->pops_left) {
		d->pops_left--;
		return true;
	}
	if (!(d->again >> q->index & 1)) {
		d->again |= 1u << q->index;
		virtio_wake(d);
	}
	return false;
}

void virtio_notify(struct virtio_device *d, unsigned queue)
{
	if (queue >= d->n_queues || !d->queue[queue].enabled || !virtio_running(d))
		return;
	d->stats.notifies++;
	begin_turn(d);
	d->ops->notify(d, queue);
}

/* ---- other threads, and waiting for them ---- */

void virtio_wake(struct virtio_device *d)
{
	__atomic_store_n(&d->woken, 1, __ATOMIC_RELEASE);
	d->host.wake(d->host.opaque);
}

bool virtio_poll(struct virtio_device *d)
{
	uint32_t again;

	if (!__atomic_load_n(&d->woken, __ATOMIC_RELAXED) || !__atomic_exchange_n(&d->woken, 0, __ATOMIC_ACQ_REL))
		return false;
	begin_turn(d);
	again = d->again;
	d->again = 0;
	if (d->ops->poll)
		d->ops->poll(d);
	for (unsigned i = 0; i < d->n_queues; i++)
		if (again >> i & 1 && d->queue[i].enabled && virtio_running(d))
			d->ops->notify(d, i);
	return true;
}

void virtio_pause(struct virtio_device *d, bool on)
{
	if (d->paused == on || !d->host.pause)
		return;
	d->paused = on;
	d->host.pause(d->host.opaque, on);
}

void virtio_retry(struct virtio_device *d)
{
	if (!d->paused)
		return;
	begin_turn(d);
	d->ops->retry(d);
}

bool virtio_uses(const struct virtio_device *d, const uint8_t *host, uint64_t bytes, bool written)
{
	for (unsigned i = 0; i < d->n_queues; i++)
		if (virtq_uses(&d->queue[i], host, bytes, written))
			return true;
	return false;
}
