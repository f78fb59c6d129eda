/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_backup.c - a copy of the store while writes go on.
 *
 * What a snapshot shows is loaded into a new file, packed, without a log; it gets the name
 * TREE when it is durable. A backup that was cut short has TREE.backup instead, and is not
 * taken for a store.
 */
#include "btree_store.h"

enum {
	FILL_PERCENT = 90,       /* of a page: some room for what comes after a restore */
	MEMORY_MAX = 64 << 20,   /* of the copy's pages */
	MEMORY_MIN_PAGES = 1024, /* unless that is more than the store's own */
};

static int next_pair(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	struct kv_cursor *c = arg;
	int error = kv_next(c);

	*key = c->key;
	*value = c->value;
	return error;
}

/* Pages go out in order and are not looked at again: a few are enough. */
static uint64_t copy_memory(const struct btree_store *s)
{
	uint64_t bytes = s->option[BTREE_MEMORY_BYTES] / 8,
		 least = (uint64_t)MEMORY_MIN_PAGES * s->tree.shape->page_bytes;

	if (bytes > MEMORY_MAX)
		bytes = MEMORY_MAX;
	if (bytes < least)
		bytes = least;
	return bytes < s->option[BTREE_MEMORY_BYTES] ? bytes
						     : s->option[BTREE_MEMORY_BYTES];
}

static int make_copy(struct btree_store *s, const char *path)
{
	struct btree_pager_config config = btree_pager_options(s, path);
	struct btree_bulk bulk = { .next = next_pair, .fill_percent = FILL_PERCENT };
	struct kv_cursor *c;
	int error = btree_cursor(&s->base, NULL, &c);

	if (error)
		return error;
	bulk.arg = c;
	config.memory_bytes = copy_memory(s);
	config.store_id = s->base.env->ops->random(s->base.env);
	config.lock = false;
	error = btree_file_make(&config, s->tree.shape->max_keys, s->tree.overflow_bytes,
				&bulk, NULL);
	kv_cursor_close(c);
	return error;
}

int btree_backup(struct kv *kv, const char *dir)
{
	struct btree_store *s = btree_store(kv);
	struct env *env = s->base.env;
	char temporary[ENV_PATH_MAX], path[ENV_PATH_MAX];
	int error = env_path(temporary, dir, BTREE_BACKUP_FILE);

	if (!error)
		error = env_path(path, dir, "TREE");
	if (!error)
		error = env->ops->mkdir(env, dir);
	if (error)
		return error;
	error = make_copy(s, temporary);
	if (!error)
		error = env->ops->rename(env, temporary, path);
	if (!error)
		error = env->ops->sync_dir(env, dir);
	if (!error)
		error = env_sync_parent(env, dir);
	if (error) {
		(void)env->ops->unlink(env, temporary);
		(void)env->ops->rmdir(env, dir);
	}
	return error;
}
