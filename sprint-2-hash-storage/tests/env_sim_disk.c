/* SPDX-License-Identifier: MIT */
/*
 * env_sim_disk.c - bytes, files and directories of the simulated disk.
 *
 * A copy of a disk shares its pages with the original, and the first write to a page
 * copies it. So a disk that a crash may leave costs little more than its differences,
 * which is what lets a test look at tens of thousands of them a second.
 */
#include "env_sim_internal.h"

/* ---- the simulator's own memory: a test tool that runs out of it can only stop ---- */

void sim_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("env_sim: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	abort();
}

void *sim_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		sim_die("no memory for %zu bytes: make the test's store smaller", n);
	return p;
}

void *sim_grow(void *p, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap : 8;

	if (need <= *cap)
		return p;
	while (n < need)
		n *= 2;
	p = realloc(p, n * size);
	if (!p)
		sim_die("no memory for %zu bytes: make the test's history shorter",
			n * size);
	memset((char *)p + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return p;
}

char *sim_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(sim_alloc(n), s, n);
}

uint64_t sim_next(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* ---- bytes ---- */

/* Stands for every page that is allocated and was never written; not counted. */
static struct sim_page zero_page;

static void page_put(struct sim_page *page)
{
	if (page && page != &zero_page && !--page->refs)
		free(page);
}

static struct sim_page *page_get(struct sim_page *page)
{
	if (page && page != &zero_page)
		page->refs++;
	return page;
}

/* The page, grown to and private: about to be written. whole: its content won't matter. */
static struct sim_page *page_own(struct sim_data *d, size_t i, bool whole)
{
	struct sim_page *old = d->page[i], *page;

	if (old && old != &zero_page && old->refs == 1)
		return old;
	page = malloc(sizeof(*page));
	if (!page)
		sim_die("no memory for a page: make the test's store smaller");
	page->refs = 1;
	if (old && old != &zero_page && !whole)
		memcpy(page->bytes, old->bytes, SIM_PAGE);
	else if (!whole)
		memset(page->bytes, 0, SIM_PAGE);
	if (!old)
		d->blocks++;
	page_put(old);
	d->page[i] = page;
	return page;
}

static void data_reach(struct sim_data *d, uint64_t end)
{
	size_t need = (size_t)((end + SIM_PAGE - 1) / SIM_PAGE);

	d->page = sim_grow(d->page, &d->n, need, sizeof(*d->page));
}

const uint8_t *sim_data_page(const struct sim_data *d, size_t i)
{
	return i < d->n && d->page[i] ? d->page[i]->bytes : zero_page.bytes;
}

void sim_data_load(const struct sim_data *d, uint64_t offset, void *out, size_t len)
{
	uint8_t *p = out;

	while (len) {
		size_t at = offset % SIM_PAGE, n = SIM_PAGE - at;

		n = n < len ? n : len;
		memcpy(p, sim_data_page(d, (size_t)(offset / SIM_PAGE)) + at, n);
		p += n;
		offset += n;
		len -= n;
	}
}

void sim_data_store(struct sim_data *d, uint64_t offset, const void *data, size_t len)
{
	const uint8_t *p = data;

	data_reach(d, offset + len);
	while (len) {
		size_t at = offset % SIM_PAGE, n = SIM_PAGE - at;

		n = n < len ? n : len;
		memcpy(page_own(d, (size_t)(offset / SIM_PAGE), n == SIM_PAGE)->bytes +
			       at,
		       p, n);
		p += n;
		offset += n;
		len -= n;
	}
}

void sim_data_resize(struct sim_data *d, uint64_t size)
{
	size_t keep = (size_t)((size + SIM_PAGE - 1) / SIM_PAGE), i;
	size_t tail = size % SIM_PAGE;

	for (i = keep; i < d->n; i++) {
		d->blocks -= d->page[i] != NULL;
		page_put(d->page[i]);
		d->page[i] = NULL;
	}
	/* What a later growth uncovers reads as zero. */
	if (tail && keep <= d->n && d->page[keep - 1] &&
	    d->page[keep - 1] != &zero_page) {
		const uint8_t *p = d->page[keep - 1]->bytes;

		if (memcmp(p + tail, zero_page.bytes, SIM_PAGE - tail))
			memset(page_own(d, keep - 1, false)->bytes + tail, 0,
			       SIM_PAGE - tail);
	}
	d->size = size;
}

uint64_t sim_data_holes(const struct sim_data *d, uint64_t offset, uint64_t len)
{
	uint64_t i, holes = 0;

	if (!len)
		return 0;
	for (i = offset / SIM_PAGE; i <= (offset + len - 1) / SIM_PAGE; i++)
		holes += i >= d->n || !d->page[i];
	return holes;
}

void sim_data_reserve(struct sim_data *d, uint64_t offset, uint64_t len)
{
	size_t i;

	if (!len)
		return;
	data_reach(d, offset + len);
	for (i = (size_t)(offset / SIM_PAGE); i <= (offset + len - 1) / SIM_PAGE; i++)
		if (!d->page[i]) {
			d->page[i] = &zero_page;
			d->blocks++;
		}
}

void sim_data_copy(struct sim_data *to, const struct sim_data *from)
{
	size_t i;

	*to = *from;
	to->n = (size_t)((from->size + SIM_PAGE - 1) / SIM_PAGE);
	to->n = to->n < from->n ? to->n : from->n;
	to->page = to->n ? sim_alloc(to->n * sizeof(*to->page)) : NULL;
	to->blocks = 0;
	for (i = 0; i < to->n; i++) {
		to->page[i] = page_get(from->page[i]);
		to->blocks += to->page[i] != NULL;
	}
}

void sim_data_free(struct sim_data *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		page_put(d->page[i]);
	free(d->page);
	*d = (struct sim_data){ 0 };
}

/* ---- directories ---- */

struct sim_name *sim_dir_find(const struct sim_dir *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		if (!strcmp(d->name[i].text, name))
			return &d->name[i];
	return NULL;
}

void sim_dir_set(struct sim_dir *d, const char *name, uint32_t node)
{
	struct sim_name *at = sim_dir_find(d, name);

	if (at) {
		at->node = node;
		return;
	}
	d->name = sim_grow(d->name, &d->cap, d->n + 1, sizeof(*d->name));
	d->name[d->n++] = (struct sim_name){ sim_strdup(name), node };
}

void sim_dir_remove(struct sim_dir *d, const char *name)
{
	struct sim_name *at = sim_dir_find(d, name);

	if (!at)
		return;
	free(at->text);
	*at = d->name[--d->n];
}

void sim_dir_free(struct sim_dir *d)
{
	while (d->n)
		free(d->name[--d->n].text);
	free(d->name);
	*d = (struct sim_dir){ 0 };
}

/* ---- the disk ---- */

struct sim_node *sim_disk_add(struct sim_disk *d, bool is_dir, const char *path)
{
	struct sim_node *node = sim_alloc(sizeof(*node));

	d->node = sim_grow(d->node, &d->cap, d->n + 1, sizeof(struct sim_node *));
	node->id = (uint32_t)d->n;
	node->is_dir = is_dir;
	node->path = sim_strdup(path);
	d->node[d->n++] = node;
	return node;
}

void sim_disk_remove(struct sim_disk *d, struct sim_node *node)
{
	d->node[node->id] = NULL;
	sim_data_free(&node->data);
	sim_dir_free(&node->dir);
	free(node->path);
	free(node);
}

void sim_disk_free(struct sim_disk *d)
{
	while (d->n)
		if (d->node[d->n - 1])
			sim_disk_remove(d, d->node[--d->n]);
		else
			d->n--;
	free(d->node);
	*d = (struct sim_disk){ 0 };
}

void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
	size_t i, j;

	*to = (struct sim_disk){ .n = from->n, .cap = from->n };
	to->node = sim_alloc(from->n * sizeof(struct sim_node *));
	for (i = 0; i < from->n; i++) {
		const struct sim_node *old = from->node[i];
		struct sim_node *node;

		if (!old || !old->names)
			continue;
		node = to->node[i] = sim_alloc(sizeof(*node));
		node->id = old->id;
		node->is_dir = old->is_dir;
		node->names = old->names;
		node->path = sim_strdup(old->path);
		sim_data_copy(&node->data, &old->data);
		for (j = 0; j < old->dir.n; j++)
			sim_dir_set(&node->dir, old->dir.name[j].text,
				    old->dir.name[j].node);
	}
}

uint64_t sim_disk_blocks(const struct sim_disk *d)
{
	uint64_t blocks = 0;
	size_t i;

	for (i = 0; i < d->n; i++)
		blocks += d->node[i] ? d->node[i]->data.blocks : 0;
	return blocks;
}

/* One part of a path; *path moves behind it and its slashes. 0 at the end. */
static int next_part(const char **path, char part[256])
{
	size_t n;

	while (**path == '/')
		(*path)++;
	n = strcspn(*path, "/");
	if (n > 255)
		return -ENAMETOOLONG;
	memcpy(part, *path, n);
	part[n] = '\0';
	*path += n;
	return (int)n;
}

static bool is_last(const char *path)
{
	return path[strspn(path, "/")] == '\0';
}

static int disk_walk(const struct sim_disk *d, const char *path, bool parent,
		     struct sim_node **out, const char **last)
{
	struct sim_node *at = d->node[SIM_ROOT];
	const struct sim_name *name;
	char part[256];
	int n;

	if (strlen(path) >= ENV_PATH_MAX)
		return -ENAMETOOLONG;
	while (path += strspn(path, "/"), (n = next_part(&path, part)) > 0) {
		if (!at->is_dir)
			return -ENOTDIR;
		if (parent && is_last(path)) {
			*last = path - n;
			*out = at;
			return 0;
		}
		if (!strcmp(part, "."))
			continue;
		name = sim_dir_find(&at->dir, part);
		if (!name)
			return -ENOENT;
		at = d->node[name->node];
	}
	if (n < 0)
		return n;
	*out = at;
	return parent ? -EINVAL : 0; /* the root has no parent */
}

int sim_disk_parent(const struct sim_disk *d, const char *path, struct sim_node **dir,
		    const char **last)
{
	int error = disk_walk(d, path, true, dir, last);

	return error ? error : strchr(*last, '/') ? -EINVAL : 0;
}

int sim_disk_find(const struct sim_disk *d, const char *path, struct sim_node **out)
{
	return disk_walk(d, path, false, out, NULL);
}
