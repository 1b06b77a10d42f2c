/* SPDX-License-Identifier: MIT */
#ifndef VMM_AGENT_COMMAND_H
#define VMM_AGENT_COMMAND_H

/* What the guest's agent is told to run: --script, and the payload of the message 'C' (vmm/devices/agent.h). */
#include "base/panic.h"
#include "base/types.h"
#include "vmm/devices/agent_tty.h"

/* opt->script. *out is the caller's to free. 0 or -errno, said on standard error; -EINVAL: the file cannot be a script. */
MUST_CHECK int agent_script_read(const struct run_options *opt, char **out, size_t *bytes);
/* Allocated, or NULL: the host has no memory left. tty: as agent_tty_describe() says. */
char *agent_command_text(const struct run_options *opt, const char *script, size_t script_bytes,
			 const uint8_t tty[AGENT_TTY_BYTES], size_t *bytes);

#endif
