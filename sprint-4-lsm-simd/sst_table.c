/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_table.c - opens a table: footer, properties, top index, range tombstones. These are
 * kept in memory; all else is read when it is asked for.
 */
#include "sst_internal.h"

static int check_expected(const struct sst *t, const struct sst_config *c, uint64_t file,
			  const struct sst_expect *expect, struct kv_msg *why)
{
	uint64_t at = t->bytes - SST_FOOTER_BYTES;

	if (!expect)
		return 0;
	if (t->bytes != expect->bytes)
		return sst_bad(why, sst_path(t), t->bytes, "size of the file",
			       expect->bytes, t->bytes);
	if (t->id.store_id != c->store_id)
		return sst_bad(why, sst_path(t), at, "a table of another store",
			       c->store_id, t->id.store_id);
	if (t->id.file != file)
		return sst_bad(why, sst_path(t), at, "another table's file number", file,
			       t->id.file);
	if (t->footer_crc != expect->footer_crc)
		return sst_bad(why, sst_path(t), at,
			       "CRC of the footer that the manifest knows",
			       expect->footer_crc, t->footer_crc);
	return 0;
}

static int read_footer(struct sst *t, const struct sst_config *c, uint64_t file,
		       const struct sst_expect *expect, struct kv_msg *why)
{
	uint8_t footer[SST_FOOTER_BYTES];
	int error = t->file->ops->size(t->file, &t->bytes), again;

	if (error)
		return kv_fail(why, error, "%s: its size can't be had", sst_path(t));
	if (t->bytes < SST_FOOTER_BYTES)
		return sst_bad(why, sst_path(t), 0, "size of the file",
			       expect ? expect->bytes : SST_FOOTER_BYTES, t->bytes);
	for (again = 0; again < 2; again++) {
		error = file_read_exact(t->file, sst_path(t), t->bytes - sizeof(footer),
					footer, sizeof(footer), why);
		if (!error)
			error = sst_footer_decode(&t->footer, footer, sst_path(t),
						  t->bytes - sizeof(footer), why);
		if (error != -EBADMSG)
			break;
	}
	if (error)
		return error;
	t->id = t->footer.id;
	t->footer_crc = port_get_le32(footer + SST_FOOTER_BYTES - 4);
	return check_expected(t, c, file, expect, why);
}

/* A block that the footer names, which must have the CRC that the footer has. */
static int read_named(struct sst *t, const struct sst_handle *h, uint32_t crc,
		      const char *what, struct kv_buf *out, struct kv_msg *why)
{
	int error;

	if (!sst_handle_fits(h, 0, t->bytes - SST_FOOTER_BYTES))
		return sst_bad(why, sst_path(t), h->offset, what, h->bytes, t->bytes);
	error = kv_buf_reserve(out, h->bytes);
	if (error)
		return kv_fail(why, error, "%s: no memory for %u bytes of %s",
			       sst_path(t), h->bytes, what);
	error = sst_read_block(t, h, out->data, why);
	if (error)
		return error;
	out->len = h->bytes - SST_TRAILER_BYTES;
	if (port_get_le32((uint8_t *)out->data + h->bytes - 4) != crc)
		return sst_bad(why, sst_path(t), h->offset, what, crc,
			       port_get_le32((uint8_t *)out->data + h->bytes - 4));
	return 0;
}

static int read_properties(struct sst *t, struct kv_msg *why)
{
	const struct sst_handle *h = &t->footer.properties;
	struct kv_buf b = { 0 };
	int error = read_named(t, h, t->footer.properties_crc, "properties", &b, why);

	if (error)
		goto out;
	error = sst_properties_decode(&t->p, b.data, b.len);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "%s: no memory for properties", sst_path(t));
	/* The least that a data block takes bounds their number, which becomes memory. */
	if (!error &&
	    (t->p.data_bytes > t->bytes - SST_FOOTER_BYTES ||
	     t->p.data_blocks > t->p.data_bytes / (SST_BLOCK_HEADER + SST_TRAILER_BYTES)))
		error = -EBADMSG;
	if (error == -EBADMSG)
		error = sst_bad(why, sst_path(t), h->offset, "impossible properties",
				t->bytes, t->p.data_bytes);
	t->p.s.bytes = t->bytes;
	t->p.s.footer_crc = t->footer_crc;
out:
	kv_buf_free(&b);
	return error;
}

static bool partition_fits(const struct sst *t, const struct sst_partition *p,
			   uint64_t first_block)
{
	uint64_t from = t->p.data_bytes, to = t->bytes - SST_FOOTER_BYTES;

	return sst_handle_fits(&p->index, from, to) &&
	       (!p->filter.bytes || sst_handle_fits(&p->filter, from, to)) &&
	       p->first_block == first_block && p->blocks &&
	       p->blocks <= t->p.data_blocks - first_block;
}

static int read_top(struct sst *t, struct kv_msg *why)
{
	const struct sst_handle *h = &t->footer.top;
	uint64_t blocks = 0;
	struct sst_entry e;
	uint32_t i;
	int error;

	error = read_named(t, h, t->footer.top_crc, "the top index", &t->top_bytes, why);
	if (error)
		return error;
	if (sst_block_open(&t->top, t->top_bytes.data, t->top_bytes.len) ||
	    t->top.count != t->p.partitions)
		return sst_bad(why, sst_path(t), h->offset, "partitions of the top index",
			       t->p.partitions, t->top.count);
	t->partition = port_alloc(t->p.partitions * sizeof(*t->partition));
	if (!t->partition)
		return kv_fail(why, -ENOMEM, "%s: no memory for %u partitions",
			       sst_path(t), t->p.partitions);
	for (i = 0; i < t->p.partitions; i++) {
		if (sst_index_entry(&t->top, i, &e) ||
		    sst_partition_decode(&t->partition[i], e.value) ||
		    !partition_fits(t, &t->partition[i], blocks))
			return sst_bad(why, sst_path(t), h->offset,
				       "an entry of the top index", i, t->p.partitions);
		blocks += t->partition[i].blocks;
	}
	if (blocks != t->p.data_blocks)
		return sst_bad(why, sst_path(t), h->offset, "data blocks",
			       t->p.data_blocks, blocks);
	return 0;
}

static int read_tombstones(struct sst *t, struct kv_msg *why)
{
	const struct sst_handle *h = &t->p.tombstones;
	struct kv_buf b = { 0 };
	int error;

	if (!h->bytes && !t->p.s.tombstones)
		return 0;
	if (!sst_handle_fits(h, t->p.data_bytes, t->bytes - SST_FOOTER_BYTES))
		return sst_bad(why, sst_path(t), h->offset, "range tombstones", h->bytes,
			       t->bytes);
	error = kv_buf_reserve(&b, h->bytes);
	if (error)
		(void)kv_fail(why, error, "%s: no memory for range tombstones",
			      sst_path(t));
	else
		error = sst_read_block(t, h, b.data, why);
	if (error)
		goto out;
	error = sst_tombstones_decode(b.data, h->bytes - SST_TRAILER_BYTES,
				      &t->tombstones);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "%s: no memory for range tombstones",
			      sst_path(t));
	else if (error || lsm_tombstones_count(t->tombstones) != t->p.s.tombstones)
		error = sst_bad(why, sst_path(t), h->offset, "range tombstones",
				t->p.s.tombstones, lsm_tombstones_count(t->tombstones));
out:
	kv_buf_free(&b);
	return error;
}

/* Where there is no map, the table is read through the cache: that is no error. */
static int map_file(struct sst *t, struct kv_msg *why)
{
	uint64_t words = (sst_index_ordinal(t, t->p.partitions) + 31) / 32;
	void *map;

	t->checked = port_alloc((size_t)words * 4);
	if (!t->checked)
		return kv_fail(why, -ENOMEM, "%s: no memory for a map", sst_path(t));
	memset(t->checked, 0, (size_t)words * 4);
	if (t->bytes > SIZE_MAX ||
	    t->file->ops->map(t->file, 0, (size_t)t->bytes, false, &map)) {
		port_free(t->checked);
		t->checked = NULL;
		return 0;
	}
	t->map = map;
	t->pinned += words * 4;
	return 0;
}

static int open_direct(struct sst *t, struct kv_msg *why)
{
	int error = env_open(t->env, sst_path(t), ENV_READ | ENV_DIRECT, &t->direct);

	return error ? kv_fail(why, error,
			       "%s: the table can't be opened a second time (access="
			       "direct opens each twice)",
			       sst_path(t))
		     : 0;
}

static int open_table(struct sst *t, const struct sst_config *c, uint64_t file,
		      const struct sst_expect *expect, struct kv_msg *why)
{
	int error = env_open(c->env, sst_path(t), ENV_READ, &t->file);

	if (error)
		return kv_fail(why, error, "%s: the table can't be opened", sst_path(t));
	error = read_footer(t, c, file, expect, why);
	if (!error)
		error = read_properties(t, why);
	if (!error && t->p.shape.compression == SST_LZ4 && !sst_can_lz4())
		error = kv_fail(
			why, -EOPNOTSUPP,
			"%s: is compressed by LZ4: install liblz4 and build again",
			sst_path(t));
	if (!error)
		error = read_top(t, why);
	if (!error)
		error = read_tombstones(t, why);
	if (error)
		return error;
	t->pinned = sizeof(*t) + t->path.cap + t->top_bytes.cap +
		    t->p.partitions * sizeof(*t->partition) + t->p.s.smallest.cap +
		    t->p.s.largest.cap + t->p.s.blobs * sizeof(*t->p.s.blob) +
		    lsm_tombstones_bytes(t->tombstones);
	if (c->access == SST_DIRECT)
		return open_direct(t, why);
	return c->access == SST_MAP ? map_file(t, why) : 0;
}

int sst_open(const struct sst_config *c, const char *path, uint64_t file,
	     const struct sst_expect *expect, struct sst **out, struct kv_msg *why)
{
	struct sst *t = port_alloc(sizeof(*t));
	int error = -ENOMEM;

	if (t) {
		memset(t, 0, sizeof(*t));
		t->env = c->env;
		t->cache = c->cache;
		error = kv_buf_set(&t->path, path, strlen(path) + 1);
	}
	if (error)
		(void)kv_fail(why, error, "%s: no memory to open the table", path);
	else
		error = open_table(t, c, file, expect, why);
	if (error) {
		sst_close(t);
		return error;
	}
	*out = t;
	return 0;
}

void sst_close(struct sst *t)
{
	if (!t)
		return;
	if (t->map)
		t->file->ops->unmap(t->file, (void *)(uintptr_t)t->map, (size_t)t->bytes);
	file_close(t->direct);
	file_close(t->file);
	port_free(t->checked);
	port_free(t->partition);
	lsm_tombstones_free(t->tombstones);
	kv_buf_free(&t->top_bytes);
	sst_summary_free(&t->p.s);
	kv_buf_free(&t->path);
	port_free(t);
}

const struct lsm_tombstones *sst_tombstones(const struct sst *t)
{
	return t->tombstones;
}

uint64_t sst_pinned_bytes(const struct sst *t)
{
	return t->pinned;
}

uint64_t sst_file(const struct sst *t)
{
	return t->id.file;
}
