/* SPDX-License-Identifier: MIT */
/*
 * html.c - a report as one HTML file that needs nothing else: style and pictures are
 * inside, and there is no script. Well-formed as XML, which the tests lean on.
 *
 * Colours of ratios are blue against orange, which readers with any common colour
 * blindness tell apart, and the number says the same.
 */
#include "doc.h"

#include <string.h>

static const char style[] =
	":root{--bg:#fff;--ink:#1f2328;--quiet:#59636e;--line:#d1d9e0;--soft:#f6f8fa;"
	"--warn:#fff3d6;--warn-line:#d4a72c;--bad:#b3261e;--link:#0a58ca;"
	"--blue:31,111,203;--orange:214,108,20;color-scheme:light dark}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--ink:#dfe4ea;--quiet:#9aa4af;"
	"--line:#363d45;--soft:#1d2125;--warn:#322a12;--warn-line:#9a7b22;--bad:#ff8a80;"
	"--link:#79b8ff;--blue:70,140,230;--orange:230,125,40}}\n"
	"*{box-sizing:border-box}\n"
	"html{-webkit-text-size-adjust:100%}\n"
	"body{margin:0 auto;padding:1rem;max-width:84rem;background:var(--bg);color:var(--ink);"
	"font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif;"
	"overflow-wrap:anywhere}\n"
	"p,li,h1,h2,h3{max-width:46rem}\n"
	"h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}\n"
	"h2{font-size:1.3rem;margin:2.5rem 0 .5rem;padding-top:.5rem;border-top:1px solid "
	"var(--line);max-width:none}\n"
	"h3{font-size:1.05rem;margin:1.5rem 0 .25rem}\n"
	"a{color:var(--link)}\n"
	"nav ol{columns:16rem;padding-left:1.5rem;margin:.5rem 0;max-width:none}\n"
	".quiet,figcaption,.notes{color:var(--quiet);font-size:.875rem}\n"
	".warning,.bad-text{background:var(--warn);border-left:4px solid var(--warn-line);"
	"padding:.5rem .75rem;border-radius:0 4px 4px 0}\n"
	".bad-text{border-color:var(--bad)}\n"
	".scroll{overflow-x:auto;margin:.5rem 0;overflow-wrap:normal}\n"
	"table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}\n"
	"caption{text-align:left;color:var(--quiet);padding:.25rem 0;caption-side:top}\n"
	"th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;"
	"vertical-align:top}\n"
	"thead th{vertical-align:bottom;font-weight:600;background:var(--soft)}\n"
	"tbody th{text-align:left;font-weight:600;position:sticky;left:0;background:var(--bg);"
	"max-width:11rem;overflow-wrap:anywhere}\n"
	"thead th:first-child{text-align:left;position:sticky;left:0}\n"
	"table.words td{text-align:left;min-width:9rem}table.words thead th{text-align:left}\n"
	"small{display:block;color:var(--quiet);font-size:.75rem;white-space:nowrap}\n"
	"table:not(.words) td{white-space:nowrap}\n"
	"td.missing{color:var(--quiet);font-style:italic}\n"
	"td.bad{color:var(--bad);font-weight:700}\n"
	"td.base{color:var(--quiet);background:var(--soft)}\n"
	"td.quiet{font-size:inherit}\n"
	"td.w3{background:rgba(var(--orange),.42)}td.w2{background:rgba(var(--orange),.26)}"
	"td.w1{background:rgba(var(--orange),.12)}\n"
	"td.b3{background:rgba(var(--blue),.42)}td.b2{background:rgba(var(--blue),.26)}"
	"td.b1{background:rgba(var(--blue),.12)}\n"
	"td.w3 small,td.w2 small,td.b3 small,td.b2 small{color:inherit;opacity:.85}\n"
	".notes{padding-left:1.5rem;margin:.25rem 0 1rem}\n"
	"pre{background:var(--soft);border:1px solid var(--line);border-radius:4px;"
	"padding:.75rem;overflow-x:auto;font-size:.8125rem;white-space:pre-wrap}\n"
	".gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));"
	"gap:1rem;margin:.75rem 0}\n"
	"figure{margin:0;min-width:0}figure svg{width:100%;height:auto;display:block;"
	"max-width:40rem}\n"
	"details{margin:.5rem 0}summary{cursor:pointer;font-weight:600}\n"
	"@media(max-width:40rem){body{padding:.75rem}th,td{padding:.25rem .4rem}}\n"
	"@media print{.scroll{overflow:visible}h2{break-after:avoid}figure{break-inside:avoid}}\n";

static const char *const tone_class[TONES] = {
	[TONE_PLAIN] = "",      [TONE_QUIET] = "quiet",     [TONE_WARNING] = "warning",
	[TONE_BAD] = "bad",     [TONE_MISSING] = "missing", [TONE_BASE] = "base",
	[TONE_WORSE_3] = "w3",  [TONE_WORSE_2] = "w2",      [TONE_WORSE_1] = "w1",
	[TONE_EVEN] = "",       [TONE_BETTER_1] = "b1",     [TONE_BETTER_2] = "b2",
	[TONE_BETTER_3] = "b3",
};

/* The only way for text from outside into the page. Control characters are not allowed in
 * XML, escaped or not, and are left out; so are the two that are no characters. */
static void add_escaped(struct text *out, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			text_add(out, "&amp;");
			break;
		case '<':
			text_add(out, "&lt;");
			break;
		case '>':
			text_add(out, "&gt;");
			break;
		case '"':
			text_add(out, "&quot;");
			break;
		case '\'':
			text_add(out, "&#39;");
			break;
		default:
			if ((unsigned char)*s < ' ' && *s != '\n' && *s != '\t')
				break;
			if (!strncmp(s, "\xef\xbf\xbe", 3) ||
			    !strncmp(s, "\xef\xbf\xbf", 3)) {
				s += 2;
				break;
			}
			text_add_bytes(out, s, 1);
		}
	}
}

static void add_class(struct text *out, const char *name)
{
	if (*name)
		text_printf(out, " class=\"%s\"", name);
}

static void html_begin(struct page *p)
{
	text_add(
		&p->out,
		"<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n"
		"<head>\n<meta charset=\"utf-8\"/>\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
		"<meta name=\"color-scheme\" content=\"light dark\"/>\n"
		"<link rel=\"icon\" href=\"data:,\"/>\n<title>");
	add_escaped(&p->out, p->title);
	text_printf(&p->out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>",
		    style);
	add_escaped(&p->out, p->title);
	text_add(&p->out, "</h1>\n");
}

static void html_end(struct page *p)
{
	if (p->in_section)
		text_add(&p->out, "</section>\n");
	text_add(&p->out, "</body>\n</html>\n");
	text_add(&p->contents, "</ol></nav>\n");
}

static void html_heading(struct page *p, int level, const char *id, const char *s)
{
	if (level == 2) {
		text_printf(&p->out, "%s<section id=\"%s\">\n",
			    p->in_section ? "</section>\n" : "", id);
		p->in_section = true;
		text_printf(&p->contents, "<li><a href=\"#%s\">", id);
		add_escaped(&p->contents, s);
		text_add(&p->contents, "</a></li>\n");
	}
	text_printf(&p->out, "<h%d>", level);
	add_escaped(&p->out, s);
	text_printf(&p->out, "</h%d>\n", level);
}

static void html_contents(struct page *p)
{
	p->contents_at = p->out.buf.len;
	text_add(&p->contents, "<nav aria-label=\"Contents\"><ol>\n");
}

static void html_paragraph(struct page *p, enum tone tone, const char *s)
{
	text_add(&p->out, "<p");
	add_class(&p->out, tone == TONE_BAD ? "bad-text" : tone_class[tone]);
	text_add(&p->out, ">");
	add_escaped(&p->out, s);
	text_add(&p->out, "</p>\n");
}

static void html_list(struct page *p, bool begin)
{
	text_add(&p->out, begin ? "<ul>\n" : "</ul>\n");
}

static void html_item(struct page *p, const char *lead, const char *s)
{
	text_add(&p->out, "<li>");
	if (lead) {
		text_add(&p->out, "<b>");
		add_escaped(&p->out, lead);
		text_add(&p->out, "</b> ");
	}
	add_escaped(&p->out, s);
	text_add(&p->out, "</li>\n");
}

static void html_code(struct page *p, const char *s)
{
	text_add(&p->out, "<pre>");
	add_escaped(&p->out, s);
	text_add(&p->out, "</pre>\n");
}

static void add_table_cell(struct text *out, const struct table_cell *c, bool first)
{
	if (first) {
		text_add(out, "<tr><th scope=\"row\"");
	} else {
		text_add(out, "<td");
		add_class(out, tone_class[c->tone]);
	}
	text_add(out, ">");
	add_escaped(out, c->text);
	if (c->note)
		text_printf(out, " <sup>%u</sup>", c->note);
	if (c->small) {
		text_add(out, "<small>");
		add_escaped(out, c->small);
		text_add(out, "</small>");
	}
	text_add(out, first ? "</th>" : "</td>");
}

static void html_table(struct page *p, const struct table *t)
{
	struct text *out = &p->out;
	size_t i;

	text_add(out, "<div class=\"scroll\"><table");
	if (t->id)
		text_printf(out, " id=\"%s\"", t->id);
	add_class(out, t->words ? "words" : "");
	text_add(out, ">\n");
	if (t->caption) {
		text_add(out, "<caption>");
		add_escaped(out, t->caption);
		text_add(out, "</caption>\n");
	}
	text_add(out, "<thead><tr>");
	for (i = 0; i < t->columns; i++) {
		text_add(out, "<th scope=\"col\">");
		add_escaped(out, t->column[i]);
		text_add(out, "</th>");
	}
	text_add(out, "</tr></thead>\n<tbody>\n");
	for (i = 0; i < t->cells; i++) {
		add_table_cell(out, &t->cell[i], i % t->columns == 0);
		if ((i + 1) % t->columns == 0)
			text_add(out, "</tr>\n");
	}
	text_add(out, "</tbody></table></div>\n");
	if (t->notes)
		text_add(out, "<ol class=\"notes\">\n");
	for (i = 0; i < t->notes; i++)
		html_item(p, NULL, t->note[i]);
	if (t->notes)
		text_add(out, "</ol>\n");
}

static void html_gallery(struct page *p, bool begin)
{
	text_add(&p->out, begin ? "<div class=\"gallery\">\n" : "</div>\n");
}

/* The title stands in the picture. */
static void html_picture(struct page *p, const struct picture *pic)
{
	text_add(&p->out, "<figure>");
	text_add_bytes(&p->out, pic->svg, pic->svg_len);
	if (pic->caption) {
		text_add(&p->out, "<figcaption>");
		add_escaped(&p->out, pic->caption);
		text_add(&p->out, "</figcaption>");
	}
	text_add(&p->out, "</figure>\n");
}

static void html_fold(struct page *p, const char *summary)
{
	if (!summary) {
		text_add(&p->out, "</details>\n");
		return;
	}
	text_add(&p->out, "<details><summary>");
	add_escaped(&p->out, summary);
	text_add(&p->out, "</summary>\n");
}

const struct page_ops html_page_ops = {
	.begin = html_begin,
	.end = html_end,
	.heading = html_heading,
	.contents = html_contents,
	.paragraph = html_paragraph,
	.list = html_list,
	.item = html_item,
	.code = html_code,
	.table = html_table,
	.gallery = html_gallery,
	.picture = html_picture,
	.fold = html_fold,
};
