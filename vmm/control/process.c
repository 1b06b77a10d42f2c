/* SPDX-License-Identifier: MIT */
#include "vmm/control/process.h"

const char *const process_class_names[NUM_FOOTPRINTS] = {
#define FOOTPRINT(class, name, text) [FOOTPRINT_##class] = name,
#include "base/footprint.def"
};

json_t *process_to_json(const struct footprint *f)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < NUM_FOOTPRINTS; i++)
		json_object_set_new(all, process_class_names[i], json_integer((json_int_t)f->bytes[i]));
	json_object_set_new(all, "total", json_integer((json_int_t)f->total));
	return all;
}

static uint64_t number(const json_t *of, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(of, name));
}

struct footprint process_from_json(const json_t *process)
{
	struct footprint f = {.total = number(process, "total")};

	for (unsigned i = 0; i < NUM_FOOTPRINTS; i++)
		f.bytes[i] = number(process, process_class_names[i]);
	return f;
}
