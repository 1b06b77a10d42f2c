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
