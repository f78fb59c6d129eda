/* SPDX-License-Identifier: MIT */
/*
 * generator.h - random numbers and the distributions of YCSB.
 *
 * Whatever maps one uniform number to one outcome takes that number as an argument, so
 * that a test can feed it known ones. What costs an exp() or a division to prepare is
 * prepared once. Threads: a generator is constant once made, except where a function
 * takes it without const; a struct rng belongs to one thread.
 */
#ifndef GENERATOR_H
#define GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

/* ---- random numbers: xoshiro256++ (Blackman and Vigna 2018), seeded by splitmix64 ---- */

struct rng {
	uint64_t s[4];
};

uint64_t splitmix64(uint64_t *state);
/* Different sequences of one seed are independent. */
void rng_seed(struct rng *r, uint64_t seed, uint64_t sequence);

static inline uint64_t rng_rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t result = rng_rotate(r->s[0] + r->s[3], 23) + r->s[0];
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rng_rotate(r->s[3], 45);
	return result;
}

/* 64 random bits as a number in [0, 1) of 53 bits, as Java's nextDouble(). */
static inline double rng_unit(uint64_t bits)
{
	return (double)(bits >> 11) * 0x1.0p-53;
}

static inline double rng_double(struct rng *r)
{
	return rng_unit(rng_next(r));
}

uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in 0..n-1; n > 0; no bias */

/* ---- v % d without a division, which costs tens of cycles on small cores ---- */

struct modulus {
	uint64_t d, reciprocal;
	unsigned int shift;
};

struct modulus modulus_of(uint64_t d); /* 0 < d <= 2^63 */

/* v < 2^63. After Granlund and Montgomery (1994), section 4. */
static inline uint64_t modulus_reduce(const struct modulus *m, uint64_t v)
{
	uint64_t high = (uint64_t)((unsigned __int128)(v << 1) * m->reciprocal >> 64);

	return v - (high >> m->shift) * m->d;
}

/* ---- YCSB's FNV-1a of a 64-bit number, made positive the way Java's Math.abs does ---- */

uint64_t ycsb_hash(uint64_t v);

/* ---- the zipfian of Gray et al. (SIGMOD 1994), with YCSB's approximation ---- */

#define YCSB_ZIPFIAN_THETA   0.99
#define YCSB_SCRAMBLED_ITEMS 10000000000ull
#define YCSB_SCRAMBLED_ZETA  26.46902820178302

struct zipfian {
	uint64_t items;  /* ranks are 0..items-1 */
	uint64_t origin; /* items when it was made */
	double theta, alpha, zeta_n, zeta_2, eta;
	double second; /* below this zeta_n * u is rank 1 (below 1 it is rank 0) */
};

/* The sum of i^-theta for i = 1..n: added up as YCSB does for small n, by Euler-Maclaurin
 * beyond, which agrees to 12 digits and does not take a minute. */
double zeta(uint64_t n, double theta);
void zipfian_init(struct zipfian *z, uint64_t items, double theta); /* theta not 1 */
void zipfian_init_scrambled(struct zipfian *z); /* what ScrambledZipfian draws from */
/* More items. As in YCSB zeta grows with them but the other constant of the approximation
 * stays that of the original number. items not below the present ones. */
void zipfian_grow(struct zipfian *z, uint64_t items);
uint64_t zipfian_rank(const struct zipfian *z, double u); /* 0 <= u < 1 */

/* ---- the exact Zipf law, by rejection-inversion (Hoermann and Derflinger 1996) ---- */

struct zipf {
	uint64_t n;
	double theta, h_x1, h_n, s;
};

void zipf_init(struct zipf *z, uint64_t n, double theta); /* n > 0, theta > 0 */
uint64_t zipf_rank(const struct zipf *z, struct rng *r);  /* 0..n-1 */

/* ---- a fixed bijection of 0..n-1 that leaves no trace of order ---- */

struct scatter {
	uint64_t n, mask;
	unsigned int half;
};

struct scatter scatter_of(uint64_t n); /* 0 < n <= 2^63 */
uint64_t scatter(const struct scatter *s, uint64_t rank);

/* ---- exponential: percentile % of draws fall below range ---- */

double exponential_mean(double percentile, double range); /* 0 < percentile < 100 */
uint64_t exponential_draw(double mean, double u); /* UINT64_MAX where it is beyond that */

#endif /* GENERATOR_H */
