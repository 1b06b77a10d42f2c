/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/* linux/tty.h as MIPS has it (asm/termbits.h, asm/ioctls.h, asm/termios.h). */
enum {
	TCGETS = 0x540d,
	TCSETS = 0x540e,
	FIONREAD = 0x467f,
	TIOCGPGRP = 0x40047477,
	TIOCGPTN = 0x40045430,
	IUTF8 = 0x4000,
};
#define TIOCSPTLCK 0x80045431u
#define TIOCSWINSZ 0x80087467u

struct winsize {
	uint16_t rows, columns, x, y;
};

struct termios {
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, cc[23];
};
enum { VEOF = 16 };
/* Of the characters in the order of AGENT_COMMAND. */
static const uint8_t place[] = {0 /* VINTR */,   1 /* VQUIT */,  2 /* VERASE */, 3 /* VKILL */,
				VEOF /* VEOF */, 8 /* VSTART */, 9 /* VSTOP */,  10 /* VSUSP */};

const char *console_name(char path[80])
{
	char name[64];
	const char *last = name;

	read_file("/sys/class/tty/console/active", name, sizeof(name));
	for (const char *p = name; *p; p++)
		if (*p == ' ')
			last = p + 1;
	text_join(&(struct text){.max = 80, .s = path}, (const char *const[]){"/dev/", last, NULL});
	return path;
}

/*
 * The descriptor is to be kept until the next time: a terminal that nobody has open forgets its size.  It is opened each time,
 * since a login there may have hung up those that were (vhangup(2)).
 */
static int console_resize(int old, uint16_t columns, uint16_t rows)
{
	char path[80];
	int fd = (int)sys_open(console_name(path), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);

	if (fd < 0)
		return old;
	tty_resize(fd, columns, rows);
	if (old >= 0)
		sys_close(old);
	return fd;
}

/* All of n bytes, or what there is now: the host may close its end for a while. */
static bool take(int fd, uint8_t *data, size_t n)
{
	struct sys_pollfd p = {.fd = fd, .events = POLLIN};

	while (n) {
		long r = sys_read(fd, data, n);

		if (r > 0) {
			data += r;
			n -= (size_t)r;
		} else if (r == -EAGAIN || r == -EINTR) {
			sys_poll(&p, 1, -1);
		} else if (r == 0) {
			sys_sleep_ms(1000);
		} else {
			return false;
		}
	}
	return true;
}

/* As a user would: whatever init is, its own program knows how to tell it. */
static void power_off(void)
{
	static const char *const argv[] = {
	    "/bin/sh", "-c", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/disco poweroff",
	    NULL};
	static char *const none[] = {NULL};

	if (sys_fork() == 0) {
		sys_execve(argv[0], (char *const *)(uintptr_t)argv, none);
		sys_exit(127);
	}
}

static void follow(int fd, int control) __attribute__((noreturn));
static void follow(int fd, int control)
{
	uint8_t m[AGENT_HEADER_BYTES + 4];

	sys_setsid();
	while (take(control, m, sizeof(m))) {
		if (m[0] == AGENT_SIZE)
			fd = console_resize(fd, (uint16_t)(m[8] | m[9] << 8), (uint16_t)(m[10] | m[11] << 8));
		else if (m[0] == AGENT_POWER_OFF)
			power_off();
		else
			break;
	}
	sys_exit(0);
}

void console_size_follow(const char *size, int control)
{
	uint32_t n[2] = {0, 0};
	int fd = -1;

	for (unsigned i = 0; size && i < 2; i++) {
		for (; *size >= '0' && *size <= '9'; size++)
			n[i] = (n[i] * 10 + (uint32_t)(*size - '0')) & 0xffff;
		size += *size == 'x';
	}
	if (n[0] && n[1])
		fd = console_resize(fd, (uint16_t)n[0], (uint16_t)n[1]);
	if (control >= 0 && sys_fork() == 0)
		follow(fd, control);
}

void tty_resize(int fd, uint16_t columns, uint16_t rows)
{
	struct winsize w = {.rows = rows, .columns = columns};

	sys_ioctl(fd, TIOCSWINSZ, &w);
}

long pty_new(struct pty *p, unsigned flags, const uint8_t characters[8])
{
	struct termios t;
	char number[12];
	int unlocked = 0;
	uint32_t n = 0;
	long r;

	p->master = (int)sys_open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (p->master < 0)
		return p->master;
	r = sys_ioctl(p->master, TIOCSPTLCK, &unlocked);
	if (!r)
		r = sys_ioctl(p->master, TIOCGPTN, &n);
	if (r)
		return r;
	join(p->path, "/dev/pts/", text_number(number, n));
	/* Held open: so the master is never at its end before the command is. */
	p->slave = (int)sys_open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (p->slave < 0)
		return p->slave;
	r = sys_ioctl(p->slave, TCGETS, &t);
	if (r)
		return r;
	t.iflag = (t.iflag & ~(uint32_t)IUTF8) | (flags & AGENT_TTY_UTF8 ? IUTF8 : 0);
	for (unsigned i = 0; i < ARRAY_LEN(place); i++)
		t.cc[place[i]] = characters[i];
	return sys_ioctl(p->slave, TCSETS, &t);
}

long pty_control(const struct pty *p, int fds[3], bool stderr_too)
{
	int fd = (int)sys_open(p->path, O_RDWR, 0);

	if (fd < 0)
		return fd;
	sys_ioctl(fd, TIOCSCTTY, NULL);
	fds[0] = fds[1] = fd;
	if (stderr_too)
		fds[2] = fd;
	return 0;
}

void pty_signal(const struct pty *p, int session, int sig)
{
	int foreground = 0;

	if (sys_ioctl(p->master, TIOCGPGRP, &foreground) || foreground <= 0)
		foreground = session;
	/* a child that is no group's leader yet */
	if (sys_kill(-foreground, sig))
		sys_kill(session, sig);
	if (sig != SIGHUP && sig != SIGTERM)
		return;
	/* The terminal goes away: its session hears of it, and who is stopped wakes up for it. */
	if (foreground != session)
		sys_kill(-session, sig);
	sys_kill(-session, SIGCONT);
	sys_kill(-foreground, SIGCONT);
}

void pty_end_input(const struct pty *p)
{
	struct termios t;
	int unread = 1;

	if (!sys_ioctl(p->slave, FIONREAD, &unread) && !unread && !sys_ioctl(p->slave, TCGETS, &t) && t.cc[VEOF])
		sys_write(p->master, &t.cc[VEOF], 1);
}
