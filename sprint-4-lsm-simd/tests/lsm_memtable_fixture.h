/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_memtable_fixture.h - keys, values and a sorted model for the tests of skip list and
 * memtable.
 */
#ifndef LSM_MEMTABLE_FIXTURE_H
#define LSM_MEMTABLE_FIXTURE_H

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_entry.h"

enum { TEXT = 40 };

/* Keys in several shapes, so that heads are equal, shorter than a head, or differ in zeros
 * alone. The same number gives the same key, and unequal ones unequal keys. */
static inline struct kv_slice test_key(char *text, uint64_t number)
{
	const unsigned int n = (unsigned int)(number / 4);
	size_t len;

	switch (number % 4) {
	case 0: /* "user" and digits */
		return kv_slice(text, (size_t)snprintf(text, TEXT, "user%020u", n));
	case 1: /* up to seven letters, one alphabet */
		return kv_slice(text, (size_t)snprintf(text, TEXT, "%x", n));
	case 2: /* zeros only, as many as the number says, behind one letter */
		if (n / (TEXT - 1) > 100)
			return kv_slice(text, (size_t)snprintf(text, TEXT, "zero%u", n));
		len = n % (TEXT - 1);
		text[0] = (char)(128 + n / (TEXT - 1));
		memset(text + 1, 0, len);
		return kv_slice(text, 1 + len);
	default: /* eight equal bytes, then the number */
		return kv_slice(text, (size_t)snprintf(text, TEXT, "AAAAAAAA%u", n));
	}
}

struct entry { /* of the model */
	char text[TEXT];
	struct kv_slice key;
	uint64_t stamp;
	uint64_t number; /* of the key */
};

static inline int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const struct kv_slice p = kv_slice(x->text, x->key.len);
	const struct kv_slice q = kv_slice(y->text, y->key.len);

	return lsm_entry_compare(p, x->stamp, q, y->stamp);
}

/* The value of an entry says which it is. */
static inline struct kv_slice test_value(char *text, uint64_t number, uint64_t stamp)
{
	return kv_slice(text, (size_t)snprintf(text, TEXT, "%llx:%llx",
					       (unsigned long long)number,
					       (unsigned long long)stamp));
}

static inline void assert_slice(struct kv_slice a, struct kv_slice b)
{
	assert_int_equal(a.len, b.len);
	assert_int_equal(kv_compare(a, b), 0);
}

#endif /* LSM_MEMTABLE_FIXTURE_H */
