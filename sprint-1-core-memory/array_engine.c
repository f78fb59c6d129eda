/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_engine.c - kv.h over one sorted dynamic array of pairs.
 *
 * The array is an array of pointers to immutable entries. A get is a binary search, an
 * insert moves the pointers behind it: O(n), which is what trees are for. A snapshot is a
 * reference to the array as it stands (a version); a writer that finds the version shared
 * copies the pointers first and edits the copy, else it edits in place.
 *
 * Every write prepares all that can fail (entries, a private version with room for them)
 * and only then publishes, so a write that runs out of memory has changed nothing.
 *
 * One read-write lock guards it all: gets share it, everything else excludes. That is
 * slow with many threads and easy to believe, and an oracle must be believed.
 */
#include "array_engine.h"

struct array_entry {
	uint32_t references; /* versions that hold it */
	uint32_t key_len, value_len;
	uint8_t bytes[]; /* key, then value */
};

struct array_version {
	uint32_t references; /* the store's own, snapshots' and cursors' */
	size_t n, cap;
	struct array_entry **entry; /* ascending by key */
};

enum { OPT_MEMORY_BYTES, OPTS };

struct array_store {
	struct kv base;
	uint64_t memory_bytes; /* constant after open; 0: no cap */

	struct port_rwlock lock;
	/* protected by lock, all that a version or an entry counts too */
	struct array_version *now;
	uint64_t entry_bytes; /* of entries alive, those of old versions included */
	uint64_t versions, version_copies;
};

struct kv_snapshot {
	struct array_version *version;
};

struct array_cursor {
	struct kv_cursor base;
	struct array_store *store;
	struct array_version *version;
	size_t position; /* version->n is the place outside */
};

static struct array_store *array_store(struct kv *kv)
{
	return container_of(kv, struct array_store, base);
}

static struct array_cursor *array_cursor(struct kv_cursor *c)
{
	return container_of(c, struct array_cursor, base);
}

/* ---- entries ---- */

static struct kv_slice entry_key(const struct array_entry *e)
{
	return kv_slice(e->bytes, e->key_len);
}

static struct kv_slice entry_value(const struct array_entry *e)
{
	return kv_slice(e->bytes + e->key_len, e->value_len);
}

static size_t entry_size(const struct array_entry *e)
{
	return sizeof(*e) + e->key_len + e->value_len;
}

static struct array_entry *entry_new(struct kv_slice key, struct kv_slice value)
{
	struct array_entry *e = port_alloc(sizeof(*e) + key.len + value.len);

	if (!e)
		return NULL;
	e->references = 1;
	e->key_len = (uint32_t)key.len;
	e->value_len = (uint32_t)value.len;
	if (key.len)
		memcpy(e->bytes, key.data, key.len);
	if (value.len)
		memcpy(e->bytes + key.len, value.data, value.len);
	return e;
}

static void entry_put(struct array_store *s, struct array_entry *e)
{
	if (--e->references)
		return;
	s->entry_bytes -= entry_size(e);
	port_free(e);
}

/* ---- versions ---- */

static struct array_version *version_new(size_t cap)
{
	struct array_version *v;

	if (cap > SIZE_MAX / sizeof(v->entry[0]))
		return NULL;
	v = port_alloc(sizeof(*v));
	if (!v)
		return NULL;
	v->entry = port_alloc(cap * sizeof(v->entry[0]));
	if (!v->entry) {
		port_free(v);
		return NULL;
	}
	v->references = 1;
	v->n = 0;
	v->cap = cap;
	return v;
}

static void version_put(struct array_store *s, struct array_version *v)
{
	size_t i;

	if (--v->references)
		return;
	for (i = 0; i < v->n; i++)
		entry_put(s, v->entry[i]);
	s->versions--;
	port_free(v->entry);
	port_free(v);
}

/* The first position whose key is >= key; n when there is none. */
static size_t version_lower_bound(const struct array_version *v, struct kv_slice key)
{
	/* EXERCISE 1.8 begin: what is before low is less, what is from high on is not
	 *|	return 0;
	 */
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kv_compare(entry_key(v->entry[middle]), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
	/* EXERCISE 1.8 end */
}

static bool version_has(const struct array_version *v, size_t i, struct kv_slice key)
{
	return i < v->n && !kv_compare(entry_key(v->entry[i]), key);
}

/* Makes s->now the store's alone, with room for more entries. Nothing else changes. */
static int version_prepare(struct array_store *s, size_t more)
{
	/* EXERCISE 1.8 begin: copy the pointers when the version is shared, else grow it
	 *|	return -ENOMEM;
	 */
	struct array_version *old = s->now, *v;
	size_t need, cap, i;

	if (more > SIZE_MAX / 2 - old->n)
		return -ENOMEM;
	need = old->n + more;
	cap = old->cap >= need ? old->cap : need + need / 2 + 16;
	if (old->references > 1) {
		v = version_new(cap);
		if (!v)
			return -ENOMEM;
		memcpy(v->entry, old->entry, old->n * sizeof(v->entry[0]));
		v->n = old->n;
		for (i = 0; i < v->n; i++)
			v->entry[i]->references++;
		old->references--;
		s->now = v;
		s->versions++;
		s->version_copies++;
	} else if (cap > old->cap) {
		struct array_entry **grown;

		if (cap > SIZE_MAX / sizeof(*grown))
			return -ENOMEM;
		grown = port_realloc(old->entry, old->cap * sizeof(*grown),
				     cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		old->entry = grown;
		old->cap = cap;
	}
	return 0;
	/* EXERCISE 1.8 end */
}

/* ---- the steps of a write; none can fail ---- */

static void apply_put(struct array_store *s, struct array_entry *e)
{
	/* EXERCISE 1.8 begin: in its place, or in place of the entry with that key
	 *|	port_free(e);
	 */
	struct array_version *v = s->now;
	struct kv_slice key = entry_key(e);
	size_t i = v->n;

	/* Ascending loads append; only others search. */
	if (v->n && kv_compare(entry_key(v->entry[v->n - 1]), key) >= 0)
		i = version_lower_bound(v, key);
	s->entry_bytes += entry_size(e);
	if (version_has(v, i, key)) {
		entry_put(s, v->entry[i]);
	} else {
		memmove(&v->entry[i + 1], &v->entry[i], (v->n - i) * sizeof(v->entry[0]));
		v->n++;
	}
	v->entry[i] = e;
	/* EXERCISE 1.8 end */
}

static void apply_remove(struct array_store *s, size_t from, size_t to)
{
	/* EXERCISE 1.8 begin: entries [from, to) leave the version */
	struct array_version *v = s->now;
	size_t i;

	for (i = from; i < to; i++)
		entry_put(s, v->entry[i]);
	memmove(&v->entry[from], &v->entry[to], (v->n - to) * sizeof(v->entry[0]));
	v->n -= to - from;
	/* EXERCISE 1.8 end */
}

static void apply(struct array_store *s, const struct kv_op *op, struct array_entry *e)
{
	struct array_version *v = s->now;
	size_t from, to;

	if (op->type == KV_PUT) {
		apply_put(s, e);
		return;
	}
	from = version_lower_bound(v, op->key);
	if (op->type == KV_DELETE)
		to = from + version_has(v, from, op->key);
	else
		to = op->value.data ? version_lower_bound(v, op->value) : v->n;
	if (from < to)
		apply_remove(s, from, to);
}

/* ---- kv_ops ---- */

static int array_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why)
{
	struct array_store *s = port_alloc(sizeof(*s));

	(void)dir;
	if (!s)
		goto no_memory;
	*s = (struct array_store){
		.base = { &array_engine, env },
		.memory_bytes = opt[OPT_MEMORY_BYTES],
		.now = version_new(16),
		.versions = 1,
	};
	if (!s->now)
		goto no_memory;
	port_rwlock_init(&s->lock);
	*out = &s->base;
	return 0;

no_memory:
	port_free(s);
	return kv_fail(why, -ENOMEM, "array: no memory for an empty store");
}

static int array_close(struct kv *kv)
{
	struct array_store *s = array_store(kv);

	version_put(s, s->now);
	port_rwlock_destroy(&s->lock);
	port_free(s);
	return 0;
}

static int array_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		     struct kv_buf *value)
{
	struct array_store *s = array_store(kv);
	const struct array_version *v;
	int error = -ENOENT;
	size_t i;

	port_read_lock(&s->lock);
	v = snap ? snap->version : s->now;
	i = version_lower_bound(v, key);
	if (version_has(v, i, key)) {
		struct kv_slice found = entry_value(v->entry[i]);

		error = kv_buf_set(value, found.data, found.len);
	}
	port_read_unlock(&s->lock);
	return error;
}

/* Entries for the puts among op[0..n), NULL for the others; how many, and what they take. */
static int make_entries(const struct kv_op *op, size_t n, struct array_entry **entry,
			size_t *puts, uint64_t *bytes)
{
	size_t i;

	*puts = 0;
	*bytes = 0;
	for (i = 0; i < n; i++) {
		entry[i] = NULL;
		if (op[i].type != KV_PUT)
			continue;
		entry[i] = entry_new(op[i].key, op[i].value);
		if (!entry[i]) {
			while (i)
				port_free(entry[--i]);
			return -ENOMEM;
		}
		*bytes += entry_size(entry[i]);
		++*puts;
	}
	return 0;
}

static int array_write(struct kv *kv, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	/* EXERCISE 1.8 begin: first all that can fail, then all that cannot
	 *|	return -ENOSYS;
	 */
	struct array_store *s = array_store(kv);
	struct array_entry *one, **entry = &one;
	size_t i, puts;
	uint64_t bytes;
	int error;

	(void)how; /* KV_NONE: kv_write() refuses the others */
	if (n > 1) {
		if (n > SIZE_MAX / sizeof(*entry))
			return -ENOMEM;
		entry = port_alloc(n * sizeof(*entry));
		if (!entry)
			return -ENOMEM;
	}
	error = make_entries(op, n, entry, &puts, &bytes);
	if (error)
		goto out;

	port_write_lock(&s->lock);
	if (s->memory_bytes && s->entry_bytes + bytes > s->memory_bytes)
		error = -ENOSPC;
	else
		error = version_prepare(s, puts);
	for (i = 0; i < n; i++) {
		if (error)
			port_free(entry[i]);
		else
			apply(s, &op[i], entry[i]);
	}
	port_write_unlock(&s->lock);
out:
	if (n > 1)
		port_free(entry);
	return error;
	/* EXERCISE 1.8 end */
}

static struct array_version *hold_version(struct array_store *s, struct kv_snapshot *snap)
{
	struct array_version *v;

	port_write_lock(&s->lock);
	v = snap ? snap->version : s->now;
	v->references++;
	port_write_unlock(&s->lock);
	return v;
}

static void drop_version(struct array_store *s, struct array_version *v)
{
	port_write_lock(&s->lock);
	version_put(s, v);
	port_write_unlock(&s->lock);
}

static int array_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct kv_snapshot *snap = port_alloc(sizeof(*snap));

	if (!snap)
		return -ENOMEM;
	snap->version = hold_version(array_store(kv), NULL);
	*out = snap;
	return 0;
}

static void array_release(struct kv *kv, struct kv_snapshot *snap)
{
	drop_version(array_store(kv), snap->version);
	port_free(snap);
}

/* ---- cursors: a version never changes while it is held, so moves take no lock ---- */

static int cursor_stand(struct array_cursor *c, size_t position)
{
	/* EXERCISE 1.8 begin: at a pair, or outside, where there is none
	 *|	return -ENOENT;
	 */
	const struct array_version *v = c->version;

	c->position = position;
	if (position == v->n) {
		c->base.key = c->base.value = kv_slice(NULL, 0);
		return -ENOENT;
	}
	c->base.key = entry_key(v->entry[position]);
	c->base.value = entry_value(v->entry[position]);
	return 0;
	/* EXERCISE 1.8 end */
}

static int array_cursor_seek(struct kv_cursor *cursor, struct kv_slice key)
{
	struct array_cursor *c = array_cursor(cursor);

	return cursor_stand(c, version_lower_bound(c->version, key));
}

static int array_cursor_next(struct kv_cursor *cursor)
{
	/* EXERCISE 1.8 begin: from outside comes the first
	 *|	return -ENOENT;
	 */
	struct array_cursor *c = array_cursor(cursor);

	return cursor_stand(c, c->position == c->version->n ? 0 : c->position + 1);
	/* EXERCISE 1.8 end */
}

static int array_cursor_prev(struct kv_cursor *cursor)
{
	/* EXERCISE 1.8 begin: from outside comes the last
	 *|	return -ENOENT;
	 */
	struct array_cursor *c = array_cursor(cursor);

	/* From outside to the last, from the first to outside. */
	return cursor_stand(c, (c->position ? c->position : c->version->n + 1) - 1);
	/* EXERCISE 1.8 end */
}

static void array_cursor_close(struct kv_cursor *cursor)
{
	struct array_cursor *c = array_cursor(cursor);

	drop_version(c->store, c->version);
	port_free(c);
}

static const struct kv_cursor_ops array_cursor_ops = {
	.seek = array_cursor_seek,
	.next = array_cursor_next,
	.prev = array_cursor_prev,
	.close = array_cursor_close,
};

static int array_cursor_open(struct kv *kv, struct kv_snapshot *snap,
			     struct kv_cursor **out)
{
	struct array_cursor *c = port_alloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct array_cursor){
		.base = { .ops = &array_cursor_ops },
		.store = array_store(kv),
		.version = hold_version(array_store(kv), snap),
	};
	c->position = c->version->n;
	*out = &c->base;
	return 0;
}

/* ---- looking after it ---- */

static int array_verify(struct kv *kv, struct kv_msg *why)
{
	struct array_store *s = array_store(kv);
	const struct array_version *v;
	uint64_t bytes = 0;
	int error = 0;
	size_t i;

	port_read_lock(&s->lock);
	v = s->now;
	for (i = 0; i < v->n && !error; i++) {
		bytes += entry_size(v->entry[i]);
		if (i &&
		    kv_compare(entry_key(v->entry[i - 1]), entry_key(v->entry[i])) >= 0)
			error = kv_fail(why, -EBADMSG,
					"array: entries %zu and %zu out of order", i - 1,
					i);
	}
	if (!error &&
	    (bytes > s->entry_bytes || (s->versions == 1 && bytes != s->entry_bytes)))
		error = kv_fail(why, -EBADMSG,
				"array: entries take %llu bytes, counted were %llu",
				(unsigned long long)bytes,
				(unsigned long long)s->entry_bytes);
	port_read_unlock(&s->lock);
	return error;
}

static void array_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct array_store *s = array_store(kv);
	uint64_t keys, bytes, versions, copies;

	port_read_lock(&s->lock);
	keys = s->now->n;
	bytes = s->entry_bytes + s->now->cap * sizeof(s->now->entry[0]);
	versions = s->versions;
	copies = s->version_copies;
	port_read_unlock(&s->lock);
	emit(arg, "keys", keys);
	emit(arg, "memory_bytes", bytes);
	emit(arg, "versions", versions);
	emit(arg, "version_copies", copies);
}

static const struct kv_opt array_opts[] = {
	[OPT_MEMORY_BYTES] = { "memory_bytes", "most that pairs may take; 0: no limit",
			       NULL, 0, 0, UINT64_MAX },
	[OPTS] = { 0 },
};

const struct kv_ops array_engine = {
	.name = "array",
	.summary = "sorted array in memory: the baseline and the oracle",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_VERIFY,
	.opts = array_opts,
	.open = array_open,
	.close = array_close,
	.get = array_get,
	.write = array_write,
	.snapshot = array_snapshot,
	.release = array_release,
	.cursor = array_cursor_open,
	.verify = array_verify,
	.stats = array_stats,
};
