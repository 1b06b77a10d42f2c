/* SPDX-License-Identifier: MIT */
#ifndef NUMA_CONFIG_H
#define NUMA_CONFIG_H

/*
 * The parameters of the simulated machine and of the policy; config.def has them all.  A value of this struct that
 * numa_config_check() has passed is one that everything in numa/ takes.
 */
#include "base/option.h"

#define NUMA_MAX_CPUS 64

enum numa_place { NUMA_FIRST_TOUCH, NUMA_ROUND_ROBIN, NUMA_ONE_NODE };

struct numa_config {
#define NUMA_NUMBER(field, ...) uint32_t field;
#define NUMA_SIZE(field, ...)   uint64_t field;
#define NUMA_CHOICE(field, ...) int field;
#include "numa/config.def"
};

/* The defaults of config.def. */
void numa_config_default(struct numa_config *cfg);
/*
 * "KEY=VALUE,..." over what cfg has; rows: the keys that there are; where: the option, for messages.  Then numa_config_check().
 * Returns  0, or -EINVAL with *err filled: one line.
 */
MUST_CHECK int numa_config_parse(struct numa_config *cfg, const struct option_row *rows, const char *where,
				 const char *text, struct options_error *err);
/* What no key can know alone.  0, or -EINVAL with *err filled. */
MUST_CHECK int numa_config_check(const struct numa_config *cfg, const char *where, struct options_error *err);
/* Is there memory for guests of that many bytes in all?  0, or -EINVAL with *err filled. */
MUST_CHECK int numa_config_check_guests(const struct numa_config *cfg, const char *where, uint64_t guest_bytes,
					struct options_error *err);

/* All keys, and those of a real run; each ends as every table of option rows. */
extern const struct option_row numa_config_rows[], numa_sample_rows[];
/* The n-th parameter as "KEY=VALUE", as numa_config_parse() takes it; "" beyond the last. */
void numa_config_text(const struct numa_config *cfg, unsigned n, char *text, size_t bytes);
/* Where its default is from. */
const char *numa_config_source(unsigned n);

/* Processors of all nodes. */
static inline unsigned numa_cpus(const struct numa_config *cfg) { return cfg->nodes * cfg->cpus_per_node; }
/* Nanoseconds in cycles of the processors, to the nearest. */
static inline uint64_t numa_cycles(const struct numa_config *cfg, uint64_t ns)
{
	return (ns * cfg->clock_mhz + 500) / 1000;
}

#endif
