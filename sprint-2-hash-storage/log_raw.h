/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_raw.h - the files of a log that nobody has open, read as they are.
 *
 * log.h refuses a log that is damaged. This reads on behind damage: it looks at every
 * multiple of 8 for the next record of the segment that has a good CRC. It reads with
 * read(), never through a map, so that a device that fails costs the blocks it fails at.
 *
 * Memory: one segment file as a whole. Threads: a segment belongs to one at a time.
 */
#ifndef LOG_RAW_H
#define LOG_RAW_H

#include "log_format.h"

struct log_raw {
	uint64_t named; /* the number that the file's name says */
	uint64_t size;
	struct log_segment_header header;
	int header_error; /* of log_segment_header_decode(), or -EBADMSG: too short */
	struct kv_msg header_why;
	uint8_t *data; /* NULL unless loaded; what could not be read is zero */
	/* Bytes in blocks that could not be read, and where the first is. */
	uint64_t unreadable, unreadable_at;
};

enum log_raw_kind {
	LOG_RAW_RECORD, /* whole and good; a group is one */
	LOG_RAW_END,    /* the end mark */
	LOG_RAW_BAD,    /* bytes that hold no record, and more of the log behind them */
	LOG_RAW_TORN,   /* the same, and nothing good behind them but what looks like a
			 * record of this segment */
	LOG_RAW_REST,   /* not in use, up to the end of the file */
};

struct log_raw_piece { /* of a segment; they follow each other without gaps */
	enum log_raw_kind kind;
	uint64_t offset, bytes;
	uint64_t position;
	struct log_record record; /* RECORD, END */
	uint64_t synced;          /* RECORD, END: everything below was durable then */
	bool padding;             /* RECORD: bytes of its padding are not zero */
	struct kv_msg why;        /* BAD, TORN, REST: what stands at offset */
};

typedef int log_raw_fn(void *arg, const struct log_raw_piece *p);

/* "000000000001.log" to 1; false when the name is of another kind. */
bool log_raw_number(const char *name, uint64_t *number);
/* The other way round, into 32 bytes. */
void log_raw_name(char *name, uint64_t number);

/* The header and the size of dir's segment file of that name. -ENOENT, -EIO, ... */
int log_raw_open(struct env *env, const char *dir, uint64_t named, struct log_raw *out);
/* All of it, too. */
int log_raw_load(struct env *env, const char *dir, uint64_t named, struct log_raw *out);
void log_raw_free(struct log_raw *s);

/* Every piece behind the header, of a segment with this number of this store's; non-zero
 * from fn ends the walk with it. Loaded. */
int log_raw_walk(const struct log_raw *s, uint64_t store_id, uint64_t number,
		 uint64_t segment_bytes, log_raw_fn *fn, void *arg);
/* The record at one offset, which may be in a group. -ENODATA and why when none is there. */
int log_raw_at(const struct log_raw *s, uint64_t store_id, uint64_t number,
	       uint64_t segment_bytes, uint64_t offset, struct log_raw_piece *out);
/* fn for the record, or for each of a group. */
int log_raw_each(const struct log_record *r, log_record_fn *fn, void *arg);

#endif /* LOG_RAW_H */
