/* SPDX-License-Identifier: MIT */
/*
 * check_verify.c - kvcheck verify: is a store sound? First its files, as they lie there;
 * then, if these are, the store as a program would open it.
 */
#include "../sprint-2-hash-storage/env.h"
#include "checks.h"
#include "cli.h"

static int verify_files(const struct target *t, struct finding_printer *p)
{
	struct kv_msg why = { "" };
	int error;

	if (!t->engine->inspect) {
		printf("%s does not say how to read its files without opening them\n",
		       t->engine->name);
		return 0;
	}
	error = t->engine->inspect->check(env_posix(), t->dir, finding_print, p, &why);
	if (error)
		cli_complain("%s", *why.text ? why.text : strerror(-error));
	return error;
}

static int verify_open(const struct target *t)
{
	struct kv_recovery r;
	struct kv_msg why = { "" };
	struct kv *kv;
	int error = target_open(t, &kv), closed;

	if (error)
		return error;
	kv_recovery(kv, &r);
	printf("opened: %llu records replayed, %llu bytes dropped%s%s\n",
	       (unsigned long long)r.records_replayed,
	       (unsigned long long)r.bytes_dropped, *r.why.text ? ": " : "", r.why.text);
	if (t->engine->ops->caps & KV_CAP_VERIFY) {
		error = kv_verify(kv, &why);
		if (error)
			printf("FAULT: %s\n", *why.text ? why.text : strerror(-error));
		else
			printf("verified: every record and every entry of its index\n");
	} else {
		printf("%s has no verification of its own\n", t->engine->name);
	}
	closed = kv_close(kv);
	if (closed && !error)
		cli_complain("%s: closing: %s", t->dir, strerror(-closed));
	return error ? error : closed;
}

static int verify(const struct target *t, bool files_only, bool verbose)
{
	struct finding_printer p = { .facts = verbose };

	printf("%s: a store of %s\n", t->dir, t->engine->name);
	if (verify_files(t, &p))
		return EXIT_FAILED;
	if (p.faults) {
		printf("%s: faults: %llu. It was not opened, because opening changes files. "
		       "Restore a backup, or save what is left: kvcheck salvage %s NEWDIR\n",
		       t->dir, (unsigned long long)p.faults, t->dir);
		return EXIT_FAILED;
	}
	if (!files_only && verify_open(t))
		return EXIT_FAILED;
	printf("%s: sound%s\n", t->dir, p.notes ? ", with notes" : "");
	return EXIT_OK;
}

int cmd_verify(int argc, char **argv)
{
	bool files_only = false, verbose = false;
	const struct cli_option options[] = {
		{ "files", 0, CLI_FLAG, &files_only, NULL,
		  "read the files only, change nothing" },
		{ "verbose", 'v', CLI_FLAG, &verbose, NULL,
		  "say also what is as it should be" },
		{ 0 },
	};
	const struct cli_command command = {
		"verify", "[ENGINE] DIR", "Tells whether the store in DIR is sound.",
		"First the files are read as they lie there, which changes nothing and works\n"
		"on a store that refuses to open. Each place that is wrong is a line: a FAULT\n"
		"is damage, a note is what the next open puts right without a loss. If there is\n"
		"no fault, the store is then opened as by any program (which may cut a torn\n"
		"tail and write its checkpoint anew), everything in it is read, and it is closed;\n"
		"--files leaves that out. A store with faults is never opened.\n\n"
		"Exit code: 0 sound, 1 damaged or not to be read, 2 usage.",
		options
	};
	struct target t;
	int rest, code, parsed = cli_parse(&command, argc, argv, &rest);

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	code = target_find(argc - rest, argv + rest, "verify", &t);
	return code == EXIT_OK ? verify(&t, files_only, verbose) : code;
}
