/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_golden_tests.c - stores on disk of format version 1: the engine writes these very
 * bytes, and reads them, on every machine.
 *
 * data/hash-v1-closed was closed, after cleaning had given up a segment; data/hash-v1-killed
 * was not, and has a torn tail. Both were made by make_store() on the simulated disk, whose
 * clock, chance and schedule follow from a seed. data/hash-v1-layout0 was closed by a program
 * whose index had leaves of one size; it is not made anew.
 *
 * When "writes" fails and "opens" does not, the engine has come to do the same things in
 * another order or at another time. Look at what has changed; if it is meant, write the
 * stores anew: KV_GOLDEN_WRITE=1. When "opens" fails, people's stores can't be read: never
 * write them anew then, but read both formats, or count the version up.
 */
#include "../hash_engine.h"

#define GOLDEN_ENGINE  hash_engine
#define GOLDEN_OPTIONS "segment_bytes=64k,leaf=16,clean_rate=0"

enum { KEYS = 60, GOLDEN_FILE_MAX = 80 << 10, TORN_BYTES = 96 };

#include "golden_store.h"

/* ---- the store ---- */

static const char odd_key[] = "\0odd\xff\n";

static void put(struct kv *kv, struct kv_slice key, struct kv_slice value,
		enum kv_durability how)
{
	assert_int_equal(kv_put(kv, key, value, how), 0);
}

/* Versions 1 of all keys, 2 of some; others deleted, by themselves and in batches. */
static void make_store(struct kv *kv)
{
	static char large[20000];
	char k[3][FIXTURE_KEY], v[3][FIXTURE_VALUE];
	unsigned int i;

	for (i = 0; i < 4;
	     i++) { /* three fill a segment, which cleaning will give back */
		memset(large, 'a' + (int)i, sizeof(large));
		put(kv, kv_str("large"), kv_slice(large, i < 3 ? sizeof(large) : 6000),
		    KV_NONE);
	}
	put(kv, kv_str("large"), kv_str("not any more"), KV_SYNC);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(fixture_put(kv, i, 1, 16, i % 9 ? KV_NONE : KV_SYNC), 0);
	for (i = 0; i < KEYS; i += 5)
		assert_int_equal(fixture_put(kv, i, 2, 16, KV_NONE), 0);
	for (i = 3; i < KEYS; i += 10)
		assert_int_equal(fixture_delete(kv, i, KV_NONE), 0);
	for (i = 0; i + 2 < KEYS; i += 20) {
		const struct kv_op op[3] = {
			{ KV_PUT, fixture_key(k[0], i), fixture_value(v[0], i, 3, 16) },
			{ KV_DELETE, fixture_key(k[1], i + 1), { NULL, 0 } },
			{ KV_PUT, fixture_key(k[2], i + 2),
			  fixture_value(v[2], i + 2, 3, 16) },
		};

		assert_int_equal(kv_write(kv, op, 3, i ? KV_SYNC : KV_NONE), 0);
	}
	put(kv, kv_slice(odd_key, sizeof(odd_key)), kv_str(""), KV_NONE);
	put(kv, kv_str(""), kv_str("the empty key's"), KV_SYNC);
	assert_int_equal(kv_put(kv, kv_str("last"), kv_str("never durable"), KV_NONE), 0);
}

static unsigned int version_of(unsigned int i)
{
	if (i % 20 == 0 || i % 20 == 2)
		return 3;
	if (i % 20 == 1 || i % 10 == 3)
		return 0;
	return i % 5 ? 1 : 2;
}

static void assert_value(struct kv *kv, struct kv_slice key, const struct kv_slice *want)
{
	struct kv_buf b = { 0 };
	int error = kv_get(kv, key, &b);

	assert_int_equal(error, want ? 0 : -ENOENT);
	if (want)
		assert_int_equal(kv_compare(kv_slice(b.data, b.len), *want), 0);
	kv_buf_free(&b);
}

/* last: the write that nobody waited for is there. */
static void assert_store(struct kv *kv, bool last)
{
	const struct kv_slice empty = kv_str(""), of_empty = kv_str("the empty key's"),
			      small = kv_str("not any more"),
			      late = kv_str("never durable");
	char k[FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_cursor *c;
	struct kv_msg why;
	size_t n = 3 + last, met = 0;
	unsigned int i;

	for (i = 0; i < KEYS; i++) {
		struct kv_slice want = fixture_value(v, i, version_of(i), 16);

		assert_value(kv, fixture_key(k, i), version_of(i) ? &want : NULL);
		n += version_of(i) != 0;
	}
	assert_value(kv, kv_slice(odd_key, sizeof(odd_key)), &empty);
	assert_value(kv, kv_str(""), &of_empty);
	assert_value(kv, kv_str("large"), &small);
	assert_value(kv, kv_str("last"), last ? &late : NULL);
	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!kv_next(c))
		met++;
	kv_cursor_close(c);
	assert_int_equal(met, n);
	assert_int_equal(kv_verify(kv, &why), 0);
}

/* ---- making them ---- */

static struct env_sim *sim_with_store(struct kv **kv)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 20 });
	struct kv_msg why = { "" };

	if (kv_open(&hash_engine, env_sim_env(sim), "store", GOLDEN_OPTIONS, kv, &why))
		fail_msg("%s", why.text);
	make_store(*kv);
	return sim;
}

static void make_closed(struct golden *g)
{
	struct kv *kv;
	struct env_sim *sim = sim_with_store(&kv);

	assert_int_equal(kv_close(kv), 0);
	take_files(env_sim_env(sim), "store", g);
	env_sim_free(sim);
}

/* The process dies with the last write half in place. The empty rest of the file, and the
 * segment made ahead, are left out. */
static void make_killed(struct golden *g)
{
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct env_sim *sim, *dead;
	struct kv_buf *log;
	struct kv *kv;
	size_t i, kept = 0;

	sim = sim_with_store(&kv);
	p.at = env_sim_position(sim);
	dead = env_sim_crash(sim, &p, false);
	take_files(env_sim_env(dead), "store", g);
	env_sim_free(dead);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
	for (i = 0; i < g->n; i++) {
		struct kv_buf *b = &g->file[i].bytes;

		if (strstr(g->file[i].name, ".log") && used_bytes(b) <= 64)
			kv_buf_free(b);
		else
			g->file[kept++] = g->file[i];
	}
	g->n = kept;
	log = find_file(g, segment_name(g));
	i = used_bytes(log);
	((uint8_t *)log->data)[i - 1] ^= 0x20;
	log->len = (i + TORN_BYTES) & ~(size_t)7;
}

static void test_engine_writes_these_bytes(void **state)
{
	struct golden g;

	(void)state;
	make_closed(&g);
	assert_golden("hash-v1-closed", &g);
	make_killed(&g);
	assert_golden("hash-v1-killed", &g);
}

/* ---- reading them ---- */

/* Opens, and opens again after a write. */
static void assert_opens(const struct golden *g, bool last, bool replays,
			 uint64_t dropped)
{
	struct kv_recovery found;
	struct kv_msg why;
	struct kv *kv;

	if (open_files(g, &kv, &why))
		fail_msg("%s", why.text);
	kv_recovery(kv, &found);
	assert_int_equal(found.records_replayed != 0, replays);
	assert_int_equal(found.bytes_dropped, dropped);
	assert_store(kv, last);
	assert_int_equal(kv_put(kv, kv_str("last"), kv_str("never durable"), KV_SYNC), 0);
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(kv_open(&hash_engine, env_posix(), scratch, "", &kv, &why), 0);
	assert_store(kv, true);
	assert_int_equal(kv_close(kv), 0);
}

static void test_closed_store_opens(void **state)
{
	struct golden g;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-closed"), &g);
	assert_opens(&g, true, false, 0);
	free_files(&g);
}

static void test_closed_store_opens_without_its_index(void **state)
{
	struct golden g;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-closed"), &g);
	find_file(&g, "INDEX")->len = 100; /* damaged: as good as none */
	assert_opens(&g, true, true, 0);
	free_files(&g);
}

/* The entries are of no use, what stands before them is: nothing but time is lost. */
static void test_store_with_an_index_of_another_layout_opens_by_its_log(void **state)
{
	struct kv_recovery found;
	struct golden g;
	struct kv_msg why;
	struct kv *kv;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-layout0"), &g);
	assert_int_equal(open_files(&g, &kv, &why), 0);
	kv_recovery(kv, &found);
	assert_non_null(strstr(found.why.text, "another table or leaf"));
	assert_int_equal(kv_close(kv), 0);
	assert_opens(&g, true, true, 0);
	free_files(&g);
}

static void test_killed_store_opens_without_its_torn_tail(void **state)
{
	struct golden g;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-killed"), &g);
	assert_null(find_file(&g, "INDEX"));
	/* 24 of record, 8 of head, "last", "never durable", to a multiple of 8. */
	assert_opens(&g, false, true, 56);
	free_files(&g);
}

/* ---- what is newer ---- */

static void assert_refused(struct golden *g, const char *file)
{
	struct kv_msg why;
	struct kv *kv;

	assert_int_equal(open_files(g, &kv, &why), -EPROTONOSUPPORT);
	assert_null(kv);
	assert_non_null(strstr(why.text, file));
	assert_non_null(strstr(why.text, "newer"));
	assert_non_null(strstr(why.text, "use a newer one"));
}

/* Sets 16 bits of a header with its CRC at 60. */
static void set_header(struct kv_buf *b, size_t at, uint16_t value)
{
	uint8_t *p = b->data;

	port_put_le16(p + at, value);
	port_put_le32(p + 60, port_crc32c(0, p, 60));
}

static void test_newer_formats_and_unknown_flags_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint16_t value;
		bool opens;
	} each[] = {
		{ 8, 2, false },       /* major version */
		{ 10, 9, true },       /* minor version */
		{ 40, 1, false },      /* incompatible feature flags: the lowest */
		{ 46, 0x8000, false }, /* ... and the highest */
	};
	const char *name;
	struct golden g;
	struct kv_msg why;
	struct kv *kv;
	size_t i, k;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-closed"), &g);
	for (k = 0; k < 2; k++) {
		name = k ? segment_name(&g) : "STORE";
		for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
			struct kv_buf *b = find_file(&g, name);
			uint16_t before = port_get_le16((uint8_t *)b->data + each[i].at);

			set_header(b, each[i].at, each[i].value);
			if (!each[i].opens) {
				assert_refused(&g, name);
			} else {
				assert_int_equal(open_files(&g, &kv, &why), 0);
				assert_store(kv, true);
				assert_int_equal(kv_close(kv), 0);
			}
			set_header(b, each[i].at, before);
		}
	}
	free_files(&g);
}

/* A checkpoint that this program can't read costs time, and nothing else. */
static void test_newer_index_is_not_used(void **state)
{
	struct kv_recovery found;
	struct golden g;
	struct kv_msg why;
	struct kv *kv;
	uint8_t *p;

	(void)state;
	take_files(env_posix(), data_dir("hash-v1-closed"), &g);
	p = find_file(&g, "INDEX")->data;
	port_put_le16(p + 8, 2);
	port_put_le32(p + 124, port_crc32c(0, p, 124));
	assert_int_equal(open_files(&g, &kv, &why), 0);
	kv_recovery(kv, &found);
	assert_true(found.records_replayed > 0);
	assert_non_null(strstr(found.why.text, "another format"));
	assert_store(kv, true);
	assert_int_equal(kv_close(kv), 0);
	free_files(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_engine_writes_these_bytes),
		LEAK_CHECKED(test_closed_store_opens),
		LEAK_CHECKED(test_closed_store_opens_without_its_index),
		LEAK_CHECKED(test_store_with_an_index_of_another_layout_opens_by_its_log),
		LEAK_CHECKED(test_killed_store_opens_without_its_torn_tail),
		LEAK_CHECKED(test_newer_formats_and_unknown_flags_are_refused),
		LEAK_CHECKED(test_newer_index_is_not_used),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
