/* SPDX-License-Identifier: MIT */
/* A guest's panic on its console, however it is cut into pieces. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/types.h"
#include "vmm/boot/panic_watch.h"

#define START "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"
#define END   "[ 1.1] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---\r\n"

/* How many bytes were fed when it said so; 0 if it did not. */
static size_t feed(struct panic_watch *w, const char *text, size_t piece)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i += piece) {
		size_t part = n - i < piece ? n - i : piece;

		if (panic_watch_feed(w, (const uint8_t *)text + i, part))
			return i + part;
	}
	return 0;
}

Test(vmm_panic_watch, ends_with_the_line)
{
	for (size_t piece = 1; piece < 80; piece++) {
		struct panic_watch w = {0};
		size_t at = feed(&w, START END "more", piece), want = strlen(START END);

		cr_assert(w.seen && w.done);
		cr_assert(at >= want && at < want + piece, "pieces of %zu: at %zu, not %zu", piece, at, want);
		cr_assert_eq(feed(&w, END END, piece), 0, "once");
	}
}

Test(vmm_panic_watch, false_starts)
{
	static const char *const no[] = {"", "Kernel panic", "Kernel panic - not syncin", "kernel panic - not syncing",
					 "end Kernel panic\n"};
	static const char *const seen[] = {"KKernel panic - not syncing",
					   "Kernel panic - not Kernel panic - not syncing",
					   "Kernel panic - not syncing"};

	for (unsigned i = 0; i < ARRAY_LEN(no); i++) {
		struct panic_watch w = {0};

		cr_assert_eq(feed(&w, no[i], 1), 0);
		cr_assert_not(w.seen, "%s", no[i]);
	}
	for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
		struct panic_watch w = {0};

		cr_assert_eq(feed(&w, seen[i], 1), 0);
		cr_assert(w.seen && !w.done, "%s", seen[i]);
		cr_assert_neq(feed(&w, "end Kend Kernel panic\n", 1), 0, "a phrase that begins inside a false start");
	}
}

/* panic=SECONDS so early that nothing can reset the board yet: out of memory while the initramfs is unpacked. */
Test(vmm_panic_watch, a_reset_that_fails)
{
	struct panic_watch w = {0};

	cr_assert_eq(feed(&w, "Reboot failed -- System halted\n", 1), 0, "after a panic only");
	cr_assert_eq(feed(&w, START "[ 4.3] Rebooting in 3 seconds..\r\n", 1), 0);
	cr_assert_neq(feed(&w, "[ 4.3] Reboot failed -- System halted\r\n", 1), 0);
	cr_assert(w.done);
}
