/* SPDX-License-Identifier: MIT */
#ifndef GUEST_SPLASHOS_H
#define GUEST_SPLASHOS_H

/*
 * SPLASHOS: what a parallel program needs of an operating system, linked with it (SOSP'97, 4.4).  One address space, all of memory
 * unmapped (KSEG0), a thread for each vCPU; the monitor starts vCPUs and rings for them (docs/monitor-calls.md).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_MAX_THREADS = 64 };

/* Each program's own, on thread 0.  What it returns is the status of the run. */
int sp_main(int argc, char **argv);

/* ---- threads ---- */
unsigned sp_vcpus(void); /* most threads that there can be, this one included */
unsigned sp_self(void);  /* 0 .. */
/* fn(i) on n threads, i = 0 (this one) .. n - 1; returns when all have.  n at most sp_vcpus(). */
void sp_run(unsigned n, void (*fn)(unsigned i));

/*
 * Waiting is a short spin and then WAIT, until somebody rings: a vCPU that waits leaves its processor to others.
 * All of these order what is done before and after them as one expects.
 */
struct sp_lock {
	uint32_t state; /* 0 free, 1 taken, 2 taken and somebody waits */
	uint32_t waiting[SP_MAX_THREADS / 32];
};
void sp_lock(struct sp_lock *l);
void sp_unlock(struct sp_lock *l);

struct sp_barrier {
	uint32_t here, generation;
};
/* Of n threads, which are 0 .. n - 1. */
void sp_barrier(struct sp_barrier *b, unsigned n);

/* Gives the value before. */
uint32_t sp_add(volatile uint32_t *word, uint32_t by);
uint32_t sp_swap(volatile uint32_t *word, uint32_t to);
bool sp_compare_swap(volatile uint32_t *word, uint32_t old, uint32_t to);
static inline void sp_sync(void) { __asm__ volatile("sync" ::: "memory"); }

/* ---- memory: what is behind the program; never given back ---- */
/* Aligned to a line of 128 bytes, zeroes.  Ends the run if there is not enough. */
void *sp_alloc(size_t bytes);

/* ---- files: the initrd is one, as it is; and those of the first share (disco run --share), to be read ---- */
const void *sp_file(size_t *bytes); /* NULL: there is none */
/* All of a file, in memory of sp_alloc(); path: below the share, "scenes/glass".  NULL: no share, or no such file.  Any thread. */
const void *sp_share_read(const char *path, size_t *bytes);

/* ---- console, time, end ---- */
/* %s %u %d %x %c %%; whole lines are not mixed */
void sp_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sp_print_fixed(double x, unsigned digits);
uint32_t sp_microseconds(void); /* since some moment; wraps after 42 s */
void sp_exit(int status) __attribute__((noreturn));
/* Prints it, and ends the run with status 1. */
void sp_fail(const char *what) __attribute__((noreturn));
/* Argument `name`=NUMBER, or what it is by default. */
unsigned sp_argument(int argc, char **argv, const char *name, unsigned by_default);
/* What is behind `name`=, or NULL. */
const char *sp_text_argument(int argc, char **argv, const char *name);

double sp_sqrt(double x);

#endif
