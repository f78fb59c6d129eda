/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_thread_tests.c - readers beside the writer: what they find was put there, and
 * with a version around it their answer is the right one.
 */
#include "hash_table_each.h"

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
	hash_table_free(s.t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_readers_beside_a_writer_find_what_is_there),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
