/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_P9_WIRE_H
#define PV_DRIVERS_P9_WIRE_H

/*
 * 9P messages as bytes: little-endian integers, strings as a 16-bit length and bytes without a NUL.  A read beyond the end
 * gives zeroes and leaves `bad` set; a write beyond the room leaves `full` set.  Any thread.
 */
#include <sys/uio.h>

#include "base/types.h"

enum {
	P9_HEADER_BYTES = 7,        /* size[4] type[1] tag[2] */
	P9_READ_HEADER_BYTES = 11,  /* Rread, Rreaddir: and count[4] */
	P9_WRITE_HEADER_BYTES = 23, /* Twrite: and fid[4] offset[8] count[4] */
	P9_NAME_BYTES = 256,        /* with its NUL */
	P9_PATH_BYTES = 4096,
};

struct p9_in {
	const uint8_t *at;
	size_t left;
	bool bad;
};

uint8_t p9_get8(struct p9_in *in);
uint16_t p9_get16(struct p9_in *in);
uint32_t p9_get32(struct p9_in *in);
uint64_t p9_get64(struct p9_in *in);
/*
 * A string into out[room], with a NUL.  Returns 0, -ENAMETOOLONG, -EINVAL (a NUL in it); in any case it has been passed by.
 * At the end of the message: 0, an empty string, and `bad`.
 */
int p9_get_string(struct p9_in *in, char *out, size_t room);

struct p9_out {
	uint8_t *buf;
	size_t n, room;
	bool full;
};

void p9_put8(struct p9_out *out, uint8_t v);
void p9_put16(struct p9_out *out, uint16_t v);
void p9_put32(struct p9_out *out, uint32_t v);
void p9_put64(struct p9_out *out, uint64_t v);
void p9_put_bytes(struct p9_out *out, const void *from, size_t n);
void p9_put_string(struct p9_out *out, const char *s);

/* 13 bytes: what a client knows a file by. */
struct p9_qid {
	uint8_t type; /* enum p9_qid_type */
	uint64_t path;
};
enum p9_qid_type { P9_QID_FILE = 0, P9_QID_SYMLINK = 0x02, P9_QID_DIR = 0x80 };
enum { P9_QID_BYTES = 13 };
void p9_put_qid(struct p9_out *out, struct p9_qid qid);

/* Scattered memory. */
uint64_t p9_iov_bytes(const struct iovec *iov, unsigned n);
/* bytes from `off` on; returns how many there were. */
size_t p9_iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *to, size_t bytes);
size_t p9_iov_write(const struct iovec *iov, unsigned n, const void *from, size_t bytes);
/* The iovecs of up to `bytes` from `off` on, as many as out[max] holds; *taken is what they cover.  Returns how many. */
unsigned p9_iov_take(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes, struct iovec *out, unsigned max,
		     uint64_t *taken);

#endif
