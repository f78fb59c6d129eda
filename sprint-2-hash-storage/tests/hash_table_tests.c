/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_tests.c - every collision strategy does what hash_table.h says.
 *
 * Each test runs once for each strategy, which comes as its state. The model is a list of
 * the entries that should be in the table; an address is used once only, and tells by
 * itself which number it had.
 */
#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../hash_table.h"

#include <setjmp.h>

#include <cmocka.h>

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

static struct hash_table *create(const struct hash_table_ops *ops, uint32_t capacity)
{
	struct hash_table *t = NULL;

	assert_int_equal(ops->create(capacity, &t), 0);
	assert_ptr_equal(t->ops, ops);
	assert_int_equal(t->capacity, capacity);
	assert_int_equal(t->count, 0);
	return t;
}

/* Each test begins with the same random numbers and leaves nothing allocated. */
static uint64_t live_before;

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	port_fault_set(0, false);
	live_before = port_fault_live();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_fault_set(0, false);
	return port_fault_live() == live_before ? 0 : -1;
}

/* ---- the model ---- */

enum { IDS = 1 << 18 };

static struct model {
	struct hash_entry entry[HASH_TABLE_MAX];
	uint32_t n, next_id;
	uint32_t seen[IDS]; /* the walk that met this id last */
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
		uint32_t *seen = &model.seen[id_of(e.address)];

		assert_int_not_equal(*seen, model.walk);
		*seen = model.walk;
	}
	assert_int_equal(n, model.n);
	for (i = 0; i < model.n; i++) {
		const struct hash_entry *m = &model.entry[i];

		assert_int_equal(model.seen[id_of(m->address)], model.walk);
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

static void
test_create_refuses_capacity_that_is_no_power_of_two_or_out_of_range(void **state)
{
	static const uint32_t bad[] = { 0,    1,     8,      15,      17,
					1000, 65535, 131072, 1 << 31, UINT32_MAX };
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ops->create(bad[i], &t), -EINVAL);
	assert_null(t);
	ops->free(NULL);
}

static void test_create_without_memory_fails(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = NULL;

	port_fault_set(1, true);
	assert_int_equal(ops->create(256, &t), -ENOMEM);
	assert_true(port_fault_fired());
	assert_null(t);
}

static void test_memory_is_all_of_it_and_bounded(void **state)
{
	const struct hash_table_ops *ops = *state;
	uint32_t capacity;

	for (capacity = HASH_TABLE_MIN; capacity <= HASH_TABLE_MAX; capacity *= 2) {
		struct hash_table *t = create(ops, capacity);

		assert_int_equal(ops->memory(t), port_fault_live_bytes());
		assert_true(ops->memory(t) <= 512 + (size_t)capacity * 20);
		ops->free(t);
	}
}

static void test_line_is_in_the_tables_memory(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 64);
	int i;

	for (i = 0; i < 1000; i++) {
		uint64_t hash = i ? core_random() : UINT64_MAX;
		const char *line = ops->line(t, hash);

		assert_true(line > (char *)t && line < (char *)t + ops->memory(t));
	}
	ops->free(t);
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
	ops->free(t);
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
	ops->free(t);
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
	ops->free(t);
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
	ops->free(t);
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
	ops->free(t);
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
		ops->free(t);
	}
}

/* What misses cost in all. */
static uint32_t cost_of_misses(const struct hash_table *t)
{
	uint64_t hash = 0, address;
	uint32_t probes = 0, calls = 0;

	for (; hash < UINT32_MAX; hash += UINT32_MAX / 5000)
		t->ops->find(t, hash, match_none, &calls, &address, &probes);
	return probes;
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
	ops->free(t);
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
	ops->free(t);
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
	ops->free(t);
}

static void test_equal_places_crowd_nobody_else_out(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, HASH_TABLE_MAX);

	model_start();
	while (model.n < 40000 && insert(t, core_random() << 32 | 77) == 0)
		;
	assert_true(model.n >= 8);
	check(t);
	assert_int_equal(insert(t, UINT64_C(0xc0000000)), 0);
	check(t);
	drain(t);
	check(t);
	ops->free(t);
}

static void test_run_goes_on_at_the_tables_beginning(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *t = create(ops, 256);
	uint32_t i;

	model_start();
	for (i = 0; i < 60; i++)
		insert(t, core_random() | (UINT32_MAX - (i % 3 << 25)));
	for (i = 0; i < 20; i++)
		insert(t, core_random() << 32 | (i % 2) << 25);
	assert_true(model.n >= 36);
	check(t);
	while (model.n) {
		remove_entry(t, model_any());
		check(t);
	}
	ops->free(t);
}

/* ---- splitting ---- */

static void test_walk_gives_hashes_that_stand_for_the_true_ones(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct hash_table *from = create(ops, 1024), *to = create(ops, 1024);
	uint32_t cursor = 0, i;
	struct hash_entry e;

	model_start();
	fill(from, 1000);
	while (from->ops->next(from, &cursor, &e))
		assert_int_equal(ops->insert(to, e.hash, e.address), 0);
	check(to);
	cursor = 0;
	while (from->ops->next(from, &cursor, &e)) {
		for (i = 0; model.entry[i].address != e.address; i++)
			;
		assert_int_equal(e.hash >> 48, model.entry[i].hash >> 48);
		assert_true(finds(from, e.hash, e.address));
	}
	drain(to);
	ops->free(from);
	ops->free(to);
}

/* ---- histories ---- */

enum mode { UNIFORM, FEW_PLACES, FEW_TAGS, FEW_HASHES, AT_THE_END, MODES };

static uint64_t random_hash(enum mode mode)
{
	uint64_t hash = core_random();

	switch (mode) {
	case FEW_PLACES:
		return (hash & ~(uint64_t)UINT32_MAX) | (hash & 7) << 26;
	case FEW_TAGS:
		return hash & ~(UINT64_C(0xfffe) << 32);
	case FEW_HASHES:
		return (hash & 3) * UINT64_C(0x55aa7733cc119944);
	case AT_THE_END:
		return hash | UINT64_C(0xf8000000);
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
	static const uint32_t capacity[] = { 16, 32, 128, 512 };
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
			ops->free(t);
		}
	}
}

/* ---- readers beside the writer ---- */

enum { READERS = 2, STABLE = 64, CHANGES = 6000 };

struct record {
	uint64_t hash; /* written before its address is in the table, never changed */
};

struct stage {
	struct hash_table *t;
	uint32_t version; /* atomic: odd while the writer changes the table */
	bool done;        /* atomic */
	struct record *record;
	uint64_t wrong, sure; /* atomic */
};

struct look {
	const struct stage *stage;
	uint64_t hash, strange;
};

static bool match_record(void *arg, uint64_t address)
{
	struct look *l = arg;

	if (address >= STABLE + CHANGES) {
		l->strange++;
		return false;
	}
	l->strange += l->stage->record[address].hash == 0;
	return l->stage->record[address].hash == l->hash;
}

/* One look for a key that is always there; with an unchanged version it must be found. */
static void look_once(struct stage *s, uint64_t number)
{
	struct look l = { .stage = s, .hash = s->record[number].hash };
	uint32_t before = port_load_acquire(&s->version), probes = 0;
	uint64_t address, got[16];
	size_t i, n;
	bool found;

	found = s->t->ops->find(s->t, l.hash, match_record, &l, &address, &probes);
	n = s->t->ops->candidates(s->t, l.hash, got, 16);
	for (i = 0; i < n; i++)
		match_record(&l, got[i]);
	/* Adding nothing, and not a load: a load could come before those of the table. */
	if (port_fetch_add(&s->version, 0) == before && before % 2 == 0) {
		port_fetch_add(&s->wrong, !found || address != number);
		port_fetch_add(&s->sure, 1);
	}
	port_fetch_add(&s->wrong, l.strange != 0 || probes > 255);
}

static void *look_for_stable_keys(void *arg)
{
	struct stage *s = arg;
	uint64_t i;
	bool done;

	do {
		done = port_load_acquire(&s->done);
		for (i = 0; i < STABLE; i++)
			look_once(s, i);
	} while (!done);
	return NULL;
}

/* Inserts record n in a table that has removed and replaced others to make room. */
static void change_once(struct stage *s, uint64_t *live, uint32_t *lives, uint64_t n)
{
	const struct hash_table_ops *ops = s->t->ops;
	uint32_t i = *lives ? (uint32_t)core_random_below(*lives) : 0;

	port_fetch_add(&s->version, 1);
	if (*lives && core_random_below(4) == 0) {
		s->record[n].hash = s->record[live[i]].hash;
		ops->replace(s->t, s->record[n].hash, live[i], n);
		live[i] = n;
	} else {
		s->record[n].hash = core_random() | 1;
		while (ops->insert(s->t, s->record[n].hash, n) == -ENOSPC) {
			i = (uint32_t)core_random_below(*lives);
			ops->remove(s->t, s->record[live[i]].hash, live[i]);
			live[i] = live[--*lives];
		}
		live[(*lives)++] = n;
	}
	port_fetch_add(&s->version, 1);
}

static void test_readers_beside_a_writer_find_what_is_there(void **state)
{
	const struct hash_table_ops *ops = *state;
	struct stage s = { .t = create(ops, 256) };
	pthread_t reader[READERS];
	uint64_t live[256], i;
	uint32_t lives = 0;

	s.record = port_alloc((STABLE + CHANGES) * sizeof(*s.record));
	assert_non_null(s.record);
	memset(s.record, 0, (STABLE + CHANGES) * sizeof(*s.record));
	for (i = 0; i < STABLE; i++) {
		s.record[i].hash = core_random() | 1;
		assert_int_equal(ops->insert(s.t, s.record[i].hash, i), 0);
	}
	for (i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&reader[i], NULL, look_for_stable_keys, &s), 0);
	for (i = STABLE; i < STABLE + CHANGES; i++)
		change_once(&s, live, &lives, i);
	port_store_release(&s.done, true);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(s.wrong, 0);
	assert_true(s.sure >= READERS * STABLE);
	assert_int_equal(s.t->count, STABLE + lives);
	port_free(s.record);
	ops->free(s.t);
}

#define ONE(label, test, ops)                                                        \
	{                                                                            \
		.name = label ": " #test, .test_func = test, .setup_func = set_up,   \
		.teardown_func = tear_down, .initial_state = (void *)(uintptr_t)&ops \
	}
#define EACH(test)                                              \
	ONE("chaining", test, hash_table_chaining),             \
		ONE("linear", test, hash_table_linear),         \
		ONE("robin-hood", test, hash_table_robin_hood), \
		ONE("cuckoo", test, hash_table_cuckoo),         \
		ONE("swiss", test, hash_table_swiss)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_strategy_is_found_by_its_name),
		EACH(test_create_refuses_capacity_that_is_no_power_of_two_or_out_of_range),
		EACH(test_create_without_memory_fails),
		EACH(test_memory_is_all_of_it_and_bounded),
		EACH(test_line_is_in_the_tables_memory),
		EACH(test_empty_table_finds_nothing),
		EACH(test_extreme_hashes_and_addresses_are_kept),
		EACH(test_match_decides_between_equal_hashes),
		EACH(test_replace_changes_one_entry),
		EACH(test_probes_are_added_up_and_bounded),
		EACH(test_random_hashes_fill_tables_of_all_sizes),
		EACH(test_drained_table_is_as_fast_as_a_new_one),
		EACH(test_tag_spares_nearly_all_misses_the_key),
		EACH(test_equal_hashes_end_in_no_space_and_spoil_nothing),
		EACH(test_equal_places_crowd_nobody_else_out),
		EACH(test_run_goes_on_at_the_tables_beginning),
		EACH(test_walk_gives_hashes_that_stand_for_the_true_ones),
		EACH(test_random_histories_agree_with_the_model),
		EACH(test_readers_beside_a_writer_find_what_is_there),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
