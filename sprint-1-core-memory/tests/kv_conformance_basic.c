/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_basic.c - checks of one pair at a time: get, put, delete, multi_get, and
 * what bytes and lengths keys and values may have.
 */
#include "kv_check.h"

static void put_is_got(struct check *c)
{
	check_open(c);
	check_put(c, check_key(c, 1), BYTES("one"));
	check_same(c);
	check_put(c, check_key(c, 2), BYTES("two"));
	check_get(c, NULL, check_key(c, 3), NULL);
	check_get(c, NULL, check_key(c, 0), NULL);
	check_get(c, NULL, BYTES("key"), NULL);
	check_get(c, NULL, BYTES("key0000012"), NULL);
	check_same(c);
}

static void overwrite_replaces(struct check *c)
{
	static const size_t lens[] = { 5, 5, 1, 100, 0, 3000, 2999, 3001, 0, 0, 7 };
	struct kv_slice k = check_key(c, 1);
	size_t i;

	check_open(c);
	check_put(c, check_key(c, 0), BYTES("neighbour before"));
	check_put(c, check_key(c, 2), BYTES("neighbour after"));
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct kv_slice value = check_noise(c, i, lens[i]);

		if (!check_value_fits(c, value))
			continue;
		check_put(c, k, value);
		check_same(c);
	}
}

static void delete_removes(struct check *c)
{
	check_open(c);
	check_load(c, 20, 10);
	check_delete(c, check_key(c, 0));
	check_get(c, NULL, check_key(c, 0), NULL);
	check_delete(c, check_key(c, 19));
	check_delete(c, check_key(c, 10));
	check_get(c, NULL, check_key(c, 10), NULL);
	check_same(c);
	check_put(c, check_key(c, 10), BYTES("again"));
	check_same(c);
	check_delete(c, check_key(c, 10));
	check_delete(c, check_key(c, 10));
	check_same(c);
	while (c->model.n)
		check_delete(c, c->model.pair[c->model.n / 2].key);
	check_same(c);
	check_load(c, 5, 10);
	check_same(c);
}

static void delete_of_absent_is_no_error(struct check *c)
{
	check_open(c);
	check_delete(c, check_key(c, 7));
	check_same(c);
	check_load(c, 3, 10);
	check_delete(c, check_key(c, 7));
	check_delete(c, BYTES("key"));
	check_delete(c, BYTES("key000001x"));
	check_same(c);
}

static void miss_empties_the_value(struct check *c)
{
	struct kv_slice k = check_key(c, 1), too_long;

	check_open(c);
	check_put(c, k, BYTES("something"));
	check_int(c, 0, kv_get(c->kv, k, &c->buf));
	check_true(c, c->buf.len == 9);
	check_int(c, -ENOENT, kv_get(c->kv, check_key(c, 2), &c->buf));
	check_true(c, c->buf.len == 0);
	check_int(c, 0, kv_get(c->kv, k, &c->buf));
	check_delete(c, k);
	check_int(c, -ENOENT, kv_get(c->kv, k, &c->buf));
	check_true(c, c->buf.len == 0);
	check_put(c, k, BYTES("something"));
	check_int(c, 0, kv_get(c->kv, k, &c->buf));
	too_long = check_noise(c, 1, check_key_max(c) + 1);
	check_int(c, -EINVAL, kv_get(c->kv, too_long, &c->buf));
	check_true(c, c->buf.len == 0);
}

static void empty_key_is_a_key(struct check *c)
{
	struct kv_slice empty = { NULL, 0 };

	check_open(c);
	if (c->ops->key_min) {
		check_int(c, -EINVAL, kv_put(c->kv, empty, BYTES("v"), KV_NONE));
		check_int(c, -EINVAL, kv_get(c->kv, empty, &c->buf));
		check_int(c, -EINVAL, kv_delete(c->kv, empty, KV_NONE));
		check_same(c);
		return;
	}
	check_get(c, NULL, empty, NULL);
	check_delete(c, empty);
	check_put(c, empty, BYTES("of the empty key"));
	check_put(c, BYTES("\0"), BYTES("of a NUL"));
	check_same(c);
	check_put(c, BYTES(""), BYTES("overwritten"));
	check_same(c);
	check_delete(c, empty);
	check_same(c);
}

static void empty_value_is_a_value(struct check *c)
{
	struct kv_slice k = check_key(c, 1);

	check_open(c);
	check_put(c, k, BYTES(""));
	check_put(c, check_key(c, 2), kv_slice(NULL, 0));
	check_put(c, check_key(c, 3), BYTES("\0"));
	check_same(c);
	check_put(c, k, BYTES("full"));
	check_put(c, k, kv_slice(NULL, 0));
	check_same(c);
	if (!c->ops->key_min) {
		check_put(c, kv_slice(NULL, 0), kv_slice(NULL, 0));
		check_same(c);
	}
	check_delete(c, k);
	check_same(c);
}

static void bytes_are_bytes(struct check *c)
{
	unsigned char value[256];
	unsigned int i;

	for (i = 0; i < 256; i++)
		value[i] = (unsigned char)i;
	check_open(c);
	check_load_adversarial(c);
	check_same(c);
	check_put(c, BYTES("all bytes"), kv_slice(value, sizeof(value)));
	check_put(c, BYTES("no\0text"), BYTES("\0\0\0"));
	check_put(c, BYTES("no\0texts"), BYTES("\xff\xff"));
	check_same(c);
	for (i = 0; i < c->model.n; i += 2)
		check_delete(c, c->model.pair[i].key);
	check_same(c);
}

static void single_bytes_are_keys(struct check *c)
{
	unsigned int i;

	check_open(c);
	for (i = 0; i < 256; i++) {
		unsigned char byte = (unsigned char)(i * 167); /* odd: every byte once */

		if (check_key_fits(c, kv_slice(&byte, 1)))
			check_put(c, kv_slice(&byte, 1), check_noise(c, i, i % 9));
	}
	check_same(c);
}

static void prefixes_are_keys(struct check *c)
{
	size_t max = check_key_max(c) < 300 ? check_key_max(c) : 300, len;
	char *bytes = check_alloc(c, max + 1);

	memset(bytes, 'p', max + 1);
	check_open(c);
	for (len = c->ops->key_min; len <= max; len += 1 + len / 16)
		check_put(c, kv_slice(bytes, len), check_printf(c, "%zu bytes", len));
	/* Long common parts that differ in the last byte, then in the first. */
	bytes[max - 1] = 'a';
	check_put(c, kv_slice(bytes, max), BYTES("a at the end"));
	bytes[max - 1] = '\xff';
	check_put(c, kv_slice(bytes, max), BYTES("0xff at the end"));
	bytes[0] = '\0';
	check_put(c, kv_slice(bytes, max), BYTES("NUL at the start"));
	check_same(c);
	for (len = c->ops->key_min; len <= max; len += 1 + len / 16)
		if (len % 2)
			check_delete(c, kv_slice(memset(bytes, 'p', max), len));
	check_same(c);
}

static void longest_keys_are_keys(struct check *c)
{
	size_t max = check_key_max(c);
	unsigned char *key = check_alloc(c, max + 1);

	memset(key, 'k', max + 1);
	check_open(c);
	check_put(c, kv_slice(key, max - 1), BYTES("longest but one"));
	check_put(c, kv_slice(key, max), BYTES("longest"));
	key[max - 1] = 'l';
	check_put(c, kv_slice(key, max), BYTES("longest, last byte differs"));
	check_put(c, kv_slice(key, 1), BYTES("short"));
	check_same(c);
	check_put(c, kv_slice(key, max), check_noise(c, 1, 1000));
	check_same(c);
	check_delete(c, kv_slice(key, max));
	check_same(c);
}

static void longer_keys_are_refused(struct check *c)
{
	size_t len = check_key_max(c) + 1;
	struct kv_slice key = check_noise(c, 1, len);
	/* Must be refused by its length: there are not that many bytes behind it. */
	struct kv_slice huge = kv_slice("k", SIZE_MAX);

	check_open(c);
	check_load(c, 3, 3);
	check_int(c, -EINVAL, kv_put(c->kv, key, BYTES("v"), KV_NONE));
	check_int(c, -EINVAL, kv_get(c->kv, key, &c->buf));
	check_int(c, -EINVAL, kv_delete(c->kv, key, KV_NONE));
	check_int(c, -EINVAL, kv_put(c->kv, huge, BYTES("v"), KV_NONE));
	check_int(c, -EINVAL, kv_get(c->kv, huge, &c->buf));
	check_int(c, -EINVAL, kv_delete(c->kv, huge, KV_NONE));
	check_same(c);
}

static void values_of_many_lengths(struct check *c)
{
	static const size_t lens[] = { 0,     7,     15,    16,     63,     127,   128,
				       255,   256,   511,   512,    1023,   2048,  4095,
				       4096,  4097,  8192,  16383,  16384,  32768, 65534,
				       65535, 65536, 65537, 131072, 1 << 20 };
	unsigned int i;

	check_open(c);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		if (lens[i] <= check_value_max(c))
			check_put(c, check_key(c, i), check_noise(c, i, lens[i]));
	check_same(c);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i += 2)
		check_delete(c, check_key(c, i));
	check_same(c);
}

static size_t huge_len(const struct check *c)
{
	size_t len = c->t->huge_value ? c->t->huge_value : 16 << 20;

	return len < check_value_max(c) ? len : check_value_max(c);
}

static void huge_value_is_kept(struct check *c)
{
	struct kv_slice k = check_key(c, 1);
	struct kv_slice value;

	check_open(c);
	value = check_noise(c, 1, huge_len(c));
	check_put(c, check_key(c, 0), BYTES("before"));
	check_put(c, k, value);
	check_put(c, check_key(c, 2), BYTES("after"));
	check_same(c);
	((unsigned char *)value.data)[value.len / 2] ^= 1;
	check_put(c, k, value);
	check_same(c);
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		check_same(c);
	}
	check_put(c, k, BYTES("small again"));
	check_same(c);
}

static void larger_values_are_refused(struct check *c)
{
	struct kv_slice k = check_key(c, 1);
	/* Refused by their length: the bytes are not there. */
	struct kv_slice larger = kv_slice("v", check_value_max(c) + 1);
	struct kv_slice largest = kv_slice("v", SIZE_MAX);

	check_open(c);
	check_put(c, k, BYTES("stays"));
	check_int(c, -EINVAL, kv_put(c->kv, k, larger, KV_NONE));
	check_int(c, -EINVAL, kv_put(c->kv, k, largest, KV_NONE));
	check_int(c, -EINVAL, kv_put(c->kv, check_key(c, 2), larger, KV_NONE));
	check_same(c);
}

static void buffers_are_reused_and_grow(struct check *c)
{
	static const size_t lens[] = { 10, 0, 1000, 3, 4000, 4000, 1 };
	struct kv_slice kept;
	unsigned int i;

	check_open(c);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		if (lens[i] <= check_value_max(c))
			check_put(c, check_key(c, i), check_noise(c, i, lens[i]));
	check_int(c, 0, kv_buf_append(&c->buf, "what the buffer held before", 27));
	for (i = 0; i < c->model.n; i++) {
		check_get(c, NULL, c->model.pair[i].key, &c->model.pair[i].value);
		check_true(c, c->buf.cap >= c->buf.len);
	}
	/* The buffer is the caller's: no later write reaches into it. */
	kept = c->model.pair[2].value;
	check_get(c, NULL, c->model.pair[2].key, &kept);
	check_put(c, c->model.pair[2].key, check_noise(c, 99, kept.len));
	check_true(c,
		   c->buf.len == kept.len && !memcmp(c->buf.data, kept.data, kept.len));
	check_delete(c, c->model.pair[2].key);
	check_close(c);
	check_true(c,
		   c->buf.len == kept.len && !memcmp(c->buf.data, kept.data, kept.len));
}

static void arguments_are_borrowed(struct check *c)
{
	char key[64] = "borrowed key", value[64] = "borrowed value",
	     end[64] = "borrowed z";
	struct kv_op op[3] = {
		{ KV_PUT, { key, 12 }, { value, 14 } },
		{ KV_PUT, { key, 11 }, { value, 13 } },
		{ KV_DELETE, { end, 10 }, { NULL, 0 } },
	};
	size_t n = check_has(c, KV_CAP_BATCH) ? 3 : 1;

	check_open(c);
	check_put(c, BYTES("borrowed"), BYTES("stays"));
	check_write(c, op, n);
	memset(key, '!', sizeof(key));
	memset(value, '?', sizeof(value));
	memset(end, '#', sizeof(end));
	memset(op, 0xff, sizeof(op));
	check_same(c);
	memcpy(key, "borrowed", 8);
	check_get(c, NULL, kv_slice(key, 8), &c->model.pair[0].value);
	memset(key, '!', sizeof(key));
	check_same(c);
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		check_same(c);
	}
}

/* Enough to split pages, rehash tables and flush buffers. */
static void many_pairs(struct check *c)
{
	unsigned int i;

	check_open(c);
	check_load(c, 3000, 100);
	check_same(c);
	for (i = 0; i < 3000; i += 3)
		check_delete(c, check_key(c, i));
	for (i = 1; i < 3000; i += 3)
		check_put(c, check_key(c, i), check_noise(c, i + 1, i % 200));
	check_same(c);
	for (i = 0; i < 3000; i += 2)
		check_get(c, NULL, check_printf(c, "key%06ux", i), NULL);
}

/* ---- multi_get ---- */

enum { MANY = 40 };

/* Asks for all keys at once and compares with the model at each. */
static void(get_many)(struct check *c, struct kv_snapshot *snap,
		      const struct kv_slice *key, size_t n,
		      const struct check_pairs *want)
{
	struct kv_buf value[MANY] = { 0 };
	char k[CHECK_SHOW], w[CHECK_SHOW], e[CHECK_SHOW];
	int error[MANY], came;
	size_t i, j;

	for (i = 0; i < n; i++)
		error[i] = 12345;
	/* Buffers hold something, which must go. */
	for (i = 0; i < n; i += 2)
		if (kv_buf_set(&value[i], "old content", 11))
			(check_fail)(c, "expected 11 bytes of memory, came none");
	came = kv_multi_get(c->kv, snap, n, key, value, error);
	c->complaint[0] = '\0';
	for (i = 0; i < n && !came && !c->complaint[0]; i++) {
		bool there;
		int wanted;

		j = check_pairs_find(want, key[i]);
		there = j < want->n && !kv_compare(want->pair[j].key, key[i]);
		wanted = !check_key_fits(c, key[i]) ? -EINVAL : there ? 0 : -ENOENT;
		check_show(key[i], k);
		if (error[i] != wanted)
			snprintf(c->complaint, sizeof(c->complaint),
				 "key %zu of %zu, %s: expected %s, came %s", i, n, k,
				 check_error_name(wanted, w),
				 check_error_name(error[i], e));
		else if (value[i].len != (there ? want->pair[j].value.len : 0) ||
			 (there && value[i].len &&
			  memcmp(value[i].data, want->pair[j].value.data, value[i].len)))
			snprintf(c->complaint, sizeof(c->complaint),
				 "key %zu of %zu, %s: expected its value, came %s", i, n,
				 k, check_show(kv_slice(value[i].data, value[i].len), e));
	}
	for (i = 0; i < n; i++)
		kv_buf_free(&value[i]);
	(check_int)(c, "kv_multi_get", 0, came);
	if (c->complaint[0]) {
		char text[sizeof(c->complaint)];

		memcpy(text, c->complaint, sizeof(text));
		(check_fail)(c, "kv_multi_get %s", text);
	}
}
#define get_many(c, snap, key, n, want) (get_many)(HERE(c), snap, key, n, want)

static void multi_get_mixes_hits_and_misses(struct check *c)
{
	struct kv_slice key[MANY];
	unsigned int i;

	check_open(c);
	check_load(c, 30, 20);
	check_put(c, check_key(c, 4), BYTES(""));
	check_int(c, 0, kv_multi_get(c->kv, NULL, 0, NULL, NULL, NULL));
	for (i = 0; i < MANY; i++)
		key[i] = check_key(c, i * 17 % MANY); /* 30 and above are not there */
	get_many(c, NULL, key, MANY, &c->model);
	get_many(c, NULL, key, 1, &c->model);
	for (i = 0; i < MANY; i++)
		key[i] = check_key(c, i % 3 ? 5 : 35); /* the same again and again */
	get_many(c, NULL, key, MANY, &c->model);
	key[0] = check_key(c, 29);
	key[1] = check_key(c, 0);
	get_many(c, NULL, key, 2, &c->model);
}

static void multi_get_reports_each_bad_key(struct check *c)
{
	struct kv_slice key[5];

	check_open(c);
	check_load(c, 3, 20);
	key[0] = check_key(c, 0);
	key[1] = check_noise(c, 1, check_key_max(c) + 1);
	key[2] = check_key(c, 2);
	key[3] = check_key(c, 9);
	key[4] = kv_slice(NULL, 0);
	get_many(c, NULL, key, 5, &c->model);
}

static void multi_get_reads_a_snapshot(struct check *c)
{
	struct kv_slice key[MANY];
	struct check_pairs old;
	struct kv_snapshot *snap;
	unsigned int i;

	check_open(c);
	check_load(c, 20, 20);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	for (i = 0; i < 10; i++)
		check_put(c, check_key(c, 2 * i), BYTES("new"));
	check_delete(c, check_key(c, 5));
	check_put(c, check_key(c, 25), BYTES("fresh"));
	for (i = 0; i < 30; i++)
		key[i] = check_key(c, i);
	get_many(c, snap, key, 30, &old);
	get_many(c, NULL, key, 30, &c->model);
}

const struct check_entry check_basic_entries[] = {
	{ "put_is_got", 0, 0, put_is_got },
	{ "overwrite_replaces", 0, 0, overwrite_replaces },
	{ "delete_removes", 0, 0, delete_removes },
	{ "delete_of_absent_is_no_error", 0, 0, delete_of_absent_is_no_error },
	{ "miss_empties_the_value", 0, 0, miss_empties_the_value },
	{ "empty_key_is_a_key", 0, 0, empty_key_is_a_key },
	{ "empty_value_is_a_value", 0, 0, empty_value_is_a_value },
	{ "bytes_are_bytes", 0, 0, bytes_are_bytes },
	{ "single_bytes_are_keys", 0, 0, single_bytes_are_keys },
	{ "prefixes_are_keys", 0, 0, prefixes_are_keys },
	{ "longest_keys_are_keys", 0, 0, longest_keys_are_keys },
	{ "longer_keys_are_refused", 0, 0, longer_keys_are_refused },
	{ "values_of_many_lengths", 0, 0, values_of_many_lengths },
	{ "huge_value_is_kept", 0, 0, huge_value_is_kept },
	{ "larger_values_are_refused", 0, 0, larger_values_are_refused },
	{ "buffers_are_reused_and_grow", 0, 0, buffers_are_reused_and_grow },
	{ "arguments_are_borrowed", 0, 0, arguments_are_borrowed },
	{ "many_pairs", 0, 0, many_pairs },
	{ "multi_get_mixes_hits_and_misses", 0, 0, multi_get_mixes_hits_and_misses },
	{ "multi_get_reports_each_bad_key", 0, 0, multi_get_reports_each_bad_key },
	{ "multi_get_reads_a_snapshot", KV_CAP_SNAPSHOT, 0, multi_get_reads_a_snapshot },
	{ 0 },
};
