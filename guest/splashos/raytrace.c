/* SPDX-License-Identifier: MIT */
/*
 * A raytracer: spheres with reflection and shadows above a floor.  Threads take rows from a common counter.  A ray finds spheres through a grid of
 * cells, as SPLASH-2's does, if there are more than GRID_FROM.  The picture depends neither on that nor on how many threads there are: its hash is
 * compared with that of one thread's without a grid (not with check=0).  The scene is the file scene=NAME of a share, or the initrd, if there is
 * one: lines of nine numbers, in thousandths: x y z radius, red green blue, mirror, 0.  Else it has spheres=N, small ones if there are many.
 */
#include "guest/splashos/splashos.h"

enum { MAX_SPHERES = 16384, GRID_FROM = 64, CELLS = 16 /* of each axis */, DEPTH = 4 };

struct vector {
	double x, y, z;
};
struct sphere {
	struct vector at, colour;
	double radius, mirror;
};

/* Read by all: on pages that nobody writes to while they draw. */
static struct {
	struct sphere sphere[MAX_SPHERES];
	double low[3], high[3], cell[3];           /* the box around all spheres; a cell's sides */
	uint32_t first[CELLS * CELLS * CELLS + 1]; /* of a cell's spheres, in list[] */
	uint32_t *list;                            /* behind it nothing but itself */
} __attribute__((aligned(4096))) scene;
static bool use_grid;
static unsigned spheres, width, threads;
static uint32_t *picture;
static volatile uint32_t next_row;

static struct vector add(struct vector a, struct vector b) { return (struct vector){a.x + b.x, a.y + b.y, a.z + b.z}; }
static struct vector scale(struct vector a, double f) { return (struct vector){a.x * f, a.y * f, a.z * f}; }
static struct vector minus(struct vector a, struct vector b) { return add(a, scale(b, -1)); }
static double dot(struct vector a, struct vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static struct vector unit(struct vector a) { return scale(a, 1 / sp_sqrt(dot(a, a))); }

/* Where the ray meets the sphere, if that is nearer than what it meets so far (*best, -1: nothing). */
static void try_sphere(int i, struct vector from, struct vector to, int *best, double *t)
{
	const struct sphere *s = &scene.sphere[i];
	struct vector d = minus(s->at, from);
	double along = dot(d, to), off = dot(d, d) - along * along, r2 = s->radius * s->radius, at;

	if (along <= 0 || off > r2)
		return;
	at = along - sp_sqrt(r2 - off);
	if (at > 1e-6 && (*best < 0 || at < *t || (at == *t && i < *best))) {
		*best = i;
		*t = at;
	}
}

static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }

static int cell_at(unsigned axis, double x)
{
	double c = (x - scene.low[axis]) / scene.cell[axis];

	return c <= 0 ? 0 : c >= CELLS ? CELLS - 1 : (int)c;
}

/* From where to where the ray is in the box; false: nowhere. */
static bool clip(const double *from, const double *to, double *enter, double *leave)
{
	*enter = 0;
	*leave = 1e30;
	for (unsigned k = 0; k < 3; k++) {
		double a, b;

		if (to[k] == 0) {
			if (from[k] < scene.low[k] || from[k] > scene.high[k])
				return false;
			continue;
		}
		a = (scene.low[k] - from[k]) / to[k];
		b = (scene.high[k] - from[k]) / to[k];
		*enter = larger(*enter, smaller(a, b));
		*leave = smaller(*leave, larger(a, b));
	}
	return *enter <= *leave;
}

/* From cell to cell, until what it has met is nearer than the next one. */
static int meets_in_grid(struct vector a, struct vector b, double *t)
{
	const double from[3] = {a.x, a.y, a.z}, to[3] = {b.x, b.y, b.z};
	double at, leave, next[3];
	int best = -1, c[3];

	if (!clip(from, to, &at, &leave))
		return -1;
	for (unsigned k = 0; k < 3; k++) {
		c[k] = cell_at(k, from[k] + to[k] * at);
		next[k] = to[k] == 0 ? 1e30 : (scene.low[k] + (c[k] + (to[k] > 0)) * scene.cell[k] - from[k]) / to[k];
	}
	for (;;) {
		unsigned cell = (unsigned)((c[2] * CELLS + c[1]) * CELLS + c[0]);
		unsigned k = next[0] < next[1] ? next[0] < next[2] ? 0 : 2 : next[1] < next[2] ? 1 : 2;

		for (uint32_t i = scene.first[cell]; i < scene.first[cell + 1]; i++)
			try_sphere((int)scene.list[i], a, b, &best, t);
		if (best >= 0 && *t <= next[k])
			return best;
		c[k] += to[k] > 0 ? 1 : -1;
		if (c[k] < 0 || c[k] >= CELLS)
			return best;
		next[k] = (scene.low[k] + (c[k] + (to[k] > 0)) * scene.cell[k] - from[k]) / to[k];
	}
}

/* The nearest sphere that the ray meets, or -1; *t how far. */
static int meets(struct vector from, struct vector to, double *t)
{
	int best = -1;

	if (use_grid)
		return meets_in_grid(from, to, t);
	for (unsigned i = 0; i < spheres; i++)
		try_sphere((int)i, from, to, &best, t);
	return best;
}

static struct vector shade(struct vector at, struct vector normal, struct vector colour)
{
	const struct vector light = unit((struct vector){0.5, 1.0, -0.7});
	double t, bright = dot(normal, light);

	if (bright < 0 || meets(add(at, scale(normal, 1e-6)), light, &t) >= 0)
		bright = 0;
	return scale(colour, 0.15 + 0.85 * bright);
}

static struct vector trace(struct vector from, struct vector to, unsigned depth)
{
	struct vector at, normal, colour, more;
	double t = 0, mirror;
	int i = meets(from, to, &t);

	if (i >= 0) {
		at = add(from, scale(to, t));
		normal = unit(minus(at, scene.sphere[i].at));
		colour = scene.sphere[i].colour;
		mirror = scene.sphere[i].mirror;
	} else if (to.y < 0) { /* the floor */
		t = -(from.y + 1) / to.y;
		at = add(from, scale(to, t));
		normal = (struct vector){0, 1, 0};
		colour = ((int32_t)(at.x + 1000) + (int32_t)(at.z + 1000)) & 1 ? (struct vector){0.9, 0.9, 0.9}
									       : (struct vector){0.2, 0.2, 0.3};
		mirror = 0.1;
	} else {
		return (struct vector){0.4, 0.6, 0.9 - 0.3 * to.y};
	}
	colour = shade(at, normal, colour);
	if (depth == 0 || mirror <= 0)
		return colour;
	more = trace(add(at, scale(normal, 1e-6)), minus(to, scale(normal, 2 * dot(to, normal))), depth - 1);
	return add(scale(colour, 1 - mirror), scale(more, mirror));
}

static uint32_t level(double x) { return x <= 0 ? 0 : x >= 1 ? 255 : (uint32_t)(x * 255); }

static void row(unsigned y)
{
	for (unsigned x = 0; x < width; x++) {
		struct vector to = {((double)x - width * 0.5) / width, (width * 0.5 - (double)y) / width, 1};
		struct vector c = trace((struct vector){0, 0.4, -4}, unit(to), DEPTH);

		picture[y * width + x] = level(c.x) << 16 | level(c.y) << 8 | level(c.z);
	}
}

static void draw(unsigned t)
{
	uint32_t y;

	(void)t;
	while ((y = sp_add(&next_row, 1)) < width)
		row(y);
}

static uint32_t hash(void)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < width * width; i++)
		h = (h ^ picture[i]) * 16777619u;
	return h;
}

static void default_scene(void)
{
	double size = 1; /* so that many are no wall */

	for (unsigned n = 40; n < spheres; n *= 4)
		size /= 2;
	for (unsigned i = 0; i < spheres; i++) {
		uint32_t x = (i + 1) * 2654435761u;

		scene.sphere[i] = (struct sphere){
		    .at = {(double)(x >> 8 & 255) / 40 - 3.2, (double)(x >> 16 & 127) / 60 - 0.8,
			   (double)(x >> 24) / 40},
		    .colour = {(double)(x & 7) / 7, (double)(x >> 3 & 7) / 7, (double)(x >> 6 & 7) / 7},
		    .radius = (0.15 + (double)(x >> 5 & 15) / 40) * size,
		    .mirror = (double)(x >> 20 & 3) / 5,
		};
	}
}

/* ---- the grid ---- */

static void surround(void)
{
	for (unsigned i = 0; i < spheres; i++) {
		const struct sphere *s = &scene.sphere[i];
		const double at[3] = {s->at.x, s->at.y, s->at.z};

		for (unsigned k = 0; k < 3; k++) {
			double low = at[k] - s->radius, high = at[k] + s->radius;

			scene.low[k] = i ? smaller(scene.low[k], low) : low;
			scene.high[k] = i ? larger(scene.high[k], high) : high;
		}
	}
	for (unsigned k = 0; k < 3; k++)
		scene.cell[k] = (scene.high[k] - scene.low[k]) / CELLS;
}

/* Each sphere is in all cells that it may touch; a bit more, as rays are not exact.  list NULL: they are counted. */
static void put_sphere(uint32_t i, uint32_t *list)
{
	const double at[3] = {scene.sphere[i].at.x, scene.sphere[i].at.y, scene.sphere[i].at.z},
		     r = scene.sphere[i].radius * (1 + 1e-9) + 1e-9;
	int low[3], high[3];

	for (unsigned k = 0; k < 3; k++) {
		low[k] = cell_at(k, at[k] - r);
		high[k] = cell_at(k, at[k] + r);
	}
	for (int z = low[2]; z <= high[2]; z++)
		for (int y = low[1]; y <= high[1]; y++)
			for (int x = low[0]; x <= high[0]; x++) {
				uint32_t *n = &scene.first[(z * CELLS + y) * CELLS + x];

				if (list)
					list[*n] = i;
				++*n;
			}
}

static void make_grid(void)
{
	uint32_t sum = 0, n;

	surround();
	for (uint32_t i = 0; i < spheres; i++)
		put_sphere(i, NULL);
	for (unsigned c = 0; c <= CELLS * CELLS * CELLS; c++) {
		n = scene.first[c];
		scene.first[c] = sum;
		sum += n;
	}
	scene.list = sp_alloc(sum * sizeof(*scene.list) + 4096); /* not on a page with what is written */
	for (uint32_t i = 0; i < spheres; i++)
		put_sphere(i, scene.list);
	for (unsigned c = CELLS * CELLS * CELLS; c; c--) /* each has become its end */
		scene.first[c] = scene.first[c - 1];
	scene.first[0] = 0;
	use_grid = true;
}

/* ---- the scene from a file ---- */

/* Thousandths. False: no more. */
static bool take(const char **at, const char *end, double *out)
{
	const char *s = *at;
	bool below = false;
	double v = 0;

	while (s < end && (*s == ' ' || *s == '\n'))
		s++;
	if (s == end)
		return false;
	if (*s == '-') {
		below = true;
		s++;
	}
	if (s == end || *s < '0' || *s > '9')
		sp_fail("raytrace: the scene has something else than numbers");
	for (; s < end && *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	*out = (below ? -v : v) / 1000;
	*at = s;
	return true;
}

static void read_scene(const char *text, size_t bytes)
{
	const char *end = text + bytes;
	double v[9];

	for (spheres = 0; take(&text, end, &v[0]); spheres++) {
		for (unsigned i = 1; i < 9; i++)
			if (!take(&text, end, &v[i]))
				sp_fail("raytrace: a sphere of the scene is not complete");
		if (spheres == MAX_SPHERES)
			sp_fail("raytrace: the scene has too many spheres");
		scene.sphere[spheres] = (struct sphere){{v[0], v[1], v[2]}, {v[4], v[5], v[6]}, v[3], v[7]};
	}
}

int sp_main(int argc, char **argv)
{
	size_t bytes;
	const char *text = sp_file(&bytes), *name = sp_text_argument(argc, argv, "scene");
	uint32_t t0, t1, seen;
	unsigned check;

	spheres = sp_argument(argc, argv, "spheres", 40);
	width = sp_argument(argc, argv, "n", 96);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	check = sp_argument(argc, argv, "check", 1);
	if (!width || width > 1024 || !threads || threads > sp_vcpus() || !spheres || spheres > MAX_SPHERES)
		sp_fail("raytrace: n=1..1024, threads=1..vCPUs, spheres=1..16384");
	if (name)
		text = sp_share_read(name, &bytes);
	if (name && !text)
		sp_fail("raytrace: scene=NAME: no share (disco run --share) has such a file");
	if (text)
		read_scene(text, bytes);
	else
		default_scene();
	if (spheres > GRID_FROM)
		make_grid();
	picture = sp_alloc(4 * width * width);
	t0 = sp_microseconds();
	sp_run(threads, draw);
	t1 = sp_microseconds();
	seen = hash();
	next_row = 0;
	use_grid = false;
	if (check)
		draw(0);
	if (check && hash() != seen)
		sp_fail("raytrace: WRONG: one thread without a grid draws another picture");
	sp_print("raytrace: ok, %u x %u, %u spheres, %u threads, hash %x, %u us\n", width, width, spheres, threads,
		 seen, t1 - t0);
	return 0;
}
