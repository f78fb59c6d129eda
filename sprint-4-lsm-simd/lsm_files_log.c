/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_log.c - all segments of a log that nobody has open: see lsm_files.h.
 *
 * What log_recover.c decides while it replays is decided here of the whole log at once. A place
 * without a record is damage if the log was known to be durable behind it, as each record says
 * how far that was when it was written; else it is the log's end, or was torn by a crash.
 */
#include "lsm_files.h"

/* ---- names and headers ---- */

static int add_segment(void *arg, const char *name)
{
	struct lsm_log_files *l = arg;
	struct lsm_segment *grown;
	uint64_t number;

	if (!log_raw_number(name, &number))
		return 0;
	grown = lsm_list_room(l->segment, l->segments, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->segment = grown;
	l->segment[l->segments++] =
		(struct lsm_segment){ .named = number, .number = number };
	return 0;
}

static int read_header(struct env *env, struct lsm_log_files *l, struct lsm_segment *s)
{
	struct log_raw raw;
	int error = log_raw_open(env, l->dir, s->named, &raw);

	s->damaged = true;
	if (error)
		return error == -ENOMEM ? error : 0;
	s->size = raw.size;
	s->ignored = raw.header_error == -EPROTONOSUPPORT;
	s->damaged = raw.header_error;
	if (s->damaged)
		return 0;
	s->number = raw.header.number;
	s->units = raw.header.units;
	s->store_id = raw.header.store_id;
	s->segment_bytes = raw.header.segment_bytes;
	if (!l->id)
		l->id = s->store_id;
	if (!l->segment_bytes)
		l->segment_bytes = s->segment_bytes;
	return 0;
}

static int compare_segments(const void *a, const void *b)
{
	const struct lsm_segment *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	/* The one that has its own name first. */
	return (x->named != x->number) - (y->named != y->number);
}

static void choose_segments(struct lsm_log_files *l)
{
	struct lsm_segment *s, *before = NULL;
	size_t i;

	for (i = 0; i < l->segments; i++) {
		s = &l->segment[i];
		if (!s->damaged)
			s->ignored |= s->store_id != l->id || !s->units ||
				      s->segment_bytes != l->segment_bytes;
		else if (l->segment_bytes)
			s->units = (uint32_t)((s->size + l->segment_bytes - 1) /
					      l->segment_bytes);
		s->units += !s->units;
	}
	if (l->segments)
		port_sort(l->segment, l->segments, sizeof(*s), compare_segments);
	for (i = 0; i < l->segments; i++) {
		s = &l->segment[i];
		if (s->ignored)
			continue;
		s->ignored = before && before->number == s->number;
		if (!s->ignored)
			before = s;
	}
}

int lsm_log_files_open(struct lsm_log_files *l, struct env *env, uint64_t id,
		       uint64_t segment_bytes)
{
	size_t i;
	int error = env->ops->list(env, l->dir, add_segment, l);

	l->id = id;
	l->segment_bytes = segment_bytes;
	if (error == -ENOENT || error == -ENOTDIR)
		error = 0;
	for (i = 0; !error && i < l->segments; i++)
		error = read_header(env, l, &l->segment[i]);
	if (!error)
		choose_segments(l);
	return error;
}

void lsm_log_files_free(struct lsm_log_files *l)
{
	port_free(l->segment);
	port_free(l->gap);
	l->segment = NULL;
	l->gap = NULL;
	l->segments = l->gaps = 0;
}

/* ---- records ---- */

struct walking { /* one segment */
	struct lsm_log_files *l;
	const struct lsm_segment *segment;
	log_record_fn *fn;
	void *arg;
	bool ended;
};

static int add_gap(struct lsm_log_files *l, const struct lsm_gap *g)
{
	struct lsm_gap *grown = lsm_list_room(l->gap, l->gaps, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->gap = grown;
	l->gap[l->gaps++] = *g;
	return 0;
}

/* Files are made in their full size, and cut behind an end mark alone: where just that has room,
 * it was one. */
static int gap_in_file(const struct walking *w, uint64_t offset, uint64_t bytes,
		       bool open, const struct kv_msg *why)
{
	const struct lsm_segment *s = w->segment;
	uint64_t size = w->l->segment_bytes, full = s->units * size;
	struct lsm_gap g = {
		.named = s->named,
		.offset = offset,
		.bytes = bytes,
		.begin = s->number * size + offset,
		.end = s->number * size + (open ? full : offset + bytes),
		.open = open,
		.damaged = s->damaged || (open && s->size < full &&
					  s->size != offset + LOG_HEADER_BYTES),
		.why = *why,
	};

	return add_gap(w->l, &g);
}

static int take_piece(void *arg, const struct log_raw_piece *p)
{
	struct walking *w = arg;
	struct lsm_log_files *l = w->l;

	if (p->kind <= LOG_RAW_END && l->promise < p->synced)
		l->promise = p->synced;
	switch (p->kind) {
	case LOG_RAW_RECORD:
		l->records++;
		return log_raw_each(&p->record, w->fn, w->arg);
	case LOG_RAW_END:
		w->ended = l->ended = true;
		l->closed = p->synced == p->position;
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

static int read_segment(struct walking *w, struct env *env)
{
	struct lsm_log_files *l = w->l;
	struct log_raw raw;
	struct kv_msg why;
	uint64_t end;
	int error = log_raw_load(env, l->dir, w->segment->named, &raw);

	l->ended = l->closed = false;
	if (error == -ENOMEM)
		return error;
	if (error) {
		(void)kv_fail(&why, 0, "the file cannot be read (error %d)", -error);
		return gap_in_file(w, LOG_SEGMENT_HEADER_BYTES, 0, true, &why);
	}
	l->bytes += raw.size;
	error = log_raw_walk(&raw, l->id, w->segment->number, l->segment_bytes,
			     take_piece, w);
	(void)kv_fail(&why, 0, "the file's end");
	end = raw.size < LOG_SEGMENT_HEADER_BYTES ? LOG_SEGMENT_HEADER_BYTES : raw.size;
	if (!error && !w->ended)
		error = gap_in_file(w, end, 0, true, &why);
	log_raw_free(&raw);
	return error;
}

/* ---- what is missing ---- */

static int gap_of_files(struct lsm_log_files *l, uint64_t first, uint64_t end)
{
	const struct lsm_gap g = {
		.named = first,
		.missing = true,
		.begin = first * l->segment_bytes,
		.end = end * l->segment_bytes,
	};

	return add_gap(l, &g);
}

static int find_missing(struct lsm_log_files *l, uint64_t position)
{
	uint64_t size = l->segment_bytes, next = position / size;
	bool any = position;
	size_t i;
	int error = 0;

	for (i = 0; !error && i < l->segments; i++) {
		const struct lsm_segment *s = &l->segment[i];

		if (s->ignored)
			continue;
		if (!any)
			next = s->number;
		any = true;
		if (s->number > next)
			error = gap_of_files(l, next, s->number);
		if (next < s->number + s->units)
			next = s->number + s->units;
	}
	if (!error && position && next <= position / size)
		error = gap_of_files(l, next, position / size + 1);
	return error;
}

static void classify(struct lsm_log_files *l, uint64_t position)
{
	struct lsm_gap *g;
	uint64_t begin;
	size_t i;

	for (i = 0; i < l->gaps; i++) {
		g = &l->gap[i];
		begin = g->begin < position ? position : g->begin;
		g->old = g->end <= position;
		/* Verify reads old segments too, as long as they are there. */
		g->fault = g->missing || g->begin < l->promise ||
			   (!g->old &&
			    (begin < l->promise || g->damaged || begin > g->begin));
	}
}

int lsm_log_files_read(struct lsm_log_files *l, struct env *env, uint64_t position,
		       log_record_fn *fn, void *arg)
{
	size_t i;
	int error = 0;

	l->gaps = 0;
	l->records = l->bytes = l->promise = 0;
	if (!l->segment_bytes)
		return 0;
	for (i = 0; !error && i < l->segments; i++) {
		struct walking w = { l, &l->segment[i], fn, arg, false };

		if (!l->segment[i].ignored)
			error = read_segment(&w, env);
	}
	if (!error)
		error = find_missing(l, position);
	if (!error)
		classify(l, position);
	return error;
}

/* ---- in words ---- */

static bool goes_on(const struct lsm_log_files *l)
{
	return l->ended && !l->closed;
}

bool lsm_log_files_lost(const struct lsm_log_files *l, uint64_t *end)
{
	size_t i;

	*end = goes_on(l) ? UINT64_MAX : 0;
	for (i = 0; i < l->gaps; i++)
		if (l->gap[i].fault && !l->gap[i].old && l->gap[i].end > *end)
			*end = l->gap[i].end;
	return *end;
}

static void file_name(char *out, size_t size, const char *before, uint64_t number)
{
	char name[32];
	struct kv_msg text;

	log_raw_name(name, number);
	(void)kv_fail(&text, 0, "%s%s", before, name);
	memcpy(out, text.text, size - 1);
	out[size - 1] = '\0';
}

static int tell_segment(const struct lsm_log_files *l, const struct lsm_segment *s,
			const struct lsm_teller *t, const char *before)
{
	char name[48];

	file_name(name, sizeof(name), before, s->named);
	if (s->ignored)
		return lsm_tell(t, KV_FOUND_FAULT, name, 0, 0,
				"not known to be of this store, or a copy; ignored");
	if (s->damaged)
		return lsm_tell(t, KV_FOUND_FAULT, name, 0, LOG_SEGMENT_HEADER_BYTES,
				"the header is damaged");
	if (s->named != s->number)
		return lsm_tell(t, KV_FOUND_FAULT, name, 0, 0,
				"holds what belongs into another segment, %012llx",
				(unsigned long long)s->number);
	if (s->size > s->units * l->segment_bytes)
		return lsm_tell(t, KV_FOUND_FAULT, name, s->units * l->segment_bytes, 0,
				"longer than a segment");
	return 0;
}

static int tell_gap(const struct lsm_gap *g, const struct lsm_teller *t,
		    const char *before)
{
	char name[48];

	file_name(name, sizeof(name), before, g->named);
	if (g->missing)
		return lsm_tell(t, KV_FOUND_FAULT, name, 0, 0, "missing");
	if (g->fault)
		return lsm_tell(t, KV_FOUND_FAULT, name, g->offset, g->bytes,
				"what was durable is damaged%s: %s",
				g->old ? ", and tables have what it held" : "",
				g->why.text);
	/* What a crash tore, or what is no longer needed. */
	if (g->bytes)
		return lsm_tell(t, KV_FOUND_NOTE, name, g->offset, g->bytes, "%s: %s",
				g->old ? "not needed" : "not known to have been durable",
				g->why.text);
	return 0;
}

int lsm_log_files_tell(const struct lsm_log_files *l, const struct lsm_teller *t,
		       const char *before)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < l->segments; i++)
		error = tell_segment(l, &l->segment[i], t, before);
	for (i = 0; !error && i < l->gaps; i++)
		error = tell_gap(&l->gap[i], t, before);
	if (!error && goes_on(l))
		error = lsm_tell(
			t, KV_FOUND_FAULT, NULL, 0, 0,
			"%sthe last segment ends, and the one behind it is missing",
			before);
	return error;
}
