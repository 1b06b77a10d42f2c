/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

/*
 * The control socket of a monitor: what others of the same user ask of its machines, in the framing of QMP (QEMU's machine protocol)
 * and by its names where it has the command, so that clients of QMP work.  Commands and events: commands.def.
 *
 *   client ──► {"execute": "stop", "arguments": {"machine": "vm2"}} ──► ops.act() ──► {"return": {}}
 *          ◄── {"event": "STOP", "data": {"x-machine": "vm2"}, "timestamp": ...}      a vCPU's thread, by control_event()
 *
 * Without "machine" a command is about all of them.  One thread reads and answers, and waits for nobody: a client that does not read
 * is not listened to until it does, and is left when its answers and events come to CONTROL_MAX_UNREAD bytes.  What takes
 * time (a machine comes or goes) has a thread of its own, one at a time, and the client that asked for it is not listened to
 * meanwhile.  What clients send is not trusted.
 */
#include <sys/types.h>

#include "base/footprint.h"
#include "base/panic.h"
#include "base/profile.h"
#include "base/types.h"
#include "numa/watch.h"
#include "vmm/control/socket.h"

enum { CONTROL_NAME_BYTES = 64 }; /* of a machine */
enum { CONTROL_MAX_CLIENTS = 32, CONTROL_MAX_REQUEST = 64 << 10, CONTROL_MAX_UNREAD = 4 << 20, CONTROL_MAX_DISKS = 8 };

struct control;

enum control_state {
#define CONTROL_STATE(name, text) CONTROL_##name,
#include "vmm/control/commands.def"
};

struct control_disk {
	const char *file;
	const char *driver; /* "raw", "qcow2" */
	bool read_only;
};

/* What there is to know of a machine; strings live as long as its options. */
struct control_machine {
	const char *name;
	const char *kernel; /* absolute; NULL: not known */
	enum control_state state;
	bool big_endian;
	pid_t thread;
	unsigned vcpus; /* 0: one */
	uint64_t mem_bytes, up_ms;
	uint64_t processor_ms;                                        /* that it has had since its last reset */
	uint64_t private_bytes, block_bytes, equal_bytes, zero_bytes; /* of its memory, by what stands for it */
	uint64_t insns[3]; /* by enum tier; 0 if they are not counted (--stats) */
	int status;        /* CONTROL_SHUTDOWN: what it ended with */
	unsigned n_disks;
	struct control_disk disk[CONTROL_MAX_DISKS];
};

/* Of all machines together. */
struct control_monitor {
	uint64_t processors, running, queued;             /* processors; vCPUs that run, and that wait for one */
	uint64_t machine_bytes, block_bytes, equal_bytes; /* machine memory in use, and of that shared as ... */
	struct footprint process;                         /* what all of it takes of the host's memory */
};

/* Simulated nodes (--numa); none without.  Of each of look.hot: whose page it is, and what a kernel calls it, or "". */
enum { CONTROL_SYMBOL_BYTES = 64 };
struct control_nodes {
	struct numa_look look;
	struct control_page {
		char machine[CONTROL_NAME_BYTES], symbol[CONTROL_SYMBOL_BYTES];
	} hot[NUMA_HOT_PAGES];
};

/* All machines were stopped for a moment, and what is known of them in more than one place compared (vmm/monitor/audit.h). */
struct control_audit {
	uint64_t errors;
	char first[300];                                                            /* of them */
	uint64_t machines, pages, shared, compared, entries, records, translations; /* looked at */
	uint64_t moved;             /* pages that were taken to another node before */
	uint64_t wait_us, audit_us; /* until they were stopped; that they were */
};

enum { CONTROL_MAX_MOVES = 10000 };

/* Where a machine's vCPUs were found, and how far its Linux has moved itself. */
struct control_profile {
	uint32_t slide;
	struct profile_sum sum;
};

enum control_action { CONTROL_PAUSE, CONTROL_GO, CONTROL_POWER_DOWN, CONTROL_RESET, CONTROL_QUIT };

/* A machine that is to be one more. */
struct control_addition {
	const char *config; /* of bytes bytes */
	size_t bytes;
	const char *file;   /* its name, for messages */
	const char *folder; /* that names of files in it begin at, absolute */
};

/* All on the control's thread, and none may wait for a guest or a client; but for add(), remove(), look_into() and profile(), which may, on a thread of their own. */
struct control_ops {
	/* Around what follows, up to act(): the machines stay the same ones, and what look() has filled in is there. */
	void (*enter)(void *opaque);
	void (*leave)(void *opaque);
	unsigned (*count)(void *opaque);
	void (*look)(void *opaque, unsigned i, struct control_machine *out);
	void (*look_at_all)(void *opaque, struct control_monitor *out);
	void (*look_at_nodes)(void *opaque, struct control_nodes *out);
	/* moves: at most CONTROL_MAX_MOVES; tries to take a page, whichever, to another node before it */
	void (*audit)(void *opaque, unsigned moves, struct control_audit *out);
	/* NULL, or why it cannot be (static text). That it was done comes as an event. */
	const char *(*act)(void *opaque, unsigned i, enum control_action what);
	/* x-console: fd is a visitor's from here on. False: it cannot be, and fd stays the caller's. */
	bool (*visit)(void *opaque, const char *machine, int fd);
	/* x-gdb: the same with a debugger. */
	bool (*debug)(void *opaque, const char *machine, int fd);
	/* 0, or -errno with err filled; the machine that was added runs, or will at once; the one removed is unknown. */
	int (*add)(void *opaque, const struct control_addition *what, struct control_error *err);
	int (*remove)(void *opaque, const char *machine, bool force, struct control_error *err);
	/*
	 * human-monitor-command, on that thread too.  machine NULL: the only one.  *said: what it says, in lines, the caller's to
	 * free.  0, or -errno with err filled: it could not be asked.
	 */
	int (*look_into)(void *opaque, const char *machine, unsigned cpu, const char *line, char **said,
			 struct control_error *err);
	/*
	 * x-profile, on that thread too.  machine NULL: the only one.  ms: begin anew, for so long; 0: what there is so far goes to out.
	 * 0, or -errno with err filled.
	 */
	int (*profile)(void *opaque, const char *machine, unsigned ms, struct control_profile *out,
		       struct control_error *err);
	void *opaque;
};

/*
 * name  of the socket
 *
 * Returns  0, or -errno with err filled (control_listen()).
 */
MUST_CHECK int control_open(struct control **out, const char *name, const struct control_ops *ops,
			    struct control_error *err);
/* Sends what can be sent at once, and removes the socket. NULL is fine. */
void control_close(struct control *c);

enum control_event {
#define CONTROL_EVENT(name) CONTROL_EVENT_##name,
#include "vmm/control/commands.def"
};
/*
 * Tell the clients.  reason: of SHUTDOWN and RESET, QMP's ShutdownCause, static; those that begin with "guest-" are the guest's
 * doing.  NULL for c is fine.  Any thread.
 */
void control_event(struct control *c, enum control_event what, const char *machine, const char *reason);

#endif
