/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_block.c - searching and walking a block; see sst_block.h. After LevelDB's blocks
 * (restart points, shared prefixes) and the heads of Graefe and Larson, "B-Tree Indexes and
 * CPU Caches" (2001).
 */
#include "sst_block.h"
#include "neon_lsm_ops.h"

enum { SHARED_MORE = 7, UNSHARED_MORE = 31, KIND_BEFORE_ALL = 3, WIDTH_MAX = 7 };
enum { LINE = 64, PREFETCH_MAX = 1024 };

int sst_block_open(struct sst_block *b, const uint8_t *body, size_t bytes)
{
	uint64_t word;

	if (bytes < SST_BLOCK_HEADER)
		return -EBADMSG;
	b->count = port_get_le32(body);
	b->restarts = port_get_le32(body + 4);
	word = port_get_le64(body + 8);
	b->smallest = word & LSM_SEQUENCE_MAX;
	b->width = (unsigned int)(word >> 56);
	b->prefix_bytes = port_get_le32(body + 16);
	bytes -= SST_BLOCK_HEADER;
	if (b->width > WIDTH_MAX || b->restarts > b->count || !b->restarts != !b->count ||
	    b->prefix_bytes > bytes || b->prefix_bytes > KV_KEY_MAX)
		return -EBADMSG;
	bytes -= b->prefix_bytes;
	/* An entry takes two bytes at least, so its number is bounded by the block's. */
	if (b->restarts > bytes / 8 || b->count > (bytes - 8 * (size_t)b->restarts) / 2)
		return -EBADMSG;
	b->prefix = body + SST_BLOCK_HEADER;
	b->heads = b->prefix + b->prefix_bytes;
	b->offsets = b->heads + 4 * (size_t)b->restarts;
	b->entries = b->offsets + 4 * (size_t)b->restarts;
	b->end = b->heads + bytes;
	return 0;
}

/* ---- one entry ---- */

static inline uint64_t get_sequence(const struct sst_block *b, const uint8_t *p)
{
	uint64_t v = 0;
	unsigned int i;

	if (b->end - p >= 8)
		return port_get_le64(p) & (((uint64_t)1 << 8 * b->width) - 1);
	for (i = 0; i < b->width; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* Lengths at the beginning of an entry that do not fit into its first byte. */
static const uint8_t *decode_long(const struct sst_block *b, const uint8_t *p,
				  struct sst_entry *e)
{
	uint64_t more = 0;

	if (e->shared == SHARED_MORE) {
		p = sst_get_varint(p, b->end, &more);
		if (!p || more > KV_KEY_MAX)
			return NULL;
		e->shared += (uint32_t)more;
	}
	if (e->unshared == UNSHARED_MORE) {
		p = sst_get_varint(p, b->end, &more);
		if (!p || more > KV_KEY_MAX)
			return NULL;
		e->unshared += (uint32_t)more;
	}
	return p;
}

/* False: there is no entry at p. */
static inline bool decode(const struct sst_block *b, const uint8_t *p,
			  struct sst_entry *e)
{
	uint64_t tail, sequence;
	unsigned int kind;

	if (p >= b->end)
		return false;
	e->at = p;
	e->shared = *p & 7;
	e->unshared = *p++ >> 3;
	if (e->shared == SHARED_MORE || e->unshared == UNSHARED_MORE) {
		p = decode_long(b, p, e);
		if (!p)
			return false;
	}
	p = sst_get_varint(p, b->end, &tail);
	if (!p || (size_t)(b->end - p) < b->width)
		return false;
	sequence = b->smallest + get_sequence(b, p);
	p += b->width;
	if (e->unshared > (size_t)(b->end - p))
		return false;
	e->key = p;
	p += e->unshared;
	if (tail >> 2 > (size_t)(b->end - p) || sequence > LSM_SEQUENCE_MAX)
		return false;
	e->value = kv_slice(p, (size_t)(tail >> 2));
	e->next = p + e->value.len;
	kind = tail & 3;
	e->stamp = sequence << 8 | (kind == KIND_BEFORE_ALL ? 0xff : kind);
	return true;
}

static bool decode_restart(const struct sst_block *b, uint32_t i, struct sst_entry *e)
{
	size_t offset = port_get_le32(b->offsets + 4 * (size_t)i);

	return offset < (size_t)(b->end - b->entries) &&
	       decode(b, b->entries + offset, e) && !e->shared;
}

/* ---- searching ---- */

/* The first four bytes as a number that is ordered as they are; shorter keys end in zeros. */
static inline uint32_t head_of(const uint8_t *p, size_t n)
{
	uint32_t h = 0;
	size_t i;

	if (n >= 4)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
		       p[3];
	for (i = 0; i < 4; i++)
		h = h << 8 | (i < n ? p[i] : 0);
	return h;
}

/* How the key stands to the prefix: -1 before all entries, 1 behind them, 0 it has it. */
static int compare_prefix(const struct sst_block *b, struct kv_slice key)
{
	size_t n = key.len < b->prefix_bytes ? key.len : b->prefix_bytes;
	int order = n ? memcmp(key.data, b->prefix, n) : 0;

	if (order)
		return order < 0 ? -1 : 1;
	return key.len < b->prefix_bytes ? -1 : 0;
}

/*
 * The last restart point at or before (suffix, stamp); -1: none, or -EBADMSG. Heads decide
 * unless some are equal to the suffix's; among these the keys do.
 */
static int64_t restart_floor(const struct sst_block *b, struct kv_slice suffix,
			     uint64_t stamp)
{
	/* EXERCISE 4.2 begin: lsm_search_heads(), then by keys
	 *|	return -1;
	 */
	uint32_t head = head_of(suffix.data, suffix.len), lo, hi;
	struct sst_entry e;

	lo = lsm_search_heads(b->heads, b->restarts, head);
	if (lo == b->restarts || port_get_le32(b->heads + 4 * (size_t)lo) != head)
		return (int64_t)lo - 1;
	hi = head == UINT32_MAX ? b->restarts
				: lo + lsm_search_heads(b->heads + 4 * (size_t)lo,
							b->restarts - lo, head + 1);
	while (lo < hi) {
		uint32_t middle = lo + (hi - lo) / 2;

		if (!decode_restart(b, middle, &e))
			return -EBADMSG;
		if (lsm_entry_compare(kv_slice(e.key, e.unshared), e.stamp, suffix,
				      stamp) <= 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	return (int64_t)lo - 1;
	/* EXERCISE 4.2 end */
}

/*
 * From a restart point on, without putting keys together: matched is how many bytes of the
 * suffix the entry before shares with it. An entry that shares more with the one before than
 * that differs from the suffix where that one did, so it is less; one that shares less
 * differs earlier, so it is greater.
 */
static int scan(const struct sst_block *b, const uint8_t *p, struct kv_slice suffix,
		uint64_t stamp, struct sst_entry *e)
{
	/* EXERCISE 4.2 begin: compare with what is shared, not with keys
	 *|	return SST_END;
	 */
	const uint8_t *want = suffix.data, *restart = p;
	size_t matched = 0, n, same;

	for (; p < b->end; p = e->next) {
		if (!decode(b, p, e) || (p == restart && e->shared))
			return -EBADMSG;
		if (!e->shared)
			matched = 0; /* perhaps a restart point: it says nothing */
		if (e->shared > matched)
			continue;
		if (e->shared < matched)
			return SST_AFTER;
		n = suffix.len - matched;
		if (n > e->unshared)
			n = e->unshared;
		same = 0;
		while (same < n && e->key[same] == want[matched + same])
			same++;
		if (same < n) {
			if (e->key[same] > want[matched + same])
				return SST_AFTER;
		} else if (e->unshared > n) {
			return SST_AFTER;
		} else if (matched + n == suffix.len && e->stamp <= stamp) {
			return SST_FOUND;
		}
		matched += same;
	}
	return SST_END;
	/* EXERCISE 4.2 end */
}

/* What is behind the prefix, which the key has. */
static struct kv_slice behind_prefix(const struct sst_block *b, struct kv_slice key)
{
	if (!key.len)
		return kv_slice("", 0);
	return kv_slice((const uint8_t *)key.data + b->prefix_bytes,
			key.len - b->prefix_bytes);
}

/* Asks for the lines from a restart point to the next, so that a scan waits for all of them
 * together: large values put a line or two between one key and the next. */
static inline void prefetch_interval(const struct sst_block *b, uint32_t r, size_t from)
{
	const uint8_t *p = b->entries + from;
	size_t n = (size_t)(b->end - p), i;

	if (r + 1 < b->restarts) {
		size_t to = port_get_le32(b->offsets + 4 * (size_t)(r + 1));

		if (to > from && to - from < n)
			n = to - from;
	}
	if (n > PREFETCH_MAX)
		n = PREFETCH_MAX;
	for (i = 0; i < n; i += LINE)
		__builtin_prefetch(p + i);
}

int sst_block_find(const struct sst_block *b, struct kv_slice key, uint64_t stamp,
		   struct sst_entry *e)
{
	int order = compare_prefix(b, key);
	struct kv_slice suffix;
	int64_t r;
	size_t offset;

	if (!b->count || order > 0)
		return SST_END;
	if (order < 0)
		return decode_restart(b, 0, e) ? SST_AFTER : -EBADMSG;
	suffix = behind_prefix(b, key);
	r = restart_floor(b, suffix, stamp);
	if (r < -1)
		return (int)r;
	offset = port_get_le32(b->offsets + 4 * (size_t)(r < 0 ? 0 : r));
	if (offset >= (size_t)(b->end - b->entries))
		return -EBADMSG;
	prefetch_interval(b, r < 0 ? 0 : (uint32_t)r, offset);
	return scan(b, b->entries + offset, suffix, stamp, e);
}

int64_t sst_index_floor(const struct sst_block *b, struct kv_slice key, uint64_t stamp)
{
	int order = compare_prefix(b, key);

	if (b->restarts != b->count)
		return -EBADMSG;
	if (order)
		return order < 0 ? -1 : (int64_t)b->count - 1;
	return restart_floor(b, behind_prefix(b, key), stamp);
}

int sst_index_entry(const struct sst_block *b, uint32_t i, struct sst_entry *e)
{
	if (i >= b->count || b->restarts != b->count)
		return -EBADMSG;
	return decode_restart(b, i, e) ? 0 : -EBADMSG;
}

/* ---- walking ---- */

void sst_walk_begin(struct sst_walk *w, const struct sst_block *b)
{
	w->b = *b;
	w->e.at = NULL;
	w->key.len = 0;
}

void sst_walk_free(struct sst_walk *w)
{
	kv_buf_free(&w->key);
}

static int leave(struct sst_walk *w, int error)
{
	w->e.at = NULL;
	return error;
}

/* Onto the entry at p; the key of the one before it is in w->key. */
static inline int step(struct sst_walk *w, const uint8_t *p)
{
	size_t keep, len;

	if (!decode(&w->b, p, &w->e))
		return leave(w, -EBADMSG);
	keep = w->b.prefix_bytes + w->e.shared;
	len = keep + w->e.unshared;
	if (keep > w->key.len || len > KV_KEY_MAX)
		return leave(w, -EBADMSG);
	if (len > w->key.cap && kv_buf_reserve(&w->key, len))
		return leave(w, -ENOMEM);
	memcpy((uint8_t *)w->key.data + keep, w->e.key, w->e.unshared);
	w->key.len = len;
	return 0;
}

/* Onto a restart point: there the key is the prefix and what the entry has. */
static int step_restart(struct sst_walk *w, uint32_t i)
{
	size_t offset = port_get_le32(w->b.offsets + 4 * (size_t)i);

	if (offset >= (size_t)(w->b.end - w->b.entries))
		return leave(w, -EBADMSG);
	/* One byte more, so that there is memory to copy an empty key to. */
	if (kv_buf_reserve(&w->key, (size_t)w->b.prefix_bytes + 1))
		return leave(w, -ENOMEM);
	memcpy(w->key.data, w->b.prefix, w->b.prefix_bytes);
	w->key.len = w->b.prefix_bytes;
	return step(w, w->b.entries + offset);
}

int sst_walk_first(struct sst_walk *w)
{
	return w->b.count ? step_restart(w, 0) : leave(w, -ENOENT);
}

int sst_walk_next(struct sst_walk *w)
{
	if (!w->e.at)
		return sst_walk_first(w);
	if (w->e.next >= w->b.end)
		return leave(w, -ENOENT);
	return step(w, w->e.next);
}

/* Onto the last entry before `end`, which stands behind the i-th restart point. */
static int walk_to_before(struct sst_walk *w, uint32_t i, const uint8_t *end)
{
	int error = step_restart(w, i);

	while (!error && w->e.next < end)
		error = step(w, w->e.next);
	if (!error && w->e.next != end)
		return leave(w, -EBADMSG);
	return error;
}

int sst_walk_last(struct sst_walk *w)
{
	if (!w->b.count)
		return leave(w, -ENOENT);
	return walk_to_before(w, w->b.restarts - 1, w->b.end);
}

/* The last restart point that stands before this offset, which is not 0. */
static uint32_t restart_before(const struct sst_block *b, size_t offset)
{
	uint32_t lo = 0, hi = b->restarts;

	while (hi - lo > 1) {
		uint32_t middle = lo + (hi - lo) / 2;

		if (port_get_le32(b->offsets + 4 * (size_t)middle) < offset)
			lo = middle;
		else
			hi = middle;
	}
	return lo;
}

int sst_walk_prev(struct sst_walk *w)
{
	const uint8_t *at = w->e.at;

	if (!at)
		return sst_walk_last(w);
	if (at == w->b.entries)
		return leave(w, -ENOENT);
	return walk_to_before(w, restart_before(&w->b, (size_t)(at - w->b.entries)), at);
}

int sst_walk_seek(struct sst_walk *w, struct kv_slice key, uint64_t stamp)
{
	int found = sst_block_find(&w->b, key, stamp, &w->e);
	const uint8_t *at = w->e.at;
	int error;

	if (found < 0 || found == SST_END)
		return leave(w, found < 0 ? found : -ENOENT);
	error = step_restart(w, restart_before(&w->b, (size_t)(at - w->b.entries) + 1));
	while (!error && w->e.at < at)
		error = w->e.next < w->b.end ? step(w, w->e.next) : -EBADMSG;
	if (!error && w->e.at != at)
		error = -EBADMSG;
	return error ? leave(w, error) : 0;
}

/* ---- writing ---- */

void sst_block_builder_init(struct sst_block_builder *b, unsigned int interval)
{
	memset(b, 0, sizeof(*b));
	b->interval = interval;
	b->estimate = b->bound = SST_BLOCK_HEADER;
}

void sst_block_builder_free(struct sst_block_builder *b)
{
	port_free(b->entry);
	kv_buf_free(&b->bytes);
}

static int grow(struct sst_block_builder *b)
{
	size_t cap = b->cap ? 2 * b->cap : 64;
	void *p = port_realloc(b->entry, b->cap * sizeof(*b->entry),
			       cap * sizeof(*b->entry));

	if (!p)
		return -ENOMEM;
	b->entry = p;
	b->cap = cap;
	return 0;
}

int sst_block_builder_add(struct sst_block_builder *b, struct kv_slice key, size_t shared,
			  uint64_t stamp, struct kv_slice value)
{
	uint64_t sequence = lsm_sequence(stamp);
	size_t at = b->bytes.len;
	struct sst_pending *p;

	if ((b->count == b->cap && grow(b)) ||
	    (key.len + value.len >= b->bytes.cap - at &&
	     kv_buf_reserve(&b->bytes, at + key.len + value.len + 1)))
		return -ENOMEM;
	if (key.len)
		memcpy((uint8_t *)b->bytes.data + at, key.data, key.len);
	if (value.len)
		memcpy((uint8_t *)b->bytes.data + at + key.len, value.data, value.len);
	b->bytes.len += key.len + value.len;

	p = &b->entry[b->count++];
	p->key = at;
	p->value = at + key.len;
	p->key_len = (uint32_t)key.len;
	p->value_len = (uint32_t)value.len;
	p->stamp = stamp;
	p->shared = b->count == 1 ? 0 : (uint32_t)shared;
	if (b->count == 1 || sequence < b->min)
		b->min = sequence;
	if (b->count == 1 || sequence > b->max)
		b->max = sequence;
	/* 1 + 3 + 3 of lengths, 5 of the value's, 7 of the sequence; a restart point's 8. The
	 * prefix is part of the first key. */
	b->bound += key.len + value.len + 19 + 8 + (b->count == 1 ? key.len : 0);
	b->estimate += key.len - p->shared + value.len + 5 + 8 / b->interval;
	return 0;
}

static uint8_t *encode(const struct sst_block_builder *b, const struct sst_pending *e,
		       size_t skip, size_t shared, unsigned int width, uint8_t *p)
{
	/* EXERCISE 4.2 begin: one entry; returns its end
	 *|	return p;
	 */
	const uint8_t *bytes = b->bytes.data;
	size_t unshared = e->key_len - skip - shared;
	unsigned int kind = e->stamp & 0xff, i;
	uint64_t sequence = lsm_sequence(e->stamp) - b->min;

	*p++ = (uint8_t)((shared < SHARED_MORE ? shared : SHARED_MORE) |
			 (unshared < UNSHARED_MORE ? unshared : UNSHARED_MORE) << 3);
	if (shared >= SHARED_MORE)
		p = sst_put_varint(p, shared - SHARED_MORE);
	if (unshared >= UNSHARED_MORE)
		p = sst_put_varint(p, unshared - UNSHARED_MORE);
	p = sst_put_varint(p, (uint64_t)e->value_len << 2 |
				      (kind == 0xff ? KIND_BEFORE_ALL : kind));
	for (i = 0; i < width; i++)
		*p++ = (uint8_t)(sequence >> 8 * i);
	memcpy(p, bytes + e->key + skip + shared, unshared);
	p += unshared;
	memcpy(p, bytes + e->value, e->value_len);
	return p + e->value_len;
	/* EXERCISE 4.2 end */
}

/* What all keys begin with: all neighbours share it. */
static size_t common_prefix(const struct sst_block_builder *b)
{
	size_t i, n = b->count ? b->entry[0].key_len : 0;

	for (i = 1; i < b->count; i++)
		if (b->entry[i].shared < n)
			n = b->entry[i].shared;
	return n;
}

size_t sst_block_builder_finish(struct sst_block_builder *b, uint8_t *out)
{
	/* EXERCISE 4.2 begin: header, prefix, heads, offsets, entries
	 *|	return 0;
	 */
	size_t skip = common_prefix(b), i, r = 0,
	       restarts = (b->count + b->interval - 1) / b->interval;
	uint8_t *heads = out + SST_BLOCK_HEADER + skip, *offsets = heads + 4 * restarts,
		*entries = offsets + 4 * restarts, *p = entries;
	const uint8_t *bytes = b->bytes.data;
	unsigned int width = 0;

	while (b->count && width < WIDTH_MAX && (b->max - b->min) >> 8 * width)
		width++;
	port_put_le32(out, (uint32_t)b->count);
	port_put_le32(out + 4, (uint32_t)restarts);
	port_put_le64(out + 8, (b->count ? b->min : 0) | (uint64_t)width << 56);
	port_put_le32(out + 16, (uint32_t)skip);
	if (skip)
		memcpy(out + SST_BLOCK_HEADER, bytes + b->entry[0].key, skip);
	for (i = 0; i < b->count; i++) {
		const struct sst_pending *e = &b->entry[i];
		size_t shared = e->shared - (i ? skip : 0);

		if (i % b->interval == 0) {
			port_put_le32(heads + 4 * r,
				      head_of(bytes + e->key + skip, e->key_len - skip));
			port_put_le32(offsets + 4 * r++, (uint32_t)(p - entries));
			shared = 0;
		}
		p = encode(b, e, skip, shared, width, p);
	}
	b->count = 0;
	b->bytes.len = 0;
	b->estimate = b->bound = SST_BLOCK_HEADER;
	return (size_t)(p - out);
	/* EXERCISE 4.2 end */
}
