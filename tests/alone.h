/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ALONE_H
#define TESTS_ALONE_H

/* A machine with a monitor of its own, which has just the memory that the machine is given. */
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

/* 0 or -errno; *vm is then as it was. */
static inline int vm_new_alone(struct vm **vm, const struct vm_config *cfg)
{
	struct monitor *mon;
	int err = monitor_new(&mon, &(struct monitor_config){.memory_bytes = cfg->ram_bytes, .nodes = 1});

	if (err)
		return err;
	err = vm_new(vm, mon, cfg);
	if (err)
		monitor_free(mon);
	return err;
}

static inline void vm_free_alone(struct vm *vm)
{
	struct monitor *mon = vm ? vm->monitor : NULL;

	vm_free(vm);
	monitor_free(mon);
}

#endif
