/* SPDX-License-Identifier: MIT */
/*
 * core_bench.c - what the ground floor costs, an operation at a time.
 *
 * Each row is one operation on one size; bench_row.h says how it is measured. Rows of one
 * group do the same work in other ways, and are held to the same answers first.
 *
 * Everything stays in the processor's caches if it fits: these are the costs of warm
 * loops, and real work is seldom as warm. See kvbench for whole engines.
 */
#include "../arena.h"
#include "../array_engine.h"
#include "../dynarray.h"
#include "../port_crc32c.h"
#include "../vec128.h"
#include "bench_row.h"

#include <getopt.h>

/* ---- the array engine ---- */

/*
 * Pair i has the key be64(i), 8 bytes, so that ascending numbers are ascending keys, and
 * a key between two pairs is the first one's with more bytes behind it.
 */
enum { KEY = 8, KEY_BETWEEN = 16, VALUE = 100, LAP = 32 };

struct array_bench {
	struct kv *kv;
	size_t n;
	uint64_t random, fresh;
	struct kv_buf buf;
};

static void put_be64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static struct kv_slice value_of(uint64_t i)
{
	static uint8_t bytes[VALUE];

	bytes[0] = (uint8_t)i;
	return kv_slice(bytes, VALUE);
}

static struct kv_slice random_key(struct array_bench *b, uint8_t *key)
{
	put_be64(key, bench_random_below(&b->random, b->n));
	return kv_slice(key, KEY);
}

static uint64_t run_get(void *arg, size_t ops)
{
	struct array_bench *b = arg;
	uint64_t begun = bench_now_ns();
	uint8_t key[KEY];

	while (ops--) {
		bench_must(kv_get(b->kv, random_key(b, key), &b->buf), "get");
		bench_sink += *(uint8_t *)b->buf.data;
	}
	return bench_now_ns() - begun;
}

static uint64_t run_overwrite(void *arg, size_t ops)
{
	struct array_bench *b = arg;
	uint64_t begun = bench_now_ns();
	uint8_t key[KEY];

	while (ops--)
		bench_must(kv_put(b->kv, random_key(b, key), value_of(ops), KV_NONE),
			   "put");
	return bench_now_ns() - begun;
}

/* New pairs, LAP at a time, taken out again while the clock stands. */
static uint64_t run_new_pairs(struct array_bench *b, size_t ops, bool at_end)
{
	uint8_t key[LAP][KEY_BETWEEN];
	uint64_t took = 0, begun;
	size_t n, i;

	for (; ops; ops -= n) {
		n = ops < LAP ? ops : LAP;
		for (i = 0; i < n; i++) {
			put_be64(key[i],
				 at_end ? b->n : bench_random_below(&b->random, b->n));
			put_be64(key[i] + KEY, b->fresh++);
		}
		begun = bench_now_ns();
		for (i = 0; i < n; i++)
			bench_must(kv_put(b->kv, kv_slice(key[i], KEY_BETWEEN),
					  value_of(i), KV_NONE),
				   "put");
		took += bench_now_ns() - begun;
		for (i = 0; i < n; i++)
			bench_must(
				kv_delete(b->kv, kv_slice(key[i], KEY_BETWEEN), KV_NONE),
				"delete");
	}
	return took;
}

static uint64_t run_insert(void *arg, size_t ops)
{
	return run_new_pairs(arg, ops, false);
}

static uint64_t run_append(void *arg, size_t ops)
{
	return run_new_pairs(arg, ops, true);
}

/* An operation is one pair; from the first again when the last is passed. */
static uint64_t run_scan(void *arg, size_t ops)
{
	struct array_bench *b = arg;
	uint64_t begun = bench_now_ns();
	struct kv_cursor *c;

	bench_must(kv_cursor(b->kv, NULL, &c), "cursor");
	while (ops) {
		if (kv_next(c))
			continue;
		bench_sink += *(const uint8_t *)c->value.data;
		ops--;
	}
	kv_cursor_close(c);
	return bench_now_ns() - begun;
}

static uint64_t run_put_after_snapshot(void *arg, size_t ops)
{
	struct array_bench *b = arg;
	uint64_t begun = bench_now_ns();
	uint8_t key[KEY];

	while (ops--) {
		struct kv_snapshot *snap;

		bench_must(kv_snapshot(b->kv, &snap), "snapshot");
		bench_must(kv_put(b->kv, random_key(b, key), value_of(ops), KV_NONE),
			   "put");
		kv_release(b->kv, snap);
	}
	return bench_now_ns() - begun;
}

static void bench_array(void)
{
	static const struct {
		const char *what;
		bench_fn *run;
	} rows[] = {
		{ "get", run_get },
		{ "put over a pair", run_overwrite },
		{ "put at the end", run_append },
		{ "put in between", run_insert },
		{ "scan, a pair", run_scan },
		{ "snapshot, put, release", run_put_after_snapshot },
	};
	static const size_t sizes[] = { 100, 1000, 10000, 100000 };
	enum {
		ROWS = sizeof(rows) / sizeof(rows[0]),
		SIZES = sizeof(sizes) / sizeof(sizes[0])
	};
	struct array_bench b[SIZES] = { 0 };
	struct kv_msg why;
	size_t i, k;

	for (k = 0; k < SIZES; k++) {
		b[k] = (struct array_bench){ .n = sizes[k], .random = 1 };
		if (kv_open(&array_engine, NULL, "", NULL, &b[k].kv, &why))
			bench_die("%s", why.text);
		for (i = 0; i < sizes[k]; i++) {
			uint8_t key[KEY];

			put_be64(key, i);
			bench_must(
				kv_put(b[k].kv, kv_slice(key, KEY), value_of(i), KV_NONE),
				"load");
		}
	}
	bench_section("array engine (keys 8 B, values 100 B)");
	for (i = 0; i < ROWS; i++) {
		for (k = 0; k < SIZES; k++) {
			bench_group();
			bench_row(rows[i].what, sizes[k], 0, rows[i].run, &b[k]);
		}
	}
	for (k = 0; k < SIZES; k++) {
		kv_buf_free(&b[k].buf);
		bench_must(kv_close(b[k].kv), "close");
	}
}

/* ---- the first word that is not less, in a sorted array ---- */

struct search_bench {
	const uint32_t *word; /* word[i] is 2 * i + 1 */
	size_t n;
	size_t (*find)(const uint32_t *word, size_t n, uint32_t wanted);
	uint64_t random;
};

static size_t find_binary(const uint32_t *word, size_t n, uint32_t wanted)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (word[middle] < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t find_linear(const uint32_t *word, size_t n, uint32_t wanted)
{
	size_t i;

	for (i = 0; i < n && word[i] < wanted; i++)
		;
	return i;
}

static size_t find_linear_vec128(const uint32_t *word, size_t n, uint32_t wanted)
{
	vec128 key = vec128_splat32(wanted);
	size_t i;

	for (i = 0; i + 4 <= n; i += 4) {
		uint32_t less = vec128_less32_mask(vec128_load(word + i), key);

		if (less != 0xf)
			return i + (size_t)__builtin_ctz(~less);
	}
	for (; i < n && word[i] < wanted; i++)
		;
	return i;
}

static uint64_t run_find(void *arg, size_t ops)
{
	struct search_bench *b = arg;
	uint64_t begun = bench_now_ns(), sum = 0;

	while (ops--)
		sum += b->find(b->word, b->n,
			       (uint32_t)bench_random_below(&b->random, 2 * b->n + 1));
	bench_sink += sum;
	return bench_now_ns() - begun;
}

static void bench_search(void)
{
	static const size_t sizes[] = { 8, 32, 128, 512, 65536 };
	enum { MOST = 65536, LINEAR_MOST = 512 };
	uint32_t *word = bench_alloc(MOST * sizeof(word[0])), i;
	size_t k;

	for (i = 0; i < MOST; i++)
		word[i] = 2 * i + 1;
	for (i = 0; i <= 2 * LINEAR_MOST + 1; i++)
		if (find_binary(word, LINEAR_MOST, i) !=
			    find_linear(word, LINEAR_MOST, i) ||
		    find_binary(word, LINEAR_MOST, i) !=
			    find_linear_vec128(word, LINEAR_MOST, i))
			bench_die("searches for %u differ; this is a bug", i);

	bench_section("search of sorted 32-bit words");
	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct search_bench b = { word, sizes[k], find_binary, 1 };

		bench_group();
		bench_row("binary", b.n, 0, run_find, &b);
		if (b.n > LINEAR_MOST)
			continue;
		b.find = find_linear;
		bench_row("one by one", b.n, 0, run_find, &b);
		b.find = find_linear_vec128;
		bench_row("four at once (" VEC128_NAME ")", b.n, 0, run_find, &b);
	}
	port_free_aligned(word);
}

/* ---- vectors against plain loops ---- */

enum { TAGS = 16, TAG_GROUPS = 256, COMPARED_MOST = 4096 };

struct vector_bench {
	const uint8_t *a, *b;
	size_t n;
	size_t (*mismatch)(const void *a, const void *b, size_t n);
	uint32_t (*match)(const uint8_t *tags, uint8_t wanted);
};

static size_t mismatch_plain(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;
	size_t i;

	for (i = 0; i < n && p[i] == q[i]; i++)
		;
	return i;
}

static size_t mismatch_vec128(const void *a, const void *b, size_t n)
{
	return vec128_mismatch(a, b, n);
}

static uint32_t match_plain(const uint8_t *tags, uint8_t wanted)
{
	uint32_t mask = 0;
	int i;

	for (i = 0; i < TAGS; i++)
		if (tags[i] == wanted)
			mask |= 1u << i;
	return mask;
}

static uint32_t match_vec128(const uint8_t *tags, uint8_t wanted)
{
	return vec128_mask8(
		vec128_equal8(vec128_load_aligned(tags), vec128_splat8(wanted)));
}

static uint64_t run_mismatch(void *arg, size_t ops)
{
	struct vector_bench *v = arg;
	uint64_t begun = bench_now_ns(), sum = 0;

	while (ops--)
		sum += v->mismatch(v->a, v->b, v->n);
	bench_sink += sum;
	return bench_now_ns() - begun;
}

static uint64_t run_match(void *arg, size_t ops)
{
	struct vector_bench *v = arg;
	uint64_t begun = bench_now_ns(), sum = 0;

	for (; ops; ops--)
		sum += v->match(v->a + ops % TAG_GROUPS * TAGS, (uint8_t)ops);
	bench_sink += sum;
	return bench_now_ns() - begun;
}

static void bench_vector(void)
{
	static const size_t sizes[] = { 16, 64, 256, COMPARED_MOST };
	uint8_t *a = bench_alloc(COMPARED_MOST), *b = bench_alloc(COMPARED_MOST);
	struct vector_bench v = { .a = a, .b = b };
	uint64_t random = 1;
	size_t k, i;

	for (i = 0; i < COMPARED_MOST; i++)
		a[i] = b[i] = (uint8_t)bench_random(&random);
	for (i = 0; i < TAG_GROUPS; i++)
		if (match_plain(a + i * TAGS, a[i]) != match_vec128(a + i * TAGS, a[i]))
			bench_die("matches of tag %u differ; this is a bug", a[i]);

	bench_section("vectors: " VEC128_NAME);
	bench_group();
	v.match = match_plain;
	bench_row("which of the tags match, plain C", TAGS, 0, run_match, &v);
	v.match = match_vec128;
	bench_row("which of the tags match, vec128", TAGS, 0, run_match, &v);
	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		v.n = sizes[k];
		b[v.n - 1] ^= 1;
		if (mismatch_plain(a, b, v.n) != mismatch_vec128(a, b, v.n))
			bench_die("mismatches of %zu bytes differ; this is a bug", v.n);
		bench_group();
		v.mismatch = mismatch_plain;
		bench_row("where do bytes differ, plain C", v.n, v.n, run_mismatch, &v);
		v.mismatch = mismatch_vec128;
		bench_row("where do bytes differ, vec128", v.n, v.n, run_mismatch, &v);
		b[v.n - 1] ^= 1;
	}
	port_free_aligned(a);
	port_free_aligned(b);
}

/* ---- CRC32C ---- */

struct crc_bench {
	const uint8_t *p;
	size_t n;
	uint32_t (*crc32c)(uint32_t crc, const void *p, size_t n);
};

static uint64_t run_crc(void *arg, size_t ops)
{
	struct crc_bench *b = arg;
	uint64_t begun = bench_now_ns();
	uint32_t crc = 0;

	while (ops--)
		crc = b->crc32c(crc, b->p, b->n); /* each waits for the one before */
	bench_sink += crc;
	return bench_now_ns() - begun;
}

static void bench_crc(void)
{
	static const size_t sizes[] = { 16, 256, 4096, 65536 };
	enum { MOST = 65536 };
	bool has = port_crc32c_has_instruction();
	uint8_t *p = bench_alloc(MOST);
	uint64_t random = 1;
	size_t k, i;

	for (i = 0; i < MOST; i++)
		p[i] = (uint8_t)bench_random(&random);
	if (has && port_crc32c_tables(0, p, MOST) != port_crc32c_instruction(0, p, MOST))
		bench_die("the two CRC32C differ; this is a bug");
	bench_section(has ? "CRC32C" : "CRC32C (no instruction for it here)");
	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct crc_bench b = { p, sizes[k], port_crc32c_tables };

		bench_group();
		bench_row("tables", b.n, b.n, run_crc, &b);
		b.crc32c = port_crc32c_instruction;
		if (has)
			bench_row("instruction", b.n, b.n, run_crc, &b);
	}
	port_free_aligned(p);
}

/* ---- memory ---- */

enum { OBJECTS = 1000, CHUNK = 64 << 10 };

struct memory_bench {
	size_t size; /* bytes of an object, or items to push */
	void *object[OBJECTS];
};

/* An operation is one object, its share of giving all back included. */
static uint64_t run_malloc(void *arg, size_t ops)
{
	struct memory_bench *m = arg;
	uint64_t begun = bench_now_ns();
	size_t n, i;

	for (; ops; ops -= n) {
		n = ops < OBJECTS ? ops : OBJECTS;
		for (i = 0; i < n; i++) {
			m->object[i] = port_alloc(m->size);
			if (!m->object[i])
				bench_must(-ENOMEM, "malloc");
			*(uint8_t *)m->object[i] = 1;
		}
		for (i = 0; i < n; i++)
			port_free(m->object[i]);
	}
	return bench_now_ns() - begun;
}

static uint64_t run_arena(void *arg, size_t ops)
{
	struct memory_bench *m = arg;
	uint64_t begun = bench_now_ns();
	struct arena a;
	size_t n, i;

	arena_init(&a, CHUNK);
	for (; ops; ops -= n) {
		n = ops < OBJECTS ? ops : OBJECTS;
		for (i = 0; i < n; i++) {
			m->object[i] = arena_alloc(&a, m->size, 8);
			if (!m->object[i])
				bench_must(-ENOMEM, "arena");
			*(uint8_t *)m->object[i] = 1;
		}
		arena_free(&a);
	}
	return bench_now_ns() - begun;
}

/* Fills arrays of m->size words; an operation is one push. */
static uint64_t fill_arrays(struct memory_bench *m, size_t ops, bool reserve)
{
	uint64_t begun = bench_now_ns();
	struct dynarray a;
	size_t n, i;

	dynarray_init(&a, sizeof(uint64_t));
	for (; ops; ops -= n) {
		n = ops < m->size ? ops : m->size;
		if (reserve)
			bench_must(dynarray_reserve(&a, n), "reserve");
		for (i = 0; i < n; i++)
			if (!dynarray_push(&a, &(uint64_t){ i }))
				bench_must(-ENOMEM, "push");
		bench_sink += *(uint64_t *)dynarray_at(&a, n / 2);
		dynarray_free(&a);
	}
	return bench_now_ns() - begun;
}

static uint64_t run_push(void *arg, size_t ops)
{
	return fill_arrays(arg, ops, false);
}

static uint64_t run_push_reserved(void *arg, size_t ops)
{
	return fill_arrays(arg, ops, true);
}

static void bench_memory(void)
{
	static const size_t objects[] = { 16, 64, 256 }, items[] = { 100, 100000 };
	static struct memory_bench m;
	size_t k;

	bench_section("memory: objects of so many bytes");
	for (k = 0; k < sizeof(objects) / sizeof(objects[0]); k++) {
		m.size = objects[k];
		bench_group();
		bench_row("malloc and free", m.size, 0, run_malloc, &m);
		bench_row("arena, freed as one", m.size, 0, run_arena, &m);
	}
	bench_section("dynamic array: so many words pushed");
	for (k = 0; k < sizeof(items) / sizeof(items[0]); k++) {
		m.size = items[k];
		bench_group();
		bench_row("growing", m.size, 0, run_push, &m);
		bench_row("room reserved first", m.size, 0, run_push_reserved, &m);
	}
}

/* ---- the command ---- */

static const struct {
	const char *name, *what;
	void (*run)(void);
} subjects[] = {
	{ "array", "the array engine at four sizes", bench_array },
	{ "search", "binary search against linear ones", bench_search },
	{ "vector", "128-bit vectors against plain C", bench_vector },
	{ "crc", "CRC32C by instruction and by tables", bench_crc },
	{ "memory", "arena, malloc and dynamic array", bench_memory },
};

enum { SUBJECTS = sizeof(subjects) / sizeof(subjects[0]) };

static void help(void)
{
	size_t i;

	printf("Usage: core_bench [--repeats N] [SUBJECT...]\n\n"
	       "Measures the ground floor, in nanoseconds an operation: the median, the\n"
	       "least and the most of several repeats. \"2.00x\" is twice as fast as the\n"
	       "first row of its group. Takes a few seconds. Subjects, all by default:\n\n");
	for (i = 0; i < SUBJECTS; i++)
		printf("  %-8s %s\n", subjects[i].name, subjects[i].what);
	printf("\n  --repeats N  from 1 to %d; %d by default\n"
	       "  --help       this text\n",
	       BENCH_REPEATS_MAX, BENCH_REPEATS);
}

static int usage_error(void)
{
	fputs("Try core_bench --help\n", stderr);
	return 2;
}

static size_t subject_find(const char *name)
{
	size_t i;

	for (i = 0; i < SUBJECTS && strcmp(subjects[i].name, name); i++)
		;
	return i;
}

/* 0, or -1 when text is no number from 1 to BENCH_REPEATS_MAX. */
static int set_repeats(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > BENCH_REPEATS_MAX)
		return -1;
	bench_repeats = (int)n;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
						 { "repeats", required_argument, NULL,
						   'r' },
						 { 0 } };
	bool wanted[SUBJECTS] = { false };
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			help();
			return 0;
		}
		if (c != 'r')
			return usage_error();
		if (set_repeats(optarg)) {
			fprintf(stderr, "core_bench: --repeats is 1 to %d, not \"%s\"\n",
				BENCH_REPEATS_MAX, optarg);
			return usage_error();
		}
	}
	for (c = optind; c < argc; c++) {
		i = subject_find(argv[c]);
		if (i == SUBJECTS) {
			fprintf(stderr, "core_bench: no subject \"%s\"\n", argv[c]);
			return usage_error();
		}
		wanted[i] = true;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("core_bench: median of %d repeats; vectors by %s; CRC32C by %s\n",
	       bench_repeats, VEC128_NAME,
	       port_crc32c_has_instruction() ? "instruction or tables" : "tables");
	for (i = 0; i < SUBJECTS; i++)
		if (optind == argc || wanted[i])
			subjects[i].run();
	if (fflush(stdout) || ferror(stdout))
		bench_die("the table could not be written: %s", strerror(errno));
	return 0;
}
