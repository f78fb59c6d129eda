/* SPDX-License-Identifier: MIT */
/*
 * content.h - does the store hold what the stream wrote to it?
 *
 * One thread: every byte is known, so the content must be equal. Several: two may have
 * written one key and either may have been last, so each value must be some thread's last
 * write to its key; which keys there are is exact, unless deletes raced with writes.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "runner.h"

/* The store was loaded and thread t then did executed[t] operations of its stream,
 * warm-up included. Always fills live_bytes of out; the content_* fields if
 * c->check_content. A difference is a verdict, no error; errors are the store's own, with
 * why. Reads the whole store; ends early, unchecked, when interrupted twice. */
int content_check(struct kv *kv, const struct run_config *c, const uint64_t *executed,
		  run_progress_fn *progress, void *arg, struct run_result *out,
		  struct kv_msg *why);

#endif /* CONTENT_H */
