/* SPDX-License-Identifier: MIT */
/*
 * A raytracer: spheres with reflection and shadows above a floor.  Threads take rows from a common counter.  The picture does not
 * depend on how many there are: its hash is compared with that of one thread's (not with check=0).  The scene is the file scene=NAME of a share, or the initrd, if there is one: lines of
 * nine numbers, in thousandths: x y z radius, red green blue, mirror, 0.
 */
#include "guest/splashos/splashos.h"

enum { MAX_SPHERES = 256, DEPTH = 4 };

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
} __attribute__((aligned(4096))) scene;
static unsigned spheres, width, threads;
static uint32_t *picture;
static volatile uint32_t next_row;

static struct vector add(struct vector a, struct vector b) { return (struct vector){a.x + b.x, a.y + b.y, a.z + b.z}; }
static struct vector scale(struct vector a, double f) { return (struct vector){a.x * f, a.y * f, a.z * f}; }
static struct vector minus(struct vector a, struct vector b) { return add(a, scale(b, -1)); }
static double dot(struct vector a, struct vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static struct vector unit(struct vector a) { return scale(a, 1 / sp_sqrt(dot(a, a))); }

/* The nearest sphere that the ray meets, or -1; *t how far. */
static int meets(struct vector from, struct vector to, double *t)
{
	int best = -1;

	for (unsigned i = 0; i < spheres; i++) {
		struct vector d = minus(scene.sphere[i].at, from);
		double along = dot(d, to), off = dot(d, d) - along * along,
		       r2 = scene.sphere[i].radius * scene.sphere[i].radius, at;

		if (along <= 0 || off > r2)
			continue;
		at = along - sp_sqrt(r2 - off);
		if (at > 1e-6 && (best < 0 || at < *t)) {
			best = (int)i;
			*t = at;
		}
	}
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
	spheres = 40;
	for (unsigned i = 0; i < spheres; i++) {
		uint32_t x = (i + 1) * 2654435761u;

		scene.sphere[i] = (struct sphere){
		    .at = {(double)(x >> 8 & 255) / 40 - 3.2, (double)(x >> 16 & 127) / 60 - 0.8,
			   (double)(x >> 24) / 40},
		    .colour = {(double)(x & 7) / 7, (double)(x >> 3 & 7) / 7, (double)(x >> 6 & 7) / 7},
		    .radius = 0.15 + (double)(x >> 5 & 15) / 40,
		    .mirror = (double)(x >> 20 & 3) / 5,
		};
	}
}

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

	width = sp_argument(argc, argv, "n", 96);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	check = sp_argument(argc, argv, "check", 1);
	if (!width || width > 1024 || !threads || threads > sp_vcpus())
		sp_fail("raytrace: n=1..1024, threads=1..vCPUs");
	if (name)
		text = sp_share_read(name, &bytes);
	if (name && !text)
		sp_fail("raytrace: scene=NAME: no share (disco run --share) has such a file");
	if (text)
		read_scene(text, bytes);
	else
		default_scene();
	picture = sp_alloc(4 * width * width);
	t0 = sp_microseconds();
	sp_run(threads, draw);
	t1 = sp_microseconds();
	seen = hash();
	next_row = 0;
	if (check)
		draw(0);
	if (check && hash() != seen)
		sp_fail("raytrace: WRONG: one thread draws another picture");
	sp_print("raytrace: ok, %u x %u, %u spheres, %u threads, hash %x, %u us\n", width, width, spheres, threads,
		 seen, t1 - t0);
	return 0;
}
