/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_cursor.c - a cursor over a table, with readahead.
 *
 * It holds an index partition and a data block. When it comes to a third block in a row that
 * memory does not have, it reads ahead: 16 KiB into memory of its own, twice as much each time,
 * up to 256 KiB (as kernels read files). With a map it asks for the pages instead.
 */
#include "sst_internal.h"

enum {
	AHEAD_MIN = 16 << 10,
	AHEAD_MAX = 256 << 10,
	IN_A_ROW =
		2, /* blocks that followed one another, before the one that is wanted */
};

struct table_cursor {
	struct lsm_cursor base;
	struct sst *t;
	unsigned int flags;
	bool inside, failed;
	struct kv_msg why;

	uint32_t partition, block; /* where it is, or where loading ended */
	uint64_t offset;           /* of that block */
	struct sst_ref index_ref, data_ref;
	struct sst_block index;
	bool has_index;
	struct sst_walk walk;

	/* readahead */
	uint64_t expected; /* offset of the block that would be the next in a row */
	unsigned int run;  /* blocks in a row so far */
	size_t window;     /* 0: not yet */
	uint64_t advised;  /* with a map: pages were asked for up to here */
	uint8_t *ahead;    /* bytes of the file from ahead_at on */
	uint64_t ahead_at;
	size_t ahead_len, ahead_cap;
	struct kv_buf plain; /* a block of these, unpacked */
};

static struct table_cursor *cursor_of(struct lsm_cursor *c)
{
	return container_of(c, struct table_cursor, base);
}

static int leave(struct table_cursor *c, int error)
{
	c->inside = false;
	c->failed = error != -ENOENT;
	sst_unload(c->t, &c->data_ref);
	return error;
}

/* ---- readahead ---- */

static void widen(struct table_cursor *c)
{
	const size_t kib = c->flags >> SST_WINDOW;
	const size_t most = kib ? kib << 10 : (size_t)AHEAD_MAX;

	c->window = !c->window ? AHEAD_MIN : 2 * c->window;
	if (c->window > most)
		c->window = most;
}

static bool reads_ahead(const struct table_cursor *c)
{
	return c->run >= IN_A_ROW || (c->flags & SST_READAHEAD);
}

/* When half of what was asked for is used, the next and larger stretch. */
static void advise(struct table_cursor *c, const struct sst_handle *h)
{
	uint64_t from = c->advised > h->offset ? c->advised : h->offset, len;

	if (c->advised > h->offset + c->window / 2)
		return;
	widen(c);
	len = c->t->p.data_bytes - from;
	if (len > c->window)
		len = c->window;
	c->t->file->ops->advise(c->t->file, from, len, FILE_WILL_NEED);
	c->advised = from + len;
}

static bool is_ahead(const struct table_cursor *c, const struct sst_handle *h)
{
	return c->ahead_len && h->offset >= c->ahead_at &&
	       h->offset - c->ahead_at <= c->ahead_len &&
	       h->bytes <= c->ahead_len - (size_t)(h->offset - c->ahead_at);
}

/* False where it can't: then the block is read alone, and that says what is wrong. */
static bool read_ahead(struct table_cursor *c, const struct sst_handle *h)
{
	uint64_t rest = c->t->p.data_bytes - h->offset;
	size_t len;

	widen(c);
	len = c->window > h->bytes ? c->window : h->bytes;
	if (len > rest)
		len = (size_t)rest;
	c->ahead_len = 0;
	if (len > c->ahead_cap) {
		port_free(c->ahead);
		c->ahead_cap = 0;
		c->ahead = port_alloc(len);
		if (!c->ahead)
			return false;
		c->ahead_cap = len;
	}
	if (file_read(c->t->file, h->offset, c->ahead, len, &c->ahead_len)) {
		c->ahead_len = 0;
		return false;
	}
	c->ahead_at = h->offset;
	return is_ahead(c, h);
}

/* A block out of what was read ahead; a bad one is read once more, alone. */
static int take_ahead(struct table_cursor *c, const struct sst_handle *h,
		      uint64_t ordinal, const uint8_t **body, size_t *bytes)
{
	const uint8_t *block = c->ahead + (size_t)(h->offset - c->ahead_at);
	uint32_t wanted, got;
	int error;

	if (!sst_is_sealed(block, h->bytes, &c->t->id, h->offset, &wanted, &got)) {
		c->ahead_len = 0;
		error = sst_load(c->t, h, ordinal, true, &c->data_ref, &c->why);
	} else if ((c->flags & SST_COLD) || !c->t->cache) {
		return sst_unpack(c->t, block, h, &c->plain, body, bytes, &c->why);
	} else {
		error = sst_load_checked(c->t, block, h, false, &c->data_ref, &c->why);
	}
	*body = c->data_ref.data;
	*bytes = c->data_ref.bytes;
	return error;
}

/* ---- blocks ---- */

/* Forward says that whoever reads on in this direction would come to the next block. */
static int fetch(struct table_cursor *c, const struct sst_handle *h, uint64_t ordinal,
		 const uint8_t **body, size_t *bytes)
{
	struct sst *t = c->t;
	int error = 0;

	if (h->offset == c->expected && h->offset) {
		c->run++;
	} else {
		c->run = 0;
		c->window = 0;
		c->advised = 0;
	}
	c->expected = h->offset + h->bytes;
	if (is_ahead(c, h))
		return take_ahead(c, h, ordinal, body, bytes);
	if (t->map) {
		if (reads_ahead(c))
			advise(c, h);
	} else if (!sst_load_cached(t, h, ordinal, &c->data_ref) && reads_ahead(c) &&
		   read_ahead(c, h)) {
		return take_ahead(c, h, ordinal, body, bytes);
	}
	if (!c->data_ref.data)
		error = sst_load(t, h, ordinal, c->flags & SST_COLD, &c->data_ref,
				 &c->why);
	*body = c->data_ref.data;
	*bytes = c->data_ref.bytes;
	return error;
}

static int enter_partition(struct table_cursor *c, uint32_t partition)
{
	int error;

	if (c->has_index && c->partition == partition)
		return 0;
	if (c->has_index)
		sst_unload(c->t, &c->index_ref);
	c->has_index = false;
	error = sst_load_index(c->t, partition, &c->index_ref, &c->index, &c->why);
	if (error)
		return error;
	c->has_index = true;
	c->partition = partition;
	return 0;
}

/* Loads the block; the walk stands outside it. */
static int enter_block(struct table_cursor *c, uint32_t partition, uint32_t block)
{
	struct sst *t = c->t;
	struct sst_handle h;
	struct sst_block b;
	const uint8_t *body;
	size_t bytes;
	int error;

	sst_unload(t, &c->data_ref);
	error = enter_partition(c, partition);
	if (!error)
		error = sst_data_handle(t, partition, &c->index, block, &h, &c->why);
	c->offset = error ? 0 : h.offset;
	if (!error)
		error = fetch(c, &h, t->partition[partition].first_block + block, &body,
			      &bytes);
	if (!error)
		error = sst_open_block(t, &h, body, bytes, &b, &c->why);
	if (error)
		return error;
	c->block = block;
	sst_walk_begin(&c->walk, &b);
	return 0;
}

static int enter_next(struct table_cursor *c)
{
	if (c->block + 1 < c->index.count)
		return enter_block(c, c->partition, c->block + 1);
	if (c->partition + 1 >= c->t->p.partitions)
		return -ENOENT;
	return enter_block(c, c->partition + 1, 0);
}

static int enter_prev(struct table_cursor *c)
{
	if (c->block)
		return enter_block(c, c->partition, c->block - 1);
	if (!c->partition)
		return -ENOENT;
	return enter_block(c, c->partition - 1,
			   c->t->partition[c->partition - 1].blocks - 1);
}

/* ---- moves ---- */

/* What a move in a block that returned this error means for the cursor. */
static int arrive(struct table_cursor *c, int error)
{
	const struct sst_entry *e = &c->walk.e;

	if (error == -EBADMSG && !c->why.text[0])
		error = sst_bad(&c->why, sst_path(c->t), c->offset, "an entry of a block",
				c->walk.b.count, 0);
	else if (error == -ENOMEM && !c->why.text[0])
		error = kv_fail(&c->why, error, "%s: no memory for a key",
				sst_path(c->t));
	if (!error && lsm_kind(e->stamp) > LSM_BLOB)
		error = sst_bad(&c->why, sst_path(c->t), c->offset, "kind of an entry",
				LSM_BLOB, lsm_kind(e->stamp));
	if (error)
		return leave(c, error);
	c->inside = true;
	c->base.key = kv_slice(c->walk.key.data, c->walk.key.len);
	c->base.value = e->value;
	c->base.stamp = e->stamp;
	return 0;
}

static void begin_move(struct table_cursor *c)
{
	c->failed = false;
	c->why.text[0] = '\0';
}

/* On in the blocks behind while there is no entry in this one. */
static int on_from(struct table_cursor *c, int error)
{
	while (error == -ENOENT) {
		error = enter_next(c);
		if (error)
			break;
		error = sst_walk_first(&c->walk);
	}
	return arrive(c, error);
}

static int cursor_next(struct lsm_cursor *base)
{
	struct table_cursor *c = cursor_of(base);
	int error;

	begin_move(c);
	if (c->inside) {
		error = sst_walk_next(&c->walk);
	} else {
		if (!c->t->p.partitions)
			return leave(c, -ENOENT);
		error = enter_block(c, 0, 0);
		if (!error)
			error = sst_walk_first(&c->walk);
		else
			return arrive(c, error);
	}
	return error == -ENOENT ? on_from(c, error) : arrive(c, error);
}

static int cursor_prev(struct lsm_cursor *base)
{
	struct table_cursor *c = cursor_of(base);
	uint32_t last;
	int error;

	begin_move(c);
	if (c->inside) {
		error = sst_walk_prev(&c->walk);
	} else {
		if (!c->t->p.partitions)
			return leave(c, -ENOENT);
		last = c->t->p.partitions - 1;
		error = enter_block(c, last, c->t->partition[last].blocks - 1);
		if (error)
			return arrive(c, error);
		error = sst_walk_last(&c->walk);
	}
	while (error == -ENOENT) {
		error = enter_prev(c);
		if (error)
			break;
		error = sst_walk_last(&c->walk);
	}
	return arrive(c, error);
}

static int cursor_seek(struct lsm_cursor *base, struct kv_slice key, uint64_t stamp)
{
	struct table_cursor *c = cursor_of(base);
	struct sst *t = c->t;
	int64_t p = sst_index_floor(&t->top, key, stamp), i = 0;
	int error;

	begin_move(c);
	if (!t->p.partitions)
		return leave(c, -ENOENT);
	if (p < -1)
		return arrive(c, sst_bad(&c->why, sst_path(t), t->footer.top.offset,
					 "order of the top index", 0, 0));
	/* Before the first bound there is nothing: the first entry is what is sought. */
	error = enter_partition(c, p < 0 ? 0 : (uint32_t)p);
	if (error)
		return arrive(c, error);
	i = sst_index_floor(&c->index, key, stamp);
	if (i < -1)
		return arrive(c, sst_bad(&c->why, sst_path(t),
					 t->partition[c->partition].index.offset,
					 "order of an index", 0, 0));
	error = enter_block(c, c->partition, i < 0 ? 0 : (uint32_t)i);
	if (error)
		return arrive(c, error);
	return on_from(c, sst_walk_seek(&c->walk, key, stamp));
}

static void cursor_close(struct lsm_cursor *base)
{
	struct table_cursor *c = cursor_of(base);

	sst_unload(c->t, &c->data_ref);
	if (c->has_index)
		sst_unload(c->t, &c->index_ref);
	sst_walk_free(&c->walk);
	kv_buf_free(&c->plain);
	port_free(c->ahead);
	port_free(c);
}

static const struct lsm_cursor_ops ops = {
	.seek = cursor_seek,
	.next = cursor_next,
	.prev = cursor_prev,
	.close = cursor_close,
};

int sst_cursor(struct sst *t, unsigned int flags, struct lsm_cursor **out,
	       struct kv_msg *why)
{
	struct table_cursor *c = port_alloc(sizeof(*c));

	if (!c)
		return kv_fail(why, -ENOMEM, "%s: no memory for a cursor", sst_path(t));
	memset(c, 0, sizeof(*c));
	c->base.ops = &ops;
	c->t = t;
	c->flags = flags;
	*out = &c->base;
	return 0;
}

const struct kv_msg *sst_cursor_why(const struct lsm_cursor *base)
{
	const struct table_cursor *c =
		container_of(base, const struct table_cursor, base);

	return c->failed ? &c->why : NULL;
}
