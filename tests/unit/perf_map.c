/* SPDX-License-Identifier: MIT */
/* --perf map: lines as perf reads them; names of the kernel, and of programs by the contents of their pages. */
#include "vmm/look/perf_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/types.h"
#include "tests/unit/tiny_elf.h"
#include "vmm/boot/loader.h"

struct rig {
	char folder[32], kernel[64], listing[64], programs[64], program[64], map[64], text[2048];
	uint64_t content[2];
};

static void put(const char *path, const void *data, size_t bytes)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fwrite(data, 1, bytes, f) == bytes && !fclose(f));
}

/* A program whose only page is the file's, from 0x404000 on. */
static void begin(struct rig *g)
{
	static const char listing[] = "80004000 T start\n80004010 T next\n";
	struct tiny_elf e = tiny_elf();
	uint8_t page[PAGE_BYTES] = {0};
	XXH128_hash_t h;

	strcpy(g->folder, "/tmp/disco-perf-XXXXXX");
	cr_assert(mkdtemp(g->folder));
	snprintf(g->kernel, sizeof(g->kernel), "%s/kernel", g->folder);
	snprintf(g->listing, sizeof(g->listing), "%s/listing", g->folder);
	snprintf(g->programs, sizeof(g->programs), "%s/bin", g->folder);
	snprintf(g->program, sizeof(g->program), "%s/bin/pro gram", g->folder);
	snprintf(g->map, sizeof(g->map), "%s/map", g->folder);
	cr_assert_eq(mkdir(g->programs, 0700), 0);
	cr_assert(tiny_elf_write(g->kernel));
	put(g->listing, listing, sizeof(listing) - 1);
	e.ph.p_vaddr = 0x00404000u + e.ph.p_offset;
	put(g->program, &e, sizeof(e));
	memcpy(page, &e, sizeof(e));
	h = XXH3_128bits(page, PAGE_BYTES);
	g->content[0] = h.low64;
	g->content[1] = h.high64;
}

static void end(struct rig *g)
{
	unlink(g->program);
	unlink(g->kernel);
	unlink(g->listing);
	unlink(g->map);
	rmdir(g->programs);
	cr_assert_eq(rmdir(g->folder), 0);
}

/* What a map says of these. */
static void map(struct rig *g, const char *folder, const struct jit_installed *what, unsigned n)
{
	struct loader_error err = {{0}};
	struct perf_map *m;
	FILE *f;

	cr_assert_eq(perf_map_open(&m, g->map, g->kernel, g->listing, folder, &err), 0, "%s", err.text);
	for (unsigned i = 0; i < n; i++)
		perf_map_add(m, &what[i]);
	cr_assert_eq(perf_map_close(m), 0);
	f = fopen(g->map, "r");
	cr_assert(f);
	g->text[fread(g->text, 1, sizeof(g->text) - 1, f)] = 0;
	fclose(f);
}

Test(perf_map, names)
{
	struct rig g;

	begin(&g);
	const struct jit_installed what[] = {
	    {.tier = TIER_1,
	     .mode = MODE_ABS,
	     .abs_page = 0x80004000u,
	     .off = 0x14,
	     .code = (void *)0x7f0000001000,
	     .code_bytes = 0x20,
	     .cold = (void *)0x7f0000100000,
	     .cold_bytes = 0x10},
	    {.tier = TIER_2,
	     .mode = MODE_USER,
	     .off = 0x80,
	     .n_guest = 7,
	     .content = {g.content[0], g.content[1]},
	     .code = (void *)0x7f0000002000,
	     .code_bytes = 0x1f},
	    /* equal in one half of the hash only */
	    {.tier = TIER_1,
	     .mode = MODE_USER,
	     .off = 0x84,
	     .content = {g.content[0], g.content[1] + 1},
	     .code = (void *)0x7f0000003000,
	     .code_bytes = 4},
	};
	char want[512];

	map(&g, g.programs, what, ARRAY_LEN(what));
	snprintf(want, sizeof(want),
		 "7f0000001000 20 next+0x4 [kernel, tier 1]\n"
		 "7f0000100000 10 next+0x4 [kernel, tier 1, cold]\n"
		 "7f0000002000 1f 00404080 [pro?gram, tier 2, region of 7]\n"
		 "7f0000003000 4 page-%016llx+0x84 [user, tier 1]\n",
		 (unsigned long long)g.content[0]);
	cr_assert_str_eq(g.text, want);
	end(&g);
}

/* /tmp is everybody's: what stands there is not written to, and not followed. */
Test(perf_map, takes_no_file_of_others)
{
	struct rig g;
	struct stat st;

	begin(&g);
	cr_assert_eq(symlink(g.listing, g.map), 0);
	map(&g, NULL, NULL, 0);
	cr_assert_eq(lstat(g.map, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(stat(g.listing, &st), 0);
	cr_assert_gt(st.st_size, 0);
	end(&g);
}

Test(perf_map, bad_folders)
{
	struct rig g;
	struct loader_error err;
	struct perf_map *m;
	char none[80];

	begin(&g);
	snprintf(none, sizeof(none), "%s/none", g.folder);
	cr_assert_eq(perf_map_open(&m, g.map, g.kernel, NULL, none, &err), -ENOENT);
	cr_assert(strstr(err.text, none));
	put(g.program, "\177ELF and no more", 16);
	cr_assert_eq(perf_map_open(&m, g.map, g.kernel, NULL, g.programs, &err), -ENOENT);
	cr_assert(strstr(err.text, "no program"));
	cr_assert_eq(access(g.map, F_OK), -1, "a map of a run that does not begin");
	end(&g);
}
