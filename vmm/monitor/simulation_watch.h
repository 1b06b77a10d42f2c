/* SPDX-License-Identifier: MIT */
#ifndef VMM_SIMULATION_WATCH_H
#define VMM_SIMULATION_WATCH_H

/* What a simulation (simulation.h) does about pages, and how its nodes stand, told to numa/watch.h. */
struct monitor;

/* mon has its simulation and its watch. Before anything runs. */
void simulation_watch(struct monitor *mon);
/* How the nodes stand now.  The last machine does not run any more, and its memory is still there. */
void simulation_watch_end(struct monitor *mon);

#endif
