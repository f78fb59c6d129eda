/* SPDX-License-Identifier: MIT */
/*
 * markdown.c - a report as Markdown, in the dialect that GitHub and GitLab share, with
 * pictures as PNG beside it.
 */
#include "doc.h"

#include <string.h>

/* Markup characters lose their meaning, line ends become blanks: text from outside can
 * neither open a tag nor end a table's row. */
static void add_escaped(struct text *out, const char *s)
{
	bool at_start = true;

	for (; *s; s++, at_start = false) {
		if (*s == '&')
			text_add(out, "&amp;");
		else if (*s == '<')
			text_add(out, "&lt;");
		else if (*s == '>')
			text_add(out, "&gt;");
		else if ((unsigned char)*s < ' ')
			text_add(out, " ");
		else if (strchr("\\`*_[]|~#", *s) || (at_start && strchr("-+=", *s)))
			text_printf(out, "\\%c", *s);
		else
			text_add_bytes(out, s, 1);
	}
}

static void markdown_begin(struct page *p)
{
	text_add(&p->out, "# ");
	add_escaped(&p->out, p->title);
	text_add(&p->out, "\n\n");
}

static void markdown_end(struct page *p)
{
	text_add(&p->contents, "\n");
}

static void markdown_heading(struct page *p, int level, const char *id, const char *s)
{
	if (level == 2) {
		text_add(&p->contents, "- [");
		add_escaped(&p->contents, s);
		text_printf(&p->contents, "](#%s)\n", id);
		text_printf(&p->out, "<a id=\"%s\"></a>\n\n", id);
	}
	text_printf(&p->out, "%.*s ", level, "######");
	add_escaped(&p->out, s);
	text_add(&p->out, "\n\n");
}

static void markdown_contents(struct page *p)
{
	p->contents_at = p->out.buf.len;
}

static void markdown_paragraph(struct page *p, enum tone tone, const char *s)
{
	if (tone == TONE_WARNING || tone == TONE_BAD)
		text_add(&p->out, "> **Note:** ");
	add_escaped(&p->out, s);
	text_add(&p->out, "\n\n");
}

static void markdown_list(struct page *p, bool begin)
{
	if (!begin)
		text_add(&p->out, "\n");
}

static void markdown_item(struct page *p, const char *lead, const char *s)
{
	text_add(&p->out, "- ");
	if (lead) {
		text_add(&p->out, "**");
		add_escaped(&p->out, lead);
		text_add(&p->out, "** ");
	}
	add_escaped(&p->out, s);
	text_add(&p->out, "\n");
}

/* A fence longer than any run of backquotes inside. */
static void markdown_code(struct page *p, const char *s)
{
	size_t longest = 2, run = 0;
	const char *c;

	for (c = s; *c; c++) {
		run = *c == '`' ? run + 1 : 0;
		if (run > longest)
			longest = run;
	}
	for (run = 0; run <= longest; run++)
		text_add(&p->out, "`");
	text_printf(&p->out, "\n%s%s", s, c > s && c[-1] == '\n' ? "" : "\n");
	for (run = 0; run <= longest; run++)
		text_add(&p->out, "`");
	text_add(&p->out, "\n\n");
}

static void add_table_cell(struct text *out, const struct table_cell *c)
{
	const char *mark = c->tone == TONE_BAD       ? "**"
			   : c->tone == TONE_MISSING ? "*"
						     : "";

	text_add(out, " ");
	if (*c->text) {
		text_add(out, mark);
		add_escaped(out, c->text);
		text_add(out, mark);
	}
	if (c->note)
		text_printf(out, " \\[%u\\]", c->note);
	if (c->small) {
		text_add(out, "<br>");
		add_escaped(out, c->small);
	}
	text_add(out, " |");
}

static void markdown_table(struct page *p, const struct table *t)
{
	struct text *out = &p->out;
	size_t i;

	if (t->caption) {
		add_escaped(out, t->caption);
		text_add(out, "\n\n");
	}
	text_add(out, "|");
	for (i = 0; i < t->columns; i++) {
		text_add(out, " ");
		add_escaped(out, t->column[i]);
		text_add(out, " |");
	}
	text_add(out, "\n|");
	for (i = 0; i < t->columns; i++)
		text_add(out, i == 0 || t->words ? " :-- |" : " --: |");
	text_add(out, "\n");
	for (i = 0; i < t->cells; i++) {
		if (i % t->columns == 0)
			text_add(out, "|");
		add_table_cell(out, &t->cell[i]);
		if ((i + 1) % t->columns == 0)
			text_add(out, "\n");
	}
	text_add(out, "\n");
	for (i = 0; i < t->notes; i++) {
		text_printf(out, "\\[%zu\\] ", i + 1);
		add_escaped(out, t->note[i]);
		text_add(out, i + 1 < t->notes ? "<br>\n" : "\n\n");
	}
}

static void markdown_gallery(struct page *p, bool begin)
{
	(void)p;
	(void)begin;
}

static void markdown_picture(struct page *p, const struct picture *pic)
{
	text_add(&p->out, "![");
	add_escaped(&p->out, pic->title);
	text_printf(&p->out, "](plots/%s.png)\n\n", pic->name);
	if (pic->caption) {
		add_escaped(&p->out, pic->caption);
		text_add(&p->out, "\n\n");
	}
}

static void markdown_fold(struct page *p, const char *summary)
{
	if (!summary) {
		text_add(&p->out, "</details>\n\n");
		return;
	}
	text_add(&p->out, "<details><summary>");
	add_escaped(&p->out, summary);
	text_add(&p->out, "</summary>\n\n");
}

const struct page_ops markdown_page_ops = {
	.begin = markdown_begin,
	.end = markdown_end,
	.heading = markdown_heading,
	.contents = markdown_contents,
	.paragraph = markdown_paragraph,
	.list = markdown_list,
	.item = markdown_item,
	.code = markdown_code,
	.table = markdown_table,
	.gallery = markdown_gallery,
	.picture = markdown_picture,
	.fold = markdown_fold,
};
