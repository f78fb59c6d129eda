/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_dump.c - the files of a hash store as text, a line a record, also where they are
 * damaged. docs/FORMATS.md says what the fields mean.
 */
#include "hash_files.h"

struct dump {
	struct hash_files *files;
	kv_line_fn *line;
	void *arg;
	const struct hash_file *file;
	bool in_group;
};

static int say(const struct dump *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int say(const struct dump *d, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	(void)port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return d->line(d->arg, text);
}

/* ---- STORE, INDEX ---- */

static int dump_identity(const struct dump *d)
{
	const struct hash_files *f = d->files;
	const struct hash_identity *i = &f->identity;

	if (f->identity_error)
		return say(d, "STORE: %s; the files are of store %016llx",
			   f->identity_why.text, (unsigned long long)f->id);
	return say(d,
		   "STORE: format %u.%u, store %016llx, hash function %s, seed %016llx, "
		   "segments of %llu bytes, CRC good",
		   i->major, i->minor, (unsigned long long)i->id,
		   hash_function_get(i->function)->name, (unsigned long long)i->seed,
		   (unsigned long long)i->segment_bytes);
}

static int dump_index(const struct dump *d)
{
	const struct hash_image *image = &d->files->index;
	const struct hash_index_header *h = &image->header;
	const struct hash_table_ops *table = hash_table_get(h->table & 0xff);
	uint64_t i;
	int error;

	if (!image->there)
		return say(d, "INDEX: missing");
	if (!image->listed)
		return say(d, "INDEX: %s, at offset %llu", image->wrong,
			   (unsigned long long)image->wrong_at);
	error = say(
		d,
		"INDEX: format %u.%u, leaves of %u, table %s, layout %u, as of position %llx; "
		"about %llu entries, %llu keys, %llu live bytes",
		h->major, h->minor, h->leaf, table ? table->name : "?", h->table >> 8,
		(unsigned long long)h->position, (unsigned long long)h->entries,
		(unsigned long long)h->keys, (unsigned long long)h->live_bytes);
	for (i = 0; !error && i < h->segments; i++)
		error = say(d, "  segment %012llx: %llu bytes live, %llu of deletes",
			    (unsigned long long)image->list[i].number,
			    (unsigned long long)image->list[i].live,
			    (unsigned long long)image->list[i].marks);
	if (error)
		return error;
	if (image->wrong)
		return say(d, "  %u good blocks, %zu entries; then %s, at offset %llu",
			   image->blocks, image->entries, image->wrong,
			   (unsigned long long)image->wrong_at);
	return say(d, "  %u blocks, %zu entries, CRCs good", image->blocks,
		   image->entries);
}

/* ---- segments ---- */

static const char *type_name(unsigned int type)
{
	switch (type & HASH_TYPE) {
	case HASH_PUT:
		return "put";
	case HASH_DELETE:
		return "delete";
	default:
		return "?";
	}
}

static uint64_t offset_of(const struct dump *d, const struct log_record *r)
{
	return r->position - d->file->number * d->files->segment_bytes;
}

static int dump_retire(const struct dump *d, const struct log_record *r)
{
	const uint8_t *p = r->payload.data;

	if (r->payload.len != HASH_RETIRE_BYTES)
		return say(d, "%10llu  retire  of %zu bytes: malformed",
			   (unsigned long long)offset_of(d, r), r->payload.len);
	return say(d, "%10llu  retire  seq %-8llu segment %012llx was given up (%llu)",
		   (unsigned long long)offset_of(d, r), (unsigned long long)r->sequence,
		   (unsigned long long)port_get_le64(p),
		   (unsigned long long)port_get_le64(p + 8));
}

static int dump_record(void *arg, const struct log_record *r)
{
	const struct dump *d = arg;
	struct hash_record h;
	char key[96];

	if (r->type <= LOG_TYPE_MAX && (r->type & HASH_TYPE) == HASH_RETIRE)
		return dump_retire(d, r);
	if (r->type > LOG_TYPE_MAX || hash_record_parse(r, &h))
		return say(d, "%10llu  type %u, %zu bytes: no key",
			   (unsigned long long)offset_of(d, r), r->type, r->payload.len);
	return say(
		d, "%10llu  %s%-6s  seq %-8llu prev %-8llx key %zu \"%s\"  value %zu%s%s",
		(unsigned long long)offset_of(d, r), d->in_group ? "  " : "",
		type_name(r->type), (unsigned long long)r->sequence,
		(unsigned long long)h.prev, h.key.len, kv_quote(key, sizeof(key), h.key),
		h.value.len, r->type & HASH_SYNC ? "  sync" : "",
		r->type & HASH_BATCH ? "  batch" : "");
}

static int dump_good(struct dump *d, const struct log_raw_piece *p)
{
	int error;

	d->in_group = p->record.type == LOG_TYPE_GROUP;
	if (!d->in_group)
		return dump_record(d, &p->record);
	error = say(d, "%10llu  group   of %zu bytes, durable to %llx, CRC good",
		    (unsigned long long)p->offset, p->record.payload.len,
		    (unsigned long long)p->synced);
	return error ? error : log_raw_each(&p->record, dump_record, d);
}

static int dump_piece(void *arg, const struct log_raw_piece *p)
{
	struct dump *d = arg;

	switch (p->kind) {
	case LOG_RAW_RECORD:
		return dump_good(d, p);
	case LOG_RAW_END:
		return say(d, "%10llu  end     durable to %llx",
			   (unsigned long long)p->offset, (unsigned long long)p->synced);
	case LOG_RAW_BAD:
	case LOG_RAW_TORN:
		return say(d, "%10llu  DAMAGED %llu bytes: %s",
			   (unsigned long long)p->offset, (unsigned long long)p->bytes,
			   p->why.text);
	case LOG_RAW_REST:
		return say(d, "%10llu  unused  %llu bytes: %s",
			   (unsigned long long)p->offset, (unsigned long long)p->bytes,
			   p->why.text);
	}
	return 0;
}

static int dump_header(const struct dump *d, const struct log_raw *raw)
{
	const struct log_segment_header *h = &raw->header;
	char name[32];

	log_raw_name(name, raw->named);
	if (raw->header_error)
		return say(d, "%s: %llu bytes; %s", name, (unsigned long long)raw->size,
			   raw->header_why.text);
	return say(
		d,
		"%s: %llu bytes; format %u.%u, store %016llx, segment %llx, from position "
		"%llx, units %u, CRC good%s",
		name, (unsigned long long)raw->size, h->major, h->minor,
		(unsigned long long)h->store_id, (unsigned long long)h->number,
		(unsigned long long)(h->number * h->segment_bytes), h->units,
		hash_file_is_read(d->file) ? "" : "; NOT READ");
}

static int dump_segment(struct dump *d)
{
	struct hash_files *f = d->files;
	struct log_raw raw;
	char name[32];
	int error = log_raw_load(f->env, f->dir, d->file->named, &raw);

	if (error == -ENOMEM)
		return error;
	log_raw_name(name, d->file->named);
	if (error)
		return say(d, "%s: cannot be opened", name);
	error = dump_header(d, &raw);
	if (!error && raw.unreadable)
		error = say(d, "  the device does not give %llu bytes, the first at %llu",
			    (unsigned long long)raw.unreadable,
			    (unsigned long long)raw.unreadable_at);
	if (!error && hash_file_is_read(d->file))
		error = log_raw_walk(&raw, f->id, d->file->number, f->segment_bytes,
				     dump_piece, d);
	log_raw_free(&raw);
	return error;
}

int hash_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			 struct kv_msg *why)
{
	struct hash_files f;
	struct dump d = { .files = &f, .line = line, .arg = arg };
	size_t i;
	int error = hash_files_open(env, dir, &f, why);

	if (error)
		return error;
	error = dump_identity(&d);
	if (!error)
		error = dump_index(&d);
	for (i = 0; !error && i < f.files; i++) {
		d.file = &f.file[i];
		error = dump_segment(&d);
	}
	if (!error && f.spares)
		error = say(&d, "%zu spare files: what they hold means nothing",
			    f.spares);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory for a segment of %s", dir);
	hash_files_close(&f);
	return error;
}
