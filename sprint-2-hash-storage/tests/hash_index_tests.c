/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_index_tests.c - the index against a list that is simple enough to be right: find,
 * insert, replace, remove, splits, walks and witnesses, over each collision strategy; and
 * readers beside writers who split.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../hash_index.h"
#include "hash_table_each.h"

enum { MOST = 40000 };

struct model { /* keys by number: hash and address while it is in the index */
	uint64_t hash[MOST], address[MOST];
	bool in[MOST];
	size_t n;
};

struct stage {
	struct epoch *epoch;
	struct hash_index *ix;
	struct model m;
};

static struct stage *begin(const struct hash_table_ops *ops, uint32_t capacity,
			   unsigned int load, uint64_t expected)
{
	const struct hash_index_config c = { ops, capacity, load, expected };
	struct stage *s = port_alloc(sizeof(*s));

	assert_non_null(s);
	memset(s, 0, sizeof(*s));
	assert_int_equal(epoch_new(&s->epoch), 0);
	assert_int_equal(hash_index_new(&c, s->epoch, &s->ix), 0);
	return s;
}

static void end(struct stage *s)
{
	hash_index_free(s->ix);
	epoch_free(s->epoch);
	port_free(s);
}

/* ---- steps ---- */

static void lock(struct stage *s, uint64_t hash)
{
	hash_index_lock(s->ix, hash_index_shard(hash));
}

static void unlock(struct stage *s, uint64_t hash)
{
	hash_index_unlock(s->ix, hash_index_shard(hash));
}

/* Addresses name keys: address = key number * 8 + version, so that match can know. */
static uint64_t address_of(size_t key, uint64_t version)
{
	return (uint64_t)key * 8 + version % 8;
}

struct wanted {
	size_t key;
	unsigned int asked;
};

static bool match_key(void *arg, uint64_t address)
{
	struct wanted *w = arg;

	w->asked++;
	return address / 8 == w->key;
}

static bool find(struct stage *s, size_t key, uint64_t *address)
{
	struct wanted w = { .key = key };
	unsigned int slot = epoch_enter(s->epoch);
	bool found = hash_index_find(s->ix, s->m.hash[key], match_key, &w, address, NULL);

	epoch_leave(s->epoch, slot);
	return found;
}

static void put_hash(struct stage *s, uint64_t hash)
{
	size_t key = s->m.n++;

	assert_true(key < MOST);
	s->m.hash[key] = hash;
	s->m.address[key] = address_of(key, 0);
	s->m.in[key] = true;
	lock(s, hash);
	assert_int_equal(hash_index_insert(s->ix, hash, s->m.address[key]), 0);
	unlock(s, hash);
}

static void replace(struct stage *s, size_t key)
{
	uint64_t from = s->m.address[key], to = address_of(key, from % 8 + 1);
	bool done;

	lock(s, s->m.hash[key]);
	done = hash_index_replace(s->ix, s->m.hash[key], from, to);
	unlock(s, s->m.hash[key]);
	assert_int_equal(done, s->m.in[key]);
	if (done)
		s->m.address[key] = to;
}

static void take_out(struct stage *s, size_t key)
{
	bool done;

	lock(s, s->m.hash[key]);
	done = hash_index_remove(s->ix, s->m.hash[key], s->m.address[key]);
	unlock(s, s->m.hash[key]);
	assert_int_equal(done, s->m.in[key]);
	s->m.in[key] = false;
}

static void assert_key(struct stage *s, size_t key)
{
	struct wanted w = { .key = key };
	uint64_t address = 0, locked = 0, several[64];
	size_t n, i, met = 0;
	bool found = find(s, key, &address), found_locked;
	unsigned int slot;

	lock(s, s->m.hash[key]);
	found_locked =
		hash_index_find_locked(s->ix, s->m.hash[key], match_key, &w, &locked);
	assert_int_equal(hash_index_holds(s->ix, s->m.hash[key], s->m.address[key]),
			 s->m.in[key]);
	assert_false(hash_index_holds(s->ix, s->m.hash[key], s->m.address[key] ^ 1));
	unlock(s, s->m.hash[key]);
	assert_int_equal(found, s->m.in[key]);
	assert_int_equal(found_locked, s->m.in[key]);
	slot = epoch_enter(s->epoch);
	hash_index_prefetch(s->ix, s->m.hash[key]);
	n = hash_index_candidates(s->ix, s->m.hash[key], several, 64);
	epoch_leave(s->epoch, slot);
	for (i = 0; i < n; i++)
		met += several[i] == s->m.address[key];
	assert_int_equal(met, s->m.in[key]);
	if (!found)
		return;
	assert_int_equal(address, s->m.address[key]);
	assert_int_equal(locked, s->m.address[key]);
}

/* ---- walks ---- */

struct walk {
	struct stage *s;
	uint8_t met[MOST];
	size_t n;
};

static int meet(void *arg, const struct hash_entry *e)
{
	struct walk *w = arg;
	size_t key = e->address / 8;

	assert_true(key < w->s->m.n);
	assert_int_equal(e->hash >> 48, w->s->m.hash[key] >> 48);
	w->met[key]++;
	w->n++;
	return 0;
}

static struct walk *walk_all(struct stage *s)
{
	struct walk *w = port_alloc(sizeof(*w));
	uint32_t prefix = 0, before;

	assert_non_null(w);
	memset(w, 0, sizeof(*w));
	w->s = s;
	while (prefix < 1u << HASH_PREFIX_BITS) {
		before = prefix;
		assert_int_equal(hash_index_walk_leaf(s->ix, &prefix, meet, w), 0);
		assert_true(prefix > before);
	}
	assert_int_equal(prefix, 1u << HASH_PREFIX_BITS);
	return w;
}

static void assert_same(struct stage *s)
{
	struct hash_index_stats stats;
	struct walk *w = walk_all(s);
	size_t i, in = 0;

	for (i = 0; i < s->m.n; i++) {
		assert_key(s, i);
		assert_int_equal(w->met[i], s->m.in[i]);
		in += s->m.in[i];
	}
	assert_int_equal(w->n, in);
	hash_index_stats(s->ix, &stats);
	assert_int_equal(stats.entries, in);
	port_free(w);
}

/* ---- one thread ---- */

static void test_random_changes_leave_what_the_model_has(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	struct hash_index_stats stats;
	size_t i, key;

	for (i = 0; i < 12000; i++) {
		key = s->m.n ? core_random_below(s->m.n) : 0;
		switch (s->m.n < 10 ? 0 : core_random_below(4)) {
		case 0:
		case 1:
			put_hash(s, core_random());
			break;
		case 2:
			replace(s, key);
			break;
		default:
			take_out(s, key);
		}
		if (i % 3000 == 2999)
			assert_same(s);
	}
	hash_index_stats(s->ix, &stats);
	assert_true(stats.splits > HASH_SHARDS);
	assert_int_equal(stats.leaves, HASH_SHARDS + stats.splits);
	end(s);
}

/* Whatever grows, no operation moves more than one leaf's entries. */
static void test_longest_split_is_one_leaf(void **state)
{
	static const uint32_t capacity[] = { 16, 64, 256 };
	struct hash_index_stats stats;
	struct stage *s;
	size_t i, k;

	for (k = 0; k < 3; k++) {
		s = begin(*state, capacity[k], 90, 0);
		for (i = 0; i < 20000; i++)
			put_hash(s, core_random());
		hash_index_stats(s->ix, &stats);
		assert_int_equal(stats.entries, 20000);
		assert_true(stats.splits > 0);
		assert_in_range(stats.longest_split_entries, 1, capacity[k]);
		end(s);
	}
}

static void test_expected_entries_are_placed_without_a_split(void **state)
{
	struct stage *s = begin(*state, 256, 100, 20000);
	struct hash_index_stats before, after;
	size_t i;

	hash_index_stats(s->ix, &before);
	for (i = 0; i < 20000; i++)
		put_hash(s, core_random());
	hash_index_stats(s->ix, &after);
	/* Cuckoo and robin hood may refuse a hash before the leaf is full. */
	assert_in_range(after.splits, 0, before.leaves / 8);
	assert_same(s);
	end(s);
}

static void test_equal_hashes_are_told_apart_by_match(void **state)
{
	struct stage *s = begin(*state, 64, 100, 0);
	size_t i;

	for (i = 0; i < 6; i++)
		put_hash(s, 0x0123456789abcdefull);
	for (i = 0; i < 6; i++)
		put_hash(s, 0x0123456789abcdefull ^ 1ull << 40); /* another tag */
	for (i = 0; i < 500; i++)
		put_hash(s, core_random());
	replace(s, 3);
	take_out(s, 2);
	replace(s, 2);
	take_out(s, 2);
	assert_same(s);
	end(s);
}

/* More equal hashes than any leaf can hold: an error, and the index goes on. */
static void test_too_many_equal_hashes_are_refused_and_harm_nobody(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	const uint64_t hash = 0xfedcba9876543210ull;
	int error = 0;
	size_t i, n;

	for (i = 0; i < 300; i++)
		put_hash(s, core_random());
	lock(s, hash);
	for (n = 0; n < 1000 && !error; n++)
		error = hash_index_insert(s->ix, hash, address_of(MOST + n, 0));
	for (i = 0; i + 1 < n; i++)
		assert_true(hash_index_remove(s->ix, hash, address_of(MOST + i, 0)));
	unlock(s, hash);
	assert_int_equal(error, -ENOSPC);
	assert_same(s);
	for (i = 0; i < 300; i++)
		put_hash(s, core_random());
	assert_same(s);
	end(s);
}

static void test_entries_are_met_once_though_leaves_split_meanwhile(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	struct walk *w = port_alloc(sizeof(*w));
	uint32_t prefix = 0;
	size_t i, there;

	assert_non_null(w);
	for (i = 0; i < 1000; i++)
		put_hash(s, core_random());
	there = s->m.n;
	memset(w, 0, sizeof(*w));
	w->s = s;
	while (prefix < 1u << HASH_PREFIX_BITS) {
		assert_int_equal(hash_index_walk_leaf(s->ix, &prefix, meet, w), 0);
		for (i = 0; i < 40; i++)
			put_hash(s, core_random());
		replace(s, core_random_below(there));
	}
	for (i = 0; i < there; i++)
		assert_int_equal(w->met[i], 1);
	for (; i < s->m.n; i++)
		assert_in_range(w->met[i], 0, 1);
	port_free(w);
	end(s);
}

static int stop_at_third(void *arg, const struct hash_entry *e)
{
	(void)e;
	return ++*(int *)arg == 3 ? -EINTR : 0;
}

static void test_walk_ends_with_what_the_callback_says(void **state)
{
	struct stage *s = begin(*state, 64, 100, 0);
	uint32_t prefix = 0;
	int n = 0, error = 0;
	size_t i;

	for (i = 0; i < 500; i++)
		put_hash(s, core_random());
	while (!error && prefix < 1u << HASH_PREFIX_BITS)
		error = hash_index_walk_leaf(s->ix, &prefix, stop_at_third, &n);
	assert_int_equal(error, -EINTR);
	assert_int_equal(n, 3);
	end(s);
}

/* ---- witnesses ---- */

static struct hash_witness look(struct stage *s, size_t key)
{
	struct wanted w = { .key = key };
	struct hash_witness witness;
	uint64_t address;

	(void)hash_index_find(s->ix, s->m.hash[key], match_key, &w, &address, &witness);
	return witness;
}

static void test_witness_holds_until_its_leaf_changes(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	unsigned int slot = epoch_enter(s->epoch);
	struct hash_witness w;
	size_t i;

	for (i = 0; i < 4; i++)
		put_hash(s, 0x1000000000000000ull + (i << 20));
	w = look(s, 0);
	assert_true(hash_witness_holds(&w));
	put_hash(s, 0xf000000000000000ull); /* elsewhere */
	assert_true(hash_witness_holds(&w));
	replace(s, 1);
	assert_false(hash_witness_holds(&w));
	w = look(s, 0);
	take_out(s, 1);
	assert_false(hash_witness_holds(&w));
	w = look(s, 1); /* of an absence, too */
	put_hash(s, 0x1000000000000000ull + (9 << 20));
	assert_false(hash_witness_holds(&w));
	/* A split leaves the old leaf behind for good. */
	w = look(s, 0);
	while (hash_witness_holds(&w))
		put_hash(s, 0x1000000000000000ull + (core_random() >> 8));
	epoch_leave(s->epoch, slot);
	end(s);
}

static void test_witness_of_a_split_leaf_never_holds_again(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	unsigned int slot = epoch_enter(s->epoch);
	struct hash_index_stats stats;
	struct hash_witness w;

	put_hash(s, 0x2000000000000000ull);
	do {
		w = look(s, 0);
		put_hash(s, 0x2000000000000000ull | core_random() >> 6);
		hash_index_stats(s->ix, &stats);
	} while (!stats.splits);
	assert_false(hash_witness_holds(&w));
	w = look(s, 0);
	assert_true(hash_witness_holds(&w));
	epoch_leave(s->epoch, slot);
	end(s);
}

/* ---- no memory ---- */

static void test_no_memory_at_any_allocation_leaves_the_index_as_it_was(void **state)
{
	const struct hash_index_config c = { *state, 16, 100, 0 };
	struct stage *s = begin(*state, 16, 100, 0);
	struct hash_index *other;
	uint64_t hash, nth;
	size_t i, failed = 0;
	int error;

	for (i = 0; i < 1500; i++) {
		hash = core_random();
		port_fault_set(1, false);
		lock(s, hash);
		error = hash_index_insert(s->ix, hash, address_of(s->m.n, 0));
		unlock(s, hash);
		port_fault_set(0, false);
		if (error) {
			assert_int_equal(error, -ENOMEM);
			failed++;
			put_hash(s, hash);
			continue;
		}
		s->m.hash[s->m.n] = hash;
		s->m.address[s->m.n] = address_of(s->m.n, 0);
		s->m.in[s->m.n++] = true;
	}
	assert_true(failed > 20);
	assert_same(s);
	for (nth = 1;; nth++) {
		port_fault_set(nth, true);
		error = hash_index_new(&c, s->epoch, &other);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
	}
	port_fault_set(0, false);
	assert_true(nth > HASH_SHARDS);
	hash_index_free(other);
	end(s);
}

/* ---- memory ---- */

enum { BYTES_A_PAIR = 24, BYTES_FROM = 100000, BYTES_TO = 1200000, BYTES_LEAF = 3584 };

/* Not only on average: were all leaves to split at the same time, it would be 27 then. The
 * largest count crosses into where memory comes by the huge page. */
static void test_entry_takes_at_most_24_bytes_at_every_count(void **state)
{
	const struct hash_index_config c = { *state, BYTES_LEAF, 100, 0 };
	uint64_t to = test_draws(BYTES_TO), next = BYTES_FROM, i, hash;
	struct hash_index_stats stats;
	struct hash_index *ix;
	struct epoch *epoch;

	if (to < 4 * BYTES_FROM) /* two doublings at least */
		to = 4 * BYTES_FROM;
	assert_int_equal(epoch_new(&epoch), 0);
	assert_int_equal(hash_index_new(&c, epoch, &ix), 0);
	for (i = 1; i <= to; i++) {
		hash = core_random();
		hash_index_lock(ix, hash_index_shard(hash));
		assert_int_equal(hash_index_insert(ix, hash, i), 0);
		hash_index_unlock(ix, hash_index_shard(hash));
		if (i < next)
			continue;
		next += next / 64;
		hash_index_stats(ix, &stats);
		assert_int_equal(stats.entries, i);
		assert_in_range(stats.bytes, i * sizeof(uint64_t), i * BYTES_A_PAIR);
	}
	hash_index_free(ix);
	epoch_free(epoch);
}

/* ---- readers beside writers ---- */

enum { READERS = 2, STABLE = 400, GROWN = 12000, WRITERS = 2 };

struct race {
	struct stage *s;
	bool done;                    /* atomic */
	uint64_t wrong, looked, held; /* atomic */
	size_t first;                 /* a writer's own keys */
};

/* Keys that are always there are found, whatever splits; what a witness confirms is true. */
static void *read_stable(void *arg)
{
	struct race *r = arg;
	struct stage *s = r->s;
	bool done;
	size_t i;

	do {
		done = port_load_acquire(&r->done);
		for (i = 0; i < STABLE; i++) {
			struct wanted w = { .key = i }, never = { .key = MOST + 1 };
			struct hash_witness witness;
			unsigned int slot = epoch_enter(s->epoch);
			uint64_t address;
			bool found = hash_index_find(s->ix, s->m.hash[i], match_key, &w,
						     &address, &witness);

			port_fetch_add(&r->wrong, !found || address / 8 != i);
			port_fetch_add(&r->held, hash_witness_holds(&witness));
			port_fetch_add(&r->wrong,
				       hash_index_find(s->ix, s->m.hash[i], match_key,
						       &never, &address, NULL));
			epoch_leave(s->epoch, slot);
		}
		port_fetch_add(&r->looked, 1);
	} while (!done);
	return NULL;
}

/* Each writer inserts keys of its own, replaces stable ones of its half, removes some. */
static void *write_and_split(void *arg)
{
	struct race *r = arg;
	struct stage *s = r->s;
	uint64_t rng = r->first * 0x9e3779b97f4a7c15u + 1, hash;
	size_t i, stable;

	for (i = 0; i < GROWN / WRITERS; i++) {
		size_t key = r->first + i;

		lock(s, s->m.hash[key]);
		port_fetch_add(&r->wrong, hash_index_insert(s->ix, s->m.hash[key],
							    address_of(key, 0)) != 0);
		if (i % 5 == 0)
			port_fetch_add(&r->wrong,
				       !hash_index_remove(s->ix, s->m.hash[key],
							  address_of(key, 0)));
		unlock(s, s->m.hash[key]);
		rng = rng * 6364136223846793005u + 1442695040888963407u;
		stable = (rng >> 33) % STABLE;
		hash = s->m.hash[stable];
		lock(s, hash);
		port_fetch_add(&r->wrong,
			       !hash_index_replace(s->ix, hash, s->m.address[stable],
						   address_of(stable, rng >> 20)));
		s->m.address[stable] = address_of(stable, rng >> 20);
		unlock(s, hash);
	}
	return NULL;
}

static void test_readers_find_what_is_there_while_writers_split(void **state)
{
	struct stage *s = begin(*state, 16, 100, 0);
	struct race r = { .s = s }, w[WRITERS];
	pthread_t reader[READERS], writer[WRITERS];
	struct hash_index_stats stats;
	size_t i;

	for (i = 0; i < STABLE; i++)
		put_hash(s, core_random());
	for (i = STABLE; i < STABLE + GROWN; i++)
		s->m.hash[i] = core_random();
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, read_stable, &r), 0);
	for (i = 0; i < WRITERS; i++) {
		w[i] = (struct race){ .s = s, .first = STABLE + i * GROWN / WRITERS };
		assert_int_equal(pthread_create(&writer[i], NULL, write_and_split, &w[i]),
				 0);
	}
	for (i = 0; i < WRITERS; i++) {
		pthread_join(writer[i], NULL);
		assert_int_equal(w[i].wrong, 0);
	}
	port_store_release(&r.done, true);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(r.wrong, 0);
	assert_true(r.looked >= READERS);
	assert_true(r.held > 0);
	hash_index_stats(s->ix, &stats);
	assert_int_equal(stats.entries, STABLE + GROWN - GROWN / 5);
	assert_true(stats.splits > 100);
	end(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_random_changes_leave_what_the_model_has),
		EACH(test_longest_split_is_one_leaf),
		EACH(test_expected_entries_are_placed_without_a_split),
		EACH(test_equal_hashes_are_told_apart_by_match),
		EACH(test_too_many_equal_hashes_are_refused_and_harm_nobody),
		EACH(test_entries_are_met_once_though_leaves_split_meanwhile),
		EACH(test_walk_ends_with_what_the_callback_says),
		EACH(test_witness_holds_until_its_leaf_changes),
		EACH(test_witness_of_a_split_leaf_never_holds_again),
		EACH(test_no_memory_at_any_allocation_leaves_the_index_as_it_was),
		WITH("swiss", test_entry_takes_at_most_24_bytes_at_every_count,
		     hash_table_swiss),
		EACH(test_readers_find_what_is_there_while_writers_split),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
