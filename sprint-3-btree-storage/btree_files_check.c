/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_check.c - is a B+tree store that nobody has open sound? The findings, in words.
 *
 * What an open puts right or passes over is a note: a copy of a superblock that is damaged
 * while its twin is good, a tail of the log that was torn before it was durable. A fault is what an open refuses, or would answer
 * with an error, or what should be there and is not.
 */
#include "btree_files.h"

int btree_tell(const struct btree_teller *t, enum kv_found kind, const char *file,
	       uint64_t offset, uint64_t bytes, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return t->found(t->arg, &(struct kv_finding){ kind, file, offset, bytes, text });
}

/* ---- superblocks ---- */

static const char *tree_name(const struct btree_files *f)
{
	return f->tree ? "TREE" : BTREE_BACKUP_FILE;
}

static bool is_bad(const struct btree_place *p)
{
	return p->error != 0;
}

/* A block that never came to be written whole leaves one copy at least; so where both are
 * bad, the place may have held the newest. */
static int tell_place(const struct btree_teller *t, const struct btree_files *f,
		      unsigned int place)
{
	const struct btree_place *p = f->place[place];
	uint64_t offset = (uint64_t)place * f->shape.page_bytes;

	if (is_bad(&p[0]) && is_bad(&p[1]))
		return btree_tell(t, KV_FOUND_FAULT, tree_name(f), offset,
				  BTREE_SUPER_BLOCK,
				  "superblock %u: %s; the other one may be older", place,
				  p[0].why.text);
	if (is_bad(&p[0]) || is_bad(&p[1]))
		return btree_tell(t, KV_FOUND_NOTE, tree_name(f),
				  offset + (is_bad(&p[0]) ? 0 : BTREE_SUPER_COPY),
				  BTREE_SUPER_BYTES,
				  "superblock %u, one of two copies: %s; the next open "
				  "heals it",
				  place, p[!is_bad(&p[0])].why.text);
	return 0;
}

static bool are_of_two_stores(const struct btree_files *f)
{
	const struct btree_place *a = f->place[0], *b = f->place[1];
	const struct btree_super *x = is_bad(&a[0]) ? &a[1].super : &a[0].super;
	const struct btree_super *y = is_bad(&b[0]) ? &b[1].super : &b[0].super;

	if ((is_bad(&a[0]) && is_bad(&a[1])) || (is_bad(&b[0]) && is_bad(&b[1])))
		return false;
	return x->store_id != y->store_id || x->page_bytes != y->page_bytes;
}

static int tell_supers(const struct btree_teller *t, const struct btree_files *f)
{
	const struct btree_super *s = &f->super;
	uint64_t want;
	int error;

	if (!f->has_super)
		return btree_tell(t, KV_FOUND_FAULT, tree_name(f), 0, 0,
				  "neither superblock is whole: %s",
				  f->place[0][0].why.text);
	error = tell_place(t, f, 0);
	if (!error)
		error = tell_place(t, f, 1);
	if (!error && are_of_two_stores(f))
		error = btree_tell(t, KV_FOUND_FAULT, tree_name(f), 0, 0,
				   "its superblocks are of two stores");
	want = (uint64_t)s->pages * s->page_bytes;
	if (!error && f->bytes < want)
		error = btree_tell(t, KV_FOUND_FAULT, tree_name(f), f->bytes, 0,
				   "ends here, the checkpoint has %llu bytes",
				   (unsigned long long)want);
	if (error)
		return error;
	return btree_tell(
		t, KV_FOUND_FACT, tree_name(f), 0, 0,
		"store %016llx, %u pages of %u bytes, checkpoint %llu: %llu pairs "
		"in %u levels, log from position %llx",
		(unsigned long long)s->store_id, s->pages, s->page_bytes,
		(unsigned long long)s->sequence, (unsigned long long)s->keys, s->levels,
		(unsigned long long)s->log_position);
}

static int tell_names(const struct btree_teller *t, const struct btree_files *f)
{
	int error = 0;

	if (f->temporaries)
		error = btree_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				   "%zu *.tmp files: what was being made when a process "
				   "died",
				   f->temporaries);
	if (!error && f->tree && f->backup)
		error = btree_tell(t, KV_FOUND_NOTE, BTREE_BACKUP_FILE, 0, 0,
				   "a backup that did not come to its end; ignored");
	if (!error && f->strangers)
		error = btree_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				   "%zu files that are not the store's (%s); ignored",
				   f->strangers, f->stranger);
	return error;
}

int btree_tell_files(const struct btree_teller *t, const struct btree_files *f)
{
	int error = 0;

	if (!f->tree && f->backup)
		error = btree_tell(t, KV_FOUND_FAULT, BTREE_BACKUP_FILE, 0, 0,
				   "a backup that did not come to its end");
	else if (!f->tree)
		error = btree_tell(t, KV_FOUND_FAULT, "TREE", 0, 0, "missing");
	if (!error && f->tree && !f->file)
		error = btree_tell(t, KV_FOUND_FAULT, "TREE", 0, 0, "cannot be opened");
	if (!error && f->file)
		error = tell_supers(t, f);
	return error ? error : tell_names(t, f);
}

/* ---- pages ---- */

int btree_tell_lost(const struct btree_teller *t, const struct btree_files *f,
		    const struct btree_lost *lost)
{
	const char *mark = lost->upper.data ? "\"" : "";
	char lower[48], upper[48] = "the end";

	if (lost->upper.data)
		(void)kv_quote(upper, sizeof(upper), lost->upper);
	return btree_tell(t, KV_FOUND_FAULT, tree_name(f),
			  (uint64_t)lost->page * f->shape.page_bytes, f->shape.page_bytes,
			  "page %u, %s: %s; keys from \"%s\" to %s%s%s", lost->page,
			  lost->level ? "a node" : "a leaf", lost->why,
			  kv_quote(lower, sizeof(lower), lost->lower), mark, upper, mark);
}

/* ---- the log ---- */

static int tell_role(const struct btree_teller *t, const struct btree_files *f,
		     const struct btree_segment *s)
{
	uint64_t most = s->units * f->segment_bytes;
	char name[32], real[32];

	log_raw_name(name, s->named);
	log_raw_name(real, s->number);
	switch (s->role) {
	case BTREE_FILE_DAMAGED:
		return btree_tell(t, KV_FOUND_FAULT, name, 0, LOG_SEGMENT_HEADER_BYTES,
				  "the header is damaged");
	case BTREE_FILE_MISPLACED:
		return btree_tell(t, KV_FOUND_FAULT, name, 0, 0,
				  "holds what belongs into %s", real);
	case BTREE_FILE_DUPLICATE:
		return btree_tell(t, KV_FOUND_FAULT, name, 0, 0,
				  "a copy of a segment that is there; ignored");
	case BTREE_FILE_FOREIGN:
		return btree_tell(t, KV_FOUND_FAULT, name, 0, 0,
				  "not known to be of this store; ignored");
	case BTREE_FILE_NEWER:
		return btree_tell(
			t, KV_FOUND_FAULT, name, 0, 0,
			"of a newer format than this program reads: use a newer "
			"one");
	case BTREE_FILE_OURS:
		break;
	}
	if (s->size > most)
		return btree_tell(t, KV_FOUND_FAULT, name, most, s->size - most,
				  "longer than a segment");
	if (s->size <= most - f->segment_bytes)
		return btree_tell(t, KV_FOUND_FAULT, name, s->size, 0,
				  "cut short: %llu bytes of %llu",
				  (unsigned long long)s->size, (unsigned long long)most);
	return 0;
}

static int tell_gap(const struct btree_teller *t, const struct btree_survey *s,
		    const struct btree_gap *g)
{
	const struct btree_files *f = s->files;
	char name[32];

	if (g->segment == SIZE_MAX) {
		log_raw_name(name, g->number);
		return btree_tell(
			t, KV_FOUND_FAULT, name, 0, 0,
			"missing (%llu segments from here on)",
			(unsigned long long)((g->end - g->begin) / f->segment_bytes));
	}
	log_raw_name(name, f->segment[g->segment].named);
	if (g->fault)
		return btree_tell(t, KV_FOUND_FAULT, name, g->offset, g->bytes,
				  "%s, where the log %s%s", g->why.text,
				  g->begin < s->promise ? "was durable" : "is needed",
				  g->open ? "; no record of the segment follows" : "");
	/* An open passes over it; a verification does not. */
	if (g->old)
		return btree_tell(t, KV_FOUND_FAULT, name, g->offset, g->bytes,
				  "%s; what stood there is in the checkpoint",
				  g->why.text);
	if (g->bytes)
		return btree_tell(t, KV_FOUND_NOTE, name, g->offset, g->bytes,
				  "%s; nothing shows that this was ever durable: a torn "
				  "tail, which the next open cuts",
				  g->why.text);
	return btree_tell(t, KV_FOUND_NOTE, name, g->offset, 0,
			  "the log ends without an end mark: its process died, or the "
			  "mark is damaged");
}

/* The log went on from here when its last end mark was written. */
static int tell_end(const struct btree_teller *t, const struct btree_survey *s)
{
	const struct btree_files *f = s->files;

	if (f->has_super && !f->segment_bytes && f->super.log_position)
		return btree_tell(t, KV_FOUND_FAULT, NULL, 0, 0,
				  "the log is missing, from position %llx on",
				  (unsigned long long)f->super.log_position);
	if (s->segments && s->ended && !s->closed)
		return btree_tell(
			t, KV_FOUND_NOTE, NULL, 0, 0,
			"a segment behind the last may be missing: that was not "
			"the last when it was ended");
	return 0;
}

int btree_tell_log(const struct btree_teller *t, const struct btree_survey *s)
{
	const struct btree_files *f = s->files;
	size_t i;
	int error = 0;

	for (i = 0; !error && i < f->segments; i++)
		error = tell_role(t, f, &f->segment[i]);
	for (i = 0; !error && i < s->gaps; i++)
		error = tell_gap(t, s, &s->gap[i]);
	if (!error)
		error = tell_end(t, s);
	if (!error && s->unreadable)
		error = btree_tell(t, KV_FOUND_FAULT, NULL, 0, 0,
				   "the device does not give %llu bytes of the log",
				   (unsigned long long)s->unreadable);
	if (!error && s->malformed)
		error = btree_tell(t, KV_FOUND_FAULT, NULL, 0, 0,
				   "%llu records are whole and no write made them, the "
				   "first at position %llx",
				   (unsigned long long)s->malformed,
				   (unsigned long long)s->malformed_at);
	if (!error && s->padding)
		error = btree_tell(t, KV_FOUND_NOTE, NULL, 0, 0,
				   "%llu records have padding that is not zero",
				   (unsigned long long)s->padding);
	return error;
}

/* ---- the tree ---- */

struct checking {
	struct btree_files *files;
	struct btree_teller tell;
	struct btree_reach reach;
	uint64_t *used;   /* the free map's; NULL: damaged */
	uint64_t *values; /* bits: pages of large values */
	uint64_t large;
};

static int check_value(struct checking *c, const struct btree_node *leaf, unsigned int i)
{
	const struct btree_shape *shape = &c->files->shape;
	uint8_t key[BTREE_KEY_MAX];
	struct btree_overflow o;
	struct kv_msg why = { "" };
	unsigned int flags;
	char quoted[48];
	int error;

	o = btree_value_ref(btree_node_value(leaf, shape, i, &flags));
	if (!(flags & BTREE_SLOT_OVERFLOW))
		return 0;
	c->large++;
	error = btree_files_value(c->files, &o, NULL, c->values, &why);
	if (error != -EBADMSG)
		return error;
	return btree_tell(
		&c->tell, KV_FOUND_FAULT, tree_name(c->files),
		(uint64_t)o.page * shape->page_bytes, 0, "the large value of \"%s\": %s",
		kv_quote(quoted, sizeof(quoted),
			 kv_slice(key, btree_node_key_copy(leaf, shape, i, key))),
		why.text);
}

static int check_leaf(void *arg, const struct btree_node *leaf, uint32_t page)
{
	unsigned int i;
	int error = 0;

	(void)page;
	for (i = 0; !error && i < leaf->count; i++)
		error = check_value(arg, leaf, i);
	return error;
}

static int check_lost(void *arg, const struct btree_lost *lost)
{
	struct checking *c = arg;

	return btree_tell_lost(&c->tell, c->files, lost);
}

/* The tree's pages against the free map: pages that it has as free, that are used twice, or
 * that are in use and nobody's. */
static int check_map(struct checking *c)
{
	const struct btree_super *s = &c->files->super;
	uint64_t free = 0, twice = 0, lost = 0;
	uint32_t page;
	int error = 0;

	for (page = BTREE_SUPER_PAGES; page < s->pages && page < c->files->pages;
	     page++) {
		bool tree = btree_bit(c->reach.seen, page),
		     value = btree_bit(c->values, page),
		     map = page - s->map_page < s->map_pages;
		unsigned int users = tree + value + map;

		free += users && !btree_bit(c->used, page);
		twice += users > 1;
		lost += !users && btree_bit(c->used, page);
	}
	if (free)
		error = btree_tell(&c->tell, KV_FOUND_FAULT, tree_name(c->files), 0, 0,
				   "%llu pages of the tree are free in the free map",
				   (unsigned long long)free);
	if (!error && twice)
		error = btree_tell(&c->tell, KV_FOUND_FAULT, tree_name(c->files), 0, 0,
				   "%llu pages are used twice",
				   (unsigned long long)twice);
	/* Below a page that is lost there are others. */
	if (!error && lost && !c->reach.losses)
		error = btree_tell(&c->tell, KV_FOUND_FAULT, tree_name(c->files), 0, 0,
				   "%llu pages are in use and nothing leads to them",
				   (unsigned long long)lost);
	return error;
}

static int check_tree(struct checking *c)
{
	struct btree_files *f = c->files;
	size_t bytes = btree_files_words(f) * sizeof(uint64_t);
	struct kv_msg why = { "" };
	int error;

	c->values = port_alloc(bytes);
	if (!c->values)
		return -ENOMEM;
	memset(c->values, 0, bytes);
	error = btree_files_map(f, &c->used, &why);
	if (!error && !c->used)
		error = btree_tell(&c->tell, KV_FOUND_FAULT, tree_name(f),
				   (uint64_t)f->super.map_page * f->shape.page_bytes,
				   (uint64_t)f->super.map_pages * f->shape.page_bytes,
				   "the free map: %s", why.text);
	if (!error)
		error = btree_reach_run(&c->reach);
	if (!error && c->used)
		error = check_map(c);
	if (!error && !c->reach.losses && c->reach.keys != f->super.keys)
		error = btree_tell(&c->tell, KV_FOUND_FAULT, tree_name(f), 0, 0,
				   "%llu pairs, the superblock has %llu",
				   (unsigned long long)c->reach.keys,
				   (unsigned long long)f->super.keys);
	return error;
}

/* ---- the whole ---- */

static int tell_totals(const struct checking *c, const struct btree_survey *s)
{
	const struct btree_reach *r = &c->reach;

	return btree_tell(
		&c->tell, KV_FOUND_FACT, NULL, 0, 0,
		"%llu leaves, %llu inner nodes, %llu large values; %llu segments "
		"of log, %llu records, %llu bytes",
		(unsigned long long)r->leaves, (unsigned long long)r->inner,
		(unsigned long long)c->large, (unsigned long long)s->segments,
		(unsigned long long)s->records, (unsigned long long)s->bytes);
}

static int btree_files_check(struct env *env, const char *dir, kv_finding_fn *found,
			     void *arg, struct kv_msg *why)
{
	struct btree_files f;
	struct checking *c = port_alloc(sizeof(*c));
	struct btree_survey s = { .files = &f };
	int error = c ? btree_files_open(env, dir, &f, why) : -ENOMEM;

	if (error)
		goto out_free;
	memset(c, 0, sizeof(*c));
	c->files = &f;
	c->tell = (struct btree_teller){ found, arg };
	c->reach.files = &f;
	c->reach.leaf = check_leaf;
	c->reach.lost = check_lost;
	c->reach.arg = c;
	error = btree_tell_files(&c->tell, &f);
	if (!error && f.has_super)
		error = check_tree(c);
	if (!error)
		error = btree_survey_run(&s);
	if (!error)
		error = btree_tell_log(&c->tell, &s);
	if (!error)
		error = tell_totals(c, &s);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", dir);
	btree_survey_free(&s);
	btree_reach_free(&c->reach);
	port_free(c->used);
	port_free(c->values);
	btree_files_close(&f);
out_free:
	port_free(c);
	return error;
}

const struct kv_inspect_ops btree_inspect = {
	.recognise = btree_files_recognise,
	.check = btree_files_check,
	.structure = btree_files_structure,
	.salvage = btree_files_salvage,
};
