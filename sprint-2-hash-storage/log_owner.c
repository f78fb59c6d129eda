/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_owner.c - what those who write ahead to a log do with its segments, by the log's public
 * functions alone: is one missing, which are no longer needed, how much do they take.
 */
#include "log_internal.h"

enum { BATCH = 64 }; /* segments given up at a time */

/* ---- missing ones ---- */

struct presence {
	uint64_t next;    /* the number that is needed next */
	uint64_t missing; /* LOG_NONE: none */
};

static int check_presence(void *arg, const struct log_segment *seg)
{
	struct presence *p = arg;

	if (seg->number + seg->units <= p->next)
		return 0;
	if (seg->number > p->next)
		p->missing = p->next;
	p->next = seg->number + seg->units;
	return p->missing != LOG_NONE;
}

uint64_t log_missing(struct log *log, uint64_t position)
{
	struct presence p = { position >> log->shift, LOG_NONE };

	(void)log_segments(log, check_presence, &p);
	return p.missing;
}

/* ---- those that are no longer needed ---- */

struct old {
	uint64_t first_kept;
	uint64_t number[BATCH];
	size_t n;
};

static int find_old(void *arg, const struct log_segment *seg)
{
	struct old *o = arg;

	if (!seg->sealed || seg->number + seg->units > o->first_kept || o->n == BATCH)
		return 1;
	o->number[o->n++] = seg->number;
	return 0;
}

int log_give_up_before(struct log *log, uint64_t position)
{
	struct old o = { .first_kept = position >> log->shift };
	int error = 0;
	size_t i;

	do {
		o.n = 0;
		(void)log_segments(log, find_old, &o);
		for (i = 0; i < o.n && !error; i++) {
			error = log_retire(log, o.number[i]);
			if (!error)
				error = log_reclaim(log, o.number[i]);
		}
	} while (!error && o.n);
	return error;
}

/* ---- what they take ---- */

static int add_bytes(void *arg, const struct log_segment *seg)
{
	*(uint64_t *)arg += seg->file_bytes;
	return 0;
}

uint64_t log_file_bytes(struct log *log)
{
	uint64_t bytes = 0;

	(void)log_segments(log, add_bytes, &bytes);
	return bytes;
}
