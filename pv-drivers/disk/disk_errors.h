/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DISK_ERRORS_H
#define PV_DRIVERS_DISK_ERRORS_H

/*
 * Errors of the host under a disk: what becomes of the request (enum disk_policy), and one line for the user that names the
 * file which is really meant - a full disk is mostly that of the layer, not of the image.
 */
#include <stdatomic.h>

#include "pv-drivers/disk/disk.h"

/* The files of a disk. */
enum disk_file { DISK_IMAGE, DISK_LAYER, NUM_DISK_FILES };
enum disk_doing { DISK_READING, DISK_WRITING, DISK_SYNCING, NUM_DISK_DOINGS };

/* Where a request failed: filled by who returns the error. */
struct disk_fault {
	enum disk_file file;
	enum disk_doing doing;
	/*
	 * A sync that failed: the host has forgotten which data it could not write, so that one which succeeds later would lie.
	 * No use to wait.
	 */
	bool final;
};

struct disk_errors {
	void (*complain)(void *opaque, const char *line);
	void *opaque;
	enum disk_policy werror, rerror;
	atomic_bool told[NUM_DISK_FILES][NUM_DISK_DOINGS];
	bool waiting[NUM_DISK_FILES]; /* told since the machine waits; vCPU thread */
	atomic_uint
	    last; /* of the last request that is to wait: file, doing, errno; one word, so that it is of one request */
};

/*
 * A request failed with err, which is returned, or -ENOTRECOVERABLE if it is final.  Tells the user, once
 * for each file and kind, unless the machine is going to wait: see disk_errors_wait().  write: what the guest asked for.
 * name: the file's, for the line.  Any thread.
 */
int disk_errors_see(struct disk_errors *e, bool write, const struct disk_fault *f, int err, const char *name);
enum disk_verdict disk_errors_verdict(const struct disk_errors *e, bool write, int err);
/* At the end: nobody gets an error any more, the data are lost. */
void disk_errors_lost(struct disk_errors *e, const struct disk_fault *f, int err, const char *name);
/* The file and the errno that the machine has to wait for.  vCPU thread. */
void disk_errors_last(struct disk_errors *e, struct disk_fault *f, int *err);
/* Tell the user that the machine waits for this, unless that has been said since it waits.  vCPU thread. */
void disk_errors_wait(struct disk_errors *e, const struct disk_fault *f, int err, const char *name);
/* It goes on: a line for each file that it waited for.  name: the files'.  vCPU thread. */
void disk_errors_go(struct disk_errors *e, const char *const name[NUM_DISK_FILES]);

#endif
