/* SPDX-License-Identifier: MIT */
/*
 * A program of a Linux guest that gives a file to who connects, by sendfile() and nothing else.  Arguments: FILE PORT.
 * No libc; tests/system/disco_net.sh compiles it.
 */
#include <stdint.h>

/* o32 */
enum {
	NR_exit = 4001,
	NR_write = 4004,
	NR_open = 4005,
	NR_socket = 4183,
	NR_accept = 4168,
	NR_bind = 4169,
	NR_listen = 4174,
	NR_setsockopt = 4181,
	NR_sendfile = 4207
};
enum { AF_INET = 2, SOCK_STREAM = 2, IPPROTO_TCP = 6, TCP_CORK = 3, PIECE = 1 << 20 };

/* The fifth argument is on the stack. */
static long syscall5(long number, long a, long b, long c, long d, long e)
{
	register long v0 __asm__("$2") = number;
	register long a0 __asm__("$4") = a;
	register long a1 __asm__("$5") = b;
	register long a2 __asm__("$6") = c;
	register long a3 __asm__("$7") = d;

	__asm__ volatile("addiu $29, $29, -32\n\t"
			 "sw %5, 16($29)\n\t"
			 "syscall\n\t"
			 "addiu $29, $29, 32"
			 : "+r"(v0), "+r"(a3)
			 : "r"(a0), "r"(a1), "r"(a2), "r"(e)
			 : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo",
			   "memory");
	return a3 ? -v0 : v0;
}

static long syscall4(long number, long a, long b, long c, long d) { return syscall5(number, a, b, c, d, 0); }

static void check(long r, const char *what)
{
	long n = 0;

	if (r >= 0)
		return;
	while (what[n])
		n++;
	syscall4(NR_write, 2, (long)what, n, 0);
	syscall4(NR_exit, 1, 0, 0, 0);
}

void main_(const char *const *argv);
void main_(const char *const *argv)
{
	struct {
		uint16_t family;
		uint8_t port[2];
		uint32_t addr, zero[2];
	} at = {.family = AF_INET};
	long file = syscall4(NR_open, (long)argv[1], 0, 0, 0), s, peer, n;
	int on = 1;
	unsigned port = 0;

	for (const char *p = argv[2]; *p; p++)
		port = 10 * port + (unsigned)(*p - '0');
	at.port[0] = (uint8_t)(port >> 8);
	at.port[1] = (uint8_t)port;
	check(file, "open\n");
	s = syscall4(NR_socket, AF_INET, SOCK_STREAM, 0, 0);
	check(s, "socket\n");
	check(syscall4(NR_bind, s, (long)&at, sizeof(at), 0), "bind\n");
	check(syscall4(NR_listen, s, 1, 0, 0), "listen\n");
	peer = syscall4(NR_accept, s, 0, 0, 0);
	check(peer, "accept\n");
	/* As servers of files do: what does not fill a segment waits for more. Else TCP fills the peer's window to the last byte. */
	check(syscall5(NR_setsockopt, peer, IPPROTO_TCP, TCP_CORK, (long)&on, sizeof(on)), "cork\n");
	do {
		n = syscall4(NR_sendfile, peer, file, 0, PIECE);
		check(n, "sendfile\n");
	} while (n);
	syscall4(NR_exit, 0, 0, 0, 0);
}

__asm__(".globl __start\n"
	"__start:\n\t"
	".set push\n\t.set noreorder\n\t"
	"addiu $4, $29, 4\n\t"
	"addiu $29, $29, -32\n\t"
	"jal main_\n\t"
	"nop\n\t"
	".set pop\n");
