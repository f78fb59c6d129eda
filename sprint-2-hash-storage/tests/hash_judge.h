/* SPDX-License-Identifier: MIT */
/*
 * hash_judge.h - what must be true of a store with a fault in it (hash_damage.h plants
 * them): of its files' check, of salvage, and of a program that opens it.
 *
 *   - What the open or the verification refuses must have been a fault for the check, and
 *     where no fault was found, every key must have its right value.
 *   - Salvage must give exactly the newest version of each key that the damage has left
 *     whole, and say of each that is not the newest of all that it is in doubt.
 *   - No byte of the directory may have been written by check or salvage.
 */
#ifndef HASH_JUDGE_H
#define HASH_JUDGE_H

#include "hash_damage.h"

struct judge_outcome {
	unsigned int facts, notes, faults;
	char text[4096]; /* of notes and faults */
	struct kv_msg why;
	int error;
};

static inline int judge_note(void *arg, const struct kv_finding *f)
{
	struct judge_outcome *o = arg;
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

static inline uint64_t judge_changes(struct env_sim *disk)
{
	return env_sim_calls(disk, 1u << SIM_WRITE | 1u << SIM_SYNC | 1u << SIM_ALLOCATE |
					   1u << SIM_TRUNCATE | 1u << SIM_UNLINK |
					   1u << SIM_RENAME | 1u << SIM_MKDIR |
					   1u << SIM_RMDIR | 1u << SIM_SYNC_DIR |
					   1u << SIM_MAP);
}

static inline struct judge_outcome judge_check(struct env_sim *disk)
{
	struct judge_outcome o = { 0 };
	uint64_t before = judge_changes(disk);

	o.error = hash_inspect.check(env_sim_env(disk), "store", judge_note, &o, &o.why);
	assert_int_equal(judge_changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return o;
}

/* ---- salvage ---- */

struct judge_salvaged {
	struct judge_outcome found;
	unsigned int version[DAMAGE_KEYS]; /* 0: not given */
	bool doubtful[DAMAGE_KEYS];
};

static inline int judge_take_pair(void *arg, const struct kv_salvaged *p)
{
	struct judge_salvaged *s = arg;
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

static inline int judge_note_salvage(void *arg, const struct kv_finding *f)
{
	return judge_note(&((struct judge_salvaged *)arg)->found, f);
}

static inline struct judge_salvaged judge_salvage(struct env_sim *disk)
{
	struct judge_salvaged s = { 0 };
	uint64_t before = judge_changes(disk);

	s.found.error = hash_inspect.salvage(env_sim_env(disk), "store", judge_take_pair,
					     judge_note_salvage, &s, &s.found.why);
	assert_int_equal(judge_changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return s;
}

/* What is left must be given, and nothing else. precise: and no doubt without reason. */
static inline void judge_left(const struct damage_store *st,
			      const struct judge_salvaged *s, const bool *good,
			      bool precise, const char *damage)
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
static inline int judge_use(const struct damage_store *st, struct env_sim *disk,
			    const char *damage)
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

struct judge_tally {
	uint64_t faults, notes, silent;
};

static inline int judge_count_line(void *arg, const char *line)
{
	assert_true(strlen(line) < 320);
	*(unsigned int *)arg += 1;
	return 0;
}

/* disk is the store's with a fault in it. */
static inline struct judge_outcome judge_damage(const struct damage_store *st,
						struct env_sim *disk, bool precise,
						const char *damage, struct judge_tally *t)
{
	static bool good[DAMAGE_UNITS];
	struct judge_outcome o = judge_check(disk);
	struct judge_salvaged s;
	unsigned int lines = 0;
	int error;

	if (o.error)
		fail_msg("%s: the check says %d: %s", damage, o.error, o.why.text);
	damage_compare(st, disk, good);
	s = judge_salvage(disk);
	judge_left(st, &s, good, precise, damage);
	assert_int_equal(hash_inspect.structure(env_sim_env(disk), "store",
						judge_count_line, &lines, NULL),
			 0);
	assert_true(lines > 3);
	error = judge_use(st, disk, damage);
	if (error && !o.faults)
		fail_msg("%s: no fault was found (%s), and a use says %d", damage, o.text,
			 error);
	t->faults += o.faults > 0;
	t->notes += !o.faults && o.notes;
	t->silent += !o.faults && !o.notes;
	return o;
}

static inline void judge_print(const char *name, const struct judge_tally *t)
{
	print_message("%s: %llu faults, %llu notes, %llu without a trace\n", name,
		      (unsigned long long)t->faults, (unsigned long long)t->notes,
		      (unsigned long long)t->silent);
}

#endif /* HASH_JUDGE_H */
