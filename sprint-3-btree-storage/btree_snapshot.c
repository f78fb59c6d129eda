/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_snapshot.c - snapshots, and which generations of pages are kept for whom.
 *
 * A snapshot is a root and a generation. While it is held, pages born at or before the
 * generation are frozen, and those that the tree has dropped since are not used again. What
 * it costs is what is dropped: stats show it as held_bytes.
 *
 * Readers come much more often than anything changes for them: so all who ask between two
 * writes share one snapshot, the current one, by a count. It stays when nobody has it any
 * more, until the next write retires it; that keeps nothing, for it is what is visible. Who
 * drops the last reference to a retired one leaves it in a list, to be taken up by whoever
 * holds write_lock next. So neither takes the lock, and none waits for who has it.
 *
 * A snapshot's memory is used again, and freed only with the store: a reader may still look
 * at the count of one that was current a moment ago.
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

/* ---- the list ---- */

static void leave_list(struct btree_store *s, struct kv_snapshot *snap)
{
	if (snap->newer)
		snap->newer->older = snap->older;
	else
		s->newest = snap->older;
	if (snap->older)
		snap->older->newer = snap->newer;
	s->snapshots--;
	snap->older = s->spares;
	s->spares = snap;
}

/* Those whose last reference went. */
static void take_left(struct btree_store *s)
{
	struct kv_snapshot *snap = port_load_acquire(&s->left), *next;

	if (!snap)
		return;
	while (!port_cas(&s->left, &snap, (struct kv_snapshot *)NULL))
		;
	for (; snap; snap = next) {
		next = snap->left;
		leave_list(s, snap);
	}
}

static struct kv_snapshot *take_spare(struct btree_store *s)
{
	struct kv_snapshot *snap = s->spares;

	if (snap) {
		s->spares = snap->older;
		return snap;
	}
	snap = port_alloc(sizeof(*snap));
	if (snap)
		snap->references = BTREE_SNAPSHOT_OLD;
	return snap;
}

/* A current one, of what is visible, with so many references. */
static int make_current(struct btree_store *s, uint32_t references)
{
	struct kv_snapshot *snap;
	int error = btree_keep_room(s);

	if (error)
		return error;
	snap = take_spare(s);
	if (!snap)
		return -ENOMEM;
	snap->version = s->visible;
	snap->newer = NULL;
	snap->older = s->newest;
	if (s->newest)
		s->newest->newer = snap;
	s->newest = snap;
	s->snapshots++;
	if (s->tree.frozen < snap->version.generation)
		s->tree.frozen = snap->version.generation;
	/* From here on others may have it. */
	port_store_release(&snap->references, references);
	port_store_release(&s->current, snap);
	return 0;
}

/* ---- what is kept ---- */

static int compare_generations(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

const uint64_t *btree_keep_list(struct btree_store *s, size_t *n)
{
	const struct kv_snapshot *snap;
	const struct btree_pending *p;

	take_left(s);
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

	take_left(s);
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

/* ---- having one ---- */

/* One more reference, unless it is old. */
static bool share_current(struct kv_snapshot *snap)
{
	uint32_t references;

	if (!snap)
		return false;
	references = port_load_relaxed(&snap->references);
	do {
		if (references & BTREE_SNAPSHOT_OLD)
			return false;
	} while (!port_cas(&snap->references, &references, references + 1));
	return true;
}

int btree_snapshot_enter(struct btree_store *s, struct kv_snapshot **out)
{
	int error = 0;

	/* That it was not old at that moment says that nothing has been shown since. */
	*out = port_load_acquire(&s->current);
	if (share_current(*out))
		return 0;
	port_mutex_lock(&s->write_lock);
	if (!share_current(s->current)) {
		btree_keep_update(s);
		error = make_current(s, 1);
	}
	*out = s->current;
	port_mutex_unlock(&s->write_lock);
	return error;
}

void btree_snapshot_leave(struct btree_store *s, struct kv_snapshot *snap)
{
	struct kv_snapshot *left;

	if (port_fetch_add(&snap->references, (uint32_t)-1) != (BTREE_SNAPSHOT_OLD | 1))
		return;
	left = port_load_relaxed(&s->left);
	do {
		snap->left = left;
	} while (!port_cas(&s->left, &left, snap));
}

void btree_snapshot_share(struct kv_snapshot *snap)
{
	(void)port_fetch_add(&snap->references, (uint32_t)1);
}

void btree_snapshot_offer(struct btree_store *s)
{
	/* Without memory for it they wait. */
	if (!s->current)
		(void)make_current(s, 0);
}

void btree_snapshot_retire(struct btree_store *s)
{
	struct kv_snapshot *snap = s->current;

	if (snap) {
		port_store_release(&s->current, (struct kv_snapshot *)NULL);
		if (!port_fetch_add(&snap->references, BTREE_SNAPSHOT_OLD))
			leave_list(s, snap);
	}
	if (snap || port_load_relaxed(&s->left))
		btree_keep_update(s);
}

static void free_all(struct kv_snapshot *snap)
{
	struct kv_snapshot *older;

	for (; snap; snap = older) {
		older = snap->older;
		port_free(snap);
	}
}

void btree_snapshots_free(struct btree_store *s)
{
	free_all(s->newest);
	free_all(s->spares);
}

int btree_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	return btree_snapshot_enter(btree_store(kv), out);
}

void btree_release(struct kv *kv, struct kv_snapshot *snap)
{
	btree_snapshot_leave(btree_store(kv), snap);
}
