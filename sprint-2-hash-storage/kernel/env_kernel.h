/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_kernel.h - env.h inside the kernel: its files, threads and clock.
 *
 * Whoever makes it decides what its files are: paths begin at the maker's root directory, and
 * whatever is opened, made or removed later is so with the maker's rights, whichever process
 * asks the device for something. So a user who may write to the device needs no right to the
 * store's directory, and gets none.
 *
 * There are no memory maps: map() gives -EOPNOTSUPP, and engines then read and write.
 */
#ifndef ENV_KERNEL_H
#define ENV_KERNEL_H

struct env;

/* -ENOMEM. Any thread that is a process's own: a module's init. */
int env_kernel_new(struct env **out);
/* Nothing made with it may be left: no file, lock, task or cond. NULL is allowed. */
void env_kernel_free(struct env *env);

#endif /* ENV_KERNEL_H */
