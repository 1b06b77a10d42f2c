/* SPDX-License-Identifier: MIT */
#include "vmm/host/console_tail.h"

void console_tail_add(struct console_tail *t, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t->data[t->n++ % CONSOLE_TAIL_BYTES] = (char)data[i];
}

static char at(const struct console_tail *t, uint64_t i) { return t->data[i % CONSOLE_TAIL_BYTES]; }

void console_tail_print(const struct console_tail *t, FILE *out)
{
	uint64_t first = t->n > CONSOLE_TAIL_BYTES ? t->n - CONSOLE_TAIL_BYTES : 0, from = t->n;
	unsigned lines = 0;

	while (from > first) {
		if (at(t, from - 1) == '\n' && from < t->n && ++lines == CONSOLE_TAIL_LINES)
			break;
		from--;
	}
	/* the buffer begins in the middle of a line */
	if (from == first && first)
		while (from < t->n && at(t, from++) != '\n')
			;
	for (uint64_t i = from; i < t->n; i++) {
		unsigned char c = (unsigned char)at(t, i);

		if (c == '\r')
			continue;
		fputc(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f) ? c : '?', out);
	}
	if (t->n > from && at(t, t->n - 1) != '\n')
		fputc('\n', out);
}
