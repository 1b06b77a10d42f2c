/* SPDX-License-Identifier: MIT */
#ifndef VMM_MACHINE_DEVICES_H
#define VMM_MACHINE_DEVICES_H

/*
 * The devices of `disco run`: what is behind them (disks, cables, terminals) is opened once; the devices themselves are made
 * anew for each boot of the machine, as a power cycle would.
 */
#include "base/panic.h"
#include "base/types.h"

struct run_options;
struct guest_devices;
struct agent;
struct monitor;
struct net;
struct region;
struct vm;
struct wakeup;

/* 0, or -errno, said on standard error with the option that it is about. opt and mon outlive it. */
MUST_CHECK int guest_devices_open(struct guest_devices **out, const struct run_options *opt, struct monitor *mon,
				  struct wakeup *w);
/* The cable of the i-th network card, if it is a tape (pv-drivers/net/net_tape.h): --record, --replay; else NULL. */
struct net *guest_devices_tape(const struct guest_devices *m, unsigned i);
/* [*n]: the regions that the machine may use, as vm_config.region. */
struct region *const *guest_devices_regions(const struct guest_devices *m, unsigned *n);
/* Write what disks still hold. Any thread, also while requests are served. */
void guest_devices_flush(struct guest_devices *m);
/* 0 or -errno of a disk whose last writes the host did not take (said). NULL is fine. */
int guest_devices_close(struct guest_devices *m);
/*
 * Put them onto a machine's bus, in the order in which the guest is to find them: disks (vda, ...), network cards (eth0,
 * ...), the agent's console if there is an agent, terminals, shared folders, entropy, balloon.  0 or -errno, said.
 */
MUST_CHECK int guest_devices_plug(struct guest_devices *m, struct vm *vm, struct agent *agent);
/* Move terminals' bytes. vCPU thread. */
void guest_devices_poll(struct guest_devices *m);
/* The machine is about to be freed, and its devices with it. */
void guest_devices_unplug(struct guest_devices *m);

#endif
