/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_snapshot.c - a snapshot is a sequence that somebody reads at: flushes and compactions keep
 * for each the newest version of a key that is not after it.
 */
#include "lsm_store.h"

int lsm_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct lsm_store *s = lsm_store(kv);
	struct kv_snapshot *snap = port_alloc(sizeof(*snap));

	if (!snap)
		return -ENOMEM;
	port_mutex_lock(&s->snapshot_lock);
	/* Under the lock: who lists the snapshots later drops nothing that this one sees. */
	snap->sequence = port_load_acquire(&s->visible);
	snap->older = s->newest;
	snap->newer = NULL;
	if (s->newest)
		s->newest->newer = snap;
	else
		s->oldest = snap;
	s->newest = snap;
	s->snapshots++;
	port_mutex_unlock(&s->snapshot_lock);
	*out = snap;
	return 0;
}

void lsm_release(struct kv *kv, struct kv_snapshot *snap)
{
	struct lsm_store *s = lsm_store(kv);
	bool tell;

	port_mutex_lock(&s->snapshot_lock);
	tell = snap == s->oldest && !s->released;
	s->released |= tell;
	if (snap->newer)
		snap->newer->older = snap->older;
	else
		s->newest = snap->older;
	if (snap->older)
		snap->older->newer = snap->newer;
	else
		s->oldest = snap->newer;
	s->snapshots--;
	port_mutex_unlock(&s->snapshot_lock);
	if (tell)
		lsm_background_wake(s);
	port_free(snap);
}

int lsm_snapshot_list(struct lsm_store *s, uint64_t **out, size_t *n)
{
	const struct kv_snapshot *snap;
	uint64_t *list;

	port_mutex_lock(&s->snapshot_lock);
	*n = 0;
	list = port_alloc(s->snapshots * sizeof(*list));
	for (snap = s->oldest; list && snap; snap = snap->newer)
		list[(*n)++] = snap->sequence;
	port_mutex_unlock(&s->snapshot_lock);
	*out = list;
	return list ? 0 : -ENOMEM;
}

uint64_t lsm_snapshot_oldest(struct lsm_store *s)
{
	uint64_t sequence;

	port_mutex_lock(&s->snapshot_lock);
	sequence = s->oldest ? s->oldest->sequence : port_load_acquire(&s->visible);
	port_mutex_unlock(&s->snapshot_lock);
	return sequence;
}
