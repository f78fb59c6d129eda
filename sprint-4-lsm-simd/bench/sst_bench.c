/* SPDX-License-Identifier: MIT */
/*
 * sst_bench.c - what one table costs, apart from the engine: building it, point reads that hit
 * and that miss, scans; by block size, restart interval, access and compression.
 *
 * Keys are "user" and twenty digits, evenly spread; values have 100 bytes, half of which can
 * be compressed. The cache is warm, and has room for all. A number is the median of some
 * rounds, in time of the processor, so that other programs disturb little.
 */
#include "../neon_lsm_ops.h"
#include "../sst.h"

#include <getopt.h>
#include <time.h>
#include <unistd.h>

enum { KEY = 24, VALUE = 100, ROUNDS = 5, READS = 300000 };

#define STRIDE UINT64_C(18446744073709) /* between keys: a million fill 64 bits */

struct bench {
	const char *path;
	struct lsm_cache *cache;
	uint64_t n;
	uint64_t random, sum;
	struct sst *t;
	struct sst_summary summary;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare_double(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static uint64_t random_next(struct bench *b) /* splitmix64 */
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void make_key(uint8_t *key, uint64_t number)
{
	int i;

	memcpy(key, "user", 4);
	for (i = KEY - 1; i >= 4; i--, number /= 10)
		key[i] = (uint8_t)('0' + number % 10);
}

static void check(int error, const struct kv_msg *why)
{
	if (!error)
		return;
	(void)fprintf(stderr, "sst_bench: %s (%d)\n", why->text, error);
	exit(1);
}

static double build(struct bench *b, const struct sst_shape *shape)
{
	struct sst_builder_config c = { .env = env_posix(),
					.path = b->path,
					.file = 1,
					.store_id = 1,
					.shape = *shape };
	uint8_t key[KEY], value[VALUE];
	struct kv_msg why = { "" };
	struct sst_builder *builder;
	double begin;
	uint64_t i;

	(void)unlink(b->path);
	memset(value, 'v', sizeof(value));
	check(sst_builder_new(&c, &builder, &why), &why);
	begin = now_ns();
	for (i = 0; i < b->n; i++) {
		size_t j;

		make_key(key, i * STRIDE);
		for (j = 0; j < VALUE / 2; j += 8) {
			uint64_t r = random_next(b);

			memcpy(value + j, &r, VALUE / 2 - j < 8 ? VALUE / 2 - j : 8);
		}
		check(sst_builder_add(builder, kv_slice(key, KEY),
				      lsm_key_hash(kv_slice(key, KEY)),
				      lsm_stamp(1000 + i * 977 % 65521, LSM_PUT),
				      kv_slice(value, VALUE), &why),
		      &why);
	}
	sst_summary_free(&b->summary);
	check(sst_builder_finish(builder, &b->summary, &why), &why);
	return (now_ns() - begin) / (double)b->n;
}

/* What making keys, values and hashes costs, which is not the table's. */
static double build_nothing(struct bench *b)
{
	uint8_t key[KEY];
	double begin = now_ns();
	uint64_t i;
	size_t j;

	for (i = 0; i < b->n; i++) {
		make_key(key, i * STRIDE);
		for (j = 0; j < VALUE / 2; j += 8)
			b->sum += random_next(b);
		b->sum += lsm_key_hash(kv_slice(key, KEY));
	}
	return (now_ns() - begin) / (double)b->n;
}

static void open_table(struct bench *b, enum sst_access access)
{
	const struct sst_config c = {
		.env = env_posix(), .cache = b->cache, .access = access, .store_id = 1
	};
	struct kv_msg why = { "" };

	check(sst_open(&c, b->path, 1, NULL, &b->t, &why), &why);
}

enum reading { HIT, MISS, NOTHING };

/* Keys are made and hashed beforehand by the thousand, so that they cost the same nothing. */
static double get(struct bench *b, enum reading what)
{
	enum { BATCH = 1000 };
	static uint8_t keys[BATCH][KEY];
	static uint64_t hashes[BATCH];
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	double spent = 0, begin;
	uint64_t stamp;
	int i, j, error;

	for (i = 0; i < READS / BATCH; i++) {
		for (j = 0; j < BATCH; j++) {
			make_key(keys[j],
				 random_next(b) % b->n * STRIDE + (what == MISS));
			hashes[j] = lsm_key_hash(kv_slice(keys[j], KEY));
		}
		begin = now_ns();
		for (j = 0; j < BATCH; j++) {
			error = sst_get(b->t, kv_slice(keys[j], KEY), hashes[j],
					LSM_SEQUENCE_MAX, &stamp, &value, &why);
			if (error != (what == MISS ? -ENOENT : 0))
				check(error ? error : -EIO, &why);
			b->sum += value.len;
		}
		spent += now_ns() - begin;
	}
	kv_buf_free(&value);
	return spent / READS;
}

static double scan(struct bench *b, unsigned int flags)
{
	struct kv_msg why = { "" };
	struct lsm_cursor *c;
	double begin = now_ns();
	uint64_t n = 0;

	check(sst_cursor(b->t, flags, &c, &why), &why);
	for (; !lsm_next(c); n++)
		b->sum += c->value.len;
	lsm_cursor_close(c);
	if (n != b->n)
		check(-EIO, &why);
	return (now_ns() - begin) / (double)n;
}

static double median_get(struct bench *b, enum reading what)
{
	double ns[ROUNDS];
	int i;

	(void)get(b, what); /* warms the cache */
	for (i = 0; i < ROUNDS; i++)
		ns[i] = get(b, what);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_double);
	return ns[ROUNDS / 2];
}

static double median_scan(struct bench *b, unsigned int flags)
{
	double ns[ROUNDS];
	int i;

	for (i = 0; i < ROUNDS; i++)
		ns[i] = scan(b, flags);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_double);
	return ns[ROUNDS / 2];
}

static void measure(struct bench *b, const struct sst_shape *shape)
{
	static const char *const names[] = { "read", "map" };
	double built = build(b, shape) - build_nothing(b), hit, miss, warm, cold;
	enum sst_access access;

	for (access = SST_READ; access <= SST_MAP; access++) {
		open_table(b, access);
		warm = median_scan(b, 0);
		cold = median_scan(b, SST_COLD | SST_READAHEAD);
		hit = median_get(b, HIT);
		miss = median_get(b, MISS);
		printf("%6u %4u %5s %5s | %6.0f %6.0f %7.1f | %5.0f %5.0f | %6.1f %6.1f "
		       "| %5.2f\n",
		       shape->block_bytes, shape->restart_interval,
		       shape->compression ? "lz4" : "none", names[access], built,
		       (KEY + VALUE) * 1e3 / built,
		       (double)b->summary.bytes / (double)b->n, hit, miss, warm, cold,
		       (double)sst_pinned_bytes(b->t) / 1024);
		(void)fflush(stdout);
		sst_close(b->t);
		lsm_cache_forget(b->cache, 1, b->summary.bytes);
	}
}

static void measure_all(struct bench *b, bool quick)
{
	static const uint32_t blocks[] = { 4096, 1024, 2048, 8192, 16384, 65536 };
	static const uint16_t intervals[] = { 8, 1, 2, 4, 16, 32 };
	struct sst_shape shape = { .partition_bytes = 4096, .filter_bits = 10 };
	size_t i;

	printf("%6s %4s %5s %5s | %6s %6s %7s | %5s %5s | %6s %6s | %5s\n", "block",
	       "rest", "pack", "how", "build", "MB/s", "bytes/e", "hit", "miss", "scan",
	       "cold", "KiB");
	for (i = 0; i < (quick ? 1 : 6); i++) {
		shape.block_bytes = blocks[i];
		shape.restart_interval = intervals[0];
		measure(b, &shape);
	}
	shape.block_bytes = blocks[0];
	for (i = 1; i < (quick ? 1 : 6); i++) {
		shape.restart_interval = intervals[i];
		measure(b, &shape);
	}
	shape.restart_interval = intervals[0];
	shape.compression = SST_LZ4;
#ifdef HAVE_LZ4
	measure(b, &shape);
#endif
}

int main(int argc, char **argv)
{
	struct bench b = { .path = "sst_bench.sst", .n = 500000, .random = 1 };
	const struct lsm_cache_config cache = { .bytes = UINT64_C(1) << 30,
						.huge = true };
	bool quick = false;
	int c;

	while ((c = getopt(argc, argv, "n:f:qh")) != -1) {
		switch (c) {
		case 'n':
			b.n = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			b.path = optarg;
			break;
		case 'q':
			quick = true;
			break;
		default:
			(void)fprintf(
				c == 'h' ? stdout : stderr,
				"usage: sst_bench [-n entries] [-f file] [-q]\n"
				"Nanoseconds an entry: build, hit, miss, scan (in the "
				"cache, and past it).\n");
			return c == 'h' ? 0 : 2;
		}
	}
	if (!b.n || lsm_cache_new(&cache, &b.cache)) {
		(void)fprintf(stderr, "sst_bench: no entries, or no memory\n");
		return 1;
	}
	measure_all(&b, quick);
	sst_summary_free(&b.summary);
	lsm_cache_free(b.cache);
	(void)unlink(b.path);
	return b.sum == 0;
}
