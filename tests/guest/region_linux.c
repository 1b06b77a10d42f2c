/* SPDX-License-Identifier: MIT */
/*
 * As region.c, but a program of a Linux guest: it maps /dev/disco/ring (guest/modules/disco_region.c).  Arguments: N ROUNDS LOCKS.
 * No libc; tests/system/region.sh compiles it.
 */
#include "tests/guest/region.h"

/* o32 */
enum {
	NR_exit = 4001,
	NR_write = 4004,
	NR_open = 4005,
	NR_mmap = 4090,
	O_RDWR = 2,
	PROT_RW = 3,
	PROT_RWX = 7,
	MAP_SHARED = 1,
	MAP_PRIVATE = 2
};
enum { EPERM = 1, EINVAL = 22, PAGE = 4096, PAGES = 4 };

/* Six arguments, the last two on the stack; an error is negative. */
static long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long v0 __asm__("$2") = number;
	register long a0 __asm__("$4") = a;
	register long a1 __asm__("$5") = b;
	register long a2 __asm__("$6") = c;
	register long a3 __asm__("$7") = d;

	__asm__ volatile("addiu $29, $29, -32\n\t"
			 "sw %5, 16($29)\n\t"
			 "sw %6, 20($29)\n\t"
			 "syscall\n\t"
			 "addiu $29, $29, 32"
			 : "+r"(v0), "+r"(a3)
			 : "r"(a0), "r"(a1), "r"(a2), "r"(e), "r"(f)
			 : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo",
			   "memory");
	return a3 ? -v0 : v0;
}

static void say(const char *text, uint32_t n)
{
	char digits[12];
	unsigned at = sizeof(digits), len = 0;

	while (text[len])
		len++;
	syscall6(NR_write, 1, (long)text, len, 0, 0, 0);
	digits[--at] = '\n';
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	syscall6(NR_write, 1, (long)(digits + at), (long)sizeof(digits) - at, 0, 0, 0);
}

static uint32_t number(const char *s)
{
	uint32_t n = 0;

	while (*s)
		n = 10 * n + (uint32_t)(*s++ - '0');
	return n;
}

static long map(int fd, long pages, long prot, long flags)
{
	return syscall6(NR_mmap, 0, pages * PAGE, prot, flags, fd, 0);
}

void main_(const char *const *argv);
void main_(const char *const *argv)
{
	uint32_t me = number(argv[1]) - 1, rounds = number(argv[2]), locks = number(argv[3]);
	int fd = (int)syscall6(NR_open, (long)"/dev/disco/ring", O_RDWR, 0, 0, 0, 0);
	long at = map(fd, PAGES, PROT_RW, MAP_SHARED);
	struct shared *s = (struct shared *)at;

	if (fd < 0 || (at < 0 && at > -PAGE)) {
		say("no region: error ", (uint32_t)(fd < 0 ? -fd : -at));
		syscall6(NR_exit, 1, 0, 0, 0, 0, 0);
	}
	say("refused ", map(fd, PAGES + 1, PROT_RW, MAP_SHARED) < 0 && map(fd, 1, PROT_RW, MAP_PRIVATE) == -EINVAL &&
			    map(fd, 1, PROT_RWX, MAP_SHARED) == -EPERM);
	meet(s, me);
	say("wrong exchanges ", exchange(s, me, rounds));
	count(s, locks);
	say("counter ", s->counter);
	syscall6(NR_exit, 0, 0, 0, 0, 0, 0);
}

__asm__(".globl __start\n"
	"__start:\n\t"
	".set push\n\t.set noreorder\n\t"
	"addiu $4, $29, 4\n\t"
	"addiu $29, $29, -32\n\t"
	"jal main_\n\t"
	"nop\n\t"
	".set pop\n");
