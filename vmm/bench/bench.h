/* SPDX-License-Identifier: MIT */
#ifndef VMM_BENCH_H
#define VMM_BENCH_H

/*
 * `disco bench`: the microbenchmarks of micro.def, in guests of this monitor and, where it is installed, of QEMU, in turn.
 * Each machine is a process of its own, so that one's translations and memory are not another's.
 */
#include <stdio.h>

#include "base/panic.h"
#include "base/types.h"

enum micro_program { MICRO_BARE, MICRO_LINUX, NUM_MICRO_PROGRAMS };
enum micro_unit { MICRO_NS, MICRO_MBS };

struct micro {
	const char *name, *text;
	enum micro_program program;
	enum micro_unit unit;
};

enum {
#define MICRO(name, program, unit, text) MICRO_##name,
#include "vmm/bench/micro.def"
#undef MICRO
	NUM_MICROS
};
extern const struct micro bench_micros[NUM_MICROS];

enum bench_peer { BENCH_DISCO, BENCH_QEMU, NUM_BENCH_PEERS };

struct bench_options {
	bool list;
	bool wanted[NUM_MICROS]; /* --only; all without it */
	unsigned rounds;
	const char *json;     /* file, or NULL */
	const char *kernel;   /* of the linux ones, or NULL: they are left out */
	const char *initrd;   /* Disco's initramfs (guest/fetch), if kernel is not NULL */
	const char *programs; /* directory with bare.elf and linux, or NULL: beside this program */
	const char *qemu;     /* program, or NULL: QEMU is left out */
	const char *tiers;    /* --tiers for Disco, or NULL */
	unsigned timeout_s;   /* of one machine */
};

/* What one peer measured, all repetitions of all rounds; of a device benchmark also what the device counted. */
struct bench_samples {
	unsigned n, room;
	double *value; /* in the unit of the benchmark */
};

struct bench_device {
	char name[64];
	uint64_t requests, notifies, interrupts, bytes;
};

struct bench_results {
	struct bench_samples s[NUM_BENCH_PEERS][NUM_MICROS];
	unsigned n_devices; /* Disco's, of the last round */
	struct bench_device device[8];
};

struct bench_summary {
	unsigned n; /* 0: not measured */
	double median, min, max;
};

struct bench_error {
	char text[512]; /* one line */
};

/* ---- bench_machine.c ---- */
/*
 * Boot the machine of one peer with one program, and add what it reports to r.
 * dir: scratch directory.  0, or -errno with err filled (also if the guest reported less than it should).
 */
MUST_CHECK int bench_machine_run(const struct bench_options *opt, enum bench_peer peer, enum micro_program program,
				 const char *dir, struct bench_results *r, struct bench_error *err);
/* One line of a guest's console.  *ns_per_tick: as the guest's micro_rate said.  True if it was the last one. */
bool bench_line(const char *line, double *ns_per_tick, struct bench_samples s[NUM_MICROS]);

/* ---- bench_files.c: what the machines boot from ---- */
/* dir/initrd: the initramfs with the linux program as /tests/micro; dir/disk: a sparse disk.  0 or -errno, err filled. */
MUST_CHECK int bench_files_make(const struct bench_options *opt, const char *dir, struct bench_error *err);
void bench_files_remove(const char *dir);
/* The path of a guest program. */
void bench_program_path(const struct bench_options *opt, enum micro_program program, char *out, size_t bytes);

/* ---- bench_report.c ---- */
struct bench_summary bench_summarize(const struct bench_samples *s);
void bench_print_list(FILE *out);
void bench_print_table(const struct bench_options *opt, const struct bench_results *r, FILE *out);
void bench_print_json(const struct bench_options *opt, const struct bench_results *r, FILE *out);

#endif
