/* SPDX-License-Identifier: MIT */
/*
 * check_salvage.c - kvcheck salvage: what is left of a damaged store, into a new one.
 *
 * The new store is made as NEWDIR.unfinished and renamed when all of it is durable and has
 * been verified: so a NEWDIR that is there is whole.
 */
#include <limits.h>

#include "../sprint-2-hash-storage/env.h"
#include "checks.h"
#include "cli.h"
#include "replicate.h"

struct salvage {
	struct target from;
	const char *to;
	char unfinished[ENV_PATH_MAX];
	bool proven, list;
	struct kv *kv;
	struct finding_printer printer;
	uint64_t saved, doubtful;
};

/* ---- where to ---- */

static bool exists(const char *path)
{
	struct env *env = env_posix();
	struct file *f = NULL;
	int error = env_open(env, path, ENV_READ, &f);

	file_close(f);
	return error != -ENOENT && error != -ENOTDIR;
}

/* Is path, which need not be there yet, dir or below it? */
static bool is_within(const char *path, const char *dir)
{
	char real_dir[PATH_MAX], real_path[PATH_MAX], parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n;

	(void)snprintf(parent, sizeof(parent), "%.*s",
		       slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	if (!realpath(dir, real_dir) || !realpath(parent, real_path))
		return false;
	n = strlen(real_dir);
	return !strncmp(real_path, real_dir, n) &&
	       (!real_path[n] || real_path[n] == '/' || n == 1);
}

static int choose_place(struct salvage *s)
{
	size_t n = strlen(s->to);

	while (n > 1 && s->to[n - 1] == '/')
		n--;
	if ((size_t)snprintf(s->unfinished, sizeof(s->unfinished), "%.*s.unfinished",
			     (int)n, s->to) >= sizeof(s->unfinished)) {
		cli_complain("the path of the new store is too long");
		return EXIT_USAGE;
	}
	if (is_within(s->unfinished, s->from.dir)) {
		cli_complain("%s is in %s, which salvage does not change: name another "
			     "place",
			     s->to, s->from.dir);
		return EXIT_USAGE;
	}
	if (exists(s->to)) {
		cli_complain("%s is there already: name a new directory", s->to);
		return EXIT_FAILED;
	}
	if (exists(s->unfinished)) {
		cli_complain(
			"%s is there: of a salvage that was cut short, or still runs. "
			"Remove it first",
			s->unfinished);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* ---- pairs ---- */

static void print_doubtful(const struct salvage *s, struct kv_slice key)
{
	const uint8_t *p = key.data;
	char quoted[8];
	size_t i;

	printf("%s\t", s->proven ? "left out" : "in doubt");
	for (i = 0; i < key.len; i++)
		printf("%s", kv_quote(quoted, sizeof(quoted), kv_slice(&p[i], 1)));
	(void)putchar('\n');
}

static int save(void *arg, const struct kv_salvaged *pair)
{
	struct salvage *s = arg;
	int error;

	s->doubtful += pair->doubtful;
	if (pair->doubtful && s->list)
		print_doubtful(s, pair->key);
	if (pair->doubtful && s->proven)
		return 0;
	error = kv_put(s->kv, pair->key, pair->value, KV_NONE);
	if (error)
		cli_complain("%s: a pair cannot be written: %s", s->unfinished,
			     strerror(-error));
	s->saved += !error;
	return error;
}

static int found(void *arg, const struct kv_finding *f)
{
	struct salvage *s = arg;

	return finding_print(&s->printer, f);
}

/* ---- the whole ---- */

static int finish_store(struct salvage *s)
{
	struct env *env = env_posix();
	struct kv_msg why = { "" };
	int error = kv_sync(s->kv), closed;

	if (!error && s->kv->ops->caps & KV_CAP_VERIFY)
		error = kv_verify(s->kv, &why);
	closed = kv_close(s->kv);
	s->kv = NULL;
	if (!error)
		error = closed;
	if (!error)
		error = env->ops->rename(env, s->unfinished, s->to);
	if (!error)
		error = env_sync_parent(env, s->to);
	if (error)
		cli_complain("%s cannot be made durable: %s", s->to,
			     *why.text ? why.text : strerror(-error));
	return error;
}

static int fill(struct salvage *s)
{
	const struct target to = { s->from.engine, s->unfinished };
	struct kv_msg why = { "" };
	int error = target_open(&to, &s->kv);

	if (error)
		return error;
	error = s->from.engine->inspect->salvage(env_posix(), s->from.dir, save, found, s,
						 &why);
	if (error && *why.text)
		cli_complain("%s", why.text);
	if (!error)
		return finish_store(s);
	(void)kv_close(s->kv);
	return error;
}

static int salvage(struct salvage *s)
{
	int code = choose_place(s);

	if (code != EXIT_OK)
		return code;
	if (!s->from.engine->inspect) {
		cli_complain("%s does not say how to save what is left of its files",
			     s->from.engine->name);
		return EXIT_FAILED;
	}
	if (fill(s)) {
		(void)remove_tree(s->unfinished);
		return EXIT_FAILED;
	}
	printf("%s: %llu pairs saved; %llu may have had a newer version that is lost%s\n",
	       s->to, (unsigned long long)s->saved, (unsigned long long)s->doubtful,
	       !s->doubtful ? ""
	       : s->proven  ? ", and were left out"
	       : s->list    ? ""
			    : " (--list names them)");
	return s->printer.faults ? EXIT_FAILED : EXIT_OK;
}

int cmd_salvage(int argc, char **argv)
{
	struct salvage s = { 0 };
	const struct cli_option options[] = {
		{ "proven", 0, CLI_FLAG, &s.proven, NULL,
		  "leave out pairs that may be old" },
		{ "list", 0, CLI_FLAG, &s.list, NULL, "name the keys of such pairs" },
		{ 0 },
	};
	const struct cli_command command = {
		"salvage", "[ENGINE] DIR NEWDIR",
		"Saves what is left of the store in DIR into a new one, NEWDIR.",
		"DIR is only read, and may refuse to open. Every record with a good checksum is\n"
		"taken, also behind damage; a batch is taken as a whole or not at all; of each\n"
		"key the newest version that is left is written. What is lost is told by file and\n"
		"place. Where something durable is lost, older versions may have come to light,\n"
		"and deleted keys again: such pairs are counted, named by --list, and left out\n"
		"by --proven. All keys must fit into memory.\n\n"
		"NEWDIR appears when all of it is durable; until then it is NEWDIR.unfinished,\n"
		"which a salvage that was interrupted leaves behind.\n\n"
		"Exit code: 0 nothing was lost, 1 something was (NEWDIR is there), or it failed\n"
		"(NEWDIR is not), 2 usage.",
		options
	};
	int rest, code, parsed = cli_parse(&command, argc, argv, &rest);

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	if (argc - rest < 2 || argc - rest > 3) {
		cli_complain(
			"salvage takes a directory and a new one. See kvcheck salvage "
			"--help");
		return EXIT_USAGE;
	}
	s.to = argv[argc - 1];
	code = target_find(argc - rest - 1, argv + rest, "salvage", &s.from);
	return code == EXIT_OK ? salvage(&s) : code;
}
