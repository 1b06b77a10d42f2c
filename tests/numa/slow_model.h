/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NUMA_SLOW_MODEL_H
#define TESTS_NUMA_SLOW_MODEL_H

/*
 * numa/flash/ a second time, from "What is modelled, exactly" in its README and nothing else, for comparison.  Where the model has
 * a directory, this one asks every cache; where it orders ways, this one has the time of their last use; where it has bits of
 * slots, this one has a sorted list of busy times; where it has rows that age, this one has a table that is emptied.
 */
#include "numa/flash/flash.h"

struct slow_model;

struct slow_model *slow_new(const struct numa_config *cfg);
void slow_free(struct slow_model *s);
bool slow_access(struct slow_model *s, unsigned cpu, enum flash_access kind, uint64_t addr);
void slow_run(struct slow_model *s, unsigned cpu, uint64_t cycles);
void slow_idle(struct slow_model *s, unsigned cpu);
bool slow_next_turn(struct slow_model *s);
void slow_page_forget(struct slow_model *s, uint32_t page);

uint64_t slow_clock(const struct slow_model *s, unsigned cpu);
uint32_t slow_misses(const struct slow_model *s, uint32_t page, unsigned cpu);
uint32_t slow_writes(const struct slow_model *s, uint32_t page);
/* The same figures as the model's; `executed`, `monitor` and `idle` are left out. */
struct flash_stats slow_stats(const struct slow_model *s, unsigned cpu);

#endif
