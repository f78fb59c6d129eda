/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_super.c - the superblock: one small block whose writing makes a checkpoint.
 *
 * There are two places, the beginnings of pages 0 and 1, written in turn: superblock s goes to
 * page s & 1, so the one before it stays whole while it is written. Each place has the same
 * 128 bytes twice, 2048 bytes apart: a block that goes bad later must not look like one that
 * was never written to the end, for then the checkpoint before, whose pages and log may be
 * gone, would be taken for the newest.
 *
 *   0   8  "KVBTREE1"                      64  8  pairs in the tree
 *   8   2  major, 10 2 minor               72  4  root: page, 76 4 its CRC
 *   12  4  page bytes                      80  4  levels
 *   16  8  incompatible feature flags      84  4  pages in the file
 *   24  8  compatible feature flags        88  4  free map: first page, 92 4 pages
 *   32  8  store id                        96  4  CRC of all of them
 *   40  8  sequence of superblocks         100 24 zero
 *   48  8  generation                      124 4  CRC of bytes 0 to 123
 *   56  8  log position
 */
#include "btree_pager_internal.h"

#define MAGIC "KVBTREE1"
enum { MAGIC_BYTES = 8, MAJOR = 1, MINOR = 0, LEVELS_MAX = 32 };

void btree_super_encode(const struct btree_super *s, uint8_t *out)
{
	memset(out, 0, BTREE_SUPER_BYTES);
	memcpy(out, MAGIC, MAGIC_BYTES);
	port_put_le16(out + 8, MAJOR);
	port_put_le16(out + 10, MINOR);
	port_put_le32(out + 12, s->page_bytes);
	port_put_le64(out + 32, s->store_id);
	port_put_le64(out + 40, s->sequence);
	port_put_le64(out + 48, s->generation);
	port_put_le64(out + 56, s->log_position);
	port_put_le64(out + 64, s->keys);
	port_put_le32(out + 72, s->root.page);
	port_put_le32(out + 76, s->root.crc);
	port_put_le32(out + 80, s->levels);
	port_put_le32(out + 84, s->pages);
	port_put_le32(out + 88, s->map_page);
	port_put_le32(out + 92, s->map_pages);
	port_put_le32(out + 96, s->map_crc);
	port_put_le32(out + 124, port_crc32c(0, out, 124));
}

static bool is_page_size(uint32_t n)
{
	return n >= BTREE_PAGE_MIN && n <= BTREE_PAGE_MAX && !(n & (n - 1));
}

/* What cannot be, whatever the CRC says. */
static bool makes_sense(const struct btree_super *s)
{
	return is_page_size(s->page_bytes) && s->generation && s->sequence &&
	       s->levels >= 1 && s->levels <= LEVELS_MAX &&
	       s->root.page >= BTREE_SUPER_PAGES && s->root.page < s->pages &&
	       s->map_page >= BTREE_SUPER_PAGES && s->map_page < s->pages &&
	       s->map_pages >= 1 && s->map_pages <= s->pages - s->map_page;
}

int btree_super_decode(struct btree_super *s, const uint8_t *in, struct kv_msg *why)
{
	unsigned int major = port_get_le16(in + 8);
	uint64_t features = port_get_le64(in + 16);

	if (memcmp(in, MAGIC, MAGIC_BYTES) ||
	    port_get_le32(in + 124) != port_crc32c(0, in, 124))
		return kv_fail(why, -EBADMSG, "no superblock, or a damaged one");
	if (major != MAJOR || features)
		return kv_fail(why, -EPROTONOSUPPORT,
			       "format %u.%u with features %llx is newer than this "
			       "program reads (%u.x): use a newer one",
			       major, port_get_le16(in + 10),
			       (unsigned long long)features, MAJOR);
	s->page_bytes = port_get_le32(in + 12);
	s->store_id = port_get_le64(in + 32);
	s->sequence = port_get_le64(in + 40);
	s->generation = port_get_le64(in + 48);
	s->log_position = port_get_le64(in + 56);
	s->keys = port_get_le64(in + 64);
	s->root.page = port_get_le32(in + 72);
	s->root.crc = port_get_le32(in + 76);
	s->levels = port_get_le32(in + 80);
	s->pages = port_get_le32(in + 84);
	s->map_page = port_get_le32(in + 88);
	s->map_pages = port_get_le32(in + 92);
	s->map_crc = port_get_le32(in + 96);
	if (!makes_sense(s))
		return kv_fail(why, -EBADMSG, "a superblock with impossible numbers");
	return 0;
}

int btree_super_write(struct file *f, const struct btree_super *s, unsigned int place,
		      uint8_t *block)
{
	/* EXERCISE 3.6 begin: one block, both copies in it, to the place of page 0 or 1
	 *|	return -ENOSYS;
	 */
	memset(block, 0, BTREE_SUPER_BLOCK);
	btree_super_encode(s, block);
	memcpy(block + BTREE_SUPER_COPY, block, BTREE_SUPER_BYTES);
	return file_write(f, (uint64_t)place * s->page_bytes, block, BTREE_SUPER_BLOCK);
	/* EXERCISE 3.6 end */
}

/* The valid copy at this offset, into *s. -ENOENT: the file ends before it. */
static int read_place(struct file *f, uint64_t offset, struct btree_super *s,
		      uint8_t *block, struct kv_msg *why)
{
	size_t got = 0;
	int error = file_read(f, offset, block, BTREE_SUPER_BLOCK, &got), first;

	if (error)
		return kv_fail(why, error, "reading a superblock at offset %llu failed",
			       (unsigned long long)offset);
	if (got < BTREE_SUPER_BLOCK)
		return kv_fail(why, -EBADMSG, "too short for a superblock");
	first = btree_super_decode(s, block, why);
	if (!first || first == -EPROTONOSUPPORT)
		return first;
	return btree_super_decode(s, block + BTREE_SUPER_COPY, why);
}

/* Page 1's, when page 0 does not say how large pages are. Only a block whose first copy is
 * good, because elsewhere in the file there may be anything. */
static int probe_second(struct file *f, struct btree_super *s, uint8_t *block,
			struct kv_msg *why)
{
	struct btree_super found;
	int error = -EBADMSG;
	uint32_t size;

	for (size = BTREE_PAGE_MIN; size <= BTREE_PAGE_MAX; size *= 2) {
		int e = read_place(f, size, &found, block, why);

		if (e == -EPROTONOSUPPORT || (e && e != -EBADMSG))
			return e;
		if (e || found.page_bytes != size || memcmp(block, MAGIC, MAGIC_BYTES))
			continue;
		*s = found;
		return 0;
	}
	return error;
}

int btree_super_read(struct file *f, const char *path, struct btree_super *s,
		     uint8_t *block, struct kv_msg *why)
{
	/* EXERCISE 3.6 begin: both places; of two valid ones the newer counts
	 *|	return kv_fail(why, -ENOSYS, "%s: there is no code to read it", path);
	 */
	struct btree_super a, b;
	struct kv_msg what = { "" };
	int first = read_place(f, 0, &a, block, &what), second;

	if (first && first != -EBADMSG)
		return kv_fail(why, first, "%s: %s", path, what.text);
	second = first ? probe_second(f, &b, block, &what)
		       : read_place(f, a.page_bytes, &b, block, &what);
	if (second && second != -EBADMSG)
		return kv_fail(why, second, "%s: %s", path, what.text);
	if (!first && !second &&
	    (a.page_bytes != b.page_bytes || a.store_id != b.store_id))
		return kv_fail(why, -EBADMSG,
			       "%s: superblocks of two stores: restore "
			       "a backup",
			       path);
	if (first && second)
		return kv_fail(why, -EBADMSG,
			       "%s: neither superblock is valid: restore a backup", path);
	*s = first || (!second && b.sequence > a.sequence) ? b : a;
	return 0;
	/* EXERCISE 3.6 end */
}

/*
 * A superblock that was read may stand in the system's cache alone: its sync may have failed,
 * or not have come. Before pages that only its predecessor needs are used again it is written
 * once more, with the same bytes to the same place, so that whatever a crash makes of that
 * is what was there before, or this. Then the other place: with what stands there, or with this
 * one where a crash has torn both copies. A newer one may have been written there whose sync failed; it
 * was not read, but what never reached the device and what did cannot be told apart, and it
 * must not come back when its pages are used again.
 */
int btree_super_settle(struct file *f, const struct btree_super *s, uint8_t *block)
{
	/* EXERCISE 3.7 begin: write again what was read, sync, then the other place
	 *|	return 0;
	 */
	unsigned int other = !(s->sequence & 1);
	struct btree_super twin;
	int error = btree_super_write(f, s, s->sequence & 1, block);

	if (!error)
		error = file_sync(f);
	if (error)
		return error;
	error = read_place(f, (uint64_t)other * s->page_bytes, &twin, block, NULL);
	if (error && error != -EBADMSG)
		return error;
	error = btree_super_write(f, error ? s : &twin, other, block);
	return error ? error : file_sync(f);
	/* EXERCISE 3.7 end */
}
