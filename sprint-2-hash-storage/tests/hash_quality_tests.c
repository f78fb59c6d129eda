/* SPDX-License-Identifier: MIT */
/*
 * hash_quality_tests.c - how well each hash function spreads keys: chi-square of the bits
 * that the index takes (hash_table.h), avalanche, collisions against the birthday bound,
 * independence of seeds.
 *
 * Draws are by seed, so a result is the same each time. Limits lie where a true random
 * function would come once in some hundred thousand cells; there are a few hundred.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../hash_function.h"

#define LIMIT_SIGMA 4.5

enum { DRAWS = 1 << 19, BINS_MAX = 65536, KEY_LONGEST = 64 };

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

static int say_seed(void **state)
{
	(void)state;
	print_message("seed %#x\n", (unsigned int)CORE_SEED);
	return 0;
}

static void random_bytes(uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i + 8 <= n; i += 8)
		port_put_le64(p + i, core_random());
	core_random_bytes(p + i, n - i);
}

/* ---- keys ---- */

typedef size_t key_fn(uint8_t *key, uint64_t i); /* the ith key; returns its length */

static size_t key_ycsb(uint8_t *key, uint64_t i)
{
	return (size_t)snprintf((char *)key, KEY_LONGEST, "user%llu",
				(unsigned long long)i);
}

static size_t key_padded(uint8_t *key, uint64_t i)
{
	return (size_t)snprintf((char *)key, KEY_LONGEST, "user%020llu",
				(unsigned long long)i);
}

static size_t key_integer(uint8_t *key, uint64_t i)
{
	port_put_le64(key, i);
	return 8;
}

static size_t key_big_endian(uint8_t *key, uint64_t i)
{
	int b;

	memset(key, 0, 16);
	for (b = 15; i; b--, i >>= 8)
		key[b] = (uint8_t)i;
	return 16;
}

/* Numbers in steps that leave the low bits alone, as addresses and sizes are. */
static size_t key_stride(uint8_t *key, uint64_t i)
{
	port_put_le64(key, i << 20);
	return 8;
}

static size_t key_random(uint8_t *key, uint64_t i)
{
	size_t n = 16 + i % 17; /* so long that none comes twice */

	random_bytes(key, n);
	return n;
}

static const struct {
	const char *name;
	key_fn *make;
} kinds[] = {
	{ "user0..", key_ycsb },     { "user000..0", key_padded },
	{ "integers", key_integer }, { "big-endian integers", key_big_endian },
	{ "strides", key_stride },   { "random", key_random },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static uint64_t *hash_keys(const struct hash_function *f, uint64_t seed, key_fn *make,
			   uint64_t n)
{
	uint64_t *hash = malloc(n * sizeof(*hash)), i;
	uint8_t key[KEY_LONGEST];

	assert_non_null(hash);
	for (i = 0; i < n; i++) {
		size_t length = make(key, i);

		hash[i] = f->one(seed, key, length);
	}
	return hash;
}

/* ---- chi-square ---- */

/* What bits choose of bins, a power of two. */
typedef uint32_t choose_fn(uint64_t hash, uint32_t bins);

static uint32_t choose_highest(uint64_t hash, uint32_t bins) /* the directory */
{
	return (uint32_t)(hash >> 48) / (BINS_MAX / bins);
}

static uint32_t choose_upper(uint64_t hash, uint32_t bins) /* the directory, below it */
{
	return (uint32_t)(hash >> 42 & 0xffff) / (BINS_MAX / bins);
}

static uint32_t choose_tag(uint64_t hash, uint32_t bins) /* of an entry */
{
	return (uint32_t)(hash >> 26 & 0xffff) / (BINS_MAX / bins);
}

static uint32_t choose_place(uint64_t hash, uint32_t bins) /* in a table */
{
	return (uint32_t)((hash & 0x3ffffff) * bins >> 26);
}

static uint32_t choose_lowest(uint64_t hash, uint32_t bins)
{
	return (uint32_t)hash & (bins - 1);
}

static const struct {
	const char *name;
	choose_fn *choose;
} parts[] = {
	{ "highest bits", choose_highest },
	{ "upper bits", choose_upper },
	{ "tag", choose_tag },
	{ "place", choose_place },
	{ "lowest bits", choose_lowest },
};

enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

/* A chi-square of df degrees at this many sigmas (Wilson and Hilferty, 1931). */
static double chi_square_at(double df, double sigma)
{
	double v = 2 / (9 * df), t = 1 - v + sigma * sqrt(v);

	return df * t * t * t;
}

/* As many bins as get eight draws each or more. */
static uint32_t bins_for(uint64_t draws)
{
	uint32_t bins = BINS_MAX;

	while (bins > 16 && bins * 8 > draws)
		bins /= 2;
	return bins;
}

/* Neither too uneven nor too even. */
static void check_even(const uint32_t *count, uint32_t bins, uint64_t draws,
		       const char *function, const char *what, const char *part)
{
	double expected = (double)draws / bins, chi = 0;
	uint32_t i;

	for (i = 0; i < bins; i++)
		chi += (count[i] - expected) * (count[i] - expected) / expected;
	if (chi > chi_square_at(bins - 1, LIMIT_SIGMA) ||
	    chi < chi_square_at(bins - 1, -LIMIT_SIGMA))
		fail_msg("%s of %s, %s: chi-square %.0f of %u bins", function, what, part,
			 chi, bins);
}

static void check_parts(const struct hash_function *f, size_t kind, uint64_t seed)
{
	static uint32_t count[BINS_MAX];
	const uint64_t draws = test_draws(DRAWS);
	const uint32_t bins = bins_for(draws);
	uint64_t *hash = hash_keys(f, seed, kinds[kind].make, draws), i;
	size_t p;

	for (p = 0; p < PARTS; p++) {
		memset(count, 0, sizeof(count));
		for (i = 0; i < draws; i++)
			count[parts[p].choose(hash[i], bins)]++;
		check_even(count, bins, draws, f->name, kinds[kind].name, parts[p].name);
	}
	free(hash);
}

static void test_bits_that_the_index_takes_are_even(void **state)
{
	const struct hash_function *f;
	size_t i, k;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (k = 0; k < KINDS; k++)
			check_parts(f, k, 0x5eed + k);
}

/* Within what one part leaves equal, the others still spread: keys of one leaf have the
 * highest bits in common. */
static void test_parts_are_even_within_a_leaf(void **state)
{
	static uint32_t count[PARTS][256];
	const uint64_t draws = test_draws(DRAWS);
	const struct hash_function *f;
	size_t i, p;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++) {
		uint64_t *hash = hash_keys(f, 1, key_ycsb, draws), in = 0, n;

		memset(count, 0, sizeof(count));
		for (n = 0; n < draws; n++)
			if (hash[n] >> 60 == 5) {
				for (p = 1; p < PARTS; p++)
					count[p][parts[p].choose(hash[n], 256)]++;
				in++;
			}
		for (p = 1; p < PARTS; p++)
			check_even(count[p], 256, in, f->name, "a leaf", parts[p].name);
		free(hash);
	}
}

/* ---- avalanche ---- */

enum { FLIP_SAMPLES = 4096, FLIPS_MAX = 72 };

/* 0.05, or what chance leaves of so few samples. */
static double flip_limit(uint64_t samples)
{
	double chance = 6 * 0.5 / sqrt((double)samples);

	return chance > 0.05 ? chance : 0.05;
}

/* How often each of 64 bits was turned. Eight bits are counted by one addition, each in a
 * byte of lane[], which are emptied before they run over. */
struct flips {
	uint32_t count[64];
	uint64_t samples, lane[8];
};

static void flips_empty(struct flips *f)
{
	int b;

	for (b = 0; b < 64; b++)
		f->count[b] += f->lane[b % 8] >> b / 8 * 8 & 255;
	memset(f->lane, 0, sizeof(f->lane));
}

static void flips_add(struct flips *f, uint64_t flipped)
{
	int k;

	for (k = 0; k < 8; k++)
		f->lane[k] += flipped >> k & 0x0101010101010101u;
	if (++f->samples % 255 == 0)
		flips_empty(f);
}

static void check_flips(struct flips *f, const char *function, const char *what,
			size_t bit)
{
	int b;

	flips_empty(f);
	for (b = 0; b < 64; b++) {
		double share = (double)f->count[b] / (double)f->samples;

		if (fabs(share - 0.5) > flip_limit(f->samples))
			fail_msg("%s: bit %zu of %s flips bit %d of the hash with %.3f",
				 function, bit, what, b, share);
	}
}

/* Long keys are looked at in some of their bits, all over the key. */
static void check_avalanche(const struct hash_function *f, size_t length)
{
	const uint64_t samples = test_draws(FLIP_SAMPLES);
	size_t bits = 8 * length, step = 1 + bits / FLIPS_MAX, bit;
	uint8_t key[512];
	uint64_t i;

	step |= 1; /* so that each bit of a byte is met */
	for (bit = 0; bit < bits; bit += step) {
		struct flips flips = { 0 };

		for (i = 0; i < samples; i++) {
			uint64_t seed = core_random(), h;

			random_bytes(key, length);
			h = f->one(seed, key, length);
			key[bit / 8] ^= (uint8_t)(1u << bit % 8);
			flips_add(&flips, h ^ f->one(seed, key, length));
		}
		check_flips(&flips, f->name, "a key", bit);
	}
}

static void test_each_bit_of_a_key_flips_half_of_the_hash(void **state)
{
	static const size_t length[] = { 1,  3,  4,  7,  8,  9,   16,
					 17, 24, 31, 33, 64, 130, 300 };
	const struct hash_function *f;
	size_t i, l;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (l = 0; l < sizeof(length) / sizeof(length[0]); l++)
			check_avalanche(f, length[l]);
}

/* The seed, a store's only secret; lengths of each way that XXH3 goes. */
static void test_each_bit_of_the_seed_flips_half_of_the_hash(void **state)
{
	static const size_t length[] = { 0, 2, 8, 14, 24, 200, 300 };
	const uint64_t samples = test_draws(FLIP_SAMPLES);
	const struct hash_function *f;
	uint8_t key[512];
	size_t i, l, bit;
	uint64_t n;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (l = 0; l < sizeof(length) / sizeof(length[0]); l++)
			for (bit = 0; bit < 64; bit++) {
				struct flips flips = { 0 };

				for (n = 0; n < samples; n++) {
					uint64_t seed = core_random();

					random_bytes(key, length[l]);
					flips_add(&flips,
						  f->one(seed, key, length[l]) ^
							  f->one(seed ^ 1ull << bit, key,
								 length[l]));
				}
				check_flips(&flips, f->name, "the seed", bit);
			}
}

/* ---- collisions ---- */

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Pairs of equal values among n of so many bits, the highest of each; sorted. */
static uint64_t count_pairs(const uint64_t *sorted, uint64_t n, int bits)
{
	uint64_t pairs = 0, run = 0, i;

	for (i = 1; i < n; i++) {
		run = (sorted[i] ^ sorted[i - 1]) >> (64 - bits) ? 0 : run + 1;
		pairs += run;
	}
	return pairs;
}

/* By chance n (n - 1) / 2 pairs of 2^bits values meet, Poisson. */
static void check_collisions(const uint64_t *sorted, uint64_t n, int bits,
			     const char *function, const char *what)
{
	double expected = (double)n * ((double)n - 1) / 2 / pow(2, bits);
	double allowed = 6 * sqrt(expected) + (expected < 1 ? 1 : 6);
	double pairs = (double)count_pairs(sorted, n, bits);

	if (bits == 64)
		allowed = 0.5;
	if (pairs > expected + allowed || pairs < expected - allowed)
		fail_msg("%s of %s: %.0f pairs of the same %d bits, %.2f by chance",
			 function, what, pairs, bits, expected);
}

static void test_collisions_are_those_of_the_birthday_bound(void **state)
{
	static const int bits[] = { 24, 32, 48, 64 };
	const uint64_t n = test_draws(1 << 18);
	const struct hash_function *f;
	uint64_t *hash, j;
	size_t i, k, b;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (k = 0; k < KINDS; k++) {
			hash = hash_keys(f, 0, kinds[k].make, n);
			port_sort(hash, n, sizeof(*hash), compare_hashes);
			for (b = 0; b < 4; b++)
				check_collisions(hash, n, bits[b], f->name,
						 kinds[k].name);
			for (j = 0; j < n; j++) /* and now the lowest bits */
				hash[j] = hash[j] << 32 | hash[j] >> 32;
			port_sort(hash, n, sizeof(*hash), compare_hashes);
			for (b = 0; b < 3; b++)
				check_collisions(hash, n, bits[b], f->name,
						 kinds[k].name);
			free(hash);
		}
}

/* ---- seeds ---- */

/* Eight bits under one seed and eight under another, all 65536 pairs of them equally
 * often: keys that meet under one are apart under the other. */
static void test_hashes_of_two_seeds_are_independent(void **state)
{
	static const uint64_t seeds[][2] = {
		{ 0, 1 }, { 1, 2 }, { 0, 1ull << 63 }, { 0x5eed, ~0x5eedull }
	};
	static uint32_t high[BINS_MAX], low[BINS_MAX], both[BINS_MAX];
	const uint64_t draws = test_draws(DRAWS);
	const uint32_t bins = bins_for(draws), side = BINS_MAX / bins;
	const struct hash_function *f;
	size_t i, s;
	uint64_t n;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
			uint64_t *a = hash_keys(f, seeds[s][0], key_ycsb, draws);
			uint64_t *b = hash_keys(f, seeds[s][1], key_ycsb, draws);

			memset(high, 0, sizeof(high));
			memset(low, 0, sizeof(low));
			memset(both, 0, sizeof(both));
			for (n = 0; n < draws; n++) {
				high[((a[n] >> 56) << 8 | b[n] >> 56) / side]++;
				low[((a[n] & 255) << 8 | (b[n] & 255)) / side]++;
				both[((a[n] ^ b[n]) >> 48) / side]++;
			}
			check_even(high, bins, draws, f->name, "two seeds", "high bits");
			check_even(low, bins, draws, f->name, "two seeds", "low bits");
			check_even(both, bins, draws, f->name, "two seeds", "difference");
			free(a);
			free(b);
		}
}

/* One key under many seeds is as good as many keys. */
static void test_hashes_of_a_key_are_even_over_seeds(void **state)
{
	static uint32_t count[BINS_MAX];
	const uint64_t draws = test_draws(DRAWS);
	const uint32_t bins = bins_for(draws);
	const struct hash_function *f;
	size_t i, p;
	uint64_t seed;

	(void)state;
	for (i = 0; (f = hash_function_get(i)); i++)
		for (p = 0; p < PARTS; p++) {
			memset(count, 0, sizeof(count));
			for (seed = 0; seed < draws; seed++)
				count[parts[p].choose(f->one(seed, "user1", 5), bins)]++;
			check_even(count, bins, draws, f->name, "seeds 0..",
				   parts[p].name);
		}
}

/* ---- the checks themselves ---- */

static uint64_t crc_alone(uint64_t seed, const void *p, size_t n)
{
	return (uint64_t)port_crc32c((uint32_t)seed, p, n) << 32;
}

/* What these tests measure tells a bad hash from a good one: a plain CRC32C of integers is
 * far too even, has no low bits, and its seeds are not independent. */
static void test_measures_find_a_plain_crc_wanting(void **state)
{
	const struct hash_function bad = { "crc", "", crc_alone, crc_alone, NULL };
	uint64_t n = 1 << 14, *a = hash_keys(&bad, 0, key_integer, n),
		 *b = hash_keys(&bad, 1, key_integer, n), i;
	uint32_t count[1024] = { 0 };
	double chi = 0;

	(void)state;
	for (i = 0; i < n; i++)
		count[choose_highest(a[i], 1024)]++;
	for (i = 0; i < 1024; i++)
		chi += ((double)count[i] - 16) * ((double)count[i] - 16) / 16;
	assert_true(chi < chi_square_at(1023, -LIMIT_SIGMA));
	for (i = 1; i < n; i++) /* two seeds differ by the same everywhere */
		assert_int_equal(a[i] ^ b[i], a[0] ^ b[0]);
	free(a);
	free(b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_bits_that_the_index_takes_are_even),
		TEST(test_parts_are_even_within_a_leaf),
		TEST(test_each_bit_of_a_key_flips_half_of_the_hash),
		TEST(test_each_bit_of_the_seed_flips_half_of_the_hash),
		TEST(test_collisions_are_those_of_the_birthday_bound),
		TEST(test_hashes_of_two_seeds_are_independent),
		TEST(test_hashes_of_a_key_are_even_over_seeds),
		TEST(test_measures_find_a_plain_crc_wanting),
	};

	return cmocka_run_group_tests(tests, say_seed, NULL);
}
