/* SPDX-License-Identifier: MIT */
/* disco top --functions: places become functions, of the kernel and of programs by the contents of their pages, and are shown. */
#include "vmm/look/functions.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/unit/tiny_elf.h"
#include "vmm/boot/loader.h"
#include "vmm/look/guest_names.h"

struct rig {
	char folder[32], kernel[64], listing[64], programs[64], program[80];
	struct guest_names *names;
	struct profile_sum *sum;
	struct functions f;
};

/* A kernel with two functions; a program whose only page is at 0x404000. */
static void begin(struct rig *g)
{
	static const char listing[] = "80004000 T start\n80004010 T ne;x<t\n";
	struct tiny_elf e = tiny_elf();
	struct loader_error err = {{0}};
	FILE *f;

	*g = (struct rig){.folder = "/tmp/disco-fn-XXXXXX"};
	cr_assert(mkdtemp(g->folder));
	snprintf(g->kernel, sizeof(g->kernel), "%s/kernel", g->folder);
	snprintf(g->listing, sizeof(g->listing), "%s/listing", g->folder);
	snprintf(g->programs, sizeof(g->programs), "%s/bin", g->folder);
	snprintf(g->program, sizeof(g->program), "%s/prog", g->programs);
	cr_assert_eq(mkdir(g->programs, 0700), 0);
	cr_assert(tiny_elf_write(g->kernel));
	f = fopen(g->listing, "w");
	cr_assert(f && fputs(listing, f) >= 0 && !fclose(f));
	e.ph.p_vaddr = 0x00404000u + e.ph.p_offset;
	f = fopen(g->program, "w");
	cr_assert(f && fwrite(&e, sizeof(e), 1, f) == 1 && !fclose(f));
	cr_assert_eq(guest_names_open(&g->names, g->kernel, g->listing, g->programs, "--files", &err), 0, "%s",
		     err.text);
	g->sum = calloc(1, sizeof(*g->sum));
	cr_assert(g->sum);
	g->f = (struct functions){.machine = "a<b", .ms = 1500};
}

static void end(struct rig *g)
{
	functions_free(&g->f);
	guest_names_free(g->names);
	free(g->sum);
	unlink(g->program);
	unlink(g->kernel);
	unlink(g->listing);
	rmdir(g->programs);
	cr_assert_eq(rmdir(g->folder), 0);
}

static void put(struct rig *g, struct profile_place at)
{
	g->sum->place[g->sum->n++] = at;
	g->sum->samples += at.n;
}

/* The same function at two addresses; pages of the program, of nothing known, of nothing at all. */
static void fill(struct rig *g)
{
	struct tiny_elf e = tiny_elf();
	uint8_t page[PAGE_BYTES] = {0};
	XXH128_hash_t h;

	e.ph.p_vaddr = 0x00404000u + e.ph.p_offset;
	memcpy(page, &e, sizeof(e));
	h = XXH3_128bits(page, PAGE_BYTES);
	put(g, (struct profile_place){.pc = 0x80004000u, .unmapped = true, .n = 5});
	put(g, (struct profile_place){.pc = 0x80004010u, .unmapped = true, .n = 20});
	put(g, (struct profile_place){.pc = 0x80004018u, .unmapped = true, .n = 30});
	put(g, (struct profile_place){.pc = 0x80004024u, .unmapped = true, .n = 2});
	put(g, (struct profile_place){.pc = 0x77001084u, .user = true, .content = {h.low64, h.high64}, .n = 10});
	put(g, (struct profile_place){.pc = 0x77001084u, .user = true, .content = {h.low64, h.high64 + 1}, .n = 7});
	put(g, (struct profile_place){.pc = 0xc0001084u, .content = {1, 1}, .n = 6});
	put(g, (struct profile_place){.pc = 0x00400000u, .user = true, .n = 1});
	g->sum->lost = 19;
	g->sum->samples += g->sum->lost;
}

/* What fn prints. */
static void shows(const struct rig *g, void (*fn)(const struct functions *f, FILE *out), const char *want)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cr_assert(out);
	fn(&g->f, out);
	cr_assert_eq(fclose(out), 0);
	cr_expect(strstr(text, want), "%s", text);
	free(text);
}

static void table(const struct functions *f, FILE *out) { functions_print(f, 3, out); }

Test(functions, sums)
{
	struct rig g;

	begin(&g);
	fill(&g);
	cr_assert_eq(functions_sum(&g.f, g.names, g.sum), 0);
	shows(&g, functions_print_folded,
	      "kernel;ne_x<t 52\n"
	      "prog;[page_00404000] 10\n"
	      "user;[page_77001000] 7\n"
	      "module;[page_c0001000] 6\n"
	      "kernel;start 5\n"
	      "user;[not_in_the_TLB] 1\n");
	shows(&g, table,
	      "a<b: 100 samples in 1.5 s\n"
	      "      %  SAMPLES  FUNCTION         WHERE\n"
	      "  52.00       52  ne;x<t           kernel\n"
	      "  10.00       10  [page 00404000]  prog\n"
	      "   7.00        7  [page 77001000]  user\n"
	      "  12.00       12  (3 others)\n"
	      "  19.00       19  (of more than 6000 places)\n");
	shows(&g, functions_print_json,
	      "{\"machine\":\"a<b\",\"seconds\":1.5,\"samples\":100,\"lost\":19,\"functions\":"
	      "[{\"function\":\"ne;x<t\",\"where\":\"kernel\",\"samples\":52,\"percent\":52.0}");
	shows(&g, functions_draw, "a&lt;b: 100 samples");
	shows(&g, functions_draw, "<title>ne;x&lt;t: 52 samples, 52.00 %</title><rect x=\"10.00\"");
	shows(&g, functions_draw, "<title>kernel: 57 samples, 57.00 %</title><rect x=\"10.00\"");
	/* beside the kernel's 57 samples, on 1180 */
	shows(&g, functions_draw, "<title>prog: 10 samples, 10.00 %</title><rect x=\"682.60\"");
	end(&g);
}

Test(functions, of_nothing)
{
	struct rig g;

	begin(&g);
	cr_assert_eq(functions_sum(&g.f, g.names, g.sum), 0);
	shows(&g, table, "a<b: 0 samples in 1.5 s\n");
	shows(&g, functions_print_json, "\"samples\":0,\"lost\":0,\"functions\":[]}");
	shows(&g, functions_draw, "</svg>\n");
	end(&g);
}
