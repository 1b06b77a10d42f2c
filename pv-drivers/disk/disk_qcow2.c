/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <libqcow.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/disk/disk_internal.h"
#include "pv-drivers/disk/range_tree.h"

/*
 * A qcow2 image, read only, by libqcow.  Source: the specification of the format (QEMU, docs/interop/qcow2.txt).
 *
 * libqcow 20201213 does not know what version 3 added: it reads a cluster that is marked as zeroes as data at offset 1,
 * and it trusts the tables.  So the header and all tables are read here first: what libqcow cannot read is refused, what
 * begins outside of the file too (a truncated or damaged image), and two kinds of clusters are kept in a tree and never
 * asked for: those of zeroes, and the one that the file ends in.  Some writers end a file at the last sector written, and the
 * rest of that cluster reads as zeroes, as by QEMU; libqcow reads whole clusters only.
 */
enum { HEADER_V2 = 72, HEADER_V3 = 104, MAX_HEADER = 112, MIN_CLUSTER_BITS = 9, MAX_CLUSTER_BITS = 21 };
enum { ZEROES = 1, CUT = 2 }; /* kinds of ranges in the tree */

#define L1_OFFSET       0x00fffffffffffe00ull /* also of a standard L2 entry */
#define L2_COMPRESSED   (1ull << 62)
#define L2_ZERO         1ull
#define L1_RESERVED     0x7f000000000001ffull
#define L2_RESERVED     0x3f000000000001feull
#define MAX_L1_BYTES    (32u << 20) /* QEMU's own limit */
#define INCOMPAT_DIRTY  1ull        /* reference counts may be wrong; nothing here reads them */
#define INCOMPAT_BROKEN 2ull
#define INCOMPAT_EXTERN 4ull
#define INCOMPAT_ZTYPE  8ull

struct qcow2 {
	libqcow_file_t *file;
	pthread_mutex_t lock;      /* libqcow */
	struct range_tree special; /* ranges of the disk: ZEROES, or CUT: in the host cluster at `cut` */
	uint64_t file_bytes, cluster, cut;
};

/* What a check needs while it reads the tables. */
struct scan {
	const struct disk_host *host;
	int fd;
	uint64_t file_bytes, media_bytes, cluster;
	unsigned cluster_bits, version;
	uint64_t l1_offset, l1_entries;
	struct range_tree *special;
	uint64_t cut; /* the host cluster that the file ends in */
};

static uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

bool disk_qcow2_magic(const uint8_t *head, size_t bytes) { return bytes >= 4 && !memcmp(head, "QFI\xfb", 4); }

static int check_features(const uint8_t *h, const char *path, struct disk_error *err)
{
	uint64_t incompatible = be64(h + 72);

	if (incompatible & INCOMPAT_BROKEN)
		return disk_say(err, -EINVAL, path, "is a qcow2 image that is marked as corrupt (see qemu-img check)");
	if (incompatible & INCOMPAT_EXTERN)
		return disk_say(err, -ENOTSUP, path,
				"is a qcow2 image with an external data file; qemu-img convert it");
	if ((incompatible & INCOMPAT_ZTYPE) && be32(h + 100) > MAX_HEADER - 8 && h[104])
		return disk_say(err, -ENOTSUP, path,
				"is a qcow2 image whose compression is not zlib; qemu-img convert it");
	if (incompatible & ~(INCOMPAT_DIRTY | INCOMPAT_ZTYPE))
		return disk_say(err, -ENOTSUP, path,
				"is a qcow2 image with features (%#llx) that are not supported here",
				(unsigned long long)incompatible);
	return 0;
}

static int check_header(struct scan *s, const char *path, struct disk_error *err)
{
	uint8_t h[MAX_HEADER] = {0};
	uint64_t have = s->file_bytes < sizeof(h) ? s->file_bytes : sizeof(h), per_l2;
	int e = have < HEADER_V2 ? -EINVAL : disk_pread_buf(s->host, s->fd, 0, h, have);

	if (e)
		return disk_say(err, e, path, "is cut off in its qcow2 header");
	s->version = be32(h + 4);
	if (!disk_qcow2_magic(h, have) || s->version < 2 || s->version > 3)
		return disk_say(err, -EINVAL, path, "is not a qcow2 image of version 2 or 3");
	if (s->version == 3 && have < HEADER_V3)
		return disk_say(err, -EINVAL, path, "is cut off in its qcow2 header");
	if (be64(h + 8))
		return disk_say(err, -ENOTSUP, path, "is a qcow2 image with a backing file; qemu-img convert it");
	if (be32(h + 32))
		return disk_say(err, -ENOTSUP, path, "is an encrypted qcow2 image; qemu-img convert it");
	if (s->version == 3) {
		e = check_features(h, path, err);
		if (e)
			return e;
	}
	s->cluster_bits = be32(h + 20);
	s->media_bytes = be64(h + 24);
	s->l1_entries = be32(h + 36);
	s->l1_offset = be64(h + 40);
	if (s->cluster_bits < MIN_CLUSTER_BITS || s->cluster_bits > MAX_CLUSTER_BITS)
		return disk_say(err, -EINVAL, path, "is a damaged qcow2 image: cluster bits %u", s->cluster_bits);
	s->cluster = 1ull << s->cluster_bits;
	per_l2 = s->cluster / 8 * s->cluster;
	if (!s->media_bytes || s->media_bytes % DISK_SECTOR_BYTES || s->media_bytes > (uint64_t)INT64_MAX - per_l2)
		return disk_say(err, -EINVAL, path, "is a qcow2 image of an impossible size");
	if (s->l1_entries * 8 > MAX_L1_BYTES || s->l1_entries < (s->media_bytes + per_l2 - 1) / per_l2 ||
	    s->l1_offset % s->cluster || s->l1_offset > s->file_bytes ||
	    s->l1_entries * 8 > s->file_bytes - s->l1_offset)
		return disk_say(err, -EINVAL, path, "is a damaged qcow2 image: its L1 table does not fit");
	return 0;
}

static int set_special(struct scan *s, uint64_t guest, unsigned kind)
{
	uint64_t end = guest + s->cluster < s->media_bytes ? guest + s->cluster : s->media_bytes;

	return range_tree_set(s->special, guest / DISK_SECTOR_BYTES, end / DISK_SECTOR_BYTES, kind);
}

/* One L2 entry: 0, or -EINVAL if it points to where nothing can be. */
static int check_entry(struct scan *s, uint64_t entry, uint64_t guest)
{
	uint64_t off = entry & L1_OFFSET;

	if (guest >= s->media_bytes)
		return 0; /* the table's last entries, beyond the disk */
	if (entry & L2_COMPRESSED) {
		/* bits 0 .. x-1: where; x .. 61: how many 512-byte sectors more; x = 62 - (cluster_bits - 8) */
		unsigned x = 62 - (s->cluster_bits - 8);
		uint64_t at = entry & ((1ull << x) - 1);

		return at && at < s->file_bytes ? 0 : -EINVAL;
	}
	if (s->version == 2 && (entry & L2_ZERO))
		return -EINVAL;
	if ((entry & L2_RESERVED) || off % s->cluster)
		return -EINVAL;
	if (entry & L2_ZERO) /* where its data was, or will be, is of no interest */
		return set_special(s, guest, ZEROES);
	if (off >= s->file_bytes)
		return -EINVAL;
	if (off && s->file_bytes - off < s->cluster) {
		s->cut = off; /* the only one: no other begins so near to the end */
		return set_special(s, guest, CUT);
	}
	return 0;
}

static int check_tables(struct scan *s)
{
	uint64_t per_l2 = s->cluster / 8;
	uint8_t *l1 = malloc(s->l1_entries * 8), *l2 = malloc(s->cluster);
	int e = l1 && l2 ? disk_pread_buf(s->host, s->fd, s->l1_offset, l1, s->l1_entries * 8) : -ENOMEM;

	for (uint64_t i = 0; i < s->l1_entries && !e; i++) {
		uint64_t entry = be64(l1 + i * 8), off = entry & L1_OFFSET, guest = i * per_l2 * s->cluster;

		if (!entry || guest >= s->media_bytes)
			continue;
		if (!off || (entry & L1_RESERVED) || off % s->cluster || off > s->file_bytes - s->cluster)
			e = -EINVAL;
		if (!e)
			e = disk_pread_buf(s->host, s->fd, off, l2, s->cluster);
		for (uint64_t k = 0; k < per_l2 && !e; k++)
			e = be64(l2 + k * 8) ? check_entry(s, be64(l2 + k * 8), guest + k * s->cluster) : 0;
	}
	free(l1);
	free(l2);
	return e;
}

/* libqcow, outside of the special ranges. */
static int read_data(struct qcow2 *q, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		     uint64_t iov_off)
{
	unsigned i = 0;
	int err = 0;

	for (; i < n && iov_off >= iov[i].iov_len; i++)
		iov_off -= iov[i].iov_len;
	pthread_mutex_lock(&q->lock);
	while (bytes && !err) {
		uint64_t len = iov[i].iov_len - iov_off;
		ssize_t got;

		if (len > bytes)
			len = bytes;
		got = libqcow_file_read_buffer_at_offset(q->file, (uint8_t *)iov[i].iov_base + iov_off, len,
							 (off64_t)off, NULL);
		if (got <= 0) {
			err = -EIO;
			break;
		}
		off += (uint64_t)got;
		bytes -= (uint64_t)got;
		iov_off += (uint64_t)got;
		while (i < n && iov_off >= iov[i].iov_len)
			iov_off -= iov[i++].iov_len;
	}
	pthread_mutex_unlock(&q->lock);
	return err;
}

/* [off, off + bytes) of the disk, all in clusters that lie where the file ends: what is there, then zeroes. */
static int read_cut(struct disk_base *b, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		    uint64_t iov_off, bool nowait)
{
	const struct qcow2 *q = b->format;
	int err = 0;

	while (bytes && !err) {
		uint64_t inside = off % q->cluster, at = q->cut + inside;
		uint64_t len = q->cluster - inside < bytes ? q->cluster - inside : bytes;
		uint64_t have = at < q->file_bytes ? q->file_bytes - at : 0;

		have = have < len ? have : len;
		if (have)
			err = disk_pread(b->host, b->fd, at, have, iov, n, iov_off, nowait);
		disk_iov_put(iov, n, iov_off + have, NULL, len - have);
		off += len;
		bytes -= len;
		iov_off += len;
	}
	return err;
}

static int qcow2_read(struct disk_base *b, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		      uint64_t iov_off, bool nowait)
{
	struct qcow2 *q = b->format;
	uint64_t at = off / DISK_SECTOR_BYTES, end = (off + bytes) / DISK_SECTOR_BYTES;
	int err = 0;

	while (at < end && !err) {
		struct range r = range_tree_piece(&q->special, at, end); /* never changes after open: no lock */
		uint64_t len = (r.end - r.start) * DISK_SECTOR_BYTES, from = r.start * DISK_SECTOR_BYTES;

		if (r.kind == ZEROES)
			disk_iov_put(iov, n, iov_off, NULL, len);
		else if (r.kind == CUT)
			err = read_cut(b, from, len, iov, n, iov_off, nowait);
		else
			err = nowait ? -EAGAIN : read_data(q, from, len, iov, n, iov_off);
		iov_off += len;
		at = r.end;
	}
	return err;
}

static void qcow2_close(struct disk_base *b)
{
	struct qcow2 *q = b->format;

	if (!q)
		return;
	if (q->file) {
		libqcow_file_close(q->file, NULL);
		libqcow_file_free(&q->file, NULL);
	}
	range_tree_free(&q->special);
	pthread_mutex_destroy(&q->lock);
	free(q);
	b->format = NULL;
}

int disk_qcow2_open(struct disk_base *b, const char *path, uint64_t file_bytes, struct disk_error *err)
{
	static const struct disk_base_ops ops = {.read = qcow2_read, .close = qcow2_close};
	struct qcow2 *q = calloc(1, sizeof(*q));
	struct scan s = {.host = b->host, .fd = b->fd, .file_bytes = file_bytes};
	char name[32];
	size64_t size = 0;
	int e;

	if (!q)
		return disk_say(err, -ENOMEM, path, "%s", disk_strerror(ENOMEM));
	pthread_mutex_init(&q->lock, NULL);
	b->ops = &ops;
	b->format = q;
	s.special = &q->special;
	e = check_header(&s, path, err);
	if (e)
		return e;
	e = check_tables(&s);
	if (e == -EINVAL || e == -EIO)
		return disk_say(err, -EINVAL, path, "is a damaged or truncated qcow2 image (see qemu-img check)");
	if (e)
		return disk_say(err, e, path, "%s", disk_strerror(-e));
	/* By our descriptor, so that it is the file that was checked and locked. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", b->fd);
	if (libqcow_file_initialize(&q->file, NULL) != 1 ||
	    libqcow_file_open(q->file, name, libqcow_get_access_flags_read(), NULL) != 1 ||
	    libqcow_file_get_media_size(q->file, &size, NULL) != 1 || size != s.media_bytes)
		return disk_say(err, -EINVAL, path, "is a qcow2 image that libqcow cannot open");
	q->file_bytes = file_bytes;
	q->cluster = s.cluster;
	q->cut = s.cut;
	b->bytes = s.media_bytes;
	return 0;
}
