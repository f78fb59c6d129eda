/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_format.c - see sst_format.h; the layouts are drawn in docs/FORMATS.md.
 */
#include "sst_format.h"

#define MAGIC "KVLSMSST"
enum { MAGIC_BYTES = 8, MAJOR = 1, MINOR = 0 };

enum { LARGEST_OPEN = 1 << 0, LARGEST_EXCLUDED = 1 << 1 }; /* flags of the properties */

int sst_bad(struct kv_msg *why, const char *path, uint64_t offset, const char *what,
	    uint64_t wanted, uint64_t got)
{
	return kv_fail(why, -EBADMSG,
		       "%s: damaged at offset %llu: %s: wanted %llx, got %llx", path,
		       (unsigned long long)offset, what, (unsigned long long)wanted,
		       (unsigned long long)got);
}

const uint8_t *sst_get_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	unsigned int shift;
	uint64_t n = 0;

	for (shift = 0; shift < 64 && p < end; shift += 7) {
		uint64_t b = *p++;

		n |= (b & 0x7f) << shift;
		if (shift == 63 && b > 1)
			return NULL;
		if (b < 0x80) {
			*v = n;
			return p;
		}
	}
	return NULL;
}

/* ---- trailers ---- */

/* Of the bytes, begun with where they belong. */
static uint32_t placed_crc(const uint8_t *p, size_t n, const struct sst_identity *id,
			   uint64_t offset)
{
	uint8_t place[24];

	port_put_le64(place, id->store_id);
	port_put_le64(place + 8, id->file);
	port_put_le64(place + 16, offset);
	return port_crc32c(port_crc32c(0, place, sizeof(place)), p, n);
}

uint32_t sst_seal(uint8_t *body, size_t bytes, enum sst_compression how,
		  const struct sst_identity *id, uint64_t offset)
{
	uint32_t crc;

	body[bytes] = (uint8_t)how;
	crc = placed_crc(body, bytes + 1, id, offset);
	port_put_le32(body + bytes + 1, crc);
	return crc;
}

bool sst_is_sealed(const uint8_t *block, size_t bytes, const struct sst_identity *id,
		   uint64_t offset, uint32_t *wanted, uint32_t *got)
{
	*wanted = port_get_le32(block + bytes - 4);
	*got = placed_crc(block, bytes - 4, id, offset);
	return *wanted == *got;
}

/* ---- footer ---- */

_Static_assert(SST_FOOTER_BYTES == 128, "the footer's CRC stands in its last four bytes");

uint32_t sst_footer_encode(const struct sst_footer *f, uint8_t *out)
{
	uint32_t crc;

	memset(out, 0, SST_FOOTER_BYTES);
	memcpy(out, MAGIC, MAGIC_BYTES);
	port_put_le16(out + 8, MAJOR);
	port_put_le16(out + 10, MINOR);
	port_put_le64(out + 24, f->id.store_id);
	port_put_le64(out + 32, f->id.file);
	port_put_le64(out + 40, f->top.offset);
	port_put_le32(out + 48, f->top.bytes);
	port_put_le32(out + 52, f->top_crc);
	port_put_le64(out + 56, f->properties.offset);
	port_put_le32(out + 64, f->properties.bytes);
	port_put_le32(out + 68, f->properties_crc);
	crc = port_crc32c(0, out, SST_FOOTER_BYTES - 4);
	port_put_le32(out + SST_FOOTER_BYTES - 4, crc);
	return crc;
}

int sst_footer_decode(struct sst_footer *f, const uint8_t *in, const char *path,
		      uint64_t offset, struct kv_msg *why)
{
	uint32_t wanted = port_get_le32(in + SST_FOOTER_BYTES - 4),
		 got = port_crc32c(0, in, SST_FOOTER_BYTES - 4);
	unsigned int major = port_get_le16(in + 8);
	uint64_t features = port_get_le64(in + 16);

	if (memcmp(in, MAGIC, MAGIC_BYTES))
		return sst_bad(why, path, offset, "no footer of a table",
			       port_get_le64((const uint8_t *)MAGIC), port_get_le64(in));
	if (wanted != got)
		return sst_bad(why, path, offset, "CRC of the footer", wanted, got);
	if (major != MAJOR || features)
		return kv_fail(why, -EPROTONOSUPPORT,
			       "%s: format %u.%u with features %llx is newer than this "
			       "program reads (%u.x): use a newer one",
			       path, major, port_get_le16(in + 10),
			       (unsigned long long)features, MAJOR);
	f->id.store_id = port_get_le64(in + 24);
	f->id.file = port_get_le64(in + 32);
	f->top.offset = port_get_le64(in + 40);
	f->top.bytes = port_get_le32(in + 48);
	f->top_crc = port_get_le32(in + 52);
	f->properties.offset = port_get_le64(in + 56);
	f->properties.bytes = port_get_le32(in + 64);
	f->properties_crc = port_get_le32(in + 68);
	return 0;
}

/* ---- properties ---- */

int sst_properties_encode(const struct sst_properties *p, struct kv_buf *out)
{
	const struct sst_summary *s = &p->s;
	uint8_t b[SST_PROPERTIES_BYTES] = { 0 };
	int error;
	size_t i;

	port_put_le64(b, s->entries);
	port_put_le64(b + 8, s->deletes);
	port_put_le64(b + 16, s->tombstones);
	port_put_le64(b + 24, s->key_bytes);
	port_put_le64(b + 32, s->value_bytes);
	port_put_le64(b + 40, s->min_sequence);
	port_put_le64(b + 48, s->max_sequence);
	port_put_le64(b + 56, p->data_blocks);
	port_put_le32(b + 64, p->partitions);
	port_put_le32(b + 68, (uint32_t)s->blobs);
	port_put_le64(b + 72, p->data_bytes);
	port_put_le64(b + 80, p->tombstones.offset);
	port_put_le32(b + 88, p->tombstones.bytes);
	port_put_le32(b + 92, p->shape.block_bytes);
	port_put_le32(b + 96, p->shape.partition_bytes);
	port_put_le16(b + 100, p->shape.restart_interval);
	b[102] = p->shape.filter_bits;
	b[103] = p->filter_probes;
	b[104] = p->shape.compression;
	b[105] = (uint8_t)((s->largest_open ? LARGEST_OPEN : 0) |
			   (s->largest_excluded ? LARGEST_EXCLUDED : 0));
	port_put_le32(b + 108, (uint32_t)s->smallest.len);
	port_put_le32(b + 112, (uint32_t)s->largest.len);

	error = kv_buf_set(out, b, sizeof(b));
	if (!error)
		error = kv_buf_append(out, s->smallest.data, s->smallest.len);
	if (!error)
		error = kv_buf_append(out, s->largest.data, s->largest.len);
	for (i = 0; !error && i < s->blobs; i++) {
		port_put_le64(b, s->blob[i].file);
		port_put_le64(b + 8, s->blob[i].bytes);
		error = kv_buf_append(out, b, 16);
	}
	return error;
}

static void decode_numbers(struct sst_properties *p, const uint8_t *b)
{
	struct sst_summary *s = &p->s;

	s->entries = port_get_le64(b);
	s->deletes = port_get_le64(b + 8);
	s->tombstones = port_get_le64(b + 16);
	s->key_bytes = port_get_le64(b + 24);
	s->value_bytes = port_get_le64(b + 32);
	s->min_sequence = port_get_le64(b + 40);
	s->max_sequence = port_get_le64(b + 48);
	p->data_blocks = port_get_le64(b + 56);
	p->partitions = port_get_le32(b + 64);
	p->data_bytes = port_get_le64(b + 72);
	p->tombstones.offset = port_get_le64(b + 80);
	p->tombstones.bytes = port_get_le32(b + 88);
	p->shape.block_bytes = port_get_le32(b + 92);
	p->shape.partition_bytes = port_get_le32(b + 96);
	p->shape.restart_interval = port_get_le16(b + 100);
	p->shape.filter_bits = b[102];
	p->filter_probes = b[103];
	p->shape.compression = b[104];
	s->largest_open = b[105] & LARGEST_OPEN;
	s->largest_excluded = b[105] & LARGEST_EXCLUDED;
}

int sst_properties_decode(struct sst_properties *p, const uint8_t *in, size_t bytes)
{
	struct sst_summary *s = &p->s;
	size_t smallest, largest, blobs, i;
	const uint8_t *at = in + SST_PROPERTIES_BYTES;

	memset(p, 0, sizeof(*p));
	if (bytes < SST_PROPERTIES_BYTES)
		return -EBADMSG;
	decode_numbers(p, in);
	blobs = port_get_le32(in + 68);
	smallest = port_get_le32(in + 108);
	largest = port_get_le32(in + 112);
	bytes -= SST_PROPERTIES_BYTES;
	if (smallest > bytes || largest > bytes - smallest ||
	    bytes - smallest - largest != (uint64_t)blobs * 16 || smallest > KV_KEY_MAX ||
	    largest > KV_KEY_MAX || p->filter_probes > 16)
		return -EBADMSG;
	if (kv_buf_set(&s->smallest, at, smallest) ||
	    kv_buf_set(&s->largest, at + smallest, largest))
		return -ENOMEM;
	at += smallest + largest;
	if (!blobs)
		return 0;
	s->blob = port_alloc(blobs * sizeof(*s->blob));
	if (!s->blob)
		return -ENOMEM;
	for (i = 0; i < blobs; i++, at += 16)
		s->blob[i] = (struct sst_blob_use){ .file = port_get_le64(at),
						    .bytes = port_get_le64(at + 8) };
	s->blobs = blobs;
	return 0;
}

int sst_summary_copy(struct sst_summary *to, const struct sst_summary *from)
{
	int error;

	*to = *from;
	to->smallest = to->largest = (struct kv_buf){ 0 };
	to->blob = NULL;
	to->blobs = 0;
	error = kv_buf_set(&to->smallest, from->smallest.data, from->smallest.len);
	if (!error)
		error = kv_buf_set(&to->largest, from->largest.data, from->largest.len);
	if (!error && from->blobs) {
		to->blob = port_alloc(from->blobs * sizeof(*to->blob));
		error = to->blob ? 0 : -ENOMEM;
	}
	if (error) {
		sst_summary_free(to);
		return error;
	}
	to->blobs = from->blobs;
	if (to->blobs)
		memcpy(to->blob, from->blob, to->blobs * sizeof(*to->blob));
	return 0;
}

void sst_summary_free(struct sst_summary *s)
{
	kv_buf_free(&s->smallest);
	kv_buf_free(&s->largest);
	port_free(s->blob);
	s->blob = NULL;
	s->blobs = 0;
}

/* ---- entries of indexes ---- */

void sst_partition_encode(const struct sst_partition *p, uint8_t *out)
{
	port_put_le64(out, p->index.offset);
	port_put_le32(out + 8, p->index.bytes);
	port_put_le64(out + 12, p->filter.offset);
	port_put_le32(out + 20, p->filter.bytes);
	port_put_le64(out + 24, p->first_block);
	port_put_le32(out + 32, p->blocks);
}

int sst_partition_decode(struct sst_partition *p, struct kv_slice value)
{
	const uint8_t *in = value.data;

	if (value.len != SST_TOP_VALUE_BYTES)
		return -EBADMSG;
	p->index.offset = port_get_le64(in);
	p->index.bytes = port_get_le32(in + 8);
	p->filter.offset = port_get_le64(in + 12);
	p->filter.bytes = port_get_le32(in + 20);
	p->first_block = port_get_le64(in + 24);
	p->blocks = port_get_le32(in + 32);
	return 0;
}

size_t sst_handle_encode(const struct sst_handle *h, uint8_t *out)
{
	return (size_t)(sst_put_varint(sst_put_varint(out, h->offset), h->bytes) - out);
}

int sst_handle_decode(struct sst_handle *h, struct kv_slice value)
{
	const uint8_t *p = value.data, *end = p + value.len;
	uint64_t bytes = 0;

	p = sst_get_varint(p, end, &h->offset);
	if (p)
		p = sst_get_varint(p, end, &bytes);
	if (p != end || bytes > UINT32_MAX)
		return -EBADMSG;
	h->bytes = (uint32_t)bytes;
	return 0;
}

/* ---- range tombstones ---- */

/*
 * u32 their number; of each: varints of the sequence, the begin's length, and the end's length
 * plus one, or 0 for an open end; then both keys.
 */
int sst_tombstones_encode(const struct lsm_tombstones *set, struct kv_buf *out)
{
	size_t i, n = lsm_tombstones_count(set);
	uint8_t b[3 * SST_VARINT_MAX], *p;
	int error;

	port_put_le32(b, (uint32_t)n);
	error = kv_buf_set(out, b, 4);
	for (i = 0; !error && i < n; i++) {
		struct lsm_tombstone t = lsm_tombstones_at(set, i);

		p = sst_put_varint(b, t.sequence);
		p = sst_put_varint(p, t.begin.len);
		p = sst_put_varint(p, t.end.data ? t.end.len + 1 : 0);
		error = kv_buf_append(out, b, (size_t)(p - b));
		if (!error)
			error = kv_buf_append(out, t.begin.data, t.begin.len);
		if (!error && t.end.data)
			error = kv_buf_append(out, t.end.data, t.end.len);
	}
	return error;
}

static const uint8_t *decode_tombstone(struct lsm_tombstone *t, const uint8_t *p,
				       const uint8_t *end)
{
	uint64_t begin_len = 0, end_len = 0;

	p = sst_get_varint(p, end, &t->sequence);
	if (p)
		p = sst_get_varint(p, end, &begin_len);
	if (p)
		p = sst_get_varint(p, end, &end_len);
	if (!p || begin_len > (size_t)(end - p))
		return NULL;
	t->begin = kv_slice(p, (size_t)begin_len);
	p += begin_len;
	t->end = kv_slice(NULL, 0);
	if (!end_len)
		return p;
	if (end_len - 1 > (size_t)(end - p))
		return NULL;
	t->end = kv_slice(p, (size_t)end_len - 1);
	return p + end_len - 1;
}

int sst_tombstones_decode(const uint8_t *in, size_t bytes, struct lsm_tombstones **out)
{
	const uint8_t *p = in + 4, *end = in + bytes;
	struct lsm_tombstone *t;
	uint32_t n, i;
	int error = 0;

	if (bytes < 4)
		return -EBADMSG;
	n = port_get_le32(in);
	if (n > (bytes - 4) / 3) /* each takes three bytes at least */
		return -EBADMSG;
	t = port_alloc(n * sizeof(*t));
	if (!t)
		return -ENOMEM;
	for (i = 0; i < n && p; i++)
		p = decode_tombstone(&t[i], p, end);
	if (p != end)
		error = -EBADMSG;
	if (!error)
		error = lsm_tombstones_new(t, n, out);
	if (!error && lsm_tombstones_count(*out) != n) {
		lsm_tombstones_free(*out);
		*out = NULL;
		error = -EBADMSG;
	}
	port_free(t);
	return error;
}
