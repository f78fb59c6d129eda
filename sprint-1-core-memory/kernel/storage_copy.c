// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_copy.c - many short copies from and to the program at the price of one.
 *
 * Before the kernel touches a program's memory it opens a gate (SMAP's STAC on x86, PAN on
 * arm64), and closes it afterwards. For a key of 20 bytes the gate and the calls around it cost
 * several times what the copy does. So the gate is opened once for all the keys of a batch, and once
 * for its values.
 *
 * While it is open no function may be called: what looks like calls here are macros. Each
 * address is checked by access_ok() by itself, and before it is read the check must be through
 * (barrier_nospec()), or the processor might run ahead with an address of the kernel's. A
 * page that is not there is brought in; where there is none the copy goes to its label.
 */
#include "storage_frame.h"

#include <linux/nospec.h>

/* x86 has it from Linux 6.16 on. */
#ifndef unsafe_copy_from_user
#define copy_words(to, from, bytes, type, failed)                                    \
	while ((bytes) >= sizeof(type)) {                                            \
		unsafe_get_user(*(type *)(to), (const type __user *)(from), failed); \
		(to) += sizeof(type);                                                \
		(from) += sizeof(type);                                              \
		(bytes) -= sizeof(type);                                             \
	}

#define unsafe_copy_from_user(to, from, bytes, failed)                  \
	do {                                                            \
		u8 *copy_to = (u8 *)(to);                               \
		const u8 __user *copy_from = (const u8 __user *)(from); \
		size_t copy_left = (bytes);                             \
                                                                        \
		copy_words(copy_to, copy_from, copy_left, u64, failed); \
		copy_words(copy_to, copy_from, copy_left, u32, failed); \
		copy_words(copy_to, copy_from, copy_left, u8, failed);  \
	} while (0)
#endif

int storage_take_one(struct storage_call *c, const struct storage_op __user *user,
		     bool *taken)
{
	struct storage_op *op = &c->op[0];
	const void __user *from;
	size_t bytes;

	*taken = false;
	if (!user_access_begin(user, sizeof(*user)))
		return -EFAULT;
	unsafe_copy_from_user(op, user, sizeof(*op), no_op);
	from = u64_to_user_ptr(op->key);
	bytes = op->key_len;
	if (bytes <= STORAGE_PIECE && bytes <= c->bytes.cap) {
		*taken = true;
		c->key[0] = kv_slice(bytes ? c->bytes.data : NULL, bytes);
		c->error[0] = -EFAULT;
		if (!access_ok(from, bytes))
			goto no_key;
		barrier_nospec();
		unsafe_copy_from_user(c->bytes.data, from, bytes, no_key);
		c->error[0] = 0;
	}
no_key:
	user_access_end();
	return 0;
no_op:
	user_access_end();
	return -EFAULT;
}

void storage_take_short(struct storage_call *c, unsigned int n)
{
	unsigned int i;

	/* Opens the gate for no address: each is checked on its own. */
	if (!user_access_begin(NULL, 0))
		return;
	for (i = 0; i < n; i++) {
		const void __user *from = u64_to_user_ptr(c->op[i].key);
		size_t bytes = c->key[i].len;

		if (c->error[i] || bytes > STORAGE_PIECE)
			continue;
		if (!access_ok(from, bytes))
			goto failed;
		barrier_nospec();
		unsafe_copy_from_user((void *)c->key[i].data, from, bytes, failed);
		continue;
	failed:
		c->error[i] = -EFAULT;
	}
	user_access_end();
}

void storage_note(struct storage_call *c, u64 at, const void *from, u32 bytes, u32 op)
{
	c->piece[c->pieces++] = (struct storage_piece){ at, from, bytes, op };
}

void storage_give_noted(struct storage_call *c)
{
	unsigned int i;

	if (!c->pieces || !user_access_begin(NULL, 0))
		return;
	for (i = 0; i < c->pieces; i++) {
		const struct storage_piece *p = &c->piece[i];
		void __user *to = u64_to_user_ptr(p->at);

		if (!access_ok(to, p->bytes))
			goto failed;
		unsafe_copy_to_user(to, p->from, p->bytes, failed);
		continue;
	failed:
		c->error[p->op] = -EFAULT;
	}
	user_access_end();
	c->pieces = 0;
}
