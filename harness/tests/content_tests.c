/* SPDX-License-Identifier: MIT */
/*
 * content_tests.c - what a store holds after a run is what the oracle expects, and who
 * lies about what it stores is caught, with the key named.
 */
#include "planted_engine.h"

static void test_updates_of_single_fields_leave_what_the_oracle_expects(void **state)
{
	static const char *const checked[] = { "dataintegrity=false",
					       "dataintegrity=true" };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct run_config c =
			MAKE("f", "recordcount=200", "operationcount=900", "fieldcount=5",
			     "fieldlength=20", "writeallfields=false", checked[i % 2]);
		struct run_result r;

		c.threads = i < 2 ? 1 : 3;
		run_ok(&c, &r);
		if (r.content != (i < 2 ? CONTENT_EQUAL : CONTENT_PLAUSIBLE))
			fail_msg("%s with %u threads: %s", checked[i % 2], c.threads,
				 r.content_note);
		run_result_free(&r);
	}
}

static void test_every_workload_leaves_what_the_oracle_expects(void **state)
{
	const char *name;
	size_t i;

	(void)state;
	for (i = 0; (name = workload_preset_name(i)); i++) {
		struct run_config c = MAKE(name, "recordcount=300", "operationcount=900");
		struct run_result r;
		uint32_t threads;

		for (threads = 1; threads <= 3; threads += 2) {
			c.threads = threads;
			run_ok(&c, &r);
			if (r.content !=
			    (threads == 1 ? CONTENT_EQUAL : CONTENT_PLAUSIBLE))
				fail_msg("%s with %u threads: %s", name, threads,
					 r.content_note);
			assert_int_equal(r.run.ops, 900);
			run_result_free(&r);
		}
	}
}

/* ---- lies ---- */

static const struct {
	const char *name;
	enum lie lie;
	bool deletes, names_key;
} lies[] = {
	{ "loses updates", LOSES_UPDATES, false, true },
	{ "drops deletes", DROPS_DELETES, true, true },
	{ "flips a bit", FLIPS_A_BIT, false, true },
	{ "cuts a byte", CUTS_A_BYTE, false, true },
	{ "resurrects", RESURRECTS, true, true },
	{ "stale gets", GETS_STALE, false, true },
	{ "stale cursors", CURSORS_STALE, false, false },
	{ "ghost", GHOST, false, false },
};

static void expect_caught(const struct run_config *c, size_t i)
{
	struct run_result r;
	char *key = strndup(plant.key, plant.key_len);

	assert_non_null(key);
	run_ok(c, &r);
	if (r.content != CONTENT_DIFFERENT)
		fail_msg("%s with %u threads is believed (%s)", lies[i].name, c->threads,
			 r.content_note);
	if (lies[i].names_key && !strstr(r.content_note, key))
		fail_msg("%s: \"%s\" does not name %s", lies[i].name, r.content_note,
			 key);
	if (!lies[i].names_key && !strstr(r.content_note, "a cursor sees"))
		fail_msg("%s: \"%s\"", lies[i].name, r.content_note);
	free(key);
	run_result_free(&r);
}

/* The key is one of a hundred, so that a thousand operations surely write it. */
static void test_each_lie_is_caught_and_named(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
		struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000",
					   "requestdistribution=uniform");
		size_t k = i / 2;

		c.threads = 1 + i % 2;
		if (lies[k].deletes) {
			c.workload.proportion[OP_UPDATE] = 0;
			c.workload.proportion[OP_DELETE] = 0.5;
		}
		setup(NULL);
		plant.key_len = record_key(&c.workload, 37, plant.key);
		plant.lie = lies[k].lie;
		expect_caught(&c, k);
	}
}

static void test_note_says_what_stands_where_the_last_write_should(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000",
				   "requestdistribution=uniform");
	struct run_result r;

	(void)state;
	plant.key_len = record_key(&c.workload, 37, plant.key);
	plant.lie = LOSES_UPDATES;
	run_ok(&c, &r);
	assert_non_null(strstr(r.content_note, "came what the load wrote"));
	run_result_free(&r);
}

static void test_lie_that_dataintegrity_sees_ends_the_run(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=1000",
				   "fieldlength=50", "dataintegrity=true");
	struct run_result r;

	(void)state;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_EQUAL);
	run_result_free(&r);
	plant.lie = READS_FLIP_A_BIT;
	run_fails(&c, -EBADMSG, "plant: read of keynum ",
		  "value that came back is not one that was written");
}

static void test_finding_what_was_never_written_ends_the_run(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=100",
				   "readproportion=0", "readmissingproportion=1");

	(void)state;
	plant.lie = FINDS_ANYTHING;
	run_fails(&c, -EBADMSG, "plant: read_missing of keynum ",
		  "found that nobody ever wrote");
}

static void test_engine_without_cursors_is_asked_for_every_key(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	plant_ops.caps &= ~(unsigned int)(KV_CAP_CURSOR | KV_CAP_ORDERED);
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_EQUAL);
	assert_non_null(strstr(r.content_note, "no cursor"));
	assert_int_equal(r.content_records, 100);
	assert_int_equal(plant.cursors, 0);
	run_result_free(&r);
	plant.key_len = record_key(&c.workload, 0, plant.key);
	plant.lie = FLIPS_A_BIT;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_DIFFERENT);
	run_result_free(&r);
}

static void test_null_engine_and_unasked_content_are_not_judged(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	c.check_content = false;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_string_equal(r.content_note, "not asked for");
	assert_true(r.live_bytes > 0);
	run_result_free(&r);
	c.check_content = true;
	c.engine = engines_find("null");
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_non_null(strstr(r.content_note, "keeps nothing"));
	assert_int_equal(r.run.ops, 1000);
	run_result_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_workload_leaves_what_the_oracle_expects),
		TEST(test_updates_of_single_fields_leave_what_the_oracle_expects),
		TEST(test_each_lie_is_caught_and_named),
		TEST(test_note_says_what_stands_where_the_last_write_should),
		TEST(test_lie_that_dataintegrity_sees_ends_the_run),
		TEST(test_finding_what_was_never_written_ends_the_run),
		TEST(test_engine_without_cursors_is_asked_for_every_key),
		TEST(test_null_engine_and_unasked_content_are_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
