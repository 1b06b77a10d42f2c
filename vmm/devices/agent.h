/* SPDX-License-Identifier: MIT */
#ifndef VMM_AGENT_H
#define VMM_AGENT_H

/*
 * The host's end of the guest agent (guest/agent/): a command in the guest with this process's standard input, output and
 * error, its signals and its exit status; or only the news that the guest's userland begins (--quiet-boot), and to the guest
 * the size of the terminal that its console is.
 *
 * Four named ports of a virtio console.  disco.stdin, disco.stdout and disco.stderr carry bytes and nothing else;
 * disco.control carries messages:
 *
 *   u8 type, 3 bytes 0, u32 length, payload; little-endian
 *
 *   from the guest   H  u32 version      the agent is there, and waits for a command
 *                    R                   userland begins
 *                    X  u32 status, u64 bytes of standard output, u64 bytes of standard error: the command has ended
 *                    F  text             why no command can be run
 *   to the guest     C  u32 argc, u32 envc, u32 bytes of script; 16 bytes: the terminal (vmm/devices/agent_tty.h); the
 *                       strings, each with its NUL; the script
 *                    K  u32 signal number
 *                    W  u16 columns, u16 rows  the terminal has now this size
 *                    O  u32 0            without a command: switch the machine off as its user would
 *                    Z  u64 bytes        standard input is at its end, and was so long
 *                    P  u32 1 or 2       nobody reads standard output (1), standard error (2) any more
 *
 * With a terminal, disco.stdin and disco.stdout are what is typed and shown there, and disco.stderr is unused if standard error
 * is that terminal too.
 * The lengths are there because each port is a queue of its own: their order says nothing.  The guest is not trusted: what it
 * sends has bounded effect, and a message that is none ends the command; without a command the host is deaf from there on.
 */
#include "base/panic.h"
#include "base/types.h"

struct vm;
struct wakeup;
struct run_options;
struct agent;
struct tty_size;
struct lines;

enum { AGENT_NO_STATUS = 125 }; /* as docker, env and timeout: the command itself has no status */

/* Instead of standard output and error: as lines among those of other machines. Such a command has no standard input. */
struct agent_outputs {
	struct lines *lines[2];
	const char *name;
};

/*
 * Reads --script.  If there is a command, SIGPIPE is blocked already.
 *
 * outputs   NULL: the command has this process's descriptors.  Outlives the agent
 * on_ready  userland begins (vCPU thread)
 * Returns   0 or -errno, said on standard error.
 */
MUST_CHECK int agent_open(struct agent **out, const struct run_options *opt, const struct agent_outputs *outputs,
			  struct wakeup *w, void (*on_ready)(void *opaque), void *opaque);
/*
 * NULL is fine.
 *
 * drain   wait until the command's output is written, unless the user left by Ctrl-A x
 * status  of the run
 * Returns that, unless output was lost, which is never 0.  Nobody read it: 128 + SIGPIPE, as for a program here.  It could
 *         not be written (said on standard error): 1; that is also for a command that SIGPIPE has ended, which then comes
 *         of it.  A command that has failed otherwise keeps its status.
 */
int agent_close(struct agent *a, bool drain, int status);
/*
 * Without a command: has the guest's console a size, and which?  No, if standard input or output is no terminal; if there is
 * no initramfs whose agent could be told; and in a run that is to be repeated.
 */
bool agent_console_size(const struct run_options *opt, struct tty_size *size);
/* Is there a terminal whose changes of size are to be told (agent_resized())? */
bool agent_wants_sizes(const struct run_options *opt);
/* The machine has ended: if the terminal is raw, write (drain) what is left of the output, and give it back. NULL is fine. */
void agent_leave_terminal(struct agent *a, bool drain);
/* All of the command's output is written, or lost. */
bool agent_drained(const struct agent *a);
/* The user's terminal has perhaps another size. Any thread. NULL is fine. */
void agent_resized(struct agent *a);
/* Without a command: have the guest switch itself off. Any thread. False: nobody is there (yet) who would. */
bool agent_power_off(struct agent *a);
/* A signal for the command. Any thread. False: there is none that could get it. */
bool agent_signal(struct agent *a, int sig);
/* The command runs, or has run. Any thread. */
bool agent_started(const struct agent *a);
/* Add its device to a machine; after a reset, to the next one. 0 or -errno. */
MUST_CHECK int agent_plug(struct agent *a, struct vm *vm);
/* The machine is about to be freed. */
void agent_unplug(struct agent *a);
/* Move what can be moved. vCPU thread, whenever it is outside translated code. Cost: a few loads when nothing is there. */
void agent_poll(struct agent *a);

/* How it ended. */
enum agent_result {
	AGENT_NOTHING, /* the machine ended without a word of the command's */
	AGENT_STATUS,  /* *status is the command's */
	AGENT_QUIT,    /* the user left, by Ctrl-A x */
	AGENT_REFUSED, /* the agent cannot run it: agent_failure() says why */
};
enum agent_result agent_result(const struct agent *a, int *status);
/* One line; printable. */
const char *agent_failure(const struct agent *a);

#endif
