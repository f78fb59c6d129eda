/* SPDX-License-Identifier: MIT */
/*
 * hash_table_bench.c - what each collision strategy costs against its fill: hits, misses,
 * batches, inserts and removals, in one table that the cache holds and in an array of
 * tables that it does not, chosen by the upper bits of the hash as the hash index does.
 *
 * The match function compares addresses, so that what is measured is the table alone, not
 * the record behind it. A number is the median of some rounds. Hits, misses, inserts and
 * removals follow each other without waiting, as far as the processor overlaps them; in
 * the column "chained" the next hash depends on the address found before, so that a hit is
 * waited for. Beside it stands the chase of dependent reads, one cache line each, in as
 * much memory: what no table can beat.
 */
#include "../../sprint-1-core-memory/port.h"
#include "../hash_table_internal.h"

#include <getopt.h>
#include <time.h>

enum {
	CAPACITY = 4096,    /* entries of a table */
	TABLES_MAX = 65536, /* what the upper bits tell apart */
	ROUNDS = 3,
	BATCH = 16,
};

static const unsigned int fills[] = { 50, 75, 90, 100 }; /* percent of the capacity */

enum column { HIT, CHAINED, MISS, BATCHED, INSERT, REMOVE, COLUMNS };

static const char *const column_name[COLUMNS] = { "hit",   "chained", "miss",
						  "batch", "insert",  "remove" };

struct bench {
	/* constant */
	bool tsv;
	uint64_t seed;
	uint32_t ops_per_round;

	/* what is measured */
	const struct hash_table_ops *ops;
	struct hash_table **table;
	uint32_t tables;
	uint64_t entries;  /* numbers 0 .. entries - 1 are in */
	uint64_t rejected; /* inserts that found no place */
	uint64_t random;   /* a state */
	uint64_t missing;  /* hits that were none */
	uint64_t strange;  /* misses that were none */
	uint32_t probes;
};

struct result {
	double ns[COLUMNS];
	double probes_hit, probes_miss;
};

static uint64_t mix(uint64_t z) /* splitmix64's */
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t random_below(struct bench *b, uint64_t n)
{
	b->random += 0x9e3779b97f4a7c15u;
	return (uint64_t)((unsigned __int128)mix(b->random) * n >> 64);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The hash of the ith entry. The upper bits deal entries out to the tables evenly, so that
 * all tables are equally full. */
static uint64_t hash_of(const struct bench *b, uint64_t i)
{
	uint64_t hash = mix((i + b->seed) * 0x9e3779b97f4a7c15u);

	return (hash & HASH_ADDRESS_MAX) | (i % b->tables) << 48;
}

static struct hash_table *table_of(const struct bench *b, uint64_t hash)
{
	return b->table[hash >> 48];
}

static bool match_address(void *arg, uint64_t address)
{
	return address == *(const uint64_t *)arg;
}

/* ---- one round of each column; each does b->ops_per_round operations ---- */

static bool find(struct bench *b, uint64_t hash, uint64_t wanted, uint64_t *address)
{
	const struct hash_table *t = table_of(b, hash);

	return b->ops->find(t, hash, match_address, &wanted, address, &b->probes);
}

static void round_hits(struct bench *b)
{
	uint64_t address;
	uint32_t n;

	for (n = 0; n < b->ops_per_round; n++) {
		uint64_t i = random_below(b, b->entries);

		b->missing += !find(b, hash_of(b, i), i, &address);
	}
}

static void round_chained(struct bench *b)
{
	uint64_t address = 0;
	uint32_t n;

	for (n = 0; n < b->ops_per_round; n++) {
		uint64_t i;

		b->random += address;
		i = random_below(b, b->entries);
		if (!find(b, hash_of(b, i), i, &address)) {
			b->missing++;
			address = 0;
		}
	}
}

static void round_misses(struct bench *b)
{
	uint64_t address;
	uint32_t n;

	for (n = 0; n < b->ops_per_round; n++) {
		uint64_t i = (1ull << 47) + random_below(b, 1ull << 32);

		b->strange += find(b, hash_of(b, i), i, &address);
	}
}

static void round_batches(struct bench *b)
{
	const struct hash_home home = b->ops->home(b->table[0]->capacity);
	uint64_t hash[BATCH], number[BATCH], got[BATCH];
	uint32_t n, k;

	for (n = 0; n < b->ops_per_round; n += BATCH) {
		for (k = 0; k < BATCH; k++) {
			number[k] = random_below(b, b->entries);
			hash[k] = hash_of(b, number[k]);
			__builtin_prefetch(
				hash_home_line(&home, table_of(b, hash[k]), hash[k]));
		}
		for (k = 0; k < BATCH; k++) {
			const struct hash_table *t = table_of(b, hash[k]);
			size_t i, m = b->ops->candidates(t, hash[k], got, BATCH);

			for (i = 0; i < m && got[i] != number[k]; i++)
				;
			b->missing += i == m;
		}
	}
}

/* The kth of the distinct entries that a round removes and inserts again: a prime's steps
 * visit the tables in no order that a prefetcher learns. */
static uint64_t turn(const struct bench *b, uint64_t first, uint64_t k)
{
	return (first + k * 1000003) % b->entries;
}

static uint64_t turns(const struct bench *b)
{
	uint64_t tenth = b->entries / 10;

	return tenth < b->ops_per_round ? tenth : b->ops_per_round;
}

static void round_removals(struct bench *b, uint64_t first)
{
	uint64_t k, n = turns(b);

	for (k = 0; k < n; k++) {
		uint64_t i = turn(b, first, k), hash = hash_of(b, i);

		b->missing += !b->ops->remove(table_of(b, hash), hash, i);
	}
}

static void insert(struct bench *b, uint64_t i)
{
	uint64_t hash = hash_of(b, i);

	b->rejected += b->ops->insert(table_of(b, hash), hash, i) != 0;
}

static void round_inserts(struct bench *b, uint64_t first)
{
	uint64_t k, n = turns(b);

	for (k = 0; k < n; k++)
		insert(b, turn(b, first, k));
}

/* ---- measuring ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x)
{
	port_sort(x, ROUNDS, sizeof(*x), compare_doubles);
	return x[ROUNDS / 2];
}

static double measure(struct bench *b, void (*round)(struct bench *b))
{
	double ns[ROUNDS];
	int r;

	for (r = 0; r < ROUNDS; r++) {
		double start = now_ns();

		b->probes = 0;
		round(b);
		ns[r] = (now_ns() - start) / b->ops_per_round;
	}
	return median(ns);
}

static void measure_changes(struct bench *b, struct result *result)
{
	double removal[ROUNDS], insertion[ROUNDS];
	int r;

	for (r = 0; r < ROUNDS; r++) {
		/* A small table takes several turns, so that a round is long enough. */
		uint64_t n = turns(b), done = 0;

		removal[r] = insertion[r] = 0;
		for (; done < b->ops_per_round; done += n) {
			uint64_t first = random_below(b, b->entries);
			double start = now_ns(), middle;

			round_removals(b, first);
			middle = now_ns();
			round_inserts(b, first);
			removal[r] += middle - start;
			insertion[r] += now_ns() - middle;
		}
		removal[r] /= (double)done;
		insertion[r] /= (double)done;
	}
	result->ns[REMOVE] = median(removal);
	result->ns[INSERT] = median(insertion);
}

/* Dependent reads of random lines of as many bytes; 0 when memory is out. */
static double measure_chase(struct bench *b, size_t bytes)
{
	size_t lines = bytes / 64;
	uint64_t *memory = port_alloc_aligned(64, lines * 64), sum = 0;
	double ns[ROUNDS];
	uint32_t r, n;

	if (!memory)
		return 0;
	memset(memory, 0, lines * 64);
	for (r = 0; r < ROUNDS; r++) {
		double start = now_ns();

		for (n = 0; n < b->ops_per_round; n++) {
			b->random += sum;
			sum += port_load_relaxed(&memory[random_below(b, lines) * 8]);
		}
		ns[r] = (now_ns() - start) / b->ops_per_round;
	}
	port_free_aligned(memory);
	return median(ns);
}

static void measure_fill(struct bench *b, struct result *result)
{
	result->ns[HIT] = measure(b, round_hits);
	result->probes_hit = (double)b->probes / b->ops_per_round;
	result->ns[CHAINED] = measure(b, round_chained);
	result->ns[MISS] = measure(b, round_misses);
	result->probes_miss = (double)b->probes / b->ops_per_round;
	result->ns[BATCHED] = measure(b, round_batches);
	measure_changes(b, result);
}

/* ---- output ---- */

static void print_header(const struct bench *b)
{
	int i;

	printf(b->tsv ? "#strategy\tentries\tfill\tbytes" : "%-10s %9s %4s %5s",
	       "strategy", "entries", "fill", "bytes");
	for (i = 0; i < COLUMNS; i++)
		printf(b->tsv ? "\t%s" : " %7s", column_name[i]);
	printf(b->tsv ? "\tchase\tprobes_hit\tprobes_miss\n" : " %7s %6s %6s\n", "chase",
	       "p.hit", "p.miss");
}

static void print_result(const struct bench *b, const struct result *result,
			 unsigned int fill, double bytes, double chase)
{
	int i;

	printf(b->tsv ? "%s\t%llu\t%u\t%.1f" : "%-10s %9llu %3u%% %5.1f", b->ops->name,
	       (unsigned long long)b->entries, fill, bytes / (double)b->entries);
	for (i = 0; i < COLUMNS; i++)
		printf(b->tsv ? "\t%.2f" : " %7.1f", result->ns[i]);
	printf(b->tsv ? "\t%.2f\t%.3f\t%.3f\n" : " %7.1f %6.2f %6.2f\n", chase,
	       result->probes_hit, result->probes_miss);
	fflush(stdout);
}

/* ---- tables ---- */

static void free_tables(struct bench *b)
{
	uint32_t i;

	for (i = 0; i < b->tables && b->table; i++)
		hash_table_free(b->table[i]);
	port_free(b->table);
}

static int create_tables(struct bench *b)
{
	uint32_t i;
	int err;

	b->table = port_alloc(b->tables * sizeof(struct hash_table *));
	if (!b->table)
		return -ENOMEM;
	memset(b->table, 0, b->tables * sizeof(struct hash_table *));
	for (i = 0; i < b->tables; i++) {
		err = hash_table_create(b->ops, CAPACITY, &b->table[i]);
		if (err)
			return err;
	}
	return 0;
}

/* One strategy in so many tables, at each fill. */
static int bench_tables(struct bench *b, const struct hash_table_ops *ops,
			uint32_t tables)
{
	size_t bytes = 0, f;
	double chase;
	int err;

	b->ops = ops;
	b->tables = tables;
	b->entries = b->rejected = b->missing = b->strange = 0;
	err = create_tables(b);
	if (err)
		goto out;
	bytes = tables * b->table[0]->bytes;
	chase = measure_chase(b, bytes);
	for (f = 0; f < sizeof(fills) / sizeof(fills[0]); f++) {
		uint64_t goal = (uint64_t)CAPACITY * fills[f] / 100 * tables;
		struct result result;

		while (b->entries < goal)
			insert(b, b->entries++);
		measure_fill(b, &result);
		print_result(b, &result, fills[f], (double)bytes, chase);
	}
	if (b->strange || (b->missing && !b->rejected)) {
		fprintf(stderr,
			"hash_table_bench: %s gave wrong answers; run its tests before "
			"you believe its speed\n",
			ops->name);
		err = -EBADMSG;
	}
out:
	free_tables(b);
	return err;
}

/* ---- the command ---- */

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: hash_table_bench [options]\n"
		"Measures the collision strategies of the hash index, in ns an operation.\n"
		"\n"
		"  --strategy NAME  this one alone: chaining, linear, robin-hood, cuckoo, swiss\n"
		"  --tables N       so many tables of %d entries where the cache is to be too\n"
		"                   small, 1 to %d (default 1024)\n"
		"  --ops N          operations a round, of %d rounds (default 200000)\n"
		"  --seed N         of the hashes (default 1)\n"
		"  --tsv            tab-separated, for gnuplot\n"
		"  --help           this text\n"
		"\n"
		"Columns: entries in all tables, fill in percent of their capacity, bytes of\n"
		"memory an entry; hit, miss, batch of %d hits (an entry), insert, remove;\n"
		"chained: a hit that is waited for; chase: a dependent read of as much memory;\n"
		"probes of hits and misses: entries looked at, or groups (cuckoo, swiss).\n",
		CAPACITY, TABLES_MAX, ROUNDS, BATCH);
}

static bool parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
			 uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno && *out >= min && *out <= max)
		return true;
	fprintf(stderr,
		"hash_table_bench: %s takes a number from %llu to %llu, not \"%s\"\n",
		option, (unsigned long long)min, (unsigned long long)max, text);
	return false;
}

static int run(struct bench *b, const struct hash_table_ops *only, uint32_t tables)
{
	const struct hash_table_ops *ops;
	uint32_t size[2] = { 1, tables };
	size_t i, s;
	int err;

	print_header(b);
	for (s = 0; s < 2; s++) {
		if (s && tables == 1)
			break;
		for (i = 0; (ops = hash_table_get(i)); i++) {
			if (only && ops != only)
				continue;
			err = bench_tables(b, ops, size[s]);
			if (err == -ENOMEM)
				fprintf(stderr,
					"hash_table_bench: no memory for %u tables; "
					"try fewer with --tables\n",
					size[s]);
			if (err)
				return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "strategy", required_argument, NULL, 's' },
		{ "tables", required_argument, NULL, 't' },
		{ "ops", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 'e' },
		{ "tsv", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct bench b = { .ops_per_round = 200000, .seed = 1 };
	const struct hash_table_ops *only = NULL;
	uint64_t tables = 1024, n;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 's') {
			only = hash_table_find(optarg);
			if (!only) {
				fprintf(stderr,
					"hash_table_bench: no strategy \"%s\"; "
					"--help lists them\n",
					optarg);
				return 2;
			}
		} else if (c == 't') {
			if (!parse_number("--tables", optarg, 1, TABLES_MAX, &tables))
				return 2;
		} else if (c == 'o') {
			if (!parse_number("--ops", optarg, 1000, 100000000, &n))
				return 2;
			b.ops_per_round = (uint32_t)n;
		} else if (c == 'e') {
			if (!parse_number("--seed", optarg, 0, UINT64_MAX, &b.seed))
				return 2;
		} else if (c == 'v') {
			b.tsv = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hash_table_bench: unexpected \"%s\"; see --help\n",
			argv[optind]);
		return 2;
	}
	return run(&b, only, (uint32_t)tables);
}
