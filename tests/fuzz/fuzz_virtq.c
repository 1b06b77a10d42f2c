/* SPDX-License-Identifier: MIT */
/* Hostile drivers of all virtio devices: the bytes choose a device, and what is done to its registers and rings. */
#include "tests/unit/pv_hostile.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Devices live from one input to the next, as in a machine; each input begins and ends with a reset. */
static struct hostile hostile;

static void close_hostile(void) { hostile_close(&hostile); }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (!hostile_open(&hostile))
		panic("the devices cannot be made");
	return atexit(close_hostile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	hostile_run(&hostile, data, bytes);
	return 0;
}
