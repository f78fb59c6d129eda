/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_reserve.c - a full disk: what is kept back for it, and how the store gets through it.
 *
 * Space comes back by deleting, and a delete needs space first: in the log, for a flush, for a
 * compaction. So a file RESERVE is kept that holds nothing. What needs room on a full disk takes
 * it from there, by cutting the file. Each may take so much that who comes after it in the way
 * of a delete has enough: the log its part, a flush the next one, a compaction all. What work
 * frees goes into the file again at once, before the log sees it: else deletes would take the
 * room of the compactions that make them come true. The store is tight then:
 *
 *   - puts are refused with -ENOSPC at once; deletes are taken;
 *   - the memtable is flushed each second, full or not, and everything compacted as far as it
 *     goes, in pieces of a table, so that what was deleted comes free soon;
 *   - the log keeps no files for later, but for its own reserve, which deletes are written
 *     into. A flush takes of that too when nothing else is left: the log's task sees room before
 *     the flush does for which it was made. While a flush fails the log cannot go on anyway, and
 *     afterwards it gets back what the flush has made superfluous.
 *
 * When the reserve is whole and there is room for a segment of the log beside it, the store is
 * no longer tight: nobody has to open it anew. A RESERVE that is not whole says to who opens the
 * store that it was tight. A store has none as long as it is small, and where the disk never had
 * the room.
 */
#include "lsm_picker_internal.h"
#include "lsm_store.h"

enum {
	ZERO_BYTES = 64 << 10,
	BLOCK = 4096,          /* what disks are handed out by */
	AGAIN_NS = 1000000000, /* between two looks at whether there is room */
	LOG_SEGMENTS = 3,      /* that opening a log may need */
};

/* What each part of the reserve is for. */
static uint64_t compaction_part(const struct lsm_store *s)
{
	return 2 * s->option[LSM_TABLE_BYTES];
}

uint64_t lsm_reserve_choose(const struct lsm_store *s)
{
	return s->option[LSM_SEGMENT_BYTES] + s->memtable_bytes + compaction_part(s);
}

/* What must stay of the reserve; of one that has not the size chosen for it, the same share. */
static uint64_t reserve_floor(const struct lsm_store *s, enum lsm_reserve_use use)
{
	uint64_t stays = use == LSM_RESERVE_FOR_COMPACTION ? 0 : compaction_part(s);

	if (use == LSM_RESERVE_FOR_LOG)
		stays += s->memtable_bytes;
	return lsm_share(stays, lsm_reserve_choose(s), s->reserve_bytes) / BLOCK * BLOCK;
}

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
static int write_zeros(struct file *f, uint64_t from, uint64_t to)
{
	uint8_t *zero = port_alloc(ZERO_BYTES);
	uint64_t n;
	int error = zero ? 0 : -ENOMEM;

	if (zero)
		memset(zero, 0, ZERO_BYTES);
	for (; !error && from < to; from += n) {
		n = to - from < ZERO_BYTES ? to - from : ZERO_BYTES;
		error = file_write(f, from, zero, n);
	}
	port_free(zero);
	return error ? error : file_sync(f);
}

/* From so many bytes, which it has, to more. */
static int grow_file(const struct lsm_store *s, uint64_t from, uint64_t to)
{
	char path[ENV_PATH_MAX];
	struct file *f;
	int error = reserve_path(s, path);

	if (!error)
		error = env_open(s->base.env, path,
				 ENV_READ | ENV_WRITE | ENV_CREATE |
					 (from ? 0u : (unsigned int)ENV_TRUNCATE),
				 &f);
	if (error)
		return error;
	error = f->ops->allocate(f, from, to - from);
	if (error == -EOPNOTSUPP)
		error = write_zeros(f, from, to);
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

/* ---- less and more of it, under reserve_lock ---- */

/* True: the file has become smaller. */
static bool give_up_to(struct lsm_store *s, uint64_t stays)
{
	if (s->reserve == LSM_RESERVE_NONE || s->reserve_size <= stays ||
	    cut_file(s, stays))
		return false;
	s->reserve = LSM_RESERVE_GIVEN_UP;
	s->reserve_size = stays;
	return true;
}

/* As much as there is room for; what of it is whole, with room for a segment of the log beside
 * it, is held. */
static void refill(struct lsm_store *s)
{
	uint64_t room, more;

	/* It was to be cut when the store was opened, and could not be. */
	if (s->reserve_size > s->reserve_bytes && !cut_file(s, s->reserve_bytes))
		s->reserve_size = s->reserve_bytes;
	if (s->reserve_size > s->reserve_bytes)
		return;
	room = free_bytes(s);
	more = s->reserve_bytes - s->reserve_size;
	if (more > room)
		more = room / BLOCK * BLOCK;
	if (more && grow_file(s, s->reserve_size, s->reserve_size + more)) {
		(void)cut_file(s, s->reserve_size);
		return;
	}
	s->reserve_size += more;
	if (s->reserve_size == s->reserve_bytes &&
	    room - more >= s->option[LSM_SEGMENT_BYTES])
		s->reserve = LSM_RESERVE_HELD;
}

/* ---- opening ---- */

void lsm_reserve_find(struct lsm_store *s)
{
	uint64_t size, room = free_bytes(s), needed;

	if (measure_file(s, &size))
		return; /* there is none */
	if (!s->reserve_bytes) {
		(void)remove_file(s);
		return;
	}
	if (size > s->reserve_bytes && !cut_file(s, s->reserve_bytes))
		size = s->reserve_bytes;
	s->reserve_size = size;
	s->reserve = size < s->reserve_bytes ? LSM_RESERVE_GIVEN_UP : LSM_RESERVE_HELD;
	/* Not whole, and no room to make it so; or the log, which takes files of its own before
	 * it can be read, has none. */
	needed = LOG_SEGMENTS * s->option[LSM_SEGMENT_BYTES];
	if (room < needed)
		(void)give_up_to(s, size > needed - room ? size - (needed - room) : 0);
	else if (s->reserve == LSM_RESERVE_GIVEN_UP)
		refill(s);
	if (s->reserve == LSM_RESERVE_GIVEN_UP)
		port_store_release(&s->tight, 1u);
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

bool lsm_reserve_give_up(struct lsm_store *s, enum lsm_reserve_use use)
{
	bool room;

	port_mutex_lock(&s->reserve_lock);
	room = give_up_to(s, reserve_floor(s, use));
	port_mutex_unlock(&s->reserve_lock);
	lsm_reserve_tighten(s);
	if (keep_log_files(s, true) || room)
		return true;
	return use == LSM_RESERVE_FOR_FLUSH && s->flusher.task && log_yield_spare(s->log);
}

void lsm_reserve_refill(struct lsm_store *s)
{
	if (!port_load_acquire(&s->tight))
		return;
	port_mutex_lock(&s->reserve_lock);
	if (s->reserve == LSM_RESERVE_GIVEN_UP)
		refill(s);
	port_mutex_unlock(&s->reserve_lock);
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

/* Under reserve_lock: the first one, where there is room enough. */
static void make_first(struct lsm_store *s)
{
	uint64_t room = free_bytes(s);

	if (room < s->option[LSM_SEGMENT_BYTES] ||
	    room - s->option[LSM_SEGMENT_BYTES] < s->reserve_bytes)
		return;
	if (grow_file(s, 0, s->reserve_bytes)) {
		(void)remove_file(s);
		return;
	}
	s->reserve = LSM_RESERVE_HELD;
	s->reserve_size = s->reserve_bytes;
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
	uint64_t now;

	if (!tight && (lsm_reserve_is_held(s) || !s->reserve_bytes))
		return;
	now = env->ops->now_ns(env);
	if (now < s->reserve_again || (!tight && !is_worth_a_reserve(s)))
		return;
	s->reserve_again = now + AGAIN_NS;
	port_mutex_lock(&s->reserve_lock);
	if (s->reserve == LSM_RESERVE_GIVEN_UP)
		refill(s);
	else if (s->reserve == LSM_RESERVE_NONE && s->reserve_bytes)
		make_first(s);
	if (tight && s->reserve != LSM_RESERVE_GIVEN_UP && flushed)
		eased = free_bytes(s) >= s->option[LSM_SEGMENT_BYTES];
	if (eased)
		port_store_release(&s->tight, 0u);
	port_mutex_unlock(&s->reserve_lock);
	if (eased)
		(void)keep_log_files(s, false);
}
