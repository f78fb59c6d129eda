/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_reserve.c - a full disk: what is kept back for it, and how the store gets through it.
 *
 * Space comes back by deleting, and a delete needs space first: in the log, for a flush, for a
 * compaction. So a file RESERVE is kept that holds nothing. When work in the background finds
 * the disk full, the file is cut to nothing and the work tried again. The store is tight then:
 *
 *   - puts are refused with -ENOSPC at once; deletes are taken;
 *   - the memtable is flushed each second, full or not, and everything compacted as far as it
 *     goes, in pieces of a table, so that what was deleted comes free soon;
 *   - the log keeps no files for later.
 *
 * When there is room for the reserve and a segment of the log beside it, the reserve is made
 * again, and the store is no longer tight: nobody has to open it anew. An empty RESERVE says
 * to who opens the store that it was tight. A store has none as long as it is small, and where
 * the disk never had the room.
 */
#include "lsm_store.h"

enum {
	ZERO_BYTES = 64 << 10,
	AGAIN_NS = 1000000000, /* between two looks at whether there is room */
	LOG_SEGMENTS = 3,      /* that opening a log may need */
};

static int reserve_path(const struct lsm_store *s, char *path)
{
	return env_path(path, s->dir, "RESERVE");
}

static uint64_t free_bytes(const struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t bytes;

	/* Who can't know tries. */
	return env->ops->free_space(env, s->dir, &bytes) ? UINT64_MAX : bytes;
}

/* ---- the file ---- */

/* Where blocks can't be had without bytes. */
static int write_zeros(struct file *f, uint64_t bytes)
{
	uint8_t *zero = port_alloc(ZERO_BYTES);
	uint64_t at, n;
	int error = zero ? 0 : -ENOMEM;

	if (zero)
		memset(zero, 0, ZERO_BYTES);
	for (at = 0; !error && at < bytes; at += n) {
		n = bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES;
		error = file_write(f, at, zero, n);
	}
	port_free(zero);
	return error ? error : file_sync(f);
}

static int make_file(const struct lsm_store *s)
{
	char path[ENV_PATH_MAX];
	struct file *f;
	int error = reserve_path(s, path);

	if (!error)
		error = env_open(s->base.env, path,
				 ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &f);
	if (error)
		return error;
	error = f->ops->allocate(f, 0, s->reserve_bytes);
	if (error == -EOPNOTSUPP)
		error = write_zeros(f, s->reserve_bytes);
	file_close(f);
	return error;
}

static int remove_file(const struct lsm_store *s)
{
	char path[ENV_PATH_MAX];
	int error = reserve_path(s, path);

	return error ? error : s->base.env->ops->unlink(s->base.env, path);
}

static int cut_file(const struct lsm_store *s, uint64_t size)
{
	char path[ENV_PATH_MAX];
	struct file *f;
	int error = reserve_path(s, path);

	if (!error)
		error = env_open(s->base.env, path, ENV_READ | ENV_WRITE, &f);
	if (error)
		return error;
	error = f->ops->truncate(f, size);
	file_close(f);
	return error;
}

static int measure_file(const struct lsm_store *s, uint64_t *size)
{
	char path[ENV_PATH_MAX];
	struct file *f;
	int error = reserve_path(s, path);

	if (!error)
		error = env_open(s->base.env, path, ENV_READ, &f);
	if (error)
		return error;
	error = f->ops->size(f, size);
	file_close(f);
	return error;
}

/* ---- opening ---- */

void lsm_reserve_find(struct lsm_store *s)
{
	uint64_t size;

	if (measure_file(s, &size))
		return; /* there is none */
	if (s->reserve_bytes && !size) {
		s->reserve = LSM_RESERVE_GIVEN_UP;
		port_store_release(&s->tight, 1u);
	} else if (!s->reserve_bytes || size < s->reserve_bytes) {
		(void)remove_file(s);
	} else if (size == s->reserve_bytes || !cut_file(s, s->reserve_bytes)) {
		s->reserve = LSM_RESERVE_HELD;
	}
	/* The log takes files of its own before it can be read. */
	if (s->reserve == LSM_RESERVE_HELD &&
	    free_bytes(s) < LOG_SEGMENTS * s->option[LSM_SEGMENT_BYTES])
		(void)lsm_reserve_give_up(s);
}

/* ---- tight, and no longer ---- */

/* Files that the log keeps for later are space as well. The log's tasks are at work only when
 * ours are. */
static unsigned int keep_log_files(struct lsm_store *s, bool tight)
{
	const struct log_config c = lsm_log_config(s, s->dir);

	return s->flusher.task ? log_keep_spares(s->log, tight ? 0 : c.spares) : 0;
}

void lsm_reserve_tighten(struct lsm_store *s)
{
	uint32_t no = 0;

	if (!port_cas(&s->tight, &no, 1u))
		return;
	lsm_count(&s->stat_tight, 1);
	lsm_background_stir(s);
}

bool lsm_reserve_give_up(struct lsm_store *s)
{
	bool room = false;

	port_mutex_lock(&s->reserve_lock);
	if (s->reserve == LSM_RESERVE_HELD && !cut_file(s, 0)) {
		s->reserve = LSM_RESERVE_GIVEN_UP;
		room = true;
	}
	port_mutex_unlock(&s->reserve_lock);
	lsm_reserve_tighten(s);
	return keep_log_files(s, true) || room;
}

/* A store that has little to lose needs no reserve, and nobody wants to see one beside it. */
static bool is_worth_a_reserve(struct lsm_store *s)
{
	struct lsm_version *v = lsm_versions_lock(s->versions);
	uint64_t bytes = v->bytes;
	unsigned int slot;

	lsm_versions_unlock(s->versions);
	if (bytes)
		return true;
	slot = epoch_enter(s->epoch);
	bytes = lsm_mem_is_worth_next(s, port_load_acquire(&s->view)->mem[0]);
	epoch_leave(s->epoch, slot);
	return bytes;
}

/* Under reserve_lock. */
static void make_again(struct lsm_store *s, uint64_t room)
{
	bool given_up = s->reserve == LSM_RESERVE_GIVEN_UP;

	if (room < s->option[LSM_SEGMENT_BYTES] ||
	    room - s->option[LSM_SEGMENT_BYTES] < s->reserve_bytes)
		return;
	if (!make_file(s))
		s->reserve = LSM_RESERVE_HELD;
	else
		(void)(given_up ? cut_file(s, 0) : remove_file(s));
}

bool lsm_reserve_is_held(struct lsm_store *s)
{
	bool held;

	port_mutex_lock(&s->reserve_lock);
	held = s->reserve == LSM_RESERVE_HELD;
	port_mutex_unlock(&s->reserve_lock);
	return held;
}

void lsm_reserve_tend(struct lsm_store *s, bool flushed)
{
	struct env *env = s->base.env;
	bool tight = port_load_acquire(&s->tight), eased = false;
	uint64_t now, room;

	if (!tight && (lsm_reserve_is_held(s) || !s->reserve_bytes))
		return;
	now = env->ops->now_ns(env);
	if (now < s->reserve_again || (!tight && !is_worth_a_reserve(s)))
		return;
	s->reserve_again = now + AGAIN_NS;
	room = free_bytes(s);
	port_mutex_lock(&s->reserve_lock);
	if (s->reserve != LSM_RESERVE_HELD && s->reserve_bytes)
		make_again(s, room);
	if (tight && s->reserve != LSM_RESERVE_GIVEN_UP && flushed)
		eased = room >= s->option[LSM_SEGMENT_BYTES];
	if (eased)
		port_store_release(&s->tight, 0u);
	port_mutex_unlock(&s->reserve_lock);
	if (eased)
		(void)keep_log_files(s, false);
}
