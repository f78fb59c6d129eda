/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files.c - what lies in an LSM store's directory: see lsm_files.h.
 *
 * The manifest is read as opening reads it, but on behind damage: it counts when no edit is
 * missing behind its last whole version, and nothing durable behind its end.
 */
#include "lsm_files.h"

/* ---- names ---- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int add_file(struct lsm_files *f, const struct lsm_found *found)
{
	struct lsm_found *grown = lsm_list_room(f->file, f->files, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	f->file = grown;
	f->file[f->files++] = *found;
	return 0;
}

static int add_name(void *arg, const char *name)
{
	struct lsm_files *f = arg;
	struct lsm_found found;
	uint64_t number;

	if (lsm_parse_name(name, &found.number, &found.type))
		return add_file(f, &found);
	if (!strcmp(name, "manifest"))
		f->manifest_there = true;
	else if (ends_with(name, ".tmp"))
		f->temporaries++;
	else if (strcmp(name, "STORE") != 0 && strcmp(name, "LOCK") != 0 &&
		 strcmp(name, "RESERVE") != 0 && !ends_with(name, ".spare") &&
		 !log_raw_number(name, &number) && !f->strangers++)
		(void)kv_quote(f->stranger, sizeof(f->stranger), kv_str(name));
	return 0;
}

static int compare_files(const void *a, const void *b)
{
	const struct lsm_found *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

char *lsm_short_name(char *out, uint64_t number, enum lsm_file_type type)
{
	char path[ENV_PATH_MAX];

	out[0] = '\0';
	if (!lsm_file_name(path, "", number, type))
		memcpy(out, path + 1, strlen(path));
	return out;
}

/* Taken only where the file is there: making it would be a change. A directory that is
 * read-only has no owner who writes. */
static int take_lock(struct lsm_files *f, struct kv_msg *why)
{
	struct file *probe = NULL;
	char path[ENV_PATH_MAX];
	int error = env_path(path, f->dir, "LOCK");

	if (error)
		return kv_fail(why, error, "the store's path is too long");
	if (env_open(f->env, path, ENV_READ, &probe))
		return 0;
	file_close(probe);
	error = f->env->ops->lock(f->env, path, &f->lock);
	if (error == -EBUSY)
		return kv_fail(why, error, "%s: open elsewhere; close it there first",
			       f->dir);
	return error == -ENOMEM ? error : 0;
}

/* ---- the manifest ---- */

static int apply(struct lsm_files *f, struct lsm_change *c)
{
	unsigned int level;
	int error;

	if (c->whole) {
		lsm_state_free(&f->state);
		f->begun = f->known = true;
	} else if (!f->begun) {
		return 0;
	} else if (c->serial != f->serial + 1 && f->known) {
		f->known = false;
		(void)kv_fail(&f->manifest_why, 0, "edit %llu is missing",
			      (unsigned long long)f->serial + 1);
	}
	f->serial = c->serial;
	f->edits++;
	if (!f->known)
		return 0;
	error = lsm_state_apply(&f->state, &c->edit, 0, &f->manifest_why);
	for (level = 0; !error && level < LSM_LEVELS; level++)
		if (c->progress_set & 1u << level)
			error = lsm_state_set_progress(
				&f->state, level, c->progress[level].run,
				kv_slice(c->progress[level].key.data,
					 c->progress[level].key.len));
	return error;
}

static int take_edit(void *arg, const struct log_record *r)
{
	struct lsm_files *f = arg;
	struct lsm_change c;
	int error;

	if (r->type != LSM_MANIFEST_TYPE)
		error = kv_fail(&f->manifest_why, -EBADMSG, "a record of type %u",
				r->type);
	else
		error = lsm_manifest_decode(&c, r->payload, &f->manifest_why);
	if (!error) {
		error = apply(f, &c);
		lsm_change_free(&c);
	}
	if (error == -EBADMSG || error == -EINVAL) {
		f->known = false;
		error = 0;
	}
	return error;
}

static int read_manifest(struct lsm_files *f)
{
	uint64_t end;
	int error = env_path(f->manifest.dir, f->dir, "manifest");

	if (!error)
		error = lsm_log_files_open(&f->manifest, f->env, f->identity.id,
					   LSM_MANIFEST_SEGMENT_BYTES);
	if (!error)
		error = lsm_log_files_read(&f->manifest, f->env, 0, take_edit, f);
	if (error)
		return error;
	if (!f->begun)
		(void)kv_fail(&f->manifest_why, 0, "there is no whole version");
	else if (f->known && lsm_log_files_lost(&f->manifest, &end)) {
		f->known = false;
		(void)kv_fail(&f->manifest_why, 0, "some of what was durable is damaged");
	}
	if (f->known && lsm_state_drop_blobs(&f->state, &f->manifest_why))
		f->known = false;
	return 0;
}

/* ---- the whole ---- */

/* Without STORE the first good segment says which store this is. */
static int read_identity(struct lsm_files *f)
{
	f->identity_error =
		lsm_identity_read(f->env, f->dir, &f->identity, &f->identity_why);
	if (!f->identity_error)
		return 0;
	f->identity = (struct lsm_identity){ 0 };
	if (f->identity_error == -ENOENT)
		(void)kv_fail(&f->identity_why, 0, "missing");
	return f->identity_error == -ENOMEM ? -ENOMEM : 0;
}

static int open_all(struct lsm_files *f, struct kv_msg *why)
{
	struct env *env = f->env;
	int error = env->ops->list(env, f->dir, add_name, f);

	if (error)
		return kv_fail(why, error, "%s: cannot be listed", f->dir);
	error = take_lock(f, why);
	if (!error)
		error = read_identity(f);
	if (!error && strlen(f->dir) >= sizeof(f->log.dir))
		error = -ENAMETOOLONG;
	if (error)
		return error;
	memcpy(f->log.dir, f->dir, strlen(f->dir) + 1);
	error = lsm_log_files_open(&f->log, env, f->identity.id,
				   f->identity.segment_bytes);
	if (error)
		return error;
	if (!f->files && !f->log.segments && !f->manifest_there &&
	    f->identity_error == -ENOENT)
		return kv_fail(why, -ENOENT, "%s: no file of an LSM store is here",
			       f->dir);
	if (!f->identity.id)
		f->identity = (struct lsm_identity){ f->log.id, f->log.segment_bytes };
	error = read_manifest(f);
	if (!f->identity.id)
		f->identity.id = f->manifest.id;
	if (f->files)
		port_sort(f->file, f->files, sizeof(*f->file), compare_files);
	return error;
}

int lsm_files_open(struct env *env, const char *dir, struct lsm_files *out,
		   struct kv_msg *why)
{
	int error;

	*out = (struct lsm_files){ .env = env, .dir = dir };
	error = open_all(out, why);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", dir);
	if (error)
		lsm_files_close(out);
	return error;
}

void lsm_files_close(struct lsm_files *f)
{
	if (f->lock)
		f->env->ops->unlock(f->env, f->lock);
	lsm_state_free(&f->state);
	lsm_log_files_free(&f->log);
	lsm_log_files_free(&f->manifest);
	port_free(f->file);
	*f = (struct lsm_files){ 0 };
}

const struct lsm_table *lsm_files_table(const struct lsm_files *f, uint64_t number)
{
	size_t i;

	for (i = 0; f->known && i < f->state.places; i++)
		if (f->state.place[i].table->number == number)
			return f->state.place[i].table;
	return NULL;
}

const struct lsm_blob_file *lsm_files_blob(const struct lsm_files *f, uint64_t number)
{
	size_t i;

	for (i = 0; f->known && i < f->state.blobs; i++)
		if (f->state.blob[i]->number == number)
			return f->state.blob[i];
	return NULL;
}

int lsm_files_open_table(const struct lsm_files *f, uint64_t number,
			 const struct lsm_table *table, struct sst **out,
			 struct kv_msg *why)
{
	const struct sst_config c = { .env = f->env, .store_id = f->identity.id };
	struct sst_expect expect = { 0 };
	char path[ENV_PATH_MAX];
	int error = lsm_file_name(path, f->dir, number, LSM_FILE_TABLE);

	if (table)
		expect = (struct sst_expect){ table->summary.bytes,
					      table->summary.footer_crc };
	if (!error)
		error = sst_open(&c, path, number, table ? &expect : NULL, out, why);
	return error;
}

enum kv_recognised lsm_files_recognise(struct env *env, const char *dir)
{
	struct lsm_files f = { .env = env, .dir = dir };
	struct kv_msg why = { "" };
	enum kv_recognised mine = KV_NOT_MINE;

	if (!env->ops->list(env, dir, add_name, &f)) {
		if (f.files || f.manifest_there ||
		    !lsm_identity_read(env, dir, &f.identity, &why))
			mine = KV_MINE;
	}
	port_free(f.file);
	return mine;
}
