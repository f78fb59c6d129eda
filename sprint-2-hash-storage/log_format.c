/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_format.c - encodes and decodes what log_format.h draws.
 */
#include "log_format.h"

uint32_t log_id(uint64_t store_id, uint64_t number)
{
	/* Numbers are never reused within a store; mixing the store in keeps a file that was
	 * copied from another store from passing. Never 0: zeros are what fresh blocks read as. */
	uint64_t x = (store_id ^ number) * 0x9e3779b97f4a7c15u;
	uint32_t id = (uint32_t)(x >> 32) ^ (uint32_t)number;

	return id ? id : 1;
}

void log_segment_header_encode(const struct log_segment_header *h, uint8_t *p)
{
	memset(p, 0, LOG_SEGMENT_HEADER_BYTES);
	memcpy(p, LOG_MAGIC, 8);
	port_put_le16(p + 8, h->major);
	port_put_le16(p + 10, h->minor);
	port_put_le32(p + 12, h->units);
	port_put_le64(p + 16, h->store_id);
	port_put_le64(p + 24, h->number);
	port_put_le64(p + 32, h->segment_bytes);
	port_put_le64(p + 40, h->incompatible);
	port_put_le32(p + 60, port_crc32c(0, p, 60));
}

int log_segment_header_decode(struct log_segment_header *h, const uint8_t *p,
			      struct kv_msg *why)
{
	if (memcmp(p, LOG_MAGIC, 8))
		return kv_fail(why, -EBADMSG, "not a log segment (no magic number)");
	if (port_get_le32(p + 60) != port_crc32c(0, p, 60))
		return kv_fail(why, -EBADMSG,
			       "segment header damaged: CRC %08x, wanted %08x",
			       port_crc32c(0, p, 60), port_get_le32(p + 60));
	h->major = port_get_le16(p + 8);
	h->minor = port_get_le16(p + 10);
	h->units = port_get_le32(p + 12);
	h->store_id = port_get_le64(p + 16);
	h->number = port_get_le64(p + 24);
	h->segment_bytes = port_get_le64(p + 32);
	h->incompatible = port_get_le64(p + 40);
	if (h->major != LOG_MAJOR || h->incompatible)
		return kv_fail(
			why, -EPROTONOSUPPORT,
			"log format %u.%u with features %llx is newer than this program "
			"reads (%u.x): use a newer one",
			h->major, h->minor, (unsigned long long)h->incompatible,
			LOG_MAJOR);
	return 0;
}

uint32_t log_record_crc(const uint8_t *header, uint32_t payload_crc)
{
	/* EXERCISE 2.5 begin: goes on from the payload's, over bytes 4 to 23
	 *|	return 0;
	 */
	return port_crc32c(payload_crc, header + 4, LOG_HEADER_BYTES - 4);
	/* EXERCISE 2.5 end */
}

void log_record_header_encode(const struct log_record_header *h, uint32_t payload_crc,
			      uint8_t *p)
{
	/* EXERCISE 2.5 begin: the drawing in log_format.h; the CRC last
	 *|	memset(p, 0, LOG_HEADER_BYTES);
	 */
	port_put_le32(p + 4, h->len);
	port_put_le32(p + 8, h->log_id);
	port_put_le32(p + 12, h->unsynced);
	port_put_le64(p + 16, h->sequence | (uint64_t)h->type << 56);
	port_put_le32(p, log_record_crc(p, payload_crc));
	/* EXERCISE 2.5 end */
}

void log_record_header_decode(struct log_record_header *h, const uint8_t *p)
{
	/* EXERCISE 2.5 begin: takes apart, checks nothing
	 *|	memset(h, 0, sizeof(*h));
	 */
	uint64_t sequence_type = port_get_le64(p + 16);

	h->crc = port_get_le32(p);
	h->len = port_get_le32(p + 4);
	h->log_id = port_get_le32(p + 8);
	h->unsynced = port_get_le32(p + 12);
	h->sequence = sequence_type & LOG_SEQUENCE_MAX;
	h->type = (unsigned int)(sequence_type >> 56);
	/* EXERCISE 2.5 end */
}
