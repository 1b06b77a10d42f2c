/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/cli/options_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Options of `disco run` that are devices, and what follows from them. */

#define TAG_MAX_BYTES    31
#define SERIAL_MAX_BYTES 20 /* VIRTIO_BLK_ID_BYTES */
#define BALLOON_UNIT     4096

static int no_memory(struct options_error *err)
{
	options_bad(err, "the host has no memory left");
	return -ENOMEM;
}

/*
 * The next part of a comma-separated list, in place; ",," is one comma of the part, as in QEMU.  NULL: no more.
 */
static char *next_part(char **p)
{
	char *part = *p, *from = part, *to = part;

	if (!from)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*p = *from ? from + 1 : NULL;
	*to = '\0';
	return part;
}

/* The value if part is "KEY=VALUE". */
static const char *value_of(const char *part, const char *key)
{
	size_t n = strlen(key);

	return strncmp(part, key, n) == 0 && part[n] == '=' ? part + n + 1 : NULL;
}

/* The index of text among names, or -1. */
static int index_of(const char *text, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return -1;
}

/* ---- --disk ---- */

static int disk_part(const char *part, struct run_disk *d, bool *mode_given, struct options_error *err)
{
	static const char *const modes[] = {"rw", "ro", "cow"}, *const formats[] = {"auto", "raw", "qcow2"};
	const char *v;
	int i;

	if ((v = value_of(part, "mode")) != NULL) {
		i = index_of(v, modes, ARRAY_LEN(modes));
		if (i < 0)
			return options_bad(err, "--disk %s: mode=%s: must be rw, ro or cow", d->path, v);
		d->mode = (enum disk_mode)i;
		*mode_given = true;
	} else if ((v = value_of(part, "format")) != NULL) {
		i = index_of(v, formats, ARRAY_LEN(formats));
		if (i < 0)
			return options_bad(err, "--disk %s: format=%s: must be raw, qcow2 or auto", d->path, v);
		d->format = (enum disk_format)i;
	} else if ((v = value_of(part, "overlay")) != NULL) {
		if (!*v)
			return options_bad(err, "--disk %s: overlay=: the file's name is empty", d->path);
		d->overlay = v;
	} else if ((v = value_of(part, "serial")) != NULL) {
		for (const char *c = v; *c; c++)
			if (!isgraph((unsigned char)*c))
				return options_bad(err, "--disk %s: serial=: printable characters only", d->path);
		if (!*v || strlen(v) > SERIAL_MAX_BYTES)
			return options_bad(err, "--disk %s: serial=%s: must have 1 to %d characters", d->path, v,
					   SERIAL_MAX_BYTES);
		d->serial = v;
	} else {
		return options_bad(err, "--disk %s: '%s': must be mode=, overlay=, serial= or format=", d->path, part);
	}
	return 0;
}

int options_add_disk(const char *text, struct run_options *out, struct options_error *err)
{
	struct run_disk *d = &out->disk[out->n_disks];
	bool mode_given = false;
	char *rest, *part;

	if (out->n_disks == RUN_MAX_DISKS)
		return options_bad(err, "--disk %s: at most %d disks", text, RUN_MAX_DISKS);
	d->text = rest = strdup(text);
	if (!rest)
		return no_memory(err);
	out->n_disks++;
	d->path = next_part(&rest);
	if (!*d->path)
		return options_bad(err, "--disk %s: the file's name is missing", text);
	while ((part = next_part(&rest)) != NULL) {
		int r = disk_part(part, d, &mode_given, err);

		if (r)
			return r;
	}
	if (d->overlay && mode_given && d->mode != DISK_COW)
		return options_bad(err, "--disk %s: overlay= is for mode=cow", d->path);
	if (d->overlay)
		d->mode = DISK_COW;
	return options_check_file("--disk", d->path, err);
}

/* ---- --net ---- */

int options_add_net(const char *text, struct run_options *out, struct options_error *err)
{
	struct net_config *n = &out->net[out->n_nets];
	struct net_error why = {{0}};

	if (out->n_nets == RUN_MAX_NETS)
		return options_bad(err, "--net %s: at most %d network cards", text, RUN_MAX_NETS);
	if (net_config_parse(text, n, &why))
		return options_bad(err, "--net %.100s: %s", text, why.text);
	if (out->net_none || (out->n_nets && n->kind == NET_NONE)) {
		net_config_free(n);
		return options_bad(err, "--net none: not together with another --net");
	}
	if (n->kind == NET_NONE) {
		net_config_free(n);
		out->net_none = true;
	} else {
		out->n_nets++;
	}
	return 0;
}

/* ---- --share ---- */

static bool tag_is_good(const char *tag)
{
	size_t n = strlen(tag);

	for (const char *c = tag; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return n && n <= TAG_MAX_BYTES && tag[0] != '.';
}

static int check_share(const struct run_options *out, const struct run_share *s, struct options_error *err)
{
	struct stat st;

	if (!tag_is_good(s->tag))
		return options_bad(err, "--share %s: tag=%s: 1 to %d letters, digits, '.', '_' and '-'", s->dir, s->tag,
				   TAG_MAX_BYTES);
	for (const struct run_share *other = out->share; other < s; other++)
		if (strcmp(other->tag, s->tag) == 0)
			return options_bad(err, "--share %s: tag=%s: is that of %s already", s->dir, s->tag,
					   other->dir);
	if (stat(s->dir, &st) != 0)
		return options_bad(err, "--share %s: %s", s->dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return options_bad(err, "--share %s: is not a directory", s->dir);
	if (access(s->dir, R_OK | X_OK) != 0)
		return options_bad(err, "--share %s: %s", s->dir, strerror(errno));
	return 0;
}

int options_add_share(const char *text, struct run_options *out, struct options_error *err)
{
	struct run_share *s = &out->share[out->n_shares];
	char *rest, *part;

	if (out->n_shares == RUN_MAX_SHARES)
		return options_bad(err, "--share %s: at most %d shared folders", text, RUN_MAX_SHARES);
	s->text = rest = strdup(text);
	if (!rest)
		return no_memory(err);
	if (out->n_shares++)
		snprintf(s->default_tag, sizeof(s->default_tag), "share%u", out->n_shares);
	else
		snprintf(s->default_tag, sizeof(s->default_tag), "share");
	s->tag = s->default_tag;
	s->dir = next_part(&rest);
	if (!*s->dir)
		return options_bad(err, "--share %s: the directory's name is missing", text);
	while ((part = next_part(&rest)) != NULL) {
		const char *tag = value_of(part, "tag");

		if (tag)
			s->tag = tag;
		else if (strcmp(part, "ro") == 0)
			s->read_only = true;
		else
			return options_bad(err, "--share %s: '%s': must be ro or tag=NAME", s->dir, part);
	}
	return check_share(out, s, err);
}

/* ---- the others ---- */

int options_add_terminal(const char *text, struct run_options *out, struct options_error *err)
{
	struct run_terminal *t = &out->terminal[out->n_terminals];
	const char *path = value_of(text, "unix");

	if (out->n_terminals == RUN_MAX_TERMINALS)
		return options_bad(err, "--terminal %s: at most %d of them", text, RUN_MAX_TERMINALS);
	if (!path && strcmp(text, "pty") != 0)
		return options_bad(err, "--terminal %s: must be pty or unix=PATH", text);
	if (path && (!*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)))
		return options_bad(err, "--terminal %s: a socket's path has 1 to %zu bytes", text,
				   sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	t->path = path;
	out->n_terminals++;
	return 0;
}

int options_add_env(const char *text, struct run_options *out, struct options_error *err)
{
	size_t n = strcspn(text, "=");

	if (!n || text[n] != '=')
		return options_bad(err, "--env %s: must be NAME=VALUE", text);
	if (out->n_env == RUN_MAX_ENV)
		return options_bad(err, "--env %s: at most %d of them", text, RUN_MAX_ENV);
	out->env[out->n_env++] = text;
	return 0;
}

int options_parse_balloon(const char *text, struct run_options *out, struct options_error *err)
{
	int r = options_parse_size(text, &out->balloon_bytes);

	if (r == -EINVAL)
		return options_bad(err, "--balloon %s: not a size; write 64M", text);
	if (r || out->balloon_bytes % BALLOON_UNIT)
		return options_bad(err, "--balloon %s: must be a multiple of 4K", text);
	out->balloon = true;
	return 0;
}

/* ---- all together ---- */

/* True if there is a file beside PATH/NAME.img that is called PATH/NAME and suffix; *out is allocated in any case, or NULL. */
static bool beside(const char *disk, const char *suffix, char **out)
{
	const char *slash = strrchr(disk, '/'), *dot = strrchr(slash ? slash : disk, '.');
	int stem = dot ? (int)(dot - disk) : (int)strlen(disk);

	if (asprintf(out, "%.*s%s", stem, disk, suffix) < 0)
		*out = NULL;
	return *out && access(*out, F_OK) == 0;
}

/* As `disco guest build` leaves them: NAME.img, NAME.vmlinuz (or unpacked: NAME.vmlinux), NAME.initrd. */
static int find_kernel(struct run_options *out, struct options_error *err)
{
	static const char *const suffixes[] = {".vmlinux", ".vmlinuz"};
	bool found = false;

	if (out->kernel)
		return 0;
	if (!out->n_disks)
		return options_bad(err, "--kernel: missing; run needs a kernel to boot, see 'disco help run'");
	for (unsigned i = 0; i < ARRAY_LEN(suffixes) && !found; i++) {
		free(out->found_kernel);
		found = beside(out->disk[0].path, suffixes[i], &out->found_kernel);
		if (!out->found_kernel)
			return no_memory(err);
	}
	if (!found)
		return options_bad(err, "--kernel: missing, and there is no %s beside the disk", out->found_kernel);
	out->kernel = out->found_kernel;
	if (!out->initrd && beside(out->disk[0].path, ".initrd", &out->found_initrd))
		out->initrd = out->found_initrd;
	return 0;
}

static const char *const net_names[] = {[NET_NONE] = "none", [NET_USER] = "user", [NET_SOCKET] = "socket"};

/*
 * The kernel's command line: the user's, or what the devices suggest; then what the initramfs (guest/agent/) must know.
 * One card behind NAT is what it expects if nothing is said.  The tests of ciphers that Linux makes at each boot cost 0.1 s.
 */
static int make_append(struct run_options *out, struct options_error *err)
{
	bool agent = out->command || out->quiet_boot;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return no_memory(err);
	if (out->append)
		fputs(out->append, f);
	else if (out->n_disks)
		fprintf(f, "console=ttyS0 cryptomgr.notests root=/dev/vda %s",
			out->disk[0].mode == DISK_RO ? "ro" : "rw");
	else if (agent)
		fputs("console=ttyS0 cryptomgr.notests", f);
	if (agent)
		fprintf(f, " quiet disco.agent=%s", out->command ? "run" : "ready");
	if (out->n_nets > 1 || (out->n_nets && out->net[0].kind != NET_USER))
		for (unsigned i = 0; i < out->n_nets; i++)
			fprintf(f, "%s%s", i ? "," : " disco.net=", net_names[out->net[i].kind]);
	if (out->n_terminals)
		fprintf(f, " disco.terminals=%u", out->n_terminals);
	if (fclose(f)) {
		free(text);
		return no_memory(err);
	}
	out->made_append = text;
	out->append = text;
	return 0;
}

int options_complete_run(struct run_options *out, struct options_error *err)
{
	int r = find_kernel(out, err);

	if (r)
		return r;
	if (out->script)
		out->command = true;
	if (out->n_env && !out->command)
		return options_bad(err, "--env: only with a command, after '--'");
	if (out->balloon && out->balloon_bytes >= out->mem_bytes)
		return options_bad(err, "--balloon: the machine has only %lluM",
				   (unsigned long long)out->mem_bytes >> 20);
	/* A run that is to be repeated does not hear from the outside unless told. */
	if (!out->n_nets && !out->net_none && !out->icount) {
		r = options_add_net("user", out, err);
		if (r)
			return r;
	}
	r = make_append(out, err);
	if (!r && out->script)
		r = options_check_file("--script", out->script, err);
	return r;
}

void options_free_run(struct run_options *o)
{
	for (unsigned i = 0; i < o->n_disks; i++)
		free(o->disk[i].text);
	for (unsigned i = 0; i < o->n_shares; i++)
		free(o->share[i].text);
	for (unsigned i = 0; i < o->n_nets; i++)
		net_config_free(&o->net[i]);
	free(o->found_kernel);
	free(o->found_initrd);
	free(o->made_append);
	*o = (struct run_options){0};
}
