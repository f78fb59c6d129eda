/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_salvage.c - saves what can be saved of a store that is damaged.
 *
 * Two things know the pairs: the pages, which are the tree of the checkpoint, and the log,
 * which has what came after it and, as long as its segments stay, some of what came before.
 *
 * First the log is read, and the last step on each key is remembered. Then leaves speak, the
 * best first: those that the superblock's tree reaches; of the keys that a damaged page has
 * lost to it, leaves that the free map has in use; of the rest, leaves of any time, the
 * youngest first. A leaf speaks for all keys between its fences, so what it does not have was
 * deleted; and for a key for which one has spoken, later ones are not asked. A step of the
 * log behind the checkpoint's position says more than any leaf; one before it says more than
 * those that the tree does not reach, since the log has each write from its first segment on.
 *
 * In doubt is what a leaf of any time says, and what was written before a place of the log
 * that is lost.
 */
#include "btree_files.h"

struct step { /* the last on a key */
	uint8_t *key;
	uint32_t len;
	uint32_t segment;
	uint64_t position; /* of its record */
	unsigned int number;
	bool put;
	bool wanted; /* the tree has lost its value */
};

struct range {              /* all keys in it were deleted */
	uint8_t *from, *to; /* to NULL: to the end */
	uint32_t from_bytes, to_bytes;
	uint64_t position;
	unsigned int number;
};

enum rank { REACHED, IN_USE, OLD };

struct candidate { /* a leaf */
	uint64_t birth;
	uint32_t page;
	enum rank rank;
};

struct salvage {
	struct btree_files files;
	struct btree_teller tell;
	kv_salvage_fn *pair;
	void *arg;
	struct kv_msg *why;

	struct step *step; /* by key, once the log is read */
	size_t steps, step_cap;
	struct range *range;
	size_t ranges, range_cap;
	/* Where lost places of the log end: those that are needed; any. */
	uint64_t lost_end, gap_end;

	struct btree_cover reached, spoken; /* keys: by the tree; by any leaf */
	struct btree_reach reach;
	struct kv_buf value;
	uint64_t pairs, doubtful;
};

/* ---- the log's last step on each key ---- */

static int compare_keys(const struct step *x, const struct step *y)
{
	return kv_compare(kv_slice(x->key, x->len), kv_slice(y->key, y->len));
}

/* By key, the last first. */
static int compare_steps(const void *a, const void *b)
{
	const struct step *x = a, *y = b;
	int order = compare_keys(x, y);

	if (order)
		return order;
	if (x->position != y->position)
		return x->position > y->position ? -1 : 1;
	return (x->number < y->number) - (x->number > y->number);
}

static void keep_last(struct salvage *v)
{
	size_t i, kept = 0;

	if (v->steps)
		port_sort(v->step, v->steps, sizeof(*v->step), compare_steps);
	for (i = 0; i < v->steps; i++) {
		if (kept && !compare_keys(&v->step[kept - 1], &v->step[i]))
			port_free(v->step[i].key);
		else
			v->step[kept++] = v->step[i];
	}
	v->steps = kept;
}

/* Room for one more: what is superseded goes first. */
static int make_room(struct salvage *v)
{
	struct step *grown;
	size_t cap;

	if (v->steps < v->step_cap)
		return 0;
	keep_last(v);
	if (v->steps < v->step_cap / 2)
		return 0;
	cap = v->step_cap ? v->step_cap * 2 : 1024;
	grown = port_realloc(v->step, v->step_cap * sizeof(*grown), cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	v->step = grown;
	v->step_cap = cap;
	return 0;
}

static uint8_t *copy(struct kv_slice s)
{
	uint8_t *p = port_alloc(s.len);

	if (p && s.len)
		memcpy(p, s.data, s.len);
	return p;
}

static int remember_range(struct salvage *v, uint64_t position, unsigned int number,
			  const struct kv_op *op)
{
	struct range *r;

	if (v->ranges == v->range_cap) {
		size_t cap = v->range_cap ? v->range_cap * 2 : 16;
		struct range *grown = port_realloc(
			v->range, v->range_cap * sizeof(*grown), cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		v->range = grown;
		v->range_cap = cap;
	}
	r = &v->range[v->ranges];
	*r = (struct range){ .from = copy(op->key),
			     .from_bytes = (uint32_t)op->key.len,
			     .to = op->value.data ? copy(op->value) : NULL,
			     .to_bytes = (uint32_t)op->value.len,
			     .position = position,
			     .number = number };
	v->ranges++;
	return r->from && (r->to || !op->value.data) ? 0 : -ENOMEM;
}

static int remember(void *arg, size_t segment, const struct log_record *r,
		    unsigned int number, const struct kv_op *op)
{
	struct salvage *v = arg;
	struct step *new;
	int error;

	if (op->type == KV_DELETE_RANGE)
		return remember_range(v, r->position, number, op);
	error = make_room(v);
	if (error)
		return error;
	new = &v->step[v->steps];
	*new = (struct step){
		.key = copy(op->key),
		.len = (uint32_t)op->key.len,
		.segment = (uint32_t)segment,
		.position = r->position,
		.number = number,
		.put = op->type == KV_PUT,
	};
	if (!new->key)
		return -ENOMEM;
	v->steps++;
	return 0;
}

static struct step *find_step(const struct salvage *v, struct kv_slice key)
{
	size_t low = 0, high = v->steps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct step *s = &v->step[mid];
		int order = kv_compare(kv_slice(s->key, s->len), key);

		if (!order)
			return s;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Deleted with others, by a step behind this place of the log. */
static bool is_in_range(const struct salvage *v, struct kv_slice key, uint64_t position,
			unsigned int number)
{
	size_t i;

	for (i = 0; i < v->ranges; i++) {
		const struct range *r = &v->range[i];

		if (r->position < position ||
		    (r->position == position && r->number < number))
			continue;
		if (kv_compare(kv_slice(r->from, r->from_bytes), key) <= 0 &&
		    (!r->to || kv_compare(kv_slice(r->to, r->to_bytes), key) > 0))
			return true;
	}
	return false;
}

/* ---- giving ---- */

static int give(struct salvage *v, struct kv_slice key, struct kv_slice value,
		bool doubtful)
{
	const struct kv_salvaged out = { key, value, doubtful };

	v->pairs++;
	v->doubtful += doubtful;
	return v->pair(v->arg, &out);
}

static int tell_value(struct salvage *v, struct kv_slice key,
		      const struct btree_overflow *o, const struct kv_msg *why)
{
	char quoted[48];

	return btree_tell(&v->tell, KV_FOUND_FAULT,
			  v->files.tree ? "TREE" : BTREE_BACKUP_FILE,
			  (uint64_t)o->page * v->files.shape.page_bytes, 0,
			  "the large value of \"%s\": %s",
			  kv_quote(quoted, sizeof(quoted), key), why->text);
}

/* An entry of a leaf that speaks for it. */
static int give_entry(struct salvage *v, const struct btree_node *leaf, unsigned int i,
		      struct kv_slice key, enum rank rank, struct step *step)
{
	bool doubtful = rank == OLD || v->lost_end > btree_files_position(&v->files);
	struct btree_overflow o;
	struct kv_msg why = { "" };
	unsigned int flags;
	struct kv_slice value = btree_node_value(leaf, &v->files.shape, i, &flags);
	int error;

	if (!(flags & BTREE_SLOT_OVERFLOW))
		return give(v, key, value, doubtful);
	o = btree_value_ref(value);
	error = btree_files_value(&v->files, &o, &v->value, NULL, &why);
	if (!error)
		return give(v, key, kv_slice(v->value.data, v->value.len), doubtful);
	if (error != -EBADMSG)
		return error;
	if (step)
		step->wanted = true;
	/* What was given up long ago may have been written over; that is no damage. */
	return rank == OLD ? 0 : tell_value(v, key, &o, &why);
}

static int speak(struct salvage *v, const struct btree_node *leaf, enum rank rank)
{
	uint64_t since = rank == REACHED ? btree_files_position(&v->files) : 0;
	uint8_t key[BTREE_KEY_MAX];
	struct kv_slice k;
	struct step *step;
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < leaf->count; i++) {
		k = kv_slice(key, btree_node_key_copy(leaf, &v->files.shape, i, key));
		step = find_step(v, k);
		if ((step && step->position >= since) || is_in_range(v, k, since, 0) ||
		    (rank != REACHED && btree_cover_has(&v->spoken, k)))
			continue;
		error = give_entry(v, leaf, i, k, rank, step);
	}
	if (!error)
		error = btree_cover_add(rank == REACHED ? &v->reached : &v->spoken,
					btree_node_lower(leaf, &v->files.shape),
					btree_node_upper(leaf, &v->files.shape));
	return error;
}

/* ---- leaves that the tree does not reach ---- */

static int speak_reached(void *arg, const struct btree_node *leaf, uint32_t page)
{
	(void)page;
	return speak(arg, leaf, REACHED);
}

static int tell_lost(void *arg, const struct btree_lost *lost)
{
	struct salvage *v = arg;

	return btree_tell_lost(&v->tell, &v->files, lost);
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->birth != y->birth)
		return x->birth > y->birth ? -1 : 1;
	return (x->page > y->page) - (x->page < y->page);
}

/* Every leaf in the file that is whole and was not reached. */
static int find_candidates(struct salvage *v, const uint64_t *used, uint8_t *image,
			   struct candidate *out, size_t *n)
{
	const struct btree_node *node = (const struct btree_node *)(void *)image;
	struct btree_files *f = &v->files;
	uint32_t page;

	*n = 0;
	for (page = BTREE_SUPER_PAGES; page < f->pages; page++) {
		int error = btree_bit(v->reach.seen, page)
				    ? -EBADMSG
				    : btree_files_read(f, page, image);

		if (!error)
			error = btree_files_page(f, page, image, 0, NULL);
		if (error == -ENOMEM)
			return error;
		if (error || node->page.kind != BTREE_PAGE_NODE || node->page.level)
			continue;
		out[(*n)++] = (struct candidate){
			.birth = node->page.birth,
			.page = page,
			.rank = used && btree_bit(used, page) &&
						!btree_bit(v->reach.rejected, page)
					? IN_USE
					: OLD,
		};
	}
	return 0;
}

static int speak_candidates(struct salvage *v, const uint64_t *used, uint8_t *image)
{
	struct candidate *c = port_alloc(v->files.pages * sizeof(*c));
	size_t n, i;
	int error = c ? find_candidates(v, used, image, c, &n) : -ENOMEM;

	if (!error && n)
		port_sort(c, n, sizeof(*c), compare_candidates);
	for (i = 0; !error && i < n; i++) {
		error = btree_files_read(&v->files, c[i].page, image);
		if (!error)
			error = btree_files_page(&v->files, c[i].page, image, 0, NULL);
		/* It was good a moment ago. */
		if (error && error != -ENOMEM)
			error = kv_fail(v->why, -EIO,
					"%s: page %u was good and cannot be read again",
					v->files.dir, c[i].page);
		if (!error)
			error = speak(v, (const struct btree_node *)(void *)image,
				      c[i].rank);
	}
	port_free(c);
	return error;
}

static int copy_cover(struct btree_cover *to, const struct btree_cover *from)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < from->n; i++) {
		const struct btree_span *s = &from->span[i];

		error = btree_cover_add(to, kv_slice(s->lower, s->lower_bytes),
					kv_slice(s->upper, s->upper_bytes));
	}
	return error;
}

static int give_pages(struct salvage *v)
{
	struct kv_msg why = { "" };
	uint8_t *image;
	uint64_t *used = NULL;
	int error;

	v->reach.files = &v->files;
	v->reach.leaf = speak_reached;
	v->reach.lost = tell_lost;
	v->reach.arg = v;
	error = btree_reach_run(&v->reach);
	if (error || (v->files.has_super && !v->reach.losses))
		return error;
	image = port_alloc_aligned(64, v->files.shape.page_bytes);
	if (!image)
		return -ENOMEM;
	if (v->files.has_super)
		error = btree_files_map(&v->files, &used, &why);
	if (!error)
		error = copy_cover(&v->spoken, &v->reached);
	if (!error)
		error = speak_candidates(v, used, image);
	port_free(used);
	port_free_aligned(image);
	return error;
}

/* ---- the log's pairs ---- */

static int compare_places(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (x->position > y->position) - (x->position < y->position);
}

struct nth {
	unsigned int number;
	struct kv_op op;
	bool found;
};

static int take_nth(void *arg, unsigned int number, const struct kv_op *op)
{
	struct nth *n = arg;

	if (number == n->number) {
		n->op = *op;
		n->found = true;
	}
	return 0;
}

/* The log decides: nothing that the tree reaches is younger. */
static bool log_decides(const struct salvage *v, const struct step *s)
{
	struct kv_slice key = kv_slice(s->key, s->len);

	return s->put && !is_in_range(v, key, s->position, s->number) &&
	       (s->wanted || s->position >= btree_files_position(&v->files) ||
		!btree_cover_has(&v->reached, key));
}

static int give_step(struct salvage *v, const struct log_raw *raw, const struct step *s)
{
	const struct btree_segment *segment = &v->files.segment[s->segment];
	uint64_t size = v->files.segment_bytes;
	struct nth nth = { .number = s->number };
	struct log_raw_piece p;

	if (log_raw_at(raw, v->files.id, segment->number, size,
		       s->position - segment->number * size, &p) ||
	    btree_record_each(&p.record, take_nth, &nth) || !nth.found)
		return kv_fail(v->why, -EIO,
			       "%s: a record that was good cannot be read again",
			       v->files.dir);
	return give(v, nth.op.key, nth.op.value, v->gap_end > s->position);
}

static int give_log(struct salvage *v)
{
	struct log_raw raw = { 0 };
	size_t i, loaded = SIZE_MAX;
	int error = 0;

	if (v->steps)
		port_sort(v->step, v->steps, sizeof(*v->step), compare_places);
	for (i = 0; !error && i < v->steps; i++) {
		const struct step *s = &v->step[i];

		if (!log_decides(v, s))
			continue;
		if (loaded != s->segment) {
			log_raw_free(&raw);
			loaded = s->segment;
			error = log_raw_load(v->files.env, v->files.dir,
					     v->files.segment[loaded].named, &raw);
			if (error)
				(void)kv_fail(v->why, error,
					      "%s: a segment cannot be read again",
					      v->files.dir);
		}
		if (!error)
			error = give_step(v, &raw, s);
	}
	log_raw_free(&raw);
	return error;
}

/* ---- the whole ---- */

/* A file of another store in the place of one that may be needed: what stood there? */
static bool is_replaced(const struct btree_files *f)
{
	uint64_t needed =
		f->segment_bytes ? btree_files_position(f) / f->segment_bytes : 0;
	size_t i;

	for (i = 0; i < f->segments; i++)
		if (!btree_segment_is_read(&f->segment[i]) &&
		    f->segment[i].role != BTREE_FILE_DUPLICATE &&
		    f->segment[i].named >= needed)
			return true;
	return false;
}

static void find_lost(struct salvage *v, const struct btree_survey *s)
{
	const struct btree_files *f = &v->files;
	size_t i;

	for (i = 0; i < s->gaps; i++) {
		const struct btree_gap *g = &s->gap[i];

		if (g->fault && v->lost_end < g->end)
			v->lost_end = g->end;
		if ((g->fault || g->old) && v->gap_end < g->end)
			v->gap_end = g->end;
	}
	/* The log went on behind its last file, or where it is nobody knows. */
	if ((s->ended && !s->closed) || s->malformed || is_replaced(f) ||
	    (f->has_super && f->super.log_position && !s->segments))
		v->lost_end = v->gap_end = UINT64_MAX;
}

static int salvage(struct salvage *v)
{
	struct btree_survey s = { .files = &v->files, .step = remember, .arg = v };
	int error = btree_survey_run(&s);

	if (!error) {
		keep_last(v);
		find_lost(v, &s);
		error = btree_tell_files(&v->tell, &v->files);
	}
	if (!error)
		error = btree_tell_log(&v->tell, &s);
	btree_survey_free(&s);
	if (!error && v->files.shape.page_bytes)
		error = give_pages(v);
	if (!error)
		error = give_log(v);
	if (!error)
		error = btree_tell(
			&v->tell, KV_FOUND_FACT, NULL, 0, 0,
			"%llu pairs, of which %llu may have had a newer version "
			"that is lost",
			(unsigned long long)v->pairs, (unsigned long long)v->doubtful);
	return error;
}

static void salvage_free(struct salvage *v)
{
	size_t i;

	for (i = 0; i < v->steps; i++)
		port_free(v->step[i].key);
	for (i = 0; i < v->ranges; i++) {
		port_free(v->range[i].from);
		port_free(v->range[i].to);
	}
	port_free(v->step);
	port_free(v->range);
	kv_buf_free(&v->value);
	btree_cover_free(&v->reached);
	btree_cover_free(&v->spoken);
	btree_reach_free(&v->reach);
	btree_files_close(&v->files);
	port_free(v);
}

int btree_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
			kv_finding_fn *found, void *arg, struct kv_msg *why)
{
	struct salvage *v = port_alloc(sizeof(*v));
	int error;

	if (!v)
		return kv_fail(why, -ENOMEM, "no memory to look at %s", dir);
	memset(v, 0, sizeof(*v));
	v->tell = (struct btree_teller){ found, arg };
	v->pair = pair;
	v->arg = arg;
	v->why = why;
	error = btree_files_open(env, dir, &v->files, why);
	if (!error)
		error = salvage(v);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory for the keys of %s", dir);
	salvage_free(v);
	return error;
}
