/* SPDX-License-Identifier: MIT */
/*
 * Hostile 9P clients: the input is a sequence of messages, most of them nearly right, to a server for a directory with traps in
 * it.  Every answer is well-formed, and nothing beside the directory is read or changed.
 */
#define _GNU_SOURCE /* nftw, memmem */
#include "tests/unit/pv_9p_gen.h"

static struct p9_place place;

static void clean(void) { p9_place_remove(&place); }

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	p9_place_make(&place);
	return atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct p9_message m;
	static uint8_t reply[8192];
	struct p9_chance c = {.data = data, .left = bytes};
	struct p9_server *s;
	uint32_t n;

	if (p9_server_new(&s, place.share, p9_chance(&c, 8) == 0))
		abort();
	p9_begin(&m, TVERSION, 0xffff);
	p9_add(&m, sizeof(reply), 4);
	p9_add_string(&m, "9P2000.L", 8);
	p9_end(&m);
	while (c.left) {
		if (!p9_exchange(s, &c, &m, reply, p9_chance(&c, 16) ? sizeof(reply) : p9_chance(&c, 64), &n))
			abort();
		p9_any_message(&c, &m);
	}
	p9_server_free(s);
	if (!p9_outside_intact(&place))
		abort();
	p9_share_empty(&place);
	p9_fill_share(&place);
	return 0;
}
