/* SPDX-License-Identifier: MIT */
#include "vmm/cli/script.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "vmm/cli/commands.h"

static int try_script(char *path, size_t size, const char *dir, int dir_len, const char *below, const char *script)
{
	int n = snprintf(path, size, "%.*s%s/%s", dir_len, dir, below, script);

	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	return access(path, X_OK) ? -ENOENT : 0;
}

int script_find(const char *exe, const char *dir, const char *folder, const char *script, char *path, size_t size)
{
	static const char *const places[] = {"/../share/disco/", "/../../"};
	const char *slash;
	int r = -ENOENT;

	if (dir && *dir)
		return try_script(path, size, dir, (int)strlen(dir), "", script);
	slash = exe ? strrchr(exe, '/') : NULL;
	snprintf(path, size, "share/disco/%s/%s", folder, script);
	if (!slash)
		return -ENOENT;
	for (size_t i = 0; r == -ENOENT && i < ARRAY_LEN(places); i++) {
		char below[100];

		snprintf(below, sizeof(below), "%s%s", places[i], folder);
		r = try_script(path, size, exe, (int)(slash - exe), below, script);
	}
	return r;
}

int script_become(const struct script *s, int argc, char **argv)
{
	char exe[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char **args = calloc((size_t)argc + 3, sizeof(*args));
	int k = 0;

	if (!args) {
		fprintf(stderr, "%s: no memory\n", s->speaker);
		return STATUS_FAILED;
	}
	exe[n > 0 ? n : 0] = '\0';
	if (script_find(n > 0 ? exe : NULL, getenv(s->variable), s->folder, s->name, path, sizeof(path))) {
		fprintf(stderr, "%s: no %s: the scripts of %s/ are not there (%s names their place)\n", s->speaker,
			path, s->folder, s->variable);
		free(args);
		return STATUS_FAILED;
	}
	args[k++] = path;
	if (s->option)
		args[k++] = (char *)(uintptr_t)s->option;
	for (int i = 0; i < argc; i++)
		args[k++] = argv[i];
	if (n > 0)
		setenv("DISCO_PROGRAM", exe, 0);
	execv(path, args);
	fprintf(stderr, "%s: %s: %s\n", s->speaker, path, strerror(errno));
	free(args);
	return STATUS_FAILED;
}
