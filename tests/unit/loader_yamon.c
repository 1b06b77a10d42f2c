/* SPDX-License-Identifier: MIT */
/* The YAMON block, walked as the Linux Malta port walks it: pointers through guest memory, in the guest's byte order. */
#include "numa/numa.h"
#include "vmm/boot/loader.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct machine_memory *memory;
static struct pmap *ram;

static void setup(void)
{
	struct machine_memory_config cfg = {.bytes = 16ull << 20, .nodes = 1};

	cr_assert_eq(machine_memory_new(&memory, &cfg), 0);
	cr_assert_eq(pmap_new(&ram, memory, 8ull << 20), 0);
}

static void teardown(void)
{
	pmap_free(ram);
	machine_memory_free(memory);
}

TestSuite(yamon, .init = setup, .fini = teardown);

static uint32_t word(uint32_t va, bool be)
{
	uint32_t v;

	cr_assert(va >= 0x80000000u && va < 0xa0000000u && va % 4 == 0, "pointer %08x", va);
	cr_assert_eq(pmap_read(ram, gpa(va - 0x80000000u), &v, 4), 0);
	return be ? __builtin_bswap32(v) : v;
}

static const char *string(uint32_t va)
{
	static char text[2][8192];
	static unsigned turn;
	char *out = text[turn++ & 1];

	cr_assert(va >= 0x80000000u && va < 0xa0000000u, "pointer %08x", va);
	cr_assert_eq(pmap_read(ram, gpa(va - 0x80000000u), out, LOADER_ARGS_BYTES), 0);
	return out;
}

/* The value of an environment variable, as pairs. */
static const char *env(uint32_t envp, const char *name, bool be)
{
	for (unsigned i = 0; word(envp + 4 * i, be); i += 2)
		if (strcmp(string(word(envp + 4 * i, be)), name) == 0)
			return string(word(envp + 4 * i + 4, be));
	return NULL;
}

static void check(bool be)
{
	struct loader_error err = {{0}};
	uint32_t r[4];

	cr_assert_eq(loader_put_yamon(ram, "vmlinuz", "console=ttyS0 quiet", 0x7d0000, 12345, 8ull << 20, be, r, &err),
		     0, "%s", err.text);
	cr_assert_eq(r[0], 2);
	cr_assert_str_eq(string(word(r[1], be)), "vmlinuz");
	cr_assert_str_eq(string(word(r[1] + 4, be)), "rd_start=0xffffffff807d0000 rd_size=12345 console=ttyS0 quiet");
	cr_assert_eq(word(r[1] + 8, be), 0);
	cr_assert_str_eq(env(r[2], "memsize", be), "8388608");
	cr_assert_str_eq(env(r[2], "ememsize", be), "8388608");
	cr_assert_str_eq(env(r[2], "modetty0", be), "38400n8r");
	cr_assert_null(env(r[2], "nothing", be));
	cr_assert_eq(r[3], 8u << 20);
}

Test(yamon, little_endian) { check(false); }
Test(yamon, big_endian) { check(true); }

Test(yamon, no_initrd)
{
	struct loader_error err;
	uint32_t r[4];

	cr_assert_eq(loader_put_yamon(ram, "k", "a", 0, 0, 8ull << 20, false, r, &err), 0);
	cr_assert_str_eq(string(word(r[1] + 4, false)), "a");
	cr_assert_eq(loader_put_yamon(ram, "k", "", 0, 0, 8ull << 20, false, r, &err), 0);
	cr_assert_eq(r[0], 1);
	cr_assert_eq(word(r[1] + 4, false), 0);
	/* Only what is below the I/O window is "memsize". */
	cr_assert_eq(loader_put_yamon(ram, "k", "", 0, 0, 512ull << 20, false, r, &err), 0);
	cr_assert_str_eq(env(r[2], "memsize", false), "268435456");
	cr_assert_str_eq(env(r[2], "ememsize", false), "536870912");
}

Test(yamon, bounds)
{
	static char append[5000], name[2000];
	struct loader_error err;
	struct pmap *tiny;
	uint32_t r[4];

	memset(append, 'a', sizeof(append) - 1);
	memset(name, 'n', sizeof(name) - 1);
	cr_assert_eq(loader_put_yamon(ram, name, append, 0, 0, 8ull << 20, false, r, &err), -E2BIG);
	cr_assert(strstr(err.text, "--append"), "%s", err.text);
	append[4096] = 0;
	cr_assert_eq(loader_put_yamon(ram, name, append, 0, 0, 8ull << 20, false, r, &err), -E2BIG);
	append[4095] = 0;
	cr_assert_eq(loader_put_yamon(ram, name, append, 0, 0, 8ull << 20, false, r, &err), 0);
	cr_assert_str_eq(string(word(r[1] + 4, false)), append);
	cr_assert_eq(strlen(string(word(r[1], false))), LOADER_NAME_BYTES - 1);
	cr_assert_str_eq(env(r[2], "modetty0", false), "38400n8r");
	cr_assert_eq(loader_put_yamon(ram, name, append, 0, 1, 8ull << 20, false, r, &err), -E2BIG);
	cr_assert_eq(pmap_new(&tiny, memory, 0x3000), 0);
	cr_assert_eq(loader_put_yamon(tiny, "k", "", 0, 0, 0x3000, false, r, &err), -EFAULT);
	pmap_free(tiny);
}

/* The GT-64120's registers are moved first, and all else goes to where they then are. */
Test(yamon, pokes)
{
	size_t n = 0;
	const struct loader_poke *p = loader_yamon_pokes(&n);

	cr_assert_gt(n, 1);
	cr_assert_eq(p[0].pa, 0x14000068);
	cr_assert_eq(p[0].value << 21, 0x1be00000);
	for (size_t i = 1; i < n; i++)
		cr_assert_eq(p[i].pa & ~0xfffu, 0x1be00000);
}
