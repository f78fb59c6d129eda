/* SPDX-License-Identifier: MIT */
/*
 * env_sim_map.c - memory that is a file's bytes.
 *
 * A store to a map is no call, so it is found afterwards: the mapped memory is compared
 * with the file's pages, which serve as the shadow copy, and each run of sectors that
 * differ becomes a write. Before each journaled call all writable maps are compared: a
 * store is then known to be older than the call. A map that may not be stored to is
 * compared when it ends. Maps of the same bytes share their memory.
 */
#include "env_sim_internal.h"

enum { SIM_MAP_ALIGN = 64 << 10 };

struct sim_region { /* memory that one or more maps share */
	struct sim_node *node;
	uint64_t offset;
	size_t len, bytes; /* bytes: len rounded up to pages, what was allocated */
	uint8_t *memory;
	unsigned int maps, writable;        /* maps, and those of them that may store */
	struct sim_region *next, **back;    /* of the node */
	struct sim_region *all, **all_back; /* of the simulator */
};

/* How much of the region the file has bytes for. */
static size_t region_valid(const struct sim_region *r)
{
	uint64_t size = r->node->data.size;

	if (size <= r->offset)
		return 0;
	return size - r->offset < r->len ? (size_t)(size - r->offset) : r->len;
}

/* ---- from the maps to the file ---- */

/* The run of differing sectors that begins at `at`, within one page or the next ones. */
static size_t differing_run(const struct sim_region *r, size_t at, size_t valid)
{
	size_t begin = at;

	while (at < valid) {
		uint64_t offset = r->offset + at;
		size_t n = valid - at < SIM_SECTOR ? valid - at : SIM_SECTOR;
		const uint8_t *page =
			sim_data_page(&r->node->data, (size_t)(offset / SIM_PAGE));

		if (!memcmp(r->memory + at, page + offset % SIM_PAGE, n))
			break;
		at += n;
	}
	return at - begin;
}

static void take_run(struct env_sim *sim, struct sim_region *r, size_t at, size_t len)
{
	struct sim_data *d = &r->node->data;
	uint64_t before = d->blocks;

	if (!r->writable)
		sim_die("%s: offset %llu: stored to through a read-only map",
			r->node->path, (unsigned long long)(r->offset + at));
	sim_data_store(d, r->offset + at, r->memory + at, len);
	sim_account(sim, r->node, before);
	if (sim->blocks * SIM_PAGE > sim->config.capacity_bytes && d->blocks > before)
		sim_die("%s: offset %llu: a store to a hole on a full disk, which is "
			"SIGBUS: allocate the blocks before mapping them",
			r->node->path, (unsigned long long)(r->offset + at));
	sim_journal_data(sim, r->node, r->offset + at, len, true);
}

static void absorb_region(struct env_sim *sim, struct sim_region *r)
{
	size_t valid = region_valid(r), at, n;

	for (at = 0; at < valid; at += n) {
		uint64_t offset = r->offset + at;
		const uint8_t *page =
			sim_data_page(&r->node->data, (size_t)(offset / SIM_PAGE));

		n = SIM_PAGE - (size_t)(offset % SIM_PAGE);
		n = n < valid - at ? n : valid - at;
		if (!memcmp(r->memory + at, page + offset % SIM_PAGE, n))
			continue;
		n = differing_run(r, at, valid);
		if (n)
			take_run(sim, r, at, n);
		else
			n = valid - at < SIM_SECTOR ? valid - at : SIM_SECTOR;
	}
}

void sim_absorb(struct env_sim *sim, struct sim_node *node)
{
	struct sim_region *r;

	for (r = node->regions; r; r = r->next)
		absorb_region(sim, r);
}

void sim_absorb_all(struct env_sim *sim)
{
	struct sim_region *r;

	for (r = sim->all_regions; r; r = r->all)
		if (r->writable)
			absorb_region(sim, r);
}

/* ---- from the file to the maps ---- */

/* The part of r that lies in [offset, offset + len), as an offset into r; its length. */
static size_t region_part(const struct sim_region *r, uint64_t offset, uint64_t len,
			  size_t *at)
{
	uint64_t begin = offset > r->offset ? offset : r->offset;
	uint64_t end = r->offset + r->len;

	if (end > offset + len)
		end = offset + len;
	*at = (size_t)(begin - r->offset);
	return begin < end ? (size_t)(end - begin) : 0;
}

void sim_map_refresh(struct sim_node *node, uint64_t offset, uint64_t len)
{
	struct sim_region *r;
	size_t at, n;

	for (r = node->regions; r; r = r->next) {
		n = region_part(r, offset, len, &at);
		if (n)
			sim_data_load(&node->data, r->offset + at, r->memory + at, n);
	}
}

void sim_map_overlay(const struct sim_node *node, uint64_t offset, void *out, size_t len)
{
	const struct sim_region *r;
	size_t at, n;

	for (r = node->regions; r; r = r->next) {
		n = region_part(r, offset, len, &at);
		if (n)
			memcpy((uint8_t *)out + (r->offset + at - offset), r->memory + at,
			       n);
	}
}

/* ---- map and unmap ---- */

/* A region that has all of it; *error if one has a part of it, since memory cannot be in
 * two places. */
static struct sim_region *region_find(const struct sim_node *node, uint64_t offset,
				      size_t len, int *error)
{
	struct sim_region *r;
	size_t at;

	for (r = node->regions; r; r = r->next) {
		if (offset >= r->offset && len <= r->len &&
		    offset - r->offset <= r->len - len)
			return r;
		if (region_part(r, offset, len, &at))
			*error = -EOPNOTSUPP;
	}
	return NULL;
}

static struct sim_region *region_new(struct env_sim *sim, struct sim_node *node,
				     uint64_t offset, size_t len)
{
	struct sim_region *r = sim_alloc(sizeof(*r));

	*r = (struct sim_region){ .node = node, .offset = offset, .len = len };
	r->bytes = (len + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
	r->memory = aligned_alloc(SIM_PAGE, r->bytes);
	if (!r->memory)
		sim_die("no memory for a map of %zu bytes", len);
	sim_data_load(&node->data, offset, r->memory, r->bytes);
	r->next = node->regions;
	r->back = &node->regions;
	if (r->next)
		r->next->back = &r->next;
	node->regions = r;
	r->all = sim->all_regions;
	r->all_back = &sim->all_regions;
	if (r->all)
		r->all->all_back = &r->all;
	sim->all_regions = r;
	return r;
}

static void region_free(struct sim_region *r)
{
	*r->back = r->next;
	if (r->next)
		r->next->back = r->back;
	*r->all_back = r->all;
	if (r->all)
		r->all->all_back = r->all_back;
	free(r->memory);
	free(r);
}

int sim_map(struct file *f, uint64_t offset, size_t len, bool writable, void **out)
{
	struct sim_file *file = sim_file(f);
	struct sim_node *node = file->node;
	struct sim_region *r;
	int error = sim_enter(file->sim, SIM_MAP, node->path, NULL);

	if (error)
		return error;
	if (file->sim->config.no_map)
		return -EOPNOTSUPP;
	if (!(file->flags & ENV_READ) || (writable && !(file->flags & ENV_WRITE)))
		return -EACCES;
	if (!len || offset % SIM_MAP_ALIGN || offset > node->data.size ||
	    len > node->data.size - offset)
		return -EINVAL;
	r = region_find(node, offset, len, &error);
	if (!r && error)
		return error;
	if (!r)
		r = region_new(file->sim, node, offset, len);
	r->maps++;
	r->writable += writable;
	node->opens++;
	file->sim->live++;
	*out = r->memory + (offset - r->offset);
	return 0;
}

void sim_unmap(struct file *f, void *p, size_t len)
{
	struct sim_file *file = sim_file(f);
	struct sim_region *r;

	sim_check_thread(file->sim);
	for (r = file->node->regions; r; r = r->next)
		if ((uint8_t *)p >= r->memory && (uint8_t *)p < r->memory + r->len &&
		    len <= (size_t)(r->memory + r->len - (uint8_t *)p))
			break;
	if (!r)
		sim_die("%s: unmap of %zu bytes that are not mapped", file->node->path,
			len);
	absorb_region(file->sim, r);
	file->node->opens--;
	file->sim->live--;
	if (!--r->maps)
		region_free(r);
}
