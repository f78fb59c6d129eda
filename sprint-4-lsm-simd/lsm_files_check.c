/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_check.c - is an LSM store that nobody has open sound? The findings, in words.
 *
 * What an open puts right or passes over is a note: a tail of the log that was torn before it
 * was durable, files of work that a crash cut short. A fault is what an open refuses, or would
 * answer with an error, or what should be there and is not.
 */
#include "lsm_files.h"

int lsm_tell(const struct lsm_teller *t, enum kv_found kind, const char *file,
	     uint64_t offset, uint64_t bytes, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return t->found(t->arg, &(struct kv_finding){ kind, file, offset, bytes, text });
}

/* ---- names, STORE, the manifest ---- */

static int tell_names(const struct lsm_teller *t, const struct lsm_files *f)
{
	int error = 0;

	if (f->temporaries)
		error = lsm_tell(
			t, KV_FOUND_NOTE, NULL, 0, 0,
			"%zu *.tmp files: what was being made when a process died",
			f->temporaries);
	if (!error && f->strangers)
		error = lsm_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				 "%zu files that are not the store's (%s); ignored",
				 f->strangers, f->stranger);
	return error;
}

int lsm_tell_files(const struct lsm_teller *t, const struct lsm_files *f)
{
	int error = 0;

	if (f->identity_error)
		error = lsm_tell(t, KV_FOUND_FAULT, "STORE", 0, 0, "%s",
				 f->identity_why.text);
	if (!error && !f->manifest.segments)
		error = lsm_tell(t, KV_FOUND_FAULT, "manifest", 0, 0,
				 "missing, or without segments");
	if (!error)
		error = lsm_log_files_tell(&f->manifest, t, "manifest/");
	if (!error && !f->known)
		error = lsm_tell(t, KV_FOUND_FAULT, "manifest", 0, 0,
				 "nothing says which tables count: %s",
				 f->manifest_why.text);
	return error ? error : tell_names(t, f);
}

/* ---- tables and blob files ---- */

struct checking {
	struct lsm_files files;
	struct lsm_teller tell;
	struct kv_buf value;
	uint64_t tables, blobs, entries, steps, malformed;
	bool all_open; /* every table that counts is open */
};

static int fault_in(struct checking *c, uint64_t number, enum lsm_file_type type,
		    int error, const struct kv_msg *why)
{
	char name[32];

	if (error == -ENOMEM)
		return error;
	return lsm_tell(&c->tell, KV_FOUND_FAULT, lsm_short_name(name, number, type), 0,
			0, "%s", why->text[0] ? why->text : "cannot be read");
}

static int any_record(void *arg, uint64_t offset, struct kv_slice key,
		      struct kv_slice value)
{
	(void)arg, (void)offset, (void)key, (void)value;
	return 0;
}

static int check_blob(struct checking *c, struct lsm_blob_file *b)
{
	const struct lsm_files *f = &c->files;
	struct kv_msg why = { "" };
	char path[ENV_PATH_MAX];
	int error = lsm_file_name(path, f->dir, b->number, LSM_FILE_BLOB);

	c->blobs++;
	if (!error)
		error = lsm_blob_open(f->env, path, b->number, f->identity.id,
				      &b->summary, false, &b->blob, &why);
	if (!error)
		error = lsm_blob_scan(b->blob, any_record, NULL, &why);
	else
		b->blob = NULL;
	return error ? fault_in(c, b->number, LSM_FILE_BLOB, error, &why) : 0;
}

/* Values that a table refers to, in blob files that could be opened. */
static int check_references(struct checking *c, struct sst *t, struct kv_msg *why)
{
	struct lsm_cursor *cursor;
	struct lsm_blob_ref ref;
	int error = sst_cursor(t, SST_COLD, &cursor, why);

	if (error)
		return error;
	while (!(error = lsm_next(cursor))) {
		const struct lsm_blob_file *b;

		if (lsm_kind(cursor->stamp) != LSM_BLOB)
			continue;
		error = lsm_blob_ref_get(cursor->value, &ref);
		b = error ? NULL : lsm_files_blob(&c->files, ref.file);
		if (!b)
			error = kv_fail(why, -EBADMSG,
					"refers to a blob file that is not the store's");
		else if (b->blob)
			error = lsm_blob_read(b->blob, &ref, cursor->key, &c->value, why);
		if (error)
			break;
	}
	lsm_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

static int check_table(struct checking *c, struct lsm_table *t)
{
	struct sst_summary seen = { 0 };
	struct kv_msg why = { "" };
	int error = lsm_files_open_table(&c->files, t->number, t, &t->sst, &why);

	c->tables++;
	c->entries += t->summary.entries;
	if (error) {
		t->sst = NULL;
		c->all_open = false;
		return fault_in(c, t->number, LSM_FILE_TABLE, error, &why);
	}
	error = sst_verify(t->sst, &seen, &why);
	if (!error && (seen.entries != t->summary.entries ||
		       seen.min_sequence != t->summary.min_sequence ||
		       seen.max_sequence != t->summary.max_sequence))
		error = kv_fail(&why, -EBADMSG,
				"has %llu entries, and the manifest says %llu",
				(unsigned long long)seen.entries,
				(unsigned long long)t->summary.entries);
	if (!error && t->summary.blobs)
		error = check_references(c, t->sst, &why);
	sst_summary_free(&seen);
	return error ? fault_in(c, t->number, LSM_FILE_TABLE, error, &why) : 0;
}

/* What no version names is removed by the next open. */
static int tell_orphans(struct checking *c)
{
	const struct lsm_files *f = &c->files;
	char name[32];
	size_t i;
	int error = 0;

	for (i = 0; !error && f->known && i < f->files; i++) {
		const struct lsm_found *g = &f->file[i];

		if (lsm_files_table(f, g->number) || lsm_files_blob(f, g->number))
			continue;
		error = lsm_tell(&c->tell, KV_FOUND_NOTE,
				 lsm_short_name(name, g->number, g->type), 0, 0,
				 "the manifest does not name it: what a crash left");
	}
	return error;
}

static int check_shape(struct checking *c)
{
	struct lsm_version *v;
	struct kv_msg why = { "" };
	int error = lsm_state_version(&c->files.state, NULL, &v, &why);

	if (!error) {
		lsm_version_unref(v);
		return 0;
	}
	return error == -ENOMEM
		       ? error
		       : lsm_tell(&c->tell, KV_FOUND_FAULT, "manifest", 0, 0,
				  "its tables do not fit together: %s", why.text);
}

static int check_files(struct checking *c)
{
	struct lsm_state *s = &c->files.state;
	size_t i;
	int error = 0;

	c->all_open = true;
	for (i = 0; !error && i < s->blobs; i++)
		error = check_blob(c, s->blob[i]);
	for (i = 0; !error && i < s->places; i++)
		error = check_table(c, s->place[i].table);
	return error ? error : tell_orphans(c);
}

/* ---- the log ---- */

static int check_record(void *arg, const struct log_record *r)
{
	struct checking *c = arg;
	struct kv_slice rest = r->payload;
	struct kv_op op;

	if (r->type == LSM_LOG_BEGIN)
		return 0;
	c->malformed += r->type != LSM_LOG_WRITE;
	for (; r->type == LSM_LOG_WRITE && rest.len; c->steps++)
		if (lsm_write_step(&rest, &op)) {
			c->malformed++;
			break;
		}
	return 0;
}

static int check_log(struct checking *c)
{
	struct lsm_files *f = &c->files;
	int error = lsm_log_files_read(&f->log, f->env, f->state.log_position,
				       check_record, c);

	if (!error)
		error = lsm_log_files_tell(&f->log, &c->tell, "");
	if (!error && c->malformed)
		error = lsm_tell(&c->tell, KV_FOUND_FAULT, NULL, 0, 0,
				 "%llu records of the log were made by no write",
				 (unsigned long long)c->malformed);
	return error;
}

/* ---- the whole ---- */

static int check_all(struct checking *c)
{
	const struct lsm_files *f = &c->files;
	int error = lsm_tell_files(&c->tell, f);

	if (!error && f->known)
		error = check_files(c);
	if (!error)
		error = check_log(c);
	if (!error)
		error = lsm_tell(
			&c->tell, KV_FOUND_FACT, NULL, 0, 0,
			"store %016llx: %llu tables with %llu entries, %llu blob files; log "
			"from position %llx, %llu records with %llu steps",
			(unsigned long long)f->identity.id, (unsigned long long)c->tables,
			(unsigned long long)c->entries, (unsigned long long)c->blobs,
			(unsigned long long)f->state.log_position,
			(unsigned long long)f->log.records, (unsigned long long)c->steps);
	if (!error && f->known && c->all_open)
		error = check_shape(c);
	return error;
}

static int lsm_files_check(struct env *env, const char *dir, kv_finding_fn *found,
			   void *arg, struct kv_msg *why)
{
	struct checking *c = port_alloc(sizeof(*c));
	int error;

	if (!c)
		return kv_fail(why, -ENOMEM, "no memory to look at %s", dir);
	memset(c, 0, sizeof(*c));
	c->tell = (struct lsm_teller){ found, arg };
	error = lsm_files_open(env, dir, &c->files, why);
	if (!error) {
		error = check_all(c);
		lsm_files_close(&c->files);
	}
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", dir);
	kv_buf_free(&c->value);
	port_free(c);
	return error;
}

const struct kv_inspect_ops lsm_inspect = {
	.recognise = lsm_files_recognise,
	.check = lsm_files_check,
	.structure = lsm_files_structure,
	.structure_of = lsm_files_structure_of,
	.salvage = lsm_files_salvage,
};
