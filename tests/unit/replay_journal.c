/* SPDX-License-Identifier: MIT */
/* The file of a recording: what was put into it comes out, and no file that lacks or changes a byte is taken. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/replay/journal.h"

#define HEADER "build 12\nkernel 34\nappend a b\n"

static char folder[] = "/tmp/disco-journal-XXXXXX";
static char path[64], other[64];
static struct journal_error err;

static void begin(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a", folder);
	snprintf(other, sizeof(other), "%s/b", folder);
}

static void end(void)
{
	unlink(path);
	unlink(other);
	rmdir(folder);
}

static void add(struct journal *j, enum journal_kind kind, uint64_t ns, const void *data, uint32_t bytes)
{
	const struct journal_event e = {
	    .kind = kind, .at = {ns, ns / 7}, .pc = 0x80001000u + (uint32_t)ns, .bytes = bytes};

	cr_assert_eq(journal_add(j, &e, data), 0);
}

/* 300 events: a boot, console input, another boot, the end. */
static void write_one(const char *to)
{
	struct journal_end stops = {.why = 2, .again = true, .state = 5};
	struct journal j = {0};

	cr_assert_eq(journal_create(&j, to, HEADER, &err), 0, "%s", err.text);
	add(&j, JOURNAL_BOOT, 0, NULL, 0);
	for (uint32_t i = 1; i < 297; i++)
		add(&j, JOURNAL_CONSOLE, 10 * i, "0123456789abcdef", i % 17);
	add(&j, JOURNAL_END, 3000, &stops, sizeof(stops));
	add(&j, JOURNAL_BOOT, 0, NULL, 0);
	stops.again = false;
	add(&j, JOURNAL_END, 4000, &stops, sizeof(stops));
	cr_assert_eq(journal_close(&j), 0);
}

static int load(const char *from, const char *header)
{
	struct journal j = {0};
	int r;

	err.text[0] = 0;
	r = journal_load(&j, from, header, &err);
	cr_assert_eq(!r, !err.text[0]);
	cr_assert_null(strchr(err.text, '\n'));
	cr_assert_eq(journal_close(&j), 0);
	return r;
}

Test(replay_journal, comes_back, .init = begin, .fini = end)
{
	struct journal j = {0};

	write_one(path);
	cr_assert_eq(journal_load(&j, path, HEADER, &err), 0, "%s", err.text);
	cr_assert_eq(j.n, 300u);
	for (uint32_t i = 1; i < 297; i++) {
		const struct journal_event *e = &j.event[i];

		cr_assert_eq(e->kind, JOURNAL_CONSOLE);
		cr_assert_eq(e->at.ns, 10 * i);
		cr_assert_eq(e->at.exceptions, 10 * i / 7);
		cr_assert_eq(e->pc, 0x80001000u + 10 * i);
		cr_assert_eq(e->bytes, i % 17);
		cr_assert(memcmp(journal_data(&j, e), "0123456789abcdef", e->bytes) == 0);
	}
	cr_assert_eq(journal_close(&j), 0);
}

Test(replay_journal, another_header, .init = begin, .fini = end)
{
	write_one(path);
	cr_assert_eq(load(path, "build 12\nkernel 35\nappend a b\n"), -EINVAL);
	cr_assert(strstr(err.text, "'kernel' was 'kernel 34', and is 'kernel 35'"), "%s", err.text);
	cr_assert_eq(load(path, "build 12\nkernel 34\n"), -EINVAL);
	cr_assert(strstr(err.text, "'append' was 'append a b', and is ''"), "%s", err.text);
	cr_assert_eq(load(path, HEADER "disk 1\n"), -EINVAL);
	cr_assert(strstr(err.text, "'disk' was '', and is 'disk 1'"), "%s", err.text);
}

static void put(const char *to, const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(to, "w");

	cr_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

Test(replay_journal, nothing_is_missing_or_changed, .init = begin, .fini = end)
{
	static uint8_t bytes[1 << 16], copy[1 << 16];
	FILE *f;
	size_t n;

	write_one(path);
	f = fopen(path, "r");
	cr_assert(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	cr_assert(n > 12000 && n < sizeof(bytes));
	for (size_t i = 0; i < n; i += 1 + i / 64) {
		put(other, bytes, i);
		cr_assert_eq(load(other, HEADER), -EINVAL, "%zu of %zu bytes were taken", i, n);
	}
	for (size_t i = 0; i < n; i += 1 + i / 64) {
		memcpy(copy, bytes, n);
		copy[i] ^= (uint8_t)(1u << i % 8);
		put(other, copy, n);
		cr_assert_eq(load(other, HEADER), -EINVAL, "byte %zu of %zu was changed, and taken", i, n);
	}
	put(other, bytes, n);
	cr_assert_eq(load(other, HEADER), 0);
}

Test(replay_journal, no_file_is_overwritten, .init = begin, .fini = end)
{
	struct journal j = {0};

	write_one(path);
	cr_assert_eq(journal_create(&j, path, HEADER, &err), -EEXIST);
	cr_assert(strstr(err.text, "is there already"), "%s", err.text);
	cr_assert_eq(load(path, HEADER), 0);
}
