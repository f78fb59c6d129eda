/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_raw.c - see log_raw.h.
 *
 * How to go on behind damage: a length that is damaged leads anywhere, so nothing that a
 * bad record says is believed. The next record is where 24 bytes at a multiple of 8 carry
 * the segment's log id and a CRC that fits what follows.
 */
#include "log_raw.h"
#include "log_internal.h"

enum { READ_BYTES = 64 << 10, BLOCK_BYTES = 4 << 10 };

bool log_raw_number(const char *name, uint64_t *number)
{
	return log_parse_name(name, ".log", number);
}

void log_raw_name(char *name, uint64_t number)
{
	(void)snprintf(name, 32, "%012llx.log", (unsigned long long)number);
}

/* ---- reading ---- */

/* A block that the device will not give twice is left zero, and counted. */
static void read_blocks(struct log_raw *s, struct file *f, uint64_t at, size_t len)
{
	size_t n, got, done;

	for (done = 0; done < len; done += n) {
		int error, tries = 2;

		n = len - done < BLOCK_BYTES ? len - done : BLOCK_BYTES;
		do {
			got = 0;
			error = file_read(f, at + done, s->data + at + done, n, &got);
		} while ((error || got < n) && --tries);
		if (!error && got == n)
			continue;
		memset(s->data + at + done, 0, n);
		if (!s->unreadable)
			s->unreadable_at = at + done;
		s->unreadable += n;
	}
}

static int read_all(struct log_raw *s, struct file *f)
{
	uint64_t at;
	size_t n, got;

	if (s->size > SIZE_MAX / 2)
		return -EFBIG;
	s->data = port_alloc((size_t)s->size);
	if (!s->data)
		return -ENOMEM;
	for (at = 0; at < s->size; at += n) {
		n = s->size - at < READ_BYTES ? (size_t)(s->size - at) : READ_BYTES;
		got = 0;
		if (file_read(f, at, s->data + at, n, &got) || got < n)
			read_blocks(s, f, at, n);
	}
	return 0;
}

static int read_header(struct log_raw *s, struct file *f)
{
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	size_t got = 0;
	int error = file_read(f, 0, header, sizeof(header), &got);

	if (error)
		s->header_error = kv_fail(&s->header_why, -EBADMSG,
					  "the device does not give the header");
	else if (got < sizeof(header))
		s->header_error =
			kv_fail(&s->header_why, -EBADMSG, "shorter than a header");
	else
		s->header_error =
			log_segment_header_decode(&s->header, header, &s->header_why);
	return error == -ENOMEM ? error : 0;
}

static int load(struct env *env, const char *dir, uint64_t named, struct log_raw *out,
		bool all)
{
	char path[ENV_PATH_MAX], name[32];
	struct file *f = NULL;
	int error;

	*out = (struct log_raw){ .named = named };
	log_raw_name(name, named);
	error = env_path(path, dir, name);
	if (!error)
		error = env_open(env, path, ENV_READ, &f);
	if (!error)
		error = f->ops->size(f, &out->size);
	if (!error)
		error = read_header(out, f);
	if (!error && all)
		error = read_all(out, f);
	file_close(f);
	if (error)
		log_raw_free(out);
	return error;
}

int log_raw_open(struct env *env, const char *dir, uint64_t named, struct log_raw *out)
{
	return load(env, dir, named, out, false);
}

int log_raw_load(struct env *env, const char *dir, uint64_t named, struct log_raw *out)
{
	return load(env, dir, named, out, true);
}

void log_raw_free(struct log_raw *s)
{
	port_free(s->data);
	s->data = NULL;
}

/* ---- records ---- */

struct walk {
	const struct log_raw *s;
	uint32_t id;
	uint64_t begin; /* position of the file's first byte */
};

/* Whether a header at offset could be this segment's: *bytes is what its record takes. */
static bool looks_like(const struct walk *w, uint64_t offset, struct log_record_header *h,
		       struct kv_msg *why)
{
	if (offset > w->s->size || w->s->size - offset < LOG_HEADER_BYTES)
		return kv_fail(why, 0, "the file's end");
	log_record_header_decode(h, w->s->data + offset);
	if (h->log_id != w->id)
		return kv_fail(why, 0, "log id %08x, wanted %08x", h->log_id, w->id);
	if (h->len > w->s->size - offset - LOG_HEADER_BYTES)
		return kv_fail(why, 0, "a length of %u bytes, beyond the file", h->len);
	return true;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

static int record_at(const struct walk *w, uint64_t offset, struct log_raw_piece *out)
{
	const uint8_t *p = w->s->data + offset, *payload = p + LOG_HEADER_BYTES;
	struct log_record_header h;
	uint64_t bytes, back;
	uint32_t crc;

	*out = (struct log_raw_piece){ .offset = offset, .position = w->begin + offset };
	if (!looks_like(w, offset, &h, &out->why))
		return -ENODATA;
	crc = log_record_crc(p, port_crc32c(0, payload, h.len));
	if (crc != h.crc)
		return kv_fail(&out->why, -ENODATA, "CRC %08x, wanted %08x", crc, h.crc);
	bytes = log_record_bytes(h.len);
	/* Where a file is cut within the padding, the record is whole. */
	if (bytes > w->s->size - offset)
		bytes = w->s->size - offset;
	back = (uint64_t)h.unsynced * LOG_ALIGN;
	out->kind = h.type == LOG_TYPE_END ? LOG_RAW_END : LOG_RAW_RECORD;
	out->bytes = bytes;
	out->synced = h.unsynced == UINT32_MAX || back > out->position
			      ? 0
			      : out->position - back;
	out->padding = !is_zero(payload + h.len, bytes - LOG_HEADER_BYTES - h.len);
	out->record = (struct log_record){
		.position = out->position,
		.end = out->position + bytes,
		.sequence = h.sequence,
		.type = h.type,
		.payload = kv_slice(payload, h.len),
		.checked = true,
	};
	return 0;
}

/* The next good record behind a bad place; size where there is none. *last: the end of
 * the last thing before that which looks like a record. */
static uint64_t find_next(const struct walk *w, uint64_t from, uint64_t *last)
{
	struct log_raw_piece p;
	struct log_record_header h;
	uint64_t at;

	*last = from;
	for (at = from; at < w->s->size; at += LOG_ALIGN) {
		if (!looks_like(w, at, &h, NULL))
			continue;
		if (!record_at(w, at, &p))
			return at;
		if (*last < at + LOG_HEADER_BYTES + h.len)
			*last = at + LOG_HEADER_BYTES + h.len;
	}
	return w->s->size;
}

/* The bytes at *offset hold no record. */
static int walk_damage(const struct walk *w, uint64_t *offset, log_raw_fn *fn, void *arg)
{
	struct log_raw_piece p;
	uint64_t last, next;
	int error = 0;

	(void)record_at(w, *offset, &p); /* says why */
	next = find_next(w, *offset, &last);
	if (next < w->s->size) {
		p.kind = LOG_RAW_BAD;
		p.bytes = next - *offset;
	} else if (last > *offset) {
		p.kind = LOG_RAW_TORN;
		p.bytes = last - *offset;
	} else {
		p.kind = LOG_RAW_REST;
		p.bytes = next - *offset;
	}
	error = fn(arg, &p);
	if (!error && p.kind == LOG_RAW_TORN) {
		p.kind = LOG_RAW_REST;
		p.offset = last;
		p.position = w->begin + last;
		p.bytes = w->s->size - last;
		error = p.bytes ? fn(arg, &p) : 0;
	}
	*offset = next;
	return error;
}

static int walk_rest(const struct walk *w, uint64_t offset, log_raw_fn *fn, void *arg)
{
	struct log_raw_piece p = {
		.kind = LOG_RAW_REST,
		.offset = offset,
		.bytes = w->s->size - offset,
		.position = w->begin + offset,
	};

	(void)kv_fail(&p.why, 0, "behind the end mark");
	return fn(arg, &p);
}

static struct walk walk_of(const struct log_raw *s, uint64_t store_id, uint64_t number,
			   uint64_t segment_bytes)
{
	return (struct walk){ s, log_id(store_id, number), number * segment_bytes };
}

int log_raw_walk(const struct log_raw *s, uint64_t store_id, uint64_t number,
		 uint64_t segment_bytes, log_raw_fn *fn, void *arg)
{
	struct walk w = walk_of(s, store_id, number, segment_bytes);
	uint64_t offset = LOG_SEGMENT_HEADER_BYTES;
	struct log_raw_piece p;
	int error = 0;

	if (s->size <= offset)
		return 0;
	while (!error && offset < s->size) {
		if (record_at(&w, offset, &p)) {
			error = walk_damage(&w, &offset, fn, arg);
			continue;
		}
		error = fn(arg, &p);
		offset += p.bytes;
		if (!error && p.kind == LOG_RAW_END)
			return offset < s->size ? walk_rest(&w, offset, fn, arg) : 0;
	}
	return error;
}

int log_raw_at(const struct log_raw *s, uint64_t store_id, uint64_t number,
	       uint64_t segment_bytes, uint64_t offset, struct log_raw_piece *out)
{
	struct walk w = walk_of(s, store_id, number, segment_bytes);

	return record_at(&w, offset, out);
}

int log_raw_each(const struct log_record *r, log_record_fn *fn, void *arg)
{
	return log_each_record(r, fn, arg);
}
