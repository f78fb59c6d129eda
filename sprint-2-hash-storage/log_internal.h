/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_internal.h - what the log's files share: struct log and its segments.
 *
 * log_segment.c  segment files: made, recycled, opened, mapped, found by number
 * log_recover.c  reading a log from disk: torn tails told from corruption
 * log_room.c     where the room for an append comes from; the task that works ahead
 * log_raw.c      the files of a log that nobody has open, also behind damage
 * log_read.c     records by position, walks over segments, giving them up
 * log_owner.c    what those who write ahead to a log do with its segments
 * log.c          append, group commit, open and close
 */
#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "log_format.h"

struct log_segment_file {
	/* constant after it is published */
	uint64_t number;
	uint32_t units; /* numbers that it takes: more than 1 for one huge record */
	uint64_t bytes; /* of the file: at most units * segment_bytes */
	struct file *file;
	uint8_t *map; /* NULL when the home cannot map */
	uint32_t log_id;

	/* atomic: what the owner counts by log_live(), log_mark(). Not in the cache line that
	 * every reader of a record needs. */
	_Alignas(64) int64_t live;
	int64_t marks;

	/* protected by log->lock */
	uint64_t
		end; /* offset behind the last record; the file's size where nobody looked */
	struct log_segment_file *next_ready;
	bool sealed, retired;
	bool synced; /* at least once, whatever came later; the leader's while it syncs */
	bool unread; /* opened and not replayed: the end mark is yet to be met */
	bool damaged; /* a scan found it so */
};

/* Segments by number: two levels, so that readers need no lock and nothing moves. Numbers
 * grow for ever and the table is gone through in a circle: between the lowest and the
 * highest that is there are less than LOG_ROOT * LOG_LEAF. */
enum { LOG_LEAF_BITS = 10, LOG_LEAF = 1 << LOG_LEAF_BITS, LOG_ROOT = 1 << 14 };

struct log_leaf {
	struct log_segment_file *segment[LOG_LEAF];
};

struct log {
	/* constant after open */
	struct log_config config;
	char dir[ENV_PATH_MAX];
	struct env_cond *wake;       /* a segment is wanted, made, given back; closing */
	struct env_cond *group_done; /* a sync has ended: the task sleeps on */
	struct env_cond *group_full; /* all have come for whom the leader waits */
	unsigned int shift;          /* segment_bytes = 1 << shift */

	/* atomic: stored under lock, loaded without */
	struct log_leaf *root[LOG_ROOT];
	uint64_t end;    /* position of the next append */
	uint64_t synced; /* every record that begins below it is durable */
	int failed;      /* 0, or the latched error */

	struct port_mutex lock;
	/* protected by lock */
	struct log_segment_file *current; /* appended to; NULL before the first append */
	/* Made ahead by the background task, the lowest number first; how many there are, and how
	 * many there should be: one, and more where appends have outrun the device. */
	struct log_segment_file *ready;
	unsigned int readies, ahead;
	bool stray; /* a file may have the number `next` that is none of these */
	struct env_task *task;
	bool closing;
	uint64_t group_position; /* the task syncs up to here ... */
	uint64_t group_due_ns;   /* ... at this time; 0: nothing to do */
	int prepare_error;       /* why ready is NULL: told to the append that needs it */
	unsigned int prepare_urgency; /* of the last try */
	uint64_t first, next;         /* lowest live number, first number never used */
	uint64_t kept;       /* lowest whose file could not be given up: first stays */
	uint64_t spare_next; /* spare files are named by it */
	unsigned int spares; /* spare files in dir */
	unsigned int
		spares_kept;  /* at most so many: config.spares, or as the owner says */
	bool syncing;         /* a leader is at it */
	bool gathering;       /* ... and waits for others to come first */
	uint64_t syncing_to;  /* all before it is in the group that is being synced */
	unsigned int asking;  /* who waits for a sync that has not yet begun ... */
	unsigned int served;  /* ... and how many the last one was for */
	unsigned int wanted;  /* so many may ask for the next */
	uint64_t sync_ns;     /* how long the last one took */
	bool preparing;       /* the next segment is asked for or being made */
	bool spares_busy;     /* files with spares' names are being made */
	bool told_end;        /* that positions are used up */
	unsigned int urgency; /* of those who ask: LOG_URGENT and LOG_LAST */
	bool on_reserve;      /* a segment came from it, and it is not full again */
	bool on_last;         /* the same of what is kept for LOG_LAST */
	bool reserve_short;   /* try to fill the reserve up */
	int reserve_error;    /* of the last try */
	uint64_t syncs_seen;  /* stat_syncs when a segment was last made */
	uint64_t stat_appends, stat_bytes, stat_syncs, stat_groups, stat_sync_ns,
		stat_segments_new, stat_segments_recycled, stat_waits;
	struct kv_buf gather; /* one record, where appends are written and not mapped */
};

/* ---- log_segment.c ---- */

static inline uint64_t log_first_position(const struct log *log, uint64_t number)
{
	return (number << log->shift) + LOG_SEGMENT_HEADER_BYTES;
}

static inline uint64_t log_offset(const struct log *log, const struct log_segment_file *s,
				  uint64_t position)
{
	return position - (s->number << log->shift);
}

/* No position of these numbers is beyond the log's. */
static inline bool log_numbers_fit(const struct log *log, uint64_t number, uint64_t units)
{
	uint64_t end = log->config.position_max >> log->shift;

	return number < end && units <= end - number;
}

/* The segment that has this number among its own, NULL when there is none; no lock needed. */
struct log_segment_file *log_segment_find(struct log *log, uint64_t number);
/* Under the lock: under all its numbers, or none. */
int log_segment_publish(struct log *log, struct log_segment_file *s);
void log_segment_unpublish(struct log *log, const struct log_segment_file *s);

/* A spare file more, with its blocks; durable when it becomes a segment. */
int log_spare_create(struct log *log);
/* Removes the newest spare file. */
int log_spare_remove(struct log *log);
/* Makes segment `number`, durable with its name, from the newest spare file or a new one. */
int log_segment_create(struct log *log, uint64_t number, uint64_t bytes, bool spare,
		       struct log_segment_file **out);
/* Opens a file that is there and checks its header. */
int log_segment_open(struct log *log, uint64_t number, struct log_segment_file **out,
		     struct kv_msg *why);
void log_segment_close(struct log_segment_file *s); /* unmaps, closes, frees */

/* Removes the file, or renames it to a spare for recycling. */
int log_segment_discard(struct log *log, uint64_t number, bool keep_as_spare);

int log_segment_path(const struct log *log, uint64_t number, char *path);

/* Bytes at an offset: in the map, or read into buf. */
int log_segment_bytes(struct log_segment_file *s, uint64_t offset, size_t len,
		      struct kv_buf *buf, const uint8_t **out);

/* Marks the segment's end at s->end; not synced. unsynced: as in a record's header. */
int log_segment_end(struct log_segment_file *s, uint32_t unsynced);

/* "000000000001.log" to 1, by its suffix; false when the name is of another kind. */
bool log_parse_name(const char *name, const char *suffix, uint64_t *number);

/* The names in dir: fills sorted numbers (allocated, the caller frees) and counts spares. */
int log_directory(struct log *log, uint64_t **number, size_t *n);

/* ---- log.c, log_room.c: all under the lock ---- */

/* The position behind the segment's last record. */
static inline uint64_t log_tail(const struct log *log, const struct log_segment_file *s)
{
	return (s->number << log->shift) + s->end;
}

/* For a record's header: how far back the log is durable, as seen from a position. */
static inline uint32_t log_unsynced(const struct log *log, uint64_t position)
{
	uint64_t back = (position - log->synced) / LOG_ALIGN;

	return back < UINT32_MAX ? (uint32_t)back : UINT32_MAX;
}

/* Whether a record of so many bytes has a place in the current segment, for an append with
 * these flags; and waiting, unless LOG_NOWAIT, until it has. */
bool log_has_room(const struct log *log, uint64_t need, unsigned int flags);
int log_make_room(struct log *log, uint64_t need, unsigned int flags);

/* Removes spare files until there are no more than that; returns how many. Gives the lock up
 * meanwhile. */
unsigned int log_drop_spares(struct log *log, unsigned int most);

/* Makes away with the segments made ahead; nothing was ever written to them. */
int log_discard_ready(struct log *log);

/* Ends the segment that is appended to; what is written of it stays to be synced. */
int log_seal_current(struct log *log);

/* log_sync() for one who has the lock, which is given up while the device works. */
int log_sync_locked(struct log *log, uint64_t position);

/* The log's background task; arg is the log. */
void log_task(void *arg);

/* ---- log_recover.c ---- */

/* One record at offset of s, whole and checked: 0; -ENODATA where bytes that are no record
 * stand (zeros, another segment's, a bad CRC): *why says which; or an I/O error. */
int log_record_at(struct log *log, struct log_segment_file *s, uint64_t offset,
		  struct kv_buf *buf, struct log_record *out, uint64_t *synced,
		  struct kv_msg *why);

/* fn for the record, or for each of a group. */
int log_each_record(const struct log_record *r, log_record_fn *fn, void *arg);

int log_recover(struct log *log, uint64_t from, log_record_fn *replay, void *arg,
		struct log_recovery *found, struct kv_msg *why);

#endif /* LOG_INTERNAL_H */
