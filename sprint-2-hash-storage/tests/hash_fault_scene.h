/* SPDX-License-Identifier: MIT */
/*
 * hash_fault_scene.h - the history that is run with something failing in it, for
 * hash_fault_tests.c: what was asked of each key, what was acknowledged, and so what a
 * store may answer, now and when it is opened again. Another engine's tests define
 * SCENE_ENGINE before they include this.
 */
#ifndef HASH_FAULT_SCENE_H
#define HASH_FAULT_SCENE_H

#include "hash_store_fixture.h"

#ifndef SCENE_ENGINE
#define SCENE_ENGINE hash_engine
#endif

enum { KEYS = 24, BATCH = 4, BYTES = 1500, STEPS_MAX = 64 };

struct step {                 /* what was asked of a key */
	unsigned int version; /* 0: a delete */
	bool acked;
};

struct history {
	struct step step[STEPS_MAX];
	unsigned int n;
	unsigned int durable; /* steps below it were acknowledged as durable */
};

struct scene {
	struct env_sim *sim;
	const char *options;
	struct kv *kv;
	struct history key[KEYS];
	bool pages_lost; /* the fault takes back what was not synced */
	bool backed_up;
	unsigned int backup_version[KEYS];
	char label[128];
};

#define complain(s, ...)                         \
	do {                                     \
		print_error("%s: ", (s)->label); \
		fail_msg(__VA_ARGS__);           \
	} while (0)

/* 0 or an errno that a caller can do something with. */
static inline int plain(const struct scene *s, const char *what, int error)
{
	static const int known[] = { 0,      -EIO,    -ENOSPC, -EMFILE,
				     -EROFS, -ENOMEM, -EAGAIN, -EBADMSG };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (error == known[i])
			return error;
	complain(s, "%s says %d", what, error);
	return error;
}

/* ---- writing, and what is known of it ---- */

static inline void everything_is_durable(struct scene *s)
{
	unsigned int key, i;

	for (key = 0; key < KEYS; key++)
		for (i = s->key[key].n; i > s->key[key].durable; i--)
			if (s->key[key].step[i - 1].acked) {
				s->key[key].durable = i;
				break;
			}
}

static inline unsigned int next_version(struct scene *s, unsigned int key)
{
	struct history *h = &s->key[key];

	assert_true(h->n < STEPS_MAX);
	h->step[h->n] = (struct step){ h->n + 1, false };
	return ++h->n;
}

static inline int acknowledge(struct scene *s, unsigned int key, int error,
			      enum kv_durability how)
{
	struct history *h = &s->key[key];

	h->step[h->n - 1].acked = !error;
	if (!error && how == KV_SYNC)
		everything_is_durable(s);
	return error;
}

static inline int put(struct scene *s, unsigned int key, enum kv_durability how)
{
	unsigned int version = next_version(s, key);
	int error = plain(s, "put", fixture_put(s->kv, key, version, BYTES, how));

	return acknowledge(s, key, error, how);
}

static inline int delete (struct scene *s, unsigned int key, enum kv_durability how)
{
	int error;

	(void)next_version(s, key);
	s->key[key].step[s->key[key].n - 1].version = 0;
	error = plain(s, "delete", fixture_delete(s->kv, key, how));
	return acknowledge(s, key, error, how);
}

/* The first keys are written by batches alone: they always are of one version. */
static inline int put_batch(struct scene *s, enum kv_durability how)
{
	char k[BATCH][FIXTURE_KEY], v[BATCH][FIXTURE_VALUE];
	struct kv_op op[BATCH];
	unsigned int i;
	int error;

	for (i = 0; i < BATCH; i++)
		op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], i),
					fixture_value(v[i], i, next_version(s, i),
						      BYTES) };
	error = plain(s, "batch", kv_write(s->kv, op, BATCH, how));
	for (i = 0; i < BATCH; i++)
		(void)acknowledge(s, i, error, how);
	return error;
}

static inline int sync_store(struct scene *s)
{
	int error = plain(s, "sync", kv_sync(s->kv));

	if (!error)
		everything_is_durable(s);
	return error;
}

/* ---- reading ---- */

/* May the key's version be this one? After an error the step that failed may have been
 * done, too, and whatever came since the last sync may be gone if pages were lost. */
static inline bool may_be(const struct scene *s, unsigned int key, unsigned int version,
			  bool reopened)
{
	const struct history *h = &s->key[key];
	unsigned int i;

	for (i = h->n; i > 0; i--) {
		const struct step *t = &h->step[i - 1];

		if (t->version == version && (t->acked || reopened))
			return true;
		if (t->acked && !(reopened && s->pages_lost && i > h->durable))
			return false;
	}
	return version == 0;
}

/* Reads one key; UINT_MAX after an error, which only a fault may cause. */
static inline unsigned int look(struct scene *s, struct kv *kv, unsigned int key,
				bool faulty)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int version = 0;
	int error = kv_get(kv, fixture_key(k, key), &value);

	if (!error) {
		version = fixture_version(key, BYTES, value.data, value.len);
		if (version == UINT_MAX)
			complain(s, "key %u: bytes that nobody wrote", key);
	} else if (error != -ENOENT) {
		(void)plain(s, "get", error);
		if (!faulty)
			complain(s, "key %u: get says %d", key, error);
		version = UINT_MAX;
	}
	kv_buf_free(&value);
	return version;
}

/* What was found on opening is what the history goes on from. */
static inline void accept(struct scene *s, unsigned int key, unsigned int version)
{
	struct history *h = &s->key[key];
	unsigned int i = h->n;

	for (; i > 0 && h->step[i - 1].version != version; i--)
		h->step[i - 1].acked = false;
	if (i > 0)
		h->step[i - 1].acked = true;
}

static inline void check_keys(struct scene *s, bool faulty, bool reopened)
{
	unsigned int key, version, batch = 0;

	for (key = 0; key < KEYS; key++) {
		version = look(s, s->kv, key, faulty);
		if (version == UINT_MAX)
			continue;
		if (!may_be(s, key, version, reopened))
			complain(s,
				 "key %u: version %u of %u steps, %u of them durable%s",
				 key, version, s->key[key].n, s->key[key].durable,
				 reopened ? ", reopened" : "");
		if (reopened)
			accept(s, key, version);
		if (key == 0)
			batch = version;
		if (key < BATCH && !faulty && version != batch)
			complain(s, "half a batch: %u and %u", batch, version);
	}
}

/* A walk that ends well has met as many as it should. */
static inline void walk(struct scene *s, struct kv_snapshot *snap, bool faulty)
{
	struct kv_cursor *c;
	unsigned int met = 0, there = 0, key;
	int error = plain(s, "cursor", kv_cursor(s->kv, snap, &c));

	if (error)
		return;
	while (!(error = kv_next(c)))
		met++;
	kv_cursor_close(c);
	if (error != -ENOENT) {
		(void)plain(s, "next", error);
		return;
	}
	if (snap || faulty)
		return;
	for (key = 0; key < KEYS; key++)
		there += look(s, s->kv, key, false) != 0;
	if (met != there)
		complain(s, "a walk met %u of %u", met, there);
}

static inline void get_several(struct scene *s)
{
	struct kv_buf value[KEYS] = { { 0 } };
	struct kv_slice slice[KEYS];
	char k[KEYS][FIXTURE_KEY];
	int error[KEYS];
	unsigned int key;

	for (key = 0; key < KEYS; key++)
		slice[key] = fixture_key(k[key], key);
	(void)plain(s, "multi_get", kv_multi_get(s->kv, NULL, KEYS, slice, value, error));
	for (key = 0; key < KEYS; key++)
		kv_buf_free(&value[key]);
}

/* ---- the history ---- */

static inline int open_store(struct scene *s)
{
	struct kv_msg why = { "" };
	int error;

	s->kv = NULL;
	error = kv_open(&SCENE_ENGINE, env_sim_env(s->sim), "store", s->options, &s->kv,
			&why);
	if (error && (s->kv || !why.text[0]))
		complain(s, "open says %d, \"%s\"", error, why.text);
	return plain(s, "open", error);
}

static inline void close_store(struct scene *s)
{
	if (!plain(s, "close", kv_close(s->kv)))
		everything_is_durable(s);
	s->kv = NULL;
}

static inline void fill(struct scene *s, unsigned int rounds)
{
	unsigned int round, key;

	for (round = 0; round < rounds; round++)
		for (key = BATCH; key < KEYS; key++)
			(void)put(s, key, KV_NONE);
}

static inline void back_up(struct scene *s)
{
	struct kv_buf value = { 0 };
	unsigned int key;
	char k[FIXTURE_KEY];

	s->backed_up = !plain(s, "backup", kv_backup(s->kv, "backup"));
	for (key = 0; s->backed_up && key < KEYS; key++) {
		int error = kv_get(s->kv, fixture_key(k, key), &value);

		s->backup_version[key] = !error             ? port_get_le32(value.data)
					 : error == -ENOENT ? 0
							    : UINT_MAX;
	}
	kv_buf_free(&value);
}

static inline void first_session(struct scene *s)
{
	struct kv_snapshot *snap = NULL;
	unsigned int key;

	if (open_store(s))
		return;
	for (key = BATCH; key < 12; key++)
		(void)put(s, key, KV_NONE);
	(void)put(s, 12, KV_SYNC);
	(void)put_batch(s, KV_SYNC);
	(void)put(s, 13, KV_GROUP);
	(void)delete (s, 5, KV_NONE);
	(void)delete (s, 6, KV_SYNC);
	(void)sync_store(s);
	(void)plain(s, "snapshot", kv_snapshot(s->kv, &snap));
	(void)put(s, 6, KV_SYNC);
	(void)delete (s, 7, KV_NONE);
	(void)put_batch(s, KV_NONE);
	walk(s, snap, true);
	kv_release(s->kv, snap);
	walk(s, NULL, true);
	get_several(s);
	close_store(s);
}

static inline void second_session(struct scene *s)
{
	if (open_store(s))
		return;
	fill(s, 3);
	(void)put_batch(s, KV_GROUP);
	(void)delete (s, 9, KV_SYNC);
	(void)plain(s, "compact", kv_compact(s->kv));
	back_up(s);
	(void)plain(s, "verify", kv_verify(s->kv, NULL));
	fill(s, 1);
	check_keys(s, true, false);
	close_store(s);
}

static inline void third_session(struct scene *s)
{
	if (open_store(s))
		return;
	check_keys(s, true, true);
	(void)put(s, 20, KV_SYNC);
	(void)put_batch(s, KV_SYNC);
	(void)plain(s, "compact", kv_compact(s->kv));
	close_store(s);
}

static inline void check_backup(struct scene *s)
{
	struct kv *kv;
	unsigned int key, version;

	if (!s->backed_up)
		return;
	if (kv_open(&SCENE_ENGINE, env_sim_env(s->sim), "backup", s->options, &kv, NULL))
		complain(s, "a backup that was made does not open");
	for (key = 0; key < KEYS; key++) {
		version = look(s, kv, key, false);
		if (s->backup_version[key] != UINT_MAX &&
		    version != s->backup_version[key])
			complain(s, "backup: key %u: version %u, wanted %u", key, version,
				 s->backup_version[key]);
	}
	assert_int_equal(kv_close(kv), 0);
}

/* All as acknowledged, and writable. */
static inline void check_afterwards(struct scene *s)
{
	unsigned int key;
	int error = open_store(s);

	if (error)
		complain(s, "without the fault open still says %d", error);
	check_keys(s, false, true);
	walk(s, NULL, false);
	if (kv_verify(s->kv, NULL))
		complain(s, "without the fault verify fails");
	for (key = BATCH; key < KEYS; key++)
		if (put(s, key, key % 2 ? KV_NONE : KV_SYNC))
			complain(s, "without the fault a put fails");
	if (put_batch(s, KV_SYNC))
		complain(s, "without the fault a batch fails");
	check_keys(s, false, false);
	if (kv_close(s->kv))
		complain(s, "without the fault close fails");
	s->kv = NULL;
	everything_is_durable(s);
}

/* What was synced since the fault is there also after a loss of power. */
static inline void check_after_crash(struct scene *s)
{
	struct env_sim_point p = { env_sim_position(s->sim), SIM_LOSE_ALL, 0 };
	struct env_sim *disk = env_sim_crash(s->sim, &p, false);
	struct scene after = *s;
	int error;

	after.sim = disk;
	error = open_store(&after);
	if (error)
		complain(s, "after the crash open says %d", error);
	check_keys(&after, false, true);
	assert_int_equal(kv_close(after.kv), 0);
	env_sim_free(disk);
}

static inline void scene_begin(struct scene *s, const char *options, bool journal)
{
	*s = (struct scene){
		.sim = env_sim_new(
			&(struct env_sim_config){ .seed = 5, .no_journal = !journal }),
		.options = options,
	};
}

#endif /* HASH_FAULT_SCENE_H */
