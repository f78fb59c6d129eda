/* SPDX-License-Identifier: MIT */
/*
 * engines.h - every engine that kvbench can race, and why one can't run here.
 *
 * The one place, beside tests, that names engines.
 */
#ifndef ENGINES_H
#define ENGINES_H

#include "../sprint-1-core-memory/kv_inspect.h"

enum engine_kind {
	ENGINE_OURS,     /* built in this repository's sprints */
	ENGINE_PEER,     /* a library that the world uses */
	ENGINE_BASELINE, /* the array: what the simplest thing costs */
	ENGINE_NULL,     /* does nothing: what the harness itself costs */
};

struct engine_info {
	const char *name;
	enum engine_kind kind;
	const struct kv_ops *ops; /* NULL when the library was not there at build time */
	const char *package;      /* Debian package that brings it; NULL for ours */
	const char *(*version)(void); /* of the library in use; NULL when ops is */
	const char *tuning;   /* sentences: how it is set up here, and why that is fair */
	uint64_t max_records; /* 0: any; above it a cell is "not feasible" */
	const char *infeasible; /* why, above max_records */
	const struct kv_inspect_ops
		*inspect;   /* of its files; NULL: kvcheck can only open it */
	const char *absent; /* why ops is NULL; NULL: package is missing */
	bool in_kernel;     /* behind a device: it chooses where its files are */
};

/* NULL past the last. Those in the kernel are among them where their devices are there. */
const struct engine_info *engines_get(size_t i);
/* Those too that are not there: their ops is NULL. NULL when there is none. */
const struct engine_info *engines_find(const char *name);
/* A sentence: why e's ops is NULL, and what to do. */
void engines_absence(const struct engine_info *e, char *out, size_t n);
/* Where an engine of ours keeps its files: "posix", which NULL and "" mean too, or "uring".
 * -EINVAL for another name; what env_uring() says where the kernel gives none. */
int engines_home(const char *name, struct env **out, struct kv_msg *why);
/* Bytes of "ours", "peer", "baseline", "null". */
const char *engine_kind_name(enum engine_kind kind);

/* NAME@kernel, NAME@kernel+batch, NAME@kernel+ring, null@kernel; NULL past the last. */
const struct engine_info *engine_device_get(size_t i);

/* Each peer_*.c defines its table; engines.c refers to those that the build found. */
extern const struct engine_info engine_null, engine_hash, engine_btree, engine_lsm,
	engine_array, engine_sqlite, engine_lmdb, engine_rocksdb, engine_leveldb,
	engine_wiredtiger, engine_bdb_btree, engine_bdb_hash, engine_tkrzw_hash,
	engine_tkrzw_tree;

#endif /* ENGINES_H */
