/* SPDX-License-Identifier: MIT */
#ifndef GUEST_AGENT_SYS_H
#define GUEST_AGENT_SYS_H

/*
 * What the agent has instead of a C library: system calls of Linux on MIPS o32, and the few string functions that it
 * uses.  Numbers and structures are those of the kernel's uapi headers for MIPS (asm/unistd.h, asm/fcntl.h, asm/signal.h,
 * asm/socket.h, linux/...), several of which differ from other architectures'.
 *
 * System calls return what they return, or -errno.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { EPERM = 1, ENOENT = 2, EINTR = 4, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EEXIST = 17, ENODEV = 19, EPIPE = 32 };

enum {
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_NONBLOCK = 0x80,
	O_CREAT = 0x100,
	O_TRUNC = 0x200,
	O_EXCL = 0x400,
	O_NOCTTY = 0x800,
	O_DIRECTORY = 0x10000,
	O_CLOEXEC = 0x80000,
	F_SETFL = 4,
};

enum {
	SIGHUP = 1,
	SIGINT = 2,
	SIGKILL = 9,
	SIGPIPE = 13,
	SIGTERM = 15,
	SIGUSR1 = 16,
	SIGUSR2 = 17,
	SIGCHLD = 18,
	SIGCONT = 25
};
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10 };
enum { MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_REMOUNT = 32, MS_BIND = 4096, MS_MOVE = 8192 };
enum { MNT_DETACH = 2 };
enum { AF_INET = 2, SOCK_DGRAM = 1, WNOHANG = 1 };
enum { TIOCSCTTY = 0x5480 };

/* reboot(2) */
#define RB_POWER_OFF 0x4321fedcu
#define RB_RESTART   0x01234567u
#define RB_HALT      0xcdef0123u

enum { DT_DIR = 4 };
struct sys_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

struct sys_pollfd {
	int fd;
	int16_t events, revents;
};

long sys_open(const char *path, int flags, int mode);
long sys_close(int fd);
long sys_read(int fd, void *buf, size_t n);
long sys_write(int fd, const void *buf, size_t n);
/* lseek to an absolute offset below 2 GiB. */
long sys_seek(int fd, long off);
long sys_getdents(int fd, void *buf, size_t n);
long sys_readlink(const char *path, char *buf, size_t n);
long sys_access(const char *path, int mode);
long sys_mkdir(const char *path, int mode);
long sys_unlink(const char *path);
long sys_rmdir(const char *path);
long sys_symlink(const char *target, const char *path);
long sys_chdir(const char *path);
long sys_chroot(const char *path);
long sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
long sys_umount(const char *target, int flags);
void sys_sync(void);
long sys_reboot(unsigned cmd);
long sys_sethostname(const char *name, size_t n);
long sys_load_module(int fd, const char *parameters);
long sys_fork(void);
long sys_execve(const char *path, char *const *argv, char *const *envp);
long sys_wait(int pid, int *status, int flags);
long sys_kill(int pid, int sig);
long sys_setsid(void);
long sys_getpid(void);
void sys_exit(int status) __attribute__((noreturn));
long sys_pipe(int fds[2], int flags);
long sys_dup2(int from, int to);
long sys_fcntl(int fd, int cmd, long arg);
long sys_ioctl(int fd, unsigned long request, void *arg);
long sys_poll(struct sys_pollfd *fds, unsigned n, int timeout_ms);
long sys_socket(int domain, int type, int protocol);
/* Seconds and nanoseconds since boot. */
long sys_uptime(uint32_t *s, uint32_t *ns);
void sys_sleep_ms(unsigned ms);
/* Block exactly the signals whose bits (1 << (number - 1)) are set; all of them are below 32. */
long sys_block_signals(uint32_t mask);
long sys_signalfd(uint32_t mask);
/* Pages of zeroes, or NULL. */
void *sys_pages(size_t bytes);

/* The compiler calls the first three by itself. */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/* Strings put together in a buffer of fixed size; what does not fit is left out. */
struct text {
	size_t n, max;
	char *s;
};
#define TEXT(array)      ((struct text){.max = sizeof(array), .s = (array)})
#define join(array, ...) text_join(&TEXT(array), (const char *const[]){__VA_ARGS__, NULL})
/* Join strings, the last one NULL; the result is always terminated. Returns its beginning. */
char *text_join(struct text *t, const char *const *parts);
/* Decimal. */
char *text_number(char buf[12], uint32_t n);

/* The first max - 1 bytes of a file, terminated, without the line end at its end; the length, or -errno. */
long read_file(const char *path, char *buf, size_t max);
long write_file(const char *path, const char *s);
/* Directories of a path and it, as far as they are not there. */
void make_dirs(const char *path);

/* One entry after the other of a directory: fd -1 if it cannot be read. */
struct dir {
	int fd;
	long at, n;
	char buf[2048];
};
void dir_open(struct dir *d, const char *path);
/* "." and ".." are left out. NULL: no more; the directory is closed then. */
const struct sys_dirent *dir_next(struct dir *d);

#endif
