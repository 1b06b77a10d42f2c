/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/replay/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

static const char first_line[] = "disco recording 1\n";

struct journal_on_disk {
	uint32_t kind, bytes;
	uint64_t ns, exceptions;
	uint32_t pc, zero;
	uint64_t check;
};

static int bad(struct journal_error *err, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int bad(struct journal_error *err, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return r;
}

/* Over the event, its bytes, and by the seed all before them. */
static uint64_t check_of(const struct journal_on_disk *d, const void *data, uint64_t seed)
{
	struct journal_on_disk bare = *d;

	bare.check = 0;
	seed = XXH3_64bits_withSeed(&bare, sizeof(bare), seed);
	return d->bytes ? XXH3_64bits_withSeed(data, d->bytes, seed) : seed;
}

/* ---- in memory ---- */

static bool make_room(void **array, size_t *room, size_t want, size_t size)
{
	size_t more = *room ? *room : 64;
	void *p;

	if (want <= *room)
		return true;
	while (more < want)
		more *= 2;
	p = realloc(*array, more * size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}

static void write_event(struct journal *j, const struct journal_event *e, const void *data)
{
	struct journal_on_disk d = {
	    .kind = (uint32_t)e->kind, .bytes = e->bytes, .ns = e->at.ns, .exceptions = e->at.exceptions, .pc = e->pc};

	j->check = d.check = check_of(&d, data, j->check);
	if (fwrite(&d, sizeof(d), 1, j->out) != 1 || (e->bytes && fwrite(data, e->bytes, 1, j->out) != 1) ||
	    fflush(j->out))
		j->lost = j->lost ? j->lost : errno;
}

int journal_add(struct journal *j, const struct journal_event *e, const void *data)
{
	ASSERT(e->bytes <= JOURNAL_MAX_BYTES);
	if (!make_room((void **)&j->event, &j->room, j->n + 1, sizeof(*j->event)) ||
	    !make_room((void **)&j->data, &j->data_room, j->bytes + e->bytes, 1))
		return -ENOMEM;
	j->event[j->n] = *e;
	j->event[j->n++].data = j->bytes;
	if (e->bytes)
		memcpy(j->data + j->bytes, data, e->bytes);
	j->bytes += e->bytes;
	if (j->out)
		write_event(j, e, data);
	return 0;
}

int journal_close(struct journal *j)
{
	int lost = j->lost;

	if (j->out && fclose(j->out) && !lost)
		lost = errno;
	free(j->event);
	free(j->data);
	*j = (struct journal){0};
	return lost;
}

/* ---- the file ---- */

int journal_create(struct journal *j, const char *path, const char *header, struct journal_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST)
		return bad(err, -EEXIST, "%.400s: is there already", path);
	j->out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!j->out)
		return bad(err, -errno, "%.400s: %s", path, strerror(errno));
	j->check = XXH3_64bits(header, strlen(header));
	if (fputs(first_line, j->out) < 0 || fputs(header, j->out) < 0 || fputc('\n', j->out) < 0 || fflush(j->out))
		j->lost = errno;
	return 0;
}

/* All of it, with a NUL behind. */
static int read_file(const char *path, char **text, size_t *bytes, struct journal_error *err)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	int r = 0;

	*text = NULL;
	if (!f || fstat(fileno(f), &st)) {
		r = bad(err, -errno, "%.400s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		r = bad(err, -EINVAL, "%.400s: is no file", path);
	} else {
		*bytes = (size_t)st.st_size;
		*text = malloc(*bytes + 1);
		if (!*text)
			r = bad(err, -ENOMEM, "%.400s: the host has no memory left", path);
		else if (fread(*text, 1, *bytes, f) != *bytes)
			r = bad(err, -EIO, "%.400s: %s", path, ferror(f) ? strerror(errno) : "it became shorter");
	}
	if (f)
		fclose(f);
	if (*text)
		(*text)[*bytes] = 0;
	return r;
}

/* "kernel 9c21...": the recorded line, and what this run has in its place. */
static int another(const char *path, const char *recorded, const char *here, struct journal_error *err)
{
	int key = (int)strcspn(*here && *here != '\n' ? here : recorded, " \n");
	const char *line = *here && *here != '\n' ? here : recorded;

	return bad(err, -EINVAL, "%.300s: is a recording of another run: '%.*s' was '%.*s', and is '%.*s'", path, key,
		   line, (int)strcspn(recorded, "\n") > 60 ? 60 : (int)strcspn(recorded, "\n"), recorded,
		   (int)strcspn(here, "\n") > 60 ? 60 : (int)strcspn(here, "\n"), here);
}

/* *at: behind the header. */
static int check_header(const char *path, const char *text, const char *header, size_t *at, struct journal_error *err)
{
	const char *a, *b = header;

	if (strncmp(text, first_line, sizeof(first_line) - 1) != 0)
		return bad(err, -EINVAL, "%.400s: is no recording of Disco's", path);
	for (a = text + sizeof(first_line) - 1; *b; a++, b++) {
		const char *line_a = a, *line_b = b;

		a += strcspn(a, "\n");
		b += strcspn(b, "\n");
		if (!*a)
			return bad(err, -EINVAL, "%.400s: is truncated: it ends in its header", path);
		if (a - line_a != b - line_b || memcmp(line_a, line_b, (size_t)(a - line_a)) != 0)
			return another(path, line_a, line_b, err);
	}
	if (*a != '\n')
		return *a ? another(path, a, b, err)
			  : bad(err, -EINVAL, "%.400s: is truncated: it ends in its header", path);
	*at = (size_t)(a + 1 - text);
	return 0;
}

static bool take_event(struct journal *j, const char *text, size_t bytes, size_t *at, uint64_t *seed)
{
	struct journal_on_disk d;
	struct journal_event e;

	if (bytes - *at < sizeof(d))
		return false;
	memcpy(&d, text + *at, sizeof(d));
	if (d.kind >= JOURNAL_KINDS || d.bytes > JOURNAL_MAX_BYTES || d.bytes > bytes - *at - sizeof(d) ||
	    d.check != check_of(&d, text + *at + sizeof(d), *seed))
		return false;
	if (d.kind == JOURNAL_END && d.bytes != sizeof(struct journal_end))
		return false;
	e = (struct journal_event){
	    .kind = (enum journal_kind)d.kind, .at = {d.ns, d.exceptions}, .pc = d.pc, .bytes = d.bytes};
	*seed = d.check;
	*at += sizeof(d);
	if (journal_add(j, &e, text + *at))
		return false;
	*at += d.bytes;
	return true;
}

/* A run that was killed has no end. */
static bool is_whole(const struct journal *j)
{
	struct journal_end end;

	if (!j->n || j->event[0].kind != JOURNAL_BOOT || j->event[j->n - 1].kind != JOURNAL_END)
		return false;
	memcpy(&end, journal_data(j, &j->event[j->n - 1]), sizeof(end));
	return !end.again;
}

int journal_load(struct journal *j, const char *path, const char *header, struct journal_error *err)
{
	uint64_t seed = XXH3_64bits(header, strlen(header));
	size_t bytes = 0, at = 0;
	char *text;
	int r = read_file(path, &text, &bytes, err);

	r = r ? r : check_header(path, text, header, &at, err);
	while (!r && at < bytes)
		if (!take_event(j, text, bytes, &at, &seed))
			r = bad(err, -EINVAL, "%.400s: is truncated or damaged at byte %zu", path, at);
	if (!r && !is_whole(j))
		r = bad(err, -EINVAL, "%.400s: is truncated: it does not have the end of its run", path);
	free(text);
	return r;
}
