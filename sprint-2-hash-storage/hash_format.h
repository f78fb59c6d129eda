/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_format.h - the bytes of STORE and INDEX, for who writes them, who reads them, and who
 * checks them. docs/FORMATS.md draws them as tables.
 *
 * STORE, 64 bytes, little-endian:
 *
 *   0   8  "KVHASHST"          24  8  seed of the hashes
 *   8   2  major, 10 2 minor   32  8  segment bytes
 *   12  4  hash function:      40  8  incompatible feature flags
 *          0 xxh3 1 xxh64      48  12 zero
 *          2 crc32c 3 fnv1a    60  4  CRC32C of bytes 0..59
 *   16  8  id
 *
 * INDEX:
 *
 *   0    8  "KVHASHIX"         40  8  segments in the list
 *   8    2  major, 10 2 minor  48  8  entries, about
 *   12   4  leaf entries       56  8  keys, about
 *   16   8  store id           64  8  live bytes, about
 *   24   8  position           72  4  collision strategy, and layout << 8
 *   32   8  segment bytes      76  48 zero
 *                              124 4  CRC32C of bytes 0..123
 *   128     the list: number, live bytes, bytes of deletes (8 each), ascending; CRC32C (4),
 *           zero (4)
 *           blocks: entries in it (4), number of the block (4), CRC32C of these and of
 *           the entries (4), zero (4); then entries: hash, address (8 each)
 *           the last block has no entries
 */
#ifndef HASH_FORMAT_H
#define HASH_FORMAT_H

#include "../sprint-1-core-memory/kv.h"

#define HASH_IDENTITY_MAGIC "KVHASHST"
#define HASH_INDEX_MAGIC    "KVHASHIX"

enum {
	HASH_IDENTITY_BYTES = 64,
	HASH_IDENTITY_MAJOR = 1,
	HASH_IDENTITY_MINOR = 0,
	HASH_FUNCTIONS = 4,          /* numbers below it are known */
	HASH_SEGMENT_MIN = 64 << 10, /* bytes; powers of two */
	HASH_SEGMENT_MAX = 1 << 30,

	HASH_INDEX_MAJOR = 1,
	HASH_INDEX_MINOR = 0,
	HASH_INDEX_HEADER_BYTES = 128,
	HASH_INDEX_SEGMENT_BYTES = 24, /* of the list */
	HASH_INDEX_SEGMENTS_MAX = 1 << 24,
	HASH_INDEX_LIST_TAIL_BYTES = 8,
	HASH_INDEX_BLOCK_HEADER_BYTES = 16,
	HASH_INDEX_ENTRY_BYTES = 16,
	HASH_INDEX_BLOCK_MAX = 1 << 20, /* entries; a leaf has fewer */
};

struct hash_identity {
	uint16_t major, minor;
	uint32_t function;
	uint64_t id, seed, segment_bytes;
};

void hash_identity_encode(const struct hash_identity *i, uint8_t *p);
/* -EBADMSG, or -EPROTONOSUPPORT when from a newer version; why without the file's name. */
int hash_identity_decode(struct hash_identity *i, const uint8_t *p, size_t len,
			 struct kv_msg *why);

struct hash_index_header {
	uint16_t major, minor;
	uint32_t leaf, table;
	uint64_t store_id, position, segment_bytes, segments, entries, keys, live_bytes;
};

void hash_index_header_encode(const struct hash_index_header *h, uint8_t *p);
/* NULL, or what is wrong with it. */
const char *hash_index_header_decode(struct hash_index_header *h, const uint8_t *p);

/* Of a block, by its header and its entries. */
uint32_t hash_index_block_crc(const uint8_t *block, size_t entries);

#endif /* HASH_FORMAT_H */
