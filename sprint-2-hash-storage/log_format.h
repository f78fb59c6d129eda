/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_format.h - the bytes of a log: segment header, record header.
 *
 * Little-endian. A segment file:
 *
 *   offset size
 *   0      8    magic "KVLOGSEG"
 *   8      2    major version: another one is refused
 *   10     2    minor version: a newer one is read
 *   12     4    units: how many segment sizes the file covers (1, more for one huge record)
 *   16     8    store id
 *   24     8    segment number
 *   32     8    segment size in bytes
 *   40     8    incompatible feature flags: an unknown one is refused
 *   48     12   zero
 *   60     4    CRC32C of bytes 0..59
 *   64          records, each at a multiple of 8
 *
 * A record:
 *
 *   0      4    CRC32C of the payload, then of bytes 4..23
 *   4      4    payload bytes
 *   8      4    log id: of this store and segment number, so that what a recycled file
 *               held before cannot be taken for new
 *   12     4    unsynced: how far back, in units of 8 bytes, the log was durable when this
 *               was written (2^32 - 1: that far or farther)
 *   16     8    sequence (56 bits), type (8 bits, the highest)
 *   24          payload, then zeros up to a multiple of 8
 */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include "log.h"

#define LOG_MAGIC "KVLOGSEG"

enum {
	LOG_MAJOR = 1,
	LOG_MINOR = 0,
	LOG_SEGMENT_HEADER_BYTES = 64,
	LOG_TYPE_GROUP = 254, /* payload: whole records, which stand or fall together */
	LOG_TYPE_END = 255,   /* the segment ends here: go on with the next. Room for it
			       * is always kept, so a segment without it was torn or cut */
};

#define LOG_SEQUENCE_MAX ((1ull << 56) - 1)
#define LOG_PAYLOAD_MAX  ((1ull << 32) - 1 - (1 << 20))

struct log_segment_header {
	uint16_t major, minor;
	uint32_t units;
	uint64_t store_id, number, segment_bytes, incompatible;
};

struct log_record_header {
	uint32_t crc, len, log_id, unsynced;
	uint64_t sequence;
	unsigned int type;
};

_Static_assert(LOG_HEADER_BYTES == 24, "the record header's layout is on disk");

uint32_t log_id(uint64_t store_id, uint64_t number);

void log_segment_header_encode(const struct log_segment_header *h, uint8_t *p);
/* -EBADMSG when it is none or damaged, -EPROTONOSUPPORT when from a newer version; why
 * without the file's name. */
int log_segment_header_decode(struct log_segment_header *h, const uint8_t *p,
			      struct kv_msg *why);

/* crc is that of the payload; the stored one covers the header as well. */
void log_record_header_encode(const struct log_record_header *h, uint32_t payload_crc,
			      uint8_t *p);
void log_record_header_decode(struct log_record_header *h, const uint8_t *p);
/* What the crc field must be. */
uint32_t log_record_crc(const uint8_t *header, uint32_t payload_crc);

#endif /* LOG_FORMAT_H */
