/* SPDX-License-Identifier: MIT */
/*
 * peer_fixture.h - what the tests of the libraries' adapters share: a scratch directory,
 * and a test made for each peer that this build has.
 *
 * Included once a program.
 */
#ifndef PEER_FIXTURE_H
#define PEER_FIXTURE_H

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../engines.h"

enum { PEER_TESTS_MAX = 256, PEER_PATH = SCRATCH_PATH };

/* Small enough for a test, above what any library calls too little. */
#define PEER_MEMORY "memory_bytes=16m"

/* The name of a directory in the scratch that is not there; out of PEER_PATH bytes. */
static inline const char *peer_new_dir(char *out)
{
	static unsigned int made;

	(void)snprintf(out, PEER_PATH, "%s/store-%u", scratch, made++);
	return out;
}

/* PEER_MEMORY, what keeps a test of this library small, and more; out of PEER_PATH bytes. */
static inline const char *peer_options(const struct engine_info *e, const char *more,
				       char *out)
{
	static const struct {
		const char *engine, *options;
	} small[] = {
		{ "lmdb",
		  ",map_bytes=64m" }, /* Valgrind looks at all of it at each msync() */
		{ "tkrzw-hash", ",buckets=1k" }, /* compaction writes them all anew */
	};
	const char *own = "";
	size_t i;

	for (i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (!strcmp(small[i].engine, e->name))
			own = small[i].options;
	(void)snprintf(out, PEER_PATH, PEER_MEMORY "%s%s%s", own, more[0] ? "," : "",
		       more);
	return out;
}

/* With these options beside those of peer_options(). */
static inline struct kv *peer_open(const struct engine_info *e, const char *dir,
				   const char *more)
{
	char options[PEER_PATH];
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(e->ops, NULL, dir, peer_options(e, more, options), &kv, &why);

	if (error)
		fail_msg("%s: open of %s with %s: %s: %s", e->name, dir, options,
			 strerror(-error), why.text);
	return kv;
}

static inline const struct engine_info *peer_of(void **state)
{
	return *state;
}

/* ---- the list of tests ---- */

struct peer_tests {
	struct CMUnitTest test[PEER_TESTS_MAX];
	char name[PEER_TESTS_MAX][96];
	size_t n;
};

/* Adds the test "test_WHAT[ENGINE]" of each peer that is built in and has these caps. */
static inline void peer_tests_add(struct peer_tests *t, const char *what,
				  CMUnitTestFunction fn, unsigned int caps)
{
	const struct engine_info *e;
	size_t i;

	for (i = 0; (e = engines_get(i)); i++) {
		if (e->kind != ENGINE_PEER || !e->ops || (e->ops->caps & caps) != caps)
			continue;
		if (t->n == PEER_TESTS_MAX)
			abort();
		(void)snprintf(t->name[t->n], sizeof(t->name[0]), "test_%s[%s]", what,
			       e->name);
		t->test[t->n] = (struct CMUnitTest){ .name = t->name[t->n],
						     .test_func = fn,
						     .initial_state = (void *)e };
		t->n++;
	}
}

/* One test that is of no single peer. */
static inline void peer_tests_add_one(struct peer_tests *t, const char *name,
				      CMUnitTestFunction fn)
{
	if (t->n == PEER_TESTS_MAX)
		abort();
	t->test[t->n++] = (struct CMUnitTest){ .name = name, .test_func = fn };
}

/* What main() returns. */
static inline int peer_tests_run(const char *group, struct peer_tests *t)
{
	if (!t->n)
		print_message("skipped: %s: no peer is built in\n", group);
	return _cmocka_run_group_tests(group, t->test, t->n, make_scratch, drop_scratch);
}

#endif /* PEER_FIXTURE_H */
