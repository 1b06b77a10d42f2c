/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROFILE_H
#define BASE_PROFILE_H

/* Where a guest was found, how often: taken by vmm/cpu/profile.c, carried by vmm/control/, named by vmm/look/functions.c. */
#include "base/types.h"

enum { PROFILE_PLACES = 6000, PROFILE_MAX_MS = 600000 };

struct profile_place {
	uint64_t pc;
	uint64_t content
	    [2]; /* of its page: XXH3-128, low half first; of unmapped segments, and where the TLB has none: 0, 0 */
	bool user, unmapped;
	uint32_t n; /* samples */
};

struct profile_sum {
	uint64_t samples, lost; /* of these: in places beyond PROFILE_PLACES */
	unsigned n;
	struct profile_place place[PROFILE_PLACES];
};

#endif
