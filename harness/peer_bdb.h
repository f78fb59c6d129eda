/* SPDX-License-Identifier: MIT */
/*
 * peer_bdb.h - what the files of the Berkeley DB peer share: peer_bdb.c opens, reads, writes
 * and closes; peer_bdb_cursor.c walks.
 */
#ifndef PEER_BDB_H
#define PEER_BDB_H

#include "peer_common.h"
#include "peer_flush.h"

#include <db.h>

struct bdb_store {
	struct kv kv;

	/* constant after open */
	int lock_fd;
	bool hash;
	DB_ENV *bdb;
	DB *db;
	enum kv_durability plain; /* the level of a write outside of a transaction */
	u_int32_t checkpoint_kbytes;

	struct peer_flush flush;
	struct peer_flush checkpointer; /* looks once a second whether one is due */

	struct port_mutex said_lock;
	struct kv_msg said; /* the first complaint; protected by said_lock */
};

/* The errno of a code of Berkeley DB's. */
int bdb_error(int rc);

/* A key or value that goes in: borrowed. */
static inline DBT bdb_dbt(struct kv_slice s)
{
	return (DBT){ .data = (void *)s.data, .size = (u_int32_t)s.len };
}

/* Where a value comes out: into the buffer's memory, which must do. */
static inline DBT bdb_buffer_dbt(struct kv_buf *b)
{
	return (DBT){ .data = b->data,
		      .ulen = b->cap > UINT32_MAX ? UINT32_MAX : (u_int32_t)b->cap,
		      .flags = DB_DBT_USERMEM };
}

int bdb_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

#endif /* PEER_BDB_H */
