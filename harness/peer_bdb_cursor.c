/* SPDX-License-Identifier: MIT */
/*
 * peer_bdb_cursor.c - cursors of Berkeley DB that hold no lock between two calls.
 *
 * Berkeley DB locks pages. A cursor that stands on a pair holds a lock on its page, and a
 * writer would wait for it: for ever, if it is the same thread. So a cursor here reads a
 * buffer full of pairs at once (DB_MULTIPLE_KEY), lets go, and finds its place again by
 * the last key. See "Berkeley DB Programmer's Reference", chapter "Bulk retrieval".
 */
#ifdef HAVE_BDB

#include "peer_bdb.h"

/* What a cursor reads at once: at first, for short scans, and when it has gone on for long. */
enum { CHUNK_BYTES = 8 << 10, CHUNK_BYTES_MAX = 256 << 10 };

struct bdb_cursor {
	struct kv_cursor c;
	struct bdb_store *store;
	bool inside;           /* stands on c.key */
	struct kv_buf probe;   /* a key to search for; then the key found, after prev() */
	struct kv_buf value;   /* after prev() */
	char *chunk;           /* pairs that next() takes from, in Berkeley DB's format */
	u_int32_t chunk_bytes; /* its size, a multiple of 1024; 0: there is none */
	u_int32_t next_bytes;  /* what to read next time */
	void *chunk_at;        /* the next pair in it; NULL: none is left */
	u_int32_t hash_buckets; /* when the walk began */
};

/* ---- chunks of pairs ---- */

static u_int32_t hash_buckets(struct bdb_store *s)
{
	DB_HASH_STAT *st;
	u_int32_t n = 0;

	if (!s->db->stat(s->db, NULL, &st, DB_FAST_STAT)) {
		n = st->hash_buckets;
		free(st);
	}
	return n;
}

static int chunk_reserve(struct bdb_cursor *cur, size_t bytes)
{
	char *p;

	bytes = (bytes + 1023) & ~(size_t)1023;
	if (bytes > UINT32_MAX)
		return ENOMEM;
	if (bytes <= cur->chunk_bytes)
		return 0;
	p = port_realloc(cur->chunk, cur->chunk_bytes, bytes);
	if (!p)
		return ENOMEM;
	cur->chunk = p;
	cur->chunk_bytes = (u_int32_t)bytes;
	return 0;
}

static DBT chunk_dbt(const struct bdb_cursor *cur)
{
	return (DBT){ .data = cur->chunk,
		      .ulen = cur->chunk_bytes,
		      .flags = DB_DBT_USERMEM };
}

/* A key that goes in and, in some calls, comes out. */
static DBT probe_dbt(struct bdb_cursor *cur)
{
	DBT k = bdb_buffer_dbt(&cur->probe);

	k.size = (u_int32_t)cur->probe.len;
	return k;
}

/* The same, but what comes out is the library's: if data changed, it is for free(). */
static DBT malloc_dbt(const struct bdb_cursor *cur)
{
	return (DBT){ .data = cur->probe.data,
		      .size = (u_int32_t)cur->probe.len,
		      .flags = DB_DBT_MALLOC };
}

/* Beside the chunk the library gives the key of its first pair, into memory of its own:
 * were that probe, a longer key would look like a chunk too small. */
static int chunk_fill(struct bdb_cursor *cur, DBC *dbc, u_int32_t from)
{
	int rc = chunk_reserve(cur, cur->next_bytes);

	while (!rc) {
		DBT k = malloc_dbt(cur), v = chunk_dbt(cur);

		rc = dbc->get(dbc, &k, &v, from | DB_MULTIPLE_KEY);
		if (k.data != cur->probe.data)
			free(k.data);
		if (rc != DB_BUFFER_SMALL) {
			if (!rc)
				DB_MULTIPLE_INIT(cur->chunk_at, &v);
			break;
		}
		/* One pair that is larger: v.size, and the library's index of it. */
		rc = chunk_reserve(cur, (size_t)v.size + cur->chunk_bytes + 1024);
	}
	if (cur->next_bytes < CHUNK_BYTES_MAX)
		cur->next_bytes *= 4;
	return rc;
}

enum chunk_from { FROM_FIRST, FROM_PROBE, AFTER_PROBE };

/*
 * Reads pairs by a cursor of the library that lives as long as this call. In a hash table
 * the place of a key is its bucket, and a table that has grown has moved pairs between
 * buckets: there is no going on without losing some, and EAGAIN says so, as it does when
 * the key has gone.
 */
static int chunk_locate(struct bdb_cursor *cur, DBC *dbc, enum chunk_from from)
{
	struct bdb_store *s = cur->store;
	DBT k = probe_dbt(cur), none = { .flags = DB_DBT_USERMEM | DB_DBT_PARTIAL };
	int rc;

	if (from == FROM_FIRST) {
		if (s->hash)
			cur->hash_buckets = hash_buckets(s);
		return chunk_fill(cur, dbc, DB_FIRST);
	}
	if (from == FROM_PROBE)
		return chunk_fill(cur, dbc, DB_SET_RANGE);
	rc = dbc->get(dbc, &k, &none, DB_SET);
	if (s->hash &&
	    (rc == DB_NOTFOUND || (!rc && cur->hash_buckets != hash_buckets(s))))
		return EAGAIN;
	if (!rc)
		return chunk_fill(cur, dbc, DB_NEXT);
	return rc == DB_NOTFOUND ? chunk_fill(cur, dbc, DB_SET_RANGE) : rc;
}

static int chunk_read(struct bdb_cursor *cur, enum chunk_from from)
{
	DB *db = cur->store->db;
	DBC *dbc;
	int rc;

	cur->chunk_at = NULL;
	do {
		rc = db->cursor(db, NULL, &dbc, 0);
		if (rc)
			return rc;
		rc = chunk_locate(cur, dbc, from);
		dbc->close(dbc);
	} while (rc == DB_LOCK_DEADLOCK);
	return rc;
}

/* The next pair of the chunk; false when it has no more. */
static bool chunk_next(struct bdb_cursor *cur)
{
	void *key, *value;
	size_t key_len, value_len;
	DBT v = chunk_dbt(cur);

	if (!cur->chunk_at)
		return false;
	DB_MULTIPLE_KEY_NEXT(cur->chunk_at, &v, key, key_len, value, value_len);
	if (!cur->chunk_at)
		return false;
	cur->c.key = kv_slice(key, key_len);
	cur->c.value = kv_slice(value, value_len);
	cur->inside = true;
	return true;
}

/* ---- moves ---- */

static int cursor_leave(struct bdb_cursor *cur, int error)
{
	cur->inside = false;
	cur->chunk_at = NULL;
	return error;
}

static int bdb_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct bdb_cursor *cur = container_of(c, struct bdb_cursor, c);
	int rc, error = kv_buf_set(&cur->probe, key.data, key.len);

	if (error)
		return cursor_leave(cur, error);
	rc = chunk_read(cur, FROM_PROBE);
	if (rc || !chunk_next(cur))
		return cursor_leave(cur, rc ? bdb_error(rc) : -ENOENT);
	return 0;
}

/* The key stood on, into probe, where the next chunk does not overwrite it. */
static int probe_here(struct bdb_cursor *cur)
{
	if (cur->c.key.data == cur->probe.data)
		return 0;
	return kv_buf_set(&cur->probe, cur->c.key.data, cur->c.key.len);
}

static int bdb_next(struct kv_cursor *c)
{
	struct bdb_cursor *cur = container_of(c, struct bdb_cursor, c);
	bool was_inside = cur->inside;
	int rc, error;

	if (chunk_next(cur))
		return 0;
	error = was_inside ? probe_here(cur) : 0;
	if (error)
		return cursor_leave(cur, error);
	do { /* again if the key came back just between our two looks */
		rc = chunk_read(cur, was_inside ? AFTER_PROBE : FROM_FIRST);
		if (rc || !chunk_next(cur))
			return cursor_leave(cur, rc ? bdb_error(rc) : -ENOENT);
	} while (was_inside &&
		 !kv_compare(cur->c.key, kv_slice(cur->probe.data, cur->probe.len)));
	return 0;
}

/* A pair into probe and value, each grown until it fits. */
static int pair_read(struct bdb_cursor *cur, DBC *dbc, u_int32_t how)
{
	int rc;

	for (;;) {
		DBT k = probe_dbt(cur), v = bdb_buffer_dbt(&cur->value);

		rc = dbc->get(dbc, &k, &v, how);
		if (!rc) {
			cur->probe.len = k.size;
			cur->value.len = v.size;
		}
		if (rc != DB_BUFFER_SMALL)
			return rc;
		if (kv_buf_reserve(&cur->probe, k.size) ||
		    kv_buf_reserve(&cur->value, v.size))
			return ENOMEM;
	}
}

/* The last pair, or the last before probe. */
static int pair_before(struct bdb_cursor *cur, DBC *dbc, bool last)
{
	DBT none = { .flags = DB_DBT_USERMEM | DB_DBT_PARTIAL };
	DBT k = malloc_dbt(cur);
	int rc;

	if (last)
		return pair_read(cur, dbc, DB_LAST);
	rc = dbc->get(dbc, &k, &none, DB_SET_RANGE);
	if (k.data != cur->probe.data)
		free(k.data);
	if (rc && rc != DB_NOTFOUND)
		return rc;
	return pair_read(cur, dbc, rc ? DB_LAST : DB_PREV);
}

static int bdb_prev(struct kv_cursor *c)
{
	struct bdb_cursor *cur = container_of(c, struct bdb_cursor, c);
	int rc, error = cur->inside ? probe_here(cur) : 0;
	DB *db = cur->store->db;
	DBC *dbc;

	if (error)
		return cursor_leave(cur, error);
	do {
		rc = db->cursor(db, NULL, &dbc, 0);
		if (rc)
			break;
		rc = pair_before(cur, dbc, !cur->inside);
		dbc->close(dbc);
	} while (rc == DB_LOCK_DEADLOCK);
	if (rc)
		return cursor_leave(cur, bdb_error(rc));
	cur->c.key = kv_slice(cur->probe.data, cur->probe.len);
	cur->c.value = kv_slice(cur->value.data, cur->value.len);
	cur->inside = true;
	cur->chunk_at = NULL;
	return 0;
}

static void bdb_cursor_close(struct kv_cursor *c)
{
	struct bdb_cursor *cur = container_of(c, struct bdb_cursor, c);

	kv_buf_free(&cur->probe);
	kv_buf_free(&cur->value);
	port_free(cur->chunk);
	port_free(cur);
}

static const struct kv_cursor_ops btree_cursor_ops = {
	.seek = bdb_seek,
	.next = bdb_next,
	.prev = bdb_prev,
	.close = bdb_cursor_close,
};

static const struct kv_cursor_ops hash_cursor_ops = {
	.next = bdb_next,
	.close = bdb_cursor_close,
};

int bdb_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	struct bdb_cursor *cur = port_alloc(sizeof(*cur));
	u_int32_t page_bytes;

	(void)snap;
	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = s->hash ? &hash_cursor_ops : &btree_cursor_ops;
	cur->store = s;
	s->db->get_pagesize(s->db, &page_bytes);
	cur->next_bytes = page_bytes > CHUNK_BYTES ? page_bytes : CHUNK_BYTES;
	*out = &cur->c;
	return 0;
}

#endif /* HAVE_BDB */
