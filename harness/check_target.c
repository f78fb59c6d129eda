/* SPDX-License-Identifier: MIT */
/*
 * check_target.c - see checks.h.
 */
#include "../sprint-2-hash-storage/env.h"
#include "checks.h"
#include "cli.h"

static const char *engine_name(size_t i)
{
	const struct engine_info *e = engines_get(i);

	return e ? e->name : NULL;
}

static int is_something(void *arg, const char *name)
{
	(void)arg, (void)name;
	return 1;
}

/* Opening what is not there would make it. */
static int look(const char *dir)
{
	struct env *env = env_posix();
	int error = env->ops->list(env, dir, is_something, NULL);

	if (error == 1)
		return EXIT_OK;
	if (error == -ENOTDIR)
		cli_complain(
			"%s: a file, not the directory of a store; kvcheck dump --raw "
			"shows what some files hold",
			dir);
	else if (error)
		cli_complain("%s: %s", dir, strerror(-error));
	else
		cli_complain("%s: the directory is empty", dir);
	return EXIT_FAILED;
}

static int find_by_name(const char *name, struct target *out)
{
	out->engine = engines_find(name);
	if (!out->engine) {
		cli_complain("no engine \"%s\"; nearest is %s. See kvbench engines", name,
			     cli_nearest(name, engine_name));
		return EXIT_USAGE;
	}
	if (!out->engine->ops) {
		char absence[160];

		engines_absence(out->engine, absence, sizeof(absence));
		cli_complain("%s: %s", name, absence);
		return EXIT_FAILED;
	}
	if (!(out->engine->ops->caps & KV_CAP_PERSISTENT)) {
		cli_complain("%s keeps nothing on disk", name);
		return EXIT_USAGE;
	}
	if (out->engine->inspect &&
	    out->engine->inspect->recognise(env_posix(), out->dir) == KV_NOT_MINE) {
		cli_complain("%s: no file of a store of %s is here", out->dir, name);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int find_by_files(struct target *out)
{
	enum kv_recognised best = KV_NOT_MINE, mine;
	const struct engine_info *e;
	size_t i;

	for (i = 0; (e = engines_get(i)); i++) {
		if (!e->inspect)
			continue;
		mine = e->inspect->recognise(env_posix(), out->dir);
		if (mine > best) {
			best = mine;
			out->engine = e;
		}
	}
	if (best != KV_NOT_MINE)
		return EXIT_OK;
	cli_complain("%s: no engine knows these files; name the engine before the "
		     "directory",
		     out->dir);
	return EXIT_FAILED;
}

int target_find(int n, char **argv, const char *command, struct target *out)
{
	int code;

	*out = (struct target){ 0 };
	if (n < 1 || n > 2) {
		cli_complain("%s takes one directory, or an engine and a directory. See "
			     "kvcheck %s --help",
			     command, command);
		return EXIT_USAGE;
	}
	out->dir = argv[n - 1];
	if (n == 2 && !engines_find(argv[0]))
		return find_by_name(argv[0], out);
	code = look(out->dir);
	if (code == EXIT_OK)
		code = n == 2 ? find_by_name(argv[0], out) : find_by_files(out);
	return code;
}

int target_open(const struct target *t, struct kv **out)
{
	struct kv_msg why = { "" };
	int error = kv_open(t->engine->ops, env_posix(), t->dir, NULL, out, &why);

	if (error)
		cli_complain("%s", *why.text ? why.text : strerror(-error));
	return error;
}

int finding_print(void *arg, const struct kv_finding *f)
{
	static const char *const word[] = { "", "note: ", "FAULT: " };
	struct finding_printer *p = arg;

	p->notes += f->kind == KV_FOUND_NOTE;
	p->faults += f->kind == KV_FOUND_FAULT;
	if (f->kind == KV_FOUND_FACT && !p->facts)
		return 0;
	printf("%s", word[f->kind]);
	if (f->file)
		printf("%s: ", f->file);
	if (f->offset || f->bytes)
		printf("offset %llu: ", (unsigned long long)f->offset);
	if (f->bytes)
		printf("%llu bytes: ", (unsigned long long)f->bytes);
	printf("%s\n", f->text);
	return 0;
}
