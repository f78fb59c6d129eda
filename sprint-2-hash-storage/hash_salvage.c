/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_salvage.c - saves what can be saved of a store that is damaged.
 *
 * First all segments are read once and the newest version of each key that is left is
 * remembered: of two records the one with the higher sequence. Then the segments that hold
 * such versions are read again, and their pairs are given.
 *
 * Which of them might be old? A newer version may have stood in any place that is lost and
 * lies behind the version's sequence. Unless the checkpoint, made later than that place
 * was written, leads to this very record: then nothing newer was there.
 */
#include "hash_files.h"

struct version { /* the newest of a key so far */
	uint8_t *key;
	uint32_t len;
	uint32_t file;
	unsigned int type;
	uint64_t sequence, position;
};

struct salvage {
	struct hash_survey survey;
	struct hash_files files;
	struct hash_teller tell;
	kv_salvage_fn *pair;
	void *arg;
	struct kv_msg *why;
	struct version *version;
	size_t n, cap;
	/* Where lost places end: the farthest, and the farthest that the checkpoint does not
	 * reach. */
	uint64_t lost_end, unknown_end;
	uint64_t pairs, doubtful;
};

/* ---- the newest of each key ---- */

static int compare_keys(const struct version *x, const struct version *y)
{
	return kv_compare(kv_slice(x->key, x->len), kv_slice(y->key, y->len));
}

/* By key, the newest first; of copies of one version the later, which the checkpoint
 * leads to. */
static int compare_versions(const void *a, const void *b)
{
	const struct version *x = a, *y = b;
	int order = compare_keys(x, y);

	if (order)
		return order;
	if (x->sequence != y->sequence)
		return x->sequence > y->sequence ? -1 : 1;
	return (x->position < y->position) - (x->position > y->position);
}

static void keep_newest(struct salvage *v)
{
	size_t i, kept = 0;

	if (v->n)
		port_sort(v->version, v->n, sizeof(*v->version), compare_versions);
	for (i = 0; i < v->n; i++) {
		if (kept && !compare_keys(&v->version[kept - 1], &v->version[i]))
			port_free(v->version[i].key);
		else
			v->version[kept++] = v->version[i];
	}
	v->n = kept;
}

/* Room for one more: what is superseded goes first. */
static int make_room(struct salvage *v)
{
	struct version *grown;
	size_t cap;

	if (v->n < v->cap)
		return 0;
	keep_newest(v);
	if (v->n < v->cap / 2)
		return 0;
	cap = v->cap ? v->cap * 2 : 1024;
	grown = port_realloc(v->version, v->cap * sizeof(*grown), cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	v->version = grown;
	v->cap = cap;
	return 0;
}

static int tell_fragment(struct salvage *v, const struct hash_record_at *r)
{
	char name[32], key[96];

	log_raw_name(name, r->raw->named);
	return hash_tell(&v->tell, KV_FOUND_FAULT, name, r->offset, r->record.bytes,
			 "of a batch that is damaged, not taken: a %s of \"%s\"",
			 (r->record.type & HASH_TYPE) == HASH_PUT ? "put" : "delete",
			 kv_quote(key, sizeof(key), r->record.key));
}

static int remember(void *arg, const struct hash_record_at *r)
{
	struct salvage *v = arg;
	struct version *x;
	int error;

	if (r->fragment)
		return tell_fragment(v, r);
	error = make_room(v);
	if (error)
		return error;
	x = &v->version[v->n];
	*x = (struct version){
		.key = port_alloc(r->record.key.len),
		.len = (uint32_t)r->record.key.len,
		.file = (uint32_t)r->file,
		.type = r->record.type,
		.sequence = r->record.sequence,
		.position = r->record.position,
	};
	if (!x->key)
		return -ENOMEM;
	if (x->len)
		memcpy(x->key, r->record.key.data, x->len);
	v->n++;
	return 0;
}

/* ---- what is in doubt ---- */

/* Of what is lost; a tail that was never durable promised nothing. */
static void find_lost(struct salvage *v)
{
	const struct hash_image *image = &v->files.index;
	const struct hash_survey *s = &v->survey;
	uint64_t reach = image->listed && !image->wrong ? image->header.position : 0;
	size_t i;

	for (i = 0; i < s->gaps; i++) {
		const struct hash_gap *g = &s->gap[i];

		if (g->fault && v->lost_end < g->end)
			v->lost_end = g->end;
		if (g->fault && g->end > reach && v->unknown_end < g->end)
			v->unknown_end = g->end;
	}
	/* The log went on behind its last file. */
	if (s->ended && !s->closed)
		v->lost_end = v->unknown_end = UINT64_MAX;
}

static bool is_doubtful(const struct salvage *v, const struct version *x)
{
	uint64_t written = x->sequence * LOG_ALIGN;

	if (v->lost_end <= written)
		return false;
	return v->unknown_end > written || !hash_image_has(&v->files.index, x->position);
}

/* ---- giving ---- */

static int compare_places(const void *a, const void *b)
{
	const struct version *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return (x->position > y->position) - (x->position < y->position);
}

static int give_one(struct salvage *v, const struct log_raw *raw, const struct version *x)
{
	const struct hash_file *file = &v->files.file[x->file];
	uint64_t size = v->files.segment_bytes;
	struct kv_salvaged out = { .doubtful = is_doubtful(v, x) };
	struct log_raw_piece p;
	struct hash_record r;

	/* It was good a moment ago. */
	if (log_raw_at(raw, v->files.id, file->number, size,
		       x->position - file->number * size, &p) ||
	    hash_record_parse(&p.record, &r))
		return kv_fail(v->why, -EIO,
			       "%s: a record that was good cannot be read "
			       "again",
			       v->files.dir);
	out.key = r.key;
	out.value = r.value;
	v->pairs++;
	v->doubtful += out.doubtful;
	return v->pair(v->arg, &out);
}

static int give_all(struct salvage *v)
{
	struct log_raw raw = { 0 };
	size_t i, loaded = SIZE_MAX;
	int error = 0;

	if (v->n)
		port_sort(v->version, v->n, sizeof(*v->version), compare_places);
	for (i = 0; !error && i < v->n; i++) {
		const struct version *x = &v->version[i];

		if ((x->type & HASH_TYPE) != HASH_PUT)
			continue;
		if (loaded != x->file) {
			log_raw_free(&raw);
			loaded = x->file;
			error = log_raw_load(v->files.env, v->files.dir,
					     v->files.file[x->file].named, &raw);
			if (error)
				(void)kv_fail(v->why, error,
					      "%s: a segment cannot be read "
					      "again",
					      v->files.dir);
		}
		if (!error)
			error = give_one(v, &raw, x);
	}
	log_raw_free(&raw);
	return error;
}

int hash_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
		       kv_finding_fn *found, void *arg, struct kv_msg *why)
{
	struct salvage v = {
		.tell = { found, arg }, .pair = pair, .arg = arg, .why = why
	};
	size_t i;
	int error = hash_files_open(env, dir, &v.files, why);

	if (error)
		return error;
	v.survey.files = &v.files;
	v.survey.record = remember;
	v.survey.arg = &v;
	error = hash_survey_run(&v.survey);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory for the keys of %s", dir);
	if (error)
		goto out;
	keep_newest(&v);
	find_lost(&v);
	error = hash_tell_all(&v.tell, &v.survey);
	if (!error)
		error = give_all(&v);
	if (!error)
		error = hash_tell(
			&v.tell, KV_FOUND_FACT, NULL, 0, 0,
			"%llu pairs, of which %llu may have had a newer version "
			"that is lost",
			(unsigned long long)v.pairs, (unsigned long long)v.doubtful);
out:
	for (i = 0; i < v.n; i++)
		port_free(v.version[i].key);
	port_free(v.version);
	hash_survey_free(&v.survey);
	hash_files_close(&v.files);
	return error;
}
