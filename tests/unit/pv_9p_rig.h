/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_9P_RIG_H
#define TESTS_UNIT_PV_9P_RIG_H

/* One server over a share of its own, and messages to it, for the unit tests.  The includer defines _GNU_SOURCE. */
#include <criterion/criterion.h>
#include <stdarg.h>

#include "pv-drivers/share/p9_server.h"
#include "tests/unit/pv_9p_gen.h"

/* errno as a MIPS program knows it */
enum {
	MIPS_ENOTEMPTY = 93,
	MIPS_ELOOP = 90,
	MIPS_ENAMETOOLONG = 78,
	MIPS_EOPNOTSUPP = 122,
	MIPS_ESTALE = 151,
	MIPS_EMSGSIZE = 97
};
enum { RDONLY = 0, WRONLY = 1, RDWR = 2, EXCL = 0200, TRUNC = 01000, APPEND = 02000 };

static struct p9_place place;
static struct p9_server *server;
static struct p9_message m;
static uint8_t reply[1 << 17];
static struct p9_chance chance = {.seed = 1};

static inline char *in_share(const char *name)
{
	static char path[400];

	snprintf(path, sizeof(path), "%s/%s", place.share, name);
	return path;
}

/* Send what is in m; 0, or the error of the answer. */
static inline uint32_t send_in(size_t room)
{
	uint32_t n;

	p9_end(&m);
	cr_assert(p9_exchange(server, &chance, &m, reply, room, &n), "an answer that is none, to type %u", m.b[4]);
	cr_assert(n);
	return reply[4] == RLERROR ? (uint32_t)p9_at(reply + 7, 4) : 0;
}

/* Fields as in p9_any_field(): 1, 2, 4, 8 bytes of an integer (unsigned long), s a string. */
static inline uint32_t call(uint8_t type, const char *fields, ...)
{
	va_list ap;

	va_start(ap, fields);
	p9_begin(&m, type, 3);
	for (; *fields; fields++) {
		if (*fields == 's') {
			const char *s = va_arg(ap, const char *);

			p9_add_string(&m, s, strlen(s));
		} else {
			p9_add(&m, va_arg(ap, unsigned long), (unsigned)(*fields - '0'));
		}
	}
	va_end(ap);
	return send_in(sizeof(reply));
}

static inline void open_server(bool read_only)
{
	umask(022);
	p9_place_make(&place);
	cr_assert_eq(p9_server_new(&server, place.share, read_only), 0);
	cr_assert_eq(call(TVERSION, "4s", 65536ul, "9P2000.L"), 0);
	cr_assert_eq(p9_at(reply + 7, 4), 65536);
	cr_assert_eq(call(TATTACH, "44ss4", 0ul, ~0ul, "root", "", 0ul), 0);
	cr_assert_eq(reply[7], 0x80);
}

static inline void teardown(void)
{
	p9_server_free(server);
	cr_expect(p9_outside_intact(&place));
	p9_place_remove(&place);
}

static inline uint32_t walk1(unsigned long fid, unsigned long new, const char *name)
{
	return call(TWALK, "442s", fid, new, 1ul, name);
}

/* Fid `new` is the root's entry `name`, open. */
static inline void open_file(unsigned long new, const char *name, unsigned long flags)
{
	cr_assert_eq(walk1(0, new, name), 0, "walk %s", name);
	cr_assert_eq(call(TLOPEN, "44", new, flags), 0, "open %s", name);
}

static inline uint32_t write_at(unsigned long fid, unsigned long off, const char *text)
{
	size_t n = strlen(text);

	p9_begin(&m, TWRITE, 9);
	p9_add(&m, fid, 4);
	p9_add(&m, off, 8);
	p9_add(&m, n, 4);
	memcpy(m.b + m.n, text, n);
	m.n += (uint32_t)n;
	return send_in(sizeof(reply));
}

/* What a file of the share holds. */
static inline const char *content(const char *name)
{
	static char text[256];
	FILE *f = fopen(in_share(name), "r");
	size_t n;

	cr_assert(f, "%s", name);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

/* The host renames something of the share. */
static inline void host_rename(const char *from, const char *to)
{
	char old[400];

	snprintf(old, sizeof(old), "%s", in_share(from));
	cr_assert_eq(rename(old, in_share(to)), 0, "rename %s to %s", from, to);
}

static inline unsigned open_files(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
