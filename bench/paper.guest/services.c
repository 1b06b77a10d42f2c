/* SPDX-License-Identifier: MIT */
/*
 * The kernel services of the paper's table 2, as far as Linux has them, from user mode: "service NAME NANOSECONDS", the least of ROUNDS.
 * usage: services SCRATCH-FILE
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, PAGE = 4096, PAGES = 1024, CALLS = 400, PROCESSES = 12 };

static const char *self, *scratch;
static char *walked;
static char block[PAGE];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char *pages(void)
{
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

/* Pages that are new: each is a fault, and a page of zeroes. */
static double demand_zero(void)
{
	char *p = pages();
	double start = now_ns(), ns;

	for (unsigned i = 0; i < PAGES; i++)
		((volatile char *)p)[i * PAGE] = 1;
	ns = now_ns() - start;
	munmap(p, PAGES * PAGE);
	return ns / PAGES;
}

/* Pages that are there, but more than the TLB has: each is a refill. */
static double utlb_miss(void)
{
	double start = now_ns();

	for (unsigned k = 0; k < 20; k++)
		for (unsigned i = 0; i < PAGES; i++)
			(void)((volatile char *)walked)[i * PAGE];
	return (now_ns() - start) / (20 * PAGES);
}

static double open_close(void)
{
	double start = now_ns(), ns;
	int fd[CALLS];

	for (unsigned i = 0; i < CALLS; i++)
		fd[i] = open(scratch, O_RDONLY);
	ns = now_ns() - start;
	for (unsigned i = 0; i < CALLS; i++)
		close(fd[i]);
	return ns / CALLS;
}

static double write_page(void)
{
	int fd = open(scratch, O_WRONLY | O_TRUNC);
	double start = now_ns(), ns;

	for (unsigned i = 0; i < CALLS; i++)
		if (write(fd, block, PAGE) != PAGE)
			exit(1);
	ns = now_ns() - start;
	close(fd);
	return ns / CALLS;
}

static double read_page(void)
{
	int fd = open(scratch, O_RDONLY);
	double start = now_ns(), ns;

	for (unsigned i = 0; i < CALLS; i++)
		if (read(fd, block, PAGE) != PAGE)
			exit(1);
	ns = now_ns() - start;
	close(fd);
	return ns / CALLS;
}

static double processes(int exec)
{
	double start = now_ns();

	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t child = vfork();

		if (child == 0 && exec)
			execl(self, self, (char *)NULL); /* ends at once */
		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			exit(1);
	}
	return (now_ns() - start) / PROCESSES;
}

static double exec_process(void) { return processes(1); }
static double plain_process(void) { return processes(0); }

static const struct {
	const char *name;
	double (*measure)(void);
} services[] = {{"demand_zero", demand_zero},    {"utlb_miss", utlb_miss}, {"open", open_close},
		{"write", write_page},           {"read", read_page},      {"exec_process", exec_process},
		{"plain_process", plain_process}};

int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	self = argv[0];
	scratch = argv[1];
	close(open(scratch, O_CREAT | O_WRONLY, 0600));
	walked = pages();
	memset(walked, 1, PAGES * PAGE);
	for (unsigned s = 0; s < sizeof(services) / sizeof(*services); s++) {
		double least = 0;

		for (unsigned r = 0; r < ROUNDS; r++) {
			double ns = services[s].measure();

			if (!r || ns < least)
				least = ns;
		}
		printf("service %s %.1f\n", services[s].name, least);
	}
	unlink(scratch);
	return 0;
}
