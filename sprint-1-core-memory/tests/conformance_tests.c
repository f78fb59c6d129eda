/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * conformance_tests.c - the array engine keeps to kv.h; and tests of the testers: engines
 * that break one rule each are caught, engines that break none are not, and a failing
 * history is shrunk to its core.
 */
#include "../array_engine.h"
#include "kv_conformance.h"
#include "kv_history.h"
#include "mutant_engine.h"
#include "scratch.h"

static struct kv_target target_of(const struct kv_ops *ops)
{
	return (struct kv_target){
		.ops = ops,
		.scratch = scratch,
		.remove_store = ops == &array_engine ? NULL : mutant_remove_store,
		.huge_value = ops == &array_engine ? 0 : 1 << 20,
	};
}

static void expect_conformance(const struct kv_ops *ops, unsigned int skipped)
{
	struct kv_target t = target_of(ops);
	struct kv_report r = { .out = stdout };

	assert_int_equal(kv_conformance(&t, &r), 0);
	assert_int_equal(r.failed, 0);
	assert_true(r.passed > 30);
	assert_int_equal(r.skipped, skipped);
}

static void expect_histories(const struct kv_ops *ops, unsigned int histories)
{
	struct kv_target t = target_of(ops);
	struct kv_report r = { .out = stdout };
	struct kv_history_config c = {
		.seed = kv_history_seed(0x5eed0001),
		.histories = histories,
		.reopen = true,
	};

	printf("# KV_SEED=0x%llx\n", (unsigned long long)c.seed);
	assert_int_equal(kv_history_run(&t, &c, &r), 0);
	assert_int_equal(r.passed, histories);
}

/* ---- engines that are right ---- */

static void test_array_engine_conforms(void **state)
{
	(void)state;
	expect_conformance(&array_engine, 11); /* persistence and backup */
}

static void test_array_engine_follows_histories(void **state)
{
	(void)state;
	expect_histories(&array_engine, 20);
}

static void test_engine_with_every_capability_conforms(void **state)
{
	(void)state;
	expect_conformance(mutant_engine(MUTANT_NONE, MUTANT_FULL), 0);
	expect_histories(mutant_engine(MUTANT_NONE, MUTANT_FULL), 20);
}

static void test_unordered_engine_conforms(void **state)
{
	(void)state;
	expect_conformance(mutant_engine(MUTANT_NONE, MUTANT_UNORDERED), 10);
	expect_histories(mutant_engine(MUTANT_NONE, MUTANT_UNORDERED), 20);
}

/* The suite itself writes under no cursor where that is not promised. */
static void test_locking_engine_conforms(void **state)
{
	(void)state;
	expect_conformance(mutant_engine(MUTANT_NONE, MUTANT_LOCKING), 15);
	expect_histories(mutant_engine(MUTANT_NONE, MUTANT_LOCKING), 20);
}

static void test_bare_engine_conforms(void **state)
{
	(void)state;
	expect_conformance(mutant_engine(MUTANT_NONE, MUTANT_BARE), 48);
	expect_histories(mutant_engine(MUTANT_NONE, MUTANT_BARE), 20);
}

/* ---- engines that are wrong ---- */

struct planted {
	enum mutant mutant;
	const char *name;
	const char *check; /* of kv_conformance, that must catch it */
	bool history;      /* histories must catch it too */
	enum mutant_shape shape;
};

#define PLANTED(mutant, check, history)                      \
	{                                                    \
		mutant, #mutant, check, history, MUTANT_FULL \
	}

static const struct planted planted[] = {
	PLANTED(FORGETS_DELETE, "delete_removes", true),
	PLANTED(FORGETS_DELETE_IN_BATCH, "batch_keeps_its_order", true),
	PLANTED(IGNORES_OVERWRITE, "overwrite_replaces", true),
	PLANTED(KEEPS_TAIL_OF_LONGER_VALUE, "overwrite_replaces", true),
	PLANTED(CUTS_LARGE_VALUES, "values_of_many_lengths", true),
	PLANTED(LOSES_EMPTY_VALUES, "empty_value_is_a_value", true),
	PLANTED(LOSES_EMPTY_KEY, "empty_key_is_a_key", true),
	PLANTED(ENDS_KEYS_AT_NUL, "bytes_are_bytes", true),
	PLANTED(CUTS_LONGEST_KEYS, "longest_keys_are_keys", false),
	PLANTED(COMPARES_SIGNED, "single_bytes_are_keys", true),
	PLANTED(COMPARES_LONGER_FIRST, "prefixes_are_keys", true),
	PLANTED(KEEPS_POINTERS, "arguments_are_borrowed", false),
	PLANTED(MISS_LEAVES_LENGTH, "miss_empties_the_value", true),
	PLANTED(MISS_IS_NO_ERROR, "put_is_got", true),
	PLANTED(DELETE_OF_ABSENT_FAILS, "delete_of_absent_is_no_error", true),
	PLANTED(MULTI_GET_LOSES_LAST, "multi_get_mixes_hits_and_misses", true),
	PLANTED(MULTI_GET_FORGETS_SNAPSHOT, "multi_get_reads_a_snapshot", true),
	PLANTED(BATCH_IN_REVERSE, "batch_keeps_its_order", true),
	PLANTED(BATCH_STOPS_HALFWAY, "batch_takes_any_bytes", true),
	PLANTED(BATCH_SEEN_IN_PARTS, "batches_are_seen_whole", false),
	PLANTED(BATCH_FAILS_HALFWAY, "batch_may_be_large", false),
	PLANTED(RANGE_INCLUDES_END, "range_is_half_open", true),
	PLANTED(RANGE_WITHOUT_END_IS_EMPTY, "range_may_have_no_end", true),
	PLANTED(RANGE_EMPTY_END_IS_NO_END, "range_may_be_empty", true),
	PLANTED(RANGE_COMES_LAST_IN_BATCH, "range_in_a_batch_keeps_its_place", true),
	PLANTED(REFUSES_SYNC_WRITES, "durability_levels", true),
	PLANTED(SEEK_IS_GREATER_THAN, "seek_finds_the_first_not_less", true),
	PLANTED(SEEK_IGNORES_PLACE_OUTSIDE, "ends_lead_outside", true),
	PLANTED(SKIPS_AFTER_TURN, "direction_may_change_anywhere", true),
	PLANTED(NEW_PREV_IS_FIRST, "new_cursor_stands_outside", true),
	PLANTED(STAYS_PAST_THE_END, "ends_lead_outside", true),
	PLANTED(BLOCK_IGNORES_ITS_LIMIT, "blocks_hold_what_next_shows", false),
	PLANTED(BLOCK_PASSES_WHAT_HAS_NO_ROOM, "blocks_hold_what_next_shows", false),
	PLANTED(CURSOR_SEES_WRITES, "cursor_is_stable_while_the_store_changes", true),
	PLANTED(CURSOR_AS_OLD_AS_FIRST_MOVE, "cursor_is_as_old_as_its_creation", true),
	PLANTED(SNAPSHOT_SEES_LATER_PUTS, "snapshot_sees_the_old_state", true),
	PLANTED(RELEASE_SPOILS_OTHERS, "many_snapshots_in_any_order", true),
	PLANTED(COMPACT_SPOILS_SNAPSHOTS, "snapshots_outlast_changes", true),
	PLANTED(COMPACT_RESURRECTS, "deleted_stays_deleted", true),
	PLANTED(SYNC_LOSES, "sync_and_compact_are_harmless", true),
	PLANTED(VERIFY_CRIES_WOLF, "verify_finds_a_healthy_store_healthy", true),
	PLANTED(STATS_REPEAT, "stats_have_names", false),
	PLANTED(RECOVERY_NEVER_CLEAN, "clean_store_needs_no_recovery", false),
	PLANTED(REOPEN_LOSES_LAST, "reopen_finds_the_last_write", true),
	PLANTED(REOPEN_LOSES_DELETES, "reopen_finds_the_last_write", true),
	PLANTED(OPENS_TWICE, "open_elsewhere_is_busy", false),
	PLANTED(OPEN_SPOILS_OUT, "open_elsewhere_is_busy", false),
	PLANTED(MAKES_PARENTS, "open_without_parent_is_refused", false),
	PLANTED(BACKUP_MISSES_NEWEST, "backup_is_a_store", true),
	PLANTED(BACKUP_OF_NO_MOMENT, "backup_while_writing", false),
	PLANTED(BACKUP_SHARES_STORE, "backup_is_a_store", false),
	PLANTED(PUT_AFTER_DELETE_IS_LOST, "delete_removes", true),
	{ UNORDERED_REPEATS, "UNORDERED_REPEATS", "cursor_yields_every_pair_once", true,
	  MUTANT_UNORDERED },
	{ UNORDERED_LOSES_ONE, "UNORDERED_LOSES_ONE", "cursor_yields_every_pair_once",
	  true, MUTANT_UNORDERED },
};

enum { PLANTED_N = sizeof(planted) / sizeof(planted[0]) };

_Static_assert(PLANTED_N == MUTANTS - 1, "every mutant is planted");

static void test_each_mutant_is_caught_by_its_check(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < PLANTED_N; i++) {
		const struct planted *p = &planted[i];
		struct kv_target t = target_of(mutant_engine(p->mutant, p->shape));
		struct kv_report r = { .only = p->check };
		char *text = NULL;
		size_t len;

		r.out = open_memstream(&text, &len);
		assert_non_null(r.out);
		kv_conformance(&t, &r);
		fclose(r.out);
		if (r.failed != 1)
			fail_msg("%s was not caught by %s", p->name, p->check);
		/* A complaint is one line: name, where, what was expected, what came. */
		assert_int_equal(strncmp(text, "not ok ", 7), 0);
		assert_int_equal(strncmp(text + 7, p->check, strlen(p->check)), 0);
		assert_non_null(strstr(text, "kv_conformance"));
		assert_non_null(strstr(text, ".c:"));
		assert_non_null(strstr(text, "expected "));
		assert_non_null(strstr(text, "came "));
		assert_ptr_equal(strchr(text, '\n'), text + len - 1);
		printf("# %-27s %s", p->name, text);
		free(text);
	}
}

static void test_mutants_are_caught_by_histories(void **state)
{
	struct kv_history_config c = {
		.seed = 0x5eed0002,
		.histories = 30,
		.reopen = true,
		.shrink_ms = 1,
	};
	unsigned int caught = 0;
	size_t i;

	(void)state;
	for (i = 0; i < PLANTED_N; i++) {
		const struct planted *p = &planted[i];
		struct kv_target t = target_of(mutant_engine(p->mutant, p->shape));
		struct kv_report r = { .out = NULL };

		if (!p->history)
			continue;
		kv_history_run(&t, &c, &r);
		if (r.failed != 1)
			fail_msg("%s was not caught by %u histories", p->name,
				 c.histories);
		caught++;
	}
	printf("# histories caught %u of %u mutants\n", caught, (unsigned int)PLANTED_N);
	assert_true(caught >= 25);
}

/* ---- shrinking ---- */

/* The text of a report on mutant's first failing history; the caller frees it. */
static char *failing_history(enum mutant mutant, uint64_t seed, unsigned int shrink_ms)
{
	struct kv_history_config c = {
		.seed = seed,
		.histories = 50,
		.steps = 400,
		.shrink_ms = shrink_ms,
	};
	struct kv_target t = target_of(mutant_engine(mutant, MUTANT_FULL));
	struct kv_report r = { 0 };
	char *text = NULL;
	size_t len;

	r.out = open_memstream(&text, &len);
	assert_non_null(r.out);
	assert_int_equal(kv_history_run(&t, &c, &r), 1);
	fclose(r.out);
	assert_int_equal(r.failed, 1);
	return text;
}

/* Lines of the shortest history: "#   1  put ...". */
static unsigned int count_steps(const char *text)
{
	unsigned int n = 0;

	for (; text; text = strchr(text + 1, '\n')) {
		unsigned int number;
		char word;

		if (sscanf(text, " # %u %c", &number, &word) == 2)
			assert_int_equal(number, ++n);
	}
	return n;
}

static void test_shrink_two_step_bug_to_at_most_four_steps(void **state)
{
	static const enum mutant mutants[] = { PUT_AFTER_DELETE_IS_LOST,
					       IGNORES_OVERWRITE, COMPACT_RESURRECTS,
					       SEEK_IS_GREATER_THAN };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(mutants) / sizeof(mutants[0]); i++) {
		char *text = failing_history(mutants[i], 0x5eed0003 + i, 10000);

		printf("%s", text);
		assert_in_range(count_steps(text), 1, 4);
		assert_non_null(strstr(text, "replay with KV_SEED=0x"));
		free(text);
	}
}

static void test_history_is_a_function_of_its_seed(void **state)
{
	char *one = failing_history(CUTS_LARGE_VALUES, 0x5eed0009, 1);
	char *two = failing_history(CUTS_LARGE_VALUES, 0x5eed0009, 1);
	char *other = failing_history(CUTS_LARGE_VALUES, 0x5eed0077, 1);
	size_t line = strcspn(one, "\n");
	char *seed;

	(void)state;
	assert_int_equal(strncmp(one, two, line + 1), 0);
	assert_int_not_equal(strncmp(one, other, line + 1), 0);
	/* The printed seed fails at once, and in the same way. */
	seed = strstr(one, "KV_SEED=");
	assert_non_null(seed);
	free(two);
	two = failing_history(CUTS_LARGE_VALUES, strtoull(seed + 8, NULL, 16), 1);
	assert_int_equal(strncmp(one, two, line + 1), 0);
	free(one);
	free(two);
	free(other);
}

static void test_seed_comes_from_the_environment(void **state)
{
	const char *was = getenv("KV_SEED");
	char *kept = was ? strdup(was) : NULL;

	(void)state;
	unsetenv("KV_SEED");
	assert_int_equal(kv_history_seed(7), 7);
	setenv("KV_SEED", "0xabc", 1);
	assert_int_equal(kv_history_seed(7), 0xabc);
	setenv("KV_SEED", "123", 1);
	assert_int_equal(kv_history_seed(7), 123);
	setenv("KV_SEED", "12 monkeys", 1);
	assert_int_equal(kv_history_seed(7), 7);
	if (kept)
		setenv("KV_SEED", kept, 1);
	else
		unsetenv("KV_SEED");
	free(kept);
}

/* ---- the report ---- */

static void test_report_is_quiet_unless_verbose(void **state)
{
	struct kv_target t = target_of(&array_engine);
	struct kv_report quiet = { .only = "put_is_got" };
	struct kv_report verbose = { .only = "put_is_got", .verbose = true };
	struct kv_report skip = { .only = "backup_of_nothing", .verbose = true };
	struct kv_report *all[] = { &quiet, &verbose, &skip };
	static const char *const want[] = {
		"", "ok put_is_got\n", "skip backup_of_nothing: array has no backups\n"
	};
	size_t i, len;

	(void)state;
	for (i = 0; i < 3; i++) {
		char *text = NULL;

		all[i]->out = open_memstream(&text, &len);
		assert_non_null(all[i]->out);
		assert_int_equal(kv_conformance(&t, all[i]), 0);
		fclose(all[i]->out);
		assert_string_equal(text, want[i]);
		free(text);
	}
	assert_int_equal(quiet.passed, 1);
	assert_int_equal(skip.skipped, 1);
}

static void test_lenient_target_skips_what_it_cannot(void **state)
{
	struct kv_target t = target_of(mutant_engine(OPENS_TWICE, MUTANT_FULL));
	struct kv_report r = { .only = "open_elsewhere_is_busy" };

	(void)state;
	t.lenient = KV_LENIENT_BUSY;
	assert_int_equal(kv_conformance(&t, &r), 0);
	assert_int_equal(r.skipped, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_array_engine_conforms),
		cmocka_unit_test(test_array_engine_follows_histories),
		cmocka_unit_test(test_engine_with_every_capability_conforms),
		cmocka_unit_test(test_unordered_engine_conforms),
		cmocka_unit_test(test_locking_engine_conforms),
		cmocka_unit_test(test_bare_engine_conforms),
		cmocka_unit_test(test_each_mutant_is_caught_by_its_check),
		cmocka_unit_test(test_mutants_are_caught_by_histories),
		cmocka_unit_test(test_shrink_two_step_bug_to_at_most_four_steps),
		cmocka_unit_test(test_history_is_a_function_of_its_seed),
		cmocka_unit_test(test_seed_comes_from_the_environment),
		cmocka_unit_test(test_report_is_quiet_unless_verbose),
		cmocka_unit_test(test_lenient_target_skips_what_it_cannot),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
