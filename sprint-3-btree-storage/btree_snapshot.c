/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_snapshot.c - snapshots, and which generations of pages are kept for whom.
 *
 * A snapshot is a root and a generation. While it is held, pages born at or before the
 * generation are frozen, and those that the tree has dropped since are not used again. What
 * it costs is what is dropped: stats show it as held_bytes.
 */
#include "btree_store.h"

enum { RECLAIM_PAGES = 256 }; /* dropped pages that are worth a look */

int btree_keep_room(struct btree_store *s)
{
	size_t cap = s->keep_cap ? 2 * s->keep_cap : 16;
	uint64_t *keep;

	/* each snapshot and pending write, the visible version, and the one to come */
	if (s->snapshots + s->pendings + 2 <= s->keep_cap)
		return 0;
	keep = port_realloc(s->keep, s->keep_cap * sizeof(*keep), cap * sizeof(*keep));
	if (!keep)
		return -ENOMEM;
	s->keep = keep;
	s->keep_cap = cap;
	return 0;
}

static int compare_generations(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

const uint64_t *btree_keep_list(struct btree_store *s, size_t *n)
{
	const struct kv_snapshot *snap;
	const struct btree_pending *p;

	*n = 0;
	for (snap = s->newest; snap; snap = snap->older)
		s->keep[(*n)++] = snap->version.generation;
	for (p = s->pending; p; p = p->next)
		s->keep[(*n)++] = p->version.generation;
	/* Readers may be behind the tip: for a while, or for good in a store that stopped. */
	if (s->pending || s->stopped)
		s->keep[(*n)++] = s->visible.generation;
	port_sort(s->keep, *n, sizeof(*s->keep), compare_generations);
	return s->keep;
}

void btree_keep_update(struct btree_store *s)
{
	uint64_t frozen = s->checkpoint_generation;

	if (s->newest && s->newest->version.generation > frozen)
		frozen = s->newest->version.generation;
	/* Each pending write may become visible alone. */
	if (s->pending)
		frozen = s->pending_last->version.generation;
	s->tree.frozen = frozen;
}

void btree_keep_reclaim(struct btree_store *s, bool force)
{
	const uint64_t *keep;
	size_t n;

	if (s->tree.drops - s->drops_seen < (force ? 1 : RECLAIM_PAGES))
		return;
	s->drops_seen = s->tree.drops;
	keep = btree_keep_list(s, &n);
	btree_pages_reclaim(s->pager, keep, n);
}

int btree_snapshot_enter(struct btree_store *s, struct kv_snapshot *snap)
{
	int error;

	port_mutex_lock(&s->write_lock);
	error = btree_keep_room(s);
	if (error)
		goto out;
	snap->version = s->visible;
	snap->references = 1;
	snap->newer = NULL;
	snap->older = s->newest;
	if (s->newest)
		s->newest->newer = snap;
	s->newest = snap;
	s->snapshots++;
	if (s->tree.frozen < snap->version.generation)
		s->tree.frozen = snap->version.generation;
out:
	port_mutex_unlock(&s->write_lock);
	return error;
}

/* Under write_lock; true when it was the last reference. */
static bool leave(struct btree_store *s, struct kv_snapshot *snap)
{
	if (--snap->references)
		return false;
	if (snap->newer)
		snap->newer->older = snap->older;
	else
		s->newest = snap->older;
	if (snap->older)
		snap->older->newer = snap->newer;
	s->snapshots--;
	btree_keep_update(s);
	btree_keep_reclaim(s, false);
	return true;
}

void btree_snapshot_leave(struct btree_store *s, struct kv_snapshot *snap)
{
	port_mutex_lock(&s->write_lock);
	(void)leave(s, snap);
	port_mutex_unlock(&s->write_lock);
}

int btree_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct kv_snapshot *snap = port_alloc(sizeof(*snap));
	int error;

	if (!snap)
		return -ENOMEM;
	error = btree_snapshot_enter(btree_store(kv), snap);
	if (error)
		port_free(snap);
	else
		*out = snap;
	return error;
}

void btree_snapshot_share(struct btree_store *s, struct kv_snapshot *snap)
{
	port_mutex_lock(&s->write_lock);
	snap->references++;
	port_mutex_unlock(&s->write_lock);
}

void btree_release(struct kv *kv, struct kv_snapshot *snap)
{
	struct btree_store *s = btree_store(kv);
	bool last;

	port_mutex_lock(&s->write_lock);
	last = leave(s, snap);
	port_mutex_unlock(&s->write_lock);
	if (last)
		port_free(snap);
}
