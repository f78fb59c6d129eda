/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.7: opening a store after whatever happened to it. The disk is
 * simulated (env_sim.h).
 */
#include "../../../sprint-2-hash-storage/tests/env_sim.h"
#include "../store_check.h"

#include <stdlib.h>

#define CHAPTER "docs/sprint-3-btree-storage.md, \"Opening\""
#define RECORD  "sprint-3-btree-storage/btree_write.c, at the top"
#define RECOVER "sprint-3-btree-storage/btree_recover.c, at the top"
#define SETTLE  "sprint-3-btree-storage/btree_super.c, above btree_super_settle()"

#define OPTIONS "segment_bytes=64k,checkpoint_bytes=1m,page_bytes=4k,map=off"

/* ---- a record's steps ---- */

static size_t encode(uint8_t *out, unsigned int type, size_t key, size_t value)
{
	memset(out, 0, BTREE_LOG_STEP);
	out[0] = (uint8_t)type;
	port_put_le16(out + 2, (uint16_t)key);
	port_put_le32(out + 4, (uint32_t)value);
	memset(out + BTREE_LOG_STEP, 'k', key);
	memset(out + BTREE_LOG_STEP + key, 'v', value);
	return BTREE_LOG_STEP + key + value;
}

/* As many bytes as there are, so that the sanitizer sees who looks behind them. */
static int decode(const uint8_t *record, size_t bytes, struct kv_op *op, size_t *left)
{
	uint8_t *copy = calloc(1, bytes ? bytes : 1);
	struct kv_slice rest = { copy, bytes };
	int error;

	learn_pointer("memory for a record", copy);
	memcpy(copy, record, bytes);
	error = btree_write_step(&rest, op);
	*left = rest.len;
	if (!error) {
		learn_expect((const uint8_t *)op->key.data >= copy &&
				     (const uint8_t *)op->key.data + op->key.len <=
					     copy + bytes,
			     "a key that lies within the record", "one that does not");
		learn_expect(!op->key.len || *(const char *)op->key.data == 'k',
			     "the key's bytes", "others");
		learn_expect(!op->value.len || *(const char *)op->value.data == 'v',
			     "the value's bytes", "others");
	}
	free(copy);
	return error;
}

static void test_steps_are_taken_off_the_front(void **state)
{
	uint8_t record[1024];
	size_t first = encode(record, KV_PUT, 5, 20), all, left;
	struct kv_op op = { KV_DELETE, { NULL, 0 }, { NULL, 0 } };

	(void)state;
	all = first + encode(record + first, KV_DELETE, 3, 0);
	learn_error("btree_write_step()", decode(record, all, &op, &left), 0);
	learn_number("op->type, a put", op.type, KV_PUT);
	learn_number("the length of its key", op.key.len, 5);
	learn_number("the length of its value", op.value.len, 20);
	learn_number("the bytes that are left behind it", left, all - first);
	learn_error("btree_write_step() of the second",
		    decode(record + first, all - first, &op, &left), 0);
	learn_number("op->type, a delete", op.type, KV_DELETE);
	learn_number("the bytes that are left behind the last", left, 0);
	(void)encode(record, KV_DELETE_RANGE, 5, 0);
	record[1] = 1;
	learn_error("btree_write_step() of a range without an end",
		    decode(record, BTREE_LOG_STEP + 5, &op, &left), 0);
	learn_expect(!op.value.data, "value.data is NULL: the range has no end",
		     "it is not");
	(void)encode(record, KV_DELETE_RANGE, BTREE_KEY_MAX + 1, 0);
	learn_error("btree_write_step() of a range from beyond all keys that begin so",
		    decode(record, BTREE_LOG_STEP + BTREE_KEY_MAX + 1, &op, &left), 0);
	learn_number("the length of its first bound", op.key.len, BTREE_KEY_MAX + 1);
}

/* The log's checksum was right: what else may the bytes be? Anything. */
static void test_lengths_are_held_against_what_is_there(void **state)
{
	static const uint32_t huge[] = { 21, 1000, 0x7fffffff, 0xfffffff3, 0xffffffff };
	uint8_t record[1024];
	size_t n = encode(record, KV_PUT, 5, 20), left, cut;
	struct kv_op op;
	unsigned int i;

	(void)state;
	for (cut = 0; cut < n; cut++)
		learn_error(learn_text("btree_write_step() of %zu bytes of %zu", cut, n),
			    decode(record, cut, &op, &left), -EBADMSG);
	for (i = 0; i < 5; i++) {
		port_put_le32(record + 4, huge[i]);
		learn_error(learn_text("btree_write_step() of a value of %u bytes, and "
				       "20 are there",
				       huge[i]),
			    decode(record, n, &op, &left), -EBADMSG);
	}
	n = encode(record, KV_PUT, 5, 20);
	port_put_le16(record + 2, 26);
	learn_error("btree_write_step() of a key that ends behind the record",
		    decode(record, n, &op, &left), -EBADMSG);
	n = encode(record, KV_PUT, BTREE_KEY_MAX + 1, 1);
	learn_error("btree_write_step() of a key that is longer than keys may be",
		    decode(record, n, &op, &left), -EBADMSG);
	n = encode(record, KV_DELETE_RANGE + 1, 5, 20);
	learn_error("btree_write_step() of a type that does not exist",
		    decode(record, n, &op, &left), -EBADMSG);
}

/* ---- stores ---- */

static int open_at(struct env_sim *sim, struct disk *d, struct kv_msg *why)
{
	d->env = env_sim_env(sim);
	return kv_open(&btree_engine, d->env, "store", OPTIONS, &d->kv, why);
}

static void open_store(struct env_sim *sim, struct disk *d)
{
	struct kv_msg why = { "" };
	int error = open_at(sim, d, &why);

	learn_expect(!error, "the store opens", "error %d: %s", error, why.text);
}

static void close_store(struct disk *d)
{
	learn_error("kv_close()", kv_close(d->kv), 0);
}

static void put_sync(struct disk *d, unsigned int number, unsigned int version)
{
	learn_error(learn_text("put of key %u", number),
		    kv_put(d->kv, pair_key(number), pair_value(number, version), KV_SYNC),
		    0);
}

/* What a crash leaves when only what was synced is there. */
static struct env_sim *crash_now(struct env_sim *sim)
{
	struct env_sim *disk =
		env_sim_crash(sim,
			      &(struct env_sim_point){ .at = env_sim_position(sim),
						       .loss = SIM_LOSE_ALL },
			      true);

	learn_pointer("the disk that a crash leaves", disk);
	return disk;
}

static uint64_t replayed(struct disk *d)
{
	return btree_store(d->kv)->recovery.records_replayed;
}

static void test_the_log_is_done_again(void **state)
{
	enum { N = 100 };
	struct env_sim *sim = env_sim_new(NULL), *disk;
	struct disk d, after;
	unsigned int i;

	(void)state;
	open_store(sim, &d);
	for (i = 0; i < N; i++)
		put_sync(&d, i, 1);
	for (i = 0; i < N; i += 3)
		put_sync(&d, i, 2);
	learn_error("delete of key 7", kv_delete(d.kv, pair_key(7), KV_SYNC), 0);
	disk = crash_now(sim);
	open_store(disk, &after);
	for (i = 0; i < N; i++)
		expect_pair(&after, NULL, i, i == 7 ? 0 : i % 3 ? 1 : 2);
	expect_sound(&after);
	learn_number("the records replayed", replayed(&after), N + (N + 2) / 3 + 1);
	learn_number("the pairs in the tree", store_stat(&after, "keys"), N - 1);
	close_store(&after);
	close_store(&d);
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_all_steps_of_a_batch_are_done_again(void **state)
{
	struct env_sim *sim = env_sim_new(NULL), *disk;
	struct kv_op op[5];
	struct disk d, after;
	unsigned int i;

	(void)state;
	open_store(sim, &d);
	for (i = 0; i < 20; i++)
		put_sync(&d, i, 1);
	op[0] = (struct kv_op){ KV_PUT, pair_key(30), pair_value(30, 1) };
	op[1] = (struct kv_op){ KV_PUT, pair_key(31), pair_value(31, 1) };
	op[2] = (struct kv_op){ KV_PUT, pair_key(32), pair_value(32, 1) };
	op[3] = (struct kv_op){ KV_DELETE_RANGE, pair_key(0), pair_key(10) };
	op[4] = (struct kv_op){ KV_DELETE, op[1].key, { NULL, 0 } };
	learn_error("a batch of 5 steps", kv_write(d.kv, op, 5, KV_SYNC), 0);
	disk = crash_now(sim);
	open_store(disk, &after);
	for (i = 0; i < 40; i++)
		expect_pair(&after, NULL, i, (i >= 10 && i < 20) || i == 30 || i == 32);
	expect_sound(&after);
	close_store(&after);
	close_store(&d);
	env_sim_free(disk);
	env_sim_free(sim);
}

/* What was replayed is the log's already: a second opening, and writes after it, find the log
 * where it ended. */
static void test_replay_ends_where_the_log_ends(void **state)
{
	struct env_sim *sim = env_sim_new(NULL), *disk, *again;
	struct disk d, after, last;
	unsigned int i;

	(void)state;
	open_store(sim, &d);
	for (i = 0; i < 50; i++)
		put_sync(&d, i, 1);
	disk = crash_now(sim);
	open_store(disk, &after);
	learn_number("the position of the tree after replay: behind the last record",
		     btree_store(after.kv)->tree.tip.position,
		     btree_store(d.kv)->tree.tip.position);
	learn_error("kv_compact(), which writes a checkpoint", kv_compact(after.kv), 0);
	for (i = 50; i < 60; i++)
		put_sync(&after, i, 1);
	again = crash_now(disk);
	open_store(again, &last);
	learn_number("the records replayed after a checkpoint and 10 puts",
		     replayed(&last), 10);
	for (i = 0; i < 60; i++)
		expect_pair(&last, NULL, i, 1);
	close_store(&last);
	close_store(&after);
	close_store(&d);
	env_sim_free(again);
	env_sim_free(disk);
	env_sim_free(sim);
}

struct missing {
	char first[32], last[32];
};

static int note_segment(void *arg, const char *name)
{
	struct missing *m = arg;
	size_t n = strlen(name);

	if (n < 5 || n >= sizeof(m->first) || strcmp(name + n - 4, ".log"))
		return 0;
	if (!m->first[0] || strcmp(name, m->first) < 0)
		memcpy(m->first, name, n + 1);
	if (strcmp(name, m->last) > 0)
		memcpy(m->last, name, n + 1);
	return 0;
}

static void expect_missing(bool all)
{
	static uint8_t bytes[4000];
	struct env_sim *sim = env_sim_new(NULL), *disk;
	struct missing m = { "", "" };
	struct kv_msg why = { "" };
	struct disk d, after = { NULL, NULL };
	struct env *env;
	char path[64];
	unsigned int i;
	int error;

	open_store(sim, &d);
	for (i = 0; i < 60; i++) /* more than three segments */
		learn_error("put of 4000 bytes",
			    kv_put(d.kv, pair_key(i), kv_slice(bytes, sizeof(bytes)),
				   KV_SYNC),
			    0);
	if (all)
		learn_error("kv_compact()", kv_compact(d.kv), 0);
	put_sync(&d, 100, 1);
	disk = crash_now(sim);
	env = env_sim_env(disk);
	do {
		m = (struct missing){ "", "" };
		learn_error("list()", env->ops->list(env, "store", note_segment, &m), 0);
		if (!m.first[0])
			break;
		(void)snprintf(path, sizeof(path), "store/%s", m.first);
		learn_error("unlink()", env->ops->unlink(env, path), 0);
	} while (all);
	error = open_at(disk, &after, &why);
	learn_expect(
		error == -EBADMSG,
		learn_text("opening without %s gives -EBADMSG",
			   all ? "any of the log's segments" : "the log's first segment"),
		"%s: acknowledged writes are gone and nobody is told",
		error ? "another error" : "it opens");
	learn_expect(why.text[0], "a sentence that says what is missing", "none");
	close_store(&d);
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_a_missing_segment_is_noticed(void **state)
{
	(void)state;
	expect_missing(false);
	expect_missing(true);
}

/* ---- crashes ---- */

struct history {
	unsigned int puts;
	size_t acked[64];
	char why[200];
};

/* Each acknowledged pair, and the others as a whole or not at all. */
static int look(struct history *h, struct env_sim *disk, size_t at)
{
	struct kv_msg why = { "" };
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	unsigned int i;
	int error = open_at(disk, &d, &why), found = 0;

	if (error) {
		(void)snprintf(h->why, sizeof(h->why),
			       "it does not open (error %d: %.120s)", error, why.text);
		return error;
	}
	for (i = 0; i < h->puts && !error; i++) {
		found = kv_get(d.kv, pair_key(i), &value);
		if (found && h->acked[i] <= at) {
			(void)snprintf(h->why, sizeof(h->why),
				       "put %u was acknowledged and is gone", i);
			error = found;
		}
	}
	kv_buf_free(&value);
	found = kv_close(d.kv);
	return error ? error : found;
}

static int look_again(void *arg, struct env_sim *disk, size_t at)
{
	struct history *outer = arg;

	(void)at;
	return look(outer, disk, outer->acked[63]);
}

/* After each crash it opens; and after a crash while it was opening, too. */
static int check_crash(void *arg, struct env_sim *disk, size_t at)
{
	struct env_sim_explore again = { .samples = 1, .exhaustive = 2, .every = 3 };
	struct history *h = arg;
	int error = look(h, disk, at);

	if (error)
		return error;
	h->acked[63] = at; /* for look_again() */
	again.to = env_sim_position(disk);
	again.check = look_again;
	again.arg = h;
	return again.to ? env_sim_explore(disk, &again) : 0;
}

static void explore(unsigned int puts, struct env_sim_explore *e)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 7 });
	static struct history h;
	struct disk d;
	unsigned int i;

	memset(&h, 0, sizeof(h));
	memset(h.acked, 0xff, sizeof(h.acked));
	h.puts = puts;
	open_store(sim, &d);
	for (i = 0; i < puts; i++) {
		put_sync(&d, i, 1);
		h.acked[i] = env_sim_position(sim);
		if (i == puts / 2)
			learn_error("kv_compact(), which writes a checkpoint",
				    kv_compact(d.kv), 0);
	}
	close_store(&d);
	e->check = check_crash;
	e->arg = &h;
	if (env_sim_explore(sim, e))
		learn_expect(false, "a store that opens, with all that was acknowledged",
			     "%.90s: %.140s", e->failed, h.why);
	env_sim_free(sim);
}

static void test_a_crash_while_a_store_is_made(void **state)
{
	struct env_sim_explore e = { .samples = 2, .exhaustive = 8, .journal = true };

	(void)state;
	explore(0, &e);
}

static void test_a_crash_at_any_write_loses_nothing(void **state)
{
	struct env_sim_explore e = {
		.samples = 1, .exhaustive = 4, .journal = true, .every = 3
	};

	(void)state;
	explore(8, &e);
}

/* ---- the superblock that was found ---- */

static const struct btree_super found = {
	.store_id = 77,
	.generation = 9,
	.root = { 12, 1 },
	.levels = 1,
	.page_bytes = 4096,
	.sequence = 9,
	.pages = 100,
	.map_page = 40,
	.map_pages = 1,
};

static struct file *places(struct env_sim *sim)
{
	static uint8_t block[BTREE_SUPER_BLOCK];
	struct btree_super before = found;
	struct file *f = NULL;
	struct env *env = env_sim_env(sim);

	learn_error("env_open()",
		    env_open(env, "f", ENV_READ | ENV_WRITE | ENV_CREATE, &f), 0);
	learn_error("sync_dir()", env->ops->sync_dir(env, "."), 0);
	learn_error("allocate()", f->ops->allocate(f, 0, 8192), 0);
	before.sequence = 8;
	learn_error("btree_super_write()", btree_super_write(f, &before, 0, block), 0);
	learn_error("file_sync()", file_sync(f), 0);
	learn_error("btree_super_write()", btree_super_write(f, &found, 1, block), 0);
	return f;
}

/* It was read from the system's cache; its sync may have been what the crash cut off. */
static void test_what_was_read_is_made_durable(void **state)
{
	static uint8_t block[BTREE_SUPER_BLOCK];
	struct env_sim *sim = env_sim_new(NULL), *disk;
	struct file *f = places(sim), *g = NULL;
	struct btree_super s = { .sequence = 0 };

	(void)state;
	learn_error("btree_super_settle()", btree_super_settle(f, &found, block), 0);
	disk = crash_now(sim);
	learn_error("env_open()", env_open(env_sim_env(disk), "f", ENV_READ, &g), 0);
	learn_error("btree_super_read()", btree_super_read(g, "f", &s, block, NULL), 0);
	learn_number("the superblock after a crash: the one that was settled", s.sequence,
		     9);
	file_close(g);
	file_close(f);
	env_sim_free(disk);
	env_sim_free(sim);
}

static void damage_copy(struct file *f, unsigned int place, unsigned int copy)
{
	uint64_t at = place * 4096u + copy * BTREE_SUPER_COPY + 20u;
	uint8_t c;
	size_t got;

	learn_error("file_read()", file_read(f, at, &c, 1, &got), 0);
	c ^= 8;
	learn_error("file_write()", file_write(f, at, &c, 1), 0);
}

/* which: copies that are damaged, as bits. */
static void heal(unsigned int place, unsigned int which)
{
	static const char *const what[] = { "", "copy 1", "copy 2", "both copies" };
	static uint8_t block[BTREE_SUPER_BLOCK];
	struct env_sim *sim = env_sim_new(NULL);
	struct file *f = places(sim);
	struct btree_super s;
	unsigned int i;
	size_t got;

	for (i = 0; i < 2; i++)
		if (which >> i & 1)
			damage_copy(f, place, i);
	learn_error("btree_super_settle()", btree_super_settle(f, &found, block), 0);
	for (i = 0; i < 4; i++) {
		learn_error("file_read()",
			    file_read(f, i / 2 * 4096u + i % 2 * BTREE_SUPER_COPY, block,
				      BTREE_SUPER_BYTES, &got),
			    0);
		learn_error(learn_text("decoding copy %u in page %u, when %s in page %u "
				       "had been damaged",
				       i % 2 + 1, i / 2, what[which], place),
			    btree_super_decode(&s, block, NULL), 0);
	}
	file_close(f);
	env_sim_free(sim);
}

static void test_a_damaged_place_is_healed(void **state)
{
	unsigned int which;

	(void)state;
	for (which = 1; which <= 3; which++) {
		heal(0, which);
		heal(1, which);
	}
}

/* A place is touched only when the other is known to be durable. */
static void test_settling_stops_at_a_failed_sync(void **state)
{
	static uint8_t block[BTREE_SUPER_BLOCK];
	struct env_sim *sim = env_sim_new(NULL);
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = 1 };
	struct file *f = places(sim);
	uint64_t writes;

	(void)state;
	writes = env_sim_calls(sim, 1u << SIM_WRITE);
	learn_error("file_write()", file_write(f, 10, "damage", 6), 0);
	env_sim_fault(sim, &fault);
	learn_error("btree_super_settle() when the sync fails",
		    btree_super_settle(f, &found, block), -EIO);
	env_sim_fault(sim, NULL);
	learn_number("the writes: the damage, the superblock, and not the other place",
		     env_sim_calls(sim, 1u << SIM_WRITE) - writes, 2);
	file_close(f);
	env_sim_free(sim);
}

/* On the device it may be, though it was not read: until its place is written once more. */
static void test_a_superblock_whose_sync_failed_does_not_come_back(void **state)
{
	static uint8_t block[BTREE_SUPER_BLOCK];
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
				       .nth = 1,
				       .effect = SIM_DROP };
	struct env_sim *sim = env_sim_new(NULL), *disk;
	struct file *f = places(sim), *g = NULL;
	struct btree_super newer = found, s = { .sequence = 0 };

	(void)state;
	learn_error("file_sync()", file_sync(f), 0);
	newer.sequence = 10;
	learn_error("btree_super_write()", btree_super_write(f, &newer, 0, block), 0);
	env_sim_fault(sim, &fault);
	learn_error("file_sync() that fails", file_sync(f), -EIO);
	env_sim_fault(sim, NULL);
	learn_error("btree_super_settle()", btree_super_settle(f, &found, block), 0);
	disk = env_sim_crash(sim,
			     &(struct env_sim_point){ .at = env_sim_position(sim),
						      .loss = SIM_LOSE_NONE },
			     false);
	learn_error("env_open()", env_open(env_sim_env(disk), "f", ENV_READ, &g), 0);
	learn_error("btree_super_read()", btree_super_read(g, "f", &s, block, NULL), 0);
	learn_number("the superblock after a crash that keeps all: the one that was "
		     "settled, not one whose sync had failed",
		     s.sequence, 9);
	file_close(g);
	file_close(f);
	env_sim_free(disk);
	env_sim_free(sim);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_steps_are_taken_off_the_front, 1, RECORD),
	LEARN_TEST(test_lengths_are_held_against_what_is_there, 2, RECORD),
	LEARN_TEST(test_the_log_is_done_again, 2, CHAPTER),
	LEARN_TEST(test_all_steps_of_a_batch_are_done_again, 2, RECORD),
	LEARN_TEST(test_replay_ends_where_the_log_ends, 2, CHAPTER),
	LEARN_TEST(test_a_missing_segment_is_noticed, 2, RECOVER),
	LEARN_TEST(test_a_crash_while_a_store_is_made, 3, RECOVER),
	LEARN_TEST(test_a_crash_at_any_write_loses_nothing, 3, CHAPTER),
	LEARN_TEST(test_what_was_read_is_made_durable, 2, SETTLE),
	LEARN_TEST(test_a_damaged_place_is_healed, 2, SETTLE),
	LEARN_TEST(test_settling_stops_at_a_failed_sync, 1, SETTLE),
	LEARN_TEST(test_a_superblock_whose_sync_failed_does_not_come_back, 1, SETTLE),
};

LEARN_MAIN_NO_SPEED(tests)
