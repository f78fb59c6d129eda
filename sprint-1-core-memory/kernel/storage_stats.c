// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_stats.c - counters of the frame and of the engine, by ioctl and in
 * /sys/kernel/debug/storage/NAME.
 */
#include "storage_frame.h"

#define CREATE_TRACE_POINTS
#include "storage_trace.h"

static struct dentry *root;

static void sum(const struct storage_device *dev, struct storage_counters *all)
{
	int cpu, i;

	memset(all, 0, sizeof(*all));
	for_each_possible_cpu(cpu)
	{
		const struct storage_counters *c = per_cpu_ptr(dev->counters, cpu);

		for (i = 0; i < STORAGE_CODES; i++)
			all->op[i] += READ_ONCE(c->op[i]);
		all->failed += READ_ONCE(c->failed);
		all->refused += READ_ONCE(c->refused);
		all->calls += READ_ONCE(c->calls);
		all->scans += READ_ONCE(c->scans);
		all->pairs += READ_ONCE(c->pairs);
		all->ring_enters += READ_ONCE(c->ring_enters);
	}
}

/* The frame's counters first, then the engine's. */
static void each_stat(struct storage_device *dev, kv_stat_fn *emit, void *arg)
{
	struct storage_counters c;

	sum(dev, &c);
	emit(arg, "device_nops", c.op[STORAGE_NOP]);
	emit(arg, "device_gets", c.op[STORAGE_GET]);
	emit(arg, "device_puts", c.op[STORAGE_PUT]);
	emit(arg, "device_deletes", c.op[STORAGE_DELETE] + c.op[STORAGE_DELETE_RANGE]);
	emit(arg, "device_failed", c.failed);
	emit(arg, "device_refused", c.refused);
	emit(arg, "device_calls", c.calls);
	emit(arg, "device_scans", c.scans);
	emit(arg, "device_pairs", c.pairs);
	emit(arg, "device_ring_enters", c.ring_enters);
	kv_stats(dev->kv, emit, arg);
}

static void print_stat(void *arg, const char *name, uint64_t value)
{
	seq_printf(arg, "%-32s %llu\n", name, value);
}

static int stats_show(struct seq_file *m, void *unused)
{
	each_stat(m->private, print_stat, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void storage_stats_show(struct storage_device *dev)
{
	dev->debug = debugfs_create_file(dev->ops->name, 0444, root, dev, &stats_fops);
}

void storage_stats_hide(struct storage_device *dev)
{
	debugfs_remove(dev->debug);
}

int storage_stats_init(void)
{
	root = debugfs_create_dir("storage", NULL);
	return 0;
}

void storage_stats_exit(void)
{
	debugfs_remove(root);
}

/* ---- by ioctl ---- */

struct stats_out {
	struct storage_stat __user *to;
	u32 room, n;
	int error;
};

static void copy_stat(void *arg, const char *name, uint64_t value)
{
	struct stats_out *o = arg;
	struct storage_stat stat = { .value = value };

	strscpy(stat.name, name, sizeof(stat.name));
	if (o->n < o->room && !o->error &&
	    copy_to_user(o->to + o->n, &stat, sizeof(stat)))
		o->error = -EFAULT;
	o->n++;
}

long storage_ioctl_stats(struct storage_session *s, void __user *arg)
{
	struct storage_stats __user *user = arg;
	struct storage_stats a;
	struct stats_out o = { 0 };

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	if (a.version != STORAGE_VERSION || a.flags || a.reserved) {
		storage_count(s->dev, refused);
		return -EINVAL;
	}
	o.to = u64_to_user_ptr(a.stats);
	o.room = a.n;
	each_stat(s->dev, copy_stat, &o);
	if (put_user(o.n, &user->n))
		return -EFAULT;
	return o.error;
}
