/* SPDX-License-Identifier: MIT */
/*
 * generator.c - see generator.h.
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

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t rng_next(struct rng *r)
{
	uint64_t result = rotate(r->s[0] + r->s[3], 23) + r->s[0], t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotate(r->s[3], 45);
	return result;
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

uint64_t ycsb_hash(uint64_t v)
{
	uint64_t h = 0xcbf29ce484222325u;
	int i;

	for (i = 0; i < 8; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 1099511628211u;
	return h >> 63 ? -h : h;
}

/* ---- zipfian ---- */

double zeta(uint64_t n, double theta)
{
	enum { ADDED = 4096 };
	uint64_t m = n < ADDED ? n : ADDED, i;
	double sum = 0, a = (double)m, b = (double)n;

	for (i = m; i; i--) /* the small ones first: less is rounded away */
		sum += pow((double)i, -theta);
	if (n <= m)
		return sum;
	sum += theta == 1 ? log(b / a)
			  : (pow(b, 1 - theta) - pow(a, 1 - theta)) / (1 - theta);
	sum += (pow(b, -theta) - pow(a, -theta)) / 2;
	sum += theta / 12 * (pow(a, -theta - 1) - pow(b, -theta - 1));
	sum -= theta * (theta + 1) * (theta + 2) / 720 *
	       (pow(a, -theta - 3) - pow(b, -theta - 3));
	return sum;
}

static void zipfian_constants(struct zipfian *z, uint64_t items)
{
	z->items = items;
	z->eta = (1 - pow(2.0 / (double)items, 1 - z->theta)) /
		 (1 - z->zeta_2 / z->zeta_n);
}

void zipfian_init(struct zipfian *z, uint64_t items, double theta)
{
	z->theta = theta;
	z->alpha = 1 / (1 - theta);
	z->zeta_2 = zeta(2, theta);
	z->zeta_n = zeta(items, theta);
	zipfian_constants(z, items);
}

void zipfian_init_scrambled(struct zipfian *z)
{
	z->theta = YCSB_ZIPFIAN_THETA;
	z->alpha = 1 / (1 - z->theta);
	z->zeta_2 = zeta(2, z->theta);
	z->zeta_n =
		YCSB_SCRAMBLED_ZETA; /* published with the generator; see golden values */
	zipfian_constants(z, YCSB_SCRAMBLED_ITEMS + 1);
}

void zipfian_grow(struct zipfian *z, uint64_t items)
{
	uint64_t i;

	if (items - z->items > 64) {
		z->zeta_n = zeta(items, z->theta);
	} else {
		for (i = z->items; i < items; i++)
			z->zeta_n += pow((double)(i + 1), -z->theta);
	}
	zipfian_constants(z, items);
}

uint64_t zipfian_rank(const struct zipfian *z, double u)
{
	double uz = u * z->zeta_n;
	uint64_t rank;

	if (uz < 1 || z->items < 2)
		return 0;
	if (uz < 1 + pow(0.5, z->theta))
		return 1;
	rank = (uint64_t)((double)z->items * pow(z->eta * u - z->eta + 1, z->alpha));
	/* For the largest u pow() rounds to 1 and the rank would be one too high. */
	return rank < z->items ? rank : z->items - 1;
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

		if (k < 1)
			k = 1;
		else if (k > (double)z->n)
			k = (double)z->n;
		if (k - x <= z->s || u >= zipf_integral(z, k + 0.5) - zipf_h(z, k))
			return (uint64_t)k - 1;
	}
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

uint64_t scatter_step(uint64_t n)
{
	/* A step of about n times the golden ratio, made coprime to n. */
	uint64_t step = (uint64_t)((double)n * 0.6180339887498949) | 1;

	while (common_divisor(step, n) != 1)
		step += 2;
	return step;
}

uint64_t exponential_draw(double percentile, double range, double u)
{
	double gamma = -log(1 - percentile / 100) / range;

	return (uint64_t)(-log(u) / gamma);
}
