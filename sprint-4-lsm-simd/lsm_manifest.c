/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_manifest.c - an edit, or a whole version, as the bytes of a record in the manifest.
 *
 * The log below checks that the bytes are those that were written. Here no count and no length
 * is believed all the same: a reader of files meets what nobody wrote as well. Layout:
 * docs/FORMATS.md.
 */
#include "lsm_version_internal.h"

enum {
	WHOLE = 1, /* flag of the record */

	ADD = 1, /* items */
	REMOVE = 2,
	MOVE = 3,
	BLOB = 4,
	PROGRESS = 5,

	ITEM_BYTES = 8,
	ADD_BYTES = 96,
	USE_BYTES = 16,

	LARGEST_OPEN = 1, /* flags of ADD */
	LARGEST_EXCLUDED = 2,
};

/* ---- writing ---- */

struct writer {
	struct kv_buf *out;
	uint32_t items;
};

static int begin(struct writer *w, struct kv_buf *out, bool whole, uint64_t serial,
		 uint64_t next, uint64_t log_position)
{
	uint8_t h[LSM_MANIFEST_HEADER_BYTES] = { 0 };

	*w = (struct writer){ .out = out };
	port_put_le16(h, LSM_MANIFEST_FORMAT);
	port_put_le16(h + 2, whole ? WHOLE : 0);
	port_put_le64(h + 8, serial);
	port_put_le64(h + 16, next);
	port_put_le64(h + 24, log_position);
	return kv_buf_set(out, h, sizeof(h));
}

static void finish(const struct writer *w)
{
	port_put_le32((uint8_t *)w->out->data + 4, w->items);
}

/* The item's head; *p is where its bytes go. */
static int item(struct writer *w, unsigned int type, unsigned int level,
		unsigned int flags, size_t bytes, uint8_t **p)
{
	size_t cap = w->out->len + ITEM_BYTES + bytes;
	uint8_t *at;
	int error = 0;

	if (cap > w->out->cap)
		error = kv_buf_reserve(w->out,
				       cap > w->out->cap * 2 ? cap : w->out->cap * 2);
	if (error)
		return error;
	at = (uint8_t *)w->out->data + w->out->len;
	at[0] = (uint8_t)type;
	at[1] = (uint8_t)level;
	port_put_le16(at + 2, (uint16_t)flags);
	port_put_le32(at + 4, (uint32_t)bytes);
	w->out->len = cap;
	w->items++;
	*p = at + ITEM_BYTES;
	return 0;
}

static uint8_t *put_key(uint8_t *p, const struct kv_buf *key)
{
	if (key->len)
		memcpy(p, key->data, key->len);
	return p + key->len;
}

static int put_add(struct writer *w, unsigned int level, uint64_t run, uint64_t number,
		   const struct sst_summary *s)
{
	unsigned int flags = (s->largest_open ? LARGEST_OPEN : 0) |
			     (s->largest_excluded ? LARGEST_EXCLUDED : 0);
	uint8_t *p;
	size_t i;
	int error = item(
		w, ADD, level, flags,
		ADD_BYTES + s->smallest.len + s->largest.len + s->blobs * USE_BYTES, &p);

	if (error)
		return error;
	port_put_le64(p, run);
	port_put_le64(p + 8, number);
	port_put_le64(p + 16, s->bytes);
	port_put_le64(p + 24, s->entries);
	port_put_le64(p + 32, s->deletes);
	port_put_le64(p + 40, s->tombstones);
	port_put_le64(p + 48, s->key_bytes);
	port_put_le64(p + 56, s->value_bytes);
	port_put_le64(p + 64, s->min_sequence);
	port_put_le64(p + 72, s->max_sequence);
	port_put_le32(p + 80, s->footer_crc);
	port_put_le32(p + 84, (uint32_t)s->smallest.len);
	port_put_le32(p + 88, (uint32_t)s->largest.len);
	port_put_le32(p + 92, (uint32_t)s->blobs);
	p = put_key(put_key(p + ADD_BYTES, &s->smallest), &s->largest);
	for (i = 0; i < s->blobs; i++, p += USE_BYTES) {
		port_put_le64(p, s->blob[i].file);
		port_put_le64(p + 8, s->blob[i].bytes);
	}
	return 0;
}

static int put_remove(struct writer *w, uint64_t number)
{
	uint8_t *p;
	int error = item(w, REMOVE, 0, 0, 8, &p);

	if (!error)
		port_put_le64(p, number);
	return error;
}

static int put_move(struct writer *w, unsigned int level, uint64_t run, uint64_t number)
{
	uint8_t *p;
	int error = item(w, MOVE, level, 0, 16, &p);

	if (error)
		return error;
	port_put_le64(p, run);
	port_put_le64(p + 8, number);
	return 0;
}

static int put_blob(struct writer *w, uint64_t number, const struct lsm_blob_summary *s)
{
	uint8_t *p;
	int error = item(w, BLOB, 0, 0, 32, &p);

	if (error)
		return error;
	port_put_le64(p, number);
	port_put_le64(p + 8, s->bytes);
	port_put_le64(p + 16, s->record_bytes);
	port_put_le64(p + 24, s->records);
	return 0;
}

static int put_progress(struct writer *w, unsigned int level, uint64_t run,
			const struct kv_buf *key)
{
	uint8_t *p;
	int error = item(w, PROGRESS, level, 0, 8 + key->len, &p);

	if (error)
		return error;
	port_put_le64(p, run);
	(void)put_key(p + 8, key);
	return 0;
}

int lsm_manifest_encode_edit(struct kv_buf *out, const struct lsm_edit *e,
			     uint64_t new_run, uint64_t serial, uint64_t next)
{
	struct writer w;
	size_t i;
	int error = begin(&w, out, false, serial, next, e->log_position);

	for (i = 0; !error && i < e->removes; i++)
		error = put_remove(&w, e->remove[i]);
	for (i = 0; !error && i < e->moves; i++)
		error = put_move(&w, e->move[i].level,
				 e->move[i].run ? e->move[i].run : new_run,
				 e->move[i].number);
	for (i = 0; !error && i < e->blobs; i++)
		error = put_blob(&w, e->blob[i].number, &e->blob[i].summary);
	for (i = 0; !error && i < e->adds; i++)
		error = put_add(&w, e->add[i].level,
				e->add[i].run ? e->add[i].run : new_run, e->add[i].number,
				&e->add[i].summary);
	if (!error && e->has_progress)
		error = put_progress(&w, e->progress_level, e->progress_run,
				     &e->progress);
	if (!error)
		finish(&w);
	return error;
}

static int put_level(struct writer *w, unsigned int level, const struct lsm_level *l)
{
	size_t r, t;
	int error = 0;

	for (r = 0; r < l->runs; r++)
		for (t = 0; !error && t < l->run[r].tables; t++)
			error = put_add(w, level, l->run[r].id,
					l->run[r].table[t]->number,
					&l->run[r].table[t]->summary);
	if (!error && l->progress.len)
		error = put_progress(w, level, l->progress_run, &l->progress);
	return error;
}

int lsm_manifest_encode_version(struct kv_buf *out, const struct lsm_version *v,
				uint64_t serial, uint64_t next)
{
	struct writer w;
	unsigned int level;
	size_t i;
	int error = begin(&w, out, true, serial, next, v->log_position);

	for (i = 0; !error && i < v->blobs; i++)
		error = put_blob(&w, v->blob[i].file->number, &v->blob[i].file->summary);
	for (level = 0; !error && level < LSM_LEVELS; level++)
		error = put_level(&w, level, &v->level[level]);
	if (!error)
		finish(&w);
	return error;
}

/* ---- reading ---- */

struct reader {
	struct lsm_change *out;
	unsigned int level, flags; /* of the item */
	const uint8_t *p;          /* its bytes */
	size_t bytes;
};

void lsm_change_free(struct lsm_change *c)
{
	unsigned int level;

	lsm_edit_free(&c->edit);
	for (level = 0; level < LSM_LEVELS; level++)
		kv_buf_free(&c->progress[level].key);
	memset(c, 0, sizeof(*c));
}

static bool is_number(const struct reader *r, uint64_t number)
{
	return number && number < r->out->next;
}

static bool is_sound(const struct sst_summary *s, uint32_t smallest, uint32_t largest)
{
	return s->bytes && s->deletes <= s->entries &&
	       s->min_sequence <= s->max_sequence &&
	       s->max_sequence <= LSM_SEQUENCE_MAX && smallest <= KV_KEY_MAX &&
	       largest <= KV_KEY_MAX;
}

static int get_uses(struct sst_summary *s, const uint8_t *p, size_t n)
{
	size_t i;

	if (!n)
		return 0;
	s->blob = port_alloc(n * sizeof(*s->blob));
	if (!s->blob)
		return -ENOMEM;
	s->blobs = n;
	for (i = 0; i < n; i++, p += USE_BYTES)
		s->blob[i] =
			(struct sst_blob_use){ port_get_le64(p), port_get_le64(p + 8) };
	return 0;
}

static int get_summary(struct reader *r, struct sst_summary *s)
{
	const uint8_t *p = r->p;
	uint32_t smallest, largest, uses;
	int error;

	*s = (struct sst_summary){
		.bytes = port_get_le64(p + 16),
		.entries = port_get_le64(p + 24),
		.deletes = port_get_le64(p + 32),
		.tombstones = port_get_le64(p + 40),
		.key_bytes = port_get_le64(p + 48),
		.value_bytes = port_get_le64(p + 56),
		.min_sequence = port_get_le64(p + 64),
		.max_sequence = port_get_le64(p + 72),
		.footer_crc = port_get_le32(p + 80),
		.largest_open = r->flags & LARGEST_OPEN,
		.largest_excluded = r->flags & LARGEST_EXCLUDED,
	};
	smallest = port_get_le32(p + 84);
	largest = port_get_le32(p + 88);
	uses = port_get_le32(p + 92);
	if (!is_sound(s, smallest, largest) ||
	    r->bytes !=
		    (uint64_t)ADD_BYTES + smallest + largest + (uint64_t)uses * USE_BYTES)
		return -EBADMSG;
	p += ADD_BYTES;
	error = kv_buf_set(&s->smallest, p, smallest);
	if (!error)
		error = kv_buf_set(&s->largest, p + smallest, largest);
	if (!error)
		error = get_uses(s, p + smallest + largest, uses);
	return error;
}

static int get_add(struct reader *r)
{
	struct sst_summary s = { 0 };
	uint64_t run, number;
	int error;

	if (r->bytes < ADD_BYTES || r->flags & ~(LARGEST_OPEN | LARGEST_EXCLUDED))
		return -EBADMSG;
	run = port_get_le64(r->p);
	number = port_get_le64(r->p + 8);
	if (!is_number(r, run) || !is_number(r, number))
		return -EBADMSG;
	error = get_summary(r, &s);
	if (!error)
		error = lsm_edit_add(&r->out->edit, r->level, run, number, &s);
	sst_summary_free(&s);
	return error;
}

static int get_move(struct reader *r)
{
	uint64_t run, number;

	if (r->bytes != 16)
		return -EBADMSG;
	run = port_get_le64(r->p);
	number = port_get_le64(r->p + 8);
	if (!is_number(r, run) || !is_number(r, number))
		return -EBADMSG;
	return lsm_edit_move(&r->out->edit, number, r->level, run);
}

static int get_remove(struct reader *r)
{
	if (r->bytes != 8 || !is_number(r, port_get_le64(r->p)))
		return -EBADMSG;
	return lsm_edit_remove(&r->out->edit, port_get_le64(r->p));
}

static int get_blob(struct reader *r)
{
	struct lsm_blob_summary s;

	if (r->bytes != 32 || !is_number(r, port_get_le64(r->p)))
		return -EBADMSG;
	s = (struct lsm_blob_summary){ .bytes = port_get_le64(r->p + 8),
				       .record_bytes = port_get_le64(r->p + 16),
				       .records = port_get_le64(r->p + 24) };
	if (s.record_bytes > s.bytes || s.records > s.record_bytes)
		return -EBADMSG;
	return lsm_edit_blob(&r->out->edit, port_get_le64(r->p), &s);
}

static int get_progress(struct reader *r)
{
	struct lsm_progress *to = &r->out->progress[r->level];

	/* A key that ends a piece may be one byte longer than a key. */
	if (r->bytes < 8 || r->bytes - 8 > KV_KEY_MAX + 1 ||
	    r->out->progress_set & 1u << r->level)
		return -EBADMSG;
	r->out->progress_set |= 1u << r->level;
	to->run = port_get_le64(r->p);
	return kv_buf_set(&to->key, r->p + 8, r->bytes - 8);
}

static int get_item(struct reader *r, unsigned int type)
{
	switch (type) {
	case ADD:
		return get_add(r);
	case REMOVE:
		return r->out->whole ? -EBADMSG : get_remove(r);
	case MOVE:
		return r->out->whole ? -EBADMSG : get_move(r);
	case BLOB:
		return get_blob(r);
	case PROGRESS:
		return get_progress(r);
	default:
		return -EBADMSG;
	}
}

static int get_items(struct reader *r, const uint8_t *p, size_t left, uint32_t items)
{
	/* EXERCISE 4.6 begin: believe no length
	 *|	return -EBADMSG;
	 */
	int error = 0;

	while (!error && items--) {
		unsigned int type;

		if (left < ITEM_BYTES || port_get_le32(p + 4) > left - ITEM_BYTES ||
		    p[1] >= LSM_LEVELS)
			return -EBADMSG;
		type = p[0];
		r->level = p[1];
		r->flags = port_get_le16(p + 2);
		r->bytes = port_get_le32(p + 4);
		r->p = p + ITEM_BYTES;
		error = get_item(r, type);
		p += ITEM_BYTES + r->bytes;
		left -= ITEM_BYTES + r->bytes;
	}
	return !error && left ? -EBADMSG : error;
	/* EXERCISE 4.6 end */
}

int lsm_manifest_decode(struct lsm_change *out, struct kv_slice record,
			struct kv_msg *why)
{
	const uint8_t *p = record.data;
	struct reader r = { .out = out };
	int error;

	memset(out, 0, sizeof(*out));
	if (record.len < LSM_MANIFEST_HEADER_BYTES)
		return kv_fail(why, -EBADMSG, "an edit of %zu bytes", record.len);
	if (port_get_le16(p) != LSM_MANIFEST_FORMAT)
		return kv_fail(
			why, -EPROTONOSUPPORT,
			"an edit of format %u, written by a newer program: use that "
			"one, or a backup",
			port_get_le16(p));
	out->whole = port_get_le16(p + 2) & WHOLE;
	out->serial = port_get_le64(p + 8);
	out->next = port_get_le64(p + 16);
	out->edit.log_position = port_get_le64(p + 24);
	error = port_get_le16(p + 2) & ~WHOLE || out->edit.log_position > LOG_POSITION_MAX
			? -EBADMSG
			: get_items(&r, p + LSM_MANIFEST_HEADER_BYTES,
				    record.len - LSM_MANIFEST_HEADER_BYTES,
				    port_get_le32(p + 4));
	if (!error)
		return 0;
	lsm_change_free(out);
	return kv_fail(why, error,
		       error == -EBADMSG ? "an edit that nobody wrote so: corruption"
					 : "no memory for an edit");
}
