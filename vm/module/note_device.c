// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * note_device.c - /dev/note, which keeps one note: the smallest char device that does
 * something, for the first kernel labs. A write replaces the note, a read gives it back, and
 * two ioctls tell of it and clear it. What the storage devices do with pairs, this does with
 * one string: allocate outside the lock, copy from and to userspace outside the lock, publish
 * under it, free after it.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "note_ioctl.h"

struct note {
	size_t bytes;
	char text[];
};

static DEFINE_MUTEX(note_lock);
static struct note *current_note; /* protected by note_lock; NULL when there is none */
static u64 note_writes;           /* protected by note_lock */

/* Puts a note in the place of the one there is, which it frees. NULL clears. */
static void note_replace(struct note *note)
{
	struct note *old;

	mutex_lock(&note_lock);
	old = current_note;
	current_note = note;
	note_writes++;
	mutex_unlock(&note_lock);
	kfree(old);
}

static ssize_t note_write(struct file *file, const char __user *from, size_t n,
			  loff_t *offset)
{
	struct note *note;

	if (n > NOTE_MAX_BYTES)
		return -EMSGSIZE;
	note = kmalloc(struct_size(note, text, n), GFP_KERNEL_ACCOUNT);
	if (!note)
		return -ENOMEM;
	note->bytes = n;
	if (copy_from_user(note->text, from, n)) {
		kfree(note);
		return -EFAULT;
	}
	note_replace(note);
	return n;
}

static ssize_t note_read(struct file *file, char __user *to, size_t n, loff_t *offset)
{
	ssize_t done = 0;
	char *copy;

	if (!n || *offset < 0 || *offset >= NOTE_MAX_BYTES)
		return 0;
	n = min_t(size_t, n, NOTE_MAX_BYTES);
	copy = kmalloc(n, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	mutex_lock(&note_lock);
	if (current_note && *offset < current_note->bytes) {
		done = min(n, current_note->bytes - (size_t)*offset);
		memcpy(copy, current_note->text + *offset, done);
	}
	mutex_unlock(&note_lock);
	if (copy_to_user(to, copy, done))
		done = -EFAULT;
	else
		*offset += done;
	kfree(copy);
	return done;
}

static long note_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct note_info info = { .capacity = NOTE_MAX_BYTES };

	switch (command) {
	case NOTE_INFO:
		mutex_lock(&note_lock);
		info.bytes = current_note ? current_note->bytes : 0;
		info.writes = note_writes;
		mutex_unlock(&note_lock);
		if (copy_to_user((void __user *)argument, &info, sizeof(info)))
			return -EFAULT;
		return 0;
	case NOTE_CLEAR:
		note_replace(NULL);
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations note_operations = {
	.owner = THIS_MODULE,
	.read = note_read,
	.write = note_write,
	.unlocked_ioctl = note_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = default_llseek,
};

static struct miscdevice note_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "note",
	.fops = &note_operations,
	.mode = 0660,
};

static int __init note_init(void)
{
	return misc_register(&note_device);
}

static void __exit note_exit(void)
{
	misc_deregister(&note_device);
	kfree(current_note);
}

module_init(note_init);
module_exit(note_exit);
MODULE_DESCRIPTION("A device that keeps one note: the first module of the kernel labs");
MODULE_LICENSE("Dual MIT/GPL");
