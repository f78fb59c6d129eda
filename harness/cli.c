/* SPDX-License-Identifier: MIT */
/*
 * cli.c - see cli.h.
 */
#include "cli.h"

#include <getopt.h>

#include "../sprint-1-core-memory/name_distance.h"

enum { OPTIONS_MAX = 48, FIRST_LONG = 256 };

const char *cli_program = "kvbench";

void cli_complain(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "%s: ", cli_program);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- lists and numbers ---- */

static int list_add(struct cli_list *l, const char *item)
{
	if (l->n == CLI_LIST_MAX)
		return -E2BIG;
	l->item[l->n] = strdup(item);
	if (!l->item[l->n])
		return -ENOMEM;
	l->n++;
	return 0;
}

bool cli_list_has(const struct cli_list *l, const char *name)
{
	size_t n = strlen(name), i;

	for (i = 0; i < l->n; i++)
		if (!strncmp(l->item[i], name, n) && l->item[i][n] == '=')
			return true;
	return false;
}

void cli_list_free(struct cli_list *l)
{
	while (l->n)
		free(l->item[--l->n]);
}

static int add_split(struct cli_list *l, const char *text)
{
	int error = 0;

	while (!error && *text) {
		size_t n = strcspn(text, ",");
		char *item = strndup(text, n);

		if (!item)
			return -ENOMEM;
		if (n)
			error = list_add(l, item);
		free(item);
		text += n + (text[n] == ',');
	}
	return error;
}

int cli_number(const char *s, bool binary, uint64_t *out)
{
	uint64_t base = binary ? 1024 : 1000, factor = 1;
	unsigned long long v;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	switch (*end | 32) {
	case 'g':
		factor *= base; /* fall through */
	case 'm':
		factor *= base; /* fall through */
	case 'k':
		factor *= base;
		end++;
	}
	if (*end || v > UINT64_MAX / factor)
		return -EINVAL;
	*out = v * factor;
	return 0;
}

int cli_real(const char *s, double *out)
{
	char *end;
	double v;

	if ((*s < '0' || *s > '9') && *s != '.')
		return -EINVAL;
	v = strtod(s, &end);
	if (*end || !(v <= CLI_REAL_MAX))
		return -EINVAL;
	*out = v;
	return 0;
}

/* ---- names ---- */

const char *cli_nearest(const char *s, const char *(*candidate)(size_t i))
{
	const char *nearest = NULL, *c;
	size_t best = SIZE_MAX, i;

	for (i = 0; (c = candidate(i)); i++) {
		size_t d = name_distance(s, strlen(s), c);

		if (d < best) {
			best = d;
			nearest = c;
		}
	}
	return nearest;
}

/* ---- help ---- */

static void print_help(const struct cli_command *c)
{
	const struct cli_option *o;

	printf("%s %s %s\n\n%s\n", cli_program, c->name, c->arguments, c->summary);
	if (c->details)
		printf("\n%s\n", c->details);
	printf("\nOptions\n");
	for (o = c->options; o->name; o++) {
		char left[64];

		(void)snprintf(left, sizeof(left), "%c%c --%s %s", o->letter ? '-' : ' ',
			       o->letter ? o->letter : ' ', o->name,
			       o->argument ? o->argument : "");
		printf("  %-28s %s\n", left, o->help);
	}
	printf("  -h --help                    this text\n");
}

/* ---- parsing ---- */

static int set_option(const struct cli_option *o, const char *value)
{
	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)o->at = true;
		return 0;
	case CLI_TEXT:
		*(const char **)o->at = value;
		return 0;
	case CLI_LIST:
		return add_split(o->at, value);
	case CLI_REPEAT:
		return list_add(o->at, value);
	case CLI_COUNT:
	case CLI_BYTES:
		return cli_number(value, o->kind == CLI_BYTES, o->at);
	case CLI_REAL:
		return cli_real(value, o->at);
	}
	return -EINVAL;
}

static const struct cli_option
	*names; /* of the command that is parsed, for cli_nearest() */

static const char *option_name(size_t i)
{
	return names[i].name;
}

/* letter is that of a short option, 0 for a long one. */
static void complain_unknown(const struct cli_command *c, int letter, const char *word)
{
	const char *name = word + strspn(word, "-"), *nearest;
	char plain[64];

	if (letter && letter < FIRST_LONG) {
		cli_complain("%s has no option \"-%c\". See %s %s --help", c->name,
			     letter, cli_program, c->name);
		return;
	}
	(void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(name, "="), name);
	names = c->options;
	nearest = cli_nearest(plain, option_name);
	if (letter) /* getopt knows it, and does not like its value */
		cli_complain("option --%s takes no value", plain);
	else
		cli_complain("%s has no option \"%s\"%s%s. See %s %s --help", c->name,
			     word, nearest ? "; nearest is --" : "",
			     nearest ? nearest : "", cli_program, c->name);
}

static void complain_value(const struct cli_option *o, const char *value, int error)
{
	if (error == -ENOMEM)
		cli_complain("no memory for the value of --%s", o->name);
	else
		cli_complain("\"%s\" is not a value for --%s: %s", value, o->name,
			     error == -E2BIG ? "too many" : o->help);
}

int cli_parse(const struct cli_command *c, int argc, char **argv, int *rest)
{
	struct option longs[OPTIONS_MAX + 2] = { 0 };
	char shorts[2 * OPTIONS_MAX + 3] = ":h";
	size_t n, s = 2;
	int found, error;

	for (n = 0; n < OPTIONS_MAX && c->options[n].name; n++) {
		const struct cli_option *o = &c->options[n];

		longs[n] = (struct option){ o->name, o->kind != CLI_FLAG, NULL,
					    FIRST_LONG + (int)n };
		if (!o->letter)
			continue;
		shorts[s++] = o->letter;
		if (o->kind != CLI_FLAG)
			shorts[s++] = ':';
	}
	longs[n] = (struct option){ "help", 0, NULL, FIRST_LONG + (int)n };
	optind = 1;
	opterr = 0;
	while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct cli_option *o = c->options;

		if (found == FIRST_LONG + (int)n || found == 'h') {
			print_help(c);
			return CLI_DONE;
		}
		if (found == '?') {
			complain_unknown(c, optopt, argv[optind - 1]);
			return CLI_USAGE;
		}
		if (found == ':') {
			cli_complain("option \"%s\" needs a value", argv[optind - 1]);
			return CLI_USAGE;
		}
		/* What else getopt gives stands for one of the options. */
		while (found != FIRST_LONG + (int)(o - c->options) && found != o->letter)
			o++;
		error = set_option(o, optarg);
		if (error) {
			complain_value(o, optarg, error);
			return CLI_USAGE;
		}
	}
	if (!rest && optind < argc) {
		cli_complain("%s takes options only, not \"%s\"", c->name, argv[optind]);
		return CLI_USAGE;
	}
	if (rest)
		*rest = optind;
	return CLI_OK;
}
