/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_verify.c - reads every byte of a table from the file, past all caches, and checks what
 * can be checked: CRCs, that blocks follow one another without gaps, the order of entries, the
 * bounds in the indexes, that each key is in its filter, that the properties are right.
 */
#include "neon_lsm_ops.h"
#include "sst_internal.h"

struct audit {
	struct sst *t;
	struct kv_msg *why;
	struct kv_buf block, plain, filter, index, gap, last_key;
	uint64_t last_stamp;
	struct sst_walk walk;
	struct sst_tally tally;
	uint64_t at, blocks; /* where the next block must begin; data blocks so far */
};

static int bad(const struct audit *a, uint64_t offset, const char *what, uint64_t wanted,
	       uint64_t got)
{
	return sst_bad(a->why, sst_path(a->t), offset, what, wanted, got);
}

static int no_memory(const struct audit *a)
{
	return kv_fail(a->why, -ENOMEM, "%s: no memory to verify the table",
		       sst_path(a->t));
}

/* The next block in the file, which must be this one. */
static int read_next(struct audit *a, const struct sst_handle *h, struct kv_buf *out)
{
	if (h->offset != a->at ||
	    !sst_handle_fits(h, a->at, a->t->bytes - SST_FOOTER_BYTES))
		return bad(a, a->at, "a block's place", a->at, h->offset);
	if (kv_buf_reserve(out, h->bytes))
		return no_memory(a);
	out->len = h->bytes - SST_TRAILER_BYTES;
	a->at = h->offset + h->bytes;
	return sst_read_block(a->t, h, out->data, a->why);
}

/* Zeros up to where a filter may begin. */
static int skip_gap(struct audit *a)
{
	size_t n = (size_t)(-a->at & (SST_FILTER_ALIGN - 1)), i;
	int error;

	if (kv_buf_reserve(&a->gap, SST_FILTER_ALIGN))
		return no_memory(a);
	error = file_read_exact(a->t->file, sst_path(a->t), a->at, a->gap.data, n,
				a->why);
	if (error == -EBADMSG) /* once more, as all that is read */
		error = file_read_exact(a->t->file, sst_path(a->t), a->at, a->gap.data, n,
					a->why);
	for (i = 0; !error && i < n; i++)
		if (((uint8_t *)a->gap.data)[i])
			error = bad(a, a->at + i, "a byte between blocks", 0,
				    ((uint8_t *)a->gap.data)[i]);
	a->at += n;
	return error;
}

/* ---- data ---- */

static int check_filter(struct audit *a, uint64_t offset, struct kv_slice key)
{
	if (!a->filter.len)
		return 0;
	return lsm_filter_test(a->filter.data, a->filter.len, a->t->p.filter_probes,
			       lsm_key_hash(key))
		       ? 0
		       : bad(a, offset, "a key that is not in its filter",
			     lsm_key_hash(key), 0);
}

static int check_entry(struct audit *a, uint64_t offset)
{
	struct kv_slice key = kv_slice(a->walk.key.data, a->walk.key.len);
	struct kv_slice last = kv_slice(a->last_key.data, a->last_key.len);
	const struct sst_entry *e = &a->walk.e;
	int error;

	if (lsm_kind(e->stamp) > LSM_BLOB ||
	    (lsm_kind(e->stamp) == LSM_DELETE && e->value.len))
		return bad(a, offset, "kind of an entry", LSM_BLOB, lsm_kind(e->stamp));
	if (a->tally.s.entries &&
	    lsm_entry_compare(last, a->last_stamp, key, e->stamp) >= 0)
		return bad(a, offset, "order of entries", a->last_stamp, e->stamp);
	error = check_filter(a, offset, key);
	if (!error) {
		error = sst_tally_add(&a->tally, key, e->stamp, e->value);
		if (error == -EINVAL)
			return bad(a, offset, "a blob reference", 0, e->value.len);
		if (!error)
			error = kv_buf_set(&a->last_key, key.data, key.len);
		if (error)
			return no_memory(a);
	}
	a->last_stamp = e->stamp;
	return error;
}

/* The bound lies between what is before the block and the block. */
static int check_bound(struct audit *a, uint64_t offset, struct kv_slice bound,
		       uint64_t stamp)
{
	struct kv_slice key = kv_slice(a->walk.key.data, a->walk.key.len);
	struct kv_slice last = kv_slice(a->last_key.data, a->last_key.len);

	if (lsm_entry_compare(bound, stamp, key, a->walk.e.stamp) > 0 ||
	    (a->tally.s.entries &&
	     lsm_entry_compare(last, a->last_stamp, bound, stamp) >= 0))
		return bad(a, offset, "the index's bound of a block", stamp,
			   a->walk.e.stamp);
	return 0;
}

static int check_block(struct audit *a, const struct sst_handle *h, struct kv_slice bound,
		       uint64_t stamp)
{
	const uint8_t *body;
	struct sst_block b;
	size_t bytes;
	int error = read_next(a, h, &a->block);

	if (!error)
		error = sst_unpack(a->t, a->block.data, h, &a->plain, &body, &bytes,
				   a->why);
	if (!error)
		error = sst_open_block(a->t, h, body, bytes, &b, a->why);
	if (error)
		return error;
	if (!b.count)
		return bad(a, h->offset, "entries of a block", 1, 0);
	sst_walk_begin(&a->walk, &b);
	error = sst_walk_first(&a->walk);
	if (!error)
		error = check_bound(a, h->offset, bound, stamp);
	while (!error) {
		error = check_entry(a, h->offset);
		if (error)
			return error;
		error = sst_walk_next(&a->walk);
	}
	if (error == -ENOMEM)
		return no_memory(a);
	if (error == -EBADMSG && a->walk.e.at == NULL)
		return bad(a, h->offset, "an entry of a block", b.count, 0);
	return error == -ENOENT ? 0 : error;
}

/* ---- partitions ---- */

/* An index's or a filter's block, which stands elsewhere than the data. */
static int read_side(struct audit *a, const struct sst_handle *h, struct kv_buf *out)
{
	uint64_t at = a->at;
	int error;

	a->at = h->offset;
	error = read_next(a, h, out);
	a->at = at;
	if (!error && ((uint8_t *)out->data)[out->len] != SST_PLAIN)
		error = bad(a, h->offset, "compression of a block", SST_PLAIN,
			    ((uint8_t *)out->data)[out->len]);
	return error;
}

static int check_partition(struct audit *a, uint32_t p)
{
	const struct sst_partition *part = &a->t->partition[p];
	struct sst_entry e, top;
	struct sst_block index;
	struct sst_handle h;
	struct kv_buf key = { 0 };
	uint32_t i;
	int error;

	a->filter.len = 0;
	error = read_side(a, &part->index, &a->index);
	if (!error && part->filter.bytes)
		error = read_side(a, &part->filter, &a->filter);
	if (error)
		return error;
	if (a->filter.len % LSM_FILTER_BLOCK)
		return bad(a, part->filter.offset, "bytes of a filter", LSM_FILTER_BLOCK,
			   a->filter.len);
	error = sst_open_block(a->t, &part->index, a->index.data, a->index.len, &index,
			       a->why);
	if (!error && index.count != part->blocks)
		error = bad(a, part->index.offset, "blocks of an index partition",
			    part->blocks, index.count);
	for (i = 0; !error && i < index.count; i++) {
		error = sst_data_handle(a->t, p, &index, i, &h, a->why);
		if (error || sst_index_entry(&index, i, &e))
			break;
		if (kv_buf_set(&key, index.prefix, index.prefix_bytes) ||
		    kv_buf_append(&key, e.key, e.unshared)) {
			error = no_memory(a);
			break;
		}
		error = check_block(a, &h, kv_slice(key.data, key.len), e.stamp);
		if (!error && !i && !sst_index_entry(&a->t->top, p, &top) &&
		    (top.stamp != e.stamp ||
		     a->t->top.prefix_bytes + top.unshared != key.len ||
		     kv_compare(kv_slice(key.data, a->t->top.prefix_bytes),
				kv_slice(a->t->top.prefix, a->t->top.prefix_bytes)) ||
		     kv_compare(kv_slice((char *)key.data + a->t->top.prefix_bytes,
					 top.unshared),
				kv_slice(top.key, top.unshared))))
			error = bad(a, a->t->footer.top.offset, "bound of a partition", p,
				    index.count);
	}
	a->blocks += index.count;
	kv_buf_free(&key);
	return error;
}

/* Filters, then indexes, then the rest, each where the one before ended. */
static int check_places(struct audit *a)
{
	struct sst *t = a->t;
	uint32_t p;
	int error = 0;

	for (p = 0; !error && p < t->p.partitions; p++) {
		if (!t->partition[p].filter.bytes)
			continue;
		error = skip_gap(a);
		if (!error)
			error = read_next(a, &t->partition[p].filter, &a->block);
	}
	for (p = 0; !error && p < t->p.partitions; p++)
		error = read_next(a, &t->partition[p].index, &a->block);
	if (!error && t->p.tombstones.bytes)
		error = read_next(a, &t->p.tombstones, &a->block);
	if (!error)
		error = read_next(a, &t->footer.properties, &a->block);
	if (!error)
		error = read_next(a, &t->footer.top, &a->block);
	if (!error && a->at != t->bytes - SST_FOOTER_BYTES)
		error = bad(a, a->at, "the footer's place", a->at,
			    t->bytes - SST_FOOTER_BYTES);
	return error;
}

/* ---- properties ---- */

static bool same_key(const struct kv_buf *a, const struct kv_buf *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static int check_properties(struct audit *a)
{
	const struct sst_summary *w = &a->t->p.s, *g = &a->tally.s;
	uint64_t at = a->t->footer.properties.offset;
	const struct {
		const char *what;
		uint64_t wanted, got;
	} each[] = {
		{ "entries", w->entries, g->entries },
		{ "deletes", w->deletes, g->deletes },
		{ "bytes of keys", w->key_bytes, g->key_bytes },
		{ "bytes of values", w->value_bytes, g->value_bytes },
		{ "smallest sequence", w->min_sequence, g->min_sequence },
		{ "largest sequence", w->max_sequence, g->max_sequence },
		{ "an open end", w->largest_open, g->largest_open },
		{ "an excluded end", w->largest_excluded, g->largest_excluded },
		{ "blob files", w->blobs, g->blobs },
		{ "data blocks", a->t->p.data_blocks, a->blocks },
		{ "smallest key", true, same_key(&w->smallest, &g->smallest) },
		{ "largest key", true, same_key(&w->largest, &g->largest) },
	};
	size_t i;

	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++)
		if (each[i].wanted != each[i].got)
			return bad(a, at, each[i].what, each[i].wanted, each[i].got);
	for (i = 0; i < w->blobs; i++)
		if (w->blob[i].file != g->blob[i].file ||
		    w->blob[i].bytes != g->blob[i].bytes)
			return bad(a, at, "use of a blob file", w->blob[i].bytes,
				   g->blob[i].bytes);
	return 0;
}

static int audit_table(struct audit *a)
{
	struct sst *t = a->t;
	int error = 0;
	uint32_t p;

	for (p = 0; !error && p < t->p.partitions; p++)
		error = check_partition(a, p);
	if (!error && a->at != t->p.data_bytes)
		error = bad(a, a->at, "end of the data", t->p.data_bytes, a->at);
	if (!error)
		error = check_places(a);
	if (error)
		return error;
	if (sst_tally_end(&a->tally, kv_slice(a->last_key.data, a->last_key.len),
			  t->tombstones))
		return no_memory(a);
	return check_properties(a);
}

int sst_verify(struct sst *t, struct sst_summary *summary, struct kv_msg *why)
{
	struct audit *a = port_alloc(sizeof(*a));
	int error;

	if (!a)
		return kv_fail(why, -ENOMEM, "%s: no memory to verify the table",
			       sst_path(t));
	*a = (struct audit){ .t = t, .why = why };
	error = audit_table(a);
	if (!error && summary) {
		a->tally.s.bytes = t->bytes;
		a->tally.s.footer_crc = t->footer_crc;
		*summary = a->tally.s;
		memset(&a->tally, 0, sizeof(a->tally));
	}
	sst_summary_free(&a->tally.s);
	sst_walk_free(&a->walk);
	kv_buf_free(&a->block);
	kv_buf_free(&a->plain);
	kv_buf_free(&a->filter);
	kv_buf_free(&a->index);
	kv_buf_free(&a->gap);
	kv_buf_free(&a->last_key);
	port_free(a);
	return error;
}
