/* SPDX-License-Identifier: MIT */
/*
 * peer_tkrzw.c - Tkrzw's hash and tree databases behind kv.h, through its C interface.
 *
 * Both change one mapped file in place, without a log. After a kill -9 Tkrzw restores on
 * open; after a power failure a record that was half written takes others with it. So
 * neither offers a durability but none: they stand in the report as the price of being
 * safe, and only where no safety is asked for. The tree keeps not even that in full: it
 * writes the pages of a split or a merge one by one, and a kill in between loses a leaf.
 */
#include "engines.h"

#ifdef HAVE_TKRZW

#include "peer_common.h"

#include <stdio.h>
#include <tkrzw_langc.h>

enum { OPT_BUCKETS = PEER_OPTIONS };

static const struct kv_opt hash_opts[] = {
	PEER_OPTION_LIST,
	{ "buckets", "of a new file: about as many as it will hold records", NULL,
	  1u << 20, 16, 1ull << 32 },
	{ 0 },
};

static const struct kv_opt tree_opts[] = {
	PEER_OPTION_LIST,
	{ 0 },
};

struct tkrzw_store {
	struct kv kv;
	int lock_fd;
	TkrzwDBM *db; /* its calls lock for themselves */
};

struct tkrzw_cursor {
	struct kv_cursor c;
	TkrzwDBMIter *it;
	bool outside;
	char *key, *value; /* tkrzw's memory, of the pair last seen */
};

/* What the calling thread's last call came to. */
static int last_error(void)
{
	switch (tkrzw_get_last_status_code()) {
	case TKRZW_STATUS_SUCCESS:
		return 0;
	case TKRZW_STATUS_NOT_FOUND_ERROR:
		return -ENOENT;
	case TKRZW_STATUS_BROKEN_DATA_ERROR:
		return -EBADMSG;
	case TKRZW_STATUS_INVALID_ARGUMENT_ERROR:
		return -EINVAL;
	case TKRZW_STATUS_PERMISSION_ERROR:
		return -EACCES;
	case TKRZW_STATUS_INFEASIBLE_ERROR:
		return -ENOSPC;
	}
	return peer_status_error(tkrzw_get_last_status_message());
}

/* ---- get and write ---- */

struct got {
	struct kv_buf *value;
	int error;
};

/* Inside Tkrzw's lock of the record: copies the value out once. */
static const char *copy_value(void *arg, const char *key, int32_t key_len,
			      const char *value, int32_t len, int32_t *new_len)
{
	struct got *got = arg;

	(void)key, (void)key_len, (void)new_len;
	got->error = value ? kv_buf_set(got->value, value, (size_t)len) : -ENOENT;
	return TKRZW_REC_PROC_NOOP;
}

static int tkrzw_store_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
			   struct kv_buf *value)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);
	struct got got = { value, -ENOENT };

	(void)snap;
	if (!tkrzw_dbm_process(s->db, key.data ? key.data : "", (int32_t)key.len,
			       copy_value, &got, false))
		return last_error();
	return got.error;
}

static int tkrzw_store_write(struct kv *kv, const struct kv_op *op, size_t n,
			     enum kv_durability how)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);
	const char *key = op->key.data ? op->key.data : "";
	const char *value = op->value.data ? op->value.data : "";
	int error;

	(void)how;
	if (n == 0)
		return 0;
	if (op->type == KV_PUT)
		return tkrzw_dbm_set(s->db, key, (int32_t)op->key.len, value,
				     (int32_t)op->value.len, true)
			       ? 0
			       : last_error();
	if (tkrzw_dbm_remove(s->db, key, (int32_t)op->key.len))
		return 0;
	error = last_error();
	return error == -ENOENT ? 0 : error;
}

/* ---- cursors ---- */

static void forget_pair(struct tkrzw_cursor *cur)
{
	free(cur->key);
	free(cur->value);
	cur->key = cur->value = NULL;
}

/* The pair at the iterator, after a move that came to ok. */
static int take_pair(struct tkrzw_cursor *cur, bool ok)
{
	int32_t key_len, value_len;
	int error;

	forget_pair(cur);
	if (ok)
		ok = tkrzw_dbm_iter_get(cur->it, &cur->key, &key_len, &cur->value,
					&value_len);
	cur->outside = !ok;
	if (!ok) {
		error = last_error();
		return error ? error : -ENOENT;
	}
	cur->c.key = kv_slice(cur->key, (size_t)key_len);
	cur->c.value = kv_slice(cur->value, (size_t)value_len);
	return 0;
}

static int tkrzw_cursor_next(struct kv_cursor *c)
{
	struct tkrzw_cursor *cur = container_of(c, struct tkrzw_cursor, c);

	return take_pair(cur, cur->outside ? tkrzw_dbm_iter_first(cur->it)
					   : tkrzw_dbm_iter_next(cur->it));
}

/*
 * The last pair. Tkrzw 1.0.25 forgets at a reopen which leaf is the last, so that
 * tkrzw_dbm_iter_last() and _jump_lower() lead astray. A search goes down the tree, and a
 * step back from beyond all keys leads before the last leaf: from there it is a leaf's
 * walk to the end. (It is longer, and no less right, where keys beyond this one are.)
 */
static int take_last(struct tkrzw_cursor *cur)
{
	bool ok = tkrzw_dbm_iter_jump(cur->it, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	char *last = NULL, *key;
	int32_t len, last_len = 0;

	if (ok && !tkrzw_dbm_iter_previous(cur->it))
		ok = tkrzw_dbm_iter_first(cur->it);
	if (!ok)
		return take_pair(cur, false);
	key = tkrzw_dbm_iter_get_key(cur->it, &len);
	if (!key && tkrzw_dbm_iter_first(cur->it)) /* there is but one leaf */
		key = tkrzw_dbm_iter_get_key(cur->it, &len);
	for (; key; key = tkrzw_dbm_iter_get_key(cur->it, &len)) {
		free(last);
		last = key;
		last_len = len;
		if (!tkrzw_dbm_iter_next(cur->it))
			break;
	}
	if (!last)
		return take_pair(cur, false);
	ok = tkrzw_dbm_iter_jump(cur->it, last, last_len);
	free(last);
	return take_pair(cur, ok);
}

/* Where another has deleted the pair, asking for its key leads to the next one, without
 * which Tkrzw's step back would leave out the rest of the leaf. */
static int tkrzw_cursor_prev(struct kv_cursor *c)
{
	struct tkrzw_cursor *cur = container_of(c, struct tkrzw_cursor, c);
	int32_t len;
	char *key = cur->outside ? NULL : tkrzw_dbm_iter_get_key(cur->it, &len);

	if (!key)
		return take_last(cur);
	free(key);
	return take_pair(cur, tkrzw_dbm_iter_previous(cur->it));
}

static int tkrzw_cursor_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct tkrzw_cursor *cur = container_of(c, struct tkrzw_cursor, c);

	return take_pair(cur, tkrzw_dbm_iter_jump(cur->it, key.data ? key.data : "",
						  (int32_t)key.len));
}

static void tkrzw_cursor_close(struct kv_cursor *c)
{
	struct tkrzw_cursor *cur = container_of(c, struct tkrzw_cursor, c);

	forget_pair(cur);
	tkrzw_dbm_iter_free(cur->it);
	port_free(cur);
}

static const struct kv_cursor_ops hash_cursor_ops = {
	.next = tkrzw_cursor_next,
	.close = tkrzw_cursor_close,
};

static const struct kv_cursor_ops tree_cursor_ops = {
	.seek = tkrzw_cursor_seek,
	.next = tkrzw_cursor_next,
	.prev = tkrzw_cursor_prev,
	.close = tkrzw_cursor_close,
};

static int tkrzw_store_cursor(struct kv *kv, struct kv_snapshot *snap,
			      struct kv_cursor **out)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);
	struct tkrzw_cursor *cur = port_alloc(sizeof(*cur));

	(void)snap;
	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = kv->ops->caps & KV_CAP_ORDERED ? &tree_cursor_ops : &hash_cursor_ops;
	cur->it = tkrzw_dbm_make_iterator(s->db);
	cur->outside = true;
	*out = &cur->c;
	return 0;
}

/* ---- the rest ---- */

static int tkrzw_store_sync(struct kv *kv)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);

	return tkrzw_dbm_synchronize(s->db, true, NULL, NULL, "") ? 0 : last_error();
}

static int tkrzw_store_compact(struct kv *kv)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);

	if (!tkrzw_dbm_should_be_rebuilt(s->db))
		return 0;
	return tkrzw_dbm_rebuild(s->db, "") ? 0 : last_error();
}

static void tkrzw_store_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);

	emit(arg, "records", (uint64_t)tkrzw_dbm_count(s->db));
	emit(arg, "file_bytes", (uint64_t)tkrzw_dbm_get_file_size(s->db));
}

static int tkrzw_store_close(struct kv *kv)
{
	struct tkrzw_store *s = container_of(kv, struct tkrzw_store, kv);
	int error = tkrzw_store_sync(kv);

	if (!tkrzw_dbm_close(s->db) && !error)
		error = last_error();
	peer_dir_close(s->lock_fd);
	port_free(s);
	return error;
}

static int open_file(struct env *env, const struct kv_ops *ops, const char *dir,
		     const char *name, const char *params, struct kv **out,
		     struct kv_msg *why)
{
	struct tkrzw_store *s = port_alloc(sizeof(*s));
	char path[PATH_MAX];
	int error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	s->kv = (struct kv){ ops, env };
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	error = peer_path(path, dir, name);
	if (error)
		goto out_unlock;
	s->db = tkrzw_dbm_open(path, true, params);
	if (!s->db) {
		error = last_error();
		kv_fail(why, 0, "Tkrzw cannot open %s: %s", path,
			tkrzw_get_last_status_message());
		goto out_unlock;
	}
	*out = &s->kv;
	return 0;
out_unlock:
	peer_dir_close(s->lock_fd);
out_free:
	port_free(s);
	return error;
}

static const struct kv_ops hash_ops, tree_ops;

static int hash_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	char params[256];

	(void)snprintf(
		params, sizeof(params),
		"dbm=HashDBM,file=MemoryMapParallelFile,update_mode=UPDATE_IN_PLACE,"
		"align_pow=3,num_buckets=%llu,cache_buckets=true",
		(unsigned long long)opt[OPT_BUCKETS]);
	return open_file(env, &hash_ops, dir, "store.tkh", params, out, why);
}

/* A page in the cache is a parsed one, about twice as large as on disk. Each update goes
 * to its page in the file at once: in the cache it would die with the process. */
static int tree_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	enum { PAGE = 8130 };
	char params[256];

	(void)snprintf(
		params, sizeof(params),
		"dbm=TreeDBM,file=MemoryMapParallelFile,update_mode=UPDATE_IN_PLACE,"
		"page_update_mode=PAGE_UPDATE_WRITE,max_page_size=%d,"
		"max_cached_pages=%llu,num_buckets=%u",
		PAGE, (unsigned long long)(opt[PEER_MEMORY_BYTES] / (2 * PAGE)) + 16,
		1u << 18);
	return open_file(env, &tree_ops, dir, "store.tkt", params, out, why);
}

static const struct kv_ops hash_ops = {
	.name = "tkrzw-hash",
	.summary = "Tkrzw HashDBM: a hash file changed in place, not crash-safe",
	.caps = KV_CAP_CURSOR | KV_CAP_PERSISTENT,
	.opts = hash_opts,
	.open = hash_open,
	.close = tkrzw_store_close,
	.get = tkrzw_store_get,
	.write = tkrzw_store_write,
	.cursor = tkrzw_store_cursor,
	.sync = tkrzw_store_sync,
	.compact = tkrzw_store_compact,
	.stats = tkrzw_store_stats,
};

static const struct kv_ops tree_ops = {
	.name = "tkrzw-tree",
	.summary = "Tkrzw TreeDBM: a B+tree changed in place, safe from no crash",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_PERSISTENT,
	.opts = tree_opts,
	.open = tree_open,
	.close = tkrzw_store_close,
	.get = tkrzw_store_get,
	.write = tkrzw_store_write,
	.cursor = tkrzw_store_cursor,
	.sync = tkrzw_store_sync,
	.compact = tkrzw_store_compact,
	.stats = tkrzw_store_stats,
};

static const char *tkrzw_version(void)
{
	return TKRZW_PACKAGE_VERSION;
}

#define HASH_OPS         (&hash_ops)
#define TREE_OPS         (&tree_ops)
#define TKRZW_VERSION_FN tkrzw_version
#else
#define HASH_OPS         NULL
#define TREE_OPS         NULL
#define TKRZW_VERSION_FN NULL
#endif /* HAVE_TKRZW */

const struct engine_info engine_tkrzw_hash = {
	.name = "tkrzw-hash",
	.kind = ENGINE_PEER,
	.ops = HASH_OPS,
	.package = "libtkrzw-dev",
	.version = TKRZW_VERSION_FN,
	.tuning =
		"In-place updates in a mapped file, 8-byte alignment, a million buckets "
		"(option buckets: give it as many as there are records), which are kept in "
		"memory. It has no log, so it offers level none alone, and its memory is the "
		"page cache, outside of the budget.",
};

const struct engine_info engine_tkrzw_tree = {
	.name = "tkrzw-tree",
	.kind = ENGINE_PEER,
	.ops = TREE_OPS,
	.package = "libtkrzw-dev",
	.version = TKRZW_VERSION_FN,
	.tuning =
		"In-place updates in a mapped file, pages of 8130 bytes, as many in its cache "
		"as the budget holds. Every update writes its page, because one in the cache "
		"alone would not survive the process. Level none alone, and less than that: "
		"a process killed while it splits or merges a leaf loses that leaf's pairs.",
};
