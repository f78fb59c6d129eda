/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_internal.h - an open table, for the files that read it.
 */
#ifndef SST_INTERNAL_H
#define SST_INTERNAL_H

#include "sst_block.h"

struct sst {
	/* constant after open */
	struct env *env;
	struct lsm_cache *cache; /* NULL: blocks are read anew each time */
	struct kv_buf path;      /* with its NUL */
	struct file *file;
	struct file *direct; /* the same for single blocks; NULL: not SST_DIRECT */
	struct sst_identity id;
	uint64_t bytes;
	uint32_t footer_crc;
	const uint8_t *map; /* of the whole file; NULL: not SST_MAP */
	struct sst_footer footer;
	struct sst_properties p;
	struct kv_buf top_bytes; /* the block with its trailer, */
	struct sst_block top;    /* and what it says: */
	struct sst_partition *partition;
	struct lsm_tombstones *tombstones;
	uint64_t pinned;

	/* atomic; with a map only: a bit for each block whose CRC was found right */
	uint32_t *checked;
};

static inline const char *sst_path(const struct sst *t)
{
	return t->path.data;
}

/* Ordinals, for the bits: data blocks, then of each partition its index and its filter. */
static inline uint64_t sst_index_ordinal(const struct sst *t, uint32_t partition)
{
	return t->p.data_blocks + 2 * (uint64_t)partition;
}

static inline uint64_t sst_filter_ordinal(const struct sst *t, uint32_t partition)
{
	return sst_index_ordinal(t, partition) + 1;
}

/* ---- sst_read.c ---- */

struct sst_ref { /* a block's body, in memory until sst_unload() */
	const uint8_t *data;
	size_t bytes;
	struct lsm_block hold; /* pin NULL: the cache has no part in it */
	void *own;
};

/* Reads a block with its trailer, and once more when its CRC is wrong. -EBADMSG, -EIO. */
int sst_read_block(struct sst *t, const struct sst_handle *h, uint8_t *out,
		   struct kv_msg *why);
/* Does a block lie within [from, to), and is it no smaller than a block is? */
bool sst_handle_fits(const struct sst_handle *h, uint64_t from, uint64_t to);

/* cold: as lsm_cache_insert()'s. *out is nothing after an error. */
int sst_load(struct sst *t, const struct sst_handle *h, uint64_t ordinal, bool cold,
	     struct sst_ref *out, struct kv_msg *why);
/* Only when that costs no I/O. */
bool sst_load_cached(struct sst *t, const struct sst_handle *h, uint64_t ordinal,
		     struct sst_ref *out);
void sst_unload(struct sst *t, struct sst_ref *r);
/* The same from a block with its trailer that the caller has read and checked. */
int sst_load_checked(struct sst *t, const uint8_t *block, const struct sst_handle *h,
		     bool cold, struct sst_ref *out, struct kv_msg *why);
/* The body of a checked block with trailer, unpacked into plain where it has to be. */
int sst_unpack(struct sst *t, const uint8_t *block, const struct sst_handle *h,
	       struct kv_buf *plain, const uint8_t **body, size_t *bytes,
	       struct kv_msg *why);

/* A partition's index, and the handle of its i-th data block. */
int sst_load_index(struct sst *t, uint32_t partition, struct sst_ref *ref,
		   struct sst_block *index, struct kv_msg *why);
int sst_data_handle(struct sst *t, uint32_t partition, const struct sst_block *index,
		    uint32_t i, struct sst_handle *h, struct kv_msg *why);
/* Looks at a data block's header. */
int sst_open_block(struct sst *t, const struct sst_handle *h, const uint8_t *body,
		   size_t bytes, struct sst_block *b, struct kv_msg *why);

#endif /* SST_INTERNAL_H */
