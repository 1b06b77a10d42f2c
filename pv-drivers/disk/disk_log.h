/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DISK_LOG_H
#define PV_DRIVERS_DISK_LOG_H

/*
 * The overlay file of a copy-on-write disk.  Sparse; little-endian; all in one file:
 *
 *   0                 header slot 0, 4096 bytes   } the valid one with the higher generation counts;
 *   4096              header slot 1               } generation g is in slot g % 2
 *   COW_LOG_DATA      the data: sector s of the disk at COW_LOG_DATA + 512 s
 *   then              log areas 0 and 1: generation g has area g % 2
 *
 * A log is an array of records "sectors [start, end) are of this kind", the later ones counting; each has a checksum over
 * itself and the generation.  Data is written to its place at once; a record of it is written by a flush, after the data
 * has been synced, so that no record is ever ahead of its data.  A log that is full is written anew, without what is
 * outdated, to the other area, and the header that names it is written when that is on the disk; so is it at each open.
 * Whatever moment the process, or the host, stops at, the next open finds what the last flush left, or more.
 *
 * The records of one flush carry the index of the first of them (batch).  A record that cannot be read ends the log if
 * the host stopped while its batch was written; if a later batch is there, it had been synced: the file is damaged.
 */
#include "pv-drivers/disk/disk_internal.h"
#include "pv-drivers/disk/range_tree.h"

enum { COW_LOG_DATA = 1 << 20 };

struct stat;
/* The kinds of sectors that a layer has, in its tree and in the log. */
enum cow_kind { COW_BASE = RANGE_NONE, COW_ZERO = 1, COW_FILE = 2, COW_MEMORY = 3 /* never in a log */ };

/* What an overlay belongs to. */
struct cow_identity {
	uint64_t disk_bytes;       /* as the guest sees it */
	uint64_t file_bytes;       /* of the image file */
	int64_t mtime_s, mtime_ns; /* 0, 0 for a block device, whose times say nothing */
	uint64_t hash;             /* XXH3 of the image file's first MiB */
};
MUST_CHECK int cow_identify(struct cow_identity *id, const struct disk_base *base, const struct stat *st);

struct cow_log {
	const struct disk_host *host;
	int fd; /* owned */
	struct cow_identity id;
	uint64_t generation;
	uint64_t capacity; /* records in an area */
	uint64_t records;  /* in the log */
	bool tail_unknown; /* a batch failed half-way: its rest must not be taken for records; rewrite */
	/* A sync failed, or which generation counts on the disk is not known: no flush succeeds any more (disk_fault.final). */
	bool failed;
};

/*
 * Open or create (with its directory synced) and lock the overlay, and read its log into *tree.
 * 0 or -errno with err filled, and nothing left behind.
 */
MUST_CHECK int cow_log_open(struct cow_log **out, const char *path, const struct cow_identity *id, int image_fd,
			    const struct disk_host *host, struct range_tree *tree, struct disk_error *err);
void cow_log_free(struct cow_log *log);
/* Sync the file, data and log. */
MUST_CHECK int cow_log_sync(struct cow_log *log);
/*
 * Write these records as one batch and sync, when the data they name is synced.  -ENOSPC, -EIO, ...: the log is as it was, to be tried again
 * unless log->failed.
 * -EFBIG: the area is full: cow_log_rewrite().
 */
MUST_CHECK int cow_log_append(struct cow_log *log, const struct range *r, uint64_t n);
/* Write the whole tree to the other area and switch to it.  The data it names is synced. */
MUST_CHECK int cow_log_rewrite(struct cow_log *log, const struct range_tree *tree);

#endif
