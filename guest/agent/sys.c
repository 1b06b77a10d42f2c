/* SPDX-License-Identifier: MIT */
#include "guest/agent/sys.h"

/* asm/unistd.h, o32 */
enum {
	NR_exit_group = 4246,
	NR_fork = 4002,
	NR_read = 4003,
	NR_write = 4004,
	NR_open = 4005,
	NR_close = 4006,
	NR_unlink = 4010,
	NR_execve = 4011,
	NR_chdir = 4012,
	NR_lseek = 4019,
	NR_getpid = 4020,
	NR_mount = 4021,
	NR_access = 4033,
	NR_sync = 4036,
	NR_kill = 4037,
	NR_mkdir = 4039,
	NR_rmdir = 4040,
	NR_umount2 = 4052,
	NR_ioctl = 4054,
	NR_fcntl = 4055,
	NR_chroot = 4061,
	NR_dup2 = 4063,
	NR_setsid = 4066,
	NR_sethostname = 4074,
	NR_symlink = 4083,
	NR_readlink = 4085,
	NR_reboot = 4088,
	NR_wait4 = 4114,
	NR_nanosleep = 4166,
	NR_socket = 4183,
	NR_poll = 4188,
	NR_rt_sigprocmask = 4195,
	NR_mmap2 = 4210,
	NR_getdents64 = 4219,
	NR_clock_gettime = 4263,
	NR_signalfd4 = 4324,
	NR_pipe2 = 4328,
	NR_finit_module = 4348,
};

/*
 * o32: number in $v0, four arguments in registers, two more on the stack above the four's home; $a3 says whether $v0 is
 * an error. The kernel may change the temporaries.
 */
static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long v0 __asm__("$2") = nr;
	register long a0 __asm__("$4") = a;
	register long a1 __asm__("$5") = b;
	register long a2 __asm__("$6") = c;
	register long a3 __asm__("$7") = d;

	__asm__ volatile(".set push\n\t.set noreorder\n\t"
			 "addiu $sp, $sp, -32\n\t"
			 "sw %[e], 16($sp)\n\t"
			 "sw %[f], 20($sp)\n\t"
			 "syscall\n\t"
			 "addiu $sp, $sp, 32\n\t"
			 ".set pop"
			 : "+r"(v0), "+r"(a3)
			 : "r"(a0), "r"(a1), "r"(a2), [e] "r"(e), [f] "r"(f)
			 : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo",
			   "memory");
	return a3 ? -v0 : v0;
}

#define CALL0(nr)             call(nr, 0, 0, 0, 0, 0, 0)
#define CALL1(nr, a)          call(nr, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(nr, a, b)       call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(nr, a, b, c)    call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(nr, a, b, c, d) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

long sys_open(const char *path, int flags, int mode) { return CALL3(NR_open, path, flags, mode); }
long sys_close(int fd) { return CALL1(NR_close, fd); }
long sys_read(int fd, void *buf, size_t n) { return CALL3(NR_read, fd, buf, n); }
long sys_write(int fd, const void *buf, size_t n) { return CALL3(NR_write, fd, buf, n); }
long sys_seek(int fd, long off) { return CALL3(NR_lseek, fd, off, 0); }
long sys_getdents(int fd, void *buf, size_t n) { return CALL3(NR_getdents64, fd, buf, n); }
long sys_readlink(const char *path, char *buf, size_t n) { return CALL3(NR_readlink, path, buf, n); }
long sys_access(const char *path, int mode) { return CALL2(NR_access, path, mode); }
long sys_mkdir(const char *path, int mode) { return CALL2(NR_mkdir, path, mode); }
long sys_unlink(const char *path) { return CALL1(NR_unlink, path); }
long sys_rmdir(const char *path) { return CALL1(NR_rmdir, path); }
long sys_symlink(const char *target, const char *path) { return CALL2(NR_symlink, target, path); }
long sys_chdir(const char *path) { return CALL1(NR_chdir, path); }
long sys_chroot(const char *path) { return CALL1(NR_chroot, path); }
long sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	return call(NR_mount, (long)source, (long)target, (long)type, (long)flags, (long)data, 0);
}
long sys_umount(const char *target, int flags) { return CALL2(NR_umount2, target, flags); }
void sys_sync(void) { CALL0(NR_sync); }
/* The two magic numbers of linux/reboot.h. */
long sys_reboot(unsigned cmd) { return CALL3(NR_reboot, 0xfee1dead, 672274793, cmd); }
long sys_sethostname(const char *name, size_t n) { return CALL2(NR_sethostname, name, n); }
long sys_load_module(int fd, const char *parameters) { return CALL3(NR_finit_module, fd, parameters, 0); }
long sys_fork(void) { return CALL0(NR_fork); }
long sys_execve(const char *path, char *const *argv, char *const *envp) { return CALL3(NR_execve, path, argv, envp); }
long sys_wait(int pid, int *status, int flags) { return CALL4(NR_wait4, pid, status, flags, 0); }
long sys_kill(int pid, int sig) { return CALL2(NR_kill, pid, sig); }
long sys_getpid(void) { return CALL0(NR_getpid); }
long sys_setsid(void) { return CALL0(NR_setsid); }
void sys_exit(int status)
{
	for (;;)
		CALL1(NR_exit_group, status);
}
long sys_pipe(int fds[2], int flags) { return CALL2(NR_pipe2, fds, flags); }
long sys_dup2(int from, int to) { return CALL2(NR_dup2, from, to); }
long sys_fcntl(int fd, int cmd, long arg) { return CALL3(NR_fcntl, fd, cmd, arg); }
long sys_ioctl(int fd, unsigned long request, void *arg) { return CALL3(NR_ioctl, fd, request, arg); }
long sys_poll(struct sys_pollfd *fds, unsigned n, int timeout_ms) { return CALL3(NR_poll, fds, n, timeout_ms); }
long sys_socket(int domain, int type, int protocol) { return CALL3(NR_socket, domain, type, protocol); }

long sys_uptime(uint32_t *s, uint32_t *ns)
{
	uint32_t ts[2] = {0, 0};
	long r = CALL2(NR_clock_gettime, 7 /* CLOCK_BOOTTIME */, ts);

	*s = ts[0];
	*ns = ts[1];
	return r;
}

void sys_sleep_ms(unsigned ms)
{
	uint32_t ts[2] = {ms / 1000, ms % 1000 * 1000000};

	CALL2(NR_nanosleep, ts, 0);
}

/* A set of 128 signals. */
long sys_block_signals(uint32_t mask)
{
	uint32_t set[4] = {mask, 0, 0, 0};

	return CALL4(NR_rt_sigprocmask, 3 /* SIG_SETMASK */, set, 0, sizeof(set));
}

long sys_signalfd(uint32_t mask)
{
	uint32_t set[4] = {mask, 0, 0, 0};

	return CALL4(NR_signalfd4, -1, set, sizeof(set), O_CLOEXEC | O_NONBLOCK);
}

void *sys_pages(size_t bytes)
{
	/* PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_ANONYMOUS as MIPS has them */
	long r = call(NR_mmap2, 0, (long)bytes, 3, 0x802, -1, 0);

	return r < 0 && r > -4096 ? NULL : (void *)r;
}

void *memcpy(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;

	if (!(((uintptr_t)t | (uintptr_t)f) & 3))
		for (; n >= 4; n -= 4, t += 4, f += 4)
			*(uint32_t *)(void *)t = *(const uint32_t *)(const void *)f;
	while (n--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + n)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	char *t = to;

	while (n--)
		*t++ = (char)c;
	return to;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] || !a[i])
			return (uint8_t)a[i] - (uint8_t)b[i];
	return 0;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}

char *text_join(struct text *t, const char *const *parts)
{
	for (; *parts; parts++)
		for (const char *p = *parts; *p && t->n + 1 < t->max; p++)
			t->s[t->n++] = *p;
	t->s[t->n] = 0;
	return t->s;
}

char *text_number(char buf[12], uint32_t n)
{
	char *p = buf + 11;

	*p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	return p;
}

long read_file(const char *path, char *buf, size_t max)
{
	int fd = (int)sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	size_t n = 0;
	long r = 0;

	buf[0] = 0;
	if (fd < 0)
		return fd;
	while (n + 1 < max && (r = sys_read(fd, buf + n, max - 1 - n)) > 0)
		n += (size_t)r;
	sys_close(fd);
	if (n && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return r < 0 ? r : (long)n;
}

long write_file(const char *path, const char *s)
{
	int fd = (int)sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	long r;

	if (fd < 0)
		return fd;
	r = sys_write(fd, s, strlen(s));
	sys_close(fd);
	return r < 0 ? r : 0;
}

void make_dirs(const char *path)
{
	char part[256];

	for (size_t i = 1; i < sizeof(part) && path[i - 1]; i++) {
		if (path[i] && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		sys_mkdir(part, 0755);
	}
}

void dir_open(struct dir *d, const char *path)
{
	d->at = d->n = 0;
	d->fd = (int)sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

const struct sys_dirent *dir_next(struct dir *d)
{
	while (d->fd >= 0) {
		const struct sys_dirent *e = (const struct sys_dirent *)(const void *)(d->buf + d->at);

		if (d->at >= d->n) {
			d->at = 0;
			d->n = sys_getdents(d->fd, d->buf, sizeof(d->buf));
			if (d->n > 0)
				continue;
			sys_close(d->fd);
			d->fd = -1;
			break;
		}
		d->at += e->reclen;
		if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0)
			return e;
	}
	return NULL;
}
