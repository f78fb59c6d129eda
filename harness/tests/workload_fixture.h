/* SPDX-License-Identifier: MIT */
/*
 * workload_fixture.h - what tests do with workloads everywhere: a preset with settings over
 * it, each "property=value".
 *
 *	struct workload w = MAKE_WORKLOAD("a", "recordcount=1000", "fieldcount=1");
 */
#ifndef WORKLOAD_FIXTURE_H
#define WORKLOAD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../workload/workload.h"

static inline struct workload preset(const char *name)
{
	struct workload w;
	struct kv_msg why = { "" };

	if (workload_preset(name, &w, &why))
		fail_msg("%s", why.text);
	return w;
}

/* settings end with NULL. */
static inline void set_all(struct workload *w, const char *const *settings)
{
	struct kv_msg why = { "" };

	for (; *settings; settings++)
		if (workload_set(w, *settings, &why))
			fail_msg("%s: %s", *settings, why.text);
}

static inline void check_workload(struct workload *w)
{
	struct kv_msg why = { "" };

	if (workload_check(w, &why))
		fail_msg("%s", why.text);
}

static inline struct workload make_workload(const char *name, const char *const *settings)
{
	struct workload w = preset(name);

	set_all(&w, settings);
	check_workload(&w);
	return w;
}
#define MAKE_WORKLOAD(preset, ...) \
	make_workload(preset, (const char *const[]){ __VA_ARGS__, NULL })

#endif /* WORKLOAD_FIXTURE_H */
