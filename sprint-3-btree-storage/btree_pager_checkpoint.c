/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager_checkpoint.c - makes the tree as it stands at one moment durable.
 *
 * begin    notes, under the writer's lock, which numbers are used and which pages are dirty
 * write    writes these pages level by level, so that a parent's image has its children's
 *          checksums; then the free map; syncs; writes the superblock; syncs
 * end      lets go of the checkpoint before
 *
 * Since no page that is to be written changes any more, writing needs no lock: an image is
 * copied, completed and written, while the page in memory stays as readers know it. What the
 * evictor has written meanwhile need not be written again. After WiredTiger's checkpoints
 * and the shadow pages of System R (Gray et al., 1981).
 */
#include "btree_pager_internal.h"

enum {
	LEVELS = 256,          /* that a page's header can name */
	SYNC_BYTES = 32 << 20, /* written between two syncs */
	RECLAIM_PAGES = 1024,  /* for which writers wait, at the end */
};
#define RATE_MAX ((uint64_t)10 << 30)

struct btree_checkpoint {
	struct btree_pager *p;
	struct btree_super super;
	uint32_t *page; /* dirty at the beginning, ascending */
	uint8_t *level; /* of each */
	size_t pages;
	uint8_t *map;                       /* the free map's pages */
	uint8_t *buffer;                    /* BTREE_IO_BYTES: images on their way */
	struct btree_run run;               /* of the map */
	uint64_t rate, started_ns, written; /* bytes a second; when; bytes since */
	uint64_t synced;                    /* of written */
	uint64_t dirty_from, dirty_to;      /* offsets, of what was written since */
	bool durable;
};

/* ---- begin ---- */

static void checkpoint_free(struct btree_checkpoint *c)
{
	port_free(c->page);
	port_free(c->level);
	port_free(c->map);
	port_free(c->buffer);
	port_free(c);
}

/* Numbers in use by the tree whose pages are dirty. */
static void list_dirty(struct btree_checkpoint *c, size_t most)
{
	const struct btree_pager *p = c->p;
	uint32_t page, pages = p->space->pages;

	for (page = BTREE_SUPER_PAGES; page < pages && c->pages < most; page++)
		if ((port_load_relaxed(&p->state[page]) & BTREE_DIRTY) &&
		    btree_bit(p->space->live, page))
			c->page[c->pages++] = page;
}

/* A place for the map. -ENOSPC: the file must grow for it, which can be only after it was
 * opened on a disk without any room. */
static int take_map_run(struct btree_pager *p, struct btree_run *out)
{
	struct btree_pager_space *s = p->space;
	uint32_t need = btree_map_pages(p, s->pages);
	struct btree_run *best = NULL;
	unsigned int i;

	btree_space_fill_spares(p);
	for (i = 0; i < BTREE_MAP_SPARES; i++)
		if (s->map_spare[i].n >= need &&
		    (!best || s->map_spare[i].page < best->page))
			best = &s->map_spare[i];
	if (!best)
		return -ENOSPC;
	*out = *best;
	*best = (struct btree_run){ 0, 0 };
	return 0;
}

static int begin_locked(struct btree_checkpoint *c, size_t dirty)
{
	struct btree_pager *p = c->p;
	struct btree_pager_space *s = p->space;
	struct btree_super *super = &c->super;
	int error;

	btree_space_unreserve(s);
	error = take_map_run(p, &c->run);
	if (error)
		return error;
	super->pages = btree_space_end(p, c->run);
	super->map_page = c->run.page;
	super->map_pages = btree_map_pages(p, super->pages);
	c->map = port_alloc((size_t)super->map_pages * p->shape.page_bytes);
	if (!c->map) {
		btree_space_put_run(s, c->run);
		btree_space_fill_spares(p);
		return -ENOMEM;
	}
	btree_free_map_encode(p, super, c->map);
	list_dirty(c, dirty);
	s->map_running = c->run;
	s->running = super->generation;
	return 0;
}

static int refuse_begin(struct btree_pager *p, int error)
{
	return btree_pager_refuse(p, error,
				  error == -ENOSPC
					  ? "the disk is full: no checkpoint until "
					    "there is space on it"
					  : "no memory for a checkpoint");
}

int btree_checkpoint_begin(struct btree_pager *p, const struct btree_super *s,
			   struct btree_checkpoint **out)
{
	size_t dirty = (size_t)port_load_acquire(&p->io->dirty);
	struct btree_checkpoint *c;
	int error = port_load_acquire(&p->io->failed);

	if (error)
		return error;
	c = port_alloc(sizeof(*c));
	if (!c)
		return refuse_begin(p, -ENOMEM);
	*c = (struct btree_checkpoint){ .p = p, .super = *s };
	c->super.page_bytes = p->shape.page_bytes;
	c->super.store_id = p->config.store_id;
	c->super.sequence = p->io->sequence + 1;
	c->page = port_alloc(dirty * sizeof(*c->page));
	c->level = port_alloc(dirty);
	c->buffer = port_alloc(BTREE_IO_BYTES);
	if (!c->page || !c->level || !c->buffer) {
		checkpoint_free(c);
		return refuse_begin(p, -ENOMEM);
	}
	port_mutex_lock(&p->space->lock);
	error = begin_locked(c, dirty);
	port_mutex_unlock(&p->space->lock);
	if (error == -ENOSPC && !btree_pager_grow(p, 0)) {
		port_mutex_lock(&p->space->lock);
		error = begin_locked(c, dirty);
		port_mutex_unlock(&p->space->lock);
	}
	if (error) {
		checkpoint_free(c);
		return refuse_begin(p, error);
	}
	*out = c;
	return 0;
}

/* ---- write ---- */

/* Waits as long as the bytes written until now are ahead of the rate. */
static void keep_pace(struct btree_checkpoint *c, uint64_t bytes)
{
	struct env *env = c->p->config.env;
	uint64_t due, now;

	c->written += bytes;
	if (!c->rate)
		return;
	due = c->written / c->rate * 1000000000u +
	      c->written % c->rate * 1000000000u / c->rate;
	now = env->ops->now_ns(env) - c->started_ns;
	if (now < due)
		env->ops->sleep_ns(env, due - now);
}

static int sync_pages(struct btree_checkpoint *c)
{
	struct btree_pager *p = c->p;
	struct file *f = p->io->file;
	int error = file_sync(f);

	/* The pager has these pages in memory, and another copy is of no use to anybody. */
	if (c->dirty_to > c->dirty_from && btree_pager_holds(p, btree_pager_pages(p)))
		f->ops->advise(f, c->dirty_from, c->dirty_to - c->dirty_from,
			       FILE_DONT_NEED);
	c->dirty_from = c->dirty_to = 0;
	c->synced = c->written;
	return error ? btree_pager_latch(c->p, error, "syncing pages") : 0;
}

/* Little by little: a system that holds much unwritten data makes everybody wait who writes,
 * and so the writers of the log. */
static int sync_some(struct btree_checkpoint *c)
{
	return c->written - c->synced < SYNC_BYTES ? 0 : sync_pages(c);
}

static int write_out(struct btree_checkpoint *c, uint32_t page, const void *data,
		     size_t bytes)
{
	struct btree_pager *p = c->p;
	int error = file_write(p->io->file, btree_offset(p, page), data, bytes);

	if (error)
		return error;
	if (c->dirty_to == c->dirty_from || btree_offset(p, page) < c->dirty_from)
		c->dirty_from = btree_offset(p, page);
	if (btree_offset(p, page) + bytes > c->dirty_to)
		c->dirty_to = btree_offset(p, page) + bytes;
	(void)port_fetch_add(&p->io->writes, (uint64_t)1);
	(void)port_fetch_add(&p->io->written_bytes, (uint64_t)bytes);
	(void)port_fetch_add(&p->io->checkpoint_pages,
			     (uint64_t)(bytes >> p->page_shift));
	return 0;
}

/* Keeps the page in memory, and from the evictor; false: it is clean. */
static bool pin_dirty(struct btree_pager *p, uint32_t page)
{
	uint64_t s;

	for (;;) {
		s = port_load_acquire(&p->state[page]);
		if (s & BTREE_LOCKED) {
			btree_page_wait(p, page);
			continue;
		}
		if (!(s & BTREE_DIRTY))
			return false;
		if ((s & BTREE_PINS) == BTREE_PINS)
			p->config.env->ops->sleep_ns(p->config.env, 1000);
		else if (port_cas(&p->state[page], &s, s + BTREE_PIN))
			return true;
	}
}

/* The page is in the file now, with this CRC (or is not: written false). */
static void unpin_written(struct btree_pager *p, uint32_t page, uint32_t crc,
			  bool written)
{
	uint64_t s = port_load_relaxed(&p->state[page]);

	if (!written) {
		btree_page_unpin(p, page);
		return;
	}
	port_store_relaxed(&p->crc[page], crc);
	while (!port_cas(&p->state[page], &s,
			 ((s - BTREE_PIN) & ~BTREE_DIRTY) | BTREE_CRC_KNOWN))
		;
	(void)port_fetch_add(&p->io->dirty, (uint64_t)-1);
}

/* An inner node's image: what was written last for each child. */
static void fill_in_children(struct btree_pager *p, struct btree_node *n)
{
	/* EXERCISE 3.6 begin: each child's CRC as it was last written */
	unsigned int i;

	for (i = 0; i < n->count; i++) {
		struct btree_child child = btree_node_child(n, &p->shape, i);

		if (child.page >= port_load_acquire(&p->limit))
			continue;
		child.crc = btree_page_known_crc(p, child.page, child.crc);
		btree_node_set_child(n, &p->shape, i, child);
	}
	/* EXERCISE 3.6 end */
}

/* Pages of one level from i on that are neighbours: images into the buffer. Returns how
 * many; 0: page i is clean. */
static size_t gather(struct btree_checkpoint *c, size_t i)
{
	struct btree_pager *p = c->p;
	size_t n, bytes = p->shape.page_bytes, most = BTREE_IO_BYTES / bytes;

	for (n = 0; n < most && i + n < c->pages; n++) {
		uint8_t *image = c->buffer + n * bytes;
		uint32_t page = c->page[i + n];

		if (page != c->page[i] + n || c->level[i + n] != c->level[i] ||
		    !pin_dirty(p, page))
			break;
		memcpy(image, btree_page(p, page), bytes);
		if (c->level[i])
			fill_in_children(p, (struct btree_node *)image);
		port_put_le32(image, btree_page_sum(p, image));
	}
	return n;
}

static int write_level(struct btree_checkpoint *c, unsigned int level)
{
	struct btree_pager *p = c->p;
	size_t bytes = p->shape.page_bytes, i, j, n;
	int error = 0;

	for (i = 0; !error && i < c->pages; i += n ? n : 1) {
		n = 0;
		if (c->level[i] != level)
			continue;
		error = btree_pager_check(p, NULL);
		if (error)
			break;
		n = gather(c, i);
		if (!n)
			continue;
		error = write_out(c, c->page[i], c->buffer, n * bytes);
		for (j = 0; j < n; j++)
			unpin_written(p, c->page[i] + (uint32_t)j,
				      port_get_le32(c->buffer + j * bytes), !error);
		keep_pace(c, n * bytes);
		if (!error)
			error = sync_some(c);
	}
	return error;
}

/* Of those that are evicted meanwhile it does not matter: they are leaves, and clean. */
static unsigned int read_levels(struct btree_checkpoint *c)
{
	unsigned int highest = 0;
	size_t i;

	port_optimistic_begin();
	for (i = 0; i < c->pages; i++) {
		const struct btree_page_header *h = btree_page(c->p, c->page[i]);

		c->level[i] = *(const volatile uint8_t *)&h->level;
		if (c->level[i] > highest)
			highest = c->level[i];
	}
	port_optimistic_end();
	return highest;
}

static int write_pages(struct btree_checkpoint *c)
{
	/* EXERCISE 3.6 begin: leaves first: parents need their checksums
	 *|	return -ENOSYS;
	 */
	unsigned int highest = read_levels(c), level;
	int error = 0;

	for (level = 0; !error && level <= highest; level++)
		error = write_level(c, level);
	return error;
	/* EXERCISE 3.6 end */
}

static int write_map(struct btree_checkpoint *c)
{
	struct btree_super *s = &c->super;
	uint32_t m, n, most = BTREE_IO_BYTES / s->page_bytes;
	int error = 0;

	s->map_crc = btree_free_map_seal(c->p, s, c->map);
	for (m = 0; !error && m < s->map_pages; m += n) {
		n = s->map_pages - m < most ? s->map_pages - m : most;
		error = write_out(c, s->map_page + m, c->map + (size_t)m * s->page_bytes,
				  (size_t)n * s->page_bytes);
	}
	return error;
}

/* The first superblock goes to both places, so that there is never an empty one. */
static int write_super(struct btree_checkpoint *c)
{
	/* EXERCISE 3.6 begin: to its place; the first to both; then the sync
	 *|	return -ENOSYS;
	 */
	struct btree_pager *p = c->p;
	struct btree_super *s = &c->super;
	unsigned int place = s->sequence & 1;
	int error = btree_super_write(p->io->file, s, place, c->buffer);

	if (!error && s->sequence == 1)
		error = btree_super_write(p->io->file, s, !place, c->buffer);
	if (!error)
		error = file_sync(p->io->file);
	return error ? btree_pager_latch(p, error, "writing the superblock") : 0;
	/* EXERCISE 3.6 end */
}

int btree_checkpoint_write(struct btree_checkpoint *c, uint64_t rate, struct kv_msg *why)
{
	/* EXERCISE 3.6 begin: pages, map, sync, superblock, sync; each error ends it
	 *|	return kv_fail(why, -ENOSYS, "there is no code to write a checkpoint");
	 */
	struct btree_pager *p = c->p;
	struct btree_super *s = &c->super;
	int error;

	c->rate = rate < RATE_MAX ? rate : RATE_MAX;
	c->started_ns = p->config.env->ops->now_ns(p->config.env);
	error = write_pages(c);
	if (!error)
		error = write_map(c);
	if (error) {
		int latched = btree_pager_check(p, why);

		return latched ? latched
			       : kv_fail(why, error,
					 "%s: writing a checkpoint failed (error %d): see to "
					 "the disk; the checkpoint before still counts",
					 p->io->path, -error);
	}
	if (sync_pages(c))
		return btree_pager_check(p, why);
	/* An evictor may have failed, and nothing is made durable after that. */
	error = btree_pager_check(p, why);
	if (error)
		return error;
	s->root.crc = btree_page_known_crc(p, s->root.page, s->root.crc);
	if (write_super(c))
		return btree_pager_check(p, why);
	c->durable = true;
	return 0;
	/* EXERCISE 3.6 end */
}

/* ---- end ---- */

/* The place of a map that nobody needs any more: a spare, if it is large enough. */
static void recycle(struct btree_pager *p, struct btree_run run)
{
	struct btree_pager_space *s = p->space;
	unsigned int i;

	for (i = 0; i < BTREE_MAP_SPARES; i++)
		if (!s->map_spare[i].n && run.n >= btree_map_pages(p, s->pages)) {
			s->map_spare[i] = run;
			return;
		}
	btree_space_put_run(s, run);
	btree_space_fill_spares(p);
}

void btree_checkpoint_end(struct btree_checkpoint *c, const uint64_t *keep, size_t n)
{
	struct btree_pager *p = c->p;
	struct btree_pager_space *s = p->space;

	/* Latched: which of the two is durable is not known, and both are left alone. */
	if (c->durable || !btree_pager_check(p, NULL)) {
		port_mutex_lock(&s->lock);
		s->map_running = (struct btree_run){ 0, 0 };
		s->running = 0;
		if (c->durable) {
			recycle(p, s->map_durable);
			s->map_durable = c->run;
			s->durable = c->super.generation;
			s->durable_pages = c->super.pages;
			s->trim = true;
			s->ahead_kept = s->ahead;
			s->ahead = 0;
			p->io->sequence = c->super.sequence;
			(void)port_fetch_add(&p->io->checkpoints, (uint64_t)1);
		} else {
			recycle(p, c->run);
		}
		port_mutex_unlock(&s->lock);
		(void)btree_pages_reclaim_some(p, keep, n, RECLAIM_PAGES);
	}
	checkpoint_free(c);
}
