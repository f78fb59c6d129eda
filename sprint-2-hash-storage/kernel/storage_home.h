/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * storage_home.h - where a module's store lives, by the module's parameters: in a directory,
 * or in memory within a limit; and a test of the engine before it is shown to anybody.
 */
#ifndef STORAGE_HOME_H
#define STORAGE_HOME_H

struct env;
struct kv_msg;
struct kv_ops;

struct storage_home {
	struct env *env;     /* for the store */
	const char *dir;     /* the store's, as env has it */
	const char *options; /* for kv_open() */
	/* private */
	struct env *kernel, *memory;
};

/* dir NULL or "": memory, at most so many MiB of files. Of the options, those for the place
 * come first, so that the user's win; either may be NULL. -ENOMEM, -EINVAL. */
int storage_home_open(struct storage_home *h, const char *dir, unsigned int memory_mb,
		      const char *options_in_memory, const char *options_in_dir,
		      const char *options);
/* The store is closed. h may be all zeroes, and is so afterwards. */
void storage_home_close(struct storage_home *h);
/* Bytes of memory that the store's files take; 0 where it is in a directory. */
unsigned long storage_home_used(const struct storage_home *h);

/*
 * A short random history of the engine in memory, one thread and then several, against what
 * it must be. Returns 0, or an error with why; takes a tenth of a second and at most
 * 32 MiB. env has the time and the tasks.
 */
int storage_selftest(const struct kv_ops *ops, struct env *env, const char *options,
		     struct kv_msg *why);
/* Histories in a directory that is there, instead of in memory: steps long, by this seed. */
int storage_selftest_history(const struct kv_ops *ops, struct env *env, const char *dir,
			     const char *options, unsigned int steps, unsigned int seed,
			     struct kv_msg *why);

#endif /* STORAGE_HOME_H */
