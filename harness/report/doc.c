/* SPDX-License-Identifier: MIT */
/*
 * doc.c - tables in memory, and each word of a report given to every page.
 */
#include "doc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---- */

static char *format_new(const char *fmt, va_list args)
{
	char *s;

	return vasprintf(&s, fmt, args) < 0 ? NULL : s;
}

/* Room for one more of n things of a size; doubles at powers of two. */
static bool grow(void *array, size_t n, size_t size)
{
	void **p = array, *bigger;

	if (n & (n - 1))
		return true;
	bigger = realloc(*p, (n ? n * 2 : 1) * size);
	if (!bigger)
		return false;
	*p = bigger;
	return true;
}

void table_caption(struct table *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	t->caption = format_new(fmt, args);
	va_end(args);
	t->failed |= !t->caption;
}

static void add_string(struct table *t, char ***array, size_t *n, char *s)
{
	if (!s || !grow(array, *n, sizeof(char *))) {
		t->failed = true;
		free(s);
		return;
	}
	(*array)[(*n)++] = s;
}

void table_column(struct table *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_string(t, &t->column, &t->columns, format_new(fmt, args));
	va_end(args);
}

void table_add(struct table *t, enum tone tone, const char *fmt, ...)
{
	struct table_cell c = { .tone = tone };
	va_list args;

	va_start(args, fmt);
	c.text = format_new(fmt, args);
	va_end(args);
	if (!c.text || t->failed || !grow(&t->cell, t->cells, sizeof(c))) {
		t->failed = true;
		free(c.text);
		return;
	}
	t->cell[t->cells++] = c;
}

void table_small(struct table *t, const char *fmt, ...)
{
	struct table_cell *c;
	va_list args;

	if (t->failed)
		return;
	c = &t->cell[t->cells - 1];
	free(c->small);
	va_start(args, fmt);
	c->small = format_new(fmt, args);
	va_end(args);
	t->failed |= !c->small;
}

void table_note(struct table *t, const char *text)
{
	size_t i;

	for (i = 0; i < t->notes; i++)
		if (!strcmp(t->note[i], text))
			break;
	if (i == t->notes)
		add_string(t, &t->note, &t->notes, strdup(text));
	if (!t->failed)
		t->cell[t->cells - 1].note = (unsigned int)i + 1;
}

static void table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->columns; i++)
		free(t->column[i]);
	for (i = 0; i < t->cells; i++) {
		free(t->cell[i].text);
		free(t->cell[i].small);
	}
	for (i = 0; i < t->notes; i++)
		free(t->note[i]);
	free(t->column);
	free(t->cell);
	free(t->note);
	free(t->caption);
	*t = (struct table){ 0 };
}

/* ---- every page ---- */

#define EACH_PAGE(d, call, ...)                                                 \
	do {                                                                    \
		for (size_t i_ = 0; i_ < PAGES; i_++)                           \
			(d)->page[i_].ops->call(&(d)->page[i_], ##__VA_ARGS__); \
	} while (0)

void doc_begin(struct doc *d, const char *title)
{
	*d = (struct doc){ 0 };
	d->page[PAGE_HTML].ops = &html_page_ops;
	d->page[PAGE_MARKDOWN].ops = &markdown_page_ops;
	for (size_t i = 0; i < PAGES; i++)
		d->page[i].title = title;
	EACH_PAGE(d, begin);
}

/* The list of sections is known when all are written; its place is before them. */
static void insert_contents(struct page *p)
{
	struct text whole = { 0 };

	text_add_bytes(&whole, p->out.buf.data, p->contents_at);
	text_add_bytes(&whole, p->contents.buf.data ? p->contents.buf.data : "",
		       p->contents.buf.len);
	text_add_bytes(&whole, (const char *)p->out.buf.data + p->contents_at,
		       p->out.buf.len - p->contents_at);
	whole.failed |= p->out.failed | p->contents.failed;
	text_free(&p->out);
	p->out = whole;
}

void doc_end(struct doc *d)
{
	EACH_PAGE(d, end);
	for (size_t i = 0; i < PAGES; i++)
		if (d->page[i].contents_at && !d->page[i].out.failed)
			insert_contents(&d->page[i]);
}

void doc_free(struct doc *d)
{
	for (size_t i = 0; i < PAGES; i++) {
		text_free(&d->page[i].out);
		text_free(&d->page[i].contents);
	}
}

int doc_error(const struct doc *d)
{
	bool failed = d->failed;

	for (size_t i = 0; i < PAGES; i++)
		failed |= d->page[i].out.failed | d->page[i].contents.failed;
	return failed ? -ENOMEM : 0;
}

/* Formats into s, which the caller frees; "" and d->failed when memory ran out. */
#define FORMAT(d, t, fmt)                       \
	do {                                    \
		va_list args_;                  \
		va_start(args_, fmt);           \
		text_vprintf(&(t), fmt, args_); \
		va_end(args_);                  \
		text_string(&(t));              \
		(d)->failed |= (t).failed;      \
	} while (0)

void doc_heading(struct doc *d, int level, const char *id, const char *fmt, ...)
{
	struct text t = { 0 };

	FORMAT(d, t, fmt);
	EACH_PAGE(d, heading, level, id, text_string(&t));
	text_free(&t);
}

void doc_contents(struct doc *d)
{
	EACH_PAGE(d, contents);
}

void doc_paragraph(struct doc *d, enum tone tone, const char *fmt, ...)
{
	struct text t = { 0 };

	FORMAT(d, t, fmt);
	EACH_PAGE(d, paragraph, tone, text_string(&t));
	text_free(&t);
}

void doc_list_begin(struct doc *d)
{
	EACH_PAGE(d, list, true);
}

void doc_item(struct doc *d, const char *lead, const char *fmt, ...)
{
	struct text t = { 0 };

	FORMAT(d, t, fmt);
	EACH_PAGE(d, item, lead, text_string(&t));
	text_free(&t);
}

void doc_list_end(struct doc *d)
{
	EACH_PAGE(d, list, false);
}

void doc_code(struct doc *d, const char *text)
{
	EACH_PAGE(d, code, text);
}

void doc_table(struct doc *d, struct table *t)
{
	d->failed |= t->failed;
	if (!t->failed)
		EACH_PAGE(d, table, t);
	table_free(t);
}

void doc_gallery_begin(struct doc *d)
{
	EACH_PAGE(d, gallery, true);
}

void doc_picture(struct doc *d, const struct picture *pic)
{
	EACH_PAGE(d, picture, pic);
}

void doc_gallery_end(struct doc *d)
{
	EACH_PAGE(d, gallery, false);
}

void doc_fold_begin(struct doc *d, const char *fmt, ...)
{
	struct text t = { 0 };

	FORMAT(d, t, fmt);
	EACH_PAGE(d, fold, text_string(&t));
	text_free(&t);
}

void doc_fold_end(struct doc *d)
{
	EACH_PAGE(d, fold, NULL);
}
