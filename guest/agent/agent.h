/* SPDX-License-Identifier: MIT */
#ifndef GUEST_AGENT_AGENT_H
#define GUEST_AGENT_AGENT_H

/*
 * /init of Disco's initramfs: finds the machine's devices and loads their drivers, mounts the root disk if there is one, and
 * hands over: to the disk's own init, to a shell, or to a command that the host sends.
 */
#include "guest/agent/sys.h"

/* What the kernel command line says to it. Strings point into text; NULL or false: not there. */
struct config {
	char text[4096];
	const char *root;       /* /dev/vda, LABEL=..., UUID=... */
	const char *rootfstype; /* ext4 */
	const char *rootflags;
	const char *init;
	const char *cmd; /* disco.cmd=: a shell command whose status is reported on the console */
	const char *run; /* disco.run=: the same for /tests/NAME */
	const char *net; /* disco.net=: what each network card leads to, in order: user, gateway, others; one: user */
	const char
	    *agent; /* disco.agent=: "run": the host sends a command; "ready": it wants to know when userland begins */
	const char *terminals; /* disco.terminals=: how many of hvc0, ... get a shell */
	const char *report;    /* disco.report=: the balloon reports free blocks from this order on */
	const char *regions;   /* disco.regions=: how many the machine has in common with others; NULL: none */
	const char *size;      /* disco.size=: of the console's terminal, COLUMNSxROWS */
	bool rw;
};
/* Reads /proc/cmdline. */
void config_read(struct config *c);
/* Kernel command line to *c, in place: double quotes group words and are dropped, as in the kernel's next_arg(). */
void config_parse(struct config *c);

/* Standard error is the console. Strings, NULL at the end. */
#define say(...) say_parts((const char *const[]){"disco-guest: ", __VA_ARGS__, "\n", NULL})
void say_parts(const char *const *parts);
/* Says it, with the error's number. */
#define say_error(err, ...) say(__VA_ARGS__, ": error ", text_number((char[12]){0}, (uint32_t) - (err)))

/* ---- devices.c ---- */
/* The modules.dep of the running kernel. */
struct modules {
	char base[96]; /* /lib/modules/RELEASE/ */
	char text[16384];
	bool read;
	bool tidy;       /* there are machines beside this one: modules are to be where they are in those */
	unsigned loaded; /* modules, by us */
};
/* A module and what it needs, by its name with '_'. 0 or -errno (said). */
long module_load(struct modules *m, const char *name);
/* Load the drivers of the virtio devices that are on the bus. */
void devices_start(struct modules *m, const struct config *c);
/* Shared folders, to /mnt/TAG. */
void shares_mount(void);
/* Addresses for what is behind NAT; all other cards are switched on. */
void net_start(const char *what);

/* ---- root.c ---- */
/* Mount it and make it "/": 0, or -errno (said). The initramfs is emptied. */
long root_enter(struct modules *m, const struct config *c);
/* File systems that every program expects, as far as they are not there yet. */
void mount_usual(void);
/* Everything on the disks, nothing runs any more. */
void file_systems_close(void);

/* ---- port.c: the ports of the virtio console, by name ---- */
/* A descriptor, not blocking, once the host has opened its end; or -errno. Waits a few seconds for it to appear. */
long port_open(const char *name);

/* ---- pty.c: a terminal for a command of the host's ---- */
struct pty {
	int master; /* not blocking */
	int slave;
	char path[32];
};
/* flags: AGENT_TTY_*; characters as in AGENT_COMMAND. 0 or -errno. */
long pty_new(struct pty *p, unsigned flags, const uint8_t characters[8]);
/* In the leader of a new session: make it the controlling terminal, and standard input, output and perhaps error. 0 or -errno. */
long pty_control(const struct pty *p, int fds[3], bool stderr_too);
/*
 * A signal from outside, to the foreground process group.  SIGHUP and SIGTERM are the terminal's end: they go to the session's
 * leader as well.
 */
void pty_signal(const struct pty *p, int session, int sig);
/* Nothing more is typed: "end of file", if all before it was read. To be called again and again, for each reader finds it. */
void pty_end_input(const struct pty *p);
/*
 * The console has the size of the user's terminal: at once what the kernel's command line says (or NULL), and by a process of
 * its own what the host says on control (or -1), which it keeps.
 */
void console_size_follow(const char *size, int control);
/* The kernel's first console by its own name: /dev/console itself controls no session. */
const char *console_name(char path[80]);
/* Of any terminal; whoever is in its foreground gets SIGWINCH if it is another. */
void tty_resize(int fd, uint16_t columns, uint16_t rows);

/* ---- command.c ---- */
/* A line to the host and the console: why no command can be run. Does not return. */
void command_fail(int control, const char *why) __attribute__((noreturn));
/* Run what the host sends. Does not return. */
void command_serve(int control) __attribute__((noreturn));
/* Tell the host that userland begins. */
void command_ready(int control);

/* ---- protocol on the port disco.control; vmm/devices/agent.h says the same for the host ---- */
enum { AGENT_VERSION = 2, AGENT_HEADER_BYTES = 8, AGENT_MAX_COMMAND = 32 << 20 };
enum {
	/* to the host */
	AGENT_HELLO = 'H',  /* u32 version */
	AGENT_READY = 'R',  /* nothing */
	AGENT_EXIT = 'X',   /* u32 status, u64 bytes of standard output, u64 bytes of standard error */
	AGENT_FAILED = 'F', /* text */
	/* to the guest */
	/*
	 * u32 argc, envc, bytes of script; of the terminal: u32 flags, u16 columns, rows, the characters INTR QUIT ERASE KILL EOF
	 * START STOP SUSP; then strings, each with its NUL; then the script
	 */
	AGENT_COMMAND = 'C',
	AGENT_SIGNAL = 'K',    /* u32 number */
	AGENT_SIZE = 'W',      /* u16 columns, rows: of the terminal */
	AGENT_POWER_OFF = 'O', /* u32 0: without a command */
	AGENT_INPUT_END = 'Z', /* u64 bytes of standard input */
	AGENT_CLOSE = 'P',     /* u32 1 or 2: nobody reads standard output, or error, any more */
};
/* Flags: the command's standard input and output are a terminal; standard error too; erasing takes characters of UTF-8 back. */
enum { AGENT_TTY_ON = 1, AGENT_TTY_STDERR = 2, AGENT_TTY_UTF8 = 4 };

#endif
