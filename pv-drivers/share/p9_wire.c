/* SPDX-License-Identifier: MIT */
#include "pv-drivers/share/p9_wire.h"

#include <errno.h>
#include <string.h>

static uint64_t get(struct p9_in *in, unsigned bytes)
{
	uint64_t v = 0;

	if (in->left < bytes) {
		in->bad = true;
		in->left = 0;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)in->at[i] << (8 * i);
	in->at += bytes;
	in->left -= bytes;
	return v;
}

uint8_t p9_get8(struct p9_in *in) { return (uint8_t)get(in, 1); }
uint16_t p9_get16(struct p9_in *in) { return (uint16_t)get(in, 2); }
uint32_t p9_get32(struct p9_in *in) { return (uint32_t)get(in, 4); }
uint64_t p9_get64(struct p9_in *in) { return get(in, 8); }

int p9_get_string(struct p9_in *in, char *out, size_t room)
{
	size_t n = p9_get16(in);
	const uint8_t *from = in->at;

	out[0] = 0;
	if (in->left < n)
		in->bad = true;
	if (in->bad) {
		in->left = 0;
		return 0;
	}
	in->at += n;
	in->left -= n;
	if (n >= room)
		return -ENAMETOOLONG;
	if (memchr(from, 0, n))
		return -EINVAL;
	memcpy(out, from, n);
	out[n] = 0;
	return 0;
}

void p9_put_bytes(struct p9_out *out, const void *from, size_t n)
{
	if (out->full || n > out->room - out->n) {
		out->full = true;
		return;
	}
	memcpy(out->buf + out->n, from, n);
	out->n += n;
}

static void put(struct p9_out *out, uint64_t v, unsigned bytes)
{
	uint8_t b[8];

	for (unsigned i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	p9_put_bytes(out, b, bytes);
}

void p9_put8(struct p9_out *out, uint8_t v) { put(out, v, 1); }
void p9_put16(struct p9_out *out, uint16_t v) { put(out, v, 2); }
void p9_put32(struct p9_out *out, uint32_t v) { put(out, v, 4); }
void p9_put64(struct p9_out *out, uint64_t v) { put(out, v, 8); }

void p9_put_string(struct p9_out *out, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX) {
		out->full = true;
		return;
	}
	p9_put16(out, (uint16_t)n);
	p9_put_bytes(out, s, n);
}

void p9_put_qid(struct p9_out *out, struct p9_qid qid)
{
	p9_put8(out, qid.type);
	p9_put32(out, 0); /* version: 0 means that a client must not cache by it */
	p9_put64(out, qid.path);
}

uint64_t p9_iov_bytes(const struct iovec *iov, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

size_t p9_iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *to, size_t bytes)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < bytes; i++) {
		size_t run;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		run = iov[i].iov_len - (size_t)off;
		run = run < bytes - done ? run : bytes - done;
		memcpy((uint8_t *)to + done, (const uint8_t *)iov[i].iov_base + off, run);
		done += run;
		off = 0;
	}
	return done;
}

size_t p9_iov_write(const struct iovec *iov, unsigned n, const void *from, size_t bytes)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < bytes; i++) {
		size_t run = iov[i].iov_len < bytes - done ? iov[i].iov_len : bytes - done;

		if (run)
			memcpy(iov[i].iov_base, (const uint8_t *)from + done, run);
		done += run;
	}
	return done;
}

unsigned p9_iov_take(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes, struct iovec *out, unsigned max,
		     uint64_t *taken)
{
	unsigned k = 0;

	*taken = 0;
	for (unsigned i = 0; i < n && k < max && *taken < bytes; i++) {
		size_t run;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		run = iov[i].iov_len - (size_t)off;
		run = run < bytes - *taken ? run : (size_t)(bytes - *taken);
		out[k++] = (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + off, .iov_len = run};
		*taken += run;
		off = 0;
	}
	return k;
}
