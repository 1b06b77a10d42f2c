/* SPDX-License-Identifier: MIT */
#ifndef VMM_GUEST_CMD_H
#define VMM_GUEST_CMD_H

/*
 * `disco guest`: makes Debian root images, and lists those that there are. The work is done by the scripts of guest/
 * (script.h), or of $DISCO_GUEST_DIR.
 */
#include <stdio.h>

/*
 * argv[0] is "guest". Does not return if a script is run: its status is the process's.
 * Returns  STATUS_OK after --help; STATUS_USAGE for an unknown verb; STATUS_FAILED if the scripts are not there.
 */
int guest_main(int argc, char **argv);
void guest_help(FILE *out);

#endif
