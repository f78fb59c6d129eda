/* SPDX-License-Identifier: MIT */
/*
 * btree_corruption_tests.c - bytes that change at rest: the right answer or an error.
 *
 * A store is copied, one thing in it is damaged (a byte, a sector, a length, a file that is
 * gone), and it is opened. Then every key is asked for in every way, the store is compacted,
 * closed, opened again and asked again: compaction and a new checkpoint must not make a loss
 * out of what was an error.
 *
 * In the quick form one byte in six of superblocks and page headers is flipped, and one in
 * more of the rest; with KV_TORTURE all of the former, then each byte, as long as it says.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../btree_engine.h"

#include <time.h>

enum { KEYS = 60, PAGE = 4096, PAGE_HEADER = 40, FILES = 16, NAME = 32, ONE_IN = 6 };

#define GONE  0x80000000u
#define SMALL "segment_bytes=64k,checkpoint_bytes=64k,huge=off"

struct store {
	const char *name, *options;
	void (*make)(struct kv *kv, unsigned int *version);
	bool killed; /* it was not closed: the last record may be taken for a torn one */
	unsigned int version[KEYS];
	struct env_sim *disk;
	uint64_t opened, refused; /* how it went, over all damages */
};

/* ---- making them ---- */

static size_t bytes_of(unsigned int key) /* some on overflow pages */
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

static void make_tree(struct kv *kv, unsigned int *version)
{
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		put(kv, version, i * 17 % KEYS, KV_NONE);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < KEYS; i += 4)
		put(kv, version, i, i % 8 ? KV_SYNC : KV_NONE);
	for (i = 1; i < KEYS; i += 9)
		delete (kv, version, i);
}

/* A checkpoint, and a tail of the log behind it that ends with durable records. */
static void make_tail(struct kv *kv, unsigned int *version)
{
	char k[3][FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_op op[3];

	make_tree(kv, version);
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
	version[20] |= GONE;
	version[21] |= GONE;
	version[22] |= GONE;
	version[23] |= GONE;
	assert_int_equal(kv_write(kv, op, 2, KV_SYNC), 0);
	put(kv, version, 11, KV_SYNC);
	put(kv, version, KEYS - 1, KV_SYNC);
}

static struct kv *open_or_fail(struct env_sim *sim, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&btree_engine, env_sim_env(sim), "store", options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void make_store(struct store *st)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 7 });
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
	int error = kv_open(&btree_engine, env_sim_env(disk), "store", st->options, &kv,
			    &why);

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
	char name[FILES][NAME];
	uint64_t size[FILES];
	size_t n;
};

static int add_file(void *arg, const char *name)
{
	struct files *f = arg;

	if (strstr(name, ".spare") || !strcmp(name, "LOCK"))
		return 0;
	assert_true(f->n < FILES && strlen(name) < NAME);
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

/* How far to go from this byte to the next: the unit's bytes are in data. */
static uint64_t step_at(const uint8_t *data, size_t len, bool pages, uint64_t at,
			uint64_t stride)
{
	size_t i;

	for (i = 0; i < len && !data[i]; i++)
		;
	if (i == len) /* nothing was written there */
		return PAGE;
	return (pages && at < PAGE_HEADER) || stride == 1 ? 1 : stride;
}

static void flip_bytes(struct store *st, uint64_t stride, uint64_t seed, time_t end)
{
	static uint8_t unit[PAGE];
	struct files f;
	size_t i, got;

	list_files(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		bool pages = !strcmp(f.name[i], "TREE");
		struct file *file = open_file(st->disk, f.name[i]);
		uint64_t at, from, step;

		for (from = 0; from < f.size[i]; from += PAGE) {
			assert_int_equal(file_read(file, from, unit, PAGE, &got), 0);
			for (at = 0; at < got && (!end || time(NULL) < end); at += step) {
				step = step_at(unit, got, pages, at, stride) *
				       test_one_in(ONE_IN);
				flip_one(st, f.name[i],
					 from + at +
						 (step > 1 ? fixture_random(&seed) %
								     (step < got - at
									      ? step
									      : got - at)
							   : 0),
					 (uint8_t)(1u << fixture_random(&seed) % 8));
			}
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

/* One page has another's bytes, whole and with a right checksum: a write that went astray. */
static void misdirect_pages(struct store *st)
{
	uint8_t page[PAGE];
	uint64_t from, size;
	struct file *file = open_file(st->disk, "TREE");
	size_t got;

	assert_int_equal(file->ops->size(file, &size), 0);
	for (from = 0; from + 2 * PAGE <= size; from += PAGE * test_one_in(ONE_IN)) {
		struct env_sim *disk = env_sim_copy(st->disk, false);
		struct file *copy = open_file(disk, "TREE");
		char damage[64];

		(void)snprintf(damage, sizeof(damage), "page %llu overwrites the next",
			       (unsigned long long)from / PAGE);
		assert_int_equal(file_read(file, from, page, PAGE, &got), 0);
		assert_int_equal(file_write(copy, from + PAGE, page, PAGE), 0);
		file_close(copy);
		check_disk(st, disk, damage);
		env_sim_free(disk);
	}
	file_close(file);
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

/* ---- the tests ---- */

/* Damages of all kinds: each was noticed, or did no harm; some were of each sort. */
static void damage_in_all_ways(struct store *st, uint64_t stride)
{
	make_store(st);
	flip_bytes(st, stride, 11, 0);
	zero_sectors(st);
	misdirect_pages(st);
	cut_files(st);
	remove_files(st);
	print_message("%s (%s): %llu opened, %llu refused\n", st->name, st->options,
		      (unsigned long long)st->opened, (unsigned long long)st->refused);
	assert_true(st->opened && st->refused);
	env_sim_free(st->disk);
}

static struct store stores[] = {
	{ .name = "closed", .options = SMALL ",max_keys=4", .make = make_tree },
	{ .name = "killed",
	  .options = SMALL ",max_keys=6,overflow_bytes=200",
	  .make = make_tail,
	  .killed = true },
	{ .name = "packed", .options = SMALL ",map=off", .make = make_tree },
};

enum { STORES = sizeof(stores) / sizeof(stores[0]) };

/* An undamaged store gives no error at all: the other tests rest on it. */
static void test_undamaged_store_answers_everything(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < STORES; i++) {
		struct kv *kv;

		make_store(&stores[i]);
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
	damage_in_all_ways(&stores[0], 251);
}

static void test_damaged_killed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[1], 53);
}

static void test_damaged_packed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[2], 71);
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
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
