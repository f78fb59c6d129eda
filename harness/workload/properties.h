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
 * and escapes. Blanks behind a value are cut, which Java does not do: there they only ever
 * cause errors. text need not end with a newline. */
int properties_parse(const char *text, size_t len, properties_fn *fn, void *arg);
/* The same of a file; why names it when it cannot be read. */
int properties_read(const char *path, properties_fn *fn, void *arg, struct kv_msg *why);

#endif /* PROPERTIES_H */
