// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_ring.c - operations through shared memory: see storage_ioctl.h.
 *
 * What stands in that memory may change at any time. The kernel's own indices are kept here
 * and only shown there; each of the program's is read once and believed only within bounds;
 * an operation is copied once, then checked. Keys and values are copied before the engine sees
 * them.
 */
#include "storage_frame.h"

struct storage_area {
	/* constant */
	struct storage_session *session;
	u32 entries;
	size_t map_bytes;
	struct storage_ring *shared; /* the whole mapping begins here */
	struct storage_op *sq;
	struct storage_completion *cq;
	struct storage_side side;

	struct mutex lock;
	u32 sq_head, cq_tail; /* under lock; read by poll */
	u32 asked;            /* atomic: operations that the worker is to do */
	int broken;           /* atomic: an error of the worker, for the next call */
	struct work_struct work;
	wait_queue_head_t wait;
};

/* ---- operations ---- */

/* A word at a time, so that each is read but once. */
static void copy_op(struct storage_op *to, const struct storage_op *from)
{
	const u64 *f = (const u64 *)from;
	u64 *t = (u64 *)to;
	unsigned int i;

	for (i = 0; i < sizeof(*to) / sizeof(u64); i++)
		t[i] = READ_ONCE(f[i]);
}

/* How many operations can be done now, and completed. -EPROTO: an index makes no sense. */
static int ready(struct storage_area *a)
{
	/* Pairs with the program's release: the operations below the tail are whole. */
	u32 submitted = smp_load_acquire(&a->shared->sq_tail) - a->sq_head;
	/* As well: it has done with the completions below the head. */
	u32 unseen = a->cq_tail - smp_load_acquire(&a->shared->cq_head);

	if (submitted > a->entries || unseen > a->entries) {
		storage_count(a->session->dev, refused);
		return -EPROTO;
	}
	return min(submitted, a->entries - unseen);
}

static void complete_ops(struct storage_area *a, const struct storage_call *c,
			 unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct storage_completion *to =
			&a->cq[(a->cq_tail + i) & (a->entries - 1)];

		to->user_data = c->op[i].user_data;
		to->value_len = c->op[i].code == STORAGE_GET ? c->op[i].value_len : 0;
		to->result = c->op[i].result;
		memset(to->reserved, 0, sizeof(to->reserved));
	}
	WRITE_ONCE(a->cq_tail, a->cq_tail + n);
	/* Pairs with the program's acquire: completions and values before the tail. */
	smp_store_release(&a->shared->cq_tail, a->cq_tail);
	WRITE_ONCE(a->sq_head, a->sq_head + n);
	/* As well: from here on the program may write over these operations. */
	smp_store_release(&a->shared->sq_head, a->sq_head);
}

/* Under the lock. Does up to most operations; how many, or an error where none was done. */
static long run(struct storage_area *a, struct storage_call *c, unsigned long most)
{
	unsigned long done = 0;
	unsigned int i, n;
	int can;

	while (done < most) {
		can = ready(a);
		if (can <= 0)
			return done || !can ? done : can;
		n = min3((unsigned long)can, most - done, (unsigned long)STORAGE_CHUNK);
		for (i = 0; i < n; i++)
			copy_op(&c->op[i], &a->sq[(a->sq_head + i) & (a->entries - 1)]);
		storage_do(a->session, c, n, &a->side);
		complete_ops(a, c, n);
		done += n;
		if (signal_pending(current))
			break;
		cond_resched();
	}
	return done;
}

static long run_locked(struct storage_area *a, unsigned long most)
{
	struct storage_call *c = storage_call_begin(a->session);
	long done = c ? run(a, c, most) : -ENOMEM;

	if (c)
		storage_call_end(a->session, c);
	if (done > 0)
		wake_up_interruptible(&a->wait);
	return done;
}

/* ---- the doorbell ---- */

static void work(struct work_struct *w)
{
	struct storage_area *a = container_of(w, struct storage_area, work);
	u32 most = xchg(&a->asked, 0);
	long done;

	mutex_lock(&a->lock);
	done = most ? run_locked(a, most) : 0;
	mutex_unlock(&a->lock);
	if (done < 0) {
		xchg(&a->broken, (int)done);
		wake_up_interruptible(&a->wait);
	}
}

long storage_ring_enter(struct storage_session *s, unsigned long most, bool wait)
{
	struct storage_area *a = smp_load_acquire(&s->ring); /* as setup released it */
	long done;

	if (!a)
		return -ENXIO;
	storage_count(s->dev, ring_enters);
	done = xchg(&a->broken, 0);
	if (done)
		return done;
	most = min_t(unsigned long, most, a->entries);
	if (!wait) {
		/* Asked for twice is done once: the worker stops where nothing is submitted. */
		xchg(&a->asked, (u32)most);
		queue_work(system_unbound_wq, &a->work);
		return 0;
	}
	if (mutex_lock_interruptible(&a->lock))
		return -EINTR;
	done = run_locked(a, most);
	mutex_unlock(&a->lock);
	return done;
}

__poll_t storage_ring_poll(struct storage_session *s, struct file *file,
			   poll_table *table)
{
	struct storage_area *a = smp_load_acquire(&s->ring); /* as setup released it */
	__poll_t mask = 0;

	if (!a)
		return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
	poll_wait(file, &a->wait, table);
	if (READ_ONCE(a->cq_tail) != READ_ONCE(a->shared->cq_head))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(a->shared->sq_tail) - READ_ONCE(a->sq_head) < a->entries)
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (READ_ONCE(a->broken))
		mask |= EPOLLERR;
	return mask;
}

/* ---- the memory ---- */

/* Like vmalloc_user(), but charged to the program's memory cgroup. */
static void *shared_alloc(size_t bytes)
{
	unsigned int n = bytes >> PAGE_SHIFT, i;
	struct page **page = kvmalloc_array(n, sizeof(*page), GFP_KERNEL_ACCOUNT);
	void *p;

	if (!page)
		return NULL;
	for (i = 0; i < n; i++) {
		page[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN |
				     __GFP_RETRY_MAYFAIL);
		if (!page[i])
			goto undo;
	}
	p = vmap(page, n, VM_MAP | VM_MAP_PUT_PAGES | VM_USERMAP, PAGE_KERNEL);
	if (p)
		return p; /* vfree() gives the pages and their list back */
undo:
	while (i)
		__free_page(page[--i]);
	kvfree(page);
	return NULL;
}

static struct storage_area *area_new(struct storage_session *s,
				     struct storage_ring_setup *p)
{
	struct storage_area *a = port_alloc(sizeof(*a));
	u8 *base;

	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	p->sq_offset = sizeof(struct storage_ring);
	p->cq_offset = p->sq_offset + p->entries * sizeof(struct storage_op);
	p->arena_offset =
		PAGE_ALIGN(p->cq_offset + p->entries * sizeof(struct storage_completion));
	p->map_bytes = PAGE_ALIGN(p->arena_offset + p->arena_bytes);
	base = shared_alloc(p->map_bytes);
	if (!base) {
		port_free(a);
		return NULL;
	}
	a->session = s;
	a->entries = p->entries;
	a->map_bytes = p->map_bytes;
	a->shared = (struct storage_ring *)base;
	a->sq = (struct storage_op *)(base + p->sq_offset);
	a->cq = (struct storage_completion *)(base + p->cq_offset);
	a->side = (struct storage_side){ base + p->arena_offset, p->arena_bytes };
	mutex_init(&a->lock);
	INIT_WORK(&a->work, work);
	init_waitqueue_head(&a->wait);
	return a;
}

bool storage_ring_side(struct storage_session *s, struct storage_side *out)
{
	struct storage_area *a = smp_load_acquire(&s->ring); /* as setup released it */

	if (a)
		*out = a->side;
	return a;
}

void storage_ring_free(struct storage_area *a)
{
	if (!a)
		return;
	cancel_work_sync(&a->work);
	mutex_destroy(&a->lock);
	vfree(a->shared);
	port_free(a);
}

long storage_ring_setup(struct storage_session *s, void __user *arg)
{
	struct storage_ring_setup p;
	struct storage_area *a;
	long error = 0;

	if (copy_from_user(&p, arg, sizeof(p)))
		return -EFAULT;
	if (p.version != STORAGE_VERSION || p.flags || p.reserved[0] || p.reserved[1] ||
	    p.sq_offset || p.cq_offset || p.arena_offset || p.map_bytes || !p.entries ||
	    p.entries & (p.entries - 1) || p.entries > STORAGE_RING_MAX ||
	    p.arena_bytes > STORAGE_ARENA_MAX) {
		storage_count(s->dev, refused);
		return -EINVAL;
	}
	mutex_lock(&s->lock);
	a = s->ring ? NULL : area_new(s, &p);
	if (s->ring)
		error = -EBUSY;
	else if (!a)
		error = -ENOMEM;
	else if (copy_to_user(arg, &p, sizeof(p)))
		error = -EFAULT;
	if (error)
		storage_ring_free(a);
	else
		smp_store_release(&s->ring, a); /* complete for who finds it */
	mutex_unlock(&s->lock);
	return error;
}

int storage_ring_map(struct storage_session *s, struct vm_area_struct *vma)
{
	struct storage_area *a = smp_load_acquire(&s->ring); /* as setup released it */

	if (!a)
		return -ENXIO;
	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != a->map_bytes ||
	    !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return remap_vmalloc_range(vma, a->shared, 0);
}
