/* SPDX-License-Identifier: MIT */
#include "vmm/cli/guest_cmd.h"

#include "vmm/cli/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int try_script(char *path, size_t size, const char *dir, int dir_len, const char *below, const char *script)
{
	int n = snprintf(path, size, "%.*s%s/%s", dir_len, dir, below, script);

	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	return access(path, X_OK) ? -ENOENT : 0;
}

int guest_find_script(const char *exe, const char *dir, const char *script, char *path, size_t size)
{
	static const char *const below[] = {"/../share/disco/guest", "/../../guest"};
	const char *slash;
	int r = -ENOENT;

	if (dir && *dir)
		return try_script(path, size, dir, (int)strlen(dir), "", script);
	slash = exe ? strrchr(exe, '/') : NULL;
	snprintf(path, size, "share/disco/guest/%s", script);
	if (!slash)
		return -ENOENT;
	for (size_t i = 0; r == -ENOENT && i < sizeof(below) / sizeof(below[0]); i++)
		r = try_script(path, size, exe, (int)(slash - exe), below[i], script);
	return r;
}

static int run_script(const struct verb *v, int argc, char **argv)
{
	char exe[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char **args = calloc((size_t)argc + 2, sizeof(*args));
	int k = 0;

	if (!args) {
		fprintf(stderr, "disco guest: no memory\n");
		return STATUS_FAILED;
	}
	exe[n > 0 ? n : 0] = '\0';
	if (guest_find_script(n > 0 ? exe : NULL, getenv("DISCO_GUEST_DIR"), v->script, path, sizeof(path))) {
		fprintf(stderr,
			"disco guest: no %s: the scripts of guest/ are not there (DISCO_GUEST_DIR names their place)\n",
			path);
		free(args);
		return STATUS_FAILED;
	}
	args[k++] = path;
	if (v->option)
		args[k++] = (char *)(uintptr_t)v->option;
	for (int i = 2; i < argc; i++)
		args[k++] = argv[i];
	execv(path, args);
	fprintf(stderr, "disco guest: %s: %s\n", path, strerror(errno));
	free(args);
	return STATUS_FAILED;
}

int guest_main(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		guest_help(stdout);
		return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return run_script(&verbs[i], argc, argv);
	if (argc > 1)
		fprintf(stderr, "disco guest: '%.200s': it is build, list or verify; see 'disco help guest'\n",
			argv[1]);
	else
		fprintf(stderr, "disco guest: build, list or verify; see 'disco help guest'\n");
	return STATUS_USAGE;
}
