/* SPDX-License-Identifier: MIT */
/*
 * env_sim_file.c - files behind env.h: what the process sees, and what becomes of it.
 */
#include "env_sim_internal.h"

void sim_account(struct env_sim *sim, const struct sim_node *node, uint64_t before)
{
	sim->blocks += node->data.blocks - before;
}

static bool has_room(const struct env_sim *sim, uint64_t holes)
{
	uint64_t pages = sim->config.capacity_bytes / SIM_PAGE;

	return !holes || (holes <= pages && sim->blocks <= pages - holes);
}

static bool reaches_too_far(uint64_t offset, uint64_t len)
{
	return offset > INT64_MAX || len > (uint64_t)INT64_MAX - offset;
}

/* ---- read ---- */

static int file_do_read(struct file *f, uint64_t offset, void *data, size_t len,
			size_t *got)
{
	struct sim_file *file = sim_file(f);
	struct sim_node *node = file->node;
	enum env_sim_effect effect;
	int error = sim_enter(file->sim, SIM_READ, node->path, &effect);

	*got = 0;
	if (!error && !(file->flags & ENV_READ))
		error = -EBADF;
	if (error)
		return error;
	if (offset >= node->data.size)
		return 0;
	if (len > node->data.size - offset)
		len = (size_t)(node->data.size - offset);
	if (effect == SIM_SHORT)
		len /= 2;
	sim_data_load(&node->data, offset, data, len);
	sim_map_overlay(node, offset, data, len);
	*got = len;
	return 0;
}

/* ---- write ---- */

static int write_bytes(struct sim_file *file, uint64_t offset, const void *data,
		       size_t len)
{
	struct sim_node *node = file->node;
	uint64_t before = node->data.blocks;

	if (!len)
		return 0;
	if (!has_room(file->sim, sim_data_holes(&node->data, offset, len)))
		return -ENOSPC;
	sim_data_store(&node->data, offset, data, len);
	if (node->data.size < offset + len)
		node->data.size = offset + len;
	sim_account(file->sim, node, before);
	sim_map_refresh(node, offset, len);
	sim_journal_data(file->sim, node, offset, len, false);
	return 0;
}

void sim_file_resize(struct env_sim *sim, struct sim_node *node, uint64_t size)
{
	uint64_t before = node->data.blocks, old = node->data.size;

	sim_data_resize(&node->data, size);
	sim_account(sim, node, before);
	if (size < old)
		sim_map_refresh(node, size, old - size);
	(void)sim_journal_add(sim, SIM_RESIZE, node);
}

/* To a block of the file that was not meant, if it has another. */
static int misdirect(struct sim_file *file, uint64_t offset, const void *data, size_t len)
{
	struct sim_data *d = &file->node->data;
	uint64_t pages, page = offset / SIM_PAGE, wrong;

	if (d->size < offset + len)
		sim_file_resize(file->sim, file->node, offset + len);
	pages = (d->size + SIM_PAGE - 1) / SIM_PAGE;
	if (pages < 2)
		return 0;
	wrong = (page + 1 + sim_next(&file->sim->place) % (pages - 1)) % pages;
	wrong = wrong * SIM_PAGE + offset % SIM_PAGE;
	if (wrong >= d->size)
		wrong = offset % SIM_PAGE;
	if (len > d->size - wrong)
		len = (size_t)(d->size - wrong);
	return write_bytes(file, wrong, data, len);
}

static int file_do_write(struct file *f, uint64_t offset, const void *data, size_t len)
{
	struct sim_file *file = sim_file(f);
	struct sim_node *node = file->node;
	enum env_sim_effect effect;
	int error = sim_enter(file->sim, SIM_WRITE, node->path, &effect);

	if (!(file->flags & ENV_WRITE))
		return -EBADF;
	if (reaches_too_far(offset, len))
		return -EFBIG;
	if (effect == SIM_SHORT)
		(void)write_bytes(file, offset, data, len / 2);
	if (error)
		return error;
	if (effect == SIM_MISDIRECT)
		return misdirect(file, offset, data, len);
	if (effect == SIM_LOSE) {
		if (node->data.size < offset + len)
			sim_file_resize(file->sim, node, offset + len);
		return 0;
	}
	return write_bytes(file, offset, data, len);
}

/* ---- sync ---- */

/* The process reads again what is durable: the pages were dropped, not just marked. The
 * size and the blocks are no pages, so they stay. */
static void drop_pages(struct env_sim *sim, struct sim_node *node)
{
	uint64_t before = node->data.blocks;
	struct sim_data old = node->data;
	struct sim_follow f;
	size_t i;

	if (sim->config.no_journal)
		sim_die("SIM_DROP needs the journal to know what is durable");
	sim_follow_init(&f, sim);
	sim_follow_to(&f, sim->journal.n);
	sim_data_copy(&node->data, &f.disk.node[node->id]->data);
	sim_follow_free(&f);
	sim_data_resize(&node->data, old.size);
	for (i = 0; i < old.n; i++)
		if (old.page[i])
			sim_data_reserve(&node->data, i * (uint64_t)SIM_PAGE, 1);
	sim_data_free(&old);
	sim_account(sim, node, before);
	sim_map_refresh(node, 0, node->data.size);
}

static int file_do_sync(struct file *f)
{
	struct sim_file *file = sim_file(f);
	enum env_sim_effect effect;
	int error = sim_enter(file->sim, SIM_SYNC, file->node->path, &effect);

	if (effect == SIM_LOSE)
		return 0;
	(void)sim_journal_add(file->sim, error ? SIM_SYNC_FAILED : SIM_SYNCED,
			      file->node);
	if (effect == SIM_DROP)
		drop_pages(file->sim, file->node);
	return error;
}

/* ---- size ---- */

static int file_do_allocate(struct file *f, uint64_t offset, uint64_t len)
{
	struct sim_file *file = sim_file(f);
	struct sim_data *d = &file->node->data;
	uint64_t before = d->blocks;
	struct sim_entry *e;
	int error = sim_enter(file->sim, SIM_ALLOCATE, file->node->path, NULL);

	if (error)
		return error;
	if (file->sim->config.no_allocate)
		return -EOPNOTSUPP;
	if (!(file->flags & ENV_WRITE))
		return -EBADF;
	if (!len)
		return -EINVAL;
	if (reaches_too_far(offset, len))
		return -EFBIG;
	if (len > file->sim->config.capacity_bytes ||
	    !has_room(file->sim, sim_data_holes(d, offset, len)))
		return -ENOSPC;
	sim_data_reserve(d, offset, len);
	sim_account(file->sim, file->node, before);
	if (d->size < offset + len)
		d->size = offset + len;
	e = sim_journal_add(file->sim, SIM_RESIZE, file->node);
	if (e) {
		e->sector = offset / SIM_SECTOR;
		e->sectors = (uint32_t)((offset + len + SIM_SECTOR - 1) / SIM_SECTOR -
					e->sector);
	}
	return 0;
}

static int file_do_truncate(struct file *f, uint64_t size)
{
	struct sim_file *file = sim_file(f);
	int error = sim_enter(file->sim, SIM_TRUNCATE, file->node->path, NULL);

	if (error)
		return error;
	if (!(file->flags & ENV_WRITE))
		return -EBADF;
	if (reaches_too_far(size, 0))
		return -EFBIG;
	/* Stores before it are in no order with it otherwise. */
	sim_absorb(file->sim, file->node);
	sim_file_resize(file->sim, file->node, size);
	return 0;
}

static int file_do_size(struct file *f, uint64_t *size)
{
	struct sim_file *file = sim_file(f);
	int error = sim_enter(file->sim, SIM_SIZE, file->node->path, NULL);

	if (!error)
		*size = file->node->data.size;
	return error;
}

static void file_do_advise(struct file *f, uint64_t offset, uint64_t len,
			   enum file_advice advice)
{
	(void)f;
	(void)offset;
	(void)len;
	(void)advice;
}

/* ---- life ---- */

static void file_do_close(struct file *f)
{
	struct sim_file *file = sim_file(f);
	struct env_sim *sim = file->sim;

	sim_check_thread(sim);
	file->node->opens--;
	sim_node_put(sim, file->node);
	sim->live--;
	port_free(file);
}

const struct file_ops sim_file_ops = {
	.read = file_do_read,
	.write = file_do_write,
	.sync = file_do_sync,
	.allocate = file_do_allocate,
	.truncate = file_do_truncate,
	.size = file_do_size,
	.map = sim_map,
	.unmap = sim_unmap,
	.advise = file_do_advise,
	.close = file_do_close,
};

int sim_file_new(struct env_sim *sim, struct sim_node *node, unsigned int flags,
		 struct file **out)
{
	struct sim_file *file;

	/* First of all: the allocator locks, and another task may run and unlink the node. */
	node->opens++;
	file = port_alloc(sizeof(*file));
	if (!file) {
		node->opens--;
		sim_node_put(sim, node);
		return -ENOMEM;
	}
	*file = (struct sim_file){ { &sim_file_ops }, sim, node, flags };
	sim->live++;
	*out = &file->base;
	return 0;
}
