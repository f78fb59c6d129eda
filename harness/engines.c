/* SPDX-License-Identifier: MIT */
/*
 * engines.c - the list of engines, in the order in which reports show them: ours, the
 * baseline, the libraries, the null engine.
 */
#include "engines.h"

#include "../sprint-1-core-memory/array_engine.h"
#include "../sprint-2-hash-storage/env.h"
#include "../sprint-2-hash-storage/hash_engine.h"
#include "../sprint-3-btree-storage/btree_engine.h"
#include "../sprint-4-lsm-simd/lsm_engine.h"

static const char *own_version(void)
{
	return "this build";
}

/* An insert moves half of the array's pairs on average; the load of a YCSB workload, whose
 * keys come in no order, therefore costs the square of their number. */
const struct engine_info engine_array = {
	.name = "array",
	.kind = ENGINE_BASELINE,
	.ops = &array_engine,
	.version = own_version,
	.tuning =
		"A sorted array in memory: nothing to tune, nothing on disk, level none "
		"alone. It is what the simplest thing that works costs.",
	.max_records = 300000,
	.infeasible =
		"a sorted array moves half of its pairs at each insert, so that loading "
		"this many takes minutes to hours",
};

const struct engine_info engine_hash = {
	.name = "hash",
	.kind = ENGINE_OURS,
	.ops = &hash_engine,
	.inspect = &hash_inspect,
	.version = own_version,
	.tuning =
		"Defaults: log segments of 8 MiB in memory maps, a Swiss-style index, the "
		"checksum of each value verified when it is read, cleaning when half of the log "
		"is dead. The budget does not bound the index, which must be in memory: about "
		"20 bytes a pair.",
};

const struct engine_info engine_btree = {
	.name = "btree",
	.kind = ENGINE_OURS,
	.ops = &btree_engine,
	.inspect = &btree_inspect,
	.version = own_version,
	.tuning =
		"Defaults: pages of 4 KiB in 1 GiB of memory, huge pages where the system has some, "
		"log segments of 8 MiB in memory maps, a checkpoint after 256 MiB of log, or half "
		"of the tree's size if that is more. The checksum of a page is verified when it is read from the "
		"file.",
};

const struct engine_info engine_lsm = {
	.name = "lsm",
	.kind = ENGINE_OURS,
	.ops = &lsm_engine,
	.inspect = &lsm_inspect,
	.version = own_version,
	.tuning =
		"Defaults: memtables of a 16th of the budget, four at most, log segments of 8 MiB in "
		"memory maps, lazy leveling with a ratio of 8, tables of 16 MiB with blocks of 4 KiB, "
		"Bloom filters of 10 bits a key, values above 512 bytes in blob files, "
		"no compression, so tables are read in memory maps and nine tenths of the cache are for "
		"single records, one thread that compacts.",
};

static const struct engine_info *const engines[] = {
	&engine_hash,       &engine_btree,     &engine_lsm,      &engine_array,
	&engine_sqlite,     &engine_lmdb,      &engine_rocksdb,  &engine_leveldb,
	&engine_wiredtiger, &engine_bdb_btree, &engine_bdb_hash, &engine_tkrzw_hash,
	&engine_tkrzw_tree, &engine_null,
};

const struct engine_info *engines_get(size_t i)
{
	const size_t own = sizeof(engines) / sizeof(engines[0]);
	const struct engine_info *e;
	size_t k;

	if (i < own)
		return engines[i];
	i -= own;
	for (k = 0; (e = engine_device_get(k)); k++)
		if (e->ops && !i--)
			return e;
	return NULL;
}

const struct engine_info *engines_find(const char *name)
{
	const struct engine_info *e;
	size_t i;

	for (i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	for (i = 0; (e = engine_device_get(i)); i++)
		if (!strcmp(e->name, name))
			return e;
	return NULL;
}

void engines_absence(const struct engine_info *e, char *out, size_t n)
{
	if (e->absent)
		(void)snprintf(out, n, "%s", e->absent);
	else
		(void)snprintf(out, n, "not built in: install %s and make again",
			       e->package);
}

int engines_home(const char *name, struct env **out, struct kv_msg *why)
{
	if (!name || !*name || !strcmp(name, "posix")) {
		*out = env_posix();
		return 0;
	}
	if (!strcmp(name, "uring"))
		return env_uring(out, why);
	return kv_fail(why, -EINVAL,
		       "unknown home \"%s\" for an engine's files: posix or uring", name);
}

const char *engine_kind_name(enum engine_kind kind)
{
	static const char *const name[] = {
		[ENGINE_OURS] = "ours",
		[ENGINE_PEER] = "peer",
		[ENGINE_BASELINE] = "baseline",
		[ENGINE_NULL] = "null",
	};

	return name[kind];
}
