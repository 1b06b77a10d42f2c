/* SPDX-License-Identifier: MIT */
#ifndef VMM_GUEST_CMD_H
#define VMM_GUEST_CMD_H

/*
 * `disco guest`: makes Debian root images, and lists those that there are. The work is done by the scripts of guest/,
 * which this command finds and becomes:
 *   $DISCO_GUEST_DIR              if set
 *   EXE/../share/disco/guest      EXE: the program's own directory; an installed Disco
 *   EXE/../../guest               a build directory in the source tree
 * The current directory is never searched.
 */
#include <stddef.h>
#include <stdio.h>

/*
 * argv[0] is "guest". Does not return if a script is run: its status is the process's.
 * Returns  STATUS_OK after --help; STATUS_USAGE for an unknown verb; STATUS_FAILED if the scripts are not there.
 */
int guest_main(int argc, char **argv);
void guest_help(FILE *out);

/*
 * The file of a verb's script, into path.
 *
 * exe   absolute path of this program; NULL: not known
 * dir   value of DISCO_GUEST_DIR; NULL or "": not set
 *
 * Returns  0, -ENOENT (path then says the last place looked at), -ENAMETOOLONG.
 */
int guest_find_script(const char *exe, const char *dir, const char *script, char *path, size_t size);

#endif
