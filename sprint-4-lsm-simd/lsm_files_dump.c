/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_dump.c - an LSM store's files as text: all of a store, or one file alone.
 *
 * A file alone may lie anywhere, as LevelDB's and RocksDB's sst_dump take it: a table and a
 * blob file say themselves which store's and which number they are, and the manifest is a log
 * of edits that need nothing else to be told.
 */
#include "lsm_files.h"

/* ---- lines ---- */

struct dumping {
	struct lsm_files files;
	kv_line_fn *line;
	void *arg;
};

static int put(struct dumping *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int put(struct dumping *d, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return d->line(d->arg, text);
}

/* A key, quoted, into out. */
static char *quote(char *out, size_t size, const struct kv_buf *key)
{
	return kv_quote(out, size, kv_slice(key->data, key->len));
}

static int put_table(struct dumping *d, const char *before, unsigned int level,
		     uint64_t run, uint64_t number, const struct sst_summary *s)
{
	char from[48], to[48];

	return put(d,
		   "%slevel %u run %llu: table %llx, %llu bytes, %llu entries, "
		   "\"%s\" to \"%s\"%s",
		   before, level, (unsigned long long)run, (unsigned long long)number,
		   (unsigned long long)s->bytes, (unsigned long long)s->entries,
		   quote(from, sizeof(from), &s->smallest),
		   quote(to, sizeof(to), &s->largest), s->largest_open ? " and on" : "");
}

/* ---- tables and blob files ---- */

static int dump_blob_record(void *arg, uint64_t offset, struct kv_slice key,
			    struct kv_slice value)
{
	char text[64];

	return put(arg, "    %llu: \"%s\", %zu bytes", (unsigned long long)offset,
		   kv_quote(text, sizeof(text), key), value.len);
}

static int dump_blob(struct dumping *d, struct env *env, const char *path,
		     uint64_t number, uint64_t store_id, struct kv_msg *why)
{
	struct lsm_blob *b = NULL;
	int error = lsm_blob_open(env, path, number, store_id, NULL, false, &b, why);

	if (error)
		return error;
	error = lsm_blob_scan(b, dump_blob_record, d, why);
	lsm_blob_close(b);
	return error;
}

static int dump_file(struct dumping *d, const struct lsm_found *g)
{
	const struct lsm_files *f = &d->files;
	struct kv_msg why = { "" };
	struct sst *t = NULL;
	char name[32], path[ENV_PATH_MAX];
	int error = put(d, "%s%s", lsm_short_name(name, g->number, g->type),
			!f->known || lsm_files_table(f, g->number) ||
					lsm_files_blob(f, g->number)
				? ""
				: ", which the manifest does not name");

	if (!error)
		error = lsm_file_name(path, f->dir, g->number, g->type);
	if (error)
		return error;
	if (g->type == LSM_FILE_BLOB) {
		error = dump_blob(d, f->env, path, g->number, f->identity.id, &why);
	} else {
		error = lsm_files_open_table(f, g->number, NULL, &t, &why);
		if (!error) {
			error = sst_dump(t, true, d->line, d->arg, &why);
			sst_close(t);
		}
	}
	return error == -EBADMSG || error == -EIO ? put(d, "  damaged: %s", why.text)
						  : error;
}

/* ---- a whole store ---- */

static int dump_record(void *arg, const struct log_record *r)
{
	static const char *const what[] = { "put", "delete", "delete range" };
	struct kv_slice rest = r->payload;
	struct dumping *d = arg;
	struct kv_op op;
	char key[64];
	int error = put(d, "  position %llx, type %u, %zu bytes",
			(unsigned long long)r->position, r->type, r->payload.len);

	while (!error && r->type == LSM_LOG_WRITE && rest.len &&
	       !lsm_write_step(&rest, &op))
		error = put(d, "    %s \"%s\", %zu bytes", what[op.type],
			    kv_quote(key, sizeof(key), op.key), op.value.len);
	return error;
}

static int dump_places(struct dumping *d)
{
	const struct lsm_state *s = &d->files.state;
	size_t i;
	int error = put(
		d, "manifest: %s%s, %llu edits, serial %llu, log from position %llx",
		d->files.known ? "whole" : "damaged: ",
		d->files.known ? "" : d->files.manifest_why.text,
		(unsigned long long)d->files.edits, (unsigned long long)d->files.serial,
		(unsigned long long)s->log_position);

	for (i = 0; !error && i < s->places; i++) {
		const struct lsm_place *p = &s->place[i];

		error = put_table(d, "  ", p->level, p->run, p->table->number,
				  &p->table->summary);
	}
	return error;
}

int lsm_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			struct kv_msg *why)
{
	struct dumping *d = port_alloc(sizeof(*d));
	struct lsm_files *f;
	size_t i;
	int error;

	if (!d)
		return kv_fail(why, -ENOMEM, "no memory to look at %s", dir);
	memset(d, 0, sizeof(*d));
	d->line = line;
	d->arg = arg;
	f = &d->files;
	error = lsm_files_open(env, dir, f, why);
	if (error)
		goto out;
	error = put(d, "STORE: %016llx, log segments of %llu bytes%s%s",
		    (unsigned long long)f->identity.id,
		    (unsigned long long)f->identity.segment_bytes,
		    f->identity_error ? "; " : "", f->identity_why.text);
	if (!error)
		error = dump_places(d);
	for (i = 0; !error && i < f->files; i++)
		error = dump_file(d, &f->file[i]);
	if (!error)
		error = put(d, "log:");
	if (!error)
		error = lsm_log_files_read(&f->log, env, f->state.log_position,
					   dump_record, d);
	lsm_files_close(f);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", dir);
out:
	port_free(d);
	return error;
}

/* ---- one file alone ---- */

static int dump_table_alone(struct dumping *d, struct env *env, const char *path,
			    struct kv_msg *why)
{
	const struct sst_config c = { .env = env };
	struct sst *t;
	int error = sst_open(&c, path, 0, NULL, &t, why);

	if (error)
		return error;
	error = sst_dump(t, true, d->line, d->arg, why);
	sst_close(t);
	return error;
}

static int dump_blob_alone(struct dumping *d, struct env *env, const char *path,
			   struct kv_msg *why)
{
	uint64_t number, store_id;
	int error = lsm_blob_identify(env, path, &number, &store_id, why);

	if (!error)
		error = put(d, "blob file %llx of store %016llx",
			    (unsigned long long)number, (unsigned long long)store_id);
	return error ? error : dump_blob(d, env, path, number, store_id, why);
}

static int put_edit(struct dumping *d, const struct lsm_edit *e)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < e->adds; i++)
		error = put_table(d, "    add to ", e->add[i].level, e->add[i].run,
				  e->add[i].number, &e->add[i].summary);
	for (i = 0; !error && i < e->blobs; i++)
		error = put(d, "    add blob file %llx, %llu bytes, %llu records",
			    (unsigned long long)e->blob[i].number,
			    (unsigned long long)e->blob[i].summary.bytes,
			    (unsigned long long)e->blob[i].summary.records);
	for (i = 0; !error && i < e->moves; i++)
		error = put(d, "    move table %llx to level %u run %llu",
			    (unsigned long long)e->move[i].number, e->move[i].level,
			    (unsigned long long)e->move[i].run);
	for (i = 0; !error && i < e->removes; i++)
		error = put(d, "    remove table %llx", (unsigned long long)e->remove[i]);
	return error;
}

static int put_change(struct dumping *d, uint64_t position, const struct lsm_change *c)
{
	unsigned int level;
	char key[48];
	int error = put(d, "  position %llx: %s, serial %llu, next file %llx",
			(unsigned long long)position, c->whole ? "whole version" : "edit",
			(unsigned long long)c->serial, (unsigned long long)c->next);

	if (!error && c->edit.log_position)
		error = put(d, "    log from position %llx",
			    (unsigned long long)c->edit.log_position);
	if (!error)
		error = put_edit(d, &c->edit);
	for (level = 0; !error && level < LSM_LEVELS; level++)
		if (c->progress_set & 1u << level)
			error = put(d,
				    "    level %u up to run %llu: merged what is less "
				    "than \"%s\"",
				    level, (unsigned long long)c->progress[level].run,
				    quote(key, sizeof(key), &c->progress[level].key));
	return error;
}

/* A record that no edit is, is told and passed over. */
static int dump_change(void *arg, const struct log_record *r)
{
	struct dumping *d = arg;
	struct kv_msg why = { "" };
	struct lsm_change c;
	int error;

	if (r->type == LSM_MANIFEST_TYPE)
		error = lsm_manifest_decode(&c, r->payload, &why);
	else
		error = kv_fail(&why, -EBADMSG, "a record of type %u", r->type);
	if (!error) {
		error = put_change(d, r->position, &c);
		lsm_change_free(&c);
	} else if (error == -EBADMSG || error == -EPROTONOSUPPORT) {
		error = put(d, "  position %llx: no edit: %s",
			    (unsigned long long)r->position, why.text);
	}
	return error;
}

static int dump_finding(void *arg, const struct kv_finding *f)
{
	return put(arg, "  %s%s offset %llu, %llu bytes: %s",
		   f->kind == KV_FOUND_FAULT ? "damaged: " : "",
		   f->file ? f->file : "manifest", (unsigned long long)f->offset,
		   (unsigned long long)f->bytes, f->text);
}

static int dump_manifest_alone(struct dumping *d, struct env *env, const char *dir,
			       struct kv_msg *why)
{
	const struct lsm_teller tell = { dump_finding, d };
	struct lsm_log_files *l = &d->files.manifest;
	int error;

	memcpy(l->dir, dir, strlen(dir) + 1);
	error = lsm_log_files_open(l, env, 0, LSM_MANIFEST_SEGMENT_BYTES);
	if (!error && !l->segments)
		error = kv_fail(why, -ENOENT, "%s: no segment of a manifest is here",
				dir);
	if (!error)
		error = put(d, "manifest of store %016llx", (unsigned long long)l->id);
	if (!error)
		error = lsm_log_files_read(l, env, 0, dump_change, d);
	if (!error)
		error = lsm_log_files_tell(l, &tell, "");
	lsm_log_files_free(l);
	return error;
}

typedef int dump_fn(struct dumping *d, struct env *env, const char *path,
		    struct kv_msg *why);

/* NULL: no name of a file that is read by itself. */
static dump_fn *dump_for(const char *path)
{
	static const struct {
		const char *end;
		dump_fn *dump;
	} kinds[] = {
		{ ".sst", dump_table_alone },
		{ ".blob", dump_blob_alone },
		{ "/manifest", dump_manifest_alone },
	};
	const size_t n = strlen(path);
	size_t i;

	if (!strcmp(path, "manifest"))
		return dump_manifest_alone;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const size_t m = strlen(kinds[i].end);

		if (n >= m && !strcmp(path + n - m, kinds[i].end))
			return kinds[i].dump;
	}
	return NULL;
}

int lsm_files_structure_of(struct env *env, const char *path, kv_line_fn *line, void *arg,
			   struct kv_msg *why)
{
	char name[ENV_PATH_MAX];
	struct dumping *d;
	size_t n = strlen(path);
	dump_fn *dump;
	int error;

	if (n >= sizeof(name))
		return kv_fail(why, -ENAMETOOLONG, "the file's path is too long");
	memcpy(name, path, n + 1);
	while (n > 1 && name[n - 1] == '/')
		name[--n] = '\0';
	dump = dump_for(name);
	if (!dump)
		return -EOPNOTSUPP;
	d = port_alloc(sizeof(*d));
	if (!d)
		return kv_fail(why, -ENOMEM, "no memory to look at %s", name);
	memset(d, 0, sizeof(*d));
	d->line = line;
	d->arg = arg;
	error = dump(d, env, name, why);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", name);
	port_free(d);
	return error;
}
