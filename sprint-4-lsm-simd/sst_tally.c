/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_tally.c - the sums over a table's entries that its properties and the manifest have.
 * Who writes a table and who verifies it count by the same functions.
 */
#include "lsm_blob.h"
#include "sst_format.h"

static void count_sequence(struct sst_summary *s, uint64_t sequence, bool first)
{
	if (first || sequence < s->min_sequence)
		s->min_sequence = sequence;
	if (first || sequence > s->max_sequence)
		s->max_sequence = sequence;
}

static int add_use(struct sst_tally *t, uint64_t file, struct sst_blob_use **out)
{
	struct sst_summary *s = &t->s;
	size_t cap = t->blob_cap ? 2 * t->blob_cap : 8;
	void *p;

	if (s->blobs == t->blob_cap) {
		p = port_realloc(s->blob, t->blob_cap * sizeof(*s->blob),
				 cap * sizeof(*s->blob));
		if (!p)
			return -ENOMEM;
		s->blob = p;
		t->blob_cap = cap;
	}
	*out = &s->blob[s->blobs++];
	**out = (struct sst_blob_use){ .file = file };
	return 0;
}

static int count_blob(struct sst_tally *t, struct kv_slice key, struct kv_slice value)
{
	struct sst_blob_use *use;
	struct lsm_blob_ref ref;
	size_t i = t->s.blobs;
	int error;

	if (lsm_blob_ref_get(value, &ref))
		return -EINVAL;
	/* The last file is the likeliest. */
	while (i && t->s.blob[i - 1].file != ref.file)
		i--;
	if (i) {
		use = &t->s.blob[i - 1];
	} else {
		error = add_use(t, ref.file, &use);
		if (error)
			return error;
	}
	use->bytes += lsm_blob_record_bytes(key.len, ref.value_bytes);
	return 0;
}

int sst_tally_add(struct sst_tally *t, struct kv_slice key, uint64_t stamp,
		  struct kv_slice value)
{
	struct sst_summary *s = &t->s;
	int error = 0;

	if (lsm_kind(stamp) == LSM_BLOB)
		error = count_blob(t, key, value);
	if (!error && !s->entries)
		error = kv_buf_set(&s->smallest, key.data, key.len);
	if (error)
		return error;
	count_sequence(s, lsm_sequence(stamp), !s->entries);
	s->entries++;
	s->deletes += lsm_kind(stamp) == LSM_DELETE;
	s->key_bytes += key.len;
	s->value_bytes += value.len;
	return 0;
}

/* Widens the range of keys by the tombstones' ranges. */
static int count_tombstones(struct sst_summary *s, const struct lsm_tombstones *set)
{
	size_t i, n = lsm_tombstones_count(set);
	struct lsm_tombstone first, last;
	int error = 0;

	s->tombstones = n;
	if (!n)
		return 0;
	for (i = 0; i < n; i++)
		count_sequence(s, lsm_tombstones_at(set, i).sequence, !i && !s->entries);
	first = lsm_tombstones_at(set, 0);
	last = lsm_tombstones_at(set, n - 1);
	s->largest_open = !last.end.data;
	if (!s->largest_open &&
	    (!s->entries ||
	     kv_compare(last.end, kv_slice(s->largest.data, s->largest.len)) > 0)) {
		error = kv_buf_set(&s->largest, last.end.data, last.end.len);
		s->largest_excluded = true;
	}
	if (!error &&
	    (!s->entries ||
	     kv_compare(first.begin, kv_slice(s->smallest.data, s->smallest.len)) < 0))
		error = kv_buf_set(&s->smallest, first.begin.data, first.begin.len);
	return error;
}

static int compare_use(const void *a, const void *b)
{
	const struct sst_blob_use *x = a, *y = b;

	return (x->file > y->file) - (x->file < y->file);
}

int sst_tally_end(struct sst_tally *t, struct kv_slice largest,
		  const struct lsm_tombstones *set)
{
	int error = 0;

	if (t->s.blobs)
		port_sort(t->s.blob, t->s.blobs, sizeof(*t->s.blob), compare_use);
	if (t->s.entries)
		error = kv_buf_set(&t->s.largest, largest.data, largest.len);
	return error ? error : count_tombstones(&t->s, set);
}
