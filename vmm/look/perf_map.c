/* SPDX-License-Identifier: MIT */
#include "vmm/look/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/boot/loader_internal.h"
#include "vmm/look/guest_names.h"

struct perf_map {
	FILE *out;
	struct guest_names *names;
};

void perf_map_add(void *map, const struct jit_installed *w)
{
	struct perf_map *m = map;
	struct guest_named n;
	const struct guest_place at = {.unmapped = w->mode & MODE_ABS,
				       .user = (w->mode & MODE_KSU) == MODE_USER,
				       .pc = w->abs_page + w->off,
				       .content = {w->content[0], w->content[1]}};
	char region[32] = "";

	guest_names_find(m->names, &at, &n);
	if (w->tier == TIER_2)
		snprintf(region, sizeof(region), ", region of %" PRIu32, w->n_guest);
	if (w->code_bytes)
		fprintf(m->out, "%" PRIxPTR " %" PRIx32 " %s [%s, tier %d%s]\n", (uintptr_t)w->code, w->code_bytes,
			n.text, n.where, (int)w->tier, region);
	if (w->cold_bytes)
		fprintf(m->out, "%" PRIxPTR " %" PRIx32 " %s [%s, tier %d%s, cold]\n", (uintptr_t)w->cold,
			w->cold_bytes, n.text, n.where, (int)w->tier, region);
}

/* Another user's, or a link to somewhere, may be there: /tmp is everybody's. */
static int open_file(struct perf_map *m, const char *path, struct loader_error *err)
{
	char own[64];
	int fd, e;

	snprintf(own, sizeof(own), "/tmp/perf-%d.map", (int)getpid());
	path = path ? path : own;
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	m->out = fd < 0 ? NULL : fdopen(fd, "w");
	if (m->out)
		return 0;
	e = -errno;
	if (fd >= 0)
		close(fd);
	return loader_fail(err, e, "%.300s: %s", path, strerror(-e));
}

static int free_all(struct perf_map *m)
{
	int err = 0;

	if (m->out) {
		err = ferror(m->out) ? -EIO : 0;
		if (fclose(m->out) && !err)
			err = -errno;
	}
	guest_names_free(m->names);
	free(m);
	return err;
}

int perf_map_open(struct perf_map **out, const char *path, const char *kernel, const char *listing, const char *folder,
		  struct loader_error *err)
{
	struct perf_map *m = calloc(1, sizeof(*m));
	int r = m ? guest_names_open(&m->names, kernel, listing, folder, "--perf-files", err)
		  : loader_fail(err, -ENOMEM, "%s", strerror(ENOMEM));

	if (!r)
		r = open_file(m, path, err);
	*out = r ? NULL : m;
	if (r && m)
		(void)free_all(m);
	return r;
}

int perf_map_close(struct perf_map *m) { return m ? free_all(m) : 0; }
