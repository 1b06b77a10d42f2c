/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/cli/options_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
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

int options_place(struct run_options *out, const char **path, struct options_error *err)
{
	char *placed;

	if (!out->folder || !*path || **path == '/')
		return 0;
	if (out->n_placed == RUN_MAX_PATHS || asprintf(&placed, "%s%s", out->folder, *path) < 0)
		return no_memory(err);
	out->placed[out->n_placed++] = placed;
	*path = placed;
	return 0;
}

/* ---- --disk ---- */

OPTION_TYPE(serial, const char *);
static int option_serial(void *field, const struct option_value *v)
{
	for (const char *c = v->text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return option_bad(v, "printable characters only");
	if (!*v->text || strlen(v->text) > SERIAL_MAX_BYTES)
		return option_bad(v, "must have 1 to %d characters", SERIAL_MAX_BYTES);
	*(const char **)field = v->text;
	return 0;
}

const struct option_row options_disk_keys[] = {
#define DISK_KEY(...) OPTION_ROW(struct run_disk, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

/* What keys' messages begin with. */
static void where(char *out, size_t bytes, const struct option_value *v, const char *name)
{
	snprintf(out, bytes, "%s %.80s", v->row->name, name);
}

int option_disk(void *field, const struct option_value *v)
{
	struct run_options *out = v->all;
	struct run_disk *d = (struct run_disk *)field + out->n_disks;
	char *rest, name[128];
	int r;

	if (out->n_disks == RUN_MAX_DISKS)
		return option_bad(v, "at most %d disks", RUN_MAX_DISKS);
	*d = (struct run_disk){.mode = -1, .werror = DISK_ENOSPC};
	d->text = rest = strdup(v->text);
	if (!rest)
		return no_memory(v->err);
	out->n_disks++;
	d->path = option_next_part(&rest);
	if (!*d->path)
		return option_bad(v, "the file's name is missing");
	where(name, sizeof(name), v, d->path);
	r = option_parse_keys(options_disk_keys, name, rest, d, false, v->err);
	r = r ? r : options_place(out, &d->path, v->err);
	r = r ? r : options_place(out, &d->overlay, v->err);
	if (r)
		return r;
	if (d->overlay && d->mode >= 0 && d->mode != DISK_COW)
		return option_bad(v, "overlay= is for mode=cow");
	if (d->mode < 0)
		d->mode = d->overlay ? DISK_COW : DISK_RW;
	return options_check_file(v->row->name, d->path, v->err);
}

/* ---- --net ---- */

static int add_net(const char *text, struct run_options *out, struct options_error *err)
{
	struct net_config *n = &out->net[out->n_nets];
	int r = net_config_parse(text, n, err);

	if (r)
		return r;
	if (out->folder && n->path && *n->path != '/') {
		char *path = NULL;

		if (asprintf(&path, "%s%s", out->folder, n->path) < 0) {
			net_config_free(n);
			return no_memory(err);
		}
		free((char *)(uintptr_t)n->path); /* its own */
		n->path = path;
	}
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

int option_net(void *field, const struct option_value *v)
{
	struct run_options *out = v->all;

	if (out->n_nets == RUN_MAX_NETS)
		return option_bad(v, "at most %d network cards", RUN_MAX_NETS);
	return add_net(v->text, out, v->err);
}

/* ---- --share ---- */

const struct option_row options_share_keys[] = {
#define SHARE_KEY(...) OPTION_ROW(struct run_share, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

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
		return options_bad(err, "--share %.200s: tag=%.100s: 1 to %d letters, digits, '.', '_' and '-'", s->dir,
				   s->tag, TAG_MAX_BYTES);
	for (const struct run_share *other = out->share; other < s; other++)
		if (strcmp(other->tag, s->tag) == 0)
			return options_bad(err, "--share %.200s: tag=%s: is that of %.200s already", s->dir, s->tag,
					   other->dir);
	if (stat(s->dir, &st) != 0)
		return options_bad(err, "--share %.300s: %s", s->dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return options_bad(err, "--share %.300s: is not a directory", s->dir);
	if (access(s->dir, R_OK | X_OK) != 0)
		return options_bad(err, "--share %.300s: %s", s->dir, strerror(errno));
	return 0;
}

int option_share(void *field, const struct option_value *v)
{
	struct run_options *out = v->all;
	struct run_share *s = (struct run_share *)field + out->n_shares;
	char *rest, name[128], number[12] = "";
	int r;

	if (out->n_shares == RUN_MAX_SHARES)
		return option_bad(v, "at most %d shared folders", RUN_MAX_SHARES);
	/* the default tag behind the text */
	if (out->n_shares++)
		snprintf(number, sizeof(number), "%u", out->n_shares);
	if (asprintf(&s->text, "%s%cshare%s", v->text, 0, number) < 0) {
		s->text = NULL;
		return no_memory(v->err);
	}
	rest = s->text;
	s->tag = s->text + strlen(s->text) + 1;
	s->dir = option_next_part(&rest);
	if (!*s->dir)
		return option_bad(v, "the directory's name is missing");
	where(name, sizeof(name), v, s->dir);
	r = option_parse_keys(options_share_keys, name, rest, s, false, v->err);
	r = r ? r : options_place(out, &s->dir, v->err);
	return r ? r : check_share(out, s, v->err);
}

/* ---- the others ---- */

OPTION_TYPE(pty, const char *);
static int option_pty(void *field, const struct option_value *v)
{
	*(const char **)field = NULL;
	return 0;
}

OPTION_TYPE(unix_path, const char *);
static int option_unix_path(void *field, const struct option_value *v)
{
	*(const char **)field = v->text;
	return *v->text ? 0 : option_bad(v, "a socket's path has at least one byte");
}

const struct option_row options_terminal_kinds[] = {
#define TERMINAL_KIND(...) OPTION_ROW(struct run_terminal, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

int option_terminal(void *field, const struct option_value *v)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	struct run_options *out = v->all;
	struct run_terminal *t = (struct run_terminal *)field + out->n_terminals;
	int r;

	if (out->n_terminals == RUN_MAX_TERMINALS)
		return option_bad(v, "at most %d of them", RUN_MAX_TERMINALS);
	out->n_terminals++;
	r = option_parse_key(options_terminal_kinds, v->row->name, v->text, t, NULL, v->err);
	r = r ? r : options_place(out, &t->path, v->err);
	if (!r && t->path && strlen(t->path) > most)
		return option_bad(v, "a socket's path has at most %zu bytes", most);
	return r;
}

int option_env(void *field, const struct option_value *v)
{
	struct run_options *out = v->all;
	size_t n = strcspn(v->text, "=");

	if (!n || v->text[n] != '=')
		return option_bad(v, "must be NAME=VALUE");
	if (out->n_env == RUN_MAX_ENV)
		return option_bad(v, "at most %d of them", RUN_MAX_ENV);
	((const char **)field)[out->n_env++] = v->text;
	return 0;
}

static bool region_name_is_good(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && (!i || !strchr("._-", name[i])))
			return false;
	return n && n < REGION_NAME_BYTES;
}

int option_region(void *field, const struct option_value *v)
{
	struct run_options *out = v->all;
	struct run_region *r = (struct run_region *)field + out->n_regions;
	size_t n = strcspn(v->text, "=");

	if (out->n_regions == RUN_MAX_REGIONS)
		return option_bad(v, "at most %d of them", RUN_MAX_REGIONS);
	if (v->text[n] != '=' || !region_name_is_good(v->text, n))
		return option_bad(
		    v,
		    "must be NAME=SIZE; NAME: 1 to %d letters, digits, '.', '_' and '-', the first a letter or digit",
		    REGION_NAME_BYTES - 1);
	*r = (struct run_region){0};
	memcpy(r->name, v->text, n);
	for (const struct run_region *other = field; other < r; other++)
		if (strcmp(other->name, r->name) == 0)
			return option_bad(v, "there are two of that name");
	if (option_size(v->text + n + 1, &r->bytes) || !r->bytes || r->bytes % PAGE_BYTES ||
	    r->bytes / PAGE_BYTES > REGION_MAX_PAGES)
		return option_bad(v, "SIZE must be a multiple of 4K, up to %lluM; write 1M",
				  REGION_MAX_PAGES * (unsigned long long)PAGE_BYTES >> 20);
	out->n_regions++;
	return 0;
}

int option_balloon(void *field, const struct option_value *v)
{
	int r = option_size(v->text, field);

	if (r == -EINVAL)
		return option_bad(v, "not a size; write 64M");
	if (r || *(uint64_t *)field % BALLOON_UNIT)
		return option_bad(v, "must be a multiple of 4K");
	((struct run_options *)v->all)->balloon = true;
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

static const char *const net_names[] = {
    [NET_NONE] = "none", [NET_USER] = "user", [NET_LAN] = "lan", [NET_SOCKET] = "socket"};

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
			fprintf(f, "%s%s",
				i ? "," : " disco.net=", out->net[i].gateway ? "gateway" : net_names[out->net[i].kind]);
	/* What a machine of several has freed, others can have: free pages in blocks of 8 KiB, not only of 4 MiB. */
	if (out->reports && (out->append || out->n_disks || agent))
		fputs(" disco.report=1", f);
	if (out->n_terminals)
		fprintf(f, " disco.terminals=%u", out->n_terminals);
	if (out->n_regions)
		fprintf(f, " disco.regions=%u", out->n_regions);
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
	out->several |= out->vms > 1;
	out->icount |= out->numa.flash; /* time is a function of what is executed, too */
	out->reports =
	    out->several && !out->icount; /* a run that is to be repeated is the same with others and without */
	out->balloon |= out->reports;
	if (out->script)
		out->command = true;
	if (out->n_env && !out->command)
		return options_bad(err, "--env: only with a command, after '--'");
	if (out->tty != RUN_TTY_AUTO && !out->command)
		return options_bad(err, "--%stty: only with a command, after '--'",
				   out->tty == RUN_TTY_OFF ? "no-" : "");
	if (out->balloon && out->balloon_bytes >= out->mem_bytes)
		return options_bad(err, "--balloon: the machine has only %lluM",
				   (unsigned long long)out->mem_bytes >> 20);
	if (out->numa.sample && out->icount)
		return options_bad(err, "--numa sample: not with --icount, which has one processor");
	if (out->numa.flash && out->processors)
		return options_bad(err, "--processors: not with --numa flash, which has those of its nodes");
	if (out->numa.flash && (out->shares || out->cap))
		return options_bad(err, "%s: not with --numa flash, whose machines have processors in turn",
				   out->shares ? "--shares" : "--cap");
	/* A run that is to be repeated does not hear from the outside unless told. */
	if (!out->n_nets && !out->net_none && !out->icount) {
		r = add_net("user", out, err);
		if (r)
			return r;
	}
	r = options_check_record(out, err);
	return r ? r : make_append(out, err);
}

void options_free_run(struct run_options *o)
{
	for (unsigned i = 0; i < o->n_disks; i++)
		free(o->disk[i].text);
	for (unsigned i = 0; i < o->n_shares; i++)
		free(o->share[i].text);
	for (unsigned i = 0; i < o->n_nets; i++)
		net_config_free(&o->net[i]);
	free((char *)(uintptr_t)o->dump_filter.symbol);
	free((char *)(uintptr_t)o->trace.file);
	for (unsigned i = 0; i < o->n_placed; i++)
		free(o->placed[i]);
	free(o->found_kernel);
	free(o->found_initrd);
	free(o->made_append);
	*o = (struct run_options){0};
}
