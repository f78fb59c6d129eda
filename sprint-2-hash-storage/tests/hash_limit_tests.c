/* SPDX-License-Identifier: MIT */
/*
 * hash_limit_tests.c - a store in the last of its log's positions, after 1 PiB was written
 * to it: it works to the end, then refuses to be written to and can be read.
 */
#include "../hash_store.h"
#include "hash_store_fixture.h"

enum { SEGMENT = 64 << 10, SEGMENTS_LEFT = 3, BYTES = 1000, KEYS = 40 };

#define OPTIONS "segment_bytes=64k,leaf=16,clean_percent=100"

struct scene {
	struct env_sim *sim;
	struct env *env;
	struct kv *kv;
	unsigned int version[KEYS];
};

static void open_scene(struct scene *s)
{
	struct kv_msg why = { "" };

	if (kv_open(&hash_engine, s->env, "store", OPTIONS, &s->kv, &why))
		fail_msg("%s", why.text);
}

/* Key 0 in the first of the last segments, as the engine itself would have left it there. */
static void write_old_log(struct scene *s, uint64_t store_id)
{
	const struct log_config c = {
		.env = s->env,
		.dir = "store",
		.store_id = store_id,
		.segment_bytes = SEGMENT,
		.map = true,
		.group_ns = 1000000,
		.first = HASH_POSITION_MAX / SEGMENT - SEGMENTS_LEFT,
	};
	char k[FIXTURE_KEY], v[FIXTURE_VALUE];
	const struct kv_slice key = fixture_key(k, 0);
	uint8_t head[HASH_HEAD_BYTES];
	struct kv_slice part[3] = { kv_slice(head, sizeof(head)), key,
				    fixture_value(v, 0, 1, BYTES) };
	struct log_item item = { .type = HASH_PUT,
				 .sequence = LOG_SEQUENCE_POSITION,
				 .part = part,
				 .parts = 3 };
	struct kv_msg why = { "" };
	struct log *log;

	port_put_le64(head, hash_head(0, key.len));
	if (log_create(&c, &log, &why))
		fail_msg("%s", why.text);
	assert_int_equal(log_append(log, &item, 1, 0), 0);
	assert_int_equal(log_close(log), 0);
	s->version[0] = 1;
}

static void scene_begin(struct scene *s)
{
	struct kv_buf identity = { 0 };

	memset(s, 0, sizeof(*s));
	s->sim = env_sim_new(&(struct env_sim_config){ .seed = 7, .no_journal = true });
	s->env = env_sim_env(s->sim);
	open_scene(s);
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(env_read_file(s->env, "store/STORE", 4096, &identity), 0);
	write_old_log(s, port_get_le64((uint8_t *)identity.data + 16));
	kv_buf_free(&identity);
	open_scene(s);
}

static void scene_end(struct scene *s)
{
	assert_int_equal(kv_close(s->kv), 0);
	env_sim_free(s->sim);
}

static void assert_version(struct scene *s, struct kv_snapshot *snap, unsigned int key,
			   unsigned int version)
{
	struct kv_buf b = { 0 };
	char k[FIXTURE_KEY];
	int error = kv_get_at(s->kv, snap, fixture_key(k, key), &b);

	assert_int_equal(error, version ? 0 : -ENOENT);
	if (version)
		assert_int_equal(fixture_version(key, BYTES, b.data, b.len), version);
	kv_buf_free(&b);
}

static void assert_all(struct scene *s)
{
	struct kv_msg why = { "" };
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		assert_version(s, NULL, i, s->version[i]);
	if (kv_verify(s->kv, &why))
		fail_msg("%s", why.text);
}

/* Round and round until the log is full. */
static void write_to_the_end(struct scene *s)
{
	unsigned int i;
	int error;

	for (i = 0; !(error = fixture_put(s->kv, i % KEYS, s->version[i % KEYS] + 1,
					  BYTES, i % 7 ? KV_NONE : KV_SYNC));
	     i++)
		s->version[i % KEYS]++;
	assert_int_equal(error, -EFBIG);
	assert_true(i > (SEGMENTS_LEFT - 2) * (SEGMENT - 4000) / (BYTES + 100));
}

/* Deletes are small: some have room where a put has none. */
static void delete_to_the_end(struct scene *s)
{
	unsigned int i = 0;
	int error = 0;

	while (!error && i < KEYS) {
		error = s->version[i] ? fixture_delete(s->kv, i, KV_NONE) : 0;
		if (!error)
			s->version[i++] = 0;
	}
	assert_int_equal(error, -EFBIG);
}

static void test_store_at_its_last_position_refuses_writes_and_is_read(void **state)
{
	struct scene s;
	unsigned int turn;

	(void)state;
	scene_begin(&s);
	assert_all(&s);
	write_to_the_end(&s);
	for (turn = 0; turn < 2; turn++) { /* and after opening anew */
		assert_all(&s);
		assert_int_equal(fixture_put(s.kv, 1, 9, BYTES, KV_SYNC), -EFBIG);
		delete_to_the_end(&s);
		assert_int_equal(kv_sync(s.kv), 0);
		assert_all(&s);
		assert_int_equal(kv_close(s.kv), 0);
		open_scene(&s);
	}
	scene_end(&s);
}

/* The way from a version to the one before it holds positions up to the last. */
static void test_snapshot_near_the_last_position_finds_the_versions_before(void **state)
{
	unsigned int then[KEYS], i;
	struct kv_snapshot *snap;
	struct scene s;

	(void)state;
	scene_begin(&s);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(fixture_put(s.kv, i, ++s.version[i], BYTES, KV_NONE), 0);
	memcpy(then, s.version, sizeof(then));
	assert_int_equal(kv_snapshot(s.kv, &snap), 0);
	write_to_the_end(&s);
	for (i = 0; i < KEYS; i++)
		assert_version(&s, snap, i, then[i]);
	assert_all(&s);
	kv_release(s.kv, snap);
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_store_at_its_last_position_refuses_writes_and_is_read),
		LEAK_CHECKED(
			test_snapshot_near_the_last_position_finds_the_versions_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
