/* SPDX-License-Identifier: MIT */
/* Loops, calls, memory and floating point, each long enough for tier 2; a checksum a line. */
#include "guest/bare/guest.h"

static uint32_t words[1 << 14];
static uint8_t bytes[1 << 16];
static double matrix_a[32][32], matrix_b[32][32], matrix_c[32][32];
static float wave[1024];

static void put_sum(const char *name, uint32_t v)
{
	put_text(name);
	put_field("sum", v);
	put_char('\n');
}

static void sort(uint32_t *a, uint32_t n)
{
	uint32_t i = 0, j = n - 1, pivot = a[n / 2];

	while (i <= j) {
		while (a[i] < pivot)
			i++;
		while (a[j] > pivot)
			j--;
		if (i <= j) {
			uint32_t t = a[i];

			a[i++] = a[j];
			a[j] = t;
			if (j == 0)
				break;
			j--;
		}
	}
	if (j > 0 && j < n - 1)
		sort(a, j + 1);
	if (i < n - 1)
		sort(a + i, n - i);
}

static void sorting(void)
{
	uint32_t seed = 1, h = HASH_START, bad = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = random_next(&seed);
	sort(words, ARRAY_LEN(words));
	for (uint32_t i = 0; i < ARRAY_LEN(words); i++) {
		bad += i && words[i] < words[i - 1];
		h = hash_word(h, words[i]);
	}
	put_sum("sort", h);
	put_check("sorted", !bad, bad);
}

static void crc(void)
{
	uint32_t seed = 2, c = ~0u;

	for (uint32_t i = 0; i < ARRAY_LEN(bytes); i++)
		bytes[i] = (uint8_t)random_next(&seed);
	for (uint32_t i = 0; i < ARRAY_LEN(bytes); i++) {
		c ^= bytes[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
	}
	put_sum("crc32", ~c);
}

static void sieve(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(bytes); i++)
		bytes[i] = 1;
	for (uint32_t i = 2; i < ARRAY_LEN(bytes); i++) {
		if (!bytes[i])
			continue;
		n++;
		for (uint32_t k = i + i; k < ARRAY_LEN(bytes); k += i)
			bytes[k] = 0;
	}
	put_sum("primes", n);
}

__attribute__((noinline)) static uint32_t fibonacci(uint32_t n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint32_t op_add(uint32_t a, uint32_t b) { return a + b; }
static uint32_t op_mul(uint32_t a, uint32_t b) { return a * (b | 1); }
static uint32_t op_rotate(uint32_t a, uint32_t b) { return a << (b & 31) | a >> (-b & 31); }
static uint32_t op_divide(uint32_t a, uint32_t b) { return b ? a / b + a % b : a; }
static uint32_t op_signed(uint32_t a, uint32_t b) { return b ? (uint32_t)((int32_t)(a >> 1) / (int32_t)(b | 1)) : a; }
static uint32_t op_bits(uint32_t a, uint32_t b)
{
	return (uint32_t)__builtin_clz(a | 1) + __builtin_bswap32(b) + (uint32_t)(int8_t)a + (uint32_t)(int16_t)b;
}
static uint32_t op_wide(uint32_t a, uint32_t b)
{
	uint64_t x = (uint64_t)a * b;
	int64_t y = (int64_t)(int32_t)a * (int32_t)b;

	return (uint32_t)(x >> 32) ^ (uint32_t)(y >> 32) ^ (uint32_t)x;
}

static void calls(void)
{
	static uint32_t (*const volatile op[])(uint32_t, uint32_t) = {op_add,    op_mul,  op_rotate, op_divide,
								      op_signed, op_bits, op_wide};
	uint32_t a = 1, b = 0x9e3779b9u;

	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t t = op[(a ^ i) % ARRAY_LEN(op)](a, b);

		a = b;
		b = t + i;
	}
	put_sum("indirect calls", a ^ b);
	put_sum("fibonacci", fibonacci(24));
}

/* Byte by byte: the layout in memory is not part of the sum, so that both byte orders agree. */
static uint32_t hash_double(uint32_t h, double d)
{
	union {
		double d;
		uint64_t u;
	} x = {d};

	return hash_word(hash_word(h, (uint32_t)x.u), (uint32_t)(x.u >> 32));
}

static void matrices(void)
{
	uint32_t h = HASH_START, n = ARRAY_LEN(matrix_a);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < n; k++) {
			matrix_a[i][k] = (double)(int32_t)(i * 3 - k * 7) / 11.0;
			matrix_b[i][k] = 1.0 / (1.0 + i + k);
		}
	for (uint32_t round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t k = 0; k < n; k++) {
				double s = 0;

				for (uint32_t m = 0; m < n; m++)
					s += matrix_a[i][m] * matrix_b[m][k];
				matrix_c[i][k] = s;
			}
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t k = 0; k < n; k++)
				matrix_a[i][k] = matrix_c[i][k] * 0.5;
	}
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < n; k++)
			h = hash_double(h, matrix_c[i][k]);
	put_sum("matrices", h);
}

static void singles(void)
{
	float x = 0.125f, y = 1.0f;
	uint32_t h = HASH_START;

	for (uint32_t i = 0; i < 200000; i++) {
		float t = x * 0.99f - y * 0.1f;

		y = y * 0.99f + x * 0.1f;
		x = t;
		wave[i % ARRAY_LEN(wave)] = x > y ? x : -y;
		if (i % 1000 == 0)
			h = hash_word(h, (uint32_t)(int32_t)(x * 1e6f));
	}
	for (uint32_t i = 0; i < ARRAY_LEN(wave); i++)
		h = hash_double(h, (double)wave[i] + (double)__builtin_sqrtf(wave[i] < 0 ? -wave[i] : wave[i]));
	put_sum("singles", h);
}

/* Results that are no ordinary numbers, and conversions out of range. */
static void special(void)
{
	static const double in[] = {0.0,          -0.0,         1.0,  -1.5, 1e308, -1e308, 1e-308,   4e-320,
				    2147483647.5, 2147483648.0, -3e9, 0.5,  2.5,   1e19,   0x1p-1074};
	volatile double a, b;
	uint32_t h = HASH_START;

	for (uint32_t round = 0; round < 200; round++)
		for (unsigned i = 0; i < ARRAY_LEN(in); i++)
			for (unsigned k = 0; k < ARRAY_LEN(in); k++) {
				uint32_t w;

				a = in[i];
				b = in[k];
				h = hash_double(hash_double(h, a + b), a * b);
				h = hash_double(hash_double(h, a - b), a / b);
				h = hash_word(h, (a < b) + 2u * (a == b) + 4u * (a > b));
				h = hash_double(h, (double)(float)a);
				__asm__ volatile("trunc.w.d $f4, %1\n\tmfc1 %0, $f4" : "=r"(w) : "f"(a) : "$f4");
				h = hash_word(h, w);
				__asm__ volatile("cvt.w.d $f4, %1\n\tmfc1 %0, $f4" : "=r"(w) : "f"(b) : "$f4");
				h = hash_word(h, w);
			}
	put_sum("special", h);
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	for (uint32_t round = 0; round < 5; round++) {
		sorting();
		crc();
		sieve();
		calls();
		matrices();
		singles();
		special();
	}
}
