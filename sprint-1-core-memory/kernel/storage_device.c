// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_device.c - one device frame for all engines: a misc device over a store.
 *
 * The store is open as long as the module is loaded. A descriptor holds the module, so rmmod
 * refuses while there is one, and nothing here can be taken away from under a call.
 */
#include <linux/random.h>

#include "storage_frame.h"

static unsigned long value_max = 4ul << 20;
module_param(value_max, ulong, 0444);
MODULE_PARM_DESC(
	value_max,
	"bytes of the largest value that a device takes (default 4 MiB): so much memory may each operation need");

/* ---- descriptors ---- */

static int session_open(struct inode *inode, struct file *file)
{
	/* EXERCISE 1.9 begin: a session of this device, with all of its fields set
	 *|	return -ENXIO;
	 */
	struct miscdevice *misc = file->private_data;
	struct storage_session *s = port_alloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->dev = container_of(misc, struct storage_device, misc);
	xa_init_flags(&s->handles, XA_FLAGS_ALLOC1);
	mutex_init(&s->lock);
	file->private_data = s;
	return nonseekable_open(inode, file);
	/* EXERCISE 1.9 end */
}

static int session_release(struct inode *inode, struct file *file)
{
	/* EXERCISE 1.9 begin: gives back what the session has, and the session
	 *|	return 0;
	 */
	struct storage_session *s = file->private_data;

	storage_ring_free(s->ring); /* waits for its worker, so it goes first */
	storage_handles_free(s);
	storage_call_free(s->spare);
	mutex_destroy(&s->lock);
	port_free(s);
	return 0;
	/* EXERCISE 1.9 end */
}

static __poll_t session_poll(struct file *file, poll_table *table)
{
	return storage_ring_poll(file->private_data, file, table);
}

static int session_mmap(struct file *file, struct vm_area_struct *vma)
{
	return storage_ring_map(file->private_data, vma);
}

/* ---- calls about the store as a whole ---- */

static long ioctl_info(struct storage_device *dev, void __user *arg)
{
	/* EXERCISE 1.9 begin: copy in, check, fill in all of it, copy out
	 *|	return -ENOTTY;
	 */
	const struct kv_ops *ops = dev->ops;
	struct storage_info info;

	if (copy_from_user(&info, arg, sizeof(info)))
		return -EFAULT;
	if (info.version != STORAGE_VERSION || info.flags) {
		storage_count(dev, refused);
		return -EINVAL;
	}
	memset(&info, 0, sizeof(info));
	info.version = STORAGE_VERSION;
	info.caps = ops->caps;
	info.key_min = ops->key_min;
	info.key_max = ops->key_max ? ops->key_max : KV_KEY_MAX;
	info.value_max = dev->value_max;
	info.generation = atomic64_read(&dev->generation);
	strscpy(info.engine, ops->name, sizeof(info.engine));
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
	/* EXERCISE 1.9 end */
}

/* By a cursor, for an engine that deletes no ranges. Keys are borrowed only until it moves. */
static int clear_one_by_one(struct kv *kv)
{
	struct kv_cursor *c;
	int error = kv_cursor(kv, NULL, &c);

	if (error)
		return error;
	while (!(error = kv_next(c))) {
		error = kv_delete(kv, c->key, KV_NONE);
		if (!error && signal_pending(current))
			error = -EINTR;
		if (error)
			break;
		cond_resched();
	}
	kv_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

static int clear(struct kv *kv)
{
	struct kv_op all = { KV_DELETE_RANGE, { "", 0 }, { NULL, 0 } };

	if (kv->ops->caps & KV_CAP_DELETE_RANGE)
		return kv_write(kv, &all, 1, KV_NONE);
	return clear_one_by_one(kv);
}

static int verify(struct kv *kv, char *to, size_t bytes)
{
	struct kv_msg *why = port_alloc(sizeof(*why));
	int error;

	if (!why)
		return -ENOMEM;
	why->text[0] = '\0';
	error = kv_verify(kv, why);
	strscpy(to, why->text, bytes);
	port_free(why);
	return error;
}

static long ioctl_control(struct storage_device *dev, unsigned int cmd, void __user *arg)
{
	/* EXERCISE 1.9 begin: it is too large for the stack; one way out, whatever happens
	 *|	return -ENOTTY;
	 */
	struct storage_control *a = port_alloc(sizeof(*a));
	long error;

	if (!a)
		return -ENOMEM;
	error = -EFAULT;
	if (copy_from_user(a, arg, sizeof(*a)))
		goto out;
	error = -EINVAL;
	if (a->version != STORAGE_VERSION || a->flags || a->reserved) {
		storage_count(dev, refused);
		goto out;
	}
	memset(a->why, 0, sizeof(a->why));
	switch (cmd) {
	case STORAGE_IOC_SYNC:
		error = kv_sync(dev->kv);
		break;
	case STORAGE_IOC_CLEAR:
		error = clear(dev->kv);
		atomic64_set(&dev->generation, get_random_u64());
		break;
	case STORAGE_IOC_COMPACT:
		error = kv_compact(dev->kv);
		break;
	case STORAGE_IOC_VERIFY:
		error = verify(dev->kv, a->why, sizeof(a->why));
		break;
	}
	if (copy_to_user(arg, a, sizeof(*a)))
		error = -EFAULT;
out:
	port_free(a);
	return error;
	/* EXERCISE 1.9 end */
}

static noinline long other_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct storage_session *s = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case STORAGE_IOC_PUT:
		return storage_ioctl_write(s, user, true);
	case STORAGE_IOC_DELETE:
		return storage_ioctl_write(s, user, false);
	case STORAGE_IOC_BATCH:
		return storage_ioctl_batch(s, user);
	case STORAGE_IOC_RING_ENTER:
		return storage_ring_enter(s, arg, !(file->f_flags & O_NONBLOCK));
	case STORAGE_IOC_RING_SETUP:
		return storage_ring_setup(s, user);
	case STORAGE_IOC_SCAN:
		return storage_ioctl_scan(s, user);
	case STORAGE_IOC_SNAPSHOT:
		return storage_ioctl_snapshot(s, user);
	case STORAGE_IOC_RELEASE:
		return storage_ioctl_release(s, user);
	case STORAGE_IOC_STATS:
		return storage_ioctl_stats(s, user);
	case STORAGE_IOC_INFO:
		return ioctl_info(s->dev, user);
	case STORAGE_IOC_SYNC:
	case STORAGE_IOC_CLEAR:
	case STORAGE_IOC_COMPACT:
	case STORAGE_IOC_VERIFY:
		return ioctl_control(s->dev, cmd, user);
	}
	storage_count(s->dev, refused);
	return -ENOTTY;
}

/* What is asked for most does not pay for the stack of the rest. */
static long session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct storage_session *s = file->private_data;

	storage_count(s->dev, calls);
	if (cmd == STORAGE_IOC_NULL)
		return 0;
	if (cmd == STORAGE_IOC_GET)
		return storage_ioctl_get(s, (void __user *)arg);
	return other_ioctl(file, cmd, arg);
}

/* ---- devices ---- */

static const struct file_operations session_fops = {
	.open = session_open,
	.release = session_release,
	.unlocked_ioctl = session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = session_poll,
	.mmap = session_mmap,
	.llseek = no_llseek,
};

static int open_store(struct storage_device *dev, const struct storage_config *config)
{
	struct kv_msg *why = port_alloc(sizeof(*why));
	int error;

	if (!why)
		return -ENOMEM;
	error = kv_open(config->ops, config->env, config->dir ? config->dir : "",
			config->options, &dev->kv, why);
	if (error)
		pr_err("storage-%s: %s (error %d)\n", config->ops->name, why->text,
		       error);
	port_free(why);
	return error;
}

int storage_device_register(const struct storage_config *config,
			    struct storage_device **out)
{
	struct storage_device *dev = port_alloc(sizeof(*dev));
	u64 most = config->ops->value_max ? config->ops->value_max : KV_VALUE_MAX;
	int error = -ENOMEM;

	if (!dev)
		return -ENOMEM;
	memset(dev, 0, sizeof(*dev));
	dev->ops = config->ops;
	dev->value_max = min_t(u64, most, value_max);
	atomic64_set(&dev->generation, get_random_u64());
	dev->fops = session_fops;
	dev->fops.owner = config->owner;
	snprintf(dev->name, sizeof(dev->name), "storage-%s", config->ops->name);
	dev->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = dev->name,
		.fops = &dev->fops,
		.mode = 0660,
	};
	dev->counters = alloc_percpu(struct storage_counters);
	if (!dev->counters)
		goto fail;
	error = open_store(dev, config);
	if (error)
		goto fail;
	error = misc_register(&dev->misc);
	if (error)
		goto fail_store;
	storage_stats_show(dev);
	*out = dev;
	return 0;

fail_store:
	kv_close(dev->kv);
fail:
	free_percpu(dev->counters);
	port_free(dev);
	return error;
}

void storage_device_unregister(struct storage_device *dev)
{
	int error;

	if (!dev)
		return;
	storage_stats_hide(dev);
	misc_deregister(&dev->misc);
	error = kv_close(dev->kv);
	if (error)
		pr_err("%s: closing the store: error %d\n", dev->name, error);
	free_percpu(dev->counters);
	port_free(dev);
}

struct kv *storage_device_kv(struct storage_device *dev)
{
	return dev->kv;
}

static int __init core_init(void)
{
	return storage_stats_init();
}

static void __exit core_exit(void)
{
	storage_stats_exit();
}

module_init(core_init);
module_exit(core_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Storage engines: what the devices of all have in common");
