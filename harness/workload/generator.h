/* SPDX-License-Identifier: MIT */
/*
 * generator.h - random numbers and the distributions of YCSB.
 *
 * Each distribution takes its uniform number as an argument, so that a test can feed it
 * known ones. Threads: a generator belongs to one.
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
uint64_t rng_next(struct rng *r);

/* In [0, 1), 53 bits, as Java's nextDouble(). */
static inline double rng_double(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}

uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in 0..n-1; n > 0; no bias */

/* ---- YCSB's FNV-1a of a 64-bit number, made positive the way Java's Math.abs does ---- */

uint64_t ycsb_hash(uint64_t v);

/* ---- the zipfian of Gray et al. (SIGMOD 1994), with YCSB's approximation ---- */

#define YCSB_ZIPFIAN_THETA   0.99
#define YCSB_SCRAMBLED_ITEMS 10000000000ull
#define YCSB_SCRAMBLED_ZETA  26.46902820178302

struct zipfian {
	uint64_t items; /* ranks are 0..items-1 */
	double theta, alpha, zeta_n, zeta_2, eta;
};

/* The sum of i^-theta for i = 1..n: added up for small n, by Euler-Maclaurin beyond. */
double zeta(uint64_t n, double theta);
void zipfian_init(struct zipfian *z, uint64_t items, double theta);
void zipfian_init_scrambled(struct zipfian *z); /* what ScrambledZipfian draws from */
void zipfian_grow(struct zipfian *z, uint64_t items);
uint64_t zipfian_rank(const struct zipfian *z, double u);

/* ---- the exact Zipf law, by rejection-inversion (Hoermann and Derflinger 1996) ---- */

struct zipf {
	uint64_t n;
	double theta, h_x1, h_n, s;
};

void zipf_init(struct zipf *z, uint64_t n, double theta); /* n > 0, theta > 0 */
uint64_t zipf_rank(const struct zipf *z, struct rng *r);  /* 0..n-1 */

/* A bijection of 0..n-1 that carries neighbours apart: rank times a step coprime to n. */
uint64_t scatter_step(uint64_t n); /* n > 0 */

static inline uint64_t scatter(uint64_t rank, uint64_t step, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rank * step % n);
}

/* ---- exponential: percentile % of draws fall below range ---- */

uint64_t exponential_draw(double percentile, double range, double u); /* u > 0 */

#endif /* GENERATOR_H */
