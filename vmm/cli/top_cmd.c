/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/options.h"
#include "vmm/cli/top.h"
#include "vmm/host/tty.h"

/* `disco top`: what this user's machines did between two looks at them. */

enum { PERIOD_MS = 1000, TICK_MS = 100 };

struct watch_state {
	struct control_options opt;
	bool is_tty;
	struct top_view view;
	unsigned escape; /* bytes of a key that is several, so far */
};

/* A byte of a key. False: leave. */
static bool take_key(struct watch_state *w, char byte)
{
	enum { CTRL_C = 3, CTRL_Z = 26, ESCAPE = 27 };
	struct top_view *v = &w->view;

	if (w->escape == 1 && (byte == '[' || byte == 'O')) {
		w->escape = 2;
		return true;
	}
	if (w->escape == 2) {
		w->escape = 0;
		if (byte == 'A' || byte == '5')
			top_scroll(v, byte == 'A' ? -1 : -(int)v->page);
		else if (byte == 'B' || byte == '6')
			top_scroll(v, byte == 'B' ? 1 : (int)v->page);
		return true;
	}
	w->escape = byte == ESCAPE;
	if (byte == 'P' || byte == 'p')
		v->order = TOP_BY_CPU;
	else if (byte == 'M' || byte == 'm')
		v->order = TOP_BY_MEMORY;
	else if (byte == 'N' || byte == 'n')
		v->order = TOP_BY_NAME;
	else if (byte == 'o' || byte == 'O')
		v->nodes = !v->nodes;
	else if (byte == 'k' || byte == 'j')
		top_scroll(v, byte == 'k' ? -1 : 1);
	else if (byte == CTRL_Z)
		raise(SIGTSTP); /* tty.c gives the terminal back meanwhile */
	return byte != 'q' && byte != 'Q' && byte != CTRL_C;
}

/* False: the user leaves. *changed: what is shown is not any more what it should be. */
static bool read_keys(struct watch_state *w, int wait_ms, bool *changed)
{
	struct pollfd p = {.fd = w->is_tty ? STDIN_FILENO : -1, .events = POLLIN};
	char keys[64];
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return true;
	n = read(STDIN_FILENO, keys, sizeof(keys));
	if (n < 0 && errno == EINTR)
		return true;
	*changed = true;
	for (ssize_t i = 0; i < n; i++)
		if (!take_key(w, keys[i]))
			return false;
	return n > 0;
}

/* False: standard output is lost. */
static bool show(struct watch_state *w, const struct top_looks *looks)
{
	if (w->opt.json)
		top_print_json(looks, stdout);
	else if (w->is_tty)
		top_draw(&w->view, looks, stdout);
	else
		top_print(looks, stdout);
	return fflush(stdout) == 0;
}

/* The size that is drawn for. True: it is another one. */
static bool resized(struct watch_state *w)
{
	struct tty_size size;
	struct top_view *v = &w->view;
	bool changed;

	if (!w->is_tty)
		return false;
	if (!tty_size(STDOUT_FILENO, &size))
		size = (struct tty_size){80, 24};
	changed = size.columns != v->columns || size.rows != v->rows;
	v->columns = size.columns;
	v->rows = size.rows;
	return changed;
}

/* Until the next look. False: leave. */
static bool wait_a_while(struct watch_state *w, const struct top_looks *looks)
{
	uint64_t until = host_now_ns() / 1000000 + PERIOD_MS, now;

	while ((now = host_now_ns() / 1000000) < until) {
		int ms = (int)(until - now);
		bool changed = false;

		if (w->is_tty && ms > TICK_MS)
			ms = TICK_MS;
		if (!read_keys(w, ms, &changed))
			return false;
		changed |= resized(w);
		if (changed && w->is_tty && !show(w, looks))
			return false;
	}
	return true;
}

static void look(struct top_looks *l)
{
	control_found_free(&l->was);
	l->was = l->is;
	l->ms = host_now_ns() / 1000000 - l->is_ms;
	l->is_ms += l->ms;
	l->is = control_find_with_nodes();
}

static void watch(struct watch_state *w)
{
	struct top_looks looks = {0};
	bool on = true;

	look(&looks);
	(void)resized(w);
	while (on && wait_a_while(w, &looks)) {
		look(&looks);
		on = show(w, &looks) && !w->opt.once;
	}
	control_found_free(&looks.was);
	control_found_free(&looks.is);
}

/* NULL, or why not. */
static const char *misused(const struct control_options *opt, int argc)
{
	if (opt->functions)
		return opt->once                  ? "--once: a look at machines, not --functions"
		       : opt->json && opt->folded ? "--json and --folded: only one of them"
						  : NULL;
	if (argc)
		return "NAME is for --functions only";
	return opt->seconds || opt->symbols || opt->files || opt->folded || opt->svg
		   ? "--seconds, --symbols, --files, --folded and --svg are for --functions only"
		   : NULL;
}

static int functions(const struct control_options *opt, const char *name)
{
	struct machine_list l = control_find_all();
	const struct found_machine *f = control_find_only(&l, "top", name);
	int status = f ? top_functions(f, opt) : STATUS_FAILED;

	control_found_free(&l);
	return status;
}

int control_top(int argc, char **argv)
{
	struct watch_state w = {0};
	const char *wrong;
	int err, status;

	if (control_arguments(&argc, &argv, &w.opt, &status))
		return status;
	wrong = misused(&w.opt, argc);
	if (wrong) {
		fprintf(stderr, "disco top: %s\n", wrong);
		return STATUS_USAGE;
	}
	if (w.opt.functions)
		return functions(&w.opt, argc ? argv[0] : NULL);
	w.is_tty = !w.opt.once && !w.opt.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	err = w.is_tty ? tty_enter(STDIN_FILENO, TTY_OUTPUT_COOKED) : 0;
	if (err) {
		fprintf(stderr, "disco top: the terminal: %s\n", strerror(-err));
		return STATUS_FAILED;
	}
	watch(&w);
	if (w.is_tty) {
		tty_leave();
		putchar('\n'); /* the shell's prompt begins a line */
	}
	return STATUS_OK;
}
