/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_RUN_INTERNAL_H
#define VMM_CLI_RUN_INTERNAL_H

/*
 * What the files of `disco run` share.  A session is what the process has: the monitor, signals and time, the terminal; and its
 * machines, each with a thread that opens, boots, reboots and closes it (struct run).
 *
 *   run_session.c  the session, from the options of its machines to the process's status
 *   run.c          one machine from power-on to its end
 *   run_load.c     its boot monitor
 *   run_status.c   what it ended with, and what is said about that
 *   run_stats.c    --stats
 *   run_record.c   --record, --replay
 *   run_stop.c     ending all of them from outside
 *   run_control.c  the control socket's machines
 *   run_nodes.c    and simulated nodes
 *   run_change.c   one machine more, one less
 *   run_debug.c    a debugger's machines
 *   run_look.c     the monitor console's commands
 */
#include <pthread.h>

#include "vmm/board/mc146818.h"
#include "vmm/boot/panic_watch.h"
#include "vmm/cli/plan.h"
#include "vmm/cpu/debug.h"
#include "vmm/devices/agent.h"
#include "vmm/host/console_tail.h"
#include "vmm/host/stop.h"
#include "vmm/monitor/vm.h"

struct agent;
struct console;
struct consoles;
struct control;
struct debug_server;
struct guest_devices;
struct history;
struct lines;
struct numa_watch;
struct perf_map;
struct trace;
struct trace_file;
struct wakeup;

struct run_names;

/* ---- one machine ---- */

enum run_slide { RUN_SLIDE_UNKNOWN, RUN_SLIDE_WANTED, RUN_SLIDE_KNOWN };
enum run_phase { RUN_OPENS, RUN_RUNS, RUN_HAS_ENDED };

struct run {
	struct session *session;
	const struct run_options *opt;
	bool hidden;       /* nobody sees the guest's console (yet) */
	bool exit_at_once; /* monitor_abandon() */
	struct console_tail tail;
	struct panic_watch panic;
	bool mid_line;         /* the guest's last output was not the end of a line */
	bool warned;           /* of little memory */
	bool spoke;            /* atomic: the user has seen something of the guest's */
	struct wakeup *wakeup; /* of its own thread and its vCPUs'; of others with `lock`, if it is there */
	bool want_stats;       /* atomic: SIGUSR1 came */
	bool ended;            /* atomic: its end was asked for from outside, but not the session's */

	/* What the control socket asks for, and is told (run_control.c). */
	int phase;         /* enum run_phase; atomic */
	bool want_pause;   /* atomic */
	bool paused;       /* want_pause is done. Written by the vCPU's thread; atomic */
	bool reset_asked;  /* atomic */
	int slide_is;      /* enum run_slide; atomic */
	uint32_t slide;    /* how far its kernel has moved itself, with RUN_SLIDE_KNOWN */
	uint64_t insns[3]; /* executed, by enum tier, at the vCPU's last look around; atomic */
	enum vm_end why;   /* its last end */
	bool reset_by_host;
	bool big_endian;
	char *kernel_path; /* absolute, or NULL */
	pid_t tid;
	uint64_t began_ms, ended_ms; /* host_now_ns(); the end before phase says so */

	/* Set and cleared by the run's thread with `lock`, so that others may use them with it. */
	pthread_mutex_t lock;
	struct console *console; /* NULL: a command instead, or none */
	struct agent *agent;     /* or NULL */
	struct vm *vm;
	struct guest_devices *devices;
	struct console_tap *tap;   /* disco console; NULL: there is no control socket */
	pthread_mutex_t look_lock; /* taken before lock: vm is not freed meanwhile (run_look.c) */
	struct debug debug;
	bool debugged;      /* a debugger has it: each vm has that */
	bool waits_for_gdb; /* --gdb-wait, and none has let it go yet */

	char *append;                    /* of --append and what is known now; or NULL: only --append */
	FILE *stats;                     /* --stats=FILE */
	struct history *history;         /* --record, --replay, or NULL */
	bool recording;                  /* the file is this run's */
	bool recorded;                   /* a boot is in it */
	uint64_t date_ns;                /* --icount: when the next boot begins */
	struct mc146818_battery battery; /* what outlives a reset on the board */
	struct agent_outputs outputs;

	pthread_t thread;
	struct stop_thread stopping;
	bool opened; /* guarded by session.lock, as is: all that it needs is there, or why not */
	int open_status;
	bool gone;    /* guarded by session.lock: its thread comes to its end, and leaves all this */
	bool removed; /* guarded by session.lock: nobody asks for its status */
	int status;

	/* Of one that was added to the others. */
	struct plan plan;
	struct run_said said;
};

/* ---- all of them ---- */

enum { SOCKET_NAME_BYTES = 96 };

enum session_phase {
	SESSION_OPENS, /* machines are opened; none runs */
	SESSION_RUNS,
	SESSION_FAILED, /* one could not be opened: none is to run */
	SESSION_ENDS,   /* the last one has ended: none comes or goes any more */
};

struct session {
	const char *speaker; /* "disco run" */
	bool several;        /* plan.several */
	unsigned n_first;    /* machines that it begins with */
	struct run *first;   /* they */
	bool count_insns;    /* one of them has --stats: what is translated is translated for all */
	struct monitor *monitor;
	struct store *store;           /* or NULL */
	bool open;                     /* atomic: the monitor is there */
	struct run_names *names;       /* of guest addresses, from when somebody wants them; control's thread */
	struct numa_watch *watch;      /* --numa: what is told of pages; or NULL */
	struct trace *trace;           /* events, wanted or not */
	struct trace_file *trace_file; /* where they go; or NULL */
	struct perf_map *perf_map;     /* --perf, or NULL */
	struct stop *stop;
	struct control *control;              /* or NULL */
	char control_name[SOCKET_NAME_BYTES]; /* of it, and of its socket */
	struct debug_server *debugger;        /* NULL: nobody has wanted one yet; once there it stays */
	bool debugging;                       /* atomic: it is there */
	bool reachable;            /* who has the name of the control socket may ask guests to switch themselves off */
	struct consoles *consoles; /* several machines on one terminal, or NULL */
	struct lines *lines[2];    /* several machines: standard output and error; the same if that is one file */

	/*
	 * Whoever goes through the machines, and is not their only one, holds it.  Taken before run.lock.  A machine is added
	 * and taken away by control's worker only.
	 */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	enum session_phase phase;
	unsigned n, n_live; /* those whose threads are not gone */
	struct run *run[RUN_MAX_MACHINES];
	uint64_t mem_bytes; /* of all: control's worker's, once they run */
	bool exit_at_once;  /* of one that was taken away */

	pthread_mutex_t kernel_lock; /* run_load.c */
	struct run_kernel *kernels;  /* of several machines, until each has loaded its own once */
	unsigned n_loaded;
};

/* One of those that the session began with, whose options are its plan's. */
static inline bool run_is_first(const struct run *r)
{
	return r >= r->session->first && r < r->session->first + r->session->n_first;
}

/* ---- run_session.c ---- */
/* Machine memory that it may come to need, with what it has in common with others, and what may wait for it. */
uint64_t run_memory_bytes(const struct run_options *opt);
void run_init(struct run *r, struct session *s, const struct run_options *opt);
/* Its thread is joined. */
void run_free(struct run *r);
/* A thread for it, which opens it; it is counted. 0 or -errno. With session.lock. */
MUST_CHECK int run_start(struct run *r);

/* Its machines have pages in common. */
bool session_shares(const struct session *s);

enum { REVERSE_MEMORIES = 5 }; /* of machine memory, for one that goes back: itself, and its past */

/* ---- run_store.c ---- */
/* The translation store, if there is to be one. enum exit_status. */
int session_store_open(struct session *s);

/* ---- run_change.c; control's worker ---- */
struct control_addition;
struct control_error;
int session_add(struct session *s, const struct control_addition *what, struct control_error *err);
int session_remove(struct session *s, const char *name, bool force, struct control_error *err);

/* ---- run.c ---- */
/* The machine's thread. */
void *run_main(void *run);
/* What the monitor says stands on lines of its own, also where the guest's output goes to the same place. */
void run_end_line(const struct run *r);
/* A line on standard error, in the name of the machine. */
void run_say(const struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The end has been asked for, of this machine or of all. Any thread. */
bool run_stopped(const struct run *r);
/* Ask this machine alone to end; again, if it has not heard (RUN_END_AGAIN_MS). Any thread. */
void run_end(struct run *r);

/* ---- run_status.c ---- */
/* Why the machine cannot be made. STATUS_FAILED. */
int run_cannot_make(const struct run *r, int err, const struct vm_want *want);
/* It has ended, for this reason. enum exit_status, or the command's. */
int run_status(const struct run *r, enum vm_end why);
/* Of all machines: the first one that is not 0; and if there are several, which failed is said. */
int session_status(const struct session *s);

/* ---- run_load.c ---- */
/* Kernel, initrd and argument block into RAM; the boot CPU as YAMON would leave it. enum exit_status. */
int run_load(struct run *r);
/* Frees session.kernels. */
void session_forget_kernels(struct session *s);
/* EI_DATA of the image; what is wrong with a file that is not one, the loader will say. */
bool run_image_big_endian(const char *path);

/* ---- run_nodes.c ---- */
struct control_nodes;
/* With session.lock. */
void session_look_at_nodes(struct session *s, struct control_nodes *out);
/* If it is wanted: how far has the kernel moved itself? vCPU thread. */
void run_find_slide(struct run *r);
/* There is no control any more. */
void session_forget_names(struct session *s);

/* ---- run_control.c ---- */
/* The control socket. enum exit_status; what is wrong is said. */
int session_control_open(struct session *s);
/* Pause and go on as it is asked for. vCPU thread. */
void run_control_poll(struct run *r);
/* The machine has come to the end of a boot; again: it boots once more. */
void run_control_told(struct run *r, enum vm_end why, bool again);
/* All of it is closed. */
void run_control_ended(struct run *r);
/* Have it stand still, or go on; soon. NULL. Any thread. */
const char *run_pause(struct run *r, bool pause);

/* ---- run_debug.c ---- */
/* --gdb, --gdb-wait. enum exit_status; what is wrong is said. Before any machine is opened. */
int session_debug_open(struct session *s);
/* fd is a debugger's who wants that machine. False: it cannot be, and fd stays the caller's. Control's thread. */
bool session_debug_visit(struct session *s, int fd, const char *machine);
/* r->vm is there, and does not run yet. With r->lock. */
void run_debug_boot(struct run *r);
/* It has ended. */
void run_debug_ended(struct run *r);
/*
 * A Linux that is not told to stay (nokaslr) may be elsewhere than its image says: by so much, as it is now.  While the machine keeps its vm.
 * Waits for its vCPUs to stop, and may take half a second.
 */
uint32_t run_slide(struct run *r);

/* ---- run_look.c; control's worker ---- */
/* A command of the monitor console: control_ops.look_into. */
int session_look_into(struct session *s, const char *machine, unsigned cpu, const char *line, char **said,
		      struct control_error *err);
/* control_ops.profile. */
struct control_profile;
int session_profile(struct session *s, const char *machine, unsigned ms, struct control_profile *out,
		    struct control_error *err);

/* ---- run_record.c: enum exit_status; what is wrong is said ---- */
int run_record_open(struct run *r);
/* r->vm is loaded, and does not run yet. */
int run_record_boot(struct run *r);
/* It has ended; again: it boots once more. STATUS_FAILED: of a replay, not as it was recorded. */
int run_record_ended(struct run *r, enum vm_end why, bool again);
int run_record_close(struct run *r);

/* ---- run_stop.c ---- */
/* Before any other thread. 0 or -errno. */
MUST_CHECK int session_stop_open(struct session *s);

/* ---- run_stats.c: enum exit_status ---- */
/* Before the machine starts, so that a path that cannot be written does not cost its user a run. */
int run_stats_open(struct run *r);
/* What --stats asks for, at the end. */
int run_stats_write(struct run *r);
/* SIGUSR1: what there is so far, in the same place; without --stats on standard error. vCPU thread. */
void run_stats_now(struct run *r);
int run_stats_close(struct run *r);

#endif
