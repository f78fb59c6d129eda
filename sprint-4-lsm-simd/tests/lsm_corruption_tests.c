/* SPDX-License-Identifier: MIT */
/*
 * lsm_corruption_tests.c - bytes of an LSM store that change at rest: the right answer or an
 * error.
 *
 * A store is copied, one thing in it is damaged (a byte, a sector, a length, a file that is
 * gone, has another's place, or is of another store), and it is opened. Then every key is asked
 * for in every way, the store is compacted, closed, opened again and asked again: compaction
 * must not make a loss out of what was an error.
 *
 * In the quick form a few bytes of each file are flipped; with KV_TORTURE each byte, as long as
 * it says.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

#include <time.h>

enum { KEYS = 60, UNIT = 4096, FILES = 64, NAME = 48, ONE_IN = 6 };

#define GONE 0x80000000u
#define SMALL                                                                 \
	"memory_bytes=1m,memtable_bytes=6k,segment_bytes=64k,table_bytes=4k," \
	"block_bytes=256,level_bytes=8k,ratio=2,flushed_runs=2,huge=off,reserve_bytes=0"

struct store {
	const char *name, *options;
	void (*make)(struct kv *kv, unsigned int *version);
	bool killed; /* it was not closed: the last record may be taken for a torn one */
	unsigned int version[KEYS];
	struct env_sim *disk;
	uint64_t opened, refused; /* how it went, over all damages */
};

/* ---- making them ---- */

static size_t bytes_of(unsigned int key) /* some in blob files */
{
	return key % 7 == 3 ? 2500 : 40;
}

static void put(struct kv *kv, unsigned int *version, unsigned int key,
		enum kv_durability how)
{
	version[key] = (version[key] & ~GONE) + 1;
	assert_int_equal(fixture_put(kv, key, version[key], bytes_of(key), how), 0);
}

static void delete (struct kv *kv, unsigned int *version, unsigned int key)
{
	assert_int_equal(fixture_delete(kv, key, KV_NONE), 0);
	version[key] |= GONE;
}

static void make_tables(struct kv *kv, unsigned int *version)
{
	unsigned int round, i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < KEYS; i += 1 + round)
			put(kv, version, i * 17 % KEYS, KV_NONE);
		if (round < 2)
			assert_int_equal(kv_compact(kv), 0);
	}
	for (i = 1; i < KEYS; i += 9)
		delete (kv, version, i);
}

/* Tables, and a tail of the log behind them that ends with durable records. */
static void make_tail(struct kv *kv, unsigned int *version)
{
	char k[3][FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_op op[3];
	unsigned int i;

	make_tables(kv, version);
	assert_int_equal(kv_compact(kv), 0);
	put(kv, version, 5, KV_NONE);
	delete (kv, version, 6);
	put(kv, version, 10, KV_SYNC);
	op[0] = (struct kv_op){ KV_PUT, fixture_key(k[0], 7),
				fixture_value(v, 7, (version[7] & ~GONE) + 1,
					      bytes_of(7)) };
	op[1] = (struct kv_op){ KV_DELETE_RANGE, fixture_key(k[1], 20),
				fixture_key(k[2], 24) };
	version[7] = (version[7] & ~GONE) + 1;
	for (i = 20; i < 24; i++)
		version[i] |= GONE;
	assert_int_equal(kv_write(kv, op, 2, KV_SYNC), 0);
	put(kv, version, 11, KV_SYNC);
	put(kv, version, KEYS - 1, KV_SYNC);
}

static struct kv *open_or_fail(struct env_sim *sim, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&lsm_engine, env_sim_env(sim), "store", options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void make_store_by_seed(struct store *st, uint64_t seed)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = seed });
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct kv *kv = open_or_fail(sim, st->options);

	memset(st->version, 0, sizeof(st->version));
	st->make(kv, st->version);
	if (!st->killed)
		assert_int_equal(kv_close(kv), 0);
	p.at = env_sim_position(sim);
	st->disk = env_sim_crash(sim, &p, false);
	if (st->killed)
		assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
	st->opened = st->refused = 0;
}

static void make_store(struct store *st)
{
	make_store_by_seed(st, 7);
}

/* ---- asking for everything ---- */

static unsigned int wanted(const struct store *st, unsigned int key)
{
	return st->version[key] & GONE ? 0 : st->version[key];
}

static bool is_right(const struct store *st, unsigned int key, unsigned int version)
{
	return version == wanted(st, key) ||
	       (st->killed && key == KEYS - 1 && version == wanted(st, key) - 1);
}

/* error and value are the answer for the key: right, or an honest error (counted)? */
static void judge(const struct store *st, unsigned int key, int error,
		  struct kv_slice value, const char *damage, unsigned int *errors)
{
	unsigned int version = 0;

	if (error == -EBADMSG) {
		*errors += 1;
		return;
	}
	if (error && error != -ENOENT)
		fail_msg("%s: %s: key %u: error %d", st->name, damage, key, error);
	if (!error)
		version = fixture_version(key, bytes_of(key), value.data, value.len);
	if (!is_right(st, key, version))
		fail_msg("%s: %s: key %u: version %u, wanted %u", st->name, damage, key,
			 version, wanted(st, key));
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

/* A walk that reaches the end has met every key once, in order. */
static unsigned int walk(const struct store *st, struct kv *kv, bool back,
			 const char *damage)
{
	bool met[KEYS] = { false };
	unsigned int key, errors = 0, last = back ? KEYS : 0;
	struct kv_cursor *c;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = back ? kv_prev(c) : kv_next(c))) {
		char text[FIXTURE_KEY] = "";

		if (c->key.len >= sizeof(text))
			fail_msg("%s: %s: a key nobody wrote", st->name, damage);
		memcpy(text, c->key.data, c->key.len);
		if (sscanf(text, "key%u", &key) != 1 || key >= KEYS || met[key] ||
		    !wanted(st, key) || (back ? key >= last : key < last))
			fail_msg("%s: %s: the walk met \"%s\"", st->name, damage, text);
		met[key] = true;
		last = key;
		judge(st, key, 0, c->value, damage, &errors);
	}
	kv_cursor_close(c);
	if (error == -EBADMSG)
		return errors + 1;
	assert_int_equal(error, -ENOENT);
	for (key = 0; key < KEYS; key++)
		if (wanted(st, key) && !met[key])
			fail_msg("%s: %s: the walk missed key %u", st->name, damage, key);
	return errors;
}

/* verify() may complain of what no get meets, and must of what one does. */
static unsigned int ask(const struct store *st, struct kv *kv, const char *damage)
{
	struct kv_msg why = { "" };
	unsigned int errors = get_all(st, kv, damage);
	int error;

	errors += walk(st, kv, false, damage);
	errors += walk(st, kv, true, damage);
	error = kv_verify(kv, &why);
	if (error != -EBADMSG && (error || errors))
		fail_msg("%s: %s: verify says %d, after %u errors", st->name, damage,
			 error, errors);
	if (error && !why.text[0])
		fail_msg("%s: %s: verify gives no reason", st->name, damage);
	return errors;
}

/* Opens; NULL where it was refused, with a reason. */
static struct kv *try_open(struct store *st, struct env_sim *disk, const char *damage)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error =
		kv_open(&lsm_engine, env_sim_env(disk), "store", st->options, &kv, &why);

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
	char name[FILES][NAME]; /* below "store" */
	uint64_t size[FILES];
	size_t n;
	const char *prefix;
};

static int add_file(void *arg, const char *name)
{
	struct files *f = arg;

	if (strstr(name, ".spare") || !strcmp(name, "LOCK") || !strcmp(name, "manifest"))
		return 0;
	assert_true(f->n < FILES);
	(void)snprintf(f->name[f->n++], NAME, "%s%.30s", f->prefix, name);
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
	out->prefix = "";
	assert_int_equal(env->ops->list(env, "store", add_file, out), 0);
	out->prefix = "manifest/";
	assert_int_equal(env->ops->list(env, "store/manifest", add_file, out), 0);
	for (i = 0; i < out->n; i++) {
		f = open_file(sim, out->name[i]);
		assert_int_equal(f->ops->size(f, &out->size[i]), 0);
		file_close(f);
	}
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

static bool is_zero(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void flip_bytes(struct store *st, uint64_t stride, uint64_t seed, time_t end)
{
	static uint8_t unit[UNIT];
	struct files f;
	size_t i, got;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		struct file *file = open_file(st->disk, f.name[i]);
		uint64_t at, from;

		for (from = 0; from < f.size[i]; from += UNIT) {
			assert_int_equal(file_read(file, from, unit, UNIT, &got), 0);
			for (at = 0; at < got && (!end || time(NULL) < end);
			     at += is_zero(unit, got)
					   ? UNIT
					   : 1 + fixture_random(&seed) % (2 * stride - 1))
				flip_one(st, f.name[i], from + at,
					 (uint8_t)(1u << fixture_random(&seed) % 8));
		}
		file_close(file);
	}
}

/* What a log has lost at its end, where nothing says that there was more, is gone as in a
 * crash. */
static bool may_lack_end(const struct store *st, const char *name)
{
	return st->killed && strstr(name, ".log");
}

static void zero_sectors(struct store *st)
{
	static const uint8_t zero[512];
	struct files f;
	uint64_t offset;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++)
		for (offset = 0; !may_lack_end(st, f.name[i]) && offset < f.size[i];
		     offset += sizeof(zero) * (1 + 4 * test_one_in(ONE_IN))) {
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

static void cut_files(struct store *st)
{
	struct files f;
	uint64_t size;
	size_t i;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = f.size[i] / 25 + 1;

		if (may_lack_end(st, f.name[i]))
			continue;
		for (size = 0; size < f.size[i]; size += step * test_one_in(ONE_IN))
			cut_one(st, f.name[i], size);
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

/* The bytes of one file, whole and with right checksums, under the name of another. */
static void put_in_place(struct store *st, struct env_sim *from, const char *source,
			 const char *target, const char *what)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct kv_buf b = { 0 };
	char damage[160], path[ENV_PATH_MAX];
	struct file *file;

	(void)snprintf(damage, sizeof(damage), "%s: is %s %s", target, what, source);
	assert_int_equal(env_path(path, "store", source), 0);
	assert_int_equal(env_read_file(env_sim_env(from), path, 1 << 20, &b), 0);
	file = open_file(disk, target);
	assert_int_equal(file->ops->truncate(file, 0), 0);
	assert_int_equal(file_write(file, 0, b.data, b.len), 0);
	assert_int_equal(file_sync(file), 0);
	file_close(file);
	kv_buf_free(&b);
	check_disk(st, disk, damage);
	env_sim_free(disk);
}

static const char *suffix_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot : name;
}

static void swap_files(struct store *st)
{
	struct files f;
	size_t i, j;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++)
		for (j = 0; j < f.n; j++)
			if (i != j && !may_lack_end(st, f.name[j]) &&
			    !strcmp(suffix_of(f.name[i]), suffix_of(f.name[j])))
				put_in_place(st, st->disk, f.name[i], f.name[j],
					     "this store's");
}

/* Another store, made the same way, has files of the same names. */
static void mix_stores(struct store *st)
{
	struct store other = *st;
	struct files mine, its;
	size_t i, j;

	make_store_by_seed(&other, 8);
	list_files(st->disk, &mine);
	list_files(other.disk, &its);
	for (i = 0; i < mine.n; i++)
		for (j = 0; j < its.n; j++)
			if (!may_lack_end(st, mine.name[i]) &&
			    !strcmp(mine.name[i], its.name[j]))
				put_in_place(st, other.disk, its.name[j], mine.name[i],
					     "another store's");
	env_sim_free(other.disk);
}

/* ---- the tests ---- */

/* Damages of all kinds: each was noticed, or did no harm; some were of each sort. */
static void damage_in_all_ways(struct store *st, uint64_t stride)
{
	make_store(st);
	flip_bytes(st, stride * test_one_in(1), 11, 0);
	zero_sectors(st);
	cut_files(st);
	remove_files(st);
	swap_files(st);
	mix_stores(st);
	print_message("%s (%s): %llu opened, %llu refused\n", st->name, st->options,
		      (unsigned long long)st->opened, (unsigned long long)st->refused);
	assert_true(st->opened && st->refused);
	env_sim_free(st->disk);
}

static struct store stores[] = {
	{ .name = "closed", .options = SMALL, .make = make_tables },
	{ .name = "killed",
	  .options = SMALL ",style=leveled,map=off",
	  .make = make_tail,
	  .killed = true },
	{ .name = "packed",
	  .options = SMALL "," PACKED ",blob_bytes=0,access=map,style=tiered",
	  .make = make_tables },
};

enum { STORES = sizeof(stores) / sizeof(stores[0]) };

/* An undamaged store gives no error at all: the other tests rest on it. */
static void test_undamaged_store_answers_everything(void **state)
{
	struct files f;
	size_t i;

	(void)state;
	for (i = 0; i < STORES; i++) {
		struct kv *kv;

		make_store(&stores[i]);
		list_files(stores[i].disk, &f);
		assert_true(f.n >= 5);
		kv = open_or_fail(stores[i].disk, stores[i].options);
		assert_int_equal(ask(&stores[i], kv, "none"), 0);
		assert_int_equal(kv_verify(kv, NULL), 0);
		assert_int_equal(kv_close(kv), 0);
		env_sim_free(stores[i].disk);
	}
}

static void test_damaged_closed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[0], 90);
}

static void test_damaged_killed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[1], 60);
}

static void test_damaged_packed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[2], 70);
}

/* A table that is corrupt is met by one compaction, and by none after it; around it the store
 * goes on. */
static void test_corrupt_table_is_left_out_of_compactions(void **state)
{
	struct store st = stores[0];
	unsigned int errors, i;
	uint64_t excluded;
	struct files f;
	struct kv *kv;

	(void)state;
	st.options = SMALL ",blob_bytes=0";
	make_store(&st);
	list_files(st.disk, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".sst"); i++)
		;
	assert_true(i < f.n);
	{
		char path[ENV_PATH_MAX];

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env_sim_flip(st.disk, path, 100, 4), 0);
	}
	kv = open_or_fail(st.disk, st.options);
	errors = get_all(&st, kv, "a block");
	assert_true(errors > 0 && errors < KEYS / 2);
	(void)kv_compact(kv);
	excluded = fixture_stat(kv, "compactions_excluded");
	assert_true(excluded >= 1);
	for (i = 0; i < 5; i++) {
		put(kv, st.version, 50, KV_NONE);
		assert_int_equal(kv_compact(kv), 0);
	}
	assert_int_equal(fixture_stat(kv, "compactions_excluded"), excluded);
	assert_true(get_all(&st, kv, "a block") <= errors);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(st.disk);
}

/* Each byte, as far as the time goes; round by round another bit and another store. */
static void test_torture(void **state)
{
	time_t end = time(NULL) + (time_t)fixture_torture_seconds();
	uint64_t seed;

	(void)state;
	if (!fixture_torture_seconds())
		skip();
	for (seed = 100; time(NULL) < end; seed++) {
		struct store *st = &stores[seed % STORES];

		print_message("seed %llu: %s\n", (unsigned long long)seed, st->name);
		make_store(st);
		flip_bytes(st, seed < 100 + STORES ? 7 : 1, seed, end);
		env_sim_free(st->disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_undamaged_store_answers_everything),
		LEAK_CHECKED(test_damaged_closed_store),
		LEAK_CHECKED(test_damaged_killed_store),
		LEAK_CHECKED(test_damaged_packed_store),
		LEAK_CHECKED(test_corrupt_table_is_left_out_of_compactions),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
