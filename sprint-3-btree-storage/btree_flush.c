/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_flush.c - writes pages while the ones that come next are being made.
 *
 * A bulk load makes pages that nobody changes again and nobody can reach before its checkpoint
 * is durable. So a task of its own writes them out in runs, and syncs now and then, while the
 * load goes on: the processor and the disk work at the same time, and the checkpoint finds
 * little left to write.
 *
 * A page that it cannot take at once (the evictor has it, or too many wait) is left to the
 * evictor or the checkpoint: it is dirty still, and they look for dirty pages.
 */
#include "btree_pager_internal.h"

enum {
	RING = 8192,           /* numbers that can wait; a power of two */
	SYNC_BYTES = 16 << 20, /* written between two syncs */
	BUDGET_SHARE = 16,     /* locked at a time: one of so many parts of the budget */
};

struct btree_flush {
	/* constant */
	struct btree_pager *p;
	struct env_cond *wake;
	uint32_t batch; /* pages in one write, at most */
	/* the load's */
	struct env_task *task;
	/* the task's */
	uint64_t unsynced, from,
		to; /* bytes written since the last sync; their offsets */

	struct port_mutex lock;
	/* protected by lock */
	uint32_t head, tail; /* tail - head numbers wait */
	uint32_t ring[RING];
	bool closing;
	int error; /* the first */
};

/* ---- the task ---- */

/* Locks a page that is still to be written. */
static bool take(struct btree_pager *p, uint32_t page)
{
	uint64_t s = port_load_acquire(&p->state[page]);

	return (s & (BTREE_LOCKED | BTREE_RESIDENT | BTREE_DIRTY)) ==
		       (BTREE_RESIDENT | BTREE_DIRTY) &&
	       port_write_try(&p->state[page], s, s | BTREE_LOCKED);
}

static void give(struct btree_pager *p, uint32_t page, bool written)
{
	(void)btree_page_release(p, page, written ? BTREE_DIRTY : 0,
				 written ? BTREE_CRC_KNOWN : 0, false);
	/* Never fewer than there are: a checkpoint makes room for so many. */
	if (written)
		(void)port_fetch_add(&p->io->dirty, (uint64_t)-1);
}

static int sync_written(struct btree_flush *f)
{
	struct btree_pager *p = f->p;
	struct file *file = p->io->file;
	int error = file_sync(file);

	if (error)
		return btree_pager_latch(p, error, "syncing pages");
	/* The pager has these pages in memory, and another copy is of no use to anybody. */
	if (btree_pager_holds(p, btree_pager_pages(p)))
		file->ops->advise(file, f->from, f->to - f->from, FILE_DONT_NEED);
	f->unsynced = 0;
	return 0;
}

static void note_written(struct btree_flush *f, uint64_t at, uint64_t bytes)
{
	if (!f->unsynced || at < f->from)
		f->from = at;
	if (!f->unsynced || at + bytes > f->to)
		f->to = at + bytes;
	f->unsynced += bytes;
	(void)port_fetch_add(&f->p->io->writes, (uint64_t)1);
	(void)port_fetch_add(&f->p->io->written_bytes, bytes);
}

/* n neighbours, locked. */
static int write_run(struct btree_flush *f, uint32_t first, uint32_t n)
{
	struct btree_pager *p = f->p;
	uint64_t at = btree_offset(p, first), bytes = (uint64_t)n << p->page_shift;
	uint32_t page;
	int error;

	for (page = first; page < first + n; page++) {
		struct btree_page_header *h = btree_page(p, page);

		h->crc = btree_page_sum(p, h);
		port_store_relaxed(&p->crc[page], h->crc);
	}
	error = file_write(p->io->file, at, btree_page(p, first), (size_t)bytes);
	for (page = first; page < first + n; page++)
		give(p, page, !error);
	if (error)
		return error;
	note_written(f, at, bytes);
	return f->unsynced < SYNC_BYTES ? 0 : sync_written(f);
}

static int write_pages(struct btree_flush *f, const uint32_t *page, uint32_t n)
{
	uint32_t i, run;
	int error = 0;

	for (i = 0; !error && i < n; i += run ? run : 1) {
		for (run = 0; i + run < n && page[i + run] == page[i] + run; run++)
			if (!take(f->p, page[i + run]))
				break;
		if (run)
			error = write_run(f, page[i], run);
	}
	return error;
}

/* A batch is in one piece of the ring: it is a power of two as well. */
static void flush_task(void *arg)
{
	struct btree_flush *f = arg;
	struct env *env = f->p->config.env;
	int error;

	port_mutex_lock(&f->lock);
	while (!f->closing && !f->error) {
		if (f->tail - f->head < f->batch) {
			env->ops->cond_wait(env, f->wake, &f->lock, 0);
			continue;
		}
		port_mutex_unlock(&f->lock);
		error = write_pages(f, &f->ring[f->head % RING], f->batch);
		port_mutex_lock(&f->lock);
		f->head += f->batch;
		f->error = error;
	}
	port_mutex_unlock(&f->lock);
}

/* ---- the load's ---- */

/* A power of two of pages: what one call takes, and little of the budget. */
static uint32_t batch_of(const struct btree_pager *p)
{
	uint64_t most = BTREE_IO_BYTES >> p->page_shift;
	uint64_t share = p->io->budget * p->io->unit_pages / BUDGET_SHARE;

	while (most > 1 && most > share)
		most /= 2;
	return (uint32_t)most;
}

int btree_flush_begin(struct btree_pager *p, struct btree_flush **out)
{
	struct env *env = p->config.env;
	struct btree_flush *f = port_alloc(sizeof(*f));
	int error;

	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	f->p = p;
	f->batch = batch_of(p);
	error = env->ops->cond_new(env, &f->wake);
	if (error) {
		port_free(f);
		return error;
	}
	port_mutex_init(&f->lock);
	*out = f;
	return 0;
}

int btree_flush_add(struct btree_flush *f, uint32_t page)
{
	struct env *env = f->p->config.env;
	bool full;
	int error;

	port_mutex_lock(&f->lock);
	if (f->tail - f->head < RING)
		f->ring[f->tail++ % RING] = page;
	full = (f->tail - f->head) % f->batch == 0;
	error = f->error;
	if (full && f->task)
		env->ops->cond_signal(env, f->wake);
	port_mutex_unlock(&f->lock);
	if (error || !full || f->task)
		return error;
	/* Now it is worth a task. */
	return env->ops->spawn(env, "flush", flush_task, f, &f->task);
}

int btree_flush_end(struct btree_flush *f, struct kv_msg *why)
{
	struct btree_pager *p = f->p;
	struct env *env = p->config.env;
	int error;

	port_mutex_lock(&f->lock);
	f->closing = true;
	env->ops->cond_signal(env, f->wake);
	port_mutex_unlock(&f->lock);
	if (f->task)
		env->ops->join(env, f->task);
	error = f->error;
	env->ops->cond_free(env, f->wake);
	port_mutex_destroy(&f->lock);
	port_free(f);
	if (!error || btree_pager_check(p, why))
		return error;
	return kv_fail(why, error, "%s: writing pages failed (error %d): see to the disk",
		       p->io->path, -error);
}
