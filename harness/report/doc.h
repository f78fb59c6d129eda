/* SPDX-License-Identifier: MIT */
/*
 * doc.h - what a report is made of: headings, paragraphs, lists, tables and pictures,
 * each said once and written to every page (index.html and report.md).
 *
 * All text is plain; each page escapes it in its own way. Memory running out is kept in
 * the pages and told by doc_error().
 */
#ifndef REPORT_DOC_H
#define REPORT_DOC_H

#include "text.h"

enum tone {
	TONE_PLAIN,
	TONE_QUIET,   /* a note, for who wants to know more */
	TONE_WARNING, /* something that limits what the numbers mean */
	TONE_BAD,     /* wrong, void, failed */
	TONE_MISSING, /* a cell without a number */
	TONE_BASE,    /* the cell to which others are compared */
	TONE_WORSE_3, /* a ratio's strength: beyond 2x, 1.25x, 1.05x */
	TONE_WORSE_2,
	TONE_WORSE_1,
	TONE_EVEN,
	TONE_BETTER_1,
	TONE_BETTER_2,
	TONE_BETTER_3,
	TONES,
};

/* ---- tables ---- */

struct table_cell {
	char *text;
	char *small; /* a second, smaller line; NULL: none */
	enum tone tone;
	unsigned int note; /* from 1; 0: none */
};

/* Filled row by row; the first column names the row, the others are numbers unless
 * words is set. */
struct table {
	const char *id; /* for links and checks; NULL: none */
	char *caption;
	bool words;
	char **column;
	size_t columns;
	struct table_cell *cell; /* columns a row */
	size_t cells;
	char **note;
	size_t notes;
	bool failed;
};

void table_caption(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void table_column(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void table_add(struct table *t, enum tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Of the cell added last: its second line; its footnote (equal texts share one). */
void table_small(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void table_note(struct table *t, const char *text);

/* ---- pictures ---- */

struct picture {
	const char *name;    /* plots/NAME.svg and plots/NAME.png */
	const char *title;   /* what it shows, for who cannot see it as well */
	const char *caption; /* a sentence below it; NULL: none */
	const char *svg;     /* the picture itself, to be put into the page */
	size_t svg_len;
};

/* ---- pages ---- */

struct page {
	const struct page_ops *ops;
	struct text out;
	struct text contents; /* list of sections, put at contents_at in the end */
	size_t contents_at;
	const char *title;
	bool in_section;
};

struct page_ops {
	void (*begin)(struct page *p);
	void (*end)(struct page *p);
	void (*heading)(struct page *p, int level, const char *id, const char *text);
	void (*contents)(struct page *p);
	void (*paragraph)(struct page *p, enum tone tone, const char *text);
	void (*list)(struct page *p, bool begin);
	void (*item)(struct page *p, const char *lead, const char *text); /* lead: NULL */
	void (*code)(struct page *p, const char *text);
	void (*table)(struct page *p, const struct table *t);
	void (*gallery)(struct page *p, bool begin); /* around pictures */
	void (*picture)(struct page *p, const struct picture *pic);
	void (*fold)(struct page *p, const char *summary); /* NULL ends it */
};

extern const struct page_ops html_page_ops, markdown_page_ops;

enum { PAGE_HTML, PAGE_MARKDOWN, PAGES };

struct doc {
	struct page page[PAGES];
	bool failed;
};

void doc_begin(struct doc *d, const char *title); /* title must outlive d */
void doc_end(struct doc *d);
void doc_free(struct doc *d);
int doc_error(const struct doc *d); /* 0 or -ENOMEM */

/* level 2 opens a section and stands in the contents; id is its anchor, NULL below it. */
void doc_heading(struct doc *d, int level, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void doc_contents(struct doc *d);
void doc_paragraph(struct doc *d, enum tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doc_list_begin(struct doc *d);
void doc_item(struct doc *d, const char *lead, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doc_list_end(struct doc *d);
void doc_code(struct doc *d, const char *text);
void doc_table(struct doc *d, struct table *t); /* ends with t as {0} */
void doc_gallery_begin(struct doc *d);
void doc_picture(struct doc *d, const struct picture *pic);
void doc_gallery_end(struct doc *d);
void doc_fold_begin(struct doc *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void doc_fold_end(struct doc *d);

#endif /* REPORT_DOC_H */
