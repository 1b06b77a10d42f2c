/* SPDX-License-Identifier: MIT */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

/*
 * The command line as data.  Parsing touches nothing but the file names it checks: the commands (vmm/cli/commands.h) act
 * on the structs.  Strings point into argv and live as long as it does, but for those of run_options that it frees.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/option.h"
#include "base/panic.h"
#include "base/types.h"
#include "numa/config.h"
#include "numa/region.h"
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/net/net.h"
#include "vmm/debug/server.h"

struct cpu_model;
struct bench_options;

/* Guest memory: whole 64 KiB (the kernels' largest base page), and what the board decodes below its I/O window. */
#define MEM_UNIT_BYTES    (64ull << 10)
#define MEM_MAX_BYTES     (256ull << 20)
#define MEM_DEFAULT_BYTES (256ull << 20)

#define MERGE_MAX     1000000 /* --merge */
#define MERGE_DEFAULT 5000
#define HOT_MAX       1000000000 /* --hot */

/* --timeout: thirty years. */
#define SECONDS_MAX 1000000000ull

/*
 * Letters of --dump and --stage: g guest disassembly, i IR as lifted, o IR after the passes, x where the block goes and why it
 * ended, h host disassembly; with tier 2 also l and L, LLVM IR before and after optimisation.  These are what `disco dump`
 * shows if not told; options_dump_letters adds IR after each single pass, by its letter in ir/passes.def.
 */
#define DUMP_LETTERS_TIER1 "gioxh"
#define DUMP_LETTERS_TIER2 "gioxlLh"
extern const char options_dump_letters[];

enum run_perf { RUN_PERF_OFF, RUN_PERF_MAP };

/* --trace: nothing without events. */
struct run_trace {
	uint64_t events;  /* bits by enum trace_event */
	const char *file; /* or NULL: standard error; "none" */
	int format;       /* enum trace_file_format */
};

/* --dump-filter: what matches all of it is shown. */
struct dump_filter {
	bool given;
	uint64_t pc_low, pc_high; /* inclusive, zero-extended gva */
	int mode;                 /* -1 any, else MODE_KERNEL or MODE_USER (ir/mode.h) */
	int tier;                 /* -1 any, else enum tier (jit/jit.h) */
	const char *symbol;       /* NULL: any; allocated */
};

enum { RUN_MAX_MACHINES = 1000, RUN_MAX_NAME_BYTES = 32 };
enum {
	RUN_MAX_DISKS = 8,
	RUN_MAX_NETS = 4,
	RUN_MAX_SHARES = 8,
	RUN_MAX_TERMINALS = 4,
	RUN_MAX_REGIONS = 8,
	RUN_MAX_ENV = 64
};

struct run_disk {
	char *text;                          /* what the others point into */
	const char *path, *overlay, *serial; /* overlay, serial: or NULL */
	int mode;                            /* enum disk_mode */
	int format;                          /* enum disk_format */
	int werror, rerror;                  /* enum disk_policy */
};

struct run_share {
	char *text; /* what dir and tag point into: the options may be copied */
	const char *dir, *tag;
	bool read_only;
};

/* Has a command in the guest a terminal? */
enum run_tty {
	RUN_TTY_AUTO, /* if standard input and output are one here */
	RUN_TTY_ON,
	RUN_TTY_OFF,
};

struct run_terminal {
	const char *path; /* of a Unix socket, or NULL: a pseudo-terminal */
};

/* --shared-region */
struct run_region {
	char name[REGION_NAME_BYTES];
	uint64_t bytes;
};

/* --hot; 0 executions: the default policy */
struct run_hot {
	uint32_t executions;
	bool sync;
};

/* --merge */
struct run_merge {
	bool given;
	unsigned pages; /* a second; 0: off */
};

/* What is said about a machine that is added to others, until it runs: its user is not the monitor's (options_say()). */
struct run_said {
	pthread_mutex_t lock;
	bool open;                  /* guarded by lock, as is: */
	struct options_error first; /* the first line */
};

/* --numa */
struct run_numa {
	bool sample; /* else off, or flash */
	bool host;   /* and nodes are on those of the host */
	bool flash;
	struct numa_config cfg;
};

/* A time from the command line. */
struct run_seconds {
	const char *text; /* as it was written; NULL: none */
	uint64_t ms;
};

/* --store, --store-size */
struct run_store {
	bool on;
	const char *folder; /* NULL: the default one */
};

/* Names of files in one machine's options. */
enum { RUN_MAX_PATHS = 8 + 2 * RUN_MAX_DISKS + RUN_MAX_SHARES + RUN_MAX_TERMINALS };

struct run_options {
	const char *folder;    /* where names of files begin, with its last '/'; NULL: at the process's */
	struct run_said *said; /* or NULL */
	const char *name;      /* --name, or NULL; never NULL in a plan (vmm/cli/plan.h) */
	const char *control;   /* --control, or NULL */
	unsigned vms;          /* --vms, or 0 */
	unsigned number;       /* of several machines, from 1; 0: it is alone */
	const char *speaker;   /* what is said about it begins with this: "disco run", "disco run: vm3" */
	const char *kernel;
	const char *initrd; /* or NULL */
	const char *append; /* never NULL; --append and what the devices and the command add to it */
	uint64_t mem_bytes;
	const struct cpu_model *cpu;
	unsigned vcpus;       /* --vcpus, or 0: one */
	unsigned processors;  /* --processors, or 0 */
	unsigned shares, cap; /* --shares, --cap, or 0 */
	bool icount;
	const char *record, *replay; /* files, or NULL; not both */
	const char *tiers;           /* of --tiers, and the same as: */
	bool tier1, tier2;           /* neither: --tiers=interp */
	bool stats;
	const char *stats_file; /* or NULL: text on standard error */
	const char *dump;       /* letters, valid ones, or NULL */
	const char *symbols;    /* listing for dumps, or NULL */
	bool json, stable;      /* of dumps */
	struct dump_filter dump_filter;
	uint64_t jit_bytes;
	struct run_store store;
	uint64_t store_bytes; /* --store-size, or 0 */
	struct run_hot hot;
	struct run_merge merge;
	struct run_numa numa;
	struct run_trace trace;
	const char *numa_log;   /* or NULL */
	int perf;               /* enum run_perf */
	const char *perf_files; /* folder, or NULL */
	struct debug_address gdb;
	bool gdb_wait;
	bool goes_back;           /* --icount with --gdb: a debugger can have it go back */
	const char *stays_option; /* or not, because of that option; NULL: no other reason */
	bool several;             /* --several; it is one of several machines of the monitor */
	bool reports;             /* and is to give back what its kernel has freed */
	bool no_reboot;
	struct run_seconds timeout;

	unsigned n_disks, n_nets, n_shares, n_terminals, n_regions;
	struct run_disk disk[RUN_MAX_DISKS];
	struct net_config net[RUN_MAX_NETS];
	bool net_none; /* --net none was given */
	struct run_share share[RUN_MAX_SHARES];
	struct run_terminal terminal[RUN_MAX_TERMINALS];
	struct run_region region[RUN_MAX_REGIONS];
	bool balloon;
	uint64_t balloon_bytes; /* what the guest is asked to give up */

	bool quiet_boot;
	enum run_tty tty;
	bool command;       /* a command is to be run in the guest: script, or argv[0] */
	const char *script; /* file, or NULL; argv are its arguments then */
	unsigned argc;
	char *const *argv;
	unsigned n_env;
	const char *env[RUN_MAX_ENV];

	char *found_kernel, *found_initrd, *made_append; /* allocated */
	unsigned n_placed;
	char *placed[RUN_MAX_PATHS]; /* allocated: names that folder was put before */
};

/* Of the commands that ask monitors (vmm/cli/control_cmd.h). */
struct control_options {
	bool json, once, force, stdio, functions, folded;
	const char *control;              /* or NULL */
	const char *gdb, *symbols;        /* or NULL */
	const char *files, *svg;          /* or NULL */
	unsigned stops, moves, cpu_index; /* or 0 */
	unsigned seconds;                 /* or 0 */
};

struct numa_options {
	const char *file;
	bool json;
	const char *svg; /* or NULL */
};

#define DUMP_MAX_ADDRS 64
#define DUMP_MAX_WORDS 1024

/*
 * One place of --at.  What begins with a digit is an address.  Everything else names a symbol (NAME or NAME+HEX); if there
 * is none of that name and it reads as a number, it is an address too.
 */
struct dump_at {
	const char *text; /* not NUL-terminated */
	size_t len;
	bool is_number; /* reads as one: address */
	uint32_t address;
};

struct dump_options {
	const char *kernel, *elf; /* the image, by either name; NULL, NULL: words */
	const char *file;         /* whichever was given */
	const char *symbols;      /* listing, or NULL */
	unsigned n_at;            /* with words: 0 or 1, the address of the first */
	struct dump_at at[DUMP_MAX_ADDRS];
	bool words_from_stdin; /* n_words is 0 then */
	unsigned n_words;
	uint32_t words[DUMP_MAX_WORDS];
	bool json, stable;
	const char *stages; /* letters, valid ones for the tier */
	bool big_endian;    /* of words; an image says it itself */
	int user;           /* translate for 0 kernel, 1 user mode; -1: user for the code of a program, else kernel */
	int tier;           /* 1 or 2 */
	const struct cpu_model *cpu;
	const char *diff, *diff_with; /* two dumps to compare, and nothing else; or NULL */
};

static inline unsigned run_vcpus(const struct run_options *o) { return o->vcpus ? o->vcpus : 1; }

/* Besides 0 and -EINVAL: print something and end with status 0. */
enum { OPTIONS_HELP = 1, OPTIONS_CPU_LIST = 2, OPTIONS_TRACE_LIST = 3 };

/*
 * Parse the arguments of a command; argv[0] is the command's own name.
 *
 * Returns  0 and a complete *out, OPTIONS_HELP, OPTIONS_CPU_LIST, OPTIONS_TRACE_LIST, or -EINVAL with err filled.
 * Context  one thread at a time (getopt_long).
 */
MUST_CHECK int options_parse_run(int argc, char **argv, struct run_options *out, struct options_error *err);
/*
 * The same without a command line: what is there if nothing is said; then values by the parsers of options_run_rows, and argc and
 * argv if there is a command; then what only the whole shows.
 */
void options_begin_run(struct run_options *out);
MUST_CHECK int options_end_run(struct run_options *out, struct options_error *err);
/* After options_parse_run(), whatever that returned. */
void options_free_run(struct run_options *o);
/* "disco run: vm3: " and a line, on standard error, or into o->said. Any thread. */
void options_say(const struct run_options *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
MUST_CHECK int options_parse_dump(int argc, char **argv, struct dump_options *out, struct options_error *err);
MUST_CHECK int options_parse_bench(int argc, char **argv, struct bench_options *out, struct options_error *err);
MUST_CHECK int options_parse_numa(int argc, char **argv, struct numa_options *out, struct options_error *err);

/*
 * Words as in --words from a stream, separated by blanks, newlines and commas, appended to out->words.
 * 0, or -EINVAL with err filled: what is not one, none at all, more than DUMP_MAX_WORDS, a stream that cannot be read.
 */
MUST_CHECK int options_read_words(FILE *in, struct dump_options *out, struct options_error *err);
/*
 * The rows of vmm/cli/options.def, by command.  Each ends with OPTION_END; those without a name are heads, those without a
 * parser are for the help only.
 */
extern const struct option_row options_run_rows[], options_dump_rows[], options_bench_rows[];
extern const struct option_row options_numa_rows[];
extern const struct option_row options_ps_rows[], options_top_rows[], options_add_rows[], options_rm_rows[],
    options_audit_rows[], options_monitor_rows[], options_gdb_rows[];

/* Hexadecimal with or without 0x, at most 32 bits, of exactly the bytes [text, text + len). */
MUST_CHECK bool options_parse_hex(const char *text, size_t len, uint32_t *out);

#endif
