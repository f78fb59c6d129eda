/* SPDX-License-Identifier: MIT */
/*
 * peer_device.c - the engines that run in the kernel, behind kv.h: /dev/storage-NAME as
 * NAME@kernel (a call for each operation), NAME@kernel+batch (BATCH for several, cursors by
 * blocks) and NAME@kernel+ring (a ring in shared memory for each thread). And null@kernel: the
 * null engine with an empty call before each operation, which is what a crossing costs.
 *
 * A device has one store. Opening it takes it for oneself and deletes what it holds, unless
 * the store is persistent and dir is the one under which it was opened last.
 */
#include "peer_device.h"
#include "engines.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct kv_snapshot {
	struct device_store *s;
	uint32_t handle;
};

uint32_t device_snapshot_handle(const struct kv_snapshot *snap)
{
	return snap->handle;
}

/* ---- links ---- */

static int link_take(struct device_store *s, struct device_link **out)
{
	*out = peer_pool_take(&s->links);
	return *out ? 0 : device_link_open(s->path, s->way == DEVICE_RING, out);
}

static void link_give(struct device_store *s, struct device_link *l)
{
	if (!peer_pool_give(&s->links, l))
		device_link_close(l);
}

/* ---- one operation ---- */

static int get_on(int fd, uint32_t snapshot, struct kv_slice key, struct kv_buf *value)
{
	int error = kv_buf_reserve(value, 1);

	while (!error) {
		struct storage_op op = {
			.version = STORAGE_VERSION,
			.code = STORAGE_GET,
			.key = (uintptr_t)key.data,
			.key_len = (uint32_t)key.len,
			.value = (uintptr_t)value->data,
			.value_len = value->cap,
			.snapshot = snapshot,
		};

		error = device_ioctl(fd, STORAGE_IOC_GET, &op);
		if (!error)
			value->len = op.value_len;
		if (error != -EMSGSIZE)
			return error;
		error = kv_buf_reserve(value, op.value_len);
	}
	return error;
}

static struct storage_op op_of(const struct kv_op *step, enum kv_durability how)
{
	struct storage_op op = {
		.version = STORAGE_VERSION,
		.flags = (uint8_t)how,
		.key = (uintptr_t)step->key.data,
		.key_len = (uint32_t)step->key.len,
	};

	switch (step->type) {
	case KV_PUT:
		op.code = STORAGE_PUT;
		break;
	case KV_DELETE:
		op.code = STORAGE_DELETE;
		return op;
	case KV_DELETE_RANGE:
		op.code = STORAGE_DELETE_RANGE;
		if (!step->value.data) {
			op.flags |= STORAGE_TO_END;
			return op;
		}
		break;
	}
	op.value = (uintptr_t)step->value.data;
	op.value_len = step->value.len;
	return op;
}

static int write_one(struct device_link *l, const struct kv_op *step,
		     enum kv_durability how)
{
	struct storage_op op = op_of(step, how);

	return device_ioctl(
		l->fd, step->type == KV_PUT ? STORAGE_IOC_PUT : STORAGE_IOC_DELETE, &op);
}

static int write_batch(struct device_link *l, const struct kv_op *step, size_t n,
		       enum kv_durability how)
{
	struct storage_op *op = port_alloc(n * sizeof(*op));
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_ATOMIC,
		.n = (uint32_t)n,
		.durability = how,
	};
	size_t i;
	int error;

	if (!op)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		op[i] = op_of(&step[i], KV_NONE);
	b.ops = (uintptr_t)op;
	error = n > STORAGE_BATCH_MAX ? -E2BIG
				      : device_ioctl(l->fd, STORAGE_IOC_BATCH, &b);
	port_free(op);
	return error;
}

/* ---- by the ring: key and value of each operation stand in the arena ---- */

static bool ring_has_room(size_t key, size_t value, size_t used)
{
	return key + value <= DEVICE_ARENA && used <= DEVICE_ARENA - key - value;
}

static int ring_write(struct device_link *l, const struct kv_op *step,
		      enum kv_durability how)
{
	struct storage_op *op = &l->op[0];
	int error;

	*op = op_of(step, how);
	memcpy(l->arena, step->key.data ? step->key.data : "", step->key.len);
	op->key = 0;
	if (op->value_len)
		memcpy(l->arena + step->key.len, step->value.data, op->value_len);
	op->value = op->value_len || op->code == STORAGE_PUT ? step->key.len : 0;
	error = device_ring_run(l, 1);
	return error ? error : op->result;
}

/* Gets of [0, n) into arena; room for each value. */
static int ring_gets(struct device_link *l, size_t n, const struct kv_slice *key,
		     size_t room)
{
	size_t used = 0, i;

	for (i = 0; i < n; i++) {
		l->op[i] = (struct storage_op){
			.version = STORAGE_VERSION,
			.code = STORAGE_GET,
			.key = used,
			.key_len = (uint32_t)key[i].len,
			.value = used + key[i].len,
			.value_len = room,
		};
		if (key[i].len)
			memcpy(l->arena + used, key[i].data, key[i].len);
		used += (key[i].len + room + 7) / 8 * 8;
	}
	return device_ring_run(l, n);
}

static size_t longest(const struct kv_slice *key, size_t n)
{
	size_t most = 0, i;

	for (i = 0; i < n; i++)
		most = key[i].len > most ? key[i].len : most;
	return most;
}

/* ---- kv.h ---- */

static int device_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		      struct kv_buf *value)
{
	struct device_store *s = device_store(kv);
	struct device_link *l;
	int error;

	if (snap)
		return get_on(s->fd, snap->handle, key, value);
	error = link_take(s, &l);
	if (error)
		return error;
	if (s->way == DEVICE_RING) {
		error = ring_gets(l, 1, &key, DEVICE_VALUE_ROOM);
		if (!error)
			error = l->op[0].result;
		if (!error)
			error = kv_buf_set(value, l->arena + l->op[0].value,
					   l->op[0].value_len);
	}
	if (s->way != DEVICE_RING || error == -EMSGSIZE)
		error = get_on(l->fd, 0, key, value);
	link_give(s, l);
	return error;
}

static int device_write(struct kv *kv, const struct kv_op *op, size_t n,
			enum kv_durability how)
{
	struct device_store *s = device_store(kv);
	struct device_link *l;
	int error = link_take(s, &l);

	if (error)
		return error;
	if (n > 1)
		error = write_batch(l, op, n, how);
	else if (s->way == DEVICE_RING && ring_has_room(op->key.len, op->value.len, 0))
		error = ring_write(l, op, how);
	else
		error = write_one(l, op, how);
	link_give(s, l);
	return error;
}

/* A value that had no room is got anew: of a snapshot, it is still the same. */
static void take_value(struct device_link *l, uint32_t snapshot, int fd, size_t i,
		       const uint8_t *at, struct kv_slice key, struct kv_buf *value,
		       int *error)
{
	*error = l->op[i].result;
	if (*error == -EMSGSIZE)
		*error = get_on(fd, snapshot, key, value);
	else if (!*error)
		*error = kv_buf_set(value, at, l->op[i].value_len);
}

static int batch_gets(struct device_link *l, int fd, uint32_t snapshot, size_t n,
		      const struct kv_slice *key, struct kv_buf *value)
{
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.n = (uint32_t)n,
		.ops = (uintptr_t)l->op,
	};
	size_t i;
	int error;

	for (i = 0; i < n; i++) {
		error = kv_buf_reserve(&value[i], 1);
		if (error)
			return error;
		l->op[i] = (struct storage_op){
			.version = STORAGE_VERSION,
			.code = STORAGE_GET,
			.key = (uintptr_t)key[i].data,
			.key_len = (uint32_t)key[i].len,
			.value = (uintptr_t)value[i].data,
			.value_len = value[i].cap,
			.snapshot = snapshot,
		};
	}
	return device_ioctl(fd, STORAGE_IOC_BATCH, &b);
}

static int some_gets(struct device_store *s, struct device_link *l, uint32_t snapshot,
		     size_t n, const struct kv_slice *key, struct kv_buf *value,
		     int *error)
{
	bool ring = s->way == DEVICE_RING && !snapshot &&
		    ring_has_room(longest(key, n) + 8, DEVICE_VALUE_ROOM,
				  (n - 1) * (longest(key, n) + DEVICE_VALUE_ROOM + 8));
	int fd = snapshot ? s->fd : l->fd, failed;
	size_t i;

	if (ring)
		failed = ring_gets(l, n, key, DEVICE_VALUE_ROOM);
	else
		failed = batch_gets(l, fd, snapshot, n, key, value);
	if (failed)
		return failed;
	for (i = 0; i < n; i++) {
		if (ring || l->op[i].result == -EMSGSIZE) {
			take_value(l, snapshot, fd, i,
				   ring ? l->arena + l->op[i].value : NULL, key[i],
				   &value[i], &error[i]);
			continue;
		}
		error[i] = l->op[i].result;
		value[i].len = error[i] ? 0 : l->op[i].value_len;
	}
	return 0;
}

static int device_snapshot(struct kv *kv, struct kv_snapshot **out);
static void device_release(struct kv *kv, struct kv_snapshot *snap);

static bool has_no_room(const struct device_link *l, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (l->op[i].result == -EMSGSIZE)
			return true;
	return false;
}

/* The kernel answers STORAGE_TOGETHER from one state; more need a snapshot, and so do values
 * that turn out to need room. */
static int device_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
			    const struct kv_slice *key, struct kv_buf *value, int *error)
{
	struct device_store *s = device_store(kv);
	struct kv_snapshot *own = NULL;
	struct device_link *l;
	size_t i, some;
	int failed = 0;

	if (!n)
		return 0;
	if (!snap && n > STORAGE_TOGETHER && s->snapshots) {
		failed = device_snapshot(kv, &own);
		if (failed)
			return failed;
		snap = own;
	}
	failed = link_take(s, &l);
	for (i = 0; i < n && !failed; i += some) {
		some = n - i < STORAGE_TOGETHER ? n - i : STORAGE_TOGETHER;
		failed = some_gets(s, l, snap ? snap->handle : 0, some, key + i,
				   value + i, error + i);
		if (failed || snap || !s->snapshots || !has_no_room(l, some))
			continue;
		failed = device_snapshot(kv, &own);
		if (!failed)
			failed = some_gets(s, l, own->handle, some, key + i, value + i,
					   error + i);
	}
	if (l)
		link_give(s, l);
	kv_release(kv, own);
	return failed;
}

static int device_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct device_store *s = device_store(kv);
	struct kv_snapshot *snap = port_alloc(sizeof(*snap));
	struct storage_handle h = { .version = STORAGE_VERSION };
	int error;

	if (!snap)
		return -ENOMEM;
	error = device_ioctl(s->fd, STORAGE_IOC_SNAPSHOT, &h);
	if (error) {
		port_free(snap);
		return error;
	}
	*snap = (struct kv_snapshot){ s, h.handle };
	*out = snap;
	return 0;
}

static void device_release(struct kv *kv, struct kv_snapshot *snap)
{
	struct storage_handle h = { .version = STORAGE_VERSION, .handle = snap->handle };

	(void)device_ioctl(device_store(kv)->fd, STORAGE_IOC_RELEASE, &h);
	port_free(snap);
}

static int control(struct kv *kv, unsigned long request, struct kv_msg *why)
{
	struct storage_control a = { .version = STORAGE_VERSION };
	int error = device_ioctl(device_store(kv)->fd, request, &a);

	if (error && why && a.why[0])
		(void)kv_fail(why, error, "%.*s", (int)sizeof(a.why), a.why);
	return error;
}

static int device_sync(struct kv *kv)
{
	return control(kv, STORAGE_IOC_SYNC, NULL);
}

static int device_compact(struct kv *kv)
{
	return control(kv, STORAGE_IOC_COMPACT, NULL);
}

static int device_verify(struct kv *kv, struct kv_msg *why)
{
	return control(kv, STORAGE_IOC_VERIFY, why);
}

static void device_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	enum { ROOM = 256 };
	struct storage_stat *stat = port_alloc(ROOM * sizeof(*stat));
	struct storage_stats a = {
		.version = STORAGE_VERSION,
		.n = ROOM,
		.stats = (uintptr_t)stat,
	};
	uint32_t i;

	if (stat && !device_ioctl(device_store(kv)->fd, STORAGE_IOC_STATS, &a))
		for (i = 0; i < a.n && i < ROOM; i++)
			emit(arg, stat[i].name, stat[i].value);
	port_free(stat);
}

/* ---- open ---- */

/* The device's generation changes when it is cleared. dir/DEVICE has the one that belongs to
 * dir. */
static int read_generation(const char *dir, uint64_t *generation)
{
	char path[PATH_MAX];
	FILE *f;
	int error = peer_path(path, dir, "DEVICE"), got;

	*generation = 0;
	if (error)
		return error;
	f = fopen(path, "r");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	got = fscanf(f, "%" SCNx64, generation);
	(void)fclose(f);
	return got == 1 ? 0 : -EBADMSG;
}

static int write_generation(const char *dir, uint64_t generation)
{
	char path[PATH_MAX];
	FILE *f;
	int error = peer_path(path, dir, "DEVICE");

	if (error)
		return error;
	f = fopen(path, "w");
	if (!f)
		return -errno;
	error = fprintf(f, "%" PRIx64 "\n", generation) < 0 ? -EIO : 0;
	if (fclose(f) && !error)
		error = -errno;
	return error ? error : peer_sync_path(path);
}

static int read_info(int fd, struct storage_info *info)
{
	memset(info, 0, sizeof(*info));
	info->version = STORAGE_VERSION;
	return device_ioctl(fd, STORAGE_IOC_INFO, info);
}

static int clear(struct device_store *s)
{
	struct storage_control a = { .version = STORAGE_VERSION };

	return device_ioctl(s->fd, STORAGE_IOC_CLEAR, &a);
}

/* An empty store, or the one that dir has had. */
static int make_own(struct device_store *s, const char *dir, struct kv_msg *why)
{
	bool persistent = s->kv.ops->caps & KV_CAP_PERSISTENT;
	struct storage_info info;
	uint64_t generation = 0;
	int error = 0;

	if (persistent) {
		error = peer_dir_open(dir, &s->lock_fd, why);
		if (error)
			return error;
		error = read_generation(dir, &generation);
	}
	if (!error)
		error = read_info(s->fd, &info);
	if (!error && persistent && generation == info.generation)
		return 0;
	if (!error)
		error = clear(s);
	if (!error && persistent)
		error = read_info(s->fd, &info);
	if (!error && persistent)
		error = write_generation(dir, info.generation);
	return error ? kv_fail(why, error, "%s: no empty store: %s", s->path,
			       strerror(-error))
		     : 0;
}

static int device_close(struct kv *kv)
{
	struct device_store *s = device_store(kv);
	struct device_link *l;
	void *room;

	while ((l = peer_pool_take(&s->links)))
		device_link_close(l);
	while ((room = peer_pool_take(&s->rooms)))
		port_free(room);
	device_link_close(s->own);
	if (s->lock_fd >= 0)
		peer_dir_close(s->lock_fd);
	port_free_aligned(s);
	return 0;
}

static const struct kv_opt device_opts[] = {
	PEER_OPTION_LIST,
	{ 0 },
};

static int device_open(const struct kv_ops *ops, const char *path, enum device_way way,
		       const char *dir, struct kv **out, struct kv_msg *why)
{
	struct device_store *s = port_alloc_aligned(PEER_ALIGN, sizeof(*s));
	int error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory for a store");
	memset(s, 0, sizeof(*s));
	s->kv.ops = ops;
	s->way = way;
	s->lock_fd = -1;
	s->snapshots = ops->caps & KV_CAP_SNAPSHOT;
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	error = device_link_open(path, way == DEVICE_RING, &s->own);
	s->fd = error ? -1 : s->own->fd;
	if (error)
		error = kv_fail(why, error, "%s: %s: load the engine's module first",
				path, strerror(-error));
	else if (flock(s->fd, LOCK_EX | LOCK_NB))
		error = kv_fail(why, -EBUSY, "%s is in use by another program", path);
	else
		error = make_own(s, dir, why);
	if (error)
		(void)device_close(&s->kv);
	else
		*out = &s->kv;
	return error;
}

/* ---- the list ---- */

enum { DEVICE_ENGINES = 4 };

static const char *const engine_name[DEVICE_ENGINES] = { "array", "hash", "btree",
							 "lsm" };

struct device_engine {
	char name[32], path[64], absent[160];
	struct kv_ops ops;
	struct engine_info info;
};

static struct device_engine table[DEVICE_ENGINES][DEVICE_WAYS], null_entry;

/* kv.h's open() does not say of which table it is. */
#define OPEN(engine, way)                                                            \
	static int open_##engine##_##way(struct env *env, const char *dir,           \
					 const uint64_t *opt, struct kv **out,       \
					 struct kv_msg *why)                         \
	{                                                                            \
		struct device_engine *e = &table[engine][way];                       \
                                                                                     \
		(void)env, (void)opt;                                                \
		return device_open(&e->ops, e->path, (enum device_way)way, dir, out, \
				   why);                                             \
	}
#define OPENS(engine) OPEN(engine, 0) OPEN(engine, 1) OPEN(engine, 2)
OPENS(0)
OPENS(1)
OPENS(2)
OPENS(3)
#define OPENERS(e)                                       \
	{                                                \
		open_##e##_0, open_##e##_1, open_##e##_2 \
	}
typedef int open_fn(struct env *env, const char *dir, const uint64_t *opt,
		    struct kv **out, struct kv_msg *why);
static open_fn *const opener[DEVICE_ENGINES][DEVICE_WAYS] = { OPENERS(0), OPENERS(1),
							      OPENERS(2), OPENERS(3) };

static const char *const tuning[DEVICE_WAYS] = {
	[DEVICE_CALL] =
		"In the kernel, an ioctl for each operation and for each step of a cursor. "
		"Memory and files as the module's parameters say.",
	[DEVICE_BATCH] =
		"In the kernel, an ioctl for each operation, for up to 64 gets that are asked for "
		"together, and for up to 1024 pairs of a cursor.",
	[DEVICE_RING] =
		"In the kernel, operations and values in a ring of shared memory for each thread, one "
		"doorbell for up to 64 gets that are asked for together; a cursor's pairs, up to 1024 a call, are "
		"written into it.",
};

static const char *device_version(void)
{
	return "this kernel's module";
}

static const struct kv_ops device_ops = {
	.summary = "in the kernel, behind a device",
	.opts = device_opts,
	.close = device_close,
	.get = device_get,
	.multi_get = device_multi_get,
	.write = device_write,
	.snapshot = device_snapshot,
	.release = device_release,
	.cursor = device_cursor,
	.sync = device_sync,
	.compact = device_compact,
	.verify = device_verify,
	.stats = device_stats,
};

/* Makes one entry, with ops only where the device is there. */
static void fill(struct device_engine *e, const char *engine, enum device_way way,
		 open_fn *open, const struct storage_info *info, int error)
{
	static const char *const suffix[] = { "", "+batch", "+ring" };

	(void)snprintf(e->name, sizeof(e->name), "%s@kernel%s", engine, suffix[way]);
	(void)snprintf(
		e->absent, sizeof(e->absent),
		"%s: %s: load storage-%s.ko (make vm-shell has a machine for that)",
		e->path, strerror(-error), engine);
	e->ops = device_ops;
	e->ops.name = e->name;
	e->ops.open = open;
	e->ops.caps = info->caps & ~(unsigned int)KV_CAP_BACKUP;
	e->ops.key_min = info->key_min;
	e->ops.key_max = info->key_max;
	e->ops.value_max = info->value_max;
	if (way == DEVICE_CALL)
		e->ops.multi_get = NULL; /* kv_multi_get() makes a call for each */
	e->info = (struct engine_info){
		.name = e->name,
		.kind = ENGINE_OURS,
		.ops = error ? NULL : &e->ops,
		.version = device_version,
		.tuning = tuning[way],
		.absent = e->absent,
		.in_kernel = true,
	};
}

static void probe_all(void)
{
	size_t i, way;

	for (i = 0; i < DEVICE_ENGINES; i++) {
		struct storage_info info = { 0 };
		char path[64];
		int fd, error;

		(void)snprintf(path, sizeof(path), "/dev/storage-%s", engine_name[i]);
		fd = open(path, O_RDWR | O_CLOEXEC);
		error = fd < 0 ? -errno : read_info(fd, &info);
		for (way = 0; way < DEVICE_WAYS; way++) {
			struct device_engine *e = &table[i][way];

			memcpy(e->path, path, sizeof(path));
			fill(e, engine_name[i], (enum device_way)way, opener[i][way],
			     &info, error);
		}
		if (fd >= 0)
			(void)close(fd);
	}
}

/* ---- what a crossing costs ---- */

static int null_fd = -1; /* of the first device that is there */
static struct kv_ops null_ops;

static int null_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		    struct kv_buf *value)
{
	(void)ioctl(null_fd, STORAGE_IOC_NULL);
	return engine_null.ops->get(kv, snap, key, value);
}

static int null_write(struct kv *kv, const struct kv_op *op, size_t n,
		      enum kv_durability how)
{
	(void)ioctl(null_fd, STORAGE_IOC_NULL);
	return engine_null.ops->write(kv, op, n, how);
}

static int null_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	int error = engine_null.ops->open(env, dir, opt, out, why);

	if (!error)
		(*out)->ops = &null_ops;
	return error;
}

static void probe_null(void)
{
	size_t i;

	for (i = 0; i < DEVICE_ENGINES && null_fd < 0; i++)
		if (table[i][0].info.ops)
			null_fd = open(table[i][0].path, O_RDWR | O_CLOEXEC);
	null_ops = *engine_null.ops;
	null_ops.name = "null@kernel";
	null_ops.summary = "keeps nothing, after an empty call into the kernel";
	null_ops.open = null_open;
	null_ops.get = null_get;
	null_ops.write = null_write;
	null_entry.info = (struct engine_info){
		.name = "null@kernel",
		.kind = ENGINE_NULL,
		.ops = null_fd < 0 ? NULL : &null_ops,
		.version = device_version,
		.tuning =
			"The null engine, with an ioctl that does nothing before each get and write: what a "
			"crossing into the kernel costs.",
		.absent =
			"there is no /dev/storage-*: load an engine's module (make vm-shell has a machine "
			"for that)",
		.in_kernel = true,
	};
}

static const struct engine_info *entry(size_t i)
{
	if (i < (size_t)DEVICE_ENGINES * DEVICE_WAYS)
		return &table[i / DEVICE_WAYS][i % DEVICE_WAYS].info;
	return i == (size_t)DEVICE_ENGINES * DEVICE_WAYS ? &null_entry.info : NULL;
}

const struct engine_info *engine_device_get(size_t i)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static pthread_once_t once_null = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, probe_all);
	(void)pthread_once(&once_null, probe_null);
	return entry(i);
}
