/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_PROCESS_H
#define VMM_CONTROL_PROCESS_H

/* What a monitor's process takes of the host's memory, as JSON: "process" of x-query-monitor and of `disco top --json`. */
#include <jansson.h>

#include "base/footprint.h"

extern const char *const process_class_names[NUM_FOOTPRINTS];

/* A new object: bytes by the names of footprint.def, and all of it as "total", which is 0 where the host does not say. */
json_t *process_to_json(const struct footprint *f);
/* What is not there is 0. */
struct footprint process_from_json(const json_t *process);

#endif
