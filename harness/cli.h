/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the command line: a table of options per command, over getopt_long(3).
 */
#ifndef CLI_H
#define CLI_H

#include "../sprint-1-core-memory/kv.h"

enum cli_kind {
	CLI_FLAG,   /* bool */
	CLI_TEXT,   /* const char * */
	CLI_LIST,   /* struct cli_list: comma-separated, may be given again */
	CLI_REPEAT, /* struct cli_list: one whole value each time */
	CLI_COUNT,  /* uint64_t; takes k, m, g as thousands */
	CLI_BYTES,  /* uint64_t; takes k, m, g as powers of 1024 */
	CLI_REAL,   /* double, 0 to CLI_REAL_MAX */
};

enum { CLI_LIST_MAX = 64 };

struct cli_list {
	char *item[CLI_LIST_MAX]; /* owned */
	size_t n;
};

struct cli_option { /* a table ends with a NULL name */
	const char *name;
	char letter; /* 0: none */
	enum cli_kind kind;
	void *at;
	const char *argument, *help; /* argument: its name in the help */
};

struct cli_command {
	const char *name, *arguments, *summary;
	const char *details; /* more for --help; may be NULL */
	const struct cli_option *options;
};

enum { CLI_OK, CLI_DONE, CLI_USAGE };

/* Sets what the options name. Returns CLI_OK with *rest the index of the first argument
 * that is no option, CLI_DONE after --help, CLI_USAGE after a complaint on stderr. rest
 * NULL: the command takes options only. */
int cli_parse(const struct cli_command *c, int argc, char **argv, int *rest);

bool cli_list_has(const struct cli_list *l, const char *name); /* a name=value item */
void cli_list_free(struct cli_list *l);

/* A number from 0 to CLI_REAL_MAX: what is larger is a slip, and no count of nanoseconds
 * overflows. */
#define CLI_REAL_MAX 1e9
int cli_real(const char *s, double *out);
/* Digits with an optional k, m or g (thousands, or powers of 1024 if binary). */
int cli_number(const char *s, bool binary, uint64_t *out);
/* The candidate that s is nearest to, NULL when there is none. */
const char *cli_nearest(const char *s, const char *(*candidate)(size_t i));

/* The program's name, for help and complaints; main() sets it. */
extern const char *cli_program;

/* Complains on stderr as "PROGRAM: ..." */
void cli_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* CLI_H */
