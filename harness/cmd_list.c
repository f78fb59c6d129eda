/* SPDX-License-Identifier: MIT */
/*
 * cmd_list.c - kvbench engines, kvbench workloads: what there is.
 */
#include "cli.h"
#include "commands.h"
#include "engine_label.h"
#include "workload/workload.h"

/* ---- engines ---- */

static void print_engine(const struct engine_info *e, bool tsv)
{
	char caps[256] = "-", absent[256] = "available";

	if (e->ops)
		engine_caps(e, caps, sizeof(caps));
	else
		engines_absence(e, absent, sizeof(absent));
	if (tsv)
		printf("%s\t%s\t%s\t%s\n", e->name, engine_kind_name(e->kind), caps,
		       absent);
	else
		printf("%-12s %-8s %s\n%23s%s%s%s\n", e->name, engine_kind_name(e->kind),
		       e->ops ? e->ops->summary : absent, "", e->ops ? e->version() : "",
		       e->ops ? "; " : "", caps);
}

int cmd_engines(int argc, char **argv)
{
	const struct engine_info *e;
	bool tsv = false;
	const struct cli_option options[] = {
		{ "tsv", 0, CLI_FLAG, &tsv, NULL,
		  "name, kind, capabilities, available or why not" },
		{ 0 },
	};
	const struct cli_command command = { "engines", "[--tsv]",
					     "Lists the engines that can be raced.", NULL,
					     options };
	int parsed = cli_parse(&command, argc, argv, NULL);
	size_t i;

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	if (tsv)
		printf("name\tkind\tcapabilities\tavailable\n");
	for (i = 0; (e = engines_get(i)); i++)
		print_engine(e, tsv);
	return EXIT_OK;
}

/* ---- workloads ---- */

int cmd_workloads(int argc, char **argv)
{
	bool tsv = false, properties = false;
	const struct cli_option options[] = {
		{ "tsv", 0, CLI_FLAG, &tsv, NULL,
		  "name and summary, separated by a tab" },
		{ "properties", 0, CLI_FLAG, &properties, NULL,
		  "every property with its default" },
		{ 0 },
	};
	const struct cli_command command = {
		"workloads", "[--tsv] [--properties]",
		"Lists the workloads. Any YCSB property file can stand in their place.",
		NULL, options
	};
	const struct workload_property *p;
	const char *name;
	int parsed = cli_parse(&command, argc, argv, NULL);
	size_t i;

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	for (i = 0; properties && (p = workload_property(i)); i++)
		printf(tsv ? "%s\t%s\t%s\n" : "%-40s %-38s %s\n", p->name, p->init,
		       p->help);
	for (i = 0; !properties && (name = workload_preset_name(i)); i++) {
		struct workload w;

		if (!workload_preset(name, &w, NULL))
			printf(tsv ? "%s\t%s\n" : "%-12s %s\n", name, w.summary);
	}
	return EXIT_OK;
}
