/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_SCRIPT_H
#define VMM_CLI_SCRIPT_H

/*
 * Commands whose work is done by scripts of a folder of this tree, which the program finds and becomes:
 *   the value of a variable       if it is set
 *   EXE/../share/disco/FOLDER     EXE: the program's own directory; an installed Disco
 *   EXE/../../FOLDER              a build directory in the source tree
 * The current directory is never searched.
 */
#include <stddef.h>

/*
 * The file of a script, into path.
 *
 * exe   absolute path of this program; NULL: not known
 * dir   value of the variable; NULL or "": not set
 *
 * Returns  0, -ENOENT (path then says the last place looked at), -ENAMETOOLONG.
 */
int script_find(const char *exe, const char *dir, const char *folder, const char *script, char *path, size_t size);

struct script {
	const char *speaker;  /* "disco guest" */
	const char *folder;   /* "guest" */
	const char *variable; /* "DISCO_GUEST_DIR" */
	const char *name;     /* "list" */
	const char *option;   /* its first argument, or NULL */
};

/*
 * Be the script, with these arguments behind its option; DISCO_PROGRAM is this program's path, if it is not set.
 * Does not return if it is run: its status is the process's.  Else STATUS_FAILED, and why is said.
 */
int script_become(const struct script *s, int argc, char **argv);

#endif
