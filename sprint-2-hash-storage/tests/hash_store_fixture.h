/* SPDX-License-Identifier: MIT */
/*
 * hash_store_fixture.h - what tests of the hash engine on the simulated disk share: keys
 * and values that can be told from their number and version, and a look at the whole store.
 *
 * A version is how often a key was written; its value is made from both, so a value of
 * another key or of an older version is noticed. Version 0 is a key that is not there.
 */
#ifndef HASH_STORE_FIXTURE_H
#define HASH_STORE_FIXTURE_H

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../hash_engine.h"
#include "env_sim.h"

enum { FIXTURE_KEY = 16, FIXTURE_VALUE = 4096 };

/* 0: the quick form. */
static inline unsigned int fixture_torture_seconds(void)
{
	const char *s = getenv("KV_TORTURE");

	return s ? (unsigned int)strtoul(s, NULL, 10) : 0;
}

static inline uint64_t fixture_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline struct kv_slice fixture_key(char *buf, unsigned int key)
{
	(void)snprintf(buf, FIXTURE_KEY, "key%05u", key);
	return kv_str(buf);
}

/* Of `bytes` (4 and more) and up to 16 more, for lengths differ too. Begins with the
 * version. */
static inline struct kv_slice fixture_value(char *buf, unsigned int key,
					    unsigned int version, size_t bytes)
{
	uint64_t rng = (uint64_t)key << 32 | version;
	size_t i, len = bytes + fixture_random(&rng) % 17;

	port_put_le32(buf, version);
	for (i = 4; i < len; i++)
		buf[i] = (char)fixture_random(&rng);
	return kv_slice(buf, len);
}

static inline int fixture_put(struct kv *kv, unsigned int key, unsigned int version,
			      size_t bytes, enum kv_durability how)
{
	char k[FIXTURE_KEY], v[FIXTURE_VALUE];

	return kv_put(kv, fixture_key(k, key), fixture_value(v, key, version, bytes),
		      how);
}

static inline int fixture_delete(struct kv *kv, unsigned int key, enum kv_durability how)
{
	char k[FIXTURE_KEY];

	return kv_delete(kv, fixture_key(k, key), how);
}

/* The version whose value these bytes are; UINT_MAX when of none. */
static inline unsigned int fixture_version(unsigned int key, size_t bytes,
					   const void *data, size_t len)
{
	char v[FIXTURE_VALUE];
	unsigned int version = len < 4 ? UINT_MAX : port_get_le32(data);

	if (version != UINT_MAX &&
	    !kv_compare(fixture_value(v, key, version, bytes), kv_slice(data, len)))
		return version;
	return UINT_MAX;
}

struct fixture_stat {
	const char *name;
	uint64_t value;
	bool found;
};

static inline void fixture_stat_emit(void *arg, const char *name, uint64_t value)
{
	struct fixture_stat *s = arg;

	if (strcmp(name, s->name))
		return;
	s->value = value;
	s->found = true;
}

static inline uint64_t fixture_stat(struct kv *kv, const char *name)
{
	struct fixture_stat s = { name, 0, false };

	kv_stats(kv, fixture_stat_emit, &s);
	assert_true(s.found);
	return s.value;
}

#endif /* HASH_STORE_FIXTURE_H */
