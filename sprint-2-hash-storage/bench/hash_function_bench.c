/* SPDX-License-Identifier: MIT */
/*
 * hash_function_bench.c - what hashing a key costs: each function, plain, for one key and
 * for batches, by the length of the keys; and comparing two keys.
 *
 *   scalar   plain C, one key after the other
 *   one      the fastest form for one key; keys do not wait for each other
 *   waited   the same, but which key is next depends on the hash before: what a single get
 *            waits for
 *   many     batches of 16
 *
 * The keys stand in the processor's cache. A cell is the median of some rounds. Every
 * form's hashes are compared with the plain ones before its time is taken.
 */
#include "../../sprint-1-core-memory/bench/bench_row.h"
#include "../hash_function.h"

#include <getopt.h>

enum {
	KEYS = 256, /* in turn; a power of two, and a multiple of BATCH */
	BATCH = 16,
	MIXED_MIN = 8, /* the last column: lengths by chance */
	MIXED_MAX = 64,
	LONGEST = 1024,
	ROUNDS = 21,
	ROUND_NS = 1000000,
};

static const size_t lengths[] = { 8, 16, 24, 64, 256, LONGEST, 0 /* mixed */ };

enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

struct keys {
	struct kv_slice key[KEYS], copy[KEYS]; /* equal bytes at other addresses */
	double bytes;                          /* of one key, on average */
	uint8_t *memory;
};

struct way {
	const struct hash_function *f;
	const char *function, *name;
	/* Hashes or compares every key once; returns what depends on all of it. */
	uint64_t (*pass)(const struct hash_function *f, const struct keys *k);
};

struct cell {
	double ns, gb_per_s;
};

enum { SEED = 0x5eed };

/* ---- the passes ---- */

static uint64_t pass_scalar(const struct hash_function *f, const struct keys *k)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < KEYS; i++)
		sum += f->scalar(SEED, k->key[i].data, k->key[i].len);
	return sum;
}

static uint64_t pass_one(const struct hash_function *f, const struct keys *k)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < KEYS; i++)
		sum += f->one(SEED, k->key[i].data, k->key[i].len);
	return sum;
}

static uint64_t pass_waited(const struct hash_function *f, const struct keys *k)
{
	uint64_t hash = 0;
	size_t i;

	for (i = 0; i < KEYS; i++) {
		const struct kv_slice *key = &k->key[(hash ^ i) % KEYS];

		hash = f->one(SEED, key->data, key->len);
	}
	return hash;
}

static uint64_t pass_many(const struct hash_function *f, const struct keys *k)
{
	uint64_t hash[BATCH], sum = 0;
	size_t i, j;

	for (i = 0; i < KEYS; i += BATCH) {
		f->many(SEED, &k->key[i], BATCH, hash);
		for (j = 0; j < BATCH; j++)
			sum += hash[j];
	}
	return sum;
}

static uint64_t pass_memcmp(const struct hash_function *f, const struct keys *k)
{
	uint64_t equal = 0;
	size_t i;

	(void)f;
	for (i = 0; i < KEYS; i++)
		equal += !memcmp(k->key[i].data, k->copy[i].data, k->key[i].len);
	return equal;
}

static uint64_t pass_key_equal(const struct hash_function *f, const struct keys *k)
{
	uint64_t equal = 0;
	size_t i;

	(void)f;
	for (i = 0; i < KEYS; i++)
		equal += hash_key_equal(k->key[i].data, k->copy[i].data, k->key[i].len);
	return equal;
}

/* ---- keys ---- */

static void keys_make(struct keys *k, size_t length)
{
	uint64_t random = SEED;
	uint8_t *p;
	size_t i, j;

	k->memory = bench_alloc(2 * KEYS * LONGEST);
	k->bytes = 0;
	for (p = k->memory, i = 0; i < KEYS; i++) {
		size_t n = length ? length
				  : MIXED_MIN +
					    bench_random_below(&random,
							       MIXED_MAX - MIXED_MIN + 1);

		for (j = 0; j < n; j++)
			p[j] = (uint8_t)(bench_random(&random) >> 56);
		memcpy(p + n, p, n);
		k->key[i] = kv_slice(p, n);
		k->copy[i] = kv_slice(p + n, n);
		k->bytes += (double)n / KEYS;
		p += 2 * n;
	}
}

static void check_same(const struct way *w, const struct keys *k)
{
	uint64_t want = 0, got = w->pass(w->f, k);

	if (!w->f)
		want = KEYS;
	else if (w->pass == pass_waited)
		return; /* one's order is another */
	else
		want = pass_scalar(w->f, k);
	if (want != got)
		bench_die("%s %s and the plain form do not agree", w->function, w->name);
}

/* ---- measuring ---- */

static struct cell measure(const struct way *w, const struct keys *k)
{
	double ns[ROUNDS];
	uint64_t begun, took;
	size_t passes = 1, i, r;

	do { /* finds how many passes fill a round, and warms up */
		passes *= 2;
		begun = bench_now_ns();
		for (i = 0; i < passes; i++)
			bench_sink += w->pass(w->f, k);
		took = bench_now_ns() - begun;
	} while (took < ROUND_NS);
	for (r = 0; r < ROUNDS; r++) {
		begun = bench_now_ns();
		for (i = 0; i < passes; i++)
			bench_sink += w->pass(w->f, k);
		ns[r] = (double)(bench_now_ns() - begun) / (double)(passes * KEYS);
	}
	port_sort(ns, ROUNDS, sizeof(ns[0]), bench_compare);
	return (struct cell){ ns[ROUNDS / 2], k->bytes / ns[ROUNDS / 2] };
}

/* ---- what is printed ---- */

static void length_name(size_t length, char *buf, size_t n)
{
	if (length)
		snprintf(buf, n, "%zu", length);
	else
		snprintf(buf, n, "%d-%d", MIXED_MIN, MIXED_MAX);
}

static void print_heading(const char *title)
{
	char name[24];
	size_t i;

	printf("\n%s, by bytes of a key\n%-10s%-8s", title, "", "");
	for (i = 0; i < LENGTHS; i++) {
		length_name(lengths[i], name, sizeof(name));
		printf("%9s", name);
	}
	putchar('\n');
}

static void print_table(const struct way *way, struct cell (*cell)[LENGTHS], size_t n,
			bool speed)
{
	size_t w, i;

	print_heading(speed ? "GB/s" : "ns a key");
	for (w = 0; w < n; w++) {
		bool first = !w || strcmp(way[w].function, way[w - 1].function);

		printf("%-10s%-8s", first ? way[w].function : "", way[w].name);
		for (i = 0; i < LENGTHS; i++)
			printf("%9.2f", speed ? cell[w][i].gb_per_s : cell[w][i].ns);
		putchar('\n');
	}
}

static void print_tsv(const struct way *way, struct cell (*cell)[LENGTHS], size_t n)
{
	char name[24];
	size_t w, i;

	printf("function\tway\tbytes\tns\tgb_per_s\n");
	for (w = 0; w < n; w++)
		for (i = 0; i < LENGTHS; i++) {
			length_name(lengths[i], name, sizeof(name));
			printf("%s\t%s\t%s\t%.3f\t%.3f\n", way[w].function, way[w].name,
			       name, cell[w][i].ns, cell[w][i].gb_per_s);
		}
}

enum { WAYS_MAX = 64 };

static size_t list_ways(struct way *way, const struct hash_function *only)
{
	const struct hash_function *f;
	size_t n = 0, i;

	for (i = 0; (f = hash_function_get(i)) && n + 6 <= WAYS_MAX; i++) {
		if (only && f != only)
			continue;
		way[n++] = (struct way){ f, f->name, "scalar", pass_scalar };
		way[n++] = (struct way){ f, f->name, "one", pass_one };
		way[n++] = (struct way){ f, f->name, "waited", pass_waited };
		way[n++] = (struct way){ f, f->name, "many", pass_many };
	}
	if (!only) {
		way[n++] = (struct way){ NULL, "equal", "memcmp", pass_memcmp };
		way[n++] = (struct way){ NULL, "equal", "vectors", pass_key_equal };
	}
	return n;
}

static void usage(FILE *to)
{
	const struct hash_function *f;
	size_t i;

	fprintf(to,
		"usage: hash_function_bench [--function=NAME] [--tsv]\n"
		"Measures hash functions by the length of the keys: plain C (scalar), the\n"
		"fastest form for one key (one), the same when the next key depends on the\n"
		"hash (waited), batches of 16 (many); and comparing two equal keys.\n\n"
		"  --function=NAME  only this one\n"
		"  --tsv            a line for each cell, separated by tabs\n"
		"  --help           this text\n\nfunctions:\n");
	for (i = 0; (f = hash_function_get(i)); i++)
		fprintf(to, "  %-8s %s\n", f->name, f->help);
}

static void run(const struct hash_function *only, bool tsv)
{
	static struct cell cell[WAYS_MAX][LENGTHS];
	static struct keys keys;
	struct way way[WAYS_MAX];
	size_t n = list_ways(way, only), w, i;

	for (i = 0; i < LENGTHS; i++) {
		keys_make(&keys, lengths[i]);
		for (w = 0; w < n; w++) {
			check_same(&way[w], &keys);
			cell[w][i] = measure(&way[w], &keys);
		}
		port_free_aligned(keys.memory);
	}
	if (tsv) {
		print_tsv(way, cell, n);
		return;
	}
	print_table(way, cell, n, false);
	print_table(way, cell, n, true);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "function", required_argument, NULL, 'f' },
		{ "tsv", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const struct hash_function *only = NULL;
	bool tsv = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'f') {
			only = hash_function_find(optarg);
			if (!only)
				bench_die("no function \"%s\"; --help lists them",
					  optarg);
		} else if (c == 't') {
			tsv = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (optind < argc)
		bench_die("unexpected \"%s\"; see --help", argv[optind]);
	run(only, tsv);
	return 0;
}
