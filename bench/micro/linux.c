/* SPDX-License-Identifier: MIT */
/*
 * Microbenchmarks of an operating system, a static program that needs nothing but the kernel.
 *   micro NAME N EACH NANOSECONDS   a repetition: N * EACH operations
 * usage: linux [only=NAME,NAME...] [DISK [INTERFACE]]; `linux exit` ends at once: it is what the exec benchmark runs.
 * Source of numbers and structures: Linux's MIPS o32 ABI (arch/mips/include/uapi/asm/unistd.h, signal.h, fcntl.h).
 */
#include <stdbool.h>
#include <stdint.h>

#include "bench/micro/only.h"

#define REPEAT     5
#define ENOUGH_NS  40000000u
#define PAGE       4096u
#define FAULTS     256u
#define BLOCK      4096u
#define BIG_BLOCK  (128u << 10)
#define DISK_BYTES (8u << 20) /* the part of the disk that is used */
#define PIPE_BYTES (64u << 10)

enum {
	NR_exit = 4001,
	NR_fork = 4002,
	NR_read = 4003,
	NR_write = 4004,
	NR_open = 4005,
	NR_close = 4006,
	NR_execve = 4011,
	NR_getpid = 4020,
	NR_kill = 4037,
	NR_pipe = 4042,
	NR_getppid = 4064,
	NR_mmap = 4090,
	NR_munmap = 4091,
	NR_wait4 = 4114,
	NR_sched_yield = 4162,
	NR_socket = 4183,
	NR_sendto = 4180,
	NR_ioctl = 4054,
	NR_rt_sigaction = 4194,
	NR_pread64 = 4200,
	NR_pwrite64 = 4201,
	NR_clock_gettime = 4263,
};
enum { O_RDWR = 2, O_DIRECT = 0x8000, SIGUSR1 = 16, SIGKILL = 9 };
enum { AF_PACKET = 17, SOCK_RAW = 3, SIOCGIFINDEX = 0x8933, ENOBUFS = 132 };

/* Error: minus errno. */
static long call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long v0 __asm__("$2") = nr;
	register long r4 __asm__("$4") = a;
	register long r5 __asm__("$5") = b;
	register long r6 __asm__("$6") = c;
	register long r7 __asm__("$7") = d;

	__asm__ volatile("addiu $29, $29, -32\n\tsw %5, 16($29)\n\tsw %6, 20($29)\n\tsyscall\n\taddiu $29, $29, 32"
			 : "+r"(v0), "+r"(r7)
			 : "r"(r4), "r"(r5), "r"(r6), "r"(e), "r"(f)
			 : "memory", "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25");
	return r7 ? -v0 : v0;
}
#define SYS0(nr)          call6(nr, 0, 0, 0, 0, 0, 0)
#define SYS1(nr, a)       call6(nr, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(nr, a, b)    call6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(nr, a, b, c) call6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static char **environment;
static const char *self;
static const char *only; /* "NAME,NAME,", or NULL: all */

void *memset(void *to, int c, unsigned long n);
void *memset(void *to, int c, unsigned long n)
{
	volatile uint8_t *p = to;

	while (n--)
		*p++ = (uint8_t)c;
	return to;
}

static unsigned length(const char *s)
{
	unsigned n = 0;

	while (s[n])
		n++;
	return n;
}

static void put(const char *s) { SYS3(NR_write, 1, s, length(s)); }

static void put_number(uint32_t v)
{
	char digits[12], *p = digits + 11;

	*p = 0;
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(" ");
	put(p);
}

static void fail(const char *what, long err)
{
	put("micro: ");
	put(what);
	put(": errno");
	put_number((uint32_t)-err);
	put("\n");
	SYS1(NR_exit, 1);
	__builtin_trap();
}

static long must(const char *what, long r)
{
	if (r < 0)
		fail(what, r);
	return r;
}

/* Nanoseconds, modulo 2^32: differences of up to 4 s. */
static uint32_t now_ns(void)
{
	int32_t ts[2];

	SYS2(NR_clock_gettime, 1, ts);
	return (uint32_t)ts[0] * 1000000000u + (uint32_t)ts[1];
}

static void measure(const char *name, void (*fn)(uint32_t n), uint32_t each)
{
	uint32_t n = 1, begin, ns;

	if (!only_wants(only, name))
		return;
	for (;;) {
		begin = now_ns();
		fn(n);
		ns = now_ns() - begin;
		if (ns >= ENOUGH_NS || n >= 1u << 24)
			break;
		n *= 2;
	}
	for (unsigned i = 0; i < REPEAT; i++) {
		begin = now_ns();
		fn(n);
		ns = now_ns() - begin;
		put("micro ");
		put(name);
		put_number(n);
		put_number(each);
		put_number(ns);
		put("\n");
	}
}

static void wait_for(long pid)
{
	int status;

	must("wait4", call6(NR_wait4, pid, (long)&status, 0, 0, 0, 0));
	if (status)
		fail("a child's status", -status);
}

static void sys_null(uint32_t n)
{
	while (n--)
		SYS0(NR_getppid);
}

static char *map(uint32_t bytes)
{
	long r = call6(NR_mmap, 0, bytes, 3, 0x802 /* private, anonymous */, -1, 0);

	if (r < 0 && r > -4096)
		fail("mmap", r);
	return (char *)r;
}

static void page_fault(uint32_t n)
{
	while (n--) {
		char *p = map(FAULTS * PAGE);

		for (uint32_t i = 0; i < FAULTS; i++)
			((volatile char *)p)[i * PAGE] = 1;
		SYS2(NR_munmap, p, FAULTS * PAGE);
	}
}

static void map_unmap(uint32_t n)
{
	while (n--)
		SYS2(NR_munmap, map(PAGE), PAGE);
}

static volatile uint32_t signals;
static void on_signal(int number) { signals++; }

static void signal_self(uint32_t n)
{
	long pid = SYS0(NR_getpid);
	uint32_t before = signals;

	for (uint32_t i = 0; i < n; i++)
		SYS2(NR_kill, pid, SIGUSR1);
	if (signals - before != n)
		fail("signals were lost", 0);
}

static void yield(uint32_t n)
{
	while (n--)
		SYS0(NR_sched_yield);
}

static long pipe_new(int fd[2])
{
	/* MIPS returns the two descriptors in v0 and v1. */
	register long v0 __asm__("$2") = NR_pipe;
	register long v1 __asm__("$3");
	register long r7 __asm__("$7");

	__asm__ volatile("syscall"
			 : "+r"(v0), "=r"(v1), "=r"(r7)
			 :
			 : "memory", "$1", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25");
	if (r7)
		return -v0;
	fd[0] = (int)v0;
	fd[1] = (int)v1;
	return 0;
}

static int there[2], back[2];

static void ping(uint32_t n)
{
	char c = 0;

	while (n--) {
		must("write", SYS3(NR_write, there[1], &c, 1));
		must("read", SYS3(NR_read, back[0], &c, 1));
	}
}

static char big[BIG_BLOCK] __attribute__((aligned(4096)));

static void pour(uint32_t n)
{
	while (n--)
		must("write", SYS3(NR_write, there[1], big, PIPE_BYTES));
}

/* A process that does its part until it is killed: echo a byte, swallow everything, or only yield. */
static long partner(int what)
{
	long pid = must("fork", SYS0(NR_fork));
	char c;

	if (pid)
		return pid;
	for (;;) {
		if (what == 0)
			SYS0(NR_sched_yield);
		else if (what == 1 && SYS3(NR_read, there[0], &c, 1) == 1)
			SYS3(NR_write, back[1], &c, 1);
		else if (what == 2)
			SYS3(NR_read, there[0], big, PIPE_BYTES);
	}
}

static void dismiss(long pid)
{
	int status;

	SYS2(NR_kill, pid, SIGKILL);
	call6(NR_wait4, pid, (long)&status, 0, 0, 0, 0);
}

static void fork_exit(uint32_t n)
{
	while (n--) {
		long pid = must("fork", SYS0(NR_fork));

		if (!pid)
			SYS1(NR_exit, 0);
		wait_for(pid);
	}
}

static void fork_exec(uint32_t n)
{
	const char *argv[] = {self, "exit", 0};

	while (n--) {
		long pid = must("fork", SYS0(NR_fork));

		if (!pid)
			SYS1(NR_exit, SYS3(NR_execve, self, argv, environment));
		wait_for(pid);
	}
}

/* ---- devices ---- */

static int disk;
static uint32_t disk_at; /* goes round in DISK_BYTES, in an order without neighbours */

/* nr: pread64 or pwrite64; o32 passes the offset in two registers, aligned: arguments 5 and 6 */
static void disk_io(long nr, uint32_t bytes)
{
	long r;

	disk_at = (disk_at + 5 * bytes) & (DISK_BYTES - 1);
	r = call6(nr, disk, (long)big, bytes, 0, disk_at, 0);
	if (r != (long)bytes)
		fail("the disk", r);
}

static void block_read(uint32_t n)
{
	while (n--)
		disk_io(NR_pread64, BLOCK);
}

static void block_write(uint32_t n)
{
	while (n--)
		disk_io(NR_pwrite64, BLOCK);
}

static void block_stream(uint32_t n)
{
	while (n--)
		disk_io(NR_pread64, BIG_BLOCK);
}

static int net;
static struct {
	uint16_t family, protocol;
	uint32_t index;
	uint16_t hatype;
	uint8_t pkttype, halen, addr[8];
} net_to = {.family = AF_PACKET, .halen = 6};

/* Frames of a protocol that nobody knows (IEEE 802 local experimental), to nobody. */
static void net_send(uint32_t n)
{
	static uint8_t frame[1000] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x88, 0xb5};

	while (n--) {
		long r;

		do
			r = call6(NR_sendto, net, (long)frame, sizeof(frame), 0, (long)&net_to, 20);
		while (r == -ENOBUFS);
		must("sendto", r);
	}
}

static void processes(void)
{
	const struct {
		uint32_t flags;
		void (*handler)(int number);
		uint32_t mask[4];
	} action = {.handler = on_signal};
	long pid;

	must("rt_sigaction", call6(NR_rt_sigaction, SIGUSR1, (long)&action, 0, 16, 0, 0));
	measure("signal", signal_self, 1);
	must("pipe", pipe_new(there));
	must("pipe", pipe_new(back));
	pid = partner(0);
	measure("context_switch", yield, 2); /* away and back */
	dismiss(pid);
	pid = partner(1);
	measure("pipe", ping, 1);
	dismiss(pid);
	pid = partner(2);
	measure("pipe_stream", pour, PIPE_BYTES);
	dismiss(pid);
	measure("fork", fork_exit, 1);
	measure("exec", fork_exec, 1);
}

static void devices(const char *path, const char *interface)
{
	char ifreq[32] = {0};

	if (path) {
		disk = (int)must(path, SYS2(NR_open, path, O_RDWR | O_DIRECT));
		measure("block_read", block_read, 1);
		measure("block_write", block_write, 1);
		measure("block_stream", block_stream, BIG_BLOCK);
	}
	if (interface) {
		for (unsigned i = 0; i < 15 && interface[i]; i++)
			ifreq[i] = interface[i];
		net = (int)must("socket", SYS3(NR_socket, AF_PACKET, SOCK_RAW, 0));
		must(interface, SYS3(NR_ioctl, net, SIOCGIFINDEX, ifreq));
		net_to.index = *(uint32_t *)(ifreq + 16);
		measure("net_send", net_send, 1);
	}
}

/* sp: argc, argv[], NULL, envp[] as the kernel leaves them */
__attribute__((noreturn, used)) void start(long *sp);
void start(long *sp)
{
	long argc = sp[0];
	char **argv = (char **)(sp + 1);

	environment = argv + argc + 1;
	self = argv[0];
	if (argc > 1 && starts_with(argv[1], "exit", 0))
		SYS1(NR_exit, 0);
	if (argc > 1 && starts_with(argv[1], "only=", 0)) {
		only = argv[1] + 5;
		argc--;
		argv++;
	}
	measure("syscall", sys_null, 1);
	measure("page_fault", page_fault, FAULTS);
	measure("mmap", map_unmap, 1);
	processes();
	devices(argc > 1 ? argv[1] : 0, argc > 2 ? argv[2] : 0);
	put("micro end\n");
	SYS1(NR_exit, 0);
	__builtin_trap();
}

__asm__(".globl __start\n__start:\n\t.set noreorder\n\tmove $4, $29\n\taddiu $29, $29, -32\n\tj start\n\tnop\n\t.set "
	"reorder");
