// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_call.c - operations: checked, copied in, done, copied out. All three ways in end
 * here, and all read what the program gave but once.
 */
#include "storage_frame.h"

#include <linux/ktime.h>
#include <linux/overflow.h>

#include "storage_trace.h"

/* ---- memory of a call, kept for the next one ---- */

struct storage_call *storage_call_begin(struct storage_session *s)
{
	struct storage_call *c = xchg(&s->spare, NULL);

	if (c)
		return c;
	c = port_alloc(sizeof(*c));
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	if (!kv_buf_reserve(&c->bytes, STORAGE_PIECE))
		return c;
	port_free(c);
	return NULL;
}

static void trim(struct kv_buf *b)
{
	if (b->cap > STORAGE_KEEP)
		kv_buf_free(b);
}

void storage_call_free(struct storage_call *c)
{
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < STORAGE_CHUNK; i++)
		kv_buf_free(&c->value[i]);
	kv_buf_free(&c->bytes);
	port_free(c);
}

void storage_call_end(struct storage_session *s, struct storage_call *c)
{
	trim(&c->bytes);
	storage_call_free(xchg(&s->spare, c));
}

/* ---- bytes from and to the program ---- */

static bool in_arena(const struct storage_side *side, u64 at, u64 len)
{
	return at <= side->bytes && len <= side->bytes - at;
}

static int take(const struct storage_side *side, void *to, u64 at, u64 len)
{
	if (!side->arena)
		return copy_from_user(to, u64_to_user_ptr(at), len) ? -EFAULT : 0;
	if (!in_arena(side, at, len))
		return -EFAULT;
	memcpy(to, side->arena + at, len);
	return 0;
}

static int give(const struct storage_side *side, u64 at, const void *from, u64 len)
{
	if (!len)
		return 0;
	if (side->later && len <= STORAGE_PIECE) {
		storage_note(side->later, at, from, len, 0);
		return 0;
	}
	if (!side->arena)
		return copy_to_user(u64_to_user_ptr(at), from, len) ? -EFAULT : 0;
	if (!in_arena(side, at, len))
		return -EFAULT;
	memcpy(side->arena + at, from, len);
	return 0;
}

/* ---- one operation ---- */

static bool well_formed(const struct storage_device *dev, const struct storage_op *op)
{
	/* EXERCISE 2.9 begin: each field that a program can set wrongly
	 *|	return false;
	 */
	unsigned int flags = 0;

	if (op->version != STORAGE_VERSION || op->reserved[0] || op->reserved[1] ||
	    op->result || op->key_len > KV_KEY_MAX)
		return false;
	switch (op->code) {
	case STORAGE_NOP:
	case STORAGE_GET:
		break;
	case STORAGE_PUT:
		flags = STORAGE_DURABILITY;
		break;
	case STORAGE_DELETE_RANGE:
		flags = STORAGE_TO_END;
		fallthrough;
	case STORAGE_DELETE:
		flags |= STORAGE_DURABILITY;
		break;
	default:
		return false;
	}
	if (op->flags & ~flags || (op->flags & STORAGE_DURABILITY) > STORAGE_SYNC)
		return false;
	if (op->snapshot && op->code != STORAGE_GET)
		return false;
	if (op->code == STORAGE_PUT)
		return op->value_len <= dev->value_max;
	if (op->code == STORAGE_DELETE_RANGE && !(op->flags & STORAGE_TO_END))
		return op->value_len <= KV_KEY_MAX;
	return op->code == STORAGE_GET || (!op->value && !op->value_len);
	/* EXERCISE 2.9 end */
}

/* Copies the keys of op[0..n) in. An operation that is malformed gets an error, and no key. */
static int take_keys(struct storage_device *dev, struct storage_call *c, unsigned int n,
		     const struct storage_side *side)
{
	size_t all = 0;
	unsigned int i;
	int error;
	u8 *at;

	for (i = 0; i < n; i++) {
		c->error[i] = well_formed(dev, &c->op[i]) ? 0 : -EINVAL;
		if (c->error[i])
			storage_count(dev, refused);
		else
			all += c->op[i].key_len;
	}
	error = kv_buf_reserve(&c->bytes, all);
	if (error)
		return error;
	at = c->bytes.data;
	for (i = 0; i < n; i++) {
		size_t len = c->error[i] ? 0 : c->op[i].key_len;

		c->key[i] = kv_slice(len ? at : NULL, len);
		at += len;
		if (len && (side->arena || len > STORAGE_PIECE))
			c->error[i] =
				take(side, (void *)c->key[i].data, c->op[i].key, len);
	}
	if (!side->arena)
		storage_take_short(c, n);
	return 0;
}

/* The value of a put, or the end of a range, into b. */
static int take_value(const struct storage_op *op, const struct storage_side *side,
		      struct kv_buf *b)
{
	/* EXERCISE 2.9 begin: room first, then the bytes
	 *|	return -ENOMEM;
	 */
	int error = kv_buf_reserve(b, op->value_len);

	if (!error && op->value_len)
		error = take(side, b->data, op->value, op->value_len);
	b->len = error ? 0 : op->value_len;
	return error;
	/* EXERCISE 2.9 end */
}

static struct kv_op step_of(const struct storage_op *op, struct kv_slice key,
			    struct kv_slice value)
{
	static const enum kv_op_type type[STORAGE_CODES] = {
		[STORAGE_PUT] = KV_PUT,
		[STORAGE_DELETE] = KV_DELETE,
		[STORAGE_DELETE_RANGE] = KV_DELETE_RANGE,
	};

	if (op->code == STORAGE_DELETE || op->flags & STORAGE_TO_END)
		value = kv_slice(NULL, 0);
	else if (op->code == STORAGE_DELETE_RANGE && !value.len)
		value.data = ""; /* [key, ""): nothing, where NULL would be all */
	return (struct kv_op){ type[op->code], key, value };
}

static int do_write(struct storage_session *s, struct storage_call *c, unsigned int i,
		    const struct storage_side *side)
{
	const struct storage_op *op = &c->op[i];
	struct kv_buf *value = &c->value[i];
	struct kv_op step;
	int error = 0;

	value->len = 0;
	if (op->code != STORAGE_DELETE && !(op->flags & STORAGE_TO_END))
		error = take_value(op, side, value);
	if (!error) {
		step = step_of(op, c->key[i], kv_slice(value->data, value->len));
		error = kv_write(s->dev->kv, &step, 1, op->flags & STORAGE_DURABILITY);
	}
	trim(value);
	return error;
}

static void give_value(struct storage_call *c, unsigned int i,
		       const struct storage_side *side)
{
	/* EXERCISE 2.9 begin: the value if it has room, and its length either way
	 *|	c->error[i] = -EFAULT;
	 */
	struct storage_op *op = &c->op[i];
	struct kv_buf *value = &c->value[i];
	u64 room = op->value_len;

	op->value_len = c->error[i] ? 0 : value->len;
	if (!c->error[i])
		c->error[i] = value->len > room
				      ? -EMSGSIZE
				      : give(side, op->value, value->data, value->len);
	trim(value);
	/* EXERCISE 2.9 end */
}

/* To a program short values go together, when all are there. */
static void give_values(struct storage_call *c, unsigned int from, unsigned int to,
			const struct storage_side *side)
{
	struct storage_side noting = *side;
	unsigned int i, before;

	for (i = from; i < to; i++) {
		bool last = side->arena || c->value[i].cap > STORAGE_KEEP;

		/* A large buffer is gone before what was noted is copied. */
		noting.later = last ? NULL : c;
		before = c->pieces;
		give_value(c, i, &noting);
		if (c->pieces > before)
			c->piece[before].op = i;
		if (c->tell_bytes && (!c->error[i] || c->error[i] == -EMSGSIZE))
			storage_note(c, (uintptr_t)c->tell_bytes, &c->op[i].value_len,
				     sizeof(u64), i);
	}
	storage_give_noted(c);
}

/* Gets [from, to), which have no error so far and one snapshot. */
static void do_gets(struct storage_session *s, struct storage_call *c, unsigned int from,
		    unsigned int to, const struct storage_side *side)
{
	struct storage_object *o = NULL;
	struct kv_snapshot *snap = NULL;
	unsigned int i;
	int error = 0;

	if (c->op[from].snapshot) {
		o = storage_snapshot_get(s, c->op[from].snapshot);
		if (o)
			snap = o->snap;
		else
			error = -EBADF;
	}
	if (!error && to - from > 1)
		error = kv_multi_get(s->dev->kv, snap, to - from, &c->key[from],
				     &c->value[from], &c->error[from]);
	else if (!error)
		c->error[from] =
			kv_get_at(s->dev->kv, snap, c->key[from], &c->value[from]);
	if (o)
		storage_object_put(o);
	for (i = from; error && i < to; i++)
		c->error[i] = error;
	give_values(c, from, to, side);
}

/* The end of the gets that can be done together with op[from]. */
static unsigned int gets_end(const struct storage_call *c, unsigned int from,
			     unsigned int n)
{
	unsigned int i = from + 1;

	while (i < n && !c->error[i] && c->op[i].code == STORAGE_GET &&
	       c->op[i].snapshot == c->op[from].snapshot)
		i++;
	return i;
}

static void tell(struct storage_device *dev, const struct storage_call *c,
		 unsigned int from, unsigned int to, u64 begun)
{
	u64 ns = begun ? ktime_get_ns() - begun : 0;
	unsigned int i;

	for (i = from; i < to; i++) {
		const struct storage_op *op = &c->op[i];

		if (op->code < STORAGE_CODES)
			storage_count(dev, op[op->code]);
		if (op->result && op->result != -ENOENT)
			storage_count(dev, failed);
		if (begun)
			trace_storage_op(dev->name, op->code, op->key_len, op->value_len,
					 op->result, ns);
	}
}

void storage_do(struct storage_session *s, struct storage_call *c, unsigned int n,
		const struct storage_side *side)
{
	int no_memory = take_keys(s->dev, c, n, side);
	unsigned int i, k, end;

	for (i = 0; i < n; i = end) {
		u64 begun = trace_storage_op_enabled() ? ktime_get_ns() : 0;

		end = i + 1;
		if (no_memory)
			c->error[i] = no_memory;
		if (c->error[i]) {
			if (c->op[i].code == STORAGE_GET)
				c->op[i].value_len = 0;
		} else if (c->op[i].code == STORAGE_GET) {
			end = gets_end(c, i, n);
			do_gets(s, c, i, end, side);
		} else if (c->op[i].code != STORAGE_NOP) {
			c->error[i] = do_write(s, c, i, side);
		}
		for (k = i; k < end; k++)
			c->op[k].result = c->error[k];
		tell(s->dev, c, i, end, begun);
	}
}

/* ---- a call each ---- */

static const struct storage_side program; /* its own memory */

static bool is_for(const struct storage_op *op, bool put)
{
	if (put)
		return op->code == STORAGE_PUT;
	return op->code == STORAGE_DELETE || op->code == STORAGE_DELETE_RANGE;
}

long storage_ioctl_write(struct storage_session *s, void __user *arg, bool put)
{
	struct storage_call *c = storage_call_begin(s);
	struct storage_op *op;
	long error;

	if (!c)
		return -ENOMEM;
	op = &c->op[0];
	error = -EFAULT;
	if (copy_from_user(op, arg, sizeof(*op)))
		goto out;
	error = -EINVAL;
	if (!is_for(op, put)) {
		storage_count(s->dev, refused);
		goto out;
	}
	storage_do(s, c, 1, &program);
	error = op->result;
out:
	storage_call_end(s, c);
	return error;
}

/* The usual one: of the newest state, with a short key, which is there, and nobody looks on. */
static void get_newest(struct storage_device *dev, struct storage_call *c)
{
	c->error[0] = kv_get(dev->kv, c->key[0], &c->value[0]);
	give_values(c, 0, 1, &program);
	c->op[0].result = c->error[0];
	tell(dev, c, 0, 1, 0);
}

long storage_ioctl_get(struct storage_session *s, void __user *arg)
{
	struct storage_op __user *user = arg;
	struct storage_call *c = storage_call_begin(s);
	struct storage_op *op;
	bool taken;
	long error;

	if (!c)
		return -ENOMEM;
	op = &c->op[0];
	error = storage_take_one(c, user, &taken);
	if (error)
		goto out;
	if (op->code != STORAGE_GET) {
		storage_count(s->dev, refused);
		error = -EINVAL;
		goto out;
	}
	c->tell_bytes = &user->value_len;
	if (taken && !c->error[0] && !op->snapshot && well_formed(s->dev, op) &&
	    !trace_storage_op_enabled())
		get_newest(s->dev, c);
	else
		storage_do(s, c, 1, &program);
	c->tell_bytes = NULL;
	error = op->result;
out:
	storage_call_end(s, c);
	return error;
}

/* ---- many ---- */

/* Values lie behind each other in one buffer, which must not move: its size comes first. */
static long atomic_bytes(struct storage_device *dev, const struct storage_op *op,
			 unsigned int n)
{
	/* EXERCISE 2.9 begin: what take_steps() is going to write, or why not
	 *|	return -EINVAL;
	 */
	u64 all = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!well_formed(dev, &op[i]) || op[i].code == STORAGE_GET ||
		    op[i].code == STORAGE_NOP || op[i].flags & STORAGE_DURABILITY)
			return -EINVAL;
		all += op[i].key_len + op[i].value_len;
		if (all > STORAGE_BATCH_BYTES)
			return -E2BIG;
	}
	return all;
	/* EXERCISE 2.9 end */
}

static int take_steps(const struct storage_op *op, unsigned int n, u8 *at,
		      struct kv_op *step)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		u8 *value = at + op[i].key_len;
		int error = take(&program, at, op[i].key, op[i].key_len);

		if (!error)
			error = take(&program, value, op[i].value, op[i].value_len);
		if (error)
			return error;
		step[i] = step_of(&op[i], kv_slice(at, op[i].key_len),
				  kv_slice(value, op[i].value_len));
		at = value + op[i].value_len;
		cond_resched();
	}
	return 0;
}

static long do_atomic(struct storage_session *s, struct storage_batch *b)
{
	struct storage_op *op = port_alloc(array_size(b->n, sizeof(*op)));
	struct kv_op *step = port_alloc(array_size(b->n, sizeof(*step)));
	void *bytes = NULL;
	long error = -ENOMEM;

	if (!op || !step)
		goto out;
	error = -EFAULT;
	if (copy_from_user(op, u64_to_user_ptr(b->ops), array_size(b->n, sizeof(*op))))
		goto out;
	error = atomic_bytes(s->dev, op, b->n);
	if (error < 0)
		goto out;
	bytes = port_alloc(error);
	error = bytes ? take_steps(op, b->n, bytes, step) : -ENOMEM;
	if (!error)
		error = kv_write(s->dev->kv, step, b->n, b->durability);
	if (!error)
		b->done = b->n;
out:
	port_free(bytes);
	port_free(step);
	port_free(op);
	return error;
}

static long do_each(struct storage_session *s, struct storage_batch *b)
{
	struct storage_op __user *user = u64_to_user_ptr(b->ops);
	struct storage_call *c = storage_call_begin(s);
	long error = 0;
	unsigned int n;

	if (!c)
		return -ENOMEM;
	while (b->done < b->n) {
		n = min_t(unsigned int, b->n - b->done, STORAGE_CHUNK);
		if (copy_from_user(c->op, user + b->done, n * sizeof(c->op[0]))) {
			error = -EFAULT;
			break;
		}
		storage_do(s, c, n, &program);
		if (copy_to_user(user + b->done, c->op, n * sizeof(c->op[0]))) {
			error = -EFAULT;
			break;
		}
		b->done += n;
		if (signal_pending(current) && b->done < b->n) {
			error = -EINTR;
			break;
		}
		cond_resched();
	}
	storage_call_end(s, c);
	return error;
}

long storage_ioctl_batch(struct storage_session *s, void __user *arg)
{
	struct storage_batch __user *user = arg;
	struct storage_batch b;
	long error;

	if (copy_from_user(&b, user, sizeof(b)))
		return -EFAULT;
	if (b.version != STORAGE_VERSION || b.flags & ~STORAGE_ATOMIC || b.done ||
	    b.reserved[0] || b.reserved[1] || b.n > STORAGE_BATCH_MAX ||
	    b.durability > (b.flags & STORAGE_ATOMIC ? STORAGE_SYNC : 0)) {
		storage_count(s->dev, refused);
		return -EINVAL;
	}
	error = b.flags & STORAGE_ATOMIC ? do_atomic(s, &b) : do_each(s, &b);
	if (put_user(b.done, &user->done))
		return -EFAULT;
	return error;
}
