/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_RUN_INTERNAL_H
#define VMM_CLI_RUN_INTERNAL_H

/* What the files of `disco run` share: run.c boots machines, run_stop.c ends them from outside, run_stats.c writes --stats,
 * run_load.c is the boot monitor. */
#include <pthread.h>

#include "vmm/board/mc146818.h"
#include "vmm/boot/panic_watch.h"
#include "vmm/cli/options.h"
#include "vmm/host/console_tail.h"

struct agent;
struct console;
struct guest_devices;
struct stop;
struct vm;
struct wakeup;

struct run {
	const struct run_options *opt;
	bool hidden;       /* nobody sees the guest's console (yet) */
	bool exit_at_once; /* jit_abandon() */
	struct console_tail tail;
	struct panic_watch panic;
	bool mid_line; /* the guest's last output was not the end of a line */
	bool warned;   /* of little memory */
	bool spoke;    /* atomic: the user has seen something of the guest's */
	struct wakeup *wakeup;
	struct stop *stop;
	bool want_stats; /* atomic: SIGUSR1 came */

	/* Set and cleared by the run's thread with `lock`, so that stop's may use them with it. */
	pthread_mutex_t lock;
	struct console *console; /* NULL: standard input and output are a command's */
	struct agent *agent;     /* or NULL */
	struct monitor *monitor; /* outlives resets */
	struct vm *vm;
	struct guest_devices *devices;

	char *append;                    /* of --append and what is known now; or NULL: only --append */
	FILE *stats;                     /* --stats=FILE */
	uint64_t date_ns;                /* --icount: when the next boot begins */
	struct mc146818_battery battery; /* what outlives a reset on the board */
};

/* ---- run_load.c ---- */
/* Kernel, initrd and argument block into RAM; the boot CPU as YAMON would leave it. enum exit_status. */
int run_load(struct run *r);
/* EI_DATA of the image; what is wrong with a file that is not one, the loader will say. */
bool run_image_big_endian(const char *path);

/* ---- run_stop.c ---- */
/* Before any other thread. 0 or -errno. */
MUST_CHECK int run_stop_open(struct run *r);

/* ---- run_stats.c: enum exit_status ---- */
/* Before the machine starts, so that a path that cannot be written does not cost its user a run. */
int run_stats_open(struct run *r);
/* What --stats asks for, at the end. */
int run_stats_write(struct run *r);
/* SIGUSR1: what there is so far, in the same place; without --stats on standard error. vCPU thread. */
void run_stats_now(struct run *r);
int run_stats_close(struct run *r);

/* ---- run.c ---- */
/* What the monitor says stands on lines of its own, also where the guest's output goes to the same place. */
void run_end_line(const struct run *r);

#endif
