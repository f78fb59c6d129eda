/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table.c - the list of collision strategies; tables in memory of their own.
 */
#include "hash_table_internal.h"

static const struct hash_table_ops *const strategies[] = {
	&hash_table_chaining, &hash_table_linear, &hash_table_robin_hood,
	&hash_table_cuckoo,   &hash_table_swiss,
};

const struct hash_table_ops *hash_table_get(size_t i)
{
	return i < sizeof(strategies) / sizeof(strategies[0]) ? strategies[i] : NULL;
}

const struct hash_table_ops *hash_table_find(const char *name)
{
	const struct hash_table_ops *ops;
	size_t i;

	for (i = 0; (ops = hash_table_get(i)); i++) {
		if (strcmp(ops->name, name) == 0)
			return ops;
	}
	return NULL;
}

int hash_table_create(const struct hash_table_ops *ops, uint32_t capacity,
		      struct hash_table **out)
{
	size_t bytes = ops->bytes(capacity);
	struct hash_table *t;

	if (!bytes)
		return -EINVAL;
	t = port_alloc_aligned(HASH_TABLE_ALIGN, bytes);
	if (!t)
		return -ENOMEM;
	ops->init(t, capacity);
	*out = t;
	return 0;
}

void hash_table_free(struct hash_table *t)
{
	port_free_aligned(t);
}
