/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_TAPE_H
#define PV_DRIVERS_NET_TAPE_H

/*
 * A cable of a repeatable machine (--icount), whose frames are recorded, or come from a recording: between the card and the cable that
 * leads to the host.
 *
 *     cable ── ring, any time ──► net_tape_take(), at a moment that is noted ──► ring of the tape ──► card
 *     recording ────────────────► net_tape_put(), at that moment ─────────────►
 *
 * So it depends on the moments alone when the card finds what.  What the card sends is taken at once: what the cable has no room for is lost, as on a full
 * switch, since the guest could see it wait.  vCPU thread, but for where it says otherwise.
 */
#include "pv-drivers/net/net_cable.h"

enum { NET_TAPE_BYTES = sizeof(struct net_hdr) + NET_MAX_FRAME_BYTES };

/*
 * inner: the cable, the tape's from here on if this succeeds; NULL: there is none, what is sent is lost.  kick: something has come from it, net_tape_take() is
 * to be called soon; any thread.  0 or -errno.
 */
MUST_CHECK int net_tape_new(struct net **out, const struct net_config *cfg, struct net *inner,
			    void (*kick)(void *opaque), void *opaque);
/*
 * The next frame of the cable, which is the card's from now on: its header and its bytes, to be noted.  How many bytes; 0: none has come, or there is no
 * room for it yet.
 */
size_t net_tape_take(struct net *tape, uint8_t out[NET_TAPE_BYTES]);
/* One that was noted. False: there is no room, or it is none. */
MUST_CHECK bool net_tape_put(struct net *tape, const uint8_t *frame, size_t bytes);

#endif
