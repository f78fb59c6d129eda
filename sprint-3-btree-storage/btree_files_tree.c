/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_tree.c - the pages of a store that nobody has open: see btree_files.h.
 *
 * The walk goes down from the superblock's root. A page that is wrong, by its own CRC or by
 * what its parent has of it, is told with the keys that stood below it; the walk goes on
 * beside it.
 */
#include "btree_files.h"

enum { LOST = 1 << 30 }; /* no error of anybody's: the walk goes on */

/* ---- the walk ---- */

static int compare_fence(struct kv_slice a, struct kv_slice b)
{
	if (!a.data || !b.data)
		return (a.data != NULL) != (b.data != NULL);
	return kv_compare(a, b);
}

/* What a node must be at that place in the tree, beside being one. */
static int check_place(const struct btree_reach *r, const struct btree_node *n,
		       unsigned int level, struct kv_slice lower, struct kv_slice upper,
		       struct kv_msg *why)
{
	const struct btree_files *f = r->files;

	if (n->page.kind != BTREE_PAGE_NODE)
		return kv_fail(why, -EBADMSG, "no node, and a parent leads to it");
	if (n->page.level != level)
		return kv_fail(why, -EBADMSG, "of level %u where level %u should be",
			       n->page.level, level);
	if (n->page.birth > f->super.generation)
		return kv_fail(why, -EBADMSG, "younger than the checkpoint");
	if (compare_fence(btree_node_lower(n, &f->shape), lower) ||
	    compare_fence(btree_node_upper(n, &f->shape), upper))
		return kv_fail(why, -EBADMSG, "its fences are not its parent's");
	if (btree_bit(r->seen, n->page.page))
		return kv_fail(why, -EBADMSG, "two parents lead to it");
	return 0;
}

static int read_checked(struct btree_reach *r, struct btree_child child,
			unsigned int level, struct kv_slice lower, struct kv_slice upper,
			struct kv_msg *why)
{
	struct btree_files *f = r->files;
	uint8_t *image = r->image[level];
	int error = child.page < BTREE_SUPER_PAGES
			    ? -ENODATA
			    : btree_files_read(f, child.page, image);

	if (error == -EIO)
		return kv_fail(why, -EBADMSG, "the device does not give it");
	if (error == -ENODATA)
		return kv_fail(why, -EBADMSG, "there is no such page in the file");
	if (!error)
		error = btree_files_page(f, child.page, image, child.crc, why);
	if (!error)
		error = check_place(r, (const struct btree_node *)(void *)image, level,
				    lower, upper, why);
	return error;
}

/* 0: image[level] is the page; or LOST. */
static int arrive(struct btree_reach *r, struct btree_child child, unsigned int level,
		  struct kv_slice lower, struct kv_slice upper)
{
	struct kv_msg why = { "" };
	struct btree_lost lost = { child.page, level, lower, upper, why.text };
	int error = read_checked(r, child, level, lower, upper, &why);

	if (!error) {
		btree_bit_set(r->seen, child.page);
		r->index[level] = 0;
		return 0;
	}
	if (error != -EBADMSG)
		return error;
	if (child.page < r->files->pages)
		btree_bit_set(r->rejected, child.page);
	r->losses++;
	error = r->lost ? r->lost(r->arg, &lost) : 0;
	return error ? error : LOST;
}

/* Down to the next child of the node at level. */
static int step_down(struct btree_reach *r, unsigned int level)
{
	const struct btree_shape *shape = &r->files->shape;
	const struct btree_node *n = (const struct btree_node *)(void *)r->image[level];
	unsigned int i = r->index[level]++;
	struct kv_slice lower = btree_node_lower(n, shape),
			upper = btree_node_upper(n, shape);

	if (i)
		lower = kv_slice(r->lower, btree_node_key_copy(n, shape, i, r->lower));
	if (i + 1 < n->count)
		upper = kv_slice(r->upper,
				 btree_node_key_copy(n, shape, i + 1, r->upper));
	return arrive(r, btree_node_child(n, shape, i), level - 1, lower, upper);
}

static int show_leaf(struct btree_reach *r)
{
	const struct btree_node *n = (const struct btree_node *)(void *)r->image[0];

	r->leaves++;
	r->keys += n->count;
	return r->leaf ? r->leaf(r->arg, n, n->page.page) : 0;
}

static int walk(struct btree_reach *r)
{
	const struct btree_super *s = &r->files->super;
	unsigned int level = s->levels - 1;
	int error = arrive(r, s->root, level, kv_slice("", 0), kv_slice(NULL, 0));

	while (!error) {
		const struct btree_node *n =
			(const struct btree_node *)(void *)r->image[level];

		if (level && r->index[level] < n->count) {
			error = step_down(r, level);
			if (!error)
				level--;
			else if (error == LOST)
				error = 0;
			continue;
		}
		if (level)
			r->inner++;
		else
			error = show_leaf(r);
		if (++level == s->levels)
			break;
	}
	return error == LOST ? 0 : error;
}

int btree_reach_run(struct btree_reach *r)
{
	struct btree_files *f = r->files;
	size_t words = btree_files_words(f) * sizeof(uint64_t);
	unsigned int level;

	r->seen = port_alloc(words);
	r->rejected = port_alloc(words);
	if (!r->seen || !r->rejected)
		return -ENOMEM;
	memset(r->seen, 0, words);
	memset(r->rejected, 0, words);
	if (!f->has_super)
		return 0;
	for (level = 0; level < f->super.levels; level++) {
		r->image[level] = port_alloc_aligned(64, f->shape.page_bytes);
		if (!r->image[level])
			return -ENOMEM;
	}
	return walk(r);
}

void btree_reach_free(struct btree_reach *r)
{
	unsigned int level;

	for (level = 0; level < BTREE_LEVELS_MAX; level++)
		port_free_aligned(r->image[level]);
	port_free(r->seen);
	port_free(r->rejected);
	memset(r->image, 0, sizeof(r->image));
	r->seen = r->rejected = NULL;
}

/* ---- the free map ---- */

static int read_map_page(struct btree_files *f, uint32_t m, uint8_t *image, uint32_t *crc,
			 struct kv_msg *why)
{
	const struct btree_super *s = &f->super;
	const struct btree_page_header *h =
		(const struct btree_page_header *)(void *)image;
	struct kv_msg what = { "" };
	int error = btree_files_read(f, s->map_page + m, image);

	if (error == -ENOMEM)
		return error;
	if (error)
		return kv_fail(why, -EBADMSG, "page %u of it cannot be read",
			       s->map_page + m);
	*crc = port_crc32c(*crc, image, f->shape.page_bytes);
	error = btree_files_page(f, s->map_page + m, image, 0, &what);
	if (error)
		return kv_fail(why, error, "page %u of it: %s", s->map_page + m,
			       what.text);
	if (h->kind != BTREE_PAGE_FREE_MAP)
		return kv_fail(why, -EBADMSG, "page %u is none of it", s->map_page + m);
	return 0;
}

/* Bits that cannot be: of pages that there are not, or missing of what it surely uses. */
static int check_bits(const struct btree_files *f, const uint64_t *used,
		      struct kv_msg *why)
{
	const struct btree_super *s = &f->super;
	uint32_t page;

	for (page = s->pages; page < btree_files_words(f) * 64; page++)
		if (btree_bit(used, page))
			return kv_fail(why, -EBADMSG, "names page %u, of %u", page,
				       s->pages);
	for (page = s->map_page; page < s->map_page + s->map_pages; page++)
		if (!btree_bit(used, page))
			return kv_fail(why, -EBADMSG, "has its own page %u as free",
				       page);
	if (!btree_bit(used, 0) || !btree_bit(used, 1) || !btree_bit(used, s->root.page))
		return kv_fail(why, -EBADMSG, "has the root or a superblock as free");
	return 0;
}

int btree_files_map(struct btree_files *f, uint64_t **used, struct kv_msg *why)
{
	const struct btree_super *s = &f->super;
	size_t each = f->shape.page_bytes - sizeof(struct btree_page_header), at = 0, n;
	size_t all = ((size_t)s->pages + 7) / 8,
	       bytes = btree_files_words(f) * sizeof(uint64_t);
	uint8_t *image = port_alloc_aligned(64, f->shape.page_bytes);
	uint64_t *bits = port_alloc(bytes);
	uint32_t m, crc = 0;
	int error = image && bits ? 0 : -ENOMEM;

	*used = NULL;
	if (!error && (all + each - 1) / each != s->map_pages)
		error = kv_fail(why, -EBADMSG, "its size is wrong");
	if (!error)
		memset(bits, 0, bytes);
	for (m = 0; !error && m < s->map_pages; m++, at += n) {
		n = all - at < each ? all - at : each;
		error = read_map_page(f, m, image, &crc, why);
		if (!error)
			memcpy((uint8_t *)bits + at,
			       image + sizeof(struct btree_page_header), n);
	}
	if (!error && crc != s->map_crc)
		error = kv_fail(why, -EBADMSG,
				"not the one that was written last: CRC %08x, the "
				"superblock has %08x",
				crc, s->map_crc);
	if (!error)
		error = check_bits(f, bits, why);
	port_free_aligned(image);
	if (error) {
		port_free(bits);
		return error == -ENOMEM ? error : 0;
	}
	*used = bits;
	return 0;
}
