/* SPDX-License-Identifier: MIT */
/*
 * hash_salvage_tests.c - stores whose files are in disorder, gone, or not given by the
 * device: what the check tells, and what salvage saves.
 */
#include "hash_judge.h"

/* ---- files under wrong names ---- */

static void expect_fault(const struct damage_store *st, struct env_sim *disk,
			 const bool *good, const char *damage, const char *says)
{
	struct judge_outcome o = judge_check(&hash_subject, disk);
	struct judge_salvaged s = judge_salvage(&hash_subject, disk);

	assert_int_equal(o.error, 0);
	if (!o.faults || !strstr(o.text, says))
		fail_msg("%s: \"%s\" is not among: %s", damage, says, o.text);
	judge_left(st, &s, good, false, damage);
	if (!judge_opened(st, disk, damage))
		fail_msg("%s: opened and verified", damage);
}

/* The header says whose a file is, so all is found under the wrong name. */
static void test_swapped_segments_are_told_and_read_rightly(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;
	struct env *env;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	env = env_sim_env(disk);
	assert_int_equal(env->ops->rename(env, "store/000000000000.log", "store/x"), 0);
	assert_int_equal(
		env->ops->rename(env, "store/000000000001.log", "store/000000000000.log"),
		0);
	assert_int_equal(env->ops->rename(env, "store/x", "store/000000000001.log"), 0);
	expect_fault(&st, disk, NULL, "swapped", "belongs into 000000000001.log");
	env_sim_free(disk);
	damage_free(&st);
}

static void test_copy_of_a_segment_under_another_number(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;
	struct env *env;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	env = env_sim_env(disk);
	damage_copy_file(env, "store/000000000000.log", env, "store/000000000007.log");
	expect_fault(&st, disk, NULL, "copied", "a copy of a segment");
	env_sim_free(disk);
	damage_free(&st);
}

static void test_segment_of_another_store(void **state)
{
	static struct damage_store st, other;
	static bool good[DAMAGE_UNITS];
	struct env_sim *disk;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_sessions);
	memset(&other, 0, sizeof(other));
	other.disk =
		env_sim_new(&(struct env_sim_config){ .seed = 6, .no_journal = true });
	damage_make_sessions(&other, "store");
	disk = env_sim_copy(st.disk, false);
	damage_copy_file(env_sim_env(other.disk), "store/000000000001.log",
			 env_sim_env(disk), "store/000000000001.log");
	for (i = 0; i < st.units; i++)
		good[i] = st.unit[i].named != 1;
	expect_fault(&st, disk, good, "foreign", "not of this store");
	env_sim_free(disk);

	disk = env_sim_copy(st.disk, false);
	damage_copy_file(env_sim_env(other.disk), "store/STORE", env_sim_env(disk),
			 "store/STORE");
	expect_fault(&st, disk, NULL, "foreign STORE", "but the other files are of");
	env_sim_free(disk);

	disk = env_sim_copy(st.disk, false);
	damage_copy_file(env_sim_env(other.disk), "store/INDEX", env_sim_env(disk),
			 "store/INDEX");
	{
		struct judge_outcome o = judge_check(&hash_subject, disk);

		assert_true(!o.faults && o.notes);
		assert_non_null(strstr(o.text, "of another store"));
		assert_int_equal(judge_opened(&st, disk, "foreign INDEX"), 0);
	}
	env_sim_free(disk);
	env_sim_free(other.disk);
	damage_free(&st);
}

/* ---- identity and checkpoint ---- */

/* STORE and INDEX gone, and bytes of each segment: what is left is found all the same. */
static void test_store_without_identity_and_checkpoint(void **state)
{
	static struct damage_store st;
	static bool good[DAMAGE_UNITS];
	struct env_sim *disk;
	struct judge_salvaged s;
	struct env *env;
	uint64_t seed = 17;
	unsigned int round;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_sessions);
	for (round = 0; round < 20; round++) {
		disk = env_sim_copy(st.disk, false);
		env = env_sim_env(disk);
		assert_int_equal(env->ops->unlink(env, "store/STORE"), 0);
		assert_int_equal(env->ops->unlink(env, "store/INDEX"), 0);
		for (i = 0; i < 3; i++) {
			const struct damage_unit *u =
				&st.unit[fixture_random(&seed) % st.units];
			char path[64], name[32];

			log_raw_name(name, u->named);
			(void)snprintf(path, sizeof(path), "store/%s", name);
			assert_int_equal(
				env_sim_flip(disk, path,
					     u->offset + fixture_random(&seed) % u->bytes,
					     1),
				0);
		}
		damage_compare(&st, disk, good);
		s = judge_salvage(&hash_subject, disk);
		assert_true(s.found.faults >= 2);
		judge_left(&st, &s, good, false, "no identity");
		env_sim_free(disk);
	}
	damage_free(&st);
}

/* A checkpoint that is older than what is lost does not know of it: it leads to the older
 * versions, which are in doubt all the same. */
static void test_old_checkpoint_proves_nothing_of_later_writes(void **state)
{
	static struct damage_store st;
	static bool good[DAMAGE_UNITS];
	struct env_sim *disk;
	struct judge_salvaged s;
	uint64_t seed = 23;
	size_t i;

	(void)state;
	memset(&st, 0, sizeof(st));
	st.disk = env_sim_new(&(struct env_sim_config){ .seed = 5, .no_journal = true });
	damage_session(&st, "store", 0);
	damage_session(&st, "store", 1);
	damage_copy_file(env_sim_env(st.disk), "store/INDEX", env_sim_env(st.disk),
			 "INDEX");
	damage_session(&st, "store", 2);
	damage_copy_file(env_sim_env(st.disk), "INDEX", env_sim_env(st.disk),
			 "store/INDEX");
	damage_catalogue(&st, "store");
	for (i = 0; i < st.units; i++) {
		const struct damage_unit *u = &st.unit[i];
		char path[64], name[32];

		disk = env_sim_copy(st.disk, false);
		log_raw_name(name, u->named);
		(void)snprintf(path, sizeof(path), "store/%s", name);
		assert_int_equal(
			env_sim_flip(disk, path,
				     u->offset + fixture_random(&seed) % u->bytes, 1),
			0);
		damage_compare(&st, disk, good);
		s = judge_salvage(&hash_subject, disk);
		assert_true(s.found.faults);
		judge_left(&st, &s, good, u->named < 2, path);
		env_sim_free(disk);
	}
	damage_free(&st);
}

/* ---- devices, memory ---- */

/* A device that does not give a file any more: the others are saved. */
static void test_file_that_cannot_be_read_costs_itself_alone(void **state)
{
	static struct damage_store st;
	static bool good[DAMAGE_UNITS];
	struct env_sim_fault fault = { .calls = 1u << SIM_READ,
				       .nth = 1,
				       .for_good = true,
				       .path = "000000000001.log" };
	struct env_sim *disk;
	struct judge_salvaged s;
	struct judge_outcome o;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_sessions);
	for (i = 0; i < st.units; i++)
		good[i] = st.unit[i].named != 1;
	disk = env_sim_copy(st.disk, false);
	env_sim_fault(disk, &fault);
	o = judge_check(&hash_subject, disk);
	assert_true(env_sim_fault_fired(disk));
	assert_int_equal(o.error, 0);
	assert_non_null(strstr(o.text, "the device does not give"));
	env_sim_fault(disk, &fault);
	s = judge_salvage(&hash_subject, disk);
	judge_left(&st, &s, good, false, "unreadable");
	env_sim_free(disk);
	damage_free(&st);
}

/* Any read that fails once is read again. */
static void test_read_that_fails_once_loses_nothing(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;
	struct judge_salvaged s;
	uint64_t n;

	(void)state;
	damage_make(&st, damage_make_sessions);
	for (n = 1;; n++) {
		struct env_sim_fault fault = { .calls = 1u << SIM_READ,
					       .nth = n,
					       .path = ".log" };
		bool fired;

		disk = env_sim_copy(st.disk, false);
		env_sim_fault(disk, &fault);
		s = judge_salvage(&hash_subject, disk);
		fired = env_sim_fault_fired(disk);
		judge_left(&st, &s, NULL, false, "one read failed");
		env_sim_free(disk);
		if (!fired)
			break;
	}
	assert_true(n > 5);
	damage_free(&st);
}

static void test_out_of_memory_is_said(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	judge_out_of_memory(&hash_subject, disk, true);
	env_sim_free(disk);
	damage_free(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_swapped_segments_are_told_and_read_rightly),
		LEAK_CHECKED(test_copy_of_a_segment_under_another_number),
		LEAK_CHECKED(test_segment_of_another_store),
		LEAK_CHECKED(test_store_without_identity_and_checkpoint),
		LEAK_CHECKED(test_old_checkpoint_proves_nothing_of_later_writes),
		LEAK_CHECKED(test_file_that_cannot_be_read_costs_itself_alone),
		LEAK_CHECKED(test_read_that_fails_once_loses_nothing),
		LEAK_CHECKED(test_out_of_memory_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
