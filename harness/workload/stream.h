/* SPDX-License-Identifier: MIT */
/*
 * stream.h - the operations of one thread, a pure function of (workload, seed, thread,
 * threads): every engine replays the identical stream, whatever its speed.
 *
 * With one thread the stream is YCSB's. With more, each thread has its own random
 * sequence and inserts every threads-th new keynum (base + thread, base + thread +
 * threads, ...), so that no stream depends on how threads interleave; a thread asks for
 * what was loaded and what it inserted itself, and "latest" is the latest of these.
 *
 * The stream has no end: who uses it counts. A stream belongs to one thread; w is not
 * needed after the open.
 */
#ifndef STREAM_H
#define STREAM_H

#include "workload.h"

struct op {
	uint64_t keynum;
	uint32_t scan_length; /* OP_SCAN only */
	uint16_t field;       /* the field to read or write unless all are */
	uint8_t kind;         /* enum op_kind */
};

struct stream;

/* w is checked. -EINVAL unless thread < threads, -ENOMEM. */
int stream_open(const struct workload *w, uint64_t seed, uint32_t thread,
		uint32_t threads, struct stream **out);
void stream_close(struct stream *s); /* NULL is allowed */
void stream_next(struct stream *s, struct op *op);

/* The load phase of one thread: keynums in load order, a contiguous share of
 * [insert_start, insert_start + insert_count), sorted by key if the workload says so.
 * load_stream_next() returns false after the last. A sorted load takes 16 bytes a record
 * until closed, unless the keys are ordered by number. */
struct load_stream;
int load_stream_open(const struct workload *w, uint32_t thread, uint32_t threads,
		     struct load_stream **out);
bool load_stream_next(struct load_stream *s, uint64_t *keynum);
void load_stream_close(struct load_stream *s);

enum { STREAM_DIGEST_OPS = 65536 };
/* XXH64 over the workload's properties, seed, threads, and the first STREAM_DIGEST_OPS
 * operations of each thread: equal digests, equal work. */
int stream_digest(const struct workload *w, uint64_t seed, uint32_t threads,
		  uint64_t *out);

#endif /* STREAM_H */
