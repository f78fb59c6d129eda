/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager_fault_tests.c - the pager when the machine stops, the disk fails, memory ends or
 * bytes change.
 *
 * A history of puts and checkpoints on a small tree. Of each checkpoint the test remembers
 * what the leaves had; whatever happens, what is opened afterwards is one of these, and none
 * older than the last that was said to be durable.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "btree_toy.h"

enum { GENERATIONS = 16 };

struct history {
	unsigned int inners, leaves, puts; /* puts before each checkpoint */
	unsigned int checkpoints;
	uint64_t memory_bytes, seed;

	/* by generation, which begin at 1 */
	uint64_t value[GENERATIONS][TOY_KEYS_MAX];
	bool begun[GENERATIONS];
	size_t acked[GENERATIONS]; /* the position from which it must be there */
	uint64_t states;
};

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static struct btree_pager_config config_of(const struct history *h, struct env_sim *sim)
{
	struct btree_pager_config c = toy_config(env_sim_env(sim));

	c.memory_bytes = h->memory_bytes;
	return c;
}

static void remember(struct history *h, const struct toy *t)
{
	assert_true(t->generation < GENERATIONS);
	memcpy(h->value[t->generation], t->value, sizeof(t->value));
	h->begun[t->generation] = true;
}

/* Puts, of which some come while the checkpoint is written. */
static int live_a_while(struct history *h, struct toy *t, struct env_sim *sim,
			uint64_t *rng, struct kv_msg *why)
{
	uint64_t generation = t->generation;
	unsigned int i, keys = toy_keys(t);
	int error = 0;

	for (i = 0; !error && i < h->puts; i++)
		error = toy_put(t, (unsigned int)(next(rng) % keys), why);
	if (error)
		return error;
	remember(h, t);
	error = toy_checkpoint_begin(t);
	if (error)
		return error;
	for (i = 0; !error && i < h->puts / 4; i++)
		error = toy_put(t, (unsigned int)(next(rng) % keys), why);
	if (!error)
		error = btree_checkpoint_write(t->running, 0, why);
	if (!error)
		h->acked[generation] = env_sim_position(sim);
	toy_checkpoint_end(t);
	return error;
}

/* All of it, as far as faults let it come. */
static int run_history(struct history *h, struct env_sim *sim, struct toy *t)
{
	struct btree_pager_config c = config_of(h, sim);
	struct kv_msg why = { "" };
	uint64_t rng = h->seed;
	unsigned int i;
	int error;

	memset(h->begun, 0, sizeof(h->begun));
	memset(h->acked, 0xff, sizeof(h->acked));
	error = toy_create(t, &c, h->inners, h->leaves, &why);
	if (error) {
		assert_true(why.text[0]);
		return error;
	}
	for (i = 0; !error && i < h->checkpoints; i++)
		error = live_a_while(h, t, sim, &rng, &why);
	return error;
}

/* Opens what is there. -ENOENT: nothing, and nothing need be; other errors: broken. */
static int open_recovered(struct history *h, struct env_sim *disk, size_t at,
			  struct toy *t, struct kv_msg *why)
{
	struct btree_pager_config c = config_of(h, disk);
	uint64_t g, least = 0;
	int error;

	for (g = 1; g < GENERATIONS; g++)
		if (h->acked[g] <= at)
			least = g;
	memset(t, 0, sizeof(*t));
	t->inners = h->inners;
	t->leaves = h->leaves;
	error = toy_open(t, &c, why);
	if (error)
		return !least && (error == -ENOENT || error == -EBADMSG) ? -ENOENT
									 : error;
	g = t->super.generation;
	if (g < least || g >= GENERATIONS || !h->begun[g]) {
		toy_close(t);
		return -ENODATA;
	}
	memcpy(t->value, h->value[g], sizeof(t->value));
	error = toy_check(t, why);
	if (error)
		toy_close(t);
	return error;
}

/* ---- crashes ---- */

struct inner {
	struct history *h;
	size_t at; /* of the outer crash */
};

static int check_again(void *arg, struct env_sim *disk, size_t at)
{
	struct inner *in = arg;
	struct toy *t = calloc(1, sizeof(*t));
	struct kv_msg why = { "" };
	int error;

	(void)at;
	assert_non_null(t);
	in->h->states++;
	error = open_recovered(in->h, disk, in->at, t, &why);
	if (!error)
		toy_close(t);
	free(t);
	return error == -ENOENT ? 0 : error;
}

/* What was recovered can be written to, and is there when it is opened once more. */
static int go_on(struct history *h, struct toy *t, struct env_sim *disk)
{
	struct btree_pager_config c = config_of(h, disk);
	struct kv_msg why = { "" };
	uint64_t rng = h->seed + 1;
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < 3; i++)
		error = toy_put(t, (unsigned int)(next(&rng) % toy_keys(t)), &why);
	if (!error)
		error = toy_checkpoint(t, &why);
	if (!error)
		error = toy_checkpoint(t, &why);
	if (!error)
		toy_check_numbers(t);
	toy_close(t);
	if (!error)
		error = toy_open(t, &c, &why);
	if (error)
		return error;
	error = toy_check(t, &why);
	if (!error)
		toy_check_numbers(t);
	toy_close(t);
	return error;
}

static int check_crash(void *arg, struct env_sim *disk, size_t at)
{
	struct inner in = { arg, at };
	struct env_sim_explore again = { .samples = 1, .exhaustive = 8 };
	struct toy *t = calloc(1, sizeof(*t));
	struct kv_msg why = { "" };
	int error;

	assert_non_null(t);
	in.h->states++;
	error = open_recovered(in.h, disk, at, t, &why);
	again.to = env_sim_position(disk);
	if (!error)
		error = go_on(in.h, t, disk);
	else if (error == -ENOENT)
		error = again.to = 0;
	if (error)
		print_error("at %zu: %d: %s\n", at, error, why.text);
	free(t);
	/* Crashes while it was being opened. */
	again.check = check_again;
	again.arg = &in;
	return error || !again.to ? error : env_sim_explore(disk, &again);
}

static void explore_crashes(struct history *h, size_t every, bool no_allocate)
{
	struct env_sim *sim = env_sim_new(
		&(struct env_sim_config){ .seed = h->seed, .no_allocate = no_allocate });
	struct env_sim_explore e = { .samples = 3,
				     .exhaustive = 16,
				     .journal = true,
				     .every = (test_scale() > 1 ? 4 : 2) * every,
				     .check = check_crash,
				     .arg = h };
	struct toy *t = calloc(1, sizeof(*t));
	const char *torture = getenv("KV_TORTURE");

	assert_non_null(t);
	if (torture) {
		e.every = 1;
		e.samples = 20;
	}
	assert_int_equal(run_history(h, sim, t), 0);
	toy_close(t);
	free(t);
	if (env_sim_explore(sim, &e))
		fail_msg("seed 0x%llx: %s", (unsigned long long)h->seed, e.failed);
	print_message("# seed 0x%llx: %llu disks\n", (unsigned long long)h->seed,
		      (unsigned long long)h->states);
	env_sim_free(sim);
}

static struct history *history_new(unsigned int inners, unsigned int leaves,
				   unsigned int puts, unsigned int checkpoints)
{
	struct history *h = calloc(1, sizeof(*h));
	const char *s = getenv("KV_SEED");

	assert_non_null(h);
	*h = (struct history){ .inners = inners,
			       .leaves = leaves,
			       .puts = puts,
			       .checkpoints = checkpoints,
			       .memory_bytes = 64 * 4096,
			       .seed = s ? strtoull(s, NULL, 0) : 0x5eed0302 };
	return h;
}

static void test_every_crash_leaves_a_durable_checkpoint(void **state)
{
	struct history *h = history_new(2, 3, 8, 5);

	(void)state;
	explore_crashes(h, 1, false);
	free(h);
}

static void test_crashes_while_pages_are_evicted(void **state)
{
	struct history *h = history_new(2, 50, 120, 3);

	(void)state;
	explore_crashes(h, 11, false);
	free(h);
}

static void test_crashes_where_blocks_are_not_given_in_advance(void **state)
{
	struct history *h = history_new(2, 3, 8, 3);

	(void)state;
	explore_crashes(h, 3, true);
	free(h);
}

/* ---- the disk fails ---- */

static void expect_recovered(struct history *h, struct env_sim *sim)
{
	struct toy *t = calloc(1, sizeof(*t));
	struct kv_msg why = { "" };
	int error;

	assert_non_null(t);
	error = open_recovered(h, sim, SIZE_MAX - 1, t, &why);
	if (!error)
		toy_close(t);
	else if (error != -ENOENT)
		fail_msg("error %d: %s", error, why.text);
	free(t);
}

/* One fault: an error that has a sentence, right values or errors, and a store that opens. */
static bool survive(struct history *h, const struct env_sim_fault *f)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = h->seed });
	struct toy *t = calloc(1, sizeof(*t));
	struct kv_msg why = { "" };
	int error, after;
	bool fired;

	assert_non_null(t);
	env_sim_fault(sim, f);
	error = run_history(h, sim, t);
	fired = env_sim_fault_fired(sim);
	env_sim_fault(sim, NULL);
	if (t->p) {
		bool latched = btree_pager_failure(t->p, &why);

		/* What is in memory is right, whatever became of the disk. */
		after = toy_check(t, &why);
		if (after && after != -EBADMSG && after != -EIO)
			fail_msg("%d: %s", after, why.text);
		remember(h, t);
		after = toy_checkpoint(t, &why);
		if (latched)
			assert_int_not_equal(after, 0);
		toy_close(t);
	}
	(void)error;
	free(t);
	expect_recovered(h, sim);
	env_sim_free(sim);
	return fired;
}

static void test_each_call_fails_once_and_for_good(void **state)
{
	static const struct {
		unsigned int calls;
		enum env_sim_effect effect;
		int error;
	} kind[] = {
		{ 1u << SIM_READ, SIM_FAIL, -EIO },
		{ 1u << SIM_READ, SIM_SHORT, 0 },
		{ 1u << SIM_WRITE, SIM_FAIL, -EIO },
		{ 1u << SIM_WRITE, SIM_SHORT, -ENOSPC },
		{ 1u << SIM_SYNC, SIM_FAIL, -EIO },
		{ 1u << SIM_SYNC, SIM_DROP, -EIO },
		{ 1u << SIM_ALLOCATE | 1u << SIM_TRUNCATE | 1u << SIM_SIZE, SIM_FAIL,
		  -ENOSPC },
		{ 1u << SIM_OPEN | 1u << SIM_SYNC_DIR, SIM_FAIL, -EMFILE },
	};
	struct history *h = history_new(2, 50, 60, 3);
	size_t i;
	unsigned int good, n = 0;

	(void)state;
	for (i = 0; i < sizeof(kind) / sizeof(*kind); i++)
		for (good = 0; good < 2; good++) {
			struct env_sim_fault f = { .calls = kind[i].calls,
						   .effect = kind[i].effect,
						   .error = kind[i].error,
						   .for_good = good };

			for (f.nth = 1; survive(h, &f); n++)
				f.nth += 1 + f.nth / 8 * test_one_in(2);
		}
	print_message("# %u faults\n", n);
	assert_true(n > 50);
	free(h);
}

/* Writes that are reported as done: noticed when the page is read, never a wrong value. */
static void test_lost_and_misdirected_writes_are_noticed(void **state)
{
	struct history *h = history_new(2, 50, 60, 2);
	struct env_sim_fault f = { .calls = 1u << SIM_WRITE };
	unsigned int noticed = 0;

	(void)state;
	for (f.nth = 1;; f.nth += 1 + test_scale() / 10) {
		struct env_sim *sim =
			env_sim_new(&(struct env_sim_config){ .seed = h->seed });
		struct toy *t = calloc(1, sizeof(*t));
		struct kv_msg why = { "" };
		bool fired;
		int error;

		assert_non_null(t);
		f.effect = f.nth % 2 ? SIM_LOSE : SIM_MISDIRECT;
		env_sim_fault(sim, &f);
		error = run_history(h, sim, t);
		fired = env_sim_fault_fired(sim);
		env_sim_fault(sim, NULL);
		if (!error)
			error = toy_check(t, &why);
		assert_true(!error || error == -EBADMSG);
		toy_close(t);
		if (!error) {
			error = open_recovered(h, sim, SIZE_MAX - 1, t, &why);
			if (!error)
				toy_close(t);
			/* A superblock that was lost looks like one never written. */
			assert_true(!error || error == -EBADMSG || error == -ENODATA ||
				    error == -ENOENT);
		}
		noticed += error == -EBADMSG;
		free(t);
		env_sim_free(sim);
		if (!fired)
			break;
	}
	assert_true(noticed > 0);
	free(h);
}

static void expect_latched(struct toy *t, int error)
{
	struct kv_msg why = { "" };

	assert_int_equal(btree_pager_failure(t->p, &why), error);
	assert_non_null(strstr(why.text, TOY_PATH));
	assert_int_equal(btree_pages_reserve(t->p, 1, 0, true), error);
	assert_int_equal(toy_checkpoint(t, &why), error);
	/* Readers go on. */
	assert_int_equal(toy_check(t, &why), 0);
}

static void test_failed_sync_ends_all_writing(void **state)
{
	struct history *h = history_new(2, 3, 0, 1);
	unsigned int nth;

	(void)state;
	/* Of the pages, and of the superblock. */
	for (nth = 1; nth <= 2; nth++) {
		struct env_sim *sim = env_sim_new(NULL);
		struct toy *t = calloc(1, sizeof(*t));
		struct env_sim_fault f = { .calls = 1u << SIM_SYNC, .nth = nth };
		struct kv_msg why = { "" };

		assert_non_null(t);
		assert_int_equal(run_history(h, sim, t), 0);
		assert_int_equal(toy_put(t, 1, &why), 0);
		remember(h, t);
		env_sim_fault(sim, &f);
		assert_int_equal(toy_checkpoint(t, &why), -EIO);
		env_sim_fault(sim, NULL);
		expect_latched(t, -EIO);
		toy_close(t);
		free(t);
		expect_recovered(h, sim);
		env_sim_free(sim);
	}
	free(h);
}

/* A superblock whose sync failed may be read from the system's cache by the next opening. It
 * counts then; and from then on it must survive what the opened store does next. */
static void test_superblock_that_was_not_synced_is_made_durable(void **state)
{
	struct history *h = history_new(2, 3, 8, 1);
	struct env_sim *sim = env_sim_new(NULL);
	struct toy *t = calloc(1, sizeof(*t));
	struct env_sim_fault f = { .calls = 1u << SIM_SYNC, .nth = 2 };
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 16,
				     .journal = true,
				     .check = check_crash,
				     .arg = h };
	struct kv_msg why = { "" };
	uint64_t rng = h->seed + 2;
	unsigned int i;

	(void)state;
	assert_non_null(t);
	assert_int_equal(run_history(h, sim, t), 0);
	assert_int_equal(toy_put(t, 1, &why), 0);
	remember(h, t);
	env_sim_fault(sim, &f);
	assert_int_equal(toy_checkpoint(t, &why), -EIO);
	env_sim_fault(sim, NULL);
	toy_close(t);
	assert_int_equal(open_recovered(h, sim, SIZE_MAX - 1, t, &why), 0);
	assert_int_equal(t->super.generation, 2);
	e.from = h->acked[2] = env_sim_position(sim);
	h->puts = 40;
	for (i = 0; i < 2; i++)
		assert_int_equal(live_a_while(h, t, sim, &rng, &why), 0);
	toy_close(t);
	free(t);
	if (env_sim_explore(sim, &e))
		fail_msg("%s", e.failed);
	env_sim_free(sim);
	free(h);
}

static void test_victim_that_cannot_be_written_is_not_lost(void **state)
{
	struct history *h = history_new(2, 50, 0, 1);
	struct env_sim *sim = env_sim_new(NULL);
	struct toy *t = calloc(1, sizeof(*t));
	struct env_sim_fault f = { .calls = 1u << SIM_WRITE, .nth = 1, .for_good = true };
	struct btree_pager_stats before, after;
	struct kv_msg why = { "" };
	unsigned int i;
	int error = 0;

	(void)state;
	assert_non_null(t);
	assert_int_equal(run_history(h, sim, t), 0);
	env_sim_fault(sim, &f);
	for (i = 0; !error; i++)
		error = toy_put(t, i % 100, &why);
	assert_int_equal(error, -EIO);
	env_sim_fault(sim, NULL);
	btree_pager_stats(t->p, &before);
	expect_latched(t, -EIO);
	btree_pager_stats(t->p, &after);
	/* Pages come and go, and nothing is written any more. */
	assert_true(after.evictions > before.evictions);
	assert_int_equal(after.writes, before.writes);
	toy_close(t);
	free(t);
	expect_recovered(h, sim);
	env_sim_free(sim);
	free(h);
}

static void test_checkpoint_that_cannot_be_written_is_tried_again(void **state)
{
	struct history *h = history_new(2, 3, 0, 1);
	struct env_sim *sim = env_sim_new(NULL);
	struct toy *t = calloc(1, sizeof(*t));
	struct env_sim_fault f = { .calls = 1u << SIM_WRITE, .nth = 2 };
	struct kv_msg why = { "" };

	(void)state;
	assert_non_null(t);
	assert_int_equal(run_history(h, sim, t), 0);
	assert_int_equal(toy_put(t, 1, &why), 0);
	env_sim_fault(sim, &f);
	assert_int_equal(toy_checkpoint(t, &why), -EIO);
	assert_non_null(strstr(why.text, "the checkpoint before"));
	env_sim_fault(sim, NULL);
	assert_int_equal(btree_pager_failure(t->p, NULL), 0);
	assert_int_equal(toy_put(t, 2, &why), 0);
	remember(h, t);
	assert_int_equal(toy_checkpoint(t, &why), 0);
	h->acked[t->frozen] = env_sim_position(sim);
	toy_check_numbers(t);
	toy_close(t);
	free(t);
	expect_recovered(h, sim);
	env_sim_free(sim);
	free(h);
}

static void test_page_is_read_a_second_time(void **state)
{
	struct history *h = history_new(2, 3, 0, 1);
	struct env_sim *sim = env_sim_new(NULL);
	struct toy *t = calloc(1, sizeof(*t));
	struct env_sim_fault f = { .calls = 1u << SIM_READ, .nth = 1 };
	struct btree_pager_config c = config_of(h, sim);
	struct kv_msg why = { "" };
	uint64_t v;

	(void)state;
	assert_non_null(t);
	assert_int_equal(run_history(h, sim, t), 0);
	toy_close(t);
	assert_int_equal(toy_open(t, &c, &why), 0);
	env_sim_fault(sim, &f);
	assert_int_equal(toy_get(t, 0, &v, &why), 0);
	f.for_good = true;
	env_sim_fault(sim, &f);
	assert_int_equal(toy_get(t, 5, &v, &why), -EIO);
	assert_non_null(strstr(why.text, TOY_PATH));
	env_sim_fault(sim, NULL);
	assert_int_equal(toy_get(t, 5, &v, &why), 0);
	toy_close(t);
	free(t);
	env_sim_free(sim);
	free(h);
}

/* ---- memory ends ---- */

static void test_each_allocation_fails_once_and_for_good(void **state)
{
	struct history *h = history_new(2, 50, 20, 2);
	unsigned int good, n;
	bool fired;

	(void)state;
	for (good = 0; good < 2; good++)
		for (n = 1, fired = true; fired; n++) {
			struct env_sim *sim =
				env_sim_new(&(struct env_sim_config){ .seed = h->seed });
			struct toy *t = calloc(1, sizeof(*t));
			struct kv_msg why = { "" };
			int error;

			assert_non_null(t);
			port_fault_set(n, !good);
			error = run_history(h, sim, t);
			fired = port_fault_fired();
			port_fault_set(0, false);
			/* Refused, and as it was before. */
			if (t->p) {
				assert_int_equal(toy_check(t, &why), 0);
				assert_int_equal(btree_pager_failure(t->p, NULL), 0);
				assert_int_equal(toy_put(t, 3, &why), 0);
				remember(h, t);
				assert_int_equal(toy_checkpoint(t, &why), 0);
				toy_check_numbers(t);
				toy_close(t);
			}
			assert_true(!error || error == -ENOMEM);
			free(t);
			/* And while it is opened. */
			port_fault_set(n, !good);
			t = calloc(1, sizeof(*t));
			assert_non_null(t);
			error = open_recovered(h, sim, SIZE_MAX - 1, t, &why);
			fired |= port_fault_fired();
			port_fault_set(0, false);
			assert_true(!error || error == -ENOMEM || error == -ENOENT);
			if (!error)
				toy_close(t);
			free(t);
			expect_recovered(h, sim);
			env_sim_free(sim);
		}
	free(h);
}

/* ---- bytes change ---- */

/* Opens and reads all: 0 and everything right, or an error. */
static int read_all(struct history *h, struct env_sim *sim)
{
	struct toy *t = calloc(1, sizeof(*t));
	struct kv_msg why = { "" };
	int error;

	assert_non_null(t);
	error = open_recovered(h, sim, 0, t, &why);
	if (!error)
		toy_close(t);
	free(t);
	return error;
}

static void test_every_byte_flipped_is_right_or_noticed(void **state)
{
	struct history *h = history_new(1, 2, 3, 2);
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct toy *t = calloc(1, sizeof(*t));
	uint64_t at, end, right = 0, noticed = 0, step = test_one_in(3);
	uint64_t used[32], pages = 0, i;

	(void)state;
	assert_non_null(t);
	assert_int_equal(run_history(h, sim, t), 0);
	for (i = 0; i < btree_pager_pages(t->p); i++)
		if (btree_page_in_use(t->p, (uint32_t)i)) {
			assert_true(pages < 32);
			used[pages++] = i;
		}
	toy_close(t);
	free(t);
	for (i = 0; i < pages; i++)
		for (at = used[i] * 4096, end = at + 4096; at < end; at += step) {
			/* Opening heals superblocks, so those of a copy. */
			struct env_sim *disk =
				i < BTREE_SUPER_PAGES ? env_sim_copy(sim, false) : sim;
			uint8_t mask = (uint8_t)(1 << at % 8);
			int error;

			assert_int_equal(env_sim_flip(disk, TOY_PATH, at, mask), 0);
			error = read_all(h, disk);
			if (error && error != -EBADMSG)
				fail_msg("byte %llu: %d", (unsigned long long)at, error);
			/* No single byte of a superblock is needed. */
			if (i < BTREE_SUPER_PAGES)
				assert_int_equal(error, 0);
			right += !error;
			noticed += error != 0;
			if (disk != sim)
				env_sim_free(disk);
			else
				assert_int_equal(env_sim_flip(sim, TOY_PATH, at, mask),
						 0);
		}
	assert_int_equal(read_all(h, sim), 0);
	/* A root, an inner node, two leaves, the map: all of them. */
	assert_true(noticed >= 5 * 4096 / step - 5);
	assert_true(right >= 2 * 4096 / step - 2);
	env_sim_free(sim);
	free(h);
}

static void test_file_that_is_cut_is_noticed(void **state)
{
	struct history *h = history_new(1, 2, 3, 2);
	uint64_t size = 1, cut;

	(void)state;
	for (cut = 1; cut <= size; cut *= 3) {
		struct env_sim *sim = env_sim_new(NULL);
		struct toy *t = calloc(1, sizeof(*t));
		struct file *f;

		assert_non_null(t);
		assert_int_equal(run_history(h, sim, t), 0);
		toy_close(t);
		/* Opening cuts off what the superblock does not count. */
		assert_int_equal(read_all(h, sim), 0);
		assert_int_equal(
			env_open(env_sim_env(sim), TOY_PATH, ENV_READ | ENV_WRITE, &f),
			0);
		assert_int_equal(f->ops->size(f, &size), 0);
		assert_int_equal(f->ops->truncate(f, size - cut), 0);
		file_close(f);
		assert_int_equal(
			open_recovered(h, sim, SIZE_MAX - 1, t, &(struct kv_msg){ "" }),
			-EBADMSG);
		free(t);
		env_sim_free(sim);
	}
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_every_crash_leaves_a_durable_checkpoint),
		LEAK_CHECKED(test_crashes_while_pages_are_evicted),
		LEAK_CHECKED(test_crashes_where_blocks_are_not_given_in_advance),
		LEAK_CHECKED(test_each_call_fails_once_and_for_good),
		LEAK_CHECKED(test_lost_and_misdirected_writes_are_noticed),
		LEAK_CHECKED(test_failed_sync_ends_all_writing),
		LEAK_CHECKED(test_superblock_that_was_not_synced_is_made_durable),
		LEAK_CHECKED(test_victim_that_cannot_be_written_is_not_lost),
		LEAK_CHECKED(test_checkpoint_that_cannot_be_written_is_tried_again),
		LEAK_CHECKED(test_page_is_read_a_second_time),
		LEAK_CHECKED(test_each_allocation_fails_once_and_for_good),
		LEAK_CHECKED(test_every_byte_flipped_is_right_or_noticed),
		LEAK_CHECKED(test_file_that_is_cut_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
