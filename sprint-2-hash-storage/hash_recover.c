/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_recover.c - opening a store: the index from its checkpoint, then the log behind it.
 *
 * The log alone is the truth: without a checkpoint, or with one that is damaged, all of it
 * is replayed. The checkpoint is fuzzy, taken while writes went on, so entries may already
 * be newer than its position; replaying a key's records again in order ends where the
 * first time ended.
 */
#include "hash_store.h"

enum {
	SPARES = 4,  /* retired files that are kept for recycling */
	RESERVE = 2, /* of them, for deletes and cleaning on a full disk */
	LAST = 1,    /* of these, for cleaning alone, which gives one back for it */
};

struct numbers { /* of one segment */
	uint64_t first, n;
};

struct recovery {
	struct hash_store *s;
	struct kv_buf scratch;
	struct numbers *retired; /* the log says that these were given up; sorted by first
				  * once it has been replayed */
	size_t n, cap;
};

static int remember_retired(struct recovery *v, const struct log_record *r)
{
	const uint8_t *p = r->payload.data;

	if (r->payload.len != HASH_RETIRE_BYTES)
		return -EBADMSG;
	if (v->n == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 64;
		struct numbers *grown = port_realloc(v->retired, v->cap * sizeof(*grown),
						     cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		v->retired = grown;
		v->cap = cap;
	}
	v->retired[v->n++] = (struct numbers){ port_get_le64(p), port_get_le64(p + 8) };
	return 0;
}

/* A checkpoint's entry may point to a segment that cleaning has since given up: then the
 * record was moved, and replay meets it again. */
static bool match_while_replaying(void *arg, uint64_t address)
{
	struct hash_lookup *l = arg;
	bool found = hash_lookup_match(arg, address);

	if (!found || l->error != -ENOENT)
		return found;
	l->error = 0;
	return false;
}

static int replay(void *arg, const struct log_record *r)
{
	struct recovery *v = arg;
	struct hash_store *s = v->s;
	struct hash_lookup l = { .store = s, .buf = &v->scratch };
	struct hash_record next;
	struct hash_shard_count *count;
	uint64_t hash, old;
	bool found, was_put, is_put;
	int error;

	if ((r->type & HASH_TYPE) == HASH_RETIRE)
		return remember_retired(v, r);
	error = hash_record_parse(r, &next);
	if (error)
		return error;
	l.key = next.key;
	hash = hash_key(s, next.key);
	found = hash_index_find_locked(s->index, hash, match_while_replaying, &l, &old);
	if (found && l.error)
		return l.error;
	is_put = (next.type & HASH_TYPE) == HASH_PUT;
	was_put = found && (l.record.type & HASH_TYPE) == HASH_PUT;
	if (is_put && found)
		(void)hash_index_replace(s->index, hash, old, next.position / LOG_ALIGN);
	else if (is_put)
		error = hash_index_insert(s->index, hash, next.position / LOG_ALIGN);
	else if (found)
		(void)hash_index_remove(s->index, hash, old);
	if (error)
		return error;
	/* The very record that the checkpoint had already counted counts once. */
	if (!found || l.record.position != next.position)
		hash_count_record(s, next.type, next.position, (int64_t)next.bytes);
	if (found && l.record.position != next.position)
		hash_count_record(s, l.record.type, l.record.position,
				  -(int64_t)l.record.bytes);
	count = &s->count[hash_index_shard(hash)];
	count->live_bytes += (is_put ? (int64_t)next.bytes : 0) -
			     (was_put ? (int64_t)l.record.bytes : 0);
	count->keys += is_put - was_put;
	return 0;
}

/* ---- segments that are missing ---- */

static int compare_numbers(const void *a, const void *b)
{
	const struct numbers *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* From number on, up to where the log's records of giving up reach without a gap. */
static uint64_t skip_retired(const struct recovery *v, uint64_t number)
{
	size_t i;

	for (i = 0; i < v->n && v->retired[i].first <= number; i++) {
		const struct numbers *r = &v->retired[i];

		if (number - r->first < r->n)
			number = r->n > UINT64_MAX - r->first ? UINT64_MAX
							      : r->first + r->n;
	}
	return number;
}

/* Where in the checkpoint's list, which is ascending, number or what follows it stands. */
static size_t find_listed(const struct hash_checkpoint *c, uint64_t number)
{
	size_t low = 0, high = c->segments;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->segment[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct presence {
	const struct recovery *v;
	const struct hash_checkpoint *c;
	uint64_t next;    /* the number that comes next */
	uint64_t missing; /* the first that should be there; UINT64_MAX: none */
};

/* The first of from..to-1 that should be there, or UINT64_MAX. A number may be absent if
 * the log says so, or if the checkpoint, when it was written, knew it so. Damaged files
 * leave gaps of any size, so numbers are not gone through one by one. */
static uint64_t first_missing(const struct presence *p, uint64_t from, uint64_t to)
{
	uint64_t known = p->c->position / p->v->s->option[HASH_SEGMENT_BYTES], number;
	size_t i;

	for (i = find_listed(p->c, from); i < p->c->segments; i++) {
		number = p->c->segment[i];
		if (number >= to || number >= known)
			break;
		if (skip_retired(p->v, number) == number)
			return number;
	}
	number = skip_retired(p->v, from > known ? from : known);
	return number < to ? number : UINT64_MAX;
}

static int check_presence(void *arg, const struct log_segment *seg)
{
	struct presence *p = arg;

	if (p->next == UINT64_MAX)
		p->next = seg->number;
	if (p->next < seg->number)
		p->missing = first_missing(p, p->next, seg->number);
	p->next = seg->number + seg->units;
	return p->missing != UINT64_MAX;
}

/* From the first segment that the checkpoint knew, or that there is, to the last. */
static int check_segments(const struct recovery *v, const struct hash_checkpoint *c,
			  struct kv_msg *why)
{
	struct presence p = { v, c, c->segments ? c->segment[0] : UINT64_MAX,
			      UINT64_MAX };
	size_t i;

	(void)log_segments(v->s->log, check_presence, &p);
	for (i = 0; p.missing == UINT64_MAX && i < c->segments; i++)
		if (c->segment[i] >= p.next &&
		    skip_retired(v, c->segment[i]) == c->segment[i])
			p.missing = c->segment[i];
	if (p.missing == UINT64_MAX)
		return 0;
	return kv_fail(why, -EBADMSG, "%s/%012llx.log is missing: restore a backup",
		       v->s->dir, (unsigned long long)p.missing);
}

/* ---- entries that the checkpoint had and the log has no more ---- */

struct stale {
	struct recovery *v;
	struct hash_entry entry[32];
	size_t n;
};

static int find_stale(void *arg, const struct hash_entry *e)
{
	struct stale *st = arg;
	struct hash_record r;

	if (st->n < sizeof(st->entry) / sizeof(st->entry[0]) &&
	    hash_record_read(st->v->s, e->address * LOG_ALIGN, false, &st->v->scratch,
			     &r) == -ENOENT)
		st->entry[st->n++] = *e;
	return 0;
}

static void drop_stale(struct recovery *v)
{
	uint32_t prefix = 0, next;

	while (prefix < 1u << HASH_PREFIX_BITS) {
		struct stale st = { .v = v };
		size_t i;

		next = prefix;
		(void)hash_index_walk_leaf(v->s->index, &next, find_stale, &st);
		for (i = 0; i < st.n; i++)
			(void)hash_index_remove(v->s->index, st.entry[i].hash,
						st.entry[i].address);
		if (!st.n)
			prefix = next;
	}
}

/* ---- the whole ---- */

static int make_index(struct hash_store *s, uint64_t expected)
{
	struct hash_index_config c = {
		.table = hash_table_get(s->option[HASH_TABLE]),
		.capacity = (uint32_t)s->option[HASH_LEAF],
		.load_percent = (unsigned int)s->option[HASH_LOAD_PERCENT],
		.expected_entries = expected,
	};

	if (c.expected_entries < s->option[HASH_EXPECTED])
		c.expected_entries = s->option[HASH_EXPECTED];
	hash_index_free(s->index);
	s->index = NULL;
	return hash_index_new(&c, s->epoch, &s->index);
}

/* -ENOENT: its entries are of no use, and the index holds nothing. What stands before
 * them in c may still be good: it says what must be in the log. */
static int try_checkpoint(struct hash_store *s, struct hash_checkpoint *c,
			  struct kv_msg *why)
{
	struct hash_checkpoint_reader *r;
	int error = hash_checkpoint_open(s, &r, c, why);

	if (error)
		return error;
	error = c->other ? -ENOENT : make_index(s, c->entries);
	if (!error)
		error = hash_checkpoint_load(r, why);
	hash_checkpoint_close(r);
	if (!error) {
		s->count[0].keys = (int64_t)c->keys;
		s->count[0].live_bytes = (int64_t)c->live_bytes;
	}
	return error;
}

static int load_checkpoint(struct hash_store *s, struct hash_checkpoint *c, bool *loaded,
			   struct kv_msg *why)
{
	int error = try_checkpoint(s, c, why);

	*loaded = !error;
	return error == -ENOENT ? make_index(s, c->entries) : error;
}

static void count_segments(struct hash_store *s, const struct hash_checkpoint *c)
{
	size_t i;

	for (i = 0; i < c->segments; i++) {
		uint64_t position = c->segment[i] * s->option[HASH_SEGMENT_BYTES];

		log_live(s->log, position, (int64_t)c->live[i]);
		log_mark(s->log, position, (int64_t)c->marks[i]);
	}
}

static int open_log(struct recovery *v, const struct hash_checkpoint *c, bool loaded,
		    struct log_recovery *found, struct kv_msg *why)
{
	struct hash_store *s = v->s;
	const struct log_config config = {
		.env = s->base.env,
		.dir = s->dir,
		.store_id = s->id,
		.segment_bytes = s->option[HASH_SEGMENT_BYTES],
		.spares = SPARES,
		.reserve = RESERVE,
		.last = LAST,
		.map = s->option[HASH_MAP],
		.group_ns = s->option[HASH_GROUP_MS] * 1000000,
		.position_max = HASH_POSITION_MAX,
		.durable = c->position,
	};
	struct kv_msg reason = { "" };
	int error = log_open(&config, loaded ? c->position : 0, replay, v, found, &s->log,
			     &reason);

	if (!error)
		return 0;
	return kv_fail(why, error, "%s",
		       reason.text[0] ? reason.text
				      : "a record of the log cannot be indexed");
}

int hash_recover(struct hash_store *s, struct kv_msg *why)
{
	struct recovery v = { .s = s };
	struct hash_checkpoint c = { 0 };
	struct log_recovery found;
	struct kv_msg damaged = { "" };
	bool loaded;
	int error = load_checkpoint(s, &c, &loaded, &damaged);

	if (error) {
		(void)kv_fail(why, error, "%s: the index cannot be loaded", s->dir);
		goto out;
	}
	error = open_log(&v, &c, loaded, &found, why);
	if (error)
		goto out;
	if (loaded)
		count_segments(s, &c);
	if (v.n)
		port_sort(v.retired, v.n, sizeof(*v.retired), compare_numbers);
	error = check_segments(&v, &c, why);
	if (error) {
		(void)log_close(s->log);
		s->log = NULL;
		goto out;
	}
	if (loaded) {
		if (v.n) /* else no segment has gone since */
			drop_stale(&v);
		s->checkpoint_position = c.position;
	}
	s->recovery.records_replayed = found.records;
	s->recovery.bytes_dropped = found.bytes_dropped;
	s->recovery.why = found.bytes_dropped ? found.why : damaged;
out:
	kv_buf_free(&v.scratch);
	port_free(v.retired);
	hash_checkpoint_free(&c);
	return error;
}
