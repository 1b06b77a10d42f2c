/* SPDX-License-Identifier: MIT */
#ifndef VMM_JSON_H
#define VMM_JSON_H

#include <stdio.h>

/* text as a JSON string (RFC 8259, 7), ASCII only: valid whatever bytes a file's name has; those from 0x80 on as Latin-1. */
void json_print_string(FILE *out, const char *text);

#endif
