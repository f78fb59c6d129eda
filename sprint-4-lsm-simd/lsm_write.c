/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_write.c - a write: into the log, into the memtable, and when others see it.
 *
 * The log holds what was asked for, one record a write, in the order in which it was done:
 *
 *   0  1  what: enum kv_op_type      each step's head, LSM_LOG_STEP bytes,
 *   1  1  1: a range without end     then its key, then its value (of a range: its end)
 *   2  2  key bytes, less than 65536; 65536 is 0 with bit 1 of the second byte
 *   4  4  value bytes
 *
 * Under append_lock, which is held for the append alone, a write gets its memory in the active
 * memtable, its place in the log and a ticket. Writers then insert side by side, and show what
 * they wrote in the order of their tickets.
 */
#include "lsm_store.h"

enum {
	PATIENCE = 6, /* times that a delete waits for room on a full disk */
	RANGE_OPEN = 1 << 0,
	KEY_LONGEST = 1 << 1,
	SPINS = 1000, /* looks at another's progress before it sleeps: about a microsecond */
};

struct write {
	const struct kv_op *op;
	size_t n;
	enum kv_durability how;
	unsigned int flags; /* of the log */
	bool ranges;        /* has a KV_DELETE_RANGE */
	struct log_item item;
	size_t mem_bytes; /* of the memtable */
	uint64_t log_bytes;
	uint8_t *head;
	struct kv_slice *part;
	uint64_t *hash;
	uint8_t one_head[LSM_LOG_STEP];
	struct kv_slice one_part[3];
	uint64_t one_hash;
	/* once it is appended */
	struct lsm_mem *mem;
	struct lsm_room room;
	uint64_t ticket, sequence;
};

void lsm_store_stop(struct lsm_store *s, int error, const char *what)
{
	struct env *env = s->base.env;
	struct kv_msg text;
	int none = 0;

	if (!port_cas(&s->stopped, &none, error))
		return;
	(void)kv_fail(
		&text, error,
		"%s: %s failed with error %d: the store takes no more writes; reopen it",
		s->dir, what, -error);
	if (env->ops->log)
		env->ops->log(env, text.text);
}

/* ---- the record ---- */

static void write_end(struct write *w)
{
	if (w->head != w->one_head) {
		port_free(w->head);
		port_free(w->part);
		port_free(w->hash);
	}
}

static void encode_step(const struct kv_op *op, uint8_t *head, struct kv_slice *part)
{
	struct kv_slice value = op->type == KV_DELETE ? kv_slice(NULL, 0) : op->value;

	head[0] = (uint8_t)op->type;
	head[1] = op->type == KV_DELETE_RANGE && !op->value.data ? RANGE_OPEN : 0;
	if (op->key.len == KV_KEY_MAX)
		head[1] |= KEY_LONGEST;
	port_put_le16(head + 2, (uint16_t)op->key.len);
	port_put_le32(head + 4, (uint32_t)value.len);
	part[0] = kv_slice(head, LSM_LOG_STEP);
	part[1] = op->key;
	part[2] = value;
}

static int write_room(struct write *w, size_t n)
{
	w->head = w->one_head;
	w->part = w->one_part;
	w->hash = &w->one_hash;
	if (n == 1)
		return 0;
	w->head = port_alloc(n * LSM_LOG_STEP);
	w->part = port_alloc(3 * n * sizeof(*w->part));
	w->hash = port_alloc(n * sizeof(*w->hash));
	if (w->head && w->part && w->hash)
		return 0;
	write_end(w);
	return -ENOMEM;
}

static int write_begin(struct write *w, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	size_t i;
	int error;

	w->op = op;
	w->n = n;
	w->how = how;
	w->ranges = false;
	w->mem_bytes = 0;
	error = write_room(w, n);
	if (error)
		return error;
	w->flags = LOG_NOWAIT | LOG_URGENT;
	for (i = 0; i < n; i++) {
		size_t value = op[i].type == KV_PUT ? op[i].value.len : 0;

		encode_step(&op[i], w->head + i * LSM_LOG_STEP, w->part + 3 * i);
		w->hash[i] = lsm_key_hash(op[i].key);
		w->mem_bytes += lsm_memtable_entry_bytes(op[i].key.len, value);
		w->ranges |= op[i].type == KV_DELETE_RANGE;
		if (op[i].type == KV_PUT)
			w->flags &= ~(unsigned int)LOG_URGENT;
	}
	w->item = (struct log_item){ .type = LSM_LOG_WRITE,
				     .sequence = LOG_SEQUENCE_POSITION,
				     .part = w->part,
				     .parts = 3 * n };
	w->log_bytes = log_items_bytes(&w->item, 1);
	return 0;
}

int lsm_write_step(struct kv_slice *rest, struct kv_op *op)
{
	const uint8_t *p = rest->data;
	size_t key, value, left;

	if (rest->len < LSM_LOG_STEP || p[0] > KV_DELETE_RANGE)
		return -EBADMSG;
	left = rest->len - LSM_LOG_STEP;
	key = p[1] & KEY_LONGEST ? KV_KEY_MAX : port_get_le16(p + 2);
	value = port_get_le32(p + 4);
	if (key > left || value > left - key || value > KV_VALUE_MAX)
		return -EBADMSG;
	op->type = p[0];
	op->key = kv_slice(p + LSM_LOG_STEP, key);
	op->value = kv_slice(p[1] & RANGE_OPEN ? NULL : p + LSM_LOG_STEP + key, value);
	*rest = kv_slice(p + LSM_LOG_STEP + key + value, left - key - value);
	return 0;
}

/* ---- into the memtable ---- */

static struct lsm_tombstone tombstone_of(const struct kv_op *op, uint64_t sequence)
{
	return (struct lsm_tombstone){ op->key, op->value, sequence };
}

static void insert_step(struct lsm_memtable *t, struct lsm_room *room,
			const struct kv_op *op, uint64_t hash, uint64_t sequence)
{
	bool put = op->type == KV_PUT;

	lsm_memtable_insert(t, room, op->key, hash,
			    lsm_stamp(sequence, put ? LSM_PUT : LSM_DELETE),
			    put ? op->value : kv_slice(NULL, 0));
}

/* Range tombstones were given their sequences when they were appended. */
static void insert_steps(struct write *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (w->op[i].type != KV_DELETE_RANGE)
			insert_step(w->mem->table, &w->room, &w->op[i], w->hash[i],
				    w->sequence + i);
	lsm_memtable_done(w->mem->table, &w->room);
}

/* Under append_lock, or nobody writes yet. */
static bool memtable_is_full(const struct lsm_store *s, const struct lsm_mem *m)
{
	return m->used && lsm_memtable_bytes(m->table) >= s->memtable_bytes;
}

/* Nothing is flushed before all of the log has been read and made durable: else a crash could take
 * from the log what tables have of it, and its positions would be given to other writes, as old as
 * those. So what is read takes the memory that it took when it was written, and where that was
 * more memtables than there may be now, the last one has the rest. */
static int make_room_for_replay(struct lsm_store *s, uint64_t position)
{
	int error = 0;

	if (memtable_is_full(s, s->view->mem[0]))
		error = lsm_view_switch(s, position);
	(void)lsm_view_sweep(s);
	return error == -EAGAIN ? 0 : error;
}

int lsm_write_replay(struct lsm_store *s, const struct log_record *r, struct kv_msg *why)
{
	uint64_t sequence = r->position / LOG_ALIGN;
	struct kv_slice rest = r->payload;
	struct lsm_tombstone t;
	struct lsm_room room;
	struct lsm_mem *m;
	struct kv_op op;
	int error = make_room_for_replay(s, r->position);

	if (error)
		return kv_fail(why, error, "no memory for a memtable");
	if (r->type == LSM_LOG_BEGIN)
		return 0;
	if (r->type != LSM_LOG_WRITE)
		return kv_fail(
			why, -EBADMSG,
			"log position %llu: a record of type %u, which no write has",
			(unsigned long long)r->position, r->type);
	m = s->view->mem[0];
	for (; !error && rest.len; sequence++) {
		error = lsm_write_step(&rest, &op);
		if (error)
			return kv_fail(why, error,
				       "log position %llu: a record that no write made",
				       (unsigned long long)r->position);
		if (op.type == KV_DELETE_RANGE) {
			t = tombstone_of(&op, sequence);
			error = lsm_memtable_delete_range(m->table, &t);
			continue;
		}
		error = lsm_memtable_reserve(
			m->table, lsm_memtable_entry_bytes(op.key.len, op.value.len),
			&room);
		if (error)
			break;
		insert_step(m->table, &room, &op, lsm_key_hash(op.key), sequence);
		lsm_memtable_done(m->table, &room);
	}
	if (error)
		return kv_fail(why, error,
			       "no memory for what the log has to be replayed");
	s->log_end = m->end = r->end;
	s->visible = sequence - 1;
	m->used = true;
	return 0;
}

/* ---- appending ---- */

/* Under append_lock: range tombstones must not fail once the record is in the log, so they
 * are made before it, with sequences that they get when it is. */
static int append_ranges(struct lsm_store *s, struct write *w)
{
	struct lsm_range_room *ranges;
	struct lsm_tombstone *t = port_alloc(w->n * sizeof(*t));
	size_t i, n = 0;
	int error = t ? 0 : -ENOMEM;

	if (error)
		return error;
	for (i = 0; i < w->n; i++)
		if (w->op[i].type == KV_DELETE_RANGE)
			t[n++] = tombstone_of(&w->op[i], i);
	error = lsm_memtable_reserve_ranges(w->mem->table, t, n, &ranges);
	port_free(t);
	if (error)
		return error;
	error = log_append(s->log, &w->item, 1, w->flags);
	if (error)
		lsm_memtable_cancel_ranges(w->mem->table, ranges);
	else
		lsm_memtable_insert_ranges(w->mem->table, ranges,
					   w->item.position / LOG_ALIGN);
	return error;
}

/* Under append_lock. A memtable begins with a segment of the log, if that costs no waiting and no
 * sync: then all of the log before it can be forgotten when the memtable before it is flushed. On a
 * full disk the rest of a segment is worth more, and where memtables are much smaller it always is. */
static int switch_memtable(struct lsm_store *s)
{
	uint64_t position;

	if (lsm_view_mems(s) < s->option[LSM_MEMTABLE_COUNT] &&
	    s->memtable_bytes >= s->option[LSM_SEGMENT_BYTES] / 2 &&
	    !port_load_acquire(&s->tight) && log_turn(s->log, &position))
		s->active->end = s->log_end = position;
	return lsm_view_switch(s, s->log_end);
}

/* One attempt. -EAGAIN: the log is to be waited for; -EBUSY: a flush is. */
static int try_append(struct lsm_store *s, struct write *w)
{
	bool full, next = false;
	int error = 0;

	port_mutex_lock(&s->append_lock);
	w->mem = s->active;
	full = memtable_is_full(s, w->mem);
	if (port_load_relaxed(&s->stopped))
		error = -EROFS;
	else if (port_load_relaxed(&s->tight) && !(w->flags & LOG_URGENT))
		error = -ENOSPC;
	else if (full)
		error = switch_memtable(s);
	if (error == -EAGAIN)
		error = -EBUSY;
	if (error)
		goto out;
	w->mem = s->active;
	error = lsm_memtable_reserve(w->mem->table, w->mem_bytes, &w->room);
	if (error)
		goto out;
	error = w->ranges ? append_ranges(s, w)
			  : log_append(s->log, &w->item, 1, w->flags);
	if (error) {
		lsm_memtable_done(w->mem->table, &w->room);
		goto out;
	}
	w->sequence = w->item.position / LOG_ALIGN;
	w->ticket = s->ticket++;
	s->log_end = w->item.position + w->log_bytes;
	w->mem->end = s->log_end;
	w->mem->tickets = s->ticket;
	w->mem->used = true;
	next = !w->mem->next_wanted && lsm_mem_is_worth_next(s, w->mem);
	w->mem->next_wanted |= next;
out:
	port_mutex_unlock(&s->append_lock);
	if (full)
		(void)lsm_view_sweep(s);
	if (next)
		lsm_background_wake(s);
	return error;
}

/* A delete on a full disk. What it leads to will free more than it takes, so it gets what is
 * kept back for it, and then waits for what those before it have led to. */
static bool find_room(struct lsm_store *s, unsigned int *waits)
{
	if (lsm_reserve_give_up(s, LSM_RESERVE_FOR_LOG))
		return true;
	if (++*waits > PATIENCE)
		return false;
	lsm_background_await_space(s);
	return true;
}

static int append(struct lsm_store *s, struct write *w)
{
	unsigned int waits = 0;
	int error;

	while ((error = try_append(s, w))) {
		if (error == -EAGAIN)
			error = log_wait_room(s->log, w->log_bytes,
					      w->flags & ~(unsigned int)LOG_NOWAIT);
		else if (error == -EBUSY)
			error = lsm_background_wait(s);
		if (error == -ENOSPC && w->flags & LOG_URGENT && find_room(s, &waits))
			continue;
		if (error == -ENOSPC)
			lsm_reserve_tighten(s);
		/* The log's own task may have been the first to see it. */
		if (error == -EROFS)
			lsm_store_stop(s, error, "syncing the log");
		if (error)
			return error;
	}
	return 0;
}

int lsm_write_try_switch(struct lsm_store *s, uint64_t *position)
{
	int error = 0;

	port_mutex_lock(&s->append_lock);
	if (s->active->used)
		error = switch_memtable(s);
	else
		lsm_view_begin_at(s, s->log_end);
	*position = s->log_end;
	port_mutex_unlock(&s->append_lock);
	(void)lsm_view_sweep(s);
	return error;
}

int lsm_write_switch(struct lsm_store *s, uint64_t *position)
{
	int error;

	for (;;) {
		error = lsm_write_try_switch(s, position);
		if (error == -EAGAIN)
			error = lsm_background_wait(s);
		else
			return error;
		if (error)
			return error;
	}
}

/* ---- becoming visible ---- */

void lsm_write_wait(struct lsm_store *s, uint64_t tickets)
{
	struct env *env = s->base.env;
	unsigned int i;

	for (i = 0; i < SPINS; i++)
		if (port_load_acquire(&s->done) >= tickets)
			return;
	port_mutex_lock(&s->publish_lock);
	(void)port_fetch_add(&s->waiting, 1u);
	while (port_load_acquire(&s->done) < tickets)
		env->ops->cond_wait(env, s->published, &s->publish_lock, 0);
	(void)port_fetch_add(&s->waiting, (uint32_t)-1);
	port_mutex_unlock(&s->publish_lock);
}

static bool has_its_turn(struct lsm_store *s, const struct lsm_turn *t, uint64_t ticket)
{
	uint64_t synced;

	if (port_load_acquire(&t->ticket) != ticket + 1)
		return false;
	synced = port_load_acquire(&t->synced);
	return !synced || log_synced(s->log) >= synced;
}

/* Shows all that are finished and have nobody unfinished in front of them. By one thread at a
 * time, whose done and visible are. What failed is in the memtable, so what comes behind it
 * cannot be shown without it. */
static void show_turns(struct lsm_store *s)
{
	const uint64_t begin = port_load_relaxed(&s->done);
	uint64_t ticket, visible = 0, last;
	const struct lsm_turn *t;

	for (ticket = begin;; ticket++) {
		t = &s->turn[ticket % LSM_TURNS];
		if (!has_its_turn(s, t, ticket))
			break;
		last = port_load_relaxed(&t->last);
		if (!last)
			port_store_relaxed(&s->hidden, 1u);
		else if (!port_load_relaxed(&s->hidden))
			visible = last;
	}
	if (ticket == begin)
		return;
	if (visible)
		port_store_release(&s->visible, visible);
	port_store_release(&s->done, ticket);
}

static void wake_waiting(struct lsm_store *s)
{
	struct env *env = s->base.env;

	/* Fully ordered against who begins to wait and then looks at done. */
	if (!port_fetch_add(&s->waiting, 0u))
		return;
	port_mutex_lock(&s->publish_lock);
	env->ops->cond_signal(env, s->published);
	port_mutex_unlock(&s->publish_lock);
}

/*
 * The one who is in front gives all behind it their turn: if each waited for its own, a thread
 * that lost its processor would hold up all behind it until it had it again, and they would be
 * asleep when their turns came.
 */
static void give_turns(struct lsm_store *s)
{
	uint32_t asked = 0, n;

	if (port_fetch_add(&s->showing, 1u))
		return;
	do {
		n = asked ? asked : 1;
		show_turns(s);
		asked = port_fetch_add(&s->showing, (uint32_t)-n) - n;
	} while (asked);
	wake_waiting(s);
}

static void take_turn(struct lsm_store *s, const struct write *w)
{
	struct lsm_turn *t = &s->turn[w->ticket % LSM_TURNS];

	if (w->ticket >= LSM_TURNS)
		lsm_write_wait(s, w->ticket - LSM_TURNS + 1);
	port_store_relaxed(&t->last, w->sequence + w->n - 1);
	port_store_relaxed(&t->synced, w->how == KV_SYNC ? w->item.position + 1 : 0);
	port_store_release(&t->ticket, w->ticket + 1);
}

/* Its writer knows that the record is durable, or must behave as if it did. What is durable may
 * have been shown already, and another write have its turn. */
static void release_turn(struct lsm_store *s, const struct write *w)
{
	struct lsm_turn *t = &s->turn[w->ticket % LSM_TURNS];
	uint64_t synced = w->item.position + 1;

	(void)port_cas(&t->synced, &synced, (uint64_t)0);
}

/* Its record is not durable, nor will be. */
static void fail_turn(struct lsm_store *s, const struct write *w)
{
	struct lsm_turn *t = &s->turn[w->ticket % LSM_TURNS];

	port_store_relaxed(&t->last, (uint64_t)0);
	port_store_release(&t->synced, (uint64_t)0);
}

/* ---- all of it ---- */

static int finish(struct lsm_store *s, struct write *w)
{
	int error = 0;

	insert_steps(w);
	take_turn(s, w);
	if (w->how == KV_SYNC)
		error = log_sync(s->log, w->item.position + 1);
	if (error)
		lsm_store_stop(s, error, "syncing the log");
	if (error && log_synced(s->log) <= w->item.position)
		fail_turn(s, w);
	else if (w->how == KV_SYNC)
		release_turn(s, w);
	give_turns(s);
	lsm_write_wait(s, w->ticket + 1);
	/* Another's failure may have come before it. */
	if (!error && port_load_acquire(&s->visible) < w->sequence + w->n - 1)
		error = -EROFS;
	if (error)
		return error;
	lsm_count(&s->stat_writes, w->n);
	lsm_count(&s->stat_write_bytes, w->log_bytes);
	if (w->how == KV_GROUP)
		log_sync_later(s->log, w->item.position + 1);
	return 0;
}

int lsm_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how)
{
	struct lsm_store *s = lsm_store(kv);
	struct write w;
	int error = write_begin(&w, op, n, how);

	if (error)
		return error;
	lsm_background_pace(s, w.log_bytes);
	error = append(s, &w);
	if (!error)
		error = finish(s, &w);
	write_end(&w);
	return error;
}
