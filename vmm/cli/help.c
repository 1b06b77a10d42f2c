/* SPDX-License-Identifier: MIT */
#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/guest_cmd.h"
#include "vmm/cli/numa_cmd.h"
#include "vmm/cli/options.h"

#include "frontend/cp0.h"

#include <string.h>

static const char overview_head[] = "Usage: disco COMMAND [OPTION]...\n"
				    "Boot MIPS machines on x86-64, and look into their translation.\n"
				    "\n"
				    "Commands:\n";
static const char overview_tail[] = "\n"
				    "  --help, --version\n"
				    "\n"
				    "Exit status: 0 the guest powered off, 1 the guest panicked, 2 bad usage; with a\n"
				    "command in the guest its own, 125 if that never was.\n";

static const struct {
	const char *name, *text;
} commands[] = {
#define COMMAND(name, fn, text) {name, text},
#include "vmm/cli/commands.def"
};

static const char run_text[] = "Usage: disco run --kernel FILE [OPTION]... [-- COMMAND [ARGUMENT]...]\n"
			       "       disco run --disk FILE [OPTION]... [-- COMMAND [ARGUMENT]...]\n"
			       "Boot a MIPS Malta machine. The guest's first serial port is this terminal;\n"
			       "Ctrl-A x quits, Ctrl-A h shows the other keys. Without a terminal, standard\n"
			       "input goes to the guest as it is. With a COMMAND, run that in the guest.\n";

static const char run_examples[] =
    "Examples:\n"
    "  disco run --disk bench.img,mode=cow -- python3 -c 'print(6 * 7)'\n"
    "  disco run --disk bench.img -- bash\n"
    "  disco run --disk bench.img --share . -- sh -c 'cd /mnt/share && make check'\n"
    "  disco run --disk debian.img --quiet-boot --net user,hostfwd=tcp::2222-:22\n"
    "  disco run --kernel vmlinuz --initrd initramfs.cpio --append console=ttyS0\n"
    "  disco run --kernel vmlinuz --mem 64M --append 'console=ttyS0 panic=-1' --no-reboot\n"
    "  disco run --kernel vmlinuz --tiers 1 --dump gh --dump-filter pc=810f0000-810f0fff\n"
    "  disco run --kernel vmlinuz --hot 1000,sync --dump xh --dump-filter sym=clear_page,tier=2\n";

static const char up_text[] = "Usage: disco up FILE\n"
			      "Boot the machines that FILE (YAML) describes, in one process. Keys are the options of\n"
			      "'disco help run' by their names; what can be given several times may be a list, and\n"
			      "what has no argument is true or false. Names of files begin at FILE's folder.\n"
			      "\n"
			      "  monitor:               # options of all together:";

static const char up_example[] = "    timeout: 600\n"
				 "  defaults:              # of each machine that does not say otherwise\n"
				 "    mem: 64M\n"
				 "    disk: bench.img,mode=cow\n"
				 "  machines:\n"
				 "    - name: web\n"
				 "      count: 3           # web1, web2, web3; {n} in any value is the number\n"
				 "      net: user,hostfwd=tcp::800{n}-:80\n"
				 "      env: [PORT=80, \"WHO=web{n}\"]\n"
				 "      command: [python3, -m, http.server, \"80\"]\n"
				 "    - name: client\n"
				 "      mem: 128M\n"
				 "      command: echo one text is for the shell\n"
				 "\n"
				 "Example:\n"
				 "  disco up lab.yaml\n";

static const char dump_text[] = "Usage: disco dump {--kernel|--elf} FILE --at PLACE[,PLACE]... [OPTION]...\n"
				"       disco dump --words HEX... [OPTION]...\n"
				"       disco dump --words - [OPTION]...\n"
				"       disco dump --diff A B [--json]\n"
				"Show how guest code is translated: with tier 1 the block at each place, with tier 2\n"
				"the region that it heads. Nothing of it is executed.\n";

static const char dump_examples[] = "Examples:\n"
				    "  disco dump --words 24420001 1443fffe 00000000\n"
				    "  disco dump --kernel vmlinuz --at 810f0000 --stage gxh --tier 2\n"
				    "  disco dump --kernel vmlinuz --at memset,start_kernel --stage irfd\n"
				    "  disco dump --elf program --at main --tier 2\n"
				    "  disco dump --diff old new\n";

static const char bench_text[] = "Usage: disco bench [OPTION]...\n"
				 "       disco bench paper [--quick] [--only LIST] [--disk FILE] [--dir DIR]...\n"
				 "Boot guests that measure single operations, on Disco and, if it is installed, on\n"
				 "QEMU, in turn: without an operating system, and with --kernel also in Linux.\n";

static const char bench_tail[] = "'disco bench paper' makes the figures and tables of the paper's evaluation anew,\n"
				 "beside the paper's numbers, as tables, JSON and SVG. What has run\n"
				 "is kept: the same command goes on after an interruption. Its options:\n"
				 "\n"
				 "  --quick           small loads, one round: some 6 minutes\n"
				 "  --only LIST       these only: figure5 to figure8, table2, table3\n"
				 "  --disk FILE       an image of 'disco guest build bench' (default bench.img)\n"
				 "  --dir DIR         where results are and go (default: paper)\n"
				 "  --fresh           forget what was run before\n"
				 "  --json            an object on standard output instead of the tables\n"
				 "  --timeout S       seconds that one run may take (default 900)\n";

static const char bench_examples[] =
    "Examples:\n"
    "  disco bench --only load_hit,load_miss,tlb_refill\n"
    "  disco bench --rounds 3 --kernel vmlinuz --initrd initramfs.cpio --json micro.json\n"
    "  disco bench paper --quick --disk bench.img\n";

static const char help_text[] = "Usage: disco help [COMMAND]\n"
				"Show the commands, or the options of one.\n"
				"\n"
				"Example:\n"
				"  disco help run\n";

enum { LINE_BYTES = 80, HELP_COLUMN = 20 };

/* Running text that begins in column `indent` of a line, as further lines do. */
static void print_wrapped(const char *text, unsigned indent, FILE *out)
{
	unsigned at = indent;

	while (*text) {
		unsigned len = (unsigned)strcspn(text, " ");

		if (at > indent && at + 1 + len > LINE_BYTES) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, len, out);
		at += len;
		text += len + (text[len] == ' ');
	}
	fputc('\n', out);
}

/* NAME, and ARGUMENT as it is written: behind a blank, an equals sign, or in brackets as it stands. */
static unsigned name_of(const struct option_row *r, char *out, size_t bytes)
{
	const char *sep = !r->argument || r->argument[0] == '[' ? "" : r->name[0] == '-' ? " " : "=";
	int n = r->letter ? snprintf(out, bytes, "-%c, ", r->letter) : 0;

	n += snprintf(out + n, bytes - (size_t)n, "%s%s%s", r->name, sep, r->argument ? r->argument : "");
	return (unsigned)n;
}

static void print_row(const struct option_row *r, unsigned indent, unsigned column, FILE *out)
{
	char name[100];
	unsigned n = indent + name_of(r, name, sizeof(name));

	fprintf(out, "%*s%s", (int)indent, "", name);
	if (n + 2 > column) {
		fputc('\n', out);
		n = 0;
	}
	fprintf(out, "%*s", (int)(column - n), "");
	print_wrapped(r->help, column, out);
}

/* What may stand in a value: the longest name that leaves room for text decides the column. */
static void print_sub(const struct option_row *rows, FILE *out)
{
	unsigned column = 0;
	char name[100];

	for (const struct option_row *r = rows; r->name; r++) {
		unsigned end = HELP_COLUMN + 2 + name_of(r, name, sizeof(name)) + 2;

		if (end > column && end <= LINE_BYTES / 2)
			column = end;
	}
	for (const struct option_row *r = rows; r->name; r++)
		print_row(r, HELP_COLUMN + 2, column, out);
}

static void print_rows(const struct option_row *rows, FILE *out)
{
	for (const struct option_row *r = rows; r->name || r->help; r++) {
		if (!r->name) {
			fprintf(out, "%s%s\n", r == rows ? "" : "\n", r->help);
			continue;
		}
		print_row(r, 2, HELP_COLUMN, out);
		if (r->sub)
			print_sub(r->sub, out);
	}
}

void help_print_command(const char *head, const struct option_row *rows, const char *tail, const char *examples,
			FILE *out)
{
	fputs(head, out);
	if (rows && (rows->name || rows->help)) {
		fputc('\n', out);
		print_rows(rows, out);
	}
	if (tail)
		fprintf(out, "\n%s", tail);
	fprintf(out, "\n%s", examples);
}

static void print_overview(FILE *out)
{
	fputs(overview_head, out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].text);
	fputs(overview_tail, out);
}

void help_no_command(const char *word, struct options_error *err)
{
	size_t n = (size_t)snprintf(err->text, sizeof(err->text), "'%.100s': no such command; they are", word);

	for (size_t i = 0; i < ARRAY_LEN(commands) && n < sizeof(err->text); i++)
		n += (size_t)snprintf(err->text + n, sizeof(err->text) - n, "%s %s", i ? "," : "", commands[i].name);
}

/* Which options are of all machines together, only their rows know. */
static void print_up(FILE *out)
{
	const char *sep = " ";

	fputs(up_text, out);
	for (const struct option_row *r = options_run_rows; r->name || r->help; r++) {
		if (!r->process || strcmp(r->name, "--vms") == 0)
			continue;
		fprintf(out, "%s%s", sep, r->name + 2);
		sep = ", ";
	}
	fputc('\n', out);
	fputs(up_example, out);
}

bool help_print(const char *topic, FILE *out)
{
	if (!topic) {
		print_overview(out);
	} else if (strcmp(topic, "run") == 0) {
		help_print_command(run_text, options_run_rows, NULL, run_examples, out);
	} else if (strcmp(topic, "up") == 0) {
		print_up(out);
	} else if (control_help(topic, out)) {
		return true;
	} else if (strcmp(topic, "dump") == 0) {
		help_print_command(dump_text, options_dump_rows, NULL, dump_examples, out);
	} else if (strcmp(topic, "bench") == 0) {
		help_print_command(bench_text, options_bench_rows, bench_tail, bench_examples, out);
	} else if (strcmp(topic, "numa") == 0) {
		numa_help(out);
	} else if (strcmp(topic, "guest") == 0) {
		guest_help(out);
	} else if (strcmp(topic, "help") == 0) {
		fputs(help_text, out);
	} else {
		return false;
	}
	return true;
}

void help_print_version(FILE *out) { fputs("disco " DISCO_VERSION "\n", out); }

void help_print_cpus(FILE *out)
{
	for (unsigned i = 0; i < cpu_num_models; i++)
		fprintf(out, "%-8s %s\n", cpu_models[i].name, cpu_models[i].what);
}
