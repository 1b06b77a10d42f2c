/* SPDX-License-Identifier: MIT */
/* The machines of `disco run --vms`: their numbers, names and files, and what they must fulfil together. */
#define _GNU_SOURCE
#include "vmm/cli/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tiny_elf.h"

static char dir[] = "/tmp/disco-plan-XXXXXX";

static void make_files(void)
{
	static const char *const names[] = {"disk1", "disk2", "disk3"};

	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		FILE *f = fopen(names[i], "w");

		cr_assert(f && fputs("x", f) >= 0 && fclose(f) == 0);
	}
	cr_assert(tiny_elf_write("k"));
	cr_assert_eq(symlink("disk1", "link"), 0);
}

static void remove_files(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(plan, .init = make_files, .fini = remove_files);

struct parsed {
	struct plan plan;
	struct options_error err;
	int r;
	int argc;
	char *argv[32];
	char *line;
};

/* Words separated by blanks. */
static struct parsed *parse(const char *line)
{
	struct parsed *p = calloc(1, sizeof(*p));

	cr_assert_gt(asprintf(&p->line, "run --kernel k %s", line), 0);
	for (char *word = strtok(p->line, " "); word; word = strtok(NULL, " "))
		p->argv[p->argc++] = word;
	p->r = plan_from_arguments(&p->plan, p->argc, p->argv, &p->err);
	if (!p->r)
		p->r = plan_check(&p->plan, NULL, &p->err);
	return p;
}

static void done(struct parsed *p)
{
	plan_free(&p->plan);
	free(p->line);
	free(p);
}

static void refused(const char *line, const char *why)
{
	struct parsed *p = parse(line);

	cr_expect_lt(p->r, 0, "%s", line);
	cr_expect(strstr(p->err.text, why), "%s: '%s', not '%s'", line, p->err.text, why);
	cr_expect_null(strchr(p->err.text, '\n'));
	done(p);
}

static void accepted(const char *line, unsigned n)
{
	struct parsed *p = parse(line);

	cr_expect_eq(p->r, 0, "%s: %s", line, p->err.text);
	cr_expect_eq(p->plan.n, n, "%s", line);
	done(p);
}

Test(plan, numbers)
{
	static const struct {
		const char *from, *to;
	} t[] = {{"", ""},           {"a", "a"}, {"{n}", "12"},     {"a{n}", "a12"},        {"{n}b", "12b"},
		 {"{n}{n}", "1212"}, {"{", "{"}, {"{{n}}", "{12}"}, {"{ n}{N}", "{ n}{N}"}, {"x{n}y{n}z", "x12y12z"},
		 {"{n", "{n"}};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		char *got = plan_number(t[i].from, 12);

		cr_expect_str_eq(got, t[i].to);
		free(got);
	}
}

Test(plan, one_machine_is_as_ever)
{
	struct parsed *p = parse("--append a={n} -- echo {n}");

	cr_assert_eq(p->r, 0, "%s", p->err.text);
	cr_assert_eq(p->plan.n, 1);
	cr_expect_str_eq(p->plan.opt[0].name, "vm");
	cr_expect_str_eq(p->plan.opt[0].speaker, "disco run");
	cr_expect_eq(p->plan.opt[0].number, 0);
	cr_expect(strstr(p->plan.opt[0].append, "a={n}"));
	cr_expect_str_eq(p->plan.opt[0].argv[1], "{n}");
	done(p);
	refused("--disk disk{n}", "disk{n}");
}

Test(plan, each_has_its_number)
{
	struct parsed *p =
	    parse("--vms 3 --disk disk{n} --env A={n} --net user,hostfwd=tcp::800{n}-:80 -- echo {n} x{n}");

	cr_assert_eq(p->r, 0, "%s", p->err.text);
	cr_assert_eq(p->plan.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct run_options *o = &p->plan.opt[i];
		char want[32];

		snprintf(want, sizeof(want), "vm%u", i + 1);
		cr_expect_str_eq(o->name, want);
		snprintf(want, sizeof(want), "disco run: vm%u", i + 1);
		cr_expect_str_eq(o->speaker, want);
		snprintf(want, sizeof(want), "disk%u", i + 1);
		cr_expect_str_eq(o->disk[0].path, want);
		snprintf(want, sizeof(want), "A=%u", i + 1);
		cr_expect_str_eq(o->env[0], want);
		snprintf(want, sizeof(want), "x%u", i + 1);
		cr_expect_str_eq(o->argv[2], want);
		cr_expect_eq(o->net[0].forward[0].host_port, 8001 + i);
		cr_expect_eq(o->number, i + 1);
	}
	done(p);
}

Test(plan, names)
{
	static const struct {
		const char *line, *first, *second;
	} t[] = {{"--vms 2 --name web", "web1", "web2"},
		 {"--vms 2 --name w{n}x", "w1x", "w2x"},
		 {"--vms 1 --name web", "web1", NULL},
		 {"--name web", "web", NULL}};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		struct parsed *p = parse(t[i].line);

		cr_assert_eq(p->r, 0, "%s", p->err.text);
		cr_expect_str_eq(p->plan.opt[0].name, t[i].first);
		if (t[i].second)
			cr_expect_str_eq(p->plan.opt[1].name, t[i].second);
		done(p);
	}
	refused("--name -", "--name -: 1 to 32");
	refused("--name .a", "1 to 32");
	refused("--name a/b", "1 to 32");
	refused("--name 123456789012345678901234567890123", "1 to 32");
}

Test(plan, how_many)
{
	refused("--vms 0", "--vms 0: must be from 1 to 1000");
	refused("--vms 1001", "--vms 1001: must be");
	refused("--vms -1", "--vms -1: not a number");
	refused("--vms 2x", "--vms 2x: not a number");
	accepted("--vms 1000 --mem 64K", 1000);
	refused("--vms 1000 --mem 256M --mem 256M", "--mem: 1000 machines with 256000M together");
}

Test(plan, files_of_several)
{
	refused("--vms 2 --disk disk1", "--disk disk1: vm1 writes to it, and vm2 has it too; mode=cow");
	refused("--vms 2 --disk disk1,mode=cow,overlay=new", "overlay new: vm1 writes to it, and vm2 has it too");
	refused("--vms 2 --stats=new", "--stats new: vm1 writes to it");
	/* one writes to what the other only reads; by another name */
	refused("--vms 2 --disk disk{n} --disk link,mode=ro", "link: vm1 writes to it, and vm2 has it too");
	accepted("--vms 3 --disk disk{n}", 3);
	accepted("--vms 3 --disk disk1,mode=cow", 3);
	accepted("--vms 3 --disk disk1,mode=ro", 3);
	accepted("--vms 3 --disk disk1,mode=cow,overlay=new{n}", 3);
	accepted("--vms 3 --stats=/dev/null", 3);
	refused("--vms 2 --disk disk3{n}", "disk31");
}

Test(plan, what_only_one_can_have)
{
	refused("--vms 2 --tty -- true", "--tty: there is one terminal");
	refused("--vms 2 --dump g", "--dump: of one machine only");
	accepted("--vms 1 --tty -- true", 1);
	refused("--several --tty -- true", "--tty: there is one terminal");
	accepted("--vms 2 --no-tty -- true", 2);
}

/* One that is alone, as one of several. */
Test(plan, several)
{
	struct parsed *p = parse("--several --append a={n}");

	cr_assert_eq(p->r, 0, "%s", p->err.text);
	cr_expect(p->plan.several && p->plan.n == 1);
	cr_expect_str_eq(p->plan.opt[0].name, "vm");
	cr_expect_str_eq(p->plan.opt[0].speaker, "disco run: vm");
	cr_expect(p->plan.opt[0].number == 1 && p->plan.opt[0].reports);
	cr_expect(strstr(p->plan.opt[0].append, "a={n}"));
	done(p);
}

/* What could not be loaded is found before anything is started. */
Test(plan, images)
{
	FILE *f = fopen("empty", "w");

	cr_assert(f && !fclose(f));
	refused("--kernel disk1", "--kernel disk1: not an ELF file");
	refused("--vms 2 --kernel disk1", "--kernel disk1: not an ELF file");
	refused("--kernel empty", "--kernel empty: is empty");
	refused("--initrd empty", "--initrd empty: is empty");
	cr_assert_eq(truncate("empty", 1 << 20), 0);
	accepted("--mem 2M --initrd empty", 1);
	refused("--mem 1M --initrd empty", "--initrd empty: 1048576 bytes do not fit");
	cr_assert_eq(truncate("k", 100), 0);
	refused("--mem 2M", "--kernel k: truncated: segment 0 ends at byte");
}
