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
#include "kv_judge.h"

static inline size_t damage_value_bytes(unsigned int key)
{
	(void)key;
	return DAMAGE_VALUE;
}

static const struct judge_subject hash_subject = {
	.ops = &hash_engine,
	.inspect = &hash_inspect,
	.options = DAMAGE_OPTIONS,
	.keys = DAMAGE_KEYS,
	.value_bytes = damage_value_bytes,
	.line_bytes = 320,
};

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

/* As a program sees it: see judge_use(). */
static inline int judge_opened(const struct damage_store *st, struct env_sim *disk,
			       const char *damage)
{
	unsigned int truth[DAMAGE_KEYS];

	damage_newest(st, NULL, truth);
	return judge_use(&hash_subject, disk, truth, DAMAGE_KEYS, damage);
}

/* disk is the store's with a fault in it. */
static inline struct judge_outcome judge_damage(const struct damage_store *st,
						struct env_sim *disk, bool precise,
						const char *damage, struct judge_tally *t)
{
	static bool good[DAMAGE_UNITS];
	struct judge_outcome o = judge_check(&hash_subject, disk);
	struct judge_salvaged s;
	unsigned int lines;
	int error;

	if (o.error)
		fail_msg("%s: the check says %d: %s", damage, o.error, o.why.text);
	damage_compare(st, disk, good);
	s = judge_salvage(&hash_subject, disk);
	judge_left(st, &s, good, precise, damage);
	assert_int_equal(judge_structure(&hash_subject, disk, &lines), 0);
	assert_true(lines > 3);
	error = judge_opened(st, disk, damage);
	if (error && !o.faults)
		fail_msg("%s: no fault was found (%s), and a use says %d", damage, o.text,
			 error);
	judge_count(t, &o);
	return o;
}

#endif /* HASH_JUDGE_H */
