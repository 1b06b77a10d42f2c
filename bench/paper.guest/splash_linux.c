/* SPDX-License-Identifier: MIT */
/* A program of guest/splashos/ on Linux: what SPLASHOS gives it, by POSIX threads.  usage: PROGRAM NAME=NUMBER... */
#define _GNU_SOURCE
#include "guest/splashos/splashos.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static __thread unsigned self;
static void (*work)(unsigned i);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

unsigned sp_vcpus(void) { return SP_MAX_THREADS; }
unsigned sp_self(void) { return self; }

static void *begin(void *i)
{
	self = (unsigned)(uintptr_t)i;
	work(self);
	return NULL;
}

void sp_run(unsigned n, void (*fn)(unsigned i))
{
	pthread_t thread[SP_MAX_THREADS];

	work = fn;
	for (unsigned i = 1; i < n; i++)
		if (pthread_create(&thread[i], NULL, begin, (void *)(uintptr_t)i))
			sp_fail("no thread");
	fn(0);
	for (unsigned i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
}

void sp_lock(struct sp_lock *l)
{
	pthread_mutex_lock(&mutex);
	while (l->state)
		pthread_cond_wait(&changed, &mutex);
	l->state = 1;
	pthread_mutex_unlock(&mutex);
}

void sp_unlock(struct sp_lock *l)
{
	pthread_mutex_lock(&mutex);
	l->state = 0;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

void sp_barrier(struct sp_barrier *b, unsigned n)
{
	uint32_t generation;

	pthread_mutex_lock(&mutex);
	generation = b->generation;
	if (++b->here == n) {
		b->here = 0;
		b->generation++;
		pthread_cond_broadcast(&changed);
	}
	while (b->generation == generation)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

uint32_t sp_add(volatile uint32_t *word, uint32_t by) { return __atomic_fetch_add(word, by, __ATOMIC_SEQ_CST); }
uint32_t sp_swap(volatile uint32_t *word, uint32_t to) { return __atomic_exchange_n(word, to, __ATOMIC_SEQ_CST); }

bool sp_compare_swap(volatile uint32_t *word, uint32_t old, uint32_t to)
{
	return __atomic_compare_exchange_n(word, &old, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Pages come as they are touched, and are zeroes. */
void *sp_alloc(size_t bytes)
{
	void *p = mmap(NULL, bytes + !bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		sp_fail("out of memory");
	return p;
}

void sp_print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void sp_print_fixed(double x, unsigned digits) { printf("%.*f", (int)digits, x); }

uint32_t sp_microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)((uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
}

void sp_exit(int status) { exit(status); }

void sp_fail(const char *what)
{
	printf("linux: %s\n", what);
	exit(1);
}

const char *sp_text_argument(int argc, char **argv, const char *name)
{
	size_t n = strlen(name);

	for (int i = argc - 1; i > 0; i--)
		if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
			return argv[i] + n + 1;
	return NULL;
}

unsigned sp_argument(int argc, char **argv, const char *name, unsigned by_default)
{
	const char *value = sp_text_argument(argc, argv, name);

	return value ? (unsigned)strtoul(value, NULL, 0) : by_default;
}

double sp_sqrt(double x) { return sqrt(x); }
const void *sp_file(size_t *bytes) { return *bytes = 0, NULL; }
const void *sp_share_read(const char *path, size_t *bytes) { return (void)path, *bytes = 0, NULL; }

int main(int argc, char **argv) { return sp_main(argc, argv); }
