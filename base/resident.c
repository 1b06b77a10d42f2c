/* SPDX-License-Identifier: MIT */
#include "base/resident.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/types.h"

/* A word for each page: Linux, Documentation/admin-guide/mm/pagemap.rst. */
#define IS_PRESENT   (UINT64_C(1) << 63)
#define IS_OF_FILE   (UINT64_C(1) << 61) /* or of a memfd */
#define IS_EXCLUSIVE (UINT64_C(1) << 56) /* not the host's page of zeroes */

static bool takes_memory(uint64_t word) { return word & IS_PRESENT && word & (IS_OF_FILE | IS_EXCLUSIVE); }

uint64_t resident_bytes(const void *at, size_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (uint64_t)(uintptr_t)at / page, pages = 0, word[512];
	uint64_t left = at && bytes ? ((uint64_t)(uintptr_t)at + bytes + page - 1) / page - from : 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && left) {
		uint64_t part = left < ARRAY_LEN(word) ? left : ARRAY_LEN(word);

		if (pread(fd, word, part * sizeof(word[0]), (off_t)(from * sizeof(word[0]))) !=
		    (ssize_t)(part * sizeof(word[0])))
			break;
		for (uint64_t i = 0; i < part; i++)
			pages += takes_memory(word[i]);
		from += part;
		left -= part;
	}
	if (fd >= 0)
		close(fd);
	return pages * page;
}
