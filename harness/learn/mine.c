/* SPDX-License-Identifier: MIT */
/*
 * mine.c - puts a learner's engine beside the reference into one kvbench.
 *
 * Both have the same functions of the same names. So the learner's engine comes as one object
 * in which all names are local but that of its table, which is my_array_engine and so on
 * (learn.sh makes it, by objcopy); and the list of engines is wrapped by the linker
 * (--wrap), to have one engine more: my-array.
 */
#include "../engines.h"

extern const struct kv_ops my_array_engine __attribute__((weak));
extern const struct kv_ops my_hash_engine __attribute__((weak));
extern const struct kv_ops my_btree_engine __attribute__((weak));
extern const struct kv_ops my_lsm_engine __attribute__((weak));

const struct engine_info *__real_engines_get(size_t i);
const struct engine_info *__real_engines_find(const char *name);
const struct engine_info *__wrap_engines_get(size_t i);
const struct engine_info *__wrap_engines_find(const char *name);

/* The one that was linked, described as the reference is. */
static const struct engine_info *mine(void)
{
	static const struct {
		const char *name;
		const struct kv_ops *ops;
		const struct engine_info *reference;
	} known[] = {
		{ "my-array", &my_array_engine, &engine_array },
		{ "my-hash", &my_hash_engine, &engine_hash },
		{ "my-btree", &my_btree_engine, &engine_btree },
		{ "my-lsm", &my_lsm_engine, &engine_lsm },
	};
	static struct engine_info info;
	size_t i;

	for (i = 0; !info.ops && i < sizeof(known) / sizeof(known[0]); i++) {
		if (!known[i].ops)
			continue;
		info = *known[i].reference;
		info.kind = ENGINE_OURS;
		info.inspect = NULL;
		info.name = known[i].name;
		info.ops = known[i].ops;
	}
	return info.ops ? &info : NULL;
}

const struct engine_info *__wrap_engines_get(size_t i)
{
	const struct engine_info *own = mine();

	if (!own)
		return __real_engines_get(i);
	return i ? __real_engines_get(i - 1) : own;
}

const struct engine_info *__wrap_engines_find(const char *name)
{
	const struct engine_info *own = mine();

	return own && !strcmp(own->name, name) ? own : __real_engines_find(name);
}
