/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.6: superblocks, checkpoints and copy on write. The disk is
 * simulated (env_sim.h): it forgets what was not synced, and stops at every write.
 */
#include "../../../sprint-2-hash-storage/tests/env_sim.h"
#include "../../tests/btree_toy.h"
#include "../store_check.h"

#include <stdlib.h>

#define CHAPTER "docs/sprint-3-btree-storage.md, \"Copy on write, and a log between\""
#define SUPER   "sprint-3-btree-storage/btree_super.c, at the top"
#define PAGER   "sprint-3-btree-storage/btree_pager.h, \"checkpoints\""

/* ---- superblocks ---- */

static const struct btree_super example = {
	.store_id = 0x1122334455667788,
	.generation = 5,
	.log_position = 1000,
	.keys = 70,
	.root = { 12, 0xdeadbeef },
	.levels = 3,
	.page_bytes = 8192,
	.sequence = 7,
	.pages = 100,
	.map_page = 40,
	.map_pages = 1,
	.map_crc = 0xcafebabe,
};

struct places {
	struct env_sim *sim;
	struct file *f;
	uint8_t block[BTREE_SUPER_BLOCK];
};

static void places_open(struct places *d, uint32_t page_bytes)
{
	d->sim = env_sim_new(NULL);
	learn_error("env_open()",
		    env_open(env_sim_env(d->sim), "f", ENV_READ | ENV_WRITE | ENV_CREATE,
			     &d->f),
		    0);
	learn_error("allocate()", d->f->ops->allocate(d->f, 0, 2 * (uint64_t)page_bytes),
		    0);
}

static void places_close(struct places *d)
{
	file_close(d->f);
	env_sim_free(d->sim);
}

static void write_place(struct places *d, uint64_t sequence, uint32_t page_bytes,
			unsigned int place)
{
	struct btree_super s = example;

	s.sequence = sequence;
	s.page_bytes = page_bytes;
	s.keys = sequence * 10;
	memset(d->block, 0xa5, sizeof(d->block));
	learn_error("btree_super_write()", btree_super_write(d->f, &s, place, d->block),
		    0);
}

static void expect_newest(struct places *d, uint64_t sequence, const char *when)
{
	struct kv_msg why = { "" };
	struct btree_super s = { .sequence = 0 };
	int error = btree_super_read(d->f, "f", &s, d->block, &why);

	learn_expect(!error,
		     learn_text("btree_super_read() finds superblock %llu %s",
				(unsigned long long)sequence, when),
		     "error %d: %s", error, why.text);
	learn_number(learn_text("the sequence of the one that counts %s", when),
		     s.sequence, sequence);
	learn_number("its number of pairs", s.keys, sequence * 10);
}

static void damage(struct places *d, uint64_t offset)
{
	uint8_t c;
	size_t got;

	learn_error("file_read()", file_read(d->f, offset, &c, 1, &got), 0);
	c ^= 4;
	learn_error("file_write()", file_write(d->f, offset, &c, 1), 0);
}

static void test_a_superblock_stands_twice_in_its_place(void **state)
{
	static uint8_t page[BTREE_SUPER_BLOCK];
	struct btree_super s = { .sequence = 0 };
	struct places d;
	unsigned int place, copy, i;
	size_t got;

	(void)state;
	places_open(&d, 8192);
	for (place = 0; place < 2; place++) {
		write_place(&d, 6 + place, 8192, place);
		learn_error("file_read()",
			    file_read(d.f, place * 8192, page, sizeof(page), &got), 0);
		for (copy = 0; copy < 2; copy++) {
			learn_error(learn_text("decoding copy %u in the place of page %u",
					       copy + 1, place),
				    btree_super_decode(&s, page + copy * BTREE_SUPER_COPY,
						       NULL),
				    0);
			learn_number("its sequence", s.sequence, 6 + place);
			for (i = BTREE_SUPER_BYTES; i < BTREE_SUPER_COPY; i++)
				learn_number(
					learn_text("byte %u behind copy %u", i, copy + 1),
					page[copy * BTREE_SUPER_COPY + i], 0);
		}
	}
	places_close(&d);
}

static void test_the_newer_of_two_counts(void **state)
{
	uint32_t size;

	(void)state;
	for (size = BTREE_PAGE_MIN; size <= BTREE_PAGE_MAX; size *= 2) {
		struct places d;

		places_open(&d, size);
		write_place(&d, 1, size, 1);
		expect_newest(&d, 1, "when page 0 has none");
		write_place(&d, 2, size, 0);
		expect_newest(&d, 2, "in page 0");
		write_place(&d, 3, size, 1);
		expect_newest(&d, 3, "in page 1");
		places_close(&d);
	}
}

static void test_a_damaged_one_leaves_the_one_before(void **state)
{
	struct btree_super s;
	struct places d;

	(void)state;
	places_open(&d, 8192);
	write_place(&d, 8, 8192, 0);
	write_place(&d, 7, 8192, 1);
	damage(&d, 50);
	expect_newest(&d, 8, "by its second copy");
	damage(&d, BTREE_SUPER_COPY + 50);
	expect_newest(&d, 7, "when page 0 is damaged");
	damage(&d, 8192 + 9);
	damage(&d, 8192 + BTREE_SUPER_COPY + 9);
	learn_error("btree_super_read() when both are damaged",
		    btree_super_read(d.f, "f", &s, d.block, NULL), -EBADMSG);
	places_close(&d);
}

static void test_what_must_not_be_opened_is_refused(void **state)
{
	struct btree_super s = example;
	struct places d;

	(void)state;
	places_open(&d, 4096);
	write_place(&d, 8, 4096, 0);
	s.page_bytes = 4096;
	s.store_id++;
	learn_error("btree_super_write()", btree_super_write(d.f, &s, 1, d.block), 0);
	learn_error("btree_super_read() of two stores' superblocks",
		    btree_super_read(d.f, "f", &s, d.block, NULL), -EBADMSG);
	/* a newer program's, with its checksum in order, beside one of ours */
	write_place(&d, 9, 4096, 1);
	port_put_le16(d.block + 8, 2);
	port_put_le32(d.block + 124, port_crc32c(0, d.block, 124));
	memcpy(d.block + BTREE_SUPER_COPY, d.block, BTREE_SUPER_BYTES);
	learn_error("file_write()", file_write(d.f, 4096, d.block, BTREE_SUPER_BLOCK), 0);
	learn_expect(btree_super_read(d.f, "f", &s, d.block, NULL) == -EPROTONOSUPPORT,
		     "btree_super_read() returns -EPROTONOSUPPORT for a newer format",
		     "something else: the newest state would be forgotten");
	places_close(&d);
}

/* ---- checkpoints of a tree of fixed shape ---- */

static struct toy *toy_begin(struct env_sim *sim, struct toy *t)
{
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct kv_msg why = { "" };
	int error = toy_create(t, &c, 2, 3, &why);

	learn_expect(!error, "a file for pages", "error %d: %s", error, why.text);
	return t;
}

static void put_some(struct toy *t, unsigned int n)
{
	struct kv_msg why = { "" };
	unsigned int i;

	for (i = 0; i < n; i++)
		learn_error("a put", toy_put(t, (unsigned int)learn_random(6), &why), 0);
}

static void checkpoint(struct toy *t)
{
	struct kv_msg why = { "" };
	int error = toy_checkpoint(t, &why);

	learn_expect(!error, "a checkpoint", "error %d: %s", error, why.text);
}

static void reopen(struct env_sim *sim, struct toy *t)
{
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct kv_msg why = { "" };
	int error;

	toy_close(t);
	error = toy_open(t, &c, &why);
	learn_expect(!error, "the file opens at the checkpoint", "error %d: %s", error,
		     why.text);
}

static void test_a_checkpoint_is_what_opens(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	static struct toy t;
	struct kv_msg why = { "" };
	unsigned int round;
	int error;

	(void)state;
	toy_begin(sim, &t);
	for (round = 1; round < 6; round++) {
		put_some(&t, 10);
		checkpoint(&t);
		reopen(sim, &t);
		learn_number("the generation that it opens at", t.super.generation,
			     t.frozen);
		learn_number("the sequence of its superblock", t.super.sequence, round);
		error = toy_check(&t, &why);
		learn_expect(!error, "each leaf as it was put", "%s", why.text);
	}
	toy_close(&t);
	env_sim_free(sim);
}

static void test_the_first_superblock_stands_in_both_places(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	static uint8_t block[BTREE_SUPER_BLOCK];
	static struct toy t;
	struct btree_super s;
	unsigned int place;
	size_t got;

	(void)state;
	toy_begin(sim, &t);
	checkpoint(&t);
	for (place = 0; place < 2; place++) {
		learn_error("file_read()",
			    file_read(t.p->io->file, place * 4096, block, sizeof(block),
				      &got),
			    0);
		learn_error(learn_text("decoding the superblock in page %u", place),
			    btree_super_decode(&s, block, NULL), 0);
		learn_number("its sequence", s.sequence, 1);
	}
	toy_close(&t);
	env_sim_free(sim);
}

/* While one place is written, the other is whole. */
static void test_superblocks_take_turns(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	static uint8_t block[BTREE_SUPER_BLOCK];
	static struct toy t;
	struct btree_super s = { .sequence = 0 };
	unsigned int sequence;
	size_t got;

	(void)state;
	toy_begin(sim, &t);
	checkpoint(&t);
	for (sequence = 2; sequence < 6; sequence++) {
		unsigned int place;

		put_some(&t, 3);
		checkpoint(&t);
		for (place = 0; place < 2; place++) {
			learn_error("file_read()",
				    file_read(t.p->io->file, place * 4096, block,
					      sizeof(block), &got),
				    0);
			learn_error(
				learn_text("decoding the superblock in page %u", place),
				btree_super_decode(&s, block, NULL), 0);
			learn_number(learn_text("the sequence of that in page %u after "
						"checkpoint %u",
						place, sequence),
				     s.sequence,
				     place == (sequence & 1) ? sequence : sequence - 1);
		}
	}
	toy_close(&t);
	env_sim_free(sim);
}

static uint32_t sum_in_file(struct toy *t, uint32_t page)
{
	uint8_t head[4];
	size_t got;

	learn_error("file_read()",
		    file_read(t->p->io->file, (uint64_t)page << t->p->page_shift, head, 4,
			      &got),
		    0);
	return port_get_le32(head);
}

/* As the file has them: a page that landed elsewhere is found by its parent. */
static void expect_sums(struct toy *t, uint32_t page, unsigned int level)
{
	static uint8_t image[3][4096];
	struct btree_node *n = (void *)image[level];
	struct btree_child child;
	unsigned int i;
	size_t got;

	learn_error("file_read()",
		    file_read(t->p->io->file, (uint64_t)page << t->p->page_shift, n, 4096,
			      &got),
		    0);
	for (i = 0; i < n->count; i++) {
		child = btree_node_child(n, &t->p->shape, i);
		learn_number(learn_text("the checksum that page %u (level %u) has of its "
					"child %u",
					page, level, i),
			     child.crc, sum_in_file(t, child.page));
		if (level > 1)
			expect_sums(t, child.page, level - 1);
	}
}

static void test_parents_know_their_childrens_checksums(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	static struct toy t;
	unsigned int round;

	(void)state;
	toy_begin(sim, &t);
	for (round = 0; round < 4; round++) {
		put_some(&t, 2);
		checkpoint(&t);
		reopen(sim, &t);
		learn_number("the root's checksum in the superblock", t.super.root.crc,
			     sum_in_file(&t, t.root));
		expect_sums(&t, t.root, 2);
	}
	toy_close(&t);
	env_sim_free(sim);
}

static void fail_sync(unsigned int nth)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = nth };
	struct kv_msg why = { "" };
	static struct toy t;

	toy_begin(sim, &t);
	put_some(&t, 5);
	checkpoint(&t);
	put_some(&t, 5);
	env_sim_fault(sim, &fault);
	learn_error(learn_text("a checkpoint whose sync %u fails", nth),
		    toy_checkpoint(&t, &why), -EIO);
	learn_expect(env_sim_fault_fired(sim), "two syncs in a checkpoint",
		     "sync %u was never called", nth);
	env_sim_fault(sim, NULL);
	learn_error("the next checkpoint: nothing is durable after a failed sync",
		    toy_checkpoint(&t, &why), -EIO);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_a_failed_sync_is_believed(void **state)
{
	(void)state;
	fail_sync(1);
	fail_sync(2);
}

static void test_a_failed_write_costs_only_that_checkpoint(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE, .nth = 1 };
	struct kv_msg why = { "" };
	static struct toy t;
	int error;

	(void)state;
	toy_begin(sim, &t);
	checkpoint(&t);
	put_some(&t, 5);
	env_sim_fault(sim, &fault);
	learn_error("a checkpoint whose first write fails", toy_checkpoint(&t, &why),
		    -EIO);
	learn_expect(why.text[0], "a sentence that says what failed", "none");
	env_sim_fault(sim, NULL);
	checkpoint(&t);
	reopen(sim, &t);
	error = toy_check(&t, &why);
	learn_expect(!error, "each leaf as it was put", "%s", why.text);
	toy_close(&t);
	env_sim_free(sim);
}

/* ---- crashes ---- */

enum { ROUNDS = 5 };

struct history {
	uint64_t value[ROUNDS + 2][TOY_KEYS_MAX]; /* by generation */
	size_t acked[ROUNDS + 2];                 /* the position behind it */
	char why[200];
};

static int check_crash(void *arg, struct env_sim *disk, size_t at)
{
	struct btree_pager_config c = toy_config(env_sim_env(disk));
	struct history *h = arg;
	struct kv_msg why = { "" };
	static struct toy t;
	uint64_t g, least = 0;
	int error;

	for (g = 1; g <= ROUNDS; g++)
		if (h->acked[g] <= at)
			least = g;
	memset(&t, 0, sizeof(t));
	t.inners = 2;
	t.leaves = 3;
	error = toy_open(&t, &c, &why);
	if (error) {
		(void)snprintf(h->why, sizeof(h->why),
			       "it does not open (error %d: %.120s)", error, why.text);
		return least ? error : 0;
	}
	g = t.super.generation;
	if (g < least) {
		(void)snprintf(h->why, sizeof(h->why),
			       "it opens at checkpoint %u, and %u was said to be durable",
			       (unsigned int)g, (unsigned int)least);
		error = -ENODATA;
	} else {
		memcpy(t.value, h->value[g], sizeof(t.value));
		error = toy_check(&t, &why);
		(void)snprintf(h->why, sizeof(h->why), "checkpoint %u is damaged: %.120s",
			       (unsigned int)g, why.text);
	}
	toy_close(&t);
	return error;
}

static void test_a_crash_at_any_write_leaves_a_checkpoint(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 3 });
	struct env_sim_explore e = { .samples = 6, .exhaustive = 32 };
	static struct history h;
	static struct toy t;
	struct kv_msg why = { "" };
	unsigned int round;
	uint64_t g;

	(void)state;
	memset(&h, 0, sizeof(h));
	memset(h.acked, 0xff, sizeof(h.acked));
	toy_begin(sim, &t);
	for (round = 0; round < ROUNDS; round++) {
		put_some(&t, 6);
		g = t.generation;
		memcpy(h.value[g], t.value, sizeof(t.value));
		learn_error("toy_checkpoint_begin()", toy_checkpoint_begin(&t), 0);
		put_some(&t, 3); /* beside the checkpoint: not in it */
		learn_error("btree_checkpoint_write()",
			    btree_checkpoint_write(t.running, 0, &why), 0);
		h.acked[g] = env_sim_position(sim);
		toy_checkpoint_end(&t);
	}
	toy_close(&t);
	e.check = check_crash;
	e.arg = &h;
	if (env_sim_explore(sim, &e))
		learn_expect(false, "the last durable checkpoint, after a crash anywhere",
			     "%.90s: %.140s", e.failed, h.why);
	env_sim_free(sim);
}

/* ---- copy on write ---- */

static void test_a_snapshot_keeps_what_it_saw(void **state)
{
	enum { N = 200 };
	struct disk d = { NULL, NULL };
	struct kv_snapshot *first = NULL, *second = NULL;
	unsigned int i;

	(void)state;
	store_open(&d, "max_keys=4");
	for (i = 0; i < N; i++)
		pair_put(&d, i, 1);
	learn_error("kv_snapshot()", kv_snapshot(d.kv, &first), 0);
	for (i = 0; i < N; i++)
		pair_put(&d, i, 2);
	learn_error("kv_snapshot()", kv_snapshot(d.kv, &second), 0);
	for (i = 0; i < N; i += 2)
		pair_delete(&d, i);
	for (i = 0; i < N; i++) {
		expect_pair(&d, first, i, 1);
		expect_pair(&d, second, i, 2);
		expect_pair(&d, NULL, i, i % 2 ? 2 : 0);
	}
	kv_release(d.kv, first);
	kv_release(d.kv, second);
	expect_sound(&d);
	expect_no_pins(&d, "when nobody writes");
	store_close(&d);
}

static void test_only_frozen_pages_are_copied(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_snapshot *snap = NULL;
	uint64_t copies, levels;
	unsigned int i;

	(void)state;
	store_open(&d, "max_keys=4");
	for (i = 0; i < 100; i++)
		pair_put(&d, i * 10, 1);
	levels = store_stat(&d, "tree_levels");
	learn_error("kv_snapshot()", kv_snapshot(d.kv, &snap), 0);
	copies = store_stat(&d, "tree_copies");
	pair_put(&d, 500, 2);
	learn_number("the pages copied by the first put after a snapshot, one a level",
		     store_stat(&d, "tree_copies") - copies, levels);
	pair_put(&d, 500, 3);
	learn_number("the pages copied by two puts of one key after a snapshot",
		     store_stat(&d, "tree_copies") - copies, levels);
	for (i = 1; i < 8; i++) /* the leaf is parted, and it and its parents are new */
		pair_put(&d, 500 + i, 1);
	learn_number("the pages copied when more keys come into the copied leaf",
		     store_stat(&d, "tree_copies") - copies, levels);
	kv_release(d.kv, snap);
	expect_sound(&d);
	store_close(&d);
}

static void test_copied_pages_come_back(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_snapshot *snap = NULL;
	uint64_t before;
	unsigned int i;

	(void)state;
	store_open(&d, "max_keys=4");
	for (i = 0; i < 100; i++)
		pair_put(&d, i, 1);
	before = store_stat(&d, "file_bytes");
	for (i = 0; i < 2000; i++) {
		learn_error("kv_snapshot()", kv_snapshot(d.kv, &snap), 0);
		pair_put(&d, i % 100, 2);
		kv_release(d.kv, snap);
	}
	learn_expect(store_stat(&d, "file_bytes") <= before + (4 << 20),
		     "a file that does not grow by the copies of 2000 snapshots",
		     "%llu bytes, and %llu before",
		     (unsigned long long)store_stat(&d, "file_bytes"),
		     (unsigned long long)before);
	expect_sound(&d);
	expect_no_pins(&d, "when nobody writes");
	store_close(&d);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_a_superblock_stands_twice_in_its_place, 1, SUPER),
	LEARN_TEST(test_the_newer_of_two_counts, 1, SUPER),
	LEARN_TEST(test_a_damaged_one_leaves_the_one_before, 2, SUPER),
	LEARN_TEST(test_what_must_not_be_opened_is_refused, 1, SUPER),
	LEARN_TEST(test_a_checkpoint_is_what_opens, 2, CHAPTER),
	LEARN_TEST(test_the_first_superblock_stands_in_both_places, 1, SUPER),
	LEARN_TEST(test_superblocks_take_turns, 1, SUPER),
	LEARN_TEST(test_parents_know_their_childrens_checksums, 2, CHAPTER),
	LEARN_TEST(test_a_failed_sync_is_believed, 2, PAGER),
	LEARN_TEST(test_a_failed_write_costs_only_that_checkpoint, 1, PAGER),
	LEARN_TEST(test_a_crash_at_any_write_leaves_a_checkpoint, 4, CHAPTER),
	LEARN_TEST(test_a_snapshot_keeps_what_it_saw, 2, CHAPTER),
	LEARN_TEST(test_only_frozen_pages_are_copied, 2, CHAPTER),
	LEARN_TEST(test_copied_pages_come_back, 2, CHAPTER),
};

LEARN_MAIN_NO_SPEED(tests)
