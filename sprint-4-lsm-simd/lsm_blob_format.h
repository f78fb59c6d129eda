/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_blob_format.h - the bytes of a blob file, for those who write and read it.
 *
 *   header  0  8  magic "KVLSMBLB"      record  0  4  CRC32C of all that follows
 *           8  2  major version                 4  4  bytes of the key
 *          10  2  minor version                 8  4  bytes of the value
 *          12  4  zero                         12     key, value
 *          16  8  incompatible features
 *          24  8  store id              footer  0  8  magic "KVLSMEND"
 *          32  8  file number                   8  8  records
 *          40  4  zero                         16  8  their bytes
 *          44  4  CRC32C of 0..43              24  4  zero
 *                                              28  4  CRC32C of store id, file number, 0..27
 */
#ifndef LSM_BLOB_FORMAT_H
#define LSM_BLOB_FORMAT_H

#include "lsm_blob.h"

#define LSM_BLOB_MAGIC "KVLSMBLB"
#define LSM_BLOB_END   "KVLSMEND"

enum {
	LSM_BLOB_MAJOR = 1,
	LSM_BLOB_MINOR = 0,
	LSM_BLOB_HEADER_BYTES = 48,
	LSM_BLOB_RECORD_HEADER = 12,
	LSM_BLOB_FOOTER_BYTES = 32,
};

void lsm_blob_header_encode(uint8_t *p, uint64_t store_id, uint64_t file);
void lsm_blob_footer_encode(uint8_t *p, const struct lsm_blob_summary *s,
			    uint64_t store_id, uint64_t file);
uint32_t lsm_blob_footer_crc(const uint8_t *p, uint64_t store_id, uint64_t file);

#endif /* LSM_BLOB_FORMAT_H */
