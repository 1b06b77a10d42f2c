/* SPDX-License-Identifier: MIT */
/*
 * Ending a run from outside, in whatever state its thread is: each case is a process of its own, which is sent signals; how it
 * ends, when, and what it was asked on the way is seen.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/host_clock.h"
#include "vmm/host/stop.h"

/* What is asked for in time is seen a little later; and later still on a busy host, which child.late_ms says. */
enum { LATE_MS = 200 };

struct child {
	pid_t pid;
	int log; /* a letter for each call of an operation, '+' when it is ready */
	int err; /* its standard error */
	/* finish(): how late this host woke who slept meanwhile, for the handful of wake-ups that an end takes */
	unsigned late_ms;
};

/* In the child. */
struct self {
	int log;
	bool passes, flush_hangs;
	struct stop *stop;
	struct stop_thread thread;
};

static void note(struct self *s, char c) { (void)!write(s->log, &c, 1); }

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&ts, &ts))
		;
}

static bool pass(void *opaque, int sig)
{
	struct self *s = opaque;

	note(s, sig == SIGINT ? 'i' : 'p');
	return s->passes;
}
static void end(void *opaque) { note(opaque, 'E'); }
static void flush(void *opaque)
{
	struct self *s = opaque;

	note(s, 'F');
	while (s->flush_hangs)
		pause();
}
static void leave(void *opaque) { note(opaque, 'L'); }
static void statistics(void *opaque) { note(opaque, 'S'); }
static void look(void *opaque) { note(opaque, 'l'); }
static void resized(void *opaque) { note(opaque, 'r'); }

static const struct stop_config plain;

static struct child start(void (*body)(struct self *), struct self self, struct stop_config cfg)
{
	struct child c;
	int log[2], err[2];

	cr_assert(pipe(log) == 0 && pipe(err) == 0);
	c.pid = fork();
	if (c.pid == 0) {
		alarm(20);
		dup2(err[1], STDERR_FILENO);
		close(err[0]);
		close(log[0]);
		self.log = log[1];
		cfg.ops = (struct stop_ops){pass, end, flush, leave, statistics, look, resized, &self};
		cfg.speaker = "disco run";
		if (stop_open(&self.stop, &cfg))
			_exit(99);
		stop_add(self.stop, &self.thread, &self);
		note(&self, '+');
		body(&self);
		stop_settle(&self.thread);
		_exit(stop_status(self.stop, 7));
	}
	close(log[1]);
	close(err[1]);
	c.log = log[0];
	c.err = err[0];
	cr_assert(read(c.log, log, 1) == 1);
	return c;
}

/* How late a sleeper is woken at worst, as long as it is wanted. */
struct canary {
	bool stop;
	unsigned worst_ms;
};

static void *canary(void *arg)
{
	struct canary *k = arg;

	while (!__atomic_load_n(&k->stop, __ATOMIC_RELAXED)) {
		uint64_t from = host_now_ms(), late;

		sleep_ms(5);
		late = host_now_ms() - from - 5;
		if (late > k->worst_ms)
			k->worst_ms = (unsigned)late;
	}
	return NULL;
}

/* Send a signal (0: none) and wait; returns ms until the end.  seen: all letters. */
static unsigned finish(struct child *c, int sig, int status, char *seen, size_t n)
{
	uint64_t from = host_now_ms(), ms;
	struct canary k = {0};
	pthread_t thread;
	ssize_t got;
	int how;

	cr_assert_eq(pthread_create(&thread, NULL, canary, &k), 0);
	if (sig)
		kill(c->pid, sig);
	cr_assert_eq(waitpid(c->pid, &how, 0), c->pid);
	ms = host_now_ms() - from;
	__atomic_store_n(&k.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	c->late_ms = 6 * k.worst_ms;
	cr_assert(WIFEXITED(how) && WEXITSTATUS(how) == status, "how %x, status %d wanted", how, status);
	got = read(c->log, seen, n - 1);
	seen[got > 0 ? got : 0] = 0;
	close(c->log);
	return (unsigned)ms;
}

static void hang(struct self *s)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;

	pthread_mutex_lock(&m);
	for (;;)
		pthread_cond_wait(&c, &m);
}

Test(vmm_stop, a_thread_that_never_comes_back)
{
	static const int sig[] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < 6; i++) {
		struct child c = start(hang, (struct self){.flush_hangs = i & 1}, plain);
		char seen[256];
		unsigned ms = finish(&c, sig[i / 2], 128 + sig[i / 2], seen, sizeof(seen));

		cr_assert(ms >= STOP_LIMIT_MS - 1 && ms < 2000 + c.late_ms, "%u ms", ms);
		cr_assert(strstr(seen, "EEE") && strchr(seen, 'F') && strchr(seen, 'L'), "%s", seen);
		cr_assert_null(strchr(strchr(seen, 'F') + 1, 'F'), "%s", seen);
		close(c.err);
	}
}

/* A reader that reads nothing. */
static void write_to_nobody(struct self *s)
{
	int fds[2];
	char buf[4096] = {0};

	if (pipe(fds))
		_exit(98);
	while (write(fds[1], buf, sizeof(buf)) > 0)
		;
	note(s, errno == EINTR && stop_asked(s->stop) ? 'R' : '?');
}

Test(vmm_stop, a_system_call_is_interrupted)
{
	struct child c = start(write_to_nobody, (struct self){0}, plain);
	char seen[256];
	unsigned ms;

	sleep_ms(50);
	ms = finish(&c, SIGTERM, 143, seen, sizeof(seen));
	cr_assert_lt(ms, STOP_FLUSH_MS + LATE_MS + c.late_ms, "%u ms", ms);
	cr_assert(strchr(seen, 'R') && !strchr(seen, 'L'), "%s", seen);
	close(c.err);
}

static void run_until_asked(struct self *s)
{
	while (!stop_asked(s->stop))
		sleep_ms(1);
}

Test(vmm_stop, a_command_has_a_second)
{
	struct child c = start(run_until_asked, (struct self){.passes = true}, plain);
	char seen[256];
	unsigned ms = finish(&c, SIGTERM, 143, seen, sizeof(seen));

	cr_assert(ms >= STOP_GRACE_MS - 1 && ms < STOP_GRACE_MS + LATE_MS + c.late_ms, "%u ms", ms);
	cr_assert_eq(seen[0], 'p');
	close(c.err);
	/* and no longer than others until the end */
	c = start(hang, (struct self){.passes = true, .flush_hangs = true}, plain);
	ms = finish(&c, SIGHUP, 129, seen, sizeof(seen));
	cr_assert(ms >= STOP_LIMIT_MS - 1 && ms < 2000 + c.late_ms, "%u ms", ms);
	close(c.err);
}

static void end_by_itself(struct self *s) { sleep_ms(300); }

Test(vmm_stop, a_command_that_ends_by_itself)
{
	struct child c = start(end_by_itself, (struct self){.passes = true}, plain);
	char seen[256];

	finish(&c, SIGTERM, 7, seen, sizeof(seen));
	cr_assert_str_eq(seen, "p");
	close(c.err);
}

Test(vmm_stop, interrupts_are_the_commands)
{
	struct child c = start(run_until_asked, (struct self){.passes = true}, plain);
	char seen[256];
	unsigned ms;

	kill(c.pid, SIGINT);
	sleep_ms(STOP_GRACE_MS + LATE_MS);
	cr_assert_eq(waitpid(c.pid, NULL, WNOHANG), 0, "one Ctrl-C ends nothing by itself");
	ms = finish(&c, SIGINT, 130, seen, sizeof(seen));
	cr_assert_lt(ms, LATE_MS + c.late_ms, "a second one ends it");
	cr_assert_eq(seen[0], 'i');
	cr_assert_null(strchr(seen + 1, 'i'), "which the command does not get");
	close(c.err);
	/* SIGTERM after it does not wait either */
	c = start(run_until_asked, (struct self){.passes = true}, plain);
	kill(c.pid, SIGINT);
	sleep_ms(LATE_MS);
	ms = finish(&c, SIGTERM, 143, seen, sizeof(seen));
	cr_assert_lt(ms, LATE_MS + c.late_ms);
	close(c.err);
}

static void read_error(struct child *c, char *text, size_t n)
{
	ssize_t got = read(c->err, text, n - 1);

	text[got > 0 ? got : 0] = 0;
	close(c->err);
}

Test(vmm_stop, time_is_over)
{
	static const struct stop_config cfg = {.timeout_ms = 400, .timeout_text = "0.4"};
	struct child c = start(run_until_asked, (struct self){0}, cfg);
	char seen[256], text[256];
	unsigned ms = finish(&c, 0, STOP_TIMED_OUT, seen, sizeof(seen));

	cr_assert(ms >= 390 && ms < 400 + LATE_MS + c.late_ms, "%u ms", ms);
	read_error(&c, text, sizeof(text));
	cr_assert_str_eq(text, "disco run: --timeout 0.4: the run took longer, and was ended\n");
	/* a command learns it, and its own status is not the run's then */
	c = start(hang, (struct self){.passes = true}, cfg);
	ms = finish(&c, 0, STOP_TIMED_OUT, seen, sizeof(seen));
	cr_assert(ms >= 390 + STOP_LIMIT_MS && ms < 400 + 2000 + c.late_ms, "%u ms", ms);
	cr_assert_eq(seen[0], 'p');
	read_error(&c, text, sizeof(text));
	cr_assert_str_eq(text, "disco run: --timeout 0.4: the run took longer, and was ended\n", "%s", text);
}

static void be_short(struct self *s) { sleep_ms(100); }

Test(vmm_stop, time_is_not_over)
{
	static const struct stop_config cfg = {.timeout_ms = 400000, .timeout_text = "400", .look_ms = 50};
	struct child c = start(be_short, (struct self){0}, cfg);
	char seen[256], text[256];

	finish(&c, 0, 7, seen, sizeof(seen));
	cr_assert_str_eq(seen, "l");
	read_error(&c, text, sizeof(text));
	cr_assert_str_eq(text, "");
}

Test(vmm_stop, statistics)
{
	struct child c = start(run_until_asked, (struct self){0}, plain);
	char seen[256];

	for (unsigned i = 0; i < 3; i++) {
		kill(c.pid, SIGUSR1);
		sleep_ms(LATE_MS);
	}
	finish(&c, SIGTERM, 143, seen, sizeof(seen));
	cr_assert_eq(strncmp(seen, "SSSp", 4), 0, "%s", seen);
	close(c.err);
}

/* The terminal's size is another, perhaps: nothing of an end. */
Test(vmm_stop, sizes)
{
	static const struct stop_config cfg = {.sizes = true};
	struct child c = start(run_until_asked, (struct self){0}, cfg);
	char seen[256];

	kill(c.pid, SIGWINCH);
	sleep_ms(LATE_MS);
	kill(c.pid, SIGCONT);
	sleep_ms(LATE_MS);
	finish(&c, SIGTERM, 143, seen, sizeof(seen));
	cr_assert_eq(strncmp(seen, "rrp", 3), 0, "%s", seen);
	close(c.err);
}

/* A thread that has settled is left alone, the others are not. */
static void *hang_too(void *arg)
{
	struct self *s = arg;
	struct stop_thread t;
	int fds[2];
	char c;

	if (pipe(fds))
		_exit(97);
	stop_add(s->stop, &t, s);
	note(s, read(fds[0], &c, 1) < 0 && errno == EINTR ? 'R' : '?');
	stop_remove(&t);
	return NULL;
}

static void one_of_two(struct self *s)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, hang_too, s))
		_exit(98);
	stop_settle(&s->thread);
	pthread_join(thread, NULL);
}

Test(vmm_stop, two_threads)
{
	struct child c = start(one_of_two, (struct self){0}, plain);
	char seen[256];
	unsigned ms = finish(&c, SIGTERM, 143, seen, sizeof(seen));

	cr_assert_lt(ms, STOP_FLUSH_MS + LATE_MS + c.late_ms, "%u ms", ms);
	cr_assert(strchr(seen, 'R') && !strpbrk(seen, "L?"), "%s", seen);
	close(c.err);
}

/* After stop_settle() nothing is interrupted or flushed, and the limit still holds. */
static void settle_and_hang(struct self *s)
{
	struct timespec ts = {5, 0};

	stop_settle(&s->thread);
	note(s, nanosleep(&ts, NULL) ? '!' : '?');
}

Test(vmm_stop, settled)
{
	struct child c = start(settle_and_hang, (struct self){0}, plain);
	char seen[256];
	unsigned ms = finish(&c, SIGTERM, 143, seen, sizeof(seen));

	cr_assert(ms >= STOP_LIMIT_MS - 1 && ms < 2000 + c.late_ms, "%u ms", ms);
	cr_assert(strchr(seen, 'L') && !strpbrk(seen, "F!?"), "%s", seen);
	close(c.err);
}

/* nohup */
Test(vmm_stop, an_ignored_hangup_stays_ignored)
{
	struct child c;
	char seen[256];

	signal(SIGHUP, SIG_IGN);
	c = start(run_until_asked, (struct self){0}, plain);
	kill(c.pid, SIGHUP);
	sleep_ms(LATE_MS);
	cr_assert_eq(waitpid(c.pid, NULL, WNOHANG), 0);
	finish(&c, SIGTERM, 143, seen, sizeof(seen));
	cr_assert_eq(seen[0], 'p');
	close(c.err);
}
