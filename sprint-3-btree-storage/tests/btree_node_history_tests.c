/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_history_tests.c - random histories of nodes against a model (btree_forest.h),
 * over families of keys, page sizes and branching factors. KV_TORTURE=seconds goes on with
 * other seeds that long.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "btree_forest.h"
#include "btree_keys.h"

#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

#define UNBOUNDED UINT32_MAX

static const uint32_t page_sizes[] = { 4096, 8192, 16384, 32768, 65536 };
static const uint32_t branchings[] = { 4, 5, 7, 16, 100, UNBOUNDED };

enum {
	PAGE_SIZES = sizeof(page_sizes) / sizeof(page_sizes[0]),
	BRANCHINGS = sizeof(branchings) / sizeof(branchings[0]),
};

struct sums {
	unsigned int splits, merges, balances;
};

static size_t random_value(const struct btree_forest *f, size_t key_bytes, uint8_t *out,
			   unsigned int *flags)
{
	static const size_t most[] = { 1, 9, 60, 120, 400 };
	size_t room = btree_entry_max(&f->shape) - key_bytes, n;

	*flags = 0;
	n = core_random_below(most[core_random_below(5)]);
	if (!core_random_below(20))
		n = core_random_below(room + 1);
	if (!core_random_below(100))
		n = room;
	if (f->level) {
		n = sizeof(struct btree_child);
	} else if (!core_random_below(20)) {
		n = sizeof(struct btree_overflow);
		*flags = BTREE_SLOT_OVERFLOW;
	}
	core_random_bytes(out, n < 32 ? n : 32);
	if (n > 32)
		memset(out + 32, (int)core_random_below(256), n - 32);
	return n;
}

static struct kv_slice random_present(const struct btree_forest *f)
{
	return f->pair[core_random_below(f->pairs)].key;
}

static void random_step(struct btree_forest *f, enum btree_key_family family,
			unsigned int puts, uint8_t *value)
{
	uint8_t key[BTREE_KEY_MAX];
	struct kv_slice k = kv_slice(key, btree_keys_make(family, key));
	unsigned int flags;

	btree_forest_seek(f, k);
	if (f->pairs && core_random_below(3) == 0) {
		const struct kv_slice present = random_present(f);

		memcpy(key, present.data, present.len);
		k.len = present.len;
	}
	if (core_random_below(100) < puts && f->pairs < BTREE_FOREST_PAIRS - 1) {
		size_t n = random_value(f, k.len, value, &flags);

		btree_forest_put(f, k, kv_slice(value, n), flags, core_random_below(2));
	} else {
		btree_forest_delete(f, k);
	}
}

/* Grows, lives, and shrinks again. */
static void random_history(uint32_t page_bytes, uint32_t max_keys, unsigned int level,
			   enum btree_key_family family, unsigned int steps,
			   struct sums *sums)
{
	static const unsigned int puts[] = { 90, 50, 5 };
	struct btree_forest *f = btree_forest_new(page_bytes, max_keys, level);
	uint8_t *value = malloc(BTREE_PAGE_MAX);
	unsigned int phase, i;

	assert_non_null(value);
	for (phase = 0; phase < 3; phase++) {
		for (i = 0; i < steps; i++)
			random_step(f, family, puts[phase], value);
		btree_forest_verify(f);
	}
	sums->splits += f->splits;
	sums->merges += f->merges;
	sums->balances += f->balances;
	free(value);
	btree_forest_free(f);
}

static void all_histories(unsigned int level, unsigned int steps)
{
	struct sums sums = { 0 };
	unsigned int family, p, b;

	for (family = 0; family < BTREE_KEYS_FAMILIES; family++)
		for (p = 0; p < PAGE_SIZES; p++)
			for (b = 0; b < BRANCHINGS; b++)
				random_history(page_sizes[p], branchings[b], level,
					       family, steps, &sums);
	print_message("%u splits, %u merges, %u balances\n", sums.splits, sums.merges,
		      sums.balances);
	assert_true(sums.splits && sums.merges && sums.balances);
}

static void histories(unsigned int level)
{
	const char *torture = getenv("KV_TORTURE");
	const time_t end = time(NULL) + (torture ? strtol(torture, NULL, 10) / 2 : 0);
	const uint64_t draws = test_draws(90);

	print_message("seed 0x%x\n", CORE_SEED);
	core_random_start();
	do {
		print_message("from state 0x%llx: ",
			      (unsigned long long)core_random_state);
		all_histories(level, draws > 40 ? (unsigned int)draws : 40);
	} while (time(NULL) < end);
}

static void test_random_histories_of_leaves(void **state)
{
	(void)state;
	histories(0);
}

static void test_random_histories_of_inner_nodes(void **state)
{
	(void)state;
	histories(1);
}

/* As a sorted load does it: all nodes but the last were full before they were parted from
 * it. Then they got an upper fence and with it a prefix, which gives room again. */
static void test_ascending_load_fills_nodes(void **state)
{
	struct btree_forest *f = btree_forest_new(4096, UNBOUNDED, 0);
	uint8_t value[100] = { 1 };
	char key[32];
	unsigned int i;

	(void)state;
	core_random_start();
	for (i = 0; i < 1500; i++) {
		int n = snprintf(key, sizeof(key), "user%020u", i * 7);

		btree_forest_put(f, kv_slice(key, (size_t)n),
				 kv_slice(value, sizeof(value)), 0, true);
	}
	btree_forest_verify(f);
	for (i = 0; i + 1 < f->nodes; i++) {
		const struct btree_node *n = f->node[i];
		size_t then = btree_node_used(n, &f->shape) - n->upper_bytes +
			      (size_t)n->prefix_bytes * n->count;

		assert_true(then > 4096 - 136 - 4 * BTREE_CAP_STEP);
	}
	btree_forest_free(f);
}

static void test_descending_and_ascending_histories(void **state)
{
	unsigned int b, i, level;
	const struct btree_child child = { .page = 3 };

	(void)state;
	core_random_start();
	for (b = 0; b < BRANCHINGS; b++) {
		for (level = 0; level < 2; level++) {
			struct btree_forest *f =
				btree_forest_new(4096, branchings[b], level);

			for (i = 0; i < 600; i++) {
				uint8_t key[8];
				unsigned int v = b % 2 ? i : 600 - i;

				port_put_le64(key, __builtin_bswap64(v));
				btree_forest_put(f, kv_slice(key, 8),
						 kv_slice(&child, sizeof(child)), 0,
						 true);
			}
			for (i = f->pairs; i-- > 1;)
				btree_forest_delete(f, f->pair[i].key);
			btree_forest_verify(f);
			assert_true(f->splits && f->merges);
			btree_forest_free(f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_histories_of_leaves),
		cmocka_unit_test(test_random_histories_of_inner_nodes),
		cmocka_unit_test(test_ascending_load_fills_nodes),
		cmocka_unit_test(test_descending_and_ascending_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
