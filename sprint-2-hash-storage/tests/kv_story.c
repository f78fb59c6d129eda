/* SPDX-License-Identifier: MIT */
/*
 * kv_story.c - see kv_story.h.
 */
#include "kv_story.h"

enum { BATCH = 4 };

/* ---- making stores ---- */

size_t story_value_bytes(unsigned int key)
{
	return key % 20 == 0 ? STORY_PAGE - 20 : key % 10 == 5 ? 100 : 24;
}

struct kv *story_open(const struct story *st)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(st->of->ops, env_sim_env(st->disk), "store", st->of->options, &kv,
		    &why))
		fail_msg("%s", why.text);
	return kv;
}

static void put(struct story *st, struct kv *kv, unsigned int key, enum kv_durability how)
{
	st->truth[key] = ++st->writes[key];
	assert_int_equal(
		fixture_put(kv, key, st->truth[key], story_value_bytes(key), how), 0);
}

static void take_out(struct story *st, struct kv *kv, unsigned int key)
{
	st->truth[key] = 0;
	assert_int_equal(fixture_delete(kv, key, KV_NONE), 0);
}

static void delete_range(struct story *st, struct kv *kv, unsigned int from,
			 unsigned int to)
{
	char a[FIXTURE_KEY], b[FIXTURE_KEY];
	const struct kv_op op = { KV_DELETE_RANGE, fixture_key(a, from),
				  fixture_key(b, to) };

	assert_int_equal(kv_write(kv, &op, 1, KV_NONE), 0);
	for (; from < to; from++)
		st->truth[from] = 0;
}

/* Puts, and a delete of the last. */
static void batch(struct story *st, struct kv *kv, unsigned int first,
		  enum kv_durability how)
{
	static char v[BATCH][FIXTURE_VALUE];
	char k[BATCH][FIXTURE_KEY];
	struct kv_op op[BATCH];
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		unsigned int key = first + i;

		st->truth[key] = ++st->writes[key];
		op[i] = (struct kv_op){
			i + 1 < BATCH ? KV_PUT : KV_DELETE, fixture_key(k[i], key),
			fixture_value(v[i], key, st->truth[key], story_value_bytes(key))
		};
	}
	st->truth[first + BATCH - 1] = 0;
	assert_int_equal(kv_write(kv, op, BATCH, how), 0);
}

void story_first_session(struct story *st)
{
	struct kv *kv = story_open(st);
	unsigned int i;

	for (i = 0; i < STORY_KEYS; i++)
		put(st, kv, i * 7 % STORY_KEYS, KV_NONE);
	for (i = 0; i < STORY_KEYS; i += 9)
		take_out(st, kv, i);
	assert_int_equal(kv_close(kv), 0);
}

void story_second_session(struct story *st)
{
	struct kv *kv = story_open(st);
	unsigned int i;

	for (i = 0; i < STORY_KEYS; i += 2)
		put(st, kv, i, i % 8 ? KV_NONE : KV_SYNC);
	delete_range(st, kv, 31, 36);
	batch(st, kv, 48, KV_NONE);
	put(st, kv, 33, KV_NONE);
	assert_int_equal(kv_close(kv), 0);
}

/* Writes that are in the log alone; then the process is gone. */
static void killed_session(struct story *st)
{
	struct kv *kv = story_open(st);
	struct env_sim *left;
	unsigned int i;

	for (i = 1; i < STORY_KEYS; i += 3)
		put(st, kv, i, i % 5 ? KV_NONE : KV_SYNC);
	delete_range(st, kv, 20, 24);
	batch(st, kv, 40, KV_SYNC);
	take_out(st, kv, 7);
	st->last = 21;
	for (i = 0; i < 3; i++)
		put(st, kv, st->last, KV_SYNC);
	left = env_sim_copy(st->disk, false);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(st->disk);
	st->disk = left;
}

void story_begin(struct story *st, const struct judge_subject *of, uint64_t seed)
{
	assert_int_equal(of->keys, STORY_KEYS);
	memset(st, 0, sizeof(*st));
	st->of = of;
	st->last = STORY_KEYS;
	st->disk =
		env_sim_new(&(struct env_sim_config){ .seed = seed, .no_journal = true });
}

void story_end(struct story *st)
{
	env_sim_free(st->disk);
}

void story_make_closed(struct story *st, const struct judge_subject *of)
{
	story_begin(st, of, 5);
	story_first_session(st);
	story_second_session(st);
}

void story_make_killed(struct story *st, const struct judge_subject *of)
{
	story_make_closed(st, of);
	killed_session(st);
}

/* ---- judging ---- */

void story_expect_honest(const struct story *st, const struct judge_salvaged *s,
			 const char *damage, unsigned int *missing,
			 unsigned int *in_doubt)
{
	unsigned int key;

	*missing = *in_doubt = 0;
	if (s->found.error)
		fail_msg("%s: salvage says %d: %s", damage, s->found.error,
			 s->found.why.text);
	for (key = 0; key < STORY_KEYS; key++) {
		if (s->version[key] > st->writes[key])
			fail_msg("%s: key %u: version %u was never written", damage, key,
				 s->version[key]);
		*missing += st->truth[key] && !s->version[key];
		*in_doubt += s->doubtful[key];
		if (s->version[key] && s->version[key] != st->truth[key] &&
		    !s->doubtful[key] && key != st->last)
			fail_msg("%s: key %u: version %u of %u is not in doubt: %s",
				 damage, key, s->version[key], st->truth[key],
				 s->found.text);
	}
}

struct judge_outcome story_judge(const struct story *st, struct env_sim *disk,
				 const char *damage, struct story_tally *t)
{
	struct judge_outcome o = judge_check(st->of, disk);
	unsigned int lines, missing, in_doubt;
	struct judge_salvaged s;
	int error;

	if (o.error)
		fail_msg("%s: the check says %d: %s", damage, o.error, o.why.text);
	s = judge_salvage(st->of, disk);
	story_expect_honest(st, &s, damage, &missing, &in_doubt);
	if (!o.faults && (missing || in_doubt || s.found.faults))
		fail_msg("%s: no fault was found, and salvage misses %u, doubts %u: %s",
			 damage, missing, in_doubt, s.found.text);
	assert_int_equal(judge_structure(st->of, disk, &lines), 0);
	assert_true(lines > 3);
	error = judge_use(st->of, disk, st->truth, st->last, damage);
	if (error && !o.faults)
		fail_msg("%s: no fault was found (%s), and a use says %d", damage, o.text,
			 error);
	judge_count(&t->found, &o);
	if (t->most_missing < missing)
		t->most_missing = missing;
	if (t->most_in_doubt < in_doubt)
		t->most_in_doubt = in_doubt;
	return o;
}

void story_print(const char *name, const struct story_tally *t)
{
	judge_print(name, &t->found);
	print_message("    at most %u pairs missing, %u in doubt\n", t->most_missing,
		      t->most_in_doubt);
}

/* ---- files ---- */

static int add_name(void *arg, const char *name)
{
	struct story_names *f = arg;

	if (strstr(name, ".spare") || !strcmp(name, "LOCK") || !strcmp(name, f->folder))
		return 0;
	assert_true(f->n < 64 &&
		    strlen(f->folder) + strlen(name) + 1 < sizeof(f->name[0]));
	(void)snprintf(f->name[f->n++], sizeof(f->name[0]), "%s%s%s",
		       f->inside ? f->folder : "", f->inside ? "/" : "", name);
	return 0;
}

void story_list(struct env_sim *disk, const char *folder, struct story_names *out)
{
	struct env *env = env_sim_env(disk);
	char path[ENV_PATH_MAX];

	*out = (struct story_names){ .folder = folder ? folder : "" };
	assert_int_equal(env->ops->list(env, "store", add_name, out), 0);
	if (!folder)
		return;
	out->inside = true;
	assert_int_equal(env_path(path, "store", folder), 0);
	assert_int_equal(env->ops->list(env, path, add_name, out), 0);
}

struct file *story_open_file(struct env_sim *disk, const char *name)
{
	char path[ENV_PATH_MAX];
	struct file *f;

	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_open(env_sim_env(disk), path, ENV_READ | ENV_WRITE, &f), 0);
	return f;
}

uint64_t story_file_bytes(struct env_sim *disk, const char *name)
{
	struct file *f = story_open_file(disk, name);
	uint64_t bytes;

	assert_int_equal(f->ops->size(f, &bytes), 0);
	file_close(f);
	return bytes;
}

void story_read_file(struct env_sim *disk, const char *name, struct kv_buf *out)
{
	char path[ENV_PATH_MAX];

	out->len = 0;
	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_read_file(env_sim_env(disk), path, 64 << 20, out), 0);
}

bool story_is_zero(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

struct judge_outcome story_flip(const struct story *st, const char *name, uint64_t offset,
				uint8_t mask, struct story_tally *t)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	char damage[128], path[ENV_PATH_MAX];
	struct judge_outcome o;

	(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x", name,
		       (unsigned long long)offset, mask);
	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
	o = story_judge(st, disk, damage, t);
	env_sim_free(disk);
	return o;
}

struct judge_outcome story_cut(const struct story *st, const char *name, uint64_t size,
			       struct story_tally *t)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct file *file = story_open_file(disk, name);
	struct judge_outcome o;
	char damage[128];

	assert_int_equal(file->ops->truncate(file, size), 0);
	file_close(file);
	(void)snprintf(damage, sizeof(damage), "%s: cut to %llu", name,
		       (unsigned long long)size);
	o = story_judge(st, disk, damage, t);
	env_sim_free(disk);
	return o;
}

struct judge_outcome story_lose(const struct story *st, const char *name,
				struct story_tally *t)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct env *env = env_sim_env(disk);
	char path[ENV_PATH_MAX];
	struct judge_outcome o;

	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env->ops->unlink(env, path), 0);
	o = story_judge(st, disk, name, t);
	env_sim_free(disk);
	return o;
}
