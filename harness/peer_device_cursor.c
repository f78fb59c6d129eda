/* SPDX-License-Identifier: MIT */
/*
 * peer_device_cursor.c - kv.h's cursor over STORAGE_IOC_SCAN.
 *
 * A cursor holds a block of pairs and the place of the current one in it. With a call each
 * a block is one pair; otherwise it grows as the cursor goes on in one direction, so that with
 * each it has read four times as much. With a ring the block is in its arena, where the kernel
 * writes pairs without another copy. The kernel's cursor stands on the block's last pair, or outside
 * after the end. To turn round, it is sought back to the current key.
 */
#include "peer_device.h"

enum { FIRST_PAIRS = 64, MOST_PAIRS = 1024 };

_Static_assert(DEVICE_BLOCKS < 64, "a bit for each block");

struct device_cursor {
	struct kv_cursor c;
	struct device_store *s;
	uint32_t handle;

	struct kv_buf block; /* where there is none in the arena, or it is too small */
	uint8_t *arena;      /* of DEVICE_BLOCK bytes; NULL: none */
	size_t at,
		next;   /* bytes in block: of the current pair and of the one behind it */
	uint32_t left;  /* pairs behind the current one */
	uint32_t limit; /* pairs of the next block */
	uint64_t came;  /* pairs since it began in this direction */
	bool inside;    /* on a pair */
	bool backward, ended;
	bool lost; /* after an error: where the kernel's cursor stands is not known */
};

/* ---- blocks ---- */

static uint8_t *block_take(struct device_store *s)
{
	const uint64_t all = (1ull << DEVICE_BLOCKS) - 1;
	uint64_t used = port_load_relaxed(&s->blocks);
	unsigned int i;

	do {
		if (s->way != DEVICE_RING || used == all)
			return NULL;
		i = (unsigned int)__builtin_ctzll(~used);
	} while (!port_cas(&s->blocks, &used, used | 1ull << i));
	return s->own->arena + (size_t)i * DEVICE_BLOCK;
}

static void block_give(struct device_store *s, const uint8_t *block)
{
	if (block)
		(void)port_fetch_add(&s->blocks,
				     -(1ull << (block - s->own->arena) / DEVICE_BLOCK));
}

/* Of its own: one pair's with a call each, else one that another cursor had. */
static int room_take(struct device_store *s, struct kv_buf *out)
{
	void *room;

	if (s->way == DEVICE_CALL)
		return kv_buf_reserve(out, DEVICE_VALUE_ROOM);
	room = peer_pool_take(&s->rooms);
	if (!room)
		return kv_buf_reserve(out, DEVICE_BLOCK);
	*out = (struct kv_buf){ .data = room, .cap = DEVICE_BLOCK };
	return 0;
}

static void room_give(struct device_store *s, struct kv_buf *room)
{
	if (room->cap != DEVICE_BLOCK || !peer_pool_give(&s->rooms, room->data))
		kv_buf_free(room);
}

static uint8_t *data(const struct device_cursor *d)
{
	return d->arena ? d->arena : d->block.data;
}

/* For a pair that has no room: the cursor's own memory from here on. */
static int block_grow(struct device_cursor *d, size_t bytes)
{
	block_give(d->s, d->arena);
	d->arena = NULL;
	return kv_buf_reserve(&d->block, bytes);
}

/* ---- moves ---- */

static int scan(struct device_cursor *d, unsigned int flags, struct kv_slice from)
{
	for (;;) {
		struct storage_scan a = {
			.version = STORAGE_VERSION,
			.flags = (uint16_t)(flags | (d->arena ? STORAGE_ARENA : 0)),
			.limit = d->limit,
			.cursor = d->handle,
			.from = (uintptr_t)from.data,
			.from_len = (uint32_t)from.len,
			.out = d->arena ? (uint64_t)(d->arena - d->s->own->arena)
					: (uintptr_t)d->block.data,
			.out_len = d->arena ? DEVICE_BLOCK : d->block.cap,
		};
		int error = device_ioctl(d->s->fd, STORAGE_IOC_SCAN, &a);

		if (error == -EMSGSIZE) {
			error = block_grow(d, a.out_len);
			if (error)
				return error;
			/* The kernel's cursor stands on the pair and gives it next. */
			flags &= ~(unsigned int)STORAGE_SEEK;
			continue;
		}
		if (error)
			return error;
		d->left = a.count;
		d->came += a.count;
		d->next = 0;
		d->ended = a.state & STORAGE_END;
		d->backward = flags & STORAGE_BACKWARD;
		d->lost = false;
		return 0;
	}
}

static int leave(struct device_cursor *d, int error)
{
	d->lost = error != -ENOENT && d->c.ops->seek;
	d->inside = false;
	d->left = 0;
	d->c.key = d->c.value = kv_slice(NULL, 0);
	return error;
}

/* To the next pair of the block. */
static int step(struct device_cursor *d)
{
	const struct storage_pair *p;
	uint8_t *body;

	if (!d->left)
		return leave(d, -ENOENT);
	p = (const struct storage_pair *)(data(d) + d->next);
	body = (uint8_t *)(p + 1);
	d->c.key = kv_slice(body, p->key_len);
	d->c.value = kv_slice(body + p->key_len, p->value_len);
	d->at = d->next;
	d->next += (sizeof(*p) + p->key_len + p->value_len + 7) / 8 * 8;
	d->left--;
	d->inside = true;
	return 0;
}

/* A block of three times what has come so far. */
static void grow(struct device_cursor *d)
{
	if (d->s->way != DEVICE_CALL)
		d->limit = d->came < MOST_PAIRS / 3 ? 3 * (uint32_t)d->came : MOST_PAIRS;
}

static void begin(struct device_cursor *d)
{
	d->limit = d->s->way == DEVICE_CALL ? 1 : FIRST_PAIRS;
	d->came = 0;
}

static int move(struct device_cursor *d, bool backward)
{
	unsigned int flags = backward ? STORAGE_BACKWARD : 0;
	struct kv_buf key = { 0 };
	int error;

	if (d->inside && d->backward == backward) {
		if (d->left)
			return step(d);
		if (d->ended)
			return leave(d, -ENOENT);
		grow(d);
		error = scan(d, flags, kv_slice(NULL, 0));
		return error ? leave(d, error) : step(d);
	}
	begin(d);
	if (!d->inside) {
		/* Below the least key the kernel's cursor is outside too. */
		error = d->lost ? scan(d, STORAGE_SEEK | STORAGE_BACKWARD,
				       kv_slice("", 0))
				: 0;
		if (!error)
			error = scan(d, flags, kv_slice(NULL, 0));
		return error ? leave(d, error) : step(d);
	}
	/* The key lies in the block, which is overwritten. */
	error = kv_buf_set(&key, d->c.key.data, d->c.key.len);
	if (!error)
		error = scan(d, flags | STORAGE_SEEK, kv_slice(key.data, key.len));
	if (!error)
		error = step(d);
	if (!error && !backward) /* that was the pair it stands on */
		error = move(d, false);
	kv_buf_free(&key);
	return error ? leave(d, error) : 0;
}

static int cursor_next(struct kv_cursor *c)
{
	return move(container_of(c, struct device_cursor, c), false);
}

static int cursor_prev(struct kv_cursor *c)
{
	return move(container_of(c, struct device_cursor, c), true);
}

static int cursor_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct device_cursor *d = container_of(c, struct device_cursor, c);
	struct kv_buf copy = { 0 };
	int error;

	/* The key may be one that this cursor gave out. */
	error = kv_buf_set(&copy, key.data, key.len);
	begin(d);
	if (!error)
		error = scan(d, STORAGE_SEEK, kv_slice(copy.data, copy.len));
	kv_buf_free(&copy);
	return error ? leave(d, error) : step(d);
}

static void cursor_close(struct kv_cursor *c)
{
	struct device_cursor *d = container_of(c, struct device_cursor, c);
	struct storage_handle h = { .version = STORAGE_VERSION, .handle = d->handle };

	(void)device_ioctl(d->s->fd, STORAGE_IOC_RELEASE, &h);
	block_give(d->s, d->arena);
	room_give(d->s, &d->block);
	port_free(d);
}

static const struct kv_cursor_ops ordered_ops = {
	.seek = cursor_seek,
	.next = cursor_next,
	.prev = cursor_prev,
	.close = cursor_close,
};

static const struct kv_cursor_ops unordered_ops = {
	.next = cursor_next,
	.close = cursor_close,
};

int device_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct device_cursor *d = port_alloc(sizeof(*d));
	struct storage_scan a = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_STAY,
		.snapshot = snap ? device_snapshot_handle(snap) : 0,
	};
	int error = -ENOMEM;

	if (!d)
		return -ENOMEM;
	*d = (struct device_cursor){
		.c.ops = kv->ops->caps & KV_CAP_ORDERED ? &ordered_ops : &unordered_ops,
		.s = device_store(kv),
	};
	begin(d);
	d->arena = block_take(d->s);
	if (d->arena || !room_take(d->s, &d->block))
		error = device_ioctl(d->s->fd, STORAGE_IOC_SCAN, &a);
	if (error) {
		block_give(d->s, d->arena);
		room_give(d->s, &d->block);
		port_free(d);
		return error;
	}
	d->handle = a.cursor;
	*out = &d->c;
	return 0;
}
