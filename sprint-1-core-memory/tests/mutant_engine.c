/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_engine.c - see mutant_engine.h. Each rule is broken where it would be kept: look
 * for is(NAME).
 *
 * It calls the array engine through its table rather than through kv_*(), because some
 * mutants change keys in ways that the checks of kv_*() would refuse.
 */
#include "mutant_private.h"

#include "../array_engine.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kv_ops mutant_ops; /* below */
enum mutant mutant_now;
enum mutant_shape mutant_shape;
static struct mutant_store *stores;
static struct port_mutex stores_lock = { PTHREAD_MUTEX_INITIALIZER };

/* ---- keys: their order is that of what mutant_encode() makes of them ---- */

struct kv_slice mutant_encode(struct kv_slice key, unsigned char *out)
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

int mutant_decode(struct kv_slice key, struct kv_buf *out)
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
	const char *slash;
	struct stat st;

	if (!mkdir(dir, 0777) ||
	    (errno == EEXIST && !stat(dir, &st) && S_ISDIR(st.st_mode)))
		return 0;
	slash = strrchr(dir, '/');
	if (errno == ENOENT && is(MAKES_PARENTS) && slash) {
		char parent[1024];

		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - dir), dir);
		mkdir(parent, 0777);
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

struct kv_snapshot *mutant_view(struct mutant_kv *m, const struct kv_snapshot *snap)
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
	unsigned char *bytes = malloc(MUTANT_ENCODED_MAX);
	struct kv_slice encoded;
	int error;

	if (!bytes)
		return -ENOMEM;
	follow_pointers(m);
	encoded = mutant_encode(key, bytes);
	error = m->inner->ops->get(m->inner, mutant_view(m, snap), encoded, value);
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

/* ---- snapshots ---- */

static int mutant_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct kv_snapshot *snap = calloc(1, sizeof(*snap));

	if (!snap || m->inner->ops->snapshot(m->inner, &snap->inner)) {
		free(snap);
		return -ENOMEM;
	}
	port_fetch_add(&m->snapshots, 1u);
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
	return mutant_copy(m, s->inner);
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

	mutant_now = mutant;
	mutant_shape = as;
	switch (as) {
	case MUTANT_FULL:
		mutant_ops.caps = UNORDERED | KV_CAP_ORDERED;
		break;
	case MUTANT_UNORDERED:
		mutant_ops.caps = UNORDERED;
		break;
	case MUTANT_LOCKING:
		mutant_ops.caps = (UNORDERED | KV_CAP_ORDERED) & ~KV_CAP_SNAPSHOT;
		break;
	case MUTANT_BARE:
		mutant_ops.caps = 0;
	}
	mutant_ops.multi_get =
		as == MUTANT_BARE || as == MUTANT_LOCKING ? NULL : mutant_multi_get;
	mutant_ops.key_min = as == MUTANT_BARE;
	mutant_ops.key_max = as == MUTANT_BARE ? 511 : 0;
	mutant_ops.value_max = as == MUTANT_BARE ? 4000 : 0;
	return &mutant_ops;
}
