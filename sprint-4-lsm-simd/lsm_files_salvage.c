/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_salvage.c - what can be saved of an LSM store that may not open: see kv_inspect.h.
 *
 * Each version of a key says its sequence, so the newest of those that can be read is known
 * wherever it stands. All is read twice: first to learn of each key the newest stamp, and all
 * range tombstones; then to give the values. A value in a blob file is read by its reference
 * alone, which has the record's CRC: the file's own header and footer are not needed.
 *
 * What can't be read is remembered as a range of keys and the largest sequence that may have
 * stood there: a pair in it that is older is in doubt. Without a manifest all tables are read,
 * also those whose entries a compaction has dropped since, and everything is in doubt.
 */
#include "lsm_files.h"

#include "neon_lsm_ops.h"
#include "sst_internal.h"

struct newest { /* of a key */
	uint8_t *key;
	size_t len;
	uint64_t stamp;
	bool given;
};

struct lost {
	struct kv_buf lower, upper;
	bool open; /* to the end of all keys */
	uint64_t sequence;
};

struct salvage {
	struct lsm_files files;
	struct lsm_teller tell;
	kv_salvage_fn *pair;
	void *arg;
	struct kv_msg *why;
	bool second; /* the second reading: values are given */
	int stop;    /* what taking an entry gave: no damage, whatever it is */
	struct newest *slot;
	size_t slots, keys; /* slots: a power of two */
	struct lsm_tombstone *tombstone;
	size_t tombstones;
	struct lsm_tombstones *cover;
	struct lost *lost;
	size_t losses;
	struct kv_buf value, record, body, lower, upper;
	struct sst_walk walk;
	uint64_t pairs, doubtful;
};

/* ---- the keys ---- */

static struct newest *find_slot(struct newest *slot, size_t slots, struct kv_slice key)
{
	size_t i = (size_t)lsm_key_hash(key) & (slots - 1);

	while (slot[i].key && kv_compare(kv_slice(slot[i].key, slot[i].len), key) != 0)
		i = (i + 1) & (slots - 1);
	return &slot[i];
}

static int grow(struct salvage *v)
{
	size_t slots = v->slots ? v->slots * 2 : 1024, i;
	struct newest *grown;

	if (v->keys * 2 < v->slots)
		return 0;
	grown = port_alloc(slots * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown, 0, slots * sizeof(*grown));
	for (i = 0; i < v->slots; i++)
		if (v->slot[i].key)
			*find_slot(grown, slots,
				   kv_slice(v->slot[i].key, v->slot[i].len)) = v->slot[i];
	port_free(v->slot);
	v->slot = grown;
	v->slots = slots;
	return 0;
}

static int remember(struct salvage *v, struct kv_slice key, uint64_t stamp)
{
	struct newest *n;
	int error = grow(v);

	if (error)
		return error;
	n = find_slot(v->slot, v->slots, key);
	if (!n->key) {
		n->key = port_alloc(key.len + 1);
		if (!n->key)
			return -ENOMEM;
		memcpy(n->key, key.data, key.len);
		n->len = key.len;
		n->stamp = stamp;
		v->keys++;
	} else if (n->stamp < stamp) {
		n->stamp = stamp;
	}
	return 0;
}

static int copy_slice(struct kv_slice *out, struct kv_slice s)
{
	uint8_t *p;

	*out = kv_slice(NULL, 0);
	if (!s.data)
		return 0;
	p = port_alloc(s.len + 1);
	if (!p)
		return -ENOMEM;
	memcpy(p, s.data, s.len);
	*out = kv_slice(p, s.len);
	return 0;
}

static int remember_range(struct salvage *v, const struct lsm_tombstone *t)
{
	struct lsm_tombstone *room, *copy;
	int error;

	if (v->second)
		return 0;
	room = lsm_list_room(v->tombstone, v->tombstones, sizeof(*room));
	if (!room)
		return -ENOMEM;
	v->tombstone = room;
	copy = &v->tombstone[v->tombstones++];
	*copy = (struct lsm_tombstone){ .sequence = t->sequence };
	error = copy_slice(&copy->begin, t->begin);
	return error ? error : copy_slice(&copy->end, t->end);
}

/* ---- what is lost ---- */

static int add_lost(struct salvage *v, struct kv_slice lower, struct kv_slice upper,
		    bool open, uint64_t sequence)
{
	struct lost *room = lsm_list_room(v->lost, v->losses, sizeof(*room));
	struct lost *l;

	if (!room)
		return -ENOMEM;
	v->lost = room;
	l = &v->lost[v->losses++];
	*l = (struct lost){ .open = open, .sequence = sequence };
	if (kv_buf_set(&l->lower, lower.data, lower.len) ||
	    kv_buf_set(&l->upper, upper.data, upper.len))
		return -ENOMEM;
	return 0;
}

static int lose_all(struct salvage *v, uint64_t sequence)
{
	return add_lost(v, kv_slice("", 0), kv_slice("", 0), true, sequence);
}

static bool is_doubtful(const struct salvage *v, struct kv_slice key, uint64_t sequence)
{
	size_t i;

	for (i = 0; i < v->losses; i++) {
		const struct lost *l = &v->lost[i];

		if (sequence < l->sequence &&
		    kv_compare(kv_slice(l->lower.data, l->lower.len), key) <= 0 &&
		    (l->open ||
		     kv_compare(key, kv_slice(l->upper.data, l->upper.len)) <= 0))
			return true;
	}
	return false;
}

/* ---- values in blob files ---- */

static int read_blob(struct salvage *v, struct kv_slice key, struct kv_slice reference,
		     struct kv_slice *value)
{
	struct lsm_blob_ref ref;
	struct file *f = NULL;
	char path[ENV_PATH_MAX];
	const uint8_t *p;
	uint64_t bytes, size;
	int error = lsm_blob_ref_get(reference, &ref);

	if (!error)
		error = lsm_file_name(path, v->files.dir, ref.file, LSM_FILE_BLOB);
	if (!error)
		error = env_open(v->files.env, path, ENV_READ, &f);
	if (error)
		return error;
	bytes = lsm_blob_record_bytes(key.len, ref.value_bytes);
	error = f->ops->size(f, &size);
	if (!error && (ref.offset > size || bytes > size - ref.offset))
		error = -EBADMSG;
	if (!error)
		error = kv_buf_reserve(&v->record, (size_t)bytes);
	if (!error)
		error = file_read_exact(f, path, ref.offset, v->record.data,
					(size_t)bytes, NULL);
	file_close(f);
	if (error)
		return error;
	p = v->record.data;
	if (port_get_le32(p) != ref.crc ||
	    port_crc32c(0, p + 4, (size_t)bytes - 4) != ref.crc ||
	    port_get_le32(p + 4) != key.len || memcmp(p + 12, key.data, key.len) != 0)
		return -EBADMSG;
	*value = kv_slice(p + 12 + key.len, ref.value_bytes);
	return 0;
}

/* ---- entries, of tables and of the log ---- */

static int give(struct salvage *v, struct kv_slice key, uint64_t stamp,
		struct kv_slice value)
{
	uint64_t sequence = lsm_sequence(stamp);
	struct newest *n = find_slot(v->slot, v->slots, key);
	struct kv_salvaged out = { .key = key, .value = value };
	int error;

	if (!n->key || n->stamp != stamp || n->given)
		return 0;
	n->given = true;
	if (lsm_kind(stamp) == LSM_DELETE ||
	    lsm_tombstones_cover(v->cover, key, LSM_SEQUENCE_MAX) > sequence)
		return 0;
	if (lsm_kind(stamp) == LSM_BLOB) {
		error = read_blob(v, key, value, &out.value);
		if (error)
			return kv_fail(v->why, error,
				       "%s: a value that was good cannot be read again",
				       v->files.dir);
	}
	out.doubtful = is_doubtful(v, key, sequence);
	v->pairs++;
	v->doubtful += out.doubtful;
	return v->pair(v->arg, &out);
}

static int lose_value(struct salvage *v, struct kv_slice key, uint64_t stamp,
		      struct kv_slice reference)
{
	struct lsm_blob_ref ref = { 0 };
	char name[32] = "", text[48];
	int error;

	if (!lsm_blob_ref_get(reference, &ref))
		(void)lsm_short_name(name, ref.file, LSM_FILE_BLOB);
	error = lsm_tell(&v->tell, KV_FOUND_FAULT, name[0] ? name : NULL, ref.offset,
			 lsm_blob_record_bytes(key.len, ref.value_bytes),
			 "the value of \"%s\" is lost",
			 kv_quote(text, sizeof(text), key));
	return error ? error : add_lost(v, key, key, false, lsm_sequence(stamp));
}

static int take_entry(struct salvage *v, struct kv_slice key, uint64_t stamp,
		      struct kv_slice value)
{
	struct kv_slice whole;
	int error = 0;

	if (v->second)
		return give(v, key, stamp, value);
	if (lsm_kind(stamp) == LSM_BLOB)
		error = read_blob(v, key, value, &whole);
	if (error == -ENOMEM)
		return error;
	return error ? lose_value(v, key, stamp, value) : remember(v, key, stamp);
}

/* ---- tables ---- */

struct reading {
	struct salvage *v;
	struct sst *t;
	uint64_t number, sequence; /* the largest that it may have */
};

/* Between these keys, or as far as the table goes. */
static int lose(struct reading *r, struct kv_slice lower, struct kv_slice upper,
		uint64_t offset, const struct kv_msg *why)
{
	struct salvage *v = r->v;
	const struct sst_summary *s = &r->t->p.s;
	char name[32];
	int error;

	if (v->second)
		return 0;
	error = lsm_tell(&v->tell, KV_FOUND_FAULT,
			 lsm_short_name(name, r->number, LSM_FILE_TABLE), offset, 0, "%s",
			 why->text);
	if (!lower.data)
		lower = kv_slice(s->smallest.data, s->smallest.len);
	if (error)
		return error;
	return upper.data ? add_lost(v, lower, upper, false, r->sequence)
			  : add_lost(v, lower, kv_slice(s->largest.data, s->largest.len),
				     s->largest_open, r->sequence);
}

static int index_key(const struct sst_block *index, uint32_t i, struct kv_buf *out,
		     struct kv_slice *key)
{
	struct sst_entry e;
	int error = i < index->count ? sst_index_entry(index, i, &e) : -ENOENT;

	*key = kv_slice(NULL, 0);
	if (error)
		return 0;
	error = kv_buf_set(out, index->prefix, index->prefix_bytes);
	if (!error)
		error = kv_buf_append(out, e.key, e.unshared);
	*key = kv_slice(out->data, out->len);
	return error;
}

static int read_block(struct reading *r, const struct sst_handle *h, struct kv_msg *why)
{
	struct salvage *v = r->v;
	const uint8_t *body;
	struct sst_block b;
	size_t bytes;
	int error = kv_buf_reserve(&v->body, h->bytes);

	if (!error)
		error = sst_read_block(r->t, h, v->body.data, why);
	if (!error)
		error = sst_unpack(r->t, v->body.data, h, &v->value, &body, &bytes, why);
	if (!error)
		error = sst_open_block(r->t, h, body, bytes, &b, why);
	if (error)
		return error;
	sst_walk_begin(&v->walk, &b);
	while (!(error = sst_walk_next(&v->walk))) {
		error = take_entry(v, kv_slice(v->walk.key.data, v->walk.key.len),
				   v->walk.e.stamp, v->walk.e.value);
		if (error) {
			v->stop = error;
			return -ECANCELED;
		}
	}
	return error == -ENOENT ? 0 : error;
}

static bool is_damage(int error)
{
	return error == -EBADMSG || error == -EIO || error == -ENOENT;
}

static int read_partition(struct reading *r, uint32_t p)
{
	struct salvage *v = r->v;
	struct kv_msg why = { "" };
	struct kv_slice lower, upper;
	struct sst_block index;
	struct sst_handle h;
	struct sst_ref ref;
	uint32_t i;
	int error = sst_load_index(r->t, p, &ref, &index, &why);

	if (is_damage(error)) {
		error = index_key(&r->t->top, p, &v->lower, &lower);
		if (!error)
			error = index_key(&r->t->top, p + 1, &v->upper, &upper);
		return error ? error
			     : lose(r, lower, upper, r->t->partition[p].index.offset,
				    &why);
	}
	if (error)
		return error;
	for (i = 0; !error && i < index.count; i++) {
		error = sst_data_handle(r->t, p, &index, i, &h, &why);
		if (!error)
			error = read_block(r, &h, &why);
		if (!is_damage(error))
			continue;
		error = index_key(&index, i, &v->lower, &lower);
		if (!error && i + 1 < index.count)
			error = index_key(&index, i + 1, &v->upper, &upper);
		else if (!error)
			error = index_key(&r->t->top, p + 1, &v->upper, &upper);
		if (!error)
			error = lose(r, lower, upper, h.offset, &why);
	}
	sst_unload(r->t, &ref);
	return error;
}

static int read_open_table(struct reading *r)
{
	const struct lsm_tombstones *set = sst_tombstones(r->t);
	size_t i;
	uint32_t p;
	int error = 0;

	for (i = 0; !error && i < lsm_tombstones_count(set); i++) {
		struct lsm_tombstone t = lsm_tombstones_at(set, i);

		error = remember_range(r->v, &t);
	}
	for (p = 0; !error && p < r->t->p.partitions; p++)
		error = read_partition(r, p);
	return error;
}

/* One that does not open is lost as a whole, as far as the manifest says what that is. */
static int lose_table(struct salvage *v, uint64_t number, const struct lsm_table *table,
		      const struct kv_msg *why)
{
	char name[32];
	int error;

	if (v->second)
		return 0;
	error = lsm_tell(&v->tell, KV_FOUND_FAULT,
			 lsm_short_name(name, number, LSM_FILE_TABLE), 0, 0,
			 "the table is lost: %s", why->text);
	if (error)
		return error;
	if (!table)
		return lose_all(v, UINT64_MAX);
	return add_lost(
		v, kv_slice(table->summary.smallest.data, table->summary.smallest.len),
		kv_slice(table->summary.largest.data, table->summary.largest.len),
		table->summary.largest_open, table->summary.max_sequence);
}

static int read_table(struct salvage *v, uint64_t number, const struct lsm_table *table)
{
	struct reading r = { .v = v, .number = number };
	struct kv_msg why = { "" };
	int error = lsm_files_open_table(&v->files, number, table, &r.t, &why);

	if (error)
		return error == -ENOMEM ? error : lose_table(v, number, table, &why);
	r.sequence = table ? table->summary.max_sequence : r.t->p.s.max_sequence;
	error = read_open_table(&r);
	sst_close(r.t);
	return error;
}

static int read_tables(struct salvage *v)
{
	const struct lsm_files *f = &v->files;
	size_t i;
	int error = 0;

	for (i = 0; !error && f->known && i < f->state.places; i++)
		error = read_table(v, f->state.place[i].table->number,
				   f->state.place[i].table);
	for (i = 0; !error && !f->known && i < f->files; i++)
		if (f->file[i].type == LSM_FILE_TABLE)
			error = read_table(v, f->file[i].number, NULL);
	return error;
}

/* ---- the log ---- */

static bool is_whole(struct kv_slice rest)
{
	struct kv_op op;

	while (rest.len)
		if (lsm_write_step(&rest, &op))
			return false;
	return true;
}

static int take_record(void *arg, const struct log_record *r)
{
	struct salvage *v = arg;
	uint64_t sequence = r->position / LOG_ALIGN;
	struct kv_slice rest = r->payload;
	struct lsm_tombstone t;
	struct kv_op op;
	int error = 0;

	/* What is in tables may have been deleted there without a trace. */
	if (r->type != LSM_LOG_WRITE ||
	    (v->files.known && r->position < v->files.state.log_position))
		return 0;
	if (!is_whole(rest))
		return v->second ? 0 : lose_all(v, sequence + 1);
	for (; !error && rest.len && !lsm_write_step(&rest, &op); sequence++) {
		t = (struct lsm_tombstone){ op.key, op.value, sequence };
		if (op.type == KV_DELETE_RANGE)
			error = remember_range(v, &t);
		else
			error = take_entry(v, op.key,
					   lsm_stamp(sequence, op.type == KV_PUT
								       ? LSM_PUT
								       : LSM_DELETE),
					   op.value);
	}
	return error;
}

/* ---- the whole ---- */

static int read_all(struct salvage *v)
{
	struct lsm_files *f = &v->files;
	int error = lsm_log_files_read(
		&f->log, f->env, f->known ? f->state.log_position : 0, take_record, v);

	return error ? error : read_tables(v);
}

static int salvage(struct salvage *v)
{
	struct lsm_files *f = &v->files;
	uint64_t end;
	int error = lsm_tell_files(&v->tell, f);

	if (!error)
		error = grow(v);
	if (!error)
		error = read_all(v);
	if (!error)
		error = lsm_log_files_tell(&f->log, &v->tell, "");
	if (!error && !f->known)
		error = lose_all(v, UINT64_MAX);
	if (!error && lsm_log_files_lost(&f->log, &end))
		error = lose_all(v, end == UINT64_MAX ? end : end / LOG_ALIGN + 1);
	if (!error && v->tombstones)
		error = lsm_tombstones_new(v->tombstone, v->tombstones, &v->cover);
	v->second = true;
	if (!error)
		error = read_all(v);
	if (!error)
		error = lsm_tell(&v->tell, KV_FOUND_FACT, NULL, 0, 0,
				 "%llu pairs, of which %llu may have had a newer version "
				 "that is lost",
				 (unsigned long long)v->pairs,
				 (unsigned long long)v->doubtful);
	return v->stop ? v->stop : error;
}

static void salvage_free(struct salvage *v)
{
	size_t i;

	for (i = 0; i < v->slots; i++)
		port_free(v->slot[i].key);
	for (i = 0; i < v->tombstones; i++) {
		port_free((void *)(uintptr_t)v->tombstone[i].begin.data);
		port_free((void *)(uintptr_t)v->tombstone[i].end.data);
	}
	for (i = 0; i < v->losses; i++) {
		kv_buf_free(&v->lost[i].lower);
		kv_buf_free(&v->lost[i].upper);
	}
	port_free(v->slot);
	port_free(v->tombstone);
	port_free(v->lost);
	lsm_tombstones_free(v->cover);
	kv_buf_free(&v->value);
	kv_buf_free(&v->record);
	kv_buf_free(&v->body);
	kv_buf_free(&v->lower);
	kv_buf_free(&v->upper);
	sst_walk_free(&v->walk);
	lsm_files_close(&v->files);
	port_free(v);
}

int lsm_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
		      kv_finding_fn *found, void *arg, struct kv_msg *why)
{
	struct salvage *v = port_alloc(sizeof(*v));
	int error;

	if (!v)
		return kv_fail(why, -ENOMEM, "no memory to look at %s", dir);
	memset(v, 0, sizeof(*v));
	v->tell = (struct lsm_teller){ found, arg };
	v->pair = pair;
	v->arg = arg;
	v->why = why;
	error = lsm_files_open(env, dir, &v->files, why);
	if (!error)
		error = salvage(v);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory for the keys of %s", dir);
	salvage_free(v);
	return error;
}
