/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_value.c - values too large for a leaf: on a run of overflow pages.
 *
 * The leaf has where the run begins, the value's length and its CRC. A run is written once
 * and never changed, so a reader needs no version of its pages but the leaf's: if that still
 * holds in the end, the run was the value's all the time.
 */
#include "btree_store.h"

static uint32_t room(const struct btree_tree *t)
{
	return t->shape->page_bytes - (uint32_t)sizeof(struct btree_page_header);
}

struct btree_overflow btree_value_ref(struct kv_slice value)
{
	struct btree_overflow o = { 0 };

	if (value.len == sizeof(o))
		memcpy(&o, value.data, sizeof(o));
	return o;
}

struct btree_overflow btree_value_write(struct btree_tree *t, struct kv_slice value)
{
	uint32_t pages = btree_value_pages(t, value.len), i, bytes;
	uint32_t first = btree_run_new(t->pager, pages, t->generation);
	const uint8_t *from = value.data;
	size_t left = value.len;
	struct btree_page_header *h;

	for (i = 0; i < pages; i++) {
		h = btree_page(t->pager, first + i);
		bytes = left < room(t) ? (uint32_t)left : room(t);
		h->kind = BTREE_PAGE_OVERFLOW;
		h->level = 0;
		h->used = bytes;
		memcpy(h + 1, from, bytes);
		memset((char *)(h + 1) + bytes, 0, room(t) - bytes);
		from += bytes;
		left -= bytes;
		btree_page_unpin(t->pager, first + i);
		if (t->private)
			t->made.ref[t->made.count++] =
				(struct btree_page_ref){ first + i, t->generation };
	}
	return (struct btree_overflow){ .page = first,
					.bytes = (uint32_t)value.len,
					.birth = t->generation,
					.crc = port_crc32c(0, value.data, value.len) };
}

void btree_value_drop(struct btree_tree *t, const struct btree_overflow *o)
{
	uint32_t pages = btree_value_pages(t, o->bytes), i;

	for (i = 0; i < pages; i++)
		btree_tree_drop(t, o->page + i, o->birth);
}

/* One page's share of the value. -EAGAIN: it is not in memory, or was not all the time. */
static int read_page(struct btree_tree *t, uint32_t page, void *out, size_t bytes)
{
	const struct btree_page_header *h = btree_page(t->pager, page);
	uint64_t version;

	if (!btree_page_begin(t->pager, page, &version))
		return -EAGAIN;
	memcpy(out, h + 1, bytes);
	return btree_page_valid(t->pager, page, version) ? 0 : -EAGAIN;
}

int btree_value_read(struct btree_tree *t, const struct btree_overflow *o,
		     struct kv_buf *value, struct kv_msg *why)
{
	uint32_t page = o->page;
	size_t done = 0, bytes;
	int error;

	if (o->bytes > KV_VALUE_MAX)
		return kv_fail(why, -EBADMSG, "a value of %u bytes", o->bytes);
	error = kv_buf_reserve(value, o->bytes);
	while (!error && done < o->bytes) {
		bytes = o->bytes - done < room(t) ? o->bytes - done : room(t);
		error = read_page(t, page, (char *)value->data + done, bytes);
		if (error == -EAGAIN) {
			error = btree_page_fetch(t->pager, page, 0, why);
			continue;
		}
		done += bytes;
		page++;
	}
	if (error)
		return error;
	value->len = o->bytes;
	if (port_crc32c(0, value->data, value->len) != o->crc)
		return kv_fail(why, -EBADMSG,
			       "pages %u..%u: a value of %u bytes does not have its CRC",
			       o->page, page - 1, o->bytes);
	return 0;
}
