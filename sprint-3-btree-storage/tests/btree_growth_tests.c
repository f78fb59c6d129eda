/* SPDX-License-Identifier: MIT */
/*
 * btree_growth_tests.c - what the B+tree engine takes of the disk, and how often it syncs.
 *
 * The bounds that are held here:
 *
 *   TREE   three times the pages of the tree: the durable checkpoint, the one that is being
 *          written and the tip may each have their own copy of a page; a snapshot makes that
 *          once more. An eighth of it beside, which is not worth cutting off, and SLACK: a
 *          chunk that the file grows by, one that is too small to be cut off, the reserve
 *   log    PACE (see btree_checkpoint.c) times what makes a checkpoint due, and one more:
 *          from there on writers are slowed; and SLACK_SEGMENTS, spares among them
 *   after all is deleted, and compacted: SLACK and SLACK_SEGMENTS
 *   syncs  of one writer: one each for `sync`, none for `none`, one an interval for `group`
 *
 * Beside them: a disk that others fill to its last block, and cursors that stand still
 * while everything moves.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../btree_engine.h"

#include <unistd.h>

enum {
	PAGE = 4096,
	SEGMENT = 64 << 10,
	CHECKPOINT = 128 << 10,
	BYTES = 300,
	KEYS_MAX = 12000,
	PACE = 4,
	SLACK = (2 << 20) + 64 * PAGE,
	SLACK_SEGMENTS = 6,
	STEP_NS = 10000000,
};

#define SMALL "segment_bytes=64k,checkpoint_bytes=128k,group_ms=10,huge=off"

struct scene {
	struct env_sim *sim;
	struct kv *kv;
	unsigned int version[KEYS_MAX]; /* 0: not there */
	unsigned int last[KEYS_MAX];    /* versions are not used again */
	unsigned int keys;
	uint64_t rng;
};

static void open_scene(struct scene *s, const char *options)
{
	struct kv_msg why = { "" };

	if (kv_open(&btree_engine, env_sim_env(s->sim), "store", options, &s->kv, &why))
		fail_msg("%s", why.text);
}

/* capacity 0: no end. The checkpoint's task and the writer take turns at any call. */
static struct scene *scene_new(uint64_t capacity, const char *options)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->sim = env_sim_new(&(struct env_sim_config){ .seed = 3,
						       .capacity_bytes = capacity,
						       .no_journal = true,
						       .preempt = 16 });
	open_scene(s, options);
	return s;
}

static void scene_end(struct scene *s)
{
	assert_int_equal(kv_close(s->kv), 0);
	env_sim_free(s->sim);
	free(s);
}

static int put(struct scene *s, unsigned int key)
{
	int error = fixture_put(s->kv, key, s->last[key] + 1, BYTES, KV_NONE);

	if (!error)
		s->version[key] = ++s->last[key];
	return error;
}

static void put_all(struct scene *s, unsigned int keys)
{
	for (s->keys = 0; s->keys < keys; s->keys++)
		assert_int_equal(put(s, s->keys * 7919u % keys), 0);
}

static void delete (struct scene *s, unsigned int key, enum kv_durability how)
{
	assert_int_equal(fixture_delete(s->kv, key, how), 0);
	s->version[key] = 0;
}

static void check_key(struct kv *kv, struct kv_snapshot *snap, unsigned int key,
		      unsigned int version)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	int error = kv_get_at(kv, snap, fixture_key(k, key), &value);

	assert_int_equal(error, version ? 0 : -ENOENT);
	if (version)
		assert_int_equal(fixture_version(key, BYTES, value.data, value.len),
				 version);
	kv_buf_free(&value);
}

static void check_all(struct scene *s)
{
	struct kv_msg why = { "" };
	unsigned int key;

	for (key = 0; key < s->keys; key++)
		check_key(s->kv, NULL, key, s->version[key]);
	if (kv_verify(s->kv, &why))
		fail_msg("%s", why.text);
}

/* ---- bytes on disk ---- */

struct names {
	char name[512][32];
	size_t n;
};

static int add_name(void *arg, const char *name)
{
	struct names *l = arg;

	assert_true(l->n < 512 && strlen(name) < sizeof(l->name[0]));
	memcpy(l->name[l->n++], name, strlen(name) + 1);
	return 0;
}

struct usage {
	uint64_t tree, log; /* with spares */
};

static void look_at_disk(struct scene *s, struct usage *u)
{
	struct env *env = env_sim_env(s->sim);
	struct names l = { .n = 0 };
	char path[ENV_PATH_MAX];
	uint64_t size;
	struct file *f;
	size_t i;

	*u = (struct usage){ 0 };
	assert_int_equal(env->ops->list(env, "store", add_name, &l), 0);
	for (i = 0; i < l.n; i++) {
		assert_int_equal(env_path(path, "store", l.name[i]), 0);
		/* The log's files come and go meanwhile. */
		if (env_open(env, path, ENV_READ, &f))
			continue;
		assert_int_equal(f->ops->size(f, &size), 0);
		file_close(f);
		*(strncmp(l.name[i], "TREE", 4) ? &u->log : &u->tree) += size;
	}
}

/* What the tree is made of, at this moment. */
static uint64_t tree_bytes(struct scene *s)
{
	assert_int_equal(kv_verify(s->kv, NULL), 0);
	return (fixture_stat(s->kv, "verified_leaf_pages") +
		fixture_stat(s->kv, "verified_inner_pages") +
		fixture_stat(s->kv, "verified_overflow_pages")) *
	       PAGE;
}

static uint64_t log_bound(const struct usage *u)
{
	uint64_t due = u->tree / 2 > CHECKPOINT ? u->tree / 2 : CHECKPOINT;

	return (PACE + 1) * due + SLACK_SEGMENTS * SEGMENT;
}

static void hold(struct scene *s, unsigned int copies, uint64_t tree, struct usage *most)
{
	struct usage u;

	look_at_disk(s, &u);
	if (u.tree > copies * tree * 9 / 8 + SLACK || u.log > log_bound(&u))
		fail_msg("the tree has %llu bytes, its file %llu, the log %llu",
			 (unsigned long long)tree, (unsigned long long)u.tree,
			 (unsigned long long)u.log);
	if (u.tree > most->tree)
		most->tree = u.tree;
	if (u.log > most->log)
		most->log = u.log;
}

static void overwrite(struct scene *s, unsigned int writes, unsigned int copies,
		      uint64_t tree, struct usage *most)
{
	unsigned int i;

	for (i = 0; i < writes; i++) {
		assert_int_equal(
			put(s, (unsigned int)(fixture_random(&s->rng) % s->keys)), 0);
		if (i % 50 == 0)
			hold(s, copies, tree, most);
	}
}

static void bounded(const char *options)
{
	struct scene *s = scene_new(0, options);
	struct usage most = { 0 };
	unsigned int writes; /* of each key, on average */
	uint64_t tree;

	put_all(s, 3000);
	tree = tree_bytes(s);
	for (writes = 0; writes < 8 || fixture_stat(s->kv, "checkpoints") <= 2; writes++)
		overwrite(s, s->keys, 3, tree, &most);
	print_message("a tree of %llu bytes took %llu at most, its log %llu\n",
		      (unsigned long long)tree, (unsigned long long)most.tree,
		      (unsigned long long)most.log);
	check_all(s);
	scene_end(s);
}

static void test_space_is_bounded_under_endless_overwriting(void **state)
{
	(void)state;
	bounded(SMALL);
	bounded(SMALL ",memory_bytes=256k");
	bounded(SMALL ",overflow_bytes=100");
}

static void test_snapshot_costs_one_tree_at_most(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	struct usage most = { 0 }, after;
	struct kv_snapshot *snap;
	unsigned int key;
	uint64_t tree;

	(void)state;
	put_all(s, 3000);
	tree = tree_bytes(s);
	assert_int_equal(kv_snapshot(s->kv, &snap), 0);
	overwrite(s, 4 * s->keys, 4, tree, &most);
	for (key = 0; key < s->keys; key++)
		check_key(s->kv, snap, key, 1);
	kv_release(s->kv, snap);
	assert_int_equal(kv_compact(s->kv), 0);
	look_at_disk(s, &after);
	print_message("a tree of %llu bytes took %llu with a snapshot, %llu when it was "
		      "gone\n",
		      (unsigned long long)tree, (unsigned long long)most.tree,
		      (unsigned long long)after.tree);
	assert_true(after.tree <= tree * 9 / 8 + SLACK);
	check_all(s);
	scene_end(s);
}

static void test_space_comes_back_after_delete_all(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	struct usage full, empty;
	unsigned int key;

	(void)state;
	put_all(s, 5000);
	look_at_disk(s, &full);
	for (key = 0; key < s->keys; key++)
		delete (s, key, KV_NONE);
	assert_int_equal(kv_compact(s->kv), 0);
	look_at_disk(s, &empty);
	print_message("%llu and %llu bytes, and %llu and %llu once all is deleted\n",
		      (unsigned long long)full.tree, (unsigned long long)full.log,
		      (unsigned long long)empty.tree, (unsigned long long)empty.log);
	assert_true(empty.tree <= SLACK);
	assert_true(empty.log <= SLACK_SEGMENTS * SEGMENT);
	check_all(s);
	/* Nothing comes to life when it is opened again. */
	assert_int_equal(kv_close(s->kv), 0);
	open_scene(s, SMALL);
	check_all(s);
	scene_end(s);
}

/* Keys that come and go: each round others, so that pages are emptied, and never overwritten. */
static void test_space_of_keys_that_come_and_go_is_used_again(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	struct usage most = { 0 };
	unsigned int key, window = 1000;
	uint64_t tree;

	(void)state;
	put_all(s, window);
	tree = tree_bytes(s);
	for (key = window; key < KEYS_MAX; key++) {
		assert_int_equal(put(s, key), 0);
		delete (s, key - window, KV_NONE);
		if (key % 50 == 0)
			hold(s, 3, tree, &most);
	}
	s->keys = KEYS_MAX;
	check_all(s);
	scene_end(s);
}

/* ---- a disk without a block ---- */

static void take_all_space(struct scene *s)
{
	struct env *env = env_sim_env(s->sim);
	struct file *f;
	uint64_t bytes;

	assert_int_equal(env->ops->free_space(env, "store", &bytes), 0);
	assert_int_equal(env_open(env, "filler", ENV_WRITE | ENV_CREATE, &f), 0);
	assert_int_equal(bytes ? f->ops->allocate(f, 0, bytes) : 0, 0);
	file_close(f);
	assert_int_equal(env->ops->free_space(env, "store", &bytes), 0);
	assert_int_equal(bytes, 0);
}

/* Lets the store's own task work, and tries again meanwhile. */
static int put_in_time(struct scene *s, unsigned int key)
{
	struct env *env = env_sim_env(s->sim);
	unsigned int i;
	int error = -ENOSPC;

	for (i = 0; error == -ENOSPC && i < 100; i++) {
		error = put(s, key);
		if (error)
			env->ops->sleep_ns(env, STEP_NS);
	}
	return error;
}

static void full_to_the_last_block(const char *options)
{
	struct scene *s = scene_new(3 << 20, options);
	unsigned int key;
	int error = 0;

	while (!error) {
		assert_true(s->keys < KEYS_MAX);
		error = put(s, s->keys);
		s->keys += !error;
	}
	assert_int_equal(error, -ENOSPC);
	take_all_space(s);
	assert_int_equal(put(s, s->keys), -ENOSPC);
	assert_int_equal(put(s, s->keys), -ENOSPC); /* fresh each time */
	check_all(s);
	for (key = 0; key < s->keys; key++)
		if (key % 4)
			delete (s, key, key % 32 == 1 ? KV_SYNC : KV_NONE);
	check_all(s);
	/* Without opening it anew, and though the file's other blocks are somebody else's. */
	for (key = 1; key < s->keys / 4; key += 4)
		assert_int_equal(put_in_time(s, key), 0);
	check_all(s);
	assert_int_equal(kv_close(s->kv), 0);
	open_scene(s, options);
	check_all(s);
	scene_end(s);
}

static void test_disk_full_to_its_last_block(void **state)
{
	(void)state;
	full_to_the_last_block(SMALL);
	full_to_the_last_block(SMALL ",map=off");
	full_to_the_last_block(SMALL ",max_keys=8,memory_bytes=512k");
}

/* ---- syncs ---- */

enum { COMMITS = 300 };

static uint64_t count_syncs(struct scene *s, unsigned int steps, enum kv_durability how)
{
	char k[4][FIXTURE_KEY], v[4][FIXTURE_VALUE];
	uint64_t before = env_sim_calls(s->sim, 1u << SIM_SYNC);
	struct kv_op op[4];
	unsigned int n, i;

	for (n = 0; n < COMMITS; n++) {
		for (i = 0; i < steps; i++)
			op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], n * 4 + i),
						fixture_value(v[i], n * 4 + i, 1, 20) };
		assert_int_equal(kv_write(s->kv, op, steps, how), 0);
	}
	return env_sim_calls(s->sim, 1u << SIM_SYNC) - before;
}

/* No checkpoint is due, and all is in one segment: what is counted is commits. */
static void test_syncs_are_one_a_durable_commit_and_no_more(void **state)
{
	static const char *const options[] = {
		"segment_bytes=4m,checkpoint_bytes=1g,huge=off,group_ms=10",
		"segment_bytes=4m,checkpoint_bytes=1g,huge=off,group_ms=10,map=off",
	};
	uint64_t begun, ms, syncs;
	struct env *env;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct scene *s = scene_new(0, options[i]);

		env = env_sim_env(s->sim);
		/* The store's making is over when the log has its spare. */
		assert_int_equal(fixture_put(s->kv, 0, 1, 20, KV_SYNC), 0);
		env->ops->sleep_ns(env, STEP_NS);
		assert_int_equal(count_syncs(s, 1, KV_SYNC), COMMITS);
		assert_int_equal(count_syncs(s, 4, KV_SYNC), COMMITS);
		assert_int_equal(count_syncs(s, 1, KV_NONE), 0);
		begun = env->ops->now_ns(env);
		syncs = count_syncs(s, 1, KV_GROUP);
		ms = (env->ops->now_ns(env) - begun) / 1000000;
		assert_true(syncs <= ms / 10 + 1);
		assert_int_equal(fixture_stat(s->kv, "checkpoints"), 0);
		scene_end(s);
	}
}

/* ---- what stands still ---- */

enum { VIEWS = 5, SEEN = 600 };

struct view {
	struct kv_snapshot *snap;
	struct kv_cursor *forth, *back; /* somewhere in the middle */
	unsigned int version[SEEN];
	unsigned int next, prev; /* keys that they come to at the soonest */
};

static void walk_on(struct view *v, unsigned int steps)
{
	char k[FIXTURE_KEY];

	for (; steps && v->next < SEEN; v->next++) {
		if (!v->version[v->next])
			continue;
		steps--;
		assert_int_equal(kv_next(v->forth), 0);
		assert_int_equal(kv_compare(v->forth->key, fixture_key(k, v->next)), 0);
		assert_int_equal(fixture_version(v->next, BYTES, v->forth->value.data,
						 v->forth->value.len),
				 v->version[v->next]);
	}
}

static void walk_back(struct view *v, unsigned int steps)
{
	char k[FIXTURE_KEY];

	for (; steps && v->prev; v->prev--) {
		if (!v->version[v->prev - 1])
			continue;
		steps--;
		assert_int_equal(kv_prev(v->back), 0);
		assert_int_equal(kv_compare(v->back->key, fixture_key(k, v->prev - 1)),
				 0);
		assert_int_equal(fixture_version(v->prev - 1, BYTES, v->back->value.data,
						 v->back->value.len),
				 v->version[v->prev - 1]);
	}
}

static void view_open(struct scene *s, struct view *v)
{
	memcpy(v->version, s->version, sizeof(v->version));
	v->next = 0;
	v->prev = SEEN;
	assert_int_equal(kv_snapshot(s->kv, &v->snap), 0);
	assert_int_equal(kv_cursor(s->kv, v->snap, &v->forth), 0);
	assert_int_equal(kv_cursor(s->kv, v->snap, &v->back), 0);
	walk_on(v, 20);
	walk_back(v, 20);
}

/* To both ends; and what the snapshot says, key by key. */
static void view_close(struct scene *s, struct view *v)
{
	unsigned int key;

	walk_on(v, SEEN);
	walk_back(v, SEEN);
	assert_int_equal(kv_next(v->forth), -ENOENT);
	assert_int_equal(kv_prev(v->back), -ENOENT);
	for (key = 0; key < SEEN; key++)
		check_key(s->kv, v->snap, key, v->version[key]);
	/* Cursors keep what they need. */
	kv_release(s->kv, v->snap);
	assert_int_equal(kv_next(v->forth), 0);
	assert_int_equal(kv_prev(v->back), 0);
	kv_cursor_close(v->forth);
	kv_cursor_close(v->back);
}

static void change_much(struct scene *s)
{
	unsigned int i, key;

	for (i = 0; i < SEEN; i++) {
		key = (unsigned int)(fixture_random(&s->rng) % SEEN);
		if (fixture_random(&s->rng) % 3)
			assert_int_equal(put(s, key), 0);
		else if (s->version[key])
			delete (s, key, KV_NONE);
	}
}

static void stand_still(const char *options)
{
	struct scene *s = scene_new(0, options);
	struct view v[VIEWS];
	unsigned int round, i;

	put_all(s, SEEN);
	for (round = 0; round < 4 * VIEWS; round++) {
		struct view *turn = &v[round % VIEWS];

		if (round >= VIEWS)
			view_close(s, turn);
		view_open(s, turn);
		change_much(s);
		if (round % 3 == 0)
			assert_int_equal(kv_compact(s->kv), 0);
		for (i = 0; i < VIEWS && i <= round; i++) {
			walk_on(&v[i], 10);
			walk_back(&v[i], 10);
		}
		check_all(s);
	}
	for (i = 0; i < VIEWS; i++)
		view_close(s, &v[i]);
	assert_true(fixture_stat(s->kv, "checkpoints") > 4);
	assert_int_equal(fixture_stat(s->kv, "snapshots"), 0);
	scene_end(s);
}

static void test_snapshots_and_cursors_stand_still_while_all_moves(void **state)
{
	(void)state;
	stand_still(SMALL ",max_keys=6");
	stand_still(SMALL ",memory_bytes=512k");
	stand_still(SMALL ",overflow_bytes=100,map=off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_space_is_bounded_under_endless_overwriting),
		LEAK_CHECKED(test_snapshot_costs_one_tree_at_most),
		LEAK_CHECKED(test_space_comes_back_after_delete_all),
		LEAK_CHECKED(test_space_of_keys_that_come_and_go_is_used_again),
		LEAK_CHECKED(test_disk_full_to_its_last_block),
		LEAK_CHECKED(test_syncs_are_one_a_durable_commit_and_no_more),
		LEAK_CHECKED(test_snapshots_and_cursors_stand_still_while_all_moves),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	test_ends_within(900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
