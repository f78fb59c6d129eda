/* SPDX-License-Identifier: MIT */
/*
 * hash_check_tests.c - planted faults: the check of a store's files finds each of them, or
 * it is harmless; and salvage gives what is left, all of it, nothing else.
 *
 * Each fault is planted in a copy of a store's disk. Then
 *   - the files are checked, and the copy is opened and verified as a program would: what
 *     the open or the verification refuses must have been a fault, and where no fault was
 *     found, every key must have its right value;
 *   - salvage must give exactly the newest version of each key that the damage has left
 *     whole, and say of each that is not the newest of all that it is in doubt;
 *   - no byte of the directory may have been written.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "hash_damage.h"

#include <time.h>

struct outcome {
	unsigned int facts, notes, faults;
	char text[4096]; /* of notes and faults */
	struct kv_msg why;
	int error;
};

static int note_finding(void *arg, const struct kv_finding *f)
{
	struct outcome *o = arg;
	size_t at = strlen(o->text);

	assert_true(f->text && *f->text);
	o->facts += f->kind == KV_FOUND_FACT;
	o->notes += f->kind == KV_FOUND_NOTE;
	o->faults += f->kind == KV_FOUND_FAULT;
	if (f->kind != KV_FOUND_FACT)
		(void)snprintf(o->text + at, sizeof(o->text) - at, "[%s %llu+%llu: %s]",
			       f->file ? f->file : "-", (unsigned long long)f->offset,
			       (unsigned long long)f->bytes, f->text);
	return 0;
}

static uint64_t changes(struct env_sim *disk)
{
	return env_sim_calls(disk, 1u << SIM_WRITE | 1u << SIM_SYNC | 1u << SIM_ALLOCATE |
					   1u << SIM_TRUNCATE | 1u << SIM_UNLINK |
					   1u << SIM_RENAME | 1u << SIM_MKDIR |
					   1u << SIM_RMDIR | 1u << SIM_SYNC_DIR |
					   1u << SIM_MAP);
}

static struct outcome check_files(struct env_sim *disk)
{
	struct outcome o = { 0 };
	uint64_t before = changes(disk);

	o.error =
		hash_inspect.check(env_sim_env(disk), "store", note_finding, &o, &o.why);
	assert_int_equal(changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return o;
}

/* ---- salvage ---- */

struct salvaged {
	struct outcome found;
	unsigned int version[DAMAGE_KEYS]; /* 0: not given */
	bool doubtful[DAMAGE_KEYS];
};

static int take_pair(void *arg, const struct kv_salvaged *p)
{
	struct salvaged *s = arg;
	char text[FIXTURE_KEY] = "";
	unsigned int key;

	assert_true(p->key.len < sizeof(text));
	memcpy(text, p->key.data, p->key.len);
	assert_int_equal(sscanf(text, "key%u", &key), 1);
	assert_true(key < DAMAGE_KEYS && !s->version[key]);
	s->version[key] = fixture_version(key, DAMAGE_VALUE, p->value.data, p->value.len);
	assert_true(s->version[key] != UINT_MAX);
	s->doubtful[key] = p->doubtful;
	return 0;
}

static int note_salvage(void *arg, const struct kv_finding *f)
{
	return note_finding(&((struct salvaged *)arg)->found, f);
}

static struct salvaged salvage(struct env_sim *disk)
{
	struct salvaged s = { 0 };
	uint64_t before = changes(disk);

	s.found.error = hash_inspect.salvage(env_sim_env(disk), "store", take_pair,
					     note_salvage, &s, &s.found.why);
	assert_int_equal(changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return s;
}

/* What is left must be given, and nothing else. precise: and no doubt without reason. */
static void expect_left(const struct damage_store *st, const struct salvaged *s,
			const bool *good, bool precise, const char *damage)
{
	unsigned int truth[DAMAGE_KEYS], left[DAMAGE_KEYS], key;

	damage_newest(st, NULL, truth);
	damage_newest(st, good, left);
	if (s->found.error)
		fail_msg("%s: salvage says %d: %s", damage, s->found.error,
			 s->found.why.text);
	for (key = 0; key < DAMAGE_KEYS; key++) {
		if (s->version[key] != left[key])
			fail_msg(
				"%s: key %u: version %u was saved, %u is left, of %u: %s",
				damage, key, s->version[key], left[key], truth[key],
				s->found.text);
		if (!left[key])
			continue;
		if (left[key] != truth[key] && !s->doubtful[key])
			fail_msg("%s: key %u: version %u of %u is not in doubt: %s",
				 damage, key, left[key], truth[key], s->found.text);
		if (precise && left[key] == truth[key] && s->doubtful[key])
			fail_msg("%s: key %u: version %u is right, and in doubt: %s",
				 damage, key, left[key], s->found.text);
	}
}

/* ---- the store as a program sees it ---- */

/* 0: it opens, verifies, and every key has its value. */
static int use(const struct damage_store *st, struct env_sim *disk, const char *damage)
{
	unsigned int truth[DAMAGE_KEYS], key;
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char k[FIXTURE_KEY];
	int error, failed = 0;

	error = kv_open(&hash_engine, env_sim_env(disk), "store", DAMAGE_OPTIONS, &kv,
			&why);
	if (error)
		return error;
	damage_newest(st, NULL, truth);
	for (key = 0; key < DAMAGE_KEYS; key++) {
		error = kv_get(kv, fixture_key(k, key), &value);
		if (error == -EBADMSG)
			failed = error;
		else if (error ? error != -ENOENT || truth[key]
			       : fixture_version(key, DAMAGE_VALUE, value.data,
						 value.len) != truth[key])
			fail_msg("%s: opened, and key %u is wrong", damage, key);
	}
	error = kv_verify(kv, &why);
	kv_buf_free(&value);
	assert_int_equal(kv_close(kv), 0);
	return error ? error : failed;
}

/* ---- one fault ---- */

struct tally {
	uint64_t faults, notes, silent;
};

static int count_line(void *arg, const char *line)
{
	assert_true(strlen(line) < 320);
	*(unsigned int *)arg += 1;
	return 0;
}

/* disk is the store's with a fault in it. */
static struct outcome judge(const struct damage_store *st, struct env_sim *disk,
			    bool precise, const char *damage, struct tally *t)
{
	static bool good[DAMAGE_UNITS];
	struct outcome o = check_files(disk);
	struct salvaged s;
	unsigned int lines = 0;
	int error;

	if (o.error)
		fail_msg("%s: the check says %d: %s", damage, o.error, o.why.text);
	damage_compare(st, disk, good);
	s = salvage(disk);
	expect_left(st, &s, good, precise, damage);
	assert_int_equal(hash_inspect.structure(env_sim_env(disk), "store", count_line,
						&lines, NULL),
			 0);
	assert_true(lines > 3);
	error = use(st, disk, damage);
	if (error && !o.faults)
		fail_msg("%s: no fault was found (%s), and a use says %d", damage, o.text,
			 error);
	t->faults += o.faults > 0;
	t->notes += !o.faults && o.notes;
	t->silent += !o.faults && !o.notes;
	return o;
}

static void print_tally(const char *name, const struct tally *t)
{
	print_message("%s: %llu faults, %llu notes, %llu without a trace\n", name,
		      (unsigned long long)t->faults, (unsigned long long)t->notes,
		      (unsigned long long)t->silent);
}

/* ---- the tests ---- */

static void test_sound_store_has_neither_fault_nor_note(void **state)
{
	void (*const make[])(struct damage_store *,
			     const char *) = { damage_make_sessions,
					       damage_make_cleaned };
	static struct damage_store st;
	struct tally t = { 0 };
	struct outcome o;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
		struct env_sim *disk;

		damage_make(&st, make[i]);
		assert_true(st.records > 30);
		disk = env_sim_copy(st.disk, false);
		o = judge(&st, disk, true, "none", &t);
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
	struct tally t = { 0 };
	uint64_t step, offset;
	size_t i;

	damage_list(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		step = (damage_is(f.name[i], ".spare") ? 16384 : 1) * test_scale();
		for (offset = 0; offset < f.size[i]; offset += step) {
			struct env_sim *disk = env_sim_copy(st->disk, false);
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);
			char damage[128], path[ENV_PATH_MAX];
			struct outcome o;

			(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x",
				       f.name[i], (unsigned long long)offset, mask);
			assert_int_equal(env_path(path, "store", f.name[i]), 0);
			assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
			o = judge(st, disk, strcmp(f.name[i], "INDEX") != 0, damage, &t);
			if (!o.faults && !o.notes && !is_unused(st, f.name[i], offset))
				fail_msg("%s: no trace", damage);
			env_sim_free(disk);
		}
	}
	print_tally(what, &t);
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

static void test_files_cut_anywhere(void **state)
{
	static struct damage_store st;
	struct damage_files f;
	struct tally t = { 0 };
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
			struct outcome o;

			(void)snprintf(damage, sizeof(damage), "%s: cut to %llu",
				       f.name[i], (unsigned long long)size);
			assert_int_equal(file->ops->truncate(file, size), 0);
			file_close(file);
			o = judge(&st, disk, false, damage, &t);
			if (!o.faults && !o.notes)
				fail_msg("%s: no trace", damage);
			env_sim_free(disk);
		}
	print_tally("cut", &t);
	assert_true(t.faults && t.notes);
	damage_free(&st);
}

static void test_zeroed_sectors(void **state)
{
	static const uint8_t zero[512];
	static struct damage_store st;
	struct damage_files f;
	struct tally t = { 0 };
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
			(void)judge(&st, disk, false, damage, &t);
			env_sim_free(disk);
		}
	print_tally("zeroed", &t);
	assert_true(t.faults);
	damage_free(&st);
}

static void test_each_file_missing(void **state)
{
	static struct damage_store st;
	struct damage_files f;
	struct tally t = { 0 };
	size_t i;

	(void)state;
	damage_make(&st, damage_make_cleaned);
	damage_list(st.disk, &f);
	for (i = 0; i < f.n; i++) {
		struct env_sim *disk = env_sim_copy(st.disk, false);
		struct env *env = env_sim_env(disk);
		char path[ENV_PATH_MAX];
		struct outcome o;

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		o = judge(&st, disk, false, f.name[i], &t);
		if (!strcmp(f.name[i], "STORE") || damage_is(f.name[i], ".log"))
			assert_true(o.faults);
		else if (!strcmp(f.name[i], "INDEX"))
			assert_true(!o.faults && o.notes);
		env_sim_free(disk);
	}
	print_tally("missing", &t);
	damage_free(&st);
}

static void copy_file(struct env *from, const char *from_path, struct env *to,
		      const char *to_path)
{
	struct kv_buf b = { 0 };
	struct file *f;

	assert_int_equal(env_read_file(from, from_path, 1 << 20, &b), 0);
	assert_int_equal(env_open(to, to_path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &f),
			 0);
	assert_int_equal(file_write(f, 0, b.data, b.len), 0);
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	kv_buf_free(&b);
}

static void expect_fault(const struct damage_store *st, struct env_sim *disk,
			 const bool *good, const char *damage, const char *says)
{
	struct outcome o = check_files(disk);
	struct salvaged s = salvage(disk);

	assert_int_equal(o.error, 0);
	if (!o.faults || !strstr(o.text, says))
		fail_msg("%s: \"%s\" is not among: %s", damage, says, o.text);
	expect_left(st, &s, good, false, damage);
	if (!use(st, disk, damage))
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
	copy_file(env, "store/000000000000.log", env, "store/000000000007.log");
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
	copy_file(env_sim_env(other.disk), "store/000000000001.log", env_sim_env(disk),
		  "store/000000000001.log");
	for (i = 0; i < st.units; i++)
		good[i] = st.unit[i].named != 1;
	expect_fault(&st, disk, good, "foreign", "not of this store");
	env_sim_free(disk);

	disk = env_sim_copy(st.disk, false);
	copy_file(env_sim_env(other.disk), "store/STORE", env_sim_env(disk),
		  "store/STORE");
	expect_fault(&st, disk, NULL, "foreign STORE", "but the other files are of");
	env_sim_free(disk);

	disk = env_sim_copy(st.disk, false);
	copy_file(env_sim_env(other.disk), "store/INDEX", env_sim_env(disk),
		  "store/INDEX");
	{
		struct outcome o = check_files(disk);

		assert_true(!o.faults && o.notes);
		assert_non_null(strstr(o.text, "of another store"));
		assert_int_equal(use(&st, disk, "foreign INDEX"), 0);
	}
	env_sim_free(disk);
	env_sim_free(other.disk);
	damage_free(&st);
}

/* STORE and INDEX gone, and bytes of each segment: what is left is found all the same. */
static void test_store_without_identity_and_checkpoint(void **state)
{
	static struct damage_store st;
	static bool good[DAMAGE_UNITS];
	struct env_sim *disk;
	struct salvaged s;
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
		s = salvage(disk);
		assert_true(s.found.faults >= 2);
		expect_left(&st, &s, good, false, "no identity");
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
	struct salvaged s;
	uint64_t seed = 23;
	size_t i;

	(void)state;
	memset(&st, 0, sizeof(st));
	st.disk = env_sim_new(&(struct env_sim_config){ .seed = 5, .no_journal = true });
	damage_session(&st, "store", 0);
	damage_session(&st, "store", 1);
	copy_file(env_sim_env(st.disk), "store/INDEX", env_sim_env(st.disk), "INDEX");
	damage_session(&st, "store", 2);
	copy_file(env_sim_env(st.disk), "INDEX", env_sim_env(st.disk), "store/INDEX");
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
		s = salvage(disk);
		assert_true(s.found.faults);
		expect_left(&st, &s, good, u->named < 2, path);
		env_sim_free(disk);
	}
	damage_free(&st);
}

/* ---- crashes, devices, memory ---- */

/* A store whose process died: nothing is a fault, and salvage gives what opening does. */
static int check_crashed(void *arg, struct env_sim *disk, size_t at)
{
	struct outcome o = { 0 };
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;
	int error;

	(void)arg;
	/* Before its identity is there, it is no store. */
	if (env_open(env_sim_env(disk), "store/STORE", ENV_READ, &f))
		return 0;
	file_close(f);
	o = check_files(disk);
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
	o = check_files(disk);
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
	struct outcome o = { 0 };
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
		error = hash_inspect.check(env, "backup", note_finding, &o, NULL);
		if (!error && !strstr(o.text, "STORE 0+0: missing"))
			return -1;
		error = kv_open(&hash_engine, env, "backup", DAMAGE_OPTIONS, &kv, &why);
		return error == -EBADMSG && strstr(why.text, "unfinished backup") ? 0
										  : -1;
	}
	file_close(f);
	b->whole++;
	if (hash_inspect.check(env, "backup", note_finding, &o, NULL) || o.faults)
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
	struct salvaged s;
	struct outcome o;
	size_t i;

	(void)state;
	damage_make(&st, damage_make_sessions);
	for (i = 0; i < st.units; i++)
		good[i] = st.unit[i].named != 1;
	disk = env_sim_copy(st.disk, false);
	env_sim_fault(disk, &fault);
	o = check_files(disk);
	assert_true(env_sim_fault_fired(disk));
	assert_int_equal(o.error, 0);
	assert_non_null(strstr(o.text, "the device does not give"));
	env_sim_fault(disk, &fault);
	s = salvage(disk);
	expect_left(&st, &s, good, false, "unreadable");
	env_sim_free(disk);
	damage_free(&st);
}

/* Any read that fails once is read again. */
static void test_read_that_fails_once_loses_nothing(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;
	struct salvaged s;
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
		s = salvage(disk);
		fired = env_sim_fault_fired(disk);
		expect_left(&st, &s, NULL, false, "one read failed");
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
	struct outcome o;
	struct salvaged s;
	unsigned int lines;
	uint64_t n;
	int error;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	for (n = 1;; n++) {
		port_fault_set(n, false);
		o = check_files(disk);
		if (!o.error)
			break;
		assert_int_equal(o.error, -ENOMEM);
	}
	assert_true(n > 5);
	for (n = 1;; n++) {
		port_fault_set(n, false);
		s = salvage(disk);
		if (!s.found.error)
			break;
		assert_int_equal(s.found.error, -ENOMEM);
	}
	assert_true(n > 40);
	for (n = 1, error = -1; error; n++) {
		port_fault_set(n, false);
		lines = 0;
		error = hash_inspect.structure(env_sim_env(disk), "store", count_line,
					       &lines, NULL);
		assert_true(!error || error == -ENOMEM);
	}
	port_fault_set(0, false);
	env_sim_free(disk);
	damage_free(&st);
}

static void test_store_that_is_open_is_left_alone(void **state)
{
	static struct damage_store st;
	struct env_sim *disk;
	struct outcome o;
	struct kv *kv;

	(void)state;
	damage_make(&st, damage_make_sessions);
	disk = env_sim_copy(st.disk, false);
	kv = damage_open(disk, "store");
	o.error =
		hash_inspect.check(env_sim_env(disk), "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -EBUSY);
	assert_non_null(strstr(o.why.text, "close it there first"));
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(disk);
	damage_free(&st);
}

static void test_what_is_no_store_is_refused(void **state)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct outcome o = { 0 };
	struct file *f;

	(void)state;
	assert_int_equal(hash_inspect.recognise(env, "store"), KV_NOT_MINE);
	assert_int_equal(env->ops->mkdir(env, "store"), 0);
	assert_int_equal(hash_inspect.recognise(env, "store"), KV_NOT_MINE);
	o.error = hash_inspect.check(env, "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -ENOENT);
	/* A name far beyond any log, and no header. */
	assert_int_equal(
		env_open(env, "store/ffffffffffff.log", ENV_WRITE | ENV_CREATE, &f), 0);
	file_close(f);
	assert_int_equal(hash_inspect.recognise(env, "store"), KV_PERHAPS_MINE);
	o.error = hash_inspect.check(env, "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -EBADMSG);
	assert_true(o.why.text[0]);
	env_sim_free(disk);
}

/* Several bytes of segments at once: as long as KV_TORTURE says, and some rounds in any
 * case. */
static void test_several_bytes_of_segments(void **state)
{
	static struct damage_store st;
	time_t end = time(NULL) + (time_t)fixture_torture_seconds();
	struct tally t = { 0 };
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
		(void)judge(&st, disk, false, damage, &t);
		env_sim_free(disk);
	}
	print_tally("several", &t);
	assert_true(t.faults);
	damage_free(&st);
}

/* Keys are shown as they are where they can be, and never break a line. */
static void test_quoted_keys(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("plain")), "plain");
	assert_string_equal(kv_quote(out, sizeof(out), kv_slice("a\0\n\t\"\\\xff", 7)),
			    "a\\x00\\n\\t\\\"...");
	assert_string_equal(kv_quote(out, sizeof(out), kv_slice(NULL, 0)), "");
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("123456789012345")),
			    "123456789012345");
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("1234567890123456")),
			    "123456789012...");
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
		LEAK_CHECKED(test_swapped_segments_are_told_and_read_rightly),
		LEAK_CHECKED(test_copy_of_a_segment_under_another_number),
		LEAK_CHECKED(test_segment_of_another_store),
		LEAK_CHECKED(test_store_without_identity_and_checkpoint),
		LEAK_CHECKED(test_old_checkpoint_proves_nothing_of_later_writes),
		LEAK_CHECKED(test_crash_is_no_fault),
		LEAK_CHECKED(test_backup_cut_by_a_crash_is_recognised),
		LEAK_CHECKED(test_file_that_cannot_be_read_costs_itself_alone),
		LEAK_CHECKED(test_read_that_fails_once_loses_nothing),
		LEAK_CHECKED(test_out_of_memory_is_said),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
		LEAK_CHECKED(test_quoted_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
