/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_read.c - from handles to blocks in memory, and the point reads made of them.
 *
 * A block is looked for in the map or the cache; else it is read, checked, unpacked and
 * offered to the cache. A block of a map is checked when it is first touched, and a bit
 * remembers it. Memory that is mapped may go bad later, and a device error there is a SIGBUS:
 * that is the price of a map, and why it is an option.
 */
#include "neon_lsm_ops.h"
#include "sst_internal.h"

/* ---- blocks ---- */

bool sst_handle_fits(const struct sst_handle *h, uint64_t from, uint64_t to)
{
	return h->bytes > SST_TRAILER_BYTES && h->offset >= from && h->offset <= to &&
	       h->bytes <= to - h->offset;
}

static int read_from(struct sst *t, struct file *file, const struct sst_handle *h,
		     uint8_t *out, struct kv_msg *why)
{
	uint32_t wanted = 0, got = 0;
	int error, again;

	for (again = 0; again < 2; again++) {
		error = file_read_exact(file, sst_path(t), h->offset, out, h->bytes, why);
		if (error && error != -EBADMSG)
			return error;
		if (!error &&
		    sst_is_sealed(out, h->bytes, &t->id, h->offset, &wanted, &got))
			return 0;
	}
	return sst_bad(why, sst_path(t), h->offset, "CRC of a block", wanted, got);
}

int sst_read_block(struct sst *t, const struct sst_handle *h, uint8_t *out,
		   struct kv_msg *why)
{
	return read_from(t, t->file, h, out, why);
}

/* Memory for a body of so many bytes, which the cache keeps with room for a trailer. */
static int ref_alloc(struct sst *t, size_t bytes, struct sst_ref *out, struct kv_msg *why)
{
	int error = 0;

	memset(out, 0, sizeof(*out));
	out->bytes = bytes;
	if (t->cache) {
		error = lsm_cache_alloc(t->cache, bytes + SST_TRAILER_BYTES, &out->hold);
		out->data = out->hold.data;
	} else {
		out->data = out->own = port_alloc(bytes + SST_TRAILER_BYTES);
	}
	if (!error && out->data)
		return 0;
	memset(out, 0, sizeof(*out));
	return kv_fail(why, -ENOMEM, "%s: no memory for a block of %zu bytes",
		       sst_path(t), bytes);
}

void sst_unload(struct sst *t, struct sst_ref *r)
{
	if (r->hold.pin)
		lsm_cache_release(t->cache, &r->hold);
	port_free(r->own);
	memset(r, 0, sizeof(*r));
}

static void ref_insert(struct sst *t, const struct sst_handle *h, bool cold,
		       struct sst_ref *r)
{
	if (!t->cache)
		return;
	lsm_cache_insert(t->cache, t->id.file, h->offset, cold, &r->hold);
	r->data = r->hold.data;
	r->bytes = r->hold.bytes - SST_TRAILER_BYTES;
}

/* 0: the body is plain; else the bytes that it has when it is unpacked. */
static int packed_as(struct sst *t, const uint8_t *block, const struct sst_handle *h,
		     size_t *plain, struct kv_msg *why)
{
	size_t bytes = h->bytes - SST_TRAILER_BYTES;

	*plain = 0;
	if (block[bytes] == SST_PLAIN)
		return 0;
	if (block[bytes] == SST_LZ4)
		*plain = sst_plain_bytes(block, bytes);
	return *plain ? 0
		      : sst_bad(why, sst_path(t), h->offset, "compression of a block",
				SST_LZ4, block[bytes]);
}

static int unpack_into(struct sst *t, const uint8_t *block, const struct sst_handle *h,
		       uint8_t *out, size_t plain, struct kv_msg *why)
{
	int error = sst_decompress(block, h->bytes - SST_TRAILER_BYTES, out, plain);

	if (error == -EBADMSG)
		return sst_bad(why, sst_path(t), h->offset, "unpacked bytes of a block",
			       plain, 0);
	return error ? kv_fail(why, error, "%s: LZ4 is not built in", sst_path(t)) : 0;
}

int sst_unpack(struct sst *t, const uint8_t *block, const struct sst_handle *h,
	       struct kv_buf *plain, const uint8_t **body, size_t *bytes,
	       struct kv_msg *why)
{
	size_t n;
	int error = packed_as(t, block, h, &n, why);

	if (error)
		return error;
	*body = block;
	*bytes = h->bytes - SST_TRAILER_BYTES;
	if (!n)
		return 0;
	if (kv_buf_reserve(plain, n))
		return kv_fail(why, -ENOMEM, "%s: no memory to unpack %zu bytes",
			       sst_path(t), n);
	*body = plain->data;
	*bytes = n;
	return unpack_into(t, block, h, plain->data, n, why);
}

int sst_load_checked(struct sst *t, const uint8_t *block, const struct sst_handle *h,
		     bool cold, struct sst_ref *out, struct kv_msg *why)
{
	size_t plain;
	int error = packed_as(t, block, h, &plain, why);

	if (!error)
		error = ref_alloc(t, plain ? plain : h->bytes - SST_TRAILER_BYTES, out,
				  why);
	if (error)
		return error;
	if (plain)
		error = unpack_into(t, block, h, (uint8_t *)(uintptr_t)out->data, plain,
				    why);
	else
		memcpy((uint8_t *)(uintptr_t)out->data, block, out->bytes);
	if (error)
		sst_unload(t, out);
	else
		ref_insert(t, h, cold, out);
	return error;
}

static inline bool may_be_packed(const struct sst *t, uint64_t ordinal)
{
	return t->p.shape.compression && ordinal < t->p.data_blocks;
}

/* What a block of another kind than the table's says of its compression is wrong. */
static int check_plain(struct sst *t, const uint8_t *block, const struct sst_handle *h,
		       struct kv_msg *why)
{
	size_t plain;
	int error = packed_as(t, block, h, &plain, why);

	if (!error && plain)
		error = sst_bad(why, sst_path(t), h->offset, "compression of a block",
				SST_PLAIN, SST_LZ4);
	return error;
}

static int load_from_file(struct sst *t, const struct sst_handle *h, bool packed,
			  bool cold, struct sst_ref *out, struct kv_msg *why)
{
	struct file *file = t->direct ? t->direct : t->file;
	uint8_t *block;
	int error;

	if (packed) {
		block = port_alloc(h->bytes);
		if (!block)
			return kv_fail(why, -ENOMEM, "%s: no memory to read %u bytes",
				       sst_path(t), h->bytes);
		error = read_from(t, file, h, block, why);
		if (!error)
			error = sst_load_checked(t, block, h, cold, out, why);
		port_free(block);
		return error;
	}
	error = ref_alloc(t, h->bytes - SST_TRAILER_BYTES, out, why);
	if (error)
		return error;
	block = (uint8_t *)(uintptr_t)out->data;
	error = read_from(t, file, h, block, why);
	if (!error)
		error = check_plain(t, block, h, why);
	if (error)
		sst_unload(t, out);
	else
		ref_insert(t, h, cold, out);
	return error;
}

static int check_mapped(struct sst *t, const struct sst_handle *h, uint64_t ordinal,
			struct kv_msg *why)
{
	uint32_t *word = &t->checked[ordinal / 32], bit = (uint32_t)1 << ordinal % 32,
		 old = port_load_relaxed(word), wanted, got;

	if (old & bit)
		return 0;
	if (!sst_is_sealed(t->map + h->offset, h->bytes, &t->id, h->offset, &wanted,
			   &got) &&
	    !sst_is_sealed(t->map + h->offset, h->bytes, &t->id, h->offset, &wanted,
			   &got))
		return sst_bad(why, sst_path(t), h->offset, "CRC of a block", wanted,
			       got);
	if (!may_be_packed(t, ordinal)) {
		int error = check_plain(t, t->map + h->offset, h, why);

		if (error)
			return error;
	}
	while (!port_cas(word, &old, old | bit))
		;
	return 0;
}

/* Most tables need not look at the block's end, a page away, to know. */
static inline bool is_plain_in_map(const struct sst *t, const struct sst_handle *h,
				   uint64_t ordinal)
{
	return !may_be_packed(t, ordinal) ||
	       t->map[h->offset + h->bytes - SST_TRAILER_BYTES] == SST_PLAIN;
}

static inline bool find_in_cache(struct sst *t, const struct sst_handle *h,
				 struct sst_ref *out)
{
	if (!t->cache || !lsm_cache_find(t->cache, t->id.file, h->offset, &out->hold))
		return false;
	out->own = NULL;
	out->data = out->hold.data;
	out->bytes = out->hold.bytes - SST_TRAILER_BYTES;
	return true;
}

int sst_load(struct sst *t, const struct sst_handle *h, uint64_t ordinal, bool cold,
	     struct sst_ref *out, struct kv_msg *why)
{
	int error;

	if (t->map) {
		error = check_mapped(t, h, ordinal, why);
		if (error)
			return error;
		if (is_plain_in_map(t, h, ordinal)) {
			memset(out, 0, sizeof(*out));
			out->data = t->map + h->offset;
			out->bytes = h->bytes - SST_TRAILER_BYTES;
			return 0;
		}
	}
	if (find_in_cache(t, h, out))
		return 0;
	if (t->map)
		return sst_load_checked(t, t->map + h->offset, h, cold, out, why);
	return load_from_file(t, h, may_be_packed(t, ordinal), cold, out, why);
}

bool sst_load_cached(struct sst *t, const struct sst_handle *h, uint64_t ordinal,
		     struct sst_ref *out)
{
	if (t->map)
		return !sst_load(t, h, ordinal, false, out, NULL);
	return find_in_cache(t, h, out);
}

int sst_open_block(struct sst *t, const struct sst_handle *h, const uint8_t *body,
		   size_t bytes, struct sst_block *b, struct kv_msg *why)
{
	if (!sst_block_open(b, body, bytes))
		return 0;
	return sst_bad(why, sst_path(t), h->offset, "header of a block", bytes,
		       bytes < 4 ? 0 : port_get_le32(body));
}

int sst_load_index(struct sst *t, uint32_t partition, struct sst_ref *ref,
		   struct sst_block *index, struct kv_msg *why)
{
	const struct sst_partition *p = &t->partition[partition];
	int error =
		sst_load(t, &p->index, sst_index_ordinal(t, partition), false, ref, why);

	if (error)
		return error;
	error = sst_open_block(t, &p->index, ref->data, ref->bytes, index, why);
	if (!error && (index->count != p->blocks || index->restarts != p->blocks))
		error = sst_bad(why, sst_path(t), p->index.offset,
				"blocks of an index partition", p->blocks, index->count);
	if (error)
		sst_unload(t, ref);
	return error;
}

int sst_data_handle(struct sst *t, uint32_t partition, const struct sst_block *index,
		    uint32_t i, struct sst_handle *h, struct kv_msg *why)
{
	struct sst_entry e;

	if (sst_index_entry(index, i, &e) || sst_handle_decode(h, e.value) ||
	    !sst_handle_fits(h, 0, t->p.data_bytes))
		return sst_bad(why, sst_path(t), t->partition[partition].index.offset,
			       "an entry of an index", i, index->count);
	return 0;
}

/* ---- point reads ---- */

/* May the partition's filter have it? *cached: look in memory alone. */
static int filter_test(struct sst *t, uint32_t partition, uint64_t hash, bool cached,
		       bool *may, struct kv_msg *why)
{
	const struct sst_handle *h = &t->partition[partition].filter;
	uint64_t ordinal = sst_filter_ordinal(t, partition);
	struct sst_ref ref;
	int error = 0;

	*may = true;
	if (!h->bytes)
		return 0;
	if (cached) {
		if (!sst_load_cached(t, h, ordinal, &ref))
			return -EAGAIN;
	} else {
		error = sst_load(t, h, ordinal, false, &ref, why);
		if (error)
			return error;
	}
	if (!ref.bytes || ref.bytes % LSM_FILTER_BLOCK || !t->p.filter_probes)
		error = sst_bad(why, sst_path(t), h->offset, "bytes of a filter",
				LSM_FILTER_BLOCK, ref.bytes);
	else
		*may = lsm_filter_test(ref.data, ref.bytes, t->p.filter_probes, hash);
	sst_unload(t, &ref);
	return error;
}

static int bad_index(const struct sst *t, const struct sst_handle *h, struct kv_msg *why)
{
	return sst_bad(why, sst_path(t), h->offset, "order of an index", 0, 0);
}

bool sst_may_have(struct sst *t, uint64_t hash, struct kv_slice key)
{
	int64_t p = sst_index_floor(&t->top, key, SST_BEFORE_ALL);
	bool may = true;

	if (p == -1)
		return false;
	return p < 0 || filter_test(t, (uint32_t)p, hash, true, &may, NULL) || may;
}

struct point { /* where the data block of a get is */
	uint32_t partition, block;
	struct sst_ref index_ref;
	struct sst_block index;
};

/* The block behind, if it begins with a version of the key; else -ENOENT. */
static int point_next(struct sst *t, struct point *at, struct kv_slice key,
		      struct kv_msg *why)
{
	struct sst_entry e;
	int error;

	if (++at->block == at->index.count) {
		if (at->partition + 1 == t->p.partitions)
			return -ENOENT;
		sst_unload(t, &at->index_ref);
		error = sst_load_index(t, ++at->partition, &at->index_ref, &at->index,
				       why);
		if (error)
			return error;
		at->block = 0;
	}
	if (sst_index_entry(&at->index, at->block, &e))
		return bad_index(t, &t->partition[at->partition].index, why);
	if (e.stamp == SST_BEFORE_ALL ||
	    key.len != (size_t)at->index.prefix_bytes + e.unshared ||
	    (key.len && (memcmp(key.data, at->index.prefix, at->index.prefix_bytes) ||
			 memcmp((const uint8_t *)key.data + at->index.prefix_bytes, e.key,
				e.unshared))))
		return -ENOENT;
	return 0;
}

static int take_entry(struct sst *t, const struct sst_handle *h,
		      const struct sst_entry *e, uint64_t *stamp, struct kv_buf *value,
		      struct kv_msg *why)
{
	if (lsm_kind(e->stamp) > LSM_BLOB)
		return sst_bad(why, sst_path(t), h->offset, "kind of an entry", LSM_BLOB,
			       lsm_kind(e->stamp));
	*stamp = e->stamp;
	if (lsm_kind(e->stamp) == LSM_DELETE)
		return 0;
	if (kv_buf_set(value, e->value.data, e->value.len))
		return kv_fail(why, -ENOMEM, "%s: no memory for a value of %zu bytes",
			       sst_path(t), e->value.len);
	return 0;
}

/* -EAGAIN: the key's versions go on in the next block. */
static int get_in_block(struct sst *t, const struct point *at, struct kv_slice key,
			uint64_t seek, uint64_t *stamp, struct kv_buf *value,
			struct kv_msg *why)
{
	/* EXERCISE 4.4 begin: load, open, find, take, unload
	 *|	return -ENOENT;
	 */
	uint64_t ordinal = t->partition[at->partition].first_block + at->block;
	struct sst_block b;
	struct sst_handle h;
	struct sst_entry e;
	struct sst_ref ref;
	int error = sst_data_handle(t, at->partition, &at->index, at->block, &h, why);
	int found;

	if (!error)
		error = sst_load(t, &h, ordinal, false, &ref, why);
	if (error)
		return error;
	/* The header, and the heads, of which there is a line or two. */
	__builtin_prefetch(ref.data + 64);
	__builtin_prefetch(ref.data + 128);
	error = sst_open_block(t, &h, ref.data, ref.bytes, &b, why);
	if (!error) {
		found = sst_block_find(&b, key, seek, &e);
		if (found < 0)
			error = sst_bad(why, sst_path(t), h.offset, "an entry of a block",
					b.count, 0);
		else if (found == SST_FOUND)
			error = take_entry(t, &h, &e, stamp, value, why);
		else
			error = found == SST_END ? -EAGAIN : -ENOENT;
	}
	sst_unload(t, &ref);
	return error;
	/* EXERCISE 4.4 end */
}

/* With a map, the heads of an index are asked for while the filter is looked at. */
static inline void prefetch_index(const struct sst *t, uint32_t partition)
{
	const struct sst_partition *p = &t->partition[partition];
	const uint8_t *index = t->map ? t->map + p->index.offset : NULL;
	uint64_t i;

	for (i = 0; index && i < SST_BLOCK_HEADER + 4 * (uint64_t)p->blocks && i < 512;
	     i += 64)
		__builtin_prefetch(index + i);
}

int sst_get(struct sst *t, struct kv_slice key, uint64_t hash, uint64_t sequence,
	    uint64_t *stamp, struct kv_buf *value, struct kv_msg *why)
{
	/* EXERCISE 4.4 begin: top index, filter, index, block; perhaps the next one
	 *|	value->len = 0;
	 *|	return -ENOENT;
	 */
	uint64_t seek = lsm_seek_stamp(sequence);
	int64_t p = sst_index_floor(&t->top, key, seek), i;
	struct point at;
	bool may;
	int error;

	value->len = 0;
	if (p < 0)
		return p == -1 ? -ENOENT : bad_index(t, &t->footer.top, why);
	at.partition = (uint32_t)p;
	prefetch_index(t, at.partition);
	error = filter_test(t, at.partition, hash, false, &may, why);
	if (error || !may)
		return error ? error : -ENOENT;
	error = sst_load_index(t, at.partition, &at.index_ref, &at.index, why);
	if (error)
		return error;
	i = sst_index_floor(&at.index, key, seek);
	if (i < 0) {
		error = bad_index(t, &t->partition[p].index, why);
		goto out;
	}
	at.block = (uint32_t)i;
	error = get_in_block(t, &at, key, seek, stamp, value, why);
	if (error == -EAGAIN) {
		error = point_next(t, &at, key, why);
		if (!error)
			error = get_in_block(t, &at, key, seek, stamp, value, why);
		if (error == -EAGAIN)
			error = -ENOENT;
	}
out:
	sst_unload(t, &at.index_ref);
	return error;
	/* EXERCISE 4.4 end */
}

/* ---- reads side by side ---- */

static bool want_block(struct sst *t, const struct sst_handle *h, bool index,
		       struct sst_want *w)
{
	memset(w, 0, sizeof(*w));
	if (lsm_cache_alloc(t->cache, h->bytes, &w->block))
		return false;
	w->table = t;
	w->offset = h->offset;
	w->index = index;
	w->read = (struct file_read){ .file = t->file,
				      .offset = h->offset,
				      .data = (uint8_t *)(uintptr_t)w->block.data,
				      .len = h->bytes };
	return true;
}

/* Whatever is amiss here, get() will come upon it, and say it. */
bool sst_want(struct sst *t, struct kv_slice key, uint64_t hash, struct sst_want *w)
{
	int64_t p, i;
	struct sst_block index;
	struct sst_handle h;
	struct sst_ref ref;
	bool may;

	if (t->map || !t->cache)
		return false;
	p = sst_index_floor(&t->top, key, SST_BEFORE_ALL);
	if (p < 0)
		return false;
	switch (filter_test(t, (uint32_t)p, hash, true, &may, NULL)) {
	case 0:
		break;
	case -EAGAIN:
		return want_block(t, &t->partition[p].filter, true, w);
	default:
		return false;
	}
	if (!may)
		return false;
	if (!sst_load_cached(t, &t->partition[p].index, sst_index_ordinal(t, (uint32_t)p),
			     &ref))
		return want_block(t, &t->partition[p].index, true, w);
	if (sst_block_open(&index, ref.data, ref.bytes))
		goto out;
	i = sst_index_floor(&index, key, SST_BEFORE_ALL);
	if (i < 0 || sst_data_handle(t, (uint32_t)p, &index, (uint32_t)i, &h, NULL))
		goto out;
	sst_unload(t, &ref);
	if (sst_load_cached(t, &h, t->partition[p].first_block + (uint64_t)i, &ref))
		goto out;
	return want_block(t, &h, false, w);
out:
	sst_unload(t, &ref);
	return false;
}

void sst_want_done(struct sst_want *w)
{
	struct sst_handle h = { .offset = w->offset, .bytes = (uint32_t)w->read.len };
	struct sst *t = w->table;
	struct sst_ref ref;
	uint32_t wanted, got;
	size_t plain = 0;

	if (w->read.error || w->read.got != w->read.len ||
	    !sst_is_sealed(w->block.data, h.bytes, &t->id, h.offset, &wanted, &got) ||
	    packed_as(t, w->block.data, &h, &plain, NULL)) {
		lsm_cache_release(t->cache, &w->block);
		return;
	}
	if (!plain) {
		lsm_cache_insert(t->cache, t->id.file, h.offset, false, &w->block);
	} else if (!w->index && t->p.shape.compression &&
		   !sst_load_checked(t, w->block.data, &h, false, &ref, NULL)) {
		sst_unload(t, &ref);
	}
	lsm_cache_release(t->cache, &w->block);
}
