/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log.h - a log of checksummed records in numbered segment files.
 *
 * The hash engine keeps its data here; the B+tree and the LSM engine write ahead to it.
 * One record is one atomic unit: a batch is one record. A position names a record for
 * ever: positions grow, and no file number is used twice.
 *
 * In the life of a log
 *   append   copies the record into a mapped, preallocated segment: from then on it
 *            survives the process. Where the home cannot map, it is written instead.
 *   sync     group commit: the first caller syncs for all that wait; what arrives
 *            meanwhile is the next group (DeWitt et al. 1984).
 *   retire   a segment is given up by its owner; its file is recycled for a later
 *            segment, because overwriting allocated blocks makes a sync cheaper.
 *   open     reads from a given position on, calls back for each record, and tells a torn
 *            tail (cut, its bytes reported) from corruption (refused). Each record says up
 *            to where the log had been synced when it was written (sync_off), so a bad
 *            record below a later record's sync_off was once durable: corruption. After
 *            Pebble's write-ahead log.
 *
 * After a failed sync or write the log is latched: every later call that would promise
 * something returns -EROFS until it is opened anew. Formats: docs/FORMATS.md.
 *
 * Threads: append and sync from any; retire and the segment list from any.
 */
#ifndef LOG_H
#define LOG_H

#include "env.h"

struct log;

enum {
	LOG_HEADER_BYTES = 24,
	LOG_ALIGN = 8,      /* records begin at multiples of this */
	LOG_TYPE_MAX = 127, /* the owner's record types: 0..127 */
};

/* A sequence has 56 bits. */
#define LOG_POSITION_MAX ((1ull << 56) * LOG_ALIGN)

/* For a record's sequence: its own position / LOG_ALIGN, which grows with each record. */
#define LOG_SEQUENCE_POSITION UINT64_MAX

struct log_config {
	struct env *env;
	const char *dir; /* exists; files are NNNNNNNNNNNN.log below it */
	uint64_t
		store_id; /* random, of the store: another store's segments are refused */
	uint64_t
		segment_bytes; /* power of two, 64 KiB .. 4 GiB; fixed for the log's life */
	unsigned int
		spares; /* how many retired files are kept for recycling, also when it
			 * is closed; of those that were never synced none */
	unsigned int reserve; /* of them, held back for LOG_URGENT; made ahead */
	unsigned int last;    /* of the reserve, held back for LOG_LAST */
	bool map;             /* append through a map where the home can */
	uint64_t group_ns;    /* for log_sync_later() */
	/* Of a new log: the number of its first segment. */
	uint64_t first;
	/* No record reaches beyond this position: what the owner can hold of one; 0, and at
	 * most, LOG_POSITION_MAX. */
	uint64_t position_max;
	/* What the owner knows to have been durable, all below this position: a log that
	 * ends before it is damaged. 0: nothing. */
	uint64_t durable;
};

struct log_record {
	uint64_t position; /* where it begins */
	uint64_t end;      /* position of what follows it */
	uint64_t sequence; /* the owner's number */
	unsigned int type;
	struct kv_slice payload; /* in the map or in a buffer of the reader's */
	bool checked;            /* by its CRC */
};

/* Non-zero ends the scan with it. */
typedef int log_record_fn(void *arg, const struct log_record *r);

struct log_recovery {
	uint64_t records, bytes; /* given to the callback */
	uint64_t bytes_dropped;  /* torn tail */
	struct kv_msg why;       /* why they were dropped */
};

/* An empty log in dir, which has none; durable when it returns 0. */
int log_create(const struct log_config *c, struct log **out, struct kv_msg *why);

/* Opens at from (a position that log_end() or a record gave, or 0 for the oldest segment
 * that is there). replay sees every record at or after from in order. The tail is cut in
 * a way that a second crash cannot turn into a loss. -EBADMSG for corruption, with why.
 * *out is set before the first call of replay, which may log_read() whatever is there: what
 * it was given, what came before, and durable records that are yet to come; on error *out is
 * NULL. Segments that are missing are the owner's to
 * notice (log_segments()). */
int log_open(const struct log_config *c, uint64_t from, log_record_fn *replay, void *arg,
	     struct log_recovery *found, struct log **out, struct kv_msg *why);

/* Makes every record durable unless latched; frees the log, also when it gives an error. */
int log_close(struct log *log);

struct log_item {
	unsigned int type;
	uint64_t sequence; /* or LOG_SEQUENCE_POSITION */
	const struct kv_slice *part;
	size_t parts;      /* the payload is their concatenation */
	uint64_t position; /* set by log_append() */
};

enum log_append_flags {
	LOG_URGENT = 1 << 0, /* may use the reserve: appends that lead to free space */
	LOG_NOWAIT = 1 << 1, /* -EAGAIN rather than wait for a segment to be made, but for
			      * a record that needs one of its own */
	LOG_LAST = 1 << 2,   /* may use all of it: appends that free space themselves */
};

/*
 * Appends n records, all of them or none, also after a crash; more than one make a group,
 * of which each is a record with a position and a CRC of its own. Returns 0: they survive
 * the process from then on. -ENOSPC leaves the log as before and is not latched: a later
 * append may succeed. -EFBIG: more than a record can hold; or the positions are used up, which
 * env's log is told: what is there can be read, and must be written to a new log.
 */
int log_append(struct log *log, struct log_item *item, size_t n, unsigned int flags);

/* For callers who hold locks while they append: waits, without them, until there is room
 * for a record of so many bytes, as log_append() would. Others may take it first. */
int log_wait_room(struct log *log, uint64_t record_bytes, unsigned int flags);
/* What log_append() will take for these. */
uint64_t log_items_bytes(const struct log_item *item, size_t n);

/* Returns 0 once every record that begins at or below position is durable; at once when all that
 * was appended is. */
int log_sync(struct log *log, uint64_t position);

/* The same within group_ns, by the log's own task; a failure latches the log. */
void log_sync_later(struct log *log, uint64_t position);

/* Returns 0 once the position's segment is durable up to there, so that the log can be opened
 * from it. What stands in other segments may not be. */
int log_sync_from(struct log *log, uint64_t position);
/* What is appended from now on stands in a segment of its own, which begins at *position, if one
 * was made ahead, nobody has asked for a sync of the present one, and the disk has room; else false, and nothing
 * is changed. An owner who starts anew there, and gives up what is before it once that
 * stands elsewhere, leaves log_sync_from() nothing to write, nor the system. The caller
 * holds off other appends. */
bool log_turn(struct log *log, uint64_t *position);
/* The owner has made durable by itself whatever the records before position say, which is not
 * beyond the log's end: no sync is for their sake any more, and they count as durable. */
void log_supersede(struct log *log, uint64_t position);

/* The record at a position that append or replay gave and whose segment is not retired.
 * With a map, payload points into it and is good until the segment is retired and the
 * owner's readers have left (see log_retire); else it is read into buf. check: verify the
 * CRC. -EBADMSG, with file, offset, wanted and got. */
int log_read(struct log *log, uint64_t position, bool check, struct kv_buf *buf,
	     struct log_record *out, struct kv_msg *why);

/* Checks the CRC of a record that log_read() gave without; false: read it with check, to
 * learn what is wrong. */
bool log_check(const struct log_record *r);

/* Asks the processor for the record's first cache lines. A bad position is harmless. */
void log_prefetch(struct log *log, uint64_t position);

/* Bytes that a record with this much payload takes, its header and padding included. */
static inline uint64_t log_record_bytes(uint64_t payload)
{
	return (LOG_HEADER_BYTES + payload + LOG_ALIGN - 1) & ~(uint64_t)(LOG_ALIGN - 1);
}

uint64_t log_end(struct log *log);   /* position of the next append */
uint64_t log_begin(struct log *log); /* of the oldest segment that is not retired */
uint64_t log_synced(struct log *log);

/* Tells the log that bytes of the record's segment are in use (or no longer: negative).
 * The count is the owner's: the log just keeps it beside the segment. Any thread. */
void log_live(struct log *log, uint64_t position, int64_t bytes);
/* The same for bytes that are of use only while there is an older segment, such as the
 * records of deletes. */
void log_mark(struct log *log, uint64_t position, int64_t bytes);

struct log_segment {
	uint64_t number;     /* first position = number * segment_bytes */
	uint32_t units;      /* numbers that it takes, 1 but for huge records */
	uint64_t begin, end; /* positions; end is what is written of it */
	uint64_t file_bytes; /* on disk */
	uint64_t live;       /* sum of log_live(), never below 0 */
	uint64_t marks;      /* sum of log_mark(), never below 0 */
	bool sealed;         /* no append will come to it any more */
	bool damaged;        /* a scan met bytes that are no record */
};

/* Oldest first; non-zero from fn ends the walk with it. fn may not call the log. */
int log_segments(struct log *log, int (*fn)(void *arg, const struct log_segment *s),
		 void *arg);

/* Every record of a sealed segment in order, groups taken apart, CRC checked. -EBADMSG
 * also when the segment breaks off before its end mark. */
int log_scan(struct log *log, uint64_t number, log_record_fn *fn, void *arg,
	     struct kv_msg *why);

/* Copies the segment as s describes it, up to s->end, into another directory, durable but
 * for its name. The segment must stay until it is done. -EEXIST, or what the files gave. */
int log_copy(struct log *log, const struct log_segment *s, const char *dir);

/*
 * Gives up a sealed segment in two steps, because readers may still hold its map: after
 * log_retire() no walk or scan meets it; log_reclaim() unmaps it and recycles or
 * unlinks its file, once the owner knows that no reader is left (epoch.h). The caller has
 * made durable whatever replaces its records. Retiring: -ENOENT, -EBUSY when it is not
 * sealed. Reclaiming: -ENOENT, or what the files gave; then the file is still there, and
 * log_begin() stays at it.
 */
int log_retire(struct log *log, uint64_t number);
int log_reclaim(struct log *log, uint64_t number);

/* From now on, until it is closed, so many retired files are kept that were synced, and no
 * fewer than the reserve: an owner who gives up many segments at once needs as many again.
 * What is more than that goes. Returns how many files went: there is space for others now. */
unsigned int log_keep_spares(struct log *log, unsigned int spares);
/* One spare file less, also of the reserve: for work on a full disk that gives segments back when
 * it is done. False: there is none, or it can't be removed. */
bool log_yield_spare(struct log *log);

/* For who writes ahead to a log, and reads its records only when it is opened (log_owner.c).
 * The number of the first segment from the position's on that should be there and is not;
 * LOG_NONE: none. */
#define LOG_NONE UINT64_MAX
uint64_t log_missing(struct log *log, uint64_t position);
/* Retires and reclaims the sealed segments before the position's. That one stays, though its
 * end may be all that is needed of it: its absence would be a loss. Nobody reads those that
 * go. What an error leaves, the next call finds. */
int log_give_up_before(struct log *log, uint64_t position);
uint64_t log_file_bytes(struct log *log); /* of all segments on disk */

void log_stats(struct log *log, kv_stat_fn *emit, void *arg); /* names begin with log_ */

#endif /* LOG_H */
