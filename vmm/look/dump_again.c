/* SPDX-License-Identifier: MIT */
#include "vmm/look/dump_again.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "jit/jit.h"
#include "vmm/look/dump.h"

#define ROWS_LOG2 16
#define MODES     4u /* of one place; more take the place of the first */

struct row {
	uint64_t pc;
	uint8_t tier, n;
	bool region;
	struct dump_shown last[MODES];
};

struct dump_again {
	struct row row[1u << ROWS_LOG2];
};

struct dump_again *dump_again_new(void) { return calloc(1, sizeof(struct dump_again)); }

void dump_again_free(struct dump_again *a) { free(a); }

static struct row *row_of(struct dump_again *a, const struct dump_shown *now)
{
	uint64_t key = now->pc ^ (uint64_t)now->tier << 40 ^ (uint64_t)now->region << 44;
	struct row *r = &a->row[key * 0x9e3779b97f4a7c15ull >> (64 - ROWS_LOG2)]; /* multiplicative, golden ratio */

	if (r->pc != now->pc || r->tier != now->tier || r->region != now->region)
		*r = (struct row){.pc = now->pc, .tier = now->tier, .region = now->region};
	return r;
}

/* Why it is made again, if not for its mode; the most telling reason first. */
static void reason(const struct dump_shown *was, const struct dump_shown *now, char *out, size_t room)
{
	if (was->flushes != now->flushes)
		snprintf(out, room, "code memory was full and everything was dropped");
	else if (now->tier == TIER_INTERP && was->n_guest != now->n_guest)
		snprintf(out, room, "another part of it is executed alone");
	else if (was->code != now->code && was->page == now->page)
		snprintf(out, room, "its code was written");
	else if (was->code != now->code)
		snprintf(out, room, "another page is there, with other code");
	else if (was->page != now->page)
		snprintf(out, room, "another page is there, with the same code");
	else if (was->n_blocks != now->n_blocks)
		snprintf(out, room, "%s of it has been executed, %u blocks before",
			 now->n_blocks > was->n_blocks ? "more" : "less", was->n_blocks);
	else if (was->head != now->head)
		snprintf(out, room, "for another entry, %08" PRIx64 "; before for %08" PRIx64, now->head, was->head);
	else if (now->tier == TIER_2 && !now->region)
		snprintf(out, room, "with its region");
	else if (was->invalidated != now->invalidated)
		snprintf(out, room, "a write to its page dropped it");
	else if (now->tier == TIER_INTERP)
		snprintf(out, room, "interpreted once more");
	else
		snprintf(out, room, "what was asked for before is not there yet, or was refused");
}

static size_t add_modes(const struct row *r, const struct dump_shown *now, size_t n, char text[DUMP_AGAIN_BYTES])
{
	bool any = false;

	for (unsigned i = 0; i < r->n && i < MODES && n < DUMP_AGAIN_BYTES - 40; i++) {
		char mode[DUMP_MODE_BYTES];

		if (r->last[i].mode == now->mode || r->last[i].code != now->code)
			continue;
		dump_mode_text(r->last[i].mode, mode);
		n += (size_t)snprintf(text + n, DUMP_AGAIN_BYTES - n, "%s%s",
				      any ? " and "
				      : n ? "; also in mode "
					  : "also in mode ",
				      mode);
		any = true;
	}
	if (any && n < DUMP_AGAIN_BYTES - 40) {
		char mode[DUMP_MODE_BYTES];

		dump_mode_text(now->mode, mode);
		n += (size_t)snprintf(text + n, DUMP_AGAIN_BYTES - n, ", here %s", mode);
	}
	return n;
}

void dump_again_note(struct dump_again *a, const struct dump_shown *now, char text[DUMP_AGAIN_BYTES])
{
	struct row *r = row_of(a, now);
	unsigned i = 0;
	size_t n = 0;
	char why[128];

	text[0] = 0;
	while (i < r->n && i < MODES && r->last[i].mode != now->mode)
		i++;
	if (i < r->n && i < MODES) {
		reason(&r->last[i], now, why, sizeof(why));
		n = (size_t)snprintf(text, DUMP_AGAIN_BYTES, "again: %s", why);
	}
	add_modes(r, now, n, text);
	if (i == MODES)
		i = 0;
	r->last[i] = *now;
	if (i == r->n)
		r->n++;
}
