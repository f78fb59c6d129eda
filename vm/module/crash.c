// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * crash.c - a module that goes wrong on purpose when it is loaded, so that an oops can be
 * read whose cause is known. The functions call one another so that there is a trace to
 * follow, and none is inlined so that each has a line in it.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

static char *how = "null";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "null: reads through a null pointer; bug: BUG(); panic: panic()");

struct shelf {
	struct shelf *next;
	u64 key;
};

static noinline u64 crash_read_key(const struct shelf *shelf)
{
	return READ_ONCE(shelf->key);
}

static noinline u64 crash_find(const struct shelf *first)
{
	u64 key = crash_read_key(first->next);

	/* Something to do afterwards, or the call would become a jump and leave no trace. */
	pr_info("found %llu\n", key);
	return key;
}

static noinline void crash_bug(void)
{
	BUG();
}

static int __init crash_init(void)
{
	struct shelf first = { .next = NULL };

	if (!strcmp(how, "null"))
		return crash_find(&first) ? -EIO : 0;
	if (!strcmp(how, "bug"))
		crash_bug();
	if (!strcmp(how, "panic"))
		panic("crash.ko was told to");
	return -EINVAL;
}

static void __exit crash_exit(void)
{
}

module_init(crash_init);
module_exit(crash_exit);
MODULE_DESCRIPTION("Goes wrong on purpose, to have an oops to read");
MODULE_LICENSE("Dual MIT/GPL");
