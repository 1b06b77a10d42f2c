/* SPDX-License-Identifier: MIT */
/* The compressed kernel inside a vmlinuz.  Debian's are xz; the magic may also stand in the unpacker's own data. */
#define _GNU_SOURCE
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot/unpack.h"

#define MAX_TRIES    16             /* magics that were none */
#define MEMORY_LIMIT (256ull << 20) /* of the decoder: kernels use a dictionary of 32 MiB */
#define FIRST_BYTES  (32u << 20)

static const uint8_t magic[] = {0xfd, '7', 'z', 'X', 'Z', 0};

/* More room for z's output; false: enough, or the host has no memory. */
static bool grow(lzma_stream *z, uint8_t **buf, size_t *room, size_t max)
{
	size_t used = *room - z->avail_out, more = *room ? *room * 2 : FIRST_BYTES;
	uint8_t *bigger;

	if (*room >= max)
		return false;
	if (more > max)
		more = max;
	bigger = realloc(*buf, more);
	if (!bigger)
		return false;
	*buf = bigger;
	*room = more;
	z->next_out = bigger + used;
	z->avail_out = more - used;
	return true;
}

static bool unpack_at(const uint8_t *data, size_t bytes, size_t max, uint8_t **out, size_t *out_bytes)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret r = lzma_stream_decoder(&z, MEMORY_LIMIT, 0);
	size_t room = 0;

	*out = NULL;
	z.next_in = data;
	z.avail_in = bytes;
	while (r == LZMA_OK && (z.avail_out || grow(&z, out, &room, max)))
		r = lzma_code(&z, LZMA_FINISH);
	*out_bytes = room - z.avail_out;
	lzma_end(&z);
	if (r == LZMA_STREAM_END)
		return true;
	free(*out);
	*out = NULL;
	return false;
}

bool unpack_xz(const uint8_t *data, size_t bytes, size_t max, uint8_t **out, size_t *out_bytes)
{
	const uint8_t *at = data;

	for (unsigned i = 0; i < MAX_TRIES; i++) {
		at = memmem(at, bytes - (size_t)(at - data), magic, sizeof(magic));
		if (!at)
			return false;
		if (unpack_at(at, bytes - (size_t)(at - data), max, out, out_bytes))
			return true;
		at++;
	}
	return false;
}
