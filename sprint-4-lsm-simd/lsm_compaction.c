/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_compaction.c - what a pick says: tables of some runs into one run.
 *
 * The keys are divided at borders of the sources' tables into parts of about the same size, and
 * each part is merged by a task of its own (RocksDB's subcompactions). A part has its own
 * cursors, output and edit; the first that fails ends the others. Nothing is seen of any of
 * it before the caller commits the edit.
 *
 * Blocks are read ahead, and come into the cache cold: a compaction reads each once.
 */
#include "lsm_output.h"

enum { PARTS_MAX = 16, WINDOW_MAX = 256 << 10 };

struct part {
	struct compaction *all;
	struct env_task *task;      /* NULL: the caller's own */
	struct kv_slice begin, end; /* end.data NULL: to the end of all keys */
	struct lsm_edit edit;
	struct lsm_work_stats stats;
	struct kv_msg why;
	bool first; /* to fail */
};

struct compaction {
	/* constant while parts are at work */
	const struct lsm_work *work;
	struct lsm_version *version;
	const struct lsm_pick *pick;
	struct lsm_run *run;               /* the sources */
	struct lsm_tombstones *tombstones; /* of all of them */
	struct part part[PARTS_MAX];
	size_t parts;
	int error; /* atomic: of the first part that failed */
};

struct border { /* where a source's table begins */
	struct kv_slice key;
	uint64_t bytes;
};

static struct kv_slice slice_of(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static struct kv_slice pick_begin(const struct lsm_pick *p)
{
	return p->begin.len ? slice_of(&p->begin) : kv_slice("", 0);
}

static struct kv_slice pick_end(const struct lsm_pick *p)
{
	if (p->end_open)
		return kv_slice(NULL, 0);
	return p->end.len ? slice_of(&p->end) : kv_slice("", 0);
}

static size_t count_tables(const struct lsm_pick *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->sources; i++)
		n += p->source[i].tables;
	return n;
}

/* ---- parts ---- */

static int compare_borders(const void *a, const void *b)
{
	const struct border *x = a, *y = b;

	return kv_compare(x->key, y->key);
}

/* The sources' tables by their first key, but for those that end before the range. Returns
 * how many; *total: bytes of all. */
static size_t collect_borders(const struct lsm_pick *p, struct border *b, uint64_t *total)
{
	size_t i, j, n = 0;

	*total = 0;
	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++) {
			const struct sst_summary *s = &p->source[i].table[j]->summary;

			if (sst_summary_ends_before(s, pick_begin(p)))
				continue;
			b[n++] = (struct border){ slice_of(&s->smallest), s->bytes };
			*total += s->bytes;
		}
	port_sort(b, n, sizeof(*b), compare_borders);
	return n;
}

/* Cuts where so many bytes lie before that the next part may begin. */
static void cut_at(struct compaction *c, const struct border *b, size_t n, uint64_t total,
		   size_t parts)
{
	struct kv_slice begin = pick_begin(c->pick), end = pick_end(c->pick);
	uint64_t before = 0;
	size_t i;

	c->part[0].begin = begin;
	c->parts = 1;
	for (i = 0; i < n && c->parts < parts; before += b[i++].bytes) {
		struct part *last = &c->part[c->parts - 1];

		if (before < total / parts * c->parts ||
		    kv_compare(b[i].key, last->begin) <= 0)
			continue;
		if (end.data && kv_compare(b[i].key, end) >= 0)
			break;
		last->end = b[i].key;
		c->part[c->parts++].begin = b[i].key;
	}
	c->part[c->parts - 1].end = end;
}

/* The two sides of the pick's cut. */
static void cut_in_two(struct compaction *c)
{
	struct kv_slice cut = kv_slice(c->pick->cut.data, c->pick->cut.len);

	c->part[0].begin = pick_begin(c->pick);
	c->part[0].end = c->part[1].begin = cut;
	c->part[1].end = pick_end(c->pick);
	c->part[0].all = c->part[1].all = c;
	c->parts = 2;
}

static int cut_parts(struct compaction *c)
{
	const struct lsm_work *w = c->work;
	size_t n = count_tables(c->pick), parts = w->parts, i;
	struct border *b = port_alloc((n ? n : 1) * sizeof(*b));
	uint64_t total;

	if (!b)
		return -ENOMEM;
	n = collect_borders(c->pick, b, &total);
	/* A part that makes no whole table only makes small ones. */
	if (parts > total / (w->table_bytes ? w->table_bytes : 1))
		parts = total / (w->table_bytes ? w->table_bytes : 1);
	if (parts > PARTS_MAX)
		parts = PARTS_MAX;
	cut_at(c, b, n, total, parts ? parts : 1);
	for (i = 0; i < c->parts; i++)
		c->part[i].all = c;
	port_free(b);
	return 0;
}

/* ---- the work of a part ---- */

/* As struct lsm_work's; ends this part, too, when another has failed. */
static int pace_part(void *arg, uint64_t bytes)
{
	struct compaction *c = arg;

	if (port_load_acquire(&c->error))
		return -ECANCELED;
	return c->work->pace ? c->work->pace(c->work->pace_arg, bytes) : 0;
}

/* KiB that each source may read ahead: all of them a third of the buffers. */
static unsigned int window_of(const struct compaction *c)
{
	size_t n = c->pick->sources, each = c->work->buffer_bytes / 3 / (n ? n : 1);

	if (!each || each > WINDOW_MAX)
		each = WINDOW_MAX;
	return each < 4096 ? 4 : (unsigned int)(each >> 10);
}

/* A merge of the sources. */
static int open_sources(const struct compaction *c, struct lsm_cursor **out,
			struct kv_msg *why)
{
	size_t n = c->pick->sources, i;
	unsigned int flags = SST_COLD | SST_READAHEAD | window_of(c) << SST_WINDOW;
	struct lsm_cursor **source =
		port_alloc((n ? n : 1) * sizeof(struct lsm_cursor *));
	int error;

	if (!source)
		return kv_fail(why, -ENOMEM, "no memory for a compaction");
	for (i = 0; i < n; i++) {
		error = lsm_run_cursor(&c->run[i], flags, &source[i], why);
		if (error)
			goto out;
	}
	error = lsm_merge(source, n, out);
	i = 0; /* the merge has them, whatever came of it */
	if (error)
		(void)kv_fail(why, error, "no memory for a compaction");
out:
	while (i)
		lsm_cursor_close(source[--i]);
	port_free(source);
	return error;
}

/* Of each table, so that the last one is no small rest: many pieces' rests would take more of a
 * disk, which is handed out by the block, than all of them together need. */
static uint64_t table_bytes_of(const struct compaction *c)
{
	uint64_t wanted = c->work->table_bytes, bytes = c->pick->bytes / c->parts, even;

	if (!wanted || bytes < wanted)
		return wanted;
	even = bytes / (bytes / wanted) + 1;
	return even > wanted ? even : wanted;
}

static int merge_part(struct part *p)
{
	struct compaction *c = p->all;
	const struct lsm_work *w = c->work;
	const struct lsm_output_config config = {
		.work = w,
		.version = c->version,
		.keep = { .snapshot = w->snapshot,
			  .snapshots = w->snapshots,
			  .tombstones = c->tombstones,
			  .bottom = c->pick->bottom },
		.level = c->pick->to,
		.run = c->pick->run,
		.table_bytes = table_bytes_of(c),
		.begin = p->begin,
		.end = p->end,
		.pace = pace_part,
		.pace_arg = c,
		.reason = lsm_run_cursor_why,
		.edit = &p->edit,
		.stats = &p->stats,
	};
	struct lsm_cursor *from;
	int error = open_sources(c, &from, &p->why);

	if (error)
		return error;
	error = lsm_output(&config, from, &p->why);
	lsm_cursor_close(from);
	return error;
}

static void part_task(void *arg)
{
	struct part *p = arg;
	int none = 0, error = merge_part(p);

	p->first = error && port_cas(&p->all->error, &none, error);
}

static void run_parts(struct compaction *c)
{
	struct env *env = c->work->env;
	size_t i;

	for (i = 1; i < c->parts; i++)
		if (env->ops->spawn(env, "compact-part", part_task, &c->part[i],
				    &c->part[i].task))
			c->part[i].task = NULL;
	part_task(&c->part[0]);
	for (i = 1; i < c->parts; i++)
		if (c->part[i].task)
			env->ops->join(env, c->part[i].task);
		else if (!port_load_acquire(&c->error))
			part_task(&c->part[i]); /* without a task, then one by one */
}

/* ---- before and after ---- */

static int union_tombstones(struct compaction *c)
{
	const struct lsm_pick *p = c->pick;
	size_t n = count_tables(p), sets = 0, i, j;
	const struct lsm_tombstones **set = port_alloc((n ? n : 1) * sizeof(*set));
	int error = 0;

	if (!set)
		return -ENOMEM;
	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++) {
			set[sets] = sst_tombstones(p->source[i].table[j]->sst);
			sets += set[sets] != NULL;
		}
	if (sets)
		error = lsm_tombstones_union(set, sets, &c->tombstones);
	port_free(set);
	return error;
}

static int prepare(struct compaction *c)
{
	const struct lsm_pick *p = c->pick;
	size_t i;
	int error;

	c->run = port_alloc((p->sources ? p->sources : 1) * sizeof(*c->run));
	if (!c->run)
		return -ENOMEM;
	for (i = 0; i < p->sources; i++)
		c->run[i] = (struct lsm_run){ .table = p->source[i].table,
					      .tables = p->source[i].tables };
	error = union_tombstones(c);
	if (error || !p->cut.len)
		return error ? error : cut_parts(c);
	cut_in_two(c);
	return 0;
}

static void add_stats(struct lsm_work_stats *to, const struct lsm_work_stats *from)
{
	to->read_bytes += from->read_bytes;
	to->written_bytes += from->written_bytes;
	to->blob_bytes += from->blob_bytes;
	to->entries_in += from->entries_in;
	to->entries_out += from->entries_out;
	to->dropped += from->dropped;
	to->blobs_rewritten += from->blobs_rewritten;
}

/* A part's files into the edit. */
static int take_files(struct part *p, struct lsm_edit *edit)
{
	size_t i;
	int error = 0;

	for (i = 0; i < p->edit.adds && !error; i++) {
		struct lsm_edit_add *a = &p->edit.add[i];

		error = lsm_edit_add(edit, a->level, a->run, a->number, &a->summary);
	}
	for (i = 0; i < p->edit.blobs && !error; i++)
		error = lsm_edit_blob(edit, p->edit.blob[i].number,
				      &p->edit.blob[i].summary);
	return error ? kv_fail(&p->why, error, "no memory to note tables") : 0;
}

/* All parts' files into the edit, in order; on an error they go. */
static int gather(struct compaction *c, struct lsm_edit *edit,
		  struct lsm_work_stats *stats, struct kv_msg *why)
{
	int error = port_load_acquire(&c->error);
	size_t i;

	for (i = 0; i < c->parts; i++) {
		struct part *p = &c->part[i];

		add_stats(stats, &p->stats);
		if (!error) {
			error = take_files(p, edit);
			p->first = error;
		}
		if (p->first && why)
			*why = p->why;
	}
	for (i = 0; i < c->parts; i++) {
		if (error)
			lsm_work_undo(c->work, &c->part[i].edit);
		lsm_edit_free(&c->part[i].edit);
	}
	return error;
}

static int merge(const struct lsm_work *w, struct lsm_version *v,
		 const struct lsm_pick *p, struct lsm_edit *edit,
		 struct lsm_work_stats *stats, struct kv_msg *why)
{
	struct compaction *c = port_alloc(sizeof(*c));
	int error;

	if (!c)
		return kv_fail(why, -ENOMEM, "no memory for a compaction");
	memset(c, 0, sizeof(*c));
	c->work = w;
	c->version = v;
	c->pick = p;
	error = prepare(c);
	if (error) {
		(void)kv_fail(why, error, "no memory for a compaction");
	} else {
		run_parts(c);
		error = gather(c, edit, stats, why);
	}
	lsm_tombstones_free(c->tombstones);
	port_free(c->run);
	port_free(c);
	return error;
}

static int move_tables(const struct lsm_pick *p, struct lsm_edit *edit)
{
	size_t i, j;
	int error = 0;

	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables && !error; j++)
			error = lsm_edit_move(edit, p->source[i].table[j]->number, p->to,
					      p->run);
	return error;
}

/* What the edit says beside the files that were made. */
static int note_pick(const struct lsm_pick *p, struct lsm_edit *edit)
{
	struct kv_slice end = pick_end(p);
	size_t i;
	int error = 0;

	for (i = 0; i < p->removes && !error; i++)
		error = lsm_edit_remove(edit, p->remove[i]);
	if (error || !p->progress)
		return error;
	error = kv_buf_set(&edit->progress, end.data, end.len);
	if (error)
		return error;
	edit->has_progress = true;
	edit->progress_level = p->from;
	edit->progress_run = p->progress_run;
	return 0;
}

int lsm_compact(const struct lsm_work *w, struct lsm_version *v, const struct lsm_pick *p,
		struct lsm_edit *edit, struct lsm_work_stats *stats, struct kv_msg *why)
{
	uint64_t begun = w->env->ops->now_ns(w->env);
	int error = note_pick(p, edit);

	if (!error && p->move)
		error = move_tables(p, edit);
	if (error)
		(void)kv_fail(why, error, "no memory for a compaction");
	else if (!p->move)
		error = merge(w, v, p, edit, stats, why);
	if (error)
		lsm_edit_free(edit);
	stats->ns += w->env->ops->now_ns(w->env) - begun;
	return error;
}
