/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_survey.c - reads all segments of a store that nobody has open: see hash_files.h.
 *
 * What log_recover.c decides while it replays is decided here of the whole log at once.
 * A place without a record is damage if the log was known to be durable behind it: each
 * record says how far that was when it was written, and a checkpoint's position says it,
 * too. Else the place is the log's end, or was torn by a crash.
 */
#include "hash_files.h"

struct hash_retired_numbers {
	uint64_t first, n;
};

struct walking { /* one segment */
	struct hash_survey *s;
	size_t index;
	const struct hash_file *file;
	const struct log_raw *raw;
	const struct log_raw_piece *piece;
	bool ended;
};

/* ---- gaps ---- */

static struct hash_gap *add_gap(struct hash_survey *s)
{
	if (s->gaps == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct hash_gap *grown = port_realloc(s->gap, s->cap * sizeof(*grown),
						      cap * sizeof(*grown));

		if (!grown)
			return NULL;
		s->gap = grown;
		s->cap = cap;
	}
	s->gap[s->gaps] = (struct hash_gap){ 0 };
	return &s->gap[s->gaps++];
}

static int gap_in_file(const struct walking *w, uint64_t offset, uint64_t bytes,
		       bool open, const struct kv_msg *why)
{
	uint64_t size = w->s->files->segment_bytes;
	struct hash_gap *g = add_gap(w->s);

	if (!g)
		return -ENOMEM;
	*g = (struct hash_gap){
		.file = w->index,
		.number = w->file->number,
		.offset = offset,
		.bytes = bytes,
		.begin = w->file->number * size + offset,
		.open = open,
		.why = *why,
	};
	g->end = open ? (w->file->number + w->file->units) * size : g->begin + bytes;
	if (g->end < g->begin)
		g->end = g->begin;
	return 0;
}

static int gap_of_files(struct hash_survey *s, uint64_t first, uint64_t n)
{
	struct hash_gap *last = s->gaps ? &s->gap[s->gaps - 1] : NULL;
	uint64_t size = s->files->segment_bytes;

	if (last && last->file == SIZE_MAX && last->end == first * size) {
		last->end += n * size;
		return 0;
	}
	last = add_gap(s);
	if (!last)
		return -ENOMEM;
	*last = (struct hash_gap){
		.file = SIZE_MAX,
		.number = first,
		.begin = first * size,
		.end = (first + n) * size,
		.open = true,
		.fault = true,
	};
	return 0;
}

static int compare_gaps(const void *a, const void *b)
{
	const struct hash_gap *x = a, *y = b;

	return (x->begin > y->begin) - (x->begin < y->begin);
}

/* ---- records ---- */

static int remember_retired(struct hash_survey *s, const struct log_record *r)
{
	const uint8_t *p = r->payload.data;

	if (r->payload.len != HASH_RETIRE_BYTES)
		return 0;
	if (s->retirements == s->retired_cap) {
		size_t cap = s->retired_cap ? s->retired_cap * 2 : 64;
		struct hash_retired_numbers *grown =
			port_realloc(s->retired, s->retired_cap * sizeof(*grown),
				     cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->retired = grown;
		s->retired_cap = cap;
	}
	s->retired[s->retirements++] =
		(struct hash_retired_numbers){ port_get_le64(p), port_get_le64(p + 8) };
	return 0;
}

/* A batch's records are read with their group; cleaning moves them one by one, and then
 * they no longer stand where they were first written. */
static bool is_fragment(const struct log_record *r, bool in_group)
{
	return !in_group && r->type & HASH_BATCH &&
	       r->sequence * LOG_ALIGN == r->position;
}

static int take_record(void *arg, const struct log_record *r)
{
	struct walking *w = arg;
	struct hash_survey *s = w->s;
	struct hash_record_at at = {
		.file = w->index,
		.raw = w->raw,
		.offset = r->position - w->file->number * s->files->segment_bytes,
		.in_group = w->piece->record.type == LOG_TYPE_GROUP,
	};

	if (r->type <= LOG_TYPE_MAX && (r->type & HASH_TYPE) == HASH_RETIRE)
		return remember_retired(s, r);
	at.fragment = is_fragment(r, at.in_group);
	if (r->type > LOG_TYPE_MAX || (r->type & HASH_TYPE) > HASH_DELETE ||
	    hash_record_parse(r, &at.record)) {
		if (!s->malformed++)
			s->malformed_at = r->position;
		return 0;
	}
	if (!at.fragment && (r->type & HASH_TYPE) == HASH_PUT)
		s->puts++;
	else if (!at.fragment)
		s->deletes++;
	return s->record ? s->record(s->arg, &at) : 0;
}

static int take_piece(void *arg, const struct log_raw_piece *p)
{
	struct walking *w = arg;
	struct hash_survey *s = w->s;

	if (p->kind <= LOG_RAW_END && s->promise < p->synced)
		s->promise = p->synced;
	switch (p->kind) {
	case LOG_RAW_RECORD:
		s->records++;
		s->groups += p->record.type == LOG_TYPE_GROUP;
		s->padding += p->padding;
		w->piece = p;
		return log_raw_each(&p->record, take_record, w);
	case LOG_RAW_END:
		w->ended = s->ended = true;
		s->closed = p->synced == p->position;
		return 0;
	case LOG_RAW_BAD:
		return gap_in_file(w, p->offset, p->bytes, false, &p->why);
	case LOG_RAW_TORN:
		w->ended = true; /* as far as this walk goes: the gap is open */
		return gap_in_file(w, p->offset, p->bytes, true, &p->why);
	case LOG_RAW_REST:
		if (w->ended)
			return 0;
		w->ended = true;
		return gap_in_file(w, p->offset, 0, true, &p->why);
	}
	return 0;
}

static int read_segment(struct hash_survey *s, size_t i)
{
	struct hash_files *f = s->files;
	struct walking w = { .s = s, .index = i, .file = &f->file[i] };
	struct kv_msg why;
	struct log_raw raw;
	int error;

	s->ended = s->closed = false;
	error = log_raw_load(f->env, f->dir, w.file->named, &raw);

	if (error == -ENOMEM)
		return error;
	if (error) {
		(void)kv_fail(&why, 0, "the file cannot be opened (error %d)", -error);
		return gap_in_file(&w, LOG_SEGMENT_HEADER_BYTES, 0, true, &why);
	}
	w.raw = &raw;
	s->unreadable += raw.unreadable;
	s->segments++;
	s->bytes += raw.size;
	error = log_raw_walk(&raw, f->id, w.file->number, f->segment_bytes, take_piece,
			     &w);
	(void)kv_fail(&why, 0, "the file's end");
	if (!error && !w.ended)
		error = gap_in_file(&w,
				    raw.size < LOG_SEGMENT_HEADER_BYTES
					    ? LOG_SEGMENT_HEADER_BYTES
					    : raw.size,
				    0, true, &why);
	if (!error && s->segment)
		error = s->segment(s->arg, w.file, &raw);
	log_raw_free(&raw);
	return error;
}

/* ---- what is missing ---- */

static bool is_retired(const struct hash_survey *s, uint64_t number)
{
	size_t i;

	for (i = 0; i < s->retirements; i++)
		if (number >= s->retired[i].first &&
		    number - s->retired[i].first < s->retired[i].n)
			return true;
	return false;
}

static bool is_listed(const struct hash_image *image, uint64_t number)
{
	size_t low = 0, high = (size_t)image->header.segments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->list[mid].number == number)
			return true;
		if (image->list[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* As hash_recover.c: the log says that it was given up, or the checkpoint knew it so. */
static bool may_be_absent(const struct hash_survey *s, uint64_t number)
{
	const struct hash_image *image = &s->files->index;

	if (is_retired(s, number))
		return true;
	return image->listed &&
	       number < image->header.position / s->files->segment_bytes &&
	       !is_listed(image, number);
}

static int miss(struct hash_survey *s, uint64_t from, uint64_t to)
{
	int error = 0;

	for (; !error && from < to; from++)
		if (!may_be_absent(s, from))
			error = gap_of_files(s, from, 1);
	return error;
}

/* Numbers between the first that there is, or that the checkpoint lists, and the last. */
static int find_missing(struct hash_survey *s)
{
	const struct hash_image *image = &s->files->index;
	uint64_t size = s->files->segment_bytes, next = UINT64_MAX, last;
	size_t i;
	int error = 0;

	if (image->listed && image->header.segments)
		next = image->list[0].number;
	for (i = 0; !error && i < s->files->files; i++) {
		const struct hash_file *file = &s->files->file[i];

		if (!hash_file_is_read(file))
			continue;
		if (next == UINT64_MAX)
			next = file->number;
		error = miss(s, next, file->number);
		if (next < file->number + file->units)
			next = file->number + file->units;
	}
	s->end = next == UINT64_MAX ? 0 : next * size;
	if (error || !image->listed)
		return error;
	/* What the checkpoint lists behind the last file; and the log had come so far. */
	last = image->header.segments ? image->list[image->header.segments - 1].number + 1
				      : 0;
	if (image->header.position > LOG_SEGMENT_HEADER_BYTES &&
	    last <= (image->header.position - LOG_SEGMENT_HEADER_BYTES - 1) / size)
		last = (image->header.position - LOG_SEGMENT_HEADER_BYTES - 1) / size + 1;
	return next == UINT64_MAX
		       ? 0
		       : miss(s, next, last < HASH_NUMBERS ? last : HASH_NUMBERS);
}

static void classify(struct hash_survey *s)
{
	uint64_t durable = s->promise;
	size_t i;

	if (s->files->index.listed && durable < s->files->index.header.position)
		durable = s->files->index.header.position;
	for (i = 0; i < s->gaps; i++)
		s->gap[i].fault |= s->gap[i].begin < durable;
}

int hash_survey_run(struct hash_survey *s)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < s->files->files; i++)
		if (hash_file_is_read(&s->files->file[i]))
			error = read_segment(s, i);
	if (!error)
		error = find_missing(s);
	if (error)
		return error;
	classify(s);
	if (s->gaps)
		port_sort(s->gap, s->gaps, sizeof(*s->gap), compare_gaps);
	return 0;
}

void hash_survey_free(struct hash_survey *s)
{
	port_free(s->gap);
	port_free(s->retired);
	s->gap = NULL;
	s->retired = NULL;
	s->gaps = s->retirements = 0;
}
