/* SPDX-License-Identifier: MIT */
/*
 * engine_label.h - engines as the command line writes them: name[@home][:option=value]...
 *
 * The home is where an engine of ours keeps its files: see engines_home().
 */
#ifndef ENGINE_LABEL_H
#define ENGINE_LABEL_H

#include <jansson.h>

#include "engines.h"

struct engine_label {
	const char *label; /* as given; the caller's */
	const struct engine_info *info;
	char home[16];     /* "" unless given */
	char options[512]; /* "name=value,..." for kv_open() */
};

/* -EINVAL for an unknown engine; why names the nearest. Options are not yet checked. */
int engine_label_parse(const char *label, struct engine_label *out, struct kv_msg *why);
/* Can it be opened so here: would kv_open() take the options, and is the home to be had?
 * Else an error, and why. */
int engine_label_check(const struct engine_label *e, struct kv_msg *why);

/* "cursor ordered snapshot ..." */
void engine_caps(const struct engine_info *e, char *out, size_t n);

/* The "engines" entry of a result set. */
json_t *engine_label_json(const struct engine_label *e);

#endif /* ENGINE_LABEL_H */
