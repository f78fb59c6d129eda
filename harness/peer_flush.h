/* SPDX-License-Identifier: MIT */
/*
 * peer_flush.h - durability level "group" for libraries that have no such level: one
 * background thread that makes everything written durable, in time, together.
 *
 * A write of level group calls peer_flush_wrote() once the library has it. The thread
 * sleeps while nothing is volatile; then it starts to sync early enough (by the time that
 * the last sync took) to end group_ms after the oldest volatile write.
 *
 * A failed sync is believed: from then on peer_flush_error() is -EROFS, for good.
 */
#ifndef PEER_FLUSH_H
#define PEER_FLUSH_H

#include "../sprint-1-core-memory/kv.h"

typedef int peer_sync_fn(void *arg); /* 0 or -errno; from any thread, beside writes */

struct peer_flush {
	/* constant after start */
	peer_sync_fn *sync;
	void *arg;
	uint64_t interval_ns;

	/* protected by lock */
	struct port_mutex lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stop;
	uint64_t oldest_ns; /* when the oldest volatile write was made */

	/* atomic */
	uint64_t pending; /* group writes since the last sync began */
	uint64_t syncs;   /* of the background thread */
	uint64_t failed;  /* 1 after any failed sync */
};

/* The thread itself starts with the first group write. */
void peer_flush_start(struct peer_flush *f, uint64_t group_ms, peer_sync_fn *sync,
		      void *arg);
/* Ends the thread; what is volatile stays so: close() syncs after this. */
void peer_flush_stop(struct peer_flush *f);

/* After a write of level group. */
int peer_flush_wrote(struct peer_flush *f);
/* Syncs now, in the caller's thread. */
int peer_flush_now(struct peer_flush *f);
/* Before any write: 0, or -EROFS after a failed sync. */
int peer_flush_error(const struct peer_flush *f);
/* The caller saw a sync fail; returns error. */
int peer_flush_failed(struct peer_flush *f, int error);

#endif /* PEER_FLUSH_H */
