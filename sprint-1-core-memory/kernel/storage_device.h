/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * storage_device.h - a store behind /dev/storage-NAME, for the modules of the engines.
 *
 *	static struct storage_device *device;
 *
 *	storage_device_register(&(struct storage_config){ .ops = &array_engine,
 *				.owner = THIS_MODULE, .options = "..." }, &device);
 *
 * The kernel's headers come first: see port_kernel.h.
 */
#ifndef STORAGE_DEVICE_H
#define STORAGE_DEVICE_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "../kv.h"
#include "storage_ioctl.h"

#define current get_current()

struct storage_config {
	const struct kv_ops *ops;
	struct module *owner;
	struct env *env;     /* NULL: an engine without files */
	const char *dir;     /* the store's; NULL without files */
	const char *options; /* as for kv_open(); may be NULL */
};

struct storage_device;

/* Opens the store and shows the device. An error has been told to the kernel's log. */
int storage_device_register(const struct storage_config *config,
			    struct storage_device **out);
/* Nobody has the device open: it holds its module. Closes the store. NULL is allowed. */
void storage_device_unregister(struct storage_device *dev);
/* For what a module does beside the device: a shrinker, say. */
struct kv *storage_device_kv(struct storage_device *dev);

#endif /* STORAGE_DEVICE_H */
