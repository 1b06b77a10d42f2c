/* SPDX-License-Identifier: MIT */
#include "vmm/look/numa_log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The drawing of `disco numa --svg`: one below the other, on one axis of time,
 *
 *   decisions          stacked by what they were
 *   near memory        the share of misses that are local, where they are counted; else of a machine's pages on its node
 *   memory             in use on each node
 *   a map a machine    pages from bottom to top, the hotter the darker: misses, or decisions where they are not counted
 */
enum {
	BINS = 240,
	ROWS = 96,
	LEFT = 90,
	RIGHT = 150,
	WIDTH = LEFT + 3 * BINS + RIGHT,
	TIME_HEIGHT = 130,
	MAP_HEIGHT = 2 * ROWS,
	GAP = 64,
	TOP = 84,
	MOST_MAPS = 8,
	LEVELS = 6,
};

static const char ink[] = "#1f2933", soft[] = "#66788a", grid[] = "#dde3e9";
/* of nodes and machines */
static const char *const lines[] = {"#2f6db3", "#c44e52", "#4c9f70", "#8172b3",
				    "#dd8452", "#64b5cd", "#937860", "#d08bb9"};
static const char *const heats[LEVELS] = {"#fde8d4", "#fbc08f", "#f48d55", "#d95a3c", "#a82a3a", "#5c1030"};

struct drawing {
	const struct numa_sum *s;
	FILE *out;
	uint64_t span_ns; /* of the axis */
	unsigned y;       /* where the next panel begins */
};

static unsigned bin_of(const struct drawing *d, uint64_t at_ns)
{
	uint64_t bin = (uint64_t)((double)at_ns / (double)d->span_ns * BINS);

	return bin < BINS ? (unsigned)bin : BINS - 1;
}

static double x_of(const struct drawing *d, uint64_t at_ns)
{
	return LEFT + 3.0 * BINS * ((double)at_ns / (double)d->span_ns);
}

/* Everything that comes from the file is ASCII by now (numa_log.c), but may mean something in XML. */
static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else
			fputc(*text, out);
}

static void put_text(const struct drawing *d, double x, double y, unsigned size, const char *colour, const char *anchor,
		     const char *text)
{
	fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%u\" fill=\"%s\" text-anchor=\"%s\">", x, y, size,
		colour, anchor);
	put_escaped(d->out, text);
	fputs("</text>\n", d->out);
}

static void put_line(const struct drawing *d, double x1, double y1, double x2, double y2)
{
	fprintf(d->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2,
		grid);
}

static void put_legend(const struct drawing *d, unsigned y, unsigned n, const char *colour, const char *text)
{
	unsigned at = y + 4 + 16 * n;

	fprintf(d->out, "<rect x=\"%d\" y=\"%u\" width=\"11\" height=\"11\" fill=\"%s\"/>\n", LEFT + 3 * BINS + 10, at,
		colour);
	put_text(d, LEFT + 3 * BINS + 26, at + 10, 11, ink, "start", text);
}

/* Head, frame, both axes; most: what the upper end of the one on the left says. */
static unsigned begin_panel(struct drawing *d, const char *title, unsigned height, const char *most, const char *least)
{
	unsigned y = d->y;
	char text[40];

	put_text(d, LEFT, y - 8, 13, ink, "start", title);
	put_line(d, LEFT, y, LEFT + 3 * BINS, y);
	put_line(d, LEFT, y + height, LEFT + 3 * BINS, y + height);
	put_text(d, LEFT - 6, y + 10, 11, soft, "end", most);
	put_text(d, LEFT - 6, y + height, 11, soft, "end", least);
	for (unsigned i = 0; i <= 4; i++) {
		snprintf(text, sizeof(text), "%.3g s", (double)d->span_ns / 1e9 * i / 4);
		put_text(d, LEFT + 0.75 * BINS * i, y + height + 15, 11, soft, "middle", text);
	}
	d->y += height + GAP;
	return y;
}

/* ---- decisions ---- */

static void draw_events(struct drawing *d)
{
	static const unsigned order[] = {NUMA_MIGRATE, NUMA_REPLICATE, NUMA_COLLAPSE,
					 NUMA_FREEZE,  NUMA_REFUSED,   NUMA_LEAVE};
	uint64_t(*n)[NUM_NUMA_EVENTS] = calloc(BINS, sizeof(*n)), most = 1;
	const struct numa_log *l = d->s->log;
	char text[40];
	unsigned y;

	if (!n)
		return;
	for (size_t i = 0; i < l->n_events; i++)
		n[bin_of(d, l->event[i].at_ns)][l->event[i].event]++;
	for (unsigned b = 0; b < BINS; b++) {
		uint64_t all = 0;

		for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++)
			all += n[b][e];
		most = all > most ? all : most;
	}
	snprintf(text, sizeof(text), "%" PRIu64, most);
	y = begin_panel(d, "Decisions", TIME_HEIGHT, text, "0");
	for (unsigned k = 0; k < ARRAY_LEN(order); k++)
		put_legend(d, y, k, numa_event_colour(order[k]), numa_event_word(order[k]));
	for (unsigned b = 0; b < BINS; b++) {
		double at = y + TIME_HEIGHT;

		for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
			double h = (double)n[b][order[k]] / (double)most * TIME_HEIGHT;

			at -= h;
			if (h > 0)
				fprintf(d->out, "<rect x=\"%u\" y=\"%.2f\" width=\"3\" height=\"%.2f\" fill=\"%s\"/>\n",
					LEFT + 3 * b, at, h, numa_event_colour(order[k]));
		}
	}
	free(n);
}

/* ---- lines ---- */

struct polyline {
	struct drawing *d;
	unsigned y;
	double most;
	bool open;
};

static void line_to(struct polyline *p, const char *colour, uint64_t at_ns, double value)
{
	if (!p->open)
		fprintf(p->d->out, "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"%s\" points=\"", colour);
	p->open = true;
	fprintf(p->d->out, "%.1f,%.1f ", x_of(p->d, at_ns), p->y + TIME_HEIGHT * (1 - value / p->most));
}

static void line_end(struct polyline *p)
{
	if (p->open)
		fputs("\"/>\n", p->d->out);
	p->open = false;
}

static void draw_local(struct drawing *d)
{
	const struct numa_log *l = d->s->log;
	struct polyline p = {.d = d, .most = 100};
	uint64_t local_before = 0, all_before = 0;

	p.y = begin_panel(d, "Misses that are local", TIME_HEIGHT, "100 %", "0");
	for (size_t i = 0; i < l->n_states; i++) {
		uint64_t local = 0, all = 0;

		for (unsigned n = 0; n < l->nodes; n++) {
			local += l->state[i]->node[n].local;
			all += l->state[i]->node[n].local + l->state[i]->node[n].remote;
		}
		if (all > all_before && local >= local_before)
			line_to(&p, lines[0], l->state[i]->at_ns,
				100.0 * (double)(local - local_before) / (double)(all - all_before));
		local_before = local;
		all_before = all;
	}
	line_end(&p);
	put_legend(d, p.y, 0, lines[0], "all nodes");
}

static void draw_near(struct drawing *d)
{
	const struct numa_log *l = d->s->log;
	struct polyline p = {.d = d, .most = 100};
	char text[32];

	p.y = begin_panel(d, "Pages on the node where their machine runs", TIME_HEIGHT, "100 %", "0");
	for (unsigned i = 0; i < d->s->n_machines && i < MOST_MAPS; i++) {
		unsigned number = d->s->machine[i].number;

		for (size_t k = 0; k < l->n_guests; k++)
			if (l->guest[k].machine == number && l->guest[k].near + l->guest[k].far)
				line_to(&p, lines[i % ARRAY_LEN(lines)], l->guest[k].at_ns,
					100.0 * (double)l->guest[k].near /
					    (double)(l->guest[k].near + l->guest[k].far));
		line_end(&p);
		put_legend(d, p.y, i, lines[i % ARRAY_LEN(lines)], numa_log_name(l, number, text, sizeof(text)));
	}
}

static void draw_memory(struct drawing *d)
{
	const struct numa_log *l = d->s->log;
	struct polyline p = {.d = d, .most = 1};
	char text[40];

	for (unsigned n = 0; n < l->nodes; n++)
		p.most = (double)d->s->node[n].pages > p.most ? (double)d->s->node[n].pages : p.most;
	snprintf(text, sizeof(text), "%.1f MiB", p.most * PAGE_BYTES / (1 << 20));
	p.y = begin_panel(d, "Memory in use, by node", TIME_HEIGHT, text, "0");
	for (unsigned n = 0; n < l->nodes; n++) {
		for (size_t i = 0; i < l->n_states; i++)
			line_to(&p, lines[n % ARRAY_LEN(lines)], l->state[i]->at_ns, (double)l->state[i]->node[n].used);
		line_end(&p);
		snprintf(text, sizeof(text), "node %u", n);
		if (n < MOST_MAPS)
			put_legend(d, p.y, n, lines[n % ARRAY_LEN(lines)], text);
	}
}

/* ---- maps ---- */

static void draw_cells(const struct drawing *d, unsigned y, const double *heat)
{
	double most = 0;

	for (unsigned i = 0; i < BINS * ROWS; i++)
		most = heat[i] > most ? heat[i] : most;
	for (unsigned r = 0; r < ROWS; r++)
		for (unsigned b = 0; b < BINS; b++) {
			double h = heat[r * BINS + b];
			unsigned level = LEVELS - 1;

			if (h <= 0)
				continue;
			if (most > 1)
				level = h > 1 ? (unsigned)(log(h) / log(most) * (LEVELS - 0.01)) : 0;
			fprintf(d->out, "<rect x=\"%u\" y=\"%u\" width=\"3\" height=\"2\" fill=\"%s\"/>\n",
				LEFT + 3 * b, y + 2 * (ROWS - 1 - r), heats[level < LEVELS ? level : LEVELS - 1]);
		}
}

static void draw_map(struct drawing *d, const struct numa_machine_sum *m)
{
	const struct numa_log *l = d->s->log;
	double *heat = calloc(BINS * ROWS, sizeof(*heat));
	uint64_t pages = m->machine ? m->machine->pages : 0;
	char title[120], name[32], most[40];
	unsigned y;

	if (!heat)
		return;
	for (size_t i = 0; i < l->n_events; i++)
		if (l->event[i].machine == m->number && l->event[i].page >= pages)
			pages = l->event[i].page + 1;
	for (size_t i = 0; i < l->n_events; i++) {
		const struct numa_log_event *e = &l->event[i];
		unsigned row = (unsigned)((double)e->page / (double)pages * ROWS);

		if (e->machine == m->number)
			heat[(row < ROWS ? row : ROWS - 1) * BINS + bin_of(d, e->at_ns)] +=
			    l->simulated ? (double)e->misses : 1;
	}
	snprintf(title, sizeof(title), "Pages of %s, by %s", numa_log_name(l, m->number, name, sizeof(name)),
		 l->simulated ? "misses of those decided on" : "decisions");
	snprintf(most, sizeof(most), "0x%08" PRIx64, (pages << PAGE_SHIFT) - 1);
	y = begin_panel(d, title, MAP_HEIGHT, most, "0x00000000");
	draw_cells(d, y, heat);
	for (unsigned k = 0; k < LEVELS; k++)
		put_legend(d, y, k, heats[k], !k ? "few" : k == LEVELS - 1 ? "most" : "");
	free(heat);
}

void numa_sum_draw(const struct numa_sum *s, const char *file, FILE *out)
{
	const struct numa_log *l = s->log;
	struct drawing d = {.s = s, .out = out, .span_ns = l->last_ns ? l->last_ns : 1, .y = TOP};
	unsigned maps = s->n_machines < MOST_MAPS ? s->n_machines : MOST_MAPS;
	unsigned height = TOP + 3 * (TIME_HEIGHT + GAP) + maps * (MAP_HEIGHT + GAP);
	char text[400];

	fprintf(
	    out,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\" "
	    "font-family=\"Helvetica, Arial, sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
	    WIDTH, height, WIDTH, height);
	snprintf(text, sizeof(text), "%.200s: --numa %s, %u nodes, %.3f s of %s", file, l->mode, l->nodes,
		 (double)l->last_ns / 1e9, l->simulated ? "simulated time" : "the host's time");
	put_text(&d, 16, 28, 17, ink, "start", text);
	snprintf(text, sizeof(text), "%.160s", l->parameters);
	put_text(&d, 16, 48, 11, soft, "start", text);
	draw_events(&d);
	if (l->simulated)
		draw_local(&d);
	else
		draw_near(&d);
	draw_memory(&d);
	for (unsigned i = 0; i < maps; i++)
		draw_map(&d, &s->machine[i]);
	fputs("</svg>\n", out);
}
