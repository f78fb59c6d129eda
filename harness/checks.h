/* SPDX-License-Identifier: MIT */
/*
 * checks.h - kvcheck's subcommands, and what they share: whose store is in a directory?
 *
 * Exit codes: 0 sound, or done without a loss; 1 damage was found, or it failed; 2 usage.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include "commands.h"
#include "engines.h"

struct target {
	const struct engine_info *engine;
	const char *dir;
};

int cmd_verify(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_salvage(int argc, char **argv);

/* [ENGINE] DIR: the engine by its name, or by the store's own files. EXIT_OK, or the code
 * to end with after a complaint. n: how many words of argv are there. */
int target_find(int n, char **argv, const char *command, struct target *out);

/* Opens the store as a program would; complains. */
int target_open(const struct target *t, struct kv **out);

struct finding_printer {
	bool facts; /* print them, too */
	uint64_t notes, faults;
};

/* A kv_finding_fn; arg is a struct finding_printer. One line on stdout. */
int finding_print(void *arg, const struct kv_finding *f);

#endif /* CHECKS_H */
