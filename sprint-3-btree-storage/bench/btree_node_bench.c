/* SPDX-License-Identifier: MIT */
/*
 * btree_node_bench.c - what one node costs, apart from the tree: lower bounds in leaves and
 * inner nodes, the search among heads with vectors and without, inserts, splits.
 *
 * Keys are "user" and twenty digits of a hash, values have 100 bytes, nodes the fences that
 * a tree of ten million such pairs would give them. Nodes in cache: a few; out of cache: as
 * many as fill the memory given with -m (MiB). "chained": which node is next depends on the
 * answer before, so that each look-up is waited for, as on the way down a tree; else the
 * processor overlaps them as far as it can. A number is the median of some rounds, in time
 * of the processor, so that other programs disturb little.
 */
#include "../btree_node.h"
#include "../btree_search.h"

#include <getopt.h>
#include <time.h>

enum { PAGE = 4096, ROUNDS = 5, KEY = 24, VALUE = 100, FEW = 4, NODES = 32 };

static const struct btree_shape shape = { .page_bytes = PAGE, .max_keys = UINT32_MAX };

struct bench {
	uint64_t random; /* a state */
	uint32_t ops;    /* a round */
	uint8_t *memory;
	uint32_t nodes; /* in it */
	uint64_t sum;   /* of answers, so that they are needed */
};

static uint64_t random_next(struct bench *b) /* splitmix64 */
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

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

/* "user" and twenty digits. */
static void make_key(uint8_t *key, uint64_t number)
{
	int i;

	memcpy(key, "user", 4);
	for (i = KEY - 1; i >= 4; i--, number /= 10)
		key[i] = (uint8_t)('0' + number % 10);
}

/* ---- nodes as a tree has them ---- */

struct plan {
	const char *name;
	unsigned int level, entries;
	unsigned int key_bytes; /* of separators, which are short */
	uint64_t width;         /* of the numbers between its fences */
};

static const struct plan plans[] = {
	{ "leaf of 20", 0, 20, KEY, UINT64_MAX / 10000000 * 20 },
	{ "leaf of 28", 0, 28, KEY, UINT64_MAX / 10000000 * 28 },
	{ "inner of 70", 1, 70, 13, UINT64_MAX / 10000000 * 25 * 70 },
	{ "inner of 130", 1, 130, 13, UINT64_MAX / 10000000 * 25 * 130 },
};

enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

/* What node i's numbers begin with. */
static uint64_t node_low(const struct plan *p, uint32_t i)
{
	return (uint64_t)i % (UINT64_MAX / p->width - 1) * p->width;
}

static void fill_node(struct bench *b, const struct plan *p, uint32_t i,
		      struct btree_node *n)
{
	const uint64_t low = node_low(p, i);
	uint8_t lower[KEY], upper[KEY], key[KEY];
	const uint8_t value[VALUE] = { 1 }; /* of an inner node: its child is page 1 */
	struct kv_msg why;
	unsigned int k;
	bool found;

	make_key(lower, low);
	make_key(upper, low + p->width);
	btree_node_init(n, &shape, p->level, kv_slice(lower, p->key_bytes),
			kv_slice(upper, p->key_bytes));
	if (p->level)
		btree_node_insert(n, &shape, 0, kv_slice(lower, p->key_bytes),
				  kv_slice(value, 8), 0);
	for (k = 0; k < p->entries; k++) {
		const struct kv_slice s = kv_slice(key, p->key_bytes);
		unsigned int at;

		make_key(key, low + random_next(b) % p->width);
		at = btree_node_lower_bound(n, &shape, s, &found);
		if (!found && btree_node_fits(n, &shape, s, p->level ? 8 : VALUE) &&
		    memcmp(key, lower, p->key_bytes) >= (int)p->level &&
		    memcmp(key, upper, p->key_bytes) < 0)
			btree_node_insert(n, &shape, at, s,
					  kv_slice(value, p->level ? 8 : VALUE), 0);
	}
	if (btree_node_check(n, &shape, &why)) {
		(void)fprintf(stderr, "btree_node_bench: %s\n", why.text);
		abort();
	}
}

static struct btree_node *node_at(const struct bench *b, uint32_t i)
{
	return (struct btree_node *)(void *)(b->memory + (size_t)i * PAGE);
}

/* ---- look-ups ---- */

struct query {
	uint32_t node;
	uint8_t key[KEY];
};

static void make_queries(struct bench *b, const struct plan *p, uint32_t nodes,
			 struct query *q)
{
	uint32_t i;

	for (i = 0; i < b->ops; i++) {
		const struct btree_node *n;

		q[i].node = (uint32_t)(random_next(b) % nodes);
		n = node_at(b, q[i].node);
		if (p->level)
			make_key(q[i].key,
				 node_low(p, q[i].node) + random_next(b) % p->width);
		else
			(void)btree_node_key_copy(n, &shape, random_next(b) % n->count,
						  q[i].key);
	}
}

static double lookups(struct bench *b, const struct plan *p, const struct query *q,
		      bool chained)
{
	uint64_t zero =
		0; /* what the answer adds to the next address, unknown beforehand */
	const double begin = now_ns();
	unsigned int flags = 0;
	uint32_t i;
	bool found;

	for (i = 0; i < b->ops; i++) {
		const struct btree_node *n = node_at(b, q[i].node + (uint32_t)zero);
		const struct kv_slice key = kv_slice(q[i].key, KEY);
		struct kv_slice value;
		unsigned int at;

		btree_node_prefetch(n, &shape);
		if (p->level) {
			at = btree_node_child_index(n, &shape, key);
			flags = btree_node_child(n, &shape, at).page;
		} else {
			at = btree_node_lower_bound(n, &shape, key, &found);
			value = btree_node_value(n, &shape, at, &flags);
			flags = *(const uint8_t *)value.data;
		}
		b->sum += at;
		if (chained)
			zero = flags - 1; /* all values begin with 1 */
	}
	return (now_ns() - begin) / b->ops;
}

static double median(double *t)
{
	qsort(t, ROUNDS, sizeof(*t), compare_double);
	return t[ROUNDS / 2];
}

static void bench_plan(struct bench *b, const struct plan *p, struct query *q)
{
	double ns[4][ROUNDS];
	unsigned int r, column;
	uint32_t i;

	for (i = 0; i < b->nodes; i++)
		fill_node(b, p, i, node_at(b, i));
	for (r = 0; r < ROUNDS; r++) {
		for (column = 0; column < 4; column++) {
			make_queries(b, p, column < 2 ? FEW : b->nodes, q);
			ns[column][r] = lookups(b, p, q, column % 2);
		}
	}
	(void)printf("%-14s %8.1f %8.1f   %8.1f %8.1f\n", p->name, median(ns[0]),
		     median(ns[1]), median(ns[2]), median(ns[3]));
}

/* ---- heads ---- */

typedef unsigned int search_fn(const uint32_t *head, unsigned int n, uint32_t key);

static double search_ns(struct bench *b, search_fn *search, const uint32_t *head,
			unsigned int n, const uint32_t *key)
{
	double ns[ROUNDS], begin;
	unsigned int r;
	uint32_t i;

	for (r = 0; r < ROUNDS; r++) {
		begin = now_ns();
		for (i = 0; i < b->ops; i++)
			b->sum += search(head, n, key[i]);
		ns[r] = (now_ns() - begin) / b->ops;
	}
	return median(ns);
}

static void bench_heads(struct bench *b)
{
	static const unsigned int counts[] = {
		8, 16, 20, 28, 35, 64, 100, 150, 200, 400
	};
	uint32_t head[400], *key = malloc(b->ops * sizeof(*key)), i;
	size_t c;

	if (!key)
		abort();
	(void)printf("\nheads: ns a search    scalar %8s\n", btree_search_name());
	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		for (i = 0; i < counts[c]; i++)
			head[i] = UINT32_MAX / counts[c] * i;
		for (i = 0; i < b->ops; i++)
			key[i] = (uint32_t)random_next(b);
		(void)printf(
			"%-20u %8.1f %8.1f\n", counts[c],
			search_ns(b, btree_search_heads_scalar, head, counts[c], key),
			search_ns(b, btree_search_heads_simd, head, counts[c], key));
	}
	free(key);
}

/* ---- changes ---- */

struct full { /* a node that an entry does not fit */
	struct btree_node *node, *right;
	uint8_t key[KEY];
	unsigned int at;
};

static unsigned int fill_up(struct bench *b, struct full *f, struct kv_slice value)
{
	const struct kv_slice k = kv_slice(f->key, KEY);
	unsigned int inserts = 0;
	bool found;

	for (;;) {
		make_key(f->key,
			 10000000000000000000u + random_next(b) % 100000000000000u);
		f->at = btree_node_lower_bound(f->node, &shape, k, &found);
		if (found)
			continue;
		if (!btree_node_fits(f->node, &shape, k, value.len))
			return inserts;
		btree_node_insert(f->node, &shape, f->at, k, value, 0);
		inserts++;
	}
}

/* Nodes from empty to full, and then all of them split; over and over. */
static void bench_changes(struct bench *b)
{
	static const uint8_t value[VALUE];
	double insert[ROUNDS] = { 0 }, split[ROUNDS] = { 0 }, begin;
	struct full full[NODES];
	struct btree_split s;
	unsigned int r, i, inserts, splits;

	for (r = 0; r < ROUNDS; r++) {
		for (inserts = splits = 0; inserts < b->ops; splits += NODES) {
			for (i = 0; i < NODES; i++) {
				full[i].node = node_at(b, i);
				full[i].right = node_at(b, NODES + i);
				btree_node_init(full[i].node, &shape, 0,
						kv_str("user100000"),
						kv_str("user100001"));
			}
			begin = now_ns();
			for (i = 0; i < NODES; i++)
				inserts += fill_up(b, &full[i], kv_slice(value, VALUE));
			insert[r] += now_ns() - begin;
			begin = now_ns();
			for (i = 0; i < NODES; i++) {
				btree_node_split_point(full[i].node, &shape, full[i].at,
						       kv_slice(full[i].key, KEY), VALUE,
						       false, &s);
				btree_node_split(full[i].node, full[i].right, &shape, &s,
						 node_at(b, 2 * NODES));
			}
			split[r] += now_ns() - begin;
		}
		insert[r] /= inserts;
		split[r] /= splits;
	}
	(void)printf("\nleaf: ns an insert, with its key made and sought %8.1f\n"
		     "      ns a split                                 %8.1f\n",
		     median(insert), median(split));
}

int main(int argc, char **argv)
{
	struct bench b = { .random = 1, .ops = 100000 };
	unsigned long mib = 128;
	struct query *q;
	size_t bytes;
	int option, p;

	while ((option = getopt(argc, argv, "m:n:h")) != -1) {
		if (option == 'm')
			mib = strtoul(optarg, NULL, 10);
		else if (option == 'n')
			b.ops = (uint32_t)strtoul(optarg, NULL, 10);
		else
			break;
	}
	if (option != -1 || optind != argc || mib < 1 || mib > 65536 || !b.ops) {
		(void)fprintf(stderr,
			      "usage: %s [-m MiB of nodes, 1..65536] [-n operations "
			      "a round, 1..]\n",
			      argv[0]);
		return 2;
	}
	b.nodes = (uint32_t)((mib << 20) / PAGE);
	bytes = ((mib << 20) + PORT_HUGE_BYTES - 1) & ~(size_t)(PORT_HUGE_BYTES - 1);
	b.memory = port_alloc_huge(bytes);
	q = malloc(b.ops * sizeof(*q));
	if (!b.memory || !q) {
		(void)fprintf(stderr,
			      "%s: no memory for %lu MiB of nodes: give less with -m\n",
			      argv[0], mib);
		return 1;
	}
	(void)printf("lower bound: ns       in cache            in %lu MiB\n"
		     "                          chained             chained\n",
		     mib);
	for (p = 0; p < PLANS; p++)
		bench_plan(&b, &plans[p], q);
	bench_heads(&b);
	bench_changes(&b);
	free(q);
	port_free_huge(b.memory, bytes);
	return b.sum == 0;
}
