/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_TOP_H
#define VMM_CLI_TOP_H

/* What `disco top` shows of two looks at all machines, without the terminal. */
#include <jansson.h>
#include <stdio.h>

#include "vmm/cli/control_find.h"

/* The last look, and the one before; ms between them. */
struct top_looks {
	struct machine_list was, is;
	uint64_t is_ms, ms;
};

enum top_order { TOP_BY_CPU, TOP_BY_MEMORY, TOP_BY_NAME };

/* Of a terminal. All zeroes at first, but its size. */
struct top_view {
	unsigned columns, rows; /* 0: unknown, and nothing is cut off */
	enum top_order order;
	unsigned first; /* machine that is shown, of those that do not all fit */
	unsigned page;  /* machines that fitted when it was drawn last */
	bool nodes;     /* simulated nodes and hot pages instead of the machines */
};

/* by: machines, down if it is positive. What is too far is set right by the next top_draw(). */
void top_scroll(struct top_view *v, int by);
/* A screenful over the one before, no line of which is longer than the terminal is wide. */
void top_draw(struct top_view *v, const struct top_looks *l, FILE *out);
/* All of it as a table. */
void top_print(const struct top_looks *l, FILE *out);
/* One object, on a line. */
void top_print_json(const struct top_looks *l, FILE *out);

/* ---- top_functions.c ---- */
struct control_options;
/* Where the machine spends its time. enum exit_status; what is wrong is said. */
int top_functions(const struct found_machine *f, const struct control_options *opt);

/* ---- top_nodes.c ---- */
/* Has any monitor nodes? */
bool top_has_nodes(const struct top_looks *l);
/* put() each line about nodes and hot pages, of all monitors that have some. */
void top_each_node_line(const struct top_looks *l, void (*put)(void *opaque, const char *line), void *opaque);
/* The members of a monitor's object that are about nodes; NULL: it has none. */
json_t *top_nodes_object(const struct top_looks *l, const struct found_monitor *m);

#endif
