/* SPDX-License-Identifier: MIT */
/*
 * kv_damage.c - see kv_damage.h.
 */
#include "kv_damage.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"

#define GONE 0x80000000u

/* ---- making stores ---- */

void kv_damage_put(struct kv_damage_store *st, struct kv *kv, unsigned int key,
		   enum kv_durability how)
{
	st->version[key] = (st->version[key] & ~GONE) + 1;
	assert_int_equal(
		fixture_put(kv, key, st->version[key], st->value_bytes(key), how), 0);
}

void kv_damage_delete(struct kv_damage_store *st, struct kv *kv, unsigned int key)
{
	assert_int_equal(fixture_delete(kv, key, KV_NONE), 0);
	st->version[key] |= GONE;
}

void kv_damage_make_tail(struct kv_damage_store *st, struct kv *kv)
{
	char k[3][FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_op op[2];
	unsigned int i;

	kv_damage_put(st, kv, 5, KV_NONE);
	kv_damage_delete(st, kv, 6);
	kv_damage_put(st, kv, 10, KV_SYNC);
	st->version[7] = (st->version[7] & ~GONE) + 1;
	op[0] = (struct kv_op){ KV_PUT, fixture_key(k[0], 7),
				fixture_value(v, 7, st->version[7], st->value_bytes(7)) };
	op[1] = (struct kv_op){ KV_DELETE_RANGE, fixture_key(k[1], 20),
				fixture_key(k[2], 24) };
	for (i = 20; i < 24; i++)
		st->version[i] |= GONE;
	assert_int_equal(kv_write(kv, op, 2, KV_SYNC), 0);
	kv_damage_put(st, kv, 11, KV_SYNC);
	kv_damage_put(st, kv, KV_DAMAGE_KEYS - 1, KV_SYNC);
}

struct kv *kv_damage_open(const struct kv_damage_store *st, struct env_sim *disk)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(st->ops, env_sim_env(disk), "store", st->options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

void kv_damage_make(struct kv_damage_store *st, uint64_t seed)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = seed });
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct kv *kv = kv_damage_open(st, sim);

	memset(st->version, 0, sizeof(st->version));
	st->make(st, kv);
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

static unsigned int wanted(const struct kv_damage_store *st, unsigned int key)
{
	return st->version[key] & GONE ? 0 : st->version[key];
}

static bool is_right(const struct kv_damage_store *st, unsigned int key,
		     unsigned int version)
{
	return version == wanted(st, key) || (st->killed && key == KV_DAMAGE_KEYS - 1 &&
					      version == wanted(st, key) - 1);
}

/* error and value are the answer for the key: right, or an honest error (counted)? */
static void judge(const struct kv_damage_store *st, unsigned int key, int error,
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
		version =
			fixture_version(key, st->value_bytes(key), value.data, value.len);
	if (!is_right(st, key, version))
		fail_msg("%s: %s: key %u: version %u, wanted %u", st->name, damage, key,
			 version, wanted(st, key));
}

unsigned int kv_damage_get_all(const struct kv_damage_store *st, struct kv *kv,
			       const char *damage)
{
	struct kv_buf value = { 0 };
	unsigned int key, errors = 0;
	char k[FIXTURE_KEY];
	int error;

	for (key = 0; key < KV_DAMAGE_KEYS; key++) {
		error = kv_get(kv, fixture_key(k, key), &value);
		judge(st, key, error, kv_slice(value.data, value.len), damage, &errors);
	}
	kv_buf_free(&value);
	return errors;
}

/* A walk that reaches the end has met every key once, in order. */
static unsigned int walk(const struct kv_damage_store *st, struct kv *kv, bool back,
			 const char *damage)
{
	bool met[KV_DAMAGE_KEYS] = { false };
	unsigned int key, errors = 0, last = back ? KV_DAMAGE_KEYS : 0;
	struct kv_cursor *c;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = back ? kv_prev(c) : kv_next(c))) {
		char text[FIXTURE_KEY] = "";

		if (c->key.len >= sizeof(text))
			fail_msg("%s: %s: a key nobody wrote", st->name, damage);
		memcpy(text, c->key.data, c->key.len);
		if (sscanf(text, "key%u", &key) != 1 || key >= KV_DAMAGE_KEYS ||
		    met[key] || !wanted(st, key) || (back ? key >= last : key < last))
			fail_msg("%s: %s: the walk met \"%s\"", st->name, damage, text);
		met[key] = true;
		last = key;
		judge(st, key, 0, c->value, damage, &errors);
	}
	kv_cursor_close(c);
	if (error == -EBADMSG)
		return errors + 1;
	assert_int_equal(error, -ENOENT);
	for (key = 0; key < KV_DAMAGE_KEYS; key++)
		if (wanted(st, key) && !met[key])
			fail_msg("%s: %s: the walk missed key %u", st->name, damage, key);
	return errors;
}

/* verify() may complain of what no get meets, and must of what one does. */
unsigned int kv_damage_ask(const struct kv_damage_store *st, struct kv *kv,
			   const char *damage)
{
	struct kv_msg why = { "" };
	unsigned int errors = kv_damage_get_all(st, kv, damage);
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
static struct kv *try_open(struct kv_damage_store *st, struct env_sim *disk,
			   const char *damage)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(st->ops, env_sim_env(disk), "store", st->options, &kv, &why);

	if (!error)
		return kv;
	if ((error != -EBADMSG && error != -EPROTONOSUPPORT) || !why.text[0])
		fail_msg("%s: %s: open says %d \"%s\"", st->name, damage, error,
			 why.text);
	return NULL;
}

void kv_damage_check(struct kv_damage_store *st, struct env_sim *disk, const char *damage)
{
	struct kv *kv = try_open(st, disk, damage);
	int error;

	if (!kv) {
		st->refused++;
		return;
	}
	st->opened++;
	kv_damage_ask(st, kv, damage);
	error = kv_compact(kv);
	if (error && error != -EBADMSG)
		fail_msg("%s: %s: compact says %d", st->name, damage, error);
	kv_damage_ask(st, kv, damage);
	assert_int_equal(kv_close(kv), 0);
	kv = try_open(st, disk, damage);
	if (!kv)
		return;
	kv_damage_ask(st, kv, damage);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- the damages ---- */

struct files {
	struct story_names names;
	uint64_t size[64];
};

static void list_files(const struct kv_damage_store *st, struct files *out)
{
	size_t i;

	story_list(st->disk, st->folder, &out->names);
	for (i = 0; i < out->names.n; i++)
		out->size[i] = story_file_bytes(st->disk, out->names.name[i]);
}

void kv_damage_flip(struct kv_damage_store *st, const char *name, uint64_t offset,
		    uint8_t mask)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	char damage[128], path[ENV_PATH_MAX];

	(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x", name,
		       (unsigned long long)offset, mask);
	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
	kv_damage_check(st, disk, damage);
	env_sim_free(disk);
}

/* What a log has lost at its end, where nothing says that there was more, is gone as in a
 * crash. */
bool kv_damage_may_lack_end(const struct kv_damage_store *st, const char *name)
{
	return st->killed && strstr(name, ".log");
}

void kv_damage_zero_sectors(struct kv_damage_store *st)
{
	static const uint8_t zero[512];
	struct files f;
	uint64_t offset;
	size_t i;

	list_files(st, &f);
	for (i = 0; i < f.names.n; i++)
		for (offset = 0;
		     !kv_damage_may_lack_end(st, f.names.name[i]) && offset < f.size[i];
		     offset += sizeof(zero) * (1 + 4 * test_one_in(KV_DAMAGE_ONE_IN))) {
			struct env_sim *disk = env_sim_copy(st->disk, false);
			struct file *file = story_open_file(disk, f.names.name[i]);
			uint64_t left = f.size[i] - offset;
			char damage[128];

			(void)snprintf(damage, sizeof(damage), "%s: zeros from %llu on",
				       f.names.name[i], (unsigned long long)offset);
			assert_int_equal(
				file_write(file, offset, zero,
					   left < sizeof(zero) ? left : sizeof(zero)),
				0);
			file_close(file);
			kv_damage_check(st, disk, damage);
			env_sim_free(disk);
		}
}

static void cut_one(struct kv_damage_store *st, const char *name, uint64_t size)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct file *file = story_open_file(disk, name);
	char damage[128];

	(void)snprintf(damage, sizeof(damage), "%s: cut to %llu", name,
		       (unsigned long long)size);
	assert_int_equal(file->ops->truncate(file, size), 0);
	file_close(file);
	kv_damage_check(st, disk, damage);
	env_sim_free(disk);
}

void kv_damage_cut_files(struct kv_damage_store *st)
{
	struct files f;
	uint64_t size;
	size_t i;

	list_files(st, &f);
	for (i = 0; i < f.names.n; i++) {
		uint64_t step = f.size[i] / 25 + 1;

		if (kv_damage_may_lack_end(st, f.names.name[i]))
			continue;
		for (size = 0; size < f.size[i];
		     size += step * test_one_in(KV_DAMAGE_ONE_IN))
			cut_one(st, f.names.name[i], size);
		cut_one(st, f.names.name[i], f.size[i] - 1);
	}
}

void kv_damage_remove_files(struct kv_damage_store *st)
{
	struct files f;
	size_t i;

	list_files(st, &f);
	for (i = 0; i < f.names.n; i++) {
		struct env_sim *disk = env_sim_copy(st->disk, false);
		struct env *env = env_sim_env(disk);
		char damage[128], path[ENV_PATH_MAX];

		(void)snprintf(damage, sizeof(damage), "%s: gone", f.names.name[i]);
		assert_int_equal(env_path(path, "store", f.names.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		kv_damage_check(st, disk, damage);
		env_sim_free(disk);
	}
}

/* ---- whole tests ---- */

void kv_damage_none(struct kv_damage_store *stores, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct kv_damage_store *st = &stores[i];
		struct kv *kv;

		kv_damage_make(st, 7);
		kv = kv_damage_open(st, st->disk);
		assert_int_equal(kv_damage_ask(st, kv, "none"), 0);
		assert_int_equal(kv_verify(kv, NULL), 0);
		assert_int_equal(kv_close(kv), 0);
		env_sim_free(st->disk);
	}
}

void kv_damage_torture(struct kv_damage_store *stores, size_t n)
{
	time_t end = time(NULL) + (time_t)fixture_torture_seconds();
	uint64_t seed;

	if (!fixture_torture_seconds())
		skip();
	for (seed = 100; time(NULL) < end; seed++) {
		struct kv_damage_store *st = &stores[seed % n];

		print_message("seed %llu: %s\n", (unsigned long long)seed, st->name);
		kv_damage_make(st, 7);
		st->flip_bytes(st, seed < 100 + n ? 7 : 1, seed, end);
		env_sim_free(st->disk);
	}
}
