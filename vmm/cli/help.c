/* SPDX-License-Identifier: MIT */
#include "vmm/cli/commands.h"
#include "vmm/cli/guest_cmd.h"

#include "frontend/cp0.h"

#include <string.h>

static const char overview[] = "Usage: disco COMMAND [OPTION]...\n"
			       "Boot MIPS machines on x86-64, and look into their translation.\n"
			       "\n"
			       "Commands:\n"
			       "  run    boot a machine (MIPS Malta); its console is this terminal\n"
			       "  dump   show how code is translated, stage by stage\n"
			       "  bench  microbenchmarks in guests, beside QEMU\n"
			       "  guest  make Debian root images, list those there are\n"
			       "  help   'disco help COMMAND' shows the options of a command, with examples\n"
			       "\n"
			       "  --help, --version\n"
			       "\n"
			       "Exit status: 0 the guest powered off, 1 the guest panicked, 2 bad usage; with a\n"
			       "command in the guest its own, 125 if that never was.\n";

static const char run_text[] = "Usage: disco run --kernel FILE [OPTION]... [-- COMMAND [ARGUMENT]...]\n"
			       "       disco run --disk FILE [OPTION]... [-- COMMAND [ARGUMENT]...]\n"
			       "Boot a MIPS Malta machine. The guest's first serial port is this terminal;\n"
			       "Ctrl-A x quits, Ctrl-A h shows the other keys. Without a terminal, standard\n"
			       "input goes to the guest as it is. With a COMMAND, run that in the guest.\n"
			       "\n"
			       "The machine:\n"
			       "  --kernel FILE     ELF32 MIPS kernel, little- or big-endian (vmlinux or vmlinuz);\n"
			       "                    default: the one beside the first disk, NAME.img's\n"
			       "                    NAME.vmlinux or NAME.vmlinuz, with NAME.initrd\n"
			       "  --initrd FILE     initial RAM disk\n"
			       "  --append STRING   kernel command line; default with a disk:\n"
			       "                    console=ttyS0 cryptomgr.notests root=/dev/vda rw\n"
			       "  --mem SIZE        memory: 64M, 262144K; megabytes without a unit; up to 256M\n"
			       "                    (default 256M)\n"
			       "  --cpu NAME        CPU model (default max); '--cpu help' lists them\n"
			       "  --no-reboot       a guest that resets the machine ends the run instead\n"
			       "  --icount          time is a function of instructions executed: runs repeat\n"
			       "\n"
			       "Its devices, each option several times if need be (',,' is a comma in a name):\n"
			       "  --disk FILE[,mode=rw|ro|cow][,overlay=FILE][,serial=NAME][,format=raw|qcow2]\n"
			       "                    a disk: vda, vdb, ...; rw (default) writes to FILE, cow to\n"
			       "                    memory, or to the overlay file, and leaves FILE as it is\n"
			       "  --net user[,hostfwd=tcp|udp:[ADDR]:PORT-[ADDR]:PORT]...[,mac=MAC]\n"
			       "                    a network card behind NAT (default, but with --icount); or\n"
			       "                    socket=PATH[,mac=MAC], on an Ethernet with the machines that\n"
			       "                    name the same PATH; or none\n"
			       "  --share DIR[,ro][,tag=NAME]\n"
			       "                    the guest has the directory at /mnt/NAME (/mnt/share)\n"
			       "  --terminal pty|unix=PATH\n"
			       "                    a further terminal of the guest's\n"
			       "  --balloon SIZE    memory that the guest is asked to give back\n"
			       "\n"
			       "A command in the guest (with Disco's initramfs):\n"
			       "  -- COMMAND        run it as root with this standard input, output and error;\n"
			       "                    its status is disco's. No kernel messages\n"
			       "  --script FILE     run the script; what is behind '--' are its arguments\n"
			       "  --env NAME=VALUE  a variable for it\n"
			       "  --quiet-boot      without a command: show the console from userland on\n"
			       "\n"
			       "The translator:\n"
			       "  --tiers LIST      1, 2, 12 (default) or interp\n"
			       "  --jit-mem SIZE    limit of translated code, 1M to 512M (default 256M)\n"
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
    "  disco run --disk bench.img,mode=cow -- python3 -c 'print(6 * 7)'\n"
    "  disco run --disk bench.img --share . -- sh -c 'cd /mnt/share && make check'\n"
    "  disco run --disk debian.img --quiet-boot --net user,hostfwd=tcp::2222-:22\n"
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

static const char bench_text[] =
    "Usage: disco bench [OPTION]...\n"
    "Boot guests that measure single operations, on Disco and, if it is installed, on\n"
    "QEMU, in turn: without an operating system, and with --kernel also in Linux.\n"
    "\n"
    "  --list            show the benchmarks\n"
    "  --only LIST       these benchmarks only: names, separated by commas\n"
    "  --rounds N        boot each machine N times (default 1); medians are over all\n"
    "  --kernel FILE     Linux kernel for the benchmarks in Linux\n"
    "  --initrd FILE     and Disco's initramfs (guest/fetch makes both)\n"
    "  --json FILE       also write all figures to FILE\n"
    "  --qemu FILE       another qemu-system-mipsel; none: do not run QEMU\n"
    "  --tiers LIST      Disco's translator: 1, 2, 12 (default) or interp\n"
    "  --programs DIR    where bare.elf and linux are (default: beside this program)\n"
    "  --timeout S       seconds that one machine may take (default 300)\n"
    "\n"
    "Examples:\n"
    "  disco bench --only load_hit,load_miss,tlb_refill\n"
    "  disco bench --rounds 3 --kernel vmlinuz --initrd initramfs.cpio --json micro.json\n";

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
	} else if (strcmp(topic, "bench") == 0) {
		fputs(bench_text, out);
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
