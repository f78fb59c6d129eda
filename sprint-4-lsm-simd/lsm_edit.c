/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_edit.c - what a flush or a compaction changes: lists that grow as it goes on.
 *
 * A list has room for a power of two, so how much it has follows from how much is in it.
 */
#include "lsm_version_internal.h"

enum { LIST_FIRST = 8 };

void *lsm_list_room(void *list, size_t n, size_t size)
{
	if (n && (n < LIST_FIRST || (n & (n - 1))))
		return list;
	return port_realloc(list, n * size, (n ? n * 2 : LIST_FIRST) * size);
}

int lsm_edit_add(struct lsm_edit *e, unsigned int level, uint64_t run, uint64_t number,
		 struct sst_summary *summary)
{
	struct lsm_edit_add *room = lsm_list_room(e->add, e->adds, sizeof(*room));

	if (!room)
		return -ENOMEM;
	e->add = room;
	e->add[e->adds++] = (struct lsm_edit_add){
		.level = level, .run = run, .number = number, .summary = *summary
	};
	memset(summary, 0, sizeof(*summary));
	return 0;
}

int lsm_edit_blob(struct lsm_edit *e, uint64_t number, const struct lsm_blob_summary *s)
{
	struct lsm_edit_blob *room = lsm_list_room(e->blob, e->blobs, sizeof(*room));

	if (!room)
		return -ENOMEM;
	e->blob = room;
	e->blob[e->blobs++] = (struct lsm_edit_blob){ number, *s };
	return 0;
}

int lsm_edit_move(struct lsm_edit *e, uint64_t number, unsigned int level, uint64_t run)
{
	struct lsm_edit_move *room = lsm_list_room(e->move, e->moves, sizeof(*room));

	if (!room)
		return -ENOMEM;
	e->move = room;
	e->move[e->moves++] = (struct lsm_edit_move){ number, level, run };
	return 0;
}

int lsm_edit_remove(struct lsm_edit *e, uint64_t number)
{
	uint64_t *room = lsm_list_room(e->remove, e->removes, sizeof(*room));

	if (!room)
		return -ENOMEM;
	e->remove = room;
	e->remove[e->removes++] = number;
	return 0;
}

void lsm_edit_free(struct lsm_edit *e)
{
	size_t i;

	for (i = 0; i < e->adds; i++)
		sst_summary_free(&e->add[i].summary);
	port_free(e->add);
	port_free(e->blob);
	port_free(e->move);
	port_free(e->remove);
	kv_buf_free(&e->progress);
	memset(e, 0, sizeof(*e));
}
