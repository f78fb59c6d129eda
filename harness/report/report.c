/* SPDX-License-Identifier: MIT */
/*
 * report.c - a report from its sections, written to files; and what sections share.
 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "section.h"

/* ---- what sections share ---- */

void report_setting_heading(struct report *r, const struct grid_setting *s)
{
	struct text words = { 0 };

	if (r->grid.closed < 2 && s->target == 0)
		return;
	grid_setting_print(s, &words);
	doc_heading(&r->doc, 3, NULL, "%s", text_string(&words));
	text_free(&words);
}

void report_table_figure(struct report *r, struct table *t, const struct grid_engine *e,
			 const json_t *cell, enum figure f,
			 struct formatted (*format)(double v))
{
	const char *status = grid_status(e, cell);
	struct text reason = { 0 };

	if (!strcmp(status, "ok")) {
		table_add(t, TONE_PLAIN, "%s", format(cell_figure(cell, f)).s);
		return;
	}
	table_add(t, strcmp(status, "wrong content") ? TONE_MISSING : TONE_BAD, "%s",
		  status);
	grid_reason(&r->grid, e, cell, &reason);
	table_note(t, text_string(&reason));
	text_free(&reason);
}

struct formatted_name report_picture_name(const char *what, const char *workload,
					  const struct grid_setting *s)
{
	struct formatted_name name;
	char slug[64], setting[64];

	text_slug(slug, sizeof(slug), workload);
	grid_setting_slug(s, setting, sizeof(setting));
	(void)snprintf(name.s, sizeof(name.s), "%.20s-%s-%s", what, slug, setting);
	return name;
}

bool report_measured(const struct report *r, const struct grid_setting *s,
		     const char *workload)
{
	size_t i;

	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];

		if (!strcmp(grid_status(e, grid_cell(&r->grid, s, workload, e)), "ok"))
			return true;
	}
	return false;
}

/* ---- files ---- */

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* A reader never sees half a page: it is renamed into its place. */
static int write_page(const struct page *p, const char *dir, const char *name,
		      struct kv_msg *why)
{
	char path[1024], temporary[1040];
	int fd, error;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	error = fd < 0 ? -errno : write_all(fd, p->out.buf.data, p->out.buf.len);
	if (fd >= 0 && close(fd) && !error)
		error = -errno;
	if (!error && rename(temporary, path))
		error = -errno;
	if (error)
		(void)unlink(temporary);
	return error ? kv_fail(why, error, "%s: %s", path, strerror(-error)) : 0;
}

static int render(struct report *r, const char *title)
{
	static void (*const section[])(struct report *) = {
		section_opening, section_relative, section_kernel,  section_advice,
		section_latency, section_time,     section_scaling, section_load,
		section_space,   section_cost,     section_missing, section_engines,
		section_machine,
	};
	size_t i;

	doc_begin(&r->doc, title);
	for (i = 0; i < sizeof(section) / sizeof(section[0]); i++)
		section[i](r);
	doc_end(&r->doc);
	return doc_error(&r->doc);
}

int report_render(const json_t *set, const char *dir, struct kv_msg *why)
{
	struct report r = { .pictures = { .doc = &r.doc } };
	const struct gnuplot *plots = &r.pictures.gnuplot;
	char title[160];
	int error;

	why->text[0] = '\0';
	if (mkdir(dir, 0777) && errno != EEXIST)
		return kv_fail(why, -errno, "%s cannot be made: %s", dir,
			       strerror(errno));
	error = grid_init(&r.grid, set, why);
	if (!error)
		error = gnuplot_open(&r.pictures.gnuplot, dir, why);
	if (error)
		goto out;
	(void)snprintf(title, sizeof(title), "Storage engines compared: %s",
		       member_text(set, "name", "a run"));
	error = render(&r, title);
	if (error)
		kv_fail(why, error, "no memory for the report");
	if (!error)
		error = write_page(&r.doc.page[PAGE_HTML], dir, "index.html", why);
	if (!error)
		error = write_page(&r.doc.page[PAGE_MARKDOWN], dir, "report.md", why);
	if (!error && (plots->failed || plots->unusable))
		*why = plots->why;
	doc_free(&r.doc);
out:
	grid_free(&r.grid);
	return error;
}
