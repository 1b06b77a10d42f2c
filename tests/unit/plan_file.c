/* SPDX-License-Identifier: MIT */
/* Configuration files of `disco up`: what comes of a good one; a line for each bad one; and files that are damaged. */
#define _GNU_SOURCE
#include "vmm/cli/plan_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tiny_elf.h"

static char dir[] = "/tmp/disco-plan-XXXXXX";

static void put_file(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(name, "w");

	cr_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static void make_files(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	cr_assert(tiny_elf_write("k"));
	put_file("disk1", "x", 1);
	put_file("disk2", "x", 1);
}

static void remove_files(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(plan_file, .init = make_files, .fini = remove_files);

static int read_text(struct plan *p, const char *text, struct options_error *err)
{
	put_file("c.yaml", text, strlen(text));
	err->text[0] = '\0';
	return plan_from_file(p, "c.yaml", err);
}

static const char good[] = "# a comment\n"
			   "monitor:\n"
			   "  timeout: 2.5\n"
			   "defaults:\n"
			   "  kernel: k\n"
			   "  mem: 64M\n"
			   "  disk: [disk1]\n" /* which each machine here overrides */
			   "machines:\n"
			   "  - name: web\n"
			   "    count: 2\n"
			   "    disk: [\"disk{n},mode=ro\", \"disk1,mode=cow\"]\n"
			   "    net:\n"
			   "    - user,hostfwd=tcp::800{n}-:80\n"
			   "    env: A={n}\n"
			   "    command: [echo, '{n}', no, 007]\n"
			   "    no-reboot: true\n"
			   "    quiet-boot: false\n"
			   "    stats: s{n}.json\n"
			   "  - name: other{n}\n" /* without a count nothing stands for a number */
			   "    disk: disk2,mode=cow\n"
			   "    mem: 128M\n"
			   "    stats: true\n"
			   "    command: echo {n} | wc\n"
			   "  - {name: a, disk: [], no-reboot: true}\n";

Test(plan_file, good)
{
	struct options_error err;
	const struct run_options *o;
	struct plan p;

	/* a name is checked as on the command line */
	cr_assert_eq(read_text(&p, good, &err), -22);
	cr_expect_str_eq(
	    err.text,
	    "c.yaml:19: --name other{n}: 1 to 32 letters, digits, '.', '_' and '-', the first a letter or digit");
	plan_free(&p);
	char *text = strdup(good);
	memcpy(strstr(text, "other{n}"), "other_n_", 8);
	cr_assert_eq(read_text(&p, text, &err), 0, "%s", err.text);
	free(text);
	cr_assert_eq(p.n, 4);
	for (unsigned i = 0; i < 2; i++) {
		char want[32];

		o = &p.opt[i];
		snprintf(want, sizeof(want), "web%u", i + 1);
		cr_expect_str_eq(o->name, want);
		snprintf(want, sizeof(want), "disco up: web%u", i + 1);
		cr_expect_str_eq(o->speaker, want);
		cr_expect_eq(o->number, i + 1);
		cr_expect_eq(o->timeout.ms, 2500);
		cr_expect_eq(o->mem_bytes, 64 << 20);
		cr_expect_eq(o->n_disks, 2);
		snprintf(want, sizeof(want), "disk%u", i + 1);
		cr_expect_str_eq(o->disk[0].path, want);
		cr_expect_eq(o->net[0].forward[0].host_port, 8001 + i);
		snprintf(want, sizeof(want), "A=%u", i + 1);
		cr_expect_str_eq(o->env[0], want);
		cr_expect(o->command && o->argc == 4);
		cr_expect_str_eq(o->argv[1], want + 2);
		cr_expect_str_eq(o->argv[2], "no");
		cr_expect_str_eq(o->argv[3], "007");
		cr_expect_null(o->argv[4]);
		cr_expect(o->no_reboot && !o->quiet_boot && o->stats);
		snprintf(want, sizeof(want), "s%u.json", i + 1);
		cr_expect_str_eq(o->stats_file, want);
	}
	o = &p.opt[2];
	cr_expect_str_eq(o->name, "other_n_");
	cr_expect_eq(o->mem_bytes, 128 << 20);
	cr_expect(o->stats && !o->stats_file);
	cr_expect(o->argc == 3 && strcmp(o->argv[0], "/bin/sh") == 0 && strcmp(o->argv[2], "echo {n} | wc") == 0);
	o = &p.opt[3];
	cr_expect(o->no_reboot && !o->n_disks && !o->command && o->number == 4);
	plan_free(&p);
}

Test(plan_file, one_machine)
{
	struct options_error err;
	struct plan p;

	cr_assert_eq(read_text(&p, "machines: [{kernel: k}]", &err), 0, "%s", err.text);
	cr_expect_eq(p.n, 1);
	cr_expect_str_eq(p.opt[0].name, "vm");
	cr_expect_str_eq(p.opt[0].speaker, "disco up");
	cr_expect_eq(p.opt[0].number, 0);
	plan_free(&p);
	cr_assert_eq(read_text(&p, "machines: [{kernel: k, count: 1, append: 'n={n}'}]", &err), 0, "%s", err.text);
	cr_expect_str_eq(p.opt[0].name, "vm1");
	cr_expect(strstr(p.opt[0].append, "n=1"));
	plan_free(&p);
}

#define MACHINE "machines:\n- kernel: k\n  "

/* The line, and what stands behind it. */
static const struct {
	const char *text, *why;
} bad[] = {
    {"", "c.yaml: is empty"},
    {"# nothing\n", "c.yaml: is empty"},
    {"machines", "c.yaml:1: must be keys with values"},
    {"- a\n", "c.yaml:1: must be keys with values"},
    {"defaults: {}\n", "c.yaml:1: machines: the section is missing"},
    {"machines: {}\n", "c.yaml:1: machines: must be a list"},
    {"machines: []\n", "c.yaml:1: machines: must be a list"},
    {"machines:\n- k\n", "c.yaml:2: machines: must be keys with values"},
    {"machine:\n- kernel: k\n", "c.yaml:1: machine: no such section; they are monitor"},
    {"\n\nmonitor: 3\n", "c.yaml:3: monitor: must be keys"},
    {"monitor:\n  mem: 3\n", "c.yaml:2: mem: belongs into a machine"},
    {"monitor:\n  count: 3\n", "c.yaml:2: count: belongs into a machine"},
    {"monitor:\n  vms: 3\n", "c.yaml:2: vms: no such key"},
    {"monitor:\n  timeout: x\n" MACHINE "mem: 64M\n", "c.yaml:2: --timeout x: not a number of seconds"},
    {MACHINE "timeout: 3\n", "c.yaml:3: timeout: belongs into the section monitor"},
    {MACHINE "colour: red\n", "c.yaml:3: colour: no such key"},
    {MACHINE "--mem: 64M\n", "c.yaml:3: --mem: no such key"},
    {MACHINE "help: true\n", "c.yaml:3: help: no such key"},
    {MACHINE "'': true\n", "c.yaml:3: a key must be a word"},
    {MACHINE "[a, b]: true\n", "c.yaml:3: a key must be a word"},
    {MACHINE "mem: 64M\n  cpu: max\n  mem: 32M\n", "c.yaml:5: mem: is there already, in line 3"},
    {"machines: []\nmachines: []\n", "c.yaml:2: machines: is there already, in line 1"},
    {MACHINE "mem: many\n", "c.yaml:3: --mem many: not a size"},
    {MACHINE "mem:\n", "c.yaml:3: mem: needs a value"},
    {MACHINE "mem: [64M, 32M]\n", "c.yaml:3: mem: must be one value"},
    {MACHINE "mem: {size: 64M}\n", "c.yaml:3: mem: must be one value"},
    {MACHINE "disk: {file: a}\n", "c.yaml:3: disk: must be a value, or a list"},
    {MACHINE "disk:\n  - disk1,mode=ro\n  - {file: a}\n", "c.yaml:5: disk: must be a value, or a list"},
    {MACHINE "disk:\n  - disk1,mode=ro\n  - disk3\n", "c.yaml:5: --disk disk3: No such file"},
    {MACHINE "disk: disk1,colour=red\n", "c.yaml:3: --disk disk1: 'colour=red'"},
    {MACHINE "no-reboot: yes\n", "c.yaml:3: no-reboot: must be true or false"},
    {MACHINE "no-reboot: [true]\n", "c.yaml:3: no-reboot: must be one value"},
    {MACHINE "cpu: help\n", "c.yaml:3: cpu: not in a file"},
    {MACHINE "count: 0\n", "c.yaml:3: count: must be a number from 1 to 1000"},
    {MACHINE "count: 10000\n", "c.yaml:3: count: must be"},
    {MACHINE "count: -1\n", "c.yaml:3: count: must be"},
    {MACHINE "count: 3x\n", "c.yaml:3: count: must be"},
    {MACHINE "count: [3]\n", "c.yaml:3: count: must be"},
    {MACHINE "count: 999999999999999999999\n", "c.yaml:3: count: must be"},
    {"defaults: {count: 600, kernel: k}\nmachines:\n- name: a\n- name: b\n", "c.yaml:4: machines: more than 1000"},
    {MACHINE "command: []\n", "c.yaml:3: command: must be a list of words"},
    {MACHINE "command:\n", "c.yaml:3: command: must be a list of words"},
    {MACHINE "command: ['', a]\n", "c.yaml:3: command: a word is missing"},
    {MACHINE "command: [a, [b]]\n", "c.yaml:3: command: a word is missing"},
    {MACHINE "env: A=b\n", "c.yaml:3: --env: only with a command"},
    {MACHINE "name: a/b\n", "c.yaml:3: --name a/b: 1 to 32"},
    {MACHINE "name: \"a\\0b\"\n", "c.yaml:3: name: must be one value"},
    {MACHINE "name: a\n- kernel: k\n  name: a\n", "c.yaml:5: --name a: there are two of that name"},
    {MACHINE "mem: 64M\n- kernel: k\n", "c.yaml:4: --name vm: there are two of that name"},
    {MACHINE "name: a1\n- kernel: k\n  name: a\n  count: 2\n", "c.yaml:5: --name a1: there are two"},
    {MACHINE "disk: disk1\n  name: a\n- kernel: k\n  name: b\n  disk: disk1,mode=cow\n",
     "c.yaml:7: --disk disk1: a writes to it, and b has it too"},
    {MACHINE "count: 2\n  disk: disk1\n", "c.yaml:4: --disk disk1: vm1 writes to it, and vm2"},
    {MACHINE "count: 2\n  disk: disk1,overlay=o\n", "c.yaml:4: --disk: overlay o: vm1 writes to it"},
    {MACHINE "count: 2\n  tty: true\n  command: a\n", "c.yaml:4: --tty: there is one terminal"},
    {"monitor: {hot: 3,\n  tiers: 1}\n" MACHINE "dump: g\n", "c.yaml:1: --hot: needs both tiers"},
    {MACHINE "count: 1000\n  mem: 256M\n", "c.yaml:4: --mem: 1000 machines with 256000M together"},
    {"machines:\n- mem: 64M\n", "c.yaml:2: --kernel: missing"},
    {"machines:\n- kernel: nowhere\n", "c.yaml:2: --kernel nowhere: No such file"},
    {"machines:\n- mem: 64M\n  kernel: disk1\n", "c.yaml:3: --kernel disk1: not an ELF file"},
    {"defaults:\n  initrd: k\nmachines:\n- kernel: k\n  mem: 64K\n", "c.yaml:2: --initrd k: 148 bytes do not fit"},
    {"machines: [\n", "c.yaml:2: "},
    {"machines:\n\t- a\n", "c.yaml:2: found character that cannot start any token"},
    {"a: *b\n", "c.yaml:1: found undefined alias"},
    {"\xff\xff\n", "c.yaml:1: "},
    {MACHINE "mem: 64M\n---\nmachines: []\n", "c.yaml:5: a second document"},
    {MACHINE "append: \"a\\nb\"\n  cpu: \"a\\nb\"\n", "c.yaml:4: --cpu a?b: no such model"},
};

Test(plan_file, bad)
{
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct options_error err;
		struct plan p;
		int r = read_text(&p, bad[i].text, &err);

		cr_expect_lt(r, 0, "accepted: %s", bad[i].text);
		cr_expect(strncmp(err.text, bad[i].why, strlen(bad[i].why)) == 0, "'%s', not '%s', for:\n%s", err.text,
			  bad[i].why, bad[i].text);
		cr_expect_null(strpbrk(err.text, "\n\r"));
		plan_free(&p);
	}
}

Test(plan_file, no_file)
{
	struct options_error err;
	struct plan p;

	cr_expect_lt(plan_from_file(&p, "nowhere.yaml", &err), 0);
	cr_expect_str_eq(err.text, "nowhere.yaml: No such file or directory");
	plan_free(&p);
	cr_expect_lt(plan_from_file(&p, "/", &err), 0);
	cr_expect_str_eq(err.text, "/: is a directory");
	plan_free(&p);
	cr_expect_lt(plan_from_file(&p, "/dev/zero", &err), 0);
	plan_free(&p);
}

/* Names in it begin at its folder. */
Test(plan_file, folder)
{
	struct options_error err;
	struct plan p;

	cr_assert_eq(mkdir("sub", 0700), 0);
	cr_assert(tiny_elf_write("sub/kernel"));
	put_file("sub/c.yaml", "machines: [{kernel: kernel}]", 28);
	cr_assert_eq(plan_from_file(&p, "sub/c.yaml", &err), 0, "%s", err.text);
	cr_expect_str_eq(p.opt[0].kernel, "sub/kernel");
	plan_free(&p);
}

/* Every kind of name begins there, but those that are absolute. */
Test(plan_file, places)
{
	static const char text[] = "machines:\n- kernel: k\n  initrd: disk1\n  disk: ['disk1,mode=ro', "
				   "'disk2,mode=cow,overlay=o', '/dev/null,mode=ro']\n  share: '.,ro'\n  stats: s\n"
				   "  net: socket=n\n  terminal: unix=t\n  script: disk2\n";
	const char *d = dir;
	struct options_error err;
	struct plan p;
	char path[100], want[100];

	put_file("c.yaml", text, strlen(text));
	cr_assert_eq(chdir("/"), 0);
	snprintf(path, sizeof(path), "%s/c.yaml", dir);
	cr_assert_eq(plan_from_file(&p, path, &err), 0, "%s", err.text);
#define PLACED(field, name)                                                                                            \
	snprintf(want, sizeof(want), "%s/" name, d);                                                                   \
	cr_expect_str_eq(p.opt[0].field, want)
	PLACED(kernel, "k");
	PLACED(initrd, "disk1");
	PLACED(disk[0].path, "disk1");
	PLACED(disk[1].path, "disk2");
	PLACED(disk[1].overlay, "o");
	PLACED(share[0].dir, ".");
	PLACED(stats_file, "s");
	PLACED(net[0].path, "n");
	PLACED(terminal[0].path, "t");
	PLACED(script, "disk2");
	cr_expect_str_eq(p.opt[0].disk[2].path, "/dev/null");
	plan_free(&p);
	cr_assert_eq(chdir(dir), 0);
}

/* ---- one machine more ---- */

static int add_text(struct plan *p, const struct plan *others, unsigned n_ended, const char *text,
		    struct options_error *err)
{
	struct plan_other other[8];
	struct plan_addition a = {.text = text,
				  .bytes = strlen(text),
				  .name = "a.yaml",
				  .folder = "",
				  .process = &others->opt[0],
				  .n_others = others->n,
				  .other = other};

	for (unsigned i = 0; i < others->n; i++)
		other[i] = (struct plan_other){&others->opt[i], i < n_ended};
	err->text[0] = '\0';
	return plan_from_addition(p, &a, err);
}

Test(plan_file, addition)
{
	static const struct {
		const char *text, *why;
	} refused[] = {
	    {"monitor: {tiers: 1}\nmachines: [{kernel: k}]", "a.yaml:1: monitor: is there already"},
	    {"machines:\n- kernel: k\n  tiers: 1\n", "a.yaml:3: tiers: belongs into the section monitor"},
	    {"machines:\n- {kernel: k, name: x}\n- {kernel: k, name: y}\n",
	     "a.yaml:3: machines: one machine at a time"},
	    {"machines: [{kernel: k, count: 2}]", "a.yaml:1: machines: one machine at a time"},
	    {"machines:\n- kernel: k\n  name: a\n", "a.yaml:3: --name a: there are two of that name"},
	    {"machines:\n- kernel: k\n  name: c\n  disk: disk1,mode=ro\n",
	     "a.yaml:4: --disk disk1: a writes to it, and c has it too"},
	    {"machines:\n- kernel: k\n  name: c\n  disk: disk2\n",
	     "a.yaml:4: --disk disk2: c writes to it, and b has it"},
	    {"machines:\n- kernel: disk1\n  name: c\n", "a.yaml:2: --kernel disk1: not an ELF file"},
	    {"machines:\n- kernel: k\n  initrd: none\n  name: c\n", "a.yaml:3: --initrd none: No such file"},
	    {"machines:\n- kernel: k\n  dump: g\n  name: c\n", "a.yaml:3: --dump: of one machine only"},
	    {"", "a.yaml: is empty"},
	};
	struct options_error err;
	struct plan others, p;

	cr_assert_eq(read_text(&others,
			       "monitor: {tiers: 1, jit-mem: 16M, timeout: 7}\nmachines:\n"
			       "- {kernel: k, name: a, disk: disk1, mem: 64M}\n"
			       "- {kernel: k, name: b, disk: 'disk2,mode=ro', mem: 64M}\n",
			       &err),
		     0, "%s", err.text);
	for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
		cr_expect_lt(add_text(&p, &others, 0, refused[i].text, &err), 0, "accepted: %s", refused[i].text);
		cr_expect(strncmp(err.text, refused[i].why, strlen(refused[i].why)) == 0, "'%s', not '%s'", err.text,
			  refused[i].why);
		plan_free(&p);
	}
	/* what is the process's is the others' */
	cr_assert_eq(add_text(&p, &others, 0, "machines: [{kernel: k, name: c}]", &err), 0, "%s", err.text);
	cr_expect(p.n == 1 && p.several && p.opt[0].several && p.opt[0].reports);
	cr_expect(p.opt[0].tier1 && !p.opt[0].tier2 && p.opt[0].jit_bytes == 16 << 20 && p.opt[0].timeout.ms == 7000);
	cr_expect_eq(p.opt[0].mem_bytes, MEM_DEFAULT_BYTES);
	plan_free(&p);
	/* one that has ended has only its name */
	cr_expect_eq(add_text(&p, &others, 1, "machines: [{kernel: k, name: c, disk: disk1}]", &err), 0, "%s",
		     err.text);
	plan_free(&p);
	cr_expect_lt(add_text(&p, &others, 1, "machines: [{kernel: k, name: a, disk: disk1}]", &err), 0);
	plan_free(&p);
	plan_free(&others);
}

/* Damaged files: an answer, and of one line. */
Test(plan_file, damaged, .timeout = 120)
{
	uint32_t seed = 1;

	for (unsigned i = 0; i < 20000; i++) {
		struct options_error err = {{0}};
		char text[sizeof(good)];
		struct plan p;

		memcpy(text, good, sizeof(text));
		for (unsigned k = 0; k <= i % 4; k++) {
			size_t at = (seed = seed * 1664525 + 1013904223) >> 8;

			text[at % (sizeof(text) - 1)] = "\n\t :-[]{}&*!|>'\"%@`,#?\\x"[(seed >> 3) % 24];
		}
		text[sizeof(text) - 1] = '\0';
		if (read_text(&p, text, &err))
			cr_assert(*err.text && !strpbrk(err.text, "\n\r"), "'%s' for\n%s", err.text, text);
		else
			cr_assert_gt(p.n, 0);
		plan_free(&p);
	}
}
