/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * storage_frame.h - what the parts of the device frame know of each other.
 *
 *   storage_device.c   register, open, the calls' numbers
 *   storage_call.c     operations: check, copy in, do, copy out
 *   storage_copy.c     many short copies from and to the program at the price of one
 *   storage_scan.c     snapshots and cursors of a descriptor
 *   storage_ring.c     the ring
 *   storage_stats.c    counters, debugfs
 */
#ifndef STORAGE_FRAME_H
#define STORAGE_FRAME_H

#include "storage_device.h"

enum {
	STORAGE_CHUNK = 64,      /* operations that are done together */
	STORAGE_KEEP = 64 << 10, /* bytes that an idle buffer may hold */
	STORAGE_PIECE = 512,     /* bytes of a key or value that is copied by words */
	STORAGE_BATCH_BYTES = 64 << 20, /* in an atomic batch */
	STORAGE_CODES = STORAGE_DELETE_RANGE + 1,
};

struct storage_counters { /* one a processor */
	u64 op[STORAGE_CODES];
	u64 failed;  /* operations whose result was another error than -ENOENT */
	u64 refused; /* operations and calls that were malformed */
	u64 calls, scans, pairs, ring_enters;
};

struct storage_device {
	/* constant after registration */
	struct kv *kv;
	const struct kv_ops *ops;
	u64 value_max;
	char name[32];
	struct file_operations fops;
	struct miscdevice misc;
	struct dentry *debug;
	struct storage_counters __percpu *counters;

	atomic64_t generation;
};

#define storage_count(dev, what)       this_cpu_inc((dev)->counters->what)
#define storage_add(dev, what, amount) this_cpu_add((dev)->counters->what, amount)

struct storage_area;
struct storage_call;

struct storage_session {            /* of a descriptor */
	struct storage_device *dev; /* constant */
	struct xarray handles;      /* of struct storage_object; locks itself */
	struct storage_call *spare; /* atomic: taken by exchange */
	struct mutex lock;          /* for making the ring */
	struct storage_area *ring;  /* set once, by release */
};

/* Where keys and values come from and go to: the program's memory, or a ring's arena. */
struct storage_side {
	u8 *arena; /* NULL: the program's memory */
	u64 bytes;
	struct storage_call
		*later; /* notes pieces for the program; NULL: they go at once */
};

/* What is to be copied to the program. It has no more than STORAGE_PIECE bytes. */
struct storage_piece {
	u64 at;
	const void *from;
	u32 bytes;
	u32 op; /* whose result it is if it can't be copied */
};

/* What doing operations needs; one thread's at a time. */
struct storage_call {
	struct storage_op op[STORAGE_CHUNK];
	struct kv_slice key[STORAGE_CHUNK];
	struct kv_buf value[STORAGE_CHUNK];
	int error[STORAGE_CHUNK];
	struct kv_buf bytes; /* keys that were copied in; of a scan, pairs that go out */
	struct storage_piece piece[STORAGE_CHUNK + 1];
	unsigned int pieces;    /* noted; none between two operations */
	u64 __user *tell_bytes; /* where a get's value_len goes as well; NULL: nowhere */
};

struct storage_object { /* a snapshot or a cursor */
	struct kref ref;
	struct kv *kv;
	struct kv_snapshot *snap; /* of a snapshot */
	struct kv_cursor *cursor; /* of a cursor */
	struct mutex lock;        /* for moving the cursor */
	bool pending; /* under lock: the pair that it stands on was not given out */
};

/* storage_copy.c. An error is that of the operation: c->error. */
/* The first of these and its key, if that is short: then *taken is set, else c has no key.
 * -EFAULT: no operation could be read. */
int storage_take_one(struct storage_call *c, const struct storage_op __user *user,
		     bool *taken);
/* The keys of c->op[0..n) that are short, to where c->key says, unless c->error says no. */
void storage_take_short(struct storage_call *c, unsigned int n);
void storage_give_noted(struct storage_call *c);

/* A copy to the program that is done with others by storage_give_noted(). */
static inline void storage_note(struct storage_call *c, u64 at, const void *from,
				u32 bytes, u32 op)
{
	c->piece[c->pieces++] = (struct storage_piece){ at, from, bytes, op };
}

/* storage_call.c. NULL: no memory. */
struct storage_call *storage_call_begin(struct storage_session *s);
void storage_call_end(struct storage_session *s, struct storage_call *c);
void storage_call_free(struct storage_call *c);
/* Does c->op[0..n): afterwards each has its result. */
void storage_do(struct storage_session *s, struct storage_call *c, unsigned int n,
		const struct storage_side *side);
long storage_ioctl_get(struct storage_session *s, void __user *arg);
long storage_ioctl_write(struct storage_session *s, void __user *arg, bool put);
long storage_ioctl_batch(struct storage_session *s, void __user *arg);

/* storage_scan.c */
long storage_ioctl_snapshot(struct storage_session *s, void __user *arg);
long storage_ioctl_release(struct storage_session *s, void __user *arg);
long storage_ioctl_scan(struct storage_session *s, void __user *arg);
/* NULL: there is none of that number, or it is no snapshot. */
struct storage_object *storage_snapshot_get(struct storage_session *s, u32 handle);
void storage_object_put(struct storage_object *o);
void storage_handles_free(struct storage_session *s);

/* storage_ring.c */
long storage_ring_setup(struct storage_session *s, void __user *arg);
long storage_ring_enter(struct storage_session *s, unsigned long most, bool wait);
int storage_ring_map(struct storage_session *s, struct vm_area_struct *vma);
__poll_t storage_ring_poll(struct storage_session *s, struct file *file,
			   poll_table *table);
/* False: there is no ring yet. */
bool storage_ring_side(struct storage_session *s, struct storage_side *out);
void storage_ring_free(struct storage_area *a);

/* storage_stats.c */
void storage_stats_show(struct storage_device *dev);
void storage_stats_hide(struct storage_device *dev);
long storage_ioctl_stats(struct storage_session *s, void __user *arg);
int storage_stats_init(void);
void storage_stats_exit(void);

#endif /* STORAGE_FRAME_H */
