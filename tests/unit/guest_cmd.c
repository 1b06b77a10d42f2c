/* SPDX-License-Identifier: MIT */
/* Where `disco guest` and `disco bench paper` look for their scripts. */
#include "vmm/cli/script.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree[] = "/tmp/disco-guest-cmd-XXXXXX";
static char path[PATH_MAX];

static const char *below(const char *name)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", tree, name);
	return full;
}

static void make_script(const char *name, int mode)
{
	FILE *f = fopen(below(name), "w");

	cr_assert(f && fputs("#!/bin/sh\n", f) >= 0 && fclose(f) == 0);
	cr_assert_eq(chmod(below(name), (mode_t)mode), 0);
}

static void setup(void)
{
	static const char *const dirs[] = {
	    "usr", "usr/bin",   "usr/share", "usr/share/disco",   "usr/share/disco/guest",
	    "src", "src/guest", "src/build", "src/build/release", "own"};

	cr_assert(mkdtemp(tree));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		cr_assert_eq(mkdir(below(dirs[i]), 0755), 0);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", tree);
	cr_assert_eq(system(command), 0);
}

static void expect(const char *exe, const char *dir, const char *at)
{
	char full_exe[PATH_MAX], full_dir[PATH_MAX], want[PATH_MAX], real_want[PATH_MAX], real_got[PATH_MAX];

	snprintf(full_exe, sizeof(full_exe), "%s", exe ? below(exe) : "");
	snprintf(full_dir, sizeof(full_dir), "%s", dir && *dir ? below(dir) : "");
	snprintf(want, sizeof(want), "%s", below(at));
	cr_assert_eq(script_find(exe ? full_exe : NULL, dir ? full_dir : NULL, "guest", "build", path, sizeof(path)),
		     0);
	cr_assert(realpath(want, real_want) && realpath(path, real_got));
	cr_assert_str_eq(real_got, real_want);
}

Test(guest_cmd, installed, .init = setup, .fini = teardown)
{
	make_script("usr/share/disco/guest/build", 0755);
	expect("usr/bin/disco", NULL, "usr/share/disco/guest/build");
	expect("usr/bin/disco", "", "usr/share/disco/guest/build");
}

Test(guest_cmd, source_tree, .init = setup, .fini = teardown)
{
	make_script("src/guest/build", 0755);
	expect("src/build/release/disco", NULL, "src/guest/build");
}

/* The variable is not one place more: if the script is not there, no other is run instead. */
Test(guest_cmd, variable_goes_first_and_alone, .init = setup, .fini = teardown)
{
	char dir[PATH_MAX];

	make_script("src/guest/build", 0755);
	snprintf(dir, sizeof(dir), "%s", below("own"));
	cr_assert_eq(script_find(below("src/build/release/disco"), dir, "guest", "build", path, sizeof(path)), -ENOENT);
	cr_assert(strstr(path, "/own/build"));
	make_script("own/build", 0755);
	expect("src/build/release/disco", "own", "own/build");
}

Test(guest_cmd, not_there, .init = setup, .fini = teardown)
{
	char dir[PATH_MAX];

	cr_assert_eq(script_find(below("usr/bin/disco"), NULL, "guest", "build", path, sizeof(path)), -ENOENT);
	cr_assert_eq(script_find(NULL, NULL, "guest", "build", path, sizeof(path)), -ENOENT);
	make_script("src/guest/build", 0644);
	cr_assert_eq(script_find(below("src/build/release/disco"), NULL, "guest", "build", path, sizeof(path)),
		     -ENOENT);
	/* not the current directory */
	make_script("own/build", 0755);
	snprintf(dir, sizeof(dir), "%s", below("own"));
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(script_find("disco", NULL, "guest", "build", path, sizeof(path)), -ENOENT);
	cr_assert_eq(chdir("/"), 0);
}

Test(guest_cmd, name_too_long, .init = setup, .fini = teardown)
{
	char small[16], dir[64];

	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	cr_assert_eq(script_find(NULL, dir, "guest", "build", small, sizeof(small)), -ENAMETOOLONG);
}
