/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/* Process 1 of Disco's initramfs: see agent.h. */

static char *const environment[] = {
    "HOME=/root",   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/disco",
    "TERM=linux",   "USER=root",
    "LANG=C.UTF-8", NULL};

void say_parts(const char *const *parts)
{
	char line[1024];
	struct text t = TEXT(line);

	text_join(&t, parts);
	sys_write(2, t.s, t.n);
}

/* One word of the command line, its quotes already gone. */
static void config_word(struct config *c, const char *word)
{
	static const struct {
		const char *key;
		size_t at;
	} keys[] = {
	    {"root=", offsetof(struct config, root)},
	    {"rootfstype=", offsetof(struct config, rootfstype)},
	    {"rootflags=", offsetof(struct config, rootflags)},
	    {"init=", offsetof(struct config, init)},
	    {"disco.cmd=", offsetof(struct config, cmd)},
	    {"disco.run=", offsetof(struct config, run)},
	    {"disco.net=", offsetof(struct config, net)},
	    {"disco.agent=", offsetof(struct config, agent)},
	    {"disco.terminals=", offsetof(struct config, terminals)},
	    {"disco.regions=", offsetof(struct config, regions)},
	    {"disco.size=", offsetof(struct config, size)},
	    {"disco.report=", offsetof(struct config, report)},
	};

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i].key);

		if (strncmp(word, keys[i].key, n) == 0 && word[n])
			*(const char **)(void *)((char *)c + keys[i].at) = word + n;
	}
	if (strcmp(word, "rw") == 0)
		c->rw = true;
	else if (strcmp(word, "ro") == 0)
		c->rw = false;
}

void config_parse(struct config *c)
{
	char *to = c->text, *word = c->text;
	bool quoted = false;

	for (const char *p = c->text;; p++) {
		if (*p == '"') {
			quoted = !quoted;
		} else if (!*p || ((*p == ' ' || *p == '\n') && !quoted)) {
			bool end = !*p;

			*to++ = 0;
			config_word(c, word);
			word = to;
			if (end)
				return;
		} else {
			*to++ = *p;
		}
	}
}

void config_read(struct config *c)
{
	read_file("/proc/cmdline", c->text, sizeof(c->text));
	config_parse(c);
}

/* Uptime as /proc/uptime has it: seconds and hundredths. */
static void say_ready(void)
{
	char number[12], hundredths[3] = {0};
	uint32_t s, ns;

	sys_uptime(&s, &ns);
	hundredths[0] = (char)('0' + ns / 100000000);
	hundredths[1] = (char)('0' + ns / 10000000 % 10);
	say("ready, up ", text_number(number, s), ".", hundredths, " s");
}

/*
 * A child in a session of its own.  tty: the terminal that controls it, so that its shell has job control; NULL: the
 * console for output, and no input.
 */
static int spawn(const char *const *argv, const char *tty)
{
	int pid = (int)sys_fork(), fd;

	if (pid)
		return pid;
	sys_setsid();
	sys_block_signals(0);
	fd = (int)sys_open(tty ? tty : "/dev/null", O_RDWR, 0);
	if (fd < 0 && tty)
		sys_exit(127);
	if (fd >= 0) {
		if (tty)
			sys_ioctl(fd, TIOCSCTTY, NULL);
		for (int i = 0; i < (tty ? 3 : 1); i++)
			sys_dup2(fd, i);
		if (fd > 2)
			sys_close(fd);
	}
	sys_chdir("/root");
	sys_execve(argv[0], (char *const *)(uintptr_t)argv, environment);
	say(argv[0], ": cannot be run");
	sys_exit(127);
}

/* A shell for a user: not the plainest one, if there is another. */
static const char *const *user_shell(void)
{
	static const char *const bash[] = {"/bin/bash", NULL}, *const sh[] = {"/bin/sh", NULL};

	return sys_access(bash[0], 0) == 0 ? bash : sh;
}

/* A shell on each terminal of --terminal, made anew when it ends, by a child that does nothing else. */
static void terminals_start(const char *number)
{
	unsigned n = number && number[0] >= '1' && number[0] <= '8' && !number[1] ? (unsigned)(number[0] - '0') : 0;

	for (unsigned i = 0; i < n; i++) {
		char path[32], digits[12];
		int status;

		if (sys_fork() != 0)
			continue;
		join(path, "/dev/hvc", text_number(digits, i));
		for (;;) {
			int pid = spawn(user_shell(), path);

			if (pid < 0 || sys_wait(pid, &status, 0) < 0 || status == 127 << 8)
				sys_sleep_ms(200);
		}
	}
}

static void power(unsigned how) __attribute__((noreturn));
static void power(unsigned how)
{
	file_systems_close();
	sys_reboot(how);
	sys_exit(0);
}

/* disco.cmd= and disco.run=. */
static void run_reported(const struct config *c) __attribute__((noreturn));
static void run_reported(const struct config *c)
{
	char path[256], number[12];
	const char *const script[] = {join(path, "/tests/", c->run ? c->run : ""), NULL};
	const char *const shell[] = {"/bin/sh", "-c", c->cmd, NULL};
	int status = 0;
	long pid, child;

	say_ready();
	child = spawn(c->cmd ? shell : script, NULL);
	do
		pid = sys_wait(-1, &status, 0);
	while (pid != child && (pid > 0 || pid == -EINTR));
	say("exit ",
	    text_number(number, status & 0x7f ? 128 + (uint32_t)(status & 0x7f) : (uint32_t)(status >> 8 & 255)));
	power(RB_POWER_OFF);
}

/*
 * Called by another name, as a program of the disk's: ask process 1.  A disk without an init has nothing else that could
 * switch the machine off.
 */
static const struct {
	const char *name;
	int signal;
} asks[] = {{"poweroff", SIGUSR2}, {"reboot", SIGTERM}, {"halt", SIGUSR1}};

static int ask_init(const char *name)
{
	for (const char *p = name; *p; p++)
		if (*p == '/')
			name = p + 1;
	for (unsigned i = 0; i < ARRAY_LEN(asks); i++)
		if (strcmp(name, asks[i].name) == 0)
			return sys_kill(1, asks[i].signal) ? 1 : 0;
	say(name, ": must be called poweroff, reboot or halt");
	return 1;
}

/* This program to a directory of its own at the end of PATH. */
static void place_asks(void)
{
	char buf[4096], path[64];
	int from = (int)sys_open("/proc/self/exe", O_RDONLY | O_CLOEXEC, 0), to;
	long n;

	sys_mkdir("/run/disco", 0755);
	to = (int)sys_open(join(path, "/run/disco/", asks[0].name), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	while (from >= 0 && to >= 0 && (n = sys_read(from, buf, sizeof(buf))) > 0)
		sys_write(to, buf, (size_t)n);
	sys_close(from);
	sys_close(to);
	for (unsigned i = 1; i < ARRAY_LEN(asks); i++)
		sys_symlink(asks[0].name, join(path, "/run/disco/", asks[i].name));
}

/* A shell on the console, made anew when it ends. Programs called poweroff, reboot and halt signal process 1. */
static void run_shells(const char *const *shell) __attribute__((noreturn));
static void run_shells(const char *const *shell)
{
	const uint32_t asked = 1u << (SIGUSR1 - 1) | 1u << (SIGUSR2 - 1) | 1u << (SIGTERM - 1);
	const uint32_t mask = asked | 1u << (SIGCHLD - 1);
	char console[80];
	int fd, child;

	sys_block_signals(mask);
	fd = (int)sys_signalfd(mask);
	say_ready();
	child = spawn(shell, console_name(console));
	for (;;) {
		struct sys_pollfd p = {.fd = fd, .events = POLLIN};
		uint32_t info[32];
		int status;
		long pid;

		sys_poll(&p, 1, -1);
		while (sys_read(fd, info, sizeof(info)) == (long)sizeof(info))
			if (info[0] == SIGUSR2)
				power(RB_POWER_OFF);
			else if (info[0] == SIGTERM)
				power(RB_RESTART);
			else if (info[0] == SIGUSR1)
				power(RB_HALT);
		while ((pid = sys_wait(-1, &status, WNOHANG)) > 0) {
			if (pid == child && status == 127 << 8)
				sys_sleep_ms(1000);
			if (pid == child)
				child = spawn(shell, console);
		}
	}
}

/* What stands behind "KEY   : " in a line of /proc/cpuinfo. */
static const char *cpuinfo(char *text, const char *key)
{
	size_t n = strlen(key);

	for (char *p = text; *p; p++) {
		char *value = p;

		if ((p != text && p[-1] != '\n') || strncmp(p, key, n) != 0)
			continue;
		while (*value && *value != ':')
			value++;
		value += *value ? 1 : 0;
		value += *value == ' ';
		for (p = value; *p && *p != '\n'; p++)
			;
		*p = 0;
		return value;
	}
	return "MIPS";
}

/* Whoever has just booted this for the first time is at the console. */
static void greet(void)
{
	char cpu[2048], system[32], release[64];

	read_file("/proc/cpuinfo", cpu, sizeof(cpu));
	read_file("/proc/sys/kernel/ostype", system, sizeof(system));
	read_file("/proc/sys/kernel/osrelease", release, sizeof(release));
	say_parts((const char *const[]){"\n  ", cpuinfo(cpu, "cpu model"), ", ", system, " ", release, "\n",
					"  Type 'poweroff' to switch the machine off; Ctrl-A x leaves at once, Ctrl-A "
					"h shows the monitor's keys.\n\n",
					NULL});
}

/* The init of the disk, if it has one. */
static void exec_init(const struct config *c)
{
	const char *const usual[] = {c->init ? c->init : "/sbin/init", "/sbin/init", "/etc/init", "/bin/init"};

	for (unsigned i = 0; i < ARRAY_LEN(usual); i++) {
		const char *const argv[] = {usual[i], NULL};

		sys_execve(argv[0], (char *const *)(uintptr_t)argv, environment);
		if (i == 0 && c->init)
			say("init=", c->init, ": cannot be run");
	}
}

/* The initramfs itself is the system: applets of busybox under their names. */
static void install_busybox(void)
{
	const char *const argv[] = {"/bin/busybox", "--install", "-s", NULL};

	sys_wait(spawn(argv, NULL), NULL, 0);
}

/* What all systems have that are not a command's: the host knows that they begin, and the console's size. */
static void hand_over(const struct config *c, int control)
{
	if (control >= 0)
		command_ready(control);
	console_size_follow(c->size, control);
	if (control >= 0)
		sys_close(control);
}

static void run_on_disk(const struct config *c, int control) __attribute__((noreturn));
static void run_on_disk(const struct config *c, int control)
{
	bool command = control >= 0 && strcmp(c->agent, "run") == 0;

	if (!command)
		hand_over(c, control);
	if (!c->cmd && !c->run && !command)
		exec_init(c);
	mount_usual();
	net_start(c->net);
	terminals_start(c->terminals);
	if (c->cmd || c->run)
		run_reported(c);
	if (command)
		command_serve(control);
	place_asks();
	say("no init on this disk: here is a shell; 'poweroff' switches the machine off");
	run_shells(user_shell());
}

/* trouble: why, if the user wanted something else; or NULL. */
static void run_in_initramfs(const struct config *c, int control, const char *trouble) __attribute__((noreturn));
static void run_in_initramfs(const struct config *c, int control, const char *trouble)
{
	static const char *const shell[] = {"/bin/sh", "-l", NULL};

	mount_usual();
	net_start(c->net);
	shares_mount();
	install_busybox();
	terminals_start(c->terminals);
	if (control >= 0 && strcmp(c->agent, "run") == 0)
		command_serve(control);
	hand_over(c, control);
	if (c->cmd || c->run)
		run_reported(c);
	greet();
	if (trouble)
		say(trouble);
	run_shells(shell);
}

int agent_main(int argc, char **argv);
int agent_main(int argc, char **argv)
{
	static const char *const first[][2] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}};
	struct config *c = sys_pages(sizeof(*c));
	struct modules *m = sys_pages(sizeof(*m));
	long control = -1;

	if (sys_getpid() != 1)
		return ask_init(argc ? argv[0] : "");
	for (unsigned i = 0; i < ARRAY_LEN(first); i++)
		sys_mount(first[i][0], first[i][1], first[i][0], 0, NULL);
	if (!c || !m) {
		say("no memory");
		sys_exit(1);
	}
	config_read(c);
	m->tidy = c->report != NULL;
	devices_start(m, c);
	/* not on the kernel's command line: the balloon's driver sets it when it begins, to blocks of 4 MiB */
	if (c->report)
		write_file("/sys/module/page_reporting/parameters/page_reporting_order", c->report);
	if (c->agent) {
		control = port_open("disco.control");
		if (control < 0)
			command_fail(-1, "disco.agent: the machine has no port disco.control");
	}
	if (!c->root)
		run_in_initramfs(c, (int)control, NULL);
	if (root_enter(m, c)) {
		if ((c->agent && strcmp(c->agent, "run") == 0) || c->cmd || c->run)
			command_fail((int)control, "cannot mount the root file system");
		run_in_initramfs(c, (int)control, "cannot mount the root file system; this is the initramfs");
	}
	shares_mount();
	run_on_disk(c, (int)control);
}

/* The stack is aligned as the ABI wants it; argc and the arguments are on it. */
__asm__(".globl __start\n"
	"__start:\n\t"
	".set push\n\t.set noreorder\n\t"
	"lw $a0, 0($sp)\n\t"
	"addiu $a1, $sp, 4\n\t"
	"addiu $sp, $sp, -32\n\t"
	"jal agent_main\n\t"
	"nop\n\t"
	"move $a0, $v0\n\t"
	"jal sys_exit\n\t"
	"nop\n\t"
	".set pop\n");
