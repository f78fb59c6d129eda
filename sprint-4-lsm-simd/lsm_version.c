/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_version.c - a version: references to it, finding in it, what must hold of it.
 *
 * A get asks run after run, the newest first, and the first that has an entry has the newest:
 * what stands in a newer run, or further up, is newer for each key.
 */
#include "lsm_version_internal.h"

/* ---- references ---- */

void lsm_version_free(struct lsm_version *v)
{
	unsigned int level;

	if (!v)
		return;
	for (level = 0; level < LSM_LEVELS; level++)
		kv_buf_free(&v->level[level].progress);
	lsm_tombstones_free(v->tombstones);
	port_free(v->table);
	port_free(v->run);
	port_free(v->blob);
	port_free(v);
}

void lsm_version_ref(struct lsm_version *v)
{
	(void)port_fetch_add(&v->references, 1);
}

/* A version of no store: nobody else will. */
static void free_all(struct lsm_version *v)
{
	unsigned int level;
	size_t r, t, i;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				if (lsm_table_unref(v->level[level].run[r].table[t]))
					lsm_table_free(v->level[level].run[r].table[t]);
	for (i = 0; i < v->blobs; i++)
		if (lsm_blob_file_unref(v->blob[i].file))
			lsm_blob_file_free(v->blob[i].file);
	lsm_version_free(v);
}

void lsm_version_unref(struct lsm_version *v)
{
	if (!v || port_fetch_add(&v->references, (uint32_t)-1) != 1)
		return;
	if (v->owner)
		lsm_versions_bury(v->owner, v);
	else
		free_all(v);
}

/* ---- finding ---- */

struct lsm_blob *lsm_version_blob(const struct lsm_version *v, uint64_t file)
{
	size_t low = 0, high = v->blobs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->blob[mid].file->number < file)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->blobs && v->blob[low].file->number == file
		       ? v->blob[low].file->blob
		       : NULL;
}

/* The value is a reference; what it refers to takes its place. */
static int resolve(const struct lsm_version *v, struct kv_slice key, struct kv_buf *value,
		   struct kv_msg *why)
{
	struct lsm_blob_ref ref;
	struct lsm_blob *b;
	int error = lsm_blob_ref_get(kv_slice(value->data, value->len), &ref);

	if (error)
		return kv_fail(why, error,
			       "a reference to a blob file is none: corruption");
	b = lsm_version_blob(v, ref.file);
	if (!b)
		return kv_fail(
			why, -EBADMSG,
			"a value stands in blob file %012llx, which the store does "
			"not have: corruption",
			(unsigned long long)ref.file);
	return lsm_blob_read(b, &ref, key, value, why);
}

static int find_entry(const struct lsm_version *v, struct kv_slice key, uint64_t hash,
		      uint64_t sequence, uint64_t *stamp, struct kv_buf *value,
		      struct kv_msg *why)
{
	unsigned int level;
	size_t r;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++) {
			struct lsm_table *t = lsm_run_find(&v->level[level].run[r], key);
			int error = t ? sst_get(t->sst, key, hash, sequence, stamp, value,
						why)
				      : -ENOENT;

			if (error != -ENOENT)
				return error;
		}
	return -ENOENT;
}

int lsm_version_get(struct lsm_version *v, struct kv_slice key, uint64_t hash,
		    uint64_t sequence, uint64_t *stamp, struct kv_buf *value,
		    struct kv_msg *why)
{
	uint64_t hidden;
	int error = find_entry(v, key, hash, sequence, stamp, value, why);

	if (error)
		return error;
	hidden = lsm_tombstones_cover(v->tombstones, key, sequence);
	if (lsm_sequence(*stamp) < hidden) {
		*stamp = lsm_stamp(hidden, LSM_DELETE);
		value->len = 0;
		return 0;
	}
	if (lsm_kind(*stamp) != LSM_BLOB)
		return 0;
	*stamp = lsm_stamp(lsm_sequence(*stamp), LSM_PUT);
	return resolve(v, key, value, why);
}

/* ---- what must hold ---- */

static int check_pair(const struct lsm_table *a, const struct lsm_table *b,
		      unsigned int level, struct kv_msg *why)
{
	struct kv_slice next =
		kv_slice(b->summary.smallest.data, b->summary.smallest.len);

	if (sst_summary_ends_before(&a->summary, next))
		return 0;
	return kv_fail(
		why, -EBADMSG, "tables %llu and %llu overlap in one run of level %u",
		(unsigned long long)a->number, (unsigned long long)b->number, level);
}

static int check_run(const struct lsm_run *r, unsigned int level, struct kv_msg *why)
{
	uint64_t bytes = 0;
	size_t i;
	int error = 0;

	for (i = 0; !error && i < r->tables; i++) {
		const struct sst_summary *s = &r->table[i]->summary;

		bytes += s->bytes;
		if (!s->largest_open &&
		    kv_compare(kv_slice(s->smallest.data, s->smallest.len),
			       kv_slice(s->largest.data, s->largest.len)) > 0)
			error = kv_fail(why, -EBADMSG, "table %llu ends before it begins",
					(unsigned long long)r->table[i]->number);
		else if (i)
			error = check_pair(r->table[i - 1], r->table[i], level, why);
	}
	if (!error && (!r->tables || bytes != r->bytes))
		error = kv_fail(why, -EBADMSG, "a run of level %u is counted wrong",
				level);
	return error;
}

static int check_level(const struct lsm_level *l, unsigned int level, struct kv_msg *why)
{
	size_t r;
	int error = 0;

	for (r = 0; !error && r < l->runs; r++) {
		error = check_run(&l->run[r], level, why);
		if (!error && r && l->run[r - 1].id <= l->run[r].id)
			error = kv_fail(why, -EBADMSG,
					"runs of level %u are not the newest first",
					level);
	}
	return error;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static size_t take_numbers(const struct lsm_version *v, uint64_t *number)
{
	unsigned int level;
	size_t r, t, n = 0;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++, n++)
				if (number)
					number[n] =
						v->level[level].run[r].table[t]->number;
	for (t = 0; t < v->blobs; t++, n++)
		if (number)
			number[n] = v->blob[t].file->number;
	return n;
}

static int check_numbers(const struct lsm_version *v, struct kv_msg *why)
{
	size_t n = take_numbers(v, NULL), i;
	uint64_t *number = port_alloc((n + 1) * sizeof(*number));
	int error = 0;

	if (!number)
		return -ENOMEM;
	(void)take_numbers(v, number);
	if (n)
		port_sort(number, n, sizeof(*number), compare_u64);
	for (i = 1; !error && i < n; i++)
		if (number[i] == number[i - 1])
			error = kv_fail(why, -EBADMSG, "two files have the number %llu",
					(unsigned long long)number[i]);
	port_free(number);
	return error;
}

int lsm_version_check(const struct lsm_version *v, struct kv_msg *why)
{
	unsigned int level;
	int error = check_numbers(v, why);

	for (level = 0; !error && level < LSM_LEVELS; level++)
		error = check_level(&v->level[level], level, why);
	return error;
}
