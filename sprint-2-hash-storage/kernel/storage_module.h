/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * storage_module.h - the module of an engine that has files: its parameters, a self-test, a
 * store in a directory or in memory, and the device in front of it. What is left to the
 * engine's own file is its name and its options.
 */
#ifndef STORAGE_MODULE_H
#define STORAGE_MODULE_H

#include "../../sprint-1-core-memory/kernel/storage_device.h"
#include "storage_home.h"

struct storage_module {
	/* constant */
	const struct kv_ops *ops;
	struct module *owner;
	const char *options_in_memory,
		*options_in_dir; /* that the user's options override */
	const char *options_selftest;

	/* parameters */
	char *dir, *options;
	unsigned int memory_mb;
	bool selftest;

	/* while it runs */
	struct storage_home home;
	struct storage_device *device;
};

/* The caller's module_init and module_exit. An error has been told to the kernel's log. */
int storage_module_start(struct storage_module *m);
void storage_module_stop(struct storage_module *m);

#define STORAGE_PARAMETERS(m)                                                           \
	module_param_named(dir, (m).dir, charp, 0444);                                  \
	MODULE_PARM_DESC(dir,                                                           \
			 "the store's directory, made when absent (its parent must be " \
			 "there); default: none, the store is in memory");              \
	module_param_named(memory_mb, (m).memory_mb, uint, 0444);                       \
	MODULE_PARM_DESC(memory_mb,                                                     \
			 "without dir: MiB that the store's files may take in "         \
			 "memory; beyond it writes get ENOSPC");                        \
	module_param_named(options, (m).options, charp, 0444);                          \
	MODULE_PARM_DESC(options, "the engine's options, \"name=value,...\"");          \
	module_param_named(selftest, (m).selftest, bool, 0444);                         \
	MODULE_PARM_DESC(selftest,                                                      \
			 "try the engine in memory before the device is there "         \
			 "(default Y)")

#endif /* STORAGE_MODULE_H */
