/* SPDX-License-Identifier: MIT */
/*
 * env_sim_crash.c - the disk that a crash leaves, once it is said what came out.
 *
 * What can come out is cut into units: of each directory how many of its unsynced names,
 * of each file how many of its size changes, of each sector which version. A version
 * that a truncation cut off, or that lies in blocks which only a later truncation could
 * have freed, is no choice: its unit's options leave it out.
 */
#include "env_sim_internal.h"

static const struct sim_entry *entry_at(const struct sim_crash *c, size_t i)
{
	return &c->follow.sim->journal.entry[i];
}

static const struct sim_data *durable(const struct sim_crash *c, uint32_t node)
{
	return &c->follow.disk.node[node]->data;
}

static const struct sim_item *items_of(const struct sim_crash *c,
				       const struct sim_file_unit *file)
{
	return c->follow.pending[file->node].item;
}

/* ---- units ---- */

struct version {
	uint64_t sector;
	size_t item;
};

static int compare_version(const void *a, const void *b)
{
	const struct version *x = a, *y = b;

	if (x->sector != y->sector)
		return x->sector < y->sector ? -1 : 1;
	return (x->item > y->item) - (x->item < y->item);
}

static struct version *list_versions(const struct sim_pending *p, size_t *n)
{
	struct version *v;
	size_t i, k;

	for (*n = 0, i = 0; i < p->items; i++)
		*n += p->item[i].data ? p->item[i].sectors : 0;
	v = sim_alloc(*n * sizeof(*v));
	for (*n = 0, i = 0; i < p->items; i++)
		for (k = 0; p->item[i].data && k < p->item[i].sectors; k++)
			v[(*n)++] = (struct version){ p->item[i].sector + k, i };
	qsort(v, *n, sizeof(*v), compare_version);
	return v;
}

static void add_sectors(struct sim_crash *c, const struct sim_pending *p)
{
	size_t n, i;
	struct version *v = list_versions(p, &n);

	c->version = sim_grow(c->version, &c->version_cap, c->versions + n,
			      sizeof(*c->version));
	for (i = 0; i < n; i++) {
		if (!i || v[i].sector != v[i - 1].sector) {
			c->sector = sim_grow(c->sector, &c->sector_cap, c->sectors + 1,
					     sizeof(*c->sector));
			c->sector[c->sectors++] = (struct sim_sector_unit){
				.sector = v[i].sector,
				.first = c->versions,
				.to = SIM_SECTOR,
			};
		}
		c->sector[c->sectors - 1].versions++;
		c->version[c->versions++] = v[i].item;
	}
	free(v);
}

static void add_file(struct sim_crash *c, uint32_t node)
{
	struct sim_pending *p = &c->follow.pending[node];
	uint64_t size = durable(c, node)->size;
	struct sim_file_unit *file;
	size_t i;

	c->file = sim_grow(c->file, &c->file_cap, c->files + 1, sizeof(*c->file));
	file = &c->file[c->files++];
	*file = (struct sim_file_unit){ .node = node, .first = c->sectors };
	p->file = c->files;
	for (i = 0; i < p->items; i++) {
		file->shrinks |= p->item[i].size < size;
		size = p->item[i].size;
	}
	add_sectors(c, p);
	file->units = c->sectors - file->first;
}

void sim_crash_seek(struct sim_crash *c, size_t at)
{
	size_t i;

	sim_follow_to(&c->follow, at);
	c->dirs = c->files = c->sectors = c->versions = 0;
	for (i = 0; i < c->follow.disk.n; i++) {
		struct sim_pending *p = &c->follow.pending[i];

		p->take = 0;
		p->file = 0;
		if (p->names) {
			c->dir = sim_grow(c->dir, &c->dir_cap, c->dirs + 1,
					  sizeof(*c->dir));
			c->dir[c->dirs++] = (uint32_t)i;
		}
		if (p->items)
			add_file(c, (uint32_t)i);
	}
}

struct sim_crash *sim_crash_new(struct env_sim *sim)
{
	struct sim_crash *c = sim_alloc(sizeof(*c));

	sim_follow_init(&c->follow, sim);
	return c;
}

void sim_crash_free(struct sim_crash *c)
{
	sim_follow_free(&c->follow);
	free(c->dir);
	free(c->file);
	free(c->sector);
	free(c->version);
	free(c);
}

/* ---- choices that make a difference ---- */

static uint64_t size_after(const struct sim_crash *c, const struct sim_file_unit *file,
			   size_t pick)
{
	return pick ? items_of(c, file)[pick - 1].size : durable(c, file->node)->size;
}

bool sim_crash_new_size(const struct sim_crash *c, const struct sim_file_unit *file,
			size_t pick)
{
	return !pick || size_after(c, file, pick) != size_after(c, file, pick - 1);
}

/* How many bytes of a sector's version the file has at its picked size. Of the sizes
 * between the version and the picked one, the smallest decides: either the truncation
 * came out and cut them off, or it did not and they lie in blocks of a later life. */
static size_t visible(const struct sim_crash *c, const struct sim_file_unit *file,
		      uint64_t sector, size_t item)
{
	uint64_t end = size_after(c, file, file->pick), begin = sector * SIM_SECTOR;
	size_t i;

	if (file->shrinks) {
		size_t from = item + 1 < file->pick ? item + 1 : file->pick;
		size_t to = item + 1 < file->pick ? file->pick : item;

		for (i = from; i < to; i++)
			if (items_of(c, file)[i].size < end)
				end = items_of(c, file)[i].size;
	}
	if (end <= begin)
		return 0;
	return end - begin < SIM_SECTOR ? (size_t)(end - begin) : SIM_SECTOR;
}

static const uint8_t *version_bytes(const struct sim_crash *c,
				    const struct sim_file_unit *file,
				    const struct sim_sector_unit *unit, size_t pick)
{
	const struct sim_item *item =
		&items_of(c, file)[c->version[unit->first + pick - 1]];
	const struct sim_entry *e = entry_at(c, item->entry);

	return e->data + (unit->sector - e->sector) * SIM_SECTOR;
}

size_t sim_crash_options(const struct sim_crash *c, const struct sim_file_unit *file,
			 const struct sim_sector_unit *unit, size_t *out)
{
	uint8_t base[SIM_SECTOR];
	const uint8_t *last = base;
	size_t pick, n = 0;

	out[n++] = 0;
	sim_data_load(durable(c, file->node), unit->sector * SIM_SECTOR, base,
		      SIM_SECTOR);
	for (pick = 1; pick <= unit->versions; pick++) {
		size_t bytes = visible(c, file, unit->sector,
				       c->version[unit->first + pick - 1]);
		const uint8_t *p = version_bytes(c, file, unit, pick);

		/* With truncations two versions may be cut differently. */
		if (!bytes || (!file->shrinks && !memcmp(p, last, bytes)))
			continue;
		out[n++] = pick;
		last = p;
	}
	return n;
}

void sim_crash_pick_prefix(struct sim_crash *c, size_t cut, bool data)
{
	size_t i, k;

	for (i = 0; i < c->dirs; i++) {
		struct sim_pending *p = &c->follow.pending[c->dir[i]];

		p->take = 0;
		while (p->take < p->names && p->name[p->take] < cut)
			p->take++;
	}
	for (i = 0; i < c->files; i++) {
		struct sim_file_unit *file = &c->file[i];
		const struct sim_pending *p = &c->follow.pending[file->node];

		file->pick = 0;
		while (file->pick < p->items && p->item[file->pick].entry < cut)
			file->pick++;
		for (k = file->first; k < file->first + file->units; k++) {
			struct sim_sector_unit *unit = &c->sector[k];

			unit->from = 0;
			unit->to = SIM_SECTOR;
			unit->pick = 0;
			while (data && unit->pick < unit->versions &&
			       c->version[unit->first + unit->pick] < file->pick)
				unit->pick++;
		}
	}
}

/* ---- names ---- */

static void dir_taken(const struct sim_crash *c, uint32_t node, struct sim_dir *out)
{
	const struct sim_dir *old = &c->follow.disk.node[node]->dir;
	const struct sim_pending *p = &c->follow.pending[node];
	size_t i;

	for (i = 0; i < old->n; i++)
		sim_dir_set(out, old->name[i].text, old->name[i].node);
	for (i = 0; i < p->take; i++)
		sim_follow_apply_name(entry_at(c, p->name[i]), node, out);
}

static void reach_dir(struct sim_crash *c, uint32_t node)
{
	struct sim_dir dir = { 0 };
	size_t i;

	dir_taken(c, node, &dir);
	for (i = 0; i < dir.n; i++) {
		uint32_t child = dir.name[i].node;
		size_t file = c->follow.pending[child].file;

		if (file)
			c->file[file - 1].reachable = true;
		if (c->follow.disk.node[child]->is_dir)
			reach_dir(c, child);
	}
	sim_dir_free(&dir);
}

void sim_crash_reach(struct sim_crash *c)
{
	size_t i;

	for (i = 0; i < c->files; i++)
		c->file[i].reachable = false;
	reach_dir(c, SIM_ROOT);
}

/* ---- the disk ---- */

static void store_version(const struct sim_crash *c, const struct sim_file_unit *file,
			  const struct sim_sector_unit *unit, size_t pick, size_t from,
			  size_t to, struct sim_data *d)
{
	size_t bytes = visible(c, file, unit->sector, c->version[unit->first + pick - 1]);

	to = to < bytes ? to : bytes;
	if (from < to)
		sim_data_store(d, unit->sector * SIM_SECTOR + from,
			       version_bytes(c, file, unit, pick) + from, to - from);
}

static void build_sector(const struct sim_crash *c, const struct sim_file_unit *file,
			 const struct sim_sector_unit *unit, struct sim_data *d)
{
	if (!unit->pick)
		return;
	if (unit->pick > 1 && (unit->from || unit->to < SIM_SECTOR))
		store_version(c, file, unit, unit->pick - 1, 0, SIM_SECTOR, d);
	store_version(c, file, unit, unit->pick, unit->from, unit->to, d);
}

static void build_file(const struct sim_crash *c, uint32_t node, struct sim_data *out)
{
	const struct sim_pending *p = &c->follow.pending[node];
	const struct sim_file_unit *file;
	size_t i;

	sim_data_copy(out, durable(c, node));
	if (!p->file)
		return;
	file = &c->file[p->file - 1];
	for (i = 0; i < file->pick; i++) {
		struct sim_item blocks = p->item[i];

		/* The size, and blocks that were asked for; bytes are sectors' affair. */
		if (blocks.data) {
			blocks.data = false;
			blocks.sectors = 0;
		}
		sim_follow_apply_item(&c->follow, &blocks, out);
	}
	for (i = file->first; i < file->first + file->units; i++)
		build_sector(c, file, &c->sector[i], out);
	sim_data_resize(out, size_after(c, file, file->pick));
}

static void build_dir(const struct sim_crash *c, struct env_sim *sim,
		      struct sim_node *dir)
{
	char path[ENV_PATH_MAX];
	size_t i;

	dir_taken(c, dir->id, &dir->dir);
	for (i = 0; i < dir->dir.n; i++) {
		const struct sim_name *name = &dir->dir.name[i];
		const struct sim_node *old = c->follow.disk.node[name->node];
		struct sim_node *node = sim->disk.node[name->node];

		if (node) { /* two names of one file: an engine's rename half done */
			node->names++;
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s%s%s", dir->path,
			       *dir->path ? "/" : "", name->text);
		node = sim_alloc(sizeof(*node));
		node->id = name->node;
		node->is_dir = old->is_dir;
		node->names = 1;
		node->path = sim_strdup(path);
		sim->disk.node[node->id] = node;
		if (node->is_dir) {
			build_dir(c, sim, node);
		} else {
			build_file(c, node->id, &node->data);
			sim->blocks += node->data.blocks;
		}
	}
}

struct env_sim *sim_crash_build(struct sim_crash *c, uint64_t seed, bool journal)
{
	struct env_sim_config config = c->follow.sim->config;
	size_t n = c->follow.disk.n;
	struct sim_node *root;
	struct env_sim *sim;

	config.seed = seed;
	config.no_journal = !journal;
	sim = sim_new(&config);
	sim->disk = (struct sim_disk){ .n = n, .cap = n };
	sim->disk.node = sim_alloc(n * sizeof(struct sim_node *));
	root = sim->disk.node[SIM_ROOT] = sim_alloc(sizeof(*root));
	root->is_dir = true;
	root->names = 1;
	root->path = sim_strdup("");
	build_dir(c, sim, root);
	if (journal)
		sim_disk_copy(&sim->base, &sim->disk);
	sim->depth = c->follow.sim->depth + 1;
	sim->schedule.now_ns = c->follow.sim->schedule.now_ns;
	return sim;
}
