/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions.c - the current version, the manifest, and files that are no longer used.
 *
 * The manifest is a log of records (lsm_manifest.c), each numbered one higher than the one
 * before it, so that a missing segment is noticed. When the records since the last whole
 * version take more than it did, the next commit is written as a whole version in place of an
 * edit; once that is durable, what came before it goes.
 *
 * A file goes when no version refers to it. Versions do from a version's birth on, which is
 * after its record was synced, so the durable manifest never names a file that is gone. When
 * the sync fails nobody knows what is durable: then nothing of either side is removed until
 * the store is opened again.
 */
#include "lsm_version_internal.h"

enum { RETIRE_AT_ONCE = 16 };

#define NUMBER_MAX (UINT64_MAX / 2)

/* ---- names ---- */

static const char *const suffix[] = {
	[LSM_FILE_TABLE] = ".sst", [LSM_FILE_BLOB] = ".blob"
};

int lsm_file_name(char *out, const char *dir, uint64_t number, enum lsm_file_type type)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%012llx%s", (unsigned long long)number,
		       suffix[type]);
	return env_path(out, dir, name);
}

bool lsm_parse_name(const char *name, uint64_t *number, enum lsm_file_type *type)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 16 && name[i] != '.'; i++) {
		char c = name[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*number = v;
	*type = strcmp(name + i, suffix[LSM_FILE_BLOB]) ? LSM_FILE_TABLE : LSM_FILE_BLOB;
	/* No store comes so far, and none goes on from a name that somebody else gave. */
	return i >= 12 && v <= NUMBER_MAX && !strcmp(name + i, suffix[*type]);
}

/* ---- files of tables and blobs ---- */

/* All of a store's are open at once, so a store can outgrow what its process may open. */
static int too_many_open(const char *path, struct kv_msg *why)
{
	return kv_fail(why, -EMFILE,
		       "%s: a store's tables and blob files stay open, and no more may "
		       "be: raise the limit (ulimit -n), or table_bytes",
		       path);
}

static int open_table(struct lsm_versions *vs, struct lsm_table *t, struct kv_msg *why)
{
	const struct sst_config c = { .env = vs->config.env,
				      .cache = vs->config.cache,
				      .access = vs->config.access,
				      .store_id = vs->config.store_id };
	const struct sst_expect expect = { t->summary.bytes, t->summary.footer_crc };
	char path[ENV_PATH_MAX];
	int error = lsm_file_name(path, vs->dir, t->number, LSM_FILE_TABLE);

	if (!error)
		error = sst_open(&c, path, t->number, &expect, &t->sst, why);
	if (error)
		t->sst = NULL;
	if (error == -EMFILE)
		return too_many_open(path, why);
	if (error == -ENOENT)
		return kv_fail(why, -EBADMSG,
			       "%s is missing, a table of the store: restore a backup",
			       path);
	return error;
}

static int open_blob(struct lsm_versions *vs, struct lsm_blob_file *b, struct kv_msg *why)
{
	char path[ENV_PATH_MAX];
	int error = lsm_file_name(path, vs->dir, b->number, LSM_FILE_BLOB);

	if (!error)
		error = lsm_blob_open(vs->config.env, path, b->number,
				      vs->config.store_id, &b->summary,
				      vs->config.access == SST_MAP, &b->blob, why);
	if (error)
		b->blob = NULL;
	if (error == -EMFILE)
		return too_many_open(path, why);
	if (error == -ENOENT)
		return kv_fail(
			why, -EBADMSG,
			"%s is missing, large values of the store: restore a backup",
			path);
	return error;
}

/* What has no open file yet. */
int lsm_versions_open_files(struct lsm_versions *vs, struct lsm_state *s,
			    struct kv_msg *why)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < s->places; i++)
		if (!s->place[i].table->sst)
			error = open_table(vs, s->place[i].table, why);
	for (i = 0; !error && i < s->blobs; i++)
		if (!s->blob[i]->blob)
			error = open_blob(vs, s->blob[i], why);
	return error;
}

uint64_t lsm_versions_unlink_file(struct lsm_versions *vs, uint64_t number,
				  enum lsm_file_type type, uint64_t bytes)
{
	struct env *env = vs->config.env;
	char path[ENV_PATH_MAX];
	int error = lsm_file_name(path, vs->dir, number, type);

	if (!error)
		error = env->ops->unlink(env, path);
	if (error && error != -ENOENT) {
		/* It is an orphan now: opening the store tries again. */
		(void)port_fetch_add(&vs->stat_unlink_errors, 1);
		return 0;
	}
	(void)port_fetch_add(&vs->stat_unlinked, 1);
	(void)port_fetch_add(&vs->stat_freed_bytes, bytes);
	return bytes;
}

/* ---- versions that are over ---- */

void lsm_versions_bury(struct lsm_versions *vs, struct lsm_version *v)
{
	struct lsm_version *head = port_load_relaxed(&vs->zombies);

	do {
		v->zombie = head;
	} while (!port_cas(&vs->zombies, &head, v));
}

static uint64_t drop_table(struct lsm_versions *vs, struct lsm_table *t, bool unlink)
{
	uint64_t number = t->number, bytes = t->summary.bytes;

	if (!lsm_table_unref(t))
		return 0;
	lsm_table_free(t);
	if (!unlink)
		return 0;
	if (vs->config.cache)
		lsm_cache_forget(vs->config.cache, number, bytes);
	return lsm_versions_unlink_file(vs, number, LSM_FILE_TABLE, bytes);
}

static uint64_t drop_blob(struct lsm_versions *vs, struct lsm_blob_file *b, bool unlink)
{
	uint64_t number = b->number, bytes = b->summary.bytes;

	if (!lsm_blob_file_unref(b))
		return 0;
	lsm_blob_file_free(b);
	return unlink ? lsm_versions_unlink_file(vs, number, LSM_FILE_BLOB, bytes) : 0;
}

uint64_t lsm_versions_drop(struct lsm_versions *vs, struct lsm_version *v, bool unlink)
{
	uint64_t bytes = 0;
	unsigned int level;
	size_t r, t, i;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				bytes += drop_table(vs, v->level[level].run[r].table[t],
						    unlink);
	for (i = 0; i < v->blobs; i++)
		bytes += drop_blob(vs, v->blob[i].file, unlink);
	lsm_version_free(v);
	return bytes;
}

uint64_t lsm_versions_purge(struct lsm_versions *vs)
{
	struct lsm_version *v = port_load_acquire(&vs->zombies), *next;
	uint64_t bytes = 0;

	while (v && !port_cas(&vs->zombies, &v, NULL))
		;
	for (; v; v = next) {
		next = v->zombie;
		bytes += lsm_versions_drop(vs, v, true);
	}
	return bytes;
}

bool lsm_versions_are_over(const struct lsm_versions *vs)
{
	return port_load_acquire(&vs->zombies);
}

/* ---- the current version ---- */

struct lsm_version *lsm_versions_current(struct lsm_versions *vs)
{
	struct lsm_version *v;

	port_mutex_lock(&vs->lock);
	v = vs->current;
	lsm_version_ref(v);
	port_mutex_unlock(&vs->lock);
	return v;
}

struct lsm_version *lsm_versions_lock(struct lsm_versions *vs)
{
	port_mutex_lock(&vs->lock);
	return vs->current;
}

void lsm_versions_unlock(struct lsm_versions *vs)
{
	port_mutex_unlock(&vs->lock);
}

uint64_t lsm_versions_number(struct lsm_versions *vs)
{
	return port_fetch_add(&vs->next, (uint64_t)1);
}

bool lsm_versions_latched(const struct lsm_versions *vs)
{
	return port_load_acquire(&vs->latched);
}

/* ---- committing ---- */

/* Numbers up to this one are taken: an edit may bring files of another store (a backup). */
void lsm_versions_pass_number(struct lsm_versions *vs, uint64_t number)
{
	uint64_t next = port_load_acquire(&vs->next);

	while (next <= number && !port_cas(&vs->next, &next, number + 1))
		;
}

static void pass_numbers(struct lsm_versions *vs, const struct lsm_edit *e)
{
	size_t i;

	for (i = 0; i < e->adds; i++) {
		lsm_versions_pass_number(vs, e->add[i].number);
		lsm_versions_pass_number(vs, e->add[i].run);
	}
	for (i = 0; i < e->blobs; i++)
		lsm_versions_pass_number(vs, e->blob[i].number);
	for (i = 0; i < e->moves; i++)
		lsm_versions_pass_number(vs, e->move[i].run);
}

/* Did an append or a sync that failed leave the log unable to go on? */
static void note_failure(struct lsm_versions *vs)
{
	if (log_sync(vs->log, 0))
		port_store_release(&vs->latched, true);
}

/* Appends and syncs vs->record. */
static int write_record(struct lsm_versions *vs, uint64_t *position, struct kv_msg *why)
{
	/* EXERCISE 4.6 begin: append, sync; what if either fails?
	 *|	return -EOPNOTSUPP;
	 */
	struct kv_slice part = kv_slice(vs->record.data, vs->record.len);
	struct log_item item = { .type = LSM_MANIFEST_TYPE,
				 .sequence = LOG_SEQUENCE_POSITION,
				 .part = &part,
				 .parts = 1 };
	int error = log_append(vs->log, &item, 1, LOG_URGENT);

	if (!error)
		error = log_sync(vs->log, item.position);
	if (!error) {
		*position = item.position;
		return 0;
	}
	note_failure(vs);
	if (lsm_versions_latched(vs))
		return kv_fail(why, error,
			       "%s: a change could not be made durable; nothing more is "
			       "written until the store is opened again",
			       vs->manifest);
	return kv_fail(why, error, "%s: a change could not be written: %s", vs->manifest,
		       error == -ENOSPC ? "make room on the disk" : "see the disk");
	/* EXERCISE 4.6 end */
}

static int take_number(void *arg, const struct log_segment *s)
{
	uint64_t *list = arg; /* how many, below which position, numbers */

	if (!s->sealed || s->end > list[1] || list[0] == RETIRE_AT_ONCE)
		return 1;
	list[2 + list[0]++] = s->number;
	return 0;
}

/* Segments that end before position go, the oldest first, so that what stays is never with a
 * gap. What can't be removed now goes when the store is opened. */
static void retire_before(struct lsm_versions *vs, uint64_t position)
{
	uint64_t list[2 + RETIRE_AT_ONCE], i;
	int error = 0;

	do {
		list[0] = 0;
		list[1] = position;
		(void)log_segments(vs->log, take_number, list);
		for (i = 0; !error && i < list[0]; i++) {
			error = log_retire(vs->log, list[2 + i]);
			if (!error)
				error = log_reclaim(vs->log, list[2 + i]);
		}
	} while (!error && list[0] == RETIRE_AT_ONCE);
}

int lsm_versions_write_whole(struct lsm_versions *vs, const struct lsm_version *v,
			     struct kv_msg *why)
{
	uint64_t position;
	int error = lsm_manifest_encode_version(&vs->record, v, vs->serial + 1,
						port_load_acquire(&vs->next));

	if (error)
		return kv_fail(why, error, "no memory for a whole version");
	error = write_record(vs, &position, why);
	if (error)
		return error;
	vs->serial++;
	vs->whole_bytes = vs->record.len;
	vs->since_whole = 0;
	vs->stat_whole++;
	retire_before(vs, position);
	return 0;
}

static int write_edit(struct lsm_versions *vs, const struct lsm_edit *e, uint64_t new_run,
		      struct kv_msg *why)
{
	uint64_t position;
	int error = lsm_manifest_encode_edit(&vs->record, e, new_run, vs->serial + 1,
					     port_load_acquire(&vs->next));

	if (error)
		return kv_fail(why, error, "no memory for an edit");
	error = write_record(vs, &position, why);
	if (error)
		return error;
	vs->serial++;
	vs->since_whole += vs->record.len;
	return 0;
}

static bool whole_is_due(const struct lsm_versions *vs)
{
	uint64_t limit = LSM_MANIFEST_SEGMENT_BYTES / 2;

	return vs->since_whole > (vs->whole_bytes > limit ? vs->whole_bytes : limit);
}

/* As a whole version where it is due, else, or where there is no room for one, as an edit. */
static int write_change(struct lsm_versions *vs, const struct lsm_edit *e,
			uint64_t new_run, const struct lsm_version *v, struct kv_msg *why)
{
	int error = whole_is_due(vs) ? lsm_versions_write_whole(vs, v, why) : -EAGAIN;

	if (error && !lsm_versions_latched(vs))
		error = write_edit(vs, e, new_run, why);
	return error;
}

static void publish(struct lsm_versions *vs, const struct lsm_edit *e,
		    struct lsm_version *v)
{
	struct lsm_version *old;
	unsigned int level;
	size_t i, r, t;

	port_mutex_lock(&vs->lock);
	old = vs->current;
	vs->current = v;
	/* Those that were removed are in old versions alone, where nobody picks. */
	for (level = 0; e->moves && level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++) {
				struct lsm_table *table = v->level[level].run[r].table[t];

				for (i = 0; table->busy && i < e->moves; i++)
					if (e->move[i].number == table->number)
						table->busy = false;
			}
	port_mutex_unlock(&vs->lock);
	if (vs->config.installed)
		vs->config.installed(vs->config.arg, v);
	lsm_version_unref(old);
}

/* Blob files of the edit that no table came to refer to. */
static void unlink_unused(struct lsm_versions *vs, const struct lsm_edit *e,
			  const struct lsm_version *v)
{
	size_t i;

	for (i = 0; i < e->blobs; i++)
		if (!lsm_version_blob(v, e->blob[i].number))
			(void)lsm_versions_unlink_file(vs, e->blob[i].number,
						       LSM_FILE_BLOB,
						       e->blob[i].summary.bytes);
}

/* The version that the edit leads to, its files open. */
static int make_version(struct lsm_versions *vs, struct lsm_edit *e, uint64_t new_run,
			struct lsm_version **out, struct kv_msg *why)
{
	struct lsm_state s = { 0 };
	int error = lsm_state_from(&s, vs->current);

	if (error)
		error = kv_fail(why, error, "no memory for a version");
	if (!error)
		error = lsm_state_apply(&s, e, new_run, why);
	if (!error)
		error = lsm_state_drop_blobs(&s, why);
	if (!error)
		error = lsm_versions_open_files(vs, &s, why);
	if (!error)
		error = lsm_state_version(&s, vs, out, why);
	lsm_state_free(&s);
	return error;
}

static int commit_locked(struct lsm_versions *vs, struct lsm_edit *e, struct kv_msg *why)
{
	/* EXERCISE 4.6 begin: what must be durable before what?
	 *|	return -EOPNOTSUPP;
	 */
	struct env *env = vs->config.env;
	struct lsm_version *v;
	uint64_t new_run;
	int error;

	port_mutex_lock(&vs->lock);
	error = lsm_edit_bound_progress(e, vs->current);
	port_mutex_unlock(&vs->lock);
	if (error)
		return kv_fail(why, error, "no memory for an edit");
	pass_numbers(vs, e);
	new_run = lsm_versions_number(vs);
	error = make_version(vs, e, new_run, &v, why);
	if (error)
		return error;
	if (e->adds || e->blobs)
		error = env->ops->sync_dir(env, vs->dir);
	if (error)
		(void)kv_fail(why, error, "%s: the names of new files cannot be synced",
			      vs->dir);
	else
		error = write_change(vs, e, new_run, v, why);
	if (error) {
		(void)lsm_versions_drop(vs, v, false);
		return error;
	}
	vs->stat_commits++;
	publish(vs, e, v);
	unlink_unused(vs, e, v);
	return 0;
	/* EXERCISE 4.6 end */
}

int lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e, struct kv_msg *why)
{
	int error;

	port_mutex_lock(&vs->commit_lock);
	if (lsm_versions_latched(vs))
		error = kv_fail(
			why, -EROFS,
			"%s: an earlier change could not be made durable: open the "
			"store again",
			vs->manifest);
	else
		error = commit_locked(vs, e, why);
	port_mutex_unlock(&vs->commit_lock);
	return error;
}

/* ---- counters ---- */

static void emit_levels(const struct lsm_version *v, kv_stat_fn *emit, void *arg)
{
	unsigned int level;
	char name[32];
	size_t r, tables;

	for (level = 0; level < LSM_LEVELS; level++) {
		const struct lsm_level *l = &v->level[level];

		for (tables = r = 0; r < l->runs; r++)
			tables += l->run[r].tables;
		(void)snprintf(name, sizeof(name), "level%u_runs", level);
		emit(arg, name, l->runs);
		(void)snprintf(name, sizeof(name), "level%u_tables", level);
		emit(arg, name, tables);
		(void)snprintf(name, sizeof(name), "level%u_bytes", level);
		emit(arg, name, l->bytes);
	}
}

static void emit_version(const struct lsm_version *v, kv_stat_fn *emit, void *arg)
{
	uint64_t bytes = 0, live = 0, record_bytes = 0;
	size_t i;

	for (i = 0; i < v->blobs; i++) {
		bytes += v->blob[i].file->summary.bytes;
		record_bytes += v->blob[i].file->summary.record_bytes;
		live += v->blob[i].live;
	}
	emit_levels(v, emit, arg);
	emit(arg, "table_bytes", v->bytes);
	emit(arg, "blob_files", v->blobs);
	emit(arg, "blob_bytes", bytes);
	emit(arg, "blob_record_bytes", record_bytes);
	emit(arg, "blob_live_bytes", live);
}

void lsm_versions_stats(struct lsm_versions *vs, kv_stat_fn *emit, void *arg)
{
	struct lsm_version *v = lsm_versions_current(vs);

	emit_version(v, emit, arg);
	lsm_version_unref(v);
	port_mutex_lock(&vs->commit_lock);
	emit(arg, "manifest_commits", vs->stat_commits);
	emit(arg, "manifest_rollovers", vs->stat_whole);
	emit(arg, "manifest_bytes", vs->whole_bytes + vs->since_whole);
	port_mutex_unlock(&vs->commit_lock);
	emit(arg, "manifest_latched", lsm_versions_latched(vs));
	emit(arg, "orphans_removed", vs->stat_orphans);
	emit(arg, "files_unlinked", port_load_relaxed(&vs->stat_unlinked));
	emit(arg, "unlinked_bytes", port_load_relaxed(&vs->stat_freed_bytes));
	emit(arg, "unlink_errors", port_load_relaxed(&vs->stat_unlink_errors));
}
