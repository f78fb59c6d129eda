/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions_open.c - a manifest is begun, or read from its last whole version on; what a
 * crash left beside it goes.
 *
 * All records are applied to one state, and only what is left at the end is opened. Opening
 * writes a whole version, so that numbers of files that a crash left, and that are removed then,
 * are not given again.
 */
#include "lsm_version_internal.h"

/* ---- creating ---- */

static struct log_config log_config(const struct lsm_versions *vs)
{
	return (struct log_config){
		.env = vs->config.env,
		.dir = vs->manifest,
		.store_id = vs->config.store_id,
		.segment_bytes = LSM_MANIFEST_SEGMENT_BYTES,
		.spares = 2,
		.reserve = 1, /* every commit leads to free space sooner or later */
		.map = true,
	};
}

static void versions_free(struct lsm_versions *vs)
{
	if (!vs)
		return;
	if (vs->current)
		(void)lsm_versions_drop(vs, vs->current, false);
	kv_buf_free(&vs->record);
	port_mutex_destroy(&vs->commit_lock);
	port_mutex_destroy(&vs->lock);
	port_free(vs);
}

static int versions_new(const struct lsm_versions_config *c, struct lsm_versions **out,
			struct kv_msg *why)
{
	struct lsm_versions *vs = port_alloc(sizeof(*vs));
	int error;

	if (!vs)
		return kv_fail(why, -ENOMEM, "no memory for versions");
	memset(vs, 0, sizeof(*vs));
	vs->config = *c;
	vs->next = 1;
	port_mutex_init(&vs->commit_lock);
	port_mutex_init(&vs->lock);
	error = env_path(vs->manifest, c->dir, "manifest");
	if (error) {
		versions_free(vs);
		return kv_fail(why, error, "the path of the store is too long");
	}
	memcpy(vs->dir, c->dir, strlen(c->dir) + 1);
	vs->config.dir = vs->dir;
	*out = vs;
	return 0;
}

static int start_manifest(struct lsm_versions *vs, struct kv_msg *why)
{
	const struct log_config c = log_config(vs);
	struct env *env = vs->config.env;
	struct lsm_state empty = { 0 };
	int error = lsm_state_version(&empty, vs, &vs->current, why);

	if (error)
		return error;
	error = env->ops->mkdir(env, vs->manifest);
	if (error && error != -EEXIST)
		return kv_fail(why, error, "%s cannot be made", vs->manifest);
	error = env->ops->sync_dir(env, vs->dir);
	if (error)
		return kv_fail(why, error, "%s cannot be synced", vs->dir);
	error = log_create(&c, &vs->log, why);
	if (!error)
		error = lsm_versions_write_whole(vs, vs->current, why);
	return error;
}

int lsm_versions_create(const struct lsm_versions_config *c, struct lsm_versions **out,
			struct kv_msg *why)
{
	struct lsm_versions *vs;
	int error = versions_new(c, &vs, why);

	if (error)
		return error;
	error = start_manifest(vs, why);
	if (error) {
		if (vs->log)
			(void)log_close(vs->log);
		versions_free(vs);
		return error;
	}
	*out = vs;
	return 0;
}

/* ---- reading the manifest ---- */

struct replay {
	struct lsm_versions *vs;
	struct lsm_state state;
	bool begun; /* a whole version has been met */
	bool gap;   /* a record is missing since then */
	struct kv_msg why;
};

static int apply_change(struct replay *r, struct lsm_change *c)
{
	/* EXERCISE 4.6 begin: a whole version replaces all before it
	 *|	return -EBADMSG;
	 */
	unsigned int level;
	int error;

	if (c->whole) {
		lsm_state_free(&r->state);
		r->begun = true;
		r->gap = false;
		r->vs->whole_bytes = r->vs->since_whole = 0;
	}
	r->vs->serial = c->serial;
	if (r->vs->next < c->next)
		r->vs->next = c->next;
	error = lsm_state_apply(&r->state, &c->edit, 0, &r->why);
	for (level = 0; !error && level < LSM_LEVELS; level++)
		if (c->progress_set & 1u << level)
			error = lsm_state_set_progress(
				&r->state, level, c->progress[level].run,
				kv_slice(c->progress[level].key.data,
					 c->progress[level].key.len));
	return error == -EINVAL ? -EBADMSG : error;
	/* EXERCISE 4.6 end */
}

static int replay_record(void *arg, const struct log_record *record)
{
	/* EXERCISE 4.6 begin: is it one that can be applied?
	 *|	return -EBADMSG;
	 */
	struct replay *r = arg;
	struct lsm_change c;
	int error;

	if (record->type != LSM_MANIFEST_TYPE)
		return kv_fail(&r->why, -EBADMSG, "a record of type %u", record->type);
	error = lsm_manifest_decode(&c, record->payload, &r->why);
	if (error)
		return error;
	/* Before the first whole version, or behind a gap, nothing says what it changes. */
	if (!c.whole && r->begun && c.serial != r->vs->serial + 1)
		r->gap = true;
	if (c.whole || (r->begun && !r->gap))
		error = apply_change(r, &c);
	if (c.whole)
		r->vs->whole_bytes = record->payload.len;
	else
		r->vs->since_whole += record->payload.len;
	lsm_change_free(&c);
	return error;
	/* EXERCISE 4.6 end */
}

/* All that the manifest says, in r->state. */
static int read_manifest(struct lsm_versions *vs, struct replay *r, struct kv_msg *why)
{
	const struct log_config c = log_config(vs);
	struct log_recovery found = { 0 };
	int error = log_open(&c, 0, replay_record, r, &found, &vs->log, why);

	if (error) {
		vs->log = NULL;
		return r->why.text[0]
			       ? kv_fail(why, error, "%s: %s", vs->manifest, r->why.text)
			       : error;
	}
	if (!r->begun || r->gap)
		return kv_fail(why, -EBADMSG,
			       "%s: %s: corruption. Restore a backup, or salvage what is "
			       "readable",
			       vs->manifest,
			       r->gap ? "a part in the middle is missing"
				      : "there is no whole version");
	return 0;
}

/* ---- what a crash left ---- */

struct orphan {
	uint64_t number;
	enum lsm_file_type type;
};

struct orphans {
	struct lsm_versions *vs;
	const uint64_t *number; /* of the version's files, ascending */
	size_t numbers;
	struct orphan *orphan;
	size_t n;
};

static int see_file(void *arg, const char *name)
{
	/* EXERCISE 4.6 begin: one of the version's, or an orphan?
	 *|	return 0;
	 */
	struct orphans *o = arg;
	struct orphan *room, found;
	size_t low = 0, high = o->numbers;

	if (!lsm_parse_name(name, &found.number, &found.type))
		return 0;
	lsm_versions_pass_number(o->vs, found.number);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (o->number[mid] < found.number)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < o->numbers && o->number[low] == found.number)
		return 0;
	room = lsm_list_room(o->orphan, o->n, sizeof(*room));
	if (!room)
		return -ENOMEM;
	o->orphan = room;
	o->orphan[o->n++] = found;
	return 0;
	/* EXERCISE 4.6 end */
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int list_orphans(struct lsm_versions *vs, const struct lsm_state *s,
			struct orphans *o, struct kv_msg *why)
{
	struct env *env = vs->config.env;
	uint64_t *number = port_alloc((s->places + s->blobs + 1) * sizeof(*number));
	size_t i;
	int error;

	if (!number)
		return kv_fail(why, -ENOMEM, "no memory for a list of files");
	for (i = 0; i < s->places; i++)
		number[o->numbers++] = s->place[i].table->number;
	for (i = 0; i < s->blobs; i++)
		number[o->numbers++] = s->blob[i]->number;
	if (o->numbers)
		port_sort(number, o->numbers, sizeof(*number), compare_u64);
	o->vs = vs;
	o->number = number;
	error = env->ops->list(env, vs->dir, see_file, o);
	port_free(number);
	return error ? kv_fail(why, error, "%s cannot be listed", vs->dir) : 0;
}

/* Their numbers are passed durably before they go. A full disk must not keep a store from
 * being opened, and they may be what fills it. */
static int start_anew(struct lsm_versions *vs, const struct orphans *o,
		      struct kv_msg *why)
{
	/* EXERCISE 4.6 begin: first what must be durable, then unlink
	 *|	return 0;
	 */
	size_t i;
	int error = lsm_versions_write_whole(vs, vs->current, why);

	if (error && error != -ENOSPC)
		return error;
	for (i = 0; i < o->n; i++)
		(void)lsm_versions_unlink_file(vs, o->orphan[i].number, o->orphan[i].type,
					       0);
	vs->stat_orphans = o->n;
	if (error)
		error = lsm_versions_write_whole(vs, vs->current, why);
	return error == -ENOSPC && !lsm_versions_latched(vs) ? 0 : error;
	/* EXERCISE 4.6 end */
}

static int recover(struct lsm_versions *vs, struct kv_msg *why)
{
	struct replay r = { .vs = vs };
	struct orphans o = { 0 };
	int error = read_manifest(vs, &r, why);

	if (!error)
		error = lsm_state_drop_blobs(&r.state, why);
	if (!error)
		error = list_orphans(vs, &r.state, &o, why);
	if (!error)
		error = lsm_versions_open_files(vs, &r.state, why);
	if (!error)
		error = lsm_state_version(&r.state, vs, &vs->current, why);
	if (!error)
		error = start_anew(vs, &o, why);
	lsm_state_free(&r.state);
	port_free(o.orphan);
	return error == -EINVAL ? -EBADMSG : error;
}

/* ---- opening, closing ---- */

int lsm_versions_open(const struct lsm_versions_config *c, struct lsm_versions **out,
		      struct kv_msg *why)
{
	struct lsm_versions *vs;
	int error = versions_new(c, &vs, why);

	if (error)
		return error;
	error = recover(vs, why);
	if (error) {
		if (vs->log)
			(void)log_close(vs->log);
		versions_free(vs);
		return error;
	}
	*out = vs;
	return 0;
}

int lsm_versions_close(struct lsm_versions *vs)
{
	int error;

	if (!vs)
		return 0;
	(void)lsm_versions_purge(vs);
	error = log_close(vs->log);
	versions_free(vs);
	return error;
}
