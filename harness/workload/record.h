/* SPDX-License-Identifier: MIT */
/*
 * record.h - the bytes of keys and values, all a function of (workload, keynum, version).
 *
 * Key: "user" + decimal of YCSB's FNV hash of keynum (or keynum itself), zero-padded.
 * Value: with one field its bytes alone, with more each field as le32 length + bytes, so
 * that an update of one field is a read, a change and a write, as in YCSB's bindings of
 * key-value stores. Each byte carries 6 random bits, so values compress to 0.75, where
 * YCSB's own reach 0.67 to 0.79 depending on the compressor.
 * version is 0 for the load and a different number for each later write, so that a lost
 * update shows in the final content.
 */
#ifndef RECORD_H
#define RECORD_H

#include "workload.h"

enum { RECORD_KEY_MAX = 64 + 256 };

/* Writes the key, returns its length. key has room for RECORD_KEY_MAX bytes, of which those
 * behind the key may be written too. */
size_t record_key(const struct workload *w, uint64_t keynum, char *key);
/* A key of the same length that no load or insert of any workload makes: keynum's own with
 * a letter as its last digit, so that it falls among the present ones and no store can turn
 * it away by range alone. */
size_t record_missing_key(const struct workload *w, uint64_t keynum, char *key);

/* The whole record; out is replaced. -ENOMEM. */
int record_value(const struct workload *w, uint64_t keynum, uint64_t version,
		 struct kv_buf *out);
/* The same where each of the field_count fields was last written by another version. */
int record_value_of_versions(const struct workload *w, uint64_t keynum,
			     const uint64_t *version, struct kv_buf *out);
/* Replaces one field in *record (read from the store before). -EBADMSG if it is no record. */
int record_update_field(const struct workload *w, uint64_t keynum, uint64_t version,
			uint32_t field, struct kv_buf *record);
/* Reads every byte of the value (or, unless read_all_fields, of one field) and returns a
 * sum of them, which the caller keeps alive: a read that is not looked at is no read.
 * With data_integrity compares with what YCSB expects: -EBADMSG when it differs. */
int record_touch(const struct workload *w, uint64_t keynum, uint32_t field,
		 struct kv_slice value, uint64_t *sum);

/* The sum alone, for a record whose keynum is not known (one met by a scan). */
uint64_t record_sum(struct kv_slice value);

/* Order-independent digest of a set of pairs: add (mod 2^64) one of these per pair. */
uint64_t record_digest(struct kv_slice key, struct kv_slice value);

#endif /* RECORD_H */
