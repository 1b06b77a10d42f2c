/* SPDX-License-Identifier: MIT */
#include "vmm/control/qmp.h"

/* x-query-nodes: simulated nodes, and the pages that were hot lately. */

static json_t *number(uint64_t n) { return json_integer((json_int_t)n); }

static json_t *node_object(const struct numa_node *node)
{
	json_t *one = json_object();

#define NUMA_NODE_FIGURE(field, name) json_object_set_new(one, name, number(node->field));
#include "numa/watch.def"
	return one;
}

static json_t *page_object(const struct numa_hot_page *h, const struct control_page *p)
{
	json_t *one = json_pack("{s:s, s:s, s:i, s:i}", "machine", p->machine, "class", memory_class_word(h->class),
				"node", (int)h->node, "copies", (int)h->copies);

	json_object_set_new(one, "address", number(h->gpn * PAGE_BYTES));
	json_object_set_new(one, "heat", number(h->heat));
	json_object_set_new(one, "moves", number(h->moves));
	if (p->symbol[0])
		json_object_set_new(one, "symbol", json_string(p->symbol));
	return one;
}

json_t *qmp_nodes(const struct control_nodes *c)
{
	const struct numa_look *l = &c->look;
	json_t *all = json_pack("{s:s, s:b}", "mode", l->mode ? l->mode : "off", "counted", l->counted);
	json_t *nodes = json_array(), *hottest = json_array(), *events = json_object();

	for (unsigned n = 0; n < l->n_nodes; n++)
		json_array_append_new(nodes, node_object(&l->node[n]));
	for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++)
		json_object_set_new(events, numa_event_word(e), number(l->events[e]));
	for (unsigned i = 0; i < l->n_hot; i++)
		json_array_append_new(hottest, page_object(&l->hot[i], &c->hot[i]));
	json_object_set_new(all, "nodes", nodes);
	json_object_set_new(all, "decisions", events);
	json_object_set_new(all, "hottest", hottest);
	return all;
}
