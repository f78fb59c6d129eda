/* SPDX-License-Identifier: MIT */
/*
 * storage_benchmarks.c - what the LSM engine's choices cost and give: styles of compaction,
 * sizes of memtables and blocks, tables read or mapped, large values apart from keys or not;
 * the hash engine beside them.
 *
 * Each line is a store of its own: all records are loaded in random order (or sorted), and
 * overwritten once, at random. Then work in the background comes to its end, and it is read:
 * gets that hit and that miss, scans of 50, all pairs. Of writing, the longest operation and
 * the one in a thousand are told as well: that is what compactions make writers wait for.
 *
 * Write amplification is bytes written to files for each byte given, the log included; space
 * amplification bytes of files for each byte of pairs that are there; runs is how many a get
 * may have to look into.
 *
 * Comparisons with other people's engines are kvbench's.
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"
#include "../../sprint-2-hash-storage/hash_engine.h"
#include "../lsm_store.h"

#include <getopt.h>
#include <time.h>

enum { KEY_BYTES = 24, SCAN = 50, READS = 200000, SCANS = 4000 };

enum order { RANDOM, SORTED };

struct bench {
	/* constant */
	char dir[ENV_PATH_MAX], manifest[ENV_PATH_MAX];
	bool tsv;
	uint64_t records;
	/* of the store that is measured */
	const struct kv_ops *engine;
	size_t value_bytes;
	struct kv *kv;
	struct kv_buf got;
	uint8_t *value;
	uint64_t *took; /* ns of each write */
	uint64_t random;
};

struct figures {
	double load, overwrite, hit, miss, scan, all; /* millions a second */
	double thousandth, longest;                   /* us, ms: of all writes */
	double write_amplification, space_amplification;
	uint64_t runs;
};

static uint64_t mix(uint64_t z) /* splitmix64's: one to one */
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void make_key(uint64_t number, char *key)
{
	int at;

	memcpy(key, "user", 4);
	for (at = KEY_BYTES; at > 4; number /= 10)
		key[--at] = (char)('0' + number % 10);
}

/* ---- the store ---- */

static bool is_lsm(const struct bench *b)
{
	return b->engine == &lsm_engine;
}

static void store_remove(struct bench *b)
{
	bench_remove_store(b->manifest);
	bench_remove_store(b->dir);
}

static void store_new(struct bench *b, const char *options)
{
	struct kv_msg why = { "" };

	store_remove(b);
	if (kv_open(b->engine, env_posix(), b->dir, options, &b->kv, &why))
		bench_die("%s", why.text);
}

static bool is_settled(struct lsm_store *s)
{
	struct lsm_version *v = lsm_versions_lock(s->versions);
	struct lsm_pick pick;
	int found = lsm_pick(v, &s->layout, &pick);

	lsm_versions_unlock(s->versions);
	if (found < 0)
		bench_die("no memory");
	if (found)
		lsm_pick_free(&pick);
	port_mutex_lock(&s->task_lock);
	found |= s->working > 0;
	port_mutex_unlock(&s->task_lock);
	return !found;
}

static void settle(struct bench *b)
{
	const struct timespec little = { .tv_nsec = 1000000 };

	if (!is_lsm(b))
		return;
	bench_must(lsm_background_flush(lsm_store(b->kv)), "flush");
	while (!is_settled(lsm_store(b->kv)))
		(void)nanosleep(&little, NULL);
}

/* ---- writing ---- */

/* One write a record; which, the order and the round say. Millions a second. */
static double write_all(struct bench *b, enum order order, uint64_t *took)
{
	uint64_t i, begin = bench_now_ns(), before = begin, now;
	char key[KEY_BYTES];

	for (i = 0; i < b->records; i++) {
		uint64_t n = took == b->took ? i : bench_random(&b->random) % b->records;

		make_key(order == SORTED ? n : mix(n), key);
		port_put_le64(b->value, mix(~n));
		bench_must(kv_put(b->kv, kv_slice(key, KEY_BYTES),
				  kv_slice(b->value, b->value_bytes), KV_NONE),
			   "put");
		now = bench_now_ns();
		took[i] = now - before;
		before = now;
	}
	return (double)b->records * 1e3 / (double)(before - begin);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* ---- reading ---- */

static double get_some(struct bench *b, enum order order, bool hit)
{
	uint64_t i, begin = bench_now_ns();
	char key[KEY_BYTES];

	for (i = 0; i < READS; i++) {
		uint64_t n =
			bench_random(&b->random) % b->records + (hit ? 0 : b->records);
		int error;

		make_key(order == SORTED ? n : mix(n), key);
		error = kv_get(b->kv, kv_slice(key, KEY_BYTES), &b->got);
		if (error != (hit ? 0 : -ENOENT))
			bench_die("a get gave %d", error);
	}
	return READS * 1e3 / (double)(bench_now_ns() - begin);
}

/* Millions of pairs a second. */
static double scan_some(struct bench *b, enum order order, uint64_t scans, uint64_t pairs)
{
	uint64_t i, j, start, n = 0, begin = bench_now_ns();
	char key[KEY_BYTES];

	for (i = 0; i < scans; i++) {
		struct kv_cursor *c;
		int error;

		bench_must(kv_cursor(b->kv, NULL, &c), "cursor");
		start = bench_random(&b->random) % b->records;
		make_key(scans == 1 ? 0 : order == SORTED ? start : mix(start), key);
		error = kv_seek(c, kv_slice(key, KEY_BYTES));
		for (j = 1; !error && j < pairs; j++)
			error = kv_next(c);
		n += j - (error != 0);
		kv_cursor_close(c);
	}
	return (double)n * 1e3 / (double)(bench_now_ns() - begin);
}

/* ---- one store ---- */

static void take_stat(void *arg, const char *name, uint64_t value)
{
	struct figures *f = arg;

	if (!strcmp(name, "write_amplification_x100"))
		f->write_amplification = (double)value / 100;
	else if (!strcmp(name, "read_amplification_runs"))
		f->runs = value;
}

static int add_size(void *arg, const char *name)
{
	struct bench *b = ((void **)arg)[0];
	uint64_t *sum = ((void **)arg)[1], bytes;
	struct env *env = env_posix();
	char path[ENV_PATH_MAX];
	struct file *f;
	const char *dot = strrchr(name, '.');

	/* Tables and blob files, or the hash engine's log: not what is kept for later. */
	if (!dot || !strcmp(dot, ".spare") || (is_lsm(b) && !strcmp(dot, ".log")) ||
	    env_path(path, b->dir, name) || env_open(env, path, ENV_READ, &f))
		return 0;
	if (!f->ops->size(f, &bytes))
		*sum += bytes;
	file_close(f);
	return 0;
}

static double space_amplification(struct bench *b)
{
	struct env *env = env_posix();
	uint64_t sum = 0;
	void *arg[] = { b, &sum };

	bench_must(env->ops->list(env, b->dir, add_size, arg), "list");
	return (double)sum / ((double)b->records * (double)(KEY_BYTES + b->value_bytes));
}

static void print(const struct bench *b, const char *table, const char *what,
		  const struct figures *f)
{
	printf(b->tsv ? "%s\t%s\t%.3f\t%.3f\t%.1f\t%.2f\t%.2f\t%.2f\t%llu\t%.3f\t%.3f\t%.2f"
			"\t%.2f\n"
		      : "%-9s %-12s %6.3f %6.3f %8.1f %8.2f %6.2f %6.2f %5llu %6.3f %6.3f "
			"%6.2f %6.2f\n",
	       table, what, f->load, f->overwrite, f->thousandth, f->longest,
	       f->write_amplification, f->space_amplification,
	       (unsigned long long)f->runs, f->hit, f->miss, f->scan, f->all);
	(void)fflush(stdout);
}

static void measure(struct bench *b, const char *table, const char *what,
		    const char *options, enum order order)
{
	struct figures f = { 0 };
	uint64_t n = 2 * b->records;

	store_new(b, options);
	f.load = write_all(b, order, b->took);
	f.overwrite = write_all(b, order, b->took + b->records);
	settle(b);
	f.hit = get_some(b, order, true);
	f.miss = get_some(b, order, false);
	if (b->engine->caps & KV_CAP_ORDERED) {
		f.scan = scan_some(b, order, SCANS, SCAN);
		f.all = scan_some(b, order, 1, UINT64_MAX);
	}
	kv_stats(b->kv, take_stat, &f);
	f.space_amplification = space_amplification(b);
	bench_must(kv_close(b->kv), "close");
	store_remove(b);
	qsort(b->took, n, sizeof(*b->took), compare_u64);
	f.thousandth = (double)b->took[n - n / 1000 - 1] / 1e3;
	f.longest = (double)b->took[n - 1] / 1e6;
	print(b, table, what, &f);
}

struct line {
	const char *table, *what, *options;
	size_t value_bytes;
	enum order order;
};

static const struct line lines[] = {
	{ "style", "lazy", "style=lazy", 100, RANDOM },
	{ "style", "leveled", "style=leveled", 100, RANDOM },
	{ "style", "tiered", "style=tiered", 100, RANDOM },
	{ "order", "sorted", "", 100, SORTED },
	{ "ratio", "4", "ratio=4", 100, RANDOM },
	{ "ratio", "16", "ratio=16", 100, RANDOM },
	{ "memtable", "4 MiB", "memtable_bytes=4m", 100, RANDOM },
	{ "memtable", "16 MiB", "memtable_bytes=16m", 100, RANDOM },
	{ "memtable", "32 MiB", "memtable_bytes=32m", 100, RANDOM },
	{ "block", "1 KiB", "block_bytes=1k", 100, RANDOM },
	{ "block", "4 KiB", "block_bytes=4k", 100, RANDOM },
	{ "block", "16 KiB", "block_bytes=16k", 100, RANDOM },
	{ "restart", "4", "restart_interval=4", 100, RANDOM },
	{ "restart", "16", "restart_interval=16", 100, RANDOM },
	{ "access", "read", "access=read", 100, RANDOM },
	{ "access", "map", "access=map", 100, RANDOM },
#ifdef HAVE_LZ4
	{ "access", "map, lz4", "access=map,compression=lz4", 100, RANDOM },
#endif
	{ "blob", "none", "blob_bytes=0", 1000, RANDOM },
	{ "blob", "512", "blob_bytes=512", 1000, RANDOM },
};

static void measure_all(struct bench *b, const char *only)
{
	size_t i;

	if (!b->tsv)
		printf("%-9s %-12s %6s %6s %8s %8s %6s %6s %5s %6s %6s %6s %6s\n", "", "",
		       "load", "overw.", "99.9% us", "most ms", "write", "space", "runs",
		       "hit", "miss", "s. 50", "all");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (only && strcmp(only, lines[i].table))
			continue;
		b->engine = &lsm_engine;
		b->value_bytes = lines[i].value_bytes;
		measure(b, lines[i].table, lines[i].what, lines[i].options,
			lines[i].order);
	}
	if (only && strcmp(only, "hash"))
		return;
	b->engine = &hash_engine;
	b->value_bytes = 100;
	measure(b, "hash", "", "", RANDOM);
}

static int usage(FILE *to, int code)
{
	(void)fprintf(to,
		      "usage: storage_benchmarks [--records N] [--table NAME] [--tsv] "
		      "[--dir DIRECTORY]\n"
		      "Millions of operations (of scans: of pairs) a second; see the "
		      "file's head.\n");
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "records", 1, NULL, 'n' }, { "table", 1, NULL, 't' },
		{ "tsv", 0, NULL, 'v' },     { "dir", 1, NULL, 'd' },
		{ "help", 0, NULL, 'h' },    { 0 }
	};
	struct bench b = { .records = 300000, .random = 1 };
	const char *below = "build", *only = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n')
			b.records = strtoull(optarg, NULL, 10);
		else if (c == 't')
			only = optarg;
		else if (c == 'v')
			b.tsv = true;
		else if (c == 'd')
			below = optarg;
		else
			return c == 'h' ? usage(stdout, 0) : usage(stderr, 2);
	}
	if (b.records < 1000)
		return usage(stderr, 2);
	bench_name_store(b.dir, below, "storage-benchmarks");
	if (env_path(b.manifest, b.dir, "manifest"))
		bench_die("the path of --dir is too long");
	b.took = bench_alloc(2 * b.records * sizeof(*b.took));
	b.value = bench_alloc(1000);
	memset(b.value, 'v', 1000);
	measure_all(&b, only);
	kv_buf_free(&b.got);
	free(b.value);
	free(b.took);
	return 0;
}
