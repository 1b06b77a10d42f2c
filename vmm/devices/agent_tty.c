/* SPDX-License-Identifier: MIT */
#include "vmm/devices/agent_tty.h"

#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Where there is no terminal to ask: as xterm and VT100 begin. */
static const struct tty_size usual_size = {80, 24};

void agent_tty_init(struct agent_tty *t, enum run_tty how)
{
	bool in = isatty(STDIN_FILENO), out = isatty(STDOUT_FILENO), err = isatty(STDERR_FILENO);

	*t = (struct agent_tty){.raw_fd = -1, .size_fd = -1};
	if (how == RUN_TTY_OFF || (how == RUN_TTY_AUTO && !(in && out)))
		return;
	t->flags = AGENT_TTY_ON | (how == RUN_TTY_ON || err ? AGENT_TTY_STDERR : 0);
	t->raw_fd = in ? STDIN_FILENO : -1;
	t->size_fd = out ? STDOUT_FILENO : in ? STDIN_FILENO : err ? STDERR_FILENO : -1;
}

static void put_size(uint8_t *out, struct tty_size s)
{
	out[0] = (uint8_t)s.columns;
	out[1] = (uint8_t)(s.columns >> 8);
	out[2] = (uint8_t)s.rows;
	out[3] = (uint8_t)(s.rows >> 8);
}

void agent_tty_describe(struct agent_tty *t, uint8_t out[AGENT_TTY_BYTES])
{
	static const uint8_t place[] = {VINTR, VQUIT, VERASE, VKILL, VEOF, VSTART, VSTOP, VSUSP};
	static const uint8_t usual[] = {3, 28, 127, 21, 4, 17, 19, 26};
	struct termios modes;
	bool known = t->raw_fd >= 0 && !tcgetattr(t->raw_fd, &modes);

	memset(out, 0, AGENT_TTY_BYTES);
	if (!t->flags)
		return;
	if (!tty_size(t->size_fd, &t->told))
		t->told = usual_size;
	out[0] = (uint8_t)(t->flags | (!known || modes.c_iflag & IUTF8 ? AGENT_TTY_UTF8 : 0));
	put_size(out + 4, t->told);
	for (unsigned i = 0; i < ARRAY_LEN(place); i++)
		out[8 + i] = known ? modes.c_cc[place[i]] : usual[i];
}

bool agent_tty_resized(struct agent_tty *t, uint8_t out[4])
{
	struct tty_size now;

	if (!__atomic_exchange_n(&t->look, false, __ATOMIC_ACQ_REL) || !tty_size(t->size_fd, &now) ||
	    (now.columns == t->told.columns && now.rows == t->told.rows))
		return false;
	t->told = now;
	put_size(out, now);
	return true;
}

static void on_panic(void *arg) { tty_restore(); }

int agent_tty_enter(struct agent_tty *t)
{
	int r = t->raw_fd < 0 ? 0 : tty_enter(t->raw_fd, TTY_OUTPUT_RAW);

	t->entered = t->raw_fd >= 0 && !r;
	if (t->entered)
		panic_set_hook(on_panic, NULL);
	return r;
}

void agent_tty_leave(struct agent_tty *t)
{
	if (!t->entered)
		return;
	panic_set_hook(NULL, NULL);
	tty_leave();
	t->entered = false;
}
