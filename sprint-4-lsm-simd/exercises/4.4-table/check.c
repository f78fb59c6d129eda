/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.4: a table, on a simulated disk.
 */
#include "../../../harness/learn/learn.h"
#include "../../../sprint-2-hash-storage/tests/env_sim.h"
#include "../../neon_lsm_ops.h"
#include "../../sst.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"On disk: a sorted table\""
#define GET     "docs/sprint-4-lsm-simd.md, \"A get, step by step\""
#define HEADER  "sprint-4-lsm-simd/sst.h"
#define PATH    "table.sst"

enum { STORE = 77, FILE_NUMBER = 5, MOST = 1000 };

struct item {
	char key[260];
	uint64_t sequence;
	enum lsm_kind kind;
};

static struct item item[MOST];
static size_t items;

static struct env_sim *sim;
static struct env *disk;
static struct lsm_cache *cache;
static struct sst_builder *builder;
static struct sst_summary summary;
static struct sst *table;
static struct kv_msg why;

static void begin(void)
{
	const struct lsm_cache_config c = { .bytes = 1 << 20, .shards = 1 };

	sim = env_sim_new(NULL);
	disk = env_sim_env(sim);
	assert_int_equal(lsm_cache_new(&c, &cache), 0);
	items = 0;
	memset(&summary, 0, sizeof(summary));
	table = NULL;
	builder = NULL;
}

static void end(void)
{
	sst_close(table);
	sst_builder_abandon(builder);
	lsm_cache_free(cache);
	sst_summary_free(&summary);
	env_sim_free(sim);
}

static struct item *add(uint64_t sequence, enum lsm_kind kind, const char *fmt,
			unsigned int number)
{
	struct item *i = &item[items++];

	assert_true(items <= MOST);
	snprintf(i->key, sizeof(i->key), fmt, number);
	i->sequence = sequence;
	i->kind = kind;
	return i;
}

/* Each value says which version of which key it is. */
static struct kv_slice value_of(const struct item *i, char out[40])
{
	int n = snprintf(out, 40, "%.20s at %llu", i->key,
			 (unsigned long long)i->sequence);

	return kv_slice(out, i->kind == LSM_DELETE ? 0 : (size_t)n);
}

static void new_builder(uint32_t block_bytes)
{
	const struct sst_builder_config c = { .env = disk,
					      .path = PATH,
					      .file = FILE_NUMBER,
					      .store_id = STORE,
					      .shape = { .block_bytes = block_bytes,
							 .partition_bytes = 256,
							 .restart_interval = 4,
							 .filter_bits = 10 },
					      .buffer_bytes = 4096 };

	assert_int_equal(sst_builder_new(&c, &builder, &why), 0);
}

static int add_item(const struct item *i)
{
	char value[40];
	const struct kv_slice key = kv_str(i->key);

	return sst_builder_add(builder, key, lsm_key_hash(key),
			       lsm_stamp(i->sequence, i->kind), value_of(i, value), &why);
}

static int finish(void)
{
	struct sst_builder *b = builder;

	builder = NULL;
	return sst_builder_finish(b, &summary, &why);
}

static void build(uint32_t block_bytes)
{
	size_t i;

	new_builder(block_bytes);
	for (i = 0; i < items; i++)
		learn_error(learn_text("sst_builder_add() of entry %zu", i),
			    add_item(&item[i]), 0);
	learn_error("sst_builder_finish()", finish(), 0);
}

static int open_on(struct env *env, struct lsm_cache *c)
{
	const struct sst_config config = { .env = env, .cache = c, .store_id = STORE };
	const struct sst_expect expect = { summary.bytes, summary.footer_crc };

	return sst_open(&config, PATH, FILE_NUMBER, &expect, &table, &why);
}

static void open_table(void)
{
	learn_error("opening the table", open_on(disk, cache), 0);
}

static void expect_item(const char *whose, const struct item *i, struct kv_slice key,
			uint64_t stamp, struct kv_slice value)
{
	char text[40], what[80]; /* learn_text()'s own buffers come round too soon */
	struct kv_slice want = value_of(i, text);

	snprintf(what, sizeof(what), "%s", whose);
	learn_expect(key.len == strlen(i->key) && !memcmp(key.data, i->key, key.len),
		     learn_text("%s has the key \"%.30s\"", what, i->key), "\"%.*s\"",
		     key.len < 30 ? (int)key.len : 30, (const char *)key.data);
	learn_number(learn_text("the sequence of %s", what), lsm_sequence(stamp),
		     i->sequence);
	learn_number(learn_text("the kind of %s", what), lsm_kind(stamp), i->kind);
	if (i->kind == LSM_DELETE)
		return;
	learn_number(learn_text("the length of the value of %s", what), value.len,
		     want.len);
	learn_bytes(learn_text("the value of %s", what), value.data, want.data, want.len);
}

static void walk(void)
{
	struct lsm_cursor *c;
	size_t i;

	learn_error("sst_cursor()", sst_cursor(table, 0, &c, &why), 0);
	for (i = 0; i < items; i++) {
		learn_error(learn_text("walking onto entry %zu of %zu", i, items),
			    lsm_next(c), 0);
		expect_item(learn_text("entry %zu", i), &item[i], c->key, c->stamp,
			    c->value);
	}
	learn_error("walking past the last entry", lsm_next(c), -ENOENT);
	lsm_cursor_close(c);
	learn_error("sst_verify(), which reads and checks all of it",
		    sst_verify(table, NULL, &why), 0);
}

static void cook(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(1 + i % 7, i % 10 == 9 ? LSM_DELETE : LSM_PUT, "key%06u",
		    (unsigned int)(2 * i));
}

static void test_table_of_one_entry(void **state)
{
	(void)state;
	begin();
	add(3, LSM_PUT, "only%u", 1);
	build(512);
	open_table();
	walk();
	end();
}

static void test_every_entry_comes_back(void **state)
{
	(void)state;
	begin();
	cook(MOST);
	build(512);
	open_table();
	walk();
	end();
}

static void test_summary_says_what_is_in_it(void **state)
{
	(void)state;
	begin();
	cook(500);
	build(256);
	learn_number("summary.entries", summary.entries, 500);
	learn_number("summary.deletes", summary.deletes, 50);
	learn_number("summary.min_sequence", summary.min_sequence, 1);
	learn_number("summary.max_sequence", summary.max_sequence, 7);
	learn_bytes("summary.smallest", summary.smallest.data, item[0].key, 9);
	learn_bytes("summary.largest", summary.largest.data, item[499].key, 9);
	end();
}

static void test_out_of_order_is_refused(void **state)
{
	static const struct item wrong[] = {
		{ "key5", 9, LSM_PUT },  /* the same once more */
		{ "key5", 10, LSM_PUT }, /* newer, behind the older one */
		{ "key", 9, LSM_PUT },   /* shorter */
		{ "key4", 1, LSM_PUT },  { "kex9", 1, LSM_PUT }, { "", 1, LSM_PUT },
	};
	static const struct item right[] = {
		{ "key5", 8, LSM_PUT },
		{ "key50", 9, LSM_PUT },
		{ "key6", 20, LSM_PUT },
		{ "l", 1, LSM_PUT },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		begin();
		add(9, LSM_PUT, "key%u", 5);
		new_builder(512);
		learn_error("adding \"key5\" at 9", add_item(&item[0]), 0);
		learn_error(learn_text("adding \"%s\" at %llu then", wrong[i].key,
				       (unsigned long long)wrong[i].sequence),
			    add_item(&wrong[i]), -EINVAL);
		end();
	}
	for (i = 0; i < sizeof(right) / sizeof(*right); i++) {
		begin();
		add(9, LSM_PUT, "key%u", 5);
		new_builder(512);
		learn_error("adding \"key5\" at 9", add_item(&item[0]), 0);
		learn_error(learn_text("adding \"%s\" at %llu then", right[i].key,
				       (unsigned long long)right[i].sequence),
			    add_item(&right[i]), 0);
		end();
	}
}

static void test_bounds_in_the_index_are_short(void **state)
{
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < 100; i++)
		add(1, LSM_PUT,
		    "%06uxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		    (unsigned int)i * 1000);
	build(128);
	open_table();
	walk();
	learn_expect(
		summary.bytes < 38000,
		"less than 38000 bytes for 100 blocks with one entry of 230 bytes each",
		"%llu: is it a whole key of 200 bytes that the index has for each?",
		(unsigned long long)summary.bytes);
	end();
}

/* The disk as a power failure leaves it right after the name was made durable. */
static void test_finished_table_survives_a_power_failure(void **state)
{
	struct env_sim_point now = { .loss = SIM_LOSE_ALL };
	struct env_sim *after;

	(void)state;
	begin();
	cook(300);
	build(512);
	assert_int_equal(disk->ops->sync_dir(disk, "/"), 0);
	now.at = env_sim_position(sim);
	after = env_sim_crash(sim, &now, false);
	assert_non_null(after);
	learn_error("opening the table after a power failure",
		    open_on(env_sim_env(after), NULL), 0);
	walk();
	sst_close(table);
	table = NULL;
	env_sim_free(after);
	end();
}

static void test_failed_sync_is_told(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = 1 };
	size_t i;

	(void)state;
	begin();
	cook(100);
	new_builder(512);
	for (i = 0; i < items; i++)
		learn_error("sst_builder_add()", add_item(&item[i]), 0);
	env_sim_fault(sim, &fault);
	learn_error("sst_builder_finish() when the disk can't sync", finish(), -EIO);
	env_sim_fault(sim, NULL);
	end();
}

static void test_failed_write_is_told(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
					     .nth = 1,
					     .error = -ENOSPC };
	int error = 0;
	size_t i;

	(void)state;
	begin();
	cook(MOST);
	new_builder(512);
	env_sim_fault(sim, &fault);
	for (i = 0; !error && i < items; i++)
		error = add_item(&item[i]);
	learn_error("sst_builder_add(), on a disk that is full when the first 4 KiB "
		    "are written,",
		    error, -ENOSPC);
	env_sim_fault(sim, NULL);
	end();
}

/* ---- reading ---- */

static struct kv_buf value;

static int get(const char *key, uint64_t sequence, uint64_t *stamp)
{
	const struct kv_slice k = kv_str(key);

	return sst_get(table, k, lsm_key_hash(k), sequence, stamp, &value, &why);
}

static void expect_get(const struct item *i, uint64_t sequence)
{
	const char *what = learn_text("get(\"%.20s\" at %llu)", i->key,
				      (unsigned long long)sequence);
	uint64_t stamp = 0;

	learn_error(what, get(i->key, sequence, &stamp), 0);
	expect_item(learn_text("what %s finds", what), i, kv_str(i->key), stamp,
		    kv_slice(value.data, value.len));
}

static void test_get_every_key(void **state)
{
	uint64_t stamp;
	char key[20];
	size_t i;

	(void)state;
	begin();
	cook(MOST);
	build(512);
	open_table();
	for (i = 0; i < items; i++)
		expect_get(&item[i], LSM_SEQUENCE_MAX);
	for (i = 0; i < items; i++) {
		snprintf(key, sizeof(key), "key%06zu", 2 * i + 1);
		learn_error(learn_text("get(\"%s\"), which is not there,", key),
			    get(key, LSM_SEQUENCE_MAX, &stamp), -ENOENT);
	}
	learn_error("get of a key before all", get("a", LSM_SEQUENCE_MAX, &stamp),
		    -ENOENT);
	learn_error("get of a key behind all", get("z", LSM_SEQUENCE_MAX, &stamp),
		    -ENOENT);
	learn_error("get of a key at a sequence before it was written",
		    get(item[6].key, 6, &stamp), -ENOENT);
	kv_buf_free(&value);
	end();
}

static void test_versions_across_blocks(void **state)
{
	uint64_t stamp;
	size_t i;

	(void)state;
	begin();
	add(1, LSM_PUT, "a", 0);
	for (i = 0; i < 300; i++)
		add(1000 - 2 * i, LSM_PUT, "many", 0);
	add(1, LSM_PUT, "z", 0);
	build(128);
	open_table();
	walk();
	for (i = 1; i <= 300; i++) {
		expect_get(&item[i], item[i].sequence);
		expect_get(&item[i], item[i].sequence + 1);
	}
	learn_error("get of a version that is older than all", get("many", 100, &stamp),
		    -ENOENT);
	expect_get(&item[301], 1);
	expect_get(&item[0], 1);
	kv_buf_free(&value);
	end();
}

static void test_filter_saves_reads(void **state)
{
	uint64_t before, stamp, reads;
	char key[20];
	size_t i;

	(void)state;
	begin();
	cook(MOST);
	build(512);
	learn_error("opening the table without a cache", open_on(disk, NULL), 0);
	before = env_sim_calls(sim, 1u << SIM_READ);
	for (i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key%06zu", 2 * i + 1);
		learn_error("get of a key that is not there",
			    get(key, LSM_SEQUENCE_MAX, &stamp), -ENOENT);
	}
	reads = env_sim_calls(sim, 1u << SIM_READ) - before;
	learn_expect(reads < 600,
		     "one read, of the filter, for each of 500 keys that are not there",
		     "%llu reads", (unsigned long long)reads);
	kv_buf_free(&value);
	end();
}

static void test_nothing_stays_held(void **state)
{
	struct lsm_cache_stats s;
	uint64_t stamp;
	size_t i;

	(void)state;
	begin();
	cook(MOST);
	build(512);
	open_table();
	for (i = 0; i < items; i++)
		expect_get(&item[i], LSM_SEQUENCE_MAX);
	learn_error("get of a key that is not there", get("key000001", 1, &stamp),
		    -ENOENT);
	lsm_cache_stats(cache, &s);
	learn_number("bytes of blocks that are still held after 1001 gets", s.held_bytes,
		     0);
	kv_buf_free(&value);
	end();
}

static void test_damage_is_told(void **state)
{
	struct lsm_cache_stats s;
	uint64_t stamp;

	(void)state;
	begin();
	cook(200);
	build(512);
	assert_int_equal(env_sim_flip(sim, PATH, 60, 4), 0);
	open_table();
	learn_error("get of a key whose block was damaged on disk",
		    get(item[0].key, LSM_SEQUENCE_MAX, &stamp), -EBADMSG);
	expect_get(&item[150], LSM_SEQUENCE_MAX);
	lsm_cache_stats(cache, &s);
	learn_number("bytes of blocks that are still held", s.held_bytes, 0);
	kv_buf_free(&value);
	end();
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_table_of_one_entry, 2, CHAPTER),
	LEARN_TEST(test_every_entry_comes_back, 2, CHAPTER),
	LEARN_TEST(test_summary_says_what_is_in_it, 1, HEADER),
	LEARN_TEST(test_out_of_order_is_refused, 2, HEADER),
	LEARN_TEST(test_bounds_in_the_index_are_short, 2, CHAPTER),
	LEARN_TEST(test_finished_table_survives_a_power_failure, 3, HEADER),
	LEARN_TEST(test_failed_sync_is_told, 1, HEADER),
	LEARN_TEST(test_failed_write_is_told, 1, HEADER),
	LEARN_TEST(test_get_every_key, 3, GET),
	LEARN_TEST(test_versions_across_blocks, 3, GET),
	LEARN_TEST(test_filter_saves_reads, 2, GET),
	LEARN_TEST(test_nothing_stays_held, 1, "sprint-4-lsm-simd/lsm_cache.h"),
	LEARN_TEST(test_damage_is_told, 1, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
