/* SPDX-License-Identifier: MIT */
/*
 * lsm_memory_bench.c - what the LSM engine's parts in memory cost, and how well the filters and
 * caches do: memtables of several sizes with their side hash and without (the skip list
 * alone), Bloom filters, comparisons and searches by plain code and by vectors, hits of both
 * caches, and hit rates under a zipfian load with scans in it.
 *
 * Keys are "user" and twenty digits of a hash, values have 100 bytes, as YCSB's. bench_row.h
 * says how a row is measured; building a table is measured whole, some times over.
 */
#include "../../sprint-1-core-memory/bench/bench_row.h"
#include "../lsm_arena.h"
#include "../lsm_cache.h"
#include "../lsm_skiplist.h"
#include "../neon_lsm_ops.h"

#include <math.h>

enum { KEY = 24, VALUE = 100, MOST = 1000000, BUILDS = 5 };

static uint8_t (*keys)[KEY]; /* 2 * MOST: the second half is never inserted */
static uint64_t *hashes;
static const uint8_t value_bytes[VALUE];
static bool huge; /* memtables in huge pages */

static struct kv_slice key_at(size_t i)
{
	return kv_slice(keys[i], KEY);
}

static struct kv_slice value(void)
{
	return kv_slice(value_bytes, VALUE);
}

static void put_digits(uint8_t *key, uint64_t number)
{
	int i;

	memcpy(key, "user", 4);
	for (i = KEY - 1; i >= 4; i--, number /= 10)
		key[i] = (uint8_t)('0' + number % 10);
}

static void make_keys(void)
{
	uint64_t state = 1;
	size_t i;

	keys = bench_alloc(2 * (size_t)MOST * KEY);
	hashes = bench_alloc(2 * (size_t)MOST * sizeof(*hashes));
	for (i = 0; i < 2 * (size_t)MOST; i++) {
		put_digits(keys[i], bench_random(&state));
		hashes[i] = lsm_key_hash(key_at(i));
	}
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, KEY);
}

/* ---- memtables ---- */

struct tables {
	struct lsm_memory *memory;
	struct lsm_memtable *table;
	struct lsm_skiplist list; /* the same entries */
	struct lsm_arena arena;
	uint8_t (*ordered)[KEY]; /* the keys, ascending; or NULL */
	size_t n;
};

static struct kv_slice order_at(const struct tables *t, size_t i)
{
	return t->ordered ? kv_slice(t->ordered[i], KEY) : key_at(i);
}

static double fill_table(struct tables *t)
{
	const size_t bytes = lsm_memtable_entry_bytes(KEY, VALUE);
	uint64_t start;
	size_t i;

	bench_must(lsm_memtable_new(t->memory, t->n * 192, &t->table), "memtable");
	bench_must(lsm_memtable_prepare(t->table, t->n * 192), "memory");
	start = bench_now_ns();
	for (i = 0; i < t->n; i++) {
		const struct kv_slice key = order_at(t, i);
		struct lsm_room room;

		bench_must(lsm_memtable_reserve(t->table, bytes, &room), "room");
		lsm_memtable_insert(t->table, &room, key, lsm_key_hash(key),
				    lsm_stamp(i + 1, LSM_PUT), value());
		lsm_memtable_done(t->table, &room);
	}
	return (double)(bench_now_ns() - start) / (double)t->n;
}

static double fill_list(struct tables *t)
{
	uint64_t start, state = 7;
	size_t i;

	lsm_skiplist_init(&t->list);
	lsm_arena_init(&t->arena, t->memory);
	bench_must(lsm_arena_prepare(&t->arena, t->n * 192), "arena");
	start = bench_now_ns();
	for (i = 0; i < t->n; i++) {
		const unsigned int height = lsm_skiplist_height(bench_random(&state));
		char *at;

		bench_must(lsm_arena_reserve(&t->arena,
					     lsm_node_bytes(height, KEY, VALUE), &at),
			   "room");
		lsm_skiplist_insert(&t->list,
				    lsm_node_make(at, height, order_at(t, i),
						  lsm_stamp(i + 1, LSM_PUT), value()),
				    height);
	}
	return (double)(bench_now_ns() - start) / (double)t->n;
}

static void drop_table(struct tables *t)
{
	lsm_memtable_free(t->table);
}

static void drop_list(struct tables *t)
{
	lsm_arena_free(&t->arena);
}

/* The last build stays. */
static void build_row(const char *what, struct tables *t,
		      double (*build)(struct tables *), void (*drop)(struct tables *))
{
	double ns[BUILDS];
	int i;

	for (i = 0; i < BUILDS; i++) {
		if (i)
			drop(t);
		ns[i] = build(t);
	}
	port_sort(ns, BUILDS, sizeof(ns[0]), bench_compare);
	printf("  %-38s %8zu %12.1f %10.1f %10.1f\n", what, t->n, ns[BUILDS / 2], ns[0],
	       ns[BUILDS - 1]);
}

static uint64_t run_get(struct tables *t, size_t ops, size_t from)
{
	const uint64_t start = bench_now_ns();
	uint64_t stamp, state = 3;
	struct kv_slice v;
	size_t i, sum = 0;

	for (i = 0; i < ops; i++) {
		const size_t k = from + bench_random_below(&state, t->n);

		sum += lsm_memtable_get(t->table, key_at(k), hashes[k], LSM_SEQUENCE_MAX,
					&stamp, &v);
	}
	bench_sink += sum;
	return bench_now_ns() - start;
}

static uint64_t run_hit(void *arg, size_t ops)
{
	return run_get(arg, ops, 0);
}

static uint64_t run_absent(void *arg, size_t ops)
{
	return run_get(arg, ops, MOST);
}

static uint64_t run_list(void *arg, size_t ops)
{
	struct tables *t = arg;
	const uint64_t start = bench_now_ns();
	uint64_t state = 3;
	size_t i, sum = 0;

	for (i = 0; i < ops; i++) {
		const struct kv_slice key = key_at(bench_random_below(&state, t->n));
		const struct lsm_node *n = lsm_skiplist_find(
			&t->list, key, lsm_seek_stamp(LSM_SEQUENCE_MAX));

		sum += n && lsm_node_is(n, key);
	}
	bench_sink += sum;
	return bench_now_ns() - start;
}

static uint64_t run_scan(void *arg, size_t ops)
{
	struct tables *t = arg;
	uint64_t start;
	struct lsm_cursor *c;
	size_t i, sum = 0;

	bench_must(lsm_memtable_cursor(t->table, &c), "cursor");
	start = bench_now_ns();
	for (i = 0; i < ops; i++)
		sum += lsm_next(c) ? 0 : c->key.len;
	start = bench_now_ns() - start;
	lsm_cursor_close(c);
	bench_sink += sum;
	return start;
}

static void bench_memtables(void)
{
	static const size_t sizes[] = { 10000, 100000, MOST };
	struct tables t = { 0 };
	size_t i;

	bench_must(lsm_memory_new((uint64_t)1 << 30, huge, &t.memory), "memory");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		t.n = sizes[i];
		bench_section("memtable");
		t.ordered = bench_alloc(t.n * KEY);
		memcpy(t.ordered, keys, t.n * KEY);
		qsort(t.ordered, t.n, KEY, compare_keys);
		build_row("insert, ascending", &t, fill_table, drop_table);
		drop_table(&t);
		port_free_aligned(t.ordered);
		t.ordered = NULL;
		build_row("insert", &t, fill_table, drop_table);
		build_row("insert, without side hash", &t, fill_list, drop_list);
		bench_group();
		bench_row("get, without side hash", t.n, 0, run_list, &t);
		bench_row("get", t.n, 0, run_hit, &t);
		bench_row("get, absent", t.n, 0, run_absent, &t);
		bench_row("next", t.n, 0, run_scan, &t);
		drop_table(&t);
		drop_list(&t);
	}
	lsm_memory_free(t.memory);
}

/* ---- filters ---- */

struct filter {
	uint8_t *bits;
	size_t bytes, from; /* hashes[from...] are asked for */
	unsigned int probes;
	bool (*test)(const uint8_t *filter, size_t bytes, unsigned int probes,
		     uint64_t hash);
};

static uint64_t run_filter(void *arg, size_t ops)
{
	const struct filter *f = arg;
	const uint64_t start = bench_now_ns();
	size_t i, sum = 0;

	for (i = 0; i < ops; i++)
		sum += f->test(f->bits, f->bytes, f->probes, hashes[f->from + i % MOST]);
	bench_sink += sum;
	return bench_now_ns() - start;
}

/* Keys fall on blocks by chance; see Putze, Sanders, Singler 2007. */
static double false_positives(double bits_per_key, unsigned int probes)
{
	const double per_block = 512 / bits_per_key;
	double share = 0, chance = exp(-per_block);
	int n;

	for (n = 0; n < 2000; n++) {
		if (n)
			chance *= per_block / n;
		share += chance * pow(1 - pow(1 - 1.0 / 512, n * (double)probes), probes);
	}
	return share;
}

static void filter_rows(size_t n, unsigned int bits, bool print_rate)
{
	struct filter f = { .probes = lsm_filter_probes(bits),
			    .bytes = lsm_filter_bytes(n, bits) };
	size_t i, wrong = 0;

	f.bits = port_alloc_aligned(64, f.bytes);
	if (!f.bits)
		bench_die("no memory for a filter");
	memset(f.bits, 0, f.bytes);
	for (i = 0; i < n; i++)
		lsm_filter_add(f.bits, f.bytes, f.probes, hashes[i]);
	if (print_rate) {
		for (i = MOST; i < 2 * (size_t)MOST; i++)
			wrong += lsm_filter_test(f.bits, f.bytes, f.probes, hashes[i]);
		printf("  %2u bits a key, %2u probes: %8.4f%% false positives, %8.4f%% in theory\n",
		       bits, f.probes, 100.0 * (double)wrong / MOST,
		       100 * false_positives(bits, f.probes));
	} else {
		for (f.from = 0; f.from <= MOST; f.from += MOST) {
			bench_group();
			f.test = lsm_filter_test_scalar;
			bench_row(f.from ? "absent, scalar" : "present, scalar", n, 0,
				  run_filter, &f);
			f.test = lsm_filter_test_simd;
			bench_row(f.from ? "absent, vectors" : "present, vectors", n, 0,
				  run_filter, &f);
		}
	}
	port_free_aligned(f.bits);
}

static void bench_filters(void)
{
	static const unsigned int bits[] = { 4, 6, 8, 10, 12, 14, 16, 20 };
	size_t i;

	bench_section("filter, 10 bits a key");
	filter_rows(10000, 10, false);
	filter_rows(MOST, 10, false);
	putchar('\n');
	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		filter_rows(MOST, bits[i], true);
}

/* ---- comparison and search ---- */

struct pair {
	struct kv_slice a, b[16];
	int (*compare)(struct kv_slice a, struct kv_slice b);
};

static uint64_t run_compare(void *arg, size_t ops)
{
	const struct pair *p = arg;
	const uint64_t start = bench_now_ns();
	size_t i, sum = 0;

	for (i = 0; i < ops; i++)
		sum += (size_t)p->compare(p->a, p->b[i % 16]);
	bench_sink += sum;
	return bench_now_ns() - start;
}

static void bench_comparison(void)
{
	static const size_t lens[] = { 8, 24, 100 };
	static uint8_t text[17][128];
	struct pair p;
	size_t i, k;

	bench_section("compare keys that differ at the end");
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (k = 0; k < 17; k++) {
			text[k][lens[i] - 1] = (uint8_t)(k * 7);
			if (k < 16)
				p.b[k] = kv_slice(text[k], lens[i]);
		}
		p.a = kv_slice(text[16], lens[i]);
		bench_group();
		p.compare = kv_compare;
		bench_row("memcmp", lens[i], 0, run_compare, &p);
		p.compare = lsm_key_compare_scalar;
		bench_row("scalar", lens[i], 0, run_compare, &p);
		p.compare = lsm_key_compare_simd;
		bench_row("vectors", lens[i], 0, run_compare, &p);
		for (k = 0; k < 17; k++)
			text[k][lens[i] - 1] = 0;
	}
}

struct heads {
	uint8_t *heads;
	unsigned int n;
	unsigned int (*search)(const uint8_t *heads, unsigned int n, uint32_t head);
};

static uint64_t run_heads(void *arg, size_t ops)
{
	const struct heads *h = arg;
	const uint64_t start = bench_now_ns();
	uint64_t state = 5;
	size_t i, sum = 0;

	for (i = 0; i < ops; i++)
		sum += h->search(h->heads, h->n, (uint32_t)bench_random(&state));
	bench_sink += sum;
	return bench_now_ns() - start;
}

static void bench_heads(void)
{
	static const unsigned int counts[] = { 8, 16, 64, 256 };
	struct heads h;
	size_t i, k;

	bench_section("search among heads");
	h.heads = bench_alloc(256 * 4 + 1);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		h.n = counts[i];
		for (k = 0; k < h.n; k++)
			port_put_le32(h.heads + 4 * k,
				      (uint32_t)(k * (UINT32_MAX / h.n)));
		bench_group();
		h.search = lsm_search_heads_scalar;
		bench_row("scalar", h.n, 0, run_heads, &h);
		h.search = lsm_search_heads_simd;
		bench_row("vectors", h.n, 0, run_heads, &h);
	}
	port_free_aligned(h.heads);
}

/* ---- caches ---- */

enum { BLOCK = 4096 };

struct caches {
	struct lsm_cache *blocks;
	struct lsm_records *records;
	struct kv_buf buf;
	size_t n;
};

static void load_block(struct lsm_cache *c, uint64_t i, bool cold)
{
	struct lsm_block b;

	if (!lsm_cache_find(c, 1, i * BLOCK, &b)) {
		bench_must(lsm_cache_alloc(c, BLOCK, &b), "block");
		lsm_cache_insert(c, 1, i * BLOCK, cold, &b);
	}
	lsm_cache_release(c, &b);
}

static uint64_t run_blocks(void *arg, size_t ops)
{
	struct caches *c = arg;
	const uint64_t start = bench_now_ns();
	uint64_t state = 5;
	size_t i, sum = 0;

	for (i = 0; i < ops; i++) {
		struct lsm_block b;

		if (lsm_cache_find(c->blocks, 1, bench_random_below(&state, c->n) * BLOCK,
				   &b)) {
			sum += b.bytes;
			lsm_cache_release(c->blocks, &b);
		}
	}
	bench_sink += sum;
	return bench_now_ns() - start;
}

static uint64_t run_records(void *arg, size_t ops)
{
	struct caches *c = arg;
	const uint64_t start = bench_now_ns();
	uint64_t state = 5;
	size_t i, sum = 0;

	for (i = 0; i < ops; i++) {
		const size_t k = bench_random_below(&state, c->n);

		sum += !lsm_records_get(c->records, key_at(k), hashes[k], &c->buf);
	}
	bench_sink += sum;
	return bench_now_ns() - start;
}

static struct lsm_cache *new_cache(size_t blocks, enum lsm_cache_policy policy)
{
	const struct lsm_cache_config config = { .bytes = blocks * (BLOCK + 64),
						 .policy = policy };
	struct lsm_cache *c;

	bench_must(lsm_cache_new(&config, &c), "cache");
	return c;
}

static void bench_hits(void)
{
	static const size_t blocks[] = { 1000, 20000 }, records[] = { 10000, MOST };
	static const char *const names[] = { "block, CLOCK", "block, LRU" };
	struct caches c = { 0 };
	struct lsm_cache_stats stats;
	size_t i, k, policy;

	bench_section("cache hits");
	for (i = 0; i < 2; i++)
		for (policy = LSM_CLOCK; policy <= LSM_LRU; policy++) {
			c.n = blocks[i];
			c.blocks = new_cache(c.n * 5 / 4, (enum lsm_cache_policy)policy);
			for (k = 0; k < c.n; k++)
				load_block(c.blocks, k, false);
			bench_group();
			bench_row(names[policy], c.n, 0, run_blocks, &c);
			lsm_cache_free(c.blocks);
		}
	for (i = 0; i < 2; i++) {
		c.n = records[i];
		bench_must(lsm_records_new(c.n * 240, false, &c.records), "records");
		for (k = 0; k < c.n; k++)
			lsm_records_offer(c.records, key_at(k), hashes[k], value(), 0);
		lsm_records_stats(c.records, &stats);
		bench_group();
		bench_row("record", (size_t)stats.blocks, 0, run_records, &c);
		lsm_records_free(c.records);
	}
	kv_buf_free(&c.buf);
}

/* Gray and others, "Quickly Generating Billion-Record Synthetic Databases" (1994), as YCSB:
 * ranks of n with theta 0.99. */
struct zipf {
	double n, zeta, alpha, eta;
};

static struct zipf zipf_new(size_t n)
{
	const double theta = 0.99;
	struct zipf z = { .n = (double)n, .alpha = 1 / (1 - theta) };
	size_t i;

	for (i = 1; i <= n; i++)
		z.zeta += pow(1 / (double)i, theta);
	z.eta = (1 - pow(2 / z.n, 1 - theta)) / (1 - (1 + pow(0.5, theta)) / z.zeta);
	return z;
}

static size_t zipf_next(const struct zipf *z, uint64_t *state)
{
	const double u = (double)(bench_random(state) >> 11) / 9007199254740992.0;
	size_t rank;

	if (u * z->zeta < 1)
		return 0;
	rank = (size_t)(z->n * pow(z->eta * u - z->eta + 1, z->alpha));
	return rank < (size_t)z->n ? rank : (size_t)z->n - 1;
}

/* The share of zipfian gets that hit, while each tenth of the time a scan goes on. */
static double hit_rate(enum lsm_cache_policy policy, bool scan, bool cold)
{
	enum { SET = 20000, GETS = 400000 };
	const struct zipf z = zipf_new(SET);
	struct lsm_cache *c = new_cache(SET / 10, policy);
	uint64_t state = 11, at = SET;
	size_t i, hits = 0;

	for (i = 0; i < GETS; i++) {
		const uint64_t k = zipf_next(&z, &state);
		struct lsm_block b;

		if (lsm_cache_find(c, 1, k * BLOCK, &b)) {
			hits += i >= GETS / 2;
			lsm_cache_release(c, &b);
		} else {
			load_block(c, k, false);
		}
		if (scan && i / 4000 % 10 == 0)
			load_block(c, at++, cold);
	}
	lsm_cache_free(c);
	return 200.0 * (double)hits / GETS;
}

static void bench_hit_rates(void)
{
	static const char *const names[] = { "CLOCK", "LRU" };
	size_t policy;

	printf("\nhit rates, %%: zipfian gets, a tenth of the blocks fits\n");
	printf("  %-8s %10s %18s %18s\n", "", "no scan", "scan comes cold", "as others");
	for (policy = LSM_CLOCK; policy <= LSM_LRU; policy++)
		printf("  %-8s %10.2f %18.2f %18.2f\n", names[policy],
		       hit_rate((enum lsm_cache_policy)policy, false, false),
		       hit_rate((enum lsm_cache_policy)policy, true, true),
		       hit_rate((enum lsm_cache_policy)policy, true, false));
}

/* ---- range deletes ---- */

/* Ranges that don't overlap, in any order, one by one into a memtable: ns each. */
static double delete_ranges(struct lsm_memory *m, size_t n)
{
	struct lsm_memtable *t;
	uint64_t start, spent;
	size_t i;

	bench_must(lsm_memtable_new(m, 1 << 20, &t), "memtable");
	start = bench_now_ns();
	for (i = 0; i < n; i++) {
		const size_t at = i * 7919 % n; /* a prime that does not divide n */
		uint8_t from[KEY], to[KEY];
		struct lsm_tombstone d = { kv_slice(from, KEY), kv_slice(to, KEY),
					   i + 1 };

		put_digits(from, at * 10);
		put_digits(to, at * 10 + 5);
		bench_must(lsm_memtable_delete_range(t, &d), "range delete");
	}
	spent = bench_now_ns() - start;
	lsm_memtable_free(t);
	return (double)spent / (double)n;
}

static void bench_ranges(void)
{
	static const size_t counts[] = { 200, 2000, 20000 };
	struct lsm_memory *m;
	size_t i;

	bench_must(lsm_memory_new(0, huge, &m), "memory");
	printf("\nrange deletes into one memtable, ns each\n");
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		printf("  %6zu ranges %12.0f\n", counts[i], delete_ranges(m, counts[i]));
	lsm_memory_free(m);
}

/* ---- the program ---- */

static const struct {
	const char *name;
	void (*run)(void);
} subjects[] = {
	{ "memtable", bench_memtables }, { "filter", bench_filters },
	{ "compare", bench_comparison }, { "heads", bench_heads },
	{ "hits", bench_hits },          { "rates", bench_hit_rates },
	{ "ranges", bench_ranges },
};

enum { SUBJECTS = sizeof(subjects) / sizeof(subjects[0]) };

static int usage(FILE *to)
{
	size_t i;

	fprintf(to, "usage: lsm_memory_bench [--help] [--huge] [SUBJECT...]\n"
		    "--huge: memtables in huge pages\nsubjects:");
	for (i = 0; i < SUBJECTS; i++)
		fprintf(to, " %s", subjects[i].name);
	fprintf(to, "\n");
	return to == stderr ? 2 : 0;
}

static size_t subject_find(const char *name)
{
	size_t i;

	for (i = 0; i < SUBJECTS && strcmp(name, subjects[i].name) != 0; i++)
		;
	return i;
}

int main(int argc, char **argv)
{
	bool wanted[SUBJECTS] = { false }, all = true;
	size_t i;
	int k;

	for (k = 1; k < argc; k++) {
		if (!strcmp(argv[k], "--help"))
			return usage(stdout);
		if (!strcmp(argv[k], "--huge")) {
			huge = true;
			continue;
		}
		i = subject_find(argv[k]);
		if (i == SUBJECTS) {
			fprintf(stderr, "lsm_memory_bench: no subject \"%s\"\n", argv[k]);
			return usage(stderr);
		}
		wanted[i] = true;
		all = false;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("lsm_memory_bench: median of %d repeats; vectors by %s\n", bench_repeats,
	       lsm_simd_name());
	make_keys();
	for (i = 0; i < SUBJECTS; i++)
		if (all || wanted[i])
			subjects[i].run();
	port_free_aligned(keys);
	port_free_aligned(hashes);
	if (fflush(stdout) || ferror(stdout))
		bench_die("the table could not be written: %s", strerror(errno));
	return 0;
}
