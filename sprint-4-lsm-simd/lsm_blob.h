/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_blob.h - blob files: large values apart from their keys, written once, then only read.
 *
 * Compaction moves keys again and again, and it need not move large values with them (Lu et
 * al., "WiscKey", 2016). A flush writes values above a threshold into a blob file, and into the
 * table a reference. How much of a blob file is still referred to is the sum over the tables of
 * a version (struct sst_blob_use); when less than a limit, compactions that come across its
 * values write them anew, and a file that no table refers to is deleted. There is no collection
 * apart from compaction, and nothing is ever changed in place (RocksDB's BlobDB, HSE).
 *
 * A record is a header {crc, key length, value length}, the key, the value: the key so that a
 * misplaced read is noticed, and so that values can be saved from a damaged store.
 */
#ifndef LSM_BLOB_H
#define LSM_BLOB_H

#include "../sprint-2-hash-storage/env.h"
#include "lsm_entry.h"

enum { LSM_BLOB_REF_BYTES = 24 };

struct lsm_blob_ref {          /* the value of an LSM_BLOB entry, packed little-endian */
	uint64_t file, offset; /* of the record */
	uint32_t value_bytes;
	uint32_t crc; /* of the record */
};

void lsm_blob_ref_put(uint8_t out[LSM_BLOB_REF_BYTES], const struct lsm_blob_ref *ref);
/* -EBADMSG when it is none. */
int lsm_blob_ref_get(struct kv_slice value, struct lsm_blob_ref *out);
/* Bytes of the record, with its header and key: what live bytes are counted in, here and in struct
 * sst_blob_use. */
uint64_t lsm_blob_record_bytes(size_t key_bytes, size_t value_bytes);

struct lsm_blob_builder;

struct lsm_blob_builder_config {
	struct env *env;
	const char *path;
	uint64_t file, store_id;
	int (*pace)(void *arg, uint64_t bytes); /* as sst_builder_config's */
	void *pace_arg;
	size_t buffer_bytes; /* likewise */
};

struct lsm_blob_summary {      /* what the manifest keeps of a blob file */
	uint64_t bytes;        /* of the file */
	uint64_t record_bytes; /* the sum of lsm_blob_record_bytes() */
	uint64_t records;
};

int lsm_blob_builder_new(const struct lsm_blob_builder_config *c,
			 struct lsm_blob_builder **out, struct kv_msg *why);
int lsm_blob_builder_add(struct lsm_blob_builder *b, struct kv_slice key,
			 struct kv_slice value, struct lsm_blob_ref *ref,
			 struct kv_msg *why);
uint64_t lsm_blob_builder_bytes(const struct lsm_blob_builder *b);
/* Syncs; frees b, also on error, when the file is removed. */
int lsm_blob_builder_finish(struct lsm_blob_builder *b, struct lsm_blob_summary *out,
			    struct kv_msg *why);
void lsm_blob_builder_abandon(struct lsm_blob_builder *b);

struct lsm_blob;

/* Whose the file is, as its header says: for tools that find one alone. */
int lsm_blob_identify(struct env *env, const char *path, uint64_t *file,
		      uint64_t *store_id, struct kv_msg *why);

/* expect NULL: nothing is known of it (tools). map: through a map where it can be had. */
int lsm_blob_open(struct env *env, const char *path, uint64_t file, uint64_t store_id,
		  const struct lsm_blob_summary *expect, bool map, struct lsm_blob **out,
		  struct kv_msg *why);
void lsm_blob_close(struct lsm_blob *b);

/* Any thread. Checks the record's CRC, its key and what ref says of it. -EBADMSG, with why. */
int lsm_blob_read(struct lsm_blob *b, const struct lsm_blob_ref *ref, struct kv_slice key,
		  struct kv_buf *value, struct kv_msg *why);
/* The read that lsm_blob_read() would make, for env->read_many(); then _finish() in its place. */
void lsm_blob_read_begin(struct lsm_blob *b, const struct lsm_blob_ref *ref,
			 size_t key_bytes, void *buffer, struct file_read *out);
int lsm_blob_read_finish(struct lsm_blob *b, const struct lsm_blob_ref *ref,
			 struct kv_slice key, const struct file_read *r,
			 struct kv_buf *value, struct kv_msg *why);

/* Every record in order, CRC checked: verify, salvage, dump. */
typedef int lsm_blob_fn(void *arg, uint64_t offset, struct kv_slice key,
			struct kv_slice value);
int lsm_blob_scan(struct lsm_blob *b, lsm_blob_fn *fn, void *arg, struct kv_msg *why);

#endif /* LSM_BLOB_H */
