// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_scan.c - snapshots and cursors of a descriptor. They are counted, so that one
 * thread may release what another is using.
 */
#include "storage_frame.h"

#include "storage_trace.h"

/* ---- handles ---- */

static void object_free(struct kref *ref)
{
	struct storage_object *o = container_of(ref, struct storage_object, ref);

	kv_cursor_close(o->cursor);
	kv_release(o->kv, o->snap);
	mutex_destroy(&o->lock);
	port_free(o);
}

void storage_object_put(struct storage_object *o)
{
	kref_put(&o->ref, object_free);
}

static struct storage_object *object_new(struct storage_session *s)
{
	struct storage_object *o = port_alloc(sizeof(*o));

	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	kref_init(&o->ref);
	mutex_init(&o->lock);
	o->kv = s->dev->kv;
	return o;
}

/* The handle keeps the caller's count. -EMFILE: the descriptor has as many as it may. */
static int object_show(struct storage_session *s, struct storage_object *o, u32 *handle)
{
	int error = xa_alloc(&s->handles, handle, o, XA_LIMIT(1, STORAGE_HANDLES_MAX),
			     GFP_KERNEL_ACCOUNT);

	return error == -EBUSY ? -EMFILE : error;
}

static struct storage_object *object_get(struct storage_session *s, u32 handle)
{
	struct storage_object *o;

	xa_lock(&s->handles);
	o = xa_load(&s->handles, handle);
	if (o)
		kref_get(&o->ref);
	xa_unlock(&s->handles);
	return o;
}

struct storage_object *storage_snapshot_get(struct storage_session *s, u32 handle)
{
	struct storage_object *o = object_get(s, handle);

	if (!o || o->snap)
		return o;
	storage_object_put(o);
	return NULL;
}

static int object_drop(struct storage_session *s, u32 handle)
{
	struct storage_object *o = xa_erase(&s->handles, handle);

	if (!o)
		return -EBADF;
	storage_object_put(o);
	return 0;
}

void storage_handles_free(struct storage_session *s)
{
	struct storage_object *o;
	unsigned long i;

	xa_for_each(&s->handles, i, o) storage_object_put(o);
	xa_destroy(&s->handles);
}

static bool handle_fits(struct storage_session *s, const struct storage_handle *h)
{
	if (h->version == STORAGE_VERSION && !h->flags && !h->reserved)
		return true;
	storage_count(s->dev, refused);
	return false;
}

long storage_ioctl_snapshot(struct storage_session *s, void __user *arg)
{
	struct storage_handle h;
	struct storage_object *o;
	int error;

	if (copy_from_user(&h, arg, sizeof(h)))
		return -EFAULT;
	if (!handle_fits(s, &h) || h.handle)
		return -EINVAL;
	o = object_new(s);
	if (!o)
		return -ENOMEM;
	error = kv_snapshot(o->kv, &o->snap);
	if (!error)
		error = object_show(s, o, &h.handle);
	if (error) {
		storage_object_put(o);
		return error;
	}
	if (!copy_to_user(arg, &h, sizeof(h)))
		return 0;
	object_drop(s, h.handle);
	return -EFAULT;
}

long storage_ioctl_release(struct storage_session *s, void __user *arg)
{
	struct storage_handle h;

	if (copy_from_user(&h, arg, sizeof(h)))
		return -EFAULT;
	return handle_fits(s, &h) ? object_drop(s, h.handle) : -EINVAL;
}

/* ---- scan ---- */

struct scan {
	struct storage_session *s;
	struct storage_call *c;
	struct storage_scan arg;
	struct storage_object *o;
	struct kv_buf from, to;
	u64 room;  /* in the program's buffer */
	u8 *arena; /* which is this place in the ring's; NULL: in the program's memory */
	struct kv_block
		b; /* the arena's place, or the call's buffer; its count is of all */
};

static_assert(sizeof(struct kv_pair) == sizeof(struct storage_pair) &&
		      offsetof(struct kv_pair, value_len) ==
			      offsetof(struct storage_pair, value_len),
	      "a block is what a program gets");

static int take_key(u64 at, u32 len, struct kv_buf *out)
{
	int error;

	if (len > KV_KEY_MAX)
		return -EINVAL;
	error = kv_buf_reserve(out, len);
	if (!error && len && copy_from_user(out->data, u64_to_user_ptr(at), len))
		error = -EFAULT;
	out->len = error ? 0 : len;
	return error;
}

/* What waits in the call's buffer goes to the program. In the arena it is there. */
static int flush(struct scan *sc)
{
	struct kv_block *b = &sc->b;
	void __user *to = u64_to_user_ptr(sc->arg.out + sc->arg.out_len);

	if (sc->arena) {
		sc->arg.out_len = b->len;
		return 0;
	}
	if (b->len && copy_to_user(to, b->data, b->len))
		return -EFAULT;
	sc->arg.out_len += b->len;
	b->len = 0;
	b->cap = min_t(u64, sc->c->bytes.cap, sc->room - sc->arg.out_len);
	return 0;
}

static u64 pair_bytes(const struct kv_cursor *at)
{
	return kv_pair_bytes(at->key.len, at->value.len);
}

/* Straight to the program: a pair that the call's buffer has no room for. */
static int give_large(struct scan *sc, const struct kv_cursor *at)
{
	struct storage_pair pair = { .key_len = at->key.len, .value_len = at->value.len };
	u8 __user *to = u64_to_user_ptr(sc->arg.out + sc->arg.out_len);
	u64 body = sizeof(pair) + at->key.len + at->value.len;

	if (copy_to_user(to, &pair, sizeof(pair)) ||
	    copy_to_user(to + sizeof(pair), at->key.data, at->key.len) ||
	    copy_to_user(to + sizeof(pair) + at->key.len, at->value.data,
			 at->value.len) ||
	    clear_user(to + body, pair_bytes(at) - body))
		return -EFAULT;
	sc->arg.out_len += pair_bytes(at);
	sc->b.count++;
	return flush(sc); /* there is less room now */
}

/* -EMSGSIZE: no room, which is an error only where it is the first pair. */
static int give_pair(struct scan *sc, const struct kv_cursor *at)
{
	int error = kv_block_add(&sc->b, at->key, at->value);

	if (error != -EMSGSIZE || sc->arena)
		return error;
	error = flush(sc);
	if (error)
		return error;
	if (pair_bytes(at) > sc->room - sc->arg.out_len)
		return -EMSGSIZE;
	return pair_bytes(at) > sc->b.cap ? give_large(sc, at)
					  : kv_block_add(&sc->b, at->key, at->value);
}

static int move(struct scan *sc, struct kv_cursor *at)
{
	return sc->arg.flags & STORAGE_BACKWARD ? kv_prev(at) : kv_next(at);
}

/* To the first pair that is to be given out. */
static int start(struct scan *sc, struct kv_cursor *at)
{
	int error;

	if (!(sc->arg.flags & STORAGE_SEEK))
		return sc->o->pending ? 0 : move(sc, at);
	error = kv_seek(at, kv_slice(sc->from.data, sc->from.len));
	if (!(sc->arg.flags & STORAGE_BACKWARD) || (error && error != -ENOENT))
		return error;
	return kv_prev(
		at); /* from outside, where no key is >= from, that is the last pair */
}

static bool is_beyond(const struct scan *sc, const struct kv_cursor *at)
{
	int order;

	if (!(sc->arg.flags & STORAGE_BOUND))
		return false;
	order = kv_compare(at->key, kv_slice(sc->to.data, sc->to.len));
	return sc->arg.flags & STORAGE_BACKWARD ? order < 0 : order >= 0;
}

enum { SCAN_TOGETHER = 128 }; /* pairs between two looks for signals */

/* To a pair that is not given out. Those before it are, where nobody needs to look at them. */
static int move_on(struct scan *sc, struct kv_cursor *at, u32 limit)
{
	struct kv_block *b = &sc->b;
	int error;

	if (sc->arg.flags & (STORAGE_BACKWARD | STORAGE_BOUND))
		return move(sc, at);
	/* One less, which the caller gives. */
	b->limit = min_t(u64, limit - 1, (u64)b->count + SCAN_TOGETHER);
	error = kv_next_many(at, b);
	if (error == -EMSGSIZE)
		return 0;
	return error ? error : kv_next(at);
}

/* Under the object's lock. A pair that was come to and not given out is pending. */
static int walk(struct scan *sc)
{
	struct kv_cursor *at = sc->o->cursor;
	const u32 limit = sc->arg.limit ? sc->arg.limit : U32_MAX;
	int error = start(sc, at);

	sc->o->pending = false;
	while (!error) {
		if (is_beyond(sc, at)) {
			sc->arg.state |= STORAGE_AT_BOUND;
			sc->o->pending = true;
			return 0;
		}
		error = give_pair(sc, at);
		if (error) {
			sc->o->pending = true;
			if (error != -EMSGSIZE)
				return error;
			if (sc->b.count)
				return 0;
			sc->arg.out_len = pair_bytes(at);
			return -EMSGSIZE;
		}
		if (sc->b.count == limit || signal_pending(current))
			return 0;
		cond_resched();
		error = move_on(sc, at, limit);
	}
	if (error != -ENOENT)
		return error;
	sc->arg.state |= STORAGE_END;
	return 0;
}

enum {
	SCAN_FLAGS = STORAGE_SEEK | STORAGE_BACKWARD | STORAGE_BOUND | STORAGE_ONCE |
		     STORAGE_STAY | STORAGE_ARENA,
};

static bool scan_fits(const struct storage_scan *a)
{
	return a->version == STORAGE_VERSION && !(a->flags & ~SCAN_FLAGS) &&
	       !(a->flags & STORAGE_STAY && (a->cursor || a->flags != STORAGE_STAY)) &&
	       !a->count && !a->state && !a->reserved[0] && !a->reserved[1] &&
	       !(a->cursor && a->snapshot) && a->out <= U64_MAX - a->out_len;
}

/* Where pairs go. What the program writes there meanwhile is its own affair: nothing of it
 * is read. */
static int find_room(struct scan *sc)
{
	struct storage_side side;

	sc->room = sc->arg.out_len;
	sc->arg.out_len = 0;
	if (!(sc->arg.flags & STORAGE_ARENA))
		return 0;
	if (!storage_ring_side(sc->s, &side))
		return -ENXIO;
	if (sc->arg.out > side.bytes || sc->room > side.bytes - sc->arg.out)
		return -EFAULT;
	sc->arena = side.arena + sc->arg.out;
	return 0;
}

static int cursor_new(struct scan *sc)
{
	struct storage_session *s = sc->s;
	struct storage_object *snap = NULL;
	int error;

	if (sc->arg.snapshot) {
		snap = storage_snapshot_get(s, sc->arg.snapshot);
		if (!snap)
			return -EBADF;
	}
	sc->o = object_new(s);
	error = sc->o ? kv_cursor(s->dev->kv, snap ? snap->snap : NULL, &sc->o->cursor)
		      : -ENOMEM;
	if (snap)
		storage_object_put(snap);
	return error;
}

static int cursor_get(struct scan *sc)
{
	if (!sc->arg.cursor)
		return cursor_new(sc);
	sc->o = object_get(sc->s, sc->arg.cursor);
	return sc->o && sc->o->cursor ? 0 : -EBADF;
}

static int scan(struct scan *sc)
{
	bool made = !sc->arg.cursor, once = sc->arg.flags & STORAGE_ONCE;
	int error = cursor_get(sc);

	if (!error && !sc->arena)
		error = kv_buf_reserve(&sc->c->bytes,
				       min_t(u64, sc->room, STORAGE_KEEP / 2));
	if (error)
		return error;
	sc->b.data = sc->arena ? sc->arena : sc->c->bytes.data;
	sc->b.cap = sc->arena ? sc->room : min_t(u64, sc->c->bytes.cap, sc->room);
	/* Shown first: what comes after may not be undone. */
	if (made && !once) {
		kref_get(&sc->o->ref); /* before another thread can release it */
		error = object_show(sc->s, sc->o, &sc->arg.cursor);
		if (error) {
			storage_object_put(sc->o);
			return error;
		}
	}
	if (sc->arg.flags & STORAGE_STAY)
		return 0;
	if (mutex_lock_interruptible(&sc->o->lock)) {
		error = -EINTR;
	} else {
		error = walk(sc);
		if (!error)
			error = flush(sc);
		sc->arg.count = sc->b.count;
		mutex_unlock(&sc->o->lock);
	}
	if (sc->arg.cursor && (once || (made && error && error != -EMSGSIZE))) {
		object_drop(sc->s, sc->arg.cursor);
		sc->arg.cursor = 0;
	}
	return error;
}

long storage_ioctl_scan(struct storage_session *s, void __user *arg)
{
	struct scan sc = { .s = s };
	long error = 0;

	if (copy_from_user(&sc.arg, arg, sizeof(sc.arg)))
		return -EFAULT;
	if (!scan_fits(&sc.arg)) {
		storage_count(s->dev, refused);
		return -EINVAL;
	}
	error = find_room(&sc);
	if (error)
		return error;
	sc.c = storage_call_begin(s);
	if (!sc.c)
		return -ENOMEM;
	if (sc.arg.flags & STORAGE_SEEK)
		error = take_key(sc.arg.from, sc.arg.from_len, &sc.from);
	if (!error && sc.arg.flags & STORAGE_BOUND)
		error = take_key(sc.arg.to, sc.arg.to_len, &sc.to);
	if (!error)
		error = scan(&sc);
	if (sc.o)
		storage_object_put(sc.o);
	kv_buf_free(&sc.from);
	kv_buf_free(&sc.to);
	storage_call_end(s, sc.c);
	storage_count(s->dev, scans);
	storage_add(s->dev, pairs, sc.arg.count);
	trace_storage_scan(s->dev->name, sc.arg.count, sc.arg.out_len, error);
	if (copy_to_user(arg, &sc.arg, sizeof(sc.arg)))
		return -EFAULT;
	return error;
}
