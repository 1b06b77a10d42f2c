/* SPDX-License-Identifier: MIT */
/* Segments of a file: read, and written.  What is read may be anything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jit/store/store_internal.h"

bool read_at(int fd, uint64_t at, void *out, size_t bytes)
{
	uint8_t *to = out;

	while (bytes) {
		ssize_t n = pread(fd, to, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return true;
}

int write_at(int fd, uint64_t at, const void *data, size_t bytes)
{
	const uint8_t *from = data;

	while (bytes) {
		ssize_t n = pwrite(fd, from, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		from += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static uint64_t head_sum(const struct store_head *h) { return XXH3_64bits(h, offsetof(struct store_head, head)); }

uint64_t segment_bytes(const struct store_head *h) { return store_blocks_at(0, h->n_rows) + h->bytes; }

bool segment_head(int fd, uint64_t at, uint64_t file_bytes, const struct store_key *key, struct store_head *out)
{
	uint64_t left = file_bytes - at;

	if (at > file_bytes || left < sizeof(*out) || !read_at(fd, at, out, sizeof(*out)))
		return false;
	return out->magic == STORE_MAGIC && XXH128_isEqual(out->key, key->hash) && out->head == head_sum(out) &&
	       out->n_rows > 0 && out->n_rows <= UINT32_MAX / sizeof(struct known) && out->bytes <= left &&
	       segment_bytes(out) <= left;
}

bool segment_rows(int fd, uint64_t at, const struct store_head *h, struct store_row **rows, uint32_t **used)
{
	size_t bytes = h->n_rows * sizeof(**rows);
	bool ok;

	*rows = malloc(bytes);
	*used = malloc(h->n_rows * sizeof(**used));
	at += sizeof(*h);
	ok = *rows && *used && read_at(fd, at, *rows, bytes) &&
	     read_at(fd, at + bytes, *used, h->n_rows * sizeof(**used)) && XXH3_64bits(*rows, bytes) == h->rows;
	for (uint64_t i = 0; ok && i < h->n_rows; i++) {
		const struct store_row *r = &(*rows)[i];

		ok = r->at % 8 == 0 && r->at <= h->bytes && store_row_room(store_row_bytes(r)) <= h->bytes - r->at &&
		     store_row_bytes(r) <= STORE_BLOCK_MAX;
	}
	if (ok)
		return true;
	free(*rows);
	free(*used);
	*rows = NULL;
	*used = NULL;
	return false;
}

uint64_t store_sum(const struct store_key *key, const void *block, uint32_t bytes)
{
	return XXH3_64bits_withSeed(block, bytes, key->hash.low64 ^ bytes);
}

int segment_write(int fd, uint64_t at, const struct store_key *key, const struct store_batch *b, const uint32_t *used)
{
	struct store_head h = {
	    .magic = STORE_MAGIC,
	    .key = key->hash,
	    .n_rows = b->n,
	    .bytes = b->bytes,
	    .rows = XXH3_64bits(b->row, b->n * sizeof(*b->row)),
	};
	uint64_t rows_at = at + sizeof(h), used_at = rows_at + b->n * sizeof(*b->row);
	int err;

	h.head = head_sum(&h);
	/* the head last: what is cut short has none */
	err = write_at(fd, store_blocks_at(at, b->n), b->block, b->bytes);
	if (!err)
		err = write_at(fd, rows_at, b->row, b->n * sizeof(*b->row));
	if (!err)
		err = write_at(fd, used_at, used, b->n * sizeof(*used));
	return err ? err : write_at(fd, at, &h, sizeof(h));
}

/* Room for `more` behind the first n. */
static bool grow(void **array, uint64_t n, uint64_t *room, uint64_t more, size_t each)
{
	uint64_t want = *room ? *room : 4096;
	void *p;

	if (*room - n >= more)
		return true;
	while (want - n < more)
		want *= 2;
	p = realloc(*array, want * each);
	if (!p)
		return false;
	*array = p;
	*room = want;
	return true;
}

bool batch_add(struct store_batch *b, const struct store_row *row, const struct store_key *key, const void *block)
{
	uint32_t bytes = store_row_bytes(row);
	uint64_t room = store_row_room(bytes), row_room = b->room;
	uint64_t sum = store_sum(key, block, bytes);

	if (!grow((void **)&b->row, b->n, &row_room, 1, sizeof(*b->row)))
		return false;
	b->room = (uint32_t)row_room;
	if (!grow((void **)&b->block, b->bytes, &b->bytes_room, room, 1))
		return false;
	b->row[b->n] = *row;
	b->row[b->n++].at = b->bytes;
	memset(b->block + b->bytes + room - 8, 0, 8);
	memcpy(b->block + b->bytes, &sum, 8);
	memcpy(b->block + b->bytes + 8, block, bytes);
	b->bytes += room;
	return true;
}

void batch_free(struct store_batch *b)
{
	free(b->row);
	free(b->block);
	*b = (struct store_batch){0};
}
