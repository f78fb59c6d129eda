/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst.h - sorted string tables: files of entries in order, written once, then only read.
 *
 *   sst_format.c   the parts that a table is made of: block trailers, properties, the footer
 *   sst_block.c    one block: entries with delta-encoded keys and restart points
 *   sst_lz4.c      compression of blocks
 *   sst_tally.c    the sums that the properties and the manifest have
 *   sst_builder.c  writes a table, entry by entry
 *   sst_table.c    opens one
 *   sst_read.c     its blocks in memory; get
 *   sst_cursor.c   cursor over one, with readahead
 *   sst_verify.c   reads and checks every byte; sst_dump.c shows it as text
 *
 *	data blocks | filter partitions | index partitions | tombstones | properties |
 *	top index | footer
 *
 * Each block ends with its compression and a CRC32C. The index is two-level: a partition names
 * data blocks, the top index names partitions of index and filter, so that a large table pins
 * little (RocksDB's partitioned index; Pebble). The footer, of fixed size, has magic, version,
 * where the top index and the properties are, and a CRC; the footer's CRC stands in the
 * manifest as well, so a table in another's place is found out. Layout: docs/FORMATS.md.
 *
 * Threads: a builder belongs to one; a table may be read from any number.
 */
#ifndef SST_H
#define SST_H

#include "../sprint-2-hash-storage/env.h"
#include "lsm_cache.h"
#include "lsm_tombstones.h"

enum sst_compression { SST_PLAIN = 0, SST_LZ4 = 1 };

struct sst_shape {                 /* how a table is written; it says itself how it was */
	uint32_t block_bytes;      /* of a data block before compression, about */
	uint32_t partition_bytes;  /* of an index partition, about */
	uint16_t restart_interval; /* entries from restart point to restart point */
	uint8_t filter_bits;       /* a key; 0: no filter */
	uint8_t compression;       /* enum sst_compression */
};

struct sst_blob_use { /* bytes of a blob file that entries of the table refer to */
	uint64_t file, bytes;
};

/* What the manifest keeps of a table. The slices and the array belong to whoever holds it. */
struct sst_summary {
	uint64_t bytes; /* of the file */
	uint64_t entries, deletes, tombstones;
	uint64_t key_bytes, value_bytes; /* raw, of all entries */
	uint64_t min_sequence, max_sequence;
	struct kv_buf smallest, largest; /* keys, tombstones' ranges included; */
	bool largest_open;     /* ... a tombstone reaches to the end of all keys */
	bool largest_excluded; /* ... largest is a tombstone's end: it is not in the table */
	uint32_t footer_crc;
	struct sst_blob_use *blob;
	size_t blobs;
};
void sst_summary_free(struct sst_summary *s);
/* -ENOMEM leaves *to as {0}. */
int sst_summary_copy(struct sst_summary *to, const struct sst_summary *from);

/* ---- writing ---- */

struct sst_builder;

struct sst_builder_config {
	struct env *env;
	const char *path; /* must not exist */
	uint64_t file;    /* its number: stands in the table, and is checked on opening */
	uint64_t store_id;
	struct sst_shape shape;
	/* Called before each write with its bytes: a rate limiter's place to sleep, and to say
	 * by non-zero that the work is to end. May be NULL. */
	int (*pace)(void *arg, uint64_t bytes);
	void *pace_arg;
	size_t buffer_bytes; /* that are written at once, about; 0: 256 KiB */
};

int sst_builder_new(const struct sst_builder_config *c, struct sst_builder **out,
		    struct kv_msg *why);
/* In order; -EINVAL when not. An LSM_BLOB entry's value is counted to its blob file. hash:
 * lsm_key_hash() of key. After an error the builder is good for sst_builder_abandon() only. */
int sst_builder_add(struct sst_builder *b, struct kv_slice key, uint64_t hash,
		    uint64_t stamp, struct kv_slice value, struct kv_msg *why);
/* In any order between the entries. */
int sst_builder_delete_range(struct sst_builder *b, const struct lsm_tombstone *t);
uint64_t
sst_builder_bytes(const struct sst_builder *b); /* as the file would be now, about */
/* Writes what is left and syncs the file; its name is the caller's to make durable. Frees b,
 * also on error, when the file is removed. */
int sst_builder_finish(struct sst_builder *b, struct sst_summary *out,
		       struct kv_msg *why);
void sst_builder_abandon(struct sst_builder *b); /* removes the file; NULL is fine */

/* ---- reading ---- */

struct sst;

enum sst_access {
	SST_READ, /* through the block cache */
	SST_MAP,  /* in a map of the file */
	SST_DIRECT, /* as SST_READ, and a block that is read alone comes from the device, past
		     * the system's cache; scans, merges and tools read as ever */
};

struct sst_config {
	struct env *env;
	struct lsm_cache *cache; /* NULL: each block is read when it is wanted (tools) */
	enum sst_access access; /* SST_MAP falls back to SST_READ where it can't be had */
	uint64_t store_id;
};

/* expect: what the manifest says of it: number, bytes and footer_crc are compared; NULL: a
 * table of which nothing is known (tools): store, number and size are what it says. -EBADMSG
 * with why; -EPROTONOSUPPORT, -EOPNOTSUPP (LZ4 is not built in). */
struct sst_expect {
	uint64_t bytes;
	uint32_t footer_crc;
};
int sst_open(const struct sst_config *c, const char *path, uint64_t file,
	     const struct sst_expect *expect, struct sst **out, struct kv_msg *why);
void sst_close(struct sst *t); /* no cursor or reader is left */

/* The newest version of key at or before sequence. 0: *stamp is set, and value for LSM_PUT and
 * LSM_BLOB; -ENOENT: the table has none; -EBADMSG, with why. Tombstones are not looked at. */
int sst_get(struct sst *t, struct kv_slice key, uint64_t hash, uint64_t sequence,
	    uint64_t *stamp, struct kv_buf *value, struct kv_msg *why);
/* Could it have the key? By the filter alone, and only if that is in memory. */
bool sst_may_have(struct sst *t, uint64_t hash, struct kv_slice key);

/* Reads that a get would make, so that those of several can run side by side: the next block
 * that get(key) needs and memory does not have. False: none. After file_read (by
 * env->read_many()) sst_want_done() checks it and puts it into the cache; then ask again, at
 * most SST_WANTS times, since a block may be bad, or go from the cache before it is used. */
enum { SST_WANTS = 3 }; /* filter, index, data */
struct sst_want {
	struct file_read read;
	struct sst *table;
	uint64_t offset;
	struct lsm_block block;
	bool index; /* not a data block */
};
bool sst_want(struct sst *t, struct kv_slice key, uint64_t hash, struct sst_want *w);
void sst_want_done(struct sst_want *w);

enum sst_cursor_flags {
	SST_COLD = 1 << 0,      /* blocks come into the cache cold, or not at all */
	SST_READAHEAD = 1 << 1, /* from the first block on, not from the third in a row */
	SST_WINDOW =
		8, /* flags from this bit on: KiB that are read ahead at most; 0: 256 */
};
int sst_cursor(struct sst *t, unsigned int flags, struct lsm_cursor **out,
	       struct kv_msg *why);
/* Why the last move of a table's cursor gave -EBADMSG or -EIO; NULL when it did not. */
const struct kv_msg *sst_cursor_why(const struct lsm_cursor *c);

/* Fragments of the table's range tombstones, NULL for none; good while the table is open. */
const struct lsm_tombstones *sst_tombstones(const struct sst *t);
uint64_t sst_pinned_bytes(const struct sst *t); /* memory that is held while it is open */
uint64_t sst_file(const struct sst *t);

/* Reads every byte, and checks every CRC, the order, that each key is in its filter, that the
 * properties are right. summary, unless NULL, is filled from what was read. */
int sst_verify(struct sst *t, struct sst_summary *summary, struct kv_msg *why);

/* The whole of it as text, a line a block and, with entries, a line an entry. */
int sst_dump(struct sst *t, bool entries, int (*line)(void *arg, const char *text),
	     void *arg, struct kv_msg *why);

#endif /* SST_H */
