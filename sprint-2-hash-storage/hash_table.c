/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table.c - the list of collision strategies, and the memory of their tables.
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

void *hash_table_alloc(const struct hash_table_ops *ops, uint32_t capacity, size_t head,
		       size_t array_bytes)
{
	struct hash_table *t = port_alloc_aligned(HASH_TABLE_ALIGN, head + array_bytes);

	if (!t)
		return NULL;
	memset(t, 0, head);
	t->ops = ops;
	t->capacity = capacity;
	t->bytes = head + array_bytes;
	return t;
}

void hash_table_free(struct hash_table *t)
{
	port_free_aligned(t);
}

size_t hash_table_memory(const struct hash_table *t)
{
	return t->bytes;
}
