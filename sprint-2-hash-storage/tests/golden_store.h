/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * golden_store.h - stores of a format's version as files in data/ beside the test: taken from
 * the simulated disk, compared, and put into a directory of the machine's own to be opened.
 *
 * Who includes it says of which engine (GOLDEN_ENGINE, GOLDEN_OPTIONS) and how large a file
 * may be (GOLDEN_FILE_MAX). KV_GOLDEN_WRITE=1 writes the files anew.
 */
#ifndef GOLDEN_STORE_H
#define GOLDEN_STORE_H

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "env_sim.h"
#include "hash_store_fixture.h"

enum { GOLDEN_NAME = 64, GOLDEN_FILES = 8 };

struct golden {
	struct {
		char name[GOLDEN_NAME];
		struct kv_buf bytes;
	} file[GOLDEN_FILES];
	size_t n;
};

static inline int add_name(void *arg, const char *name)
{
	struct golden *g = arg;
	size_t n = strlen(name);

	if (!strcmp(name, "LOCK") || (n > 6 && !strcmp(name + n - 6, ".spare")))
		return 0;
	assert_true(g->n < GOLDEN_FILES && n < GOLDEN_NAME);
	memcpy(g->file[g->n++].name, name, n + 1);
	return 0;
}

static inline void take_files(struct env *env, const char *dir, struct golden *g)
{
	char path[ENV_PATH_MAX];
	size_t i;

	memset(g, 0, sizeof(*g));
	if (env->ops->list(env, dir, add_name, g))
		fail_msg("%s: cannot be listed; run the tests in the project's directory",
			 dir);
	for (i = 0; i < g->n; i++) {
		assert_int_equal(env_path(path, dir, g->file[i].name), 0);
		assert_int_equal(
			env_read_file(env, path, GOLDEN_FILE_MAX, &g->file[i].bytes), 0);
	}
}

static inline void free_files(struct golden *g)
{
	while (g->n)
		kv_buf_free(&g->file[--g->n].bytes);
}

static inline struct kv_buf *find_file(struct golden *g, const char *name)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (!strcmp(g->file[i].name, name))
			return &g->file[i].bytes;
	return NULL;
}

/* The name of the only segment. */
static inline const char *segment_name(struct golden *g)
{
	const char *found = NULL;
	size_t i;

	for (i = 0; i < g->n; i++)
		if (strstr(g->file[i].name, ".log")) {
			assert_null(found);
			found = g->file[i].name;
		}
	assert_non_null(found);
	return found;
}

static inline void put_files(struct env *env, const char *dir, const struct golden *g)
{
	size_t i;
	int error = env->ops->mkdir(env, dir);

	assert_true(!error || error == -EEXIST);
	for (i = 0; i < g->n; i++)
		assert_int_equal(env_write_file(env, dir, g->file[i].name,
						g->file[i].bytes.data,
						g->file[i].bytes.len),
				 0);
}

static inline const char *data_dir(const char *store)
{
	static char path[256];
	const char *slash = strrchr(__BASE_FILE__, '/');

	(void)snprintf(path, sizeof(path), "%.*s/data/%s",
		       slash ? (int)(slash - __BASE_FILE__) : 1,
		       slash ? __BASE_FILE__ : ".", store);
	return path;
}

/* Where the last byte that is not 0 stands. */
static inline size_t used_bytes(const struct kv_buf *b)
{
	size_t n = b->len;

	while (n && !((const uint8_t *)b->data)[n - 1])
		n--;
	return n;
}

static inline void write_anew(const char *store, const struct golden *g)
{
	char command[600];

	if (!getenv("KV_GOLDEN_WRITE"))
		return;
	(void)snprintf(command, sizeof(command), "rm -rf '%s' && mkdir -p '%s'",
		       data_dir(store), data_dir(store));
	assert_int_equal(system(command), 0);
	put_files(env_posix(), data_dir(store), g);
}

static inline void assert_golden(const char *store, struct golden *came)
{
	struct golden want;
	size_t i;

	write_anew(store, came);
	take_files(env_posix(), data_dir(store), &want);
	assert_int_equal(came->n, want.n);
	for (i = 0; i < want.n; i++) {
		const struct kv_buf *w = &want.file[i].bytes,
				    *c = find_file(came, want.file[i].name);
		size_t at = 0;

		if (!c)
			fail_msg("%s/%s was not written", store, want.file[i].name);
		while (at < w->len && at < c->len &&
		       ((uint8_t *)w->data)[at] == ((uint8_t *)c->data)[at])
			at++;
		if (w->len != c->len || at < w->len)
			fail_msg("%s/%s: %zu bytes, golden are %zu; they differ at %zu",
				 store, want.file[i].name, c->len, w->len, at);
	}
	free_files(&want);
	free_files(came);
}

static inline int open_files(const struct golden *g, struct kv **kv, struct kv_msg *why)
{
	scratch_remove(scratch);
	assert_int_equal(mkdir(scratch, 0700), 0);
	put_files(env_posix(), scratch, g);
	why->text[0] = '\0';
	*kv = NULL;
	return kv_open(&GOLDEN_ENGINE, env_posix(), scratch, GOLDEN_OPTIONS, kv, why);
}

#endif /* GOLDEN_STORE_H */
