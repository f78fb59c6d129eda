/* SPDX-License-Identifier: MIT */
/*
 * gnuplot.c - a child process a picture, and its SVG made fit for a page.
 *
 * The script goes through an unlinked temporary file and not a pipe: a gnuplot that dies
 * early can then neither block nor kill (SIGPIPE) the program that holds the results.
 */
#include "gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int gnuplot_open(struct gnuplot *g, const char *dir, struct kv_msg *why)
{
	char path[PATH_MAX];

	*g = (struct gnuplot){ .dir = dir };
	if (snprintf(path, sizeof(path), "%s/plots", dir) >= (int)sizeof(path))
		return kv_fail(why, -ENAMETOOLONG,
			       "the report's directory has too long a name");
	if (mkdir(path, 0777) && errno != EEXIST)
		return kv_fail(why, -errno, "cannot make directory %s: %s", path,
			       strerror(errno));
	return 0;
}

void gnuplot_add_quoted(struct text *script, const char *s)
{
	text_add(script, "'");
	for (; *s; s++) {
		if (*s == '\'')
			text_add(script, "''");
		else if ((unsigned char)*s < ' ')
			text_add(script, " ");
		else
			text_add_bytes(script, s, 1);
	}
	text_add(script, "'");
}

/* ---- the child ---- */

/* Both files end with the last reference to them. */
struct child_files {
	FILE *script, *errors;
};

static void first_line(FILE *f, char *out, size_t size)
{
	*out = '\0';
	rewind(f);
	/* gnuplot repeats the line and points at the place; the sentence comes after. */
	while (fgets(out, (int)size, f))
		if (strstr(out, "line ") || strstr(out, "annot"))
			break;
	out[strcspn(out, "\n")] = '\0';
}

static int spawn_gnuplot(const struct gnuplot *g, const struct child_files *files,
			 pid_t *pid)
{
	char *const argv[] = { "gnuplot", "-d",
			       NULL }; /* -d: no settings of the user's */
	char path[PATH_MAX];
	posix_spawn_file_actions_t actions;
	int error;

	snprintf(path, sizeof(path), "%s/plots", g->dir);
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawn_file_actions_addchdir_np(&actions, path);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, fileno(files->script),
							 0);
	if (!error)
		error = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null",
							 O_WRONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, fileno(files->errors),
							 2);
	if (!error)
		error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int run_script(struct gnuplot *g, struct text *script)
{
	struct child_files files = { .script = tmpfile(), .errors = tmpfile() };
	char line[120] = "";
	pid_t pid;
	int error;

	if (!files.script || !files.errors) {
		error = kv_fail(&g->why, -errno,
				"cannot make a temporary file for gnuplot: %s",
				strerror(errno));
		g->unusable = true;
		goto out;
	}
	fwrite(script->buf.data, 1, script->buf.len, files.script);
	if (fflush(files.script) || ferror(files.script)) {
		error = kv_fail(&g->why, -EIO,
				"cannot write gnuplot's script: is %s full?", P_tmpdir);
		goto out;
	}
	rewind(files.script);
	error = spawn_gnuplot(g, &files, &pid);
	if (error == -ENOENT) {
		kv_fail(&g->why, error,
			"gnuplot is not installed, so the report has tables but no "
			"pictures: install gnuplot-nox (apt-get install gnuplot-nox) and render "
			"it again with kvbench report");
		g->unusable = true;
		goto out;
	}
	if (error) {
		kv_fail(&g->why, error, "cannot start gnuplot: %s", strerror(-error));
		g->unusable = true;
		goto out;
	}
	error = wait_for(pid);
	if (error) {
		first_line(files.errors, line, sizeof(line));
		kv_fail(&g->why, error,
			"gnuplot failed (%s): install gnuplot-nox 5.2 or newer "
			"and render the report again",
			*line ? line : "it gave no reason");
	}
out:
	if (files.script)
		fclose(files.script);
	if (files.errors)
		fclose(files.errors);
	return error;
}

/* ---- the SVG ---- */

struct replacement {
	const char *from, *to; /* an @ in to becomes the picture's name */
};

/* gnuplot fixes a colour on each group, which would hide the page's; its ids are the same
 * in every picture; its greys are ours. */
static const struct replacement replacements[] = {
	{ " color=\"black\"", "" },
	{ " color=\"white\"", "" },
	{ "fill=\"black\"", "fill=\"currentColor\"" },
	{ "rgb(68,68,68)", "currentColor" },
	{ "rgb( 68,  68,  68)", "currentColor" },
	{ "'#gp", "'#@-gp" },
	{ "id='gp", "id='@-gp" },
	{ " stroke-linecap=\"butt\"", "" },
	{ " stroke-linejoin=\"miter\"", "" },
	{ "id=\"gnuplot_canvas\"", "stroke-linecap=\"round\" stroke-linejoin=\"round\"" },
	{ "<svg ", "<svg role=\"img\" class=\"kvplot\" " },
};

static void add_name(struct text *out, const char *s, const char *name)
{
	for (; *s; s++) {
		if (*s == '@')
			text_add(out, name);
		else
			text_add_bytes(out, s, 1);
	}
}

static void add_replaced(struct text *out, const char *line, size_t len, const char *name)
{
	const size_t n = sizeof(replacements) / sizeof(replacements[0]);
	size_t at = 0, i;

	while (at < len) {
		for (i = 0; i < n; i++) {
			size_t from = strlen(replacements[i].from);

			if (from <= len - at &&
			    !memcmp(line + at, replacements[i].from, from)) {
				add_name(out, replacements[i].to, name);
				at += from;
				break;
			}
		}
		if (i == n)
			text_add_bytes(out, line + at++, 1);
	}
}

static bool begins(const char *line, size_t len, const char *with)
{
	size_t n = strlen(with);

	while (len && (*line == '\t' || *line == ' ')) {
		line++;
		len--;
	}
	return len >= n && !memcmp(line, with, n);
}

static void add_title(struct text *out, const char *title)
{
	text_add(out, "<title>");
	for (; *title; title++) {
		if (*title == '<')
			text_add(out, "&lt;");
		else if (*title == '&')
			text_add(out, "&amp;");
		else if ((unsigned char)*title >= ' ')
			text_add_bytes(out, title, 1);
	}
	text_add(out, "</title>\n");
}

/* Line by line, because that is how gnuplot writes it: drops what a page has no use for
 * and groups without content, which are half of the file. */
static void tidy_svg(const char *s, size_t len, const char *name, const char *title,
		     struct text *out)
{
	const char *end = s + len, *open_group = NULL;
	size_t open_len = 0, n;
	bool in_filter = false;

	for (; s < end; s += n) {
		const char *newline = memchr(s, '\n', (size_t)(end - s));

		n = newline ? (size_t)(newline - s) + 1 : (size_t)(end - s);
		if (begins(s, n, "<filter"))
			in_filter = true;
		if (in_filter || begins(s, n, "<?xml") || begins(s, n, "<desc>") ||
		    n == 1) {
			in_filter &= !begins(s, n, "</filter>");
			continue;
		}
		if (begins(s, n, "<title>")) {
			add_title(out, title);
			continue;
		}
		if (open_group && begins(s, n, "</g>") && n == 5) {
			open_group = NULL;
			continue;
		}
		if (open_group)
			add_replaced(out, open_group, open_len, name);
		open_group = NULL;
		if (begins(s, n, "<g fill=\"none\"")) {
			open_group = s;
			open_len = n;
		} else if (begins(s, n, "<g id=") && memmem(s, n, "_plot_", 6)) {
			text_add(out, "<g>\n");
		} else {
			add_replaced(out, s, n, name);
		}
	}
}

/* Both fail with errno set. */
static int read_file(const char *path, struct text *out)
{
	FILE *f = fopen(path, "re");
	char block[8192];
	size_t n;
	int error = 0;

	if (!f)
		return -errno;
	while ((n = fread(block, 1, sizeof(block), f)))
		text_add_bytes(out, block, n);
	if (ferror(f))
		error = -EIO;
	fclose(f);
	return error;
}

static int write_svg(const char *path, const struct text *body)
{
	FILE *f = fopen(path, "we");
	int error = 0;

	if (!f)
		return -errno;
	fputs("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n", f);
	fwrite(body->buf.data, 1, body->buf.len, f);
	if (ferror(f))
		error = -EIO;
	if (fclose(f) && !error)
		error = -errno;
	return error;
}

/* ---- both ---- */

static int finish_svg(struct gnuplot *g, const char *name, const char *title,
		      struct text *svg)
{
	struct text raw = { 0 }, tidy = { 0 };
	char path[PATH_MAX];
	int error;

	snprintf(path, sizeof(path), "%s/plots/%s.svg", g->dir, name);
	error = read_file(path, &raw);
	if (!error && raw.buf.len == 0)
		error = -EIO;
	if (!error)
		tidy_svg(raw.buf.data, raw.buf.len, name, title, &tidy);
	if (!error && (raw.failed || tidy.failed))
		error = -ENOMEM;
	if (!error)
		error = write_svg(path, &tidy);
	if (error)
		kv_fail(&g->why, error, "cannot finish %s: %s", path, strerror(-error));
	else
		text_add_bytes(svg, tidy.buf.data, tidy.buf.len);
	text_free(&raw);
	text_free(&tidy);
	return error;
}

int gnuplot_draw(struct gnuplot *g, const char *name, const char *title,
		 unsigned int width, unsigned int height, struct text *script,
		 struct text *svg)
{
	struct text whole = { 0 };
	int error;

	if (g->unusable)
		return -ENOENT;
	text_printf(
		&whole,
		"set encoding utf8\n"
		"set terminal svg size %u,%u dynamic noenhanced font 'sans-serif,12'\n"
		"set output '%s.svg'\n",
		width, height, name);
	text_add_bytes(&whole, script->buf.data, script->buf.len);
	/* Twice the pixels for the same layout: sharp in a README. */
	text_printf(
		&whole,
		"\nset terminal pngcairo size %u,%u noenhanced font 'sans,12' fontscale 2 "
		"linewidth 2 pointscale 2 background rgb 'white'\n"
		"set output '%s.png'\nreplot\nset output\n",
		2 * width, 2 * height, name);
	error = whole.failed || script->failed ? -ENOMEM : 0;
	if (error)
		kv_fail(&g->why, error, "no memory for the picture %s", name);
	if (!error)
		error = run_script(g, &whole);
	if (!error)
		error = finish_svg(g, name, title, svg);
	g->drawn += !error;
	g->failed += !!error;
	text_free(&whole);
	return error;
}
