/* SPDX-License-Identifier: MIT */
#ifndef GUEST_MODULES_DISCO_H
#define GUEST_MODULES_DISCO_H

/* What disco.ko gives to the other modules: monitor calls, as docs/monitor-calls.md has them. */
enum {
	CALL_VERSION = 0,
	CALL_ZERO = 1,
	CALL_FREE = 2,
	CALL_REGION = 3,
	CALL_REGION_MAP = 4,
	CALL_REGION_LEAVE = 5,
	CALL_REGION_NAME_BYTES = 32,
	CALL_REGION_SHIFT = 24,
};

/* On Disco only: disco.ko is loaded nowhere else. */
long disco_call(unsigned long number, unsigned long a, unsigned long b);

#endif
