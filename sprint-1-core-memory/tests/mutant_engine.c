/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_engine.c - see mutant_engine.h. Each rule is broken where it would be kept: look
 * for is(NAME).
 *
 * It calls the array engine through its table rather than through kv_*(), because some
 * mutants change keys in ways that the checks of kv_*() would refuse.
 */
#include "mutant_engine.h"

#include "../array_engine.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A store between close and open; its array lives as long as it does. */
struct mutant_store {
	struct mutant_store *next;
	char *dir;
	struct kv *inner;
	bool owns; /* inner; else it is another store's */
	unsigned int handles, opened;
};

struct mutant_kv {
	struct kv base;
	struct mutant_store *store; /* constant after open */
	struct kv *inner;           /* constant after open */

	unsigned int released, compacted; /* atomic */

	struct port_mutex lock; /* of writers; protects the rest */
	struct kv_buf last_put, last_deleted;
	bool last_was_put, last_was_delete;
	unsigned int deletes;
	struct kv_op kept; /* KEEPS_POINTERS */
};

/* Ours; its inner is the array's, which this file never looks into. */
struct kv_snapshot {
	struct kv_snapshot *inner;
	unsigned int released, compacted; /* the store's counts when it was taken */
};

struct mutant_cursor {
	struct kv_cursor base;
	struct mutant_kv *m;
	struct kv_cursor *inner;
	struct kv_snapshot *snap; /* until the first move */
	struct kv_buf key;        /* decoded, for base.key */
	struct kv_buf at;         /* the key that inner stands on */
	enum { NONE, NEXT, PREV, SEEK } last;
	int last_error;
	unsigned int moves;
};

static struct kv_ops mutant_ops; /* below */
static enum mutant now;
static enum mutant_shape shape;
static struct mutant_store *stores;
static struct port_mutex stores_lock = { PTHREAD_MUTEX_INITIALIZER };

static bool is(enum mutant mutant)
{
	return now == mutant;
}

static struct mutant_kv *mutant_kv(struct kv *kv)
{
	return container_of(kv, struct mutant_kv, base);
}

/* ---- keys: their order is that of what encode() makes of them ---- */

enum { ENCODED_MAX = 2 * KV_KEY_MAX + 2 };

static struct kv_slice encode(struct kv_slice key, unsigned char *out)
{
	const unsigned char *in = key.data;
	size_t n = 0, i;

	if (is(COMPARES_SIGNED)) {
		for (i = 0; i < key.len; i++)
			out[n++] = in[i] ^ 0x80;
		return kv_slice(out, n);
	}
	if (is(COMPARES_LONGER_FIRST)) {
		for (i = 0; i < key.len; i++) {
			out[n++] = 1;
			out[n++] = in[i];
		}
		out[n++] = 2;
		return kv_slice(out, n);
	}
	if (is(ENDS_KEYS_AT_NUL))
		key.len = key.len ? strnlen(key.data, key.len) : 0;
	if (is(CUTS_LONGEST_KEYS) && key.len == KV_KEY_MAX)
		key.len--;
	if (key.len)
		memcpy(out, key.data, key.len);
	return kv_slice(out, key.len);
}

static int decode(struct kv_slice key, struct kv_buf *out)
{
	const unsigned char *in = key.data;
	unsigned char *bytes;
	size_t i;

	if (kv_buf_set(out, in, key.len))
		return -ENOMEM;
	bytes = out->data;
	if (is(COMPARES_SIGNED))
		for (i = 0; i < key.len; i++)
			bytes[i] ^= 0x80;
	if (is(COMPARES_LONGER_FIRST)) {
		out->len = key.len / 2;
		for (i = 0; i < out->len; i++)
			bytes[i] = in[2 * i + 1];
	}
	return 0;
}

/* ---- open and close ---- */

static struct mutant_store *store_find(const char *dir)
{
	struct mutant_store *s = stores;

	while (s && strcmp(s->dir, dir))
		s = s->next;
	return s;
}

/* inner NULL: a new array. */
static struct mutant_store *store_new(const char *dir, struct kv *inner)
{
	struct mutant_store *s = calloc(1, sizeof(*s));
	uint64_t none = 0;

	if (!s)
		return NULL;
	s->dir = strdup(dir);
	s->owns = !inner;
	s->inner = inner;
	if (!s->dir || (!inner && array_engine.open(NULL, dir, &none, &s->inner, NULL))) {
		free(s->dir);
		free(s);
		return NULL;
	}
	s->next = stores;
	stores = s;
	return s;
}

static int make_directory(const char *dir, struct kv_msg *why)
{
	struct stat st;

	if (!mkdir(dir, 0777) ||
	    (errno == EEXIST && !stat(dir, &st) && S_ISDIR(st.st_mode)))
		return 0;
	if (errno == ENOENT && is(MAKES_PARENTS)) {
		char *parent = strdup(dir);

		*strrchr(parent, '/') = '\0';
		mkdir(parent, 0777);
		free(parent);
		return mkdir(dir, 0777);
	}
	return kv_fail(why, -errno, "cannot make the directory %s: make its parent first",
		       dir);
}

static int mutant_open(struct env *env, const char *dir, const uint64_t *opt,
		       struct kv **out, struct kv_msg *why)
{
	struct mutant_kv *m = calloc(1, sizeof(*m));
	struct mutant_store *s;
	int error;

	(void)opt;
	if (!m)
		return kv_fail(why, -ENOMEM, "no memory");
	port_mutex_lock(&stores_lock);
	error = make_directory(dir, why);
	if (error)
		goto out;
	s = store_find(dir);
	if (!s)
		s = store_new(dir, NULL);
	if (!s) {
		error = kv_fail(why, -ENOMEM, "no memory");
		goto out;
	}
	if (s->handles && !is(OPENS_TWICE)) {
		if (is(OPEN_SPOILS_OUT))
			*out = NULL;
		error = kv_fail(why, -EBUSY, "%s is open: close it first", dir);
		goto out;
	}
	s->handles++;
	s->opened++;
	m->base.ops = &mutant_ops;
	m->base.env = env;
	m->store = s;
	m->inner = s->inner;
	port_mutex_init(&m->lock);
	*out = &m->base;
out:
	port_mutex_unlock(&stores_lock);
	if (error)
		free(m);
	return error;
}

static int inner_write(struct mutant_kv *m, enum kv_op_type type, struct kv_slice key,
		       struct kv_slice value)
{
	struct kv_op op = { type, key, value };

	return m->inner->ops->write(m->inner, &op, 1, KV_NONE);
}

static struct kv_slice content(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static int mutant_close(struct kv *kv)
{
	struct mutant_kv *m = mutant_kv(kv);

	if (is(REOPEN_LOSES_LAST) && m->last_was_put)
		inner_write(m, KV_DELETE, content(&m->last_put), kv_slice(NULL, 0));
	if (is(REOPEN_LOSES_DELETES) && m->last_was_delete)
		inner_write(m, KV_PUT, content(&m->last_deleted), kv_slice(NULL, 0));
	port_mutex_lock(&stores_lock);
	m->store->handles--;
	port_mutex_unlock(&stores_lock);
	port_mutex_destroy(&m->lock);
	kv_buf_free(&m->last_put);
	kv_buf_free(&m->last_deleted);
	free(m);
	return 0;
}

void mutant_remove_store(const char *dir)
{
	struct mutant_store **link = &stores, *s;
	size_t len = strlen(dir);

	port_mutex_lock(&stores_lock);
	while ((s = *link)) {
		if (strncmp(s->dir, dir, len) || (s->dir[len] && s->dir[len] != '/')) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		rmdir(s->dir);
		if (s->owns)
			s->inner->ops->close(s->inner);
		free(s->dir);
		free(s);
	}
	port_mutex_unlock(&stores_lock);
	rmdir(dir);
}

/* ---- get ---- */

static struct kv_snapshot *inner_view(struct mutant_kv *m, const struct kv_snapshot *snap)
{
	if (!snap ||
	    (is(RELEASE_SPOILS_OTHERS) &&
	     port_load_acquire(&m->released) != snap->released) ||
	    (is(COMPACT_SPOILS_SNAPSHOTS) &&
	     port_load_acquire(&m->compacted) != snap->compacted))
		return NULL;
	return snap->inner;
}

/* What was wrongly kept a pointer to has changed: now the store changes with it. */
static void follow_pointers(struct mutant_kv *m)
{
	if (!is(KEEPS_POINTERS) || !m->kept.key.data)
		return;
	inner_write(m, KV_PUT, m->kept.key, m->kept.value);
	m->kept.key.data = NULL;
}

static int mutant_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		      struct kv_buf *value)
{
	struct mutant_kv *m = mutant_kv(kv);
	unsigned char *bytes = malloc(ENCODED_MAX);
	struct kv_slice encoded;
	int error;

	if (!bytes)
		return -ENOMEM;
	follow_pointers(m);
	encoded = encode(key, bytes);
	error = m->inner->ops->get(m->inner, inner_view(m, snap), encoded, value);
	if (is(SNAPSHOT_SEES_LATER_PUTS) && snap && error == -ENOENT)
		error = m->inner->ops->get(m->inner, NULL, encoded, value);
	if (is(MISS_LEAVES_LENGTH) && error == -ENOENT && value->cap)
		value->len = 1;
	if (is(MISS_IS_NO_ERROR) && error == -ENOENT)
		error = 0;
	free(bytes);
	return error;
}

static int mutant_snapshot(struct kv *kv, struct kv_snapshot **out);
static void mutant_release(struct kv *kv, struct kv_snapshot *snap);

static int mutant_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
			    const struct kv_slice *key, struct kv_buf *value, int *error)
{
	struct kv_snapshot *own = NULL;
	size_t i;

	if (!snap && mutant_snapshot(kv, &own))
		return -ENOMEM;
	if (is(MULTI_GET_FORGETS_SNAPSHOT))
		snap = NULL;
	for (i = 0; i < n; i++)
		error[i] = mutant_get(kv, snap ? snap : own, key[i], &value[i]);
	if (is(MULTI_GET_LOSES_LAST) && n > 1) {
		error[n - 1] = -ENOENT;
		value[n - 1].len = 0;
	}
	if (own)
		mutant_release(kv, own);
	return 0;
}

/* ---- write ---- */

static void drop_op(struct kv_op *op, size_t *n, size_t i)
{
	memmove(&op[i], &op[i + 1], (*n - i - 1) * sizeof(*op));
	--*n;
}

/* The old value's tail behind the new one, in memory that *extra keeps. */
static void keep_tail(struct mutant_kv *m, struct kv_op *op, struct kv_buf *extra)
{
	if (m->inner->ops->get(m->inner, NULL, op->key, extra) ||
	    extra->len <= op->value.len)
		return;
	if (op->value.len)
		memcpy(extra->data, op->value.data, op->value.len);
	op->value = content(extra);
}

static bool is_there(struct mutant_kv *m, struct kv_slice key, struct kv_buf *scratch)
{
	return !m->inner->ops->get(m->inner, NULL, key, scratch);
}

/* Breaks single steps; true when the step is to be dropped. */
static bool break_step(struct mutant_kv *m, struct kv_op *op, size_t n,
		       struct kv_buf *extra)
{
	static const char nul[1];

	if (op->type == KV_PUT) {
		if (is(CUTS_LARGE_VALUES) && op->value.len > 4096)
			op->value.len = 4096;
		if (is(LOSES_EMPTY_VALUES) && !op->value.len)
			op->type = KV_DELETE;
		if (is(KEEPS_TAIL_OF_LONGER_VALUE) && n == 1)
			keep_tail(m, op, extra);
		if (is(PUT_AFTER_DELETE_IS_LOST) && n == 1 && m->last_was_delete &&
		    !kv_compare(op->key, content(&m->last_deleted)))
			return true;
		return (is(LOSES_EMPTY_KEY) && !op->key.len) ||
		       (is(IGNORES_OVERWRITE) && is_there(m, op->key, extra));
	}
	if (op->type == KV_DELETE)
		return is(FORGETS_DELETE) || (is(FORGETS_DELETE_IN_BATCH) && n > 1);
	if (is(RANGE_INCLUDES_END) && op->value.data) {
		extra->len = 0;
		if (!kv_buf_append(extra, op->value.data, op->value.len) &&
		    !kv_buf_append(extra, nul, 1))
			op->value = content(extra);
	}
	if (is(RANGE_EMPTY_END_IS_NO_END) && !op->value.len)
		op->value.data = NULL;
	return is(RANGE_WITHOUT_END_IS_EMPTY) && !op->value.data;
}

static void reverse(struct kv_op *op, size_t n)
{
	size_t i;

	for (i = 0; i < n / 2; i++) {
		struct kv_op swap = op[i];

		op[i] = op[n - 1 - i];
		op[n - 1 - i] = swap;
	}
}

static void ranges_last(struct kv_op *op, size_t n)
{
	size_t i, end = n;

	for (i = 0; i < end;) {
		struct kv_op range = op[i];

		if (range.type != KV_DELETE_RANGE) {
			i++;
			continue;
		}
		memmove(&op[i], &op[i + 1], (n - i - 1) * sizeof(*op));
		op[n - 1] = range;
		end--;
	}
}

static int apply(struct mutant_kv *m, struct kv_op *op, size_t n)
{
	size_t i;
	int error = 0;

	if (is(BATCH_IN_REVERSE))
		reverse(op, n);
	if (is(RANGE_COMES_LAST_IN_BATCH))
		ranges_last(op, n);
	if (is(BATCH_STOPS_HALFWAY) && n > 1)
		n -= n / 2;
	if (is(BATCH_FAILS_HALFWAY) && n > 64) {
		m->inner->ops->write(m->inner, op, n / 2, KV_NONE);
		return -ENOMEM;
	}
	if (is(BATCH_SEEN_IN_PARTS)) {
		static const struct timespec a_while = { 0, 20000 };

		for (i = 0; i < n && !error; i++) {
			error = m->inner->ops->write(m->inner, &op[i], 1, KV_NONE);
			nanosleep(&a_while, NULL);
		}
		return error;
	}
	return n ? m->inner->ops->write(m->inner, op, n, KV_NONE) : 0;
}

/* The last step of a write, for mutants that remember it. */
static void remember(struct mutant_kv *m, const struct kv_op *op)
{
	m->last_was_put = op->type == KV_PUT;
	m->last_was_delete = op->type == KV_DELETE;
	if (m->last_was_put)
		kv_buf_set(&m->last_put, op->key.data, op->key.len);
	if (m->last_was_delete) {
		kv_buf_set(&m->last_deleted, op->key.data, op->key.len);
		m->deletes++;
	}
}

static int mutant_write(struct kv *kv, const struct kv_op *given, size_t n,
			enum kv_durability how)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct kv_op *op = calloc(n, sizeof(*op)), last;
	unsigned char *bytes, *free_bytes;
	struct kv_buf extra = { 0 };
	size_t size = 1, i, left = n;
	int error;

	if (is(REFUSES_SYNC_WRITES) && how == KV_SYNC) {
		free(op);
		return -EOPNOTSUPP;
	}
	for (i = 0; i < n; i++)
		size += 2 * (given[i].key.len + given[i].value.len) + 2;
	bytes = free_bytes = malloc(size);
	if (!op || !bytes) {
		free(op);
		free(bytes);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++) {
		op[i] = given[i];
		op[i].key = encode(given[i].key, free_bytes);
		free_bytes += op[i].key.len;
		if (op[i].type == KV_DELETE_RANGE && op[i].value.data) {
			op[i].value = encode(given[i].value, free_bytes);
			free_bytes += op[i].value.len;
		}
	}
	last = op[n - 1];
	port_mutex_lock(&m->lock);
	if (is(DELETE_OF_ABSENT_FAILS) && n == 1 && op[0].type == KV_DELETE &&
	    !is_there(m, op[0].key, &extra)) {
		error = -ENOENT;
		goto out;
	}
	for (i = 0; i < left;) {
		if (break_step(m, &op[i], n, &extra))
			drop_op(op, &left, i);
		else
			i++;
	}
	error = apply(m, op, left);
	remember(m, &last);
	if (is(KEEPS_POINTERS) && given[0].type == KV_PUT && given[0].key.len > 8 &&
	    !memcmp(given[0].key.data, "borrowed ", 9))
		m->kept = given[0];
out:
	port_mutex_unlock(&m->lock);
	kv_buf_free(&extra);
	free(bytes);
	free(op);
	return error;
}

/* ---- snapshots ---- */

static int mutant_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct kv_snapshot *snap = calloc(1, sizeof(*snap));

	if (!snap || m->inner->ops->snapshot(m->inner, &snap->inner)) {
		free(snap);
		return -ENOMEM;
	}
	snap->released = port_load_acquire(&m->released);
	snap->compacted = port_load_acquire(&m->compacted);
	*out = snap;
	return 0;
}

static void mutant_release(struct kv *kv, struct kv_snapshot *snap)
{
	struct mutant_kv *m = mutant_kv(kv);

	port_fetch_add(&m->released, 1u);
	m->inner->ops->release(m->inner, snap->inner);
	free(snap);
}

/* ---- cursors ---- */

static struct mutant_cursor *mutant_cursor(struct kv_cursor *c)
{
	return container_of(c, struct mutant_cursor, base);
}

/* Shows what the inner cursor stands on. */
static int show(struct mutant_cursor *c, int error)
{
	c->last_error = error;
	c->moves++;
	if (error)
		return error;
	if (decode(c->inner->key, &c->key) ||
	    kv_buf_set(&c->at, c->inner->key.data, c->inner->key.len))
		return -ENOMEM;
	c->base.key = content(&c->key);
	c->base.value = c->inner->value;
	return 0;
}

static int step(struct mutant_cursor *c, int way)
{
	return way == NEXT ? kv_next(c->inner) : kv_prev(c->inner);
}

/* A fresh inner cursor over the newest state, at the same place. */
static int look_again(struct mutant_cursor *c, bool keep_place)
{
	kv_cursor_close(c->inner);
	c->inner = NULL;
	if (c->m->inner->ops->cursor(c->m->inner, NULL, &c->inner))
		return -ENOMEM;
	if (keep_place && c->moves && !c->last_error)
		kv_seek(c->inner, content(&c->at));
	return 0;
}

static int move(struct mutant_cursor *c, int way)
{
	bool turned =
		(c->last == NEXT && way == PREV) || (c->last == PREV && way == NEXT);
	bool stays =
		c->last == NEXT && way == NEXT && c->last_error == -ENOENT && c->moves;

	c->last = way;
	if (is(CURSOR_SEES_WRITES) && look_again(c, true))
		return -ENOMEM;
	if (is(CURSOR_AS_OLD_AS_FIRST_MOVE) && !c->moves && !c->snap &&
	    look_again(c, false))
		return -ENOMEM;
	if (is(NEW_PREV_IS_FIRST) && !c->moves && way == PREV)
		return show(c, kv_next(c->inner));
	if (is(STAYS_PAST_THE_END) && stays)
		return -ENOENT;
	if (is(SKIPS_AFTER_TURN) && turned)
		step(c, way);
	if (is(UNORDERED_LOSES_ONE) && c->moves == 1)
		step(c, way);
	if (is(UNORDERED_REPEATS) && c->moves == 1 && !c->last_error)
		return show(c, 0);
	return show(c, step(c, way));
}

static int mutant_next(struct kv_cursor *cursor)
{
	/* Backwards is an order that nobody expects. */
	return move(mutant_cursor(cursor), shape == MUTANT_UNORDERED ? PREV : NEXT);
}

static int mutant_prev(struct kv_cursor *cursor)
{
	return move(mutant_cursor(cursor), PREV);
}

static int mutant_seek(struct kv_cursor *cursor, struct kv_slice key)
{
	struct mutant_cursor *c = mutant_cursor(cursor);
	unsigned char *bytes = malloc(ENCODED_MAX);
	struct kv_slice encoded;
	int error;

	if (!bytes)
		return -ENOMEM;
	encoded = encode(key, bytes);
	if (is(CURSOR_SEES_WRITES))
		look_again(c, false);
	c->last = SEEK;
	error = kv_seek(c->inner, encoded);
	if (is(SEEK_IS_GREATER_THAN) && !error && !kv_compare(c->inner->key, encoded))
		error = kv_next(c->inner);
	if (is(SEEK_IGNORES_PLACE_OUTSIDE) && error == -ENOENT)
		kv_prev(c->inner);
	free(bytes);
	return show(c, error);
}

static void mutant_cursor_close(struct kv_cursor *cursor)
{
	struct mutant_cursor *c = mutant_cursor(cursor);

	kv_cursor_close(c->inner);
	kv_buf_free(&c->key);
	kv_buf_free(&c->at);
	free(c);
}

static const struct kv_cursor_ops ordered_ops = { mutant_seek, mutant_next, mutant_prev,
						  mutant_cursor_close };
static const struct kv_cursor_ops unordered_ops = { NULL, mutant_next, NULL,
						    mutant_cursor_close };

static int mutant_cursor_open(struct kv *kv, struct kv_snapshot *snap,
			      struct kv_cursor **out)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct mutant_cursor *c = calloc(1, sizeof(*c));
	struct kv_snapshot *view = inner_view(m, snap);

	if (!c || m->inner->ops->cursor(m->inner, view, &c->inner)) {
		free(c);
		return -ENOMEM;
	}
	c->base.ops = shape == MUTANT_UNORDERED ? &unordered_ops : &ordered_ops;
	c->m = m;
	c->snap = snap;
	*out = &c->base;
	return 0;
}

/* ---- looking after it ---- */

static int mutant_sync(struct kv *kv)
{
	struct mutant_kv *m = mutant_kv(kv);

	port_mutex_lock(&m->lock);
	if (is(SYNC_LOSES) && m->last_was_put)
		inner_write(m, KV_DELETE, content(&m->last_put), kv_slice(NULL, 0));
	port_mutex_unlock(&m->lock);
	return 0;
}

static int mutant_compact(struct kv *kv)
{
	struct mutant_kv *m = mutant_kv(kv);

	port_fetch_add(&m->compacted, 1u);
	port_mutex_lock(&m->lock);
	if (is(COMPACT_RESURRECTS) && m->deletes)
		inner_write(m, KV_PUT, content(&m->last_deleted), kv_slice("undead", 6));
	port_mutex_unlock(&m->lock);
	return 0;
}

/* Copies the newest state pair by pair while others write. */
static int copy_moving_target(struct mutant_kv *m, struct kv *to)
{
	struct mutant_cursor c = { .m = m };
	int error = 0;

	while (!error && !(error = look_again(&c, true))) {
		error = kv_next(c.inner);
		if (!error)
			error = show(&c, 0);
		if (!error)
			error = kv_put(to, c.inner->key, c.inner->value, KV_NONE);
		sched_yield();
	}
	kv_cursor_close(c.inner);
	kv_buf_free(&c.key);
	kv_buf_free(&c.at);
	return error == -ENOENT ? 0 : error;
}

static int copy_snapshot(struct mutant_kv *m, struct kv *to)
{
	struct kv_cursor *c = NULL;
	int error = m->inner->ops->cursor(m->inner, NULL, &c);

	while (!error && !(error = kv_next(c))) {
		bool newest;

		port_mutex_lock(&m->lock);
		newest = m->last_was_put && !kv_compare(c->key, content(&m->last_put));
		port_mutex_unlock(&m->lock);
		if (!is(BACKUP_MISSES_NEWEST) || !newest)
			error = kv_put(to, c->key, c->value, KV_NONE);
	}
	kv_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

static int mutant_backup(struct kv *kv, const char *dir)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct mutant_store *s;
	int error;

	port_mutex_lock(&stores_lock);
	error = make_directory(dir, NULL);
	s = error ? NULL : store_new(dir, is(BACKUP_SHARES_STORE) ? m->inner : NULL);
	port_mutex_unlock(&stores_lock);
	if (!s)
		return error ? error : -ENOMEM;
	if (is(BACKUP_SHARES_STORE))
		return 0;
	return is(BACKUP_OF_NO_MOMENT) ? copy_moving_target(m, s->inner)
				       : copy_snapshot(m, s->inner);
}

static int mutant_verify(struct kv *kv, struct kv_msg *why)
{
	struct mutant_kv *m = mutant_kv(kv);

	if (is(VERIFY_CRIES_WOLF) && m->deletes)
		return kv_fail(why, -EBADMSG, "something was deleted");
	return m->inner->ops->verify(m->inner, why);
}

static void mutant_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct mutant_kv *m = mutant_kv(kv);

	m->inner->ops->stats(m->inner, emit, arg);
	emit(arg, is(STATS_REPEAT) ? "keys" : "opened", m->store->opened);
}

static void mutant_recovery(struct kv *kv, struct kv_recovery *out)
{
	if (is(RECOVERY_NEVER_CLEAN) && mutant_kv(kv)->store->opened > 1)
		out->records_replayed = 1;
}

/* ---- the table ---- */

static const struct kv_opt mutant_opts[] = {
	{ "memory_bytes", "not used", NULL, 1 << 20, 0, 1 << 30 },
	{ "layout", "not used", "flat|tall", 0, 0, 0 },
	{ 0 },
};

static struct kv_ops mutant_ops = {
	.name = "mutant",
	.summary = "the array engine with one rule broken",
	.opts = mutant_opts,
	.open = mutant_open,
	.close = mutant_close,
	.get = mutant_get,
	.multi_get = mutant_multi_get,
	.write = mutant_write,
	.snapshot = mutant_snapshot,
	.release = mutant_release,
	.cursor = mutant_cursor_open,
	.sync = mutant_sync,
	.compact = mutant_compact,
	.backup = mutant_backup,
	.verify = mutant_verify,
	.stats = mutant_stats,
	.recovery = mutant_recovery,
};

const struct kv_ops *mutant_engine(enum mutant mutant, enum mutant_shape as)
{
	enum {
		UNORDERED = KV_CAP_CURSOR | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
			    KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
			    KV_CAP_BACKUP | KV_CAP_VERIFY,
	};

	now = mutant;
	shape = as;
	mutant_ops.caps = as == MUTANT_FULL        ? UNORDERED | KV_CAP_ORDERED
			  : as == MUTANT_UNORDERED ? UNORDERED
						   : 0;
	mutant_ops.multi_get = as == MUTANT_BARE ? NULL : mutant_multi_get;
	mutant_ops.key_min = as == MUTANT_BARE;
	mutant_ops.key_max = as == MUTANT_BARE ? 511 : 0;
	mutant_ops.value_max = as == MUTANT_BARE ? 4000 : 0;
	return &mutant_ops;
}
