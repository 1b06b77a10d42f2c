/* SPDX-License-Identifier: MIT */
#include "vmm/boot/panic_watch.h"

#include <string.h>

/* Length of the longest proper prefix of phrase[0..n) that it ends with. */
static unsigned border(const char *phrase, unsigned n)
{
	for (unsigned k = n ? n - 1 : 0; k; k--)
		if (!memcmp(phrase, phrase + n - k, k))
			return k;
	return 0;
}

/* Advance a match (Knuth, Morris, Pratt: what was read may be the beginning of the phrase, too). True at its end. */
static bool match(const char *phrase, unsigned *at, uint8_t c)
{
	while (*at && (uint8_t)phrase[*at] != c)
		*at = border(phrase, *at);
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
		} else if (!w->ended) {
			/* the second: panic=SECONDS, before the kernel has what it resets the board with */
			w->ended = match("end Kernel panic", &w->at_end, data[i]) ||
				   match("Reboot failed -- System halted", &w->at_halt, data[i]);
		} else if (!w->done && data[i] == '\n') {
			w->done = true;
			return true;
		}
	}
	return false;
}
