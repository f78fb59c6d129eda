/* SPDX-License-Identifier: MIT */
/*
 * hash_corruption_tests.c - bytes that change at rest: the right answer or an error.
 *
 * A closed store is copied, one thing in it is damaged (a byte, a sector, a length, a file
 * that is gone), and it is opened. Then every key is asked for in every way, the store is
 * cleaned, closed, opened again and asked again: cleaning and a new checkpoint must not
 * make a loss out of what was an error.
 *
 * The same is done with a checkpoint that this open cannot use (another collision
 * strategy): then the whole log is read, and what is damaged in it must be noticed there.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "hash_store_fixture.h"

#include <time.h>

enum { KEYS = 40, VALUE = 24 };

enum { MANY = 100 }; /* damages of one store */

struct store {
	const char *name;
	void (*make)(struct env_sim *sim, unsigned int *version);
	size_t bytes; /* of a value */
	unsigned int version[KEYS];
	struct env_sim *disk;
	/* the options that it is opened with */
	const char *options;
	uint64_t opened, refused; /* how it went, over all damages */
};

#define SMALL "segment_bytes=64k,leaf=16,group_ms=1"

static struct kv *open_store(struct env_sim *sim, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&hash_engine, env_sim_env(sim), "store", options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void put(struct kv *kv, unsigned int *version, unsigned int key, size_t bytes)
{
	assert_int_equal(fixture_put(kv, key, ++version[key], bytes, KV_NONE), 0);
}

/* version[] counts writes; a deleted key's count goes on from there, so what is there is
 * kept in a second array's place: the sign bit. */
#define GONE 0x80000000u

static void delete (struct kv *kv, unsigned int *version, unsigned int key)
{
	assert_int_equal(fixture_delete(kv, key, KV_NONE), 0);
	version[key] |= GONE;
}

static void revive(struct kv *kv, unsigned int *version, unsigned int key, size_t bytes)
{
	version[key] &= ~GONE;
	put(kv, version, key, bytes);
}

static void put_batch(struct kv *kv, unsigned int *version, unsigned int first,
		      unsigned int n)
{
	char k[8][FIXTURE_KEY], v[8][FIXTURE_VALUE];
	struct kv_op op[8];
	unsigned int i;

	for (i = 0; i < n; i++)
		op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], first + i),
					fixture_value(v[i], first + i,
						      ++version[first + i], VALUE) };
	assert_int_equal(kv_write(kv, op, n, KV_NONE), 0);
}

/* Closing cuts the last segment to what it holds, so each session leaves a small one. */
static void make_sessions(struct env_sim *sim, unsigned int *version)
{
	struct kv *kv = open_store(sim, SMALL);
	unsigned int i;

	for (i = 0; i < 20; i++)
		put(kv, version, i, VALUE);
	assert_int_equal(kv_close(kv), 0);

	kv = open_store(sim, SMALL);
	for (i = 0; i < 6; i++)
		put(kv, version, i, VALUE);
	put_batch(kv, version, 20, 8);
	delete (kv, version, 7);
	assert_int_equal(kv_close(kv), 0);

	kv = open_store(sim, SMALL);
	for (i = 28; i < 34; i++)
		put(kv, version, i, VALUE);
	delete (kv, version, 8);
	revive(kv, version, 7, VALUE);
	assert_int_equal(kv_close(kv), 0);
}

/* As above, then so much of it is overwritten that the old segments are cleaned. */
static void make_cleaned(struct env_sim *sim, unsigned int *version)
{
	struct kv *kv;
	unsigned int i, session;

	for (session = 0; session < 3; session++) {
		kv = open_store(sim, SMALL ",clean_percent=100");
		for (i = session; i < 24; i += session + 1)
			put(kv, version, i, VALUE);
		put_batch(kv, version, 24, 4);
		delete (kv, version, 28 + session);
		assert_int_equal(kv_close(kv), 0);
	}
	kv = open_store(sim, SMALL);
	for (i = 0; i < 10; i++)
		delete (kv, version, i);
	revive(kv, version, 3, VALUE);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(kv_compact(kv), 0);
	revive(kv, version, 4, VALUE);
	assert_int_equal(kv_close(kv), 0);
}

/* Segments that are full to the last byte, or nearly so. */
static void make_full(struct env_sim *sim, unsigned int *version)
{
	struct kv *kv = open_store(sim, SMALL ",clean_percent=60");
	unsigned int i, round;

	for (round = 0; round < 3; round++)
		for (i = 0; i < KEYS; i++)
			put(kv, version, i, 2000);
	for (i = 0; i < KEYS; i += 5)
		delete (kv, version, i);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- asking for everything ---- */

static unsigned int wanted(const struct store *st, unsigned int key)
{
	return st->version[key] & GONE ? 0 : st->version[key];
}

/* error and value are the answer for the key: right, or an honest error (counted)? */
static void judge(const struct store *st, unsigned int key, int error,
		  struct kv_slice value, const char *damage, unsigned int *errors)
{
	unsigned int want = wanted(st, key);

	if (error == -EBADMSG) {
		*errors += 1;
		return;
	}
	if (error == -ENOENT && !want)
		return;
	if (error)
		fail_msg("%s: %s: key %u: error %d, wanted version %u", st->name, damage,
			 key, error, want);
	if (fixture_version(key, st->bytes, value.data, value.len) != want)
		fail_msg("%s: %s: key %u: a wrong value", st->name, damage, key);
}

static unsigned int get_all(const struct store *st, struct kv *kv, const char *damage)
{
	struct kv_buf value = { 0 };
	unsigned int key, errors = 0;
	char k[FIXTURE_KEY];
	int error;

	for (key = 0; key < KEYS; key++) {
		error = kv_get(kv, fixture_key(k, key), &value);
		judge(st, key, error, kv_slice(value.data, value.len), damage, &errors);
	}
	kv_buf_free(&value);
	return errors;
}

static unsigned int multi_get_all(const struct store *st, struct kv *kv,
				  const char *damage)
{
	struct kv_buf value[KEYS] = { { 0 } };
	struct kv_slice slice[KEYS];
	char k[KEYS][FIXTURE_KEY];
	int error[KEYS], failed;
	unsigned int key, errors = 0;

	for (key = 0; key < KEYS; key++)
		slice[key] = fixture_key(k[key], key);
	failed = kv_multi_get(kv, NULL, KEYS, slice, value, error);
	if (failed != -EBADMSG)
		assert_int_equal(failed, 0);
	for (key = 0; key < KEYS; key++) {
		if (!failed)
			judge(st, key, error[key],
			      kv_slice(value[key].data, value[key].len), damage, &errors);
		kv_buf_free(&value[key]);
	}
	return failed ? 1 : errors;
}

/* A walk that reaches the end has met every key once. */
static unsigned int walk(const struct store *st, struct kv *kv, const char *damage)
{
	bool met[KEYS] = { false };
	unsigned int key, errors = 0;
	struct kv_cursor *c;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = kv_next(c))) {
		char text[FIXTURE_KEY] = "";

		if (c->key.len >= sizeof(text))
			fail_msg("%s: %s: a key nobody wrote", st->name, damage);
		memcpy(text, c->key.data, c->key.len);
		if (sscanf(text, "key%u", &key) != 1 || key >= KEYS || met[key] ||
		    !wanted(st, key))
			fail_msg("%s: %s: the walk met \"%s\"", st->name, damage, text);
		met[key] = true;
		judge(st, key, 0, c->value, damage, &errors);
	}
	kv_cursor_close(c);
	if (error == -EBADMSG)
		return 1;
	assert_int_equal(error, -ENOENT);
	for (key = 0; key < KEYS; key++)
		if (wanted(st, key) && !met[key])
			fail_msg("%s: %s: the walk missed key %u", st->name, damage, key);
	return 0;
}

/* verify() may complain of what no get meets, and must of what one does. */
static void ask(const struct store *st, struct kv *kv, const char *damage)
{
	struct kv_msg why = { "" };
	unsigned int errors = get_all(st, kv, damage);
	int error;

	errors += multi_get_all(st, kv, damage);
	errors += walk(st, kv, damage);
	error = kv_verify(kv, &why);
	if (error != -EBADMSG && (error || errors))
		fail_msg("%s: %s: verify says %d, after %u errors", st->name, damage,
			 error, errors);
	if (error && !why.text[0])
		fail_msg("%s: %s: verify gives no reason", st->name, damage);
}

/* Opens; NULL where it was refused, with a reason. */
static struct kv *try_open(struct store *st, struct env_sim *disk, const char *damage)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error =
		kv_open(&hash_engine, env_sim_env(disk), "store", st->options, &kv, &why);

	if (!error)
		return kv;
	if ((error != -EBADMSG && error != -EPROTONOSUPPORT) || !why.text[0])
		fail_msg("%s: %s: open says %d \"%s\"", st->name, damage, error,
			 why.text);
	return NULL;
}

static void check_disk(struct store *st, struct env_sim *disk, const char *damage)
{
	struct kv *kv = try_open(st, disk, damage);
	int error;

	if (!kv) {
		st->refused++;
		return;
	}
	st->opened++;
	ask(st, kv, damage);
	error = kv_compact(kv);
	if (error && error != -EBADMSG)
		fail_msg("%s: %s: compact says %d", st->name, damage, error);
	ask(st, kv, damage);
	assert_int_equal(kv_close(kv), 0);
	kv = try_open(st, disk, damage);
	if (!kv)
		return;
	ask(st, kv, damage);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- the damages ---- */

struct files {
	char name[32][32];
	uint64_t size[32];
	size_t n;
};

static int add_file(void *arg, const char *name)
{
	struct files *f = arg;

	assert_true(f->n < 32 && strlen(name) < sizeof(f->name[0]));
	memcpy(f->name[f->n++], name, strlen(name) + 1);
	return 0;
}

static struct file *open_file(struct env_sim *sim, const char *name)
{
	char path[ENV_PATH_MAX];
	struct file *f;

	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_open(env_sim_env(sim), path, ENV_READ | ENV_WRITE, &f), 0);
	return f;
}

static void list_files(struct env_sim *sim, struct files *out)
{
	struct env *env = env_sim_env(sim);
	struct file *f;
	size_t i;

	out->n = 0;
	assert_int_equal(env->ops->list(env, "store", add_file, out), 0);
	for (i = 0; i < out->n; i++) {
		f = open_file(sim, out->name[i]);
		assert_int_equal(f->ops->size(f, &out->size[i]), 0);
		file_close(f);
	}
}

static bool is_spare(const char *name)
{
	return strstr(name, ".spare") != NULL;
}

static void flip_one(struct store *st, const char *name, uint64_t offset, uint8_t mask)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	char damage[128], path[ENV_PATH_MAX];

	(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x", name,
		       (unsigned long long)offset, mask);
	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
	check_disk(st, disk, damage);
	env_sim_free(disk);
}

/* stride 1: each byte. Else one of so many, another one for each stretch; fewer where each
 * takes long, under Valgrind say. */
static void flip_bytes(struct store *st, uint64_t stride, uint64_t seed)
{
	struct files f;
	uint64_t offset;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = (is_spare(f.name[i]) ? 8192 : stride) * test_scale();

		for (offset = 0; offset < f.size[i]; offset += step) {
			uint64_t at = offset + fixture_random(&seed) % step;

			if (at < f.size[i])
				flip_one(st, f.name[i], at,
					 (uint8_t)(1u << fixture_random(&seed) % 8));
		}
	}
}

static void zero_sectors(struct store *st)
{
	static const uint8_t zero[512];
	struct files f;
	uint64_t offset;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++)
		for (offset = 0; !is_spare(f.name[i]) && offset < f.size[i];
		     offset += sizeof(zero) * test_scale()) {
			struct env_sim *disk = env_sim_copy(st->disk, false);
			struct file *file = open_file(disk, f.name[i]);
			uint64_t left = f.size[i] - offset;
			char damage[128];

			(void)snprintf(damage, sizeof(damage), "%s: zeros from %llu on",
				       f.name[i], (unsigned long long)offset);
			assert_int_equal(
				file_write(file, offset, zero,
					   left < sizeof(zero) ? left : sizeof(zero)),
				0);
			file_close(file);
			check_disk(st, disk, damage);
			env_sim_free(disk);
		}
}

static void cut_one(struct store *st, const char *name, uint64_t size)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct file *file = open_file(disk, name);
	char damage[128];

	(void)snprintf(damage, sizeof(damage), "%s: cut to %llu", name,
		       (unsigned long long)size);
	assert_int_equal(file->ops->truncate(file, size), 0);
	file_close(file);
	check_disk(st, disk, damage);
	env_sim_free(disk);
}

static void cut_files(struct store *st, uint64_t step)
{
	struct files f;
	uint64_t size;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		for (size = 0; !is_spare(f.name[i]) && size < f.size[i];
		     size += step * test_scale())
			cut_one(st, f.name[i], size);
		if (f.size[i])
			cut_one(st, f.name[i], f.size[i] - 1);
	}
}

static void remove_files(struct store *st)
{
	struct files f;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		struct env_sim *disk = env_sim_copy(st->disk, false);
		struct env *env = env_sim_env(disk);
		char damage[128], path[ENV_PATH_MAX];

		(void)snprintf(damage, sizeof(damage), "%s: gone", f.name[i]);
		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		check_disk(st, disk, damage);
		env_sim_free(disk);
	}
}

/* ---- the tests ---- */

static void make_store(struct store *st)
{
	memset(st->version, 0, sizeof(st->version));
	st->disk = env_sim_new(&(struct env_sim_config){ .seed = 7, .no_journal = true });
	st->make(st->disk, st->version);
	st->opened = st->refused = 0;
}

/* Of many damages some are refused and some do no harm; of few, where the scale is small, there
 * may be one sort alone. */
static void check_both_sorts(const struct store *st)
{
	assert_true(st->opened + st->refused > 0);
	if (st->opened + st->refused >= MANY)
		assert_true(st->opened && st->refused);
}

/* Damages of all kinds: each was noticed, or did no harm; some were of each sort. */
static void damage_in_all_ways(struct store *st, uint64_t stride, uint64_t step)
{
	make_store(st);
	flip_bytes(st, stride, 11);
	zero_sectors(st);
	cut_files(st, step);
	remove_files(st);
	print_message("%s (%s): %llu opened, %llu refused\n", st->name, st->options,
		      (unsigned long long)st->opened, (unsigned long long)st->refused);
	check_both_sorts(st);
	env_sim_free(st->disk);
}

/* An undamaged store gives no error at all: the other tests rest on it. */
static void test_undamaged_store_answers_everything(void **state)
{
	struct store stores[] = {
		{ .name = "sessions", .make = make_sessions, .bytes = VALUE },
		{ .name = "cleaned", .make = make_cleaned, .bytes = VALUE },
		{ .name = "full", .make = make_full, .bytes = 2000 },
	};
	static const char *const options[] = { SMALL, SMALL ",map=off",
					       SMALL ",table=chaining" };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		make_store(&stores[i]);
		for (j = 0; j < sizeof(options) / sizeof(options[0]); j++) {
			struct store *st = &stores[i];
			struct env_sim *disk = env_sim_copy(st->disk, false);
			struct kv *kv = open_store(disk, options[j]);

			assert_int_equal(get_all(st, kv, "none"), 0);
			assert_int_equal(multi_get_all(st, kv, "none"), 0);
			assert_int_equal(walk(st, kv, "none"), 0);
			assert_int_equal(kv_verify(kv, NULL), 0);
			assert_int_equal(kv_close(kv), 0);
			env_sim_free(disk);
		}
		env_sim_free(stores[i].disk);
	}
}

static void test_every_byte_of_a_store_of_sessions(void **state)
{
	struct store st = { .name = "sessions",
			    .make = make_sessions,
			    .bytes = VALUE,
			    .options = SMALL };

	(void)state;
	damage_in_all_ways(&st, 1, 64);
}

static void test_every_byte_where_the_whole_log_is_replayed(void **state)
{
	struct store st = { .name = "sessions",
			    .make = make_sessions,
			    .bytes = VALUE,
			    .options = SMALL ",table=chaining,map=off" };

	(void)state;
	damage_in_all_ways(&st, 1, 8);
}

static void test_every_byte_of_a_cleaned_store(void **state)
{
	struct store st = { .name = "cleaned",
			    .make = make_cleaned,
			    .bytes = VALUE,
			    .options = SMALL ",map=off" };

	(void)state;
	damage_in_all_ways(&st, 1, 64);
}

static void test_every_byte_where_a_cleaned_log_is_replayed(void **state)
{
	struct store st = { .name = "cleaned",
			    .make = make_cleaned,
			    .bytes = VALUE,
			    .options = SMALL ",table=linear" };

	(void)state;
	damage_in_all_ways(&st, 1, 8);
}

/* Without a checkpoint to say how long the log was, its own end mark does. */
static void test_every_byte_of_a_log_without_checkpoint(void **state)
{
	struct store st = { .name = "no checkpoint",
			    .make = make_sessions,
			    .bytes = VALUE,
			    .options = SMALL ",map=off" };
	struct env *env;

	(void)state;
	make_store(&st);
	env = env_sim_env(st.disk);
	assert_int_equal(env->ops->unlink(env, "store/INDEX"), 0);
	flip_bytes(&st, 1, 13);
	print_message("%s: %llu opened, %llu refused\n", st.name,
		      (unsigned long long)st.opened, (unsigned long long)st.refused);
	check_both_sorts(&st);
	env_sim_free(st.disk);
}

static void test_bytes_of_full_segments(void **state)
{
	struct store st = {
		.name = "full", .make = make_full, .bytes = 2000, .options = SMALL
	};

	(void)state;
	damage_in_all_ways(&st, 1009, 4096);
	st.options = SMALL ",table=cuckoo,map=off";
	damage_in_all_ways(&st, 1009, 1000);
}

/* Other bytes, round by round, as long as KV_TORTURE says. */
static void test_torture(void **state)
{
	struct store st = { .name = "full", .make = make_full, .bytes = 2000 };
	time_t end = time(NULL) + (time_t)fixture_torture_seconds();
	uint64_t seed;

	(void)state;
	if (!fixture_torture_seconds())
		skip();
	make_store(&st);
	for (seed = 100; time(NULL) < end; seed++) {
		st.options = seed % 2 ? SMALL : SMALL ",table=cuckoo,map=off";
		print_message("seed %llu\n", (unsigned long long)seed);
		flip_bytes(&st, 101, seed);
	}
	env_sim_free(st.disk);
}

/* One segment is bad: the others are cleaned, it stays, and what it lost is told. */
static void test_damaged_segment_does_not_stop_cleaning(void **state)
{
	struct store st = { .name = "full", .make = make_full, .bytes = 2000 };
	struct files before, after;
	char path[ENV_PATH_MAX];
	const char *bad;
	struct kv *kv;
	size_t i;

	(void)state;
	make_store(&st);
	list_files(st.disk, &before);
	for (i = 0; !strstr(before.name[i], ".log"); i++)
		assert_true(i + 1 < before.n);
	bad = before.name[i];
	assert_int_equal(env_path(path, "store", bad), 0);
	assert_int_equal(env_sim_flip(st.disk, path, 30000, 4), 0);
	kv = open_store(st.disk, SMALL ",clean_percent=100");
	/* Told once by each look at it, and not again. */
	for (i = 0; i < 2 && kv_compact(kv) == -EBADMSG; i++)
		;
	assert_int_equal(i, 1);
	assert_true(fixture_stat(kv, "segments_cleaned") > 0);
	ask(&st, kv, "one segment");
	assert_int_equal(kv_close(kv), 0);
	list_files(st.disk, &after);
	for (i = 0; strcmp(after.name[i], bad) != 0; i++)
		assert_true(i + 1 < after.n);
	env_sim_free(st.disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_undamaged_store_answers_everything),
		LEAK_CHECKED(test_every_byte_of_a_store_of_sessions),
		LEAK_CHECKED(test_every_byte_where_the_whole_log_is_replayed),
		LEAK_CHECKED(test_every_byte_of_a_cleaned_store),
		LEAK_CHECKED(test_every_byte_where_a_cleaned_log_is_replayed),
		LEAK_CHECKED(test_every_byte_of_a_log_without_checkpoint),
		LEAK_CHECKED(test_bytes_of_full_segments),
		LEAK_CHECKED(test_damaged_segment_does_not_stop_cleaning),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
