/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_free_map.c - which numbers a checkpoint uses, a bit a page, on pages of their own.
 *
 * A page of the map is a page header and bits; bit i of page m stands for number
 * m * 8 * (page bytes - 24) + i, and is 1 when the checkpoint uses it: the tree's pages, the
 * superblocks' and the map's own. What is 0 is free once the store is opened there.
 */
#include "btree_pager_internal.h"

static size_t bytes_a_page(const struct btree_pager *p)
{
	return p->shape.page_bytes - sizeof(struct btree_page_header);
}

uint32_t btree_map_pages(const struct btree_pager *p, uint32_t pages)
{
	uint64_t bits = 8 * (uint64_t)bytes_a_page(p);

	return (uint32_t)((pages + bits - 1) / bits);
}

/* Page m of a map, and how many bytes of it mean something. */
static uint8_t *map_bits(const struct btree_pager *p, const struct btree_super *s,
			 uint8_t *map, uint32_t m, size_t *bytes)
{
	size_t all = ((size_t)s->pages + 7) / 8, each = bytes_a_page(p), at = m * each;

	*bytes = all <= at ? 0 : all - at < each ? all - at : each;
	return map + (size_t)m * p->shape.page_bytes + sizeof(struct btree_page_header);
}

static void mark_used(const struct btree_pager *p, uint8_t *map, uint32_t page)
{
	size_t each = bytes_a_page(p), byte = page / 8;

	map[byte / each * p->shape.page_bytes + sizeof(struct btree_page_header) +
	    byte % each] |= (uint8_t)(1 << page % 8);
}

void btree_free_map_encode(const struct btree_pager *p, const struct btree_super *s,
			   uint8_t *map)
{
	const uint8_t *live = (const uint8_t *)p->space->live;
	size_t bytes;
	uint32_t m;

	memset(map, 0, (size_t)s->map_pages * p->shape.page_bytes);
	for (m = 0; m < s->map_pages; m++) {
		uint8_t *page = map + (size_t)m * p->shape.page_bytes;
		struct btree_page_header h = { .page = s->map_page + m,
					       .birth = s->generation,
					       .kind = BTREE_PAGE_FREE_MAP };
		uint8_t *bits = map_bits(p, s, map, m, &bytes);

		h.used = (uint32_t)bytes;
		memcpy(page, &h, sizeof(h));
		memcpy(bits, live, bytes);
		live += bytes;
	}
	for (m = 0; m < s->map_pages; m++)
		mark_used(p, map, s->map_page + m);
}

uint32_t btree_free_map_seal(const struct btree_pager *p, const struct btree_super *s,
			     uint8_t *map)
{
	uint32_t m;

	for (m = 0; m < s->map_pages; m++) {
		uint8_t *page = map + (size_t)m * p->shape.page_bytes;

		port_put_le32(page, btree_page_sum(p, page));
	}
	return port_crc32c(0, map, (size_t)s->map_pages * p->shape.page_bytes);
}

static int check_map(const struct btree_pager *p, const struct btree_super *s,
		     uint8_t *map, struct kv_msg *why)
{
	uint32_t m, crc = port_crc32c(0, map, (size_t)s->map_pages * p->shape.page_bytes);
	struct btree_page_header h;
	size_t bytes;
	int error;

	if (crc != s->map_crc)
		return kv_fail(
			why, -EBADMSG,
			"%s: free map at offset %llu: CRC %08x, wanted %08x: restore "
			"a backup, or salvage",
			p->io->path, (unsigned long long)btree_offset(p, s->map_page),
			crc, s->map_crc);
	for (m = 0; m < s->map_pages; m++) {
		const uint8_t *page = map + (size_t)m * p->shape.page_bytes;

		error = btree_page_check_image(p, s->map_page + m, page, 0, why);
		if (error)
			return error;
		memcpy(&h, page, sizeof(h));
		(void)map_bits(p, s, map, m, &bytes);
		if (h.kind != BTREE_PAGE_FREE_MAP || h.used != bytes)
			return kv_fail(
				why, -EBADMSG,
				"%s: page %u is no page of the free map: restore a "
				"backup, or salvage",
				p->io->path, s->map_page + m);
	}
	return 0;
}

/* The bits are sound: into used and live; what the map itself takes is no page of the tree. */
static int take_over(struct btree_pager *p, const struct btree_super *s, uint8_t *map,
		     struct kv_msg *why)
{
	struct btree_pager_space *space = p->space;
	uint8_t *used = (uint8_t *)space->used;
	uint32_t m, page, n = 0;
	size_t bytes;

	for (m = 0; m < s->map_pages; m++) {
		const uint8_t *bits = map_bits(p, s, map, m, &bytes);

		memcpy(used, bits, bytes);
		used += bytes;
	}
	for (page = 0; page < s->pages; page++)
		n += btree_bit(space->used, page);
	for (m = 0; m < s->map_pages; m++)
		if (!btree_bit(space->used, s->map_page + m))
			n = 0;
	/* Above the last page there are no bits. */
	for (page = s->pages; page % 64; page++)
		if (btree_bit(space->used, page))
			n = 0;
	if (!n || !btree_bit(space->used, 0) || !btree_bit(space->used, 1) ||
	    !btree_bit(space->used, s->root.page))
		return kv_fail(
			why, -EBADMSG,
			"%s: the free map has pages in use as free: restore a backup",
			p->io->path);
	memcpy(space->live, space->used, ((size_t)s->pages + 63) / 64 * 8);
	for (m = 0; m < s->map_pages; m++)
		btree_bit_clear(space->live, s->map_page + m);
	space->free = s->pages - n;
	return 0;
}

int btree_free_map_load(struct btree_pager *p, const struct btree_super *s,
			struct kv_msg *why)
{
	size_t bytes = (size_t)s->map_pages * p->shape.page_bytes;
	uint8_t *map;
	int error = 0, attempt;

	if (s->map_pages != btree_map_pages(p, s->pages))
		return kv_fail(why, -EBADMSG, "%s: the free map's size is wrong",
			       p->io->path);
	map = port_alloc(bytes);
	if (!map)
		return kv_fail(why, -ENOMEM, "no memory for %zu bytes of free map",
			       bytes);
	for (attempt = 0; attempt < 2; attempt++) {
		error = file_read_exact(p->io->file, p->io->path,
					btree_offset(p, s->map_page), map, bytes, why);
		if (!error)
			error = check_map(p, s, map, why);
		if (!error || error == -ENOMEM)
			break;
	}
	if (!error)
		error = take_over(p, s, map, why);
	port_free(map);
	return error;
}
