/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_9P_GEN_H
#define TESTS_UNIT_PV_9P_GEN_H

/*
 * 9P messages by hand, and by chance, for the unit tests and the fuzz target; and a share with something beside it that no
 * message may reach.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pv-drivers/share/p9.h"

enum p9_type {
	RLERROR = 7,
	TSTATFS = 8,
	TLOPEN = 12,
	TLCREATE = 14,
	TSYMLINK = 16,
	TMKNOD = 18,
	TRENAME = 20,
	TREADLINK = 22,
	TGETATTR = 24,
	TSETATTR = 26,
	TXATTRWALK = 30,
	TXATTRCREATE = 32,
	TREADDIR = 40,
	TFSYNC = 50,
	TLOCK = 52,
	TGETLOCK = 54,
	TLINK = 70,
	TMKDIR = 72,
	TRENAMEAT = 74,
	TUNLINKAT = 76,
	TVERSION = 100,
	TAUTH = 102,
	TATTACH = 104,
	TFLUSH = 108,
	TWALK = 110,
	TREAD = 116,
	TWRITE = 118,
	TCLUNK = 120,
	TREMOVE = 122,
};

#define P9_SECRET "what is beside the share is nobody's"

struct p9_message {
	uint8_t b[70000];
	uint32_t n;
};

static inline void p9_add(struct p9_message *m, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		m->b[m->n++] = (uint8_t)(v >> (8 * i));
}

static inline void p9_add_string(struct p9_message *m, const char *s, size_t n)
{
	p9_add(m, n, 2);
	memcpy(m->b + m->n, s, n);
	m->n += (uint32_t)n;
}

static inline void p9_begin(struct p9_message *m, uint8_t type, uint16_t tag)
{
	m->n = 0;
	p9_add(m, 0, 4);
	p9_add(m, type, 1);
	p9_add(m, tag, 2);
}

static inline void p9_end(struct p9_message *m)
{
	for (unsigned i = 0; i < 4; i++)
		m->b[i] = (uint8_t)(m->n >> (8 * i));
}

static inline uint64_t p9_at(const uint8_t *b, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

/* ---- a share, and what is beside it ---- */

struct p9_place {
	char top[64], share[80];
};

static inline void p9_put_file(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static inline int p9_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void p9_fill_share(const struct p9_place *p)
{
	static const char *const links[][2] = {
	    {"../outside/secret", "evil"}, {"../outside", "evildir"}, {"/", "abs"},
	    {"/proc/self/root", "magic"},  {"file", "link"},          {"loop", "loop"}};
	char path[128];
	int r = 0;

	r |= mkdir(p->share, 0755);
	p9_put_file(p->share, "file", "some text\n");
	snprintf(path, sizeof(path), "%s/dir", p->share);
	r |= mkdir(path, 0755);
	p9_put_file(path, "inner", "inner text\n");
	for (unsigned i = 0; i < ARRAY_LEN(links); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->share, links[i][1]);
		r |= symlink(links[i][0], path);
	}
	snprintf(path, sizeof(path), "%s/fifo", p->share);
	r |= mkfifo(path, 0666);
	if (r)
		abort();
}

static inline void p9_place_make(struct p9_place *p)
{
	const char *tmp = getenv("TMPDIR");
	char path[128];

	snprintf(p->top, sizeof(p->top), "%s/disco-9p-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(p->top))
		abort();
	snprintf(p->share, sizeof(p->share), "%s/share", p->top);
	snprintf(path, sizeof(path), "%s/outside", p->top);
	if (mkdir(path, 0755))
		abort();
	p9_put_file(path, "secret", P9_SECRET);
	p9_fill_share(p);
}

/* Is all beside the share as it was made? */
static inline bool p9_outside_intact(const struct p9_place *p)
{
	char path[128], text[64] = {0};
	struct dirent *e;
	unsigned n = 0, top = 0;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "%s/outside/secret", p->top);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f) || strcmp(text, P9_SECRET))
		return false;
	fclose(f);
	snprintf(path, sizeof(path), "%s/outside", p->top);
	d = opendir(path);
	while ((e = readdir(d)))
		n++;
	closedir(d);
	d = opendir(p->top);
	while ((e = readdir(d)))
		top++;
	closedir(d);
	return n == 3 && top == 4;
}

/* A guest may have taken the rights from directories, which stops all users but root. */
static inline void p9_remove_tree(const char *path)
{
	char command[256];

	if (!nftw(path, p9_remove_one, 16, FTW_DEPTH | FTW_PHYS))
		return;
	snprintf(command, sizeof(command), "chmod -R u+rwx '%s' && rm -rf '%s'", path, path);
	if (system(command))
		abort();
}

static inline void p9_share_empty(const struct p9_place *p) { p9_remove_tree(p->share); }
static inline void p9_place_remove(const struct p9_place *p) { p9_remove_tree(p->top); }

/* ---- by chance ---- */

/* Numbers from data while there is some, then (seed not 0) from a generator. */
struct p9_chance {
	const uint8_t *data;
	size_t left;
	uint64_t seed;
};

static inline uint32_t p9_chance(struct p9_chance *c, uint32_t below)
{
	uint32_t v = 0;

	if (c->seed) {
		c->seed ^= c->seed << 13;
		c->seed ^= c->seed >> 7;
		c->seed ^= c->seed << 17;
		v = (uint32_t)(c->seed >> 16);
	} else {
		for (unsigned i = 0; i < (below > 256 ? 4 : 1) && c->left; i++, c->left--)
			v = v << 8 | *c->data++;
	}
	return v % below;
}

static inline void p9_any_name(struct p9_chance *c, struct p9_message *m)
{
	static const char *const names[] = {
	    "file", "dir",  "inner", "evil",       "evildir",   "abs",         "magic",
	    "link", "loop", "fifo",  "new",        "a",         "b",           "..",
	    ".",    "",     "/",     "../outside", "dir/inner", "/etc/passwd", "evildir/secret"};
	static char longest[300];
	/* Half of them such that something is there, or may be. */
	uint32_t k = p9_chance(c, 2) ? p9_chance(c, 3) : p9_chance(c, ARRAY_LEN(names) + 3);

	if (k < ARRAY_LEN(names)) {
		p9_add_string(m, names[k], strlen(names[k]));
		return;
	}
	memset(longest, 'n', sizeof(longest));
	if (k == ARRAY_LEN(names))
		p9_add_string(m, longest, 250 + p9_chance(c, 10));
	else if (k == ARRAY_LEN(names) + 1)
		p9_add_string(m, "a\0b", 3);
	else
		p9_add(m, p9_chance(c, 65536), 2); /* a length, and nothing behind it */
}

static inline void p9_any_fid(struct p9_chance *c, struct p9_message *m) { p9_add(m, p9_chance(c, 8), 4); }

static inline void p9_any64(struct p9_chance *c, struct p9_message *m)
{
	static const uint64_t odd[] = {0, 1, 4096, INT64_MAX, INT64_MAX - 1, UINT64_MAX, 1ull << 63, UINT32_MAX};
	uint32_t k = p9_chance(c, 2 * ARRAY_LEN(odd));

	p9_add(m, k < ARRAY_LEN(odd) ? odd[k] : p9_chance(c, 100), 8);
}

/* The fields of a message: 1, 2, 4, 8 bytes; f a fid; s a name; d a count and data; w a walk; x a name of an attribute. */
static const struct {
	uint8_t type;
	const char *fields;
} p9_forms[] = {
    {TSTATFS, "f"},       {TLOPEN, "f4"},         {TLOPEN, "f4"},    {TLCREATE, "fs444"}, {TSYMLINK, "fss4"},
    {TMKNOD, "fs4444"},   {TRENAME, "ffs"},       {TREADLINK, "f"},  {TGETATTR, "f8"},    {TSETATTR, "f444488888"},
    {TXATTRWALK, "ffx"},  {TXATTRCREATE, "fx84"}, {TREADDIR, "f84"}, {TFSYNC, "f4"},      {TLOCK, "f14884s"},
    {TGETLOCK, "f1884s"}, {TLINK, "ffs"},         {TMKDIR, "fs44"},  {TRENAMEAT, "fsfs"}, {TUNLINKAT, "fs4"},
    {TATTACH, "f4ss4"},   {TATTACH, "f4004"},     {TFLUSH, "2"},     {TWALK, "ffw"},      {TWALK, "ffw"},
    {TWALK, "ffw"},       {TREAD, "f84"},         {TWRITE, "f8d"},   {TCLUNK, "f"},       {TREMOVE, "f"},
    {TVERSION, "4v"},     {TAUTH, "fss4"},
};

static inline void p9_any_field(struct p9_chance *c, struct p9_message *m, char field)
{
	static const char *const xattrs[] = {"user.a", "user.b", "security.capability", "system.posix_acl_access",
					     "",       "user."};
	uint32_t n;

	switch (field) {
	case '0':
		p9_add(m, 0, 2);
		break;
	case '1':
		p9_add(m, p9_chance(c, 4), 1);
		break;
	case '2':
		p9_add(m, p9_chance(c, 4), 2);
		break;
	case '4': /* flags, modes, counts */
		n = p9_chance(c, 4);
		p9_add(m, n == 0 ? p9_chance(c, 4096) : n == 1 ? UINT32_MAX : n == 2 ? 2 : 0100644, 4);
		break;
	case '8':
		p9_any64(c, m);
		break;
	case 'f':
		p9_any_fid(c, m);
		break;
	case 's':
		p9_any_name(c, m);
		break;
	case 'x':
		n = p9_chance(c, ARRAY_LEN(xattrs));
		p9_add_string(m, xattrs[n], strlen(xattrs[n]));
		break;
	case 'd':
		n = p9_chance(c, 300);
		p9_add(m, n, 4);
		memset(m->b + m->n, 'd', n);
		m->n += n;
		break;
	case 'v':
		p9_add_string(m, "9P2000.L", 8);
		break;
	case 'w':
		n = p9_chance(c, 4);
		p9_add(m, n, 2);
		while (n--)
			p9_any_name(c, m);
		break;
	}
}

/* A message that is mostly right. */
static inline void p9_any_message(struct p9_chance *c, struct p9_message *m)
{
	uint32_t k = p9_chance(c, ARRAY_LEN(p9_forms)), harm;

	if (p9_forms[k].type == TVERSION && p9_chance(c, 64)) /* ends all: not so often */
		k = 0;
	p9_begin(m, p9_forms[k].type, (uint16_t)p9_chance(c, 4));
	for (const char *f = p9_forms[k].fields; *f; f++)
		p9_any_field(c, m, *f);
	p9_end(m);
	harm = p9_chance(c, 32);
	if (harm == 0) /* cut */
		m->n = p9_chance(c, m->n + 1);
	else if (harm == 1) /* cut, and says so */
		m->n = 7 + p9_chance(c, m->n - 6), p9_end(m);
	else if (harm == 2) /* a wrong byte */
		m->b[p9_chance(c, m->n)] = (uint8_t)p9_chance(c, 256);
	else if (harm == 3) /* a wrong length */
		m->b[0] = (uint8_t)p9_chance(c, 256);
}

/* Scatter [b, b + n) over iovecs of chance lengths; returns how many, at most max. */
static inline unsigned p9_scatter(struct p9_chance *c, uint8_t *b, size_t n, struct iovec *iov, unsigned max)
{
	unsigned k = 0;

	while (n && k < max) {
		size_t run = k + 1 == max || !p9_chance(c, 3) ? n : 1 + p9_chance(c, 16);

		run = run < n ? run : n;
		iov[k++] = (struct iovec){.iov_base = b, .iov_len = run};
		b += run;
		n -= run;
	}
	return k;
}

/*
 * One message and its answer, with what must hold of any: false if not.  in is room for the answer; *n is its length.
 */
static inline bool p9_exchange(struct p9_server *s, struct p9_chance *c, struct p9_message *m, uint8_t *in, size_t room,
			       uint32_t *n)
{
	struct iovec out_iov[8], in_iov[8];
	unsigned n_out = p9_scatter(c, m->b, m->n, out_iov, ARRAY_LEN(out_iov));
	unsigned n_in = p9_scatter(c, in, room, in_iov, ARRAY_LEN(in_iov));

	memset(in, 0xee, room);
	/* Both ways: what is put off has done nothing, and is done then. */
	if (!p9_chance(c, 2) || !p9_serve_now(s, out_iov, n_out, in_iov, n_in, n))
		*n = p9_serve(s, out_iov, n_out, in_iov, n_in);
	if (!*n)
		return m->n < 7 || room < 11;
	if (*n < 7 || *n > room || p9_at(in, 4) != *n || p9_at(in + 5, 2) != p9_at(m->b + 5, 2))
		return false;
	if (in[4] == RLERROR ? *n != 11 : in[4] != m->b[4] + 1)
		return false;
	for (size_t i = *n; i < room && in[4] != TREAD + 1; i++)
		if (in[i] != 0xee)
			return false;
	return !memmem(in, *n, P9_SECRET, strlen(P9_SECRET));
}

#endif
