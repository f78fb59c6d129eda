/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_read.c - get and multi_get: no lock, one look into the index, one into the log.
 *
 * A reader stands inside an epoch, so neither the index's leaves nor the log's segments go
 * away under it. The value's record is checked by its CRC before a byte is handed out.
 */
#include "hash_store.h"

/* ---- records ---- */

int hash_record_parse(const struct log_record *r, struct hash_record *out)
{
	const uint8_t *p = r->payload.data;
	uint64_t head, written = r->sequence * LOG_ALIGN, prev;
	size_t key_len;

	if ((r->type & HASH_TYPE) > HASH_DELETE ||
	    r->type & ~(unsigned int)(HASH_TYPE | HASH_SYNC | HASH_BATCH) ||
	    r->payload.len < HASH_HEAD_BYTES)
		return -EBADMSG;
	head = port_get_le64(p);
	key_len = head & ((1u << HASH_KEY_BITS) - 1);
	prev = (head >> HASH_KEY_BITS) * LOG_ALIGN;
	/* Versions lead backwards, so that following them ends. */
	if (key_len > r->payload.len - HASH_HEAD_BYTES || written > r->position ||
	    (prev && prev >= written))
		return -EBADMSG;
	*out = (struct hash_record){
		.position = r->position,
		.sequence = r->sequence,
		.bytes = r->end - r->position,
		.prev = prev,
		.type = r->type,
		.key = kv_slice(p + HASH_HEAD_BYTES, key_len),
		.value = kv_slice(p + HASH_HEAD_BYTES + key_len,
				  r->payload.len - HASH_HEAD_BYTES - key_len),
		.log = *r,
	};
	return 0;
}

int hash_record_read(struct hash_store *s, uint64_t position, bool check,
		     struct kv_buf *buf, struct hash_record *out)
{
	struct log_record r;
	int error = log_read(s->log, position, check, buf, &r, NULL);

	return error ? error : hash_record_parse(&r, out);
}

bool hash_lookup_match(void *arg, uint64_t address)
{
	struct hash_lookup *l = arg;
	uint64_t position = address * LOG_ALIGN;

	if (address >= HASH_PENDING)
		return false;
	l->error = hash_record_read(l->store, position, false, l->buf, &l->record);
	if (l->error)
		return true;
	if (l->record.key.len == l->key.len &&
	    hash_key_equal(l->record.key.data, l->key.data, l->key.len))
		return true;
	l->error = hash_record_read(l->store, position, true, l->buf, &l->record);
	return l->error != 0;
}

/* ---- who sees what ---- */

const struct hash_view hash_view_newest = { .newest = true };

bool hash_view_sees(struct hash_store *s, const struct hash_view *v,
		    const struct hash_record *r)
{
	uint64_t at = r->sequence * LOG_ALIGN;

	if (!v->newest)
		return at < v->end && (!(r->type & HASH_SYNC) || at < v->synced);
	return (!(r->type & HASH_SYNC) || at < log_synced(s->log)) &&
	       (!(r->type & HASH_BATCH) || at < port_load_acquire(&s->batch_floor));
}

int hash_view_read(struct hash_store *s, const struct hash_view *v, uint64_t position,
		   struct kv_buf *buf, struct hash_record *out, bool *hidden)
{
	int error;

	while (position) {
		error = hash_record_read(s, position, s->option[HASH_CHECK_READS], buf,
					 out);
		if (error)
			return error == -ENOENT ? -EBADMSG : error;
		if (hash_view_sees(s, v, out))
			return 0;
		if (hidden)
			*hidden = true;
		position = out->prev;
	}
	return -ENOENT;
}

/* ---- get ---- */

/* What the look-up matched, if it is what the view sees and its bytes are good, as it
 * nearly always is. */
static bool is_answer(struct hash_store *s, const struct hash_view *v,
		      const struct hash_record *r)
{
	return hash_view_sees(s, v, r) &&
	       (!s->option[HASH_CHECK_READS] || log_check(&r->log));
}

/* Inside an epoch. */
static int get_inside(struct hash_store *s, const struct hash_view *v, uint64_t hash,
		      struct kv_slice key, struct kv_buf *scratch, struct kv_buf *value,
		      struct hash_witness *witness, bool *hidden)
{
	struct hash_lookup l = { .store = s, .key = key, .buf = scratch };
	uint64_t address;
	int error = 0;

	if (!hash_index_find(s->index, hash, hash_lookup_match, &l, &address, witness))
		return -ENOENT;
	if (l.error)
		return l.error == -ENOENT ? -EBADMSG : l.error;
	if (!is_answer(s, v, &l.record))
		error = hash_view_read(s, v, address * LOG_ALIGN, scratch, &l.record,
				       hidden);
	if (error)
		return error;
	if ((l.record.type & HASH_TYPE) != HASH_PUT)
		return -ENOENT;
	return kv_buf_set(value, l.record.value.data, l.record.value.len);
}

int hash_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	     struct kv_buf *value)
{
	struct hash_store *s = hash_store(kv);
	struct kv_buf scratch = { 0 };
	unsigned int slot = epoch_enter(s->epoch);
	int error = get_inside(s, snap ? &snap->view : &hash_view_newest,
			       hash_key(s, key), key, &scratch, value, NULL, NULL);

	epoch_leave(s->epoch, slot);
	kv_buf_free(&scratch);
	if (error)
		value->len = 0;
	return error;
}

/* ---- multi_get ---- */

enum { GROUP = 16 }; /* keys whose misses overlap */

/*
 * Three rounds over up to GROUP keys, so that the memory of all is on its way at once: the
 * index's lines, then the records' first lines, then the work itself. After Chen et al.,
 * "Improving Hash Join Performance through Prefetching" (2007), group prefetching.
 */
static int get_group(struct hash_store *s, const struct hash_view *v, size_t n,
		     const struct kv_slice *key, struct kv_buf *scratch,
		     struct kv_buf *value, int *error, struct hash_witness *witness,
		     bool *hidden)
{
	uint64_t hash[GROUP], address[2];
	size_t i, j, found;

	s->function->many(s->seed, key, n, hash);
	for (i = 0; i < n; i++)
		hash_index_prefetch(s->index, hash[i]);
	for (i = 0; i < n; i++) {
		found = hash_index_candidates(s->index, hash[i], address, 2);
		for (j = 0; j < found; j++)
			if (address[j] < HASH_PENDING)
				log_prefetch(s->log, address[j] * LOG_ALIGN);
	}
	for (i = 0; i < n; i++) {
		error[i] = get_inside(s, v, hash[i], key[i], scratch, &value[i],
				      &witness[i], hidden);
		if (error[i])
			value[i].len = 0;
		if (error[i] && error[i] != -ENOENT && error[i] != -EBADMSG)
			return error[i];
	}
	return 0;
}

static int get_all(struct hash_store *s, const struct hash_view *v, size_t n,
		   const struct kv_slice *key, struct kv_buf *scratch,
		   struct kv_buf *value, int *error, struct hash_witness *witness,
		   bool *hidden)
{
	int failed = 0;
	size_t i;

	for (i = 0; !failed && i < n; i += GROUP)
		failed = get_group(s, v, n - i < GROUP ? n - i : GROUP, &key[i], scratch,
				   &value[i], &error[i], &witness[i], hidden);
	return failed;
}

/* Were all n answers true at one moment? Yes if no leaf has changed since it was read. */
static bool one_moment(const struct hash_witness *witness, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!hash_witness_holds(&witness[i]))
			return false;
	return true;
}

/* The newest state without a snapshot: optimistic, and settled by a snapshot where writers
 * were faster. */
static int get_newest(struct kv *kv, size_t n, const struct kv_slice *key,
		      struct kv_buf *scratch, struct kv_buf *value, int *error,
		      struct hash_witness *witness, bool *settled)
{
	struct hash_store *s = hash_store(kv);
	unsigned int slot = epoch_enter(s->epoch);
	bool hidden = false;
	int failed = get_all(s, &hash_view_newest, n, key, scratch, value, error, witness,
			     &hidden);

	*settled = failed || (!hidden && one_moment(witness, n));
	epoch_leave(s->epoch, slot);
	return failed;
}

int hash_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		   const struct kv_slice *key, struct kv_buf *value, int *error)
{
	struct hash_store *s = hash_store(kv);
	struct hash_witness few[GROUP], *witness = few;
	struct kv_buf scratch = { 0 };
	struct kv_snapshot *own = NULL;
	bool settled = false;
	unsigned int slot;
	int failed = 0;

	if (n > GROUP) {
		witness = port_alloc(n * sizeof(*witness));
		if (!witness)
			return -ENOMEM;
	}
	if (!snap)
		failed =
			get_newest(kv, n, key, &scratch, value, error, witness, &settled);
	if (!settled) {
		if (!snap)
			failed = hash_snapshot(kv, &own);
		if (!failed) {
			slot = epoch_enter(s->epoch);
			failed = get_all(s, &(snap ? snap : own)->view, n, key, &scratch,
					 value, error, witness, NULL);
			epoch_leave(s->epoch, slot);
		}
		if (own)
			hash_release(kv, own);
	}
	if (witness != few)
		port_free(witness);
	kv_buf_free(&scratch);
	return failed;
}
