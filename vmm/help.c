/* SPDX-License-Identifier: MIT */
#include "vmm/commands.h"

#include "frontend/cp0.h"

#include <string.h>

static const char overview[] = "Usage: disco COMMAND [OPTION]...\n"
			       "Boot MIPS machines on x86-64, and look into their translation.\n"
			       "\n"
			       "Commands:\n"
			       "  run    boot a machine (MIPS Malta); its console is this terminal\n"
			       "  dump   show how code is translated, stage by stage\n"
			       "  help   'disco help COMMAND' shows the options of a command, with examples\n"
			       "\n"
			       "  --help, --version\n"
			       "\n"
			       "Exit status: 0 the guest powered off, the guest's own code where it reports one,\n"
			       "1 the guest panicked, 2 bad usage.\n";

static const char run_text[] = "Usage: disco run --kernel FILE [OPTION]...\n"
			       "Boot a MIPS Malta machine. The guest's first serial port is this terminal;\n"
			       "Ctrl-A x quits, Ctrl-A h shows the other keys. Without a terminal, standard\n"
			       "input goes to the guest as it is.\n"
			       "\n"
			       "The machine:\n"
			       "  --kernel FILE     ELF32 MIPS kernel, little- or big-endian (vmlinux or vmlinuz)\n"
			       "  --initrd FILE     initial RAM disk\n"
			       "  --append STRING   kernel command line\n"
			       "  --mem SIZE        memory: 64M, 262144K; megabytes without a unit; up to 256M\n"
			       "                    (default 256M)\n"
			       "  --cpu NAME        CPU model (default max); '--cpu help' lists them\n"
			       "  --no-reboot       a guest that resets the machine ends the run instead\n"
			       "  --icount          time is a function of instructions executed: runs repeat\n"
			       "\n"
			       "The translator:\n"
			       "  --tiers LIST      1, 2, 12 (default) or interp\n"
			       "  --jit-mem SIZE    limit of translated code, 1M to 1024M (default 64M)\n"
			       "  --stats[=FILE]    counters at the end: text on standard error, or JSON to FILE\n"
			       "  --dump LETTERS    show translations on standard error as they are made:\n";

static const char run_text_end[] =
    "  --dump-filter LIST\n"
    "                    only what matches all of: pc=HEX[-HEX], sym=NAME,\n"
    "                    mode=user|kernel, tier=1|2|interp; separated by commas\n"
    "  --symbols FILE    names of guest addresses for dumps, besides the kernel's own:\n"
    "                    a System.map or what nm prints\n"
    "\n"
    "Examples:\n"
    "  disco run --kernel vmlinuz --initrd initramfs.cpio --append console=ttyS0\n"
    "  disco run --kernel vmlinuz --mem 64M --append 'console=ttyS0 panic=-1' --no-reboot\n"
    "  disco run --kernel vmlinuz --tiers 1 --dump gh --dump-filter pc=80100000-80100fff\n"
    "  disco run --kernel vmlinux --dump xh --dump-filter sym=memcpy,tier=2\n";

static const char dump_text[] = "Usage: disco dump --kernel FILE --at PLACE[,PLACE]... [OPTION]...\n"
				"       disco dump --words HEX... [OPTION]...\n"
				"       disco dump --words - [OPTION]...\n"
				"Show how guest code is translated: with tier 1 the block at each place, with tier 2\n"
				"the region that it heads. Nothing of it is executed.\n"
				"\n"
				"  --kernel FILE     ELF32 MIPS image to take the code from\n"
				"  --at PLACE        where blocks begin: hexadecimal guest virtual addresses, or\n"
				"                    symbols (NAME, NAME+HEX); with --words the address of the\n"
				"                    first word (80001000)\n"
				"  --words HEX...    instruction words, hexadecimal; -: from standard input\n"
				"  --symbols FILE    names of guest addresses, besides the image's own: a\n"
				"                    System.map or what nm prints\n"
				"  --stage LETTERS   what to show (default: all but single passes):\n";

static const char dump_text_end[] =
    "  --tier 1|2        compile with tier 1 (default) or tier 2\n"
    "  --mode user|kernel\n"
    "                    the CPU mode to translate for (default kernel)\n"
    "  --be              the words are of a big-endian machine\n"
    "  --json            for scripts: an array with an object for each block or region\n"
    "  --cpu NAME        CPU model (default max); '--cpu help' lists them\n"
    "\n"
    "Examples:\n"
    "  disco dump --words 24420001 1443fffe 00000000\n"
    "  disco dump --kernel vmlinuz --at 810f0000 --stage gxh --tier 2\n"
    "  disco dump --kernel vmlinux --at memcpy --stage irfd\n";

static const char help_text[] = "Usage: disco help [COMMAND]\n"
				"Show the commands, or the options of one.\n";

/* What the letters of --dump and --stage show, in the order they are printed in. */
static const char letters_text[] =
    "                      g  guest disassembly\n"
    "                      i  IR as lifted\n"
#define PASS(name, letter) "                      " #letter "  IR after the pass " #name "\n"
#include "ir/passes.def"
#undef PASS
    "                      o  IR after all passes\n"
    "                      x  where it goes and why it ended; of a region also the edges\n"
    "                         inside and out of it, and why it stopped growing\n"
    "                      l  LLVM IR before optimisation (tier 2)\n"
    "                      L  LLVM IR after optimisation (tier 2)\n"
    "                      h  host code, guest addresses and IR between the lines\n";

bool help_print(const char *topic, FILE *out)
{
	if (!topic) {
		fputs(overview, out);
	} else if (strcmp(topic, "run") == 0) {
		fputs(run_text, out);
		fputs(letters_text, out);
		fputs(run_text_end, out);
	} else if (strcmp(topic, "dump") == 0) {
		fputs(dump_text, out);
		fputs(letters_text, out);
		fputs(dump_text_end, out);
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
