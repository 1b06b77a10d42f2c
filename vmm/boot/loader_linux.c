/* SPDX-License-Identifier: MIT */
#include "vmm/boot/loader.h"

#include <string.h>

#include "numa/numa.h"

/*
 * What a Linux in an image will do with memory before it can say anything.  All of it is read off the image's addresses: whether
 * it is a Linux at all, and one that moves, nothing in a stripped file tells.
 */

/* Where Linux is linked to on a Malta (VMLINUX_LOAD_ADDRESS); what is smaller is none. */
#define LINUX_GPA       0x100000ull
#define LINUX_MIN_BYTES (2ull << 20)
/* What a vmlinuz does not show of the kernel in it: memory that is only zeroed. */
#define HIDDEN_BYTES (1ull << 20)
/* CONFIG_RANDOMIZE_BASE_MAX_OFFSET of Debian's kernels, and the default. */
#define MAX_OFFSET (16ull << 20)

/* Beside kernel and initrd; Debian's 6.1 comes to a shell with 8.6 MiB, and is out of memory with 7.6. */
#define WORK_BYTES (9ull << 20)
/* Unpacked files are as large as the archive; as that of a packed one mostly (gzip, xz, zstd). */
#define PACKED_RATIO 3

/* Of the kernel in memory, 0: it is none. */
static uint64_t linux_bytes(const struct loaded_image *image)
{
	if (image->low_gpa < LINUX_GPA || image->high_gpa - image->low_gpa < LINUX_MIN_BYTES)
		return 0;
	/* a vmlinuz begins where what it unpacks ends */
	return (image->low_gpa > LINUX_GPA ? image->low_gpa : image->high_gpa) - LINUX_GPA;
}

uint64_t loader_moves_to(const struct loaded_image *image)
{
	uint64_t n = linux_bytes(image);

	if (!n)
		return 0;
	if (image->low_gpa > LINUX_GPA)
		n += HIDDEN_BYTES;
	/* by a random offset, to which the length is added if it is less, so that old and new do not overlap */
	return LINUX_GPA + (2 * n > MAX_OFFSET ? 2 * n : MAX_OFFSET) + n;
}

uint64_t loader_likely_needs(struct pmap *ram, const struct loaded_image *image, uint64_t initrd_gpa,
			     uint64_t initrd_bytes)
{
	uint64_t n = linux_bytes(image);
	char magic[5] = "";

	if (!n)
		return 0;
	if (initrd_bytes < sizeof(magic) || pmap_read(ram, gpa(initrd_gpa), magic, sizeof(magic)))
		memset(magic, 0, sizeof(magic));
	return LINUX_GPA + n + WORK_BYTES + initrd_bytes +
	       initrd_bytes * (memcmp(magic, "07070", sizeof(magic)) ? PACKED_RATIO : 1);
}
