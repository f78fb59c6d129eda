/* SPDX-License-Identifier: MIT */
/*
 * check_dump.c - kvcheck dump: every pair of a store, or the structure of its files.
 */
#include <jansson.h>

#include "../sprint-2-hash-storage/env.h"
#include "checks.h"
#include "cli.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_HEX };

struct dump {
	enum format format;
	bool keys;
	uint64_t limit;
};

/* ---- one pair ---- */

static void put_hex(struct kv_slice s)
{
	const uint8_t *p = s.data;
	size_t i;

	for (i = 0; i < s.len; i++)
		printf("%02x", p[i]);
}

/* Printable bytes as they are; what is none, as kv_quote(): so a line is a pair. */
static void put_text(struct kv_slice s)
{
	const uint8_t *p = s.data;
	char quoted[8];
	size_t i;

	for (i = 0; i < s.len; i++) {
		if (p[i] >= ' ' && p[i] <= '~' && p[i] != '\\')
			(void)putchar(p[i]);
		else
			(void)fputs(kv_quote(quoted, sizeof(quoted), kv_slice(&p[i], 1)),
				    stdout);
	}
}

/* "name": "..." for UTF-8, else "name_hex": "..." */
static void put_json(const char *name, struct kv_slice s)
{
	json_t *o = json_stringn(s.len ? s.data : "", s.len);
	char *text = o ? json_dumps(o, JSON_ENCODE_ANY) : NULL;

	if (text) {
		printf("\"%s\": %s", name, text);
	} else {
		printf("\"%s_hex\": \"", name);
		put_hex(s);
		(void)putchar('"');
	}
	free(text);
	json_decref(o);
}

static void put_pair(const struct dump *d, const struct kv_cursor *c)
{
	void (*put)(struct kv_slice) = d->format == FORMAT_HEX ? put_hex : put_text;

	if (d->format == FORMAT_JSON) {
		(void)putchar('{');
		put_json("key", c->key);
		if (!d->keys) {
			printf(", ");
			put_json("value", c->value);
		}
		printf("}\n");
		return;
	}
	put(c->key);
	if (!d->keys) {
		(void)putchar('\t');
		put(c->value);
	}
	(void)putchar('\n');
}

/* ---- all of them ---- */

static int dump_pairs(const struct target *t, const struct dump *d)
{
	struct kv_cursor *c = NULL;
	struct kv *kv;
	uint64_t n = 0;
	int error = target_open(t, &kv), closed;

	if (error)
		return EXIT_FAILED;
	error = kv_cursor(kv, NULL, &c);
	while (!error && n < d->limit && !ferror(stdout)) {
		error = kv_next(c);
		if (error)
			break;
		put_pair(d, c);
		n++;
	}
	kv_cursor_close(c);
	closed = kv_close(kv);
	if (error && error != -ENOENT) {
		cli_complain("%s: after %llu pairs: %s. See kvcheck verify", t->dir,
			     (unsigned long long)n, strerror(-error));
		return EXIT_FAILED;
	}
	if (closed)
		cli_complain("%s: closing: %s", t->dir, strerror(-closed));
	return closed ? EXIT_FAILED : EXIT_OK;
}

static int put_line(void *arg, const char *line)
{
	(void)arg;
	return puts(line) < 0 ? -EIO : 0;
}

static int dump_raw(const struct target *t)
{
	struct kv_msg why = { "" };
	int error;

	if (!t->engine->inspect) {
		cli_complain("%s does not say how its files are to be read",
			     t->engine->name);
		return EXIT_FAILED;
	}
	error = t->engine->inspect->structure(env_posix(), t->dir, put_line, NULL, &why);
	if (error)
		cli_complain("%s: %s", t->dir, *why.text ? why.text : strerror(-error));
	return error ? EXIT_FAILED : EXIT_OK;
}

/* A table, a log and their like are read alone, if an engine (the one that is named, or any)
 * says that it can. -1: none does, so it must be a store. */
static int dump_file(int n, char **argv)
{
	const char *path = n ? argv[n - 1] : "";
	struct kv_msg why = { "" };
	const struct engine_info *e;
	size_t i;
	int error = -EOPNOTSUPP;

	for (i = 0; error == -EOPNOTSUPP && (e = engines_get(i)); i++)
		if (e->inspect && e->inspect->structure_of &&
		    (n == 1 || (n == 2 && !strcmp(argv[0], e->name))))
			error = e->inspect->structure_of(env_posix(), path, put_line,
							 NULL, &why);
	if (error == -EOPNOTSUPP)
		return -1;
	if (error)
		cli_complain("%s: %s", path, *why.text ? why.text : strerror(-error));
	return error ? EXIT_FAILED : EXIT_OK;
}

/* ---- the command ---- */

static int parse_format(const char *text, enum format *out)
{
	static const char *const name[] = { "text", "json", "hex" };
	size_t i;

	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (!strcmp(text, name[i])) {
			*out = (enum format)i;
			return 0;
		}
	cli_complain("\"%s\" is not a value for --format: text, json or hex", text);
	return -EINVAL;
}

int cmd_dump(int argc, char **argv)
{
	struct dump d = { .limit = UINT64_MAX };
	const char *format = NULL;
	bool raw = false;
	const struct cli_option options[] = {
		{ "keys", 'k', CLI_FLAG, &d.keys, NULL, "no values" },
		{ "limit", 'n', CLI_COUNT, &d.limit, "N", "so many pairs at most" },
		{ "format", 'f', CLI_TEXT, &format, "F", "text (default), json or hex" },
		{ "raw", 0, CLI_FLAG, &raw, NULL,
		  "the structure of the files, a line a record; opens nothing" },
		{ 0 },
	};
	const struct cli_command command = {
		"dump", "[ENGINE] DIR|FILE", "Prints every pair of the store in DIR.",
		"A line is a pair, key and value separated by a tab. In text, bytes that cannot\n"
		"be printed are \\t, \\n, \\\\ or \\xNN; in json a line is an object, with key_hex or\n"
		"value_hex where bytes are not UTF-8. The order is the engine's: of the keys, if\n"
		"it is ordered, else any; \"| sort\" makes two dumps comparable.\n\n"
		"The store is opened as by any program. --raw opens nothing, changes nothing and\n"
		"reads what refuses to open: the fields of each file, record by record, and the\n"
		"places that hold none. docs/FORMATS.md explains them. --raw FILE reads one file\n"
		"alone, wherever it lies: of lsm a table (*.sst), a blob file (*.blob), or the\n"
		"directory manifest, edit by edit.\n\n"
		"Exit code: 0 done, 1 it cannot be read, 2 usage.",
		options
	};
	struct target t;
	int rest, code, parsed = cli_parse(&command, argc, argv, &rest);

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	if (format && parse_format(format, &d.format))
		return EXIT_USAGE;
	if (raw && (format || d.keys || d.limit != UINT64_MAX)) {
		cli_complain("--raw is of files, not of pairs: it takes no other option");
		return EXIT_USAGE;
	}
	code = raw ? dump_file(argc - rest, argv + rest) : -1;
	if (code >= 0)
		return code;
	code = target_find(argc - rest, argv + rest, "dump", &t);
	if (code != EXIT_OK)
		return code;
	return raw ? dump_raw(&t) : dump_pairs(&t, &d);
}
