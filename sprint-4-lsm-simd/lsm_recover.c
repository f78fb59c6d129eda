/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_recover.c - opening a store: the manifest, then the log's tail.
 *
 * A store comes into being with its file STORE, which is written last, when the manifest of an
 * empty store is durable; the log's files follow. So what a directory may hold, and what it
 * means:
 *
 *   STORE                      a store
 *   manifest/, or nothing      a store that is yet to be made
 *   tables, log segments ...   without STORE: a store that lost it, or a backup that did not
 *                              come to its end
 */
#include "lsm_store.h"

enum { RESERVE = 2 }; /* log files kept for deletes on a full disk */

/* ---- what is there ---- */

struct contents {
	bool store, manifest, files;
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && !strcmp(name + n - m, end);
}

static int look(void *arg, const char *name)
{
	struct contents *c = arg;

	c->store |= !strcmp(name, "STORE");
	c->manifest |= !strcmp(name, "manifest");
	c->files |= ends_with(name, ".log") || ends_with(name, ".sst") ||
		    ends_with(name, ".blob");
	return 0;
}

/* ---- a store that is not there yet ---- */

struct removal {
	struct env *env;
	const char *dir;
};

static int remove_file(void *arg, const char *name)
{
	struct removal *r = arg;
	char path[ENV_PATH_MAX];
	int error = env_path(path, r->dir, name);

	return error ? error : r->env->ops->unlink(r->env, path);
}

/* What a crash left of making the store. */
static int remove_manifest(struct lsm_store *s)
{
	struct env *env = s->base.env;
	char path[ENV_PATH_MAX];
	struct removal r = { env, path };
	int error = env_path(path, s->dir, "manifest");

	if (!error)
		error = env->ops->list(env, path, remove_file, &r);
	return error ? error : env->ops->rmdir(env, path);
}

static int make_store(struct lsm_store *s, const struct contents *c, struct kv_msg *why)
{
	struct env *env = s->base.env;
	struct lsm_versions_config config;
	struct lsm_identity identity;
	struct lsm_versions *versions;
	int error = 0;

	if (c->files)
		return kv_fail(
			why, -EBADMSG,
			"%s: has files of a store, and no STORE: a store that lost it, "
			"or a backup that did not come to its end",
			s->dir);
	if (c->manifest)
		error = remove_manifest(s);
	if (error)
		return kv_fail(why, error, "%s/manifest: cannot be removed", s->dir);
	s->id = env->ops->random(env);
	identity = (struct lsm_identity){ s->id, s->option[LSM_SEGMENT_BYTES] };
	config = lsm_versions_config(s, s->dir);
	error = lsm_versions_create(&config, &versions, why);
	if (!error)
		error = lsm_versions_close(versions);
	else
		return error;
	if (!error)
		error = env_sync_parent(env, s->dir);
	if (!error)
		error = lsm_identity_write(env, s->dir, &identity);
	return error ? kv_fail(why, error, "%s: a store cannot be made here (error %d)",
			       s->dir, -error)
		     : 0;
}

/* ---- the log ---- */

struct log_config lsm_log_config(const struct lsm_store *s, const char *dir)
{
	uint64_t memtables = s->option[LSM_MEMTABLE_COUNT] * s->memtable_bytes;

	return (struct log_config){
		.env = s->base.env,
		.dir = dir,
		.store_id = s->id,
		.segment_bytes = s->option[LSM_SEGMENT_BYTES],
		.spares = (unsigned int)(memtables / s->option[LSM_SEGMENT_BYTES]) +
			  RESERVE + 2,
		.reserve = RESERVE,
		.map = s->option[LSM_MAP],
		.group_ns = s->option[LSM_GROUP_MS] * 1000000,
	};
}

struct replay {
	struct lsm_store *s;
	struct kv_msg why;
};

static int replay(void *arg, const struct log_record *r)
{
	struct replay *v = arg;

	return lsm_write_replay(v->s, r, &v->why);
}

/* From the segment of the manifest's position on there is no gap. */
static int check_segments(struct lsm_store *s, uint64_t position, struct kv_msg *why)
{
	uint64_t missing = log_missing(s->log, position);

	if (missing == LOG_NONE)
		return 0;
	return kv_fail(why, -EBADMSG, "%s/%012llx.log is missing: restore a backup",
		       s->dir, (unsigned long long)missing);
}

static int open_log(struct lsm_store *s, uint64_t position, struct kv_msg *why)
{
	struct log_config config = lsm_log_config(s, s->dir);
	struct replay v = { .s = s };
	struct log_recovery found;
	struct kv_msg reason = { "" };
	int error;

	config.durable = position;
	error = log_open(&config, position, replay, &v, &found, &s->log, &reason);
	if (error && !reason.text[0])
		(void)kv_fail(&reason, error, "%s: the log cannot be opened (error %d)",
			      s->dir, -error);
	if (error)
		return kv_fail(why, error, "%s%s%s", reason.text,
			       v.why.text[0] ? ": " : "", v.why.text);
	error = check_segments(s, position, why);
	if (error)
		return error;
	s->log_end = log_end(s->log);
	s->recovery.records_replayed = found.records;
	s->recovery.bytes_dropped = found.bytes_dropped;
	s->recovery.why = found.why;
	return 0;
}

/* ---- all of it ---- */

struct lsm_versions_config lsm_versions_config(struct lsm_store *s, const char *dir)
{
	return (struct lsm_versions_config){
		.env = s->base.env,
		.dir = dir,
		.store_id = s->id,
		.cache = s->cache,
		.access = (enum sst_access)s->option[LSM_ACCESS],
		.installed = lsm_view_install,
		.arg = s,
	};
}

static int open_versions(struct lsm_store *s, struct kv_msg *why)
{
	struct lsm_versions_config config;
	struct lsm_identity identity;
	int error = lsm_identity_read(s->base.env, s->dir, &identity, why);

	if (error)
		return error;
	s->id = identity.id;
	s->option[LSM_SEGMENT_BYTES] = identity.segment_bytes;
	config = lsm_versions_config(s, s->dir);
	return lsm_versions_open(&config, &s->versions, why);
}

int lsm_recover(struct lsm_store *s, struct kv_msg *why)
{
	struct env *env = s->base.env;
	struct contents c = { 0 };
	struct lsm_version *v;
	uint64_t position;
	int error = env->ops->list(env, s->dir, look, &c);

	if (error)
		return kv_fail(why, error, "%s: cannot be listed", s->dir);
	if (!c.store)
		error = make_store(s, &c, why);
	if (!error)
		error = open_versions(s, why);
	if (error)
		return error;
	v = lsm_versions_current(s->versions);
	position = v->log_position;
	lsm_version_unref(v);
	s->log_end = position;
	s->visible = position / LOG_ALIGN;
	error = lsm_view_begin(s, position);
	if (error)
		return kv_fail(why, error, "no memory for a memtable of %llu bytes",
			       (unsigned long long)s->memtable_bytes);
	lsm_reserve_find(s);
	error = open_log(s, position, why);
	if (error)
		return error;
	/* What a crash has left before the position need not be whole. Failing costs space. */
	(void)log_give_up_before(s->log, position);
	lsm_reserve_tend(s, true);
	return error;
}
