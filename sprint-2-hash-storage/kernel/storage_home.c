// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_home.c - see storage_home.h. This is also the module storage-files.ko: what stores
 * need of sprint 2, for the modules of all sprints.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>

#include "../env_memory.h"
#include "../epoch.h"
#include "../log.h"
#include "env_kernel.h"
#include "storage_home.h"

/* "a,b" of what there is of both; NULL: no memory. */
static char *join_options(const char *a, const char *b)
{
	size_t n = a ? strlen(a) : 0, m = b ? strlen(b) : 0;
	char *all = port_alloc(n + m + 2);

	if (!all)
		return NULL;
	memcpy(all, a, n);
	if (n && m)
		all[n++] = ',';
	memcpy(all + n, b, m);
	all[n + m] = '\0';
	return all;
}

int storage_home_open(struct storage_home *h, const char *dir, unsigned int memory_mb,
		      const char *options_in_memory, const char *options_in_dir,
		      const char *options)
{
	bool in_memory = !dir || !*dir;
	int error;

	memset(h, 0, sizeof(*h));
	h->options =
		join_options(in_memory ? options_in_memory : options_in_dir, options);
	if (!h->options)
		return -ENOMEM;
	error = env_kernel_new(&h->kernel);
	if (!error && in_memory)
		error = env_memory_new(h->kernel, (uint64_t)memory_mb << 20, &h->memory);
	if (error) {
		storage_home_close(h);
		return error;
	}
	h->env = in_memory ? h->memory : h->kernel;
	h->dir = in_memory ? "store" : dir;
	return 0;
}
EXPORT_SYMBOL_GPL(storage_home_open);

void storage_home_close(struct storage_home *h)
{
	env_memory_free(h->memory);
	env_kernel_free(h->kernel);
	port_free((void *)h->options);
	memset(h, 0, sizeof(*h));
}
EXPORT_SYMBOL_GPL(storage_home_close);

unsigned long storage_home_used(const struct storage_home *h)
{
	return h->memory ? (unsigned long)env_memory_used(h->memory) : 0;
}
EXPORT_SYMBOL_GPL(storage_home_used);

EXPORT_SYMBOL_GPL(storage_selftest);
EXPORT_SYMBOL_GPL(storage_selftest_history);

EXPORT_SYMBOL_GPL(env_kernel_new);
EXPORT_SYMBOL_GPL(env_kernel_free);
EXPORT_SYMBOL_GPL(env_memory_new);
EXPORT_SYMBOL_GPL(env_memory_free);
EXPORT_SYMBOL_GPL(env_memory_used);
EXPORT_SYMBOL_GPL(env_path);
EXPORT_SYMBOL_GPL(env_read_file);
EXPORT_SYMBOL_GPL(env_stats);
EXPORT_SYMBOL_GPL(env_sync_parent);
EXPORT_SYMBOL_GPL(env_take_dir);
EXPORT_SYMBOL_GPL(env_write_file);
EXPORT_SYMBOL_GPL(file_read_exact);

EXPORT_SYMBOL_GPL(epoch_new);
EXPORT_SYMBOL_GPL(epoch_free);
EXPORT_SYMBOL_GPL(epoch_enter);
EXPORT_SYMBOL_GPL(epoch_leave);
EXPORT_SYMBOL_GPL(epoch_retire);
EXPORT_SYMBOL_GPL(epoch_collect);
