/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager_tests.c - pages come and go: fetching, pinning, evicting, checkpoints, many
 * threads. On files of the system and in the simulator.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "btree_toy.h"

#include <unistd.h>

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int set_up(void **state)
{
	const char *s = getenv("KV_SEED");

	seed = s ? strtoull(s, NULL, 0) : 0x5eed0300;
	return leak_check_set_up(state);
}

/* ---- one thread, in the simulator ---- */

static struct kv_msg why;

static void expect_ok(int error)
{
	if (error)
		fail_msg("error %d: %s", error, why.text);
}

static void test_create_then_open_finds_the_checkpoint(void **state)
{
	uint32_t size;

	(void)state;
	for (size = BTREE_PAGE_MIN; size <= BTREE_PAGE_MAX; size *= 2) {
		struct env_sim *sim = env_sim_new(NULL);
		struct btree_pager_config c = toy_config(env_sim_env(sim));
		struct toy t;

		c.page_bytes = size;
		expect_ok(toy_create(&t, &c, 2, 3, &why));
		expect_ok(toy_checkpoint(&t, &why));
		expect_ok(toy_put(&t, 4, &why));
		expect_ok(toy_put(&t, 0, &why));
		expect_ok(toy_checkpoint(&t, &why));
		toy_check_numbers(&t);
		toy_close(&t);
		c.page_bytes = 4096; /* the file knows */
		c.store_id = 0;
		expect_ok(toy_open(&t, &c, &why));
		assert_int_equal(t.super.page_bytes, size);
		assert_int_equal(t.super.store_id, 0x1234);
		assert_int_equal(t.super.generation, 2);
		assert_int_equal(t.super.log_position, 200);
		assert_int_equal(t.super.keys, 6);
		assert_int_equal(t.super.levels, 3);
		expect_ok(toy_check(&t, &why));
		toy_check_numbers(&t);
		toy_close(&t);
		env_sim_free(sim);
	}
}

static void test_open_without_a_file_or_a_checkpoint(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;

	(void)state;
	assert_int_equal(toy_open(&t, &c, &why), -ENOENT);
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	toy_close(&t);
	assert_int_equal(toy_open(&t, &c, &why), -EBADMSG);
	/* A creation that broke off is done again, also after its first checkpoint, which
	 * is empty. */
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_close(&t);
	assert_int_equal(toy_create(&t, &c, 2, 3, &why), -EEXIST);
	assert_non_null(strstr(why.text, "6 pairs"));
	expect_ok(toy_open(&t, &c, &why));
	expect_ok(toy_check(&t, &why));
	toy_close(&t);
	env_sim_free(sim);
}

static void test_version_changes_with_each_change_and_only_then(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	uint64_t v, w;
	struct toy t;

	(void)state;
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	assert_false(btree_page_begin(t.p, BTREE_NO_PAGE, &v));
	assert_false(btree_page_begin(t.p, btree_pager_pages(t.p), &v));
	assert_true(btree_page_begin(t.p, t.root, &v));
	assert_true(btree_page_valid(t.p, t.root, v));
	/* A pin, a mark, being read: no change. */
	expect_ok(btree_page_pin(t.p, t.root, 0, &why));
	assert_true(btree_page_valid(t.p, t.root, v));
	assert_true(btree_page_lock_at(t.p, t.root, v));
	assert_false(btree_page_valid(t.p, t.root, v));
	assert_false(btree_page_begin(t.p, t.root, &w));
	assert_false(btree_page_lock_at(t.p, t.root, v));
	btree_page_unlock(t.p, t.root, false);
	assert_true(btree_page_valid(t.p, t.root, v));
	btree_page_lock(t.p, t.root);
	btree_page_unlock(t.p, t.root, true);
	assert_false(btree_page_valid(t.p, t.root, v));
	assert_false(btree_page_lock_at(t.p, t.root, v));
	assert_true(btree_page_begin(t.p, t.root, &v));
	btree_page_unpin(t.p, t.root);
	assert_true(btree_page_valid(t.p, t.root, v));
	/* Who comes by a stale parent notices that the page was freed. */
	btree_page_free(t.p, t.root, 1, 1);
	assert_false(btree_page_valid(t.p, t.root, v));
	toy_close(&t);
	env_sim_free(sim);
}

static void test_pins_have_an_end(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;
	unsigned int i;

	(void)state;
	expect_ok(toy_create(&t, &c, 1, 1, &why));
	for (i = 0; i < 4095; i++)
		expect_ok(btree_page_pin(t.p, t.root, 0, &why));
	assert_int_equal(btree_page_pin(t.p, t.root, 0, &why), -EMFILE);
	for (i = 0; i < 4095; i++)
		btree_page_unpin(t.p, t.root);
	expect_ok(btree_page_pin(t.p, t.root, 0, &why));
	btree_page_unpin(t.p, t.root);
	toy_close(&t);
	env_sim_free(sim);
}

static void expect_within_budget(struct toy *t, uint64_t budget)
{
	struct btree_pager_stats st;

	btree_pager_stats(t->p, &st);
	/* A write may bring in some pages more than there is room for. */
	assert_true(st.resident_bytes <= budget + budget / 4);
}

/* Far more data than memory: random puts and gets, checkpoints in between. */
static void run_small_memory(struct btree_pager_config *c, unsigned int steps)
{
	uint64_t budget = c->memory_bytes;
	struct btree_pager_stats st;
	struct toy t;
	unsigned int i;
	uint64_t v;

	print_message("# seed 0x%llx\n", (unsigned long long)seed);
	expect_ok(toy_create(&t, c, 10, 100, &why));
	expect_ok(toy_checkpoint(&t, &why));
	for (i = 0; i < steps; i++) {
		unsigned int k = (unsigned int)(draw() % toy_keys(&t));

		if (draw() % 2) {
			expect_ok(toy_put(&t, k, &why));
		} else {
			expect_ok(toy_get(&t, k, &v, &why));
			assert_int_equal(v, t.value[k]);
		}
		if (draw() % 1000 == 0)
			expect_ok(toy_checkpoint(&t, &why));
		expect_within_budget(&t, budget);
	}
	expect_ok(toy_check(&t, &why));
	expect_ok(toy_checkpoint(&t, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_check_numbers(&t);
	btree_pager_stats(t.p, &st);
	assert_true(st.evictions > toy_keys(&t));
	assert_int_equal(st.dirty_bytes, 0);
	toy_close(&t);
	expect_ok(toy_open(&t, c, &why));
	expect_ok(toy_check(&t, &why));
	expect_within_budget(&t, budget);
	toy_check_numbers(&t);
	toy_close(&t);
}

static void test_ten_times_as_much_data_as_memory(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));

	(void)state;
	run_small_memory(&c, (unsigned int)test_draws(10000));
	env_sim_free(sim);
}

static void test_memory_pages_larger_than_the_stores(void **state)
{
	uint32_t size;

	(void)state;
	for (size = 16384; size <= 65536; size *= 4) {
		struct env_sim *sim =
			env_sim_new(&(struct env_sim_config){ .no_journal = true });
		struct btree_pager_config c = toy_config(env_sim_env(sim));

		c.memory_page_bytes = size;
		c.memory_bytes = 24 * size;
		run_small_memory(&c, (unsigned int)test_draws(10000));
		env_sim_free(sim);
	}
}

static void test_huge_and_locked_memory_change_nothing(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));

	(void)state;
	c.huge = c.lock = true;
	run_small_memory(&c, (unsigned int)test_draws(4000));
	env_sim_free(sim);
}

static void test_pinned_pages_stay_while_others_go(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	static uint8_t before[4096];
	uint32_t page[3];
	unsigned int index[3], i;
	struct toy t;

	(void)state;
	expect_ok(toy_create(&t, &c, 10, 100, &why));
	expect_ok(toy_checkpoint_begin(&t));
	expect_ok(toy_pin_path(&t, 17, page, index, &why));
	memcpy(before, btree_page(t.p, page[1]), sizeof(before));
	t.keep[t.kept++] = 1;
	/* Neither a checkpoint, nor eviction, nor the writer touches frozen pages that are
	 * pinned. */
	expect_ok(btree_checkpoint_write(t.running, 0, &why));
	toy_checkpoint_end(&t);
	for (i = 0; i < 3000; i++)
		expect_ok(toy_put(&t, (unsigned int)(draw() % 1000), &why));
	expect_ok(toy_checkpoint(&t, &why));
	assert_memory_equal(btree_page(t.p, page[1]), before, sizeof(before));
	assert_true(toy_is_filled(
		btree_node_value(btree_page(t.p, page[0]), &t.p->shape, 0, index).data,
		17, 0));
	for (i = 0; i < 3; i++)
		btree_page_unpin(t.p, page[i]);
	t.kept = 0;
	expect_ok(toy_checkpoint(&t, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_check_numbers(&t);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_readahead_brings_neighbours_in_few_reads(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct btree_child child[40];
	const struct btree_node *n;
	struct btree_pager_stats before, after;
	unsigned int i, here = 0;
	struct toy t;
	uint64_t v;

	(void)state;
	c.memory_bytes = 400 * 4096;
	expect_ok(toy_create(&t, &c, 2, 100, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_close(&t);
	expect_ok(toy_open(&t, &c, &why));
	expect_ok(btree_page_pin(t.p, t.root, t.root_crc, &why));
	child[0] = btree_node_child(btree_page(t.p, t.root), &t.p->shape, 1);
	btree_page_unpin(t.p, t.root);
	expect_ok(btree_page_pin(t.p, child[0].page, child[0].crc, &why));
	n = btree_page(t.p, child[0].page);
	btree_page_unpin(t.p, child[0].page);
	for (i = 0; i < 40; i++)
		child[i] = btree_node_child(n, &t.p->shape, i);
	child[3].crc ^= 1;               /* left to who fetches it */
	child[39].page = UINT32_MAX - 7; /* and what is none */
	btree_pager_stats(t.p, &before);
	btree_page_fetch_many(t.p, child, 40);
	btree_pager_stats(t.p, &after);
	for (i = 0; i < 39; i++)
		here += btree_page_begin(t.p, child[i].page, &v);
	assert_int_equal(here, 31);
	assert_false(btree_page_begin(t.p, child[3].page, &v));
	assert_true(after.reads - before.reads <= 3);
	assert_int_equal(btree_page_fetch(t.p, child[3].page, child[3].crc, &why),
			 -EBADMSG);
	expect_ok(btree_page_fetch(t.p, child[3].page, child[3].crc ^ 1, &why));
	toy_close(&t);
	env_sim_free(sim);
}

static void test_check_file_reads_what_is_clean(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct btree_child root;
	static uint64_t scratch[4096 / 8];
	struct toy t;

	(void)state;
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	root = (struct btree_child){ t.root, 0 };
	expect_ok(btree_page_check_file(t.p, root, scratch, &why)); /* dirty */
	expect_ok(toy_checkpoint(&t, &why));
	expect_ok(btree_page_check_file(t.p, root, scratch, &why));
	assert_int_equal(env_sim_flip(sim, TOY_PATH, root.page * 4096ull + 1000, 1), 0);
	assert_int_equal(btree_page_check_file(t.p, root, scratch, &why), -EBADMSG);
	assert_non_null(strstr(why.text, TOY_PATH));
	root.page = 1;
	assert_int_equal(btree_page_check_file(t.p, root, scratch, &why), -EBADMSG);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_checkpoint_writes_what_is_dirty_and_no_more(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct btree_pager_stats before, after;
	struct toy t;

	(void)state;
	c.memory_bytes = 400 * 4096;
	expect_ok(toy_create(&t, &c, 4, 20, &why));
	expect_ok(toy_checkpoint(&t, &why));
	btree_pager_stats(t.p, &before);
	assert_int_equal(before.checkpoint_pages, 1 + 4 + 80 + 1);
	expect_ok(toy_put(&t, 7, &why));
	expect_ok(toy_put(&t, 8, &why));
	expect_ok(toy_put(&t, 7, &why));
	expect_ok(toy_checkpoint_begin(&t));
	/* Of the next generation: */
	expect_ok(toy_put(&t, 9, &why));
	expect_ok(toy_put(&t, 50, &why));
	expect_ok(btree_checkpoint_write(t.running, 0, &why));
	toy_checkpoint_end(&t);
	btree_pager_stats(t.p, &after);
	/* A root, an inner node, two leaves, a page of map. */
	assert_int_equal(after.checkpoint_pages - before.checkpoint_pages, 5);
	assert_int_equal(after.dirty_bytes, 5 * 4096);
	assert_int_equal(after.checkpoints, 2);
	/* Nothing to do: */
	expect_ok(toy_checkpoint(&t, &why));
	btree_pager_stats(t.p, &before);
	expect_ok(toy_checkpoint(&t, &why));
	btree_pager_stats(t.p, &after);
	assert_int_equal(after.checkpoint_pages - before.checkpoint_pages, 1);
	toy_check_numbers(&t);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_checkpoint_keeps_to_its_rate(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct env *env = env_sim_env(sim);
	struct btree_pager_config c = toy_config(env);
	struct toy t;
	uint64_t from;

	(void)state;
	c.memory_bytes = 1000 * 4096;
	expect_ok(toy_create(&t, &c, 5, 100, &why));
	expect_ok(toy_checkpoint_begin(&t));
	from = env->ops->now_ns(env);
	expect_ok(btree_checkpoint_write(t.running, 1 << 20, &why));
	assert_true(env->ops->now_ns(env) - from > 1900000000u);
	assert_true(env->ops->now_ns(env) - from < 2200000000u);
	toy_checkpoint_end(&t);
	toy_close(&t);
	env_sim_free(sim);
}

/* ---- many at once ---- */

enum { READERS = 3 };

struct crowd {
	struct toy t;
	struct env *env;
	unsigned int puts, gets; /* gets: of each reader */
	uint32_t done;           /* atomic: the writer has ended */
	uint32_t readers;        /* atomic: that still run */
	struct port_mutex lock;  /* the writer's */
	uint64_t seed;
	int error; /* atomic */
};

static uint64_t crowd_draw(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Values of a leaf never go back, and are whole. */
static void crowd_reader(void *arg)
{
	struct crowd *c = arg;
	uint64_t *last = calloc(TOY_KEYS_MAX, sizeof(*last)), rng = c->seed, v = 0;
	unsigned int i, k;
	struct kv_msg what = { "" };
	int error = 0;

	rng += 77 * (uint64_t)port_fetch_add(&c->readers, 1u);
	for (i = 0; !error && i < c->gets; i++) {
		k = (unsigned int)(crowd_draw(&rng) % toy_keys(&c->t));
		error = toy_get(&c->t, k, &v, &what);
		if (!error && v < last[k])
			error = -ESTALE;
		last[k] = v;
		if (i % 64 == 0)
			c->env->ops->sleep_ns(c->env, 1000);
	}
	if (error) {
		print_error("reader: %d: %s\n", error, what.text);
		port_store_release(&c->error, error);
	}
	free(last);
}

static void crowd_writer(void *arg)
{
	struct crowd *c = arg;
	uint64_t rng = c->seed * 3;
	struct kv_msg what = { "" };
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < c->puts; i++) {
		port_mutex_lock(&c->lock);
		error = toy_put(&c->t, (unsigned int)(crowd_draw(&rng) % toy_keys(&c->t)),
				&what);
		port_mutex_unlock(&c->lock);
	}
	if (error) {
		print_error("writer: %d: %s\n", error, what.text);
		port_store_release(&c->error, error);
	}
	port_store_release(&c->done, 1u);
}

static void crowd_checkpointer(void *arg)
{
	struct crowd *c = arg;
	struct kv_msg what = { "" };
	int error = 0;

	while (!error && !port_load_acquire(&c->done)) {
		port_mutex_lock(&c->lock);
		error = toy_checkpoint_begin(&c->t);
		port_mutex_unlock(&c->lock);
		if (error)
			break;
		error = btree_checkpoint_write(c->t.running, 0, &what);
		port_mutex_lock(&c->lock);
		toy_checkpoint_end(&c->t);
		port_mutex_unlock(&c->lock);
		c->env->ops->sleep_ns(c->env, 2000000);
	}
	if (error) {
		print_error("checkpoint: %d: %s\n", error, what.text);
		port_store_release(&c->error, error);
	}
}

static void run_crowd(struct btree_pager_config *config, struct crowd *c)
{
	struct env *env = config->env;
	struct env_task *task[READERS + 2];
	unsigned int i;

	c->env = env;
	c->seed = draw();
	print_message("# seed 0x%llx\n", (unsigned long long)c->seed);
	port_mutex_init(&c->lock);
	expect_ok(toy_create(&c->t, config, 10, 100, &why));
	expect_ok(toy_checkpoint(&c->t, &why));
	for (i = 0; i < READERS; i++)
		expect_ok(env->ops->spawn(env, "reader", crowd_reader, c, &task[i]));
	expect_ok(env->ops->spawn(env, "writer", crowd_writer, c, &task[i++]));
	expect_ok(env->ops->spawn(env, "checkpoint", crowd_checkpointer, c, &task[i++]));
	while (i--)
		env->ops->join(env, task[i]);
	assert_int_equal(c->error, 0);
	expect_ok(toy_check(&c->t, &why));
	expect_ok(toy_checkpoint(&c->t, &why));
	expect_ok(toy_checkpoint(&c->t, &why));
	toy_check_numbers(&c->t);
	toy_close(&c->t);
	expect_ok(toy_open(&c->t, config, &why));
	expect_ok(toy_check(&c->t, &why));
	toy_close(&c->t);
	port_mutex_destroy(&c->lock);
}

static void test_readers_beside_a_writer_and_checkpoints(void **state)
{
	struct btree_pager_config c = toy_config(env_posix());
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	char path[] = "/tmp/btree_pager_XXXXXX", file[64];

	(void)state;
	assert_non_null(crowd);
	assert_non_null(mkdtemp(path));
	(void)snprintf(file, sizeof(file), "%s/pages", path);
	c.path = file;
	crowd->puts = (unsigned int)test_draws(15000);
	crowd->gets = (unsigned int)test_draws(30000);
	run_crowd(&c, crowd);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(path), 0);
	free(crowd);
}

static void test_readers_beside_a_writer_in_every_order(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct env_sim *sim = env_sim_new(&(struct env_sim_config){
			.no_journal = true, .seed = draw(), .preempt = 3 + 4 * i });
		struct btree_pager_config c = toy_config(env_sim_env(sim));
		struct crowd *crowd = calloc(1, sizeof(*crowd));

		assert_non_null(crowd);
		/* Memory pages of the store's size, and larger ones. */
		c.memory_page_bytes = i % 2 ? 16384 : 0;
		c.memory_bytes = 64 * (i % 2 ? 16384 : 4096);
		crowd->puts = (unsigned int)test_draws(1500);
		crowd->gets = (unsigned int)test_draws(1500);
		run_crowd(&c, crowd);
		free(crowd);
		env_sim_free(sim);
	}
}

#define PAGER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGER_TEST(test_create_then_open_finds_the_checkpoint),
		PAGER_TEST(test_open_without_a_file_or_a_checkpoint),
		PAGER_TEST(test_version_changes_with_each_change_and_only_then),
		PAGER_TEST(test_pins_have_an_end),
		PAGER_TEST(test_ten_times_as_much_data_as_memory),
		PAGER_TEST(test_memory_pages_larger_than_the_stores),
		PAGER_TEST(test_huge_and_locked_memory_change_nothing),
		PAGER_TEST(test_pinned_pages_stay_while_others_go),
		PAGER_TEST(test_readahead_brings_neighbours_in_few_reads),
		PAGER_TEST(test_check_file_reads_what_is_clean),
		PAGER_TEST(test_checkpoint_writes_what_is_dirty_and_no_more),
		PAGER_TEST(test_checkpoint_keeps_to_its_rate),
		PAGER_TEST(test_readers_beside_a_writer_and_checkpoints),
		PAGER_TEST(test_readers_beside_a_writer_in_every_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
