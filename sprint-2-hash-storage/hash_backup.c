/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_backup.c - a copy of the store while writes go on; and reading all of it.
 *
 * A backup is the log up to one position, copied segment by segment under a snapshot, which
 * keeps cleaned segments on disk. The store's identity is written last: a backup that was
 * cut short is not taken for a store.
 */
#include "hash_store.h"

/* ---- the segments as of one moment ---- */

struct segment_list {
	struct log_segment *segment;
	size_t n, cap;
	int error;
};

static int add_segment(void *arg, const struct log_segment *seg)
{
	struct segment_list *l = arg;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct log_segment *grown = port_realloc(
			l->segment, l->cap * sizeof(*grown), cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->segment = grown;
		l->cap = cap;
	}
	l->segment[l->n++] = *seg;
	return 0;
}

/* ---- backup ---- */

static int copy_segments(struct hash_store *s, const struct segment_list *l,
			 const char *dir)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < l->n; i++)
		error = log_copy(s->log, &l->segment[i], dir);
	return error;
}

int hash_backup(struct kv *kv, const char *dir)
{
	struct hash_store *s = hash_store(kv);
	struct env *env = s->base.env;
	struct segment_list l = { 0 };
	struct kv_snapshot *snap;
	int error = hash_snapshot(kv, &snap);

	if (error)
		return error;
	error = log_segments(s->log, add_segment, &l);
	if (!error)
		error = log_sync(s->log, log_end(s->log) - 1);
	if (!error)
		error = env->ops->mkdir(env, dir);
	if (!error)
		error = copy_segments(s, &l, dir);
	if (!error)
		error = env->ops->sync_dir(env, dir);
	if (!error)
		error = hash_identity_write(s, dir);
	if (!error)
		error = env_sync_parent(env, dir);
	hash_release(kv, snap);
	port_free(l.segment);
	return error;
}

/* ---- verify ---- */

struct verification {
	struct hash_store *s;
	struct kv_msg *why;
	struct kv_buf scratch;
};

static int verify_record(void *arg, const struct log_record *r)
{
	struct verification *v = arg;
	struct hash_record h;

	if ((r->type & HASH_TYPE) == HASH_RETIRE)
		return 0;
	if (hash_record_parse(r, &h))
		return kv_fail(v->why, -EBADMSG, "%s: the record at %llx has no key",
			       v->s->dir, (unsigned long long)r->position);
	return 0;
}

/* An entry must lead to a record whose hash chose that very place. */
static int verify_entry(void *arg, const struct hash_entry *e)
{
	struct verification *v = arg;
	struct hash_record r;
	int error;

	if (e->address >= HASH_PENDING)
		return 0;
	error = hash_record_read(v->s, e->address * LOG_ALIGN, true, &v->scratch, &r);
	if (error)
		return kv_fail(v->why, error == -ENOENT ? -EBADMSG : error,
			       "%s: the index leads to %llx, where no record is",
			       v->s->dir, (unsigned long long)e->address * LOG_ALIGN);
	if (hash_key(v->s, r.key) >> 48 != e->hash >> 48)
		return kv_fail(v->why, -EBADMSG,
			       "%s: the record at %llx is not the index entry's",
			       v->s->dir, (unsigned long long)r.position);
	return 0;
}

int hash_verify(struct kv *kv, struct kv_msg *why)
{
	struct hash_store *s = hash_store(kv);
	struct verification v = { .s = s, .why = why };
	struct segment_list l = { 0 };
	struct kv_snapshot *snap;
	uint32_t prefix = 0;
	size_t i;
	int error = hash_snapshot(kv, &snap); /* keeps segments on disk meanwhile */

	if (error)
		return error;
	error = log_segments(s->log, add_segment, &l);
	for (i = 0; !error && i < l.n; i++)
		error = log_scan(s->log, l.segment[i].number, verify_record, &v, why);
	while (!error && prefix < 1u << HASH_PREFIX_BITS)
		error = hash_index_walk_leaf(s->index, &prefix, verify_entry, &v);
	hash_release(kv, snap);
	port_free(l.segment);
	kv_buf_free(&v.scratch);
	return error;
}
