/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_memory_file.c - bytes of files in memory.
 *
 * A file is a sorted array of extents, each one piece of memory; between them are holes,
 * which read as zeros. What allocate() is asked for comes as one extent, in huge pages where
 * its size allows, so that a log's segment can be mapped: a map is a pointer into an extent.
 * A file that grows by writes grows by as much as it has, up to a limit.
 */
#include "env_memory_internal.h"

enum { GROW_MOST = 1 << 20 };

struct memory_file {
	struct file base;
	struct memory_node *node;
	unsigned int flags;
};

static struct memory_file *memory_file(struct file *f)
{
	return container_of(f, struct memory_file, base);
}

/* ---- memory ---- */

static bool is_huge(uint64_t bytes)
{
	return bytes % PORT_HUGE_BYTES == 0;
}

static int take_bytes(struct env_memory *m, uint64_t bytes)
{
	uint64_t used = port_load_relaxed(&m->used);

	do {
		if (bytes > m->most_bytes || used > m->most_bytes - bytes)
			return -ENOSPC;
	} while (!port_cas(&m->used, &used, used + bytes));
	return 0;
}

static void give_bytes(struct env_memory *m, uint64_t bytes)
{
	(void)port_fetch_add(&m->used, (uint64_t)0 - bytes);
}

static int extent_new(struct env_memory *m, uint64_t offset, uint64_t bytes,
		      struct memory_extent *out)
{
	int error = take_bytes(m, bytes);

	if (error)
		return error;
	*out = (struct memory_extent){ .offset = offset, .bytes = bytes };
	out->p = is_huge(bytes) ? port_alloc_huge((size_t)bytes)
				: port_alloc((size_t)bytes);
	if (!out->p) {
		give_bytes(m, bytes);
		return -ENOMEM;
	}
	memset(out->p, 0, (size_t)bytes);
	return 0;
}

static void extent_free(struct env_memory *m, const struct memory_extent *e)
{
	if (is_huge(e->bytes))
		port_free_huge(e->p, (size_t)e->bytes);
	else
		port_free(e->p);
	give_bytes(m, e->bytes);
}

/* ---- extents of a file ---- */

/* The first that ends behind offset; n->extents when there is none. */
static size_t extent_find(const struct memory_node *n, uint64_t offset)
{
	size_t low = 0, high = n->extents;

	while (low < high) {
		size_t i = low + (high - low) / 2;

		if (n->extent[i].offset + n->extent[i].bytes > offset)
			high = i;
		else
			low = i + 1;
	}
	return low;
}

static int extent_insert(struct memory_node *n, size_t at, uint64_t offset,
			 uint64_t bytes)
{
	struct memory_extent e;
	int error;

	if (n->extents == n->extents_cap) {
		size_t cap = n->extents_cap ? n->extents_cap * 2 : 8;
		struct memory_extent *grown = port_realloc(
			n->extent, n->extents_cap * sizeof(*grown), cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		n->extent = grown;
		n->extents_cap = cap;
	}
	error = extent_new(n->env, offset, bytes, &e);
	if (error)
		return error;
	memmove(n->extent + at + 1, n->extent + at, (n->extents - at) * sizeof(e));
	n->extent[at] = e;
	n->extents++;
	return 0;
}

static uint64_t round_to_pages(uint64_t v)
{
	return (v + MEMORY_PAGE - 1) & ~(uint64_t)(MEMORY_PAGE - 1);
}

/* Memory behind every byte of [from, to), and as much as more behind it. What came before an
 * error stays, as blocks do on a disk that is full. */
static int cover(struct memory_node *n, uint64_t from, uint64_t to, uint64_t more)
{
	size_t i;
	int error = 0;

	from &= ~(uint64_t)(MEMORY_PAGE - 1);
	to = round_to_pages(to);
	for (i = extent_find(n, from); !error && from < to; i++) {
		uint64_t next = i < n->extents ? n->extent[i].offset : UINT64_MAX;
		uint64_t end = next < to ? next : to;

		if (next > from) {
			if (end == to)
				end = next - to < more ? next : to + more;
			error = extent_insert(n, i, from, end - from);
			if (error == -ENOSPC && end > to)
				error = extent_insert(n, i, from, to - from);
		}
		if (!error)
			from = n->extent[i].offset + n->extent[i].bytes;
	}
	return error;
}

/* Copies between [offset, offset + len) and a buffer: out of the file where into is given,
 * else into it. All of a range that is written has memory. */
static void copy(struct memory_node *n, uint64_t offset, size_t len, uint8_t *into,
		 const uint8_t *from)
{
	size_t i = extent_find(n, offset), done = 0, step;

	for (; done < len; done += step) {
		uint64_t at = offset + done;
		const struct memory_extent *e = i < n->extents ? &n->extent[i] : NULL;
		bool hole = !e || e->offset > at;
		uint64_t end = hole ? (e ? e->offset : UINT64_MAX) : e->offset + e->bytes;

		step = end - at < len - done ? (size_t)(end - at) : len - done;
		if (into && hole)
			memset(into + done, 0, step);
		else if (into)
			memcpy(into + done, e->p + (at - e->offset), step);
		else
			memcpy(e->p + (at - e->offset), from + done, step);
		i += !hole;
	}
}

/* Zeros from there on, and no memory but what lies in pages before it, or is mapped. */
static void cut(struct memory_node *n, uint64_t size)
{
	size_t i;

	for (i = extent_find(n, size); i < n->extents; i++) {
		struct memory_extent *e = &n->extent[i];
		uint64_t keep = e->offset < size ? size - e->offset : 0;

		if (keep || n->maps) {
			memset(e->p + keep, 0, (size_t)(e->bytes - keep));
			continue;
		}
		extent_free(n->env, e);
		e->bytes = 0;
	}
	while (n->extents && !n->extent[n->extents - 1].bytes)
		n->extents--;
}

/* ---- the calls ---- */

static bool range_fits(uint64_t offset, uint64_t len)
{
	return offset <= INT64_MAX - MEMORY_PAGE &&
	       len <= INT64_MAX - MEMORY_PAGE - offset;
}

static int memory_read(struct file *f, uint64_t offset, void *data, size_t len,
		       size_t *got)
{
	struct memory_node *n = memory_file(f)->node;

	*got = 0;
	if (!len)
		return 0;
	if (!(memory_file(f)->flags & ENV_READ))
		return -EBADF;
	port_read_lock(&n->bytes_lock);
	if (offset < n->size) {
		*got = len < n->size - offset ? len : (size_t)(n->size - offset);
		copy(n, offset, *got, data, NULL);
	}
	port_read_unlock(&n->bytes_lock);
	return 0;
}

static uint64_t growth(const struct memory_node *n)
{
	return n->size < GROW_MOST ? round_to_pages(n->size) : GROW_MOST;
}

static int memory_write(struct file *f, uint64_t offset, const void *data, size_t len)
{
	struct memory_node *n = memory_file(f)->node;
	int error;

	if (!(memory_file(f)->flags & ENV_WRITE))
		return -EBADF;
	if (!len)
		return 0;
	if (!range_fits(offset, len))
		return -EFBIG;
	port_write_lock(&n->bytes_lock);
	error = cover(n, offset, offset + len, offset + len > n->size ? growth(n) : 0);
	if (!error) {
		copy(n, offset, len, NULL, data);
		n->size = offset + len > n->size ? offset + len : n->size;
	}
	port_write_unlock(&n->bytes_lock);
	return error;
}

static int memory_sync(struct file *f)
{
	(void)f;
	return 0;
}

static int memory_allocate(struct file *f, uint64_t offset, uint64_t len)
{
	struct memory_node *n = memory_file(f)->node;
	int error;

	if (!(memory_file(f)->flags & ENV_WRITE))
		return -EBADF;
	if (!len)
		return -EINVAL;
	if (!range_fits(offset, len))
		return -EFBIG;
	/* The sum of what others have may hinder it, but never this alone. */
	if (len > n->env->most_bytes)
		return -ENOSPC;
	port_write_lock(&n->bytes_lock);
	error = cover(n, offset, offset + len, 0);
	if (!error)
		n->size = offset + len > n->size ? offset + len : n->size;
	port_write_unlock(&n->bytes_lock);
	return error;
}

static int memory_truncate(struct file *f, uint64_t size)
{
	struct memory_node *n = memory_file(f)->node;

	if (!(memory_file(f)->flags & ENV_WRITE))
		return -EINVAL;
	if (!range_fits(size, 0))
		return -EFBIG;
	port_write_lock(&n->bytes_lock);
	cut(n, size);
	n->size = size;
	port_write_unlock(&n->bytes_lock);
	return 0;
}

static int memory_size(struct file *f, uint64_t *size)
{
	struct memory_node *n = memory_file(f)->node;

	port_read_lock(&n->bytes_lock);
	*size = n->size;
	port_read_unlock(&n->bytes_lock);
	return 0;
}

/* Only within one extent, which is what allocate() makes. */
static int memory_map(struct file *f, uint64_t offset, size_t len, bool writable,
		      void **out)
{
	struct memory_node *n = memory_file(f)->node;
	const struct memory_extent *e;
	int error = -EOPNOTSUPP;
	size_t i;

	if (writable && !(memory_file(f)->flags & ENV_WRITE))
		return -EACCES;
	port_write_lock(&n->bytes_lock);
	i = extent_find(n, offset);
	e = i < n->extents ? &n->extent[i] : NULL;
	if (e && e->offset <= offset && len <= e->bytes - (offset - e->offset)) {
		*out = e->p + (offset - e->offset);
		n->maps++;
		error = 0;
	}
	port_write_unlock(&n->bytes_lock);
	return error;
}

static void memory_unmap(struct file *f, void *p, size_t len)
{
	struct memory_node *n = memory_file(f)->node;

	(void)p;
	(void)len;
	port_write_lock(&n->bytes_lock);
	n->maps--;
	port_write_unlock(&n->bytes_lock);
}

static void memory_advise(struct file *f, uint64_t offset, uint64_t len,
			  enum file_advice advice)
{
	(void)f;
	(void)offset;
	(void)len;
	(void)advice;
}

static void memory_close(struct file *f)
{
	memory_node_put(memory_file(f)->node);
	port_free(memory_file(f));
}

static const struct file_ops memory_file_ops = {
	.read = memory_read,
	.write = memory_write,
	.sync = memory_sync,
	.allocate = memory_allocate,
	.truncate = memory_truncate,
	.size = memory_size,
	.map = memory_map,
	.unmap = memory_unmap,
	.advise = memory_advise,
	.close = memory_close,
};

/* ---- for the names ---- */

int memory_file_new(struct memory_node *n, unsigned int flags, struct file **out)
{
	struct memory_file *f = port_alloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = (struct memory_file){ { &memory_file_ops }, n, flags };
	*out = &f->base;
	return 0;
}

void memory_file_empty(struct memory_node *n)
{
	port_write_lock(&n->bytes_lock);
	cut(n, 0);
	n->size = 0;
	port_write_unlock(&n->bytes_lock);
}

void memory_file_free(struct memory_node *n)
{
	size_t i;

	for (i = 0; i < n->extents; i++)
		extent_free(n->env, &n->extent[i]);
	port_free(n->extent);
}
