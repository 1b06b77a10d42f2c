/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host_clock.h"

#define MAX_ARGS   48
#define LINE_BYTES 1024
#define PIT_HZ     1193182.0
#define MAX_REPEAT 1000000u

extern char **environ;

/* A child, its output by lines, and the lines that came last. */
struct child {
	pid_t pid;
	int out;
	uint64_t deadline_ms;
	char line[LINE_BYTES];
	size_t line_bytes;
	char last[LINE_BYTES];
};

struct command {
	unsigned n;
	const char *arg[MAX_ARGS];
};

static void add(struct command *c, const char *arg)
{
	if (c->n < MAX_ARGS - 1)
		c->arg[c->n++] = arg;
}

static void add_all(struct command *c, const char *const *args)
{
	while (*args)
		add(c, *args++);
}

/* Standard output and error into one pipe. */
static int child_start(struct child *ch, const struct command *c, unsigned timeout_s)
{
	posix_spawn_file_actions_t actions;
	int fd[2], err;

	if (pipe(fd))
		return -errno;
	err = posix_spawn_file_actions_init(&actions);
	if (err) {
		close(fd[0]);
		close(fd[1]);
		return -err;
	}
	err = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, fd[1], STDOUT_FILENO);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, fd[1], STDERR_FILENO);
	err = err ? err : posix_spawn_file_actions_addclose(&actions, fd[0]);
	err = err ? err : posix_spawn_file_actions_addclose(&actions, fd[1]);
	err = err ? err : posix_spawnp(&ch->pid, c->arg[0], &actions, NULL, (char *const *)(uintptr_t)c->arg, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fd[1]);
	if (err) {
		close(fd[0]);
		return -err;
	}
	ch->out = fd[0];
	ch->deadline_ms = host_now_ms() + timeout_s * 1000ull;
	return 0;
}

/* The next line in ch->line. 1, 0 at the end, -ETIMEDOUT, -errno. */
static int child_line(struct child *ch)
{
	struct pollfd p = {ch->out, POLLIN, 0};
	ssize_t got;
	char c;

	ch->line_bytes = 0;
	for (;;) {
		uint64_t now = host_now_ms();
		int ready = now < ch->deadline_ms ? poll(&p, 1, (int)(ch->deadline_ms - now)) : 0;

		if (ready == 0)
			return -ETIMEDOUT;
		got = ready > 0 ? read(ch->out, &c, 1) : -1;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0 && ch->line_bytes == 0)
			return 0;
		if (got == 0 || c == '\n')
			break;
		if (c != '\r' && ch->line_bytes < LINE_BYTES - 1)
			ch->line[ch->line_bytes++] = c;
	}
	ch->line[ch->line_bytes] = '\0';
	if (ch->line_bytes)
		memcpy(ch->last, ch->line, ch->line_bytes + 1);
	return 1;
}

static void child_end(struct child *ch)
{
	int status;

	kill(ch->pid, SIGKILL);
	close(ch->out);
	while (waitpid(ch->pid, &status, 0) < 0 && errno == EINTR)
		;
}

static void sample(struct bench_samples *s, double v)
{
	if (s->n == s->room) {
		unsigned room = s->room ? 2 * s->room : 16;
		double *grown = room <= MAX_REPEAT ? realloc(s->value, room * sizeof(*grown)) : NULL;

		if (!grown)
			return;
		s->value = grown;
		s->room = room;
	}
	s->value[s->n++] = v;
}

bool bench_line(const char *line, double *ns_per_tick, struct bench_samples s[NUM_MICROS])
{
	char name[32];
	uint32_t n, each, ticks;

	if (sscanf(line, "micro_rate %" SCNu32 " %" SCNu32, &n, &ticks) == 2 && n && ticks) {
		*ns_per_tick = ticks / PIT_HZ * 1e9 / n;
		return false;
	}
	if (sscanf(line, "micro %31s %" SCNu32 " %" SCNu32 " %" SCNu32, name, &n, &each, &ticks) != 4)
		return strcmp(line, "micro end") == 0;
	for (unsigned i = 0; i < NUM_MICROS; i++) {
		double ops = (double)n * each, ns = ticks * *ns_per_tick;

		if (strcmp(name, bench_micros[i].name) == 0 && ops > 0 && ns > 0)
			sample(&s[i], bench_micros[i].unit == MICRO_NS ? ns / ops : ops / ns * 1000);
	}
	return false;
}

/* The rows of "devices" in what --stats=FILE writes (vmm/look/stats.c). Missing or damaged: no rows. */
static void read_devices(const char *dir, struct bench_results *r)
{
	char path[4200], line[8192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/stats", dir);
	f = fopen(path, "r");
	if (!f)
		return;
	r->n_devices = 0;
	while (fgets(line, sizeof(line), f)) {
		const char *p = strstr(line, "\"devices\": [");

		while (p && (p = strstr(p, "{\"name\": \"")) && r->n_devices < ARRAY_LEN(r->device)) {
			struct bench_device *d = &r->device[r->n_devices];
			uint64_t in, out;

			p += strlen("{\"name\": \"");
			snprintf(d->name, sizeof(d->name), "%.*s", (int)strcspn(p, " \""), p);
			p += strcspn(p, "\"");
			if (sscanf(p,
				   "\", \"virtio_id\": %*u, \"requests\": %" SCNu64 ", \"notifies\": %" SCNu64
				   ", \"interrupts\": %" SCNu64 ", \"bytes_in\": %" SCNu64 ", \"bytes_out\": %" SCNu64,
				   &d->requests, &d->notifies, &d->interrupts, &in, &out) != 5)
				break;
			d->bytes = in + out;
			if (d->requests)
				r->n_devices++;
		}
	}
	fclose(f);
}

/* "only=NAME,NAME": what a guest is told to leave the others out. */
static void only(const struct bench_options *opt, enum micro_program program, char *out, size_t bytes)
{
	size_t at = (size_t)snprintf(out, bytes, "only=");

	for (unsigned i = 0; i < NUM_MICROS; i++)
		if (opt->wanted[i] && bench_micros[i].program == program && at < bytes)
			at += (size_t)snprintf(out + at, bytes - at, "%s,", bench_micros[i].name);
}

struct strings {
	char program[4096], initrd[4096], disk[4200], drive[4300], append[2048], stats[4096];
};

static void disco_command(const struct bench_options *opt, enum micro_program program, const struct strings *s,
			  struct command *c)
{
	add_all(c, (const char *const[]){"/proc/self/exe", "run", "--no-reboot", "--append", s->append, NULL});
	if (opt->tiers)
		add_all(c, (const char *const[]){"--tiers", opt->tiers, NULL});
	if (program == MICRO_BARE)
		add_all(c, (const char *const[]){"--kernel", s->program, "--net", "none", NULL});
	else
		add_all(c, (const char *const[]){"--kernel", opt->kernel, "--initrd", s->initrd, "--disk", s->disk,
						 "--net", "user", s->stats, NULL});
}

static void qemu_command(const struct bench_options *opt, enum micro_program program, const struct strings *s,
			 struct command *c)
{
	add_all(c, (const char *const[]){opt->qemu, "-M", "malta", "-cpu", "34Kf", "-m", "256", "-vga", "none",
					 "-nographic", "-no-reboot", "-append", s->append, NULL});
	if (program == MICRO_BARE)
		add_all(c, (const char *const[]){"-kernel", s->program, "-net", "none", NULL});
	else
		add_all(c, (const char *const[]){"-kernel", opt->kernel, "-initrd", s->initrd, "-drive", s->drive,
						 "-device", "virtio-blk-pci,drive=d", "-netdev", "user,id=n", "-device",
						 "virtio-net-pci,netdev=n,romfile=", NULL});
}

static void make_strings(const struct bench_options *opt, enum micro_program program, const char *dir,
			 struct strings *s)
{
	char names[1024];

	only(opt, program, names, sizeof(names));
	bench_program_path(opt, program, s->program, sizeof(s->program));
	snprintf(s->initrd, sizeof(s->initrd), "%s/initrd", dir);
	snprintf(s->disk, sizeof(s->disk), "%s/disk,mode=rw", dir);
	snprintf(s->drive, sizeof(s->drive), "file=%s/disk,format=raw,if=none,id=d,cache=writeback", dir);
	snprintf(s->stats, sizeof(s->stats), "--stats=%s/stats", dir);
	if (program == MICRO_BARE)
		snprintf(s->append, sizeof(s->append), "%s", names);
	else
		snprintf(s->append, sizeof(s->append),
			 "console=ttyS0 quiet disco.cmd=\"ip link set eth0 up; /tests/micro %s /dev/vda eth0\"", names);
}

int bench_machine_run(const struct bench_options *opt, enum bench_peer peer, enum micro_program program,
		      const char *dir, struct bench_results *r, struct bench_error *err)
{
	struct strings *s = malloc(sizeof(*s));
	struct command c = {0};
	struct child ch = {.last = "nothing"};
	double ns_per_tick = 1; /* the linux program reports nanoseconds */
	bool done = false;
	int e;

	if (!s)
		return -ENOMEM;
	make_strings(opt, program, dir, s);
	if (peer == BENCH_DISCO)
		disco_command(opt, program, s, &c);
	else
		qemu_command(opt, program, s, &c);
	e = child_start(&ch, &c, opt->timeout_s);
	if (e) {
		snprintf(err->text, sizeof(err->text), "cannot start %.200s: %s", c.arg[0], strerror(-e));
		free(s);
		return e;
	}
	/* To the end of the process, not of the benchmarks: it still writes its statistics. */
	while ((e = child_line(&ch)) > 0)
		done |= bench_line(ch.line, &ns_per_tick, r->s[peer]);
	child_end(&ch);
	free(s);
	if (peer == BENCH_DISCO && program == MICRO_LINUX)
		read_devices(dir, r);
	if (e == -ETIMEDOUT)
		snprintf(err->text, sizeof(err->text), "no end after %u s; the last line was: %.300s", opt->timeout_s,
			 ch.last);
	else if (e == 0 && !done) {
		e = -EIO;
		snprintf(err->text, sizeof(err->text), "the guest ended early; the last line was: %.300s", ch.last);
	} else if (e)
		snprintf(err->text, sizeof(err->text), "its output: %s", strerror(-e));
	return e;
}
