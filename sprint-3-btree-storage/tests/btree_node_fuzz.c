/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_fuzz.c - a node as a fuzz target (fuzz.h): whatever a page holds, the reading
 * functions stay within it and answer within bounds; and what btree_node_check() passes can
 * be searched, split and merged.
 *
 * An input is a byte of flags and the page from its beginning on; zeroes follow.
 */
#include "btree_node_fuzz.h"
#include "../../sprint-2-hash-storage/tests/fuzz.h"
#include "../btree_node_internal.h"
#include "btree_node_reader.h"

/* What a fuzzer will hardly guess: heads and sums that go with the records. */
static void mend(struct btree_node *n, const struct btree_shape *shape)
{
	struct node_view v;
	uint32_t live = 0;
	unsigned int i;

	n->page.kind = BTREE_PAGE_NODE;
	node_view(&v, n, shape);
	for (i = 0; i < v.count; i++) {
		const struct btree_slot s = node_view_slot(&v, i);

		node_heads(n)[i] =
			suffix_head(v.base + s.at, s.key_bytes, n->shared_bytes);
		live += slot_bytes(&s, v.inner);
	}
	n->dead = node_floor(n, shape) - n->heap - live;
}

static int run(const uint8_t *data, size_t size)
{
	const struct btree_shape shape = {
		.page_bytes = BTREE_PAGE_MIN << (data[0] & BTREE_FUZZ_PAGE_SIZE) % 5,
		.max_keys = UINT32_MAX,
	};
	struct btree_node *n = calloc(1, shape.page_bytes);
	const size_t key = size / 2 < BTREE_KEY_MAX ? size / 2 : BTREE_KEY_MAX;
	struct kv_msg why = { "" };
	int result;

	fuzz_demand(n, "no memory");
	memcpy(n, data + 1, size - 1 < shape.page_bytes ? size - 1 : shape.page_bytes);
	if (data[0] & BTREE_FUZZ_MEND)
		mend(n, &shape);
	btree_node_read_all(n, &shape, kv_slice(data + size - key, key));
	btree_node_read_all(n, &shape, kv_slice(data + 1, size > 25 ? 24 : size - 1));
	result = btree_node_check(n, &shape, &why);
	fuzz_demand(!result || (result == -EBADMSG && why.text[0]),
		    "an error without a word, or of another kind");
	if (!result)
		btree_node_demand_consistent(n, &shape);
	free(n);
	return result;
}

/* Leaves and inner nodes, with and without fences, of two page sizes. */
static size_t seed(unsigned int i, uint8_t *out)
{
	const unsigned int size = i / 4 % 2, level = i % 2;
	const struct btree_shape shape = { .page_bytes = BTREE_PAGE_MIN << size,
					   .max_keys = UINT32_MAX };
	const bool fenced = i / 2 % 2;
	struct btree_node *n = calloc(1, shape.page_bytes);
	char key[32] = "user10";
	unsigned int k;

	fuzz_demand(n, "no memory");
	btree_node_init(n, &shape, level, fenced ? kv_str(key) : kv_slice("", 0),
			fenced ? kv_str("user11") : kv_slice(NULL, 0));
	for (k = 0; k < 20 + i; k++) {
		if (k)
			(void)snprintf(key, sizeof(key), "user10%04u%u", k * 3, k % 3);
		btree_node_insert(n, &shape, k,
				  level && !k ? btree_node_lower(n, &shape) : kv_str(key),
				  kv_slice("12345678", level ? 8 : k % 9), 0);
	}
	if (i >= 4)
		btree_node_remove(n, &shape, 5);
	out[0] = (uint8_t)(size | (i < 6 ? BTREE_FUZZ_MEND : 0));
	memcpy(out + 1, n, shape.page_bytes);
	free(n);
	return 1 + shape.page_bytes;
}

const struct fuzz_target fuzz_target = {
	.name = "btree_node_fuzz",
	.head = 1,
	.max = 1 + BTREE_PAGE_MAX,
	.seeds = 8,
	.seed = seed,
	.run = run,
};
