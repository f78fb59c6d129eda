/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_dump.c - the files of a B+tree store as text, a line a page and a line a step of
 * the log, also where they are damaged. docs/FORMATS.md says what the fields mean.
 */
#include "btree_files.h"

struct dump {
	struct btree_files *files;
	kv_line_fn *line;
	void *arg;
	uint64_t *used; /* the free map's; NULL: damaged, or no superblock */
	const struct btree_segment *segment;
	const struct log_raw_piece *piece;
	uint64_t offset; /* of the record in its file */
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

/* ---- TREE ---- */

static int dump_super(const struct dump *d, unsigned int place, unsigned int copy)
{
	const struct btree_place *p = &d->files->place[place][copy];
	const struct btree_super *s = &p->super;

	if (p->error)
		return say(d, "page %-8u super   copy %u: %s", place, copy + 1,
			   p->why.text);
	return say(
		d,
		"page %-8u super   copy %u: sequence %llu%s, generation %llu, root %u, %u "
		"levels, %llu pairs, log position %llx, %u pages, free map %u (%u)",
		place, copy + 1, (unsigned long long)s->sequence,
		s->sequence == d->files->super.sequence ? " (counts)" : "",
		(unsigned long long)s->generation, s->root.page, s->levels,
		(unsigned long long)s->keys, (unsigned long long)s->log_position,
		s->pages, s->map_page, s->map_pages);
}

static int dump_node(const struct dump *d, const struct btree_node *n, const char *state)
{
	const struct btree_shape *shape = &d->files->shape;
	struct kv_slice upper_fence = btree_node_upper(n, shape);
	char lower[40], upper[40] = "end";

	if (upper_fence.data)
		(void)kv_quote(upper, sizeof(upper), upper_fence);
	return say(
		d,
		"page %-8u %-7s birth %llu, level %u, %u %s, prefix %u, from \"%s\" to "
		"%s%s%s, %zu bytes used%s",
		n->page.page, n->page.level ? "node" : "leaf",
		(unsigned long long)n->page.birth, n->page.level, n->count,
		n->page.level ? "children" : "pairs", n->prefix_bytes,
		kv_quote(lower, sizeof(lower), btree_node_lower(n, shape)),
		upper_fence.data ? "\"" : "", upper, upper_fence.data ? "\"" : "",
		btree_node_used(n, shape), state);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

static int dump_page(struct dump *d, uint32_t page, uint8_t *image, uint64_t *empty)
{
	const struct btree_page_header *h =
		(const struct btree_page_header *)(void *)image;
	const char *state = !d->used || page >= d->files->super.pages ? ""
			    : btree_bit(d->used, page)                ? ""
								      : "; free";
	struct kv_msg why = { "" };
	int error = btree_files_read(d->files, page, image);

	if (error == -ENOMEM)
		return error;
	if (error)
		return say(d, "page %-8u the device does not give it", page);
	if (is_zero(image, d->files->shape.page_bytes)) {
		++*empty;
		return 0;
	}
	if (btree_files_page(d->files, page, image, 0, &why))
		return say(d, "page %-8u DAMAGED %s%s", page, why.text, state);
	if (h->kind == BTREE_PAGE_NODE)
		return dump_node(d, (const struct btree_node *)(void *)image, state);
	return say(d, "page %-8u %-7s birth %llu, %u bytes%s", page,
		   h->kind == BTREE_PAGE_FREE_MAP ? "map" : "value",
		   (unsigned long long)h->birth, h->used, state);
}

static int dump_pages(struct dump *d)
{
	struct btree_files *f = d->files;
	uint8_t *image = port_alloc_aligned(64, f->shape.page_bytes);
	uint64_t empty = 0;
	uint32_t page;
	int error = image ? 0 : -ENOMEM;

	for (page = BTREE_SUPER_PAGES; !error && page < f->pages; page++)
		error = dump_page(d, page, image, &empty);
	port_free_aligned(image);
	if (!error && empty)
		error = say(d, "%llu pages of zeros", (unsigned long long)empty);
	return error;
}

static int dump_tree(struct dump *d)
{
	struct btree_files *f = d->files;
	const char *name = f->tree ? "TREE" : BTREE_BACKUP_FILE;
	struct kv_msg why = { "" };
	unsigned int i;
	int error = 0;

	if (!f->file)
		return say(d, "%s: %s", name, f->tree ? "cannot be opened" : "missing");
	if (f->has_super)
		error = say(d, "%s: %llu bytes; store %016llx, pages of %u bytes", name,
			    (unsigned long long)f->bytes,
			    (unsigned long long)f->super.store_id, f->shape.page_bytes);
	else
		error = say(d, "%s: %llu bytes; pages seem to have %u bytes", name,
			    (unsigned long long)f->bytes, f->shape.page_bytes);
	for (i = 0; !error && i < BTREE_PLACES * BTREE_COPIES; i++)
		error = dump_super(d, i / BTREE_COPIES, i % BTREE_COPIES);
	if (!error && f->has_super)
		error = btree_files_map(f, &d->used, &why);
	if (!error && f->has_super && !d->used)
		error = say(d, "the free map: %s", why.text);
	if (!error && f->shape.page_bytes)
		error = dump_pages(d);
	return error;
}

/* ---- segments ---- */

static int dump_step(void *arg, unsigned int number, const struct kv_op *op)
{
	static const char *const name[] = { "put", "delete", "range" };
	const struct dump *d = arg;
	char key[80], end[80] = "";

	if (op->type == KV_DELETE_RANGE && op->value.data)
		(void)kv_quote(end, sizeof(end), op->value);
	if (op->type == KV_DELETE_RANGE)
		return say(d, "%10llu  %s%-6s  from \"%s\" to %s%s%s",
			   (unsigned long long)d->offset, number ? "  " : "",
			   name[op->type], kv_quote(key, sizeof(key), op->key),
			   op->value.data ? "\"" : "", op->value.data ? end : "the end",
			   op->value.data ? "\"" : "");
	return say(d, "%10llu  %s%-6s  key %zu \"%s\"  value %zu",
		   (unsigned long long)d->offset, number ? "  " : "", name[op->type],
		   op->key.len, kv_quote(key, sizeof(key), op->key),
		   op->type == KV_PUT ? op->value.len : 0);
}

static int dump_record(void *arg, const struct log_record *r)
{
	struct dump *d = arg;
	int error;

	d->offset = r->position - d->segment->number * d->files->segment_bytes;
	error = btree_record_each(r, dump_step, d);
	if (error != -EBADMSG)
		return error;
	return say(d, "%10llu  type %u, %zu bytes: no write",
		   (unsigned long long)d->offset, r->type, r->payload.len);
}

static int dump_piece(void *arg, const struct log_raw_piece *p)
{
	struct dump *d = arg;

	switch (p->kind) {
	case LOG_RAW_RECORD:
		return log_raw_each(&p->record, dump_record, d);
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
		btree_segment_is_read(d->segment) ? "" : "; NOT READ");
}

static int dump_segment(struct dump *d)
{
	struct btree_files *f = d->files;
	struct log_raw raw;
	int error = log_raw_load(f->env, f->dir, d->segment->named, &raw);

	if (error == -ENOMEM)
		return error;
	if (error)
		return say(d, "%012llx.log: cannot be opened",
			   (unsigned long long)d->segment->named);
	error = dump_header(d, &raw);
	if (!error && raw.unreadable)
		error = say(d, "  the device does not give %llu bytes, the first at %llu",
			    (unsigned long long)raw.unreadable,
			    (unsigned long long)raw.unreadable_at);
	if (!error && btree_segment_is_read(d->segment))
		error = log_raw_walk(&raw, f->id, d->segment->number, f->segment_bytes,
				     dump_piece, d);
	log_raw_free(&raw);
	return error;
}

int btree_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			  struct kv_msg *why)
{
	struct btree_files f;
	struct dump d = { .files = &f, .line = line, .arg = arg };
	size_t i;
	int error = btree_files_open(env, dir, &f, why);

	if (error)
		return error;
	error = dump_tree(&d);
	for (i = 0; !error && i < f.segments; i++) {
		d.segment = &f.segment[i];
		error = dump_segment(&d);
	}
	if (!error && f.spares)
		error = say(&d, "%zu spare files: what they hold means nothing",
			    f.spares);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory for a segment or a page of %s", dir);
	port_free(d.used);
	btree_files_close(&f);
	return error;
}
