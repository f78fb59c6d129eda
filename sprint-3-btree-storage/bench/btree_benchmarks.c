/* SPDX-License-Identifier: MIT */
/*
 * btree_benchmarks.c - what the B+tree engine costs, over the size of the data, the
 * branching factor and the size of pages, beside the hash engine: insertion in random order,
 * sorted and in bulk; look-ups that hit and that miss; scans of 1, 100, 10,000 pairs and of
 * all; look-ups and scans while another thread writes.
 *
 * A pair is "user" with twenty digits of a hash and a value of 100 bytes. Keys are made
 * before the clock runs. A figure is the median of some slices of time, an insertion's that
 * of the whole load. All are in millions a second: operations; of scans the pairs, but for
 * scans of one, which are counted themselves.
 *
 * With --clock cpu each thread's own processor time counts, so that other programs disturb
 * little; it does not see what is waited for, neither the device nor another thread.
 *
 * Comparisons with other people's engines are kvbench's.
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"

#include <getopt.h>
#include <math.h>

#include "../../sprint-2-hash-storage/hash_engine.h"
#include "../btree_engine.h"

enum {
	KEY_BYTES = 24,
	VALUE_BYTES = 100,
	CHUNK = 512, /* keys that are made at a time */
	SLICES = 5,
	SLICE_NS = 20000000,
	RECORDS_LEAST = 20000,
	FILL_PERCENT = 95,
};

enum column {
	RANDOM,
	SORTED,
	BULK,
	HIT,
	MISS,
	SCAN_1,
	SCAN_100,
	SCAN_10K,
	SCAN_ALL,
	GET_BESIDE,  /* a writer */
	SCAN_BESIDE, /* of 100 */
	WRITER,      /* what it did meanwhile */
	COLUMNS,
};

static const char *const column_name[COLUMNS] = {
	"random", "sorted", "bulk",     "hit",   "miss",    "scan 1",
	"s. 100", "s. 10K", "scan all", "get+w", "s.100+w", "writer",
};

struct bench {
	/* constant */
	char dir[ENV_PATH_MAX]; /* of stores, below what --dir names */
	bool tsv;
	clockid_t clock;
	uint64_t records;

	/* of the store that is measured */
	const struct kv_ops *engine;
	const char *options;
	uint64_t *number; /* of its keys, n of them */
	uint64_t n;
	struct kv *kv;
	struct kv_buf value;
	char key[CHUNK][KEY_BYTES];
	uint64_t random; /* a state */
	unsigned int scan;
	uint64_t stop; /* atomic: the writer's */
	double writer;
	double figure[COLUMNS];
};

static uint64_t clock_ns(const struct bench *b)
{
	struct timespec t;

	(void)clock_gettime(b->clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- keys ---- */

static uint64_t mix(uint64_t z) /* splitmix64's: one to one */
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Numbers and keys have the same order. */
static void make_key(uint64_t number, char *key)
{
	int at;

	memcpy(key, "user", 4);
	for (at = KEY_BYTES; at > 4; number /= 10)
		key[--at] = (char)('0' + number % 10);
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void make_numbers(struct bench *b, uint64_t n)
{
	uint64_t i;

	b->n = n;
	b->number = bench_alloc(n * sizeof(*b->number));
	for (i = 0; i < n; i++)
		b->number[i] = mix(i);
}

/* ---- the store ---- */

static void store_new(struct bench *b)
{
	struct kv_msg why = { "" };

	bench_remove_store(b->dir);
	if (kv_open(b->engine, env_posix(), b->dir, b->options, &b->kv, &why))
		bench_die("%s", why.text);
}

static void store_end(struct bench *b)
{
	bench_must(kv_close(b->kv), "close");
	bench_remove_store(b->dir);
}

static double millions(uint64_t operations, uint64_t ns)
{
	return ns ? (double)operations * 1e3 / (double)ns : NAN;
}

/* ---- insertion ---- */

static const char value_bytes[VALUE_BYTES];

static double load(struct bench *b)
{
	uint64_t took = 0, begun, done, i, n;

	for (done = 0; done < b->n; done += n) {
		n = b->n - done < CHUNK ? b->n - done : CHUNK;
		for (i = 0; i < n; i++)
			make_key(b->number[done + i], b->key[i]);
		begun = clock_ns(b);
		for (i = 0; i < n; i++)
			bench_must(kv_put(b->kv, kv_slice(b->key[i], KEY_BYTES),
					  kv_slice(value_bytes, VALUE_BYTES), KV_NONE),
				   "put");
		took += clock_ns(b) - begun;
	}
	return millions(b->n, took);
}

struct sorted_input {
	const struct bench *bench;
	uint64_t next;
	char key[KEY_BYTES];
};

static int next_pair(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	struct sorted_input *in = arg;

	if (in->next == in->bench->n)
		return -ENOENT;
	make_key(in->bench->number[in->next++], in->key);
	*key = kv_slice(in->key, KEY_BYTES);
	*value = kv_slice(value_bytes, VALUE_BYTES);
	return 0;
}

static double load_bulk(struct bench *b)
{
	struct sorted_input in = { .bench = b };
	uint64_t begun = clock_ns(b);

	bench_must(btree_bulk_load(b->kv, FILL_PERCENT, next_pair, &in), "bulk load");
	return millions(b->n, clock_ns(b) - begun);
}

/* The random load comes last: its store is the one that all else is asked of. */
static void measure_insertion(struct bench *b)
{
	uint64_t i, j, swap;

	port_sort(b->number, b->n, sizeof(*b->number), compare_numbers);
	if (b->engine == &btree_engine) {
		store_new(b);
		b->figure[BULK] = load_bulk(b);
		store_end(b);
	}
	store_new(b);
	b->figure[SORTED] = load(b);
	store_end(b);
	for (i = b->n - 1; i; i--) {
		j = bench_random_below(&b->random, (size_t)i + 1);
		swap = b->number[i];
		b->number[i] = b->number[j];
		b->number[j] = swap;
	}
	store_new(b);
	b->figure[RANDOM] = load(b);
}

/* ---- slices of time ---- */

/* Does some operations, and returns their number and how long they took. */
typedef uint64_t slice_fn(struct bench *b, uint64_t *ns);

static double median_rate(struct bench *b, slice_fn *run)
{
	uint64_t operations, ns, took;
	double rate[SLICES];
	int i;

	(void)run(b, &took); /* warms up */
	for (i = 0; i < SLICES; i++) {
		for (operations = ns = 0; ns < SLICE_NS; ns += took)
			operations += run(b, &took);
		rate[i] = millions(operations, ns);
	}
	port_sort(rate, SLICES, sizeof(rate[0]), bench_compare);
	return rate[SLICES / 2];
}

static uint64_t random_number(struct bench *b)
{
	return b->number[bench_random_below(&b->random, b->n)];
}

static uint64_t get_chunk(struct bench *b, uint64_t beside, int expected, uint64_t *ns)
{
	uint64_t begun;
	size_t i;

	for (i = 0; i < CHUNK; i++)
		make_key(random_number(b) + beside, b->key[i]);
	begun = clock_ns(b);
	for (i = 0; i < CHUNK; i++)
		if (kv_get(b->kv, kv_slice(b->key[i], KEY_BYTES), &b->value) != expected)
			bench_die("a get did not give what it should");
	*ns = clock_ns(b) - begun;
	return CHUNK;
}

static uint64_t get_hits(struct bench *b, uint64_t *ns)
{
	return get_chunk(b, 0, 0, ns);
}

/* Of keys right behind those that are there. */
static uint64_t get_misses(struct bench *b, uint64_t *ns)
{
	return get_chunk(b, 1, -ENOENT, ns);
}

/* ---- scans ---- */

/* Up to limit pairs from the cursor's place. */
static uint64_t walk(struct bench *b, struct kv_cursor *c, int error, uint64_t limit)
{
	uint64_t n = 0, sum = 0;

	while (!error) {
		sum += *(const uint8_t *)c->value.data;
		if (++n == limit)
			break;
		error = kv_next(c);
	}
	if (error && error != -ENOENT)
		bench_must(error, b->engine->name);
	bench_sink += sum;
	return n;
}

/* From a key that is there, with a cursor of its own, as a program would that asks once. */
static uint64_t scan_some(struct bench *b, uint64_t *ns)
{
	struct kv_cursor *c;
	uint64_t begun, n;
	char key[KEY_BYTES];

	make_key(random_number(b), key);
	begun = clock_ns(b);
	bench_must(kv_cursor(b->kv, NULL, &c), "cursor");
	n = walk(b, c, kv_seek(c, kv_slice(key, KEY_BYTES)), b->scan);
	kv_cursor_close(c);
	*ns = clock_ns(b) - begun;
	return n;
}

static uint64_t scan_all(struct bench *b, uint64_t *ns)
{
	struct kv_cursor *c;
	uint64_t begun = clock_ns(b), n;

	bench_must(kv_cursor(b->kv, NULL, &c), "cursor");
	n = walk(b, c, kv_next(c), UINT64_MAX);
	kv_cursor_close(c);
	if (n != b->n)
		bench_die("a scan gave %llu of %llu pairs", (unsigned long long)n,
			  (unsigned long long)b->n);
	*ns = clock_ns(b) - begun;
	return n;
}

static double scan_rate(struct bench *b, unsigned int pairs)
{
	b->scan = pairs;
	return median_rate(b, scan_some);
}

static void measure_reading(struct bench *b)
{
	b->figure[HIT] = median_rate(b, get_hits);
	b->figure[MISS] = median_rate(b, get_misses);
	if (b->engine->caps & KV_CAP_ORDERED) {
		b->figure[SCAN_1] = scan_rate(b, 1);
		b->figure[SCAN_100] = scan_rate(b, 100);
		b->figure[SCAN_10K] = scan_rate(b, 10000);
	}
	b->figure[SCAN_ALL] = median_rate(b, scan_all);
}

/* ---- beside a writer ---- */

/* Overwrites pairs at random, with values of the same length. */
static void write_on(void *arg)
{
	struct bench *b = arg;
	uint64_t n = 0, begun = clock_ns(b), random = 99;
	char key[KEY_BYTES];

	while (!port_load_acquire(&b->stop)) {
		make_key(b->number[bench_random_below(&random, b->n)], key);
		bench_must(kv_put(b->kv, kv_slice(key, KEY_BYTES),
				  kv_slice(value_bytes, VALUE_BYTES), KV_NONE),
			   "put");
		n++;
	}
	b->writer = millions(n, clock_ns(b) - begun);
}

static void measure_beside_writer(struct bench *b)
{
	struct env *env = env_posix();
	struct env_task *task;

	b->stop = 0;
	bench_must(env->ops->spawn(env, "writer", write_on, b, &task), "thread");
	b->figure[GET_BESIDE] = median_rate(b, get_hits);
	if (b->engine->caps & KV_CAP_ORDERED)
		b->figure[SCAN_BESIDE] = scan_rate(b, 100);
	port_store_release(&b->stop, (uint64_t)1);
	env->ops->join(env, task);
	b->figure[WRITER] = b->writer;
}

/* ---- tables ---- */

static void print_head(const struct bench *b, const char *title, const char *what)
{
	int i;

	if (b->tsv)
		return;
	printf("\n%s\nmillions a second\n%-14s", title, what);
	for (i = 0; i < COLUMNS; i++)
		printf(" %8s", column_name[i]);
	(void)putchar('\n');
}

static void print_row(const struct bench *b, const char *table, const char *label)
{
	int i;

	if (b->tsv)
		printf("%s\t%s\t%s\t%llu", table, b->engine->name, label,
		       (unsigned long long)b->n);
	else
		printf("%-14s", label);
	for (i = 0; i < COLUMNS; i++) {
		if (b->tsv)
			printf("\t%.6g", b->figure[i]);
		else if (isnan(b->figure[i]))
			printf(" %8s", "-");
		else
			printf(" %8.3f", b->figure[i]);
	}
	(void)putchar('\n');
	(void)fflush(stdout);
}

static void measure(struct bench *b, const struct kv_ops *engine, const char *options,
		    uint64_t n, const char *table, const char *label)
{
	int i;

	b->engine = engine;
	b->options = options;
	for (i = 0; i < COLUMNS; i++)
		b->figure[i] = NAN;
	make_numbers(b, n);
	measure_insertion(b);
	measure_reading(b);
	measure_beside_writer(b);
	store_end(b);
	port_free_aligned(b->number);
	print_row(b, table, label);
}

static void measure_sizes(struct bench *b)
{
	uint64_t n;
	char label[32];

	print_head(b, "size of the data, and the hash engine", "pairs");
	for (n = b->records / 100; n <= b->records; n *= 10) {
		(void)snprintf(label, sizeof(label), b->tsv ? "%llu" : "%llu btree",
			       (unsigned long long)n);
		measure(b, &btree_engine, "", n, "sizes", label);
		(void)snprintf(label, sizeof(label), b->tsv ? "%llu" : "%llu hash",
			       (unsigned long long)n);
		measure(b, &hash_engine, "", n, "sizes", label);
	}
}

static void measure_option(struct bench *b, const char *title, const char *name,
			   const char *const *value, size_t values)
{
	char options[64];
	size_t i;

	print_head(b, title, name);
	for (i = 0; i < values; i++) {
		(void)snprintf(options, sizeof(options), "%s=%s", name, value[i]);
		measure(b, &btree_engine, options, b->records / 10, name, value[i]);
	}
}

/* ---- main ---- */

static void usage(FILE *out)
{
	fputs("Usage: btree_benchmarks [options]\n"
	      "Measures the B+tree engine over data, branching factors and page sizes.\n\n"
	      "  --records N   pairs of the largest store; others have a tenth and a hundredth\n"
	      "                (default: $BTREE_BENCH_RECORDS, or 1000000)\n"
	      "  --clock C     wall (default), or cpu: each thread's own processor time\n"
	      "  --dir DIR     stores are DIR/btree-bench, and removed (default build)\n"
	      "  --tsv         for plot.sh: a store a line\n"
	      "  --help        this text\n",
	      out);
}

static void parse_clock(struct bench *b, const char *name)
{
	if (!strcmp(name, "cpu"))
		b->clock = CLOCK_THREAD_CPUTIME_ID;
	else if (strcmp(name, "wall") != 0)
		bench_die("--clock is wall or cpu, not \"%s\"", name);
}

static void parse_records(struct bench *b, const char *text)
{
	char *end;

	b->records = strtoull(text, &end, 10);
	if (*end || b->records < RECORDS_LEAST || b->records > UINT32_MAX)
		bench_die("\"%s\" pairs: give a number from %d on", text, RECORDS_LEAST);
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "records", required_argument, NULL, 'r' },
		{ "clock", required_argument, NULL, 'c' },
		{ "dir", required_argument, NULL, 'd' },
		{ "tsv", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *records = getenv("BTREE_BENCH_RECORDS"), *dir = "build";
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'r') {
			records = optarg;
		} else if (c == 'c') {
			parse_clock(b, optarg);
		} else if (c == 'd') {
			dir = optarg;
		} else if (c == 't') {
			b->tsv = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind < argc)
		bench_die("unexpected \"%s\"; see --help", argv[optind]);
	if (records)
		parse_records(b, records);
	bench_name_store(b->dir, dir, "btree-bench");
}

int main(int argc, char **argv)
{
	static const char *const factor[] = { "4", "8", "16", "32", "64", "0" };
	static const char *const page[] = { "4096", "8192", "16384", "32768", "65536" };
	static struct bench b = {
		.clock = CLOCK_MONOTONIC,
		.records = 1000000,
		.random = 1,
	};

	parse(&b, argc, argv);
	measure_sizes(&b);
	measure_option(&b, "branching factor: most entries of a node; 0: as many as fit",
		       "max_keys", factor, sizeof(factor) / sizeof(factor[0]));
	measure_option(&b, "size of pages", "page_bytes", page,
		       sizeof(page) / sizeof(page[0]));
	kv_buf_free(&b.value);
	return 0;
}
