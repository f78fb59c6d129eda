/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_inspect.h - what an engine knows of its files when nobody has the store open: are they
 * sound, what stands in them, what can be saved of a store that refuses to open?
 *
 * kv.h is what a store that works can do. This is for one that may not, so it stands apart:
 * the functions take a directory, open nothing as a store, and write nothing into it. An
 * engine that keeps files offers a const struct kv_inspect_ops; kvcheck is made of them.
 *
 * Threads: one call at a time on a directory. A store that a process has open is refused
 *          (-EBUSY), because its files are under way.
 */
#ifndef KV_INSPECT_H
#define KV_INSPECT_H

#include "kv.h"

enum kv_found {
	KV_FOUND_FACT,  /* what is there */
	KV_FOUND_NOTE,  /* not as an orderly close leaves it, and nothing is lost by it */
	KV_FOUND_FAULT, /* damage: pairs are lost, or may be */
};

struct kv_finding {
	enum kv_found kind;
	const char *file; /* its name in the directory; NULL: the store as a whole */
	uint64_t offset, bytes; /* of the place; bytes 0: the file as a whole */
	const char *text;       /* a sentence, good until the function returns */
};

/* Non-zero ends the work, which returns it. */
typedef int kv_finding_fn(void *arg, const struct kv_finding *f);
typedef int kv_line_fn(void *arg, const char *line);

struct kv_salvaged {
	struct kv_slice key, value; /* good until the function returns */
	/* A newer version that was durable, or a delete, may be among what is lost. false:
	 * none of the places that are known to be lost held one. */
	bool doubtful;
};

typedef int kv_salvage_fn(void *arg, const struct kv_salvaged *pair);

enum kv_recognised { KV_NOT_MINE, KV_PERHAPS_MINE, KV_MINE };

struct kv_inspect_ops {
	/* Does the directory hold a store of this engine? By magic numbers; PERHAPS where
	 * only files are left that other engines have as well. */
	enum kv_recognised (*recognise)(struct env *env, const char *dir);

	/* Reads every byte that means something and reports what it finds, file by file. 0:
	 * all of it was looked at, and what is wrong was reported. */
	int (*check)(struct env *env, const char *dir, kv_finding_fn *found, void *arg,
		     struct kv_msg *why);

	/* The structure of the files as text, a line a record: to learn from, and to see
	 * what damage did. */
	int (*structure)(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			 struct kv_msg *why);

	/* The same of one file alone, wherever it lies. -EOPNOTSUPP: none that this engine can
	 * read by itself, as its name says. NULL: it has no such files. */
	int (*structure_of)(struct env *env, const char *path, kv_line_fn *line,
			    void *arg, struct kv_msg *why);

	/* Gives the newest version of each key that is left, each key once, in no order, and
	 * tells what is lost. Parts of a batch that is not whole are not given. Needs memory
	 * for all keys. */
	int (*salvage)(struct env *env, const char *dir, kv_salvage_fn *pair,
		       kv_finding_fn *found, void *arg, struct kv_msg *why);
};

/* Bytes as printable text: \t \n \\ \" and \xNN for what is none. Cut, with "..." at the
 * end, where it does not fit. Returns out. */
char *kv_quote(char *out, size_t size, struct kv_slice s);

#endif /* KV_INSPECT_H */
