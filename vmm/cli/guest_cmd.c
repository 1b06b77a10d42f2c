/* SPDX-License-Identifier: MIT */
#include "vmm/cli/guest_cmd.h"

#include "vmm/cli/commands.h"
#include "vmm/cli/script.h"

#include <string.h>

static const char guest_text[] =
    "Usage: disco guest build NAME [OPTION]...\n"
    "       disco guest list [NAME]... [--dir DIR] [--json]\n"
    "       disco guest verify [NAME]... [--dir DIR] [--json]\n"
    "build makes a Debian for mipsel: NAME.img, an ext4 root file system; its NAME.vmlinuz\n"
    "and NAME.initrd; and NAME.json, which lists packages, sizes and SHA-256 sums. The\n"
    "packages come from this host's apt sources and are checked with its keys. After an\n"
    "interruption the same command goes on where it was. Boot it by\n"
    "'disco run --disk NAME.img'.\n"
    "\n"
    "  --packages FILE   names of packages (default: Disco's list for that NAME)\n"
    "  --size SIZE       of the file system: 512M, 4G (default 2G; the file is sparse)\n"
    "  --dir DIR         where the files go (made if need be) or are (default: the\n"
    "                    current directory)\n"
    "  --suite SUITE     Debian release (default bookworm)\n"
    "  --force           replace an image of that name\n"
    "  --quiet           no progress\n"
    "\n"
    "list shows the images and whether they are whole; a file that has not been touched since\n"
    "it was made is not read. verify reads all. Both: status 1 if one is damaged.\n"
    "\n"
    "  --json            an array of objects instead of the table\n"
    "\n"
    "Examples:\n"
    "  disco guest build minimal && disco run --disk minimal.img\n"
    "  disco guest build web --packages web.txt --size 4G\n";

void guest_help(FILE *out) { fputs(guest_text, out); }

/* The scripts of guest/: a verb, its file, and an option that makes the file do just that; NULL: none. */
static const struct verb {
	const char *name, *script, *option;
} verbs[] = {{"build", "build", NULL}, {"list", "list", NULL}, {"verify", "list", "--verify"}};

int guest_main(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		guest_help(stdout);
		return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return script_become(&(struct script){"disco guest", "guest", "DISCO_GUEST_DIR",
							      verbs[i].script, verbs[i].option},
					     argc - 2, argv + 2);
	if (argc > 1)
		fprintf(stderr, "disco guest: '%.200s': it is build, list or verify; see 'disco help guest'\n",
			argv[1]);
	else
		fprintf(stderr, "disco guest: build, list or verify; see 'disco help guest'\n");
	return STATUS_USAGE;
}
