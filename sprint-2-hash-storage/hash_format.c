/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_format.c - encodes and decodes what hash_format.h draws.
 */
#include "hash_format.h"

enum { MAGIC_BYTES = 8 };

void hash_identity_encode(const struct hash_identity *i, uint8_t *p)
{
	memset(p, 0, HASH_IDENTITY_BYTES);
	memcpy(p, HASH_IDENTITY_MAGIC, MAGIC_BYTES);
	port_put_le16(p + 8, i->major);
	port_put_le16(p + 10, i->minor);
	port_put_le32(p + 12, i->function);
	port_put_le64(p + 16, i->id);
	port_put_le64(p + 24, i->seed);
	port_put_le64(p + 32, i->segment_bytes);
	port_put_le32(p + 60, port_crc32c(0, p, 60));
}

int hash_identity_decode(struct hash_identity *i, const uint8_t *p, size_t len,
			 struct kv_msg *why)
{
	if (len != HASH_IDENTITY_BYTES || memcmp(p, HASH_IDENTITY_MAGIC, MAGIC_BYTES))
		return kv_fail(why, -EBADMSG, "not a hash store's");
	if (port_get_le32(p + 60) != port_crc32c(0, p, 60))
		return kv_fail(why, -EBADMSG,
			       "CRC %08x, wanted %08x: restore a backup, or salvage",
			       port_crc32c(0, p, 60), port_get_le32(p + 60));
	i->major = port_get_le16(p + 8);
	i->minor = port_get_le16(p + 10);
	i->function = port_get_le32(p + 12);
	i->id = port_get_le64(p + 16);
	i->seed = port_get_le64(p + 24);
	i->segment_bytes = port_get_le64(p + 32);
	if (i->major != HASH_IDENTITY_MAJOR || port_get_le64(p + 40) ||
	    i->function >= HASH_FUNCTIONS)
		return kv_fail(why, -EPROTONOSUPPORT,
			       "format %u.%u with features %llx is newer than this "
			       "program reads (%u.x): use a newer one",
			       i->major, i->minor,
			       (unsigned long long)port_get_le64(p + 40),
			       HASH_IDENTITY_MAJOR);
	if (i->segment_bytes < HASH_SEGMENT_MIN || i->segment_bytes > HASH_SEGMENT_MAX ||
	    i->segment_bytes & (i->segment_bytes - 1))
		return kv_fail(why, -EBADMSG,
			       "segments of %llu bytes cannot be: restore a backup, or "
			       "salvage",
			       (unsigned long long)i->segment_bytes);
	return 0;
}

void hash_index_header_encode(const struct hash_index_header *h, uint8_t *p)
{
	memset(p, 0, HASH_INDEX_HEADER_BYTES);
	memcpy(p, HASH_INDEX_MAGIC, MAGIC_BYTES);
	port_put_le16(p + 8, h->major);
	port_put_le16(p + 10, h->minor);
	port_put_le32(p + 12, h->leaf);
	port_put_le64(p + 16, h->store_id);
	port_put_le64(p + 24, h->position);
	port_put_le64(p + 32, h->segment_bytes);
	port_put_le64(p + 40, h->segments);
	port_put_le64(p + 48, h->entries);
	port_put_le64(p + 56, h->keys);
	port_put_le64(p + 64, h->live_bytes);
	port_put_le32(p + 72, h->table);
	port_put_le32(p + 124, port_crc32c(0, p, 124));
}

const char *hash_index_header_decode(struct hash_index_header *h, const uint8_t *p)
{
	if (memcmp(p, HASH_INDEX_MAGIC, MAGIC_BYTES) ||
	    port_get_le32(p + 124) != port_crc32c(0, p, 124))
		return "header damaged";
	h->major = port_get_le16(p + 8);
	h->minor = port_get_le16(p + 10);
	h->leaf = port_get_le32(p + 12);
	h->store_id = port_get_le64(p + 16);
	h->position = port_get_le64(p + 24);
	h->segment_bytes = port_get_le64(p + 32);
	h->segments = port_get_le64(p + 40);
	h->entries = port_get_le64(p + 48);
	h->keys = port_get_le64(p + 56);
	h->live_bytes = port_get_le64(p + 64);
	h->table = port_get_le32(p + 72);
	if (h->major != HASH_INDEX_MAJOR)
		return "of another format";
	return h->segments > HASH_INDEX_SEGMENTS_MAX ? "header damaged" : NULL;
}

uint32_t hash_index_block_crc(const uint8_t *block, size_t entries)
{
	return port_crc32c(port_crc32c(0, block, 8),
			   block + HASH_INDEX_BLOCK_HEADER_BYTES,
			   entries * HASH_INDEX_ENTRY_BYTES);
}
