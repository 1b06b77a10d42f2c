/* SPDX-License-Identifier: MIT */
#include "vmm/panic_watch.h"

/* Advance a match; both phrases begin with a character that they do not repeat before a mismatch could matter. */
static bool match(const char *phrase, unsigned *at, uint8_t c)
{
	if ((uint8_t)phrase[*at] != c)
		*at = 0;
	if ((uint8_t)phrase[*at] == c)
		++*at;
	if (phrase[*at])
		return false;
	*at = 0;
	return true;
}

bool panic_watch_feed(struct panic_watch *w, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!w->seen) {
			w->seen = match("Kernel panic - not syncing", &w->at_start, data[i]);
		} else if (!w->done && match("end Kernel panic", &w->at_end, data[i])) {
			w->done = true;
			return true;
		}
	}
	return false;
}
