/* SPDX-License-Identifier: MIT */
/*
 * ycsb_property.h - every property that a YCSB workload file may hold, and what becomes
 * of it here.
 */
#ifndef YCSB_PROPERTY_H
#define YCSB_PROPERTY_H

#include "workload.h"

/* Sets what the property stands for. -EINVAL: unknown (why names the nearest) or a value
 * that does not fit; -EOPNOTSUPP: known, and makes no sense here. */
int ycsb_property_set(struct workload *w, const char *name, const char *value,
		      struct kv_msg *why);
/* The i-th property of those that shape the work, its present value as text; false past
 * the last. */
bool ycsb_property_get(const struct workload *w, size_t i, const char **name, char *text,
		       size_t n);

#endif /* YCSB_PROPERTY_H */
