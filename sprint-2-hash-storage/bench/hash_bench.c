/* SPDX-License-Identifier: MIT */
/*
 * hash_bench.c - what the hash engine alone is asked: a cold get beside a chase of the same
 * memory, gets in batches, the longest pause while it grows, opening with and without the
 * index's checkpoint, commits by one writer and by many.
 *
 * Comparisons with other engines are kvbench's; here each number stands beside the cost of
 * the machine that it can't be better than.
 */
#include "bench_store.h"

#include <getopt.h>
#include <unistd.h>

#include "../hash_engine.h"
#include "../hash_index.h"

enum {
	KEY_BYTES = 24,
	BATCH = 16,
	CHUNK = 256 * BATCH, /* keys that are made at a time, before the clock runs */
	LINE = 64,
	SYNC_NS = 1000000000,
	WRITERS = 8,
};

struct bench {
	/* constant */
	char dir[ENV_PATH_MAX]; /* of the store, below what --dir names */
	const char *options;
	uint64_t records;
	size_t value_bytes;

	struct kv *kv;
	uint64_t random; /* a state */
	uint64_t index_bytes;
	char key[CHUNK][KEY_BYTES + 1];
	struct kv_buf value[BATCH];
};

static void make_key(uint64_t i, char *key)
{
	uint64_t n = i * 0x9e3779b97f4a7c15u;
	int at;

	memcpy(key, "user", 4);
	for (at = KEY_BYTES; at > 4; n /= 10)
		key[--at] = (char)('0' + n % 10);
	key[KEY_BYTES] = '\0';
}

static void open_store(struct bench *b)
{
	struct kv_msg why = { "" };

	if (kv_open(&hash_engine, env_posix(), b->dir, b->options, &b->kv, &why))
		bench_die("%s", why.text);
}

static void close_store(struct bench *b)
{
	bench_must(kv_close(b->kv), "close");
	b->kv = NULL;
}

/* ---- loading: throughput, the worst second, the longest pauses ---- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void load(struct bench *b)
{
	uint64_t *ns = bench_alloc(b->records * sizeof(*ns));
	uint64_t begun = bench_now_ns(), before = begun, second = begun, in_second = 0;
	uint64_t worst = UINT64_MAX, i, now;
	uint8_t *value = bench_alloc(b->value_bytes);
	char key[KEY_BYTES + 1];

	memset(value, 'v', b->value_bytes);
	for (i = 0; i < b->records; i++) {
		make_key(i, key);
		bench_must(kv_put(b->kv, kv_slice(key, KEY_BYTES),
				  kv_slice(value, b->value_bytes), KV_NONE),
			   "put");
		now = bench_now_ns();
		ns[i] = now - before;
		before = now;
		in_second++;
		if (now - second >= 1000000000) {
			if (worst > in_second)
				worst = in_second;
			in_second = 0;
			second = now;
		}
	}
	now = bench_now_ns() - begun;
	port_sort(ns, b->records, sizeof(*ns), compare_u64);
	printf("\nload of %llu pairs, %d + %zu bytes, one thread, none\n",
	       (unsigned long long)b->records, KEY_BYTES, b->value_bytes);
	printf("  %-38s %12.0f\n", "puts a second",
	       (double)b->records * 1e9 / (double)now);
	if (worst != UINT64_MAX)
		printf("  %-38s %12llu\n", "puts in the worst full second",
		       (unsigned long long)worst);
	printf("  %-38s %12.1f us\n", "p99.9",
	       (double)ns[b->records * 999 / 1000] * 1e-3);
	printf("  %-38s %12.1f us\n", "longest", (double)ns[b->records - 1] * 1e-3);
	port_free_aligned(ns);
	port_free_aligned(value);
}

static void print_stat(void *arg, const char *name, uint64_t value)
{
	struct bench *b = arg;

	if (!strcmp(name, "index_bytes")) {
		b->index_bytes = value;
		printf("  %-38s %12.1f\n", "bytes of index a pair",
		       (double)value / (double)b->records);
	} else if (!strcmp(name, "index_longest_split"))
		printf("  %-38s %12llu entries\n", "longest split",
		       (unsigned long long)value);
}

/* ---- the index alone: what growth costs the one who pays for it ---- */

static void measure_growth(const struct bench *b)
{
	const struct hash_index_config c = { &hash_table_swiss, 3584, 100, 0 };
	uint64_t *ns = bench_alloc(b->records * sizeof(*ns));
	uint64_t i, hash, begun, random = 1;
	struct hash_index *ix;
	struct epoch *epoch;

	bench_must(epoch_new(&epoch), "epoch");
	bench_must(hash_index_new(&c, epoch, &ix), "index");
	for (i = 0; i < b->records; i++) {
		hash = bench_random(&random);
		begun = bench_now_ns();
		hash_index_lock(ix, hash_index_shard(hash));
		bench_must(hash_index_insert(ix, hash, i), "insert");
		hash_index_unlock(ix, hash_index_shard(hash));
		ns[i] = bench_now_ns() - begun;
	}
	port_sort(ns, b->records, sizeof(*ns), compare_u64);
	printf("\nthe index alone, growing to %llu entries: one insert\n",
	       (unsigned long long)b->records);
	printf("  %-38s %12.2f us\n", "median", (double)ns[b->records / 2] * 1e-3);
	printf("  %-38s %12.2f us\n", "p99.99, with a split",
	       (double)ns[b->records - b->records / 10000 - 1] * 1e-3);
	printf("  %-38s %12.2f us\n", "longest", (double)ns[b->records - 1] * 1e-3);
	hash_index_free(ix);
	epoch_free(epoch);
	port_free_aligned(ns);
}

/* ---- gets ---- */

static void make_chunk(struct bench *b)
{
	size_t i;

	for (i = 0; i < CHUNK; i++)
		make_key(bench_random(&b->random) % b->records, b->key[i]);
}

static uint64_t get_chunk(struct bench *b, size_t n)
{
	uint64_t begun = bench_now_ns();
	size_t i;

	for (i = 0; i < n; i++)
		bench_must(kv_get(b->kv, kv_slice(b->key[i], KEY_BYTES), &b->value[0]),
			   "get");
	return bench_now_ns() - begun;
}

static uint64_t get_chunk_batched(struct bench *b, size_t n)
{
	uint64_t begun = bench_now_ns();
	struct kv_slice slice[BATCH];
	int error[BATCH];
	size_t i, j, m;

	for (i = 0; i < n; i += m) {
		m = n - i < BATCH ? n - i : BATCH;
		for (j = 0; j < m; j++)
			slice[j] = kv_slice(b->key[i + j], KEY_BYTES);
		bench_must(kv_multi_get(b->kv, NULL, m, slice, b->value, error),
			   "multi_get");
	}
	return bench_now_ns() - begun;
}

static uint64_t each_chunk(struct bench *b, size_t ops,
			   uint64_t (*run)(struct bench *b, size_t n))
{
	uint64_t took = 0;
	size_t n;

	for (; ops; ops -= n) {
		n = ops < CHUNK ? ops : CHUNK;
		make_chunk(b);
		took += run(b, n);
	}
	return took;
}

static uint64_t get_one(void *arg, size_t ops)
{
	return each_chunk(arg, ops, get_chunk);
}

static uint64_t get_many(void *arg, size_t ops)
{
	return each_chunk(arg, ops, get_chunk_batched);
}

/* ---- the machine's own: a chase through as much memory ---- */

struct chase {
	uint64_t *index, *log; /* zeros; in pages as the store's are */
	uint64_t index_lines, log_lines;
	uint64_t random; /* a state of full period: no line is met in a circle */
};

static uint64_t next_line(struct chase *c, uint64_t loaded, uint64_t lines)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u + loaded;
	return (uint64_t)((unsigned __int128)c->random * lines >> 64) * (LINE / 8);
}

/* The lines that a get waits for one after the other: one of the index, one of the log.
 * Where each lies depends on what was read before it. */
static uint64_t chase(void *arg, size_t ops)
{
	struct chase *c = arg;
	uint64_t begun = bench_now_ns(), loaded = 0;

	for (; ops; ops--) {
		loaded = c->index[next_line(c, loaded, c->index_lines)];
		loaded = c->log[next_line(c, loaded, c->log_lines)];
	}
	bench_sink += loaded;
	return bench_now_ns() - begun;
}

static void measure_gets(struct bench *b)
{
	size_t index_bytes = (b->index_bytes / PORT_HUGE_BYTES + 1) * PORT_HUGE_BYTES;
	struct chase c = {
		.index = port_alloc_huge(index_bytes),
		.index_lines = index_bytes / LINE,
		.log_lines = b->records * (b->value_bytes + 60) / LINE + 1,
	};

	if (!c.index)
		bench_die("no memory for %zu bytes", index_bytes);
	c.log = bench_alloc(c.log_lines * LINE);
	memset(c.index, 0, index_bytes);
	memset(c.log, 0, c.log_lines * LINE);
	bench_section("uniform gets; get against the others");
	bench_row("get of a cold key", b->records, 0, get_one, b);
	bench_row("chase of two dependent misses", b->records, 0, chase, &c);
	bench_row("multi_get of 16, a key", b->records, 0, get_many, b);
	port_free_huge(c.index, index_bytes);
	port_free_aligned(c.log);
	bench_group();
}

/* ---- opening ---- */

static void measure_open(struct bench *b)
{
	char path[1100];
	uint64_t begun = bench_now_ns(), with, without;

	open_store(b);
	with = bench_now_ns() - begun;
	close_store(b);
	(void)snprintf(path, sizeof(path), "%s/INDEX", b->dir);
	if (unlink(path))
		bench_die("%s cannot be removed", path);
	begun = bench_now_ns();
	open_store(b);
	without = bench_now_ns() - begun;
	printf("\nopening\n  %-38s %12.1f ms\n  %-38s %12.1f ms  %6.1fx\n",
	       "with the index's checkpoint", (double)with * 1e-6,
	       "by reading the whole log", (double)without * 1e-6,
	       (double)without / (double)with);
}

/* ---- commits ---- */

struct writer {
	struct bench *bench;
	unsigned int number;
	uint64_t commits;
};

static void write_synced(void *arg)
{
	struct writer *w = arg;
	uint64_t until = bench_now_ns() + SYNC_NS;
	char key[KEY_BYTES + 1], value[100] = { 0 };

	for (; bench_now_ns() < until; w->commits++) {
		make_key(w->commits * WRITERS + w->number, key);
		bench_must(kv_put(w->bench->kv, kv_slice(key, KEY_BYTES),
				  kv_slice(value, sizeof(value)), KV_SYNC),
			   "put");
	}
}

static double commits_a_second(struct bench *b, unsigned int writers)
{
	struct env *env = env_posix();
	struct writer w[WRITERS];
	struct env_task *task[WRITERS];
	uint64_t begun = bench_now_ns(), commits = 0;
	unsigned int i;

	for (i = 0; i < writers; i++) {
		w[i] = (struct writer){ b, i, 0 };
		bench_must(env->ops->spawn(env, "writer", write_synced, &w[i], &task[i]),
			   "thread");
	}
	for (i = 0; i < writers; i++) {
		env->ops->join(env, task[i]);
		commits += w[i].commits;
	}
	return (double)commits * 1e9 / (double)(bench_now_ns() - begun);
}

/* The device: 4 KiB into blocks that are there, and a sync. */
static double syncs_a_second(const struct bench *b)
{
	struct env *env = env_posix();
	uint64_t begun, until, n = 0;
	char path[1100], page[4096] = { 0 };
	struct file *f;

	(void)snprintf(path, sizeof(path), "%s/sync.tmp", b->dir);
	bench_must(env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE, &f), path);
	for (n = 0; n < 1024; n++)
		bench_must(file_write(f, n * sizeof(page), page, sizeof(page)), path);
	bench_must(file_sync(f), "sync");
	begun = bench_now_ns();
	until = begun + SYNC_NS;
	for (n = 0; bench_now_ns() < until; n++) {
		bench_must(file_write(f, n % 1024 * sizeof(page), page, sizeof(page)),
			   path);
		bench_must(file_sync(f), "sync");
	}
	file_close(f);
	bench_must(env->ops->unlink(env, path), path);
	return (double)n * 1e9 / (double)(bench_now_ns() - begun);
}

static void measure_commits(struct bench *b)
{
	double device = syncs_a_second(b), one = commits_a_second(b, 1);
	double many = commits_a_second(b, WRITERS);

	printf("\ncommits a second, durability sync\n");
	printf("  %-38s %12.0f\n", "the device: write and fdatasync", device);
	printf("  %-38s %12.0f  %6.2fx\n", "one writer", one, one / device);
	printf("  %-38s %12.0f  %6.2fx of one\n", "eight writers", many, many / one);
}

/* ---- main ---- */

static void usage(void)
{
	puts("Usage: hash_bench [options]\n"
	     "Measures the hash engine beside the machine it runs on.\n\n"
	     "  --records N   pairs (default 1000000)\n"
	     "  --value B     bytes in a value (default 100)\n"
	     "  --dir DIR     the store is DIR/hash-bench, and removed (default build)\n"
	     "  --options O   of the engine, name=value,...\n"
	     "  --help        this text");
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "records", required_argument, NULL, 'r' },
		{ "value", required_argument, NULL, 'v' },
		{ "dir", required_argument, NULL, 'd' },
		{ "options", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *dir = "build";
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'r')
			b->records = strtoull(optarg, NULL, 10);
		else if (c == 'v')
			b->value_bytes = (size_t)strtoull(optarg, NULL, 10);
		else if (c == 'd')
			dir = optarg;
		else if (c == 'o')
			b->options = optarg;
		else {
			usage();
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (!b->records || !b->value_bytes)
		bench_die("--records and --value want numbers above 0");
	bench_name_store(b->dir, dir, "hash-bench");
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.records = 1000000,
		.value_bytes = 100,
		.random = 1,
	};
	unsigned int i;

	parse(&b, argc, argv);
	bench_remove_store(b.dir);
	open_store(&b);
	load(&b);
	kv_stats(b.kv, print_stat, &b);
	measure_growth(&b);
	measure_gets(&b);
	close_store(&b);
	measure_open(&b);
	measure_commits(&b);
	close_store(&b);
	bench_remove_store(b.dir);
	for (i = 0; i < BATCH; i++)
		kv_buf_free(&b.value[i]);
	return 0;
}
