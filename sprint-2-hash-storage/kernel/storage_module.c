// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_module.c - see storage_module.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "storage_module.h"

static int run_selftest(struct storage_module *m)
{
	struct kv_msg why = { "" };
	int error = m->selftest ? storage_selftest(m->ops, m->home.env,
						   m->options_selftest, &why)
				: 0;

	if (error)
		pr_err("%s: self-test: %s\n", m->ops->name, why.text);
	return error;
}

int storage_module_start(struct storage_module *m)
{
	struct storage_config config = { .ops = m->ops, .owner = m->owner };
	int error =
		storage_home_open(&m->home, m->dir, m->memory_mb, m->options_in_memory,
				  m->options_in_dir, m->options);

	if (error) {
		pr_err("%s: no memory to begin\n", m->ops->name);
		return error;
	}
	error = run_selftest(m);
	config.env = m->home.env;
	config.dir = m->home.dir;
	config.options = m->home.options;
	if (!error)
		error = storage_device_register(&config, &m->device);
	if (error)
		storage_home_close(&m->home);
	return error;
}
EXPORT_SYMBOL_GPL(storage_module_start);

void storage_module_stop(struct storage_module *m)
{
	storage_device_unregister(m->device);
	storage_home_close(&m->home);
}
EXPORT_SYMBOL_GPL(storage_module_stop);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Files, the log and epochs for the storage engines' modules");
