/* SPDX-License-Identifier: MIT */
/*
 * kvcheck.c - the program: looks after stores that nobody has open. Finds the subcommand.
 */
#include <signal.h>

#include "checks.h"
#include "cli.h"

static const struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "verify", "is the store sound?", cmd_verify },
	{ "dump", "print its pairs, or the structure of its files", cmd_dump },
	{ "salvage", "save what is left of a damaged store into a new one", cmd_salvage },
	{ NULL, NULL, NULL },
};

static const char *command_name(size_t i)
{
	return commands[i].name;
}

static void help(void)
{
	const struct command *c;

	printf("kvcheck looks after stores that nobody has open.\n\n"
	       "  kvcheck COMMAND [OPTION...] [ENGINE] DIR\n\n");
	for (c = commands; c->name; c++)
		printf("  %-10s %s\n", c->name, c->summary);
	printf("\nThe engine is known by the store's own files where they tell. Exit code: 0\n"
	       "sound, 1 damaged or failed, 2 usage. kvcheck COMMAND --help tells more of "
	       "each.\n");
}

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

static int dispatch(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2 || asks_for_help(argv[1])) {
		help();
		return argc < 2 ? EXIT_USAGE : EXIT_OK;
	}
	for (c = commands; c->name; c++)
		if (!strcmp(argv[1], c->name))
			return c->run(argc - 1, argv + 1);
	cli_complain("no command \"%s\"; nearest is %s. See kvcheck --help", argv[1],
		     cli_nearest(argv[1], command_name));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int code;

	cli_program = "kvcheck";
	/* A write beyond the limit of a file's size fails, as on a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
	code = dispatch(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		cli_complain("standard output cannot be written: %s", strerror(errno));
		return code == EXIT_OK ? EXIT_FAILED : code;
	}
	return code;
}
