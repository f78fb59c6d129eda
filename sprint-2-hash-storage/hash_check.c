/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_check.c - is a hash store that nobody has open sound? The findings, in words.
 *
 * What an open puts right or passes over is a note: a checkpoint that is damaged (the log
 * is read instead), a tail that was torn before it was durable. A fault is what an open
 * refuses, or would answer with an error, or what should be there and is not.
 */
#include "hash_engine.h"
#include "hash_files.h"

int hash_tell(const struct hash_teller *t, enum kv_found kind, const char *file,
	      uint64_t offset, uint64_t bytes, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return t->found(t->arg, &(struct kv_finding){ kind, file, offset, bytes, text });
}

/* ---- STORE, INDEX, names ---- */

static int tell_identity(const struct hash_teller *t, const struct hash_files *f)
{
	if (f->identity_error)
		return hash_tell(t, KV_FOUND_FAULT, "STORE", 0, 0,
				 "%s; the other files are of store %016llx",
				 f->identity_why.text, (unsigned long long)f->id);
	if (f->known_by_files)
		return hash_tell(t, KV_FOUND_FAULT, "STORE", 0, 0,
				 "of store %016llx, but the other files are of %016llx",
				 (unsigned long long)f->identity.id,
				 (unsigned long long)f->id);
	return hash_tell(t, KV_FOUND_FACT, "STORE", 0, 0,
			 "store %016llx, format %u.%u, segments of %llu bytes",
			 (unsigned long long)f->id, f->identity.major, f->identity.minor,
			 (unsigned long long)f->segment_bytes);
}

static int tell_index(const struct hash_teller *t, const struct hash_files *f)
{
	const struct hash_image *image = &f->index;

	if (!image->there)
		return f->files ? hash_tell(t, KV_FOUND_NOTE, "INDEX", 0, 0,
					    "missing: the next open reads the whole log, "
					    "and nothing proves where the log ended")
				: 0;
	if (image->wrong)
		return hash_tell(t, KV_FOUND_NOTE, "INDEX", image->wrong_at, 0,
				 "%s, at offset %llu: the next open reads the whole log "
				 "instead",
				 image->wrong, (unsigned long long)image->wrong_at);
	if (image->not_zero)
		return hash_tell(
			t, KV_FOUND_NOTE, "INDEX", 0, 0,
			"%llu words that should be zero are not; nobody reads them",
			(unsigned long long)image->not_zero);
	return hash_tell(t, KV_FOUND_FACT, "INDEX", 0, 0,
			 "%zu entries, %llu segments, as of position %llx",
			 image->entries, (unsigned long long)image->header.segments,
			 (unsigned long long)image->header.position);
}

static int tell_names(const struct hash_teller *t, const struct hash_files *f)
{
	int error = 0;

	if (f->temporaries)
		error = hash_tell(
			t, KV_FOUND_NOTE, NULL, 0, 0,
			"%zu *.tmp files: what was being written when a process "
			"died",
			f->temporaries);
	if (!error && f->strangers)
		error = hash_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				  "%zu files that are not the store's (%s); ignored",
				  f->strangers, f->stranger);
	return error;
}

/* ---- segments ---- */

static int tell_role(const struct hash_teller *t, const struct hash_files *f,
		     const struct hash_file *file)
{
	uint64_t most = file->units * f->segment_bytes;
	char name[32], real[32];

	log_raw_name(name, file->named);
	log_raw_name(real, file->number);
	switch (file->role) {
	case HASH_FILE_DAMAGED:
		return hash_tell(t, KV_FOUND_FAULT, name, 0, LOG_SEGMENT_HEADER_BYTES,
				 "the header is damaged");
	case HASH_FILE_MISPLACED:
		return hash_tell(t, KV_FOUND_FAULT, name, 0, 0,
				 "holds what belongs into %s", real);
	case HASH_FILE_DUPLICATE:
		return hash_tell(t, KV_FOUND_FAULT, name, 0, 0,
				 "a copy of a segment that is there; ignored");
	case HASH_FILE_FOREIGN:
		return hash_tell(t, KV_FOUND_FAULT, name, 0, 0,
				 "not of this store (of %016llx); ignored",
				 (unsigned long long)file->store_id);
	case HASH_FILE_NEWER:
		return hash_tell(t, KV_FOUND_FAULT, name, 0, 0,
				 "of a newer format than this program reads: use a newer "
				 "one");
	case HASH_FILE_OURS:
		break;
	}
	if (file->size > most)
		return hash_tell(t, KV_FOUND_FAULT, name, most, file->size - most,
				 "longer than a segment");
	if (file->size <= most - f->segment_bytes)
		return hash_tell(t, KV_FOUND_FAULT, name, file->size, 0,
				 "cut short: %llu bytes of %llu",
				 (unsigned long long)file->size,
				 (unsigned long long)most);
	return 0;
}

static int tell_gap(const struct hash_teller *t, const struct hash_survey *s,
		    const struct hash_gap *g)
{
	const struct hash_files *f = s->files;
	size_t keys = hash_image_count(&f->index, g->begin, g->end);
	char name[32], led[64] = "";

	if (keys)
		(void)snprintf(led, sizeof(led),
			       "; keys that the checkpoint has there: %zu", keys);
	if (g->file == SIZE_MAX) {
		log_raw_name(name, g->number);
		return hash_tell(
			t, KV_FOUND_FAULT, name, 0, 0,
			"missing%s (%llu segments from here on)%s",
			g->end - g->begin > f->segment_bytes ? ", and more" : "",
			(unsigned long long)((g->end - g->begin) / f->segment_bytes),
			led);
	}
	log_raw_name(name, f->file[g->file].named);
	if (g->fault)
		return hash_tell(t, KV_FOUND_FAULT, name, g->offset, g->bytes,
				 "%s, where the log was durable%s%s", g->why.text,
				 g->open ? "; no record of the segment follows" : "",
				 led);
	if (g->bytes)
		return hash_tell(t, KV_FOUND_NOTE, name, g->offset, g->bytes,
				 "%s; nothing shows that this was ever durable: a torn "
				 "tail, which the next open cuts",
				 g->why.text);
	return hash_tell(t, KV_FOUND_NOTE, name, g->offset, 0,
			 "the log ends without an end mark: its process died, or the "
			 "mark is damaged");
}

/* The log went on from here when its last end mark was written. */
static int tell_end(const struct hash_teller *t, const struct hash_survey *s)
{
	const struct hash_files *f = s->files;
	char name[32];

	if (!s->segments || !s->ended || s->closed)
		return 0;
	log_raw_name(name, s->end / f->segment_bytes);
	return hash_tell(t, KV_FOUND_NOTE, name, 0, 0,
			 "may be missing: the segment before it was not the last when it "
			 "was ended");
}

int hash_tell_all(const struct hash_teller *t, const struct hash_survey *s)
{
	const struct hash_files *f = s->files;
	size_t i;
	int error = tell_identity(t, f);

	if (!error)
		error = tell_index(t, f);
	for (i = 0; !error && i < f->files; i++)
		error = tell_role(t, f, &f->file[i]);
	for (i = 0; !error && i < s->gaps; i++)
		error = tell_gap(t, s, &s->gap[i]);
	if (!error)
		error = tell_end(t, s);
	if (!error && s->unreadable)
		error = hash_tell(t, KV_FOUND_FAULT, NULL, 0, 0,
				  "the device does not give %llu bytes",
				  (unsigned long long)s->unreadable);
	if (!error && s->malformed)
		error = hash_tell(t, KV_FOUND_FAULT, NULL, 0, 0,
				  "%llu records are whole and hold no key, the first at "
				  "position %llx",
				  (unsigned long long)s->malformed,
				  (unsigned long long)s->malformed_at);
	if (!error && s->padding)
		error = hash_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				  "%llu records have padding that is not zero",
				  (unsigned long long)s->padding);
	return error ? error : tell_names(t, f);
}

/* ---- the checkpoint against the log ---- */

struct checking {
	struct hash_files *files;
	size_t next; /* entry */
	uint64_t wrong, wrong_at;
	const struct hash_function *function; /* NULL: STORE does not say */
};

static bool leads_to_its_key(const struct checking *c, const struct hash_entry *e,
			     const struct log_raw_piece *p)
{
	struct hash_record r;

	if (hash_record_parse(&p->record, &r))
		return false;
	return !c->function ||
	       c->function->one(c->files->identity.seed, r.key.data, r.key.len) >> 48 ==
		       e->hash >> 48;
}

/* Entries that lead into this segment. Where no record is, the survey has a gap, or the
 * entry is wrong. */
static int check_entries(void *arg, const struct hash_file *file,
			 const struct log_raw *raw)
{
	struct checking *c = arg;
	const struct hash_image *image = &c->files->index;
	uint64_t size = c->files->segment_bytes, begin = file->number * size;
	uint64_t end = begin + file->units * size;
	struct log_raw_piece p;
	size_t i;

	for (i = c->next;
	     i < image->entries && image->entry[i].address * LOG_ALIGN < begin; i++)
		;
	for (; i < image->entries && image->entry[i].address * LOG_ALIGN < end; i++) {
		const struct hash_entry *e = &image->entry[i];
		uint64_t position = e->address * LOG_ALIGN;

		if (!log_raw_at(raw, c->files->id, file->number, size, position - begin,
				&p) &&
		    leads_to_its_key(c, e, &p))
			continue;
		if (!c->wrong++)
			c->wrong_at = position;
	}
	c->next = i;
	return 0;
}

static int tell_entries(const struct hash_teller *t, const struct checking *c,
			const struct hash_survey *s)
{
	uint64_t known = 0;
	size_t i;

	/* Those that a gap has swallowed were told with it. */
	for (i = 0; i < s->gaps; i++)
		if (s->gap[i].file != SIZE_MAX)
			known += hash_image_count(&c->files->index, s->gap[i].begin,
						  s->gap[i].end);
	if (c->wrong <= known)
		return 0;
	return hash_tell(t, KV_FOUND_FAULT, "INDEX", 0, 0,
			 "%llu entries lead to no record of their key, the first to "
			 "position %llx",
			 (unsigned long long)(c->wrong - known),
			 (unsigned long long)c->wrong_at);
}

static int tell_totals(const struct hash_teller *t, const struct hash_survey *s)
{
	return hash_tell(t, KV_FOUND_FACT, NULL, 0, 0,
			 "%llu segments, %llu bytes: %llu puts, %llu deletes, %llu "
			 "batches",
			 (unsigned long long)s->segments, (unsigned long long)s->bytes,
			 (unsigned long long)s->puts, (unsigned long long)s->deletes,
			 (unsigned long long)s->groups);
}

static int hash_files_check(struct env *env, const char *dir, kv_finding_fn *found,
			    void *arg, struct kv_msg *why)
{
	const struct hash_teller t = { found, arg };
	struct hash_files f;
	struct checking c = { .files = &f };
	struct hash_survey s = { .files = &f, .segment = check_entries, .arg = &c };
	int error = hash_files_open(env, dir, &f, why);

	if (error)
		return error;
	if (!f.identity_error && !f.known_by_files)
		c.function = hash_function_get((unsigned int)f.identity.function);
	error = hash_survey_run(&s);
	if (error) {
		(void)kv_fail(why, error, "no memory to look at %s", dir);
		goto out;
	}
	error = hash_tell_all(&t, &s);
	if (!error)
		error = tell_entries(&t, &c, &s);
	if (!error)
		error = tell_totals(&t, &s);
out:
	hash_survey_free(&s);
	hash_files_close(&f);
	return error;
}

const struct kv_inspect_ops hash_inspect = {
	.recognise = hash_recognise,
	.check = hash_files_check,
	.structure = hash_files_structure,
	.salvage = hash_files_salvage,
};
