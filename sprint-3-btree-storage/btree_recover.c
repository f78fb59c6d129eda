/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_recover.c - opening a store: the last checkpoint, then the log's tail.
 *
 * A store comes into being as TREE.tmp, a checkpoint of the empty tree, which becomes TREE by
 * a rename: TREE is there in whole or not at all. The log's files follow with the first
 * write. So what a directory may hold, and what it means:
 *
 *   TREE                   a store
 *   TREE.tmp, or nothing   a store that is yet to be made
 *   TREE.backup            a backup that did not come to its end: not a store
 *   segments alone         a store that lost its tree: not to be built upon
 */
#include "../sprint-2-hash-storage/log_format.h"
#include "btree_store.h"

enum {
	RESERVE = 2, /* log files kept for recycling, for deletes on a full disk alone */
	NAME_MAX_BYTES = 64,
};

/* ---- what is there ---- */

struct contents {
	bool tree, left_over, backup;
	char segment[NAME_MAX_BYTES]; /* the name of one; "" when there is none */
};

static int look(void *arg, const char *name)
{
	struct contents *c = arg;
	size_t n = strlen(name);

	c->tree |= !strcmp(name, "TREE");
	c->left_over |= !strcmp(name, "TREE.tmp");
	c->backup |= !strcmp(name, BTREE_BACKUP_FILE);
	if (n > 4 && n < sizeof(c->segment) && !strcmp(name + n - 4, ".log"))
		memcpy(c->segment, name, n + 1);
	return 0;
}

/* ---- a store that is not there yet ---- */

static int may_be_made(const struct btree_store *s, const struct contents *c,
		       struct kv_msg *why)
{
	if (c->backup)
		return kv_fail(why, -EBADMSG,
			       "%s: a backup that did not come to its end: remove the "
			       "directory and make the backup again",
			       s->dir);
	if (c->segment[0])
		return kv_fail(why, -EBADMSG,
			       "%s: has log segments and no TREE: a store that lost its "
			       "tree; restore a backup",
			       s->dir);
	return 0;
}

static int make_store(struct btree_store *s, const struct contents *c, const char *path,
		      struct kv_msg *why)
{
	/* EXERCISE 3.7 begin: made whole under another name, then renamed
	 *|	return kv_fail(why, -ENOSYS, "there is no code to make a store");
	 */
	struct env *env = s->base.env;
	char temporary[ENV_PATH_MAX];
	struct btree_pager_config config = btree_pager_options(s, temporary);
	int error = may_be_made(s, c, why);

	if (!error)
		error = btree_options_fit(s, why);
	if (error)
		return error;
	error = env_path(temporary, s->dir, "TREE.tmp");
	if (!error && c->left_over)
		error = env->ops->unlink(env, temporary);
	if (!error)
		error = env_sync_parent(env, s->dir);
	if (error)
		return kv_fail(why, error, "%s: a store cannot be made here", s->dir);
	config.store_id = env->ops->random(env);
	error = btree_file_make(&config, btree_option_max_keys(s),
				btree_option_overflow(s), NULL, why);
	if (error)
		return error;
	error = env->ops->rename(env, temporary, path);
	if (!error)
		error = env->ops->sync_dir(env, s->dir);
	return error ? kv_fail(why, error, "%s: cannot be given its name", temporary) : 0;
	/* EXERCISE 3.7 end */
}

/* ---- the tree ---- */

static int open_tree(struct btree_store *s, const char *path, struct kv_msg *why)
{
	struct btree_pager_config config = btree_pager_options(s, path);
	struct btree_super super;
	int error = btree_pager_open(&config, &super, &s->pager, why);

	if (error)
		return error;
	s->id = super.store_id;
	s->option[BTREE_PAGE_BYTES] = super.page_bytes;
	error = btree_options_fit(s, why);
	if (error)
		return error;
	s->pager->shape.max_keys = btree_option_max_keys(s);
	error = btree_tree_init(&s->tree, s->pager, s->base.env,
				btree_option_overflow(s));
	if (error)
		return kv_fail(why, error, "no memory to open %s", s->dir);
	btree_tree_open(&s->tree, &super);
	s->visible = s->tree.tip;
	s->checkpoint_generation = super.generation;
	s->checkpoint_position = super.log_position;
	port_mutex_lock(&s->write_lock);
	btree_keep_update(s);
	port_mutex_unlock(&s->write_lock);
	return 0;
}

/* ---- the log ---- */

/* The size of segments is fixed when the log is made, and stands in each of them. A header
 * that is damaged says nothing; log_open() will say that it is. */
static int take_segment_bytes(struct btree_store *s, const struct contents *c)
{
	struct log_segment_header h;
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	char path[ENV_PATH_MAX];
	struct file *f;
	size_t got = 0;
	int error;

	if (!c->segment[0])
		return 0;
	error = env_path(path, s->dir, c->segment);
	if (!error)
		error = env_open(s->base.env, path, ENV_READ, &f);
	if (error)
		return error;
	error = file_read(f, 0, header, sizeof(header), &got);
	file_close(f);
	if (!error && got == sizeof(header) &&
	    !log_segment_header_decode(&h, header, NULL))
		s->option[BTREE_SEGMENT_BYTES] = h.segment_bytes;
	return error;
}

struct replay {
	struct btree_store *s;
	struct kv_msg why;
};

static int replay(void *arg, const struct log_record *r)
{
	struct replay *v = arg;
	int error = btree_write_replay(v->s, r, &v->why);

	/* As writes do: else the file grew by all that the log's steps give up. */
	if (!error)
		btree_keep_reclaim(v->s, false);
	return error;
}

/* From the segment of the checkpoint's position on there is no gap; nor before the first when
 * the checkpoint knows of no log. */
static int check_segments(struct btree_store *s, const struct contents *c,
			  struct kv_msg *why)
{
	/* EXERCISE 3.7 begin: no segment from the checkpoint's on is missing
	 *|	return kv_fail(why, -ENOSYS, "there is no code to check segments");
	 */
	uint64_t missing = LOG_NONE;

	if (c->segment[0])
		missing = log_missing(s->log, s->checkpoint_position);
	else if (s->checkpoint_position)
		missing = s->checkpoint_position / s->option[BTREE_SEGMENT_BYTES];
	if (missing == LOG_NONE)
		return 0;
	return kv_fail(why, -EBADMSG, "%s/%012llx.log is missing: restore a backup",
		       s->dir, (unsigned long long)missing);
	/* EXERCISE 3.7 end */
}

static int open_log(struct btree_store *s, const struct contents *c, struct kv_msg *why)
{
	struct log_config config = {
		.env = s->base.env,
		.dir = s->dir,
		.store_id = s->id,
		.spares = BTREE_LOG_SPARES,
		.reserve = RESERVE,
		.map = s->option[BTREE_MAP],
		.group_ns = s->option[BTREE_GROUP_MS] * 1000000,
		.durable = s->checkpoint_position,
	};
	struct replay v = { .s = s };
	struct log_recovery found;
	struct kv_msg reason = { "" };
	int error = take_segment_bytes(s, c);

	if (error)
		return kv_fail(why, error, "%s/%s: cannot be read", s->dir, c->segment);
	config.segment_bytes = s->option[BTREE_SEGMENT_BYTES];
	btree_pager_may_outgrow(s->pager, true);
	error = log_open(&config, s->checkpoint_position, replay, &v, &found, &s->log,
			 &reason);
	btree_pager_may_outgrow(s->pager, false);
	if (error && !reason.text[0])
		(void)kv_fail(&reason, error, "%s: the log cannot be opened (error %d)",
			      s->dir, -error);
	if (error)
		return kv_fail(why, error, "%s%s%s", reason.text,
			       v.why.text[0] ? ": " : "", v.why.text);
	error = check_segments(s, c, why);
	if (error) {
		(void)log_close(s->log);
		s->log = NULL;
		return error;
	}
	s->recovery.records_replayed = found.records;
	s->recovery.bytes_dropped = found.bytes_dropped;
	s->recovery.why = found.why;
	return 0;
}

int btree_recover(struct btree_store *s, struct kv_msg *why)
{
	struct env *env = s->base.env;
	struct contents c = { 0 };
	char path[ENV_PATH_MAX];
	int error = env->ops->list(env, s->dir, look, &c);

	if (!error)
		error = env_path(path, s->dir, "TREE");
	if (error)
		return kv_fail(why, error, "%s: cannot be listed", s->dir);
	if (!c.tree)
		error = make_store(s, &c, path, why);
	if (!error)
		error = open_tree(s, path, why);
	if (!error)
		error = open_log(s, &c, why);
	if (error)
		return error;
	port_mutex_lock(&s->write_lock);
	s->visible = s->tree.tip;
	btree_tree_publish(&s->tree, &s->visible);
	port_mutex_unlock(&s->write_lock);
	return 0;
}
