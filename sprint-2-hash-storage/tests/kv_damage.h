/* SPDX-License-Identifier: MIT */
/*
 * kv_damage.h - bytes that change at rest: the right answer or an error, of an engine that orders
 * its keys.
 *
 * A store is copied, one thing in it is damaged (a byte, a sector, a length, a file that is
 * gone), and it is opened. Then every key is asked for in every way, the store is compacted,
 * closed, opened again and asked again: that must not make a loss out of what was an error.
 * What an engine alone can suffer its own tests plant.
 */
#ifndef KV_DAMAGE_H
#define KV_DAMAGE_H

#include "kv_story.h"

#include <time.h>

enum { KV_DAMAGE_KEYS = 60, KV_DAMAGE_ONE_IN = 6 };

struct kv_damage_store {
	const char *name, *options;
	const struct kv_ops *ops;
	const char *folder; /* of the store's own, with files; NULL: none */
	size_t (*value_bytes)(unsigned int key); /* as fixture_value() takes them */
	void (*make)(struct kv_damage_store *st, struct kv *kv);
	/* Each byte of its files flipped, or one in about so many, another one by each seed, until
	 * the end; 0: without one. */
	void (*flip_bytes)(struct kv_damage_store *st, uint64_t stride, uint64_t seed,
			   time_t end);
	bool killed; /* it was not closed: the last record may be taken for a torn one */
	/* made */
	unsigned int version[KV_DAMAGE_KEYS];
	struct env_sim *disk;     /* the caller's to free */
	uint64_t opened, refused; /* how it went, over all damages */
};

/* ---- making ---- */

void kv_damage_put(struct kv_damage_store *st, struct kv *kv, unsigned int key,
		   enum kv_durability how);
void kv_damage_delete(struct kv_damage_store *st, struct kv *kv, unsigned int key);
/* Writes of every kind, of which durable ones are the last. */
void kv_damage_make_tail(struct kv_damage_store *st, struct kv *kv);
/* By st->make, on a disk of its own. */
void kv_damage_make(struct kv_damage_store *st, uint64_t seed);

/* ---- judging ---- */

/* A store that must open. */
struct kv *kv_damage_open(const struct kv_damage_store *st, struct env_sim *disk);
/* Keys that can't be read; one that is wrong fails the test. */
unsigned int kv_damage_get_all(const struct kv_damage_store *st, struct kv *kv,
			       const char *damage);
/* The same by gets and by walks both ways, beside what verify() says. */
unsigned int kv_damage_ask(const struct kv_damage_store *st, struct kv *kv,
			   const char *damage);
/* All of the above of a disk that was damaged. */
void kv_damage_check(struct kv_damage_store *st, struct env_sim *disk,
		     const char *damage);

/* ---- damages ---- */

/* What a log has lost at its end, where nothing says that there was more, is gone as in a
 * crash: not to be judged. */
bool kv_damage_may_lack_end(const struct kv_damage_store *st, const char *name);
void kv_damage_flip(struct kv_damage_store *st, const char *name, uint64_t offset,
		    uint8_t mask);
void kv_damage_zero_sectors(struct kv_damage_store *st);
void kv_damage_cut_files(struct kv_damage_store *st);
void kv_damage_remove_files(struct kv_damage_store *st);

/* ---- whole tests ---- */

/* An undamaged store gives no error at all: the other tests rest on it. */
void kv_damage_none(struct kv_damage_store *stores, size_t n);
/* Each byte, as long as KV_TORTURE says; round by round another bit and another store. Skipped
 * without it. */
void kv_damage_torture(struct kv_damage_store *stores, size_t n);

#endif /* KV_DAMAGE_H */
