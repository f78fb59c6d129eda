/* SPDX-License-Identifier: MIT */
/*
 * hash_check_tests.c - planted faults: the check of a store's files finds each of them, or
 * it is harmless. Bytes, sectors and ends of each file of a store; what a crash leaves; and
 * what is no store at all.
 *
 * Each fault is planted in a copy of a store's disk, of which all that hash_judge.h says
 * must then be true.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "hash_judge.h"

#include <time.h>

static void test_sound_store_has_neither_fault_nor_note(void **state)
{
	void (*const make[])(struct damage_store *,
			     const char *) = { damage_make_sessions,
					       damage_make_cleaned };
	static struct damage_store st;
	struct judge_tally t = { 0 };
	struct judge_outcome o;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
		struct env_sim *disk;

		damage_make(&st, make[i]);
		assert_true(st.records > 30);
		disk = env_sim_copy(st.disk, false);
		o = judge_damage(&st, disk, true, "none", &t);
		if (o.faults || o.notes)
			fail_msg("%s", o.text);
		assert_true(o.facts >= 3);
		env_sim_free(disk);
		damage_free(&st);
	}
}

/* Bytes whose change may leave no trace: what no program reads. */
static bool is_unused(const struct damage_store *st, const char *name, uint64_t offset)
{
	uint64_t named, end = LOG_SEGMENT_HEADER_BYTES;
	size_t i;

	if (damage_is(name, ".spare") || !strcmp(name, "LOCK"))
		return true;
	if (!log_raw_number(name, &named))
		return false;
	for (i = 0; i < st->units; i++)
		if (st->unit[i].named == named)
			end = st->unit[i].offset + log_record_bytes(st->unit[i].bytes) -
			      LOG_HEADER_BYTES;
	/* Behind the end mark, which follows the last record. */
	return offset >= end + LOG_HEADER_BYTES;
}

static void flip_each_byte(struct damage_store *st, const char *what, uint64_t seed)
{
	struct damage_files f;
	struct judge_tally t = { 0 };
	uint64_t step, offset;
	size_t i;

	damage_list(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		step = (damage_is(f.name[i], ".spare") ? 16384 : 1) * test_scale();
		for (offset = 0; offset < f.size[i]; offset += step) {
			struct env_sim *disk = env_sim_copy(st->disk, false);
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);
			char damage[128], path[ENV_PATH_MAX];
			struct judge_outcome o;

			(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x",
				       f.name[i], (unsigned long long)offset, mask);
			assert_int_equal(env_path(path, "store", f.name[i]), 0);
			assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
			o = judge_damage(st, disk, strcmp(f.name[i], "INDEX") != 0,
					 damage, &t);
			if (!o.faults && !o.notes && !is_unused(st, f.name[i], offset))
				fail_msg("%s: no trace", damage);
			env_sim_free(disk);
		}
	}
	judge_print(what, &t);
	assert_true(t.faults);
}

static void test_each_byte_of_a_store_is_found_or_harmless(void **state)
{
	static struct damage_store st;

	(void)state;
	damage_make(&st, damage_make_sessions);
	flip_each_byte(&st, "sessions", 3);
	damage_free(&st);
}

static void test_each_byte_of_a_cleaned_store_is_found_or_harmless(void **state)
{
	static struct damage_store st;

	(void)state;
	damage_make(&st, damage_make_cleaned);
	flip_each_byte(&st, "cleaned", 4);
	damage_free(&st);
}

/* Several bytes of segments at once: as long as KV_TORTURE says, and some rounds in any
 * case. */
static void test_several_bytes_of_segments(void **state)
{
	static struct damage_store st;
	time_t end = time(NULL) + (time_t)fixture_torture_seconds();
	struct judge_tally t = { 0 };
	struct damage_files f;
	uint64_t seed = 101, round;
	size_t i, n;

	(void)state;
	damage_make(&st, damage_make_cleaned);
	damage_list(st.disk, &f);
	for (round = 0; round < 200 / test_scale() + 1 || time(NULL) < end; round++) {
		struct env_sim *disk = env_sim_copy(st.disk, false);
		char damage[64], path[ENV_PATH_MAX];

		(void)snprintf(damage, sizeof(damage), "seed %llu",
			       (unsigned long long)seed);
		n = 1 + fixture_random(&seed) % 5;
		while (n) {
			i = fixture_random(&seed) % f.n;
			if (!damage_is(f.name[i], ".log"))
				continue;
			assert_int_equal(env_path(path, "store", f.name[i]), 0);
			assert_int_equal(
				env_sim_flip(disk, path,
					     fixture_random(&seed) % f.size[i],
					     (uint8_t)(1 + fixture_random(&seed) % 255)),
				0);
			n--;
		}
		(void)judge_damage(&st, disk, false, damage, &t);
		env_sim_free(disk);
	}
	judge_print("several", &t);
	assert_true(t.faults);
	damage_free(&st);
}

static void test_files_cut_anywhere(void **state)
{
	static struct damage_store st;
	struct damage_files f;
	struct judge_tally t = { 0 };
	uint64_t size;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_sessions);
	damage_list(st.disk, &f);
	for (i = 0; i < f.n; i++)
		for (size = 0; size < f.size[i] && !damage_is(f.name[i], ".spare");
		     size += 5 * test_scale()) {
			struct env_sim *disk = env_sim_copy(st.disk, false);
			struct file *file = damage_file(disk, f.name[i]);
			char damage[128];
			struct judge_outcome o;

			(void)snprintf(damage, sizeof(damage), "%s: cut to %llu",
				       f.name[i], (unsigned long long)size);
			assert_int_equal(file->ops->truncate(file, size), 0);
			file_close(file);
			o = judge_damage(&st, disk, false, damage, &t);
			if (!o.faults && !o.notes)
				fail_msg("%s: no trace", damage);
			env_sim_free(disk);
		}
	judge_print("cut", &t);
	assert_true(t.faults && t.notes);
	damage_free(&st);
}

static void test_zeroed_sectors(void **state)
{
	static const uint8_t zero[512];
	static struct damage_store st;
	struct damage_files f;
	struct judge_tally t = { 0 };
	uint64_t offset;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_cleaned);
	damage_list(st.disk, &f);
	for (i = 0; i < f.n; i++)
		for (offset = 0; offset < f.size[i] && !damage_is(f.name[i], ".spare");
		     offset += sizeof(zero)) {
			struct env_sim *disk = env_sim_copy(st.disk, false);
			struct file *file = damage_file(disk, f.name[i]);
			uint64_t left = f.size[i] - offset;
			char damage[128];

			(void)snprintf(damage, sizeof(damage), "%s: zeros from %llu",
				       f.name[i], (unsigned long long)offset);
			assert_int_equal(
				file_write(file, offset, zero,
					   left < sizeof(zero) ? left : sizeof(zero)),
				0);
			file_close(file);
			(void)judge_damage(&st, disk, false, damage, &t);
			env_sim_free(disk);
		}
	judge_print("zeroed", &t);
	assert_true(t.faults);
	damage_free(&st);
}

static void test_each_file_missing(void **state)
{
	static struct damage_store st;
	struct damage_files f;
	struct judge_tally t = { 0 };
	size_t i;

	(void)state;
	damage_make(&st, damage_make_cleaned);
	damage_list(st.disk, &f);
	for (i = 0; i < f.n; i++) {
		struct env_sim *disk = env_sim_copy(st.disk, false);
		struct env *env = env_sim_env(disk);
		char path[ENV_PATH_MAX];
		struct judge_outcome o;

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		o = judge_damage(&st, disk, false, f.name[i], &t);
		if (!strcmp(f.name[i], "STORE") || damage_is(f.name[i], ".log"))
			assert_true(o.faults);
		else if (!strcmp(f.name[i], "INDEX"))
			assert_true(!o.faults && o.notes);
		env_sim_free(disk);
	}
	judge_print("missing", &t);
	damage_free(&st);
}

/* ---- crashes ---- */

/* A store whose process died: nothing is a fault, and salvage gives what opening does. */
static int check_crashed(void *arg, struct env_sim *disk, size_t at)
{
	struct judge_outcome o = { 0 };
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;
	int error;

	(void)arg;
	/* Before its identity is there, it is no store. */
	if (env_open(env_sim_env(disk), "store/STORE", ENV_READ, &f))
		return 0;
	file_close(f);
	o = judge_check(&hash_subject, disk);
	if (o.error || o.faults) {
		print_error("crash at %zu: %d, %s\n", at, o.error, o.text);
		return -1;
	}
	error = kv_open(&hash_engine, env_sim_env(disk), "store", DAMAGE_OPTIONS, &kv,
			&why);
	if (error)
		return error;
	error = kv_verify(kv, &why);
	(void)kv_close(kv);
	o = judge_check(&hash_subject, disk);
	if (error || o.error || o.faults) {
		print_error("opened after a crash at %zu: %d %d, %s\n", at, error,
			    o.error, o.text);
		return -1;
	}
	return 0;
}

static void test_crash_is_no_fault(void **state)
{
	static struct damage_store st;
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 8,
				     .check = check_crashed };

	(void)state;
	e.every = (unsigned int)(3 * test_scale());
	memset(&st, 0, sizeof(st));
	st.disk = env_sim_new(&(struct env_sim_config){ .seed = 8 });
	damage_make_cleaned(&st, "store");
	if (env_sim_explore(st.disk, &e))
		fail_msg("%s", e.failed);
	print_message("%llu crashes\n", (unsigned long long)e.states);
	env_sim_free(st.disk);
}

/* Of a backup that a crash cut short: it is no store, or it is the whole. */
struct backup {
	struct damage_store *st;
	uint64_t none, part, whole;
};

static int check_backup(void *arg, struct env_sim *disk, size_t at)
{
	struct backup *b = arg;
	struct env *env = env_sim_env(disk);
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct kv_cursor *c;
	struct file *f;
	struct judge_outcome o = { 0 };
	uint64_t pairs = 0, keys = 0;
	unsigned int truth[DAMAGE_KEYS], key;
	int error;

	(void)at;
	if (env_open(env, "backup/STORE", ENV_READ, &f)) {
		switch (hash_inspect.recognise(env, "backup")) {
		case KV_NOT_MINE:
			b->none++;
			return 0;
		case KV_MINE:
			return -1;
		case KV_PERHAPS_MINE:
			break;
		}
		b->part++;
		error = hash_inspect.check(env, "backup", judge_note, &o, NULL);
		if (!error && !strstr(o.text, "STORE 0+0: missing"))
			return -1;
		error = kv_open(&hash_engine, env, "backup", DAMAGE_OPTIONS, &kv, &why);
		return error == -EBADMSG && strstr(why.text, "unfinished backup") ? 0
										  : -1;
	}
	file_close(f);
	b->whole++;
	if (hash_inspect.check(env, "backup", judge_note, &o, NULL) || o.faults)
		return -1;
	error = kv_open(&hash_engine, env, "backup", DAMAGE_OPTIONS, &kv, &why);
	if (error)
		return error;
	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = kv_next(c)))
		pairs++;
	kv_cursor_close(c);
	damage_newest(b->st, NULL, truth);
	for (key = 0; key < DAMAGE_KEYS; key++)
		keys += truth[key] != 0;
	error = error != -ENOENT || pairs != keys || kv_verify(kv, NULL) ? -1 : 0;
	(void)kv_close(kv);
	return error;
}

static void test_backup_cut_by_a_crash_is_recognised(void **state)
{
	static struct damage_store st;
	struct backup b = { .st = &st };
	struct env_sim_explore e = {
		.samples = 4, .exhaustive = 64, .check = check_backup, .arg = &b
	};
	struct env_sim *disk;
	struct kv *kv;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, true);
	kv = damage_open(disk, "store");
	e.from = env_sim_position(disk);
	assert_int_equal(kv_backup(kv, "backup"), 0);
	e.to = env_sim_position(disk);
	assert_int_equal(kv_close(kv), 0);
	if (env_sim_explore(disk, &e))
		fail_msg("%s", e.failed);
	print_message("%llu crashes: %llu left nothing, %llu a part, %llu a backup\n",
		      (unsigned long long)e.states, (unsigned long long)b.none,
		      (unsigned long long)b.part, (unsigned long long)b.whole);
	assert_true(b.none && b.part && b.whole);
	env_sim_free(disk);
	damage_free(&st);
}

/* ---- what is not looked at ---- */

static void test_store_that_is_open_is_left_alone(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	judge_busy(&hash_subject, disk, damage_open(disk, "store"));
	env_sim_free(disk);
	damage_free(&st);
}

/* Also where there is a name far beyond any log, and no header. */
static void test_what_is_no_store_is_refused(void **state)
{
	(void)state;
	judge_no_store(&hash_subject, "ffffffffffff.log");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_sound_store_has_neither_fault_nor_note),
		LEAK_CHECKED(test_each_byte_of_a_store_is_found_or_harmless),
		LEAK_CHECKED(test_each_byte_of_a_cleaned_store_is_found_or_harmless),
		LEAK_CHECKED(test_several_bytes_of_segments),
		LEAK_CHECKED(test_files_cut_anywhere),
		LEAK_CHECKED(test_zeroed_sectors),
		LEAK_CHECKED(test_each_file_missing),
		LEAK_CHECKED(test_crash_is_no_fault),
		LEAK_CHECKED(test_backup_cut_by_a_crash_is_recognised),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
