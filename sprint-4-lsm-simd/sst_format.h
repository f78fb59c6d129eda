/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_format.h - the parts that a table file is made of, for those who write and read it.
 *
 * Private to sst_*.c and their tests. A block is its body and a trailer: one byte of
 * compression, and a CRC. The CRC is begun with which store, which file and which offset the
 * block belongs to, so a block that a device put elsewhere, or left from an older file, is
 * found out. Everything here is bytes; files are sst_builder.c's and sst_read.c's.
 */
#ifndef SST_FORMAT_H
#define SST_FORMAT_H

#include "sst.h"

enum {
	SST_FOOTER_BYTES = 128,
	SST_TRAILER_BYTES = 5,
	SST_PROPERTIES_BYTES = 120, /* without keys and blob files */
	SST_FILTER_ALIGN = 64,      /* of a filter partition in the file */
	SST_TOP_VALUE_BYTES = 36,   /* value of an entry of the top index */
	SST_VARINT_MAX = 10,
};

struct sst_handle { /* a block in the file; bytes with its trailer */
	uint64_t offset;
	uint32_t bytes;
};

struct sst_identity { /* whose block it is */
	uint64_t store_id, file;
};

/* ---- errors ---- */

/* The one place where a table is found to be damaged. Returns -EBADMSG. */
int sst_bad(struct kv_msg *why, const char *path, uint64_t offset, const char *what,
	    uint64_t wanted, uint64_t got);

/* ---- numbers ---- */

/* Seven bits a byte, the low ones first; the high bit says that more follow. */
static inline uint8_t *sst_put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

const uint8_t *sst_get_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *v);

/* Behind it; NULL when it does not end before end, or is no 64-bit number. */
static inline const uint8_t *sst_get_varint(const uint8_t *p, const uint8_t *end,
					    uint64_t *v)
{
	if (p < end && *p < 0x80) {
		*v = *p;
		return p + 1;
	}
	if (end - p >= 2 && p[1] < 0x80) {
		*v = (*p & 0x7f) | (uint64_t)p[1] << 7;
		return p + 2;
	}
	return sst_get_long_varint(p, end, v);
}

/* ---- blocks' trailers ---- */

/* Writes the trailer behind a body of so many bytes that will stand at offset; returns its
 * CRC. */
uint32_t sst_seal(uint8_t *body, size_t bytes, enum sst_compression how,
		  const struct sst_identity *id, uint64_t offset);
/* Is a block, trailer included, what was written there? *wanted and *got are the CRCs. */
bool sst_is_sealed(const uint8_t *block, size_t bytes, const struct sst_identity *id,
		   uint64_t offset, uint32_t *wanted, uint32_t *got);

/* Compression of a body: u32 length of the plain one, then LZ4's block format. */
bool sst_can_lz4(void);
/* Most bytes that sst_compress() writes. */
size_t sst_compress_bound(size_t bytes);
/* Bytes written; 0 when it would not save an eighth. */
size_t sst_compress(const uint8_t *in, size_t bytes, uint8_t *out);
/* Length of what a compressed body holds; 0 when it cannot be. */
size_t sst_plain_bytes(const uint8_t *body, size_t bytes);
/* Fills exactly plain bytes of out. -EBADMSG, -EOPNOTSUPP (built without LZ4). */
int sst_decompress(const uint8_t *body, size_t bytes, uint8_t *out, size_t plain);

/* ---- footer ---- */

struct sst_footer {
	struct sst_identity id;
	struct sst_handle top, properties;
	uint32_t top_crc, properties_crc;
};

/* Returns the footer's CRC. */
uint32_t sst_footer_encode(const struct sst_footer *f, uint8_t *out);
/* -EBADMSG, -EPROTONOSUPPORT (newer). offset: where the footer stands, for why. */
int sst_footer_decode(struct sst_footer *f, const uint8_t *in, const char *path,
		      uint64_t offset, struct kv_msg *why);

/* ---- properties ---- */

struct sst_properties {
	struct sst_summary s; /* all but bytes and footer_crc */
	struct sst_shape shape;
	uint8_t filter_probes;
	uint64_t data_blocks, data_bytes; /* the blocks end at data_bytes */
	uint32_t partitions;
	struct sst_handle tombstones; /* bytes 0: none */
};

int sst_properties_encode(const struct sst_properties *p, struct kv_buf *out);
/* Allocates; sst_summary_free(&p->s) in any case. -EBADMSG without a sentence. */
int sst_properties_decode(struct sst_properties *p, const uint8_t *in, size_t bytes);

/* ---- entries of indexes ---- */

struct sst_partition {                   /* an entry of the top index */
	struct sst_handle filter, index; /* filter.bytes 0: none */
	uint64_t first_block;            /* ordinal among the table's data blocks */
	uint32_t blocks;
};

void sst_partition_encode(const struct sst_partition *p, uint8_t *out);
int sst_partition_decode(struct sst_partition *p, struct kv_slice value);

/* An entry of an index partition: varints of the offset and the bytes. */
size_t sst_handle_encode(const struct sst_handle *h, uint8_t *out);
int sst_handle_decode(struct sst_handle *h, struct kv_slice value);

/* ---- what is counted, by who writes a table and by who verifies it: sst_tally.c ---- */

struct sst_tally { /* starts as {0}; sst_summary_free(&tally.s) ends it */
	struct sst_summary s;
	size_t blob_cap;
};

/* Entries in order. -EINVAL: a blob reference that is none. -ENOMEM. */
int sst_tally_add(struct sst_tally *t, struct kv_slice key, uint64_t stamp,
		  struct kv_slice value);
/* largest: the last entry's key; nothing is looked at where there was no entry. */
int sst_tally_end(struct sst_tally *t, struct kv_slice largest,
		  const struct lsm_tombstones *set);

/* ---- range tombstones ---- */

int sst_tombstones_encode(const struct lsm_tombstones *set, struct kv_buf *out);
/* -EBADMSG without a sentence, -ENOMEM. */
int sst_tombstones_decode(const uint8_t *in, size_t bytes, struct lsm_tombstones **out);

#endif /* SST_FORMAT_H */
