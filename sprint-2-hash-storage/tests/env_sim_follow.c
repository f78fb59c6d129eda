/* SPDX-License-Identifier: MIT */
/*
 * env_sim_follow.c - a journal followed: what is durable at a position, what is not yet.
 *
 * The durable disk is a copy of the one at which the journal began, and each sync moves
 * what waits for it there. The rest waits in lists, a node each, in the order in which
 * the process did it.
 */
#include "env_sim_internal.h"

static const struct sim_entry *entry_at(const struct sim_follow *f, size_t i)
{
	return &f->sim->journal.entry[i];
}

/* ---- files ---- */

void sim_follow_apply_item(const struct sim_follow *f, const struct sim_item *item,
			   struct sim_data *d)
{
	const struct sim_entry *e = entry_at(f, item->entry);

	if (item->data)
		sim_data_store(d, item->sector * SIM_SECTOR,
			       e->data + (item->sector - e->sector) * SIM_SECTOR,
			       (size_t)item->sectors * SIM_SECTOR);
	else
		sim_data_reserve(d, item->sector * SIM_SECTOR,
				 (uint64_t)item->sectors * SIM_SECTOR);
	sim_data_resize(d, item->size);
}

static void push_item(struct sim_pending *p, const struct sim_item *item)
{
	p->item = sim_grow(p->item, &p->item_cap, p->items + 1, sizeof(*p->item));
	p->item[p->items++] = *item;
}

/* Takes sectors [first, end) out of the first n items; what is left of one may be two. */
static size_t clip_items(struct sim_pending *p, size_t n, uint64_t first, uint64_t end)
{
	struct sim_pending out = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		struct sim_item left = p->item[i], right = p->item[i];
		uint64_t last = left.sector + left.sectors;

		left.sectors =
			(uint32_t)(first > left.sector
					   ? (first < last ? first : last) - left.sector
					   : 0);
		right.sector = end > right.sector ? end : right.sector;
		right.sectors = (uint32_t)(last > right.sector ? last - right.sector : 0);
		if (first >= end)
			right.sectors = 0;
		if (left.sectors)
			push_item(&out, &left);
		if (right.sectors)
			push_item(&out, &right);
	}
	/* The items behind the first n follow them. */
	for (i = n, n = out.items; i < p->items; i++)
		push_item(&out, &p->item[i]);
	free(p->item);
	p->item = out.item;
	p->items = out.items;
	p->item_cap = out.item_cap;
	return n;
}

/* Items whose sync failed stay, as far as nothing newer lies over them. */
static void keep_failed(struct sim_pending *p, uint64_t old_size)
{
	uint64_t size = old_size;
	size_t kept = 0, at;

	for (at = 0; at < p->items;) {
		struct sim_item item = p->item[at];
		size_t left = p->items - at - 1;

		if (item.data && item.failed) {
			p->item[kept++] = item;
			at++;
		} else {
			/* [0, kept) were kept, [at, items) are to come. */
			memmove(&p->item[kept], &p->item[at + 1],
				left * sizeof(*p->item));
			p->items = kept + left;
			if (item.data)
				kept = clip_items(p, kept, item.sector,
						  item.sector + item.sectors);
			if (item.size < size)
				kept = clip_items(p, kept,
						  (item.size + SIM_SECTOR - 1) /
							  SIM_SECTOR,
						  UINT64_MAX / SIM_SECTOR);
			at = kept;
		}
		size = item.size;
	}
	p->items = kept;
	for (at = 0; at < kept; at++)
		p->item[at].size = size;
}

static void file_synced(struct sim_follow *f, uint32_t id)
{
	struct sim_pending *p = &f->pending[id];
	struct sim_data *d = &f->disk.node[id]->data;
	uint64_t old_size = d->size;
	bool failed = false;
	size_t i;

	for (i = 0; i < p->items; i++) {
		if (p->item[i].data && p->item[i].failed)
			sim_data_resize(d, p->item[i].size);
		else
			sim_follow_apply_item(f, &p->item[i], d);
		failed |= p->item[i].failed;
	}
	if (failed)
		keep_failed(p, old_size);
	else
		p->items = 0;
}

static void file_sync_failed(struct sim_pending *p)
{
	size_t i;

	for (i = 0; i < p->items; i++)
		p->item[i].failed = true;
}

static void file_poked(struct sim_data *d, const struct sim_entry *e)
{
	uint8_t byte;

	if (e->sector >= d->size)
		return;
	sim_data_load(d, e->sector, &byte, 1);
	byte ^= *e->data;
	sim_data_store(d, e->sector, &byte, 1);
}

/* ---- names ---- */

static bool between_directories(const struct sim_entry *e)
{
	return e->change == SIM_MOVE && e->to_dir != e->node;
}

void sim_follow_apply_name(const struct sim_entry *e, uint32_t dir, struct sim_dir *d)
{
	if (e->change == SIM_CREATE)
		sim_dir_set(d, e->name, e->child);
	if (e->change == SIM_MOVE && e->to_dir == dir)
		sim_dir_set(d, e->to_name, e->child);
	if (e->change == SIM_REMOVE || (e->change == SIM_MOVE && e->node == dir))
		sim_dir_remove(d, e->name);
}

/* So many of p's names as reach over journal entry i. */
static size_t names_through(const struct sim_pending *p, size_t i)
{
	size_t n = 0;

	while (n < p->names && p->name[n] <= i)
		n++;
	return n;
}

/* The first directory that must take more because `id` takes what it takes; NULL: none. */
static struct sim_pending *lags_behind(const struct sim_follow *f, uint32_t id,
				       size_t *want)
{
	const struct sim_pending *p = &f->pending[id];
	size_t i;

	for (i = 0; i < p->take; i++) {
		const struct sim_entry *e = entry_at(f, p->name[i]);
		struct sim_pending *other;

		if (!between_directories(e))
			continue;
		other = &f->pending[e->node == id ? e->to_dir : e->node];
		*want = names_through(other, p->name[i]);
		if (other->take < *want)
			return other;
	}
	return NULL;
}

void sim_follow_close_names(struct sim_follow *f)
{
	struct sim_pending *other;
	size_t i, want;

	for (i = 0; i < f->disk.n; i++)
		while ((other = lags_behind(f, (uint32_t)i, &want)) != NULL) {
			other->take = want;
			/* It may want more of one that was seen already. */
			i = other < &f->pending[i] ? (size_t)(other - f->pending) : i;
		}
}

bool sim_follow_names_closed(const struct sim_follow *f)
{
	size_t i, want;

	for (i = 0; i < f->disk.n; i++)
		if (lags_behind(f, (uint32_t)i, &want))
			return false;
	return true;
}

static void dir_synced(struct sim_follow *f, uint32_t id)
{
	size_t i, k;

	for (i = 0; i < f->disk.n; i++)
		f->pending[i].take = 0;
	f->pending[id].take = f->pending[id].names;
	sim_follow_close_names(f);
	for (i = 0; i < f->disk.n; i++) {
		struct sim_pending *p = &f->pending[i];

		for (k = 0; k < p->take; k++)
			sim_follow_apply_name(entry_at(f, p->name[k]), (uint32_t)i,
					      &f->disk.node[i]->dir);
		p->names -= p->take;
		if (p->take)
			memmove(p->name, p->name + p->take, p->names * sizeof(*p->name));
		p->take = 0;
	}
}

static void push_name(struct sim_pending *p, size_t entry)
{
	p->name = sim_grow(p->name, &p->name_cap, p->names + 1, sizeof(*p->name));
	p->name[p->names++] = entry;
}

static void set_path(struct sim_follow *f, struct sim_node *node, uint32_t dir,
		     const char *name)
{
	const char *above = f->disk.node[dir]->path;
	size_t n = strlen(above) + strlen(name) + 2;
	char *path = sim_alloc(n);

	(void)snprintf(path, n, "%s%s%s", above, *above ? "/" : "", name);
	free(node->path);
	node->path = path;
}

static void name_changed(struct sim_follow *f, const struct sim_entry *e, size_t i)
{
	if (e->change == SIM_CREATE) {
		struct sim_node *node = sim_disk_add(&f->disk, e->is_dir, "");

		if (node->id != e->child)
			sim_die("the journal makes node %u where %u is next", e->child,
				node->id);
		node->names = 1;
		set_path(f, node, e->node, e->name);
		f->pending =
			sim_grow(f->pending, &f->cap, f->disk.n, sizeof(*f->pending));
	}
	push_name(&f->pending[e->node], i);
	if (e->change == SIM_MOVE) {
		set_path(f, f->disk.node[e->child], e->to_dir, e->to_name);
		if (between_directories(e))
			push_name(&f->pending[e->to_dir], i);
	}
}

/* ---- the journal ---- */

static void follow_entry(struct sim_follow *f, size_t i)
{
	const struct sim_entry *e = entry_at(f, i);
	struct sim_pending *p = &f->pending[e->node];

	switch (e->change) {
	case SIM_DATA:
	case SIM_RESIZE:
		push_item(p, &(struct sim_item){ .entry = i,
						 .data = e->change == SIM_DATA,
						 .sector = e->sector,
						 .sectors = e->sectors,
						 .size = e->size });
		break;
	case SIM_SYNCED:
		file_synced(f, e->node);
		break;
	case SIM_SYNC_FAILED:
		file_sync_failed(p);
		break;
	case SIM_POKE:
		file_poked(&f->disk.node[e->node]->data, e);
		break;
	case SIM_CREATE:
	case SIM_REMOVE:
	case SIM_MOVE:
		name_changed(f, e, i);
		break;
	case SIM_DIR_SYNCED:
		dir_synced(f, e->node);
		break;
	}
}

void sim_follow_to(struct sim_follow *f, size_t at)
{
	if (at < f->at || at > f->sim->journal.n)
		sim_die("position %zu is not between %zu and the journal's end, %zu", at,
			f->at, f->sim->journal.n);
	for (; f->at < at; f->at++)
		follow_entry(f, f->at);
}

void sim_follow_init(struct sim_follow *f, const struct env_sim *sim)
{
	if (sim->config.no_journal)
		sim_die("a crash was asked of a simulator that keeps no journal");
	*f = (struct sim_follow){ .sim = sim };
	sim_disk_copy(&f->disk, &sim->base);
	f->pending = sim_grow(NULL, &f->cap, f->disk.n, sizeof(*f->pending));
}

void sim_follow_free(struct sim_follow *f)
{
	size_t i;

	for (i = 0; i < f->cap; i++) {
		free(f->pending[i].item);
		free(f->pending[i].name);
	}
	free(f->pending);
	sim_disk_free(&f->disk);
}
