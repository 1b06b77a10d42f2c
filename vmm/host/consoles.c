/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
#include "vmm/host/consoles.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/host/console.h"
#include "vmm/host/prompt.h"
#include "vmm/host/tty.h"

enum { SEAT_NAME_BYTES = 64 };

/* One machine's console. */
struct seat {
	struct consoles *cs;
	struct seat *next; /* guarded by consoles.lock, as is: */
	bool forgotten;    /* to be freed */
	char name[SEAT_NAME_BYTES];
	int input;       /* of the pipe that the machine reads; what is typed while that is full is lost */
	bool stop, gone; /* atomic; gone: the machine has ended, and what it left can still be looked at */
	bool gone_said;  /* the thread's */

	/* Held while the terminal is written to, too: so that a change waits for what is being shown. */
	pthread_mutex_t lock; /* guards what follows */
	bool shown, mid_line;
	uint64_t
	    n_kept; /* all that was kept since the last change; data holds the last of it, byte i at i modulo its size */
	uint8_t kept[CONSOLES_KEPT_BYTES];
};

struct consoles {
	struct consoles_config cfg;
	int event;
	pthread_t thread;
	bool started;
	bool stop; /* atomic */

	pthread_mutex_t lock; /* guards what follows */
	struct seat *seats;

	/* The thread's. */
	struct seat *shown;    /* or NULL: none yet */
	bool ended;            /* nothing more will be typed */
	struct prompt *prompt; /* from the first Ctrl-A c on, of `shown` */
	bool prompted;         /* what is typed is for it */
	struct tty_keys keys;
};

static void wake(struct consoles *cs)
{
	uint64_t one = 1;

	(void)!write(cs->event, &one, sizeof(one));
}

/* ---- a machine's side ---- */

static int seat_write(void *opaque, const uint8_t *data, size_t n)
{
	struct seat *s = opaque;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (s->shown)
		err = console_write_all(s->cs->cfg.out_fd, &s->stop, data, n);
	else
		for (size_t i = 0; i < n; i++)
			s->kept[s->n_kept++ % CONSOLES_KEPT_BYTES] = data[i];
	s->mid_line = n && data[n - 1] != '\n';
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void seat_stop(void *opaque) { __atomic_store_n(&((struct seat *)opaque)->stop, true, __ATOMIC_RELEASE); }

static void seat_close(void *opaque)
{
	struct seat *s = opaque;
	struct consoles *cs = s->cs;

	__atomic_store_n(&s->gone, true, __ATOMIC_RELEASE);
	wake(cs);
}

static void seat_free(struct seat *s)
{
	close(s->input);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- the change ---- */

static bool is_gone(const struct seat *s) { return __atomic_load_n(&s->gone, __ATOMIC_ACQUIRE); }

/* The one behind `from` (or before it), round and round; live: of a machine that runs.  NULL: there is no other. */
static struct seat *neighbour(struct consoles *cs, const struct seat *from, bool back, bool live)
{
	struct seat *first = NULL, *before = NULL, *behind = NULL, *last = NULL;
	bool passed = false;

	pthread_mutex_lock(&cs->lock);
	for (struct seat *s = cs->seats; s; s = s->next) {
		if (s == from) {
			passed = true;
			continue;
		}
		if (live && is_gone(s))
			continue;
		first = first ? first : s;
		last = s;
		if (!passed)
			before = s;
		else if (!behind)
			behind = s;
	}
	pthread_mutex_unlock(&cs->lock);
	if (back)
		return before ? before : last;
	return behind ? behind : first;
}

/* With the seat's lock. What begins in the middle of a line begins with the next one. */
static void show_kept(struct seat *s)
{
	uint64_t from = s->n_kept > CONSOLES_KEPT_BYTES ? s->n_kept - CONSOLES_KEPT_BYTES : 0;

	if (from)
		while (from < s->n_kept && s->kept[from++ % CONSOLES_KEPT_BYTES] != '\n')
			;
	while (from < s->n_kept) {
		size_t at = from % CONSOLES_KEPT_BYTES, n = s->n_kept - from;

		n = n < CONSOLES_KEPT_BYTES - at ? n : CONSOLES_KEPT_BYTES - at;
		(void)console_write_all(s->cs->cfg.out_fd, &s->stop, s->kept + at, n);
		from += n;
	}
	s->n_kept = 0;
}

/* A line of ours. mid_line: it does not begin one. */
static void say(struct consoles *cs, bool mid_line, const char *name, const char *what)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "%s--- %s: %s ---\r\n", mid_line ? "\r\n" : "", name, what);

	(void)console_write_all(cs->cfg.out_fd, &cs->stop, line, (size_t)n);
}

static void show(struct consoles *cs, struct seat *to)
{
	struct seat *from = cs->shown;
	bool mid_line = false;

	if (from) {
		pthread_mutex_lock(&from->lock);
		from->shown = false;
		mid_line = from->mid_line;
		pthread_mutex_unlock(&from->lock);
	}
	say(cs, mid_line, to->name,
	    is_gone(to) ? "shown now; it has ended" : "shown now; Ctrl-A n, Ctrl-A b: the others");
	pthread_mutex_lock(&to->lock);
	show_kept(to);
	to->shown = true;
	pthread_mutex_unlock(&to->lock);
	cs->shown = to;
}

/* Machines that have ended: said, and the terminal goes on to one that runs. The thread's. */
static void look_for_ends(struct consoles *cs)
{
	struct seat *s, *to;

	do {
		pthread_mutex_lock(&cs->lock);
		for (s = cs->seats; s && (s->gone_said || !is_gone(s)); s = s->next)
			;
		pthread_mutex_unlock(&cs->lock);
		if (s) {
			s->gone_said = true;
			say(cs, true, s->name, "has ended");
		}
	} while (s);
	if (cs->shown && !is_gone(cs->shown))
		return;
	to = neighbour(cs, cs->shown, false, true);
	if (to)
		show(cs, to);
}

/* The first that is forgotten, taken out of the list. */
static struct seat *take_forgotten(struct consoles *cs)
{
	struct seat **at, *s;

	pthread_mutex_lock(&cs->lock);
	for (at = &cs->seats; *at && !(*at)->forgotten; at = &(*at)->next)
		;
	s = *at;
	if (s)
		*at = s->next;
	pthread_mutex_unlock(&cs->lock);
	return s;
}

/* The thread's. */
static void drop_forgotten(struct consoles *cs)
{
	struct seat *s, *to;

	while ((s = take_forgotten(cs)) != NULL) {
		if (cs->shown == s) {
			cs->shown = NULL;
			to = neighbour(cs, NULL, false, false);
			if (to)
				show(cs, to);
		}
		seat_free(s);
	}
}

/* ---- what is typed ---- */

static void send_typed(struct consoles *cs, const uint8_t *data, size_t n)
{
	cs->prompted &= prompt_is_open(cs->prompt);
	if (cs->prompted)
		prompt_type(cs->prompt, data, n);
	else if (cs->shown && n)
		(void)!write(cs->shown->input, data, n);
}

static void show_help(struct consoles *cs)
{
	(void)console_write_all(cs->cfg.out_fd, &cs->stop, tty_keys_help, strlen(tty_keys_help));
	if (cs->cfg.monitor)
		(void)console_write_all(cs->cfg.out_fd, &cs->stop, tty_keys_help_monitor,
					strlen(tty_keys_help_monitor));
	(void)console_write_all(cs->cfg.out_fd, &cs->stop, tty_keys_help_several, strlen(tty_keys_help_several));
}

static void put_own(void *opaque, const void *data, size_t n)
{
	struct consoles *cs = opaque;

	(void)console_write_all(cs->cfg.out_fd, &cs->stop, data, n);
}

/* Another machine's is another process. */
static void close_prompt(struct consoles *cs)
{
	prompt_close(cs->prompt);
	cs->prompt = NULL;
	cs->prompted = false;
}

/* Between the machine that is shown and the monitor's prompt for it. */
static void change_prompt(struct consoles *cs)
{
	const struct prompt_config cfg = {put_own, cs, cs->cfg.in_fd};
	char machine[2 * SEAT_NAME_BYTES + 64];

	if (!cs->cfg.monitor || !cs->shown)
		return;
	cs->prompted = !cs->prompted;
	put_own(cs, "\r\n", 2);
	if (!cs->prompted)
		return;
	if (prompt_is_open(cs->prompt)) {
		prompt_type(cs->prompt, (const uint8_t *)"\n", 1); /* the prompt once more */
		return;
	}
	close_prompt(cs);
	snprintf(machine, sizeof(machine), "%s/%s", cs->cfg.monitor, cs->shown->name);
	cs->prompted = prompt_open(&cs->prompt, machine, &cfg) == 0;
	if (!cs->prompted)
		say(cs, true, cs->shown->name, "the host has no terminal for the monitor's prompt");
}

static void act(struct consoles *cs, enum tty_key key)
{
	struct seat *to;

	if (key == TTY_KEY_QUIT)
		cs->cfg.quit(cs->cfg.opaque);
	if (key == TTY_KEY_HELP)
		show_help(cs);
	if (key == TTY_KEY_MONITOR)
		change_prompt(cs);
	if ((key != TTY_KEY_NEXT && key != TTY_KEY_BACK) || !cs->shown)
		return;
	to = neighbour(cs, cs->shown, key == TTY_KEY_BACK, false);
	if (!to) {
		say(cs, true, cs->shown->name, "there is no other");
		return;
	}
	close_prompt(cs);
	show(cs, to);
}

static void read_typed(struct consoles *cs)
{
	uint8_t buf[1024];
	ssize_t got = read(cs->cfg.in_fd, buf, sizeof(buf));
	size_t kept = 0;

	if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	cs->ended = got <= 0;
	for (ssize_t i = 0; i < got; i++) {
		enum tty_key key = tty_keys_next(&cs->keys, &buf[i]);

		if (key == TTY_KEY_TYPED) {
			buf[kept++] = buf[i];
			continue;
		}
		send_typed(cs, buf, kept);
		kept = 0;
		act(cs, key);
	}
	send_typed(cs, buf, kept);
}

static void *consoles_main(void *arg)
{
	struct consoles *cs = arg;

	while (!__atomic_load_n(&cs->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2] = {{.fd = cs->event, .events = POLLIN},
				      {.fd = cs->ended ? -1 : cs->cfg.in_fd, .events = POLLIN}};
		uint64_t n;

		look_for_ends(cs);
		drop_forgotten(cs);
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			(void)!read(cs->event, &n, sizeof(n));
		if (p[1].revents)
			read_typed(cs);
	}
	return NULL;
}

/* ---- making and unmaking ---- */

int consoles_add(struct consoles *cs, const char *name, struct console **out)
{
	struct seat *s = calloc(1, sizeof(*s)), **at;
	int fds[2], r;

	if (!s)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK)) {
		r = -errno;
		free(s);
		return r;
	}
	s->cs = cs;
	s->input = fds[1];
	snprintf(s->name, sizeof(s->name), "%s", name);
	pthread_mutex_init(&s->lock, NULL);
	r = console_open_sink(out, fds[0], &(struct console_sink){seat_write, seat_stop, seat_close, s});
	if (r) {
		close(fds[0]);
		seat_free(s);
		return r;
	}
	pthread_mutex_lock(&cs->lock);
	for (at = &cs->seats; *at; at = &(*at)->next)
		;
	*at = s;
	pthread_mutex_unlock(&cs->lock);
	wake(cs); /* there may be none that runs, and this is shown */
	return 0;
}

void consoles_forget(struct consoles *cs, const char *name)
{
	pthread_mutex_lock(&cs->lock);
	for (struct seat *s = cs->seats; s; s = s->next)
		s->forgotten |= is_gone(s) && strcmp(s->name, name) == 0;
	pthread_mutex_unlock(&cs->lock);
	wake(cs);
}

int consoles_start(struct consoles *cs)
{
	int r = -pthread_create(&cs->thread, NULL, consoles_main, cs);

	cs->started = !r;
	return r;
}

static void on_panic(void *arg) { tty_restore(); }

int consoles_open(struct consoles **out, const struct consoles_config *cfg)
{
	struct consoles *cs = calloc(1, sizeof(*cs));
	int r;

	if (!cs)
		return -ENOMEM;
	cs->cfg = *cfg;
	cs->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = cs->event < 0 ? -errno : tty_enter(cfg->in_fd, TTY_OUTPUT_COOKED);
	if (r) {
		if (cs->event >= 0)
			close(cs->event);
		free(cs);
		return r;
	}
	pthread_mutex_init(&cs->lock, NULL);
	panic_set_hook(on_panic, NULL);
	*out = cs;
	return 0;
}

void consoles_close(struct consoles *cs)
{
	if (!cs)
		return;
	__atomic_store_n(&cs->stop, true, __ATOMIC_RELEASE);
	wake(cs);
	if (cs->started)
		pthread_join(cs->thread, NULL);
	prompt_close(cs->prompt);
	panic_set_hook(NULL, NULL);
	tty_leave();
	while (cs->seats) {
		struct seat *s = cs->seats;

		cs->seats = s->next;
		seat_free(s);
	}
	pthread_mutex_destroy(&cs->lock);
	close(cs->event);
	free(cs);
}
