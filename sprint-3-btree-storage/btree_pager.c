/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager.c - opening the file and the arrays beside it; growing and cutting them.
 *
 * Format of the file: docs/FORMATS.md.
 */
#include "btree_pager_internal.h"

enum {
	CHUNK_MIN = 1 << 20,
	CHUNK_MAX = 64 << 20,
	BUCKETS = 8,
	BUDGET_PAGES_MIN = 64,
	AHEAD_PAGES = 1024, /* made ahead at a time, or a chunk */
	AHEAD_SHARE = 8,    /* of the disk's free space, at most one of so many parts */
};
#define RANGE_BYTES ((uint64_t)256 << 30)

/* The three in one piece of memory. */
struct pager {
	struct btree_pager pager;
	struct btree_pager_space space;
	struct btree_pager_io io;
};

/* ---- failures ---- */

int btree_pager_latch(struct btree_pager *p, int error, const char *what)
{
	struct btree_pager_io *io = p->io;

	port_mutex_lock(&io->lock);
	if (!io->failed) {
		(void)kv_fail(&io->failure, error,
			      "%s: %s failed (error %d): the store takes no more writes; "
			      "see to the disk, then open it anew",
			      io->path, what, -error);
		port_store_release(&io->failed, error);
	}
	port_mutex_unlock(&io->lock);
	return error;
}

int btree_pager_refuse(struct btree_pager *p, int error, const char *what)
{
	struct btree_pager_io *io = p->io;

	port_mutex_lock(&io->lock);
	if (!io->failed)
		(void)kv_fail(&io->failure, error, "%s: %s", io->path, what);
	port_mutex_unlock(&io->lock);
	return error;
}

int btree_pager_failure(struct btree_pager *p, struct kv_msg *why)
{
	struct btree_pager_io *io = p->io;
	int error;

	port_mutex_lock(&io->lock);
	error = io->failed;
	if (why)
		*why = io->failure;
	port_mutex_unlock(&io->lock);
	return error;
}

int btree_pager_check(struct btree_pager *p, struct kv_msg *why)
{
	return port_load_acquire(&p->io->failed) ? btree_pager_failure(p, why) : 0;
}

/* ---- growing ---- */

static int grow_arrays(struct btree_pager *p, uint32_t pages)
{
	struct btree_pager_io *io = p->io;
	uint64_t bits = ((uint64_t)pages + 63) / 64 * 8;
	int error = port_range_grow(&io->state, (uint64_t)pages * sizeof(*p->state));

	if (!error)
		error = port_range_grow(&io->crc, (uint64_t)pages * sizeof(*p->crc));
	if (!error)
		error = port_range_grow(&io->freed,
					(uint64_t)pages * sizeof(struct btree_freed));
	if (!error)
		error = port_range_grow(&io->used, bits);
	if (!error)
		error = port_range_grow(&io->live, bits);
	if (!error && io->unit_pages > 1)
		error = port_range_grow(&io->unit, pages / io->unit_pages + 1);
	if (!error)
		error = port_range_grow(&io->memory, btree_offset(p, pages));
	if (!error && pages > p->limit)
		port_store_release(&p->limit, pages);
	return error;
}

/* With blocks. Where the file system gives none in advance, they are written: with what the
 * pages have in memory, where nothing has been yet. */
static int extend_file(struct btree_pager *p, uint32_t from, uint32_t to)
{
	struct file *f = p->io->file;
	uint64_t at = btree_offset(p, from), end = btree_offset(p, to), n;
	int error = f->ops->allocate(f, at, end - at);

	if (error != -EOPNOTSUPP)
		return error;
	for (error = 0; !error && at < end; at += n) {
		n = end - at < BTREE_IO_BYTES ? end - at : BTREE_IO_BYTES;
		error = file_write(f, at, p->memory + at, (size_t)n);
	}
	return error;
}

static int refuse_growth(struct btree_pager *p, int error)
{
	if (error == -ENOSPC)
		return btree_pager_refuse(p, error,
					  "the disk is full: free space on it, or delete "
					  "pairs");
	if (error == -ENOMEM)
		return btree_pager_refuse(p, error, "no memory for a larger file");
	return btree_pager_refuse(p, error, "the file cannot be made larger");
}

int btree_pager_grow(struct btree_pager *p, uint32_t need)
{
	struct btree_pager_space *s = p->space;
	uint32_t old = s->pages, unit = p->io->unit_pages;
	uint64_t chunk = btree_offset(p, old) / 8, least, to;
	int error;

	chunk = chunk < CHUNK_MIN ? CHUNK_MIN : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
	chunk >>= p->page_shift;
	/* The map's own pages are counted in the file's size, so once more for those. */
	least = (uint64_t)old + need + 2 * BTREE_MAP_SPARES;
	if (least >= p->io->max_pages)
		goto full;
	least += BTREE_MAP_SPARES * (uint64_t)btree_map_pages(p, (uint32_t)least);
	least = (least + unit - 1) / unit * unit;
	to = (old + chunk + unit - 1) / unit * unit;
	if (to < least)
		to = least;
	if (to > p->io->max_pages)
		to = least;
	if (to > p->io->max_pages)
		goto full;
	error = grow_arrays(p, (uint32_t)to);
	if (!error)
		error = extend_file(p, old, (uint32_t)to);
	if (error == -ENOSPC && to > least) {
		to = least;
		error = extend_file(p, old, (uint32_t)to);
	}
	if (error)
		return refuse_growth(p, error);
	port_mutex_lock(&s->lock);
	btree_space_grown(p, (uint32_t)to);
	port_mutex_unlock(&s->lock);
	return 0;
full:
	return btree_pager_refuse(p, -ENOSPC,
				  "the file is as large as addresses were reserved for: "
				  "open it anew, with a larger max_bytes if that is set");
}

bool btree_pager_holds(const struct btree_pager *p, uint64_t pages)
{
	return pages / p->io->unit_pages <= p->io->budget;
}

/* In the file for as many copies as pages have changed. The disk keeps some times more. */
static uint32_t ahead_want(struct btree_pager *p)
{
	struct btree_pager_space *s = p->space;
	struct env *env = p->config.env;
	uint64_t dirty = port_load_acquire(&p->io->dirty), want, room = 0;

	port_mutex_lock(&s->lock);
	want = s->pages + (dirty > s->free ? dirty - s->free : 0);
	port_mutex_unlock(&s->lock);
	/* A few more are had in no time, and a small file is to stay small. */
	if (want < (uint64_t)s->pages + AHEAD_PAGES)
		return 0;
	if (want >= p->io->max_pages || !btree_pager_holds(p, want))
		return 0;
	if (env->ops->free_space(env, p->io->path, &room))
		return 0;
	return (want - s->pages) << p->page_shift < room / AHEAD_SHARE ? (uint32_t)want
								       : 0;
}

bool btree_ahead_grow(struct btree_pager *p, struct btree_ahead *a)
{
	struct btree_pager_space *s = p->space;
	uint32_t left;

	if (!a->want)
		a->want = ahead_want(p);
	a->from = s->pages;
	if (a->from >= a->want || port_load_acquire(&p->io->failed))
		return false;
	left = a->want - a->from;
	/* At least a chunk comes, which is all that is wanted at a time. */
	if (btree_pager_grow(p, left < AHEAD_PAGES ? left : AHEAD_PAGES))
		return false;
	a->to = s->pages;
	port_mutex_lock(&s->lock);
	s->ahead = s->pages;
	port_mutex_unlock(&s->lock);
	return true;
}

void btree_ahead_end(struct btree_pager *p)
{
	struct btree_pager_space *s = p->space;

	port_mutex_lock(&s->lock);
	s->ahead = s->ahead_kept = 0;
	s->trim = true;
	port_mutex_unlock(&s->lock);
}

void btree_ahead_populate(struct btree_pager *p, const struct btree_ahead *a)
{
	port_range_populate(&p->io->memory, btree_offset(p, a->from),
			    btree_offset(p, a->to));
}

void btree_pager_shrink(struct btree_pager *p, uint32_t pages)
{
	struct btree_pager_io *io = p->io;
	uint32_t page, limit = p->limit;

	for (page = pages; page < limit; page++) {
		uint64_t s = port_load_acquire(&p->state[page]);

		if (!(s & (BTREE_RESIDENT | BTREE_LOCKED)))
			continue;
		if (btree_page_acquire(p, page) & BTREE_RESIDENT)
			btree_unit_leave(p, page);
		port_range_discard(&io->memory, btree_offset(p, page),
				   btree_offset(p, page + 1));
		(void)btree_page_release(p, page, BTREE_RESIDENT | BTREE_MARKED, 0, true);
	}
	/* What is not cut off now is used again, or cut off later. */
	(void)io->file->ops->truncate(io->file, btree_offset(p, pages));
}

/* ---- opening ---- */

static unsigned int shift_of(uint32_t n)
{
	return (unsigned int)__builtin_ctz(n);
}

static int reserve_ranges(struct btree_pager *p, uint64_t file_bytes)
{
	struct btree_pager_io *io = p->io;
	const struct btree_pager_config *c = &p->config;
	uint64_t most = c->max_bytes ? c->max_bytes : RANGE_BYTES, pages;
	uint64_t least = file_bytes + CHUNK_MAX;
	int error;

	if (!c->max_bytes && most < 4 * file_bytes)
		most = 4 * file_bytes;
	if (most < least)
		most = least;
	error = port_range_reserve(&io->memory, most, least,
				   (c->huge ? PORT_RANGE_HUGE : 0u) |
					   (c->lock ? PORT_RANGE_LOCK : 0u));
	pages = io->memory.bytes >> p->page_shift;
	if (pages > UINT32_MAX - 64)
		pages = UINT32_MAX - 64;
	io->max_pages = (uint32_t)pages;
#define RESERVE(range, bytes)                                                    \
	do {                                                                     \
		if (!error)                                                      \
			error = port_range_reserve(&io->range, bytes, bytes, 0); \
	} while (0)
	RESERVE(state, pages * sizeof(*p->state));
	RESERVE(crc, pages * sizeof(*p->crc));
	RESERVE(freed, pages * sizeof(struct btree_freed));
	RESERVE(used, (pages + 63) / 64 * 8);
	RESERVE(live, (pages + 63) / 64 * 8);
	if (io->unit_pages > 1)
		RESERVE(unit, pages / io->unit_pages + 1);
#undef RESERVE
	p->memory = io->memory.base;
	p->state = (uint64_t *)io->state.base;
	p->crc = (uint32_t *)io->crc.base;
	p->space->freed = (struct btree_freed *)io->freed.base;
	p->space->used = (uint64_t *)io->used.base;
	p->space->live = (uint64_t *)io->live.base;
	io->unit_resident = io->unit.base;
	return error;
}

static void set_units(struct btree_pager *p)
{
	struct btree_pager_io *io = p->io;
	uint32_t bytes = p->shape.page_bytes, memory = (uint32_t)port_range_unit();
	uint64_t budget = p->config.memory_bytes;

	if (memory < p->config.memory_page_bytes)
		memory = p->config.memory_page_bytes;
	io->unit_pages = memory > bytes ? memory / bytes : 1;
	if (budget < (uint64_t)BUDGET_PAGES_MIN * bytes)
		budget = (uint64_t)BUDGET_PAGES_MIN * bytes;
	io->budget = budget / ((uint64_t)io->unit_pages * bytes);
}

/* All but the file. */
static int pager_new(const struct btree_pager_config *c, struct btree_pager **out)
{
	struct pager *all = port_alloc_aligned(_Alignof(struct pager), sizeof(*all));
	struct btree_pager *p;

	if (!all)
		return -ENOMEM;
	memset(all, 0, sizeof(*all));
	p = &all->pager;
	p->config = *c;
	p->space = &all->space;
	p->io = &all->io;
	port_mutex_init(&p->space->lock);
	port_mutex_init(&p->io->lock);
	*out = p;
	if (strlen(c->path) >= ENV_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(p->io->path, c->path, strlen(c->path) + 1);
	p->config.path = p->io->path;
	p->space->bucket_cap = BUCKETS;
	p->space->bucket = port_alloc(BUCKETS * sizeof(*p->space->bucket));
	return p->space->bucket ? 0 : -ENOMEM;
}

void btree_pager_close(struct btree_pager *p)
{
	struct btree_pager_io *io;

	if (!p)
		return;
	io = p->io;
	file_close(io->file);
	port_range_release(&io->memory);
	port_range_release(&io->state);
	port_range_release(&io->crc);
	port_range_release(&io->freed);
	port_range_release(&io->used);
	port_range_release(&io->live);
	port_range_release(&io->unit);
	port_free(p->space->bucket);
	port_mutex_destroy(&p->space->lock);
	port_mutex_destroy(&io->lock);
	port_free_aligned(container_of(p, struct pager, pager));
}

static int set_up(struct btree_pager *p, uint64_t file_bytes, struct kv_msg *why)
{
	int error;

	p->shape.page_bytes = p->config.page_bytes;
	p->page_shift = shift_of(p->config.page_bytes);
	set_units(p);
	error = reserve_ranges(p, file_bytes);
	if (!error && file_bytes)
		error = grow_arrays(p, (uint32_t)(file_bytes >> p->page_shift));
	if (error)
		return kv_fail(why, error,
			       "%s: no addresses or memory for a file of %llu bytes: "
			       "raise ulimit -v, or set a smaller max_bytes",
			       p->io->path, (unsigned long long)file_bytes);
	return 0;
}

/* Whether what is there may go: nothing, or what a creation that broke off has left. */
static int check_replaceable(struct btree_pager *p, uint8_t *block, struct kv_msg *why)
{
	struct btree_super s;
	struct kv_msg what = { "" };
	int error = btree_super_read(p->io->file, p->io->path, &s, block, &what);

	if (error == -EBADMSG)
		return 0;
	if (error)
		return kv_fail(why, error, "%s", what.text);
	if (s.sequence == 1 && !s.keys)
		return 0;
	return kv_fail(why, -EEXIST,
		       "%s: has %llu pairs, and yet the store's identity is missing: "
		       "restore a backup, salvage, or remove the file",
		       p->io->path, (unsigned long long)s.keys);
}

static int make_file(struct btree_pager *p, struct kv_msg *why)
{
	struct env *env = p->config.env;
	struct btree_pager_space *s = p->space;
	struct file *f;
	int error;

	error = p->io->file->ops->truncate(p->io->file, 0);
	if (!error)
		error = grow_arrays(p, BTREE_SUPER_PAGES);
	if (error)
		goto out;
	s->pages = BTREE_SUPER_PAGES;
	s->used[0] = s->live[0] = (1u << BTREE_SUPER_PAGES) - 1;
	s->low = BTREE_SUPER_PAGES;
	f = p->io->file;
	error = f->ops->allocate(f, 0, btree_offset(p, BTREE_SUPER_PAGES));
	if (error == -EOPNOTSUPP)
		error = file_write(f, 0, p->memory, btree_offset(p, BTREE_SUPER_PAGES));
	if (!error)
		error = btree_pager_grow(p, BTREE_RESERVE_PAGES);
	if (!error)
		error = file_sync(f);
	if (!error)
		error = env_sync_parent(env, p->io->path);
out:
	return error ? kv_fail(why, error, "%s: creating it failed (error %d)%s",
			       p->io->path, -error,
			       error == -ENOSPC ? ": the disk is full" : "")
		     : 0;
}

int btree_pager_create(const struct btree_pager_config *c, struct btree_pager **out,
		       struct kv_msg *why)
{
	uint8_t *block = port_alloc(BTREE_SUPER_BLOCK);
	struct btree_pager *p = NULL;
	int error = block ? pager_new(c, &p) : -ENOMEM;

	if (error) {
		(void)kv_fail(why, error, "%s: no memory for a pager", c->path);
		goto out;
	}
	error = env_open(c->env, c->path, ENV_READ | ENV_WRITE | ENV_CREATE,
			 &p->io->file);
	if (error) {
		(void)kv_fail(why, error, "%s: cannot be made (error %d)", c->path,
			      -error);
		goto out;
	}
	error = check_replaceable(p, block, why);
	if (!error)
		error = set_up(p, 0, why);
	if (!error)
		error = make_file(p, why);
out:
	port_free(block);
	if (error)
		btree_pager_close(p);
	else
		*out = p;
	return error;
}

static int check_size(struct btree_pager *p, const struct btree_super *s, uint64_t *size,
		      struct kv_msg *why)
{
	uint64_t want = btree_offset(p, s->pages);
	int error = p->io->file->ops->size(p->io->file, size);

	if (error)
		return kv_fail(why, error, "%s: its size cannot be told (error %d)",
			       p->io->path, -error);
	if (*size < want)
		return kv_fail(
			why, -EBADMSG,
			"%s: ends at offset %llu, wanted %llu: restore a backup, or "
			"salvage",
			p->io->path, (unsigned long long)*size, (unsigned long long)want);
	return 0;
}

/* Nothing is written before all is checked; and what is behind the end by this superblock may
 * be needed by the one before until this one is durable. */
static int settle(struct btree_pager *p, const struct btree_super *s, uint64_t size,
		  uint8_t *block, struct kv_msg *why)
{
	uint64_t want = btree_offset(p, s->pages);
	int error = btree_super_settle(p->io->file, s, block);

	if (!error && size > want)
		error = p->io->file->ops->truncate(p->io->file, want);
	return error ? kv_fail(why, error,
			       "%s: writing its superblock, or cutting its end off, failed "
			       "(error %d)",
			       p->io->path, -error)
		     : 0;
}

static int open_at(struct btree_pager *p, const struct btree_super *super, uint8_t *block,
		   struct kv_msg *why)
{
	struct btree_pager_space *s = p->space;
	uint64_t size = 0;
	int error;

	p->config.page_bytes = super->page_bytes;
	p->config.store_id = super->store_id;
	p->page_shift = shift_of(super->page_bytes);
	p->shape.page_bytes = super->page_bytes;
	error = check_size(p, super, &size, why);
	if (!error)
		error = set_up(p, btree_offset(p, super->pages), why);
	if (error)
		return error;
	s->pages = super->pages;
	error = btree_free_map_load(p, super, why);
	if (!error)
		error = settle(p, super, size, block, why);
	if (error)
		return error;
	s->low = BTREE_SUPER_PAGES;
	s->map_durable = (struct btree_run){ super->map_page, super->map_pages };
	s->durable = super->generation;
	s->durable_pages = super->pages;
	p->io->sequence = super->sequence;
	btree_space_fill_spares(p);
	return 0;
}

int btree_pager_open(const struct btree_pager_config *c, struct btree_super *super,
		     struct btree_pager **out, struct kv_msg *why)
{
	uint8_t *block = port_alloc(BTREE_SUPER_BLOCK);
	struct btree_pager *p = NULL;
	int error = block ? pager_new(c, &p) : -ENOMEM;

	if (error) {
		(void)kv_fail(why, error, "%s: no memory for a pager", c->path);
		goto out;
	}
	error = env_open(c->env, c->path, ENV_READ | ENV_WRITE, &p->io->file);
	if (error) {
		(void)kv_fail(why, error, "%s: cannot be opened (error %d)", c->path,
			      -error);
		goto out;
	}
	error = btree_super_read(p->io->file, p->io->path, super, block, why);
	if (!error)
		error = open_at(p, super, block, why);
out:
	port_free(block);
	if (error)
		btree_pager_close(p);
	else
		*out = p;
	return error;
}

/* ---- looking ---- */

void btree_pager_stats(struct btree_pager *p, struct btree_pager_stats *out)
{
	struct btree_pager_space *s = p->space;
	struct btree_pager_io *io = p->io;
	uint64_t page = p->shape.page_bytes;

	port_mutex_lock(&s->lock);
	*out = (struct btree_pager_stats){
		.file_bytes = s->pages * page,
		.free_bytes = s->free * page,
		.held_bytes = s->held * page,
		.locked_bytes = port_load_relaxed(&io->memory.locked),
	};
	port_mutex_unlock(&s->lock);
	out->resident_bytes = port_load_relaxed(&io->resident) * io->unit_pages * page;
	out->dirty_bytes = port_load_relaxed(&io->dirty) * page;
	out->reads = port_load_relaxed(&io->reads);
	out->writes = port_load_relaxed(&io->writes);
	out->evictions = port_load_relaxed(&io->evictions);
	out->written_bytes = port_load_relaxed(&io->written_bytes);
	out->read_bytes = port_load_relaxed(&io->read_bytes);
	out->checkpoint_pages = port_load_relaxed(&io->checkpoint_pages);
	out->checkpoints = port_load_relaxed(&io->checkpoints);
	out->failed = port_load_relaxed(&io->failed);
}
