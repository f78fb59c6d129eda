/* SPDX-License-Identifier: MIT */
/*
 * kvbench.c - the program: finds the subcommand.
 */
#include <signal.h>

#include "cli.h"
#include "commands.h"

static const struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "bench", "run a grid of engines and workloads, and write a report", cmd_bench },
	{ "run", "run one workload on one engine and print what it cost", cmd_run },
	{ "load", "load a store and leave it", cmd_load },
	{ "report", "render the report of a result set again", cmd_report },
	{ "compare", "say what changed between two result sets", cmd_compare },
	{ "engines", "list engines, and why one is not available", cmd_engines },
	{ "workloads", "list workloads and their properties", cmd_workloads },
	{ "doctor", "is this machine fit to measure on?", cmd_doctor },
	{ NULL, NULL, NULL },
};

static const char *command_name(size_t i)
{
	return commands[i].name;
}

static void help(void)
{
	const struct command *c;

	printf("kvbench measures key-value stores: the same work, the same promises.\n\n"
	       "  kvbench COMMAND [OPTION...]\n\n");
	for (c = commands; c->name; c++)
		printf("  %-10s %s\n", c->name, c->summary);
	printf("\nkvbench COMMAND --help tells more of each. docs/BENCHMARKING.md explains\n"
	       "how it measures.\n");
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
	if (!strcmp(argv[1], "replicate"))
		return cmd_replicate(argc - 1, argv + 1);
	for (c = commands; c->name; c++)
		if (!strcmp(argv[1], c->name))
			return c->run(argc - 1, argv + 1);
	cli_complain("no command \"%s\"; nearest is %s. See kvbench --help", argv[1],
		     cli_nearest(argv[1], command_name));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int code;

	/* A write beyond the limit of a file's size fails, as on a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
	code = dispatch(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		cli_complain("standard output cannot be written: %s", strerror(errno));
		return code == EXIT_OK ? EXIT_FAILED : code;
	}
	return code;
}
