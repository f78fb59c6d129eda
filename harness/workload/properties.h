/* SPDX-License-Identifier: MIT */
/*
 * properties.h - the syntax of Java's .properties files, which YCSB's workloads are in.
 */
#ifndef PROPERTIES_H
#define PROPERTIES_H

#include "../../sprint-1-core-memory/kv.h"

/* name and value are NUL-terminated and good until the callback returns; line counts from 1
 * and is where the property begins. Non-zero ends the reading with it. */
typedef int properties_fn(void *arg, unsigned int line, const char *name,
			  const char *value);

/* Reads comments (# and !), "name=value", "name: value", "name value", continuation lines
 * and escapes (\uXXXX becomes UTF-8). As in Java, blanks before a value are dropped and
 * those behind it are part of it. text need not end with a newline; path is for messages.
 * -EINVAL and why for a malformed \u escape or a NUL byte, -ENOMEM, or what fn returned
 * (why is then fn's business). */
int properties_parse(const char *path, const char *text, size_t len, properties_fn *fn,
		     void *arg, struct kv_msg *why);
/* The same of a file of up to 1 MiB, else -EFBIG; why names it when it cannot be read. */
int properties_read(const char *path, properties_fn *fn, void *arg, struct kv_msg *why);

#endif /* PROPERTIES_H */
