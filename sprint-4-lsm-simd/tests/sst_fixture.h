/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_fixture.h - what the tables' tests share: entries by seed, in order, as the model; a
 * table of them on a simulated disk; and the comparison of one with the other.
 */
#ifndef SST_FIXTURE_H
#define SST_FIXTURE_H

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_blob.h"
#include "../neon_lsm_ops.h"
#include "../sst_block.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

#define STORE_ID 0x1122334455667788ull
#define FILE_ID  42
#define TABLE    "table.sst"

struct entry {
	struct kv_slice key, value;
	uint64_t stamp;
};

struct model { /* in order */
	struct entry *e;
	size_t n, cap;
	struct kv_slice *pieces; /* what was allocated */
	size_t n_pieces;
};

/* How a model's keys look. */
enum keys {
	KEYS_USER,    /* "user" and digits */
	KEYS_BINARY,  /* 0 to 6 bytes, also zeros and ff */
	KEYS_LONG,    /* up to 700 bytes, most of them shared */
	KEYS_COUNTER, /* eight bytes, big-endian, close together */
};

struct recipe {
	enum keys keys;
	size_t n;
	size_t value_max;
	unsigned int versions; /* of a key, at most */
	unsigned int deletes;  /* one entry in so many; 0: none */
	unsigned int blobs;
};

static inline void *fixture_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	assert_non_null(p);
	return p;
}

static inline struct kv_slice model_copy(struct model *m, const void *p, size_t n)
{
	struct kv_slice s = kv_slice(fixture_alloc(n), n);

	if (n)
		memcpy((void *)(uintptr_t)s.data, p, n);
	m->pieces = realloc(m->pieces, (m->n_pieces + 1) * sizeof(*m->pieces));
	assert_non_null(m->pieces);
	m->pieces[m->n_pieces++] = s;
	return s;
}

static inline void model_add(struct model *m, struct kv_slice key, uint64_t stamp,
			     struct kv_slice value)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->e = realloc(m->e, m->cap * sizeof(*m->e));
		assert_non_null(m->e);
	}
	m->e[m->n++] = (struct entry){ model_copy(m, key.data, key.len),
				       model_copy(m, value.data, value.len), stamp };
}

static inline void model_free(struct model *m)
{
	size_t i;

	for (i = 0; i < m->n_pieces; i++)
		free((void *)(uintptr_t)m->pieces[i].data);
	free(m->pieces);
	free(m->e);
	memset(m, 0, sizeof(*m));
}

static inline int model_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return lsm_entry_compare(x->key, x->stamp, y->key, y->stamp);
}

static inline size_t random_key(enum keys how, uint8_t *out)
{
	static const uint8_t few[] = { 0, 0, 1, 'a', 'b', 0xff };
	size_t i, n;

	switch (how) {
	case KEYS_USER:
		return (size_t)sprintf((char *)out, "user%020llu",
				       (unsigned long long)core_random());
	case KEYS_BINARY:
		n = core_random_below(7);
		for (i = 0; i < n; i++)
			out[i] = few[core_random_below(6)];
		return n;
	case KEYS_LONG:
		n = 1 + core_random_below(700);
		memset(out, 'x', n);
		out[n - 1] = (uint8_t)core_random();
		if (core_random_below(4) == 0)
			out[n / 2] = (uint8_t)core_random();
		return n;
	default:
		memset(out, 0, 8);
		port_put_le16(out + 6, (uint16_t)core_random_below(50000));
		return 8;
	}
}

static inline uint64_t random_stamp(const struct recipe *r, uint64_t sequence)
{
	if (r->deletes && core_random_below(r->deletes) == 0)
		return lsm_stamp(sequence, LSM_DELETE);
	if (r->blobs && core_random_below(r->blobs) == 0)
		return lsm_stamp(sequence, LSM_BLOB);
	return lsm_stamp(sequence, LSM_PUT);
}

/* Keys come out different, so entries that are equal in key and stamp do not. */
static inline void model_cook(struct model *m, const struct recipe *r)
{
	uint8_t key[1024], *value = fixture_alloc(r->value_max + LSM_BLOB_REF_BYTES);
	uint64_t sequence = 1000 + core_random_below(100000);
	unsigned int v;
	size_t i, j, n;

	while (m->n < r->n) {
		size_t key_len = random_key(r->keys, key);

		for (v = 1 + (unsigned int)core_random_below(r->versions); v; v--) {
			uint64_t stamp =
				random_stamp(r, sequence += 1 + core_random_below(9));

			n = core_random_below(r->value_max + 1);
			core_random_bytes(value, n);
			if (n > 8 && core_random_below(2)) /* something to compress */
				memset(value, 'v', n - 8);
			if (lsm_kind(stamp) == LSM_DELETE)
				n = 0;
			if (lsm_kind(stamp) == LSM_BLOB) {
				const struct lsm_blob_ref ref = {
					.file = 5 + core_random_below(3),
					.offset = 4096 + core_random_below(1 << 20),
					.value_bytes =
						(uint32_t)core_random_below(1 << 20),
				};

				n = LSM_BLOB_REF_BYTES;
				lsm_blob_ref_put(value, &ref);
			}
			model_add(m, kv_slice(key, key_len), stamp, kv_slice(value, n));
		}
	}
	qsort(m->e, m->n, sizeof(*m->e), model_order);
	for (i = j = 0; i < m->n; i++)
		if (!i || model_order(&m->e[i - 1], &m->e[i]))
			m->e[j++] = m->e[i];
	m->n = j;
	free(value);
}

/* The first entry at or behind (key, stamp). */
static inline size_t model_seek(const struct model *m, struct kv_slice key,
				uint64_t stamp)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (lsm_entry_compare(m->e[middle].key, m->e[middle].stamp, key, stamp) <
		    0)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

static inline bool same_slice(struct kv_slice a, struct kv_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

/* ---- a table ---- */

struct scene {
	struct env_sim *sim;
	struct env *env;
	struct lsm_cache *cache;
	struct sst_shape shape;
	struct sst_summary summary;
	struct sst *t;
	struct kv_msg why;
};

static const struct sst_shape usual_shape = { .block_bytes = 512,
					      .partition_bytes = 256,
					      .restart_interval = 4,
					      .filter_bits = 10 };

static inline void scene_begin(struct scene *s, const struct sst_shape *shape)
{
	const struct env_sim_config config = { .seed = CORE_SEED, .no_journal = true };
	const struct lsm_cache_config cache = { .bytes = 4 << 20, .shards = 2 };

	memset(s, 0, sizeof(*s));
	s->sim = env_sim_new(&config);
	s->env = env_sim_env(s->sim);
	s->shape = shape ? *shape : usual_shape;
	assert_int_equal(lsm_cache_new(&cache, &s->cache), 0);
}

static inline struct sst_builder_config scene_builder(const struct scene *s)
{
	return (struct sst_builder_config){ .env = s->env,
					    .path = TABLE,
					    .file = FILE_ID,
					    .store_id = STORE_ID,
					    .shape = s->shape };
}

/* Writes all of it; frees the builder in any case. */
static inline int scene_try_build(struct scene *s, const struct model *m,
				  const struct lsm_tombstone *range, size_t ranges)
{
	const struct sst_builder_config c = scene_builder(s);
	struct sst_builder *b = NULL;
	int error = sst_builder_new(&c, &b, &s->why);
	size_t i;

	if (error)
		return error;
	for (i = 0; !error && i < ranges; i++)
		error = sst_builder_delete_range(b, &range[i]);
	for (i = 0; !error && m && i < m->n; i++)
		error = sst_builder_add(b, m->e[i].key, lsm_key_hash(m->e[i].key),
					m->e[i].stamp, m->e[i].value, &s->why);
	if (!error)
		return sst_builder_finish(b, &s->summary, &s->why);
	sst_builder_abandon(b);
	return error;
}

static inline int scene_try_open(struct scene *s, enum sst_access access)
{
	const struct sst_config c = {
		.env = s->env, .cache = s->cache, .access = access, .store_id = STORE_ID
	};
	const struct sst_expect expect = { .bytes = s->summary.bytes,
					   .footer_crc = s->summary.footer_crc };

	s->why.text[0] = '\0';
	return sst_open(&c, TABLE, FILE_ID, &expect, &s->t, &s->why);
}

static inline void scene_close(struct scene *s)
{
	sst_close(s->t);
	s->t = NULL;
	lsm_cache_forget(s->cache, FILE_ID, s->summary.bytes);
}

static inline void scene_end(struct scene *s)
{
	scene_close(s);
	sst_summary_free(&s->summary);
	lsm_cache_free(s->cache);
	env_sim_free(s->sim);
}

#define assert_ok(s, call)                                                             \
	do {                                                                           \
		int assert_ok_error = (call);                                          \
		if (assert_ok_error)                                                   \
			fail_msg("%s: %d: %s", #call, assert_ok_error, (s)->why.text); \
	} while (0)

/* ---- what a table must answer ---- */

/* One get against the model. */
static inline void check_get_at(struct scene *s, const struct model *m,
				struct kv_slice key, uint64_t sequence,
				struct kv_buf *value)
{
	size_t i = model_seek(m, key, lsm_seek_stamp(sequence));
	uint64_t stamp = 0;
	int error =
		sst_get(s->t, key, lsm_key_hash(key), sequence, &stamp, value, &s->why);

	if (i == m->n || !same_slice(m->e[i].key, key)) {
		assert_int_equal(error, -ENOENT);
		return;
	}
	assert_ok(s, error);
	assert_int_equal(stamp, m->e[i].stamp);
	assert_true(sst_may_have(s->t, lsm_key_hash(key), key));
	if (lsm_kind(stamp) != LSM_DELETE)
		assert_true(same_slice(kv_slice(value->data, value->len), m->e[i].value));
}

static inline void check_at(const struct lsm_cursor *c, const struct model *m, size_t i)
{
	assert_true(same_slice(c->key, m->e[i].key));
	assert_int_equal(c->stamp, m->e[i].stamp);
	assert_true(same_slice(c->value, m->e[i].value));
}

static inline void check_walks(struct scene *s, const struct model *m, unsigned int flags)
{
	struct lsm_cursor *c;
	size_t i;

	assert_ok(s, sst_cursor(s->t, flags, &c, &s->why));
	for (i = 0; i < m->n; i++) {
		assert_int_equal(lsm_next(c), 0);
		check_at(c, m, i);
	}
	assert_int_equal(lsm_next(c), -ENOENT);
	assert_null(sst_cursor_why(c));
	for (i = m->n; i--;) {
		assert_int_equal(lsm_prev(c), 0);
		check_at(c, m, i);
	}
	assert_int_equal(lsm_prev(c), -ENOENT);
	lsm_cursor_close(c);
}

static inline void check_seek(struct lsm_cursor *c, const struct model *m,
			      struct kv_slice key, uint64_t stamp)
{
	size_t i = model_seek(m, key, stamp);

	assert_int_equal(lsm_seek(c, key, stamp), i < m->n ? 0 : -ENOENT);
	if (i == m->n)
		return;
	check_at(c, m, i);
	switch (core_random_below(3)) {
	case 0:
		assert_int_equal(lsm_next(c), i + 1 < m->n ? 0 : -ENOENT);
		if (i + 1 < m->n)
			check_at(c, m, i + 1);
		break;
	case 1:
		assert_int_equal(lsm_prev(c), i ? 0 : -ENOENT);
		if (i)
			check_at(c, m, i - 1);
		break;
	}
}

/* A key that is the model's, or near one that is. */
static inline size_t near_key(const struct model *m, uint8_t *out)
{
	struct kv_slice k = m->e[core_random_below(m->n)].key;
	size_t n = k.len < 1000 ? k.len : 1000;

	if (n)
		memcpy(out, k.data, n);
	switch (core_random_below(5)) {
	case 0:
		out[n++] = (uint8_t)core_random();
		return n;
	case 1:
		return core_random_below(n + 1);
	case 2:
		if (n)
			out[n - 1] = (uint8_t)(out[n - 1] + core_random_below(3) - 1);
		return n;
	default:
		return n;
	}
}

static inline void check_points(struct scene *s, const struct model *m, size_t rounds)
{
	struct kv_buf value = { 0 };
	struct lsm_cursor *c;
	uint8_t bytes[1024];
	size_t i;

	if (!m->n)
		return;
	assert_ok(s, sst_cursor(s->t, 0, &c, &s->why));
	for (i = 0; i < rounds; i++) {
		struct kv_slice key = kv_slice(bytes, near_key(m, bytes));
		uint64_t at = m->e[core_random_below(m->n)].stamp;

		check_get_at(s, m, key, LSM_SEQUENCE_MAX, &value);
		check_get_at(s, m, key, lsm_sequence(at) - core_random_below(2), &value);
		check_seek(c, m, key, core_random_below(2) ? at : UINT64_MAX);
	}
	lsm_cursor_close(c);
	kv_buf_free(&value);
}

static inline void check_all(struct scene *s, const struct model *m, size_t rounds)
{
	check_walks(s, m, 0);
	check_walks(s, m, SST_COLD);
	check_walks(s, m, SST_COLD | SST_READAHEAD);
	check_points(s, m, rounds);
	assert_ok(s, sst_verify(s->t, NULL, &s->why));
}

static inline void assert_bytes(const uint8_t *came, size_t n, const char *want)
{
	char hex[2 * 1024 + 1] = "";
	size_t i;

	assert_true(n <= 1024);
	for (i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", came[i]);
	if (strcmp(hex, want))
		(void)printf("%s\n", hex);
	assert_string_equal(hex, want);
}

#endif /* SST_FIXTURE_H */
