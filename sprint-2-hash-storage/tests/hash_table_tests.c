/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_tests.c - every collision strategy does what hash_table.h says.
 *
 * The model is a list of the entries that should be in the table; an address is used once
 * only, and tells by itself which number it had.
 */
#include "../hash_table_internal.h"
#include "hash_table_each.h"

static uint64_t address_of(uint32_t id)
{
	return (uint64_t)id * 0x10001; /* ids below 2^31 use all 48 bits */
}

static uint32_t id_of(uint64_t address)
{
	assert_int_equal(address % 0x10001, 0);
	return (uint32_t)(address / 0x10001);
}

/* A match function's wish and what it met. */
struct wanted {
	uint64_t address;
	uint32_t calls;
};

static bool match_address(void *arg, uint64_t address)
{
	struct wanted *w = arg;

	w->calls++;
	return address == w->address;
}

static bool match_none(void *arg, uint64_t address)
{
	(void)address;
	++*(uint32_t *)arg;
	return false;
}

static bool finds(const struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct wanted w = { .address = address };
	uint64_t found;

	return t->ops->find(t, hash, match_address, &w, &found, NULL) && found == address;
}

/* True when address is among the candidates; they stay within what was asked for. */
static bool is_candidate(const struct hash_table *t, uint64_t hash, uint64_t address)
{
	enum { N = 256, GUARD = 0x55 };
	uint64_t got[N + 1];
	bool among = false;
	size_t i, n;

	memset(got, GUARD, sizeof(got));
	n = t->ops->candidates(t, hash, got, N);
	assert_true(n <= N);
	assert_int_equal(got[n], UINT64_C(0x0101010101010101) * GUARD);
	for (i = 0; i < n; i++)
		among |= got[i] == address;
	return among;
}

/* What a table keeps of a hash for those who choose tables. */
static uint16_t upper_of(uint64_t hash)
{
	return (uint16_t)(hash >> 42);
}

/* ---- the model ---- */

enum { IDS = 1 << 18 };

static struct model {
	struct hash_entry entry[HASH_TABLE_MAX];
	uint32_t n, next_id;
	uint32_t seen[IDS];  /* the walk that met this id last */
	uint16_t upper[IDS]; /* of the hash that it gave */
	uint32_t walk;
} model;

static void model_start(void)
{
	memset(&model, 0, sizeof(model));
}

static struct hash_entry *model_any(void)
{
	return &model.entry[core_random_below(model.n)];
}

static void model_forget(struct hash_entry *e)
{
	*e = model.entry[--model.n];
}

static uint64_t model_new_address(void)
{
	assert_true(model.next_id < IDS);
	return address_of(model.next_id++);
}

/* Inserts into both, or into neither. */
static int insert(struct hash_table *t, uint64_t hash)
{
	uint64_t address = model_new_address();
	uint32_t count = t->count;
	int err = t->ops->insert(t, hash, address);

	if (err) {
		assert_int_equal(err, -ENOSPC);
		assert_int_equal(t->count, count);
		return err;
	}
	assert_int_equal(t->count, count + 1);
	model.entry[model.n++] = (struct hash_entry){ hash, address };
	return 0;
}

static void remove_entry(struct hash_table *t, struct hash_entry *e)
{
	assert_true(t->ops->remove(t, e->hash, e->address));
	assert_false(t->ops->remove(t, e->hash, e->address));
	model_forget(e);
	assert_int_equal(t->count, model.n);
}

/* The table has exactly the model's entries, by every way of looking. */
static void check(const struct hash_table *t)
{
	struct hash_entry e;
	uint32_t i, cursor = 0, n = 0;

	assert_int_equal(t->count, model.n);
	model.walk++;
	for (; t->ops->next(t, &cursor, &e); n++) {
		uint32_t id = id_of(e.address);

		assert_int_not_equal(model.seen[id], model.walk);
		model.seen[id] = model.walk;
		model.upper[id] = upper_of(e.hash);
		assert_true(finds(t, e.hash, e.address));
	}
	assert_int_equal(n, model.n);
	for (i = 0; i < model.n; i++) {
		const struct hash_entry *m = &model.entry[i];

		assert_int_equal(model.seen[id_of(m->address)], model.walk);
		assert_int_equal(model.upper[id_of(m->address)], upper_of(m->hash));
		assert_true(finds(t, m->hash, m->address));
		assert_true(is_candidate(t, m->hash, m->address));
	}
}

static void fill(struct hash_table *t, uint32_t n)
{
	while (model.n < n && insert(t, core_random()) == 0)
		;
}

static void drain(struct hash_table *t)
{
	while (model.n)
		remove_entry(t, model_any());
}

/* ---- one at a time ---- */

static void test_strategy_is_found_by_its_name(void **state)
{
	const struct hash_table_ops *ops = *state;
	size_t i, times = 0;

	assert_ptr_equal(hash_table_find(ops->name), ops);
	for (i = 0; hash_table_get(i); i++)
		times += hash_table_get(i) == ops;
	assert_int_equal(times, 1);
	assert_int_equal(i, 5);
	assert_null(hash_table_get(i + 1));
	assert_null(hash_table_find("quadratic"));
	assert_null(hash_table_find(""));
}

static void test_create_refuses_capacity_out_of_range(void **state)
{
	static const uint32_t bad[] = {
		0, 1, 8, 15, 65537, 131072, 1u << 31, UINT32_MAX
	};
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hash_table_create(ops, bad[i], &t), -EINVAL);
	assert_null(t);
	hash_table_free(NULL);
}

static void test_create_without_memory_fails(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = NULL;

	port_fault_set(1, true);
	assert_int_equal(hash_table_create(ops, 256, &t), -ENOMEM);
	assert_true(port_fault_fired());
	assert_null(t);
}

static void test_memory_is_all_of_it_and_bounded(void **state)
{
	const struct hash_table_ops *ops = *state;
	uint32_t capacity;

	for (capacity = HASH_TABLE_MIN; capacity <= HASH_TABLE_MAX;
	     capacity += capacity / 3) {
		struct hash_table *t = create(ops, capacity);

		assert_int_equal(t->bytes, ops->bytes(capacity));
		assert_int_equal(t->bytes, port_fault_live_bytes());
		assert_true(t->bytes <= 512 + (size_t)capacity * 20);
		hash_table_free(t);
	}
}

/* In an empty table the first entry lies where its search begins. */
static void test_search_begins_where_home_says(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 64);
	struct hash_home home = ops->home(64);
	uint8_t before[128];
	int i;

	assert_in_range(home.each, 1, sizeof(before));
	for (i = 0; i < 1000; i++) {
		uint64_t hash = i ? core_random() : UINT64_MAX;
		const char *line = hash_home_line(&home, t, hash);

		assert_true(line > (char *)t && line + home.each <= (char *)t + t->bytes);
		memcpy(before, line, home.each);
		assert_int_equal(ops->insert(t, hash, 5), 0);
		assert_memory_not_equal(before, line, home.each);
		assert_true(ops->remove(t, hash, 5));
	}
	hash_table_free(t);
}

static void test_empty_table_finds_nothing(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, HASH_TABLE_MIN);
	uint32_t cursor = 0, calls = 0;
	struct hash_entry e;
	uint64_t address;
	int i;

	for (i = 0; i < 1000; i++) {
		uint64_t hash = i ? core_random() : UINT64_MAX;

		assert_false(ops->find(t, hash, match_none, &calls, &address, NULL));
		assert_int_equal(ops->candidates(t, hash, &address, 1), 0);
		assert_false(ops->replace(t, hash, HASH_ADDRESS_MAX, 1));
		assert_false(ops->remove(t, hash, HASH_ADDRESS_MAX));
	}
	assert_int_equal(calls, 0);
	assert_false(ops->next(t, &cursor, &e));
	hash_table_free(t);
}

static void test_extreme_hashes_and_addresses_are_kept(void **state)
{
	static const uint64_t hash[] = { 0, UINT64_MAX, UINT32_MAX,
					 UINT64_C(0xffff00000000) };
	static const uint64_t address[] = { 0, 1, HASH_ADDRESS_MAX };
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, HASH_TABLE_MIN);
	size_t i, j;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < 3; j++) {
			assert_int_equal(ops->insert(t, hash[i], address[j]), 0);
			assert_true(finds(t, hash[i], address[j]));
			assert_true(ops->remove(t, hash[i], address[j]));
			assert_false(finds(t, hash[i], address[j]));
		}
	}
	hash_table_free(t);
}

static void test_match_decides_between_equal_hashes(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 64);
	uint32_t calls = 0, i;
	uint64_t got[8], address;

	model_start();
	for (i = 0; i < 8; i++)
		assert_int_equal(insert(t, 42), 0);
	check(t);
	assert_false(ops->find(t, 42, match_none, &calls, &address, NULL));
	assert_true(calls >= 8);
	assert_int_equal(ops->candidates(t, 42, got, 0), 0);
	assert_int_equal(ops->candidates(t, 42, got, 3), 3);
	assert_int_equal(ops->candidates(t, 42, got, 8), 8);
	hash_table_free(t);
}

static void test_replace_changes_one_entry(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 256);
	uint32_t i;

	model_start();
	fill(t, 192);
	for (i = 0; i < 1000; i++) {
		struct hash_entry *e = model_any();
		uint64_t to = model_new_address();

		assert_true(ops->replace(t, e->hash, e->address, to));
		assert_false(ops->replace(t, e->hash, e->address, to));
		e->address = to;
	}
	check(t);
	hash_table_free(t);
}

static void test_probes_are_added_up_and_bounded(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 256);
	uint32_t i;

	model_start();
	fill(t, 256);
	for (i = 0; i < model.n; i++) {
		const struct hash_entry *e = &model.entry[i];
		struct wanted w = { .address = e->address };
		uint32_t probes = 1000;
		uint64_t address;

		assert_true(ops->find(t, e->hash, match_address, &w, &address, &probes));
		assert_in_range(probes, 1001, 1000 + 255);
	}
	hash_table_free(t);
}

/* ---- full tables ---- */

static void test_random_hashes_fill_tables_of_all_sizes(void **state)
{
	const struct hash_table_ops *ops = *state;
	uint32_t capacity;

	for (capacity = HASH_TABLE_MIN; capacity <= HASH_TABLE_MAX; capacity *= 4) {
		struct hash_table *t = create(ops, capacity);

		model_start();
		fill(t, capacity);
		assert_int_equal(model.n, capacity);
		assert_int_equal(insert(t, core_random()), -ENOSPC);
		check(t);
		drain(t);
		check(t);
		hash_table_free(t);
	}
}

enum { MISSES = 5000 };

/* What so many misses cost in all. */
static uint32_t cost_of_misses(const struct hash_table *t)
{
	uint64_t hash = 0, address;
	uint32_t probes = 0, calls = 0;

	for (; hash < UINT32_MAX; hash += UINT32_MAX / MISSES + 1)
		t->ops->find(t, hash, match_none, &calls, &address, &probes);
	return probes;
}

static void test_misses_look_at_little_in_a_half_full_table(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 4096);

	model_start();
	fill(t, 2048);
	assert_in_range(cost_of_misses(t), 1, 3 * MISSES);
	hash_table_free(t);
}

static void test_drained_table_is_as_fast_as_a_new_one(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 1024);
	uint32_t fresh = cost_of_misses(t), i;

	model_start();
	for (i = 0; i < 3; i++) {
		fill(t, 1024);
		assert_int_equal(model.n, 1024);
		drain(t);
		assert_int_equal(cost_of_misses(t), fresh);
	}
	hash_table_free(t);
}

static void test_tag_spares_nearly_all_misses_the_key(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 4096);
	uint32_t calls = 0, i;
	uint64_t address;

	model_start();
	fill(t, 4096);
	for (i = 0; i < 10000; i++)
		ops->find(t, core_random(), match_none, &calls, &address, NULL);
	assert_in_range(calls, 0, 50);
	hash_table_free(t);
}

static void test_equal_hashes_end_in_no_space_and_spoil_nothing(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, HASH_TABLE_MAX);
	uint32_t others = 1000;

	model_start();
	fill(t, others);
	while (insert(t, UINT64_C(0x123456789abcdef)) == 0)
		;
	assert_in_range(model.n - others, 8, 255);
	check(t);
	assert_int_equal(insert(t, UINT64_C(0x123456789abcdef)), -ENOSPC);
	assert_int_equal(insert(t, UINT64_C(0x7edcba9876543210)), 0);
	remove_entry(t, &model.entry[others]);
	assert_int_equal(insert(t, UINT64_C(0x123456789abcdef)), 0);
	check(t);
	drain(t);
	check(t);
	hash_table_free(t);
}

static void test_equal_places_crowd_nobody_else_out(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, HASH_TABLE_MAX);

	model_start();
	while (model.n < 40000 && insert(t, core_random() << 26 | 77) == 0)
		;
	assert_true(model.n >= 8);
	check(t);
	assert_int_equal(insert(t, UINT64_C(0x3000000)), 0);
	check(t);
	drain(t);
	check(t);
	hash_table_free(t);
}

static void test_run_goes_on_at_the_tables_beginning(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 256);
	uint32_t i;

	model_start();
	for (i = 0; i < 60; i++)
		insert(t, core_random() | (0x3ffffff - (i % 3 << 19)));
	for (i = 0; i < 20; i++)
		insert(t, core_random() << 26 | (i % 2) << 19);
	assert_true(model.n >= 36);
	check(t);
	while (model.n) {
		remove_entry(t, model_any());
		check(t);
	}
	hash_table_free(t);
}

/* ---- splitting ---- */

static void test_walk_gives_hashes_that_stand_for_the_true_ones(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *from = create(ops, 1024), *to = create(ops, 1024);
	uint32_t cursor = 0;
	struct hash_entry e;

	model_start();
	fill(from, 1000);
	while (from->ops->next(from, &cursor, &e))
		assert_int_equal(ops->insert(to, e.hash, e.address), 0);
	check(to);
	drain(to);
	check(to);
	hash_table_free(from);
	hash_table_free(to);
}

/* ---- histories ---- */

enum mode { UNIFORM, FEW_PLACES, FEW_TAGS, FEW_HASHES, AT_THE_END, MODES };

static uint64_t random_hash(enum mode mode)
{
	uint64_t hash = core_random();

	switch (mode) {
	case FEW_PLACES:
		return (hash & ~UINT64_C(0x3ffffff)) | (hash & 7) << 20;
	case FEW_TAGS:
		return hash & ~(UINT64_C(0xfffe) << 26);
	case FEW_HASHES:
		return (hash & 3) * UINT64_C(0x55aa7733cc119944);
	case AT_THE_END:
		return hash | UINT64_C(0x3e00000);
	default:
		return hash;
	}
}

static void one_step(struct hash_table *t, enum mode mode, bool growing)
{
	uint64_t hash = random_hash(mode), address;
	uint32_t calls = 0, what = (uint32_t)core_random_below(8);
	struct hash_entry *e;

	if (what < 3u + 2u * growing) {
		if (insert(t, hash) == 0)
			assert_true(finds(t, hash, model.entry[model.n - 1].address));
		else if (mode == UNIFORM && t->capacity > 64)
			assert_int_equal(model.n, t->capacity);
	} else if (model.n == 0) {
		assert_false(t->ops->find(t, hash, match_none, &calls, &address, NULL));
	} else if (what < 7) {
		remove_entry(t, model_any());
	} else {
		e = model_any();
		address = model_new_address();
		assert_true(t->ops->replace(t, e->hash, e->address, address));
		e->address = address;
		assert_true(finds(t, e->hash, address));
	}
	e = model.n ? model_any() : NULL;
	assert_true(!e || finds(t, e->hash, e->address));
	assert_false(t->ops->remove(t, hash, HASH_ADDRESS_MAX));
}

static void test_random_histories_agree_with_the_model(void **state)
{
	static const uint32_t capacity[] = { 16, 37, 128, 500 };
	const struct hash_table_ops *ops = *state;
	uint32_t i, step, mode;

	for (i = 0; i < 4; i++) {
		for (mode = 0; mode < MODES; mode++) {
			struct hash_table *t = create(ops, capacity[i]);
			uint32_t period = capacity[i] * 4;

			model_start();
			for (step = 0; step < 2 * period + 2000; step++) {
				one_step(t, mode, step / period % 2 == 0);
				if (step % (period / 8) == 0)
					check(t);
			}
			check(t);
			drain(t);
			check(t);
			hash_table_free(t);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_strategy_is_found_by_its_name),
		EACH(test_create_refuses_capacity_out_of_range),
		EACH(test_create_without_memory_fails),
		EACH(test_memory_is_all_of_it_and_bounded),
		EACH(test_search_begins_where_home_says),
		EACH(test_empty_table_finds_nothing),
		EACH(test_extreme_hashes_and_addresses_are_kept),
		EACH(test_match_decides_between_equal_hashes),
		EACH(test_replace_changes_one_entry),
		EACH(test_probes_are_added_up_and_bounded),
		EACH(test_random_hashes_fill_tables_of_all_sizes),
		EACH(test_misses_look_at_little_in_a_half_full_table),
		EACH(test_drained_table_is_as_fast_as_a_new_one),
		EACH(test_tag_spares_nearly_all_misses_the_key),
		EACH(test_equal_hashes_end_in_no_space_and_spoil_nothing),
		EACH(test_equal_places_crowd_nobody_else_out),
		EACH(test_run_goes_on_at_the_tables_beginning),
		EACH(test_walk_gives_hashes_that_stand_for_the_true_ones),
		EACH(test_random_histories_agree_with_the_model),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
