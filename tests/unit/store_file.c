/* SPDX-License-Identifier: MIT */
/* Files of the translation store: whatever became of them, what is found is what was stored, or nothing. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jit/store/store_internal.h"
#include "tests/unit/ir_gen.h"

enum { BLOCKS = 120, MAX_WORDS = 20, MAX_BYTES = 400, DAMAGES = 1000 };

static char folder[64];
static const struct store_place place = {.mode = 2, .off = 0x100};
static const char flavour[] = "this", other_flavour[] = "that";

static void make_folder(void)
{
	strcpy(folder, "/tmp/store_file_XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) { return remove(path); }
static void remove_folder(void) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static unsigned warnings;
static void warn(void *opaque, const char *text)
{
	cr_assert(strstr(text, "translation store"), "%s", text);
	__atomic_fetch_add(&warnings, 1, __ATOMIC_RELAXED);
}

static struct store *open_sized(const char *kind, uint64_t bytes)
{
	struct store_config cfg = {.folder = folder, .bytes = bytes, .warn = warn};
	struct store_error err;
	struct store *s;

	cr_assert_eq(store_open(&s, &cfg, &err), 0, "%s", err.text);
	cr_assert(store_begin(s, kind, strlen(kind)));
	return s;
}

static struct store *open_store(void) { return open_sized(flavour, STORE_DEFAULT_BYTES); }

/* Block number i is anything, but always the same. */
struct block {
	uint32_t n_words, bytes;
	uint32_t word[MAX_WORDS];
	uint8_t data[MAX_BYTES];
};

static void make(struct block *b, unsigned i)
{
	struct ir_gen g = {i * 7919u + 1};

	b->n_words = 1 + ir_gen_below(&g, MAX_WORDS);
	b->bytes = 1 + ir_gen_below(&g, MAX_BYTES);
	b->word[0] = 7; /* many begin like this */
	for (uint32_t k = 1; k < b->n_words; k++)
		b->word[k] = (uint32_t)ir_gen_next(&g);
	if (b->n_words == 1)
		b->word[0] = i;
	for (uint32_t k = 0; k < b->bytes; k++)
		b->data[k] = (uint8_t)ir_gen_next(&g);
}

/* The first ones are made once. */
static const struct block *block(unsigned i)
{
	static struct block first[BLOCKS], other;
	static bool made[BLOCKS];

	if (i >= BLOCKS) {
		make(&other, i);
		return &other;
	}
	if (!made[i])
		make(&first[i], i);
	made[i] = true;
	return &first[i];
}

static void add(struct store *s, unsigned i)
{
	const struct block *b = block(i);

	store_add(s, &place, b->word, b->n_words, b->data, b->bytes);
}

/* Is it found? If so it is what it was. */
static bool find(struct store *s, unsigned i)
{
	static uint8_t page[PAGE_BYTES];
	const struct block *b = block(i);
	const void *data;
	uint32_t bytes;

	memcpy(page + place.off, b->word, sizeof(b->word));
	data = store_find(s, &place, page, &bytes);
	if (!data)
		return false;
	cr_assert_eq(bytes, b->bytes, "block %u", i);
	cr_assert_eq(memcmp(data, b->data, bytes), 0, "block %u is another one", i);
	return true;
}

static unsigned count(struct store *s, unsigned from, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = from; i < from + n; i++)
		found += find(s, i);
	return found;
}

static void fill(struct store *s, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		add(s, i);
}

/* The file of a flavour. */
static void path_of(const char *kind, char path[256])
{
	struct store_key key;

	cr_assert(store_make_key(kind, strlen(kind), &key));
	snprintf(path, 256, "%s/%016llx%016llx" STORE_SUFFIX, folder, (unsigned long long)key.hash.high64,
		 (unsigned long long)key.hash.low64);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static uint8_t *read_file(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;

	cr_assert_not_null(f);
	*bytes = size_of(path);
	data = malloc(*bytes + 1);
	cr_assert_eq(fread(data, 1, *bytes, f), *bytes);
	fclose(f);
	return data;
}

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0600), 0);
}

Test(store_file, what_was_stored)
{
	struct store *s;

	make_folder();
	s = open_store();
	fill(s, 0, BLOCKS);
	cr_assert_eq(count(s, 0, BLOCKS), 0u, "it is written when it is closed");
	store_close(s);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), BLOCKS);
	cr_assert_eq(count(s, BLOCKS, BLOCKS), 0u);
	fill(s, 0, 2 * BLOCKS);
	cr_assert_eq(store_stats(s).added, BLOCKS, "what is there is not added");
	store_close(s);
	s = open_store();
	cr_assert_eq(count(s, 0, 2 * BLOCKS), 2 * BLOCKS);
	cr_assert_eq(store_stats(s).known, 2 * BLOCKS);
	cr_assert_eq(store_stats(s).taken, 2 * BLOCKS);
	store_close(s);
	s = open_sized(other_flavour, STORE_DEFAULT_BYTES);
	cr_assert_eq(count(s, 0, BLOCKS), 0u);
	store_close(s);
	remove_folder();
}

/* ---- damage ---- */

enum damage { BYTES, CUT, ZEROES, OTHER_BUILD, GARBAGE_BEHIND, MOVED, REPEATED, NUM_DAMAGES };

/* data has room for twice the bytes. */
static size_t harm(struct ir_gen *g, enum damage how, uint8_t *data, size_t bytes, const uint8_t *others)
{
	uint32_t at = ir_gen_below(g, (uint32_t)bytes), n = 1 + ir_gen_below(g, 600);

	n = n > bytes - at ? (uint32_t)bytes - at : n;
	switch (how) {
	case BYTES:
		for (uint32_t k = ir_gen_below(g, 2) ? 1 : n; k-- > 0;)
			data[at + k] ^= (uint8_t)(1 + ir_gen_below(g, 255));
		return bytes;
	case CUT:
		return at;
	case ZEROES:
		memset(data + at, 0, n);
		return bytes;
	case OTHER_BUILD: /* of the same shape, by another build or for another CPU */
		memcpy(data, others, bytes);
		return bytes;
	case GARBAGE_BEHIND:
		for (uint32_t k = 0; k < n; k++)
			data[bytes + k] = (uint8_t)ir_gen_next(g);
		return bytes + n;
	case MOVED:
		memmove(data + at, data + ir_gen_below(g, (uint32_t)bytes - n + 1), n);
		return bytes;
	case REPEATED:
		memcpy(data + bytes, data, bytes);
		return 2 * bytes;
	case NUM_DAMAGES:
		break;
	}
	return bytes;
}

Test(store_file, damaged)
{
	struct ir_gen g = {ir_gen_seed(5)};
	char path[256], other_path[256];
	uint8_t *good, *others, *bad;
	unsigned kept = 0, lost = 0;
	size_t bytes, other_bytes;
	struct store *s;

	make_folder();
	path_of(flavour, path);
	path_of(other_flavour, other_path);
	for (unsigned i = 0; i < 4; i++) { /* four segments */
		s = open_store();
		fill(s, i * (BLOCKS / 4), BLOCKS / 4);
		store_close(s);
		s = open_sized(other_flavour, STORE_DEFAULT_BYTES);
		fill(s, i * (BLOCKS / 4), BLOCKS / 4);
		store_close(s);
	}
	good = read_file(path, &bytes);
	others = read_file(other_path, &other_bytes);
	cr_assert_eq(bytes, other_bytes);
	bad = malloc(2 * bytes);
	for (unsigned i = 0; i < DAMAGES; i++) {
		unsigned found;
		size_t n;

		memcpy(bad, good, bytes);
		n = harm(&g, (enum damage)(i % NUM_DAMAGES), bad, bytes, others);
		write_file(path, bad, n);
		s = open_store();
		found = count(s, 0, BLOCKS);
		kept += found;
		lost += BLOCKS - found;
		fill(s, 0, BLOCKS);
		store_close(s);
		s = open_store();
		cr_assert_eq(count(s, 0, BLOCKS), BLOCKS, "damage %u: it does not get well again", i);
		store_close(s);
	}
	cr_assert_gt(kept, DAMAGES * BLOCKS / 4, "what is well is used");
	cr_assert_gt(lost, DAMAGES * BLOCKS / 8, "nothing was damaged");
	free(good);
	free(others);
	free(bad);
	remove_folder();
}

/* A file that changes while it is in use is not believed either. */
Test(store_file, damaged_in_use)
{
	char path[256];
	uint8_t *data;
	size_t bytes;
	struct store *s;

	make_folder();
	path_of(flavour, path);
	s = open_store();
	fill(s, 0, BLOCKS);
	store_close(s);
	data = read_file(path, &bytes);
	memset(data, 0xee, bytes);
	s = open_store();
	write_file(path, data, bytes);
	cr_assert_eq(count(s, 0, BLOCKS), 0u);
	cr_assert_eq(store_stats(s).damaged, BLOCKS);
	store_close(s);
	s = open_store();
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_eq(count(s, 0, BLOCKS), 0u);
	store_close(s);
	free(data);
	remove_folder();
}

/* ---- who may, and how much ---- */

static int try_open(struct store_error *err)
{
	struct store_config cfg = {.folder = folder, .bytes = STORE_DEFAULT_BYTES};
	struct store *s;
	int e = store_open(&s, &cfg, err);

	store_close(s);
	return e;
}

Test(store_file, folders_and_files_of_others)
{
	struct store_error err = {{0}};
	char path[256], elsewhere[300];
	struct store *s;

	make_folder();
	s = open_store();
	fill(s, 0, BLOCKS);
	store_close(s);
	cr_assert_eq(chmod(folder, 0770), 0);
	cr_assert_eq(try_open(&err), -EPERM);
	cr_assert(strstr(err.text, folder) && strstr(err.text, "others may write"), "%s", err.text);
	cr_assert_eq(chmod(folder, 0700), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(folder, 1, 1), 0);
		cr_assert_eq(try_open(&err), -EPERM);
		cr_assert(strstr(err.text, "another user"), "%s", err.text);
		cr_assert_eq(chown(folder, 0, 0), 0);
	}
	path_of(flavour, path);
	cr_assert_eq(chmod(path, 0666), 0);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), 0u, "others may write to the file");
	store_close(s);
	cr_assert_eq(chmod(path, 0600), 0);
	snprintf(elsewhere, sizeof(elsewhere), "%s/x", folder);
	cr_assert_eq(rename(path, elsewhere), 0);
	cr_assert_eq(symlink(elsewhere, path), 0);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), 0u, "a link");
	store_close(s);
	remove_folder();
	cr_assert_eq(try_open(&err), 0, "it is made");
	remove_folder();
}

/* Says in the file that all of its blocks were used `ago` minutes ago. */
static void age(const char *path, uint32_t ago)
{
	uint64_t at = 0, bytes = size_of(path);
	struct store_head h;
	struct store_key key;
	uint32_t *used;
	int fd = open(path, O_RDWR);

	cr_assert(store_make_key(flavour, strlen(flavour), &key));
	while (segment_head(fd, at, bytes, &key, &h)) {
		used = malloc(h.n_rows * sizeof(*used));
		for (uint64_t i = 0; i < h.n_rows; i++)
			used[i] = store_minutes() - ago;
		cr_assert_eq(
		    write_at(fd, at + sizeof(h) + h.n_rows * sizeof(struct store_row), used, h.n_rows * sizeof(*used)),
		    0);
		free(used);
		at += segment_bytes(&h);
	}
	close(fd);
}

/* Of three generations, the first and the last are used: the second goes. */
Test(store_file, least_recently_used_goes)
{
	enum { EACH = 2000 };
	char path[256], other_path[256];
	struct store *s;

	make_folder();
	path_of(flavour, path);
	path_of(other_flavour, other_path);
	s = open_sized(other_flavour, STORE_MIN_BYTES);
	fill(s, 0, BLOCKS);
	store_close(s);
	s = open_sized(flavour, STORE_MIN_BYTES);
	fill(s, 0, EACH);
	store_close(s);
	s = open_sized(flavour, STORE_MIN_BYTES);
	fill(s, EACH, EACH / 2);
	store_close(s);
	cr_assert_lt(size_of(path), STORE_MIN_BYTES);
	cr_assert_gt(size_of(other_path), 0u);
	age(path, 1000);
	s = open_sized(flavour, STORE_MIN_BYTES);
	cr_assert_eq(count(s, 0, EACH), EACH);
	store_close(s);
	s = open_sized(flavour, STORE_MIN_BYTES);
	fill(s, 2 * EACH, EACH);
	store_close(s);
	cr_assert_lt(size_of(path), STORE_MIN_BYTES);
	cr_assert_eq(size_of(other_path), 0u, "another build's goes first");
	s = open_sized(flavour, STORE_MIN_BYTES);
	cr_assert_eq(count(s, 2 * EACH, EACH), EACH, "the new ones");
	cr_assert_eq(count(s, EACH, EACH / 2), 0u, "those that were not used");
	cr_assert_gt(count(s, 0, EACH), 0u, "those that were");
	store_close(s);
	remove_folder();
}

/* ---- several processes ---- */

static void child(unsigned n)
{
	struct store *s = open_sized(flavour, STORE_DEFAULT_BYTES);

	for (unsigned i = 0; i < BLOCKS; i++) {
		unsigned k = (i * 7 + n * 13) % BLOCKS;

		find(s, k);
		add(s, k);
		add(s, BLOCKS * (1 + n) + k);
	}
	store_close(s);
	_exit(0);
}

Test(store_file, processes_at_once)
{
	enum { CHILDREN = 4, ROUNDS = 10 };
	struct store *s;
	int status;

	make_folder();
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned n = 0; n < CHILDREN; n++)
			if (fork() == 0)
				child(n);
		for (unsigned n = 0; n < CHILDREN; n++) {
			wait(&status);
			cr_assert_eq(status, 0);
		}
	}
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS * (1 + CHILDREN)), BLOCKS * (1 + CHILDREN));
	cr_assert_eq(store_stats(s).damaged, 0u);
	store_close(s);
	remove_folder();
}

/* Two that begin at once store the same; that is found out when one of them is read again. */
Test(store_file, stored_twice)
{
	struct store *s, *t;
	uint64_t twice;
	char path[256];

	make_folder();
	path_of(flavour, path);
	s = open_store();
	t = open_store();
	fill(s, 0, BLOCKS);
	fill(t, 0, BLOCKS);
	store_close(s);
	store_close(t);
	twice = size_of(path);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), BLOCKS);
	store_close(s);
	cr_assert_lt(size_of(path), twice * 2 / 3);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), BLOCKS);
	store_close(s);
	remove_folder();
}

/* No room on the disk: said once, and what is there stays good. */
Test(store_file, full_disk)
{
	struct rlimit limit, was;
	struct store *s;
	char path[256];

	make_folder();
	path_of(flavour, path);
	s = open_store();
	fill(s, 0, BLOCKS);
	store_close(s);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = was;
	limit.rlim_cur = size_of(path) + 1000;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	warnings = 0;
	s = open_store();
	fill(s, BLOCKS, 60 * BLOCKS);
	for (int i = 0; i < 200 && !__atomic_load_n(&warnings, __ATOMIC_RELAXED); i++)
		usleep(10000);
	fill(s, 61 * BLOCKS, 20 * BLOCKS);
	cr_assert_eq(count(s, 0, BLOCKS), BLOCKS);
	store_close(s);
	cr_assert_eq(warnings, 1u);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
	s = open_store();
	cr_assert_eq(count(s, 0, BLOCKS), BLOCKS);
	cr_assert_eq(store_stats(s).damaged, 0u);
	store_close(s);
	remove_folder();
}
