/* SPDX-License-Identifier: MIT */
/*
 * generator.c - see generator.h.
 *
 * The formulas of YCSB's generators are written as its Java sources have them, operation
 * for operation, because equal ranks from equal random numbers are the claim.
 */
#include "generator.h"

#include <math.h>

/* ---- random numbers ---- */

uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void rng_seed(struct rng *r, uint64_t seed, uint64_t sequence)
{
	uint64_t state = seed;
	int i;

	/* The sequence goes through the mixer too, so that neighbours share nothing. */
	state = splitmix64(&state) ^ sequence * 0xd1342543de82ef95u;
	for (i = 0; i < 4; i++)
		r->s[i] = splitmix64(&state);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	/* Lemire, "Fast Random Integer Generation in an Interval" (2019). */
	unsigned __int128 m = (unsigned __int128)rng_next(r) * n;

	if ((uint64_t)m < n) {
		uint64_t threshold = -n % n;

		while ((uint64_t)m < threshold)
			m = (unsigned __int128)rng_next(r) * n;
	}
	return (uint64_t)(m >> 64);
}

/* Bits that hold 0..v-1. */
static unsigned int bits_below(uint64_t v)
{
	return v > 1 ? 64 - (unsigned int)__builtin_clzll(v - 1) : 0;
}

struct modulus modulus_of(uint64_t d)
{
	struct modulus m = { .d = d, .shift = bits_below(d) };
	unsigned __int128 power = (unsigned __int128)1 << (63 + m.shift);

	m.reciprocal = (uint64_t)((power + d - 1) / d);
	return m;
}

/* ---- YCSB's hash ---- */

#define FNV_PRIME 1099511628211ull
#define FNV_2     (FNV_PRIME * FNV_PRIME)
#define FNV_3     (FNV_2 * FNV_PRIME)
#define FNV_4     (FNV_3 * FNV_PRIME)
#define FNV_5     (FNV_4 * FNV_PRIME)
#define FNV_6     (FNV_5 * FNV_PRIME)
#define FNV_7     (FNV_6 * FNV_PRIME)
#define FNV_8     (FNV_7 * FNV_PRIME)

uint64_t ycsb_hash(uint64_t v)
{
	static const uint64_t power[] = { 1,     FNV_PRIME, FNV_2, FNV_3, FNV_4,
					  FNV_5, FNV_6,     FNV_7, FNV_8 };
	unsigned int zeros = v ? (unsigned int)__builtin_clzll(v) / 8 : 8;
	uint64_t h = 0xcbf29ce484222325u;

	for (; v; v >>= 8)
		h = (h ^ (v & 0xff)) * FNV_PRIME;
	/* An octet of 0 changes nothing before the multiplication. */
	h *= power[zeros];
	return h >> 63 ? -h : h;
}

/* ---- zipfian ---- */

double zeta(uint64_t n, double theta)
{
	enum { ADDED = 1 << 16 };
	uint64_t m = n < ADDED ? n : ADDED, i;
	double sum = 0, a = (double)m, b = (double)n, t = theta;

	for (i = 0; i < m; i++)
		sum += 1 / pow((double)(i + 1), t);
	if (n <= m)
		return sum;
	sum += t == 1 ? log(b / a) : (pow(b, 1 - t) - pow(a, 1 - t)) / (1 - t);
	sum += (pow(b, -t) - pow(a, -t)) / 2;
	sum += t / 12 * (pow(a, -t - 1) - pow(b, -t - 1));
	return sum;
}

static void zipfian_set_eta(struct zipfian *z)
{
	z->eta = (1 - pow(2.0 / (double)z->origin, 1 - z->theta)) /
		 (1 - z->zeta_2 / z->zeta_n);
}

static void zipfian_init_zeta(struct zipfian *z, uint64_t items, double theta,
			      double zeta_n)
{
	*z = (struct zipfian){ .items = items, .origin = items, .theta = theta };
	z->alpha = 1.0 / (1.0 - theta);
	z->second = 1.0 + pow(0.5, theta);
	z->zeta_2 = zeta(2, theta);
	z->zeta_n = zeta_n;
	zipfian_set_eta(z);
}

void zipfian_init(struct zipfian *z, uint64_t items, double theta)
{
	zipfian_init_zeta(z, items, theta, zeta(items, theta));
}

void zipfian_init_scrambled(struct zipfian *z)
{
	/* One more than its name says, and a zeta of which the last digits are off: both are
	 * part of what every YCSB has measured. */
	zipfian_init_zeta(z, YCSB_SCRAMBLED_ITEMS + 1, YCSB_ZIPFIAN_THETA,
			  YCSB_SCRAMBLED_ZETA);
}

void zipfian_grow(struct zipfian *z, uint64_t items)
{
	for (; z->items < items; z->items++)
		z->zeta_n += 1 / pow((double)(z->items + 1), z->theta);
	zipfian_set_eta(z);
}

uint64_t zipfian_rank(const struct zipfian *z, double u)
{
	double uz = u * z->zeta_n, x;

	if (uz < 1.0)
		return 0;
	if (uz < z->second)
		return 1;
	x = (double)z->items * pow(z->eta * u - z->eta + 1, z->alpha);
	/* With one or two items eta is no number, and Java's cast of it is 0. For the largest
	 * u pow() rounds to 1 and the rank would be one too high. */
	if (!(x >= 0))
		return 0;
	return x < (double)z->items ? (uint64_t)x : z->items - (z->items > 0);
}

/* ---- zipf: H is the integral of x^-theta, its inverse maps uniform to candidate ---- */

/* log1p(x)/x and expm1(x)/x, which tend to 1 where theta nears 1. */
static double log1p_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x / 3);
}

static double expm1_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2 * (1 + x / 3);
}

static double zipf_h(const struct zipf *z, double x)
{
	return exp(-z->theta * log(x));
}

static double zipf_integral(const struct zipf *z, double x)
{
	double l = log(x);

	return expm1_over((1 - z->theta) * l) * l;
}

static double zipf_integral_inverse(const struct zipf *z, double x)
{
	double t = x * (1 - z->theta);

	return exp(log1p_over(t < -1 ? -1 : t) * x);
}

void zipf_init(struct zipf *z, uint64_t n, double theta)
{
	*z = (struct zipf){ .n = n, .theta = theta };
	z->h_x1 = zipf_integral(z, 1.5) - 1;
	z->h_n = zipf_integral(z, (double)n + 0.5);
	z->s = 2 - zipf_integral_inverse(z, zipf_integral(z, 2.5) - zipf_h(z, 2));
}

uint64_t zipf_rank(const struct zipf *z, struct rng *r)
{
	for (;;) {
		double u = z->h_n + rng_double(r) * (z->h_x1 - z->h_n);
		double x = zipf_integral_inverse(z, u), k = floor(x + 0.5);

		if (!(k >= 1))
			k = 1;
		else if (k > (double)z->n)
			k = (double)z->n;
		if (k - x <= z->s || u >= zipf_integral(z, k + 0.5) - zipf_h(z, k))
			return (uint64_t)k - 1;
	}
}

/* ---- scatter: odd multiplications and shifts are bijections of a power of two ---- */

struct scatter scatter_of(uint64_t n)
{
	unsigned int bits = bits_below(n);

	return (struct scatter){
		.n = n,
		.mask = ((uint64_t)1 << bits) - 1,
		.half = (bits + 1) / 2 ? (bits + 1) / 2 : 1,
	};
}

uint64_t scatter(const struct scatter *s, uint64_t rank)
{
	uint64_t x = rank;

	/* What lands outside goes round again; as the whole is a bijection it comes back
	 * inside before it meets itself, and no two ranks meet. */
	do {
		x = (x + 0x5851f42d4c957f2du) & s->mask;
		x = x * 0xd6e8feb86659fd93u & s->mask;
		x ^= x >> s->half;
		x = x * 0xbf58476d1ce4e5b9u & s->mask;
		x ^= x >> s->half;
	} while (x >= s->n);
	return x;
}

/* ---- exponential ---- */

double exponential_mean(double percentile, double range)
{
	return range / -log(1.0 - percentile / 100.0);
}

uint64_t exponential_draw(double mean, double u)
{
	double x = -log(u) * mean;

	return x < 0x1.0p63 ? (uint64_t)x : UINT64_MAX;
}
