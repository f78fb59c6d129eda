/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_variants.h - an engine with files held to kv.h under several sets of options: conformance
 * and random histories, on a real disk.
 *
 * Who includes it sets the scratch directory up for its group of tests. Histories are fewer and
 * shorter where all is slow (test_scale.h).
 */
#ifndef KV_VARIANTS_H
#define KV_VARIANTS_H

#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../env.h"

struct kv_variants {
	const struct kv_ops *ops;
	const char *const *options; /* a set each */
	size_t n;
};

static inline struct kv_target kv_variant(const struct kv_variants *v, struct env *env,
					  size_t i)
{
	print_message("options: %s\n", v->options[i]);
	return (struct kv_target){
		.ops = v->ops,
		.options = v->options[i],
		.env = env,
		.scratch = scratch,
		.remove_store = scratch_remove,
	};
}

static inline void kv_variants_conform(const struct kv_variants *v, struct env *env)
{
	size_t i;

	for (i = 0; i < v->n; i++) {
		struct kv_target t = kv_variant(v, env, i);
		struct kv_report r = { .out = stdout };

		assert_int_equal(kv_conformance(&t, &r), 0);
		assert_true(r.passed > 20);
	}
}

/* Each set of options has histories of its own. */
static inline void kv_variants_run(const struct kv_variants *v, struct env *env,
				   const struct kv_history_config *c)
{
	size_t i;

	print_message("seed %llu\n", (unsigned long long)c->seed);
	for (i = 0; i < v->n; i++) {
		struct kv_target t = kv_variant(v, env, i);
		struct kv_report r = { .out = stdout };
		struct kv_history_config one = *c;

		one.seed += 1000 * i;
		assert_int_equal(kv_history_run(&t, &one, &r), 0);
	}
}

static inline void kv_variants_few_keys(const struct kv_variants *v, struct env *env)
{
	const struct kv_history_config c = {
		.seed = kv_history_seed(1),
		.histories = test_scale() > 1 ? 1 : 6,
		.steps = 300,
		.reopen = true,
	};

	kv_variants_run(v, env, &c);
}

/* So many that what is in levels has several, which grow and shrink. */
static inline void kv_variants_many_keys(const struct kv_variants *v, struct env *env)
{
	const struct kv_history_config c = {
		.seed = kv_history_seed(2),
		.histories = test_scale() > 1 ? 1 : 2,
		.steps = test_scale() > 1 ? 1000 : 3000,
		.key_space = 1000,
		.key_max = 40,
		.value_max = 400,
		.reopen = true,
	};

	kv_variants_run(v, env, &c);
}

#endif /* KV_VARIANTS_H */
