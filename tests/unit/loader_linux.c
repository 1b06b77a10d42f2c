/* SPDX-License-Identifier: MIT */
/* What a Linux does with memory: where it may move itself to, and how much it needs. */
#include <criterion/criterion.h>

#include "numa/numa.h"
#include "vmm/boot/loader.h"

#define MIB (1ull << 20)

/* offset: random, as CONFIG_RANDOMIZE_BASE_MAX_OFFSET cuts it. The end of a kernel of n bytes that moves by it. */
static uint64_t moved_end(uint64_t n, uint64_t offset) { return MIB + (offset < n ? offset + n : offset) + n; }

Test(loader_linux, moves)
{
	/* Debian's 6.1 for the 4kc: vmlinux and vmlinuz */
	const struct loaded_image vmlinux = {.low_gpa = MIB, .high_gpa = 0x10e8170},
				  vmlinuz = {.low_gpa = 0x10f0000, .high_gpa = 0x1a9db80},
				  small = {.low_gpa = MIB, .high_gpa = 5 * MIB};

	for (uint64_t offset = 0; offset < 16 * MIB; offset += 0x10000) {
		cr_assert_geq(loader_moves_to(&vmlinux), moved_end(0xfe8170, offset));
		cr_assert_geq(loader_moves_to(&vmlinuz), moved_end(0xfe8170, offset));
		cr_assert_geq(loader_moves_to(&small), moved_end(4 * MIB, offset));
	}
	cr_assert_leq(loader_moves_to(&vmlinux), 49 * MIB, "not farther than need be");
	cr_assert_leq(loader_moves_to(&vmlinuz), 53 * MIB);
	cr_assert_eq(loader_moves_to(&small), 21 * MIB);
}

Test(loader_linux, what_is_none)
{
	const struct loaded_image bare = {.low_gpa = MIB, .high_gpa = MIB + 100000},
				  low = {.low_gpa = 0x4000, .high_gpa = 8 * MIB};

	cr_assert_eq(loader_moves_to(&bare), 0);
	cr_assert_eq(loader_moves_to(&low), 0);
	cr_assert_eq(loader_likely_needs(NULL, &bare, 0, 0), 0);
}

Test(loader_linux, needs)
{
	const struct loaded_image vmlinux = {.low_gpa = MIB, .high_gpa = 17 * MIB},
				  vmlinuz = {.low_gpa = 17 * MIB, .high_gpa = 27 * MIB};
	const struct machine_memory_config cfg = {.bytes = 64 * MIB, .nodes = 1};
	struct machine_memory *memory;
	struct pmap *ram;

	cr_assert_eq(machine_memory_new(&memory, &cfg), 0);
	cr_assert_eq(pmap_new(&ram, memory, 64 * MIB), 0);
	cr_assert_eq(loader_likely_needs(ram, &vmlinux, 0, 0), (17 + 9) * MIB);
	cr_assert_eq(loader_likely_needs(ram, &vmlinuz, 0, 0), (17 + 9) * MIB);
	cr_assert_eq(pmap_write(ram, gpa(32 * MIB), "070701", 6), 0);
	cr_assert_eq(loader_likely_needs(ram, &vmlinux, 32 * MIB, 5 * MIB), (17 + 9 + 2 * 5) * MIB);
	cr_assert_eq(pmap_write(ram, gpa(32 * MIB), "\x1f\x8b\x08", 3), 0);
	cr_assert_eq(loader_likely_needs(ram, &vmlinux, 32 * MIB, 5 * MIB), (17 + 9 + 4 * 5) * MIB, "packed");
	pmap_free(ram);
	machine_memory_free(memory);
}
