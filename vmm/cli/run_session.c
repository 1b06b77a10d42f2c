/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jit/store/store.h"
#include "numa/watch.h"
#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/plan.h"
#include "vmm/control/control.h"
#include "vmm/debug/server.h"
#include "vmm/host/consoles.h"
#include "vmm/host/lines.h"
#include "vmm/look/perf_map.h"
#include "vmm/look/trace_file.h"
#include "vmm/monitor/monitor.h"

/* The process of `disco run`: what its machines have together, from before the first is opened to after the last is gone. */

/* repeatable runs see the same calendar: 2000-01-01 */
#define FIRST_DATE_NS (946684800ull * 1000000000u)

static int failed(const struct session *s, const char *what, int err)
{
	fprintf(stderr, "%s: %s%s\n", s->speaker, what, strerror(-err));
	return STATUS_FAILED;
}

/* Each has a dozen descriptors, and more with its disks and networks. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* what then does not open says so */
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void quit(void *opaque)
{
	struct session *s = opaque;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++)
		run_end(s->run[i]);
	pthread_mutex_unlock(&s->lock);
}

/* Where several machines' output goes. */
static int open_outputs(struct session *s)
{
	struct consoles_config cfg = {STDIN_FILENO, STDOUT_FILENO, quit, s->control ? s->control_name : NULL, s};
	bool shown = false;
	int err;

	if (!s->several)
		return STATUS_OK;
	err = lines_open(&s->lines[0], STDOUT_FILENO);
	s->lines[1] = s->lines[0];
	if (!err && !same_file(STDOUT_FILENO, STDERR_FILENO))
		err = lines_open(&s->lines[1], STDERR_FILENO);
	if (err)
		return failed(s, "standard output and error: ", err);
	for (unsigned i = 0; i < s->n; i++)
		shown |= !s->run[i]->opt->command;
	if (!shown || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return STATUS_OK;
	err = consoles_open(&s->consoles, &cfg);
	return err ? failed(s, "the terminal: ", err) : STATUS_OK;
}

/* Waits for whoever reads it.  False: the end is asked for before that is all written. */
static bool written(struct session *s, struct lines *l)
{
	const struct timespec ms = {0, 1000000};

	while (!lines_empty(l) && !stop_asked(s->stop))
		nanosleep(&ms, NULL);
	return lines_empty(l);
}

static int close_outputs(struct session *s, int status)
{
	struct lines *err = s->lines[1] != s->lines[0] ? s->lines[1] : NULL;
	int lost;

	consoles_close(s->consoles);
	if (err)
		(void)lines_close(err, written(s, err)); /* there is no other place to say it */
	if (!s->lines[0])
		return status;
	lost = lines_close(s->lines[0], written(s, s->lines[0]));
	if (lost && lost != EPIPE && !status)
		(void)failed(s, "standard output: ", -lost);
	return lost && !status ? STATUS_FAILED : status;
}

static bool is_unlimited(int resource)
{
	struct rlimit limit;

	return !getrlimit((__rlimit_resource_t)resource, &limit) && limit.rlim_cur == RLIM_INFINITY;
}

/* What --numa has to tell, and --numa-log: before the machines, so that a path that cannot be written does not cost its user a run. */
static int open_watch(struct session *s)
{
	const struct run_options *opt = s->first->opt; /* what is the process's is the same in all */
	struct numa_watch_config cfg = {.numa = &opt->numa.cfg,
					.rows = opt->numa.flash ? numa_config_rows : numa_sample_rows,
					.mode = opt->numa.flash  ? "flash"
						: opt->numa.host ? "host"
								 : "sample",
					.simulated = opt->numa.flash,
					.trace = s->trace};
	int err;

	if (!opt->numa.sample && !opt->numa.flash)
		return STATUS_OK;
	if (opt->numa_log) {
		cfg.log = fopen(opt->numa_log, "we");
		if (!cfg.log) {
			fprintf(stderr, "%s: --numa-log %s: %s\n", s->speaker, opt->numa_log, strerror(errno));
			return STATUS_FAILED;
		}
	}
	err = numa_watch_new(&s->watch, &cfg);
	return err ? failed(s, "--numa: ", err) : STATUS_OK;
}

static int close_watch(struct session *s, int status)
{
	int err = numa_watch_free(s->watch);

	if (!err)
		return status;
	fprintf(stderr, "%s: --numa-log %s: %s\n", s->speaker, s->first->opt->numa_log, strerror(-err));
	return status ? status : STATUS_FAILED;
}

bool session_shares(const struct session *s) { return s->several || s->first->opt->merge.pages; }

/* --trace: events are known, whether they are wanted now or later (disco monitor). */
static int open_trace(struct session *s)
{
	const struct run_trace *opt = &s->first->opt->trace;
	int err;

	s->trace = trace_new();
	if (!s->trace)
		return failed(s, "--trace: ", -ENOMEM);
	if (opt->events && !(opt->file && strcmp(opt->file, "none") == 0)) {
		err = trace_file_open(&s->trace_file, s->trace, opt->file, (enum trace_file_format)opt->format);
		if (err) {
			fprintf(stderr, "%s: --trace file=%s: %s\n", s->speaker, opt->file ? opt->file : "",
				strerror(-err));
			return STATUS_FAILED;
		}
	}
	trace_switch(s->trace, opt->events, true);
	return STATUS_OK;
}

static int close_trace(struct session *s, int status)
{
	int err = trace_file_close(s->trace_file);

	trace_free(s->trace);
	if (!err)
		return status;
	fprintf(stderr, "%s: --trace %s: %s\n", s->speaker,
		s->first->opt->trace.file ? s->first->opt->trace.file : "on standard error", strerror(-err));
	return status ? status : STATUS_FAILED;
}

/* --perf map: where perf looks for it. */
static int open_perf(struct session *s)
{
	const struct run_options *opt = s->first->opt;
	struct loader_error err;

	if (opt->perf == RUN_PERF_OFF)
		return STATUS_OK;
	if (perf_map_open(&s->perf_map, NULL, opt->kernel, opt->symbols, opt->perf_files, &err) == 0)
		return STATUS_OK;
	fprintf(stderr, "%s: --perf map: %s\n", s->speaker, err.text);
	return STATUS_FAILED;
}

static int close_perf(struct session *s, int status)
{
	int err = perf_map_close(s->perf_map);

	if (!err)
		return status;
	fprintf(stderr, "%s: --perf map: %s\n", s->speaker, strerror(-err));
	return status ? status : STATUS_FAILED;
}

static int open_monitor(struct session *s)
{
	const struct run_options *opt = s->first->opt; /* what is the process's is the same in all */
	bool nodes = opt->numa.sample || opt->numa.flash;
	struct monitor_config cfg = {.nodes = nodes ? opt->numa.cfg.nodes : 1,
				     .numa = nodes ? &opt->numa.cfg : NULL,
				     .simulated = opt->numa.flash,
				     .watch = s->watch,
				     .host = opt->numa.host ? &numa_this_host : NULL,
				     .share = session_shares(s) || opt->goes_back,
				     .merge = opt->goes_back     ? 0
					      : opt->merge.given ? opt->merge.pages
								 : MERGE_DEFAULT,
				     .store = s->store,
				     .trace = s->trace,
				     .last_words = trace_last_words,
				     .perf_map = s->perf_map,
				     .processors = opt->processors,
				     .repeatable = opt->icount,
				     .together = 0};
	int err;

	for (unsigned i = 0; i < s->n; i++)
		cfg.together += run_vcpus(s->run[i]->opt);
	for (unsigned i = 0; i < s->n; i++)
		cfg.memory_bytes += run_memory_bytes(s->run[i]->opt);
	if (opt->numa.flash) /* the regions' too */
		cfg.memory_bytes = opt->numa.cfg.memory;
	if (opt->goes_back) /* what its pages were, at the moments to which it can go back */
		cfg.memory_bytes *= REVERSE_MEMORIES;
	s->mem_bytes = cfg.memory_bytes;
	/* where address space is short, it is left to others */
	if (s->several && !opt->icount && is_unlimited(RLIMIT_AS) && is_unlimited(RLIMIT_FSIZE))
		cfg.most_bytes = machine_memory_host_bytes() & ~(uint64_t)PAGE_MASK;
	err = monitor_new(&s->monitor, &cfg);
	if (err == -EPERM || err == -ENOSYS || err == -ENODEV)
		return failed(s, "--numa host: this host does not let memory be bound to its nodes: ", err);
	if (!err) {
		__atomic_store_n(&s->open, true, __ATOMIC_RELEASE);
		return STATUS_OK;
	}
	return run_cannot_make(s->first, err,
			       &(struct vm_want){.what = "guest memory (--mem)", .bytes = cfg.memory_bytes});
}

uint64_t run_memory_bytes(const struct run_options *opt)
{
	uint64_t bytes = opt->mem_bytes;

	for (unsigned i = 0; i < opt->n_regions; i++)
		bytes += opt->region[i].bytes;
	/* a machine that has all of its memory, and has sent some of it to one that does not read, takes nothing from others */
	for (unsigned i = 0; i < opt->n_nets; i++)
		bytes += opt->net[i].kind == NET_LAN ? NET_LAN_LENT_BYTES : 0;
	return bytes;
}

void run_init(struct run *r, struct session *s, const struct run_options *opt)
{
	*r = (struct run){.session = s, .opt = opt, .date_ns = FIRST_DATE_NS};
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->look_lock, NULL);
	pthread_mutex_init(&r->said.lock, NULL);
}

void run_free(struct run *r)
{
	debug_fini(&r->debug);
	free(r->kernel_path);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->look_lock);
	pthread_mutex_destroy(&r->said.lock);
	if (run_is_first(r))
		return; /* they go together */
	plan_free(&r->plan);
	free(r);
}

int run_start(struct run *r)
{
	int err = -pthread_create(&r->thread, NULL, run_main, r);

	r->session->n_live += !err;
	return err;
}

/* One after the other, so that what is said about them comes in their order.  Returns the status of the first that cannot be. */
static int start_machines(struct session *s, unsigned *started)
{
	int status = STATUS_OK, err;

	pthread_mutex_lock(&s->lock);
	for (*started = 0; *started < s->n && !status; (*started)++) {
		struct run *r = s->run[*started];

		err = run_start(r);
		if (err) {
			status = failed(s, "a thread for each machine: ", err);
			break;
		}
		while (!r->opened)
			pthread_cond_wait(&s->changed, &s->lock);
		status = r->open_status;
	}
	pthread_mutex_unlock(&s->lock);
	err = !status && s->consoles ? consoles_start(s->consoles) : 0;
	return err ? failed(s, "the terminal: ", err) : status;
}

static int run_all(struct session *s)
{
	unsigned started;
	int status = start_machines(s, &started);

	pthread_mutex_lock(&s->lock);
	s->phase = status ? SESSION_FAILED : SESSION_RUNS;
	pthread_cond_broadcast(&s->changed);
	while (s->n_live)
		pthread_cond_wait(&s->changed, &s->lock);
	s->phase = status ? SESSION_FAILED : SESSION_ENDS;
	pthread_mutex_unlock(&s->lock);
	/* from here on the list stays as it is */
	started = status ? started : s->n;
	for (unsigned i = 0; i < started; i++)
		pthread_join(s->run[i]->thread, NULL);
	pthread_mutex_lock(&s->lock); /* control's worker may be about to say who was taken away */
	status = status ? status : session_status(s);
	pthread_mutex_unlock(&s->lock);
	return status;
}

static int run_session(struct session *s)
{
	int err = session_stop_open(s), status;

	if (err)
		return failed(s, "", err);
	status = session_control_open(s);
	if (!status)
		status = open_trace(s);
	if (!status)
		status = open_perf(s);
	if (!status)
		status = open_watch(s);
	if (!status)
		status = session_debug_open(s);
	if (!status)
		status = session_store_open(s);
	if (!status)
		status = open_monitor(s);
	if (!status)
		status = open_outputs(s);
	if (!status)
		status = run_all(s);
	pthread_mutex_lock(&s->lock);
	s->phase = s->phase == SESSION_OPENS ? SESSION_FAILED : s->phase; /* nobody waits for the first ones any more */
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	control_close(s->control);
	debug_server_close(s->debugger);
	session_forget_names(s);
	status = close_outputs(s, status);
	status = stop_status(s->stop, status);
	stop_close(s->stop);
	session_forget_kernels(s);
	monitor_free(s->monitor);
	store_close(s->store); /* also when LLVM is still at work: it knows nothing of it */
	return close_perf(s, close_trace(s, close_watch(s, status)));
}

/* Those that were added, too. */
static bool free_machines(struct session *s)
{
	bool exit_at_once = s->exit_at_once;

	for (unsigned i = 0; i < s->n; i++) {
		exit_at_once |= s->run[i]->exit_at_once;
		run_free(s->run[i]);
	}
	free(s->first);
	free(s);
	return exit_at_once;
}

int run_machines(struct plan *plan)
{
	struct session *s = calloc(1, sizeof(*s));
	int status;

	if (s)
		s->first = calloc(plan->n, sizeof(*s->first));
	if (!s || !s->first) {
		fprintf(stderr, "%s: the host has no memory left\n", plan->speaker);
		free(s);
		return STATUS_FAILED;
	}
	s->speaker = plan->speaker;
	s->several = plan->several;
	s->n = s->n_first = plan->n;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	pthread_mutex_init(&s->kernel_lock, NULL);
	if (s->several)
		raise_limits();
	for (unsigned i = 0; i < plan->n; i++) {
		s->count_insns |= plan->opt[i].stats;
		s->run[i] = &s->first[i];
		run_init(s->run[i], s, &plan->opt[i]);
	}
	status = run_session(s);
	if (free_machines(s)) {
		fflush(NULL);
		_exit(status);
	}
	return status;
}
