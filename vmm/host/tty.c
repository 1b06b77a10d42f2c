/* SPDX-License-Identifier: MIT */
#include "vmm/host/tty.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 1

/*
 * What signal handlers and atexit() need, and they take no argument: the only mutable global state of Disco.
 * Written before `active` is set; the handlers only read it.
 */
static struct {
	volatile sig_atomic_t active;
	int fd;
	struct termios cooked, raw;
} terminal;

static const int fatal_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGABRT, SIGSEGV,
				    SIGBUS, SIGFPE, SIGILL,  SIGXCPU, SIGALRM, SIGTSTP};

/*
 * From the background this would stop the process (SIGTTOU), perhaps as the last thing that it does.
 * Async-signal-safe, as all that is called here (POSIX.1-2017, 2.4.3).
 */
static void set_modes(const struct termios *modes)
{
	pid_t foreground;

	if (!terminal.active)
		return;
	foreground = tcgetpgrp(terminal.fd); /* -1: not our controlling terminal, to which none of this applies */
	if (foreground < 0 || foreground == getpgrp())
		tcsetattr(terminal.fd, TCSANOW, modes);
}

void tty_restore(void) { set_modes(&terminal.cooked); }

/* Fatal, or a stop: restore, then let the signal do what it does by default. */
static void on_signal(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL}, old;
	int saved = errno;
	sigset_t set;

	tty_restore();
	sigaction(sig, &dfl, &old);
	raise(sig);
	/* Blocked while its handler runs: let it through here, so that a stop happens inside the handler. */
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* Still here: it was a stop, and this is after SIGCONT. */
	sigaction(sig, &old, NULL);
	set_modes(&terminal.raw);
	errno = saved;
}

/* Signals that somebody else handles or ignores are left to them. */
static void signals_install(void (*from)(int), void (*to)(int))
{
	for (size_t i = 0; i < ARRAY_LEN(fatal_signals); i++) {
		struct sigaction sa = {.sa_handler = to, .sa_flags = SA_RESTART}, old;

		sigemptyset(&sa.sa_mask);
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
		    old.sa_handler == from)
			sigaction(fatal_signals[i], &sa, NULL);
	}
}

static void register_atexit(void)
{
	/* A failure leaves the other ways of restoring. */
	(void)!atexit(tty_restore);
}

int tty_enter(int fd, enum tty_output output)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int r;

	if (terminal.active)
		return -EBUSY;
	if (tcgetattr(fd, &terminal.cooked) != 0)
		return -errno;
	terminal.raw = terminal.cooked;
	cfmakeraw(&terminal.raw);
	if (output == TTY_OUTPUT_COOKED)
		terminal.raw.c_oflag |= terminal.cooked.c_oflag & OPOST;
	terminal.raw.c_cc[VMIN] = 1;
	terminal.raw.c_cc[VTIME] = 0;
	terminal.fd = fd;
	terminal.active = 1;
	pthread_once(&once, register_atexit);
	signals_install(SIG_DFL, on_signal);
	/* In the background this stops the process until it is in the foreground, as any program that asks for a key. */
	if (tcsetattr(fd, TCSANOW, &terminal.raw) == 0)
		return 0;
	r = -errno;
	signals_install(on_signal, SIG_DFL);
	terminal.active = 0;
	return r;
}

void tty_leave(void)
{
	tty_restore();
	signals_install(on_signal, SIG_DFL);
	terminal.active = 0;
}

bool tty_size(int fd, struct tty_size *size)
{
	struct winsize w;

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &w) || !w.ws_col || !w.ws_row)
		return false;
	*size = (struct tty_size){w.ws_col, w.ws_row};
	return true;
}

/* Carriage returns: the terminal may be raw. */
const char tty_keys_help[] = "\r\nCtrl-A x       quit: switch the machine off\r\n"
			     "Ctrl-A h       show this\r\n"
			     "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

const char tty_keys_help_monitor[] = "Ctrl-A c       the monitor's prompt (disco monitor), and back\r\n";

const char tty_keys_help_several[] = "Ctrl-A n       show the next machine's console\r\n"
				     "Ctrl-A b       show the one before\r\n";

enum tty_key tty_keys_next(struct tty_keys *k, uint8_t *byte)
{
	bool escape = k->escape;

	k->escape = !escape && *byte == CTRL_A;
	if (!escape)
		return k->escape ? TTY_KEY_EATEN : TTY_KEY_TYPED;
	switch (*byte) {
	case CTRL_A:
	case 'a':
		*byte = CTRL_A;
		return TTY_KEY_TYPED;
	case 'x':
	case 'X':
		return TTY_KEY_QUIT;
	case 'h':
	case '?':
		return TTY_KEY_HELP;
	case 'n':
		return TTY_KEY_NEXT;
	case 'b':
		return TTY_KEY_BACK;
	case 'c':
		return TTY_KEY_MONITOR;
	default:
		return TTY_KEY_EATEN;
	}
}

long tty_keys_filter(struct tty_keys *k, uint8_t *buf, size_t n, bool *help)
{
	size_t kept = 0;

	*help = false;
	for (size_t i = 0; i < n; i++) {
		uint8_t b = buf[i];
		enum tty_key key = tty_keys_next(k, &b);

		if (key == TTY_KEY_QUIT)
			return -1;
		if (key == TTY_KEY_TYPED)
			buf[kept++] = b;
		*help |= key == TTY_KEY_HELP;
	}
	return (long)kept;
}
