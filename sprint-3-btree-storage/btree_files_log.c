/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_log.c - all segments of a store that nobody has open: see btree_files.h.
 *
 * What log_recover.c decides while it replays is decided here of the whole log at once. A
 * place without a record is damage if the log was known to be durable behind it, as each
 * record says how far that was when it was written; unless the checkpoint has what stood
 * there. Else the place is the log's end, or was torn by a crash.
 */
#include "btree_files.h"

struct walking { /* one segment */
	struct btree_survey *s;
	size_t index;
	const struct btree_segment *segment;
	const struct log_record *record;
	bool ended;
};

/* ---- gaps ---- */

static struct btree_gap *add_gap(struct btree_survey *s)
{
	if (s->gaps == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct btree_gap *grown = port_realloc(s->gap, s->cap * sizeof(*grown),
						       cap * sizeof(*grown));

		if (!grown)
			return NULL;
		s->gap = grown;
		s->cap = cap;
	}
	s->gap[s->gaps] = (struct btree_gap){ 0 };
	return &s->gap[s->gaps++];
}

static int gap_in_file(const struct walking *w, uint64_t offset, uint64_t bytes,
		       bool open, const struct kv_msg *why)
{
	uint64_t size = w->s->files->segment_bytes;
	struct btree_gap *g = add_gap(w->s);

	if (!g)
		return -ENOMEM;
	*g = (struct btree_gap){
		.segment = w->index,
		.number = w->segment->number,
		.offset = offset,
		.bytes = bytes,
		.begin = w->segment->number * size + offset,
		.open = open,
		.why = *why,
	};
	g->end =
		open ? (w->segment->number + w->segment->units) * size : g->begin + bytes;
	if (g->end < g->begin)
		g->end = g->begin;
	return 0;
}

static int gap_of_files(struct btree_survey *s, uint64_t first, uint64_t end)
{
	uint64_t size = s->files->segment_bytes;
	struct btree_gap *g = add_gap(s);

	if (!g)
		return -ENOMEM;
	*g = (struct btree_gap){
		.segment = SIZE_MAX,
		.number = first,
		.begin = first * size,
		.end = end * size,
		.open = true,
	};
	return 0;
}

static int compare_gaps(const void *a, const void *b)
{
	const struct btree_gap *x = a, *y = b;

	return (x->begin > y->begin) - (x->begin < y->begin);
}

/* ---- records ---- */

int btree_record_each(const struct log_record *r,
		      int (*fn)(void *arg, unsigned int number, const struct kv_op *op),
		      void *arg)
{
	struct kv_slice rest = r->payload;
	unsigned int number;
	struct kv_op op;
	int error = r->type == BTREE_LOG_WRITE ? 0 : -EBADMSG;

	for (number = 0; !error && rest.len; number++) {
		error = btree_write_step(&rest, &op);
		if (!error)
			error = fn(arg, number, &op);
	}
	return error;
}

static int take_step(void *arg, unsigned int number, const struct kv_op *op)
{
	struct walking *w = arg;

	w->s->steps++;
	return w->s->step ? w->s->step(w->s->arg, w->index, w->record, number, op) : 0;
}

static int count_step(void *arg, unsigned int number, const struct kv_op *op)
{
	(void)arg, (void)number, (void)op;
	return 0;
}

/* All of it or nothing, as a replay would. */
static int take_record(void *arg, const struct log_record *r)
{
	struct walking *w = arg;
	struct btree_survey *s = w->s;

	if (btree_record_each(r, count_step, NULL)) {
		if (!s->malformed++)
			s->malformed_at = r->position;
		return 0;
	}
	w->record = r;
	return btree_record_each(r, take_step, w);
}

static int take_piece(void *arg, const struct log_raw_piece *p)
{
	struct walking *w = arg;
	struct btree_survey *s = w->s;

	if (p->kind <= LOG_RAW_END && s->promise < p->synced)
		s->promise = p->synced;
	switch (p->kind) {
	case LOG_RAW_RECORD:
		s->records++;
		s->padding += p->padding;
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

static int read_segment(struct btree_survey *s, size_t i)
{
	struct btree_files *f = s->files;
	struct walking w = { .s = s, .index = i, .segment = &f->segment[i] };
	struct kv_msg why;
	struct log_raw raw;
	int error;

	s->ended = s->closed = false;
	error = log_raw_load(f->env, f->dir, w.segment->named, &raw);
	if (error == -ENOMEM)
		return error;
	if (error) {
		(void)kv_fail(&why, 0, "the file cannot be opened (error %d)", -error);
		return gap_in_file(&w, LOG_SEGMENT_HEADER_BYTES, 0, true, &why);
	}
	s->unreadable += raw.unreadable;
	s->segments++;
	s->bytes += raw.size;
	error = log_raw_walk(&raw, f->id, w.segment->number, f->segment_bytes, take_piece,
			     &w);
	(void)kv_fail(&why, 0, "the file's end");
	if (!error && !w.ended)
		error = gap_in_file(&w,
				    raw.size < LOG_SEGMENT_HEADER_BYTES
					    ? LOG_SEGMENT_HEADER_BYTES
					    : raw.size,
				    0, true, &why);
	log_raw_free(&raw);
	return error;
}

/* ---- what is missing ---- */

/* From the first that is needed on, or else the first that there is, no number is left out;
 * and the log had come as far as the checkpoint says. */
static int find_missing(struct btree_survey *s)
{
	const struct btree_files *f = s->files;
	uint64_t size = f->segment_bytes, position = btree_files_position(f), next;
	size_t i;
	bool any = f->has_super;
	int error = 0;

	next = any && size ? position / size : 0;
	for (i = 0; !error && i < f->segments; i++) {
		const struct btree_segment *g = &f->segment[i];

		if (!btree_segment_is_read(g))
			continue;
		if (!any)
			next = g->number;
		any = true;
		if (g->number > next)
			error = gap_of_files(s, next, g->number);
		if (next < g->number + g->units)
			next = g->number + g->units;
	}
	if (!error && size && position && next <= position / size)
		error = gap_of_files(s, next, position / size + 1);
	return error;
}

/* Files are made in their full size, and cut behind an end mark alone: where just that has
 * room, it was one. */
static bool is_broken(const struct btree_survey *s, const struct btree_gap *g)
{
	const struct btree_segment *segment = &s->files->segment[g->segment];

	return segment->role == BTREE_FILE_DAMAGED ||
	       (g->open && segment->size < segment->units * s->files->segment_bytes &&
		segment->size != g->offset + LOG_HEADER_BYTES);
}

/* A missing file is a fault wherever it is found to be missing. */
static void classify(struct btree_survey *s)
{
	uint64_t position = btree_files_position(s->files), begin;
	size_t i;

	for (i = 0; i < s->gaps; i++) {
		struct btree_gap *g = &s->gap[i];

		begin = g->begin < position ? position : g->begin;
		g->old = g->end <= position;
		g->fault = g->segment == SIZE_MAX ||
			   (!g->old &&
			    (begin < s->promise || begin > g->begin || is_broken(s, g)));
	}
}

int btree_survey_run(struct btree_survey *s)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < s->files->segments; i++)
		if (btree_segment_is_read(&s->files->segment[i]))
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

void btree_survey_free(struct btree_survey *s)
{
	port_free(s->gap);
	s->gap = NULL;
	s->gaps = s->cap = 0;
}
