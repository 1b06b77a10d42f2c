/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_SWITCH_H
#define PV_DRIVERS_NET_SWITCH_H

/*
 * The switch of a monitor: the Ethernets ("lans", --net lan=NAME) that join its machines.  One is there as long as a card is on
 * it.  Any thread.
 */
#include "base/types.h"

struct net_switch;
struct machine_memory;

/* memory: of the machines, which lend each other pages of it if it shares any; or NULL.  0 or -ENOMEM. */
MUST_CHECK int net_switch_new(struct net_switch **out, struct machine_memory *memory);
/* Memory that is shared, or NULL. */
struct machine_memory *net_switch_memory(const struct net_switch *sw);
/* Every cable to it must be closed. NULL is fine. */
void net_switch_free(struct net_switch *sw);

#endif
