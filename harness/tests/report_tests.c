/* SPDX-License-Identifier: MIT */
/*
 * report_tests.c - a report rendered from the committed sample's results: complete, free of
 * the network, safe from hostile text, and without a complaint from a browser.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../report/grid.h"
#include "../report/report.h"

static const char sample[] = "reports/sample";

static json_t *set;                  /* the sample's results */
static char directory[SCRATCH_PATH]; /* the report that all tests look at */
static struct kv_buf page, markdown;

/* ---- files ---- */

static void read_file(const char *dir, const char *name, struct kv_buf *out)
{
	char path[512], block[65536];
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f) {
		fail_msg("%s: %s", path, strerror(errno));
		return;
	}
	out->len = 0;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		assert_int_equal(kv_buf_append(out, block, n), 0);
	assert_int_equal(kv_buf_append(out, "", 1), 0);
	(void)fclose(f);
}

static const char *make_directory(const char *name)
{
	const char *dir = in_scratch(name);

	assert_int_equal(mkdir(dir, 0755), 0);
	return dir;
}

/* How often what occurs in [from, to). */
static unsigned int occurrences(const char *from, const char *to, const char *what)
{
	unsigned int n = 0;

	for (; (from = strstr(from, what)) && from < to; from += strlen(what))
		n++;
	return n;
}

static int render_sample(void **state)
{
	struct kv_msg why = { "" };

	if (make_scratch(state))
		return -1;
	if (results_load(sample, &set, &why)) {
		print_error("%s\n", why.text);
		return -1;
	}
	(void)snprintf(directory, sizeof(directory), "%s", make_directory("sample"));
	if (report_render(set, directory, &why)) {
		print_error("%s\n", why.text);
		return -1;
	}
	read_file(directory, "index.html", &page);
	read_file(directory, "report.md", &markdown);
	return 0;
}

static int drop_sample(void **state)
{
	kv_buf_free(&page);
	kv_buf_free(&markdown);
	json_decref(set);
	return drop_scratch(state);
}

/* ---- the page as text ---- */

static void test_relative_table_has_a_row_an_engine(void **state)
{
	const char *from = strstr(page.data, "<table id=\"relative\""), *to;
	size_t i, workloads = json_array_size(json_object_get(set, "workloads"));
	const json_t *engine;

	(void)state;
	assert_non_null(from);
	to = strstr(from, "</table>");
	assert_non_null(to);
	json_array_foreach(json_object_get(set, "engines"), i, engine)
	{
		char cell[128];

		(void)snprintf(cell, sizeof(cell), "<th scope=\"row\">%s<",
			       member_text(engine, "label", "?"));
		if (occurrences(from, to, cell) != 1)
			fail_msg("%u rows of %s", occurrences(from, to, cell), cell);
	}
	assert_int_equal(occurrences(from, to, "<tr>"), 1 + i);
	assert_true(workloads >= 6);
	for (i = 0; i < workloads; i++) {
		const json_t *w = json_array_get(json_object_get(set, "workloads"), i);
		char head[128];

		(void)snprintf(head, sizeof(head), ">%s</th>",
			       member_text(w, "name", "?"));
		assert_true(occurrences(from, to, head) >= 1);
	}
}

static void test_page_needs_no_network(void **state)
{
	static const char *const loads[] = {
		"src=\"http",  "src=\"//", "<link rel=\"style", "@import", "url(http",
		"<script src", "<iframe",  "src=\"plots",       "url(//"
	};
	const char *end = (const char *)page.data + page.len;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (occurrences(page.data, end, loads[i]))
			fail_msg("the page has %s", loads[i]);
	assert_true(occurrences(page.data, end, "prefers-color-scheme") >= 1);
	assert_int_equal(occurrences(page.data, end, "name=\"viewport\""), 1);
}

static void test_every_reference_has_its_place(void **state)
{
	const char *p = page.data, *end = p + page.len;
	unsigned int references = 0;

	(void)state;
	for (; (p = strstr(p, "href")); references++) {
		char id[2][272];
		const char *quote = strpbrk(p, "'\"");
		unsigned int places;
		int len;

		assert_non_null(quote);
		p = quote + 2;
		if (quote[1] != '#')
			continue;
		len = (int)strcspn(p, "'\"");
		assert_in_range(len, 1, 255);
		(void)snprintf(id[0], sizeof(id[0]), "id=\"%.*s\"", len, p);
		(void)snprintf(id[1], sizeof(id[1]), "id='%.*s'", len, p);
		places = occurrences(page.data, end, id[0]) +
			 occurrences(page.data, end, id[1]);
		if (places != 1)
			fail_msg("%s is there %u times", id[0], places);
	}
	assert_true(references > 10);
}

static void test_markdown_shows_pictures_that_are_there(void **state)
{
	static const uint8_t png[] = { 0x89, 'P', 'N', 'G' };
	const char *p = markdown.data;
	unsigned int pictures = 0;
	struct kv_buf picture = { 0 };

	(void)state;
	for (; (p = strstr(p, "](plots/")); pictures++) {
		char name[256];

		p += 2;
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, ")"), p);
		read_file(directory, name, &picture);
		assert_true(picture.len > 1000);
		assert_memory_equal(picture.data, png, sizeof(png));
	}
	kv_buf_free(&picture);
	assert_true(pictures >= 6);
}

static void test_missing_cells_say_why(void **state)
{
	const json_t *cell;
	size_t i, infeasible = 0;

	(void)state;
	json_array_foreach(json_object_get(set, "cells"), i, cell) infeasible +=
		!strcmp(member_text(cell, "status", ""), "not feasible");
	assert_true(infeasible > 0);
	assert_non_null(strstr(page.data, "not feasible"));
	assert_non_null(strstr(markdown.data, "not feasible"));
}

/* ---- sets that were tampered with ---- */

static json_t *first_cell(json_t *of, const char *engine)
{
	json_t *cell;
	size_t i;

	json_array_foreach(
		json_object_get(of, "cells"), i,
		cell) if (!strcmp(member_text(cell, "engine", ""), engine) &&
			  !strcmp(member_text(cell, "status", ""), "ok")) return cell;
	fail_msg("no cell of %s", engine);
	return NULL;
}

static void render_copy(json_t *copy, struct kv_buf *html, struct kv_buf *md)
{
	const char *dir = make_directory("copy");
	struct kv_msg why = { "" };

	if (report_render(copy, dir, &why))
		fail_msg("%s", why.text);
	read_file(dir, "index.html", html);
	read_file(dir, "report.md", md);
	scratch_remove(dir);
}

static void test_text_of_others_is_no_markup(void **state)
{
	json_t *copy = json_deep_copy(set), *cell = first_cell(copy, "sqlite");
	struct kv_buf html = { 0 }, md = { 0 };

	(void)state;
	json_object_set_new(cell, "status", json_string("failed"));
	json_object_set_new(cell, "reason",
			    json_string("<script>alert(1)</script> | \"&' [x](y)"));
	json_object_set_new(cell, "replicates", json_array());
	render_copy(copy, &html, &md);
	assert_null(strstr(html.data, "<script>alert"));
	assert_non_null(strstr(html.data, "&lt;script&gt;alert(1)"));
	assert_null(strstr(md.data, "<script>alert"));
	kv_buf_free(&html);
	kv_buf_free(&md);
	json_decref(copy);
}

static void test_other_operations_are_not_compared(void **state)
{
	json_t *copy = json_deep_copy(set), *cell = first_cell(copy, "sqlite"),
	       *replicate;
	struct kv_buf html = { 0 }, md = { 0 };
	size_t i;

	(void)state;
	assert_null(strstr(page.data, "stream digests"));
	json_array_foreach(json_object_get(cell, "replicates"), i, replicate)
		json_object_set_new(replicate, "stream_digest",
				    json_string("0123456789abcdef"));
	render_copy(copy, &html, &md);
	assert_non_null(strstr(html.data, "stream digests"));
	kv_buf_free(&html);
	kv_buf_free(&md);
	json_decref(copy);
}

/* Of one engine: by a call each beyond the aim, by a ring within it. */
static void test_kernel_stands_beside_userspace(void **state)
{
	json_t *copy = json_deep_copy(set), *crossing;
	struct kv_buf html = { 0 }, md = { 0 };

	(void)state;
	assert_null(strstr(page.data, "Kernel against userspace"));
	crossing = json_pack("{s:f, s:i, s:i, s:[{s:s, s:s, s:s, s:f, s:f, s:f},"
			     " {s:s, s:s, s:s, s:f, s:f, s:f},"
			     " {s:s, s:s, s:s, s:f, s:f, s:f}]}",
			     "null_ns", 150.0, "records", 20000, "rounds", 5, "figures",
			     "engine", "hash", "way", "call", "call", "get", "user_ns",
			     100.0, "kernel_ns", 301.0, "ratio", 3.01, "engine", "hash",
			     "way", "ring", "call", "get", "user_ns", 100.0, "kernel_ns",
			     250.0, "ratio", 2.5, "engine", "hash", "way", "ring", "call",
			     "get of 64", "user_ns", 90.0, "kernel_ns", 130.0, "ratio",
			     1.44);
	assert_non_null(crossing);
	json_object_set_new(copy, "crossing", crossing);
	render_copy(copy, &html, &md);
	assert_non_null(strstr(html.data, "Kernel against userspace"));
	assert_non_null(strstr(md.data, "301 ns, userspace 100; aim: at most 300"));
	/* Against the call of one key: 1.3 * 100. */
	assert_non_null(strstr(md.data, "130 ns, userspace 90; aim: at most 130"));
	assert_non_null(strstr(md.data, "kernel-against-userspace"));
	kv_buf_free(&html);
	kv_buf_free(&md);
	json_decref(copy);
}

static void test_wrong_content_voids_a_cell(void **state)
{
	json_t *copy = json_deep_copy(set), *cell = first_cell(copy, "sqlite");
	json_t *replicate = json_array_get(json_object_get(cell, "replicates"), 0);
	struct kv_buf html = { 0 }, md = { 0 };

	(void)state;
	assert_null(strstr(page.data, "wrong content"));
	json_object_set_new(replicate, "content", json_string("different"));
	json_object_set_new(replicate, "content_note",
			    json_string("user42 has an older value"));
	render_copy(copy, &html, &md);
	assert_non_null(strstr(html.data, "wrong content"));
	assert_non_null(strstr(html.data, "user42 has an older value"));
	kv_buf_free(&html);
	kv_buf_free(&md);
	json_decref(copy);
}

static void test_without_gnuplot_tables_remain(void **state)
{
	const char *dir = make_directory("plain");
	char *path = strdup(getenv("PATH"));
	struct kv_buf html = { 0 };
	struct kv_msg why = { "" };

	(void)state;
	(void)setenv("PATH", "/nonexistent", 1);
	assert_int_equal(report_render(set, dir, &why), 0);
	(void)setenv("PATH", path, 1);
	assert_non_null(strstr(why.text, "gnuplot"));
	read_file(dir, "index.html", &html);
	assert_non_null(strstr(html.data, "<table id=\"relative\""));
	kv_buf_free(&html);
	scratch_remove(dir);
	free(path);
}

static void test_unwritable_directory_is_named(void **state)
{
	struct kv_msg why = { "" };

	(void)state;
	assert_true(report_render(set, "/proc/no-such-place", &why) < 0);
	assert_non_null(strstr(why.text, "/proc/no-such-place"));
}

/* ---- in a browser ---- */

/* Runs in the page and leaves what it saw in an attribute that --dump-dom shows. */
static const char inspector[] =
	"<script>addEventListener('load', () => {"
	"const all = [...document.querySelectorAll('svg, img')];"
	"const empty = all.filter(e => e.tagName === 'IMG' ? !e.naturalWidth"
	" : !(e.getBBox().width > 10 && e.getBoundingClientRect().width > 10));"
	"const lost = [...document.querySelectorAll('use')].filter(u => {"
	" const h = u.getAttribute('xlink:href') || u.getAttribute('href');"
	" return !document.querySelector(h.replace(/^#/, '[id=\"') + '\"]');});"
	"const rows = document.querySelectorAll('#relative tbody tr').length;"
	"document.body.dataset.seen = `pictures=${all.length} empty=${empty.length} "
	"lost=${lost.length} rows=${rows} "
	"overflow=${document.documentElement.scrollWidth > innerWidth}`;});</script>";

static void look_at_page(unsigned int width, struct kv_buf *dom, struct kv_buf *messages)
{
	const char *dir = make_directory("browser");
	char command[2048];
	FILE *f;

	(void)snprintf(command, sizeof(command), "%s/page.html", dir);
	f = fopen(command, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(page.data, 1, page.len - 1, f), page.len - 1);
	assert_true(fputs(inspector, f) >= 0);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(
		command, sizeof(command),
		"HOME=%s timeout 120 chromium --headless --no-sandbox --disable-gpu "
		"--disable-dev-shm-usage --user-data-dir=%s/profile "
		"--window-size=%u,900 --enable-logging=stderr --dump-dom "
		"file://%s/page.html >%s/dom.txt 2>%s/messages.txt",
		dir, dir, width, dir, dir, dir);
	assert_int_equal(system(command), 0);
	read_file(dir, "dom.txt", dom);
	read_file(dir, "messages.txt", messages);
	scratch_remove(dir);
}

static void test_browser_has_nothing_to_complain_of(void **state)
{
	struct kv_buf dom = { 0 }, messages = { 0 };
	size_t engines = json_array_size(json_object_get(set, "engines"));
	unsigned int pictures = 0, empty = 1, lost = 1, rows = 0;
	const char *seen;
	char overflow[8] = "";

	(void)state;
	if (system("command -v chromium >/dev/null")) {
		puts("skipped: no chromium to look at the page with");
		skip();
	}
	/* Some machines forbid the browser what it needs to start at all. */
	if (system("chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
		   "--user-data-dir=/tmp/report-tests-probe --dump-dom about:blank "
		   ">/dev/null 2>&1; s=$?; rm -rf /tmp/report-tests-probe; exit $s")) {
		puts("skipped: chromium does not start here");
		skip();
	}
	look_at_page(1200, &dom, &messages);
	if (strstr(messages.data, "CONSOLE"))
		fail_msg("%s", strstr(messages.data, "CONSOLE"));
	seen = strstr(dom.data, "data-seen=\"");
	assert_non_null(seen);
	assert_int_equal(sscanf(seen,
				"data-seen=\"pictures=%u empty=%u lost=%u rows=%u "
				"overflow=%7[a-z]",
				&pictures, &empty, &lost, &rows, overflow),
			 5);
	assert_true(pictures >= 6);
	assert_int_equal(empty, 0);
	assert_int_equal(lost, 0);
	assert_int_equal(rows, engines);
	assert_string_equal(overflow, "false");
	kv_buf_free(&dom);
	kv_buf_free(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relative_table_has_a_row_an_engine),
		cmocka_unit_test(test_page_needs_no_network),
		cmocka_unit_test(test_every_reference_has_its_place),
		cmocka_unit_test(test_markdown_shows_pictures_that_are_there),
		cmocka_unit_test(test_missing_cells_say_why),
		cmocka_unit_test(test_text_of_others_is_no_markup),
		cmocka_unit_test(test_other_operations_are_not_compared),
		cmocka_unit_test(test_kernel_stands_beside_userspace),
		cmocka_unit_test(test_wrong_content_voids_a_cell),
		cmocka_unit_test(test_without_gnuplot_tables_remain),
		cmocka_unit_test(test_unwritable_directory_is_named),
		cmocka_unit_test(test_browser_has_nothing_to_complain_of),
	};

	return cmocka_run_group_tests(tests, render_sample, drop_sample);
}
