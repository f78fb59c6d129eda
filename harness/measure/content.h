/* SPDX-License-Identifier: MIT */
/*
 * content.h - does the store hold what the stream wrote to it?
 *
 * The stream is replayed against nothing but a table of who wrote each key last. With one
 * thread that decides every byte. With several, two threads may have written one key and
 * either may have been last: each value must be some thread's last write to its key.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "runner.h"

/* executed[t]: operations that thread t did, warm-up included. Fills the content_* fields
 * and live_bytes of out. -ENOMEM and errors of the store; a difference is no error. */
int content_check(struct kv *kv, const struct run_config *c, const uint64_t *executed,
		  struct run_result *out);

#endif /* CONTENT_H */
