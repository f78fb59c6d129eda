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

/* Where this is defined there is no such gate, or the kernel knows best. Else words are copied,
 * four in a step. */
#ifdef unsafe_copy_from_user
#define take_bytes unsafe_copy_from_user
#define give_bytes unsafe_copy_to_user
#else
#define copy_words(word, to, from, bytes, n, type, failed) \
	while ((bytes) >= (n) * sizeof(type)) {            \
		word(to, from, type, 0, failed);           \
		if ((n) > 1) {                             \
			word(to, from, type, 1, failed);   \
			word(to, from, type, 2, failed);   \
			word(to, from, type, 3, failed);   \
		}                                          \
		(to) += (n) * sizeof(type);                \
		(from) += (n) * sizeof(type);              \
		(bytes) -= (n) * sizeof(type);             \
	}

#define copy_by(word, to_type, to, from_type, from, bytes, failed)               \
	do {                                                                     \
		to_type *copy_to = (to_type *)(to);                              \
		const from_type *copy_from = (const from_type *)(from);          \
		size_t copy_left = (bytes);                                      \
                                                                                 \
		copy_words(word, copy_to, copy_from, copy_left, 4, u64, failed); \
		copy_words(word, copy_to, copy_from, copy_left, 1, u64, failed); \
		copy_words(word, copy_to, copy_from, copy_left, 1, u32, failed); \
		copy_words(word, copy_to, copy_from, copy_left, 1, u8, failed);  \
	} while (0)

#define take_word(to, from, type, i, failed) \
	unsafe_get_user(((type *)(to))[i], (const type __user *)(from) + (i), failed)
#define give_word(to, from, type, i, failed) \
	unsafe_put_user(((const type *)(from))[i], (type __user *)(to) + (i), failed)

#define take_bytes(to, from, bytes, failed) \
	copy_by(take_word, u8, to, u8 __user, from, bytes, failed)
#define give_bytes(to, from, bytes, failed) \
	copy_by(give_word, u8 __user, to, u8, from, bytes, failed)
#endif

/* With the gate open, into which they are built. */
static __always_inline bool take_piece(void *to, const void __user *from, size_t bytes)
{
	if (!access_ok(from, bytes))
		return false;
	barrier_nospec();
	take_bytes(to, from, bytes, failed);
	return true;
failed:
	return false;
}

static __always_inline bool give_piece(const struct storage_piece *p)
{
	void __user *to = u64_to_user_ptr(p->at);

	if (!access_ok(to, p->bytes))
		return false;
	give_bytes(to, p->from, p->bytes, failed);
	return true;
failed:
	return false;
}

int storage_take_one(struct storage_call *c, const struct storage_op __user *user,
		     bool *taken)
{
	struct storage_op *op = &c->op[0];
	size_t bytes;

	*taken = false;
	if (!user_access_begin(user, sizeof(*user)))
		return -EFAULT;
	take_bytes(op, user, sizeof(*op), failed);
	bytes = op->key_len;
	if (bytes <= STORAGE_PIECE && bytes <= c->bytes.cap) {
		*taken = true;
		c->key[0] = kv_slice(bytes ? c->bytes.data : NULL, bytes);
		c->error[0] = -EFAULT;
		if (take_piece(c->bytes.data, u64_to_user_ptr(op->key), bytes))
			c->error[0] = 0;
	}
	user_access_end();
	return 0;
failed:
	user_access_end();
	return -EFAULT;
}

void storage_take_short(struct storage_call *c, unsigned int n)
{
	unsigned int i;

	/* Opens the gate for no address: each is checked on its own. */
	if (!user_access_begin(NULL, 0)) {
		for (i = 0; i < n; i++)
			c->error[i] = -EFAULT;
		return;
	}
	for (i = 0; i < n; i++) {
		const struct kv_slice *key = &c->key[i];

		if (c->error[i] || key->len > STORAGE_PIECE)
			continue;
		if (!take_piece((void *)key->data, u64_to_user_ptr(c->op[i].key),
				key->len))
			c->error[i] = -EFAULT;
	}
	user_access_end();
}

void storage_give_noted(struct storage_call *c)
{
	const unsigned int n = c->pieces;
	unsigned int i;

	if (!n)
		return;
	c->pieces = 0;
	if (!user_access_begin(NULL, 0)) {
		for (i = 0; i < n; i++)
			c->error[c->piece[i].op] = -EFAULT;
		return;
	}
	for (i = 0; i < n; i++)
		if (!give_piece(&c->piece[i]))
			c->error[c->piece[i].op] = -EFAULT;
	user_access_end();
}
