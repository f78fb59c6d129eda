/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_thread_tests.c - one table read by several threads at once, on the machine's own disk:
 * gets, cursors, a cache that is too small, bits of checked blocks that are set side by side.
 */
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../neon_lsm_ops.h"
#include "../sst_format.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum { KEYS = 4000, THREADS = 4 };

struct reader {
	struct sst *t;
	uint64_t seed;
	const char *complaint;
};

static struct kv_slice key_of(char out[16], uint64_t i)
{
	return kv_slice(out,
			(size_t)snprintf(out, 16, "key%08llu", (unsigned long long)i));
}

static const char *get_one(struct reader *r, uint64_t i, struct kv_buf *value)
{
	char name[16];
	struct kv_slice key = key_of(name, i);
	uint64_t stamp = 0;
	int error = sst_get(r->t, key, lsm_key_hash(key), LSM_SEQUENCE_MAX, &stamp, value,
			    NULL);

	if (i % 2)
		return error == -ENOENT ? NULL : "found what is not there";
	if (error)
		return "did not find what is there";
	return lsm_sequence(stamp) == i + 1 && value->len == i % 100 ? NULL
								     : "another value";
}

static const char *scan_some(struct reader *r, uint64_t from)
{
	struct lsm_cursor *c;
	const char *complaint = NULL;
	char name[16];
	uint64_t i = from;
	int error;

	if (sst_cursor(r->t, from % 4 ? 0 : SST_COLD | SST_READAHEAD, &c, NULL))
		return "no cursor";
	error = lsm_seek(c, key_of(name, i), UINT64_MAX);
	for (; !error && i < from + 600 && !complaint; error = lsm_next(c), i += 2)
		if (kv_compare(c->key, key_of(name, i)) || c->value.len != i % 100)
			complaint = "another entry in a scan";
	if (error && (error != -ENOENT || i != 2 * KEYS))
		complaint = "a scan that ended early";
	lsm_cursor_close(c);
	return complaint;
}

static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct kv_buf value = { 0 };
	uint64_t n = test_draws(20000) + 200, x = r->seed;

	while (n-- && !r->complaint) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		r->complaint = get_one(r, (x >> 33) % (2 * KEYS), &value);
		if (!r->complaint && n % 256 == 0)
			r->complaint = scan_some(r, (x >> 33) % KEYS * 2);
	}
	kv_buf_free(&value);
	return NULL;
}

static void build(const char *path, enum sst_compression how)
{
	const struct sst_builder_config c = { .env = env_posix(),
					      .path = path,
					      .file = 3,
					      .store_id = 4,
					      .shape = { .block_bytes = 1024,
							 .partition_bytes = 512,
							 .restart_interval = 4,
							 .filter_bits = 10,
							 .compression = (uint8_t)how } };
	static const char bytes[100];
	struct sst_summary summary;
	struct sst_builder *b;
	struct kv_msg why;
	char name[16];
	uint64_t i;

	assert_int_equal(sst_builder_new(&c, &b, &why), 0);
	for (i = 0; i < 2 * KEYS; i += 2) {
		struct kv_slice key = key_of(name, i);

		assert_int_equal(sst_builder_add(b, key, lsm_key_hash(key),
						 lsm_stamp(i + 1, LSM_PUT),
						 kv_slice(bytes, i % 100), &why),
				 0);
	}
	assert_int_equal(sst_builder_finish(b, &summary, &why), 0);
	sst_summary_free(&summary);
}

static void read_by_threads(const char *path, enum sst_access access,
			    uint64_t cache_bytes)
{
	const struct lsm_cache_config cc = { .bytes = cache_bytes, .shards = 2 };
	struct sst_config c = { .env = env_posix(), .access = access, .store_id = 4 };
	struct reader r[THREADS];
	pthread_t thread[THREADS];
	struct kv_msg why;
	struct sst *t;
	int i;

	assert_int_equal(lsm_cache_new(&cc, &c.cache), 0);
	assert_int_equal(sst_open(&c, path, 3, NULL, &t, &why), 0);
	for (i = 0; i < THREADS; i++) {
		r[i] = (struct reader){ .t = t, .seed = 77 + (uint64_t)i };
		assert_int_equal(pthread_create(&thread[i], NULL, read_on, &r[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		if (r[i].complaint)
			fail_msg("%s", r[i].complaint);
	}
	sst_close(t);
	lsm_cache_free(c.cache);
}

static void test_threads_read_one_table(void **state)
{
	const char *plain = in_scratch("plain.sst"), *packed = in_scratch("packed.sst");

	(void)state;
	build(plain, SST_PLAIN);
	read_by_threads(plain, SST_READ, 4 << 20);
	read_by_threads(plain, SST_READ, 20 << 10);
	read_by_threads(plain, SST_MAP, 4 << 20);
	read_by_threads(plain, SST_DIRECT, 20 << 10);
	if (!sst_can_lz4())
		return;
	build(packed, SST_LZ4);
	read_by_threads(packed, SST_READ, 40 << 10);
	read_by_threads(packed, SST_MAP, 4 << 20);
	read_by_threads(packed, SST_DIRECT, 40 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_threads_read_one_table),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
