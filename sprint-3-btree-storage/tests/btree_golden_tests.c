/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_golden_tests.c - stores on disk of format version 1: the engine writes these very
 * bytes, and reads them, on every machine.
 *
 * data/btree-v1-closed was closed, and has no log to replay; data/btree-v1-killed was not: it
 * has a checkpoint, the log behind it, and a torn tail. Both were made by make_store() on the
 * simulated disk, whose clock, chance and schedule follow from a seed. Of TREE the zeros at its
 * end are left out.
 *
 * When "writes" fails and "opens" does not, the engine has come to do the same things in
 * another order or at another time. Look at what has changed; if it is meant, write the
 * stores anew: KV_GOLDEN_WRITE=1. When "opens" fails, people's stores can't be read: never
 * write them anew then, but read both formats, or count the version up.
 */
#include "../btree_engine.h"

#define GOLDEN_ENGINE  btree_engine
#define GOLDEN_OPTIONS "segment_bytes=64k,max_keys=6,overflow_bytes=300,huge=off"

enum { KEYS = 60, GOLDEN_FILE_MAX = 2 << 20, TORN_BYTES = 96 };

#include "../../sprint-2-hash-storage/tests/golden_store.h"

#include <unistd.h>

/* ---- the store ---- */

static const char odd_key[] = "\0odd\xff\n";

static void put(struct kv *kv, struct kv_slice key, struct kv_slice value,
		enum kv_durability how)
{
	assert_int_equal(kv_put(kv, key, value, how), 0);
}

static struct kv_slice large_value(char *buf, char byte, size_t len)
{
	memset(buf, byte, len);
	return kv_slice(buf, len);
}

/* Versions 1 of all keys before a checkpoint; then 2 of some, deletes of others, batches with
 * a deleted range, and a last write that nobody waits for. */
static void make_store(struct kv *kv)
{
	static char large[20000];
	char k[4][FIXTURE_KEY], v[2][FIXTURE_VALUE];
	unsigned int i;

	put(kv, kv_str("large"), large_value(large, 'a', sizeof(large)), KV_NONE);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(fixture_put(kv, i * 7 % KEYS, 1, 16, KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	put(kv, kv_str("large"), large_value(large, 'b', 6000), KV_SYNC);
	for (i = 0; i < KEYS; i += 5)
		assert_int_equal(fixture_put(kv, i, 2, 16, i % 2 ? KV_NONE : KV_SYNC), 0);
	for (i = 3; i < KEYS; i += 10)
		assert_int_equal(fixture_delete(kv, i, KV_NONE), 0);
	for (i = 0; i + 9 < KEYS; i += 20) {
		const struct kv_op op[4] = {
			{ KV_PUT, fixture_key(k[0], i), fixture_value(v[0], i, 3, 16) },
			{ KV_DELETE, fixture_key(k[1], i + 1), { NULL, 0 } },
			{ KV_DELETE_RANGE, fixture_key(k[2], i + 6),
			  fixture_key(k[3], i + 9) },
			{ KV_PUT, fixture_key(k[2], i + 6),
			  fixture_value(v[1], i + 6, 3, 16) },
		};

		assert_int_equal(kv_write(kv, op, 4, i ? KV_SYNC : KV_NONE), 0);
	}
	put(kv, kv_slice(odd_key, sizeof(odd_key)), kv_str(""), KV_NONE);
	put(kv, kv_str(""), kv_str("the empty key's"), KV_SYNC);
	put(kv, kv_str("last"), kv_str("never durable"), KV_NONE);
}

static unsigned int version_of(unsigned int i)
{
	switch (i % 20) {
	case 0:
	case 6:
		return 3;
	case 1:
	case 3:
	case 7:
	case 8:
	case 13:
		return 0;
	default:
		return i % 5 ? 1 : 2;
	}
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

static size_t count(struct kv *kv, bool back)
{
	struct kv_cursor *c;
	size_t n = 0;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = back ? kv_prev(c) : kv_next(c)))
		n++;
	assert_int_equal(error, -ENOENT);
	kv_cursor_close(c);
	return n;
}

/* last: the write that nobody waited for is there. */
static void assert_store(struct kv *kv, bool last)
{
	static char buf[6000];
	const struct kv_slice empty = kv_str(""), of_empty = kv_str("the empty key's"),
			      large = large_value(buf, 'b', sizeof(buf)),
			      late = kv_str("never durable");
	char k[FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_msg why;
	size_t n = 3 + last;
	unsigned int i;

	for (i = 0; i < KEYS; i++) {
		struct kv_slice want = fixture_value(v, i, version_of(i), 16);

		assert_value(kv, fixture_key(k, i), version_of(i) ? &want : NULL);
		n += version_of(i) != 0;
	}
	assert_value(kv, kv_slice(odd_key, sizeof(odd_key)), &empty);
	assert_value(kv, kv_str(""), &of_empty);
	assert_value(kv, kv_str("large"), &large);
	assert_value(kv, kv_str("last"), last ? &late : NULL);
	assert_int_equal(count(kv, false), n);
	assert_int_equal(count(kv, true), n);
	if (kv_verify(kv, &why))
		fail_msg("%s", why.text);
}

/* ---- making them ---- */

static struct env_sim *sim_with_store(struct kv **kv)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 20 });
	struct kv_msg why = { "" };

	if (kv_open(&btree_engine, env_sim_env(sim), "store", GOLDEN_OPTIONS, kv, &why))
		fail_msg("%s", why.text);
	make_store(*kv);
	return sim;
}

/* Segments of which nothing is in use go; of TREE its zeros at the end. */
static void leave_out_zeros(struct golden *g)
{
	size_t i, kept = 0;

	for (i = 0; i < g->n; i++) {
		struct kv_buf *b = &g->file[i].bytes;

		if (strstr(g->file[i].name, ".log") && used_bytes(b) <= 64) {
			kv_buf_free(b);
			continue;
		}
		if (!strcmp(g->file[i].name, "TREE"))
			b->len = used_bytes(b);
		g->file[kept++] = g->file[i];
	}
	g->n = kept;
}

static void make_closed(struct golden *g)
{
	struct kv *kv;
	struct env_sim *sim = sim_with_store(&kv);

	assert_int_equal(kv_close(kv), 0);
	take_files(env_sim_env(sim), "store", g);
	env_sim_free(sim);
	leave_out_zeros(g);
}

/* The process dies with the last write half in place. */
static void make_killed(struct golden *g)
{
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct env_sim *sim, *dead;
	struct kv_buf *log;
	struct kv *kv;
	size_t i;

	sim = sim_with_store(&kv);
	p.at = env_sim_position(sim);
	dead = env_sim_crash(sim, &p, false);
	take_files(env_sim_env(dead), "store", g);
	env_sim_free(dead);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
	leave_out_zeros(g);
	log = find_file(g, segment_name(g));
	i = used_bytes(log);
	((uint8_t *)log->data)[i - 1] ^= 0x20;
	log->len = (i + TORN_BYTES) & ~(size_t)7;
}

/* Pages of the machine's memory decide about the file's size, and so about its superblock. */
static void test_engine_writes_these_bytes(void **state)
{
	struct golden g;

	(void)state;
	if (sysconf(_SC_PAGESIZE) != 4096)
		skip();
	make_closed(&g);
	assert_golden("btree-v1-closed", &g);
	make_killed(&g);
	assert_golden("btree-v1-killed", &g);
}

/* ---- reading them ---- */

enum { SUPER = 128, COPY = 2048 }; /* see docs/FORMATS.md */

static void take_store(const char *store, struct golden *g)
{
	uint64_t bytes = 0, in_place;
	struct kv_buf *tree;
	const uint8_t *p;
	unsigned int i;

	take_files(env_posix(), data_dir(store), g);
	tree = find_file(g, "TREE");
	p = tree->data;
	for (i = 0; i < 2; i++, p += port_get_le32((uint8_t *)tree->data + 12)) {
		in_place = (uint64_t)port_get_le32(p + 12) * port_get_le32(p + 84);
		if (in_place > bytes)
			bytes = in_place;
	}
	assert_true(bytes >= tree->len && bytes <= GOLDEN_FILE_MAX);
	assert_int_equal(kv_buf_reserve(tree, bytes), 0);
	memset((uint8_t *)tree->data + tree->len, 0, bytes - tree->len);
	tree->len = bytes;
}

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
	put(kv, kv_str("last"), kv_str("never durable"), KV_SYNC);
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(kv_open(&btree_engine, env_posix(), scratch, "", &kv, &why), 0);
	assert_store(kv, true);
	assert_int_equal(kv_close(kv), 0);
}

static void test_closed_store_opens(void **state)
{
	struct golden g;

	(void)state;
	take_store("btree-v1-closed", &g);
	assert_opens(&g, true, false, 0);
	free_files(&g);
}

static void test_killed_store_opens_without_its_torn_tail(void **state)
{
	struct golden g;

	(void)state;
	take_store("btree-v1-killed", &g);
	/* 24 of record, 8 of step, "last", "never durable", to a multiple of 8. */
	assert_opens(&g, false, true, 56);
	free_files(&g);
}

/* Any three of the four superblocks may be damaged where they are of one sequence; here each
 * place in turn loses its first copy. */
static void test_store_opens_by_second_copies(void **state)
{
	struct golden g;
	uint8_t *p;
	uint32_t page;

	(void)state;
	take_store("btree-v1-closed", &g);
	p = find_file(&g, "TREE")->data;
	page = port_get_le32(p + 12);
	p[40] ^= 1;
	p[page + 48] ^= 1;
	assert_opens(&g, true, false, 0);
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

static void assert_opens_or_not(struct golden *g, const char *file, bool opens)
{
	struct kv_msg why;
	struct kv *kv;

	if (!opens) {
		assert_refused(g, file);
		return;
	}
	assert_int_equal(open_files(g, &kv, &why), 0);
	assert_store(kv, true);
	assert_int_equal(kv_close(kv), 0);
}

struct change { /* of 16 bits of a header */
	size_t at;
	uint16_t value;
	bool opens;
};

/* In all four superblocks. */
static void set_super(struct kv_buf *b, size_t at, uint16_t value)
{
	uint32_t page = port_get_le32((uint8_t *)b->data + 12);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		uint8_t *p = (uint8_t *)b->data + (i / 2) * page + (i % 2) * COPY;

		port_put_le16(p + at, value);
		port_put_le32(p + SUPER - 4, port_crc32c(0, p, SUPER - 4));
	}
}

static void test_newer_trees_and_unknown_flags_are_refused(void **state)
{
	static const struct change each[] = {
		{ 8, 2, false },       /* major version */
		{ 10, 9, true },       /* minor version */
		{ 16, 1, false },      /* incompatible feature flags: the lowest */
		{ 22, 0x8000, false }, /* ... and the highest */
		{ 24, 1, true },       /* compatible ones */
	};
	struct golden g;
	size_t i;

	(void)state;
	take_store("btree-v1-closed", &g);
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		struct kv_buf *b = find_file(&g, "TREE");
		uint16_t before = port_get_le16((uint8_t *)b->data + each[i].at);

		set_super(b, each[i].at, each[i].value);
		assert_opens_or_not(&g, "TREE", each[i].opens);
		set_super(b, each[i].at, before);
	}
	free_files(&g);
}

static void test_newer_logs_and_unknown_flags_are_refused(void **state)
{
	static const struct change each[] = {
		{ 8, 2, false },
		{ 10, 9, true },
		{ 40, 1, false },
		{ 46, 0x8000, false },
	};
	const char *name;
	struct golden g;
	size_t i;

	(void)state;
	take_store("btree-v1-closed", &g);
	name = segment_name(&g);
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		uint8_t *p = find_file(&g, name)->data;
		uint16_t before = port_get_le16(p + each[i].at);

		port_put_le16(p + each[i].at, each[i].value);
		port_put_le32(p + 60, port_crc32c(0, p, 60));
		assert_opens_or_not(&g, name, each[i].opens);
		port_put_le16(p + each[i].at, before);
		port_put_le32(p + 60, port_crc32c(0, p, 60));
	}
	free_files(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_engine_writes_these_bytes),
		LEAK_CHECKED(test_closed_store_opens),
		LEAK_CHECKED(test_killed_store_opens_without_its_torn_tail),
		LEAK_CHECKED(test_store_opens_by_second_copies),
		LEAK_CHECKED(test_newer_trees_and_unknown_flags_are_refused),
		LEAK_CHECKED(test_newer_logs_and_unknown_flags_are_refused),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
