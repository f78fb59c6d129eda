/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_dump.c - a table as text, for people: the footer, the properties, a line a block, and
 * if wanted a line an entry. Bytes that are no printable ASCII are shown as \xNN.
 */
#include "sst_internal.h"

enum { KEY_SHOWN = 48, VALUE_SHOWN = 32 }; /* bytes */

struct dump {
	struct sst *t;
	bool entries;
	int (*line)(void *arg, const char *text);
	void *arg;
	struct kv_msg *why;
	struct kv_buf text, packed, plain;
	struct sst_walk walk;
	int error; /* of building a line */
};

/* ---- lines ---- */

static void add_bytes(struct dump *d, const void *p, size_t n)
{
	if (!d->error)
		d->error = kv_buf_append(&d->text, p, n);
}

static void __attribute__((format(printf, 2, 3)))
add(struct dump *d, const char *fmt, ...)
{
	char text[192];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_bytes(d, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void add_data(struct dump *d, struct kv_slice s, size_t most)
{
	const uint8_t *p = s.data;
	size_t i;

	add(d, "'");
	for (i = 0; i < s.len && i < most; i++) {
		if (p[i] >= ' ' && p[i] < 0x7f && p[i] != '\'' && p[i] != '\\')
			add_bytes(d, &p[i], 1);
		else
			add(d, "\\x%02x", p[i]);
	}
	add(d, s.len > most ? "'..." : "'");
}

static int end_line(struct dump *d)
{
	int error = d->error;

	add_bytes(d, "", 1);
	if (!error)
		error = d->error;
	if (error)
		return kv_fail(d->why, error, "%s: no memory for a line", sst_path(d->t));
	error = d->line(d->arg, d->text.data);
	d->text.len = 0;
	return error;
}

/* ---- the parts ---- */

static struct kv_slice slice_of(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static int dump_head(struct dump *d)
{
	const struct sst_properties *p = &d->t->p;
	const struct sst_summary *s = &p->s;
	size_t i;
	int error;

	add(d, "table %llu of store %016llx: %llu bytes, footer CRC %08x",
	    (unsigned long long)d->t->id.file, (unsigned long long)d->t->id.store_id,
	    (unsigned long long)d->t->bytes, d->t->footer_crc);
	error = end_line(d);
	if (error)
		return error;
	add(d, "entries %llu (deletes %llu), range tombstones %llu, keys %llu bytes, ",
	    (unsigned long long)s->entries, (unsigned long long)s->deletes,
	    (unsigned long long)s->tombstones, (unsigned long long)s->key_bytes);
	add(d, "values %llu bytes, sequences %llu to %llu",
	    (unsigned long long)s->value_bytes, (unsigned long long)s->min_sequence,
	    (unsigned long long)s->max_sequence);
	error = end_line(d);
	if (error)
		return error;
	add(d, "keys from ");
	add_data(d, slice_of(&s->smallest), KEY_SHOWN);
	add(d, " to ");
	add_data(d, slice_of(&s->largest), KEY_SHOWN);
	add(d, "%s%s", s->largest_excluded ? ", itself excluded" : "",
	    s->largest_open ? ", and on to the end of all keys" : "");
	error = end_line(d);
	if (error)
		return error;
	add(d, "blocks of %u bytes, restart interval %u, partitions of %u bytes, ",
	    p->shape.block_bytes, p->shape.restart_interval, p->shape.partition_bytes);
	add(d, "%u filter bits a key (%u probes), %s", p->shape.filter_bits,
	    p->filter_probes, p->shape.compression == SST_LZ4 ? "LZ4" : "plain");
	error = end_line(d);
	for (i = 0; !error && i < s->blobs; i++) {
		add(d, "refers to %llu bytes of blob file %llu",
		    (unsigned long long)s->blob[i].bytes,
		    (unsigned long long)s->blob[i].file);
		error = end_line(d);
	}
	return error;
}

static int dump_tombstones(struct dump *d)
{
	size_t i, n = lsm_tombstones_count(d->t->tombstones);
	int error = 0;

	for (i = 0; !error && i < n; i++) {
		struct lsm_tombstone t = lsm_tombstones_at(d->t->tombstones, i);

		add(d, "delete range @%llu from ", (unsigned long long)t.sequence);
		add_data(d, t.begin, KEY_SHOWN);
		if (t.end.data) {
			add(d, " to ");
			add_data(d, t.end, KEY_SHOWN);
		} else {
			add(d, " on");
		}
		error = end_line(d);
	}
	return error;
}

static int dump_entry(struct dump *d)
{
	static const char *const kinds[] = { "delete", "put", "blob" };
	const struct sst_entry *e = &d->walk.e;
	enum lsm_kind kind = lsm_kind(e->stamp);

	add(d, "    ");
	add_data(d, slice_of(&d->walk.key), KEY_SHOWN);
	add(d, " @%llu %s", (unsigned long long)lsm_sequence(e->stamp),
	    kind <= LSM_BLOB ? kinds[kind] : "?");
	if (kind != LSM_DELETE) {
		add(d, " %zu bytes ", e->value.len);
		add_data(d, e->value, VALUE_SHOWN);
	}
	return end_line(d);
}

static int dump_block(struct dump *d, const struct sst_handle *h)
{
	const uint8_t *body;
	struct sst_block b;
	size_t bytes;
	int error;

	if (kv_buf_reserve(&d->packed, h->bytes))
		return kv_fail(d->why, -ENOMEM, "%s: no memory for a block",
			       sst_path(d->t));
	error = sst_read_block(d->t, h, d->packed.data, d->why);
	if (!error)
		error = sst_unpack(d->t, d->packed.data, h, &d->plain, &body, &bytes,
				   d->why);
	if (!error)
		error = sst_open_block(d->t, h, body, bytes, &b, d->why);
	if (error)
		return error;
	add(d, "  block at %llu: %u bytes, %zu unpacked, %u entries, ",
	    (unsigned long long)h->offset, h->bytes, bytes, b.count);
	add(d, "%u restart points, %u bytes a sequence, prefix ", b.restarts, b.width);
	add_data(d, kv_slice(b.prefix, b.prefix_bytes), KEY_SHOWN);
	error = end_line(d);
	if (error || !d->entries)
		return error;
	sst_walk_begin(&d->walk, &b);
	for (error = sst_walk_next(&d->walk); !error; error = sst_walk_next(&d->walk)) {
		error = dump_entry(d);
		if (error)
			return error;
	}
	if (error == -EBADMSG)
		return sst_bad(d->why, sst_path(d->t), h->offset, "an entry of a block",
			       b.count, 0);
	return error == -ENOENT ? 0
				: kv_fail(d->why, error, "%s: no memory for a key",
					  sst_path(d->t));
}

static int dump_partition(struct dump *d, uint32_t p)
{
	const struct sst_partition *part = &d->t->partition[p];
	struct sst_block index;
	struct sst_handle h;
	struct sst_ref ref;
	uint32_t i;
	int error;

	add(d, "partition %u: index at %llu, %u bytes, filter at %llu, %u bytes, ", p,
	    (unsigned long long)part->index.offset, part->index.bytes,
	    (unsigned long long)part->filter.offset, part->filter.bytes);
	add(d, "%u blocks", part->blocks);
	error = end_line(d);
	if (!error)
		error = sst_load_index(d->t, p, &ref, &index, d->why);
	if (error)
		return error;
	for (i = 0; !error && i < index.count; i++) {
		error = sst_data_handle(d->t, p, &index, i, &h, d->why);
		if (!error)
			error = dump_block(d, &h);
	}
	sst_unload(d->t, &ref);
	return error;
}

int sst_dump(struct sst *t, bool entries, int (*line)(void *arg, const char *text),
	     void *arg, struct kv_msg *why)
{
	struct dump d = {
		.t = t, .entries = entries, .line = line, .arg = arg, .why = why
	};
	int error = dump_head(&d);
	uint32_t p;

	if (!error)
		error = dump_tombstones(&d);
	for (p = 0; !error && p < t->p.partitions; p++)
		error = dump_partition(&d, p);
	sst_walk_free(&d.walk);
	kv_buf_free(&d.text);
	kv_buf_free(&d.packed);
	kv_buf_free(&d.plain);
	return error;
}
