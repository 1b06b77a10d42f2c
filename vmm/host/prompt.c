/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/host/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/host/tty.h"

enum { END_POLL_MS = 50, PATH_BYTES = 64 };

struct prompt {
	struct prompt_config cfg;
	int fd; /* the master */
	pid_t pid;
	pthread_t thread;
	bool stop, ended; /* atomic */
};

static void *pump(void *prompt)
{
	struct prompt *p = prompt;
	uint8_t buf[1024];
	ssize_t n = 1;

	while (n > 0 && !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

		if (poll(&pfd, 1, END_POLL_MS) <= 0)
			continue;
		n = read(p->fd, buf, sizeof(buf)); /* -EIO: nobody has the other side any more */
		if (n > 0)
			p->cfg.write(p->cfg.opaque, buf, (size_t)n);
		else if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
	}
	__atomic_store_n(&p->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

/* A session leader's first terminal is its own. Keys that are signals elsewhere do not end it. */
static int start(struct prompt *p, const char *slave, const char *machine)
{
	char *argv[] = {"disco", "monitor", (char *)(uintptr_t)machine, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t blocked;
	int err;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGQUIT);
	sigaddset(&blocked, SIGTSTP);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &blocked);
	err = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, slave, O_RDWR, 0);
	for (int fd = STDOUT_FILENO; !err && fd <= STDERR_FILENO; fd++)
		err = posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, fd);
	if (!err)
		err = posix_spawn(&p->pid, "/proc/self/exe", &files, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return -err;
}

static int open_pty(struct prompt *p, char slave[PATH_BYTES])
{
	struct tty_size size;
	struct winsize w = {.ws_row = 24, .ws_col = 80};

	p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->fd < 0 || grantpt(p->fd) || unlockpt(p->fd) || ptsname_r(p->fd, slave, PATH_BYTES))
		return -errno;
	if (tty_size(p->cfg.tty_fd, &size)) {
		w.ws_row = size.rows;
		w.ws_col = size.columns;
	}
	(void)ioctl(p->fd, TIOCSWINSZ, &w);
	return 0;
}

int prompt_open(struct prompt **out, const char *machine, const struct prompt_config *cfg)
{
	struct prompt *p = calloc(1, sizeof(*p));
	char slave[PATH_BYTES];
	int err;

	if (!p)
		return -ENOMEM;
	p->cfg = *cfg;
	err = open_pty(p, slave);
	if (!err)
		err = start(p, slave, machine);
	if (!err) {
		err = -pthread_create(&p->thread, NULL, pump, p);
		if (err) {
			kill(p->pid, SIGKILL);
			waitpid(p->pid, NULL, 0);
		}
	}
	if (err) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return err;
	}
	*out = p;
	return 0;
}

void prompt_close(struct prompt *p)
{
	if (!p)
		return;
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
	close(p->fd);
	kill(p->pid, SIGKILL); /* it has nothing of its own */
	waitpid(p->pid, NULL, 0);
	free(p);
}

bool prompt_is_open(const struct prompt *p) { return p && !__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE); }

void prompt_type(struct prompt *p, const uint8_t *data, size_t n)
{
	if (n)
		(void)!write(p->fd, data, n);
}
