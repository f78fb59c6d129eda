/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_scan.c - a cursor over the pairs of a view as of one sequence.
 *
 * Below it is a merge of the memtables and the runs. Of the versions of a key that the merge
 * shows, the newest at or before the sequence counts; if that is a tombstone, or a range
 * tombstone is newer, the key is not there.
 *
 * Going forward the merge stands on the entry that is shown. Going back the versions of a key
 * come oldest first, so the pair is copied and the merge stands before the key (LevelDB's
 * DBIter).
 */
#include "lsm_store.h"

struct scan {
	struct kv_cursor base;
	struct lsm_store *store;
	struct lsm_view *view;
	struct lsm_tombstones *tombstones; /* of all that is below; NULL mostly */
	struct lsm_cursor *merge;
	uint64_t sequence;
	bool outside; /* the cursor; where the merge is then is of no account */
	bool backward; /* the merge stands on the key before, and not on the one shown ... */
	bool first;    /* ... unless there is none before it */
	struct kv_buf key, value; /* copies: going back, and of values in blob files */
};

static struct scan *scan_of(struct kv_cursor *c)
{
	return container_of(c, struct scan, base);
}

static int leave(struct scan *s, int error)
{
	s->outside = true;
	s->base.key = s->base.value = kv_slice(NULL, 0);
	return error;
}

static bool is_seen(const struct scan *s, uint64_t stamp)
{
	return lsm_sequence(stamp) <= s->sequence;
}

static bool is_covered(const struct scan *s, struct kv_slice key, uint64_t stamp)
{
	return s->tombstones &&
	       lsm_sequence(stamp) <
		       lsm_tombstones_cover(s->tombstones, key, s->sequence);
}

/* The value of an entry, out of its blob file if it is there. */
static int resolve(struct scan *s, struct kv_slice key, uint64_t stamp,
		   struct kv_slice value)
{
	struct lsm_blob_ref ref;
	struct lsm_blob *blob;
	int error;

	if (lsm_kind(stamp) != LSM_BLOB) {
		s->base.value = value;
		return 0;
	}
	error = lsm_blob_ref_get(value, &ref);
	if (error)
		return error;
	blob = lsm_version_blob(s->view->version, ref.file);
	if (!blob)
		return -EBADMSG;
	error = lsm_blob_read(blob, &ref, key, &s->value, NULL);
	s->base.value = kv_slice(s->value.data, s->value.len);
	return error;
}

/* Most keys have room where the one before was. */
static inline int keep_key(struct scan *s, struct kv_slice key)
{
	if (!key.len || key.len > s->key.cap)
		return kv_buf_set(&s->key, key.data, key.len);
	memcpy(s->key.data, key.data, key.len);
	s->key.len = key.len;
	return 0;
}

/* ---- forward ---- */

/* Past all versions of the key that is in s->key. */
static int skip_key(struct scan *s)
{
	int error;

	do {
		error = lsm_next(s->merge);
	} while (!error &&
		 lsm_key_equal(s->merge->key, kv_slice(s->key.data, s->key.len)));
	return error;
}

/* From where the merge stands, error says how it got there, to the first pair to be shown. */
static int show_forward(struct scan *s, int error)
{
	struct lsm_cursor *m = s->merge;

	s->backward = false;
	while (!error) {
		if (!is_seen(s, m->stamp)) {
			error = lsm_next(m);
			continue;
		}
		/* The merge's key is gone with its next move. */
		error = keep_key(s, m->key);
		if (error)
			break;
		if (lsm_kind(m->stamp) == LSM_DELETE || is_covered(s, m->key, m->stamp)) {
			error = skip_key(s);
			continue;
		}
		error = resolve(s, m->key, m->stamp, m->value);
		if (error)
			break;
		s->outside = false;
		s->base.key = kv_slice(s->key.data, s->key.len);
		return 0;
	}
	return leave(s, error);
}

static int scan_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct scan *s = scan_of(c);

	return show_forward(s, lsm_seek(s->merge, key, lsm_seek_stamp(s->sequence)));
}

/* ---- back ---- */

/* The merge stands on some version of a key, error says how it got there: collects versions of
 * that key, oldest first, down to the newest that is seen; and so on to a key that is there. */
static int show_backward(struct scan *s, int error)
{
	struct lsm_cursor *m = s->merge;
	uint64_t stamp;
	bool there;

	s->backward = true;
	while (!error) {
		error = kv_buf_set(&s->key, m->key.data, m->key.len);
		if (error)
			break;
		for (there = false, stamp = 0; !error;) {
			if (is_seen(s, m->stamp)) {
				there = true;
				stamp = m->stamp;
				error = kv_buf_set(&s->value, m->value.data,
						   m->value.len);
				if (error)
					return leave(s, error);
			}
			error = lsm_prev(m);
			if (!error &&
			    lsm_key_compare(m->key, kv_slice(s->key.data, s->key.len)))
				break;
		}
		if (error && error != -ENOENT)
			break;
		s->first = error == -ENOENT;
		if (!there || lsm_kind(stamp) == LSM_DELETE ||
		    is_covered(s, kv_slice(s->key.data, s->key.len), stamp))
			continue;
		s->base.key = kv_slice(s->key.data, s->key.len);
		error = resolve(s, s->base.key, stamp,
				kv_slice(s->value.data, s->value.len));
		if (error)
			break;
		s->outside = false;
		return 0;
	}
	return leave(s, error);
}

/* Before the key that is shown, from where going forward has left the merge. */
static int turn_back(struct scan *s)
{
	struct kv_slice key = kv_slice(s->key.data, s->key.len);
	int error;

	do {
		error = lsm_prev(s->merge);
	} while (!error && !lsm_key_compare(s->merge->key, key));
	return error;
}

static int scan_prev(struct kv_cursor *c)
{
	struct scan *s = scan_of(c);
	int error;

	if (s->outside) {
		/* The merge may be anywhere: outside first, and from there to the last entry. */
		error = lsm_seek(s->merge, kv_slice("", 0), UINT64_MAX);
		/* Before what was the first there may be another one by now. */
		while (!error)
			error = lsm_prev(s->merge);
		return show_backward(s, error == -ENOENT ? lsm_prev(s->merge) : error);
	}
	if (s->backward)
		return show_backward(s, s->first ? -ENOENT : 0);
	return show_backward(s, turn_back(s));
}

static int scan_next(struct kv_cursor *c)
{
	struct scan *s = scan_of(c);
	int error;

	if (s->outside)
		return show_forward(s, lsm_seek(s->merge, kv_slice("", 0), UINT64_MAX));
	if (!s->backward)
		return show_forward(s, skip_key(s));
	/* The merge is somewhere before the key: to the last of its versions, and behind it. */
	error = lsm_seek(s->merge, kv_slice(s->key.data, s->key.len), 0);
	if (!error && !lsm_key_compare(s->merge->key, kv_slice(s->key.data, s->key.len)))
		error = lsm_next(s->merge);
	return show_forward(s, error);
}

/* ---- making one ---- */

static void scan_close(struct kv_cursor *c)
{
	struct scan *s = scan_of(c);

	lsm_cursor_close(s->merge);
	lsm_tombstones_free(s->tombstones);
	if (s->view)
		lsm_view_leave(s->view);
	kv_buf_free(&s->key);
	kv_buf_free(&s->value);
	port_free(s);
}

static const struct kv_cursor_ops scan_ops = {
	.seek = scan_seek,
	.next = scan_next,
	.prev = scan_prev,
	.close = scan_close,
};

static bool has_tombstones(const struct lsm_view *v)
{
	unsigned int i;
	size_t n;

	for (i = 0; i < v->mems; i++) {
		(void)lsm_memtable_tombstones(v->mem[i]->table, &n);
		if (n)
			return true;
	}
	return v->version->tombstones;
}

static int gather_tombstones(struct scan *s)
{
	const struct lsm_view *v = s->view;
	const size_t most = (size_t)v->mems * LSM_RANGE_SETS + 1;
	const struct lsm_tombstones **set;
	size_t n = 0, more;
	unsigned int i;
	int error;

	if (!has_tombstones(v))
		return 0;
	set = port_alloc(most * sizeof(const struct lsm_tombstones *));
	if (!set)
		return -ENOMEM;
	for (i = 0; i < v->mems; i++) {
		const struct lsm_tombstones *const *of =
			lsm_memtable_tombstones(v->mem[i]->table, &more);

		while (more)
			set[n++] = of[--more];
	}
	set[n++] = v->version->tombstones;
	error = lsm_tombstones_union(set, n, &s->tombstones);
	port_free(set);
	return error;
}

static size_t count_sources(const struct lsm_view *v)
{
	size_t n = v->mems;
	unsigned int level;

	for (level = 0; level < LSM_LEVELS; level++)
		n += v->version->level[level].runs;
	return n;
}

static int gather_sources(struct scan *s, struct lsm_cursor **source, size_t *n)
{
	const struct lsm_view *v = s->view;
	unsigned int i, level;
	size_t run;
	int error = 0;

	for (i = 0; !error && i < v->mems; i++) {
		error = lsm_memtable_cursor(v->mem[i]->table, &source[*n]);
		*n += !error;
	}
	for (level = 0; level < LSM_LEVELS; level++) {
		const struct lsm_level *l = &v->version->level[level];

		for (run = 0; !error && run < l->runs; run++) {
			error = lsm_run_cursor(&l->run[run], s->store->scan_window,
					       &source[*n], NULL);
			*n += !error;
		}
	}
	return error;
}

int lsm_scan(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct lsm_store *store = lsm_store(kv);
	struct lsm_cursor **source = NULL;
	struct scan *s = port_alloc(sizeof(*s));
	size_t n = 0;
	int error = s ? 0 : -ENOMEM;

	if (error)
		return error;
	*s = (struct scan){ .base = { .ops = &scan_ops },
			    .store = store,
			    .outside = true };
	s->view = lsm_view_take(store, &s->sequence);
	if (snap)
		s->sequence = snap->sequence;
	error = gather_tombstones(s);
	if (!error) {
		source = port_alloc(count_sources(s->view) * sizeof(struct lsm_cursor *));
		error = source ? gather_sources(s, source, &n) : -ENOMEM;
	}
	if (!error) {
		error = lsm_merge(source, n, &s->merge);
	} else {
		while (n)
			lsm_cursor_close(source[--n]);
	}
	port_free(source);
	if (error)
		scan_close(&s->base);
	else
		*out = &s->base;
	return error;
}
